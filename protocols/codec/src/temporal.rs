//! Dates and times in RFC 3339 and what is close to it, without loss or refused.

use crate::json::Problem;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days from 1970-01-01 of 0001-01-01 and 9999-12-31.
const DAY_RANGE: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// A point in time, or a wall clock reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp {
    /// Microseconds since 1970-01-01T00:00:00, in UTC where there was a zone.
    pub micros: i64,
    /// The text named a zone.
    pub zoned: bool,
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, `days_from_civil`).
#[inline]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day (Howard Hinnant, `civil_from_days`); `None` outside the years 0001 to 9999.
pub(crate) fn civil_from_days(days: i64) -> Option<(u32, u32, u32)> {
    if !DAY_RANGE.contains(&days) {
        return None;
    }
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some((year as u32, month as u32, day as u32))
}

/// Whether a timestamp is one of the years 0001 to 9999.
pub(crate) fn is_in_range(micros: i64) -> bool {
    DAY_RANGE.contains(&micros.div_euclid(MICROS_PER_DAY))
}

/// The number that two digits are, or one above 99.
#[inline(always)]
fn two(tens: u8, ones: u8) -> i64 {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        1000
    } else {
        i64::from(tens) * 10 + i64::from(ones)
    }
}

/// Days of the `YYYY-MM-DD` that `text` starts with.
#[inline]
fn date_part(text: &[u8], malformed: Problem) -> Result<i64, Problem> {
    let Some(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]) = text.first_chunk::<10>() else {
        return Err(malformed);
    };
    let (century, rest, month, day) = (two(y1, y2), two(y3, y4), two(m1, m2), two(d1, d2));
    if century.max(rest).max(month).max(day) > 99 {
        return Err(malformed);
    }
    let year = century * 100 + rest;
    if year == 0 {
        return Err(Problem::YearOutOfRange);
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if day == 0 || day > last {
        return Err(Problem::NoSuchDay);
    }
    Ok(days_from_civil(year, month, day))
}

/// Microseconds of the `HH:MM:SS[.fraction]` that `text` starts with, and what follows.
#[inline]
fn time_part(text: &[u8], malformed: Problem) -> Result<(i64, &[u8]), Problem> {
    let Some((&[h1, h2, b':', m1, m2, b':', s1, s2], mut rest)) = text.split_first_chunk::<8>()
    else {
        return Err(malformed);
    };
    let (hour, minute, second) = (two(h1, h2), two(m1, m2), two(s1, s2));
    if hour.max(minute).max(second) > 99 {
        return Err(malformed);
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Problem::NoSuchDay);
    }
    let mut micros = ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND;
    if let Some((b'.', fraction)) = rest.split_first() {
        let len = fraction
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if len == 0 {
            return Err(malformed);
        }
        let mut unit = MICROS_PER_SECOND / 10;
        for digit in &fraction[..len] {
            if unit == 0 && *digit != b'0' {
                return Err(Problem::BelowMicroseconds);
            }
            micros += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
        rest = &fraction[len..];
    }
    Ok((micros, rest))
}

/// Minutes east of UTC of `Z`, `±hh:mm`, `±hhmm` or `±hh`, which must be all of `text`; `None` for no text at all.
#[inline]
fn zone_part(text: &[u8]) -> Result<Option<i64>, Problem> {
    let (hours, minutes) = match *text {
        [] => return Ok(None),
        [b'Z' | b'z'] => return Ok(Some(0)),
        [b'+' | b'-', h1, h2] => (two(h1, h2), 0),
        [b'+' | b'-', h1, h2, m1, m2] | [b'+' | b'-', h1, h2, b':', m1, m2] => {
            (two(h1, h2), two(m1, m2))
        }
        _ => return Err(Problem::NotATimestamp),
    };
    if hours.max(minutes) > 99 {
        return Err(Problem::NotATimestamp);
    }
    if hours > 23 || minutes > 59 {
        return Err(Problem::NoSuchDay);
    }
    let minutes = hours * 60 + minutes;
    Ok(Some(if text[0] == b'-' { -minutes } else { minutes }))
}

/// Days, microseconds of the day, and offset in minutes of a date with or without a time.
#[inline]
fn date_time(text: &[u8], malformed: Problem) -> Result<(i64, i64, Option<i64>), Problem> {
    let days = date_part(text, malformed)?;
    if text.len() == 10 {
        return Ok((days, 0, None));
    }
    if !matches!(text[10], b'T' | b't' | b' ') {
        return Err(malformed);
    }
    let (micros, zone) = time_part(&text[11..], malformed)?;
    Ok((
        days,
        micros,
        zone_part(zone).map_err(|problem| {
            if problem == Problem::NotATimestamp {
                malformed
            } else {
                problem
            }
        })?,
    ))
}

/// `YYYY-MM-DD`, with or without a time (`T` or space) and a zone. Leap seconds and 24:00 are refused: no timestamp holds them.
#[inline]
pub(crate) fn parse_timestamp(text: &[u8]) -> Result<Timestamp, Problem> {
    let (days, micros, offset) = date_time(text, Problem::NotATimestamp)?;
    let micros = days * MICROS_PER_DAY + micros - offset.unwrap_or(0) * 60 * MICROS_PER_SECOND;
    if offset.is_some_and(|minutes| minutes != 0) && !is_in_range(micros) {
        return Err(Problem::YearOutOfRange);
    }
    Ok(Timestamp {
        micros,
        zoned: offset.is_some(),
    })
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, or of a date-time that is midnight in UTC or without a zone.
#[inline]
pub(crate) fn parse_date(text: &[u8]) -> Result<i32, Problem> {
    let (days, micros, offset) = date_time(text, Problem::NotADate)?;
    if micros != 0 {
        return Err(Problem::NotMidnight);
    }
    if offset.is_some_and(|minutes| minutes != 0) {
        return Err(Problem::ShiftedDate);
    }
    Ok(days as i32)
}

/// Microseconds since midnight of `HH:MM:SS[.ffffff]`.
pub(crate) fn parse_time(text: &[u8]) -> Result<i64, Problem> {
    let (micros, rest) = time_part(text, Problem::NotATime)?;
    match rest.first() {
        None => Ok(micros),
        Some(b'Z' | b'z' | b'+' | b'-') => Err(Problem::HasZone),
        Some(_) => Err(Problem::NotATime),
    }
}

/// Appends `YYYY-MM-DD`; `None` outside the years 0001 to 9999.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) -> Option<()> {
    let (year, month, day) = civil_from_days(days)?;
    let (century, rest) = (digits(year / 100), digits(year % 100));
    let (month, day) = (digits(month), digits(day));
    out.extend_from_slice(&[
        century[0], century[1], rest[0], rest[1], b'-', month[0], month[1], b'-', day[0], day[1],
    ]);
    Some(())
}

/// Appends `HH:MM:SS`, and `.ffffff` unless it is zero.
pub(crate) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let seconds = (micros / MICROS_PER_SECOND) as u32;
    let fraction = (micros % MICROS_PER_SECOND) as u32;
    let (hour, minute, second) = (
        digits(seconds / 3600),
        digits(seconds / 60 % 60),
        digits(seconds % 60),
    );
    out.extend_from_slice(&[
        hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1],
    ]);
    if fraction != 0 {
        let (first, second, third) = (
            digits(fraction / 10_000),
            digits(fraction / 100 % 100),
            digits(fraction % 100),
        );
        out.extend_from_slice(&[
            b'.', first[0], first[1], second[0], second[1], third[0], third[1],
        ]);
    }
}

/// Appends a date-time; `None` outside the years 0001 to 9999.
pub(crate) fn write_timestamp(micros: i64, zoned: bool, out: &mut Vec<u8>) -> Option<()> {
    write_date(micros.div_euclid(MICROS_PER_DAY), out)?;
    out.push(b'T');
    write_time(micros.rem_euclid(MICROS_PER_DAY), out);
    if zoned {
        out.push(b'Z');
    }
    Some(())
}

#[inline]
fn digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Result<i64, Problem> {
        parse_timestamp(text.as_bytes()).map(|timestamp| timestamp.micros)
    }

    #[test]
    fn every_day_of_ten_thousand_years_comes_back() {
        let mut text = Vec::new();
        for days in DAY_RANGE {
            text.clear();
            write_date(days, &mut text).unwrap();
            assert_eq!(parse_date(&text), Ok(days as i32));
        }
        assert_eq!(parse_date(b"0001-01-01"), Ok(-719_162));
        assert_eq!(parse_date(b"1970-01-01"), Ok(0));
        assert_eq!(parse_date(b"9999-12-31"), Ok(2_932_896));
    }

    #[test]
    fn timestamps_are_read_in_utc() {
        for text in [
            "2024-02-29T12:34:56.789Z",
            "2024-02-29t12:34:56.789z",
            "2024-02-29 12:34:56.789000",
            "2024-02-29T12:34:56.789000000+00:00",
            "2024-02-29T14:34:56.789+02:00",
            "2024-02-29T14:34:56.789+0200",
            "2024-02-29 14:34:56.789+02",
            "2024-02-29T07:04:56.789-05:30",
        ] {
            assert_eq!(micros(text), Ok(1_709_210_096_789_000), "{text}");
        }
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Ok(-1));
        assert_eq!(micros("2024-02-29"), Ok(19_782 * MICROS_PER_DAY));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        use Problem::{BelowMicroseconds, NoSuchDay, NotATimestamp, YearOutOfRange};
        for (text, problem) in [
            ("0000-00-00 00:00:00", YearOutOfRange),
            ("0001-01-01T00:00:00+01:00", YearOutOfRange),
            ("9999-12-31T23:59:59-00:01", YearOutOfRange),
            ("2023-02-29T00:00:00Z", NoSuchDay),
            ("1900-02-29", NoSuchDay),
            ("2024-13-01", NoSuchDay),
            ("2024-00-10", NoSuchDay),
            ("2024-01-01T24:00:00Z", NoSuchDay),
            ("2016-12-31T23:59:60Z", NoSuchDay),
            ("2024-01-01T00:00:00+24:00", NoSuchDay),
            ("2024-01-01T00:00:00.1234567Z", BelowMicroseconds),
            ("2024-01-01T00:00:00.Z", NotATimestamp),
            ("2024-01-01T00:00Z", NotATimestamp),
            ("2024-01-01T", NotATimestamp),
            ("2024-01-01_00:00:00", NotATimestamp),
            ("2024-1-1", NotATimestamp),
            ("+2024-01-01", NotATimestamp),
            ("2024-01-01T00:00:00 UTC", NotATimestamp),
            ("2024-01-01T00:00:00+1", NotATimestamp),
            ("2024-01-01T00:00:00Zx", NotATimestamp),
            ("", NotATimestamp),
            ("２０２４-01-01", NotATimestamp),
        ] {
            assert_eq!(micros(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn dates_take_midnight_only() {
        assert_eq!(parse_date(b"2024-02-29T00:00:00.000Z"), Ok(19_782));
        assert_eq!(parse_date(b"2024-02-29 00:00:00"), Ok(19_782));
        assert_eq!(
            parse_date(b"2024-02-29T00:00:01Z"),
            Err(Problem::NotMidnight)
        );
        assert_eq!(
            parse_date(b"2024-02-29T00:00:00+01:00"),
            Err(Problem::ShiftedDate)
        );
        assert_eq!(parse_date(b"29.02.2024"), Err(Problem::NotADate));
        assert_eq!(parse_date(b"2024-02-29x"), Err(Problem::NotADate));
    }

    #[test]
    fn times_have_no_zone() {
        assert_eq!(parse_time(b"23:59:59.999999"), Ok(86_399_999_999));
        assert_eq!(parse_time(b"00:00:00"), Ok(0));
        assert_eq!(parse_time(b"10:00:00Z"), Err(Problem::HasZone));
        assert_eq!(parse_time(b"10:00:00+01:00"), Err(Problem::HasZone));
        assert_eq!(parse_time(b"10:00"), Err(Problem::NotATime));
        assert_eq!(parse_time(b"24:00:00"), Err(Problem::NoSuchDay));
    }

    #[test]
    fn moments_print_and_come_back() {
        let mut text = Vec::new();
        for micros in [
            0,
            -1,
            1,
            1_709_210_096_789_000,
            -62_135_596_800_000_000,
            253_402_300_799_999_999,
        ] {
            text.clear();
            write_timestamp(micros, true, &mut text).unwrap();
            assert_eq!(
                parse_timestamp(&text),
                Ok(Timestamp {
                    micros,
                    zoned: true
                })
            );
        }
        assert_eq!(
            write_timestamp(253_402_300_800_000_000, true, &mut text),
            None
        );
    }
}
