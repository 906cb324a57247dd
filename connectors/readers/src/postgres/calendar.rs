//! Dates, times and intervals: microseconds and days of PostgreSQL to those of Arrow, and to ISO 8601.

use super::input::{Fault, Input, exactly};

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const EPOCH_DAYS: i32 = 10_957;
const MICROS_PER_DAY: i64 = 86_400_000_000;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * MICROS_PER_DAY;

const INFINITE: Fault = Fault::Value("infinity, which no date or time holds");

/// Days since 1970-01-01.
#[inline(always)]
pub(super) fn date(cell: &[u8]) -> Result<i32, Fault> {
    match i32::from_be_bytes(exactly(cell)?) {
        i32::MIN | i32::MAX => Err(INFINITE),
        days => days
            .checked_add(EPOCH_DAYS)
            .ok_or(Fault::Value("a date beyond those of Arrow")),
    }
}

/// Microseconds since 1970-01-01.
#[inline(always)]
pub(super) fn timestamp(cell: &[u8]) -> Result<i64, Fault> {
    match i64::from_be_bytes(exactly(cell)?) {
        i64::MIN | i64::MAX => Err(INFINITE),
        micros => micros
            .checked_add(EPOCH_MICROS)
            .ok_or(Fault::Value("a timestamp beyond those of Arrow")),
    }
}

/// Microseconds since midnight.
#[inline(always)]
pub(super) fn time(cell: &[u8]) -> Result<i64, Fault> {
    match i64::from_be_bytes(exactly(cell)?) {
        micros @ 0..MICROS_PER_DAY => Ok(micros),
        MICROS_PER_DAY => Err(Fault::Value("24:00:00, which no time of day holds")),
        _ => Err(Fault::Malformed),
    }
}

/// Appends `YYYY-MM-DD`, ` BC` behind it where it is; infinities by name.
pub(super) fn write_date(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    match i32::from_be_bytes(exactly(cell)?) {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            if day(i64::from(days) + i64::from(EPOCH_DAYS), out) {
                out.extend_from_slice(b" BC");
            }
        }
    }
    Ok(())
}

/// Appends `YYYY-MM-DDTHH:MM:SS[.ffffff]`, `Z` behind it where it has a zone, ` BC` where it is; infinities by name.
pub(super) fn write_timestamp(cell: &[u8], zoned: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    match i64::from_be_bytes(exactly(cell)?) {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        micros => {
            let days = micros.div_euclid(MICROS_PER_DAY) + i64::from(EPOCH_DAYS);
            let before_christ = day(days, out);
            out.push(b'T');
            clock(micros.rem_euclid(MICROS_PER_DAY), out);
            if zoned {
                out.push(b'Z');
            }
            if before_christ {
                out.extend_from_slice(b" BC");
            }
        }
    }
    Ok(())
}

/// Appends `HH:MM:SS[.ffffff]`.
pub(super) fn write_time(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    match i64::from_be_bytes(exactly(cell)?) {
        micros @ 0..=MICROS_PER_DAY => clock(micros, out),
        _ => return Err(Fault::Malformed),
    }
    Ok(())
}

/// Appends `HH:MM:SS[.ffffff]+HH[:MM[:SS]]`.
pub(super) fn write_time_with_zone(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut input = Input(cell);
    let time = input.bytes(8)?;
    // Seconds west of Greenwich.
    let zone = input.i32()?;
    input.end()?;
    write_time(time, out)?;
    out.push(if zone > 0 { b'-' } else { b'+' });
    let zone = zone.unsigned_abs();
    number(u64::from(zone / 3600), 2, out);
    for part in [zone / 60 % 60, zone % 60] {
        if part != 0 || (zone % 60 != 0) {
            out.push(b':');
            number(u64::from(part), 2, out);
        }
    }
    Ok(())
}

/// Appends an ISO 8601 duration, each part with its own sign, as with the server's `intervalstyle = iso_8601`.
pub(super) fn write_interval(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut input = Input(cell);
    let (micros, days, months) = (input.i64()?, input.i32()?, input.i32()?);
    input.end()?;
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => out.extend_from_slice(b"infinity"),
        (i64::MIN, i32::MIN, i32::MIN) => out.extend_from_slice(b"-infinity"),
        (0, 0, 0) => out.extend_from_slice(b"PT0S"),
        _ => {
            out.push(b'P');
            let date_parts = [(months / 12, b'Y'), (months % 12, b'M'), (days, b'D')];
            for (count, unit) in date_parts {
                part(i64::from(count), unit, out);
            }
            if micros != 0 {
                out.push(b'T');
                part(micros / 3_600_000_000, b'H', out);
                part(micros / 60_000_000 % 60, b'M', out);
                let rest = micros % 60_000_000;
                if rest != 0 {
                    if rest < 0 {
                        out.push(b'-');
                    }
                    let rest = rest.unsigned_abs();
                    number(rest / 1_000_000, 1, out);
                    fraction(rest % 1_000_000, out);
                    out.push(b'S');
                }
            }
        }
    }
    Ok(())
}

fn part(count: i64, unit: u8, out: &mut Vec<u8>) {
    if count != 0 {
        if count < 0 {
            out.push(b'-');
        }
        number(count.unsigned_abs(), 1, out);
        out.push(unit);
    }
}

/// Appends the day, counted from 1970-01-01 (Howard Hinnant, `civil_from_days`); true before the year 1.
fn day(days: i64, out: &mut Vec<u8>) -> bool {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = (month_index + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let shown = if year > 0 { year } else { 1 - year };
    number(shown.unsigned_abs(), 4, out);
    out.push(b'-');
    number(month.unsigned_abs(), 2, out);
    out.push(b'-');
    number(day.unsigned_abs(), 2, out);
    year <= 0
}

fn clock(micros: i64, out: &mut Vec<u8>) {
    let micros = micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    number(seconds / 3600, 2, out);
    out.push(b':');
    number(seconds / 60 % 60, 2, out);
    out.push(b':');
    number(seconds % 60, 2, out);
    fraction(micros % 1_000_000, out);
}

/// Appends `.` and six digits without the zeros at their end, or nothing for zero.
fn fraction(micros: u64, out: &mut Vec<u8>) {
    if micros != 0 {
        out.push(b'.');
        number(micros, 6, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Appends at least `width` digits.
fn number(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut place) = (value, digits.len());
    while rest > 0 {
        place -= 1;
        digits[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[place.min(digits.len() - width)..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>) -> Result<(), Fault>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_before_christ_and_after_ten_thousand() {
        for (days, text) in [
            (0, "2000-01-01"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (-2_451_545, "4714-11-24 BC"),
            (2_921_939, "9999-12-31"),
            (2_921_940, "10000-01-01"),
            (2_145_031_948, "5874897-12-31"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            let cell = days.to_be_bytes();
            assert_eq!(written(|out| write_date(&cell, out)), text);
            assert_eq!(date(&cell).is_err(), text.ends_with("infinity"));
        }
    }

    #[test]
    fn timestamps_end_where_arrow_ends() {
        let last = i64::MAX - EPOCH_MICROS;
        assert_eq!(timestamp(&last.to_be_bytes()), Ok(i64::MAX));
        assert!(timestamp(&(last + 1).to_be_bytes()).is_err());
        assert_eq!(timestamp(&0i64.to_be_bytes()), Ok(946_684_800_000_000));
        assert_eq!(
            written(|out| write_timestamp(&(-1i64).to_be_bytes(), true, out)),
            "1999-12-31T23:59:59.999999Z"
        );
    }

    #[test]
    fn intervals_are_iso_durations() {
        for (micros, days, months, text) in [
            (0, 0, 0, "PT0S"),
            (14_706_789_000, 3, 14, "P1Y2M3DT4H5M6.789S"),
            (-14_706_789_000, -3, -14, "P-1Y-2M-3DT-4H-5M-6.789S"),
            (-1, 0, 0, "PT-0.000001S"),
            (i64::MIN, 0, 0, "PT-2562047788H-54.775808S"),
            (i64::MAX, i32::MAX, i32::MAX, "infinity"),
        ] {
            let cell: Vec<u8> = [
                &micros.to_be_bytes()[..],
                &i32::to_be_bytes(days),
                &i32::to_be_bytes(months),
            ]
            .concat();
            assert_eq!(written(|out| write_interval(&cell, out)), text);
        }
    }

    #[test]
    fn zones_of_times_have_as_many_parts_as_they_need() {
        for (zone, text) in [
            (0, "01:00:00+00"),
            (-7200, "01:00:00+02"),
            (19_800, "01:00:00-05:30"),
            (-3661, "01:00:00+01:01:01"),
            (-1, "01:00:00+00:00:01"),
        ] {
            let cell: Vec<u8> =
                [&3_600_000_000i64.to_be_bytes()[..], &i32::to_be_bytes(zone)].concat();
            assert_eq!(written(|out| write_time_with_zone(&cell, out)), text);
        }
    }
}
