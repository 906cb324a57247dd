//! `date32`, `timestamp[us]` and `time64[us]`, from text.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Time64MicrosecondArray, TimestampMicrosecondArray};

use super::buffers::Fixed;
use super::{ColumnBuilder, Scratch};
use crate::json::{Cursor, Fault, Problem};
use crate::temporal::{parse_date, parse_time, parse_timestamp};

/// Takes a string and gives what `parse` makes of its text.
#[inline(always)]
fn read_text<T>(
    at: &mut Cursor<'_>,
    scratch: &mut Scratch,
    parse: impl FnOnce(&[u8]) -> Result<T, Problem>,
) -> Result<T, Fault> {
    if at.byte() != b'"' {
        return Err(at.found());
    }
    let text = at.string()?.text(&mut scratch.text)?;
    Ok(parse(text)?)
}

#[derive(Debug)]
pub(crate) struct DateColumn {
    rows: Fixed<i32>,
}

impl DateColumn {
    pub(crate) fn new() -> Self {
        Self { rows: Fixed::new() }
    }
}

impl ColumnBuilder for DateColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let days = read_text(at, scratch, parse_date)?;
        self.rows.push(days);
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (values, nulls) = self.rows.finish();
        Arc::new(Date32Array::new(values.into(), nulls))
    }
}

#[derive(Debug)]
pub(crate) struct TimestampColumn {
    rows: Fixed<i64>,
    /// Zone of the column: instants. Without one: wall clock readings, which must have none either.
    zone: Option<Arc<str>>,
}

impl TimestampColumn {
    pub(crate) fn new(zone: Option<Arc<str>>) -> Self {
        Self {
            rows: Fixed::new(),
            zone,
        }
    }
}

impl ColumnBuilder for TimestampColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let value = read_text(at, scratch, parse_timestamp)?;
        if value.zoned && self.zone.is_none() {
            return Err(Fault::Bad(Problem::HasZone));
        }
        self.rows.push(value.micros);
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (values, nulls) = self.rows.finish();
        Arc::new(
            TimestampMicrosecondArray::new(values.into(), nulls)
                .with_timezone_opt(self.zone.clone()),
        )
    }
}

#[derive(Debug)]
pub(crate) struct TimeColumn {
    rows: Fixed<i64>,
}

impl TimeColumn {
    pub(crate) fn new() -> Self {
        Self { rows: Fixed::new() }
    }
}

impl ColumnBuilder for TimeColumn {
    #[inline]
    fn read(&mut self, at: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let micros = read_text(at, scratch, parse_time)?;
        self.rows.push(micros);
        Ok(())
    }

    over_rows!();

    fn finish(&mut self) -> ArrayRef {
        let (values, nulls) = self.rows.finish();
        Arc::new(Time64MicrosecondArray::new(values.into(), nulls))
    }
}
