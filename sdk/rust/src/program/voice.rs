//! What a program has to say, in whichever protocol.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::inputs::{ON_BAD_ROWS, OnBadRows};
use super::outlet::Said;
use crate::{
    API_VERSION, CatalogStream, Error, Estimate, Info, Piece, SavedState, State, StreamId,
};

/// Puts what happens into messages, each a line with its line feed.
pub(super) trait Voice {
    /// Rows of these streams may follow.
    fn started(&mut self, streams: &[CatalogStream]) -> Vec<u8>;

    /// How much there is to come.
    fn estimate(&mut self, estimate: &Estimate) -> Vec<u8>;

    /// Rows. An error when they cannot be said.
    fn piece(&mut self, piece: Piece) -> Result<Vec<Said>, Error>;

    /// The state that the reader gave, and all that it gave so far.
    fn state(&mut self, state: &State, saved: &SavedState) -> Vec<u8>;

    /// What is to be logged on stderr, since it was last asked.
    fn warnings(&mut self) -> String {
        String::new()
    }

    /// All streams are complete.
    fn ended(&mut self, saved: &SavedState) -> Vec<u8>;

    /// What went wrong: for stdout, and for stderr.
    fn failed(&mut self, error: &Error) -> (Vec<u8>, String);
}

/// One message.
pub(super) fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// A stream's identity in Airbyte's messages.
pub(super) fn descriptor(stream: &StreamId) -> Value {
    match stream.namespace() {
        None => json!({"name": stream.name()}),
        Some(namespace) => json!({"name": stream.name(), "namespace": namespace}),
    }
}

/// A state's JSON within a line: a line feed there is but a space.
pub(super) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Who the reader is, as SPEC messages and Python classes say it.
pub(super) fn described(info: &Info) -> Value {
    json!({
        "api_version": API_VERSION,
        "name": info.name,
        "version": info.version,
        "capabilities": info.capabilities(),
    })
}

/// A configuration's schema, with what every program takes beside it.
pub(super) fn with_on_bad_rows(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            let choice = json!({"enum": ["fail", "log"], "default": "fail"});
            properties.insert(ON_BAD_ROWS.to_owned(), choice);
        }
    }
    schema
}

/// What to log of rows that are no records.
///
/// # Errors
/// When they end the run.
pub(super) fn refuse_bad_rows(piece: &Piece, on_bad_rows: OnBadRows) -> Result<String, Error> {
    let rows = piece.data.num_rows();
    let plural = if rows == 1 { "" } else { "s" };
    let what = format!("{rows} row{plural} of `{}` could not be read", piece.stream);
    if on_bad_rows == OnBadRows::Log {
        return Ok(format!("{what}, and are left out"));
    }
    let hint = format!(
        "they can be kept with `--format arrow`, or left out with `\"{ON_BAD_ROWS}\": \"log\"` in the configuration"
    );
    Err(Error::connector(what)
        .with_hint(hint)
        .with_fact("stream", piece.stream.to_string())
        .with_fact("rows", rows))
}
