//! The 80-bit floating point number of INCRBYFLOAT and HINCRBYFLOAT.
//! For: reading, adding and printing numbers with a 64-bit significand, so that results agree to the last
//! digit with servers that compute in C's `long double` on x86. May touch: bytes only.
//! Always: every operation is exact and rounded once, to nearest with ties to even.
//!
//! A finite number is `significand * 2^exponent`. Ordinary ones (up to 19 digits with a small exponent,
//! values below 2^128) are read and printed with 128-bit integers; the rest takes arbitrary-precision
//! integers, whose size is bounded by [`MAX_TEXT_LEN`] and by the range of exponents.

use num_bigint::BigUint;
use std::ops::Neg;

/// Longest text that is read as a number, in bytes.
pub const MAX_TEXT_LEN: usize = 5119;

/// Digits printed after the decimal point, before trailing zeros go.
const FRACTION_DIGITS: usize = 17;

/// 10 to the power of [`FRACTION_DIGITS`].
const FRACTION_SCALE: u128 = 10u128.pow(FRACTION_DIGITS as u32);

/// Exponent of the smallest subnormal number, and of zero.
const MIN_EXPONENT: i32 = -16445;

/// Exponent of the largest finite number.
const MAX_EXPONENT: i32 = 16320;

/// A number of at least 10^4933 overflows, one below 10^-4951 underflows to zero.
const DECIMAL_RANGE: std::ops::RangeInclusive<i64> = -4950..=4933;

/// Written exponents are cut off here: far outside the range of any result, far inside that of an `i64`.
const EXPONENT_LIMIT: i64 = 1_000_000_000;

/// Digits of a quotient, in bits, that suffice to round it: 64 kept, one to decide, one for the tie.
const QUOTIENT_BITS: u64 = 66;

/// Most digits for which reading needs no arbitrary-precision integers.
const FAST_DIGITS: usize = 19;

/// Largest power of ten, up or down, for which reading needs no arbitrary-precision integers. A 64-bit
/// significand shifted up by 64 bits and divided by 10^18 still has more than [`QUOTIENT_BITS`].
const FAST_POWER: i64 = 18;

/// A number with a 64-bit significand and a 15-bit exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    is_negative: bool,
    class: Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// `significand * 2^exponent`. The top bit of the significand is set, unless `exponent` is
    /// [`MIN_EXPONENT`].
    Finite {
        significand: u64,
        exponent: i32,
    },
    Infinite,
    NotANumber,
}

impl LongDouble {
    /// Reads a whole text the way C's `strtold` does: decimal or hexadecimal (`0x1.8p3`), `inf` and
    /// `infinity` in any case. Refused: the empty text, white space, trailing bytes, NaN, texts over
    /// [`MAX_TEXT_LEN`], finite texts that overflow to infinity and non-zero ones that underflow to zero.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > MAX_TEXT_LEN {
            return None;
        }
        let (is_negative, magnitude) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        if magnitude.eq_ignore_ascii_case(b"inf") || magnitude.eq_ignore_ascii_case(b"infinity") {
            return Some(LongDouble { is_negative, class: Class::Infinite });
        }
        let value = match magnitude {
            [b'0', b'x' | b'X', digits @ ..] => {
                Literal::scan(digits, Radix::Hexadecimal)?.round_hexadecimal()
            }
            digits => Literal::scan(digits, Radix::Decimal)?.round_decimal(),
        }?;
        Some(LongDouble { is_negative, ..value })
    }

    /// The sum, rounded to nearest. Infinities of opposite sign give NaN.
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, other: LongDouble) -> LongDouble {
        match (self.class, other.class) {
            (Class::NotANumber, _) => self,
            (_, Class::NotANumber) => other,
            (Class::Infinite, Class::Infinite) if self.is_negative != other.is_negative => {
                LongDouble { is_negative: false, class: Class::NotANumber }
            }
            (Class::Infinite, _) => self,
            (_, Class::Infinite) => other,
            (
                Class::Finite { significand: a, exponent: a_exponent },
                Class::Finite { significand: b, exponent: b_exponent },
            ) => {
                let (a, b) = ((self.is_negative, a, a_exponent), (other.is_negative, b, b_exponent));
                if a_exponent >= b_exponent { add_finite(a, b) } else { add_finite(b, a) }
            }
        }
    }

    /// The number with the other sign.
    pub fn negate(self) -> LongDouble {
        LongDouble { is_negative: !self.is_negative, ..self }
    }

    /// Whether this number is smaller than the other; neither is when one is NaN.
    pub fn is_below(self, other: LongDouble) -> bool {
        // Rounding never changes the sign of a difference, and never makes it zero: subnormals are exact.
        let difference = self.add(other.negate());
        difference.class != Class::NotANumber && difference.is_negative && !difference.is_zero()
    }

    /// Whether no client may see this number as the result of an increment.
    pub fn is_nan_or_infinite(self) -> bool {
        !matches!(self.class, Class::Finite { .. })
    }

    /// The number with 17 digits after the decimal point, rounded half to even from its exact value, less
    /// trailing zeros; zero has no sign. At most 4,952 bytes.
    pub fn to_human(self) -> String {
        let (significand, exponent) = match self.class {
            Class::Finite { significand, exponent } => (significand, exponent),
            Class::Infinite => return if self.is_negative { "-inf" } else { "inf" }.to_owned(),
            Class::NotANumber => return "nan".to_owned(),
        };
        let (whole, fraction) = match exponent {
            64.. => return signed(self.is_negative, &(BigUint::from(significand) << exponent).to_string()),
            0.. => (u128::from(significand) << exponent, 0),
            _ => split(significand, exponent.unsigned_abs()),
        };
        if fraction == 0 {
            let is_negative = self.is_negative && whole != 0;
            return signed(is_negative, itoa::Buffer::new().format(whole));
        }
        let mut text = signed(self.is_negative, itoa::Buffer::new().format(whole));
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(fraction);
        text.push('.');
        text.extend(std::iter::repeat_n('0', FRACTION_DIGITS - digits.len()));
        text.push_str(digits.trim_end_matches('0'));
        text
    }

    const fn zero(is_negative: bool) -> LongDouble {
        LongDouble { is_negative, class: Class::Finite { significand: 0, exponent: MIN_EXPONENT } }
    }

    fn is_zero(self) -> bool {
        matches!(self.class, Class::Finite { significand: 0, .. })
    }

    /// The number nearest to `digits * 2^exponent`, plus something below `2^exponent` when there is a `rest`.
    /// With a rest, `digits` has at least [`QUOTIENT_BITS`].
    fn round(is_negative: bool, digits: u128, exponent: i64, has_rest: bool) -> LongDouble {
        let bits = i64::from(128 - digits.leading_zeros());
        debug_assert!(!has_rest || bits >= QUOTIENT_BITS as i64);
        if bits == 0 {
            return LongDouble::zero(is_negative);
        }
        let dropped = (bits - 64).max(i64::from(MIN_EXPONENT) - exponent);
        if dropped > 128 {
            return LongDouble::zero(is_negative);
        }
        let mut exponent = exponent + dropped;
        let mut kept = digits;
        if dropped <= 0 {
            kept <<= dropped.neg();
        } else {
            let half = 1u128 << (dropped - 1);
            let lost = digits & (half | (half - 1));
            kept = (digits >> (dropped - 1)) >> 1;
            if lost > half || (lost == half && (has_rest || kept & 1 == 1)) {
                kept += 1;
            }
            if kept == 1 << 64 {
                kept >>= 1;
                exponent += 1;
            }
        }
        let significand = u64::try_from(kept).expect("64 bits are kept");
        match i32::try_from(exponent) {
            Ok(exponent) if exponent <= MAX_EXPONENT => {
                debug_assert!(
                    exponent == MIN_EXPONENT || (exponent > MIN_EXPONENT && significand >> 63 == 1)
                );
                LongDouble { is_negative, class: Class::Finite { significand, exponent } }
            }
            _ => LongDouble { is_negative, class: Class::Infinite },
        }
    }
}

/// Sign, significand and exponent of a finite number.
type Finite = (bool, u64, i32);

/// The sum of two finite numbers, the one with the larger exponent first.
fn add_finite(large: Finite, small: Finite) -> LongDouble {
    // Both are brought to a scale with 63 bits to spare below the larger one's last bit. What the smaller one
    // loses beyond those is only a "something", which is enough to round: with so much lost, no leading bits
    // can cancel.
    let scale = i64::from(large.2) - 63;
    let distance = large.2.abs_diff(small.2);
    let (a, b) = (u128::from(large.1) << 63, u128::from(small.1) << 63);
    let aligned = b.checked_shr(distance).unwrap_or(0);
    let has_rest = distance > 0 && b.trailing_zeros() < distance && b != 0;
    if large.0 == small.0 {
        return LongDouble::round(large.0, a + aligned, scale, has_rest);
    }
    match a.checked_sub(aligned) {
        Some(0) => LongDouble::zero(false),
        Some(difference) => LongDouble::round(large.0, difference - u128::from(has_rest), scale, has_rest),
        None => LongDouble::round(small.0, aligned - a, scale, false),
    }
}

/// `significand / 2^shift` as its whole part and its fraction in units of 10^-17, rounded half to even.
fn split(significand: u64, shift: u32) -> (u128, u64) {
    let significand = u128::from(significand);
    if shift > 127 {
        return (0, 0);
    }
    let whole = significand >> shift;
    // Below 2^64 * 10^17, which is below 2^121.
    let scaled = (significand - (whole << shift)) * FRACTION_SCALE;
    let (units, lost, half) = (scaled >> shift, scaled & ((1 << shift) - 1), 1u128 << (shift - 1));
    let is_up = lost > half || (lost == half && units & 1 == 1);
    let units = units + u128::from(is_up);
    if units == FRACTION_SCALE {
        return (whole + 1, 0);
    }
    (whole, u64::try_from(units).expect("below 10^17"))
}

fn signed(is_negative: bool, digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + FRACTION_DIGITS + 2);
    if is_negative {
        text.push('-');
    }
    text.push_str(digits);
    text
}

#[derive(Clone, Copy, PartialEq)]
enum Radix {
    Decimal,
    Hexadecimal,
}

impl Radix {
    fn is_digit(self, byte: u8) -> bool {
        match self {
            Radix::Decimal => byte.is_ascii_digit(),
            Radix::Hexadecimal => byte.is_ascii_hexdigit(),
        }
    }

    fn is_exponent_mark(self, byte: u8) -> bool {
        match self {
            Radix::Decimal => byte.eq_ignore_ascii_case(&b'e'),
            Radix::Hexadecimal => byte.eq_ignore_ascii_case(&b'p'),
        }
    }
}

/// The parts of an unsigned number's text; at least one of `whole` and `fraction` has a digit.
struct Literal<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    /// As written, cut off at plus or minus [`EXPONENT_LIMIT`].
    exponent: i64,
}

impl<'a> Literal<'a> {
    fn scan(text: &'a [u8], radix: Radix) -> Option<Literal<'a>> {
        let (whole, mut rest) = take_while(text, |byte| radix.is_digit(byte));
        let mut fraction: &[u8] = &[];
        if let [b'.', after @ ..] = rest {
            (fraction, rest) = take_while(after, |byte| radix.is_digit(byte));
        }
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [mark, exponent @ ..] if radix.is_exponent_mark(*mark) => scan_exponent(exponent)?,
            _ => return None,
        };
        Some(Literal { whole, fraction, exponent })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied()
    }

    fn round_decimal(&self) -> Option<LongDouble> {
        let power = self.exponent - self.fraction.len() as i64;
        if self.whole.len() + self.fraction.len() <= FAST_DIGITS && power.abs() <= FAST_POWER {
            let digits = self.digits().fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0'));
            return Some(round_short(digits, power));
        }
        let digits: Vec<u8> = self.digits().skip_while(|digit| *digit == b'0').collect();
        if digits.is_empty() {
            return Some(LongDouble::zero(false));
        }
        if !DECIMAL_RANGE.contains(&(digits.len() as i64 + power)) {
            return None;
        }
        in_range(round_long(&digits, power))
    }

    fn round_hexadecimal(&self) -> Option<LongDouble> {
        let mut exponent = self.exponent - 4 * self.fraction.len() as i64;
        let (mut digits, mut has_rest) = (0u128, false);
        for byte in self.digits() {
            let digit = char::from(byte).to_digit(16).expect("scanned as a hexadecimal digit");
            if digits >> 124 == 0 {
                digits = digits << 4 | u128::from(digit);
            } else {
                has_rest |= digit != 0;
                exponent += 4;
            }
        }
        if digits == 0 {
            return Some(LongDouble::zero(false));
        }
        in_range(LongDouble::round(false, digits, exponent, has_rest))
    }
}

/// The value of a non-zero finite text, unless rounding took it out of range.
fn in_range(value: LongDouble) -> Option<LongDouble> {
    (!value.is_nan_or_infinite() && !value.is_zero()).then_some(value)
}

/// `digits * 10^power`, for powers up to [`FAST_POWER`] either way.
fn round_short(digits: u64, power: i64) -> LongDouble {
    if digits == 0 {
        return LongDouble::zero(false);
    }
    let scale = 10u64.pow(power.unsigned_abs() as u32);
    if power >= 0 {
        return LongDouble::round(false, u128::from(digits) * u128::from(scale), 0, false);
    }
    let shift = digits.leading_zeros() + 64;
    let shifted = u128::from(digits) << shift;
    let (quotient, remainder) = (shifted / u128::from(scale), shifted % u128::from(scale));
    LongDouble::round(false, quotient, -i64::from(shift), remainder != 0)
}

/// `digits * 10^power`, for digits that do not start with zero and a result near the range of exponents.
fn round_long(digits: &[u8], power: i64) -> LongDouble {
    let digits = BigUint::parse_bytes(digits, 10).expect("scanned as decimal digits");
    let scale = BigUint::from(10u8).pow(power.unsigned_abs() as u32);
    if power >= 0 {
        return round_big(&(digits * scale), 0, false);
    }
    let shift = (QUOTIENT_BITS + 1 + scale.bits()).saturating_sub(digits.bits());
    let shifted = digits << shift;
    let quotient = &shifted / &scale;
    let has_rest = &quotient * &scale != shifted;
    round_big(&quotient, -(shift as i64), has_rest)
}

/// `digits * 2^exponent`, plus something below `2^exponent` when there is a `rest`.
fn round_big(digits: &BigUint, exponent: i64, has_rest: bool) -> LongDouble {
    let dropped = digits.bits().saturating_sub(128);
    let top = u128::try_from(digits >> dropped).expect("128 bits are kept");
    let has_rest = has_rest || digits.trailing_zeros().is_some_and(|zeros| zeros < dropped);
    LongDouble::round(false, top, exponent + dropped as i64, has_rest)
}

/// A whole text as a signed decimal exponent.
fn scan_exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT));
    Some(if is_negative { -magnitude } else { magnitude })
}

fn take_while(text: &[u8], is_wanted: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !is_wanted(*byte)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_value() {
        let number = |text: &str| LongDouble::parse(text.as_bytes()).unwrap();
        let ascending = ["-inf", "-1e4932", "-2", "-1e-4950", "0", "3e-4951", "1", "1.5", "1e4932", "inf"];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(number(a).is_below(number(b)), i < j, "{a} and {b}");
            }
        }
        assert!(!number("0").is_below(number("-0")) && !number("-0").is_below(number("0")));
        assert_eq!(number("-1.5").negate(), number("1.5"));
    }
    use proptest::prelude::*;
    use rustc_apfloat::Float;
    use rustc_apfloat::ieee::X87DoubleExtended;

    /// Two texts and the answer of a real server on x86 to incrementing the one by the other.
    const RECORDED: &str = include_str!("long_double_cases.tsv");

    fn sum(a: &str, b: &str) -> String {
        match (LongDouble::parse(a.as_bytes()), LongDouble::parse(b.as_bytes())) {
            (Some(a), Some(b)) if a.add(b).is_nan_or_infinite() => "NAN".to_owned(),
            (Some(a), Some(b)) => a.add(b).to_human(),
            _ => "INVALID".to_owned(),
        }
    }

    #[test]
    fn sums_are_those_of_real_servers_to_the_last_digit() {
        assert!(RECORDED.lines().count() > 300);
        for line in RECORDED.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(sum(fields[0], fields[1]), fields[2], "{} + {}", fields[0], fields[1]);
        }
    }

    #[test]
    fn what_counts_as_a_number() {
        let accepted = [
            ("0", "0"),
            ("-0", "0"),
            ("+1", "1"),
            ("01", "1"),
            ("1.", "1"),
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("1e5", "100000"),
            ("1E+5", "100000"),
            ("1e-5", "0.00001"),
            ("0e99999999999", "0"),
            ("0e-99999999", "0"),
            ("1e-400", "0"),
            ("-1e-400", "0"),
            ("1e-4950", "0"),
            ("3.6e-4951", "0"),
            ("0x1", "1"),
            ("0X1P3", "8"),
            ("0x.8", "0.5"),
            ("0x1.", "1"),
            ("0x1.p1", "2"),
            ("0x1e", "30"),
            ("-0x10", "-16"),
            ("0x0p99999999999999999999", "0"),
            ("0x.0", "0"),
            ("0x1p-16445", "0"),
            ("0x1.fffffffffffffffp0", "2"),
            ("0xabcdefABCDEF", "188900977659375"),
            ("1.8225997659412373013e-4951", "0"),
            ("inf", "inf"),
            ("-INFINITY", "-inf"),
            ("+Inf", "inf"),
            ("0.1", "0.1"),
            ("3.14", "3.14"),
            ("1e19", "10000000000000000000"),
        ];
        for (text, wanted) in accepted {
            let value = LongDouble::parse(text.as_bytes()).map(LongDouble::to_human);
            assert_eq!(value.as_deref(), Some(wanted), "{text:?}");
        }
        let refused = [
            "",
            " 1",
            "1 ",
            "\t1",
            "1\0",
            "\0",
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
            "0x.",
            "0x.p1",
            "0x1p",
            "0x1p+",
            "0xg",
            "0x1e+1",
            "00x1",
            "1p3",
            "1.0.0",
            "0x1.8p0x1",
            "nan",
            "-nan",
            "nan(1)",
            "infinit",
            "infinityx",
            "1e4933",
            "1.2e4932",
            "-1e5000",
            "1e-4951",
            "1e-10000",
            "1e99999999999999999999",
            "0x1p16384",
            "0x1.ffffffffffffffffp16383",
            "0x1p-16446",
            "0x1p-20000",
            "0b1",
            "1.8225997659412373012e-4951",
            "0x1p99999999999999999999",
        ];
        for text in refused {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_longest_text_has_5119_bytes() {
        let text = format!("{}1", "0".repeat(MAX_TEXT_LEN - 1));
        assert_eq!(sum(&text, "0"), "1");
        assert_eq!(sum(&format!("0{text}"), "0"), "INVALID");
        let tiny = format!("0.{}1e5000", "0".repeat(5000));
        assert_eq!(sum(&tiny, "0"), "0.1");
    }

    #[test]
    fn infinities_are_told_from_numbers() {
        assert_eq!(sum("inf", "1"), "NAN");
        assert_eq!(sum("inf", "-inf"), "NAN");
        assert_eq!(sum("1.18e4932", "1.18e4932"), "NAN");
        let largest = LongDouble::parse(b"1.18973149535723176502e+4932").expect("in range");
        let text = largest.to_human();
        assert_eq!(text.len(), 4932 + 1);
        assert_eq!(LongDouble::parse(text.as_bytes()), Some(largest));
    }

    #[test]
    fn what_is_lost_far_below_the_last_bit_still_breaks_a_tie() {
        assert_eq!(sum("0x8000000000000005", "-0x0.8000000000000001"), "9223372036854775812");
        assert_eq!(sum("0x8000000000000005", "-0x0.8"), "9223372036854775812");
        assert_eq!(sum("0x8000000000000006", "0x0.8000000000000001"), "9223372036854775815");
        assert_eq!(sum("0x8000000000000006", "0x0.8"), "9223372036854775814");
        assert_eq!(sum("0x8000000000000006", "-0x0.8000000000000001"), "9223372036854775813");
        assert_eq!(sum("0x8000000000000006", "-0x0.8"), "9223372036854775814");
    }

    /// The bits of the 80-bit format in memory.
    fn bits(value: LongDouble) -> u128 {
        let (exponent, significand) = match value.class {
            Class::Infinite => (0x7fff, 1 << 63),
            Class::NotANumber => (0x7fff, 0b11 << 62),
            Class::Finite { significand, .. } if significand >> 63 == 0 => (0, significand),
            Class::Finite { significand, exponent } => (exponent - MIN_EXPONENT + 1, significand),
        };
        u128::from(value.is_negative) << 79 | (exponent as u128) << 64 | u128::from(significand)
    }

    fn number_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?[0-9]{1,6}(\\.[0-9]{1,6})?",
            "-?[0-9]{1,30}\\.[0-9]{0,30}",
            "-?[0-9]{1,25}(\\.[0-9]{1,25})?e-?[0-9]{1,2}",
            "-?[1-9]\\.[0-9]{1,25}e-?[0-9]{1,3}",
            "-?[1-9]\\.[0-9]{1,25}e(-49[0-5]|49[0-3])[0-9]",
            "-?0x[0-9a-f]{1,20}\\.[0-9a-f]{1,20}p-?[0-9]{1,2}",
            "-?0x1\\.[0-9a-f]{1,18}p(-16[34]|16[23])[0-9]{2}",
        ]
    }

    /// Significands whose sums lie on or next to a tie, as well as any other.
    fn significand() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..3, (u64::MAX - 2)..=u64::MAX, any::<u64>()]
    }

    proptest! {
        #[test]
        fn reading_and_adding_agree_with_another_implementation(a in number_text(), b in number_text()) {
            let oracle = |text: &str| text.parse::<X87DoubleExtended>().expect("a number");
            let mine = |text: &str| LongDouble::parse(text.as_bytes());
            for text in [&a, &b] {
                match mine(text) {
                    Some(value) => prop_assert_eq!(bits(value), oracle(text).to_bits()),
                    None => prop_assert!(!oracle(text).is_finite_non_zero()),
                }
            }
            if let (Some(mine_a), Some(mine_b)) = (mine(&a), mine(&b)) {
                let wanted = (oracle(&a) + oracle(&b)).value;
                prop_assert_eq!(bits(mine_a.add(mine_b)), wanted.to_bits());
            }
        }

        #[test]
        fn adding_close_numbers_agrees_with_another_implementation(
            a in significand(), b in significand(), distance in 0i32..140, is_difference: bool,
        ) {
            let number = |significand: u64, exponent, is_negative| LongDouble {
                is_negative, class: Class::Finite { significand: significand | 1 << 63, exponent },
            };
            let (a, b) = (number(a, 0, false), number(b, -distance, is_difference));
            let oracle = |value| X87DoubleExtended::from_bits(bits(value));
            prop_assert_eq!(bits(a.add(b)), (oracle(a) + oracle(b)).value.to_bits());
            prop_assert_eq!(bits(b.add(a)), (oracle(a) + oracle(b)).value.to_bits());
        }

        #[test]
        fn printing_rounds_the_exact_value_half_to_even(
            significand: u64, exponent in -150i32..300, is_negative: bool,
        ) {
            let significand = significand | 1 << 63;
            let value = LongDouble { is_negative, class: Class::Finite { significand, exponent } };
            let mut scaled = BigUint::from(significand) * FRACTION_SCALE;
            if exponent >= 0 {
                scaled <<= exponent;
            } else {
                let half = BigUint::from(1u8) << (exponent.unsigned_abs() - 1);
                let (kept, lost) = (&scaled >> exponent.unsigned_abs(), &scaled % (&half * 2u8));
                let is_up = lost > half || (lost == half && kept.bit(0));
                scaled = kept + u8::from(is_up);
            }
            let digits = format!("{:0>18}", scaled.to_string());
            let (whole, fraction) = digits.split_at(digits.len() - FRACTION_DIGITS);
            let text = format!("{whole}.{fraction}");
            let text = text.trim_end_matches('0').trim_end_matches('.');
            let sign = if is_negative && text != "0" { "-" } else { "" };
            prop_assert_eq!(value.to_human(), format!("{sign}{text}"));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in "[-+0-9.eExXpPainf]{0,40}") {
            let _ = LongDouble::parse(text.as_bytes()).map(LongDouble::to_human);
        }
    }
}
