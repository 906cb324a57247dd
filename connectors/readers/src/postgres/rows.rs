//! Rows of a binary COPY into columns, batch by batch.

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
use dativo_codec::RejectsBuilder;

use super::columns::Column;
use super::input::Fault;
use super::kind::Kind;
use super::text::{quote, write_json, write_text};
use super::tuples::{Broken, END, field, header, is_finite, is_same};

/// How many rows, and how long a row, may pass before a batch is measured again.
const MANY_ROWS: usize = 128;
const MANY_BYTES: usize = 4096;

/// What happens to a cell that its column does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnBadValue {
    /// The row becomes a reject.
    Reject,
    /// The cell is null.
    Null,
}

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub rows: usize,
    pub bytes: usize,
}

/// Rows on their way into a batch.
pub(super) struct Rows {
    kinds: Vec<Kind>,
    columns: Vec<Column>,
    schema: SchemaRef,
    on_bad_value: OnBadValue,
    rows: usize,
    rejects: RejectsBuilder,
    /// Rows so far, rejected ones too.
    line: i64,
    /// Bytes of the stream that are not decoded yet.
    kept: Vec<u8>,
    /// How many are needed at least to go on.
    needed: usize,
    stage: Stage,
    cursor: Option<Follow>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Tuples,
    Ended,
}

/// The column by which rows are ordered.
struct Follow {
    column: usize,
    /// Rows of equal values are not to be torn apart.
    whole_groups: bool,
    /// Its value in the last row that has a finite one, as it was sent.
    last: Option<Vec<u8>>,
}

/// What a row is.
enum Tuple {
    Row {
        len: usize,
    },
    /// The batch was to end before this one.
    Held,
    End,
    Incomplete {
        needed: usize,
    },
}

impl Rows {
    pub(super) fn new(kinds: Vec<Kind>, schema: SchemaRef, on_bad_value: OnBadValue) -> Self {
        Self {
            columns: kinds.iter().map(Column::new).collect(),
            kinds,
            schema,
            on_bad_value,
            rows: 0,
            rejects: RejectsBuilder::default(),
            line: 0,
            kept: Vec::new(),
            needed: 0,
            stage: Stage::Header,
            cursor: None,
        }
    }

    /// Follows a column by which the rows are ordered; with `whole_groups` a batch ends where its value changes, if it can.
    pub(super) fn follow(&mut self, column: usize, whole_groups: bool) {
        self.cursor = Some(Follow {
            column,
            whole_groups,
            last: None,
        });
    }

    /// Keeps bytes of the stream for later.
    pub(super) fn keep(&mut self, data: &[u8]) {
        self.kept.extend_from_slice(data);
    }

    /// Whether there is neither a row nor a reject.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0 && self.rejects.is_empty()
    }

    /// Whether the stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether the batch holds what it may.
    pub(super) fn is_full(&self, limits: Limits) -> bool {
        self.rows + self.rejects.len() >= limits.rows || self.nbytes() >= limits.bytes
    }

    /// Whether the batch may end as soon as the cursor's value changes.
    fn may_end(&self, limits: Limits) -> bool {
        let early = Limits {
            rows: limits.rows - limits.rows / 4,
            bytes: limits.bytes - limits.bytes / 4,
        };
        !self.is_empty() && self.is_full(early)
    }

    fn nbytes(&self) -> usize {
        self.columns.iter().map(Column::nbytes).sum::<usize>() + self.rejects.nbytes()
    }

    /// Decodes what was kept; true when the batch is to end here.
    pub(super) fn resume(&mut self, limits: Limits) -> Result<bool, Broken> {
        let kept = std::mem::take(&mut self.kept);
        self.push(&kept, limits)
    }

    /// Takes the next bytes of the stream; true when the batch is to end here. What is not decoded is kept.
    pub(super) fn push(&mut self, data: &[u8], limits: Limits) -> Result<bool, Broken> {
        let joined;
        let mut rest = data;
        if !self.kept.is_empty() {
            self.kept.extend_from_slice(data);
            if self.kept.len() < self.needed {
                return Ok(false);
            }
            joined = std::mem::take(&mut self.kept);
            rest = &joined;
        }
        self.needed = 0;
        if self.stage == Stage::Header && !rest.is_empty() {
            match header(rest)? {
                Some(len) => rest = &rest[len..],
                None => {
                    self.kept = rest.to_vec();
                    return Ok(false);
                }
            }
            self.stage = Stage::Tuples;
        }
        let mut ends = false;
        while !rest.is_empty() && !ends {
            if self.stage == Stage::Ended {
                return Err(Broken("bytes behind the end of the rows"));
            }
            let tuple = self.tuple(rest, limits);
            if !matches!(tuple, Ok(Tuple::Row { .. })) {
                self.roll_back();
            }
            match tuple? {
                Tuple::Row { len } => {
                    rest = &rest[len..];
                    // Sizes are added up now and then.
                    let rows = self.rows + self.rejects.len();
                    ends = rows >= limits.rows
                        || ((len > MANY_BYTES || rows.is_multiple_of(MANY_ROWS))
                            && self.nbytes() >= limits.bytes);
                }
                Tuple::Held => ends = true,
                Tuple::End => {
                    self.stage = Stage::Ended;
                    rest = &rest[2..];
                }
                Tuple::Incomplete { needed } => {
                    self.needed = needed;
                    break;
                }
            }
        }
        self.kept.extend_from_slice(rest);
        Ok(ends)
    }

    /// Decodes the row that `data` starts with.
    #[inline(always)]
    fn tuple(&mut self, data: &[u8], limits: Limits) -> Result<Tuple, Broken> {
        let Some((&count, mut rest)) = data.split_first_chunk::<2>() else {
            return Ok(Tuple::Incomplete { needed: 2 });
        };
        match i16::from_be_bytes(count) {
            -1 => return Ok(Tuple::End),
            count if count as usize != self.columns.len() => {
                return Err(Broken("a row with another number of columns"));
            }
            _ => {}
        }
        let mut bad = None;
        for column in 0..self.columns.len() {
            let Some((&len, behind)) = rest.split_first_chunk::<4>() else {
                return Ok(Tuple::Incomplete {
                    needed: data.len() - rest.len() + 4,
                });
            };
            rest = behind;
            let cell = match i32::from_be_bytes(len) {
                -1 => None,
                len => {
                    let len =
                        usize::try_from(len).map_err(|_| Broken("a field of negative length"))?;
                    let Some((cell, behind)) = rest.split_at_checked(len) else {
                        return Ok(Tuple::Incomplete {
                            needed: data.len() - rest.len() + len,
                        });
                    };
                    rest = behind;
                    Some(cell)
                }
            };
            if let Err(fault) = self.columns[column].append(cell) {
                self.columns[column].truncate(self.rows);
                self.columns[column].append_null();
                match fault {
                    Fault::Malformed => return Err(Broken("a value that is not one of its type")),
                    Fault::Value(reason) => bad = bad.or(Some((column, reason))),
                }
            }
        }
        let len = data.len() - rest.len();
        if self.holds_back(&data[..len], limits) {
            return Ok(Tuple::Held);
        }
        self.line += 1;
        let null_is_bad = |column: usize| !self.schema.field(column).is_nullable();
        match bad {
            Some((column, reason))
                if self.on_bad_value == OnBadValue::Reject || null_is_bad(column) =>
            {
                self.reject(&data[..len], column, reason);
            }
            _ => self.rows += 1,
        }
        Ok(Tuple::Row { len })
    }

    /// Takes back what there is of a row that is none.
    #[cold]
    fn roll_back(&mut self) {
        let rows = self.rows;
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(rows));
    }

    /// Follows the cursor; true when its value is another and the batch may end.
    #[inline(always)]
    fn holds_back(&mut self, tuple: &[u8], limits: Limits) -> bool {
        let Some(cursor) = &self.cursor else {
            return false;
        };
        let Some(cell) = field(tuple, cursor.column) else {
            return false;
        };
        let kind = &self.kinds[cursor.column];
        let same = cursor
            .last
            .as_deref()
            .is_some_and(|last| is_same(kind, last, cell));
        if cursor.whole_groups && !same && self.may_end(limits) {
            return true;
        }
        if let (false, true, Some(cursor)) = (same, is_finite(kind, cell), &mut self.cursor) {
            let last = cursor.last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(cell);
        }
        false
    }

    #[cold]
    fn reject(&mut self, tuple: &[u8], column: usize, reason: &str) {
        self.roll_back();
        let mut record = vec![b'{'];
        for (place, name) in self.schema.fields().iter().enumerate() {
            if place > 0 {
                record.push(b',');
            }
            quote(name.name(), &mut record);
            record.push(b':');
            let start = record.len();
            let written =
                field(tuple, place).map(|cell| write_json(&self.kinds[place], cell, &mut record));
            if !matches!(written, Some(Ok(()))) {
                record.truncate(start);
                match field(tuple, place) {
                    // Text in another encoding than it is said to have.
                    Some(cell) => quote(&String::from_utf8_lossy(cell), &mut record),
                    None => record.extend_from_slice(b"null"),
                }
            }
        }
        record.push(b'}');
        let name = self.schema.field(column).name();
        self.rejects.push(self.line, Some(name), reason, &record);
    }

    /// The cursor's value in the last row that has a finite one, as text.
    pub(super) fn last_cursor(&self) -> Option<String> {
        let cursor = self.cursor.as_ref()?;
        let mut out = Vec::new();
        write_text(
            &self.kinds[cursor.column],
            cursor.last.as_deref()?,
            &mut out,
        )
        .ok()?;
        String::from_utf8(out).ok()
    }

    /// Whether the next row is known to have another value of the cursor.
    pub(super) fn is_between_groups(&self) -> bool {
        let Some(Follow {
            column,
            last: Some(last),
            ..
        }) = &self.cursor
        else {
            return false;
        };
        let next = field(&self.kept, *column);
        self.has_ended()
            || self.kept.starts_with(&END)
            || next.is_some_and(|next| !is_same(&self.kinds[*column], last, next))
    }

    /// Whether groups are not to be torn apart, and the next row is not here yet.
    pub(super) fn wants_next(&self) -> bool {
        self.kept.is_empty()
            && self
                .cursor
                .as_ref()
                .is_some_and(|cursor| cursor.whole_groups)
    }

    /// Begins a stream anew; rows are counted on.
    pub(super) fn restart(&mut self) {
        self.kept.clear();
        self.needed = 0;
        self.stage = Stage::Header;
        self.cursor = None;
    }

    /// Hands over the rows and the rejects, where there are any, and starts anew.
    pub(super) fn finish(
        &mut self,
    ) -> Result<(Option<RecordBatch>, Option<RecordBatch>), ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let rejects = self.rejects.finish();
        if rows == 0 {
            return Ok((None, rejects));
        }
        let arrays: Vec<ArrayRef> = self
            .columns
            .iter_mut()
            .map(Column::finish)
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), arrays, &options)?;
        Ok((Some(batch), rejects))
    }
}
