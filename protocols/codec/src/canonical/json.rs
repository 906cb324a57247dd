//! Values as text, and texts that must be JSON.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field};

use super::convert::{Problem, Room};
use super::flat;
use crate::encode::{Cells, physical};
use crate::json::Cursor;

/// The same texts, all of them JSON.
pub(super) fn checked(array: ArrayRef) -> Result<ArrayRef, Problem> {
    let texts = array.as_string::<i32>();
    for text in texts.iter().flatten() {
        let mut at = Cursor::new(text.as_bytes(), 0);
        at.skip_space();
        let read = at.skip_record().and_then(|()| at.expect_end());
        read.map_err(|_| Problem::Value("a text in a column of JSON is no JSON"))?;
    }
    Ok(array)
}

/// Each value as JSON, or, with `bare`, as the text that a JSON string of it would hold.
pub(super) fn written(array: &ArrayRef, bare: bool, room: &mut Room) -> Result<ArrayRef, Problem> {
    if bare && is_text(array.data_type()) {
        let array = match physical(array.as_ref()) {
            Some(_) => flat::each_value(array, room)?,
            None => Arc::clone(array),
        };
        return flat::text(&array, room);
    }
    let limit = room.left().min(i32::MAX as usize);
    let field = Field::new("", array.data_type().clone(), true);
    let cells = Cells::of(&field, array.as_ref(), limit).ok_or(Problem::Value(
        "a union is nested in it, which has no form without loss here",
    ))?;
    room.rows::<i32>(array.len() + 1)?;
    let mut ends = Vec::with_capacity(array.len() + 1);
    ends.push(0);
    let mut text = Vec::new();
    let nulls = array.logical_nulls();
    for row in 0..array.len() {
        if !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            let start = text.len();
            let whole = cells.write(row, &mut text);
            if text.len() > limit {
                return Err(Problem::TooLarge);
            }
            whole.ok_or(Problem::Value(
                "a date or timestamp lies outside the years 0001 to 9999",
            ))?;
            if bare && text[start] == b'"' {
                // Of all that is written in quotes, only texts hold what must be escaped.
                text.pop();
                text.remove(start);
            }
        }
        ends.push(text.len() as i32);
    }
    room.take(text.len())?;
    text.shrink_to_fit();
    let offsets = OffsetBuffer::new(ends.into());
    let made = StringArray::try_new(offsets, Buffer::from_vec(text), nulls)?;
    Ok(Arc::new(made))
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        _ => false,
    }
}
