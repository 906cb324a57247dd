//! Airbyte's array of states, taken apart.

use dativo_codec::airbyte::MergedState;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::messages::stream_id;

type Parts<'py> = (Bound<'py, PyDict>, Option<Bound<'py, PyBytes>>);

#[pyfunction]
pub fn split_states<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Parts<'py>> {
    let state =
        MergedState::new(Some(data)).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let parts = state.parts();
    let streams = PyDict::new(py);
    for (stream, state) in &parts.streams {
        streams.set_item(stream_id(py, stream)?, PyBytes::new(py, state))?;
    }
    Ok((streams, parts.shared.map(|shared| PyBytes::new(py, shared))))
}
