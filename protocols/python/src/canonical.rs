//! Arrow data as the types that targets take.

use std::sync::Arc;

use dativo_codec::canonical::{Canonical, CanonicalError, CanonicalOptions};
use pyo3::prelude::*;
use pyo3_arrow::PySchema;

use crate::arrow::{ArrowBatch, ArrowSchema};
use crate::decoder::nested_choice;
use crate::errors;
use crate::given::GivenBatch;

#[pyfunction]
#[pyo3(signature = (batch, *, nested = "json"))]
pub fn canonical_batch(py: Python<'_>, batch: GivenBatch, nested: &str) -> PyResult<ArrowBatch> {
    let options = options(nested)?;
    let batch = batch.0;
    py.detach(|| Canonical::compile(batch.schema_ref(), &options)?.convert(&batch, usize::MAX))
        .map(ArrowBatch)
        .map_err(|error| refused(py, error))
}

#[pyfunction]
#[pyo3(signature = (schema, *, nested = "json"))]
pub fn canonical_schema(py: Python<'_>, schema: PySchema, nested: &str) -> PyResult<ArrowSchema> {
    let compiled = Canonical::compile(&schema.into_inner(), &options(nested)?);
    let canonical = compiled.map_err(|error| refused(py, error))?;
    Ok(ArrowSchema(Arc::clone(canonical.schema())))
}

#[pyfunction]
pub fn arrow_json_schema<'py>(py: Python<'py>, schema: PySchema) -> PyResult<Bound<'py, PyAny>> {
    let text = dativo_codec::arrow_json_schema(&schema.into_inner()).to_string();
    py.import("json")?.call_method1("loads", (text,))
}

fn options(nested: &str) -> PyResult<CanonicalOptions> {
    Ok(CanonicalOptions {
        nested: nested_choice(nested)?,
        ..CanonicalOptions::default()
    })
}

fn refused(py: Python<'_>, error: CanonicalError) -> PyErr {
    errors::failure(py, dativo_stream::Failure::uncanonical(error))
}
