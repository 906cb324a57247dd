//! The newest states of all streams, in the form in which sources take them.

use std::collections::{HashMap, HashSet};

use super::state::{StateBody, body, stream_state};
use crate::lines::elements;
use crate::stream_id::StreamId;

/// A state that was to be handed to the source, and is none.
#[derive(Debug, thiserror::Error)]
#[error("the state is neither a list of Airbyte states nor a JSON object")]
pub struct StateError;

/// States by stream, in the order in which the streams appeared.
#[derive(Debug, Default)]
struct Streams {
    states: Vec<(StreamId, Box<[u8]>)>,
    places: HashMap<StreamId, usize>,
}

impl Streams {
    fn set(&mut self, stream: StreamId, state: &[u8]) {
        match self.places.get(&stream) {
            Some(place) => self.states[*place].1 = state.into(),
            None => {
                self.places.insert(stream.clone(), self.states.len());
                self.states.push((stream, state.into()));
            }
        }
    }

    fn keep(&mut self, kept: impl Fn(&StreamId) -> bool) {
        let states = std::mem::take(self).states;
        for (stream, state) in states {
            if kept(&stream) {
                self.set(stream, &state);
            }
        }
    }
}

/// What a [`MergedState`] holds, with the bytes as they were given.
#[derive(Debug, Default)]
pub struct StateParts<'a> {
    /// Of all streams.
    pub shared: Option<&'a [u8]>,
    /// By stream.
    pub streams: Vec<(StreamId, Vec<u8>)>,
}

#[derive(Debug)]
enum Form {
    Nothing,
    Streams(Streams),
    Global {
        shared: Option<Box<[u8]>>,
        streams: Streams,
    },
    Legacy(Box<[u8]>),
}

/// What a source is to be given the next time: what it was given this time, with what it said since.
///
/// - STREAM: each stream's newest state; streams of which it said nothing keep theirs.
/// - GLOBAL: the newest shared state, and each stream's newest state. As soon as there is a new shared state, old states of
///   streams that are not read this time are dropped: the position has moved past changes that they have not seen.
/// - LEGACY: the newest one, bare.
///
/// What the source was given counts only as long as it speaks in the same form. A STREAM state after a GLOBAL one of the same
/// run becomes one of its streams': sources take no mixture.
#[derive(Debug)]
pub struct MergedState {
    form: Form,
    /// Nothing but what the source was given.
    is_input: bool,
}

impl MergedState {
    /// Starts from the state that the source was given: a list of states, or a bare LEGACY one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn new(input: Option<&[u8]>) -> Result<Self, StateError> {
        let mut merged = Self {
            form: Form::Nothing,
            is_input: true,
        };
        let said = |input: &&[u8]| !input.is_empty() && *input != b"null";
        let Some(input) = input.map(<[u8]>::trim_ascii).filter(said) else {
            return Ok(merged);
        };
        if input.starts_with(b"{") {
            // A list's only state, bare, or the data of a LEGACY one: only the former names its type.
            merged.form = match body(input) {
                Ok(StateBody::Legacy(_)) | Err(_) => Form::Legacy(input.into()),
                Ok(state) => {
                    merged.take(&state);
                    merged.form
                }
            };
            return Ok(merged);
        }
        for state in elements(input).ok_or(StateError)? {
            merged.take(&body(state).map_err(|_| StateError)?);
        }
        Ok(merged)
    }

    /// Takes a state that the source said. `read` are the streams of this run.
    pub fn merge(&mut self, state: &StateBody<'_>, read: &HashSet<StreamId>) {
        if std::mem::replace(&mut self.is_input, false) {
            match (&mut self.form, state) {
                (Form::Streams(_), StateBody::Stream(..)) => {}
                (Form::Global { streams, .. }, StateBody::Global { .. }) => {
                    streams.keep(|stream| read.contains(stream));
                }
                _ => self.form = Form::Nothing,
            }
        }
        self.take(state);
    }

    fn take(&mut self, state: &StateBody<'_>) {
        match (state, &mut self.form) {
            (
                StateBody::Stream(stream, state),
                Form::Streams(streams) | Form::Global { streams, .. },
            ) => streams.set(stream.clone(), state),
            (StateBody::Stream(stream, state), form) => {
                let mut streams = Streams::default();
                streams.set(stream.clone(), state);
                *form = Form::Streams(streams);
            }
            (StateBody::Global { shared, streams }, form) => {
                if !matches!(form, Form::Global { .. }) {
                    *form = Form::Global {
                        shared: None,
                        streams: Streams::default(),
                    };
                }
                if let Form::Global {
                    shared: known,
                    streams: states,
                } = form
                {
                    if let Some(shared) = shared {
                        *known = Some((*shared).into());
                    }
                    for (stream, state) in streams {
                        states.set(stream.clone(), state);
                    }
                }
            }
            (StateBody::Legacy(data), form) => *form = Form::Legacy((*data).into()),
        }
    }

    /// The states one by one: of each stream, and what all share (a LEGACY one is that).
    pub fn parts(&self) -> StateParts<'_> {
        let of_streams = |streams: &'_ Streams| {
            let states = streams.states.iter();
            states
                .filter_map(|(stream, state)| Some((stream.clone(), stream_state(state)?.to_vec())))
                .collect()
        };
        match &self.form {
            Form::Nothing => StateParts::default(),
            Form::Legacy(data) => StateParts {
                shared: Some(data),
                streams: Vec::new(),
            },
            Form::Streams(streams) => StateParts {
                shared: None,
                streams: of_streams(streams),
            },
            Form::Global { shared, streams } => StateParts {
                shared: shared.as_deref(),
                streams: of_streams(streams),
            },
        }
    }

    /// As sources take it: a list of states, or a bare LEGACY one; an empty list when there is none.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        match &self.form {
            Form::Nothing => json.extend_from_slice(b"[]"),
            Form::Legacy(data) => json.extend_from_slice(data),
            Form::Streams(streams) => {
                json.push(b'[');
                for (place, (_, state)) in streams.states.iter().enumerate() {
                    if place > 0 {
                        json.push(b',');
                    }
                    json.extend_from_slice(br#"{"type":"STREAM","stream":"#);
                    json.extend_from_slice(state);
                    json.push(b'}');
                }
                json.push(b']');
            }
            Form::Global { shared, streams } => {
                json.extend_from_slice(br#"[{"type":"GLOBAL","global":{"#);
                if let Some(shared) = shared {
                    json.extend_from_slice(br#""shared_state":"#);
                    json.extend_from_slice(shared);
                    json.push(b',');
                }
                json.extend_from_slice(br#""stream_states":["#);
                for (place, (_, state)) in streams.states.iter().enumerate() {
                    if place > 0 {
                        json.push(b',');
                    }
                    json.extend_from_slice(state);
                }
                json.extend_from_slice(b"]}}]");
            }
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(input: &str, states: &[&str]) -> String {
        let mut merged = MergedState::new(Some(input.as_bytes())).unwrap();
        for state in states {
            let state = body(state.as_bytes()).unwrap();
            merged.merge(&state, &HashSet::from(["a".into()]));
        }
        String::from_utf8(merged.to_json()).unwrap()
    }

    #[test]
    fn inputs_without_a_state_are_none() {
        for input in ["", " \n", "null", "[]"] {
            assert_eq!(merged(input, &[]), "[]");
        }
        assert!(MergedState::new(Some(b"[1]")).is_err());
        assert!(MergedState::new(Some(b"\"text\"")).is_err());
    }

    #[test]
    fn a_bare_object_is_legacy_unless_it_names_its_type() {
        assert_eq!(
            merged(r#"{"data":{"n": 1.0}}"#, &[]),
            r#"{"data":{"n": 1.0}}"#
        );
        let state = r#"{"type":"STREAM","stream":{"stream_descriptor":{"name":"a"}}}"#;
        assert_eq!(merged(state, &[]), format!("[{state}]"));
    }

    #[test]
    fn a_shared_state_that_is_not_said_again_stays() {
        let first =
            r#"{"type":"GLOBAL","global":{"shared_state":{"lsn": 1.10},"stream_states":[]}}"#;
        let second =
            r#"{"type":"GLOBAL","global":{"stream_states":[{"stream_descriptor":{"name":"a"}}]}}"#;
        assert_eq!(
            merged("", &[first, second]),
            r#"[{"type":"GLOBAL","global":{"shared_state":{"lsn": 1.10},"stream_states":[{"stream_descriptor":{"name":"a"}}]}}]"#
        );
    }
}
