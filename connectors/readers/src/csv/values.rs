//! Numbers and truth values from the bytes of a field, exactly or not at all.

use dativo_codec::scalar;

/// Why a text is not of a type; one phrase, that never contains the text.
pub(super) type Reason = &'static str;

const NOT_WHOLE: Reason = "the text is not a whole number";
const NOT_A_NUMBER: Reason = "the text is not a number";
const OUT_OF_RANGE: Reason = "the number is out of range";
const LEADING_ZERO: Reason = "the number has zeros in front";

/// A whole number. `zeros` takes zeros in front, which are lost.
#[inline]
pub(super) fn integer(text: &[u8], zeros: bool) -> Result<i64, Reason> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return long_integer(text, digits, zeros);
    }
    if digits[0] == b'0' && digits.len() > 1 && !zeros {
        return Err(LEADING_ZERO);
    }
    let mut value = 0_i64;
    let mut all = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        all |= u8::from(digit > 9);
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    if all != 0 {
        return Err(NOT_WHOLE);
    }
    Ok(if negative { -value } else { value })
}

#[cold]
fn long_integer(text: &[u8], digits: &[u8], zeros: bool) -> Result<i64, Reason> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NOT_WHOLE);
    }
    if digits[0] == b'0' && !zeros {
        return Err(LEADING_ZERO);
    }
    let text = std::str::from_utf8(text).map_err(|_| NOT_WHOLE)?;
    text.parse().map_err(|_| OUT_OF_RANGE)
}

/// Powers of ten that a 64-bit float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The float nearest to a decimal number, `NaN`, or an infinity.
#[inline]
pub(super) fn float(text: &[u8]) -> Result<f64, Reason> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // Both operands are exact, so that the one operation rounds once: correct by IEEE 754.
    if digits.len() <= 16
        && let Some((significand, behind)) = short_decimal(digits)
        && significand <= 1 << 53
    {
        let value = significand as f64 / POWERS[behind];
        return Ok(if negative { -value } else { value });
    }
    let value: f64 = fast_float2::parse(text).map_err(|_| NOT_A_NUMBER)?;
    if value.is_infinite() && text.iter().any(u8::is_ascii_digit) {
        return Err(OUT_OF_RANGE);
    }
    Ok(value)
}

/// Digits with or without a point among them: all of them as a number, and how many stand behind the point.
#[inline(always)]
fn short_decimal(text: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return if *byte == b'.' && at > 0 {
                fraction(value, &text[at + 1..])
            } else {
                None
            };
        }
        value = value * 10 + u64::from(digit);
    }
    (!text.is_empty()).then_some((value, 0))
}

#[inline(always)]
fn fraction(mut value: u64, text: &[u8]) -> Option<(u64, usize)> {
    let mut all = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        all |= u8::from(digit > 9);
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    (all == 0 && !text.is_empty()).then_some((value, text.len()))
}

/// A decimal number times ten to the `scale`, below ten to the `precision`; never rounded.
#[inline]
pub(super) fn decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, Reason> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.len() <= 18
        && let Some((value, behind)) = short_decimal(digits)
        && let Some(missing) = (scale as usize).checked_sub(behind)
        && digits.len() + missing <= usize::from(precision)
        && missing < 19
    {
        let value = i128::from(value) * i128::from(10_u64.pow(missing as u32));
        return Ok(if negative { -value } else { value });
    }
    scalar::parse_decimal(without_zeros(text), precision, scale)
}

/// Without zeros in front that JSON's numbers do not have.
fn without_zeros(text: &[u8]) -> &[u8] {
    let zeros = text.iter().take_while(|byte| **byte == b'0').count();
    let digit = text.get(zeros).is_some_and(u8::is_ascii_digit);
    &text[zeros.saturating_sub(usize::from(!digit))..]
}

/// `true` or `false`, in small letters, capitals, or with a capital in front.
#[inline]
pub(super) fn truth(text: &[u8]) -> Result<bool, Reason> {
    match text {
        b"true" | b"True" | b"TRUE" => Ok(true),
        b"false" | b"False" | b"FALSE" => Ok(false),
        _ => Err("the text is neither true nor false"),
    }
}

/// What else is taken for a truth value where the user says that the column has them.
pub(super) fn loose_truth(text: &[u8]) -> Result<bool, Reason> {
    match text {
        b"1" | b"t" | b"T" | b"y" | b"Y" | b"yes" | b"Yes" | b"YES" => Ok(true),
        b"0" | b"f" | b"F" | b"n" | b"N" | b"no" | b"No" | b"NO" => Ok(false),
        _ => truth(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact() {
        for text in [
            "0",
            "-0",
            "7",
            "-123456789012345678",
            "9223372036854775807",
            "-9223372036854775808",
        ] {
            assert_eq!(
                integer(text.as_bytes(), false),
                Ok(text.parse().unwrap()),
                "{text}"
            );
        }
        assert_eq!(integer(b"9223372036854775808", false), Err(OUT_OF_RANGE));
        assert_eq!(integer(b"007", false), Err(LEADING_ZERO));
        assert_eq!(integer(b"0000000000000000000000007", true), Ok(7));
        for text in [
            "",
            "-",
            "+1",
            "1.0",
            " 1",
            "1 ",
            "1e3",
            "0x1",
            "١",
            "12345678901234567890x",
        ] {
            assert_eq!(integer(text.as_bytes(), true), Err(NOT_WHOLE), "{text}");
        }
    }

    #[test]
    fn floats_are_the_nearest() {
        let mut bits = 0x9E37_79B9_7F4A_7C15_u64;
        for round in 0..200_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let text = match round % 4 {
                0 => format!("{}", f64::from_bits(bits)),
                1 => format!("{}.{:02}", bits >> 44, bits % 100),
                2 => format!("-{}.{}", bits >> 20, bits % 1_000_000_007),
                _ => format!("{}", bits >> (bits % 60)),
            };
            let expected: f64 = text.parse().unwrap();
            assert_eq!(
                float(text.as_bytes()).map(f64::to_bits),
                Ok(expected.to_bits()),
                "{text}"
            );
        }
        for text in [
            "1.",
            ".5",
            "+1.5",
            "1e5",
            "-1E-7",
            "inf",
            "-Infinity",
            "0.1",
            "5e-324",
        ] {
            assert_eq!(float(text.as_bytes()), Ok(text.parse().unwrap()), "{text}");
        }
        assert!(float(b"NaN").unwrap().is_nan());
        assert_eq!(float(b"1e999"), Err(OUT_OF_RANGE));
        for text in ["", "-", ".", "1,5", "1.2.3", " 1", "1_0", "0x1p3", "e5"] {
            assert_eq!(float(text.as_bytes()), Err(NOT_A_NUMBER), "{text}");
        }
    }

    #[test]
    fn decimals_are_never_rounded() {
        assert_eq!(decimal(b"12.34", 10, 2), Ok(1234));
        assert_eq!(decimal(b"-12.3", 10, 2), Ok(-1230));
        assert_eq!(decimal(b"0012", 10, 2), Ok(1200));
        assert_eq!(decimal(b"12.340", 10, 2), Ok(1234));
        assert_eq!(decimal(b"1.2e1", 10, 2), Ok(1200));
        assert!(decimal(b"12.345", 10, 2).is_err());
        assert!(decimal(b"123456789.00", 10, 2).is_err());
        let widest = "9".repeat(38);
        assert_eq!(decimal(widest.as_bytes(), 38, 0), Ok(10_i128.pow(38) - 1));
        for text in ["", ".", "-", "x", "1..2"] {
            assert!(decimal(text.as_bytes(), 38, 9).is_err(), "{text}");
        }
    }
}
