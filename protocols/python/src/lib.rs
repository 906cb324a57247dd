//! Signatures and conversions only: the Python face of `dativo-stream`.
use pyo3::prelude::*;

#[pymodule]
fn _codec(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
