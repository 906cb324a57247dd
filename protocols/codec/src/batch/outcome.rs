//! What pushing gives.

use arrow_array::RecordBatch;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is a row of the batch.
    Row,
    /// It parsed, but a cell does not fit: it is in the rejects batch, with the column and the reason.
    Rejected,
    /// It did not parse: it is in the rejects batch, without a column.
    Broken,
}

/// Where a record ended, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Index in the buffer of the byte after the record; the buffer's length when the record is broken.
    pub end: usize,
    /// What became of the record.
    pub outcome: Outcome,
}

/// A record that was neither kept nor quarantined. The builder is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// `on_bad_value` is `fail`, and the record is bad; or the record is longer than 2 GiB, whatever the rule.
    #[error("line {line}{}: {reason}", column.as_ref().map(|name| format!(", column `{name}`")).unwrap_or_default())]
    Bad {
        /// Line of the connector's output, 1-based.
        line: i64,
        /// Column of the bad cell; `None` when the record does not parse.
        column: Option<String>,
        /// Type and constraint, never the value.
        reason: String,
    },
    /// The batch could outgrow the 2 GiB that 32-bit offsets address: call [`crate::BatchBuilder::finish`], then push again.
    #[error("batch is full")]
    Full,
}

/// What a builder collected. Row counts: every record pushed (and not rolled back) is in exactly one of the two.
#[derive(Debug)]
pub struct Built {
    /// Rows, in the order pushed. The plan's schema, followed by `_dativo_extra` and `_dativo_changes` (utf8, `arrow.json`)
    /// where a row of this batch needs them, and by what the plan's [`crate::Metadata`] asks for.
    pub batch: Option<RecordBatch>,
    /// Columns `line` int64, `column` utf8 (null: the whole record), `reason` utf8, `record` binary.
    pub rejects: Option<RecordBatch>,
    /// Rows in `batch`.
    pub rows: usize,
    /// Rows in `rejects`.
    pub rejected: usize,
}
