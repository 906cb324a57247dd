//! Records with cells that do not fit, and records that do not parse.

use serde_json::{Value, json};

use super::{BatchBuilder, Outcome, PushError};
use crate::columns::ColumnBuilder;
use crate::json::{Broken, Cursor, Fault, Problem};
use crate::plan::OnBadValue;

/// A cell that does not fit: its column, or the name of a property outside the schema.
#[derive(Debug)]
pub(super) struct BadCell {
    pub column: Option<usize>,
    pub name: String,
    pub reason: String,
}

impl BatchBuilder {
    /// Nulls the cell at hand and moves behind its value.
    #[cold]
    pub(super) fn bad_cell(
        &mut self,
        slot: usize,
        start: usize,
        fault: Fault,
        at: &mut Cursor<'_>,
    ) -> Result<(), Broken> {
        let problem = match fault {
            Fault::Broken(broken) => return Err(broken),
            Fault::Bad(problem) => problem,
        };
        at.pos = start;
        at.skip()?;
        self.columns[slot].truncate(self.rows);
        self.columns[slot].push_null();
        self.scratch.outside = false;
        let nested = self.scratch.nested.take();
        self.note_bad(slot, problem, nested);
        Ok(())
    }

    pub(super) fn note_bad(&mut self, slot: usize, problem: Problem, nested: Option<&'static str>) {
        let column = &self.plan.columns[slot];
        let nested = nested
            .map(|name| format!("in a nested {name}, "))
            .unwrap_or_default();
        let key = if column.required {
            " (primary key)"
        } else {
            ""
        };
        let reason = format!(
            "expected {}{key}: {nested}{}",
            column.column_type.full_name(),
            problem.text()
        );
        self.bad.push(BadCell {
            column: Some(slot),
            name: column.name.clone(),
            reason,
        });
    }

    /// Decides about a record that was read to its end and has bad cells.
    #[cold]
    pub(super) fn settle_bad_cells(
        &mut self,
        record: &[u8],
        line_number: i64,
    ) -> Result<Outcome, PushError> {
        let is_key = |cell: &BadCell| {
            cell.column
                .is_some_and(|slot| self.plan.columns[slot].required)
        };
        if self.plan.on_bad_value == OnBadValue::Null && !self.bad.iter().any(is_key) {
            let notes = self
                .bad
                .iter()
                .map(|cell| json!({"column": cell.name, "reason": cell.reason}));
            let text = Value::Array(notes.collect()).to_string();
            self.bytes_in += text.len();
            self.changes.push(self.rows, text.as_bytes());
            return Ok(Outcome::Row);
        }
        let key = if self.plan.on_bad_value == OnBadValue::Null {
            self.bad.iter().position(is_key)
        } else {
            None
        };
        let cell = self.bad.swap_remove(key.unwrap_or(0));
        self.drop_present_row();
        if self.plan.on_bad_value == OnBadValue::Fail {
            return Err(PushError::Bad {
                line: line_number,
                column: Some(cell.name),
                reason: cell.reason,
            });
        }
        self.reject(line_number, Some(&cell.name), &cell.reason, record);
        Ok(Outcome::Rejected)
    }

    /// Rejects what does not parse; `offset` counts from the start of the line.
    #[cold]
    pub(crate) fn reject_broken(
        &mut self,
        broken: Broken,
        offset: usize,
        whole: &[u8],
        line_number: i64,
    ) -> Result<(), PushError> {
        self.reject_whole(
            &format!("{} at byte {offset}", broken.text()),
            whole,
            line_number,
        )
    }

    /// Rejects a line as a whole, or fails where that is the rule.
    #[cold]
    pub(crate) fn reject_whole(
        &mut self,
        reason: &str,
        whole: &[u8],
        line_number: i64,
    ) -> Result<(), PushError> {
        if self.plan.on_bad_value == OnBadValue::Fail {
            return Err(PushError::Bad {
                line: line_number,
                column: None,
                reason: reason.to_owned(),
            });
        }
        self.reject(line_number, None, reason, without_line_break(whole));
        Ok(())
    }
}

pub(crate) fn without_line_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
