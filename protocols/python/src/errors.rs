//! Rust errors to Python errors, by meaning: the only place.

use dativo_stream::{Failure, FailureKind};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

static CONNECTOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static CONTRACT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static CONFIG: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static BUG: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The error of `dativo_protocols.errors` that a failure is.
pub fn failure(py: Python<'_>, failure: Failure) -> PyErr {
    build(py, failure).unwrap_or_else(|error| error)
}

fn build(py: Python<'_>, failure: Failure) -> PyResult<PyErr> {
    let (cell, name) = match failure.kind {
        FailureKind::Protocol => (&CONNECTOR, "ConnectorError"),
        FailureKind::Contract => (&CONTRACT, "ContractError"),
        FailureKind::Config => (&CONFIG, "ConfigError"),
        FailureKind::Bug => (&BUG, "DativoError"),
    };
    let facts = PyDict::new(py);
    if let Some(stream) = failure.stream {
        facts.set_item("stream", stream)?;
    }
    if let Some(line) = failure.line {
        facts.set_item("line", line)?;
    }
    if let Some(column) = failure.column {
        facts.set_item("column", column)?;
    }
    let options = PyDict::new(py);
    options.set_item("hint", failure.hint)?;
    options.set_item("facts", facts)?;
    let error = cell
        .import(py, "dativo_protocols.errors", name)?
        .call((failure.message,), Some(&options))?;
    Ok(PyErr::from_value(error))
}

/// For Arrow data that has no form here.
pub fn type_error(error: impl std::fmt::Display) -> PyErr {
    PyTypeError::new_err(error.to_string())
}
