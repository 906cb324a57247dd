//! What a line says about a row beside its record: when it was extracted, and to which version of its stream it belongs.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use crate::columns::Fixed;
use crate::json::{Cursor, Number};
use crate::lines::integer_value;
use crate::plan::Metadata;
use crate::temporal::{is_in_range, parse_timestamp};
use crate::unify::ROLE_KEY;
use crate::{EXTRACTED_AT_COLUMN, VERSION_COLUMN};

const ZONE: &str = "UTC";

/// Where a line says what its row's own columns hold, as far as it does.
#[derive(Debug, Default)]
pub struct Stamps {
    pub(crate) extracted_at: Option<Moment>,
    pub(crate) version: Option<Range<usize>>,
}

/// A moment as a protocol writes it.
#[derive(Debug)]
pub enum Moment {
    /// A string in RFC 3339.
    Text(Range<usize>),
    /// A number of milliseconds since 1970.
    Millis(Range<usize>),
}

impl Moment {
    /// Microseconds since 1970; `None` for what a `date-time` column would not take either.
    fn micros(&self, line: &[u8]) -> Option<i64> {
        match self {
            Self::Text(range) => {
                let mut scratch = Vec::new();
                let mut at = Cursor::new(&line[range.clone()], 0);
                if at.byte() != b'"' {
                    return None;
                }
                let text = at.string().ok()?;
                Some(parse_timestamp(text.text(&mut scratch).ok()?).ok()?.micros)
            }
            Self::Millis(range) => micros_of_millis(&line[range.clone()]),
        }
    }
}

/// Microseconds since 1970 of a number of milliseconds; `None` for what a `date-time` column would not take.
pub(crate) fn micros_of_millis(digits: &[u8]) -> Option<i64> {
    if digits.len() == 13 && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit) {
        // Any moment from 2001 to 2286, as every connector writes it.
        let fold = |millis, digit: &u8| millis * 10 + i64::from(digit - b'0');
        return Some(digits.iter().fold(0, fold) * 1000);
    }
    let scaled = Number::parse(digits)?.to_decimal(19, 3).ok()?;
    let micros = i64::try_from(scaled).ok()?;
    is_in_range(micros).then_some(micros)
}

/// The columns of one batch that hold stamps; only those that are wanted.
#[derive(Debug)]
pub(crate) struct StampColumns {
    wanted: Metadata,
    extracted_at: Fixed<i64>,
    version: Fixed<i64>,
}

impl StampColumns {
    pub(crate) fn new(wanted: Metadata) -> Self {
        Self {
            wanted,
            extracted_at: Fixed::new(),
            version: Fixed::new(),
        }
    }

    #[inline(always)]
    pub(crate) fn are_wanted(&self) -> bool {
        self.wanted != Metadata::default()
    }

    /// Gives `row` its stamps; rows skipped since the last call have none.
    pub(crate) fn push(&mut self, row: usize, stamps: &Stamps, line: &[u8]) {
        if self.wanted.extracted_at {
            let moment = stamps.extracted_at.as_ref();
            put(
                &mut self.extracted_at,
                row,
                moment.and_then(|moment| moment.micros(line)),
            );
        }
        if self.wanted.version
            && let Some(range) = &stamps.version
        {
            put(&mut self.version, row, integer_value(&line[range.clone()]));
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.extracted_at.truncate(rows);
        self.version.truncate(rows);
    }

    pub(crate) fn nbytes(&self) -> usize {
        self.extracted_at.nbytes() + self.version.nbytes()
    }

    /// The columns of a batch of `rows` rows; the version only where a row has one. Starts anew.
    pub(crate) fn finish(&mut self, rows: usize) -> Vec<(FieldRef, ArrayRef)> {
        let mut columns: Vec<(FieldRef, ArrayRef)> = Vec::new();
        if self.wanted.extracted_at {
            pad(&mut self.extracted_at, rows);
            let (values, nulls) = self.extracted_at.finish();
            let array = TimestampMicrosecondArray::new(values.into(), nulls).with_timezone(ZONE);
            columns.push((extracted_at_field(), Arc::new(array)));
        }
        if self.version.has_values() {
            pad(&mut self.version, rows);
            let (values, nulls) = self.version.finish();
            let array = Int64Array::new(values.into(), nulls);
            columns.push((version_field(), Arc::new(array)));
        } else {
            self.version.truncate(0);
        }
        columns
    }
}

fn put(column: &mut Fixed<i64>, row: usize, value: Option<i64>) {
    pad(column, row);
    match value {
        Some(value) => column.push(value),
        None => column.push_null(),
    }
}

fn pad(column: &mut Fixed<i64>, rows: usize) {
    while column.len() < rows {
        column.push_null();
    }
}

pub(crate) fn extracted_at_field() -> FieldRef {
    let kind = DataType::Timestamp(TimeUnit::Microsecond, Some(ZONE.into()));
    field(EXTRACTED_AT_COLUMN, "extracted_at", kind)
}

fn version_field() -> FieldRef {
    field(VERSION_COLUMN, "version", DataType::Int64)
}

fn field(name: &str, role: &str, kind: DataType) -> FieldRef {
    let metadata = [(ROLE_KEY.to_owned(), role.to_owned())];
    Arc::new(Field::new(name, kind, true).with_metadata(metadata.into()))
}

/// The batch with `_dativo_extracted_at`, the same moment in all rows, or null.
pub fn with_extracted_at(batch: &RecordBatch, micros: Option<i64>) -> RecordBatch {
    let rows = batch.num_rows();
    let array = match micros {
        Some(micros) => TimestampMicrosecondArray::from_value(micros, rows),
        None => TimestampMicrosecondArray::new_null(rows),
    };
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(array.with_timezone(ZONE)));
    RecordBatch::try_new(announced(batch.schema_ref()), columns)
        .expect("the column follows the schema")
}

/// The schema with `_dativo_extracted_at`.
pub fn announced(schema: &SchemaRef) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(extracted_at_field());
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
