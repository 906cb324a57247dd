//! Settings that readers of files have in common.

use std::collections::{BTreeMap, HashMap, HashSet};

use dativo_sdk::{Error, SavedState, StreamId};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::csv::OnBad;
use crate::files::{Compression, Encoding, Entry, History, Place, Places, Position};

/// One path or pattern, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Paths {
    /// One.
    One(String),
    /// Several, read as one stream.
    Many(Vec<String>),
}

impl Paths {
    fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(path) => std::slice::from_ref(path).iter(),
            Self::Many(paths) => paths.iter(),
        }
        .map(String::as_str)
    }
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Packed {
    /// As its name says: `.gz` or `.zst`.
    Auto,
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Packed {
    /// How this file is packed.
    pub fn of(self, path: &str) -> Compression {
        match self {
            Self::Auto => Compression::of_name(path),
            Self::None => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
        }
    }
}

/// What becomes of a value that does not fit its column.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BadValue {
    /// Its record goes to the quarantine.
    Quarantine,
    /// It is null, and `_dativo_changes` says so.
    Null,
    /// The run fails.
    Fail,
}

impl From<BadValue> for OnBad {
    fn from(said: BadValue) -> Self {
        match said {
            BadValue::Quarantine => Self::Quarantine,
            BadValue::Null => Self::Null,
            BadValue::Fail => Self::Fail,
        }
    }
}

/// What rows say about where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The column `_dativo_file`: the path of the file.
    File,
    /// The column `_dativo_line`: the line on which the record starts, from 1.
    Line,
}

/// Objects that are asked for at a time to find out whether they may be read.
const CHECKED_AT_A_TIME: usize = 16;

/// Files to read, each with where to go on, and what was read before.
pub type Todo = (Vec<(Place, Entry, Option<Position>)>, Option<History>);

/// A stream's files.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its identity.
    pub id: StreamId,
    /// The files and where they are.
    pub files: Vec<(Place, Entry)>,
}

impl Source {
    /// Finds the files of a stream.
    ///
    /// # Errors
    /// When there is no path or no file, or they cannot be listed.
    pub fn find(name: &str, paths: Option<&Paths>, places: &mut Places) -> Result<Self, Error> {
        let Some(paths) = paths else {
            return Err(
                Error::config(format!("stream `{name}` has no `path`")).with_fact("stream", name)
            );
        };
        let mut files: Vec<(Place, Entry)> = Vec::new();
        let mut known = HashSet::new();
        for path in paths.iter() {
            let place = places.of(path)?;
            for entry in place.list(path)? {
                if known.insert(entry.path.clone()) {
                    files.push((place.clone(), entry));
                }
            }
        }
        if files.is_empty() {
            let shown: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
            return Err(Error::config(format!(
                "stream `{name}`: no file matches {}",
                shown.join(", ")
            ))
            .with_hint("relative paths start at the folder that the job runs in")
            .with_fact("stream", name));
        }
        Ok(Self {
            id: name.into(),
            files,
        })
    }

    /// Whether all files may be read.
    ///
    /// # Errors
    /// When one may not.
    pub fn check(&self) -> Result<(), Error> {
        for some in self.files.chunks(CHECKED_AT_A_TIME) {
            let begun = some.iter().map(|(place, file)| place.begin(file, Some(1)));
            for opening in begun.collect::<Vec<_>>() {
                opening?.finish()?;
            }
        }
        Ok(())
    }

    /// Which files are to be read, in order, and where to go on in each; and the history where the stream is read incrementally.
    ///
    /// # Errors
    /// When the state is not one of files.
    pub fn todo(&self, incremental: bool, state: Option<&SavedState>) -> Result<Todo, Error> {
        let mut history = None;
        let mut files: Vec<Entry> = self.files.iter().map(|(_, file)| file.clone()).collect();
        if incremental {
            let saved = state
                .map_or(Ok(None), |state| state.of::<History>(&self.id))?
                .unwrap_or_default();
            files = saved.unread(files);
            history = Some(saved);
        }
        let places = self.files.iter().map(|(place, file)| (&file.path, place));
        let places: HashMap<&String, &Place> = places.collect();
        let todo = files.into_iter().filter_map(|file| {
            let place = (*places.get(&file.path)?).clone();
            let from = history
                .as_ref()
                .and_then(|history| history.position(&file))
                .cloned();
            Some((place, file, from))
        });
        Ok((todo.collect(), history))
    }
}

/// A name for the stream of a path: that of the file, without what varies.
pub fn stream_name(paths: &Paths) -> String {
    let path = paths.iter().next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let plain = stem.split(['*', '?', '[', '{']).next().unwrap_or_default();
    let trimmed = plain.trim_end_matches(['-', '_', ' ']);
    if trimmed.is_empty() {
        "data".to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// The streams of a configuration: those that are named, or the one of its `path`.
///
/// # Errors
/// When there are neither or both.
pub fn streams<T: Clone>(
    named: Option<&BTreeMap<String, T>>,
    path: Option<&Paths>,
    stream: Option<&str>,
    own: impl Fn() -> T,
) -> Result<Vec<(String, T)>, Error> {
    match (named, path) {
        (Some(named), None) if !named.is_empty() => Ok(named
            .iter()
            .map(|(name, options)| (name.clone(), options.clone()))
            .collect()),
        (None, Some(path)) => Ok(vec![(
            stream.map_or_else(|| stream_name(path), str::to_owned),
            own(),
        )]),
        (Some(_), Some(_)) => Err(Error::config("`path` and `streams` exclude each other")
            .with_hint("give each stream its own `path`: `streams: {orders: {path: …}}`")),
        _ => Err(Error::config("there is nothing to read")
            .with_hint("`path: data/orders*.csv`, or `streams: {orders: {path: …}}`")),
    }
}

/// The encoding of a name.
///
/// # Errors
/// When it is not known.
pub fn encoding(name: Option<&str>) -> Result<Encoding, Error> {
    let Some(name) = name else {
        return Ok(Encoding::Utf8);
    };
    Encoding::of_name(name).ok_or_else(|| {
        Error::config(format!("`encoding`: there is none called `{name}`"))
            .with_hint("for example `utf-8`, `utf-16`, `latin-1`, `cp1252`, `shift_jis`, `gb18030`")
            .with_fact("key", "encoding")
    })
}

/// Threads that decode: as many as there are processors, up to eight.
pub fn threads(said: Option<usize>) -> usize {
    said.filter(|threads| *threads > 0).unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_called_as_its_files_are() {
        for (path, name) in [
            ("data/orders.csv", "orders"),
            ("s3://b/orders-*.csv.gz", "orders"),
            ("orders_2024*.csv", "orders_2024"),
            ("data/*.csv", "data"),
            ("x/{a,b}.csv", "data"),
        ] {
            assert_eq!(stream_name(&Paths::One(path.to_owned())), name);
        }
    }
}
