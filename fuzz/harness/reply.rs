//! Whether bytes are well-formed replies.

/// Nesting of a reply, at most: what a script answers may be nested nearly as deep.
const MOST_NESTED: usize = 8000;

/// What a server sent, counted.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Replies {
    /// Replies to requests.
    pub replies: usize,
    /// Pushes, which answer nothing.
    pub pushes: usize,
    /// Whether the first reply is an error.
    pub is_error: bool,
}

/// Which protocols' forms may appear.
#[derive(Clone, Copy)]
pub struct Forms {
    /// Those of RESP2 only: the null bulk and the null array.
    pub resp2: bool,
    /// Those of RESP3 only.
    pub resp3: bool,
}

/// Reads `bytes` to their end. Panics where they are no replies.
pub fn read(bytes: &[u8], forms: Forms) -> Replies {
    let (mut at, mut found) = (0, Replies::default());
    while at < bytes.len() {
        match bytes[at] {
            b'>' => found.pushes += 1,
            // An attribute belongs to what comes behind it.
            b'|' => {}
            first => {
                found.is_error |= found.replies == 0 && matches!(first, b'-' | b'!');
                found.replies += 1;
            }
        }
        at = value(bytes, at, forms, 0);
    }
    found
}

/// Returns where the value ends that starts at `at`.
fn value(bytes: &[u8], at: usize, forms: Forms, depth: usize) -> usize {
    assert!(depth < MOST_NESTED, "nested too deep");
    let (line, end) = line(bytes, at);
    let (kind, rest) = line.split_first().expect("a reply has a type");
    match kind {
        b'+' | b'-' => end,
        b':' => {
            number(rest);
            end
        }
        b'$' if rest == b"-1" => {
            assert!(forms.resp2, "a null bulk in RESP3");
            end
        }
        b'*' if rest == b"-1" => {
            assert!(forms.resp2, "a null array in RESP3");
            end
        }
        b'$' => bulk(bytes, end, rest),
        b'*' => values(bytes, end, count(rest), forms, depth),
        _ => {
            assert!(forms.resp3, "a form of RESP3 in RESP2: {}", line.escape_ascii());
            match kind {
                b'%' | b'|' => values(bytes, end, 2 * count(rest), forms, depth),
                b'~' | b'>' => values(bytes, end, count(rest), forms, depth),
                b'=' | b'!' => bulk(bytes, end, rest),
                b'_' => end_of(rest.is_empty(), end, line),
                b'#' => end_of(matches!(rest, b"t" | b"f"), end, line),
                b',' => end_of(is_double(rest), end, line),
                b'(' => {
                    end_of(rest.strip_prefix(b"-").unwrap_or(rest).iter().all(u8::is_ascii_digit), end, line)
                }
                _ => panic!("no reply starts like this: {}", line.escape_ascii()),
            }
        }
    }
}

fn end_of(is_well_formed: bool, end: usize, line: &[u8]) -> usize {
    assert!(is_well_formed, "malformed: {}", line.escape_ascii());
    end
}

fn values(bytes: &[u8], mut at: usize, count: usize, forms: Forms, depth: usize) -> usize {
    for _ in 0..count {
        at = value(bytes, at, forms, depth + 1);
    }
    at
}

fn bulk(bytes: &[u8], start: usize, len: &[u8]) -> usize {
    let end = start + count(len);
    assert_eq!(bytes.get(end..end + 2), Some(&b"\r\n"[..]), "a bulk string does not end");
    end + 2
}

/// The line at `at` without its end, and where the next one starts.
fn line(bytes: &[u8], at: usize) -> (&[u8], usize) {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let len = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).expect("a line ends");
    assert_eq!(rest.get(len..len + 2), Some(&b"\r\n"[..]), "a line ends with CR LF");
    (&rest[..len], at + len + 2)
}

fn number(text: &[u8]) -> i64 {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {}", text.escape_ascii()))
}

fn count(text: &[u8]) -> usize {
    usize::try_from(number(text)).expect("a length is not negative")
}

fn is_double(text: &[u8]) -> bool {
    matches!(text, b"inf" | b"-inf" | b"nan")
        || std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok_and(f64::is_finite))
}
