//! One value, text or byte string a row, with offsets of 32 bits.

use std::sync::Arc;

use arrow_array::builder::GenericByteBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{
    Array, ArrayRef, BinaryArray, GenericByteArray, StringArray, UInt64Array, new_null_array,
};
use arrow_buffer::{ArrowNativeType, Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use arrow_select::take::take;

use super::convert::{Problem, Room};
use crate::encode::physical;

/// The values of a dictionary, or of runs, for each row.
pub(super) fn each_value(array: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Problem> {
    let Some((values, places)) = physical(array.as_ref()) else {
        return Err(Problem::Broken(
            "values that are said once are of an unknown kind".to_owned(),
        ));
    };
    if values.is_empty() {
        room.rows::<i64>(array.len())?;
        return Ok(new_null_array(values.data_type(), array.len()));
    }
    let is_null = |row: usize| array.is_null(row);
    let rows = || (0..array.len()).filter(|row| !is_null(*row));
    let lengths: usize = match values.data_type() {
        DataType::Utf8 => total(values.as_string::<i32>(), rows().map(|row| places[row])),
        DataType::LargeUtf8 => total(values.as_string::<i64>(), rows().map(|row| places[row])),
        DataType::Binary => total(values.as_binary::<i32>(), rows().map(|row| places[row])),
        DataType::LargeBinary => total(values.as_binary::<i64>(), rows().map(|row| places[row])),
        other => match other.primitive_width() {
            Some(_) => 0,
            None if matches!(
                other,
                DataType::Boolean | DataType::Utf8View | DataType::BinaryView
            ) =>
            {
                0
            }
            // What is nested may be of any size: as if each were all of them.
            None => values.get_array_memory_size().saturating_mul(array.len()),
        },
    };
    room.take(lengths)?;
    room.rows::<[i64; 3]>(array.len())?;
    let indices = UInt64Array::new(
        places.into_iter().map(|place| place as u64).collect(),
        array.nulls().cloned(),
    );
    Ok(take(values, &indices, None)?)
}

fn total<T: ByteArrayType>(
    values: &GenericByteArray<T>,
    places: impl Iterator<Item = usize>,
) -> usize {
    places
        .map(|place| values.value_length(place).as_usize())
        .sum()
}

pub(super) fn text(array: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Problem> {
    Ok(match array.data_type() {
        DataType::LargeUtf8 => {
            let (offsets, values) = narrowed(array.as_string::<i64>(), room)?;
            let nulls = array.nulls().cloned();
            // SAFETY: the same texts, with offsets that differ from theirs by the first one.
            #[allow(unsafe_code)]
            let made = unsafe { StringArray::new_unchecked(offsets, values, nulls) };
            Arc::new(made)
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Arc::new(built::<Utf8Type>(array, values.iter(), room)?)
        }
        _ => Arc::clone(array),
    })
}

pub(super) fn binary(array: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Problem> {
    Ok(match array.data_type() {
        DataType::LargeBinary => {
            let (offsets, values) = narrowed(array.as_binary::<i64>(), room)?;
            Arc::new(BinaryArray::try_new(
                offsets,
                values,
                array.nulls().cloned(),
            )?)
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            Arc::new(built::<BinaryType>(array, values.iter(), room)?)
        }
        DataType::FixedSizeBinary(width) => {
            let values = array.as_fixed_size_binary();
            room.rows::<i32>(array.len() + 1)?;
            let ends = (0..=array.len()).map(|row| i32::try_from(row * width.as_usize()));
            let offsets: ScalarBuffer<i32> = ends
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| Problem::TooLarge)?
                .into();
            Arc::new(BinaryArray::try_new(
                OffsetBuffer::new(offsets),
                values.values().clone(),
                array.nulls().cloned(),
            )?)
        }
        _ => Arc::clone(array),
    })
}

/// Offsets of 32 bits, from 0 on, and the values they point into.
fn narrowed<T: ByteArrayType<Offset = i64>>(
    array: &GenericByteArray<T>,
    room: &mut Room,
) -> Result<(OffsetBuffer<i32>, Buffer), Problem> {
    let offsets = array.value_offsets();
    let (first, last) = (offsets[0], offsets[array.len()]);
    i32::try_from(last - first).map_err(|_| Problem::TooLarge)?;
    room.rows::<i32>(offsets.len())?;
    let narrow: Vec<i32> = offsets
        .iter()
        .map(|offset| (offset - first) as i32)
        .collect();
    let values = array
        .values()
        .slice_with_length(first.as_usize(), (last - first).as_usize());
    Ok((OffsetBuffer::new(narrow.into()), values))
}

fn built<'a, T: ByteArrayType<Offset = i32>>(
    array: &ArrayRef,
    values: impl Iterator<Item = Option<&'a T::Native>> + Clone,
    room: &mut Room,
) -> Result<GenericByteArray<T>, Problem>
where
    T::Native: AsRef<[u8]> + 'a,
{
    let bytes = values
        .clone()
        .flatten()
        .map(|value| AsRef::<[u8]>::as_ref(value).len())
        .sum();
    i32::try_from(bytes).map_err(|_| Problem::TooLarge)?;
    room.take(bytes)?;
    room.rows::<i32>(array.len() + 1)?;
    let mut builder = GenericByteBuilder::<T>::with_capacity(array.len(), bytes);
    for value in values {
        builder.append_option(value);
    }
    Ok(builder.finish())
}
