//! Words and patterns: redis-cli's quoting, both ways, and globs.
//!
//! For: transcripts and other line-based tests. May touch: nothing but text.
//! Always: `split(quote(x))` gives `x` back.

/// Splits a line into arguments as redis-cli does: `"a\x00\n"` with escapes, `'a'` without, blanks between.
pub fn split(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let bytes = line.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        if at == bytes.len() {
            return Ok(words);
        }
        let mut word = Vec::new();
        while let Some(&b) = bytes.get(at).filter(|b| !b.is_ascii_whitespace()) {
            at = match b {
                b'"' => double_quoted(bytes, at + 1, &mut word)?,
                b'\'' => single_quoted(bytes, at + 1, &mut word)?,
                _ => {
                    word.push(b);
                    at + 1
                }
            };
        }
        words.push(word);
    }
}

/// Resolves the escapes of a double-quoted string in a text without quotes.
pub fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        at = match bytes[at] {
            b'\\' => escape(bytes, at, &mut out),
            b => {
                out.push(b);
                at + 1
            }
        };
    }
    out
}

/// `bytes` between double quotes, printable.
pub fn quote(bytes: &[u8]) -> String {
    format!("\"{}\"", printable(bytes, true))
}

/// `bytes` with everything unprintable escaped; quotes and backslashes too if `quotes` says so.
pub fn printable(bytes: &[u8], quotes: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        match b {
            b'"' | b'\\' if quotes => out.extend(['\\', b as char]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(b as char),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out
}

/// Whether `text` fits `pattern`, where `*` stands for any run of characters and all else for itself.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(i) => rest = &rest[i + part.len()..],
            None => return false,
        }
    }
    rest.len() >= tail.len() && rest.ends_with(tail)
}

fn double_quoted(bytes: &[u8], mut at: usize, word: &mut Vec<u8>) -> Result<usize, String> {
    loop {
        at = match bytes.get(at) {
            None => return Err("an open double quote".into()),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => escape(bytes, at, word),
            Some(&b) => {
                word.push(b);
                at + 1
            }
        };
    }
}

fn single_quoted(bytes: &[u8], mut at: usize, word: &mut Vec<u8>) -> Result<usize, String> {
    loop {
        match bytes.get(at) {
            None => return Err("an open single quote".into()),
            Some(b'\'') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 2;
            }
            Some(&b) => {
                word.push(b);
                at += 1;
            }
        }
    }
}

/// Resolves the escape that starts with the backslash at `at`; returns where it ends.
fn escape(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let Some(&kind) = bytes.get(at + 1) else {
        out.push(b'\\');
        return at + 1;
    };
    if kind == b'x' {
        let digits = bytes.get(at + 2..at + 4).and_then(|d| std::str::from_utf8(d).ok());
        if let Some(value) = digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            out.push(value);
            return at + 4;
        }
    }
    out.push(match kind {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        other => other,
    });
    at + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_redis_cli_does() {
        let words = split(r#"SET  'a b' "x\x00\n\"" plain\n it"'"s"#).unwrap();
        assert_eq!(
            words,
            [b"SET".to_vec(), b"a b".to_vec(), b"x\0\n\"".to_vec(), b"plain\\n".to_vec(), b"it's".to_vec()]
        );
        assert_eq!(split(r#" "" "#).unwrap(), [b"".to_vec()]);
        assert!(split(r#"SET "open"#).is_err());
    }

    #[test]
    fn quoting_and_splitting_are_inverse() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(split(&quote(&all)).unwrap(), [all]);
    }

    #[test]
    fn globs_match_runs() {
        assert!(fits("a*c*e", "abcde") && fits("*", "") && fits("x", "x") && fits("*b", "ab"));
        assert!(!fits("a*c", "ab") && !fits("x", "xy") && !fits("ab*ba", "aba"));
    }
}
