//! A Parquet file, wherever it is, as the decoder wants it.

use std::io::{self, BufReader, Read};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::files::{Entry, Place};

/// A file that is read in ranges.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    pub place: Place,
    pub file: Entry,
}

fn failed(error: dativo_sdk::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.file.size
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<Box<dyn Read + Send>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(
            self.place.read(&self.file, start).map_err(failed)?,
        ))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start
            .checked_add(length as u64)
            .is_none_or(|end| end > self.file.size)
        {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(self
            .place
            .range(&self.file, start, length)
            .map_err(failed)?
            .into())
    }
}
