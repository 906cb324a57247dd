//! Events to the dataclasses of `dativo_protocols._messages`.

use dativo_stream::{Event, Level};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple, PyType};

use crate::arrow::{ArrowBatch, ArrowSchema};

struct Classes {
    stream_id: Py<PyType>,
    schema: Py<PyType>,
    batch: Py<PyType>,
    rejects: Py<PyType>,
    state: Py<PyType>,
    version: Py<PyType>,
    batch_files: Py<PyType>,
    log: Py<PyType>,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&Classes> {
    CLASSES.get_or_try_init(py, || {
        let module = py.import("dativo_protocols._messages")?;
        let class =
            |name: &str| PyResult::Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind());
        Ok(Classes {
            stream_id: class("StreamId")?,
            schema: class("Schema")?,
            batch: class("Batch")?,
            rejects: class("Rejects")?,
            state: class("State")?,
            version: class("Version")?,
            batch_files: class("BatchFiles")?,
            log: class("Log")?,
        })
    })
}

/// The `StreamId` of a Singer stream, which has no namespace.
pub fn stream_id<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    classes(py)?.stream_id.bind(py).call1((name,))
}

/// The message that an event is.
pub fn message(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    let classes = classes(py)?;
    match event {
        Event::Schema {
            stream,
            schema,
            json_schema,
            primary_key,
            cursor,
        } => classes.schema.bind(py).call1((
            stream_id(py, &stream)?,
            ArrowSchema(schema),
            PyBytes::new(py, &json_schema),
            PyTuple::new(py, primary_key)?,
            PyTuple::new(py, cursor)?,
        )),
        Event::Batch { stream, batch } => {
            let (rows, nbytes) = (batch.num_rows(), batch.get_array_memory_size());
            classes
                .batch
                .bind(py)
                .call1((stream_id(py, &stream)?, ArrowBatch(batch), rows, nbytes))
        }
        Event::Rejects { stream, batch } => {
            let rows = batch.num_rows();
            classes
                .rejects
                .bind(py)
                .call1((stream_id(py, &stream)?, ArrowBatch(batch), rows))
        }
        Event::State(data) => classes.state.bind(py).call1((PyBytes::new(py, &data),)),
        Event::Version { stream, version } => classes
            .version
            .bind(py)
            .call1((stream_id(py, &stream)?, version)),
        Event::BatchFiles {
            stream,
            format,
            compression,
            files,
            decoded,
        } => classes.batch_files.bind(py).call1((
            stream_id(py, &stream)?,
            format,
            compression,
            PyTuple::new(py, files)?,
            decoded,
        )),
        Event::Log { level, message } => {
            let level = match level {
                Level::Info => "info",
                Level::Warning => "warning",
            };
            classes.log.bind(py).call1((level, message))
        }
    }
}
