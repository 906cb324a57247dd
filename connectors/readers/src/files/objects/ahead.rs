//! The bytes of an object in order, in ranges that are asked for ahead.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use dativo_sdk::Error;
use object_store::ObjectMeta;

use super::bucket::{Asked, Bucket};
use super::runtime::Begun;
use crate::files::Entry;

/// Bytes of the first range: who wants a header or a sample wants no more.
const FIRST: u64 = 256 << 10;
/// Bytes of the largest one.
const LARGEST: u64 = 8 << 20;
/// Ranges that are asked for at a time, at most.
const AT_A_TIME: usize = 4;

/// The first bytes of an object that is being opened.
#[derive(Debug)]
pub struct FirstBytes {
    pub(super) bucket: Arc<Bucket>,
    pub(super) file: Entry,
    pub(super) until: Option<u64>,
    pub(super) begun: Begun<object_store::Result<(ObjectMeta, Bytes)>>,
}

impl FirstBytes {
    /// Which they are; `None` where there are none, as far as is known.
    pub(super) fn range(file: &Entry, until: Option<u64>) -> Option<Range<u64>> {
        let end = until.unwrap_or(u64::MAX).min(file.size).min(FIRST);
        (end > 0).then_some(0..end)
    }

    /// The object as it is now, and its bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn finish(self) -> Result<(Entry, Ahead), Error> {
        let (file, first) = self.bucket.found(self.file, self.begun)?;
        let mut ahead = Ahead::new(self.bucket, file.clone(), 0, self.until);
        ahead.next = first.len() as u64;
        ahead.ranges = usize::from(!first.is_empty());
        ahead.taken = ahead.ranges;
        ahead.current = first;
        Ok((file, ahead))
    }
}

/// Bytes of one version of an object.
///
/// Of a long one more and larger ranges are asked for the more was taken, so that little is fetched in vain of what is given up
/// soon, and the line is busy while what came is worked on.
#[derive(Debug)]
pub struct Ahead {
    bucket: Arc<Bucket>,
    file: Entry,
    /// The first byte that was not asked for.
    next: u64,
    end: u64,
    asked: VecDeque<Asked>,
    /// How many ranges were asked for, and how many of them were taken.
    ranges: usize,
    taken: usize,
    /// What was taken and not given yet.
    current: Bytes,
}

impl Ahead {
    pub(super) fn new(bucket: Arc<Bucket>, file: Entry, offset: u64, until: Option<u64>) -> Self {
        let end = until.unwrap_or(u64::MAX).min(file.size);
        Self {
            bucket,
            file,
            next: offset,
            end,
            asked: VecDeque::new(),
            ranges: 0,
            taken: 0,
            current: Bytes::new(),
        }
    }

    fn ask(&mut self) -> Result<(), Error> {
        while self.next < self.end && self.asked.len() < at_a_time(self.taken) {
            let len = size(self.ranges).min(self.end - self.next);
            let range = self.next..self.next + len;
            self.asked.push_back(self.bucket.ask(&self.file, range)?);
            self.next += len;
            self.ranges += 1;
        }
        Ok(())
    }

    /// The next range; empty at the end.
    fn take(&mut self) -> Result<Bytes, Error> {
        self.ask()?;
        let Some(asked) = self.asked.pop_front() else {
            return Ok(Bytes::new());
        };
        let bytes = asked.wait()?;
        self.taken += 1;
        self.ask()?;
        Ok(bytes)
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            self.current = self.take().map_err(io::Error::other)?;
        }
        let len = into.len().min(self.current.len());
        self.current.copy_to_slice(&mut into[..len]);
        Ok(len)
    }
}

/// How many ranges are asked for when so many were taken: of the first ones, which a sample is content with, no more than the next.
fn at_a_time(taken: usize) -> usize {
    taken.saturating_sub(1).clamp(1, AT_A_TIME)
}

/// Bytes of the range with this number.
fn size(range: usize) -> u64 {
    FIRST
        .checked_shl(2 * range.min(8) as u32)
        .map_or(LARGEST, |size| size.min(LARGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_asked_for_the_more_was_taken() {
        let asked: Vec<usize> = (0..7).map(at_a_time).collect();
        assert_eq!(asked, [1, 1, 1, 2, 3, 4, 4]);
    }

    #[test]
    fn ranges_grow() {
        let sizes: Vec<u64> = (0..5).map(size).collect();
        assert_eq!(sizes, [256 << 10, 1 << 20, 4 << 20, 8 << 20, 8 << 20]);
        assert_eq!(size(usize::MAX), LARGEST);
    }

    #[test]
    fn the_first_range_is_within_the_object() {
        let file = |size| Entry {
            path: "s3://b/k".to_owned(),
            size,
            modified: 0,
            tag: None,
        };
        assert_eq!(FirstBytes::range(&file(0), None), None);
        assert_eq!(FirstBytes::range(&file(7), None), Some(0..7));
        assert_eq!(FirstBytes::range(&file(7), Some(1)), Some(0..1));
        assert_eq!(FirstBytes::range(&file(1 << 30), None), Some(0..FIRST));
    }
}
