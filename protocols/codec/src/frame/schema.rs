//! Arrow schemas as text: what catalogs say under `arrow_schema`.

use arrow_ipc::convert::try_schema_from_ipc_buffer;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{ArrowError, Schema};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::FrameError;
use super::guard::guarded;

/// A text that is no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaTextError {
    /// It is not base64.
    #[error("it is not base64")]
    NotBase64,
    /// It is not one schema message of an Arrow IPC stream.
    #[error("it is not a schema message of an Arrow IPC stream: {0}")]
    NotASchema(String),
}

/// One encapsulated IPC schema message in base64.
///
/// # Errors
/// When the schema has a type that Arrow IPC cannot carry.
pub fn encode_arrow_schema(schema: &Schema) -> Result<String, FrameError> {
    let parts = StreamEncoder::try_new(schema)?.finish()?;
    // The last part marks the end of the stream, which a message has not.
    let message: Vec<u8> = parts[..parts.len() - 1]
        .iter()
        .flat_map(|part| part.as_slice())
        .copied()
        .collect();
    Ok(STANDARD.encode(message))
}

/// The schema of a text as [`encode_arrow_schema`] makes it.
///
/// # Errors
/// When it is none.
pub fn decode_arrow_schema(text: &str) -> Result<Schema, SchemaTextError> {
    let message = STANDARD
        .decode(text)
        .map_err(|_| SchemaTextError::NotBase64)?;
    guarded(|| try_schema_from_ipc_buffer(&message)).map_err(|error| {
        SchemaTextError::NotASchema(match error {
            ArrowError::ParseError(reason) | ArrowError::IpcError(reason) => reason,
            other => other.to_string(),
        })
    })
}
