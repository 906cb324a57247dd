//! What is fetched of a Parquet object, and when: the chunks of the columns that are wanted, in the order in which they are decoded.
//!
//! Chunks of a row group that lie close together are one window, long ones are several. The first windows of all columns are needed
//! at once, then their second ones. They are asked for in that order, also those of later row groups, as far as a budget of bytes
//! goes; what is needed before its turn is asked for then. A window goes when all in it was taken.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use dativo_sdk::Error;

use super::chunks::Failure;
use crate::files::{Asked, Bucket, Entry};

/// Bytes that are asked for ahead, or here and not taken yet.
const BUDGET: u64 = 64 << 20;
/// Bytes of the largest window.
const LARGEST: u64 = 8 << 20;
/// Bytes of a piece of a long chunk, at least.
const SMALLEST: u64 = 128 << 10;
/// Bytes between chunks that are fetched in vain rather than asked around.
const GAP: u64 = 256 << 10;
/// Bytes fetched of what nobody planned.
const UNPLANNED: u64 = 64 << 10;

/// What is fetched of an object.
pub(super) struct Windows {
    bucket: Arc<Bucket>,
    file: Entry,
    state: Mutex<State>,
}

impl fmt::Debug for Windows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Windows({})", self.file.path)
    }
}

/// The bytes of a column in a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    range: Range<u64>,
    /// Up to where it was taken.
    taken: u64,
}

#[derive(Debug)]
struct Window {
    range: Range<u64>,
    /// Row groups before its own.
    group: usize,
    /// Those that it holds, or holds a piece of.
    chunks: Range<usize>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Absent,
    Asked(Asked),
    Here(Bytes),
}

impl Window {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

#[derive(Debug)]
struct State {
    chunks: Vec<Chunk>,
    /// In the order in which they are needed.
    windows: Vec<Window>,
    /// Where each starts, and its number, by where it starts.
    starts: Vec<(u64, usize)>,
    /// The first one that was not asked for ahead.
    next: usize,
    /// Bytes that are asked for or here.
    held: u64,
    /// The last row group that was begun.
    group: usize,
}

impl Windows {
    /// Of an object whose row groups have these chunks.
    pub(super) fn new(bucket: Arc<Bucket>, file: Entry, groups: Vec<Vec<Range<u64>>>) -> Self {
        Self {
            bucket,
            file,
            state: Mutex::new(State::plan(groups)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a page.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn bytes(&self, start: u64, len: usize) -> Result<Bytes, Error> {
        let end = start + len as u64;
        let mut state = self.state();
        let numbers = state.numbers(start..end);
        for number in &numbers {
            self.ask(&mut state, *number)?;
        }
        let planned: u64 = numbers
            .iter()
            .map(|number| overlap(&state.windows[*number].range, &(start..end)))
            .sum();
        if planned < len as u64 {
            drop(state);
            return self.bucket.ask(&self.file, start..end)?.wait();
        }
        self.ask_ahead(&mut state)?;
        let mut whole = BytesMut::new();
        for number in &numbers {
            let held = self.here(&mut state, *number)?;
            let range = &state.windows[*number].range;
            let from = start.max(range.start) - range.start;
            let until = end.min(range.end) - range.start;
            let part = held.slice(from as usize..until as usize);
            if part.len() == len {
                state.take(start..end);
                return Ok(part);
            }
            whole.extend_from_slice(&part);
        }
        state.take(start..end);
        Ok(whole.freeze())
    }

    /// At most so many bytes, which are only looked at; none at the end of the object.
    fn look(&self, start: u64, most: usize) -> Result<Bytes, Error> {
        let end = (start + most as u64).min(self.file.size);
        if start >= end {
            return Ok(Bytes::new());
        }
        let mut state = self.state();
        let Some(number) = state.numbers(start..start + 1).first().copied() else {
            drop(state);
            let end = (start + UNPLANNED).min(self.file.size);
            return self.bucket.ask(&self.file, start..end)?.wait();
        };
        self.ask(&mut state, number)?;
        self.ask_ahead(&mut state)?;
        let held = self.here(&mut state, number)?;
        let range = &state.windows[number].range;
        let until = end.min(range.end) - range.start;
        Ok(held.slice((start - range.start) as usize..until as usize))
    }

    fn ask(&self, state: &mut State, number: usize) -> Result<(), Error> {
        let window = &mut state.windows[number];
        if matches!(window.content, Content::Absent) {
            window.content = Content::Asked(self.bucket.ask(&self.file, window.range.clone())?);
            state.held += window.len();
        }
        Ok(())
    }

    fn ask_ahead(&self, state: &mut State) -> Result<(), Error> {
        while state.next < state.windows.len()
            && state.held + state.windows[state.next].len() <= BUDGET
        {
            let number = state.next;
            state.next += 1;
            // What was taken before its turn is not wanted again.
            if !state.is_taken(number) {
                self.ask(state, number)?;
            }
        }
        Ok(())
    }

    fn here(&self, state: &mut State, number: usize) -> Result<Bytes, Error> {
        let window = &mut state.windows[number];
        let bytes = match std::mem::replace(&mut window.content, Content::Absent) {
            Content::Here(bytes) => bytes,
            Content::Asked(asked) => asked.wait()?,
            Content::Absent => {
                let asked = self.bucket.ask(&self.file, window.range.clone())?;
                state.held += window.len();
                asked.wait()?
            }
        };
        window.content = Content::Here(bytes.clone());
        state.begin(number);
        Ok(bytes)
    }
}

fn overlap(left: &Range<u64>, right: &Range<u64>) -> u64 {
    left.end
        .min(right.end)
        .saturating_sub(left.start.max(right.start))
}

impl State {
    fn plan(groups: Vec<Vec<Range<u64>>>) -> Self {
        let columns = groups.iter().map(Vec::len).max().unwrap_or(0) as u64;
        let piece = (BUDGET / (2 * columns.max(1))).clamp(SMALLEST, LARGEST);
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut windows: Vec<Window> = Vec::new();
        for (group, mut ranges) in groups.into_iter().enumerate() {
            ranges.sort_by_key(|range| range.start);
            let mut first: Vec<Window> = Vec::new();
            let mut later: Vec<(u64, Window)> = Vec::new();
            for range in ranges {
                let number = chunks.len();
                let window = |range: Range<u64>| Window {
                    range,
                    group,
                    chunks: number..number + 1,
                    content: Content::Absent,
                };
                let is_short = range.end - range.start <= piece;
                match first.last_mut() {
                    Some(last)
                        if is_short
                            && range.start >= last.range.end
                            && range.start - last.range.end <= GAP
                            && range.end - last.range.start <= LARGEST =>
                    {
                        last.range.end = range.end;
                        last.chunks.end = number + 1;
                    }
                    _ => first.push(window(range.start..range.end.min(range.start + piece))),
                }
                let (mut start, mut turn) = (range.start + piece, 1);
                while start < range.end {
                    let end = range.end.min(start + piece);
                    later.push((turn, window(start..end)));
                    (start, turn) = (end, turn + 1);
                }
                chunks.push(Chunk {
                    taken: range.start,
                    range,
                });
            }
            later.sort_by_key(|(turn, window)| (*turn, window.range.start));
            windows.extend(first);
            windows.extend(later.into_iter().map(|(_, window)| window));
        }
        let numbered = windows.iter().enumerate();
        let mut starts: Vec<(u64, usize)> = numbered
            .map(|(number, window)| (window.range.start, number))
            .collect();
        starts.sort_unstable();
        Self {
            chunks,
            windows,
            starts,
            next: 0,
            held: 0,
            group: 0,
        }
    }

    /// The windows that hold some of a range, by where they start.
    fn numbers(&self, range: Range<u64>) -> Vec<usize> {
        let behind = self
            .starts
            .partition_point(|(start, _)| *start <= range.start);
        self.starts[behind.saturating_sub(1)..]
            .iter()
            .take_while(|(start, _)| *start < range.end)
            .map(|(_, number)| *number)
            .filter(|number| overlap(&self.windows[*number].range, &range) > 0)
            .collect()
    }

    /// A page was taken: windows of which all was taken go.
    fn take(&mut self, range: Range<u64>) {
        let behind = self
            .chunks
            .iter()
            .position(|chunk| chunk.range.contains(&range.start));
        let Some(chunk) = behind.map(|at| &mut self.chunks[at]) else {
            return;
        };
        let from = chunk.taken;
        chunk.taken = chunk.taken.max(range.end);
        for number in self.numbers(from..range.end) {
            if self.is_taken(number) {
                self.release(number);
            }
        }
    }

    fn is_taken(&self, number: usize) -> bool {
        let window = &self.windows[number];
        self.chunks[window.chunks.clone()]
            .iter()
            .all(|chunk| chunk.taken >= chunk.range.end.min(window.range.end))
    }

    fn release(&mut self, number: usize) {
        let window = &mut self.windows[number];
        if !matches!(window.content, Content::Absent) {
            window.content = Content::Absent;
            self.held -= window.len();
        }
    }

    /// Columns are at most a batch apart, which may lie in two row groups: of those before, nothing is wanted any more.
    fn begin(&mut self, number: usize) {
        let group = self.windows[number].group;
        if group <= self.group {
            return;
        }
        self.group = group;
        for number in 0..self.windows.len() {
            if self.windows[number].group + 1 < group {
                self.release(number);
            }
        }
    }
}

/// Reads on from a place in an object: headers of pages.
pub(super) struct WindowRead {
    windows: Arc<Windows>,
    at: u64,
    failure: Failure,
}

impl WindowRead {
    pub(super) fn new(windows: Arc<Windows>, at: u64, failure: Failure) -> Self {
        Self {
            windows,
            at,
            failure,
        }
    }
}

impl Read for WindowRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let found = self
            .windows
            .look(self.at, into.len())
            .map_err(|error| io::Error::other(self.failure.note(error)))?;
        let len = found.len().min(into.len());
        into[..len].copy_from_slice(&found[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn ranges(state: &State) -> Vec<Range<u64>> {
        let windows = state.windows.iter();
        windows.map(|window| window.range.clone()).collect()
    }

    fn one(range: Range<u64>) -> Vec<Range<u64>> {
        std::iter::once(range).collect()
    }

    #[test]
    fn short_chunks_that_are_close_are_fetched_together() {
        let state = State::plan(vec![
            vec![4..100, 100..2000, 2000 + GAP..3000 + GAP, MIB..MIB + 7],
            one(2 * MIB..3 * MIB),
        ]);
        assert_eq!(
            ranges(&state),
            [4..3000 + GAP, MIB..MIB + 7, 2 * MIB..3 * MIB]
        );
        assert_eq!(state.windows[0].chunks, 0..3);
    }

    #[test]
    fn long_chunks_take_turns() {
        let state = State::plan(vec![vec![0..20 * MIB, 20 * MIB..37 * MIB]]);
        assert_eq!(
            ranges(&state),
            [
                0..8 * MIB,
                20 * MIB..28 * MIB,
                8 * MIB..16 * MIB,
                28 * MIB..36 * MIB,
                16 * MIB..20 * MIB,
                36 * MIB..37 * MIB
            ]
        );
        assert_eq!(state.numbers(7 * MIB..9 * MIB), [0, 2]);
        assert_eq!(state.numbers(36 * MIB..36 * MIB + 1), [5]);
        assert!(state.numbers(40 * MIB..41 * MIB).is_empty());
    }

    #[test]
    fn many_columns_have_smaller_windows() {
        let long = |number: u64| number * 10 * MIB..(number + 1) * 10 * MIB;
        let state = State::plan(vec![(0..64).map(long).collect()]);
        let first: u64 = state.windows[..64].iter().map(Window::len).sum();
        assert_eq!(first, BUDGET / 2);
    }

    #[test]
    fn windows_go_when_all_in_them_was_taken() {
        let mut state = State::plan(vec![vec![0..10, 10..20], one(MIB..MIB + 10)]);
        for window in &mut state.windows {
            window.content = Content::Here(Bytes::new());
            state.held += window.range.end - window.range.start;
        }
        state.take(0..10);
        assert_eq!(state.held, 30);
        state.take(12..15);
        assert_eq!(state.held, 30);
        state.take(15..20);
        assert_eq!(state.held, 10);
        assert!(state.is_taken(0) && !state.is_taken(1));
    }

    #[test]
    fn what_nobody_took_goes_two_groups_later() {
        let group = |number: u64| one(number * MIB..number * MIB + 10);
        let mut state = State::plan((0..3).map(group).collect());
        state.windows[0].content = Content::Here(Bytes::new());
        state.held = 10;
        state.begin(1);
        assert_eq!(state.held, 10);
        state.begin(2);
        assert_eq!(state.held, 0);
    }
}
