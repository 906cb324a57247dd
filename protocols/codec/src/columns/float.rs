//! float64.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};

use super::buffers::Fixed;
use super::integer::number_or_text;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault, exact_float};
use crate::plan::Leniency;

#[derive(Debug)]
pub(crate) struct FloatColumn {
    rows: Fixed<f64>,
    leniency: Leniency,
}

impl FloatColumn {
    pub(crate) fn new(leniency: Leniency) -> Self {
        Self {
            rows: Fixed::new(),
            leniency,
        }
    }

    #[cold]
    fn read_slowly(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        if let Some(value) = at.non_finite() {
            self.rows.push(value);
            return Ok(());
        }
        if self.leniency.non_finite_from_text && at.byte() == b'"' {
            let mut ahead = at.clone();
            let text = ahead.string()?.text(&mut scratch.text)?;
            let mut word = Cursor::new(text, 0);
            if let Some(value) = word.non_finite().filter(|_| word.pos == text.len()) {
                at.pos = ahead.pos;
                self.rows.push(value);
                return Ok(());
            }
        }
        let number = number_or_text(at, scratch, self.leniency)?;
        self.rows.push(number.to_f64()?);
        Ok(())
    }
}

impl ColumnBuilder for FloatColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let start = at.pos;
        let negative = at.byte() == b'-';
        at.pos += usize::from(negative);
        let whole_start = at.pos;
        let first = at.byte();
        let mut significand = 0_u64;
        let take_digits = |at: &mut Cursor<'_>, significand: &mut u64| {
            let from = at.pos;
            loop {
                let digit = at.byte().wrapping_sub(b'0');
                if digit > 9 {
                    return at.pos - from;
                }
                *significand = significand.wrapping_mul(10).wrapping_add(u64::from(digit));
                at.pos += 1;
            }
        };
        let whole = take_digits(at, &mut significand);
        let mut fraction = 0;
        let mut plain = whole > 0 && (first != b'0' || whole == 1);
        if at.byte() == b'.' {
            at.pos += 1;
            fraction = take_digits(at, &mut significand);
            plain &= fraction > 0;
        }
        // A leading zero is not significant, so 0.12345678901234567 has 17 digits; 19 fit into the significand.
        let count = whole + fraction - usize::from(first == b'0');
        if !plain
            || count > 17
            || matches!(at.byte(), b'e' | b'E')
            || (count > 15 && significand.is_multiple_of(10))
        {
            at.pos = start;
            return self.read_slowly(at, scratch);
        }
        let raw = &at.buf[start..at.pos];
        debug_assert_eq!(whole_start, start + usize::from(negative));
        self.rows.push(exact_float(
            raw,
            negative,
            significand,
            count,
            -(fraction as i64),
        )?);
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (values, nulls) = self.rows.finish();
        Arc::new(Float64Array::new(values.into(), nulls))
    }
}
