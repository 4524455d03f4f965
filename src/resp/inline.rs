//! Inline commands: a line of words, as typed by hand.
//! For: splitting a line into arguments with the quoting rules of the wire. May touch: bytes only.
//! Always: an ordinary line's words stay where they are; a line with quotes is rebuilt word by word in own
//! allocations.

use std::sync::Arc;

use super::args::Span;
use super::parse::ProtocolError;

/// A real server drops this byte wherever it stands in an inline word; only an escape can spell it.
const DROPPED: u8 = 0xff;

/// The words of a line, which is free of NUL, with the quoting rules of inline commands; `None` when a quote
/// has no end.
pub fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut spans, mut words) = (Vec::new(), Vec::new());
    split_quoted(line, &mut spans, &mut words).ok()?;
    Some(words.into_iter().map(Arc::unwrap_or_clone).collect())
}

/// Splits `line` (without its line end, free of NUL) and appends its words; their spans count from the line's
/// start.
pub(super) fn split(
    line: &[u8],
    spans: &mut Vec<Span>,
    big: &mut Vec<Arc<Vec<u8>>>,
) -> Result<(), ProtocolError> {
    if memchr::memchr3(b'"', b'\'', DROPPED, line).is_some() {
        return split_quoted(line, spans, big);
    }
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|&&byte| is_blank(byte)).count();
        let len = line[at..].iter().take_while(|&&byte| !ends_word(byte)).count();
        if len == 0 {
            return Ok(());
        }
        spans.push(Span { start: at as u32, len: len as u32 });
        at += len;
    }
}

/// What may stand before a word.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What ends a word outside quotes: fewer bytes than may precede one.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

fn split_quoted(
    line: &[u8],
    spans: &mut Vec<Span>,
    big: &mut Vec<Arc<Vec<u8>>>,
) -> Result<(), ProtocolError> {
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|&&byte| is_blank(byte)).count()..];
        if rest.is_empty() {
            return Ok(());
        }
        let mut word = Vec::new();
        while let Some((&byte, after)) = rest.split_first() {
            if ends_word(byte) {
                break;
            }
            rest = match byte {
                b'"' => double_quoted(after, &mut word)?,
                b'\'' => single_quoted(after, &mut word)?,
                _ => {
                    put(byte, &mut word);
                    after
                }
            };
        }
        spans.push(Span::big(big.len()));
        big.push(Arc::new(word));
    }
}

/// Reads up to the closing `"`; answers what follows it. A backslash before the line's last byte is just a
/// backslash.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', byte, after @ ..] if !after.is_empty() => {
                let meant = match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                };
                put(meant, word);
                after
            }
            [byte, after @ ..] => {
                put(*byte, word);
                after
            }
        };
    }
}

/// Reads up to the closing `'`; answers what follows it. A backslash before the line's last byte is just a
/// backslash.
fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] if !after.is_empty() => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                put(*byte, word);
                after
            }
        };
    }
}

/// Appends a byte that stands in the line itself.
fn put(byte: u8, word: &mut Vec<u8>) {
    if byte != DROPPED {
        word.push(byte);
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
