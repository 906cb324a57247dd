//! Files of this machine.

use std::fs;
use std::io::{self, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use dativo_sdk::Error;

use super::pattern::Pattern;
use super::place::Entry;

/// The files that a pattern means, by path.
///
/// # Errors
/// When a plain path names no file, or a folder cannot be read.
pub(super) fn list(path: &str) -> Result<Vec<Entry>, Error> {
    let pattern = Pattern::new(path)?;
    let mut found = if pattern.is_plain() {
        vec![entry(&pattern.text)?]
    } else {
        walk(&pattern)?
    };
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

/// A file's bytes, from `offset`.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(path: &str, offset: u64) -> Result<Box<dyn io::Read + Send>, Error> {
    let mut file = local_file(path)?;
    if offset > 0 {
        file.seek(io::SeekFrom::Start(offset))
            .map_err(|error| failed(path, &error))?;
    }
    Ok(Box::new(file))
}

/// Some of its bytes.
///
/// # Errors
/// When they cannot be read.
pub(super) fn range(path: &str, from: u64, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; len];
    local_file(path)?
        .read_exact_at(&mut bytes, from)
        .map_err(|error| failed(path, &error))?;
    Ok(bytes)
}

fn local_file(path: &str) -> Result<fs::File, Error> {
    fs::File::open(path).map_err(|error| failed(path, &error))
}

/// The file as it is now.
///
/// # Errors
/// When there is none.
pub(super) fn entry(path: &str) -> Result<Entry, Error> {
    let found = fs::metadata(path).map_err(|error| failed(path, &error))?;
    if found.is_dir() {
        return Err(Error::config(format!("`{path}` is a folder"))
            .with_hint(format!(
                "`{}/*` reads the files in it",
                path.trim_end_matches('/')
            ))
            .with_fact("key", "path"));
    }
    Ok(described(path, &found))
}

fn described(path: &str, found: &fs::Metadata) -> Entry {
    let modified = found
        .modified()
        .ok()
        .map_or(0, |at| match at.duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_micros() as i64,
            Err(before) => -(before.duration().as_micros() as i64),
        });
    Entry {
        path: path.to_owned(),
        size: found.len(),
        modified,
        tag: None,
    }
}

/// An error of a file: the user's, where there is none of that name.
pub(crate) fn failed(path: &str, error: &io::Error) -> Error {
    let error = match error.kind() {
        io::ErrorKind::NotFound => Error::config(format!("there is no file `{path}`"))
            .with_hint("relative paths start at the folder that the job runs in"),
        io::ErrorKind::PermissionDenied => Error::config(format!("`{path}` may not be read"))
            .with_hint("it belongs to another user, or the sandbox does not show it"),
        _ => Error {
            message: format!("`{path}`: {error}"),
            ..Error::from(io::Error::from(error.kind()))
        },
    };
    error.with_fact("file", path)
}

fn walk(pattern: &Pattern) -> Result<Vec<Entry>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![pattern.base.clone()];
    while let Some(folder) = folders.pop() {
        let shown = if folder.is_empty() { "." } else { &folder };
        let inside = match fs::read_dir(shown) {
            Ok(inside) => inside,
            // A folder that is not there has no files; what may not be read may have some.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(shown, &error)),
        };
        for item in inside {
            let item = item.map_err(|error| failed(shown, &error))?;
            let Ok(name) = item.file_name().into_string() else {
                continue;
            };
            let path = format!("{folder}{name}");
            // Links are followed to files, not to folders: those may lead in a circle.
            let Ok(kind) = item.file_type() else { continue };
            if kind.is_dir() {
                folders.push(format!("{path}/"));
            } else if pattern.matches(&path)
                && let Ok(meta) = fs::metadata(Path::new(&path))
                && meta.is_file()
            {
                found.push(described(&path, &meta));
            }
        }
    }
    Ok(found)
}
