//! Decimal integers as the wire spells them.
//! For: lengths, integer arguments and integer replies. May touch: bytes only.
//! Always: one spelling per number. What `write_i64` writes, `parse_i64` reads; every other spelling is
//! refused.

pub use crate::value::number::parse_i64;

/// Appends the decimal spelling of `value`.
pub fn write_i64(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_spelling_is_a_number() {
        let cases: &[(&[u8], Option<i64>)] = &[
            (b"0", Some(0)),
            (b"7", Some(7)),
            (b"-1", Some(-1)),
            (b"9223372036854775807", Some(i64::MAX)),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"9223372036854775808", None),
            (b"-9223372036854775809", None),
            (b"9999999999999999999", None),
            (b"10000000000000000000", None),
            (b"18446744073709551617", None),
            (b"", None),
            (b"-", None),
            (b"-0", None),
            (b"+1", None),
            (b"01", None),
            (b"-01", None),
            (b"00", None),
            (b" 1", None),
            (b"1 ", None),
            (b"1x", None),
            (b"--1", None),
            (b"1.0", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_i64(text), *expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i64) {
            let mut text = Vec::new();
            write_i64(value, &mut text);
            prop_assert_eq!(parse_i64(&text), Some(value));
        }

        #[test]
        fn a_spelling_counts_exactly_when_it_is_the_written_one(text in "-?[0-9]{0,21}") {
            let canonical = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), canonical);
        }
    }
}
