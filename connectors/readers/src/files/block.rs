//! A text in pieces of whole records.

use std::io::{self, Read};

/// Some records of a text, one behind the other.
#[derive(Debug)]
pub struct Block {
    /// Their text.
    pub bytes: Vec<u8>,
    /// Where it starts in the text, in bytes.
    pub offset: u64,
    /// How many lines lie before it.
    pub line: u64,
    /// Nothing comes behind it.
    pub last: bool,
}

/// Reads a text, piece by piece.
pub struct Feed {
    source: Box<dyn Read + Send>,
    /// What was read and not given yet; the room behind `filled` is not part of it.
    buffer: Vec<u8>,
    filled: usize,
    ended: bool,
    offset: u64,
    line: u64,
}

/// Least room to read into: converted text comes a character at a time at least.
const LEAST: usize = 64 * 1024;

impl Feed {
    /// Of a text whose first byte is at `offset`, behind `line` lines.
    pub fn new(source: Box<dyn Read + Send>, offset: u64, line: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            filled: 0,
            ended: false,
            offset,
            line,
        }
    }

    /// Makes the text end at a position, which is between two records.
    pub fn stop_at(&mut self, offset: u64) {
        let left = offset.saturating_sub(self.offset);
        let here = self.filled.min(usize::try_from(left).unwrap_or(usize::MAX));
        self.filled = here;
        let source = std::mem::replace(&mut self.source, Box::new(io::empty()));
        self.source = Box::new(source.take(left - here as u64));
    }

    /// At least the next `len` bytes, or all there are, and whether those are all.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn peek(&mut self, len: usize) -> io::Result<(&[u8], bool)> {
        while self.filled < len && !self.ended {
            let room = (len - self.filled).max(LEAST);
            if self.buffer.len() < self.filled + room {
                self.buffer.resize(self.filled + room, 0);
            }
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((&self.buffer[..self.filled], self.ended))
    }

    /// Passes over the next `len` bytes, which must have been seen.
    pub fn skip(&mut self, len: usize) {
        self.line += lines(&self.buffer[..len]);
        self.offset += len as u64;
        self.buffer.copy_within(len..self.filled, 0);
        self.filled -= len;
    }

    /// The next records, of about `size` bytes or more, or `None` at the end.
    ///
    /// `boundary` says where the last record ends that is whole in a text, if there is one; `spare` is memory to use again.
    ///
    /// # Errors
    /// When the source cannot be read, or a record is longer than `longest`.
    pub fn next(
        &mut self,
        size: usize,
        longest: usize,
        mut spare: Vec<u8>,
        boundary: impl Fn(&[u8]) -> Option<usize>,
    ) -> io::Result<Option<Block>> {
        let mut wanted = size.max(1);
        let len = loop {
            let (all, ended) = self.peek(wanted)?;
            if ended && all.len() <= wanted {
                break all.len();
            }
            let text = &all[..wanted];
            if let Some(len) = boundary(text) {
                if len == all.len() {
                    // One byte more says whether this is all.
                    self.peek(len + 1)?;
                }
                break len;
            }
            if wanted > longest {
                let line = self.line;
                let message =
                    format!("the record behind line {line} is longer than {longest} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            wanted *= 2;
        };
        if len == 0 {
            return Ok(None);
        }
        spare.clear();
        spare.extend_from_slice(&self.buffer[len..self.filled]);
        let rest = spare.len();
        // What the block keeps beyond its text would wait with it.
        let mut bytes = std::mem::replace(&mut self.buffer, spare);
        bytes.truncate(len);
        self.filled = rest;
        let block = Block {
            offset: self.offset,
            line: self.line,
            last: self.ended && rest == 0,
            bytes,
        };
        self.offset += len as u64;
        self.line += lines(&block.bytes);
        Ok(Some(block))
    }
}

/// Ends of lines in a text.
pub(crate) fn lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_ends(text: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', text).map(|at| at + 1)
    }

    #[test]
    fn blocks_are_whole_records_and_together_the_text() {
        let text: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        let mut feed = Feed::new(Box::new(io::Cursor::new(text.clone().into_bytes())), 0, 0);
        let (mut all, mut lines) = (Vec::new(), 0);
        while let Some(block) = feed.next(1000, 1 << 20, Vec::new(), line_ends).unwrap() {
            assert_eq!((block.offset, block.line), (all.len() as u64, lines));
            assert_eq!(block.last, all.len() + block.bytes.len() == text.len());
            assert!(block.bytes.ends_with(b"\n"));
            lines += super::lines(&block.bytes);
            all.extend_from_slice(&block.bytes);
        }
        assert_eq!(all, text.as_bytes());
    }

    #[test]
    fn a_record_without_an_end_is_the_last_or_too_long() {
        let source = || Box::new(io::Cursor::new(vec![b'x'; 1 << 20]));
        let block = Feed::new(source(), 0, 0)
            .next(1000, 1 << 20, Vec::new(), line_ends)
            .unwrap()
            .unwrap();
        assert_eq!((block.bytes.len(), block.last), (1 << 20, true));
        assert!(
            Feed::new(source(), 0, 0)
                .next(1000, 1 << 18, Vec::new(), line_ends)
                .is_err()
        );
        assert!(
            Feed::new(Box::new(io::empty()), 0, 0)
                .next(1000, 1000, Vec::new(), line_ends)
                .unwrap()
                .is_none()
        );
    }
}
