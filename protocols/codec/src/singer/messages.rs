//! Messages other than RECORD. All JSON values that are handed on stay the exact bytes of the line.

use serde_json::Value;

use crate::lines::{Envelope, MessageError};

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
    const MESSAGE: &str = "SCHEMA";
    let envelope = Envelope::message(
        line,
        MESSAGE,
        ["stream", "schema", "key_properties", "bookmark_properties"],
    )?;
    let schema = envelope
        .bytes(line, 1)
        .filter(|json| json.starts_with(b"{") || [&b"true"[..], b"false"].contains(json));
    Ok(SchemaMessage {
        stream: stream(&envelope, line, MESSAGE)?,
        schema: schema.ok_or(MessageError::Key {
            message: MESSAGE,
            key: "schema",
            expected: "an object",
        })?,
        key_properties: names(envelope.bytes(line, 2), MESSAGE, "key_properties")?,
        bookmark_properties: names(envelope.bytes(line, 3), MESSAGE, "bookmark_properties")?,
    })
}

/// The exact bytes of a STATE line's `value`.
///
/// # Errors
/// When the line is not JSON or has no `value`.
pub fn parse_state(line: &[u8]) -> Result<&[u8], MessageError> {
    let envelope = Envelope::message(line, "STATE", ["value"])?;
    envelope.bytes(line, 0).ok_or(MessageError::Key {
        message: "STATE",
        key: "value",
        expected: "a JSON value",
    })
}

/// Reads an ACTIVATE_VERSION line.
///
/// # Errors
/// When it is not JSON, or `stream` or `version` are not what they should be.
pub fn parse_activate_version(line: &[u8]) -> Result<ActivateVersion, MessageError> {
    const MESSAGE: &str = "ACTIVATE_VERSION";
    let envelope = Envelope::message(line, MESSAGE, ["stream", "version"])?;
    let version = envelope.integer(line, 1);
    Ok(ActivateVersion {
        stream: stream(&envelope, line, MESSAGE)?,
        version: version.ok_or(MessageError::Key {
            message: MESSAGE,
            key: "version",
            expected: "an integer",
        })?,
    })
}

/// Reads a BATCH line.
///
/// # Errors
/// When it is not JSON, names an unknown format or compression, or lacks `stream` or `manifest`.
pub fn parse_batch_message(line: &[u8]) -> Result<BatchMessage, MessageError> {
    const MESSAGE: &str = "BATCH";
    let envelope = Envelope::message(line, MESSAGE, ["stream", "encoding", "manifest"])?;
    let encoding = envelope
        .bytes(line, 1)
        .and_then(|json| serde_json::from_slice::<Value>(json).ok())
        .unwrap_or_default();
    let format = match encoding["format"]
        .as_str()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        Some("jsonl" | "jsonlines" | "ndjson") => BatchFormat::Jsonl,
        Some("parquet") => BatchFormat::Parquet,
        Some("arrow") => BatchFormat::Arrow,
        _ => {
            let expected = "one of `jsonl`, `parquet`, `arrow`";
            return Err(MessageError::Key {
                message: MESSAGE,
                key: "encoding.format",
                expected,
            });
        }
    };
    let compression = match &encoding["compression"] {
        Value::Null => None,
        Value::String(name) if name.is_empty() || name.eq_ignore_ascii_case("none") => None,
        Value::String(name)
            if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("gz") =>
        {
            Some(Compression::Gzip)
        }
        _ => {
            return Err(MessageError::Key {
                message: MESSAGE,
                key: "encoding.compression",
                expected: "`gzip` or `none`",
            });
        }
    };
    if envelope.values[2].is_none() {
        return Err(MessageError::Key {
            message: MESSAGE,
            key: "manifest",
            expected: "a list of strings",
        });
    }
    Ok(BatchMessage {
        stream: stream(&envelope, line, MESSAGE)?,
        format,
        compression,
        files: names(envelope.bytes(line, 2), MESSAGE, "manifest")?,
    })
}

fn stream<const N: usize>(
    envelope: &Envelope<N>,
    line: &[u8],
    message: &'static str,
) -> Result<String, MessageError> {
    envelope.string(line, 0).ok_or(MessageError::Key {
        message,
        key: "stream",
        expected: "a string",
    })
}

/// A list of strings; absent or null is an empty one.
fn names(
    json: Option<&[u8]>,
    message: &'static str,
    key: &'static str,
) -> Result<Vec<String>, MessageError> {
    let Some(json) = json else {
        return Ok(Vec::new());
    };
    serde_json::from_slice::<Option<Vec<String>>>(json)
        .map(Option::unwrap_or_default)
        .map_err(|_| MessageError::Key {
            message,
            key,
            expected: "a list of strings",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_message_keeps_the_schema_as_sent() {
        let line = br#"{"key_properties":["id"],"schema": {"properties": {"id": {"multipleOf":1E-2}}} ,"type":"SCHEMA","stream":"a\u0062"}"#;
        let message = parse_schema_message(line).unwrap();
        assert_eq!(message.stream, "ab");
        assert_eq!(
            message.schema,
            br#"{"properties": {"id": {"multipleOf":1E-2}}}"#
        );
        assert_eq!(message.key_properties, ["id"]);
        assert!(message.bookmark_properties.is_empty());
    }

    #[test]
    fn schema_message_without_its_parts_is_an_error() {
        for (line, text) in [
            (
                r#"{"schema":{}}"#,
                "SCHEMA message: `stream` is missing or is not a string",
            ),
            (
                r#"{"stream":"a"}"#,
                "SCHEMA message: `schema` is missing or is not an object",
            ),
            (
                r#"{"stream":"a","schema":{},"key_properties":"id"}"#,
                "SCHEMA message: `key_properties` is missing or is not a list of strings",
            ),
            (
                r#"{"stream":"a","schema":{}"#,
                "SCHEMA message is not JSON: expected `,` or `}` at byte 25",
            ),
        ] {
            assert_eq!(
                parse_schema_message(line.as_bytes())
                    .unwrap_err()
                    .to_string(),
                text
            );
        }
        assert!(
            parse_schema_message(br#"{"stream":"a","schema":{},"key_properties":null}"#).is_ok()
        );
    }

    #[test]
    fn state_is_the_bytes_between() {
        let line = b"{\"type\": \"STATE\", \"value\":  {\"n\": 1.10e400, \"n\":2, \"u\":\"\\u00e9\"} }\r\n";
        assert_eq!(
            parse_state(line).unwrap(),
            b"{\"n\": 1.10e400, \"n\":2, \"u\":\"\\u00e9\"}"
        );
        assert_eq!(parse_state(b"{\"value\":null}").unwrap(), b"null");
        assert!(parse_state(b"{\"type\":\"STATE\"}").is_err());
        assert!(parse_state(b"{\"value\":{}} {").is_err());
    }

    #[test]
    fn activate_version_needs_an_integer() {
        let message = parse_activate_version(
            br#"{"type":"ACTIVATE_VERSION","stream":"a","version":1700000000000}"#,
        )
        .unwrap();
        assert_eq!(
            message,
            ActivateVersion {
                stream: "a".to_owned(),
                version: 1_700_000_000_000
            }
        );
        assert!(parse_activate_version(br#"{"stream":"a","version":"1"}"#).is_err());
    }

    #[test]
    fn batch_names_its_files() {
        let line = br#"{"type":"BATCH","stream":"a","encoding":{"format":"jsonl","compression":"gzip"},"manifest":["file:///x.gz"]}"#;
        let message = parse_batch_message(line).unwrap();
        assert_eq!(
            (message.format, message.compression),
            (BatchFormat::Jsonl, Some(Compression::Gzip))
        );
        assert_eq!(message.files, ["file:///x.gz"]);
        let plain =
            br#"{"stream":"a","encoding":{"format":"parquet","compression":"none"},"manifest":[]}"#;
        assert_eq!(parse_batch_message(plain).unwrap().compression, None);
        assert!(
            parse_batch_message(br#"{"stream":"a","encoding":{"format":"avro"},"manifest":[]}"#)
                .is_err()
        );
        assert!(parse_batch_message(br#"{"stream":"a","encoding":{"format":"jsonl"}}"#).is_err());
    }
}
