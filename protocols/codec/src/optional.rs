//! Columns that a batch has only when one of its rows needs them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, FieldRef};

use crate::columns::{ColumnBuilder, TextColumn};
use crate::plan::{Leniency, json_metadata};
use crate::unify::ROLE_KEY;

/// JSON text for some rows; null for the others.
#[derive(Debug)]
pub(crate) struct OptionalColumn {
    name: &'static str,
    role: &'static str,
    rows: TextColumn,
}

impl OptionalColumn {
    pub(crate) fn new(name: &'static str, role: &'static str) -> Self {
        Self {
            name,
            role,
            rows: TextColumn::new(Leniency::default()),
        }
    }

    /// Gives `row` a text, which must be valid UTF-8; rows skipped since the last call are null.
    pub(crate) fn push(&mut self, row: usize, text: &[u8]) {
        self.pad(row);
        self.rows.push(text);
    }

    /// The text of `row`, which is the last one, taken out.
    pub(crate) fn take(&mut self, row: usize) -> Option<Vec<u8>> {
        let text =
            (self.rows.len() == row + 1).then(|| self.rows.last_text().map(<[u8]>::to_vec))?;
        self.rows.truncate(row);
        text
    }

    fn pad(&mut self, rows: usize) {
        while self.rows.len() < rows {
            self.rows.push_null();
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        if self.rows.len() > rows {
            self.rows.truncate(rows);
        }
    }

    pub(crate) fn nbytes(&self) -> usize {
        if self.rows.len() == 0 {
            0
        } else {
            self.rows.nbytes()
        }
    }

    /// The column, if one of the batch's rows has a text in it; starts anew.
    pub(crate) fn finish(&mut self, rows: usize) -> Option<(FieldRef, ArrayRef)> {
        if self.rows.len() == 0 {
            return None;
        }
        self.pad(rows);
        let array = self.rows.finish();
        (array.null_count() < rows).then(|| (self.field(), array))
    }

    fn field(&self) -> FieldRef {
        let mut metadata: HashMap<String, String> = json_metadata();
        metadata.insert(ROLE_KEY.to_owned(), self.role.to_owned());
        Arc::new(Field::new(self.name, DataType::Utf8, true).with_metadata(metadata))
    }
}
