//! list, from arrays whose items are of one type.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::FieldRef;

use super::validity::Validity;
use super::{Column, ColumnBuilder, Scratch};
use crate::json::{Broken, Cursor, Fault};
use crate::plan::{ColumnType, Leniency};

#[derive(Debug)]
pub(crate) struct ListColumn {
    item_field: FieldRef,
    item_name: &'static str,
    items: Column,
    /// Where each row ends; the first entry is 0.
    offsets: Vec<i32>,
    validity: Validity,
}

impl ListColumn {
    pub(crate) fn new(item: &ColumnType, leniency: Leniency) -> Self {
        Self {
            item_field: item.arrow_item(),
            item_name: item.name(),
            items: Column::new(item, leniency),
            offsets: vec![0],
            validity: Validity::default(),
        }
    }

    fn last_offset(&self) -> i32 {
        self.offsets.last().copied().unwrap_or(0)
    }
}

impl ColumnBuilder for ListColumn {
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        if at.byte() != b'[' {
            return Err(at.found());
        }
        at.pos += 1;
        let mut end = self.last_offset();
        at.skip_space();
        if at.byte() == b']' {
            at.pos += 1;
        } else {
            loop {
                if let Err(fault) = self.items.read_or_null(at, scratch) {
                    scratch.nested.get_or_insert(self.item_name);
                    return Err(fault);
                }
                end += 1;
                at.skip_space();
                match at.byte() {
                    b',' => at.pos += 1,
                    b']' => break,
                    _ => return Err(Broken::ExpectedCommaOrBracket.into()),
                }
                at.skip_space();
            }
            at.pos += 1;
        }
        self.offsets.push(end);
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.offsets.push(self.last_offset());
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.items.truncate(self.last_offset() as usize);
        self.validity.truncate(rows);
    }

    fn nbytes(&self) -> usize {
        self.items.nbytes() + self.offsets.len() * size_of::<i32>() + self.validity.nbytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Arc::new(ListArray::new(
            self.item_field.clone(),
            offsets,
            self.items.finish(),
            self.validity.finish(),
        ))
    }
}
