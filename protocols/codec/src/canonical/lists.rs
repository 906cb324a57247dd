//! Lists of any kind, and maps, as lists with offsets of 32 bits.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, UInt64Array};
use arrow_buffer::{ArrowNativeType, OffsetBuffer};
use arrow_schema::{DataType, FieldRef};
use arrow_select::take::take;

use super::convert::{Problem, Room, convert};
use super::types::Step;

pub(super) fn list(
    array: &ArrayRef,
    item: &FieldRef,
    step: &Step,
    room: &mut Room,
) -> Result<ArrayRef, Problem> {
    room.rows::<i64>(array.len() + 1)?;
    let (ends, items) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            consecutive(list.offsets(), list.values())?
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            consecutive(list.offsets(), list.values())?
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            consecutive(map.offsets(), &entries)?
        }
        DataType::FixedSizeList(_, size) => {
            let list = array.as_fixed_size_list();
            let ends = (0..=array.len()).map(|row| i32::try_from(row * size.as_usize()));
            let ends = ends.collect::<Result<Vec<_>, _>>();
            (ends.map_err(|_| Problem::TooLarge)?, list.values().clone())
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            viewed(array, list.offsets(), list.sizes(), list.values(), room)?
        }
        _ => {
            let list = array.as_list_view::<i64>();
            viewed(array, list.offsets(), list.sizes(), list.values(), room)?
        }
    };
    let items = convert(&items, step, room)?;
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        OffsetBuffer::new(ends.into()),
        items,
        array.nulls().cloned(),
    )?))
}

/// Offsets from 0 on, and only the items that they point to.
fn consecutive<O: ArrowNativeType>(
    offsets: &[O],
    items: &ArrayRef,
) -> Result<(Vec<i32>, ArrayRef), Problem> {
    let first = offsets[0].as_usize();
    let length = offsets[offsets.len() - 1].as_usize() - first;
    let ends = offsets
        .iter()
        .map(|offset| i32::try_from(offset.as_usize() - first));
    let ends = ends
        .collect::<Result<_, _>>()
        .map_err(|_| Problem::TooLarge)?;
    Ok((ends, items.slice(first, length)))
}

/// Items of lists that may lie in any order, and overlap.
fn viewed<O: ArrowNativeType>(
    array: &ArrayRef,
    offsets: &[O],
    sizes: &[O],
    items: &ArrayRef,
    room: &mut Room,
) -> Result<(Vec<i32>, ArrayRef), Problem> {
    let size = |row: usize| {
        if array.is_null(row) {
            0
        } else {
            sizes[row].as_usize()
        }
    };
    let total: usize = (0..array.len()).map(size).sum();
    i32::try_from(total).map_err(|_| Problem::TooLarge)?;
    let each = items.get_array_memory_size() / items.len().max(1) + size_of::<u64>();
    room.take(total.saturating_mul(each))?;
    let mut ends = vec![0];
    let mut places: Vec<u64> = Vec::with_capacity(total);
    for (row, start) in offsets.iter().enumerate() {
        let start = start.as_usize();
        places.extend((start..start + size(row)).map(|place| place as u64));
        ends.push(places.len() as i32);
    }
    Ok((ends, take(items, &UInt64Array::from(places), None)?))
}
