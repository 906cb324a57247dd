//! Single values as JSON.

use arrow_schema::TimeUnit;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::temporal::{write_date, write_time, write_timestamp};

pub(super) fn nanos(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1000,
        TimeUnit::Nanosecond => 1,
    }
}

pub(super) fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn write_float(value: impl zmij::Float, wide: f64, out: &mut Vec<u8>) {
    if wide.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if wide.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else {
        out.extend_from_slice(if wide > 0.0 {
            b"\"Infinity\""
        } else {
            b"\"-Infinity\""
        });
    }
}

/// Digits of a decimal number, with a sign where it is negative.
pub(super) fn write_decimal(digits: &[u8], scale: i8, out: &mut Vec<u8>) {
    let digits = match digits.strip_prefix(b"-") {
        Some(digits) => {
            out.push(b'-');
            digits
        }
        None => digits,
    };
    let point = usize::try_from(scale).unwrap_or(0);
    if scale < 0 {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
    } else if point == 0 {
        out.extend_from_slice(digits);
    } else if digits.len() > point {
        let (whole, fraction) = digits.split_at(digits.len() - point);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    // The room is exact, so this cannot fail.
    let written = STANDARD
        .encode_slice(bytes, &mut out[from..])
        .unwrap_or_default();
    out.truncate(from + written);
    out.push(b'"');
}

pub(super) fn quoted(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    out.push(b'"');
    write(out)?;
    out.push(b'"');
    Some(())
}

/// The part of `value` finer than a microsecond, in nanoseconds, and the rest in microseconds.
fn split_nanos(value: i64, unit: i64) -> Option<(i64, i64)> {
    if unit >= 1000 {
        Some((value.checked_mul(unit / 1000)?, 0))
    } else {
        Some((value.div_euclid(1000), value.rem_euclid(1000)))
    }
}

pub(super) fn write_clock(value: i64, unit: i64, out: &mut Vec<u8>) -> Option<()> {
    let (micros, nanos) = split_nanos(value, unit)?;
    if !(0..86_400_000_000).contains(&micros) {
        return None;
    }
    write_time(micros, out);
    write_nanos(micros, nanos, out);
    Some(())
}

pub(super) fn write_moment(value: i64, unit: i64, zoned: bool, out: &mut Vec<u8>) -> Option<()> {
    let (micros, nanos) = split_nanos(value, unit)?;
    write_timestamp(micros, zoned && nanos == 0, out)?;
    write_nanos(micros, nanos, out);
    if zoned && nanos != 0 {
        out.push(b'Z');
    }
    Some(())
}

/// Appends three more digits to a fraction of six (which is not there when it is zero).
fn write_nanos(micros: i64, nanos: i64, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    if micros.rem_euclid(1_000_000) == 0 {
        out.extend_from_slice(b".000000");
    }
    out.extend_from_slice(
        &[nanos / 100, nanos / 10 % 10, nanos % 10].map(|digit| b'0' + digit as u8),
    );
}

/// Milliseconds since 1970 that are whole days.
pub(super) fn write_millis(value: i64, out: &mut Vec<u8>) -> Option<()> {
    const DAY: i64 = 86_400_000;
    (value % DAY == 0).then_some(())?;
    write_date(value / DAY, out)
}

/// A number of microseconds, with a fraction where there is one.
pub(super) fn write_micros(value: i64, unit: i64, out: &mut Vec<u8>) {
    if unit >= 1000 {
        write_integer(i128::from(value) * i128::from(unit / 1000), out);
    } else {
        let mut digits = itoa::Buffer::new();
        let at = out.len();
        write_decimal(digits.format(value).as_bytes(), 3, out);
        while out.len() > at && out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
    }
}

/// A duration of ISO 8601, each part with its own sign.
pub(super) fn write_interval(months: i32, days: i32, nanos: i64, out: &mut Vec<u8>) {
    out.push(b'P');
    for (part, letter) in [(months, b'M'), (days, b'D')] {
        if part != 0 {
            write_integer(part, out);
            out.push(letter);
        }
    }
    if nanos != 0 || (months, days) == (0, 0) {
        out.push(b'T');
        let mut digits = itoa::Buffer::new();
        write_decimal(digits.format(nanos).as_bytes(), 9, out);
        let kept = out.len() - out.iter().rev().take_while(|byte| **byte == b'0').count();
        out.truncate(kept);
        if out.last() == Some(&b'.') {
            out.pop();
        }
        out.push(b'S');
    }
}
