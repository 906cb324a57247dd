//! Records that did not become rows.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::{BinaryBuilder, Int64Builder, StringBuilder};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// Columns `line` int64, `column` utf8 (null when the whole record is bad), `reason` utf8, `record` binary (bytes as sent).
pub fn rejects_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("line", DataType::Int64, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("record", DataType::Binary, false),
    ]))
}

/// Collects rejected records, for lines that belong to no builder.
#[derive(Debug, Default)]
pub struct RejectsBuilder {
    line: Vec<i64>,
    column: Vec<Option<String>>,
    reason: Vec<String>,
    record: Vec<Vec<u8>>,
    bytes: usize,
}

impl RejectsBuilder {
    /// Adds one.
    pub fn push(&mut self, line_number: i64, column: Option<&str>, reason: &str, record: &[u8]) {
        self.line.push(line_number);
        self.column.push(column.map(str::to_owned));
        self.reason.push(reason.to_owned());
        self.record.push(record.to_owned());
        self.bytes += 24 + column.map_or(0, str::len) + reason.len() + record.len();
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Size in bytes, about.
    pub fn nbytes(&self) -> usize {
        self.bytes
    }

    /// Hands over the batch, if there is a record, and starts anew.
    pub fn finish(&mut self) -> Option<RecordBatch> {
        if self.is_empty() {
            return None;
        }
        let taken = std::mem::take(self);
        let mut line = Int64Builder::with_capacity(taken.line.len());
        let mut column = StringBuilder::new();
        let mut reason = StringBuilder::new();
        let mut record = BinaryBuilder::new();
        line.append_slice(&taken.line);
        taken
            .column
            .iter()
            .for_each(|name| column.append_option(name.as_deref()));
        taken
            .reason
            .iter()
            .for_each(|text| reason.append_value(text));
        taken
            .record
            .iter()
            .for_each(|bytes| record.append_value(bytes));
        let arrays: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(line.finish()),
            Arc::new(column.finish()),
            Arc::new(reason.finish()),
            Arc::new(record.finish()),
        ];
        RecordBatch::try_new(rejects_schema(), arrays).ok()
    }
}
