//! Records that did not become rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::columns::{Bytes, Fixed};

/// Columns `line` int64, `column` utf8 (null when the whole record is bad), `reason` utf8, `record` binary (bytes as sent).
pub fn rejects_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("line", DataType::Int64, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("record", DataType::Binary, false),
    ]))
}

/// Collects rejected records. A builder has its own; this one by itself is for lines that belong to no stream.
#[derive(Debug)]
pub struct RejectsBuilder {
    rows: usize,
    line: Fixed<i64>,
    column: Bytes,
    reason: Bytes,
    record: Bytes,
}

impl Default for RejectsBuilder {
    fn default() -> Self {
        Self {
            rows: 0,
            line: Fixed::new(),
            column: Bytes::new(),
            reason: Bytes::new(),
            record: Bytes::new(),
        }
    }
}

impl RejectsBuilder {
    /// Adds one. `reason` must not contain values of the record.
    pub fn push(&mut self, line_number: i64, column: Option<&str>, reason: &str, record: &[u8]) {
        self.rows += 1;
        self.line.push(line_number);
        match column {
            Some(name) => self.column.push(name.as_bytes()),
            None => self.column.push_null(),
        }
        self.reason.push(reason.as_bytes());
        self.record.push(record);
    }

    /// Takes the last one back.
    pub fn pop(&mut self) {
        self.rows = self.rows.saturating_sub(1);
        self.line.truncate(self.rows);
        self.column.truncate(self.rows);
        self.reason.truncate(self.rows);
        self.record.truncate(self.rows);
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Size of its Arrow buffers, in bytes.
    pub fn nbytes(&self) -> usize {
        self.line.nbytes() + self.column.nbytes() + self.reason.nbytes() + self.record.nbytes()
    }

    /// Hands over the batch, if there is a record, and starts anew.
    pub fn finish(&mut self) -> Option<RecordBatch> {
        if self.is_empty() {
            return None;
        }
        let mut taken = std::mem::take(self);
        let (line, _) = taken.line.finish();
        let (column_ends, columns, nulls) = taken.column.finish();
        let (reason_ends, reasons, _) = taken.reason.finish();
        let (record_ends, records, _) = taken.record.finish();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::new(line.into(), None)),
            Arc::new(StringArray::new(column_ends, columns, nulls)),
            Arc::new(StringArray::new(reason_ends, reasons, None)),
            Arc::new(BinaryArray::new(record_ends, records, None)),
        ];
        Some(
            RecordBatch::try_new(rejects_schema(), arrays).expect("arrays follow `rejects_schema`"),
        )
    }
}
