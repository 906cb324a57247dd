//! A program as an Airbyte source; with Arrow data in the place of RECORD lines where the host wants it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dativo_codec::frame::{FrameKind, encode_frame};
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::inputs::OnBadRows;
use super::outlet::Said;
use super::voice::{
    Voice, described, descriptor, line, now_ms, one_line, refuse_bad_rows, with_on_bad_rows,
};
use crate::{
    Catalog, CatalogStream, Error, Estimate, Info, Kind, Method, Partition, Piece, PieceKind,
    SavedState, State, StreamId, config_schema,
};

/// SPEC, with what Dativo wants to know under `dativo`.
pub(super) fn spec<C: JsonSchema>(info: &Info, arrow: bool) -> Vec<u8> {
    let schema = config_schema::<C>();
    let modes = info.capabilities()["modes"].clone();
    let incremental = modes.as_array().is_some_and(|modes| {
        modes
            .iter()
            .any(|mode| mode == Method::Incremental.as_str())
    });
    line(&json!({"type": "SPEC", "spec": {
        "connectionSpecification": if arrow { schema } else { with_on_bad_rows(schema) },
        "supportsIncremental": incremental,
        "dativo": described(info),
    }}))
}

/// CONNECTION_STATUS.
pub(super) fn status(checked: &Result<(), Error>) -> Vec<u8> {
    let said = match checked {
        Ok(()) => json!({"status": "SUCCEEDED", "message": ""}),
        Err(error) => json!({"status": "FAILED", "message": error.to_string()}),
    };
    line(&json!({"type": "CONNECTION_STATUS", "connectionStatus": said}))
}

/// CATALOG, with exact Arrow schemas under `arrow_schema`.
pub(super) fn catalog(catalog: &Catalog) -> Vec<u8> {
    line(&json!({"type": "CATALOG", "catalog": catalog.to_airbyte()}))
}

/// PARTITIONS, Dativo's own message: tokens in base64, each with the state message of its state, or null.
pub(super) fn partitions(parts: &[Partition]) -> Vec<u8> {
    let entries = parts.iter().map(|part| {
        let state = part.state.as_ref().map_or_else(
            || "null".to_owned(),
            |state| {
                let mut saved = SavedState::default();
                saved.merge(state.clone());
                state_message(state, &saved, None)
            },
        );
        format!(
            r#"{{"token":"{}","state":{state}}}"#,
            STANDARD.encode(&part.token)
        )
    });
    let entries = entries.collect::<Vec<_>>().join(",");
    format!("{{\"type\":\"PARTITIONS\",\"partitions\":[{entries}]}}\n").into_bytes()
}

/// Speaks Airbyte's protocol.
pub(super) struct Airbyte {
    arrow: bool,
    on_bad_rows: OnBadRows,
    /// Streams whose rows may come, and how far they are.
    streams: Vec<Stream>,
}

struct Stream {
    id: StreamId,
    running: bool,
    /// Since its last state.
    records: u64,
}

impl Airbyte {
    pub(super) fn new(arrow: bool, on_bad_rows: OnBadRows) -> Self {
        Self {
            arrow,
            on_bad_rows,
            streams: Vec::new(),
        }
    }

    fn statuses(&self, status: &str) -> Vec<u8> {
        let streams = self.streams.iter();
        streams
            .flat_map(|stream| stream_status(&stream.id, status))
            .collect()
    }
}

impl Voice for Airbyte {
    fn started(&mut self, streams: &[CatalogStream]) -> Vec<u8> {
        let started = streams.iter().map(|stream| Stream {
            id: stream.id.clone(),
            running: false,
            records: 0,
        });
        self.streams = started.collect();
        self.statuses("STARTED")
    }

    fn estimate(&mut self, estimate: &Estimate) -> Vec<u8> {
        let mut said = match &estimate.stream {
            Some(stream) => descriptor(stream),
            None => json!({}),
        };
        said["type"] = if estimate.stream.is_some() {
            "STREAM"
        } else {
            "SYNC"
        }
        .into();
        if let Some(rows) = estimate.rows {
            said["row_estimate"] = rows.into();
        }
        if let Some(bytes) = estimate.bytes {
            said["byte_estimate"] = bytes.into();
        }
        trace("ESTIMATE", "estimate", said)
    }

    fn piece(&mut self, piece: Piece) -> Result<Vec<Said>, Error> {
        if !self.arrow && piece.kind == PieceKind::Rejects {
            let message = refuse_bad_rows(&piece, self.on_bad_rows)?;
            return Ok(vec![Said::Lines(log("WARN", &message))]);
        }
        let mut said = Vec::new();
        if let Some(stream) = self
            .streams
            .iter_mut()
            .find(|stream| stream.id == piece.stream)
        {
            stream.records += piece.data.num_rows() as u64;
            if !std::mem::replace(&mut stream.running, true) {
                said.push(Said::Lines(stream_status(&piece.stream, "RUNNING")));
            }
        }
        said.push(if self.arrow {
            let kind = match piece.kind {
                PieceKind::Batch => FrameKind::Batch,
                PieceKind::Rejects => FrameKind::Rejects,
            };
            let frame = encode_frame(&piece.stream, &piece.data, kind, Some(now_ms()));
            Said::Frame(frame.map_err(|error| Error::connector(error.to_string()))?)
        } else {
            let namespace = match piece.stream.namespace() {
                Some(namespace) => format!(r#","namespace":{}"#, Value::from(namespace)),
                None => String::new(),
            };
            let name = Value::from(piece.stream.name());
            let before = format!(
                r#"{{"type":"RECORD","record":{{"stream":{name}{namespace},"emitted_at":{},"data":"#,
                now_ms()
            );
            Said::Rows {
                before: before.into_bytes(),
                batch: piece.data,
                after: b"}}",
            }
        });
        Ok(said)
    }

    fn state(&mut self, state: &State, saved: &SavedState) -> Vec<u8> {
        let mut records = 0;
        for stream in &mut self.streams {
            if state
                .stream
                .as_ref()
                .is_none_or(|covered| *covered == stream.id)
            {
                records += std::mem::take(&mut stream.records);
            }
        }
        let message = state_message(state, saved, Some(records));
        format!("{{\"type\":\"STATE\",\"state\":{message}}}\n").into_bytes()
    }

    fn ended(&mut self, _: &SavedState) -> Vec<u8> {
        self.statuses("COMPLETE")
    }

    fn failed(&mut self, error: &Error) -> (Vec<u8>, String) {
        let mut lines = self.statuses("INCOMPLETE");
        let failure_type = match error.kind {
            Kind::Config => "config_error",
            Kind::Temporary => "transient_error",
            Kind::Connector | Kind::Contract => "system_error",
        };
        let mut said = json!({"failure_type": failure_type, "message": error.to_string()});
        let named = error.facts.iter().find(|(name, _)| name == "stream");
        let mut streams = self.streams.iter();
        if let Some((_, named)) = named
            && let Some(stream) = streams.find(|stream| *named == stream.id.to_string())
        {
            said["stream_descriptor"] = descriptor(&stream.id);
        }
        lines.extend(trace("ERROR", "error", said));
        (lines, String::new())
    }
}

/// A state as STATE messages hold it: STREAM of its stream, or GLOBAL with those of all.
fn state_message(state: &State, saved: &SavedState, records: Option<u64>) -> String {
    let of_stream = |stream: &StreamId, data: &str| {
        let descriptor = descriptor(stream);
        format!(
            r#"{{"stream_descriptor":{descriptor},"stream_state":{}}}"#,
            one_line(data)
        )
    };
    let stats = records
        .map(|records| format!(r#","sourceStats":{{"recordCount":{records}}}"#))
        .unwrap_or_default();
    match &state.stream {
        Some(stream) => {
            let data = of_stream(stream, state.data.get());
            format!(r#"{{"type":"STREAM","stream":{data}{stats}}}"#)
        }
        None => {
            let states = saved.streams.iter();
            let states: Vec<String> = states.map(|(id, data)| of_stream(id, data.get())).collect();
            let (shared, states) = (one_line(state.data.get()), states.join(","));
            format!(
                r#"{{"type":"GLOBAL","global":{{"shared_state":{shared},"stream_states":[{states}]}}{stats}}}"#
            )
        }
    }
}

pub(super) fn log(level: &str, message: &str) -> Vec<u8> {
    line(&json!({"type": "LOG", "log": {"level": level, "message": message}}))
}

fn stream_status(stream: &StreamId, status: &str) -> Vec<u8> {
    let said = json!({"stream_descriptor": descriptor(stream), "status": status});
    trace("STREAM_STATUS", "stream_status", said)
}

fn trace(kind: &str, key: &str, said: Value) -> Vec<u8> {
    let mut trace = json!({"type": kind, "emitted_at": now_ms()});
    trace[key] = said;
    line(&json!({"type": "TRACE", "trace": trace}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_all_carries_those_of_the_streams() {
        let mut saved = SavedState::default();
        saved.merge(State::of("a", &json!({"at": 1})).unwrap());
        let shared = State::shared(&json!({"lsn": 7})).unwrap();
        saved.merge(shared.clone());
        assert_eq!(
            state_message(&shared, &saved, Some(3)),
            r#"{"type":"GLOBAL","global":{"shared_state":{"lsn":7},"stream_states":[{"stream_descriptor":{"name":"a"},"stream_state":{"at":1}}]},"sourceStats":{"recordCount":3}}"#
        );
        let again = format!("[{}]", state_message(&shared, &saved, None));
        let again = SavedState::parse(again.as_bytes()).unwrap();
        assert_eq!(again.text_of(&"a".into()), Some(r#"{"at":1}"#));
    }

    #[test]
    fn parts_are_tokens_with_their_states() {
        let state = Some(State::of("a", &json!({"at": 1})).unwrap());
        let parts = [
            Partition {
                token: b"\x00\xff".to_vec(),
                state: None,
            },
            Partition {
                token: b"x".to_vec(),
                state,
            },
        ];
        assert_eq!(
            String::from_utf8(partitions(&parts)).unwrap(),
            "{\"type\":\"PARTITIONS\",\"partitions\":[{\"token\":\"AP8=\",\"state\":null},{\"token\":\"eA==\",\"state\":\
             {\"type\":\"STREAM\",\"stream\":{\"stream_descriptor\":{\"name\":\"a\"},\"stream_state\":{\"at\":1}}}}]}\n"
        );
    }
}
