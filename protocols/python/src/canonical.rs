//! Arrow data as the types that targets take.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dativo_codec::canonical::{Canonical, CanonicalError, CanonicalOptions};
use pyo3::prelude::*;
use pyo3_arrow::PySchema;

use crate::arrow::{ArrowBatch, ArrowSchema};
use crate::decoder::{nested_choice, on_bad_value_choice};
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
#[pyo3(signature = (batch, *, on_bad_value = "quarantine", nested = "json", fields = None, types = None, key = None))]
pub fn canonical_rows(
    py: Python<'_>,
    batch: GivenBatch,
    on_bad_value: &str,
    nested: &str,
    fields: Option<HashSet<String>>,
    types: Option<HashMap<String, String>>,
    key: Option<HashSet<String>>,
) -> PyResult<(ArrowBatch, Option<ArrowBatch>)> {
    let options = CanonicalOptions {
        fields,
        types: types.unwrap_or_default(),
        ..options(nested)?
    };
    let on_bad_value = on_bad_value_choice(on_bad_value)?;
    let (batch, key) = (batch.0, key.unwrap_or_default());
    py.detach(|| {
        Canonical::compile(batch.schema_ref(), &options)?.convert_rows(
            &batch,
            usize::MAX,
            on_bad_value,
            &key,
        )
    })
    .map(|made| (ArrowBatch(made.batch), made.rejects.map(ArrowBatch)))
    .map_err(|error| refused(py, error))
}

#[pyfunction]
#[pyo3(signature = (schema, *, nested = "json", fields = None, types = None))]
pub fn canonical_schema(
    py: Python<'_>,
    schema: PySchema,
    nested: &str,
    fields: Option<HashSet<String>>,
    types: Option<HashMap<String, String>>,
) -> PyResult<ArrowSchema> {
    let options = CanonicalOptions {
        fields,
        types: types.unwrap_or_default(),
        ..options(nested)?
    };
    let compiled = Canonical::compile(&schema.into_inner(), &options);
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
