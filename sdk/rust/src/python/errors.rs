//! Errors to those of `dativo_protocols.errors`, by meaning: the only place.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::values::loads;
use crate::{Error, Kind};

/// The Python error that an error is.
pub(super) fn raised(py: Python<'_>, error: Error) -> PyErr {
    build(py, error).unwrap_or_else(|error| error)
}

fn build(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    let name = match error.kind {
        Kind::Config => "ConfigError",
        Kind::Connector | Kind::Temporary => "ConnectorError",
        Kind::Contract => "ContractError",
    };
    let facts = PyDict::new(py);
    for (name, value) in &error.facts {
        facts.set_item(name, loads(py, value.to_string().as_bytes())?)?;
    }
    let options = PyDict::new(py);
    options.set_item("hint", &error.hint)?;
    options.set_item("retryable", error.kind == Kind::Temporary)?;
    options.set_item("facts", facts)?;
    let class = py.import("dativo_protocols.errors")?.getattr(name)?;
    Ok(PyErr::from_value(
        class.call((error.message,), Some(&options))?,
    ))
}
