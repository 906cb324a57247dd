//! Rows of one stream: records in, an Arrow record batch out.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::plan::StreamPlan;

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
    /// `on_bad_value` is `fail`, and the record is bad.
    #[error("line {line}{}: {reason}", column.as_ref().map(|name| format!(", column `{name}`")).unwrap_or_default())]
    Bad {
        /// Line of the connector's output, 1-based.
        line: i64,
        /// Column of the bad cell; `None` when the record does not parse.
        column: Option<String>,
        /// Type and constraint, never the value.
        reason: String,
    },
    /// The batch could outgrow the 2 GiB that 32-bit offsets address: call [`BatchBuilder::finish`], then push again.
    #[error("batch is full")]
    Full,
}

/// What a builder collected. Row counts: every record pushed (and not rolled back) is in exactly one of the two.
#[derive(Debug)]
pub struct Built {
    /// Rows, in the order pushed. The plan's schema, followed by `_dativo_extra` and `_dativo_changes` (utf8, `arrow.json`)
    /// where a row of this batch needs them.
    pub batch: Option<RecordBatch>,
    /// Columns `line` int64, `column` utf8 (null: the whole record), `reason` utf8, `record` binary.
    pub rejects: Option<RecordBatch>,
    /// Rows in `batch`.
    pub rows: usize,
    /// Rows in `rejects`.
    pub rejected: usize,
}

/// Collects records of one stream.
pub struct BatchBuilder {
    plan: Arc<StreamPlan>,
}

impl BatchBuilder {
    /// An empty builder. Allocates nothing per row once it has seen a batch.
    pub fn new(plan: Arc<StreamPlan>) -> Self {
        Self { plan }
    }

    /// The plan this builder follows.
    pub fn plan(&self) -> &Arc<StreamPlan> {
        &self.plan
    }

    /// Reads the JSON object that starts at `buf[start]` (after white space). Bytes behind the object are not looked at.
    ///
    /// `buf` must end with the line: a string left open runs to its end. `line_number` goes into the rejects batch.
    ///
    /// # Errors
    /// [`PushError::Full`] before anything is read; [`PushError::Bad`] only where the plan says `fail`.
    pub fn push(
        &mut self,
        buf: &[u8],
        start: usize,
        line_number: i64,
    ) -> Result<Pushed, PushError> {
        let _ = (buf, start, line_number);
        Err(PushError::Full)
    }

    /// Reads a line that is one JSON object and nothing else (JSON lines); a line break at its end is allowed.
    ///
    /// # Errors
    /// As [`BatchBuilder::push`].
    pub fn push_line(&mut self, line: &[u8], line_number: i64) -> Result<Outcome, PushError> {
        self.push(line, 0, line_number).map(|pushed| pushed.outcome)
    }

    /// Puts a record into the rejects batch that the caller found bad.
    pub fn reject(&mut self, line_number: i64, column: Option<&str>, reason: &str, record: &[u8]) {
        let _ = (line_number, column, reason, record);
    }

    /// Takes back the last [`push`](Self::push), whether it gave a row or a reject. Only once per push.
    pub fn rollback_last(&mut self) {}

    /// Rows collected.
    pub fn rows(&self) -> usize {
        0
    }

    /// Records rejected.
    pub fn rejected(&self) -> usize {
        0
    }

    /// Size of what is collected, in bytes of Arrow buffers (rows and rejects). Takes time proportional to the columns:
    /// ask every some hundred rows, not every row.
    pub fn nbytes(&self) -> usize {
        0
    }

    /// Hands over what was collected and starts anew.
    pub fn finish(&mut self) -> Built {
        Built {
            batch: None,
            rejects: None,
            rows: 0,
            rejected: 0,
        }
    }
}
