//! Cells of one column as JSON values.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
};
use arrow_buffer::{ArrowNativeType, IntervalDayTime, IntervalMonthDayNano, NullBuffer, i256};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

use super::runs::physical;
use super::scalars::{
    nanos, quoted, write_base64, write_clock, write_decimal, write_float, write_integer,
    write_interval, write_micros, write_millis, write_moment,
};
use super::text::{write_raw, write_string};
use crate::temporal::write_date;

/// One column, taken apart once, so that a cell costs a branch and a load.
pub(crate) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
    /// What is written ends, in the middle of a list, when it has more bytes.
    limit: usize,
}

type Half = <Float16Type as ArrowPrimitiveType>::Native;

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
    Float16(&'a [Half]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal32(&'a [i32], i8),
    Decimal64(&'a [i64], i8),
    Decimal128(&'a [i128], i8),
    Decimal256(&'a [i256], i8),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Json(&'a StringArray),
    LargeJson(&'a LargeStringArray),
    JsonView(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Date(&'a [i32]),
    /// Milliseconds.
    LongDate(&'a [i64]),
    /// Values in units of so many nanoseconds.
    Time32(&'a [i32], i64),
    Time64(&'a [i64], i64),
    Timestamp(&'a [i64], i64, bool),
    Duration(&'a [i64], i64),
    Months(&'a [i32]),
    DayTime(&'a [IntervalDayTime]),
    MonthDayNano(&'a [IntervalMonthDayNano]),
    /// The values, and which of them each cell is.
    Chosen(Vec<usize>, Box<Cells<'a>>),
    Struct(Vec<(Vec<u8>, Cells<'a>)>),
    List(&'a [i32], Box<Cells<'a>>),
    LargeList(&'a [i64], Box<Cells<'a>>),
    ListView(&'a [i32], &'a [i32], Box<Cells<'a>>),
    LargeListView(&'a [i64], &'a [i64], Box<Cells<'a>>),
    FixedList(i64, Box<Cells<'a>>),
    /// Offsets, keys, values; whether keys are texts, which are names in JSON.
    Map(&'a [i32], Box<(Cells<'a>, Cells<'a>)>, bool),
}

impl<'a> Cells<'a> {
    /// The cells of `array`; `None` when its type has no JSON form here. Lists stop being written behind `limit` bytes.
    pub(crate) fn of(field: &Field, array: &'a dyn Array, limit: usize) -> Option<Self> {
        let json = field
            .metadata()
            .get("ARROW:extension:name")
            .is_some_and(|name| name == "arrow.json");
        let inner =
            |field: &Field, array: &'a dyn Array| Some(Box::new(Self::of(field, array, limit)?));
        /// The values of a primitive array.
        macro_rules! native {
            ($type:ty) => {
                array.as_primitive::<$type>().values()
            };
        }
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(native!(Int8Type)),
            DataType::Int16 => Values::Int16(native!(Int16Type)),
            DataType::Int32 => Values::Int32(native!(Int32Type)),
            DataType::Int64 => Values::Int64(native!(Int64Type)),
            DataType::UInt8 => Values::UInt8(native!(UInt8Type)),
            DataType::UInt16 => Values::UInt16(native!(UInt16Type)),
            DataType::UInt32 => Values::UInt32(native!(UInt32Type)),
            DataType::UInt64 => Values::UInt64(native!(UInt64Type)),
            DataType::Float16 => Values::Float16(native!(Float16Type)),
            DataType::Float32 => Values::Float32(native!(Float32Type)),
            DataType::Float64 => Values::Float64(native!(Float64Type)),
            DataType::Decimal32(_, scale) => Values::Decimal32(native!(Decimal32Type), *scale),
            DataType::Decimal64(_, scale) => Values::Decimal64(native!(Decimal64Type), *scale),
            DataType::Decimal128(_, scale) => Values::Decimal128(native!(Decimal128Type), *scale),
            DataType::Decimal256(_, scale) => Values::Decimal256(native!(Decimal256Type), *scale),
            DataType::Utf8 if json => Values::Json(array.as_string()),
            DataType::LargeUtf8 if json => Values::LargeJson(array.as_string()),
            DataType::Utf8View if json => Values::JsonView(array.as_string_view()),
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::LargeUtf8 => Values::LargeText(array.as_string()),
            DataType::Utf8View => Values::TextView(array.as_string_view()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::LargeBinary => Values::LargeBinary(array.as_binary()),
            DataType::BinaryView => Values::BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Values::FixedBinary(array.as_fixed_size_binary()),
            DataType::Date32 => Values::Date(native!(Date32Type)),
            DataType::Date64 => Values::LongDate(native!(Date64Type)),
            DataType::Time32(unit) => Values::Time32(
                match unit {
                    TimeUnit::Second => native!(Time32SecondType),
                    _ => native!(Time32MillisecondType),
                },
                nanos(unit),
            ),
            DataType::Time64(unit) => Values::Time64(
                match unit {
                    TimeUnit::Microsecond => native!(Time64MicrosecondType),
                    _ => native!(Time64NanosecondType),
                },
                nanos(unit),
            ),
            DataType::Timestamp(unit, zone) => Values::Timestamp(
                match unit {
                    TimeUnit::Second => native!(TimestampSecondType),
                    TimeUnit::Millisecond => native!(TimestampMillisecondType),
                    TimeUnit::Microsecond => native!(TimestampMicrosecondType),
                    TimeUnit::Nanosecond => native!(TimestampNanosecondType),
                },
                nanos(unit),
                zone.is_some(),
            ),
            DataType::Duration(unit) => Values::Duration(
                match unit {
                    TimeUnit::Second => native!(DurationSecondType),
                    TimeUnit::Millisecond => native!(DurationMillisecondType),
                    TimeUnit::Microsecond => native!(DurationMicrosecondType),
                    TimeUnit::Nanosecond => native!(DurationNanosecondType),
                },
                nanos(unit),
            ),
            DataType::Interval(unit) => match unit {
                IntervalUnit::YearMonth => Values::Months(native!(IntervalYearMonthType)),
                IntervalUnit::DayTime => Values::DayTime(native!(IntervalDayTimeType)),
                IntervalUnit::MonthDayNano => {
                    Values::MonthDayNano(native!(IntervalMonthDayNanoType))
                }
            },
            DataType::Dictionary(..) | DataType::RunEndEncoded(..) => {
                let (values, places) = physical(array)?;
                let field = Field::new("", values.data_type().clone(), true)
                    .with_metadata(field.metadata().clone());
                Values::Chosen(places, inner(&field, values)?)
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns()).enumerate();
                let columns = columns.map(|(place, (field, column))| {
                    Some((
                        super::lead(place, field.name()),
                        Self::of(field, column.as_ref(), limit)?,
                    ))
                });
                Values::Struct(columns.collect::<Option<_>>()?)
            }
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Values::List(list.offsets(), inner(item, list.values())?)
            }
            DataType::LargeList(item) => {
                let list = array.as_list::<i64>();
                Values::LargeList(list.offsets(), inner(item, list.values())?)
            }
            DataType::ListView(item) => {
                let list = array.as_list_view::<i32>();
                Values::ListView(list.offsets(), list.sizes(), inner(item, list.values())?)
            }
            DataType::LargeListView(item) => {
                let list = array.as_list_view::<i64>();
                Values::LargeListView(list.offsets(), list.sizes(), inner(item, list.values())?)
            }
            DataType::FixedSizeList(item, size) => {
                let list = array.as_fixed_size_list();
                Values::FixedList(i64::from(*size), inner(item, list.values())?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (key, value) = map.entries_fields();
                let is_text = matches!(
                    key.data_type(),
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
                );
                let entries = (
                    Self::of(key, map.keys(), limit)?,
                    Self::of(value, map.values(), limit)?,
                );
                Values::Map(map.offsets(), Box::new(entries), is_text)
            }
            _ => return None,
        };
        Some(Self {
            nulls: array.nulls(),
            values,
            limit,
        })
    }

    /// Appends the cell of `row`; `None` when its date has no text, or there is more than the limit.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Option<()> {
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
            Values::Float16(values) => {
                let value = f32::from(values[row]);
                write_float(value, f64::from(value), out);
            }
            Values::Float32(values) => write_float(values[row], f64::from(values[row]), out),
            Values::Float64(values) => write_float(values[row], values[row], out),
            Values::Decimal32(values, scale) => write_number(values[row], *scale, out),
            Values::Decimal64(values, scale) => write_number(values[row], *scale, out),
            Values::Decimal128(values, scale) => write_number(values[row], *scale, out),
            Values::Decimal256(values, scale) => {
                write_decimal(values[row].to_string().as_bytes(), *scale, out);
            }
            Values::Text(values) => write_string(values.value(row).as_bytes(), out),
            Values::LargeText(values) => write_string(values.value(row).as_bytes(), out),
            Values::TextView(values) => write_string(values.value(row).as_bytes(), out),
            Values::Json(values) => write_raw(values.value(row).as_bytes(), out),
            Values::LargeJson(values) => write_raw(values.value(row).as_bytes(), out),
            Values::JsonView(values) => write_raw(values.value(row).as_bytes(), out),
            Values::Binary(values) => write_base64(values.value(row), out),
            Values::LargeBinary(values) => write_base64(values.value(row), out),
            Values::BinaryView(values) => write_base64(values.value(row), out),
            Values::FixedBinary(values) => write_base64(values.value(row), out),
            Values::Date(values) => {
                return quoted(out, |out| write_date(i64::from(values[row]), out));
            }
            Values::LongDate(values) => return quoted(out, |out| write_millis(values[row], out)),
            Values::Time32(values, unit) => {
                return quoted(out, |out| write_clock(i64::from(values[row]), *unit, out));
            }
            Values::Time64(values, unit) => {
                return quoted(out, |out| write_clock(values[row], *unit, out));
            }
            Values::Timestamp(values, unit, zoned) => {
                return quoted(out, |out| write_moment(values[row], *unit, *zoned, out));
            }
            Values::Duration(values, unit) => write_micros(values[row], *unit, out),
            Values::Months(values) => return write_span(values[row], 0, 0, out),
            Values::DayTime(values) => {
                let nanos = i64::from(values[row].milliseconds) * 1_000_000;
                return write_span(0, values[row].days, nanos, out);
            }
            Values::MonthDayNano(values) => {
                let value = values[row];
                return write_span(value.months, value.days, value.nanoseconds, out);
            }
            Values::Chosen(places, cells) => return cells.write(places[row], out),
            Values::Struct(columns) => {
                for (lead, cells) in columns {
                    out.extend_from_slice(lead);
                    cells.write(row, out)?;
                }
                out.extend_from_slice(if columns.is_empty() { b"{}" } else { b"}" });
            }
            Values::List(offsets, items) => {
                return self.list(offsets[row], offsets[row + 1], items, out);
            }
            Values::LargeList(offsets, items) => {
                return self.list(offsets[row], offsets[row + 1], items, out);
            }
            Values::ListView(offsets, sizes, items) => {
                return self.list(offsets[row], offsets[row] + sizes[row], items, out);
            }
            Values::LargeListView(offsets, sizes, items) => {
                return self.list(offsets[row], offsets[row] + sizes[row], items, out);
            }
            Values::FixedList(size, items) => {
                let start = row as i64 * size;
                return self.list(start, start + size, items, out);
            }
            Values::Map(offsets, entries, is_text) => {
                return self.map(offsets[row], offsets[row + 1], entries, *is_text, out);
            }
        }
        Some(())
    }

    fn list<N: ArrowNativeType>(
        &self,
        start: N,
        end: N,
        items: &Cells<'_>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.push(b'[');
        for item in start.as_usize()..end.as_usize() {
            if item > start.as_usize() {
                out.push(b',');
            }
            items.write(item, out)?;
            (out.len() <= self.limit).then_some(())?;
        }
        out.push(b']');
        Some(())
    }

    fn map(
        &self,
        start: i32,
        end: i32,
        (keys, values): &(Cells<'_>, Cells<'_>),
        is_text: bool,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let [open, key, value, end_of, close]: [&[u8]; 5] = if is_text {
            [b"{", b"", b":", b"", b"}"]
        } else {
            [b"[", b"{\"key\":", b",\"value\":", b"}", b"]"]
        };
        out.extend_from_slice(open);
        for entry in start.as_usize()..end.as_usize() {
            if entry > start.as_usize() {
                out.push(b',');
            }
            out.extend_from_slice(key);
            keys.write(entry, out)?;
            out.extend_from_slice(value);
            values.write(entry, out)?;
            out.extend_from_slice(end_of);
            (out.len() <= self.limit).then_some(())?;
        }
        out.extend_from_slice(close);
        Some(())
    }
}

fn write_number(value: impl itoa::Integer, scale: i8, out: &mut Vec<u8>) {
    write_decimal(itoa::Buffer::new().format(value).as_bytes(), scale, out);
}

fn write_span(months: i32, days: i32, nanos: i64, out: &mut Vec<u8>) -> Option<()> {
    quoted(out, |out| {
        write_interval(months, days, nanos, out);
        Some(())
    })
}
