//! `numeric`: groups of four digits to a decimal, or to all its digits as text.

use super::input::{Fault, Input};

/// A value as it is sent: `digits` to the base of 10,000, the first of them times 10,000 to the power of `weight`.
struct Numeric<'a> {
    digits: &'a [u8],
    weight: i32,
    negative: bool,
    /// Digits behind the point that are shown.
    scale: usize,
}

/// What `numeric` has beyond numbers.
enum Parsed<'a> {
    Number(Numeric<'a>),
    Special(&'static str),
}

const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

fn parse(cell: &[u8]) -> Result<Parsed<'_>, Fault> {
    let mut input = Input(cell);
    let count = usize::from(input.u16()?);
    let (weight, sign, scale) = (input.i16()?, input.u16()?, input.u16()?);
    let digits = input.bytes(count * 2)?;
    input.end()?;
    let negative = match sign {
        0 => false,
        NEGATIVE => true,
        NOT_A_NUMBER => return Ok(Parsed::Special("NaN")),
        INFINITY => return Ok(Parsed::Special("Infinity")),
        MINUS_INFINITY => return Ok(Parsed::Special("-Infinity")),
        _ => return Err(Fault::Malformed),
    };
    Ok(Parsed::Number(Numeric {
        digits,
        weight: i32::from(weight),
        negative,
        scale: usize::from(scale),
    }))
}

/// 10 to the powers that fit.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut exponent = 1;
    while exponent < 39 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

const TOO_MANY: Fault = Fault::Value("more digits than the column's type has");

/// The value times 10 to the power of `scale`, if nothing is lost and it has at most `precision` digits.
pub(super) fn decimal(cell: &[u8], precision: u8, scale: i8) -> Result<i128, Fault> {
    let number = match parse(cell)? {
        Parsed::Number(number) => number,
        Parsed::Special("NaN") => return Err(Fault::Value("NaN, which no decimal holds")),
        Parsed::Special(_) => return Err(Fault::Value("infinity, which no decimal holds")),
    };
    let mut exponent = 4 * number.weight + i32::from(scale);
    let mut value: i128 = 0;
    for pair in number.digits.chunks_exact(2) {
        let digit = group(pair)?;
        value = if exponent >= 0 {
            append(value, 10_000, digit)?
        } else {
            // The point lies within this group, or before it: what is cut off must be zeros.
            let kept = (4 + exponent).max(0) as usize;
            let cut = POWERS[4 - kept];
            if digit % cut != 0 {
                return Err(TOO_MANY);
            }
            append(value, POWERS[kept], digit / cut)?
        };
        exponent -= 4;
    }
    // Groups of zeros at the end are not sent.
    let missing = exponent + 4;
    if missing > 0 && value != 0 {
        let factor = POWERS.get(missing as usize).ok_or(TOO_MANY)?;
        value = value.checked_mul(*factor).ok_or(TOO_MANY)?;
    }
    if value >= POWERS[usize::from(precision.min(38))] {
        return Err(TOO_MANY);
    }
    Ok(if number.negative { -value } else { value })
}

#[inline(always)]
fn append(value: i128, factor: i128, digit: i128) -> Result<i128, Fault> {
    value
        .checked_mul(factor)
        .and_then(|value| value.checked_add(digit))
        .ok_or(TOO_MANY)
}

#[inline(always)]
fn group(pair: &[u8]) -> Result<i128, Fault> {
    match u16::from_be_bytes([pair[0], pair[1]]) {
        digit @ 0..=9999 => Ok(i128::from(digit)),
        _ => Err(Fault::Malformed),
    }
}

/// Appends all digits, as the server shows them; NaN and infinities by name. Returns whether it is a number.
pub(super) fn write(cell: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
    let number = match parse(cell)? {
        Parsed::Number(number) => number,
        Parsed::Special(name) => {
            out.extend_from_slice(name.as_bytes());
            return Ok(false);
        }
    };
    if number.negative {
        out.push(b'-');
    }
    let digit = |place: i32| -> Result<u16, Fault> {
        let pair = usize::try_from(place)
            .ok()
            .and_then(|place| number.digits.chunks_exact(2).nth(place));
        pair.map_or(Ok(0), |pair| group(pair).map(|digit| digit as u16))
    };
    if number.weight < 0 {
        out.push(b'0');
    }
    for place in 0..=number.weight {
        let text = four(digit(place)?);
        let zeros = match place {
            0 => text
                .iter()
                .take(3)
                .take_while(|byte| **byte == b'0')
                .count(),
            _ => 0,
        };
        out.extend_from_slice(&text[zeros..]);
    }
    if number.scale > 0 {
        out.push(b'.');
        let end = out.len() + number.scale;
        // Negative for a small number: the groups before the first one sent are zeros.
        let mut place = number.weight + 1;
        while out.len() < end {
            out.extend_from_slice(&four(digit(place)?));
            place += 1;
        }
        out.truncate(end);
    }
    Ok(true)
}

fn four(digit: u16) -> [u8; 4] {
    [1000, 100, 10, 1].map(|unit| b'0' + (digit / unit % 10) as u8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As the server sends it.
    pub(in super::super) fn sent(digits: &[u16], weight: i16, sign: u16, scale: u16) -> Vec<u8> {
        let head = [digits.len() as u16, weight as u16, sign, scale];
        head.iter()
            .chain(digits)
            .flat_map(|word| word.to_be_bytes())
            .collect()
    }

    fn written(cell: &[u8]) -> String {
        let mut out = Vec::new();
        write(cell, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digits_come_back() {
        for (cell, text, precision, scale, value) in [
            (sent(&[], 0, 0, 0), "0", 5, 2, 0),
            (sent(&[], 0, 0, 3), "0.000", 5, 3, 0),
            (sent(&[1], 0, 0, 0), "1", 5, 2, 100),
            (sent(&[12, 3400], 0, 0, 2), "12.34", 5, 2, 1234),
            (sent(&[12, 3400], 0, NEGATIVE, 2), "-12.34", 5, 2, -1234),
            (sent(&[1], 1, 0, 0), "10000", 5, 0, 10_000),
            (sent(&[1, 0, 5], 1, 0, 4), "10000.0005", 12, 4, 100_000_005),
            (sent(&[5], -1, 0, 4), "0.0005", 5, 4, 5),
            (sent(&[5000], -2, 0, 9), "0.000050000", 9, 9, 50_000),
            (
                sent(&[1], 3, 0, 0),
                "1000000000000",
                13,
                0,
                1_000_000_000_000,
            ),
        ] {
            assert_eq!(written(&cell), text);
            assert_eq!(decimal(&cell, precision, scale), Ok(value), "{text}");
        }
    }

    #[test]
    fn thirty_eight_digits_fit_and_no_more() {
        let nines = sent(
            &[99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999],
            9,
            0,
            0,
        );
        assert_eq!(decimal(&nines, 38, 0), Ok(POWERS[38] - 1));
        assert_eq!(decimal(&nines, 37, 0), Err(TOO_MANY));
        assert_eq!(decimal(&nines, 38, 1), Err(TOO_MANY));
        let scaled = sent(
            &[
                9, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9000,
            ],
            6,
            0,
            13,
        );
        assert_eq!(decimal(&scaled, 38, 13), Ok(POWERS[38] - 1));
        assert_eq!(decimal(&scaled, 38, 12), Err(TOO_MANY));
    }

    #[test]
    fn what_is_no_number_has_a_name() {
        for (sign, name) in [
            (NOT_A_NUMBER, "NaN"),
            (INFINITY, "Infinity"),
            (MINUS_INFINITY, "-Infinity"),
        ] {
            assert_eq!(written(&sent(&[], 0, sign, 0)), name);
            assert!(matches!(
                decimal(&sent(&[], 0, sign, 0), 38, 9),
                Err(Fault::Value(_))
            ));
        }
    }

    #[test]
    fn no_digits_are_cut() {
        assert_eq!(decimal(&sent(&[1, 2345], 0, 0, 4), 10, 3), Err(TOO_MANY));
        assert_eq!(decimal(&sent(&[1], -30, 0, 120), 38, 9), Err(TOO_MANY));
        assert_eq!(decimal(&sent(&[1], 30, 0, 0), 38, 0), Err(TOO_MANY));
        assert_eq!(
            decimal(&sent(&[10_000], 0, 0, 0), 38, 0),
            Err(Fault::Malformed)
        );
        assert_eq!(decimal(&sent(&[1], 0, 1, 0), 38, 0), Err(Fault::Malformed));
    }
}
