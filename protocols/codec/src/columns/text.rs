//! utf8.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

use super::buffers::Bytes;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault, Number, Problem, block_masks};
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

    /// The last row's text.
    pub(crate) fn last_text(&self) -> Option<&[u8]> {
        self.rows.last()
    }

    /// Takes a string without escapes, scanned and copied in one go: most are, and most are short, so that a call to copy
    /// them would cost more than the copy. Otherwise takes nothing.
    #[inline]
    fn read_plain(&mut self, at: &mut Cursor<'_>) -> Result<bool, Problem> {
        let values = &mut self.rows.values;
        let row_start = values.len();
        let mut from = at.pos + 1;
        let mut any_wide = 0;
        while let Some(block) = at.buf.get(from..).and_then(|rest| rest.first_chunk::<16>()) {
            let (stops, wide) = block_masks(block);
            values.extend_from_slice(block);
            any_wide |= wide & stops.wrapping_sub(1) & !stops;
            if stops == 0 {
                from += 16;
                continue;
            }
            let len = stops.trailing_zeros() as usize;
            if block.get(len) != Some(&b'"') {
                break;
            }
            values.truncate(values.len() - 16 + len);
            if any_wide != 0 && simdutf8::basic::from_utf8(&values[row_start..]).is_err() {
                return Err(Problem::InvalidUtf8);
            }
            at.pos = from + len + 1;
            return Ok(true);
        }
        values.truncate(row_start);
        Ok(false)
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
        if !self.read_plain(at)? {
            at.string()?.append_to(&mut self.rows.values)?;
        }
        self.rows.close();
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (offsets, values, nulls) = self.rows.finish();
        Arc::new(StringArray::new(offsets, values, nulls))
    }
}
