//! struct, from objects. Absent properties are null; see [`crate::Nested::Struct`] for unknown ones.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_schema::Fields;

use super::validity::Validity;
use super::{Column, ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault};
use crate::keys::{END, KeyReader, START};
use crate::plan::{Leniency, Shape};

#[derive(Debug)]
pub(crate) struct StructColumn {
    shape: Arc<Shape>,
    fields: Fields,
    keys: KeyReader,
    columns: Vec<Column>,
    /// Serial number of the object in which a property was last seen.
    seen: Vec<u64>,
    serial: u64,
    validity: Validity,
}

impl StructColumn {
    pub(crate) fn new(shape: Arc<Shape>, leniency: Leniency) -> Self {
        let columns: Vec<Column> = shape
            .types()
            .map(|column_type| Column::new(column_type, leniency))
            .collect();
        Self {
            fields: shape.arrow_fields(),
            keys: KeyReader::new(shape.keys.clone()),
            seen: vec![0; columns.len()],
            serial: 0,
            validity: Validity::default(),
            columns,
            shape,
        }
    }
}

impl ColumnBuilder for StructColumn {
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        if at.byte() != b'{' {
            return Err(at.found());
        }
        let row = self.validity.len();
        self.serial += 1;
        let mut filled = 0;
        let mut slot = self.keys.next(START, at, &mut scratch.text)?;
        while slot != END {
            if let Some(column) = self.columns.get_mut(slot) {
                if self.seen[slot] == self.serial {
                    column.truncate(row);
                } else {
                    self.seen[slot] = self.serial;
                    filled += 1;
                }
                if let Err(fault) = column.read_or_null(at, scratch) {
                    scratch.nested.get_or_insert(self.shape.type_name(slot));
                    return Err(fault);
                }
            } else {
                scratch.outside = true;
                at.skip()?;
            }
            slot = self.keys.next(slot, at, &mut scratch.text)?;
        }
        if filled < self.columns.len() {
            for (column, seen) in self.columns.iter_mut().zip(&self.seen) {
                if *seen != self.serial {
                    column.push_null();
                }
            }
        }
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(rows));
        self.validity.truncate(rows);
    }

    fn nbytes(&self) -> usize {
        self.columns.iter().map(Column::nbytes).sum::<usize>() + self.validity.nbytes()
    }

    fn finish(&mut self) -> ArrayRef {
        let rows = self.validity.len();
        let nulls = self.validity.finish();
        if self.columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, nulls));
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        Arc::new(StructArray::new(self.fields.clone(), arrays, nulls))
    }
}
