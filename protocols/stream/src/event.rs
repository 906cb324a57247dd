//! What a decoder gives, in the order in which the connector said it.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use dativo_codec::StreamId;
use dativo_codec::airbyte::{ConnectionStatus, ErrorTrace, EstimateTrace, StatusTrace};

/// Stream of rejects whose line does not say, or not legibly, to which stream it belongs.
pub const UNKNOWN_STREAM: &str = "_unknown";

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For who looks for a fault.
    Debug,
    /// What the connector printed.
    Info,
    /// What it should not have sent, or warns of.
    Warning,
    /// What failed.
    Error,
}

/// One thing a connector said.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stream was announced, or its schema changed. Comes before the batches it describes and after those of the old schema.
    Schema {
        /// Its identity.
        stream: StreamId,
        /// Schema of its batches, without the optional columns.
        schema: SchemaRef,
        /// JSON Schema, exactly as sent.
        json_schema: Vec<u8>,
        /// `key_properties`; the catalog's key.
        primary_key: Vec<String>,
        /// `bookmark_properties`; the catalog's cursor.
        cursor: Vec<String>,
    },
    /// Rows of one stream, in order.
    Batch {
        /// Its identity.
        stream: StreamId,
        /// The rows.
        batch: RecordBatch,
    },
    /// Records of one stream that did not become rows.
    Rejects {
        /// Its identity, or [`UNKNOWN_STREAM`].
        stream: StreamId,
        /// Columns as in [`dativo_codec::rejects_schema`].
        batch: RecordBatch,
    },
    /// Covers every event before it and none after it. The exact bytes of a Singer state; Airbyte states, merged.
    State(Vec<u8>),
    /// Rows of older versions of the stream are obsolete.
    Version {
        /// Its identity.
        stream: StreamId,
        /// The version that stays.
        version: i64,
    },
    /// Files of a BATCH message.
    BatchFiles {
        /// Stream.
        stream: StreamId,
        /// `jsonl`, `parquet` or `arrow`.
        format: &'static str,
        /// `gzip`, or none.
        compression: Option<&'static str>,
        /// As in the manifest.
        files: Vec<String>,
        /// Whether their rows came as batches before this event.
        decoded: bool,
    },
    /// A log line, or what was no message.
    Log {
        /// How much it matters.
        level: Level,
        /// Its text.
        message: String,
    },
    /// What the connector can be configured with: JSON, exactly as sent.
    Spec(Vec<u8>),
    /// The streams it offers: JSON, exactly as sent.
    Catalog(Vec<u8>),
    /// Whether its configuration works.
    ConnectionStatus(ConnectionStatus),
    /// Something failed.
    Error(ErrorTrace),
    /// How much is to come.
    Estimate(EstimateTrace),
    /// How far a stream is.
    Status(StatusTrace),
    /// The connector's new configuration.
    Control {
        /// JSON, exactly as sent.
        config: Vec<u8>,
        /// Seconds since the epoch.
        emitted_at: Option<f64>,
    },
}

impl Event {
    /// Bytes it holds, about.
    pub(crate) fn nbytes(&self) -> usize {
        match self {
            Self::Batch { batch, .. } | Self::Rejects { batch, .. } => nbytes(batch),
            Self::State(data) | Self::Spec(data) | Self::Catalog(data) => data.len(),
            Self::Control { config, .. } => config.len(),
            Self::Log { message, .. } => message.len(),
            Self::Error(error) => {
                let texts = [&error.internal_message, &error.stack_trace];
                let lengths = texts.map(|text| text.as_ref().map_or(0, String::len));
                error.message.len() + lengths[0] + lengths[1]
            }
            _ => 0,
        }
    }
}

/// Bytes a batch holds, with what it costs beside its buffers: never zero, also without columns.
pub(crate) fn nbytes(batch: &RecordBatch) -> usize {
    size_of::<RecordBatch>() + batch.get_array_memory_size()
}
