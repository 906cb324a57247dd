//! Values across the border: JSON both ways, streams, catalogs, states, pieces.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use pyo3_arrow::PySchema;
use serde_json::Value;

use super::arrow::{ArrowBatch, ArrowSchema};
use crate::catalog::decode_schema;
use crate::{
    Catalog, CatalogStream, Error, Estimate, Method, Partition, Piece, PieceKind, ReadCatalog,
    SavedState, SelectedStream, State, StreamId,
};

/// A JSON text as a Python object.
pub(super) fn loads<'py>(py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?
        .getattr("loads")?
        .call1((PyBytes::new(py, json),))
}

fn dumps(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let dumps = value.py().import("json")?.getattr("dumps")?;
    Ok(dumps.call1((value,))?.extract::<String>()?.into_bytes())
}

/// A configuration as JSON: it may be that already, as bytes; else it is any mapping.
pub(super) fn config(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    dumps(value.py().get_type::<PyDict>().call1((value,))?.as_any())
}

fn stream_id(py: Python<'_>, stream: &StreamId) -> PyResult<Py<PyAny>> {
    let class = py.import("dativo_protocols")?.getattr("StreamId")?;
    Ok(class.call1((stream.name(), stream.namespace()))?.unbind())
}

fn of_stream_id(value: &Bound<'_, PyAny>) -> PyResult<StreamId> {
    let (name, namespace): (String, Option<String>) = value.extract()?;
    Ok(StreamId::new(name, namespace.as_deref()))
}

/// A `SavedState`; none where it says nothing.
pub(super) fn saved_state(value: &Bound<'_, PyAny>) -> PyResult<Result<Option<SavedState>, Error>> {
    let json: Vec<u8> = value.call_method0("to_json")?.extract()?;
    Ok(SavedState::parse(&json).map(|state| (!state.is_empty()).then_some(state)))
}

/// A `ReadCatalog`, with what the selection leaves to the reader decided.
pub(super) fn read_catalog(value: &Bound<'_, PyAny>) -> PyResult<Result<ReadCatalog, Error>> {
    let selected = value.getattr("selected")?;
    let mut streams = Vec::new();
    for stream in value.getattr("catalog")?.getattr("streams")?.try_iter()? {
        let stream = stream?;
        let selection = selected.call_method1("get", (stream.getattr("id")?,))?;
        if !selection.is_none() {
            match selected_stream(&stream, &selection)? {
                Ok(stream) => streams.push(stream),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    Ok(Ok(ReadCatalog {
        streams,
        partition: value.getattr("partition")?.extract()?,
    }))
}

fn selected_stream(
    stream: &Bound<'_, PyAny>,
    selection: &Bound<'_, PyAny>,
) -> PyResult<Result<SelectedStream, Error>> {
    let raw = stream.getattr("raw")?;
    let is_fixed = raw
        .call_method1("get", ("source_defined_cursor",))?
        .extract::<bool>()
        .unwrap_or(false);
    let own: Vec<String> = stream.getattr("cursor")?.extract()?;
    let named: Option<String> = selection.getattr("replication_key")?.extract()?;
    let cursor = named
        .filter(|_| !is_fixed)
        .or_else(|| own.into_iter().next());
    let primary_key: Vec<String> = stream.getattr("primary_key")?.extract()?;
    let methods: Vec<String> = stream.getattr("replication_methods")?.extract()?;
    let can =
        methods.iter().any(|method| method == "INCREMENTAL") && (cursor.is_some() || is_fixed);
    let asked: Option<String> = selection.getattr("replication_method")?.extract()?;
    let method = match asked.as_deref() {
        Some("FULL_TABLE") => Method::FullRefresh,
        Some(_) => Method::Incremental,
        None if can => Method::Incremental,
        None => Method::FullRefresh,
    };
    let fields: Option<Vec<String>> = selection.getattr("fields")?.extract()?;
    let fields = fields.map(|mut fields| {
        for needed in primary_key.iter().chain(&cursor) {
            if !fields.contains(needed) {
                fields.push(needed.clone());
            }
        }
        fields
    });
    let arrow_schema = match arrow_schema(stream, &raw)? {
        Ok(schema) => schema,
        Err(error) => return Ok(Err(error)),
    };
    let json_schema = dumps(&stream.getattr("json_schema")?)?;
    Ok(Ok(SelectedStream {
        id: of_stream_id(&stream.getattr("id")?)?,
        fields,
        method,
        cursor,
        primary_key,
        json_schema: serde_json::from_slice(&json_schema).unwrap_or(Value::Null),
        arrow_schema,
    }))
}

/// Of an object with a schema, else of the text that a catalog in JSON has.
fn arrow_schema(
    stream: &Bound<'_, PyAny>,
    raw: &Bound<'_, PyAny>,
) -> PyResult<Result<Option<SchemaRef>, Error>> {
    let data = stream.getattr("data")?;
    if !data.is_none() {
        return Ok(Ok(Some(data.extract::<PySchema>()?.into_inner())));
    }
    let text = raw.call_method1("get", ("arrow_schema",))?;
    match text.extract::<String>() {
        Ok(text) => Ok(decode_schema(&text).map(Some)),
        Err(_) => Ok(Ok(None)),
    }
}

/// A `Catalog`.
pub(super) fn catalog(py: Python<'_>, catalog: &Catalog) -> PyResult<Py<PyAny>> {
    let module = py.import("dativo_protocols")?;
    let streams = catalog
        .streams
        .iter()
        .map(|stream| catalog_stream(py, stream));
    let streams = PyTuple::new(py, streams.collect::<PyResult<Vec<_>>>()?)?;
    Ok(module.getattr("Catalog")?.call1((streams,))?.unbind())
}

fn catalog_stream(py: Python<'_>, stream: &CatalogStream) -> PyResult<Py<PyAny>> {
    let class = py.import("dativo_protocols")?.getattr("CatalogStream")?;
    let methods: Vec<&str> = stream
        .methods
        .iter()
        .map(|method| method.as_singer())
        .collect();
    let cursor: Vec<&str> = stream.cursor.as_deref().into_iter().collect();
    let data = match &stream.arrow_schema {
        Some(schema) => Some(Py::new(py, ArrowSchema(Arc::clone(schema)))?),
        None => None,
    };
    let made = class.call1((
        stream_id(py, &stream.id)?,
        loads(py, stream.json_schema.to_string().as_bytes())?,
        PyTuple::new(py, &stream.primary_key)?,
        PyTuple::new(py, cursor)?,
        PyTuple::new(py, methods)?,
        loads(py, stream.to_airbyte().to_string().as_bytes())?,
        data,
    ))?;
    Ok(made.unbind())
}

/// A `Batch` or `Rejects`.
pub(super) fn piece(py: Python<'_>, piece: Piece) -> PyResult<Py<PyAny>> {
    let module = py.import("dativo_protocols")?;
    let (rows, nbytes) = (piece.data.num_rows(), piece.data.get_array_memory_size());
    let (stream, data) = (stream_id(py, &piece.stream)?, ArrowBatch(piece.data));
    let made = match piece.kind {
        PieceKind::Batch => module
            .getattr("Batch")?
            .call1((stream, data, rows, nbytes))?,
        PieceKind::Rejects => module.getattr("Rejects")?.call1((stream, data, rows))?,
    };
    Ok(made.unbind())
}

/// A `State`.
pub(super) fn state(py: Python<'_>, state: &State) -> PyResult<Py<PyAny>> {
    let stream = state
        .stream
        .as_ref()
        .map(|stream| stream_id(py, stream))
        .transpose()?;
    let data = PyBytes::new(py, state.data.get().as_bytes());
    let class = py.import("dativo_protocols")?.getattr("State")?;
    Ok(class.call1((data, stream))?.unbind())
}

/// A `Partition`.
pub(super) fn partition(py: Python<'_>, part: &Partition) -> PyResult<Py<PyAny>> {
    let said = part
        .state
        .as_ref()
        .map(|said| state(py, said))
        .transpose()?;
    let class = py.import("dativo_sdk")?.getattr("Partition")?;
    Ok(class.call1((PyBytes::new(py, &part.token), said))?.unbind())
}

/// An `Estimate`.
pub(super) fn estimate(py: Python<'_>, estimate: &Estimate) -> PyResult<Py<PyAny>> {
    let kind = if estimate.stream.is_some() {
        "STREAM"
    } else {
        "SYNC"
    };
    let stream = estimate
        .stream
        .as_ref()
        .map(|stream| stream_id(py, stream))
        .transpose()?;
    let class = py.import("dativo_protocols")?.getattr("Estimate")?;
    Ok(class
        .call1((stream, estimate.rows, estimate.bytes, kind))?
        .unbind())
}

/// A `ConnectionStatus`.
pub(super) fn status(py: Python<'_>, checked: &Result<(), Error>) -> PyResult<Py<PyAny>> {
    let class = py.import("dativo_protocols")?.getattr("ConnectionStatus")?;
    let message = checked
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default();
    Ok(class.call1((checked.is_ok(), message))?.unbind())
}

/// For a method that is called out of turn.
pub(super) fn out_of_turn(what: &str) -> PyErr {
    PyTypeError::new_err(what.to_owned())
}
