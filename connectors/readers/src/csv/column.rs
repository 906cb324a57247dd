//! One column: from the cells of many rows to an Arrow array.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use dativo_codec::scalar;

use super::dialect::Dialect;
use super::index::{Cell, unescape};
use super::values::{self, Reason};
use crate::types::Kind;

/// How a column is read.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// The user gave the type, and so takes what is lost: zeros in front of numbers, and `1` for true.
    pub given: bool,
}

/// What all columns of a stream have in common.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How the text is made of fields.
    pub dialect: Dialect,
    /// Unquoted texts that mean null; the empty one is not among them.
    pub nulls: Vec<Vec<u8>>,
    /// Whether an empty field without quotes is null; else it is an empty text, and null only where a column is no text.
    pub empty_is_null: bool,
    /// Whether spaces around a value of a column that is no text are passed over.
    pub trim: bool,
}

/// A cell that does not fit its column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Misfit {
    pub row: usize,
    pub column: usize,
    pub reason: Reason,
}

/// Where the cells of a column are: every `width`-th one of an index, from `slot`.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    pub text: &'a [u8],
    pub cells: &'a [Cell],
    pub width: usize,
    /// `None` where the file does not have the column.
    pub slot: Option<usize>,
    /// Whether all of the text is UTF-8.
    pub valid: bool,
}

impl<'a> Cells<'a> {
    fn rows(self) -> usize {
        self.cells.len() / self.width
    }

    #[inline(always)]
    fn iter(self) -> impl Iterator<Item = Cell> + 'a {
        let slot = self.slot.unwrap_or(0);
        // Without rows there are no cells at all.
        let from = self.cells.get(slot..).unwrap_or_default();
        from.iter().step_by(self.width).copied()
    }
}

/// Collects the values of one column.
pub(super) struct Builder {
    kind: Kind,
    given: bool,
    slot: usize,
    nulls: NullBufferBuilder,
    values: Values,
}

enum Values {
    Bool(BooleanBufferBuilder),
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Float64(Vec<f64>),
    Int128(Vec<i128>),
    Text { ends: Vec<i32>, bytes: Vec<u8> },
}

impl Builder {
    pub(super) fn new(column: &Column, slot: usize) -> Self {
        let values = match column.kind {
            Kind::Bool => Values::Bool(BooleanBufferBuilder::new(0)),
            Kind::Int64 | Kind::Instant | Kind::Timestamp | Kind::Time => Values::Int64(Vec::new()),
            Kind::Float64 => Values::Float64(Vec::new()),
            Kind::Decimal(..) => Values::Int128(Vec::new()),
            Kind::Date => Values::Int32(Vec::new()),
            Kind::Text | Kind::Json => Values::Text {
                ends: vec![0],
                bytes: Vec::new(),
            },
        };
        Self {
            kind: column.kind,
            given: column.given,
            slot,
            nulls: NullBufferBuilder::new(0),
            values,
        }
    }

    /// Adds a row for each row of cells; one that does not fit is null, and noted. `before` rows were added earlier.
    pub(super) fn extend(
        &mut self,
        cells: Cells<'_>,
        before: usize,
        rules: &Rules,
        misfits: &mut Vec<Misfit>,
    ) {
        let rows = cells.rows();
        let mut into = Filling {
            cells,
            rules,
            nulls: &mut self.nulls,
            before,
            column: self.slot,
            misfits,
        };
        if cells.slot.is_none() {
            into.nulls.append_n_nulls(rows);
            match &mut self.values {
                Values::Bool(values) => values.append_n(rows, false),
                Values::Int64(values) => values.resize(values.len() + rows, 0),
                Values::Int32(values) => values.resize(values.len() + rows, 0),
                Values::Float64(values) => values.resize(values.len() + rows, 0.0),
                Values::Int128(values) => values.resize(values.len() + rows, 0),
                Values::Text { ends, .. } => {
                    let end = ends.last().copied().unwrap_or(0);
                    ends.resize(ends.len() + rows, end);
                }
            }
            return;
        }
        let given = self.given;
        match &mut self.values {
            Values::Bool(values) if given => {
                into.parse(values::loose_truth, |value| values.append(value))
            }
            Values::Bool(values) => into.parse(values::truth, |value| values.append(value)),
            Values::Float64(values) => {
                values.reserve(rows);
                into.parse(values::float, |value| values.push(value));
            }
            Values::Int32(values) => {
                values.reserve(rows);
                into.parse(scalar::parse_date, |value| values.push(value));
            }
            Values::Int128(values) => {
                values.reserve(rows);
                if let Kind::Decimal(precision, scale) = self.kind {
                    into.parse(
                        |text| values::decimal(text, precision, scale),
                        |value| values.push(value),
                    );
                }
            }
            Values::Int64(values) => {
                values.reserve(rows);
                let push = |value| values.push(value);
                match self.kind {
                    Kind::Int64 if given => into.parse(|text| values::integer(text, true), push),
                    Kind::Int64 => into.parse(|text| values::integer(text, false), push),
                    Kind::Instant => into.parse(
                        |text| scalar::parse_timestamp(text).map(|(micros, _)| micros),
                        push,
                    ),
                    Kind::Time => into.parse(scalar::parse_time, push),
                    _ => into.parse(wall_clock, push),
                }
            }
            Values::Text { ends, bytes } => into.text(ends, bytes, self.kind == Kind::Json),
        }
    }

    /// Hands over the array.
    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        let kind = self.kind;
        match self.values {
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, kind),
            Values::Int32(values) => primitive::<Date32Type>(values, nulls, kind),
            Values::Int128(values) => primitive::<Decimal128Type>(values, nulls, kind),
            Values::Int64(values) => match kind {
                Kind::Time => primitive::<Time64MicrosecondType>(values, nulls, kind),
                Kind::Instant | Kind::Timestamp => {
                    primitive::<TimestampMicrosecondType>(values, nulls, kind)
                }
                _ => primitive::<Int64Type>(values, nulls, kind),
            },
            Values::Text { ends, bytes } => {
                let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
                let bytes = Buffer::from_vec(bytes);
                // SAFETY: `Filling::text` appends valid UTF-8 only: it checks each value, unless the whole text was checked, whose
                // values start and end beside ASCII bytes. To check again would cost as much as all the rest of a column.
                #[allow(unsafe_code)]
                let array = unsafe { StringArray::new_unchecked(ends, bytes, nulls) };
                Arc::new(array)
            }
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<arrow_buffer::NullBuffer>,
    kind: Kind,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(kind.arrow()))
}

/// A timestamp without a zone.
#[inline]
fn wall_clock(text: &[u8]) -> Result<i64, Reason> {
    match scalar::parse_timestamp(text)? {
        (micros, false) => Ok(micros),
        _ => Err("the value has a time zone, the column has none"),
    }
}

/// Where values of one column go.
struct Filling<'a> {
    cells: Cells<'a>,
    rules: &'a Rules,
    nulls: &'a mut NullBufferBuilder,
    before: usize,
    column: usize,
    misfits: &'a mut Vec<Misfit>,
}

impl Filling<'_> {
    /// Values of a type that is no text: an empty field is null, quoted or not.
    #[inline(always)]
    fn parse<T: Default>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<T, Reason>,
        mut push: impl FnMut(T),
    ) {
        let plain = self.rules.nulls.is_empty() && !self.rules.trim;
        for (row, cell) in self.cells.iter().enumerate() {
            if cell.len() == 0 {
                self.nulls.append_null();
                push(T::default());
                continue;
            }
            let mut content = cell.bytes(self.cells.text);
            if !plain {
                if self.rules.trim {
                    content = content.trim_ascii();
                }
                if content.is_empty() || self.is_null(cell, content) {
                    self.nulls.append_null();
                    push(T::default());
                    continue;
                }
            }
            match parse(content) {
                Ok(value) => {
                    self.nulls.append_non_null();
                    push(value);
                }
                Err(reason) => {
                    self.misfit(row, reason);
                    push(T::default());
                }
            }
        }
    }

    #[cold]
    fn misfit(&mut self, row: usize, reason: Reason) {
        self.nulls.append_null();
        self.misfits.push(Misfit {
            row: self.before + row,
            column: self.column,
            reason,
        });
    }

    fn is_null(&self, cell: Cell, content: &[u8]) -> bool {
        !cell.is_quoted() && self.rules.nulls.iter().any(|null| null == content)
    }

    fn text(&mut self, ends: &mut Vec<i32>, bytes: &mut Vec<u8>, json: bool) {
        let total: usize = self.cells.iter().map(Cell::len).sum();
        bytes.reserve(total);
        ends.reserve(self.cells.rows());
        let plain = self.rules.nulls.is_empty();
        let checked = self.cells.valid && !json;
        for (row, cell) in self.cells.iter().enumerate() {
            if cell.len() == 0 {
                if cell.is_quoted() || !(self.rules.empty_is_null || json) {
                    self.nulls.append_non_null();
                } else {
                    self.nulls.append_null();
                }
                ends.push(bytes.len() as i32);
                continue;
            }
            let content = cell.bytes(self.cells.text);
            if !plain && self.is_null(cell, content) {
                self.nulls.append_null();
                ends.push(bytes.len() as i32);
                continue;
            }
            let start = bytes.len();
            if cell.is_escaped() {
                unescape(content, &self.rules.dialect, bytes);
            } else {
                bytes.extend_from_slice(content);
            }
            match if checked {
                None
            } else {
                wrong(&bytes[start..], json)
            } {
                None => self.nulls.append_non_null(),
                Some(reason) => {
                    bytes.truncate(start);
                    self.misfit(row, reason);
                }
            }
            ends.push(bytes.len() as i32);
        }
    }
}

#[cold]
fn wrong(text: &[u8], json: bool) -> Option<Reason> {
    if simdutf8::basic::from_utf8(text).is_err() {
        return Some("the text is not valid UTF-8");
    }
    if json && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_err() {
        return Some("the text is not JSON");
    }
    None
}
