//! Record batches that Python code hands over.

use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::{RecordBatch, RecordBatchOptions, StructArray};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Schema};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A record batch by the PyCapsule interface, without a copy. Structs within structs may be slices, which `arrow_array` by itself
/// panics at: it cuts the inner ones twice.
pub struct GivenBatch(pub RecordBatch);

impl<'py> FromPyObject<'_, 'py> for GivenBatch {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let Ok(export) = given.getattr("__arrow_c_array__") else {
            return Err(PyTypeError::new_err(
                "expected a record batch, with `__arrow_c_array__`",
            ));
        };
        type Capsules<'py> = (Bound<'py, PyCapsule>, Bound<'py, PyCapsule>);
        let (schema, array): Capsules<'py> = export.call0()?.extract()?;
        let schema = schema.pointer_checked(Some(c"arrow_schema"))?;
        let array = array.pointer_checked(Some(c"arrow_array"))?;
        // SAFETY: capsules of these names hold these structs; the array is moved out, which the interface allows once.
        #[allow(unsafe_code)]
        let (schema, data) = unsafe {
            let schema = schema.cast::<FFI_ArrowSchema>().as_ref();
            let array = FFI_ArrowArray::from_raw(array.cast().as_ptr());
            let read = Schema::try_from(schema);
            (read, from_ffi(array, schema))
        };
        let refused = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
        let (schema, data) = (
            schema.map_err(|error| refused(&error))?,
            data.map_err(|error| refused(&error))?,
        );
        if !matches!(data.data_type(), DataType::Struct(_)) || data.null_count() > 0 {
            return Err(PyValueError::new_err(
                "expected a record batch, not a column",
            ));
        }
        let rows = data.len();
        let columns = StructArray::from(cut(&data, 0, rows)).columns().to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(schema), columns, &options);
        Ok(Self(batch.map_err(|error| refused(&error))?))
    }
}

/// Rows of an array: a struct with no offset of its own, its children cut instead.
fn cut(data: &ArrayData, start: usize, rows: usize) -> ArrayData {
    if !matches!(data.data_type(), DataType::Struct(_)) {
        let children = data.child_data().iter();
        let children = children.map(|child| cut(child, 0, child.len())).collect();
        let builder = data.clone().into_builder().child_data(children);
        // SAFETY: the children hold the same rows as before.
        #[allow(unsafe_code)]
        return unsafe { builder.build_unchecked() }.slice(start, rows);
    }
    let from = data.offset() + start;
    let children = data.child_data().iter();
    let children = children.map(|child| cut(child, from, rows)).collect();
    let builder = ArrayData::builder(data.data_type().clone())
        .len(rows)
        .nulls(data.nulls().map(|nulls| nulls.slice(start, rows)))
        .child_data(children);
    // SAFETY: the same rows of the same children, which are valid.
    #[allow(unsafe_code)]
    unsafe {
        builder.build_unchecked()
    }
}
