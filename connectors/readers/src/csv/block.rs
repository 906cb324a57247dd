//! A block of records to a batch and what does not fit into it.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_schema::{DataType, Field, SchemaRef};
use arrow_select::filter::filter_record_batch;
use dativo_sdk::{Error, RejectsBuilder};
use serde_json::json;

use super::column::{Builder, Cells, Column, Misfit, Rules};
use super::index::{BadRecord, Broken, Index, Stop, Walk};
use crate::files::{Block, Entry, lines};
use crate::flow::Decoded;

/// What becomes of a value that does not fit its column, and of a record that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBad {
    /// It is a reject.
    Quarantine,
    /// The value is null, and noted; a record that is none is a reject.
    Null,
    /// The run ends.
    Fail,
}

/// How the records of a stream become rows.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name, for messages.
    pub stream: String,
    /// The columns that are read.
    pub columns: Vec<Column>,
    /// Their fields, then those of `file` and `line`.
    pub schema: SchemaRef,
    /// How fields are read.
    pub rules: Rules,
    /// What becomes of what is wrong.
    pub on_bad: OnBad,
    /// Whether rows name their file.
    pub file: bool,
    /// Whether rows name their line.
    pub line: bool,
}

/// Where a file has the columns.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Fields of each record.
    pub width: usize,
    /// Which of them each column is, where the file has it.
    pub slots: Vec<Option<usize>>,
    /// Records may end with a delimiter that starts no field.
    pub trailing: bool,
}

/// Cells looked at between two columns: they and their text stay in the nearest cache.
const TILE: usize = 8192;

/// Decodes a block.
///
/// # Errors
/// When something is wrong, and that is to end the run.
pub fn decode(plan: &Plan, layout: &Layout, file: &Entry, block: &Block) -> Result<Decoded, Error> {
    let text = block.bytes.as_slice();
    let valid = simdutf8::basic::from_utf8(text).is_ok();
    let mut builders: Vec<Builder> = plan
        .columns
        .iter()
        .enumerate()
        .map(|(slot, column)| Builder::new(column, slot))
        .collect();
    let tile = (TILE / layout.width).clamp(16, 1024);
    let mut dialect = plan.rules.dialect;
    dialect.trailing |= layout.trailing;
    let mut walk = Walk::new(text, dialect, block.last);
    let mut index = Index::default();
    let (mut rows, mut broken, mut misfits) = (Vec::new(), Vec::new(), Vec::new());
    let open = loop {
        index.clear();
        let stop = walk.records(tile, Some(layout.width), &mut index);
        for (builder, slot) in builders.iter_mut().zip(&layout.slots) {
            let cells = Cells {
                text,
                cells: &index.cells,
                width: layout.width,
                slot: *slot,
                valid,
            };
            builder.extend(cells, rows.len(), &plan.rules, &mut misfits);
        }
        rows.extend_from_slice(&index.rows);
        broken.append(&mut index.broken);
        match stop {
            Stop::Full(_) => {}
            Stop::End => break None,
            Stop::Open(at) => break Some(at),
        }
    };
    let arrays: Vec<ArrayRef> = builders.into_iter().map(Builder::finish).collect();
    let outcome = Outcome {
        plan,
        file,
        block,
        rows,
        broken,
        misfits,
    };
    let (batch, rejects) = outcome.finish(arrays)?;
    Ok(Decoded {
        batch,
        rejects,
        open,
    })
}

struct Outcome<'a> {
    plan: &'a Plan,
    file: &'a Entry,
    block: &'a Block,
    rows: Vec<(u32, u32)>,
    broken: Vec<Broken>,
    misfits: Vec<Misfit>,
}

impl Outcome<'_> {
    fn finish(
        mut self,
        mut arrays: Vec<ArrayRef>,
    ) -> Result<(Option<RecordBatch>, Option<RecordBatch>), Error> {
        self.misfits
            .sort_by_key(|misfit| (misfit.row, misfit.column));
        if self.plan.on_bad == OnBad::Fail {
            self.fail()?;
        }
        let count = self.rows.len();
        if self.plan.file {
            arrays.push(Arc::new(StringArray::from(vec![
                self.file.path.as_str();
                count
            ])));
        }
        if self.plan.line {
            arrays.push(Arc::new(self.lines()));
        }
        let mut schema = Arc::clone(&self.plan.schema);
        if self.plan.on_bad == OnBad::Null && !self.misfits.is_empty() {
            let mut fields = schema.fields().to_vec();
            let marks = [
                ("ARROW:extension:name".to_owned(), "arrow.json".to_owned()),
                (dativo_codec::ROLE_KEY.to_owned(), "changes".to_owned()),
            ];
            let field = Field::new(dativo_codec::CHANGES_COLUMN, DataType::Utf8, true)
                .with_metadata(marks.into());
            fields.push(Arc::new(field));
            arrays.push(Arc::new(self.changes()));
            schema = Arc::new(arrow_schema::Schema::new(fields));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let mut batch = RecordBatch::try_new_with_options(schema, arrays, &options)?;
        let rejects = self.rejects();
        if self.plan.on_bad != OnBad::Null && !self.misfits.is_empty() {
            let mut keep = vec![true; count];
            self.misfits
                .iter()
                .for_each(|misfit| keep[misfit.row] = false);
            batch = filter_record_batch(&batch, &BooleanArray::from(keep))?;
        }
        Ok(((batch.num_rows() > 0).then_some(batch), rejects))
    }

    /// Lines of the rows.
    fn lines(&self) -> Int64Array {
        let mut counter = LineCounter::new(self.block);
        self.rows
            .iter()
            .map(|(start, _)| counter.at(*start as usize))
            .collect::<Vec<i64>>()
            .into()
    }

    /// What was nulled in each row.
    fn changes(&self) -> StringArray {
        let mut changes = vec![None; self.rows.len()];
        for of_row in self.misfits.chunk_by(|left, right| left.row == right.row) {
            let notes: Vec<_> = of_row
                .iter()
                .map(|misfit| json!({"column": self.plan.columns[misfit.column].name, "reason": misfit.reason}))
                .collect();
            changes[of_row[0].row] = Some(json!(notes).to_string());
        }
        changes.into()
    }

    /// Records that are none, and those with a value that does not fit, in their order.
    fn rejects(&self) -> Option<RecordBatch> {
        let mut rejects = RejectsBuilder::default();
        let mut counter = LineCounter::new(self.block);
        let mut broken = self.broken.iter().peekable();
        let mut push = |start: usize, end: usize, column: Option<&str>, reason: &str| {
            rejects.push(
                counter.at(start),
                column,
                reason,
                &self.block.bytes[start..end],
            );
        };
        let width = self.plan.columns.len();
        if self.plan.on_bad != OnBad::Null {
            for of_row in self.misfits.chunk_by(|left, right| left.row == right.row) {
                let (start, end) = self.rows[of_row[0].row];
                while let Some(found) = broken.next_if(|found| found.start < start as usize) {
                    push(found.start, found.end, None, &self.why(found.why));
                }
                debug_assert!(of_row[0].column < width);
                let name = &self.plan.columns[of_row[0].column].name;
                push(start as usize, end as usize, Some(name), of_row[0].reason);
            }
        }
        for found in broken {
            push(found.start, found.end, None, &self.why(found.why));
        }
        rejects.finish()
    }

    fn why(&self, why: BadRecord) -> String {
        match why {
            BadRecord::Fields(1) => "the record has 1 field, not as many as the header".to_owned(),
            BadRecord::Fields(found) => {
                format!("the record has {found} fields, not as many as the header")
            }
            BadRecord::BehindQuote => "the record has text behind a closing quote".to_owned(),
            BadRecord::Unclosed => "the record has a quote that is never closed".to_owned(),
        }
    }

    /// The first that is wrong, as an error.
    fn fail(&self) -> Result<(), Error> {
        let misfit = self
            .misfits
            .first()
            .map(|misfit| (self.rows[misfit.row].0 as usize, misfit));
        let broken = self.broken.first();
        let (start, column, reason) = match (misfit, broken) {
            (None, None) => return Ok(()),
            (Some((start, misfit)), broken) if broken.is_none_or(|broken| start < broken.start) => {
                (
                    start,
                    Some(self.plan.columns[misfit.column].name.as_str()),
                    misfit.reason.to_owned(),
                )
            }
            (_, Some(broken)) => (broken.start, None, self.why(broken.why)),
            (Some(_), None) => return Ok(()),
        };
        let line = LineCounter::new(self.block).at(start);
        let place = column.map_or(String::new(), |column| format!(", column `{column}`"));
        let mut error = Error::contract(format!("stream `{}`: `{}` line {line}{place}: {reason}", self.plan.stream, self.file.path))
            .with_hint("`on_bad_value: quarantine` keeps such records aside; `types` gives a column another type")
            .with_fact("stream", self.plan.stream.as_str())
            .with_fact("file", self.file.path.as_str())
            .with_fact("line", line);
        if let Some(column) = column {
            error = error.with_fact("column", column);
        }
        Err(error)
    }
}

/// The lines of places that are asked for from left to right.
struct LineCounter<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> LineCounter<'a> {
    fn new(block: &'a Block) -> Self {
        Self {
            text: &block.bytes,
            at: 0,
            line: block.line + 1,
        }
    }

    fn at(&mut self, place: usize) -> i64 {
        self.line += lines(&self.text[self.at..place]);
        self.at = place;
        self.line as i64
    }
}
