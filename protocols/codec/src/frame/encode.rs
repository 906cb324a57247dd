//! Batches to frames.

use std::io::Write;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::ArrowError;
use serde_json::Value;

use crate::stream_id::StreamId;

/// What the rows of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Rows of a stream.
    Batch,
    /// Rows that could not be read as rows of their stream; columns as in [`crate::rejects_schema`].
    Rejects,
}

impl FrameKind {
    /// The `type` of its header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "BATCH",
            Self::Rejects => "REJECTS",
        }
    }
}

/// A batch that has no frame.
#[derive(Debug, thiserror::Error)]
#[error("the batch cannot be written as an Arrow IPC stream: {0}")]
pub struct FrameError(#[from] ArrowError);

/// The parts of a frame, in order; those of the batch are its own buffers, not copies.
#[derive(Debug)]
pub struct EncodedFrame {
    parts: Vec<Buffer>,
}

impl EncodedFrame {
    /// All parts, the header first.
    pub fn parts(&self) -> &[Buffer] {
        &self.parts
    }

    /// Bytes of all parts.
    pub fn nbytes(&self) -> usize {
        self.parts.iter().map(Buffer::len).sum()
    }
}

/// A frame of one batch. `emitted_at` is when its rows were read, in milliseconds since 1970.
///
/// # Errors
/// When the batch has a type that Arrow IPC cannot carry.
pub fn encode_frame(
    stream: &StreamId,
    batch: &RecordBatch,
    kind: FrameKind,
    emitted_at: Option<i64>,
) -> Result<EncodedFrame, FrameError> {
    let mut encoder = StreamEncoder::try_new(batch.schema_ref())?;
    let mut parts = vec![Buffer::default()];
    parts.extend(encoder.encode(batch)?);
    parts.extend(encoder.finish()?);
    let bytes: usize = parts.iter().map(Buffer::len).sum();
    parts[0] = header(stream, kind, batch.num_rows(), bytes, emitted_at).into();
    Ok(EncodedFrame { parts })
}

fn header(
    stream: &StreamId,
    kind: FrameKind,
    rows: usize,
    bytes: usize,
    emitted_at: Option<i64>,
) -> Vec<u8> {
    let (name, namespace) = (Value::from(stream.name()), Value::from(stream.namespace()));
    let mut line = Vec::new();
    let emitted_at = emitted_at
        .map(|millis| format!(r#","emitted_at":{millis}"#))
        .unwrap_or_default();
    // Writing to memory does not fail.
    let _ = writeln!(
        line,
        r#"{{"type":"{}","stream":{name},"namespace":{namespace},"rows":{rows},"bytes":{bytes}{emitted_at}}}"#,
        kind.name()
    );
    line
}
