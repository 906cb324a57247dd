//! A column of a batch: cells of the server's binary form appended to Arrow buffers.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_schema::ArrowError;

use super::buffers::{Ends, Fixed, Flags, Runs};
use super::input::{Fault, exactly, text};
use super::kind::Kind;
use super::text::{Elements, jsonb, truth, write_json, write_text};
use super::{calendar, numeric};

/// One column. A cell that does not fit may leave bytes behind, which [`Column::truncate`] takes away.
#[derive(Debug)]
pub(super) struct Column {
    kind: Kind,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    Bool(Flags),
    Int2(Fixed<i64>),
    Int4(Fixed<i64>),
    Int8(Fixed<i64>),
    Oid(Fixed<i64>),
    Float4(Fixed<f64>),
    Float8(Fixed<f64>),
    Decimal(Fixed<i128>, u8, i8),
    Date(Fixed<i32>),
    Time(Fixed<i64>),
    Timestamp(Fixed<i64>),
    Bytea(Runs),
    Text(Runs),
    Jsonb(Runs),
    /// Written as text.
    Written(Runs),
    /// Written as JSON.
    WrittenJson(Runs),
    List(Box<Column>, Ends),
}

const FULL: Fault = Fault::Value("more than the 2 GiB that a column of a batch holds");

impl Column {
    pub(super) fn new(kind: &Kind) -> Self {
        let cells = match kind {
            Kind::Bool => Cells::Bool(Flags::default()),
            Kind::Int2 => Cells::Int2(Fixed::default()),
            Kind::Int4 => Cells::Int4(Fixed::default()),
            Kind::Int8 => Cells::Int8(Fixed::default()),
            Kind::Oid => Cells::Oid(Fixed::default()),
            Kind::Float4 => Cells::Float4(Fixed::default()),
            Kind::Float8 => Cells::Float8(Fixed::default()),
            Kind::Decimal(precision, scale) => Cells::Decimal(Fixed::default(), *precision, *scale),
            Kind::Date => Cells::Date(Fixed::default()),
            Kind::Time => Cells::Time(Fixed::default()),
            Kind::Timestamp(_) => Cells::Timestamp(Fixed::default()),
            Kind::Bytea => Cells::Bytea(Runs::default()),
            Kind::Text | Kind::Json => Cells::Text(Runs::default()),
            Kind::Jsonb => Cells::Jsonb(Runs::default()),
            Kind::Number | Kind::Array(_) => Cells::WrittenJson(Runs::default()),
            Kind::List(element) => Cells::List(Box::new(Column::new(element)), Ends::default()),
            _ => Cells::Written(Runs::default()),
        };
        Self {
            kind: kind.clone(),
            cells,
        }
    }

    /// Appends a row; null for `None`.
    #[inline(always)]
    pub(super) fn append(&mut self, cell: Option<&[u8]>) -> Result<(), Fault> {
        let Some(cell) = cell else {
            self.append_null();
            return Ok(());
        };
        match &mut self.cells {
            Cells::Int4(cells) => cells.push(i32::from_be_bytes(exactly(cell)?).into()),
            Cells::Int8(cells) => cells.push(i64::from_be_bytes(exactly(cell)?)),
            Cells::Text(cells) => return full(cells.push(text(cell)?.as_bytes())),
            Cells::Timestamp(cells) => cells.push(calendar::timestamp(cell)?),
            Cells::Float8(cells) => cells.push(f64::from_be_bytes(exactly(cell)?)),
            Cells::Decimal(cells, precision, scale) => {
                cells.push(numeric::decimal(cell, *precision, *scale)?);
            }
            Cells::Bool(cells) => cells.push(truth(cell)?),
            Cells::Date(cells) => cells.push(calendar::date(cell)?),
            Cells::Int2(cells) => cells.push(i16::from_be_bytes(exactly(cell)?).into()),
            Cells::Oid(cells) => cells.push(u32::from_be_bytes(exactly(cell)?).into()),
            Cells::Float4(cells) => cells.push(f32::from_be_bytes(exactly(cell)?).into()),
            Cells::Time(cells) => cells.push(calendar::time(cell)?),
            Cells::Bytea(cells) => return full(cells.push(cell)),
            Cells::Jsonb(cells) => return full(cells.push(jsonb(cell)?.as_bytes())),
            Cells::Written(cells) => {
                write_text(&self.kind, cell, &mut cells.values)?;
                return full(cells.close());
            }
            Cells::WrittenJson(cells) => {
                write_json(&self.kind, cell, &mut cells.values)?;
                return full(cells.close());
            }
            Cells::List(elements, ends) => return append_list(elements, ends, cell),
        }
        Ok(())
    }

    pub(super) fn append_null(&mut self) {
        match &mut self.cells {
            Cells::Bool(cells) => cells.push_null(),
            Cells::Int2(cells) | Cells::Int4(cells) | Cells::Int8(cells) | Cells::Oid(cells) => {
                cells.push_null()
            }
            Cells::Time(cells) | Cells::Timestamp(cells) => cells.push_null(),
            Cells::Float4(cells) | Cells::Float8(cells) => cells.push_null(),
            Cells::Decimal(cells, ..) => cells.push_null(),
            Cells::Date(cells) => cells.push_null(),
            Cells::Bytea(cells) | Cells::Text(cells) | Cells::Jsonb(cells) => cells.push_null(),
            Cells::Written(cells) | Cells::WrittenJson(cells) => cells.push_null(),
            Cells::List(_, ends) => ends.push_null(),
        }
    }

    /// Keeps `rows` rows, and nothing that was appended behind them.
    pub(super) fn truncate(&mut self, rows: usize) {
        match &mut self.cells {
            Cells::Bool(cells) => cells.truncate(rows),
            Cells::Int2(cells) | Cells::Int4(cells) | Cells::Int8(cells) | Cells::Oid(cells) => {
                cells.truncate(rows)
            }
            Cells::Time(cells) | Cells::Timestamp(cells) => cells.truncate(rows),
            Cells::Float4(cells) | Cells::Float8(cells) => cells.truncate(rows),
            Cells::Decimal(cells, ..) => cells.truncate(rows),
            Cells::Date(cells) => cells.truncate(rows),
            Cells::Bytea(cells) | Cells::Text(cells) | Cells::Jsonb(cells) => cells.truncate(rows),
            Cells::Written(cells) | Cells::WrittenJson(cells) => cells.truncate(rows),
            Cells::List(elements, ends) => {
                ends.truncate(rows);
                elements.truncate(ends.end());
            }
        }
    }

    /// About the size of its Arrow buffers.
    pub(super) fn nbytes(&self) -> usize {
        match &self.cells {
            Cells::Bool(cells) => cells.nbytes(),
            Cells::Int2(cells) | Cells::Int4(cells) | Cells::Int8(cells) | Cells::Oid(cells) => {
                cells.nbytes()
            }
            Cells::Time(cells) | Cells::Timestamp(cells) => cells.nbytes(),
            Cells::Float4(cells) | Cells::Float8(cells) => cells.nbytes(),
            Cells::Decimal(cells, ..) => cells.nbytes(),
            Cells::Date(cells) => cells.nbytes(),
            Cells::Bytea(cells) | Cells::Text(cells) | Cells::Jsonb(cells) => cells.nbytes(),
            Cells::Written(cells) | Cells::WrittenJson(cells) => cells.nbytes(),
            Cells::List(elements, ends) => elements.nbytes() + ends.nbytes(),
        }
    }

    /// Hands over the rows and starts anew.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match &mut self.cells {
            Cells::Bool(cells) => {
                let (values, nulls) = cells.finish();
                Arc::new(BooleanArray::new(values, nulls))
            }
            Cells::Int2(cells) | Cells::Int4(cells) | Cells::Int8(cells) | Cells::Oid(cells) => {
                let (values, nulls) = cells.finish();
                Arc::new(Int64Array::try_new(values.into(), nulls)?)
            }
            Cells::Float4(cells) | Cells::Float8(cells) => {
                let (values, nulls) = cells.finish();
                Arc::new(Float64Array::try_new(values.into(), nulls)?)
            }
            Cells::Decimal(cells, precision, scale) => {
                let (values, nulls) = cells.finish();
                let array = Decimal128Array::try_new(values.into(), nulls)?;
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Cells::Date(cells) => {
                let (values, nulls) = cells.finish();
                Arc::new(Date32Array::try_new(values.into(), nulls)?)
            }
            Cells::Time(cells) => {
                let (values, nulls) = cells.finish();
                Arc::new(Time64MicrosecondArray::try_new(values.into(), nulls)?)
            }
            Cells::Timestamp(cells) => {
                let (values, nulls) = cells.finish();
                let array = TimestampMicrosecondArray::try_new(values.into(), nulls)?;
                match self.kind {
                    Kind::Timestamp(true) => Arc::new(array.with_timezone("UTC")),
                    _ => Arc::new(array),
                }
            }
            Cells::Bytea(cells) => {
                let (offsets, values, nulls) = cells.finish();
                Arc::new(BinaryArray::try_new(offsets, values, nulls)?)
            }
            Cells::Text(cells)
            | Cells::Jsonb(cells)
            | Cells::Written(cells)
            | Cells::WrittenJson(cells) => {
                let (offsets, values, nulls) = cells.finish();
                Arc::new(StringArray::try_new(offsets, values, nulls)?)
            }
            Cells::List(elements, ends) => {
                let (offsets, nulls) = ends.finish();
                let Kind::List(element) = &self.kind else {
                    return Err(ArrowError::SchemaError(
                        "a list without elements".to_owned(),
                    ));
                };
                let field = Arc::new(element.field("item", true));
                Arc::new(ListArray::try_new(
                    field,
                    offsets,
                    elements.finish()?,
                    nulls,
                )?)
            }
        })
    }
}

#[inline(always)]
fn full(fits: bool) -> Result<(), Fault> {
    if fits { Ok(()) } else { Err(FULL) }
}

fn append_list(column: &mut Column, ends: &mut Ends, cell: &[u8]) -> Result<(), Fault> {
    let mut elements = Elements::new(cell)?;
    let len = match elements.lengths.as_slice() {
        [] => 0,
        [len] => *len,
        _ => {
            return Err(Fault::Value(
                "an array of more than one dimension, which no list holds",
            ));
        }
    };
    for _ in 0..len {
        column.append(elements.next()?)?;
    }
    elements.end()?;
    full(ends.push(ends.end() + len))
}
