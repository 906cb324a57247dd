//! binary, from base64 text (RFC 4648, standard alphabet; padding may be left out).

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::buffers::Bytes;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault, Problem};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug)]
pub(crate) struct BinaryColumn {
    rows: Bytes,
}

impl BinaryColumn {
    pub(crate) fn new() -> Self {
        Self { rows: Bytes::new() }
    }
}

impl ColumnBuilder for BinaryColumn {
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        if at.byte() != b'"' {
            return Err(at.found());
        }
        let text = at.string()?.text(&mut scratch.text)?;
        BASE64
            .decode_vec(text, &mut self.rows.values)
            .map_err(|_| Problem::NotBase64)?;
        self.rows.close();
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (offsets, values, nulls) = self.rows.finish();
        Arc::new(BinaryArray::new(offsets, values, nulls))
    }
}
