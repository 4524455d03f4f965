//! Numbers as the protocol writes them.
//! For: integers, cursors, doubles and index ranges given as text or as signed offsets. May touch: bytes
//! only.
//! Always: a text is a number as a whole or not at all, and each kind has its own, deliberate notion of
//! "whole".

use std::ops::Range;

/// Longest text of an `i64`: nineteen digits and a sign.
pub const MAX_I64_LEN: usize = 20;

/// Digits that fit an `u64` whatever they are.
const SAFE_DIGITS: usize = 19;

/// The one canonical spelling of an `i64`: no leading zero, no plus sign, no spaces, no `-0`.
/// So a text this accepts can be stored as the integer and printed back byte for byte.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if !is_negative => return Some(0),
        [b'0', ..] => return None,
        _ if digits.len() > SAFE_DIGITS => return None,
        _ => {}
    }
    let mut magnitude = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if is_negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Writes `value` in decimal into `out` and returns the part written.
pub fn digits(value: i64, out: &mut [u8; MAX_I64_LEN]) -> &[u8] {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value).as_bytes();
    let written = &mut out[..text.len()];
    written.copy_from_slice(text);
    written
}

/// An unsigned number the way SCAN cursors are read, which is as lenient as C's `strtoull`: leading white
/// space, a sign (negative numbers wrap around) and leading zeros are fine, and a NUL byte ends the text. One
/// exception: a negative number in its canonical `i64` spelling is refused.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let text = before_nul(text);
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let start = text.iter().position(|byte| !is_c_space(*byte))?;
    let (is_negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(if is_negative { value.wrapping_neg() } else { value })
}

/// A double given by a client, such as a score. Decimal only (no hexadecimal), `inf` and `infinity` in any
/// case, no NaN, no white space; refused also when a finite text overflows to infinity or a non-zero one
/// underflows to zero.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let value = parse_decimal(text)?;
    if value.is_infinite() {
        return has_infinity_spelling(text).then_some(value);
    }
    if value == 0.0 && !has_zero_significand(text) {
        return None;
    }
    Some(value)
}

/// A double as the bound of a score range (after any leading parenthesis). More lenient than
/// [`parse_double`]: an empty text is zero, a NUL byte ends it, and a number out of range becomes infinity or
/// zero.
pub fn parse_score_bound(text: &[u8]) -> Option<f64> {
    match before_nul(text) {
        [] => Some(0.0),
        text => parse_decimal(text),
    }
}

/// The bytes that inclusive, possibly negative (from the end) indexes select from `len` bytes, as GETRANGE
/// counts them: `None` when they select nothing. An `end` before the first byte selects the first byte,
/// unless both indexes are negative and in the wrong order.
pub fn range(len: usize, start: i64, end: i64) -> Option<Range<usize>> {
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return None;
    }
    let (first, last) = (from_end(len, start), from_end(len, end).min(len - 1));
    (first <= last).then(|| first..last + 1)
}

/// The index that `index` means in a sequence of `len`, never below zero.
fn from_end(len: usize, index: i64) -> usize {
    let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index < 0 { len.saturating_sub(distance) } else { distance }
}

/// A decimal double that is not NaN, rounded to nearest, out of range or not.
fn parse_decimal(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|value: &f64| !value.is_nan())
}

/// Whether a text already known to be a number spells infinity rather than digits.
fn has_infinity_spelling(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'i' | b'I'))
}

/// Whether a text already known to be a number has only zeros before its exponent.
fn has_zero_significand(text: &[u8]) -> bool {
    text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).all(|byte| !matches!(byte, b'1'..=b'9'))
}

fn before_nul(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// What C's `isspace` says in the C locale.
fn is_c_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_spelling_is_an_integer() {
        for value in [0, 1, -1, 9, 10, 99, i64::MAX, i64::MIN, i64::MAX - 1, 1_000_000_000_000_000_000] {
            assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }
        let refused = [
            "",
            "-",
            "+1",
            "-0",
            "01",
            "-01",
            "00",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "--1",
            "1\0",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "18446744073709551616",
            "100000000000000000000",
            "1a",
            "/",
            ":",
        ];
        for text in refused {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn digits_fill_the_whole_buffer_for_the_smallest_number() {
        let mut out = [0; MAX_I64_LEN];
        assert_eq!(digits(i64::MIN, &mut out), b"-9223372036854775808");
        assert_eq!(digits(0, &mut out), b"0");
        assert_eq!(digits(-7, &mut out), b"-7");
    }

    #[test]
    fn cursors_are_read_as_leniently_as_the_original_reads_them() {
        let accepted: [(&str, u64); 16] = [
            ("0", 0),
            ("-0", 0),
            ("-01", u64::MAX),
            (" -1", u64::MAX),
            ("  5", 5),
            ("\t\n\x0b\x0c\r1", 1),
            ("+5", 5),
            ("010", 10),
            ("00018446744073709551615", u64::MAX),
            ("18446744073709551615", u64::MAX),
            ("9223372036854775808", 1 << 63),
            ("-18446744073709551615", 1),
            ("-9223372036854775809", (1 << 63) - 1),
            ("1\0", 1),
            ("1\x002", 1),
            ("9223372036854775807", (1 << 63) - 1),
        ];
        for (text, value) in accepted {
            assert_eq!(parse_u64(text.as_bytes()), Some(value), "{text:?}");
        }
        let refused = [
            "",
            "\0",
            " ",
            "-",
            "+",
            "-1",
            "-9223372036854775808",
            "18446744073709551616",
            "-18446744073709551616",
            "abc",
            "1abc",
            "1 ",
            "1\n",
            "-  5",
            "+-1",
            "0x10",
            "1.5",
        ];
        for text in refused {
            assert_eq!(parse_u64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_score_is_a_decimal_number_in_range() {
        let accepted = [
            ("0", 0.0),
            ("+1", 1.0),
            ("01", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-.5", -0.5),
            ("5.e1", 50.0),
            ("1E+5", 1e5),
            ("1e-5", 1e-5),
            ("0e99999999999", 0.0),
            ("0e-99999999", 0.0),
            ("4e-324", 5e-324),
            ("2.4703282292062328e-324", 5e-324),
            ("1e308", 1e308),
            ("inf", f64::INFINITY),
            ("+INF", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
        ];
        for (text, value) in accepted {
            assert_eq!(parse_double(text.as_bytes()), Some(value), "{text:?}");
        }
        assert!(parse_double(b"-0").is_some_and(|zero| zero.is_sign_negative()));
        let long = [vec![b'0'; 100_000], b"1".to_vec()].concat();
        assert_eq!(parse_double(&long), Some(1.0));
        let refused = [
            "",
            " 1",
            "1 ",
            "\t1",
            "1\0",
            "1\x002",
            ".",
            "-.",
            "e5",
            ".e1",
            "1e",
            "1e+",
            "1e+-1",
            "--1",
            "+-1",
            "1_0",
            "1,5",
            "1f",
            "0x",
            "0x1",
            "0x1p3",
            "nan",
            "-NaN",
            "nan(1)",
            "infinit",
            "infinityx",
            "1e400",
            "-1e400",
            "1e-400",
            "2e-324",
            "1.8e308",
            "2.4703282292062327e-324",
            "1e99999999999999999999",
            "0b1",
            "1.0.0",
            "\u{a0}1",
        ];
        for text in refused {
            assert_eq!(parse_double(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_double(b"\xff1"), None);
    }

    #[test]
    fn a_score_bound_forgives_what_a_score_does_not() {
        let accepted = [
            ("", 0.0),
            ("\0", 0.0),
            ("1\x002", 1.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("+1", 1.0),
            ("infinity\0x", f64::INFINITY),
        ];
        for (text, value) in accepted {
            assert_eq!(parse_score_bound(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in ["nan", "0x1", " 1", "+", "-", "--", "-infinityx", "1x"] {
            assert_eq!(parse_score_bound(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn an_end_before_the_first_byte_selects_the_first_byte() {
        assert_eq!(range(3, 0, -100), Some(0..1));
        assert_eq!(range(3, -100, -100), Some(0..1));
        assert_eq!(range(3, -5, -9), None);
        assert_eq!(range(3, -3, -2), Some(0..2));
        assert_eq!(range(3, 1, 100), Some(1..3));
        assert_eq!(range(3, 3, 100), None);
        assert_eq!(range(3, 2, 1), None);
        assert_eq!(range(0, 0, -1), None);
        assert_eq!(range(3, i64::MIN, i64::MAX), Some(0..3));
        assert_eq!(range(3, i64::MAX, i64::MIN), None);
    }

    proptest! {
        #[test]
        fn integers_survive_printing_and_reading(value: i64) {
            let mut out = [0; MAX_I64_LEN];
            let text = digits(value, &mut out);
            prop_assert_eq!(text.to_vec(), value.to_string().into_bytes());
            prop_assert_eq!(parse_i64(text), Some(value));
        }

        #[test]
        fn a_text_is_an_integer_exactly_when_it_prints_back(text in "-?[0-9 +]{0,21}") {
            let expected = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_are_read_without_panic(text: Vec<u8>) {
            let _ = (parse_i64(&text), parse_u64(&text), parse_double(&text), parse_score_bound(&text));
        }

        #[test]
        fn a_range_agrees_with_counting(len in 0usize..6, start in -8i64..8, end in -8i64..8) {
            let size = len as i64;
            let wanted: Vec<usize> = if start < 0 && end < 0 && start > end {
                vec![]
            } else {
                let absolute = |index: i64| if index < 0 { (index + size).max(0) } else { index };
                (0..len).filter(|at| (absolute(start)..=absolute(end)).contains(&(*at as i64))).collect()
            };
            prop_assert_eq!(range(len, start, end).unwrap_or(0..0).collect::<Vec<_>>(), wanted);
        }
    }
}
