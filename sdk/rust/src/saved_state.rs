//! How far a reader is: what it says, and what it is started with.

use dativo_codec::airbyte::MergedState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use crate::config::without_value;
use crate::{Error, StreamId};

/// What a reader says: covers all that it gave before, and nothing that comes after.
#[derive(Debug, Clone)]
pub struct State {
    /// The stream it covers, or `None` for what all streams share.
    pub stream: Option<StreamId>,
    /// A JSON object. It is kept and handed back byte for byte.
    pub data: Box<RawValue>,
}

impl State {
    /// Of one stream.
    ///
    /// # Errors
    /// When `data` cannot be written as JSON.
    pub fn of(stream: impl Into<StreamId>, data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self {
            stream: Some(stream.into()),
            data: raw(data)?,
        })
    }

    /// Of all streams.
    ///
    /// # Errors
    /// When `data` cannot be written as JSON.
    pub fn shared(data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self {
            stream: None,
            data: raw(data)?,
        })
    }
}

fn raw(data: &impl Serialize) -> Result<Box<RawValue>, Error> {
    to_raw_value(data).map_err(|error| Error::connector(format!("the state is not JSON: {error}")))
}

fn none<E>(_: E) -> Error {
    Error::config("not a state: neither a list of Airbyte's states nor a JSON object")
}

/// The newest state of each stream, and the one shared by all; each with exactly the bytes that the reader gave.
#[derive(Debug, Clone, Default)]
pub struct SavedState {
    /// By stream, each once.
    pub streams: Vec<(StreamId, Box<RawValue>)>,
    /// What all streams share.
    pub shared: Option<Box<RawValue>>,
}

impl SavedState {
    /// Reads Airbyte's array of states. Any other JSON object is a shared state, an empty one none.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let whole: &RawValue = serde_json::from_slice(json).map_err(none)?;
        if whole.get() == "{}" || whole.get() == "null" {
            return Ok(Self::default());
        }
        let merged = MergedState::new(Some(json)).map_err(none)?;
        let parts = merged.parts();
        let owned = |bytes: Vec<u8>| {
            RawValue::from_string(String::from_utf8(bytes).map_err(none)?).map_err(none)
        };
        let mut state = Self::default();
        for (stream, bytes) in parts.streams {
            state.streams.push((stream, owned(bytes)?));
        }
        state.shared = parts
            .shared
            .map(|bytes| owned(bytes.to_vec()))
            .transpose()?;
        Ok(state)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.shared.is_none()
    }

    /// The stream's state, as text.
    pub fn text_of(&self, stream: &StreamId) -> Option<&str> {
        let mut states = self.streams.iter();
        states.find_map(|(id, state)| (id == stream).then(|| state.get()))
    }

    /// The stream's state; `None` where it has none.
    ///
    /// # Errors
    /// When it is not such as this reader gives.
    pub fn of<T: DeserializeOwned>(&self, stream: &StreamId) -> Result<Option<T>, Error> {
        let parsed = self.text_of(stream).map(serde_json::from_str).transpose();
        parsed.map_err(|error| {
            let error = without_value(&error.to_string());
            Error::config(format!(
                "the state of stream `{stream}` is not one of this reader: {error}"
            ))
            .with_hint("run without it once, so that the stream is read from the beginning")
            .with_fact("stream", stream.to_string())
        })
    }

    /// What all streams share; `None` where they share nothing.
    ///
    /// # Errors
    /// When it is not such as this reader gives.
    pub fn of_all<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let parsed = self
            .shared
            .as_ref()
            .map(|state| serde_json::from_str(state.get()))
            .transpose();
        parsed.map_err(|error| {
            let error = without_value(&error.to_string());
            Error::config(format!(
                "the shared state is not one of this reader: {error}"
            ))
            .with_hint("run without it once, so that everything is read from the beginning")
        })
    }

    /// Puts a newer state in the place of the one it replaces.
    pub fn merge(&mut self, state: State) {
        match state.stream {
            None => self.shared = Some(state.data),
            Some(stream) => match self.streams.iter_mut().find(|(id, _)| *id == stream) {
                Some((_, known)) => *known = state.data,
                None => self.streams.push((stream, state.data)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Position {
        at: u64,
    }

    #[test]
    fn each_state_keeps_its_bytes() {
        let json = br#"[{"type":"STREAM","stream":{"stream_descriptor":{"name":"a","namespace":"n"},"stream_state":{"at": 1.10, "at": 2}}}]"#;
        let state = SavedState::parse(json).unwrap();
        let id = StreamId::new("a", Some("n"));
        assert_eq!(state.text_of(&id), Some(r#"{"at": 1.10, "at": 2}"#));
        assert_eq!(state.text_of(&"a".into()), None);
    }

    #[test]
    fn a_global_state_has_what_is_shared_and_the_streams() {
        let json = br#"[{"type":"GLOBAL","global":{"shared_state":{"at":7},"stream_states":[{"stream_descriptor":{"name":"a"},"stream_state":{"at":3}}]}}]"#;
        let state = SavedState::parse(json).unwrap();
        assert_eq!(
            state.of_all::<Position>().unwrap(),
            Some(Position { at: 7 })
        );
        assert_eq!(
            state.of::<Position>(&"a".into()).unwrap(),
            Some(Position { at: 3 })
        );
    }

    #[test]
    fn nothing_is_no_state() {
        for nothing in ["{}", " {}\n", "[]", "null"] {
            assert!(
                SavedState::parse(nothing.as_bytes()).unwrap().is_empty(),
                "{nothing}"
            );
        }
        for wrong in ["", "[1]", "\"text\"", "{"] {
            assert!(SavedState::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_state_of_another_reader_is_refused() {
        let state = SavedState::parse(br#"{"at":"x"}"#).unwrap();
        assert!(state.of_all::<Position>().is_err());
        assert_eq!(state.of::<Position>(&"a".into()).unwrap(), None);
    }

    #[test]
    fn a_newer_state_replaces_the_older_one_of_its_stream() {
        let mut state = SavedState::default();
        for at in [1, 2] {
            state.merge(State::of("a", &serde_json::json!({ "at": at })).unwrap());
        }
        state.merge(State::shared(&serde_json::json!({"at": 9})).unwrap());
        assert_eq!(state.text_of(&"a".into()), Some(r#"{"at":2}"#));
        assert_eq!(
            state.of_all::<Position>().unwrap(),
            Some(Position { at: 9 })
        );
    }
}
