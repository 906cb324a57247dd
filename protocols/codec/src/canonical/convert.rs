//! Arrays to canonical arrays.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_schema::DataType;

use super::CanonicalError;
use super::types::Step;
use super::{decimals, flat, json, lists, moments};

/// Why an array cannot be converted.
#[derive(Debug)]
pub(super) enum Problem {
    /// What a value is not.
    Value(&'static str),
    /// The same, and a type that the column could have.
    Choose(&'static str),
    TooLarge,
    Broken(String),
}

impl Problem {
    pub(super) fn of(self, column: &str) -> CanonicalError {
        let lossy = |reason: &str, hint| CanonicalError::Lossy {
            column: column.to_owned(),
            reason: reason.to_owned(),
            hint,
        };
        match self {
            Self::Value(reason) => lossy(reason, None),
            Self::Choose(reason) => {
                let hint = format!(
                    "give the column another type in the job: `types: {{{column}: string}}`"
                );
                lossy(reason, Some(hint))
            }
            Self::TooLarge => CanonicalError::TooLarge(column.to_owned()),
            Self::Broken(reason) => CanonicalError::Broken(format!("column `{column}`: {reason}")),
        }
    }
}

impl From<arrow_schema::ArrowError> for Problem {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// How many bytes may still be made.
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(super) fn left(&self) -> usize {
        self.0
    }

    /// Takes so many, before they are made.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        self.0 = self.0.checked_sub(bytes).ok_or(Problem::TooLarge)?;
        Ok(())
    }

    /// Takes what `rows` values of `T` need.
    pub(super) fn rows<T>(&mut self, rows: usize) -> Result<(), Problem> {
        self.take(rows.checked_mul(size_of::<T>()).ok_or(Problem::TooLarge)?)
    }
}

/// Does what the step says.
pub(super) fn convert(array: &ArrayRef, step: &Step, room: &mut Room) -> Result<ArrayRef, Problem> {
    /// Each value in another type that holds them all.
    macro_rules! widened {
        ($from:ty => $to:ty) => {{
            room.rows::<i64>(array.len())?;
            let made = array.as_primitive::<$from>().unary::<_, $to>(Into::into);
            Ok(Arc::new(made))
        }};
    }
    match step {
        Step::Keep => Ok(Arc::clone(array)),
        Step::Flat(then) => convert(&flat::each_value(array, room)?, then, room),
        Step::Nulls => {
            room.rows::<i64>(array.len())?;
            Ok(arrow_array::new_null_array(&DataType::Utf8, array.len()))
        }
        Step::Integer => match array.data_type() {
            DataType::Int8 => widened!(Int8Type => Int64Type),
            DataType::Int16 => widened!(Int16Type => Int64Type),
            DataType::Int32 => widened!(Int32Type => Int64Type),
            DataType::UInt8 => widened!(UInt8Type => Int64Type),
            DataType::UInt16 => widened!(UInt16Type => Int64Type),
            _ => widened!(UInt32Type => Int64Type),
        },
        Step::Unsigned => {
            room.rows::<i128>(array.len())?;
            let made = array
                .as_primitive::<UInt64Type>()
                .unary::<_, Decimal128Type>(i128::from);
            Ok(Arc::new(made.with_precision_and_scale(20, 0)?))
        }
        Step::Float => match array.data_type() {
            DataType::Float16 => widened!(Float16Type => Float64Type),
            _ => widened!(Float32Type => Float64Type),
        },
        Step::Decimal(rescale) => decimals::rescaled(array, rescale, room),
        Step::Text => flat::text(array, room),
        Step::JsonText => json::checked(flat::text(array, room)?),
        Step::Binary => flat::binary(array, room),
        Step::Date => moments::date(array, room),
        Step::Clock => moments::clock(array, room),
        Step::Moment(zone) => moments::moment(array, zone.clone(), room),
        Step::Duration => moments::duration(array, room),
        Step::ToJson => json::written(array, false, room),
        Step::ToText => json::written(array, true, room),
        Step::Struct(fields) => {
            let given = array.as_struct();
            let columns = fields
                .iter()
                .zip(given.columns())
                .map(|((_, step), column)| convert(column, step, room));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let fields = fields.iter().map(|(field, _)| Arc::clone(field)).collect();
            let nulls = given.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(
                fields,
                columns,
                nulls,
                array.len(),
            )?))
        }
        Step::List(item, step) => lists::list(array, item, step, room),
    }
}
