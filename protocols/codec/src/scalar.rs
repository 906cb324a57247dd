//! Single values from text, for readers of formats that have no types: the same rules as for values in JSON strings.
//!
//! Errors are one phrase, that never contains the value.

use crate::json::{Number, Problem};
use crate::temporal;

/// Days since 1970-01-01 of `YYYY-MM-DD`, or of a date-time that is midnight in UTC or without a zone.
///
/// # Errors
/// When it is no such date.
#[inline]
pub fn parse_date(text: &[u8]) -> Result<i32, &'static str> {
    temporal::parse_date(text).map_err(Problem::text)
}

/// Microseconds since 1970-01-01, in UTC where the text names a zone, and whether it does.
///
/// # Errors
/// When it is no date-time that a timestamp of microseconds holds.
#[inline]
pub fn parse_timestamp(text: &[u8]) -> Result<(i64, bool), &'static str> {
    match temporal::parse_timestamp(text) {
        Ok(timestamp) => Ok((timestamp.micros, timestamp.zoned)),
        Err(problem) => Err(problem.text()),
    }
}

/// Microseconds since midnight of `HH:MM:SS[.ffffff]`.
///
/// # Errors
/// When it is no such time.
#[inline]
pub fn parse_time(text: &[u8]) -> Result<i64, &'static str> {
    temporal::parse_time(text).map_err(Problem::text)
}

/// A number of JSON's grammar times ten to the `scale`, below ten to the `precision`.
///
/// # Errors
/// When it is no number, or would have to be rounded.
pub fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, &'static str> {
    let number = Number::parse(text).ok_or(Problem::NotANumber.text())?;
    number.to_decimal(precision, scale).map_err(Problem::text)
}

/// A number of JSON's grammar that is whole, in whatever form.
///
/// # Errors
/// When it is none, or beyond 64 bits.
pub fn parse_integer(text: &[u8]) -> Result<i64, &'static str> {
    let number = Number::parse(text).ok_or(Problem::NotANumber.text())?;
    number.to_i64().map_err(Problem::text)
}

/// Whether the text is a number that a 64-bit float gives back unchanged.
pub fn is_exact_float(text: &[u8]) -> bool {
    Number::parse(text).is_some_and(|number| number.to_f64().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_the_rules_of_columns() {
        assert_eq!(parse_date(b"2024-02-29"), Ok(19_782));
        assert_eq!(parse_timestamp(b"1970-01-01T01:00:00+01:00"), Ok((0, true)));
        assert_eq!(
            parse_timestamp(b"1970-01-01 00:00:01"),
            Ok((1_000_000, false))
        );
        assert_eq!(parse_time(b"00:00:01"), Ok(1_000_000));
        assert_eq!(parse_decimal(b"1.5", 10, 2), Ok(150));
        assert_eq!(parse_integer(b"1e3"), Ok(1000));
        assert_eq!(parse_integer(b"1.5"), Err("the number has a fraction"));
        assert!(is_exact_float(b"0.1") && !is_exact_float(b"0.10000000000000001"));
        assert_eq!(parse_integer(b"x"), Err("the text is not a number"));
    }
}
