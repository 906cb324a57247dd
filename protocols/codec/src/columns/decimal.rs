//! decimal128.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array};
use arrow_schema::DataType;

use super::buffers::Fixed;
use super::integer::number_or_text;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault};
use crate::plan::Leniency;

#[derive(Debug)]
pub(crate) struct DecimalColumn {
    rows: Fixed<i128>,
    precision: u8,
    scale: i8,
    leniency: Leniency,
}

impl DecimalColumn {
    pub(crate) fn new(precision: u8, scale: i8, leniency: Leniency) -> Self {
        Self {
            rows: Fixed::new(),
            precision,
            scale,
            leniency,
        }
    }
}

impl ColumnBuilder for DecimalColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let number = number_or_text(at, scratch, self.leniency)?;
        self.rows
            .push(number.to_decimal(self.precision, self.scale)?);
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (values, nulls) = self.rows.finish();
        let array = Decimal128Array::new(values.into(), nulls);
        Arc::new(array.with_data_type(DataType::Decimal128(self.precision, self.scale)))
    }
}
