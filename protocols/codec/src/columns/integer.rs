//! int64.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};

use super::buffers::Fixed;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault, Number, Problem};
use crate::plan::Leniency;

#[derive(Debug)]
pub(crate) struct IntegerColumn {
    rows: Fixed<i64>,
    leniency: Leniency,
}

impl IntegerColumn {
    pub(crate) fn new(leniency: Leniency) -> Self {
        Self {
            rows: Fixed::new(),
            leniency,
        }
    }

    /// Everything but a plain integer of up to 18 digits.
    #[cold]
    fn read_slowly(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let number = number_or_text(at, scratch, self.leniency)?;
        self.rows.push(number.to_i64()?);
        Ok(())
    }
}

/// Takes a number, or a string that holds one where that is allowed.
pub(crate) fn number_or_text<'t, 'b: 't>(
    at: &mut Cursor<'b>,
    scratch: &'t mut Scratch,
    leniency: Leniency,
) -> Result<Number<'t>, Fault> {
    match at.byte() {
        b'0'..=b'9' => Ok(Number::read(at)?),
        b'-' if at.buf.get(at.pos + 1) != Some(&b'I') => Ok(Number::read(at)?),
        b'"' if leniency.numbers_from_text => {
            let text = at.string()?.text(&mut scratch.text)?;
            Number::parse(text).ok_or(Fault::Bad(Problem::NotANumber))
        }
        _ => Err(at.found()),
    }
}

impl ColumnBuilder for IntegerColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let start = at.pos;
        let negative = at.byte() == b'-';
        at.pos += usize::from(negative);
        let first = at.byte();
        let digits_start = at.pos;
        let mut magnitude = 0_i64;
        loop {
            let digit = at.byte().wrapping_sub(b'0');
            if digit > 9 || at.pos - digits_start == 19 {
                break;
            }
            magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit));
            at.pos += 1;
        }
        let count = at.pos - digits_start;
        let more = matches!(at.byte(), b'.' | b'e' | b'E');
        if count == 0 || count > 18 || more || (first == b'0' && count > 1) {
            at.pos = start;
            return self.read_slowly(at, scratch);
        }
        self.rows
            .push(if negative { -magnitude } else { magnitude });
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (values, nulls) = self.rows.finish();
        Arc::new(Int64Array::new(values.into(), nulls))
    }
}
