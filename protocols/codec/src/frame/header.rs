//! The line before a frame.

use super::encode::FrameKind;
use crate::lines::{Envelope, MessageError};
use crate::stamps::micros_of_millis;
use crate::stream_id::StreamId;

/// What a BATCH or REJECTS line says of the bytes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// What its rows are.
    pub kind: FrameKind,
    /// Their stream.
    pub stream: StreamId,
    /// How many there are.
    pub rows: usize,
    /// Bytes of the Arrow IPC stream.
    pub bytes: usize,
    /// When they were read, in microseconds since 1970.
    pub emitted_at: Option<i64>,
}

/// Reads a BATCH or REJECTS line.
///
/// # Errors
/// When it is not JSON, or does not say its stream, rows or bytes.
pub fn parse_frame_header(line: &[u8], kind: FrameKind) -> Result<FrameHeader, MessageError> {
    const KEYS: [&str; 5] = ["stream", "namespace", "rows", "bytes", "emitted_at"];
    let message = kind.name();
    let fields = Envelope::message(line, message, KEYS)?;
    let wrong = |key, expected| MessageError::Key {
        message,
        key,
        expected,
    };
    let count = |place: usize| {
        let value = fields.integer(line, place);
        value
            .filter(|value| *value <= i64::from(i32::MAX))
            .and_then(|value| usize::try_from(value).ok())
            .ok_or(wrong(KEYS[place], "a number from 0 to 2147483647"))
    };
    let namespace = match fields.bytes(line, 1) {
        None | Some(b"null") => None,
        Some(_) => Some(
            fields
                .string(line, 1)
                .ok_or(wrong("namespace", "a string"))?,
        ),
    };
    let name = fields.string(line, 0).ok_or(wrong("stream", "a string"))?;
    Ok(FrameHeader {
        kind,
        stream: StreamId::new(name, namespace.as_deref()),
        rows: count(2)?,
        bytes: count(3)?,
        emitted_at: fields.bytes(line, 4).and_then(micros_of_millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_stream_rows_and_bytes_in_any_order() {
        let line = br#"{"bytes": 12, "emitted_at": 1700000000123.5, "rows":3, "stream":"a\u0062","namespace":"n","type":"BATCH"}"#;
        let header = parse_frame_header(line, FrameKind::Batch).unwrap();
        assert_eq!(header.stream, StreamId::new("ab", Some("n")));
        assert_eq!((header.rows, header.bytes), (3, 12));
        assert_eq!(header.emitted_at, Some(1_700_000_000_123_500));
    }

    #[test]
    fn what_a_header_lacks_is_named() {
        for (line, key) in [
            (r#"{"rows":1,"bytes":1}"#, "stream"),
            (r#"{"stream":"a","bytes":1}"#, "rows"),
            (r#"{"stream":"a","rows":1,"bytes":-1}"#, "bytes"),
            (r#"{"stream":"a","rows":1,"bytes":99999999999}"#, "bytes"),
            (
                r#"{"stream":"a","namespace":1,"rows":1,"bytes":1}"#,
                "namespace",
            ),
        ] {
            let error = parse_frame_header(line.as_bytes(), FrameKind::Rejects).unwrap_err();
            let MessageError::Key {
                key: found,
                message,
                ..
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((found, message), (key, "REJECTS"));
        }
    }
}
