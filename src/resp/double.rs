//! Doubles as the wire spells them.
//! For: scores and other floating-point replies. May touch: bytes only.
//! Always: byte for byte the spelling of a real server. That is the nearly shortest one: digits are found by
//! the integer-only method of Loitsch ("Printing Floating-Point Numbers Quickly and Accurately with
//! Integers", Grisu2), which in about one case of a thousand answers a digit more than needed or not the
//! closest digits, and always answers digits that read back as the same value. A shortest-digits library
//! would differ in just those cases.

use super::number::write_i64;

/// Longest spelling: a sign, 17 digits, leading or trailing zeros, point, exponent.
const TEXT_MAX: usize = 32;
/// Whole numbers up to this magnitude are spelled as integers.
const WHOLE_MAX: f64 = (1i64 << 62) as f64;
/// Decimal exponent of the first power in the table, and the step to the next.
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// Appends `value`: whole numbers plainly, others with as few digits as read back the same, `inf`, `-inf`,
/// `nan`.
pub fn format_double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value.abs() <= WHOLE_MAX && value == value.trunc() {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        write_i64(value as i64, out);
    } else {
        out.reserve(TEXT_MAX);
        if value < 0.0 {
            out.push(b'-');
        }
        let mut digits = Digits { text: [0; 20], len: 0, exponent: 0 };
        digits.find(value.abs());
        digits.lay_out(value < 0.0, out);
    }
}

/// Appends `value` with up to 17 decimal places, never in exponent form, without trailing zeros.
pub fn format_human_double(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return format_double(value, out);
    }
    let text = format!("{value:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    out.extend_from_slice(if text == "-0" { b"0" } else { text.as_bytes() });
}

/// A number of the form `significand * 2^exponent`.
#[derive(Clone, Copy)]
struct Binary {
    significand: u64,
    exponent: i32,
}

impl Binary {
    fn normalized(self) -> Binary {
        let shift = self.significand.leading_zeros();
        Binary { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The upper 64 bits of the product, rounded half up.
    fn times(self, other: Binary) -> Binary {
        let product = u128::from(self.significand) * u128::from(other.significand);
        let rounded = (product + (1 << 63)) >> 64;
        Binary { significand: rounded as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// Decimal digits and the power of ten of the last one.
struct Digits {
    text: [u8; 20],
    len: usize,
    exponent: i32,
}

impl Digits {
    /// Finds the digits of a positive finite `value`.
    fn find(&mut self, value: f64) {
        let bits = value.to_bits();
        let (fraction, biased) = (bits & ((1 << 52) - 1), (bits >> 52) as i32);
        let exact = if biased == 0 {
            Binary { significand: fraction, exponent: -1074 }
        } else {
            Binary { significand: fraction | 1 << 52, exponent: biased - 1075 }
        };
        // The neighbours lie half a step away; below a power of two the step is half as wide.
        let upper =
            Binary { significand: exact.significand * 2 + 1, exponent: exact.exponent - 1 }.normalized();
        let lower = if exact.significand == 1 << 52 {
            Binary { significand: exact.significand * 4 - 1, exponent: exact.exponent - 2 }
        } else {
            Binary { significand: exact.significand * 2 - 1, exponent: exact.exponent - 1 }
        };
        let lower = Binary {
            significand: lower.significand << (lower.exponent - upper.exponent),
            exponent: upper.exponent,
        };
        let (power, decimal) = cached_power(upper.exponent);
        self.exponent = -decimal;
        let exact = exact.normalized().times(power);
        let (upper, lower) = (upper.times(power), lower.times(power));
        self.generate(exact, upper.significand - 1, lower.significand + 1);
    }

    /// Writes the digits of `upper` (in units of `exact`'s exponent) until what is left out is within the
    /// interval down to `lower`, then steps the last digit towards `exact`.
    fn generate(&mut self, exact: Binary, upper: u64, lower: u64) {
        let (distance, width) = (upper.wrapping_sub(exact.significand), upper - lower);
        let point = -exact.exponent as u32;
        let one = 1u64 << point;
        let mut whole = upper >> point;
        let mut part = upper & (one - 1);
        let mut divisor = 1_000_000_000u64;
        for place in (0..10).rev() {
            let digit = whole / divisor;
            whole %= divisor;
            if digit > 0 || self.len > 0 {
                self.push(digit);
            }
            let rest = (whole << point) + part;
            if rest <= width {
                self.exponent += place;
                return self.approach(distance, width, rest, divisor << point);
            }
            divisor /= 10;
        }
        let (mut distance, mut width) = (distance, width);
        loop {
            part = part.wrapping_mul(10);
            width = width.wrapping_mul(10);
            distance = distance.wrapping_mul(10);
            self.exponent -= 1;
            let digit = part >> point;
            if digit > 0 || self.len > 0 {
                self.push(digit);
            }
            part &= one - 1;
            if part < width {
                return self.approach(distance, width, part, one);
            }
        }
    }

    fn push(&mut self, digit: u64) {
        self.text[self.len] = b'0' + digit as u8;
        self.len += 1;
    }

    /// Lowers the last digit while that leads closer to the exact value and stays within the interval.
    fn approach(&mut self, distance: u64, width: u64, mut rest: u64, unit: u64) {
        while rest < distance
            && width - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            self.text[self.len - 1] -= 1;
            rest += unit;
        }
    }

    /// Appends the digits in plain or exponent form.
    fn lay_out(&self, negative: bool, out: &mut Vec<u8>) {
        let digits = &self.text[..self.len];
        let count = self.len as i32;
        // The exponent of the number written with one digit before the point.
        let scientific = self.exponent + count - 1;
        if self.exponent >= 0 && scientific < count + 7 {
            out.extend_from_slice(digits);
            out.resize(out.len() + self.exponent as usize, b'0');
        } else if self.exponent < 0 && (self.exponent > -7 || scientific.abs() < 4) {
            let before = count + self.exponent;
            if before <= 0 {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + before.unsigned_abs() as usize, b'0');
                out.extend_from_slice(digits);
            } else {
                out.extend_from_slice(&digits[..before as usize]);
                out.push(b'.');
                out.extend_from_slice(&digits[before as usize..]);
            }
        } else {
            let shown = &digits[..self.len.min(18 - usize::from(negative))];
            out.push(shown[0]);
            if shown.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&shown[1..]);
            }
            out.extend_from_slice(if scientific < 0 { b"e-" } else { b"e+" });
            write_i64(i64::from(scientific.abs()), out);
        }
    }
}

/// A power of ten whose product with a normalized number of binary exponent `exponent` has a binary exponent
/// of -60 to -32, and its decimal exponent.
fn cached_power(exponent: i32) -> (Binary, i32) {
    let about = (-f64::from(exponent + POWERS.len() as i32) * std::f64::consts::LOG10_2) as i32;
    let mut index = (about - FIRST_POWER) / POWER_STEP;
    loop {
        let decimal = FIRST_POWER + index * POWER_STEP;
        // floor(decimal * log2(10)) - 63, exact for the table's range.
        let power =
            Binary { significand: POWERS[index as usize], exponent: ((decimal * 217_706) >> 16) - 63 };
        match exponent + power.exponent + 64 {
            ..-60 => index += 1,
            -60..=-32 => return (power, decimal),
            _ => index -= 1,
        }
    }
}

/// The upper 64 bits of 10^k, rounded to nearest, for k from -348 to 340 in steps of 8.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288, 0xbaae_e17f_a23e_bf76, 0x8b16_fb20_3055_ac76, 0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d, 0xe61a_cf03_3d1a_45df, 0xab70_fe17_c79a_c6ca, 0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c, 0x8dd0_1fad_907f_fc3c, 0xd351_5c28_3155_9a83, 0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb, 0xaecc_4991_4078_536d, 0x823c_1279_5db6_ce57, 0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f, 0xd774_85cb_2582_3ac7, 0xa086_cfcd_97bf_97f4, 0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e, 0x84c8_d4df_d2c6_3f3b, 0xc5dd_4427_1ad3_cdba, 0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584, 0xa3ab_6658_0d5f_daf6, 0xf3e2_f893_dec3_f126, 0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b, 0xc9bc_ff60_34c1_3053, 0x964e_858c_91ba_2655, 0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f, 0xf8a9_5fcf_8874_7d94, 0xb944_7093_8fa8_9bcf, 0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6, 0x993f_e2c6_d07b_7fac, 0xe45c_10c4_2a2b_3b06, 0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e, 0xbce5_0864_9211_1aeb, 0x8cbc_cc09_6f50_88cc, 0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000, 0xe8d4_a510_0000_0000, 0xad78_ebc5_ac62_0000, 0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3, 0x8f7e_32ce_7bea_5c70, 0xd5d2_38a4_abe9_8068, 0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27, 0xb0de_6538_8cc8_ada8, 0x83c7_088e_1aab_65db, 0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758, 0xda01_ee64_1a70_8dea, 0xa26d_a399_9aef_774a, 0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877, 0x865b_8692_5b9b_c5c2, 0xc835_53c5_c896_5d3d, 0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3, 0xa59b_c234_db39_8c25, 0xf6c6_9a72_a398_9f5c, 0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2, 0xcc20_ce9b_d35c_78a5, 0x9816_5af3_7b21_53df, 0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396, 0xfb9b_7cd9_a4a7_443c, 0xbb76_4c4c_a7a4_4410, 0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c, 0x9b10_a4e5_e991_3129, 0xe710_9bfb_a19c_0c9d, 0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85, 0xbf21_e440_03ac_dd2d, 0x8e67_9c2f_5e44_ff8f, 0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9, 0xeb96_bf6e_badf_77d9, 0xaf87_023b_9bf0_ee6b,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spelled(value: f64) -> String {
        let mut out = Vec::new();
        format_double(value, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn doubles_are_spelled_as_a_real_server_spells_them() {
        let cases: &[(f64, &str)] = &[
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (0.1, "0.1"),
            (-0.5, "-0.5"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1e18, "1000000000000000000"),
            (1e19, "1e+19"),
            (1e21, "1e+21"),
            (1e22, "1e+22"),
            (1e23, "99999999999999990000000"),
            (1e100, "1e+100"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (123456789012345678.0, "123456789012345680"),
            (999999999999999872.0, "999999999999999872"),
            (4611686018427387904.0, "4611686018427387904"),
            (-4611686018427387904.0, "-4611686018427387904"),
            (9223372036854774784.0, "9223372036854775000"),
            (9223372036854775807.0, "9223372036854776000"),
            (12345678901234567890.0, "12345678901234567000"),
            (1234567890123456789012.0, "1234567890123456800000"),
            (12345678901234567741440.0, "12345678901234568000000"),
            (4503599627370495.5, "4503599627370495.5"),
            (123456.789, "123456.789"),
            (0.00125, "0.00125"),
            (0.00012345, "1.2345e-4"),
            (0.0001, "0.0001"),
            (0.00001, "0.00001"),
            (0.000001, "0.000001"),
            (0.0000011, "1.1e-6"),
            (0.000011, "0.000011"),
            (1e-7, "1e-7"),
            (1.2345e-5, "1.2345e-5"),
            (123e-20, "1.23e-18"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, expected) in cases {
            assert_eq!(spelled(*value), *expected);
        }
    }

    #[test]
    fn human_doubles_have_no_exponent_and_no_trailing_zeros() {
        let cases: &[(f64, &str)] = &[
            (13.361389338970184, "13.36138933897018433"),
            (0.0, "0"),
            (-0.0, "0"),
            (-1e-30, "0"),
            (3.0e3, "3000"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (0.1, "0.10000000000000001"),
            (f64::INFINITY, "inf"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            format_human_double(*value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), *expected);
        }
    }

    proptest! {
        #[test]
        fn every_double_reads_back_as_itself(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(spelled(value).parse::<f64>().expect("a number"), value);
        }

        #[test]
        fn decimal_fractions_read_back_as_themselves(units: i32, places in 0i32..12) {
            let value = f64::from(units) / 10f64.powi(places);
            prop_assert_eq!(spelled(value).parse::<f64>().expect("a number"), value);
        }
    }
}
