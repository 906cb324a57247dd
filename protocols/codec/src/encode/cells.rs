//! Cells of one column as JSON values.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{
    Array, BinaryArray, BooleanArray, GenericListArray, LargeBinaryArray, LargeStringArray,
    OffsetSizeTrait, StringArray,
};
use arrow_buffer::{ArrowNativeType, NullBuffer};
use arrow_schema::{DataType, Field, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::text::{write_raw, write_string};
use crate::temporal::{write_date, write_time, write_timestamp};

/// One column, taken apart once, so that a cell costs a branch and a load.
pub(super) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], i8),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    Json(&'a StringArray),
    LargeJson(&'a LargeStringArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    Date(&'a [i32]),
    /// Values in units of so many nanoseconds.
    Time32(&'a [i32], i64),
    Time64(&'a [i64], i64),
    Timestamp(&'a [i64], i64, bool),
    Struct(Vec<(Vec<u8>, Cells<'a>)>),
    List(&'a [i32], Box<Cells<'a>>),
    LargeList(&'a [i64], Box<Cells<'a>>),
}

impl<'a> Cells<'a> {
    /// The cells of `array`; `None` when its type has no JSON form here.
    pub(super) fn of(field: &Field, array: &'a dyn Array) -> Option<Self> {
        let json = field
            .metadata()
            .get("ARROW:extension:name")
            .is_some_and(|name| name == "arrow.json");
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Values::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => Values::UInt8(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => Values::UInt16(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => Values::UInt32(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => Values::UInt64(array.as_primitive::<UInt64Type>().values()),
            DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(_, scale) => {
                Values::Decimal(array.as_primitive::<Decimal128Type>().values(), *scale)
            }
            DataType::Utf8 if json => Values::Json(array.as_string()),
            DataType::LargeUtf8 if json => Values::LargeJson(array.as_string()),
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::LargeUtf8 => Values::LargeText(array.as_string()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::LargeBinary => Values::LargeBinary(array.as_binary()),
            DataType::Date32 => Values::Date(array.as_primitive::<Date32Type>().values()),
            DataType::Time32(TimeUnit::Second) => Values::Time32(
                array.as_primitive::<Time32SecondType>().values(),
                nanos(&TimeUnit::Second),
            ),
            DataType::Time32(unit) => Values::Time32(
                array.as_primitive::<Time32MillisecondType>().values(),
                nanos(unit),
            ),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time64(
                array.as_primitive::<Time64MicrosecondType>().values(),
                nanos(&TimeUnit::Microsecond),
            ),
            DataType::Time64(unit) => Values::Time64(
                array.as_primitive::<Time64NanosecondType>().values(),
                nanos(unit),
            ),
            DataType::Timestamp(unit, zone) => {
                let values: &[i64] = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                    TimeUnit::Millisecond => {
                        array.as_primitive::<TimestampMillisecondType>().values()
                    }
                    TimeUnit::Microsecond => {
                        array.as_primitive::<TimestampMicrosecondType>().values()
                    }
                    TimeUnit::Nanosecond => {
                        array.as_primitive::<TimestampNanosecondType>().values()
                    }
                };
                Values::Timestamp(values, nanos(unit), zone.is_some())
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns()).enumerate();
                let inner = columns.map(|(place, (field, column))| {
                    Some((
                        super::lead(place, field.name()),
                        Self::of(field, column.as_ref())?,
                    ))
                });
                Values::Struct(inner.collect::<Option<_>>()?)
            }
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Values::List(list.offsets(), Self::items(item, list)?)
            }
            DataType::LargeList(item) => {
                let list = array.as_list::<i64>();
                Values::LargeList(list.offsets(), Self::items(item, list)?)
            }
            _ => return None,
        };
        Some(Self {
            nulls: array.nulls(),
            values,
        })
    }

    fn items<O: OffsetSizeTrait>(item: &Field, list: &'a GenericListArray<O>) -> Option<Box<Self>> {
        Some(Box::new(Self::of(item, list.values().as_ref())?))
    }

    /// Appends the cell of `row`; `None` when its date has no text.
    #[inline]
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> Option<()> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return Some(());
        }
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Boolean(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            }
            Values::Int8(values) => write_integer(values[row], out),
            Values::Int16(values) => write_integer(values[row], out),
            Values::Int32(values) => write_integer(values[row], out),
            Values::Int64(values) => write_integer(values[row], out),
            Values::UInt8(values) => write_integer(values[row], out),
            Values::UInt16(values) => write_integer(values[row], out),
            Values::UInt32(values) => write_integer(values[row], out),
            Values::UInt64(values) => write_integer(values[row], out),
            Values::Float32(values) => write_float(values[row], f64::from(values[row]), out),
            Values::Float64(values) => write_float(values[row], values[row], out),
            Values::Decimal(values, scale) => write_decimal(values[row], *scale, out),
            Values::Text(values) => write_string(values.value(row).as_bytes(), out),
            Values::LargeText(values) => write_string(values.value(row).as_bytes(), out),
            Values::Json(values) => write_raw(values.value(row).as_bytes(), out),
            Values::LargeJson(values) => write_raw(values.value(row).as_bytes(), out),
            Values::Binary(values) => write_base64(values.value(row), out),
            Values::LargeBinary(values) => write_base64(values.value(row), out),
            Values::Date(values) => {
                return quoted(out, |out| write_date(i64::from(values[row]), out));
            }
            Values::Time32(values, unit) => {
                return quoted(out, |out| write_clock(i64::from(values[row]), *unit, out));
            }
            Values::Time64(values, unit) => {
                return quoted(out, |out| write_clock(values[row], *unit, out));
            }
            Values::Timestamp(values, unit, zoned) => {
                return quoted(out, |out| write_moment(values[row], *unit, *zoned, out));
            }
            Values::Struct(columns) => {
                for (lead, cells) in columns {
                    out.extend_from_slice(lead);
                    cells.write(row, out)?;
                }
                out.extend_from_slice(if columns.is_empty() { b"{}" } else { b"}" });
            }
            Values::List(offsets, items) => return write_list(offsets, items, row, out),
            Values::LargeList(offsets, items) => return write_list(offsets, items, row, out),
        }
        Some(())
    }
}

fn nanos(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1000,
        TimeUnit::Nanosecond => 1,
    }
}

fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_float(value: impl zmij::Float, wide: f64, out: &mut Vec<u8>) {
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

fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let point = usize::try_from(scale).unwrap_or(0);
    if scale < 0 {
        out.extend_from_slice(digits);
        if value != 0 {
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

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
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

fn write_list<O: ArrowNativeType>(
    offsets: &[O],
    items: &Cells<'_>,
    row: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    out.push(b'[');
    let (start, end) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
    for item in start..end {
        if item > start {
            out.push(b',');
        }
        items.write(item, out)?;
    }
    out.push(b']');
    Some(())
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
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

fn write_clock(value: i64, unit: i64, out: &mut Vec<u8>) -> Option<()> {
    let (micros, nanos) = split_nanos(value, unit)?;
    if !(0..86_400_000_000).contains(&micros) {
        return None;
    }
    write_time(micros, out);
    write_nanos(micros, nanos, out);
    Some(())
}

fn write_moment(value: i64, unit: i64, zoned: bool, out: &mut Vec<u8>) -> Option<()> {
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
