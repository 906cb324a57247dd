//! What a decoder gives, in the order in which the connector said it.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

/// Stream of rejects whose line does not say, or not legibly, to which stream it belongs.
pub const UNKNOWN_STREAM: &str = "_unknown";

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What the connector printed.
    Info,
    /// What it should not have sent.
    Warning,
}

/// One thing a connector said.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stream was announced, or its schema changed. Comes before the batches it describes and after those of the old schema.
    Schema {
        /// Its name.
        stream: Arc<str>,
        /// Schema of its batches, without the optional columns.
        schema: SchemaRef,
        /// JSON Schema, exactly as sent.
        json_schema: Vec<u8>,
        /// `key_properties`.
        primary_key: Vec<String>,
        /// `bookmark_properties`.
        cursor: Vec<String>,
    },
    /// Rows of one stream, in order.
    Batch {
        /// Its name.
        stream: Arc<str>,
        /// The rows.
        batch: RecordBatch,
    },
    /// Records of one stream that did not become rows.
    Rejects {
        /// Its name, or [`UNKNOWN_STREAM`].
        stream: Arc<str>,
        /// Columns as in [`dativo_codec::rejects_schema`].
        batch: RecordBatch,
    },
    /// Covers every event before it and none after it. The exact bytes of the value.
    State(Vec<u8>),
    /// Rows of older versions of the stream are obsolete.
    Version {
        /// Its name.
        stream: Arc<str>,
        /// The version that stays.
        version: i64,
    },
    /// Files of a BATCH message.
    BatchFiles {
        /// Stream.
        stream: Arc<str>,
        /// `jsonl`, `parquet` or `arrow`.
        format: &'static str,
        /// `gzip`, or none.
        compression: Option<&'static str>,
        /// As in the manifest.
        files: Vec<String>,
        /// Whether their rows came as batches before this event.
        decoded: bool,
    },
    /// What was neither.
    Log {
        /// How much it matters.
        level: Level,
        /// One line.
        message: String,
    },
}

impl Event {
    /// Bytes it holds, about.
    pub(crate) fn nbytes(&self) -> usize {
        match self {
            Self::Batch { batch, .. } | Self::Rejects { batch, .. } => nbytes(batch),
            Self::State(data) => data.len(),
            _ => 0,
        }
    }
}

/// Bytes a batch holds, with what it costs beside its buffers: never zero, also without columns.
pub(crate) fn nbytes(batch: &RecordBatch) -> usize {
    size_of::<RecordBatch>() + batch.get_array_memory_size()
}
