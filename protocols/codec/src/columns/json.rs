//! JSON text (utf8 with the extension type `arrow.json`): the value's bytes, exactly as sent.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

use super::buffers::Bytes;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault};

#[derive(Debug)]
pub(crate) struct JsonColumn {
    rows: Bytes,
}

impl JsonColumn {
    pub(crate) fn new() -> Self {
        Self { rows: Bytes::new() }
    }
}

impl ColumnBuilder for JsonColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, _scratch: &mut Scratch) -> Result<(), Fault> {
        let raw = at.raw()?;
        self.rows.values.extend_from_slice(raw);
        self.rows.close();
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (offsets, values, nulls) = self.rows.finish();
        Arc::new(StringArray::new(offsets, values, nulls))
    }
}
