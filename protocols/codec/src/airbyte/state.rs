//! STATE lines. What is in them is never read as numbers or texts: sources get it back byte for byte.

use crate::json::Number;
use crate::lines::{Envelope, MessageError, elements, string_value};
use crate::stream_id::StreamId;

const MESSAGE: &str = "STATE";

/// STATE.
#[derive(Debug, PartialEq)]
pub struct StateMessage<'a> {
    /// What it holds.
    pub body: StateBody<'a>,
    /// `sourceStats.recordCount`: how many records the source says it sent since the state before.
    pub record_count: Option<f64>,
}

/// What a state holds.
#[derive(Debug, PartialEq)]
pub enum StateBody<'a> {
    /// Of one stream: `{"stream_descriptor":…,"stream_state":…}`.
    Stream(StreamId, &'a [u8]),
    /// Of all streams.
    Global {
        /// What they share, if it says so.
        shared: Option<&'a [u8]>,
        /// As [`Self::Stream`].
        streams: Vec<(StreamId, &'a [u8])>,
    },
    /// Of all streams, in the source's own form.
    Legacy(&'a [u8]),
}

/// Reads a STATE line.
///
/// # Errors
/// When it is not JSON, or lacks what its type demands.
pub fn parse_state(line: &[u8]) -> Result<StateMessage<'_>, MessageError> {
    let envelope = Envelope::message(line, MESSAGE, ["state"])?;
    let state = envelope
        .bytes(line, 0)
        .filter(|json| json.starts_with(b"{"))
        .ok_or(key("state", "an object"))?;
    let stats = Envelope::message(state, MESSAGE, ["sourceStats"])?;
    Ok(StateMessage {
        body: body(state)?,
        record_count: stats.bytes(state, 0).and_then(record_count),
    })
}

/// Reads what stands under `state` in a STATE line.
pub(super) fn body(state: &[u8]) -> Result<StateBody<'_>, MessageError> {
    let envelope = Envelope::message(state, MESSAGE, ["type", "stream", "global", "data"])?;
    let kind = envelope
        .string(state, 0)
        .map(|kind| kind.to_ascii_uppercase());
    let has = |place: usize| {
        envelope
            .bytes(state, place)
            .is_some_and(|json| json != b"null")
    };
    match kind.as_deref() {
        Some("STREAM") => {}
        Some("GLOBAL") => return global(envelope.bytes(state, 2)),
        Some("LEGACY") => return legacy(envelope.bytes(state, 3)),
        Some(_) => return Err(key("state.type", "`STREAM`, `GLOBAL` or `LEGACY`")),
        // Without a type it is LEGACY, unless what it has says otherwise.
        None if has(3) || !(has(1) || has(2)) => return legacy(envelope.bytes(state, 3)),
        None if has(2) => return global(envelope.bytes(state, 2)),
        None => {}
    }
    let stream = envelope
        .bytes(state, 1)
        .ok_or(key("state.stream", "an object"))?;
    let id = descriptor(stream).ok_or(key("state.stream.stream_descriptor", "a stream's name"))?;
    Ok(StateBody::Stream(id, stream))
}

fn legacy(data: Option<&[u8]>) -> Result<StateBody<'_>, MessageError> {
    let data = data.ok_or(key("state.data", "a JSON value"))?;
    Ok(StateBody::Legacy(data))
}

fn global(global: Option<&[u8]>) -> Result<StateBody<'_>, MessageError> {
    let global = global
        .filter(|json| json.starts_with(b"{"))
        .ok_or(key("state.global", "an object"))?;
    let envelope = Envelope::message(global, MESSAGE, ["shared_state", "stream_states"])?;
    let wrong = || key("state.global.stream_states", "a list of states of streams");
    let streams = match envelope.bytes(global, 1) {
        None | Some(b"null") => Vec::new(),
        Some(list) => elements(list)
            .ok_or_else(wrong)?
            .into_iter()
            .map(|state| Some((descriptor(state)?, state)))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?,
    };
    Ok(StateBody::Global {
        shared: envelope.bytes(global, 0),
        streams,
    })
}

/// The stream that an object with a `stream_descriptor` is about.
fn descriptor(object: &[u8]) -> Option<StreamId> {
    let (envelope, result) = Envelope::read(object, ["stream_descriptor"]);
    result.ok()?;
    stream_id(envelope.bytes(object, 0)?)
}

/// What stands under `stream_state` in an object with a `stream_descriptor`.
pub(super) fn stream_state(object: &[u8]) -> Option<&[u8]> {
    let (envelope, result) = Envelope::read(object, ["stream_state"]);
    result.ok()?;
    envelope.bytes(object, 0)
}

/// The stream that `{"name":…,"namespace":…}` is.
pub(super) fn stream_id(descriptor: &[u8]) -> Option<StreamId> {
    let (envelope, result) = Envelope::read(descriptor, ["name", "namespace"]);
    result.ok()?;
    let name = envelope.string(descriptor, 0)?;
    let namespace = match envelope.bytes(descriptor, 1) {
        None | Some(b"null") => None,
        Some(value) => Some(string_value(value)?),
    };
    Some(StreamId::new(name, namespace.as_deref()))
}

fn record_count(stats: &[u8]) -> Option<f64> {
    let (envelope, _) = Envelope::read(stats, ["recordCount"]);
    let count = envelope.bytes(stats, 0)?;
    Number::parse(count)?;
    std::str::from_utf8(count).ok()?.parse().ok()
}

fn key(key: &'static str, expected: &'static str) -> MessageError {
    MessageError::Key {
        message: MESSAGE,
        key,
        expected,
    }
}
