//! Dates, times, timestamps and durations in microseconds.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::{DataType, TimeUnit};

use super::convert::{Problem, Room};

const FINER: Problem = Problem::Choose("a value is not a whole number of microseconds");
const BEYOND: Problem =
    Problem::Choose("a value lies outside what microseconds in 64 bits can say");

/// Values of `T`, of a unit, as microseconds.
fn micros<T, M>(array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, Problem>
where
    T: ArrowPrimitiveType<Native: Into<i64>>,
    M: ArrowPrimitiveType<Native = i64>,
{
    let values = array.as_primitive::<T>();
    let times = |factor: i64| {
        values.try_unary::<_, M, _>(|value| value.into().checked_mul(factor).ok_or(BEYOND))
    };
    Ok(Arc::new(match unit {
        TimeUnit::Second => times(1_000_000)?,
        TimeUnit::Millisecond => times(1000)?,
        TimeUnit::Microsecond => values.unary::<_, M>(Into::into),
        TimeUnit::Nanosecond => values.try_unary::<_, M, _>(|value| match value.into() {
            nanos if nanos % 1000 == 0 => Ok(nanos / 1000),
            _ => Err(FINER),
        })?,
    }))
}

pub(super) fn moment(
    array: &ArrayRef,
    zone: Option<Arc<str>>,
    room: &mut Room,
) -> Result<ArrayRef, Problem> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(Problem::Broken("no timestamps".to_owned()));
    };
    let made = match unit {
        TimeUnit::Microsecond => Arc::clone(array),
        unit => {
            room.rows::<i64>(array.len())?;
            match unit {
                TimeUnit::Second => {
                    micros::<TimestampSecondType, TimestampMicrosecondType>(array, *unit)?
                }
                TimeUnit::Millisecond => {
                    micros::<TimestampMillisecondType, TimestampMicrosecondType>(array, *unit)?
                }
                _ => micros::<TimestampNanosecondType, TimestampMicrosecondType>(array, *unit)?,
            }
        }
    };
    let made = made.as_primitive::<TimestampMicrosecondType>().clone();
    Ok(Arc::new(made.with_timezone_opt(zone)))
}

pub(super) fn duration(array: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Problem> {
    let DataType::Duration(unit) = array.data_type() else {
        return Err(Problem::Broken("no durations".to_owned()));
    };
    if *unit == TimeUnit::Microsecond {
        let values = array.as_primitive::<DurationMicrosecondType>();
        return Ok(Arc::new(values.reinterpret_cast::<Int64Type>()));
    }
    room.rows::<i64>(array.len())?;
    match unit {
        TimeUnit::Second => micros::<DurationSecondType, Int64Type>(array, *unit),
        TimeUnit::Millisecond => micros::<DurationMillisecondType, Int64Type>(array, *unit),
        _ => micros::<DurationNanosecondType, Int64Type>(array, *unit),
    }
}

pub(super) fn clock(array: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Problem> {
    room.rows::<i64>(array.len())?;
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            micros::<Time32SecondType, Time64MicrosecondType>(array, TimeUnit::Second)
        }
        DataType::Time32(unit) => {
            micros::<Time32MillisecondType, Time64MicrosecondType>(array, *unit)
        }
        _ => micros::<Time64NanosecondType, Time64MicrosecondType>(array, TimeUnit::Nanosecond),
    }
}

pub(super) fn date(array: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Problem> {
    const DAY: i64 = 86_400_000;
    room.rows::<i32>(array.len())?;
    let days = array
        .as_primitive::<Date64Type>()
        .try_unary::<_, Date32Type, _>(|millis| {
            let whole = millis % DAY == 0;
            let days = i32::try_from(millis / DAY).ok().filter(|_| whole);
            days.ok_or(Problem::Choose("a date is not a whole number of days"))
        })?;
    Ok(Arc::new(days))
}
