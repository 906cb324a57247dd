//! Rows of one stream: records in, an Arrow record batch out.

mod bad;
mod outcome;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use serde_json::Value;

use self::bad::BadCell;
pub(crate) use self::bad::without_line_break;
pub use self::outcome::{Built, Outcome, PushError, Pushed};
use crate::columns::{Column, ColumnBuilder, Scratch};
use crate::json::{Broken, Cursor, Fault, Problem};
use crate::keys::{END, KeyReader, START, name_text};
use crate::optional::OptionalColumn;
use crate::plan::{Extra, StreamPlan};
use crate::rejects::RejectsBuilder;
use crate::stamps::{StampColumns, Stamps};
use crate::{CHANGES_COLUMN, EXTRA_COLUMN};

/// Collects records of one stream.
#[derive(Debug)]
pub struct BatchBuilder {
    plan: Arc<StreamPlan>,
    columns: Vec<Column>,
    keys: KeyReader,
    /// Serial number of the record in which a column was last seen.
    seen: Vec<u64>,
    serial: u64,
    rows: usize,
    /// Cells of the present record that do not fit. A later value of the same column may still do.
    bad: Vec<BadCell>,
    /// Properties outside the schema of the present record: a JSON object without its closing brace.
    outside: Vec<u8>,
    extra: OptionalColumn,
    changes: OptionalColumn,
    stamps: StampColumns,
    rejects: RejectsBuilder,
    scratch: Scratch,
    /// More than any offset of the batch can be.
    bytes_in: usize,
    last: Last,
}

/// What [`BatchBuilder::rollback_last`] takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Row,
    Reject,
}

impl BatchBuilder {
    /// An empty builder. It allocates nothing per row once it has seen a batch.
    pub fn new(plan: Arc<StreamPlan>) -> Self {
        let columns: Vec<Column> = plan
            .columns
            .iter()
            .map(|column| Column::new(&column.column_type, column.leniency))
            .collect();
        Self {
            keys: KeyReader::new(plan.keys.clone()),
            seen: vec![0; columns.len()],
            serial: 0,
            rows: 0,
            bad: Vec::new(),
            outside: Vec::new(),
            extra: OptionalColumn::new(EXTRA_COLUMN, "extra"),
            changes: OptionalColumn::new(CHANGES_COLUMN, "changes"),
            stamps: StampColumns::new(plan.metadata),
            rejects: RejectsBuilder::default(),
            scratch: Scratch::default(),
            bytes_in: 0,
            last: Last::Nothing,
            columns,
            plan,
        }
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
    /// [`PushError::Full`] before anything is read; [`PushError::Bad`] where the plan says `fail`.
    pub fn push(
        &mut self,
        buf: &[u8],
        start: usize,
        line_number: i64,
    ) -> Result<Pushed, PushError> {
        self.push_within(
            buf,
            start,
            buf.get(start..).unwrap_or_default(),
            line_number,
        )
    }

    /// Reads a line that is one JSON object and nothing else (JSON lines); a line break at its end is allowed.
    ///
    /// # Errors
    /// As [`BatchBuilder::push`].
    pub fn push_line(&mut self, line: &[u8], line_number: i64) -> Result<Outcome, PushError> {
        let pushed = self.push(line, 0, line_number)?;
        let mut at = Cursor::new(line, pushed.end);
        match at.expect_end() {
            Ok(()) => Ok(pushed.outcome),
            Err(broken) => {
                self.rollback_last();
                self.reject_broken(broken, at.pos, line, line_number)?;
                Ok(Outcome::Broken)
            }
        }
    }

    /// [`Self::push`], where `whole` is what goes into the rejects batch if the record does not parse.
    pub(crate) fn push_within(
        &mut self,
        buf: &[u8],
        start: usize,
        whole: &[u8],
        line_number: i64,
    ) -> Result<Pushed, PushError> {
        self.last = Last::Nothing;
        self.check_room(whole.len(), line_number)?;
        let mut at = Cursor::new(buf, start);
        at.skip_space();
        let start = at.pos;
        match self.read_record(&mut at) {
            Ok(()) if self.bad.is_empty() => {}
            Ok(()) => {
                let outcome = self.settle_bad_cells(&buf[start..at.pos], line_number)?;
                if outcome == Outcome::Rejected {
                    return Ok(Pushed {
                        end: at.pos,
                        outcome,
                    });
                }
            }
            Err(broken) => {
                self.drop_present_row();
                self.reject_broken(broken, at.pos, whole, line_number)?;
                return Ok(Pushed {
                    end: buf.len(),
                    outcome: Outcome::Broken,
                });
            }
        }
        if !self.outside.is_empty() {
            self.outside.push(b'}');
            self.extra.push(self.rows, &self.outside);
        }
        self.rows += 1;
        self.last = Last::Row;
        Ok(Pushed {
            end: at.pos,
            outcome: Outcome::Row,
        })
    }

    /// Refuses what 32-bit offsets may not reach: no text in the batch is longer than what it was made from.
    #[inline]
    fn check_room(&mut self, bytes: usize, line: i64) -> Result<(), PushError> {
        let total = self.bytes_in + bytes;
        if total > i32::MAX as usize {
            if self.bytes_in > 0 {
                return Err(PushError::Full);
            }
            return Err(PushError::Bad {
                line,
                column: None,
                reason: "record is longer than 2 GiB".to_owned(),
            });
        }
        self.bytes_in = total;
        Ok(())
    }

    /// Reads one object into the columns: exactly one cell more in each, unless the record is broken.
    #[inline]
    fn read_record(&mut self, at: &mut Cursor<'_>) -> Result<(), Broken> {
        self.serial += 1;
        self.outside.clear();
        self.bad.clear();
        let mut filled = 0;
        let mut slot = self.keys.next(START, at, &mut self.scratch.text)?;
        while slot != END {
            if let Some(column) = self.columns.get_mut(slot) {
                if self.seen[slot] == self.serial {
                    column.truncate(self.rows);
                    self.bad.retain(|cell| cell.column != Some(slot));
                } else {
                    self.seen[slot] = self.serial;
                    filled += 1;
                }
                let start = at.pos;
                if at.byte() == b'n' && at.null() {
                    if self.plan.columns[slot].required {
                        self.bad_cell(slot, start, Fault::Bad(Problem::FoundNull), at)?;
                    } else {
                        column.push_null();
                    }
                } else if let Err(fault) = column.read(at, &mut self.scratch) {
                    self.bad_cell(slot, start, fault, at)?;
                }
                if self.scratch.outside {
                    self.keep_cell(slot, start, at);
                }
            } else if slot == self.keys.outside() && self.plan.extra == Extra::Keep {
                self.keep_property(at)?;
            } else {
                at.skip()?;
            }
            slot = self.keys.next(slot, at, &mut self.scratch.text)?;
        }
        if filled < self.columns.len() {
            self.fill_absent();
        }
        Ok(())
    }

    /// Columns the record does not have are null.
    fn fill_absent(&mut self) {
        for slot in 0..self.columns.len() {
            if self.seen[slot] != self.serial {
                self.columns[slot].push_null();
                if self.plan.columns[slot].required {
                    self.note_bad(slot, Problem::Missing, None);
                }
            }
        }
    }

    /// Keeps a property outside the schema, name and value as sent.
    fn keep_property(&mut self, at: &mut Cursor<'_>) -> Result<(), Broken> {
        let name = self.keys.outside_name.clone();
        let start = at.pos;
        match at.raw() {
            Ok(raw) => self.append_outside(&at.buf[name], raw),
            Err(Fault::Broken(broken)) => return Err(broken),
            Err(Fault::Bad(problem)) => {
                at.pos = start;
                at.skip()?;
                let reason = format!("expected JSON: {}", problem.text());
                self.bad.push(BadCell {
                    column: None,
                    name: name_text(at.buf, name),
                    reason,
                });
            }
        }
        Ok(())
    }

    /// Keeps all of a cell of which a nested object has properties outside its schema.
    #[cold]
    fn keep_cell(&mut self, slot: usize, start: usize, at: &Cursor<'_>) {
        self.scratch.outside = false;
        if self.plan.extra == Extra::Drop {
            return;
        }
        match Cursor::new(&at.buf[..at.pos], start).raw() {
            Ok(raw) => {
                let name = Value::String(self.plan.columns[slot].property.clone()).to_string();
                self.append_outside(name.as_bytes(), raw);
            }
            Err(Fault::Bad(problem)) => {
                self.columns[slot].truncate(self.rows);
                self.columns[slot].push_null();
                self.note_bad(slot, problem, None);
            }
            Err(Fault::Broken(_)) => {}
        }
    }

    fn append_outside(&mut self, name: &[u8], raw: &[u8]) {
        self.outside
            .push(if self.outside.is_empty() { b'{' } else { b',' });
        self.outside.extend_from_slice(name);
        self.outside.push(b':');
        self.outside.extend_from_slice(raw);
    }

    /// Puts a record into the rejects batch that the caller found bad.
    pub fn reject(&mut self, line_number: i64, column: Option<&str>, reason: &str, record: &[u8]) {
        self.bytes_in += reason.len() + record.len();
        self.rejects.push(line_number, column, reason, record);
        self.last = Last::Reject;
    }

    /// Adds notes to the changes of the row just pushed.
    #[cold]
    pub(crate) fn note_changes(&mut self, notes: &[Value]) {
        let Some(row) = self.rows.checked_sub(1).filter(|_| !notes.is_empty()) else {
            return;
        };
        let mut text = Value::from(notes).to_string().into_bytes();
        if let Some(already) = self.changes.take(row) {
            let more = std::mem::replace(&mut text, already);
            text.pop();
            text.push(b',');
            text.extend_from_slice(&more[1..]);
        }
        self.bytes_in += text.len();
        self.changes.push(row, &text);
    }

    #[inline(always)]
    pub(crate) fn wants_stamps(&self) -> bool {
        self.stamps.are_wanted()
    }

    /// Gives the row just pushed what its line says about it.
    pub(crate) fn stamp(&mut self, stamps: &Stamps, line: &[u8]) {
        if let Some(row) = self.rows.checked_sub(1) {
            self.stamps.push(row, stamps, line);
        }
    }

    /// Keeps a value beside the properties outside the schema of the row just pushed. `name` is JSON, with its quotes.
    #[cold]
    pub(crate) fn keep_beside(&mut self, name: &[u8], raw: &[u8]) {
        let Some(row) = self
            .rows
            .checked_sub(1)
            .filter(|_| self.plan.extra == Extra::Keep)
        else {
            return;
        };
        let mut text = match self.extra.take(row) {
            Some(mut already) => {
                already.pop();
                already.push(b',');
                already
            }
            None => vec![b'{'],
        };
        text.extend_from_slice(name);
        text.push(b':');
        text.extend_from_slice(raw);
        text.push(b'}');
        self.bytes_in += text.len();
        self.extra.push(row, &text);
    }

    /// Takes back the last [`push`](Self::push), whether it gave a row or a reject. Only once per push.
    pub fn rollback_last(&mut self) {
        match std::mem::replace(&mut self.last, Last::Nothing) {
            Last::Nothing => {}
            Last::Row => {
                self.rows -= 1;
                self.drop_present_row();
            }
            Last::Reject => self.rejects.pop(),
        }
    }

    /// Drops all cells behind the last whole row.
    fn drop_present_row(&mut self) {
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(self.rows));
        self.extra.truncate(self.rows);
        self.changes.truncate(self.rows);
        self.stamps.truncate(self.rows);
        self.scratch.outside = false;
        self.scratch.nested = None;
    }

    /// Rows collected.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Records rejected.
    pub fn rejected(&self) -> usize {
        self.rejects.len()
    }

    /// Size of what is collected, in bytes of Arrow buffers (rows and rejects). Takes time proportional to the columns:
    /// ask every some hundred rows, not every row.
    pub fn nbytes(&self) -> usize {
        let optional = self.extra.nbytes() + self.changes.nbytes() + self.stamps.nbytes();
        self.columns.iter().map(Column::nbytes).sum::<usize>() + optional + self.rejects.nbytes()
    }

    /// Hands over what was collected and starts anew.
    pub fn finish(&mut self) -> Built {
        let (rows, rejected) = (self.rows, self.rejects.len());
        self.rows = 0;
        self.bytes_in = 0;
        self.last = Last::Nothing;
        Built {
            batch: (rows > 0).then(|| self.finish_rows(rows)),
            rejects: self.rejects.finish(),
            rows,
            rejected,
        }
    }

    fn finish_rows(&mut self, rows: usize) -> RecordBatch {
        let mut arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        let mut schema = self.plan.arrow_schema().clone();
        let optional = [&mut self.extra, &mut self.changes];
        let mut beside: Vec<_> = optional
            .into_iter()
            .filter_map(|column| column.finish(rows))
            .collect();
        beside.extend(self.stamps.finish(rows));
        if !beside.is_empty() {
            let mut fields = schema.fields().to_vec();
            for (field, array) in beside {
                fields.push(field);
                arrays.push(array);
            }
            schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, arrays, &options)
            .expect("the columns follow the plan")
    }
}
