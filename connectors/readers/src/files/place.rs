//! Where files are: on this machine, or in a bucket of an object store.

use std::io;
use std::sync::Arc;

use dativo_sdk::Error;

use super::local;
use super::objects::{Bucket, FirstBytes, StorageOptions, Url};

/// A file, as it was when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As the pattern says it: below the same folder or bucket.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was changed last, in microseconds since 1970; of an object, whole seconds, which is all that every answer says.
    pub modified: i64,
    /// Of an object, what its store calls this version of it.
    pub tag: Option<String>,
}

/// Where a file is.
#[derive(Debug, Clone)]
pub enum Place {
    /// The local file system.
    Local,
    /// A bucket of an object store.
    Bucket(Arc<Bucket>),
}

/// The places of a configuration; a bucket is connected to once.
#[derive(Debug, Default)]
pub struct Places {
    options: Option<StorageOptions>,
    buckets: Vec<Arc<Bucket>>,
}

impl Places {
    /// Those that are reached by these options.
    pub fn new(options: Option<StorageOptions>) -> Self {
        Self {
            options,
            buckets: Vec::new(),
        }
    }

    /// The place of a path.
    ///
    /// # Errors
    /// When there is none for it, or the options are not its service's.
    pub fn of(&mut self, path: &str) -> Result<Place, Error> {
        if matches!(path.split_once("://"), None | Some(("file", _))) {
            return Ok(Place::Local);
        }
        let url = Url::of(path)?;
        if let Some(known) = self.buckets.iter().find(|bucket| bucket.url() == url.root) {
            return Ok(Place::Bucket(Arc::clone(known)));
        }
        let options = self.options.clone().unwrap_or_default();
        let bucket = Arc::new(Bucket::connect(&url, &options)?);
        self.buckets.push(Arc::clone(&bucket));
        Ok(Place::Bucket(bucket))
    }

    /// When all places were asked for.
    ///
    /// # Errors
    /// When there were options and no bucket.
    pub fn complete(&self) -> Result<(), Error> {
        match &self.options {
            Some(_) if self.buckets.is_empty() => {
                Err(Error::config("`storage_options` are for object stores")
                    .with_hint("give `path` as a URL, such as `s3://bucket/folder/*.csv`")
                    .with_fact("key", "storage_options"))
            }
            _ => Ok(()),
        }
    }
}

impl Place {
    /// Lets go whoever waits for it: nothing more is wanted.
    pub fn close(&self) {
        if let Self::Bucket(bucket) = self {
            bucket.close();
        }
    }

    /// The files that a pattern means, by path.
    ///
    /// # Errors
    /// When a plain path names no file, or the place cannot be listed.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, Error> {
        match self {
            Self::Local => local::list(path.strip_prefix("file://").unwrap_or(path)),
            Self::Bucket(bucket) => bucket.list(path),
        }
    }

    /// Begins to open a file, without waiting; no more of an object is fetched than what lies before `until`.
    ///
    /// # Errors
    /// When nothing can be asked for.
    pub fn begin(&self, file: &Entry, until: Option<u64>) -> Result<Opening, Error> {
        Ok(match self {
            Self::Local => Opening::Local(file.path.clone()),
            Self::Bucket(bucket) => Opening::Object(bucket.begin(file, until)?),
        })
    }

    /// A file's bytes from `offset`, of no other version of it where its place tells them apart.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(
        &self,
        file: &Entry,
        offset: u64,
        until: Option<u64>,
    ) -> Result<Box<dyn io::Read + Send>, Error> {
        match self {
            Self::Local => local::read(&file.path, offset),
            Self::Bucket(bucket) => Ok(Box::new(bucket.read(file, offset, until))),
        }
    }

    /// Some of its bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn range(&self, file: &Entry, from: u64, len: usize) -> Result<bytes::Bytes, Error> {
        match self {
            Self::Local => Ok(local::range(&file.path, from, len)?.into()),
            Self::Bucket(bucket) => bucket.ask(file, from..from + len as u64)?.wait(),
        }
    }

    /// Whether what was read of a file is of one version of it.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn is_unchanged(&self, file: &Entry) -> Result<bool, Error> {
        match self {
            Self::Local => Ok(local::entry(&file.path)? == *file),
            // Each request was for this version.
            Self::Bucket(_) if file.tag.is_some() => Ok(true),
            Self::Bucket(bucket) => Ok(bucket.look(&file.path)? == *file),
        }
    }
}

/// A file that is being opened.
pub enum Opening {
    /// Nothing was done yet.
    Local(String),
    /// Its first bytes were asked for.
    Object(FirstBytes),
}

impl Opening {
    /// The file as it is now, and its bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn finish(self) -> Result<(Entry, Box<dyn io::Read + Send>), Error> {
        match self {
            Self::Local(path) => {
                let file = local::entry(&path)?;
                let bytes = local::read(&path, 0)?;
                Ok((file, bytes))
            }
            Self::Object(first) => {
                let (file, bytes) = first.finish()?;
                Ok((file, Box::new(bytes)))
            }
        }
    }
}
