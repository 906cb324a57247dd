//! What a run has given so far: pieces in order, and the states that cover them.

use std::collections::VecDeque;
use std::io;

use dativo_sdk::{Error, Piece, State, StreamId};

use crate::files::History;
use crate::flow::{Flow, Format, Job, Limits, Step};

/// A stream that is read.
#[derive(Debug)]
pub struct Track {
    /// Its identity.
    pub id: StreamId,
    /// What was read of it before; `None` where all of it is read each time.
    pub history: Option<History>,
}

/// Reads jobs, piece by piece.
pub struct Progress<F: Format> {
    flow: Flow<F>,
    tracks: Vec<Track>,
    /// Pieces of one block, and of which stream.
    pending: VecDeque<Piece>,
    stream: usize,
    /// Whether the history of that stream covers them, when all are given.
    covered: bool,
    /// What comes next, where that was looked at.
    ahead: Option<Result<Option<Step>, Error>>,
}

impl<F: Format> Progress<F> {
    /// Starts to read.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(
        format: F,
        jobs: Vec<Job>,
        tracks: Vec<Track>,
        limits: Limits,
    ) -> io::Result<Self> {
        let flow = Flow::start(format, jobs, limits)?;
        Ok(Self {
            flow,
            tracks,
            pending: VecDeque::new(),
            stream: 0,
            covered: false,
            ahead: None,
        })
    }

    /// The next rows, at most `max_rows`; `None` at the end.
    ///
    /// # Errors
    /// When a file cannot be read, or a row is wrong and that is to end the run.
    pub fn next(&mut self, max_rows: usize) -> Result<Option<Piece>, Error> {
        while self.pending.is_empty() {
            match self.ahead.take().unwrap_or_else(|| self.flow.next())? {
                Some(step) => self.take(step),
                None => return Ok(None),
            }
            self.look_ahead();
        }
        let Some(mut piece) = self.pending.pop_front() else {
            return Ok(None);
        };
        let max_rows = max_rows.max(1);
        if piece.data.num_rows() > max_rows {
            let mut rest = piece.clone();
            rest.data = piece.data.slice(max_rows, piece.data.num_rows() - max_rows);
            self.pending.push_front(rest);
            piece.data = piece.data.slice(0, max_rows);
        }
        Ok(Some(piece))
    }

    /// Takes what follows and has no rows: it may be the end of a file, which nothing after it would tell.
    fn look_ahead(&mut self) {
        while !self.covered
            && !self.pending.is_empty()
            && self.tracks[self.stream].history.is_some()
        {
            match self.flow.next() {
                Ok(Some(step)) if step.is_empty() && step.stream == self.stream => self.take(step),
                other => {
                    self.ahead = Some(other);
                    return;
                }
            }
        }
    }

    fn take(&mut self, step: Step) {
        let Step {
            stream,
            file,
            decoded,
            next,
            last,
        } = step;
        let track = &mut self.tracks[stream];
        self.stream = stream;
        self.covered = false;
        if let Some(history) = &mut track.history {
            if last {
                history.finished(&file);
                self.covered = true;
            } else if let Some((offset, line)) = next {
                history.reached(&file, offset, line);
                self.covered = true;
            }
        }
        // Rejects first: what is said of a row comes with it, not after it.
        self.pending.extend(
            decoded
                .rejects
                .map(|data| Piece::rejects(track.id.clone(), data)),
        );
        self.pending.extend(
            decoded
                .batch
                .map(|data| Piece::batch(track.id.clone(), data)),
        );
    }

    /// The state that covers what was given.
    ///
    /// # Errors
    /// Never: a history is JSON.
    pub fn state(&self) -> Result<Option<State>, Error> {
        if !self.covered || !self.pending.is_empty() {
            return Ok(None);
        }
        let track = &self.tracks[self.stream];
        track
            .history
            .as_ref()
            .map(|history| State::of(track.id.clone(), history))
            .transpose()
    }

    /// Stops, and waits for the threads.
    pub fn stop(&mut self) {
        self.flow.stop();
    }
}
