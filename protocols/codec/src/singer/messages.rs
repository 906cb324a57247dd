//! Messages other than RECORD. All JSON values that are handed on stay the exact bytes of the line.

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is not JSON.
    #[error("{message} message is not JSON: {reason} at byte {offset}")]
    NotJson {
        /// SCHEMA, STATE, …
        message: &'static str,
        /// What was expected.
        reason: &'static str,
        /// 0-based, from the start of the line.
        offset: usize,
    },
    /// A key is missing, or of the wrong type.
    #[error("{message} message: `{key}` is missing or is not {expected}")]
    Key {
        /// SCHEMA, STATE, …
        message: &'static str,
        /// The key.
        key: &'static str,
        /// Such as `a string`.
        expected: &'static str,
    },
}

/// SCHEMA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaMessage<'a> {
    /// Stream.
    pub stream: String,
    /// JSON Schema, exactly as sent.
    pub schema: &'a [u8],
    /// Primary key; empty when absent or null.
    pub key_properties: Vec<String>,
    /// Cursor; empty when absent or null.
    pub bookmark_properties: Vec<String>,
}

/// ACTIVATE_VERSION.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivateVersion {
    /// Stream.
    pub stream: String,
    /// Version whose rows stay.
    pub version: i64,
}

/// Format of the files of a BATCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFormat {
    /// JSON lines, one record a line.
    Jsonl,
    /// Parquet.
    Parquet,
    /// Arrow IPC.
    Arrow,
}

/// Compression of the files of a BATCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    Gzip,
}

/// BATCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMessage {
    /// Stream.
    pub stream: String,
    /// Format of the files.
    pub format: BatchFormat,
    /// Their compression, if any.
    pub compression: Option<Compression>,
    /// URLs or paths, as in the manifest.
    pub files: Vec<String>,
}

/// Reads a SCHEMA line.
///
/// # Errors
/// When it is not JSON, or `stream`, `schema`, `key_properties` or `bookmark_properties` are not what they should be.
pub fn parse_schema_message(line: &[u8]) -> Result<SchemaMessage<'_>, MessageError> {
    let _ = line;
    Err(MessageError::Key {
        message: "SCHEMA",
        key: "stream",
        expected: "a string",
    })
}

/// The exact bytes of a STATE line's `value`.
///
/// # Errors
/// When the line is not JSON or has no `value`.
pub fn parse_state(line: &[u8]) -> Result<&[u8], MessageError> {
    let _ = line;
    Err(MessageError::Key {
        message: "STATE",
        key: "value",
        expected: "there",
    })
}

/// Reads an ACTIVATE_VERSION line.
///
/// # Errors
/// When it is not JSON, or `stream` or `version` are not what they should be.
pub fn parse_activate_version(line: &[u8]) -> Result<ActivateVersion, MessageError> {
    let _ = line;
    Err(MessageError::Key {
        message: "ACTIVATE_VERSION",
        key: "stream",
        expected: "a string",
    })
}

/// Reads a BATCH line.
///
/// # Errors
/// When it is not JSON, names an unknown format or compression, or lacks `stream` or `manifest`.
pub fn parse_batch_message(line: &[u8]) -> Result<BatchMessage, MessageError> {
    let _ = line;
    Err(MessageError::Key {
        message: "BATCH",
        key: "stream",
        expected: "a string",
    })
}
