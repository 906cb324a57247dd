//! What stands at the end of Parquet files: their columns and row groups.

use std::collections::{HashMap, VecDeque};
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use dativo_sdk::Error;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};

use super::chunks::{Chunks, Failure, within};
use crate::files::{Asked, Entry, Place};

/// Bytes at the end of an object that are asked for first: most footers are shorter.
const TAIL: u64 = 64 << 10;
/// Objects whose ends are asked for at a time.
const AT_A_TIME: usize = 8;
/// Bytes of footers that are kept.
const KEPT: usize = 64 << 20;

/// Footers of objects that were read: a run asks for each again and again.
///
/// Those of local files are read anew, for their versions cannot be told apart.
#[derive(Debug, Default)]
pub(super) struct Footers {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_path: HashMap<String, (Entry, ArrowReaderMetadata)>,
    bytes: usize,
}

/// A footer that is being read.
enum Footer {
    Known(ArrowReaderMetadata),
    Local,
    Object(Option<Asked>),
}

impl Footers {
    /// That of a file.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub(super) fn of(&self, place: &Place, file: &Entry) -> Result<ArrowReaderMetadata, Error> {
        self.finish(place, file, self.begin(place, file)?)
    }

    /// Those of files, one behind the other.
    ///
    /// # Errors
    /// As that of the first one that fails.
    pub(super) fn each<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a Place, &'a Entry)>,
        mut take: impl FnMut(usize, &ArrowReaderMetadata) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = files.into_iter();
        let mut begun = VecDeque::new();
        for number in 0.. {
            while begun.len() < AT_A_TIME
                && let Some((place, file)) = left.next()
            {
                begun.push_back((place, file, self.begin(place, file)?));
            }
            let Some((place, file, footer)) = begun.pop_front() else {
                break;
            };
            take(number, &self.finish(place, file, footer)?)?;
        }
        Ok(())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, place: &Place, file: &Entry) -> Result<Footer, Error> {
        let Place::Bucket(bucket) = place else {
            return Ok(Footer::Local);
        };
        if let Some((then, known)) = self.kept().by_path.get(&file.path)
            && then == file
        {
            return Ok(Footer::Known(known.clone()));
        }
        let start = file.size.saturating_sub(TAIL);
        let asked = (start < file.size).then(|| bucket.ask(file, start..file.size));
        Ok(Footer::Object(asked.transpose()?))
    }

    fn finish(
        &self,
        place: &Place,
        file: &Entry,
        footer: Footer,
    ) -> Result<ArrowReaderMetadata, Error> {
        let options = ArrowReaderOptions::default();
        let (place, file) = (place.clone(), file.clone());
        let failure = Failure::default();
        let loaded = match footer {
            Footer::Known(known) => return Ok(known),
            Footer::Local => {
                let chunks = Chunks {
                    place,
                    file: file.clone(),
                    windows: None,
                    failure: failure.clone(),
                };
                ArrowReaderMetadata::load(&chunks, options)
            }
            Footer::Object(asked) => {
                let bytes = asked.map_or(Ok(Bytes::new()), Asked::wait)?;
                let tail = Tail {
                    place,
                    start: file.size - bytes.len() as u64,
                    file: file.clone(),
                    bytes,
                    failure: failure.clone(),
                };
                ArrowReaderMetadata::load(&tail, options)
            }
        };
        let found = loaded.map_err(|error| super::failed(&file, &failure, &error))?;
        if file.tag.is_some() {
            let size = found.metadata().memory_size();
            let mut kept = self.kept();
            if kept.bytes + size <= KEPT {
                kept.bytes += size;
                kept.by_path
                    .insert(file.path.clone(), (file, found.clone()));
            }
        }
        Ok(found)
    }
}

/// The end of an object.
struct Tail {
    place: Place,
    file: Entry,
    start: u64,
    bytes: Bytes,
    failure: Failure,
}

impl Length for Tail {
    fn len(&self) -> u64 {
        self.file.size
    }
}

impl ChunkReader for Tail {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let left = self.file.size.saturating_sub(start) as usize;
        Ok(Cursor::new(self.get_bytes(start, left)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        within(&self.file, start, length)?;
        match start.checked_sub(self.start) {
            Some(from) => Ok(self.bytes.slice(from as usize..from as usize + length)),
            None => {
                let found = self.place.range(&self.file, start, length);
                found.map_err(|error| self.failure.note(error))
            }
        }
    }
}
