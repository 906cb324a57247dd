//! A bucket, and what is asked of it.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dativo_sdk::Error;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::ahead::{Ahead, FirstBytes};
use super::connect::connect;
use super::failure::{changed, deleted, has_status, is_gone, refused};
use super::options::StorageOptions;
use super::runtime::{Begun, Patience, begin};
use super::url::Url;
use crate::files::Entry;
use crate::files::pattern::Pattern;

/// What can read and list objects.
pub(super) trait Store: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Store for T {}

type Answer<T> = object_store::Result<T>;

/// A bucket of an object store.
pub struct Bucket {
    store: Arc<dyn Store>,
    root: String,
    patience: Arc<Patience>,
}

impl fmt::Debug for Bucket {
    /// Without the store, which knows credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bucket({})", self.root)
    }
}

/// Some bytes of an object that were asked for. Dropped, they are not fetched any more.
#[derive(Debug)]
pub struct Asked {
    begun: Begun<Answer<(ObjectMeta, Bytes)>>,
    path: String,
    len: u64,
    patience: Arc<Patience>,
}

impl Asked {
    /// Waits for them.
    ///
    /// # Errors
    /// When they cannot be read, or the object has changed.
    pub fn wait(self) -> Result<Bytes, Error> {
        let (_, bytes) = self
            .begun
            .wait(&self.patience)?
            .map_err(|error| unreadable(&error, &self.path))?;
        if bytes.len() as u64 == self.len {
            Ok(bytes)
        } else {
            Err(changed(&self.path))
        }
    }
}

/// An error of reading an object that was there when it was listed.
fn unreadable(error: &object_store::Error, path: &str) -> Error {
    if is_gone(error) {
        deleted(path)
    } else {
        refused(error, "read", path)
    }
}

impl Bucket {
    /// A URL's; nothing is sent yet.
    ///
    /// # Errors
    /// When the options are not its service's.
    pub fn connect(url: &Url, options: &StorageOptions) -> Result<Self, Error> {
        Ok(Self {
            store: connect(url, options)?,
            root: url.root.clone(),
            patience: Arc::new(Patience::new()),
        })
    }

    /// All before the keys: `s3://bucket/`.
    pub fn url(&self) -> &str {
        &self.root
    }

    /// Whoever waits for an answer is let go, and nobody waits for one any more.
    pub fn close(&self) {
        self.patience.end();
    }

    fn key<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.root.as_str()).unwrap_or(path)
    }

    fn location(&self, path: &str) -> Result<Path, Error> {
        Path::parse(self.key(path)).map_err(|error| refused(&error.into(), "read", path))
    }

    fn entry(&self, meta: ObjectMeta) -> Entry {
        Entry {
            path: format!("{}{}", self.root, meta.location),
            size: meta.size,
            // Some answers have fractions of a second, others of the same service have none.
            modified: meta.last_modified.timestamp() * 1_000_000,
            tag: meta.e_tag.map(quoted),
        }
    }

    /// The objects that a pattern means, by path.
    ///
    /// # Errors
    /// When a plain path names no object, or the bucket cannot be listed.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, Error> {
        let pattern = Pattern::new(self.key(path))?;
        if pattern.is_plain() {
            return Ok(vec![self.look(path)?]);
        }
        let found = begin(matching(Arc::clone(&self.store), pattern))?
            .wait(&self.patience)?
            .map_err(|error| refused(&error, "list", path))?;
        let mut found: Vec<Entry> = found.into_iter().map(|meta| self.entry(meta)).collect();
        found.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(found)
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub fn look(&self, path: &str) -> Result<Entry, Error> {
        let asked = begin(look(Arc::clone(&self.store), self.location(path)?))?;
        let meta = asked
            .wait(&self.patience)?
            .map_err(|error| refused(&error, "read", path))?;
        Ok(self.entry(meta))
    }

    /// Asks for some bytes of an object, of the version that it is.
    ///
    /// # Errors
    /// When nothing can be asked for.
    pub fn ask(&self, file: &Entry, range: Range<u64>) -> Result<Asked, Error> {
        let location = self.location(&file.path)?;
        let len = range.end - range.start;
        let work = get(
            Arc::clone(&self.store),
            location,
            file.tag.clone(),
            Some(range),
        );
        Ok(Asked {
            begun: begin(work)?,
            path: file.path.clone(),
            len,
            patience: Arc::clone(&self.patience),
        })
    }

    /// Begins to open an object, of whatever version it is now; no more is fetched than what lies before `until`.
    ///
    /// # Errors
    /// When nothing can be asked for.
    pub fn begin(self: &Arc<Self>, file: &Entry, until: Option<u64>) -> Result<FirstBytes, Error> {
        let location = self.location(&file.path)?;
        let range = FirstBytes::range(file, until);
        let work = get(Arc::clone(&self.store), location, None, range);
        Ok(FirstBytes {
            bucket: Arc::clone(self),
            file: file.clone(),
            until,
            begun: begin(work)?,
        })
    }

    /// What was found when an object was opened.
    pub(super) fn found(
        &self,
        file: Entry,
        begun: Begun<Answer<(ObjectMeta, Bytes)>>,
    ) -> Result<(Entry, Bytes), Error> {
        let answer = begun.wait(&self.patience)?;
        let (meta, bytes) = answer.map_err(|error| unreadable(&error, &file.path))?;
        let now = self.entry(meta);
        // What was listed says the same in other words.
        let same = now.tag.is_some() && now.tag == file.tag;
        Ok((if same { file } else { now }, bytes))
    }

    /// An object's bytes from `offset`, of the version that it is.
    pub fn read(self: &Arc<Self>, file: &Entry, offset: u64, until: Option<u64>) -> Ahead {
        Ahead::new(Arc::clone(self), file.clone(), offset, until)
    }
}

/// Services say the same tag with and without quotes, and want it with them.
fn quoted(tag: String) -> String {
    if tag.ends_with('"') {
        tag
    } else {
        format!("\"{tag}\"")
    }
}

/// Without a range, what is said about it only.
async fn get(
    store: Arc<dyn Store>,
    location: Path,
    tag: Option<String>,
    range: Option<Range<u64>>,
) -> Answer<(ObjectMeta, Bytes)> {
    let Some(range) = range else {
        return Ok((look(store, location).await?, Bytes::new()));
    };
    let options = GetOptions {
        if_match: tag,
        range: Some(GetRange::Bounded(range)),
        ..GetOptions::default()
    };
    let found = store.get_opts(&location, options).await?;
    let meta = found.meta.clone();
    Ok((meta, found.bytes().await?))
}

async fn look(store: Arc<dyn Store>, location: Path) -> Answer<ObjectMeta> {
    let options = GetOptions {
        head: true,
        ..GetOptions::default()
    };
    match store.get_opts(&location, options).await {
        Ok(found) => Ok(found.meta),
        // An answer to HEAD has no body, which would tell why.
        Err(error) if has_status(&error) => {
            let whole = store.get_opts(&location, GetOptions::default()).await?;
            Ok(whole.meta)
        }
        Err(error) => Err(error),
    }
}

async fn matching(store: Arc<dyn Store>, pattern: Pattern) -> Answer<Vec<ObjectMeta>> {
    let prefix = Some(pattern.prefix.as_str()).filter(|prefix| !prefix.is_empty());
    let mut found: Vec<ObjectMeta> = Vec::new();
    let mut folders: HashSet<String> = HashSet::new();
    let mut page_token = None;
    loop {
        let options = PaginatedListOptions {
            delimiter: pattern.is_flat.then_some("/".into()),
            page_token,
            ..PaginatedListOptions::default()
        };
        let page = store.list_paginated(prefix, options).await?;
        for object in page.result.objects {
            note_folders(&mut folders, object.location.as_ref());
            if pattern.matches(object.location.as_ref()) {
                found.push(object);
            }
        }
        page_token = page.page_token;
        if page_token.is_none() {
            break;
        }
    }
    // Some programs make an empty object to stand for a folder.
    found.retain(|object| object.size > 0 || !folders.contains(object.location.as_ref()));
    Ok(found)
}

/// The folders that a key lies in.
fn note_folders(folders: &mut HashSet<String>, key: &str) {
    let mut inner = key;
    while let Some((folder, _)) = inner.rsplit_once('/') {
        if !folders.insert(folder.to_owned()) {
            return;
        }
        inner = folder;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_key() {
        let mut folders = HashSet::new();
        note_folders(&mut folders, "a/b/c.csv");
        note_folders(&mut folders, "a/d/e/f.csv");
        let mut found: Vec<_> = folders.into_iter().collect();
        found.sort();
        assert_eq!(found, ["a", "a/b", "a/d", "a/d/e"]);
    }

    #[test]
    fn tags_have_quotes() {
        assert_eq!(quoted("0x8D".to_owned()), "\"0x8D\"");
        assert_eq!(quoted("\"ab\"".to_owned()), "\"ab\"");
        assert_eq!(quoted("W/\"ab\"".to_owned()), "W/\"ab\"");
    }
}
