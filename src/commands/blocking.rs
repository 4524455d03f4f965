//! What commands that block have in common.
//!
//! For: their timeouts, and what they do where nobody may wait. May touch: nothing.
//! Always: a deadline is a unix time in milliseconds; without one a client waits for ever.

use crate::command::{Cx, Outcome, Wait};
use crate::fault::Fault;
use crate::resp::parse_i64;
use crate::value::long_double::LongDouble;

/// A timeout in seconds, as the list and sorted set commands take it: until when the client waits, `None` for
/// ever. Fractions of a millisecond count as a whole one.
///
/// # Errors
/// When it is no number, negative, or ends after the end of time.
pub fn parse_timeout(arg: &[u8], now_ms: u64) -> Result<Option<u64>, Fault> {
    let number = LongDouble::parse(arg).ok_or(Fault::TIMEOUT_NOT_A_FLOAT)?;
    let text = number.to_human();
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    if text == "inf" {
        return Err(if is_negative { Fault::NEGATIVE_TIMEOUT } else { Fault::TIMEOUT_RANGE });
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digit = |at: usize| fraction.as_bytes().get(at).map_or(0, |digit| u128::from(digit - b'0'));
    let is_cut = fraction.bytes().skip(3).any(|digit| digit != b'0');
    // Too many digits for an integer are too many milliseconds, too.
    let whole_ms = whole.parse::<u128>().ok().and_then(|seconds| seconds.checked_mul(1000));
    let ms = whole_ms.map(|ms| ms + digit(0) * 100 + digit(1) * 10 + digit(2));
    if is_negative {
        // Rounded up, a small fraction below zero is zero.
        return if ms == Some(0) { Ok(None) } else { Err(Fault::NEGATIVE_TIMEOUT) };
    }
    let is_tiny = text == "0" && LongDouble::parse(b"0").is_some_and(|zero| zero.is_below(number));
    let ms = ms.map(|ms| ms + u128::from(is_cut || is_tiny));
    deadline(ms.and_then(|ms| u64::try_from(ms).ok()).ok_or(Fault::TIMEOUT_RANGE)?, now_ms)
}

/// A timeout in whole milliseconds, as the stream commands take it; see [`parse_timeout`].
///
/// # Errors
/// When it is no integer, negative, or ends after the end of time.
pub fn parse_timeout_ms(arg: &[u8], now_ms: u64) -> Result<Option<u64>, Fault> {
    let ms = parse_i64(arg).ok_or_else(|| Fault::not_an_integer("timeout"))?;
    deadline(u64::try_from(ms).map_err(|_| Fault::NEGATIVE_TIMEOUT)?, now_ms)
}

fn deadline(ms: u64, now_ms: u64) -> Result<Option<u64>, Fault> {
    if ms == 0 {
        return Ok(None);
    }
    let until_ms = ms.checked_add(now_ms).filter(|&until_ms| until_ms <= i64::MAX as u64);
    until_ms.map(Some).ok_or(Fault::TIMEOUT_RANGE)
}

/// Parks the client; where nobody may wait, `null` writes what is answered instead.
pub fn block(cx: &mut Cx<'_>, wait: Wait, null: impl FnOnce(&mut Cx<'_>)) -> Outcome {
    if cx.may_block {
        return Outcome::Block(Box::new(wait));
    }
    null(cx);
    Outcome::Done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Option<u64>, Fault>) {
        assert_eq!(parse_timeout(text.as_bytes(), 1_000_000), expected, "{text:?}");
    }

    #[test]
    fn timeouts_are_seconds_with_fractions() {
        for (text, ms) in [
            ("1", 1_000),
            ("0.1", 100),
            ("0.07", 70),
            ("1.001", 1_001),
            ("4.35", 4_350),
            ("0.00001", 1),
            ("1e-30", 1),
            ("1.0001", 1_001),
            ("0x10", 16_000),
            ("1e3", 1_000_000),
        ] {
            check(text, Ok(Some(1_000_000 + ms)));
        }
        for text in ["0", "0.0", "-0", "-0.0", "-0.0001", "0e9"] {
            check(text, Ok(None));
        }
    }

    #[test]
    fn timeouts_say_what_is_wrong_with_them() {
        for text in ["x", "", " 1", "1 ", "nan", "1x"] {
            check(text, Err(Fault::TIMEOUT_NOT_A_FLOAT));
        }
        for text in ["-1", "-0.001", "-inf", "-1e40"] {
            check(text, Err(Fault::NEGATIVE_TIMEOUT));
        }
        for text in ["inf", "1e400", "9223372036854775807", "9.3e15", "9223372036854775", "1e4000"] {
            check(text, Err(Fault::TIMEOUT_RANGE));
        }
    }

    #[test]
    fn stream_timeouts_are_whole_milliseconds() {
        assert_eq!(parse_timeout_ms(b"5", 10), Ok(Some(15)));
        assert_eq!(parse_timeout_ms(b"0", 10), Ok(None));
        assert_eq!(parse_timeout_ms(b"-1", 10), Err(Fault::NEGATIVE_TIMEOUT));
        assert_eq!(parse_timeout_ms(b"9223372036854775807", 10), Err(Fault::TIMEOUT_RANGE));
        assert_eq!(parse_timeout_ms(b"1.5", 10), Err(Fault::not_an_integer("timeout")));
    }
}
