//! A Parquet file, wherever it is, as the decoder wants it.

use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dativo_sdk::Error;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::windows::{WindowRead, Windows};
use crate::files::{Entry, Place};

/// A file that is read in ranges.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    pub place: Place,
    pub file: Entry,
    /// Of an object, what is fetched of it.
    pub windows: Option<Arc<Windows>>,
    pub failure: Failure,
}

/// Why a file could not be read: the decoder keeps no more of an error than its text.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    pub(super) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps an error, and makes the decoder's of it.
    pub(super) fn note(&self, error: Error) -> ParquetError {
        let said = ParquetError::General(error.message.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        said
    }
}

/// Enough for the header of a page.
const HEADER: usize = 512;

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.file.size
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<Box<dyn Read + Send>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let read = match &self.windows {
            Some(windows) => {
                let read = WindowRead::new(Arc::clone(windows), start, self.failure.clone());
                return Ok(BufReader::with_capacity(HEADER, Box::new(read)));
            }
            None => self.place.read(&self.file, start, None),
        };
        let read = read.map_err(|error| self.failure.note(error))?;
        Ok(BufReader::new(read))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        within(&self.file, start, length)?;
        let found = match &self.windows {
            Some(windows) => windows.bytes(start, length),
            None => self.place.range(&self.file, start, length),
        };
        found.map_err(|error| self.failure.note(error))
    }
}

/// That there are so many bytes.
pub(super) fn within(file: &Entry, start: u64, length: usize) -> io::Result<()> {
    match start.checked_add(length as u64) {
        Some(end) if end <= file.size => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}
