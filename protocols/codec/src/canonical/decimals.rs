//! Decimals of any width, and integers, as decimal128 of another scale.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::convert::{Problem, Room};

const DIGITS: u8 = 38;

/// What becomes of the digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rescale {
    precision: u8,
    scale: i8,
    /// So many more decimal places than before.
    places: i32,
    /// No value can be too long.
    fits: bool,
}

impl Rescale {
    /// The decimal128 for a decimal type: with a scale that is neither negative nor beyond the precision. `None` when 38 digits do
    /// not do.
    pub(super) fn canonical(precision: u8, scale: i8, from: &DataType) -> Option<Self> {
        let (digits, places) = (i32::from(precision), i32::from(scale));
        let digits = if places < 0 {
            digits - places
        } else {
            digits.max(places)
        };
        let precision = u8::try_from(digits)
            .ok()
            .filter(|digits| *digits <= DIGITS)?;
        Self::to(precision, scale.max(0), from)
    }

    /// A decimal type that a job names; `None` when `from` is no number of this kind.
    pub(super) fn to(precision: u8, scale: i8, from: &DataType) -> Option<Self> {
        let (digits, before) = match from {
            DataType::Decimal32(digits, scale)
            | DataType::Decimal64(digits, scale)
            | DataType::Decimal128(digits, scale)
            | DataType::Decimal256(digits, scale) => (i32::from(*digits), *scale),
            DataType::Int8 | DataType::UInt8 => (3, 0),
            DataType::Int16 | DataType::UInt16 => (5, 0),
            DataType::Int32 | DataType::UInt32 => (10, 0),
            DataType::Int64 => (19, 0),
            DataType::UInt64 => (20, 0),
            _ => return None,
        };
        let places = i32::from(scale) - i32::from(before);
        let whole = i32::from(precision) - i32::from(scale);
        Some(Self {
            precision,
            scale,
            places,
            fits: places >= 0 && digits - i32::from(before) <= whole,
        })
    }

    pub(super) fn data_type(self) -> DataType {
        DataType::Decimal128(self.precision, self.scale)
    }

    fn apply(&self, value: i128) -> Result<i128, Problem> {
        let power = 10_i128.checked_pow(self.places.unsigned_abs());
        let made = if self.places >= 0 {
            power.and_then(|power| value.checked_mul(power))
        } else {
            match power {
                Some(power) if value % power == 0 => Some(value / power),
                None if value == 0 => Some(0),
                _ => {
                    return Err(Problem::Choose(
                        "a number has more decimal places than the type",
                    ));
                }
            }
        };
        made.filter(|made| made.unsigned_abs() < 10_u128.pow(u32::from(self.precision)))
            .ok_or(Problem::Choose("a number has more digits than the type"))
    }
}

pub(super) fn rescaled(
    array: &ArrayRef,
    rescale: &Rescale,
    room: &mut Room,
) -> Result<ArrayRef, Problem> {
    room.rows::<i128>(array.len())?;
    /// The values of a type that fits into an i128.
    macro_rules! from {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>();
            if rescale.places == 0 && rescale.fits {
                values.unary::<_, Decimal128Type>(i128::from)
            } else {
                values
                    .try_unary::<_, Decimal128Type, _>(|value| rescale.apply(i128::from(value)))?
            }
        }};
    }
    let made = match array.data_type() {
        DataType::Int8 => from!(Int8Type),
        DataType::Int16 => from!(Int16Type),
        DataType::Int32 => from!(Int32Type),
        DataType::Int64 => from!(Int64Type),
        DataType::UInt8 => from!(UInt8Type),
        DataType::UInt16 => from!(UInt16Type),
        DataType::UInt32 => from!(UInt32Type),
        DataType::UInt64 => from!(UInt64Type),
        DataType::Decimal32(..) => from!(Decimal32Type),
        DataType::Decimal64(..) => from!(Decimal64Type),
        DataType::Decimal128(..) => from!(Decimal128Type),
        _ => array
            .as_primitive::<Decimal256Type>()
            .try_unary::<_, Decimal128Type, _>(|value| {
                let value = value.to_i128();
                rescale.apply(value.ok_or(Problem::Choose("a number has more than 38 digits"))?)
            })?,
    };
    Ok(Arc::new(made.with_precision_and_scale(
        rescale.precision,
        rescale.scale,
    )?))
}
