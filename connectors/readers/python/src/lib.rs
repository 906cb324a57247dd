//! Signatures only: the Python face of `dativo-readers`.

use pyo3::prelude::*;

#[pymodule]
mod _readers {}
