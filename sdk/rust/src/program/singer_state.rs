//! A reader's states as a tap's: `{"bookmarks": {STREAM: STATE}, "shared": STATE}`, each state with its own bytes.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::inputs::bytes;
use super::singer_catalog::singer_name;
use super::voice::one_line;
use crate::{Catalog, Error, SavedState};

/// The state that a STATE message holds.
pub(super) fn bookmarks(saved: &SavedState) -> String {
    let states = saved.streams.iter().map(|(stream, data)| {
        format!(
            "{}:{}",
            Value::from(singer_name(stream)),
            one_line(data.get())
        )
    });
    let states = states.collect::<Vec<_>>().join(",");
    let shared = saved
        .shared
        .as_ref()
        .map(|data| format!(r#","shared":{}"#, one_line(data.get())));
    format!(
        r#"{{"bookmarks":{{{states}}}{}}}"#,
        shared.unwrap_or_default()
    )
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    bookmarks: Option<Bookmarks>,
    #[serde(default)]
    shared: Option<Box<RawValue>>,
}

/// By stream, in order.
struct Bookmarks(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Bookmarks {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Bookmarks;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut entries: A,
            ) -> Result<Bookmarks, A::Error> {
                let mut found = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    found.push(entry);
                }
                Ok(Bookmarks(found))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// What a tap's state file says of these streams; none where it says nothing.
///
/// # Errors
/// When it is no state.
pub(super) fn read_bookmarks(
    file: Option<&Path>,
    catalog: &Catalog,
) -> Result<Option<SavedState>, Error> {
    let Some(file) = file else { return Ok(None) };
    let text = bytes(file, "state")?;
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let said: Said = serde_json::from_slice(&text).map_err(|_| {
        Error::config(format!(
            "state file `{}` is no state of a tap",
            file.display()
        ))
        .with_hint(r#"it looks like `{"bookmarks": {"stream": {…}}}`"#)
    })?;
    let mut state = SavedState {
        streams: Vec::new(),
        shared: said.shared,
    };
    for (name, data) in said
        .bookmarks
        .map(|Bookmarks(entries)| entries)
        .unwrap_or_default()
    {
        let mut known = catalog.streams.iter();
        if let Some(stream) = known.find(|stream| singer_name(&stream.id) == name) {
            state.merge(crate::State {
                stream: Some(stream.id.clone()),
                data,
            });
        }
    }
    Ok((!state.is_empty()).then_some(state))
}
