//! JSON lines without envelopes, both ways.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use dativo_codec::singer::Compression;
use dativo_codec::{Extra, OnBadValue, StreamPlan};
use dativo_stream::{Decoder, Event, Options};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3_arrow::PySchema;

use crate::arrow::ArrowBatch;
use crate::decoder::Closable;
use crate::errors;
use crate::given::GivenBatch;

#[pyclass(frozen, module = "dativo_protocols._codec")]
pub struct JsonLinesDecoder(Closable);

#[pymethods]
impl JsonLinesDecoder {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<ArrowBatch>> {
        loop {
            match self.0.next(py)? {
                Some(Event::Batch { batch, .. }) => return Ok(Some(ArrowBatch(batch))),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn close(&self, py: Python<'_>) {
        self.0.close(py);
    }
}

#[pyfunction]
#[pyo3(signature = (path, schema, *, compression = None, coerce = true))]
pub fn decode_json_lines(
    path: PathBuf,
    schema: PySchema,
    compression: Option<&str>,
    coerce: bool,
) -> PyResult<JsonLinesDecoder> {
    let compression = match compression {
        None => None,
        Some("gzip") => Some(Compression::Gzip),
        Some(other) => {
            return Err(PyValueError::new_err(format!(
                "`compression` is `{other}`, expected `gzip` or None"
            )));
        }
    };
    let plan = StreamPlan::from_arrow(schema.into_inner(), coerce)
        .map_err(errors::type_error)?
        .with_on_bad_value(OnBadValue::Fail)
        .with_extra(Extra::Drop);
    let file = File::open(path)?;
    let decoder = Decoder::json_lines(file, compression, Arc::new(plan), &Options::default())?;
    Ok(JsonLinesDecoder(Closable::new(decoder)))
}

#[pyfunction]
pub fn encode_json_lines<'py>(py: Python<'py>, batch: GivenBatch) -> PyResult<Bound<'py, PyBytes>> {
    let batch = batch.0;
    let mut lines = Vec::new();
    py.detach(|| dativo_codec::encode_json_lines(&batch, &mut lines))
        .map_err(errors::type_error)?;
    Ok(PyBytes::new(py, &lines))
}
