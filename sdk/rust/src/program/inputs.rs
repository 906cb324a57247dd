//! The files a program is started with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, ReadCatalog, SavedState};

/// A setting of every reader, taken out before it sees the configuration: whether rows that cannot be sent as records end the
/// run (`fail`, as when it is left out) or are logged, without their values (`log`). Arrow data has a place for them.
pub(super) const ON_BAD_ROWS: &str = "dativo_on_bad_rows";

/// What becomes of rows that are no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnBadRows {
    Fail,
    Log,
}

/// The configuration as JSON, and what becomes of bad rows.
pub(super) fn read_config(files: &[PathBuf]) -> Result<(Vec<u8>, OnBadRows), Error> {
    let mut config = Map::new();
    for file in files {
        config.extend(object(file, "config")?);
    }
    let on_bad_rows = match config.remove(ON_BAD_ROWS) {
        None => OnBadRows::Fail,
        Some(value) if value == "fail" => OnBadRows::Fail,
        Some(value) if value == "log" => OnBadRows::Log,
        Some(_) => {
            let message = format!("config: `{ON_BAD_ROWS}` is `fail` or `log`");
            return Err(Error::config(message));
        }
    };
    Ok((Value::Object(config).to_string().into_bytes(), on_bad_rows))
}

/// The configured catalog, for the part that is to be read.
pub(super) fn read_catalog(
    catalog: Option<&Path>,
    partition: Option<&Path>,
) -> Result<Option<ReadCatalog>, Error> {
    let token = partition.map(|file| bytes(file, "partition")).transpose()?;
    let Some(file) = catalog else {
        return match token {
            Some(_) => Err(Error::config("a partition is read only with a catalog")),
            None => Ok(None),
        };
    };
    let catalog = ReadCatalog::parse(&bytes(file, "catalog")?)?;
    Ok(Some(catalog.with_partition(token)))
}

/// The state; none where it says nothing.
pub(super) fn read_state(file: Option<&Path>) -> Result<Option<SavedState>, Error> {
    let Some(file) = file else { return Ok(None) };
    let bytes = bytes(file, "state")?;
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let state = SavedState::parse(&bytes)?;
    Ok((!state.is_empty()).then_some(state))
}

/// A file's bytes, without a byte order mark.
pub(super) fn bytes(file: &Path, what: &str) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(file).map_err(|error| {
        Error::config(format!(
            "{what} file `{}` cannot be read: {error}",
            file.display()
        ))
    })?;
    if what == "partition" {
        return Ok(bytes);
    }
    Ok(bytes
        .strip_prefix("\u{feff}".as_bytes())
        .map(<[u8]>::to_vec)
        .unwrap_or(bytes))
}

/// A file's JSON object.
pub(super) fn object(file: &Path, what: &str) -> Result<Map<String, Value>, Error> {
    let name = file.display();
    match serde_json::from_slice(&bytes(file, what)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::config(format!(
            "{what} file `{name}` is no JSON object"
        ))),
        // Never the text: it may hold secrets.
        Err(error) => Err(Error::config(format!(
            "{what} file `{name}` is no JSON at line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}
