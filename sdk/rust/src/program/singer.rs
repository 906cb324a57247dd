//! A program as a Singer tap: messages on stdout, logs and errors on stderr.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::inputs::OnBadRows;
use super::outlet::Said;
use super::singer_catalog::{object_schema, singer_name};
use super::singer_state::bookmarks;
use super::voice::{Voice, line, now_ms, refuse_bad_rows, with_on_bad_rows};
use crate::{
    API_VERSION, CatalogStream, Error, Estimate, Info, Method, Piece, PieceKind, SavedState, State,
    StreamId, config_schema,
};

/// What `--about` says.
pub(super) fn about<C: JsonSchema>(info: &Info) -> Vec<u8> {
    document(&json!({
        "name": info.name,
        "description": "",
        "version": info.version,
        "sdk_version": API_VERSION,
        "capabilities": ["about", "catalog", "discover", "properties", "state"],
        "settings": with_on_bad_rows(config_schema::<C>()),
    }))
}

/// A document, not a message.
pub(super) fn document(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Speaks as a tap.
pub(super) struct Singer {
    on_bad_rows: OnBadRows,
    /// Streams that are read whole each time: no state covers them.
    whole: HashSet<StreamId>,
    /// Streams with rows that no state covers yet. A tap's state is of all streams: it waits until there are none.
    open: HashSet<StreamId>,
    waiting: bool,
    warnings: String,
}

impl Singer {
    pub(super) fn new(on_bad_rows: OnBadRows) -> Self {
        Self {
            on_bad_rows,
            whole: HashSet::new(),
            open: HashSet::new(),
            waiting: false,
            warnings: String::new(),
        }
    }
}

impl Voice for Singer {
    fn started(&mut self, streams: &[CatalogStream]) -> Vec<u8> {
        let whole = streams
            .iter()
            .filter(|stream| stream.methods == [Method::FullRefresh]);
        self.whole = whole.map(|stream| stream.id.clone()).collect();
        let schemas = streams.iter().flat_map(|stream| {
            let mut said = json!({
                "type": "SCHEMA",
                "stream": singer_name(&stream.id),
                "schema": object_schema(&stream.json_schema),
                "key_properties": stream.primary_key,
            });
            if let Some(cursor) = &stream.cursor {
                said["bookmark_properties"] = json!([cursor]);
            }
            line(&said)
        });
        schemas.collect()
    }

    /// A tap has no message for it.
    fn estimate(&mut self, _: &Estimate) -> Vec<u8> {
        Vec::new()
    }

    fn piece(&mut self, piece: Piece) -> Result<Vec<Said>, Error> {
        if !self.whole.contains(&piece.stream) {
            self.open.insert(piece.stream.clone());
        }
        if piece.kind == PieceKind::Rejects {
            let message = refuse_bad_rows(&piece, self.on_bad_rows)?;
            self.warnings += &format!("WARNING {message}\n");
            return Ok(Vec::new());
        }
        let name = Value::from(singer_name(&piece.stream));
        let at = timestamp(now_ms());
        let before =
            format!(r#"{{"type":"RECORD","stream":{name},"time_extracted":"{at}","record":"#);
        Ok(vec![Said::Rows {
            before: before.into_bytes(),
            batch: piece.data,
            after: b"}",
        }])
    }

    fn state(&mut self, state: &State, saved: &SavedState) -> Vec<u8> {
        match &state.stream {
            Some(stream) => {
                self.open.remove(stream);
            }
            None => self.open.clear(),
        }
        self.waiting = !self.open.is_empty();
        if self.waiting {
            Vec::new()
        } else {
            state_message(saved)
        }
    }

    fn warnings(&mut self) -> String {
        std::mem::take(&mut self.warnings)
    }

    fn ended(&mut self, saved: &SavedState) -> Vec<u8> {
        if self.waiting {
            state_message(saved)
        } else {
            Vec::new()
        }
    }

    fn failed(&mut self, error: &Error) -> (Vec<u8>, String) {
        (Vec::new(), format!("CRITICAL {error}\n"))
    }
}

fn state_message(saved: &SavedState) -> Vec<u8> {
    format!("{{\"type\":\"STATE\",\"value\":{}}}\n", bookmarks(saved)).into_bytes()
}

/// Milliseconds since 1970 as RFC 3339 has it.
fn timestamp(millis: i64) -> String {
    let (day, millis) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Days to a date of the Gregorian calendar, whose years begin in March so that leap days are the last:
    // https://howardhinnant.github.io/date_algorithms.html#civil_from_days
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (second, millis) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;

    fn rows(stream: &str) -> Piece {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values([1]));
        Piece::batch(stream, RecordBatch::try_from_iter([("n", column)]).unwrap())
    }

    #[test]
    fn moments_are_written_as_they_are() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(timestamp(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_state_waits_for_rows_of_other_streams_but_not_for_those_read_whole() {
        let stream = |name: &str| CatalogStream::of_json(name, json!({}));
        let mut tap = Singer::new(OnBadRows::Fail);
        tap.started(&[
            stream("a").incremental(None),
            stream("b").incremental(None),
            stream("c"),
        ]);
        let mut saved = SavedState::default();
        let mut said = |tap: &mut Singer, name: &str| {
            let state = State::of(name, &json!({"n": 1})).unwrap();
            saved.merge(state.clone());
            String::from_utf8(tap.state(&state, &saved)).unwrap()
        };
        for name in ["a", "c"] {
            tap.piece(rows(name)).unwrap();
        }
        let first = "{\"type\":\"STATE\",\"value\":{\"bookmarks\":{\"a\":{\"n\":1}}}}\n";
        assert_eq!(said(&mut tap, "a"), first);
        for name in ["a", "b"] {
            tap.piece(rows(name)).unwrap();
        }
        assert_eq!(said(&mut tap, "a"), "");
        let both =
            "{\"type\":\"STATE\",\"value\":{\"bookmarks\":{\"a\":{\"n\":1},\"b\":{\"n\":1}}}}\n";
        assert_eq!(said(&mut tap, "b"), both);
    }
}
