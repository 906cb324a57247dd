//! bool.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, Buffer};

use super::validity::Validity;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault};

#[derive(Debug)]
pub(crate) struct BooleanColumn {
    /// One bit per row; bits behind the last row are zero.
    bits: Vec<u8>,
    validity: Validity,
}

impl BooleanColumn {
    pub(crate) fn new() -> Self {
        Self {
            bits: Vec::new(),
            validity: Validity::default(),
        }
    }

    #[inline]
    fn push_bit(&mut self, bit: bool) {
        let row = self.validity.len();
        if row / 8 == self.bits.len() {
            self.bits.push(0);
        }
        self.bits[row / 8] |= u8::from(bit) << (row % 8);
    }
}

impl ColumnBuilder for BooleanColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, _scratch: &mut Scratch) -> Result<(), Fault> {
        let value = at.word(b"true");
        if !value && !at.word(b"false") {
            return Err(at.found());
        }
        self.push_bit(value);
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.push_bit(false);
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.bits.truncate(rows.div_ceil(8));
        if !rows.is_multiple_of(8)
            && let Some(last) = self.bits.get_mut(rows / 8)
        {
            *last &= !(0xFF << (rows % 8));
        }
        self.validity.truncate(rows);
    }

    fn nbytes(&self) -> usize {
        self.bits.len() + self.validity.nbytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let len = self.validity.len();
        let room = Vec::with_capacity(self.bits.len());
        let bits = std::mem::replace(&mut self.bits, room);
        Arc::new(BooleanArray::new(
            BooleanBuffer::new(Buffer::from_vec(bits), 0, len),
            self.validity.finish(),
        ))
    }
}
