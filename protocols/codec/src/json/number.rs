//! Numbers, exactly: a literal is digits and a power of ten until a column says what it wants.

use super::cursor::Cursor;
use super::fault::{Broken, Problem};

/// A number literal, taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    /// All of it, as sent.
    pub raw: &'a [u8],
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Powers of ten that a 64-bit float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl<'a> Number<'a> {
    /// Reads the literal at the cursor, by JSON's grammar.
    pub(crate) fn read(at: &mut Cursor<'a>) -> Result<Self, Broken> {
        let start = at.pos;
        let negative = at.byte() == b'-';
        at.pos += usize::from(negative);
        let whole = at.digits();
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return Err(Broken::BadNumber);
        }
        let mut fraction: &[u8] = &[];
        if at.byte() == b'.' {
            at.pos += 1;
            fraction = at.digits();
            if fraction.is_empty() {
                return Err(Broken::BadNumber);
            }
        }
        let mut exponent = 0_i64;
        if matches!(at.byte(), b'e' | b'E') {
            at.pos += 1;
            let minus = at.byte() == b'-';
            at.pos += usize::from(matches!(at.byte(), b'-' | b'+'));
            let digits = at.digits();
            if digits.is_empty() {
                return Err(Broken::BadNumber);
            }
            // Far beyond any type's range, and far from overflow when lengths are added.
            exponent = digits.iter().fold(0_i64, |value, digit| {
                (value * 10 + i64::from(digit - b'0')).min(1 << 40)
            });
            if minus {
                exponent = -exponent;
            }
        }
        Ok(Self {
            raw: &at.buf[start..at.pos],
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// Reads `text`, which must be one literal and nothing else.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut at = Cursor::new(text, 0);
        let number = Self::read(&mut at).ok()?;
        (at.pos == text.len()).then_some(number)
    }

    /// Digits without zeros in front or behind, and the power of ten of the last one. No digits means zero.
    fn significant(self) -> (impl Iterator<Item = u8> + 'a, usize, i64) {
        let (whole, fraction) = (self.whole, self.fraction);
        let total = whole.len() + fraction.len();
        let digits = whole.iter().chain(fraction).copied();
        let front = digits.clone().take_while(|&digit| digit == b'0').count();
        let back = if front == total {
            0
        } else {
            digits
                .clone()
                .rev()
                .take_while(|&digit| digit == b'0')
                .count()
        };
        let count = total - front - back;
        let power = self.exponent - fraction.len() as i64 + back as i64;
        (digits.skip(front).take(count), count, power)
    }

    /// The value as an integer.
    pub(crate) fn to_i64(self) -> Result<i64, Problem> {
        let (digits, count, power) = self.significant();
        if count == 0 {
            return Ok(0);
        }
        if power < 0 {
            return Err(Problem::HasFraction);
        }
        if count as i64 + power > 19 {
            return Err(Problem::OutOfRange);
        }
        let magnitude = digits.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'))
            * 10_i128.pow(power as u32);
        i64::try_from(if self.negative { -magnitude } else { magnitude })
            .map_err(|_| Problem::OutOfRange)
    }

    /// The value times ten to the `scale`, below ten to the `precision`.
    pub(crate) fn to_decimal(self, precision: u8, scale: i8) -> Result<i128, Problem> {
        let (digits, count, power) = self.significant();
        if count == 0 {
            return Ok(0);
        }
        let power = power + i64::from(scale);
        if power < 0 {
            return Err(Problem::TooManyDecimals);
        }
        if count as i64 + power > i64::from(precision) {
            return Err(Problem::TooManyDigits);
        }
        let magnitude = digits.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'))
            * 10_i128.pow(power as u32);
        Ok(if self.negative { -magnitude } else { magnitude })
    }

    /// The float whose shortest decimal form has the value of this literal.
    pub(crate) fn to_f64(self) -> Result<f64, Problem> {
        let (digits, count, power) = self.significant();
        // No 64-bit float has a shortest form of more digits.
        if count > 17 {
            return Err(Problem::NotExactInFloat);
        }
        let significand = digits.fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
        exact_float(self.raw, self.negative, significand, count, power)
    }
}

/// The float for `significand` (of `count` digits, the last not zero) times ten to the `power`, if its shortest form says the same.
/// `raw` is the whole literal.
#[inline]
pub(crate) fn exact_float(
    raw: &[u8],
    negative: bool,
    significand: u64,
    count: usize,
    power: i64,
) -> Result<f64, Problem> {
    let sign = |value: f64| if negative { -value } else { value };
    if significand == 0 {
        return Ok(sign(0.0));
    }
    // Both operands are exact, so the one operation rounds once, and 15 digits survive that by IEEE 754.
    if count <= 15 && (-22..=22).contains(&power) {
        let power_of_ten = EXACT_POWERS[power.unsigned_abs() as usize];
        let value = significand as f64;
        return Ok(sign(if power < 0 {
            value / power_of_ten
        } else {
            value * power_of_ten
        }));
    }
    let value: f64 = std::str::from_utf8(raw)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Problem::OutOfRange)?;
    if !value.is_finite() || value == 0.0 {
        return Err(Problem::OutOfRange);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    if text == raw || shortest(text) == (significand, power) {
        Ok(value)
    } else {
        Err(Problem::NotExactInFloat)
    }
}

/// Digits and power of ten of a float's shortest decimal form, without sign and without zeros behind.
fn shortest(text: &[u8]) -> (u64, i64) {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (mut significand, mut power, mut after_point) = (0_u64, 0_i64, 0_i64);
    let mut at = 0;
    while at < text.len() && text[at] != b'e' {
        let byte = text[at];
        at += 1;
        if byte == b'.' {
            after_point = 1;
        } else if significand >= 100_000_000_000_000_000 {
            // Seventeen digits were all: these are zeros that fill a large number up to the point.
            power += 1 - after_point;
        } else {
            significand = significand * 10 + u64::from(byte - b'0');
            power -= after_point;
        }
    }
    if at < text.len() {
        let negative = text[at + 1] == b'-';
        let digits = text[at + 1..].iter().filter(|byte| byte.is_ascii_digit());
        let exponent = digits.fold(0, |all, digit| all * 10 + i64::from(digit - b'0'));
        power += if negative { -exponent } else { exponent };
    }
    while significand != 0 && significand.is_multiple_of(10) {
        significand /= 10;
        power += 1;
    }
    (significand, power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        for text in [
            "", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e5", "0x10", "1_0", " 1", "1 ",
            "NaN", "--1",
        ] {
            assert!(Number::parse(text.as_bytes()).is_none(), "{text}");
        }
        for text in ["0", "-0", "0.0", "10", "1e5", "1E+05", "-1.50e-7", "0e0"] {
            assert!(Number::parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn integers_are_exact_in_every_form() {
        for (text, value) in [
            ("1.0", 1),
            ("1e3", 1000),
            ("-0.0", 0),
            ("12.50e1", 125),
            ("1000e-3", 1),
            ("0e99999999999", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775807.000", i64::MAX),
            ("0.00000000000000000000000000001e29", 1),
        ] {
            assert_eq!(number(text).to_i64(), Ok(value), "{text}");
        }
        for text in [
            "9223372036854775808",
            "-9223372036854775809",
            "1e19",
            "1e999999999999999999999",
            "123456789012345678901234567890",
        ] {
            assert_eq!(number(text).to_i64(), Err(Problem::OutOfRange), "{text}");
        }
        for text in ["1.5", "1e-1", "1e-99999999999999999999"] {
            assert_eq!(number(text).to_i64(), Err(Problem::HasFraction), "{text}");
        }
    }

    #[test]
    fn decimals_come_from_the_digits() {
        assert_eq!(number("1.5").to_decimal(38, 2), Ok(150));
        assert_eq!(number("-1.50").to_decimal(38, 1), Ok(-15));
        assert_eq!(number("1.5e-1").to_decimal(38, 2), Ok(15));
        assert_eq!(number("150e-1").to_decimal(38, 0), Ok(15));
        assert_eq!(
            number("1.505").to_decimal(38, 2),
            Err(Problem::TooManyDecimals)
        );
        let widest = "9".repeat(38);
        assert_eq!(number(&widest).to_decimal(38, 0), Ok(10_i128.pow(38) - 1));
        assert_eq!(
            number(&format!("1{}", "0".repeat(38))).to_decimal(38, 0),
            Err(Problem::TooManyDigits)
        );
        assert_eq!(number("0.1").to_decimal(38, 38), Ok(10_i128.pow(37)));
        assert_eq!(number("1").to_decimal(38, 38), Err(Problem::TooManyDigits));
        assert_eq!(
            number("1e99").to_decimal(38, 0),
            Err(Problem::TooManyDigits)
        );
    }

    #[test]
    fn floats_pass_when_their_shortest_form_has_the_same_value() {
        for text in [
            "0",
            "0.1",
            "1.5",
            "100",
            "1e22",
            "1e23",
            "1e300",
            "5e-324",
            "1.7976931348623157e308",
            "0.30000000000000004",
            "2.2250738585072014e-308",
            "9007199254740992",
            "123456789.12345678",
            "1.50000000000000000000000000000000",
            "9007199254740994",
            "12345678901234567e3",
            "1E-7",
            "0.1e1",
            "10000000000000000000000",
            "1.2345678901234567e20",
        ] {
            assert_eq!(number(text).to_f64(), Ok(text.parse().unwrap()), "{text}");
        }
        assert!(number("-0.0").to_f64().unwrap().is_sign_negative());
        for text in [
            "0.3000000000000000444",
            "9007199254740993",
            "12345678901234567890",
            "0.10000000000000001",
            "3.14159265358979323846264338327",
            "123456789.123456789123",
            "2204138485456065.3",
        ] {
            assert_eq!(
                number(text).to_f64(),
                Err(Problem::NotExactInFloat),
                "{text}"
            );
        }
        for text in ["1e309", "-1e400", "1e-400", "1e-999999999999999999999"] {
            assert_eq!(number(text).to_f64(), Err(Problem::OutOfRange), "{text}");
        }
    }

    #[test]
    fn every_float_prints_and_comes_back() {
        let mut bits = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..200_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits ^ (bits >> 29));
            if value.is_finite() {
                let text = zmij::Buffer::new().format(value).to_owned();
                assert_eq!(
                    number(&text).to_f64().map(f64::to_bits),
                    Ok(value.to_bits()),
                    "{text}"
                );
            }
        }
    }
}
