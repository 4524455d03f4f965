//! Replies as redis-cli shows them to a person.
//!
//! For: transcripts and failure messages. May touch: nothing but replies.
//! Always: replies that differ on the wire differ in print: what redis-cli shows alike (`$-1` and `*-1`, a
//! verbatim string and a status) gets a word more here.

use super::client::Reply;
use super::words::{printable, quote};

/// The lines of a reply received on a connection that speaks RESP`protocol` (2 or 3).
pub fn lines(reply: &Reply, protocol: u8) -> Vec<String> {
    let one = |text: String| vec![text];
    match reply {
        Reply::Simple(b) if b.is_empty() => one("(empty status)".into()),
        Reply::Simple(b) => one(printable(b, false)),
        Reply::Error(b) => one(format!("(error) {}", printable(b, false))),
        Reply::Integer(n) => one(format!("(integer) {n}")),
        Reply::Bulk(b) => one(quote(b)),
        Reply::NullBulk => one(if protocol == 2 { "(nil)" } else { "(nil string of RESP2)" }.into()),
        Reply::NullArray => one(if protocol == 2 { "(nil array)" } else { "(nil array of RESP2)" }.into()),
        Reply::Null => one(if protocol == 3 { "(nil)" } else { "(nil of RESP3)" }.into()),
        Reply::Double(b) => one(format!("(double) {}", printable(b, false))),
        Reply::Boolean(b) => one(format!("({b})")),
        Reply::BigNumber(b) => one(format!("(bignum) {}", printable(b, false))),
        Reply::Verbatim(format, b) => one(format!("(verbatim {}) {}", printable(format, false), quote(b))),
        Reply::Array(m) if m.is_empty() => one("(empty array)".into()),
        Reply::Set(m) if m.is_empty() => one("(empty set)".into()),
        Reply::Push(m) if m.is_empty() => one("(empty push)".into()),
        Reply::Map(m) if m.is_empty() => one("(empty hash)".into()),
        Reply::Array(m) => numbered(&rendered(m, protocol), ')'),
        Reply::Set(m) => numbered(&rendered(m, protocol), '~'),
        Reply::Push(m) => numbered(&rendered(m, protocol), '>'),
        Reply::Map(m) => numbered(&paired(m, protocol), '#'),
        Reply::Attribute(m, inner) => {
            let mut out = numbered(&paired(m, protocol), '|');
            out.extend(lines(inner, protocol));
            out
        }
    }
}

/// The members of an aggregate, each as its own lines.
pub fn rendered(members: &[Reply], protocol: u8) -> Vec<Vec<String>> {
    members.iter().map(|m| lines(m, protocol)).collect()
}

/// Puts the number and `mark` before each item, as wide as the last number is.
pub fn numbered(items: &[Vec<String>], mark: char) -> Vec<String> {
    let width = items.len().to_string().len();
    let indent = " ".repeat(width + 2);
    let mut out = Vec::new();
    for (i, item) in items.iter().enumerate() {
        for (j, line) in item.iter().enumerate() {
            out.push(match j {
                0 => format!("{:>width$}{mark} {line}", i + 1),
                _ => format!("{indent}{line}"),
            });
        }
    }
    out
}

fn paired(pairs: &[(Reply, Reply)], protocol: u8) -> Vec<Vec<String>> {
    pairs
        .iter()
        .map(|(key, value)| {
            let mut value = lines(value, protocol);
            value[0] = format!("{} => {}", lines(key, protocol).join(" "), value[0]);
            value
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn scalars_look_as_in_redis_cli() {
        assert_eq!(lines(&Reply::Integer(1), 2), ["(integer) 1"]);
        assert_eq!(lines(&bulk("a\"\0"), 2), [r#""a\"\x00""#]);
        assert_eq!(lines(&Reply::NullBulk, 2), ["(nil)"]);
        assert_eq!(lines(&Reply::Null, 3), ["(nil)"]);
        assert_eq!(lines(&Reply::Boolean(true), 3), ["(true)"]);
        assert_eq!(lines(&Reply::Error(b"ERR no".to_vec()), 2), ["(error) ERR no"]);
    }

    #[test]
    fn nulls_of_the_wrong_protocol_show() {
        assert_ne!(lines(&Reply::NullBulk, 3), ["(nil)"]);
        assert_ne!(lines(&Reply::Null, 2), ["(nil)"]);
        assert_ne!(lines(&Reply::NullArray, 2), ["(nil)"]);
    }

    #[test]
    fn nested_arrays_are_indented() {
        let inner = Reply::Array(vec![bulk("a"), bulk("b")]);
        let outer = Reply::Array(vec![bulk("0"), inner, Reply::Array(vec![])]);
        let want = ["1) \"0\"", "2) 1) \"a\"", "   2) \"b\"", "3) (empty array)"];
        assert_eq!(lines(&outer, 2), want);
    }

    #[test]
    fn maps_show_keys_and_values() {
        let map = Reply::Map(vec![
            (bulk("a"), Reply::Integer(1)),
            (bulk("b"), Reply::Set(vec![bulk("x"), bulk("y")])),
        ]);
        assert_eq!(lines(&map, 3), ["1# \"a\" => (integer) 1", "2# \"b\" => 1~ \"x\"", "   2~ \"y\""]);
    }
}
