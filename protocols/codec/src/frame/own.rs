//! Buffers that say their own size.

use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, make_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::ArrayData;

/// The same array over the same memory; buffers that are parts of a larger one say their own size from now on.
pub(super) fn owned(array: &ArrayRef) -> ArrayRef {
    make_array(data(array.to_data()))
}

fn data(given: ArrayData) -> ArrayData {
    let buffers = given.buffers().iter().map(buffer).collect();
    let children = given.child_data().iter().cloned().map(data).collect();
    let nulls = given.nulls().map(|nulls| {
        let bits = BooleanBuffer::new(buffer(nulls.buffer()), nulls.offset(), nulls.len());
        NullBuffer::new(bits)
    });
    let builder = given
        .into_builder()
        .buffers(buffers)
        .child_data(children)
        .nulls(nulls);
    // SAFETY: all parts hold the same bytes as those of the array that it is made from.
    #[allow(unsafe_code)]
    unsafe {
        builder.build_unchecked()
    }
}

fn buffer(given: &Buffer) -> Buffer {
    if given.capacity() <= given.len().saturating_mul(2) {
        return given.clone();
    }
    let bytes = NonNull::from(given.as_slice()).cast();
    // SAFETY: the memory lives as long as its owner, the buffer that it is part of.
    #[allow(unsafe_code)]
    unsafe {
        Buffer::from_custom_allocation(bytes, given.len(), Arc::new(given.clone()))
    }
}
