//! utf8.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

use super::buffers::Bytes;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault, Number};
use crate::plan::Leniency;

#[derive(Debug)]
pub(crate) struct TextColumn {
    rows: Bytes,
    leniency: Leniency,
}

impl TextColumn {
    pub(crate) fn new(leniency: Leniency) -> Self {
        Self {
            rows: Bytes::new(),
            leniency,
        }
    }

    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Appends a row of text, which must be valid UTF-8.
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.rows.values.extend_from_slice(text);
        self.rows.close();
    }

    /// The text of a number or a boolean, exactly as sent.
    #[cold]
    fn read_scalar(&mut self, at: &mut Cursor<'_>) -> Result<(), Fault> {
        if !self.leniency.text_from_scalars {
            return Err(at.found());
        }
        let start = at.pos;
        match at.byte() {
            b'0'..=b'9' => drop(Number::read(at)?),
            b'-' if at.buf.get(at.pos + 1) != Some(&b'I') => drop(Number::read(at)?),
            _ if at.word(b"true") || at.word(b"false") => {}
            _ => return Err(at.found()),
        }
        self.rows.values.extend_from_slice(&at.buf[start..at.pos]);
        self.rows.close();
        Ok(())
    }
}

impl ColumnBuilder for TextColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, _scratch: &mut Scratch) -> Result<(), Fault> {
        if at.byte() != b'"' {
            return self.read_scalar(at);
        }
        at.string()?.append_to(&mut self.rows.values)?;
        self.rows.close();
        Ok(())
    }

    fn push_null(&mut self) {
        self.rows.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    fn nbytes(&self) -> usize {
        self.rows.nbytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let (offsets, values, nulls) = self.rows.finish();
        Arc::new(StringArray::new(offsets, values, nulls))
    }
}
