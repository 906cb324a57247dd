//! Events to the dataclasses of `dativo_protocols._messages`.

use dativo_codec::StreamId;
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
    connection_status: Py<PyType>,
    trace_error: Py<PyType>,
    estimate: Py<PyType>,
    stream_status: Py<PyType>,
    spec: Py<PyAny>,
    catalog: Py<PyAny>,
    control: Py<PyAny>,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&Classes> {
    CLASSES.get_or_try_init(py, || {
        let module = py.import("dativo_protocols._messages")?;
        let airbyte = py.import("dativo_protocols._airbyte")?;
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
            connection_status: class("ConnectionStatus")?,
            trace_error: class("TraceError")?,
            estimate: class("Estimate")?,
            stream_status: class("StreamStatus")?,
            spec: airbyte.getattr("spec")?.unbind(),
            catalog: airbyte.getattr("catalog")?.unbind(),
            control: airbyte.getattr("control")?.unbind(),
        })
    })
}

/// The `StreamId` of a stream.
pub fn stream_id<'py>(py: Python<'py>, stream: &StreamId) -> PyResult<Bound<'py, PyAny>> {
    let class = classes(py)?.stream_id.bind(py);
    class.call1((stream.name(), stream.namespace()))
}

/// Those that a connector may say of a failure's type; anything else is None.
const FAILURE_TYPES: [&str; 3] = ["config_error", "system_error", "transient_error"];

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
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            classes.log.bind(py).call1((level, message))
        }
        Event::Spec(raw) => classes.spec.bind(py).call1((PyBytes::new(py, &raw),)),
        Event::Catalog(raw) => classes.catalog.bind(py).call1((PyBytes::new(py, &raw),)),
        Event::Control { config, emitted_at } => classes
            .control
            .bind(py)
            .call1((PyBytes::new(py, &config), emitted_at)),
        Event::ConnectionStatus(status) => classes
            .connection_status
            .bind(py)
            .call1((status.succeeded, status.message)),
        Event::Error(error) => {
            let said = error.failure_type.as_deref();
            classes.trace_error.bind(py).call1((
                error.message,
                error.internal_message,
                error.stack_trace,
                FAILURE_TYPES.into_iter().find(|known| said == Some(known)),
                optional_id(py, error.stream.as_ref())?,
            ))
        }
        Event::Estimate(estimate) => classes.estimate.bind(py).call1((
            optional_id(py, estimate.stream.as_ref())?,
            estimate.rows,
            estimate.bytes,
            if estimate.stream.is_some() {
                "STREAM"
            } else {
                "SYNC"
            },
        )),
        Event::Status(status) => classes.stream_status.bind(py).call1((
            stream_id(py, &status.stream)?,
            status.status,
            status.rate_limited_until,
        )),
    }
}

fn optional_id<'py>(
    py: Python<'py>,
    stream: Option<&StreamId>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    stream.map(|stream| stream_id(py, stream)).transpose()
}
