//! Columns that grow cell by cell: one file a family of Arrow types.

/// What a column whose cells are all in its `rows` does in every type.
macro_rules! over_rows {
    () => {
        fn push_null(&mut self) {
            self.rows.push_null();
        }

        fn truncate(&mut self, rows: usize) {
            self.rows.truncate(rows);
        }

        fn nbytes(&self) -> usize {
            self.rows.nbytes()
        }
    };
}

mod binary;
mod boolean;
mod buffers;
mod calendar;
mod decimal;
mod float;
mod integer;
mod json;
mod list;
mod structs;
mod text;
mod validity;

use arrow_array::ArrayRef;

use self::binary::BinaryColumn;
use self::boolean::BooleanColumn;
pub(crate) use self::buffers::{Bytes, Fixed};
use self::calendar::{DateColumn, TimeColumn, TimestampColumn};
use self::decimal::DecimalColumn;
use self::float::FloatColumn;
use self::integer::IntegerColumn;
use self::json::JsonColumn;
use self::list::ListColumn;
use self::structs::StructColumn;
pub(crate) use self::text::TextColumn;
use crate::json::{Cursor, Fault};
use crate::plan::{ColumnType, Leniency};

/// Room and marks that the columns of one builder share.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Text of a string with escapes.
    pub text: Vec<u8>,
    /// A nested object had a property outside its schema; whoever asks resets it.
    pub outside: bool,
    /// The type that a nested value did not fit, where a struct or a list is to blame for a bad cell.
    pub nested: Option<&'static str>,
}

/// A column being filled from JSON values.
///
/// On a fault, the column may hold part of a cell and the cursor may be anywhere within the value:
/// the caller truncates the one and resets the other.
pub(crate) trait ColumnBuilder {
    /// Appends the value at the cursor, which is not `null`, and moves behind it.
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault>;
    /// Appends a null.
    fn push_null(&mut self);
    /// Keeps the first `rows` rows.
    fn truncate(&mut self, rows: usize);
    /// Size of its buffers, in bytes.
    fn nbytes(&self) -> usize;
    /// Hands over the array and starts anew.
    fn finish(&mut self) -> ArrayRef;
}

/// A column of any type. An enum rather than a box: the hot path branches, it does not call through a table.
#[derive(Debug)]
pub(crate) enum Column {
    Boolean(BooleanColumn),
    Integer(IntegerColumn),
    Float(FloatColumn),
    Decimal(DecimalColumn),
    Text(TextColumn),
    Json(JsonColumn),
    Date(DateColumn),
    Timestamp(TimestampColumn),
    Time(TimeColumn),
    Binary(BinaryColumn),
    Struct(Box<StructColumn>),
    List(Box<ListColumn>),
}

macro_rules! each {
    ($column:expr, $inner:ident => $call:expr) => {
        match $column {
            Column::Boolean($inner) => $call,
            Column::Integer($inner) => $call,
            Column::Float($inner) => $call,
            Column::Decimal($inner) => $call,
            Column::Text($inner) => $call,
            Column::Json($inner) => $call,
            Column::Date($inner) => $call,
            Column::Timestamp($inner) => $call,
            Column::Time($inner) => $call,
            Column::Binary($inner) => $call,
            Column::Struct($inner) => $call,
            Column::List($inner) => $call,
        }
    };
}

impl Column {
    pub(crate) fn new(column_type: &ColumnType, leniency: Leniency) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(BooleanColumn::new()),
            ColumnType::Int64 => Self::Integer(IntegerColumn::new(leniency)),
            ColumnType::Float64 => Self::Float(FloatColumn::new(leniency)),
            ColumnType::Decimal(precision, scale) => {
                Self::Decimal(DecimalColumn::new(*precision, *scale, leniency))
            }
            ColumnType::Utf8 => Self::Text(TextColumn::new(leniency)),
            ColumnType::Json => Self::Json(JsonColumn::new()),
            ColumnType::Date => Self::Date(DateColumn::new()),
            ColumnType::Timestamp(zone) => Self::Timestamp(TimestampColumn::new(zone.clone())),
            ColumnType::Time => Self::Time(TimeColumn::new()),
            ColumnType::Binary => Self::Binary(BinaryColumn::new()),
            ColumnType::Struct(shape) => {
                Self::Struct(Box::new(StructColumn::new(shape.clone(), leniency)))
            }
            ColumnType::List(item) => Self::List(Box::new(ListColumn::new(item, leniency))),
        }
    }

    /// Appends the value at the cursor, null or not.
    #[inline]
    pub(crate) fn read_or_null(
        &mut self,
        at: &mut Cursor<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        if at.byte() == b'n' && at.null() {
            self.push_null();
            Ok(())
        } else {
            self.read(at, scratch)
        }
    }
}

impl ColumnBuilder for Column {
    #[inline(always)]
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        each!(self, column => column.read(at, scratch))
    }

    #[inline]
    fn push_null(&mut self) {
        each!(self, column => column.push_null())
    }

    fn truncate(&mut self, rows: usize) {
        each!(self, column => column.truncate(rows))
    }

    fn nbytes(&self) -> usize {
        each!(self, column => column.nbytes())
    }

    fn finish(&mut self) -> ArrayRef {
        each!(self, column => column.finish())
    }
}
