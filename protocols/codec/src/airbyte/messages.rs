//! LOG, TRACE, CONTROL, SPEC, CATALOG and CONNECTION_STATUS lines. Values that are handed on stay the exact bytes of the line.

use super::state::stream_id;
use crate::json::Number;
use crate::lines::{Envelope, MessageError, string_value};
use crate::stream_id::StreamId;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// TRACE, DEBUG.
    Debug,
    /// INFO, and what nobody knows.
    Info,
    /// WARN.
    Warning,
    /// ERROR, FATAL.
    Error,
}

/// LOG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMessage {
    /// Its level.
    pub level: LogLevel,
    /// Its message, with the stack trace behind it where there is one.
    pub text: String,
}

/// TRACE with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorTrace {
    /// For the user.
    pub message: String,
    /// What failed, in the connector's words.
    pub internal_message: Option<String>,
    /// Where.
    pub stack_trace: Option<String>,
    /// `config_error`, `system_error`, `transient_error`, or what nobody knows.
    pub failure_type: Option<String>,
    /// The stream concerned.
    pub stream: Option<StreamId>,
}

/// TRACE with an estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstimateTrace {
    /// The stream meant; `None` for all.
    pub stream: Option<StreamId>,
    /// Rows to come.
    pub rows: Option<i64>,
    /// Bytes to come.
    pub bytes: Option<i64>,
}

/// TRACE with a stream's status.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusTrace {
    /// The stream.
    pub stream: StreamId,
    /// `STARTED`, `RUNNING`, `COMPLETE` or `INCOMPLETE`.
    pub status: &'static str,
    /// When the quota it waits for is reset, in seconds since the epoch: infinite where the source does not say.
    pub rate_limited_until: Option<f64>,
}

/// TRACE.
#[derive(Debug, Clone, PartialEq)]
pub enum TraceMessage {
    /// Something failed.
    Error(ErrorTrace),
    /// How much is to come.
    Estimate(EstimateTrace),
    /// How far a stream is.
    Status(StatusTrace),
    /// Usage of the connector, for its makers: the event, and its value.
    Analytics(String, Option<String>),
    /// A type, a status or an estimate nobody knows.
    Unknown,
}

/// CONTROL.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlMessage<'a> {
    /// The source's new configuration, and when it said so, in seconds since the epoch.
    Config(&'a [u8], Option<f64>),
    /// A type nobody knows.
    Unknown,
}

/// CONNECTION_STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Whether the configuration works.
    pub succeeded: bool,
    /// Why not.
    pub message: String,
}

/// Reads a LOG line.
///
/// # Errors
/// When it is not JSON, or has no message.
pub fn parse_log(line: &[u8]) -> Result<LogMessage, MessageError> {
    let log = payload(line, "LOG", "log")?;
    let fields = Envelope::message(log, "LOG", ["level", "message", "stack_trace"])?;
    let mut text = text_at(&fields, log, 1).ok_or(key("LOG", "log.message", "a string"))?;
    if let Some(trace) = text_at(&fields, log, 2).filter(|trace| !trace.is_empty()) {
        text.push('\n');
        text.push_str(&trace);
    }
    let level = fields.string(log, 0).unwrap_or_default();
    let level = match level.to_ascii_uppercase().as_str() {
        "TRACE" | "DEBUG" => LogLevel::Debug,
        "WARN" | "WARNING" => LogLevel::Warning,
        "ERROR" | "FATAL" => LogLevel::Error,
        _ => LogLevel::Info,
    };
    Ok(LogMessage { level, text })
}

/// Reads a TRACE line.
///
/// # Errors
/// When it is not JSON, or an error without a message.
pub fn parse_trace(line: &[u8]) -> Result<TraceMessage, MessageError> {
    const KEYS: [&str; 5] = ["type", "error", "estimate", "stream_status", "analytics"];
    let trace = payload(line, "TRACE", "trace")?;
    let fields = Envelope::message(trace, "TRACE", KEYS)?;
    let kind = fields.string(trace, 0).unwrap_or_default();
    let inner = |place: usize| {
        let json = fields.bytes(trace, place);
        json.filter(|json| json.starts_with(b"{"))
    };
    Ok(match kind.to_ascii_uppercase().as_str() {
        "ERROR" => {
            let error = inner(1).ok_or(key("TRACE", "trace.error", "an object"))?;
            TraceMessage::Error(self::error(error)?)
        }
        "ESTIMATE" => inner(2)
            .and_then(estimate)
            .map_or(TraceMessage::Unknown, TraceMessage::Estimate),
        "STREAM_STATUS" => inner(3)
            .and_then(status)
            .map_or(TraceMessage::Unknown, TraceMessage::Status),
        "ANALYTICS" => match inner(4) {
            Some(analytics) => {
                let fields = Envelope::message(analytics, "TRACE", ["type", "value"])?;
                let event = text_at(&fields, analytics, 0).unwrap_or_default();
                TraceMessage::Analytics(event, text_at(&fields, analytics, 1))
            }
            None => TraceMessage::Unknown,
        },
        _ => TraceMessage::Unknown,
    })
}

fn error(error: &[u8]) -> Result<ErrorTrace, MessageError> {
    let fields = Envelope::message(
        error,
        "TRACE",
        [
            "message",
            "internal_message",
            "stack_trace",
            "failure_type",
            "stream_descriptor",
        ],
    )?;
    let internal_message = text_at(&fields, error, 1);
    let message = text_at(&fields, error, 0)
        .or_else(|| internal_message.clone())
        .ok_or(key("TRACE", "trace.error.message", "a string"))?;
    Ok(ErrorTrace {
        message,
        internal_message,
        stack_trace: text_at(&fields, error, 2),
        failure_type: text_at(&fields, error, 3),
        stream: fields.bytes(error, 4).and_then(stream_id),
    })
}

fn estimate(estimate: &[u8]) -> Option<EstimateTrace> {
    let (fields, _) = Envelope::read(estimate, ["type", "row_estimate", "byte_estimate"]);
    let stream = match fields.string(estimate, 0)?.to_ascii_uppercase().as_str() {
        "STREAM" => Some(stream_id(estimate)?),
        "SYNC" => None,
        _ => return None,
    };
    Some(EstimateTrace {
        stream,
        rows: fields.integer(estimate, 1),
        bytes: fields.integer(estimate, 2),
    })
}

fn status(status: &[u8]) -> Option<StatusTrace> {
    let (fields, _) = Envelope::read(status, ["stream_descriptor", "status", "reasons"]);
    let said = fields.string(status, 1)?.to_ascii_uppercase();
    let known = ["STARTED", "RUNNING", "COMPLETE", "INCOMPLETE"];
    let reasons = fields.bytes(status, 2).and_then(crate::lines::elements);
    Some(StatusTrace {
        stream: stream_id(fields.bytes(status, 0)?)?,
        status: known.into_iter().find(|known| *known == said)?,
        rate_limited_until: reasons
            .unwrap_or_default()
            .into_iter()
            .filter_map(quota_reset)
            .reduce(f64::max),
    })
}

/// When the quota is reset of which a reason speaks, if it does.
fn quota_reset(reason: &[u8]) -> Option<f64> {
    let (fields, _) = Envelope::read(reason, ["type", "rate_limited"]);
    if !fields
        .string(reason, 0)?
        .eq_ignore_ascii_case("RATE_LIMITED")
    {
        return None;
    }
    let until = fields.bytes(reason, 1).and_then(|limited| {
        let (fields, _) = Envelope::read(limited, ["quota_reset"]);
        seconds(fields.bytes(limited, 0)?)
    });
    Some(until.unwrap_or(f64::INFINITY))
}

/// Reads a CONTROL line.
///
/// # Errors
/// When it is not JSON, or has no configuration though its type says so.
pub fn parse_control(line: &[u8]) -> Result<ControlMessage<'_>, MessageError> {
    let control = payload(line, "CONTROL", "control")?;
    let fields = Envelope::message(
        control,
        "CONTROL",
        ["type", "connectorConfig", "emitted_at"],
    )?;
    let kind = fields.string(control, 0).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("CONNECTOR_CONFIG") {
        return Ok(ControlMessage::Unknown);
    }
    const WHERE: &str = "control.connectorConfig.config";
    let missing = || key("CONTROL", WHERE, "an object");
    let outer = fields.bytes(control, 1).ok_or_else(missing)?;
    let inner = Envelope::message(outer, "CONTROL", ["config"])?;
    let config = inner.bytes(outer, 0).filter(|json| json.starts_with(b"{"));
    Ok(ControlMessage::Config(
        whole_text(line, "CONTROL", config.ok_or_else(missing)?)?,
        fields.bytes(control, 2).and_then(seconds),
    ))
}

/// The exact bytes of a SPEC line's `spec`.
///
/// # Errors
/// When it is not JSON, or there is none.
pub fn parse_spec(line: &[u8]) -> Result<&[u8], MessageError> {
    whole_text(line, "SPEC", payload(line, "SPEC", "spec")?)
}

/// The exact bytes of a CATALOG line's `catalog`.
///
/// # Errors
/// When it is not JSON, or there is none.
pub fn parse_catalog(line: &[u8]) -> Result<&[u8], MessageError> {
    whole_text(line, "CATALOG", payload(line, "CATALOG", "catalog")?)
}

/// Reads a CONNECTION_STATUS line.
///
/// # Errors
/// When it is not JSON, or its status is neither `SUCCEEDED` nor `FAILED`.
pub fn parse_connection_status(line: &[u8]) -> Result<ConnectionStatus, MessageError> {
    const MESSAGE: &str = "CONNECTION_STATUS";
    let status = payload(line, MESSAGE, "connectionStatus")?;
    let fields = Envelope::message(status, MESSAGE, ["status", "message"])?;
    let said = fields.string(status, 0).unwrap_or_default();
    let succeeded = said.eq_ignore_ascii_case("SUCCEEDED");
    if !succeeded && !said.eq_ignore_ascii_case("FAILED") {
        return Err(key(
            MESSAGE,
            "connectionStatus.status",
            "`SUCCEEDED` or `FAILED`",
        ));
    }
    Ok(ConnectionStatus {
        succeeded,
        message: text_at(&fields, status, 1).unwrap_or_default(),
    })
}

/// The object in which a message has what it says.
fn payload<'l>(
    line: &'l [u8],
    message: &'static str,
    name: &'static str,
) -> Result<&'l [u8], MessageError> {
    let envelope = Envelope::message(line, message, [name])?;
    envelope
        .bytes(line, 0)
        .filter(|json| json.starts_with(b"{"))
        .ok_or(key(message, name, "an object"))
}

/// What is handed on as it is must be text throughout; the envelope has only looked at where values end.
fn whole_text<'l>(
    line: &'l [u8],
    message: &'static str,
    json: &'l [u8],
) -> Result<&'l [u8], MessageError> {
    let start = json.as_ptr().addr() - line.as_ptr().addr();
    match std::str::from_utf8(json) {
        Ok(_) => Ok(json),
        Err(error) => Err(MessageError::NotJson {
            message,
            reason: "a text is not UTF-8",
            offset: start + error.valid_up_to(),
        }),
    }
}

fn key(message: &'static str, key: &'static str, expected: &'static str) -> MessageError {
    MessageError::Key {
        message,
        key,
        expected,
    }
}

/// A text for people: what is no valid text of a string is replaced, since a message is worth more than its exact bytes.
fn text_at<const N: usize>(fields: &Envelope<N>, json: &[u8], place: usize) -> Option<String> {
    let value = fields.bytes(json, place)?;
    string_value(value).or_else(|| {
        let raw = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some(String::from_utf8_lossy(raw).into_owned())
    })
}

/// Seconds, from a number of milliseconds.
fn seconds(json: &[u8]) -> Option<f64> {
    Number::parse(json)?;
    let milliseconds: f64 = std::str::from_utf8(json).ok()?.parse().ok()?;
    Some(milliseconds / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_have_four_levels_and_their_stack_trace() {
        for (level, expected) in [
            ("trace", LogLevel::Debug),
            ("DEBUG", LogLevel::Debug),
            ("INFO", LogLevel::Info),
            ("WARN", LogLevel::Warning),
            ("FATAL", LogLevel::Error),
            ("LOUD", LogLevel::Info),
        ] {
            let line = format!(
                r#"{{"type":"LOG","log":{{"level":"{level}","message":"a\nb","stack_trace":"at c"}}}}"#
            );
            let log = parse_log(line.as_bytes()).unwrap();
            assert_eq!((log.level, log.text.as_str()), (expected, "a\nb\nat c"));
        }
    }

    #[test]
    fn a_text_that_is_no_text_is_told_all_the_same() {
        let line =
            br#"{"type":"TRACE","trace":{"type":"ERROR","error":{"message":"half \ud83d"}}}"#;
        let TraceMessage::Error(error) = parse_trace(line).unwrap() else {
            panic!("no error");
        };
        assert_eq!(error.message, r"half \ud83d");
    }

    #[test]
    fn what_is_handed_on_as_it_is_must_be_text() {
        let catalog = b"{\"type\":\"CATALOG\",\"catalog\":{\"streams\":[\"\xff\"]}}";
        let control = b"{\"type\":\"CONTROL\",\"control\":{\"type\":\"CONNECTOR_CONFIG\",\
            \"connectorConfig\":{\"config\":{\"a\":\"\xff\"}}}}";
        for error in [
            parse_catalog(catalog).map(drop),
            parse_control(control).map(drop),
        ] {
            let said = error.unwrap_err().to_string();
            assert!(said.contains("a text is not UTF-8"), "{said}");
        }
        let place = parse_catalog(catalog).unwrap_err().to_string();
        assert!(place.ends_with("at byte 41"), "{place}");
    }

    #[test]
    fn a_rate_limit_without_an_end_has_none() {
        let line = br#"{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"a"},
            "status":"RUNNING","reasons":[{"type":"RATE_LIMITED"}]}}}"#;
        let TraceMessage::Status(status) = parse_trace(line).unwrap() else {
            panic!("no status");
        };
        assert_eq!(status.rate_limited_until, Some(f64::INFINITY));
    }

    #[test]
    fn unknown_traces_are_no_error_but_errors_without_text_are() {
        for trace in [
            r#"{"type":"NEW"}"#,
            r#"{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"a"},"status":"PAUSED"}}"#,
            r#"{"type":"ESTIMATE","estimate":{"type":"TABLE","name":"a"}}"#,
        ] {
            let line = format!(r#"{{"type":"TRACE","trace":{trace}}}"#);
            assert_eq!(parse_trace(line.as_bytes()).unwrap(), TraceMessage::Unknown);
        }
        assert!(parse_trace(br#"{"type":"TRACE","trace":{"type":"ERROR","error":{}}}"#).is_err());
        assert!(parse_trace(br#"{"type":"TRACE"}"#).is_err());
    }
}
