//! RECORD lines, the hot path.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::opening::{Head, Named, Opening};
use crate::batch::{BatchBuilder, Outcome, PushError, without_line_break};
use crate::json::Broken;
use crate::plan::StreamPlan;
use crate::rejects::RejectsBuilder;
use crate::stamps::Stamps;
use crate::stream_id::StreamId;

/// How a protocol writes RECORD lines.
pub trait RecordFormat: fmt::Debug + Default + Send + 'static {
    /// What stands beside a record and concerns its row.
    type Beside;

    /// What stands before the record, where that says the stream; `None` for what is unusual in any way.
    fn head(line: &[u8]) -> Option<Head>;

    /// Reads what comes behind the record of `stream`, to the end of the line. Whatever could change what the line means is an
    /// error here. `stamps` gets what is said there about the row.
    fn rest(
        line: &[u8],
        end: usize,
        stream: &StreamId,
        named: &Named,
        stamps: Option<&mut Stamps>,
    ) -> Result<Self::Beside, Broken>;

    /// All parts of a line of any shape.
    fn parts(line: &[u8]) -> Parts<Self::Beside>;

    /// Gives the row just pushed what stands beside its record; or says why that cannot be read.
    fn finish_row(
        beside: &Self::Beside,
        line: &[u8],
        builder: &mut BatchBuilder,
    ) -> Result<(), String>;

    /// What a whole line of any shape says about its row.
    fn stamps(line: &[u8]) -> Stamps;
}

/// A RECORD line, taken apart.
#[derive(Debug)]
pub struct Parts<B> {
    /// The stream; `None` where it does not say, or not legibly.
    pub(crate) stream: Option<StreamId>,
    /// Where the record starts and what stands beside it; or why the line is no RECORD.
    pub(crate) record: Result<(usize, B), String>,
}

/// What became of a RECORD line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Where it went, for [`Builders::at`]; `None` for a broken line that names no known stream (see [`Builders::take_unplaced`]).
    pub builder: Option<usize>,
    /// What became of the record.
    pub outcome: Outcome,
}

/// A RECORD line that was not decoded; the builders are as they were.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The plan source does not know the stream.
    #[error("RECORD of stream `{stream}`, which was not announced")]
    UnknownStream {
        /// The stream.
        stream: StreamId,
    },
    /// The stream's builder refused.
    #[error("stream `{stream}`, {error}")]
    Push {
        /// The stream.
        stream: StreamId,
        /// Why; on [`PushError::Full`], finish the builder at `builder` and decode the line again.
        error: PushError,
        /// Its place, for [`Builders::at`].
        builder: usize,
    },
}

/// The builders of one thread, by stream. Places are stable until [`Builders::remove`] or [`Builders::clear`].
#[derive(Debug, Default)]
pub struct Builders<F> {
    streams: Vec<(StreamId, BatchBuilder)>,
    places: HashMap<StreamId, usize, FixedState>,
    /// Places by the stream's name alone: the last one that it meant.
    by_name: HashMap<Box<[u8]>, usize, FixedState>,
    /// The name that the last line had, and its place.
    last: (Vec<u8>, usize),
    opening: Opening,
    unplaced: RejectsBuilder,
    format: std::marker::PhantomData<F>,
}

impl<F: RecordFormat> Builders<F> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one RECORD line (its line break may be there) into its stream's builder, in one pass where the stream comes
    /// before the record.
    ///
    /// `plan` is asked once for each stream the builders do not have yet; `None` from it is [`LineError::UnknownStream`].
    /// A line that does not parse to its end gives no row: the whole line goes to the rejects of its stream, or to those of
    /// no stream when it does not name a known one.
    ///
    /// # Errors
    /// See [`LineError`].
    pub fn decode_line(
        &mut self,
        line: &[u8],
        line_number: i64,
        plan: impl FnOnce(&StreamId) -> Option<Arc<StreamPlan>>,
    ) -> Result<Decoded, LineError> {
        let start = match self.known_start(line) {
            None => self.unusual_start(line),
            known => known,
        };
        if let Some((place, start)) = start {
            let (stream, builder) = &mut self.streams[place];
            let pushed = match builder.push_within(line, start, line, line_number) {
                Ok(pushed) => pushed,
                Err(error) => return Err(self.refused(place, error)),
            };
            if pushed.outcome == Outcome::Broken {
                return Ok(Decoded {
                    builder: Some(place),
                    outcome: pushed.outcome,
                });
            }
            let mut stamps = builder.wants_stamps().then(Stamps::default);
            let named = &self.opening.named;
            match F::rest(line, pushed.end, stream, named, stamps.as_mut()) {
                Ok(beside) => {
                    if self.opening.stamped && stamps.is_some() {
                        stamps = Some(F::stamps(line));
                    }
                    let beside = (beside, stamps);
                    return self.finish_row(place, pushed.outcome, beside, line, line_number);
                }
                // Whatever is unusual behind the record: the slow way decides about the line as a whole.
                Err(_) => builder.rollback_last(),
            }
        }
        self.decode_any(line, line_number, plan)
    }

    /// Place of the stream and start of the record, where the line begins like the ones before.
    #[inline]
    fn known_start(&mut self, line: &[u8]) -> Option<(usize, usize)> {
        let (name, start) = self.opening.name(line)?;
        // Before the first line, the last name is empty too.
        if name.is_empty() || self.last.0 != name {
            let place = *self.by_name.get(name)?;
            if !self.opening.named.admits(&self.streams[place].0) {
                return None;
            }
            self.last.0.clear();
            self.last.0.extend_from_slice(name);
            self.last.1 = place;
        }
        Some((self.last.1, start))
    }

    /// [`Self::known_start`] for a line that begins otherwise, but says its stream before its record.
    #[inline(never)]
    fn unusual_start(&mut self, line: &[u8]) -> Option<(usize, usize)> {
        let head = F::head(line)?;
        let name = &line[head.name.clone()];
        let likely = self.by_name.get(name).copied();
        let place = match likely.filter(|place| head.named.admits(&self.streams[*place].0)) {
            Some(place) => place,
            None => {
                let Named::Before(namespace) = &head.named else {
                    return None;
                };
                let stream = StreamId::new(std::str::from_utf8(name).ok()?, namespace.as_deref());
                self.place(&stream)?
            }
        };
        self.learn(line, &head, place);
        Some((place, head.record))
    }

    fn learn(&mut self, line: &[u8], head: &Head, place: usize) {
        let name = &line[head.name.clone()];
        self.opening.learn(line, head);
        match self.by_name.get_mut(name) {
            Some(known) => *known = place,
            None => drop(self.by_name.insert(name.into(), place)),
        }
        self.last.0.clear();
        self.last.0.extend_from_slice(name);
        self.last.1 = place;
    }

    #[inline]
    fn finish_row(
        &mut self,
        place: usize,
        outcome: Outcome,
        (beside, stamps): (F::Beside, Option<Stamps>),
        line: &[u8],
        line_number: i64,
    ) -> Result<Decoded, LineError> {
        let builder = &mut self.streams[place].1;
        if outcome == Outcome::Row {
            if let Err(reason) = F::finish_row(&beside, line, builder) {
                builder.rollback_last();
                return self.reject(place, &reason, line, line_number);
            }
            if let Some(stamps) = stamps {
                builder.stamp(&stamps, line);
            }
        }
        Ok(Decoded {
            builder: Some(place),
            outcome,
        })
    }

    #[cold]
    fn reject(
        &mut self,
        place: usize,
        reason: &str,
        line: &[u8],
        line_number: i64,
    ) -> Result<Decoded, LineError> {
        match self.streams[place]
            .1
            .reject_whole(reason, line, line_number)
        {
            Ok(()) => Ok(Decoded {
                builder: Some(place),
                outcome: Outcome::Broken,
            }),
            Err(error) => Err(self.refused(place, error)),
        }
    }

    #[cold]
    fn refused(&self, place: usize, error: PushError) -> LineError {
        LineError::Push {
            stream: self.streams[place].0.clone(),
            error,
            builder: place,
        }
    }

    /// Decodes a line of any shape: finds its parts first, then reads the record.
    fn decode_any(
        &mut self,
        line: &[u8],
        line_number: i64,
        plan: impl FnOnce(&StreamId) -> Option<Arc<StreamPlan>>,
    ) -> Result<Decoded, LineError> {
        let Parts { stream, record } = F::parts(line);
        let known = stream.as_ref().and_then(|stream| self.place(stream));
        let place = match (known, stream, &record) {
            (Some(place), ..) => place,
            (None, Some(stream), _) => match (plan(&stream), &record) {
                (Some(plan), _) => {
                    let place = self.streams.len();
                    self.places.insert(stream.clone(), place);
                    self.streams.push((stream, BatchBuilder::new(plan)));
                    place
                }
                (None, Ok(_)) => return Err(LineError::UnknownStream { stream }),
                (None, Err(reason)) => return Ok(self.unplaced(reason, line, line_number)),
            },
            (None, None, record) => {
                let reason = record.as_ref().err().map_or("", String::as_str);
                return Ok(self.unplaced(reason, line, line_number));
            }
        };
        let (start, beside) = match record {
            Ok(record) => record,
            Err(reason) => return self.reject(place, &reason, line, line_number),
        };
        if let Some(head) = F::head(line) {
            self.learn(line, &head, place);
        }
        let builder = &mut self.streams[place].1;
        match builder.push_within(line, start, line, line_number) {
            Ok(pushed) => {
                let stamps = builder.wants_stamps().then(|| F::stamps(line));
                let beside = (beside, stamps);
                self.finish_row(place, pushed.outcome, beside, line, line_number)
            }
            Err(error) => Err(self.refused(place, error)),
        }
    }

    fn unplaced(&mut self, reason: &str, line: &[u8], line_number: i64) -> Decoded {
        self.unplaced
            .push(line_number, None, reason, without_line_break(line));
        Decoded {
            builder: None,
            outcome: Outcome::Broken,
        }
    }

    /// The stream and builder at a place that [`Builders::decode_line`] gave.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn at(&mut self, place: usize) -> (&StreamId, &mut BatchBuilder) {
        let (stream, builder) = &mut self.streams[place];
        (stream, builder)
    }

    /// The builder of a stream, if there is one.
    pub fn get_mut(&mut self, stream: &StreamId) -> Option<&mut BatchBuilder> {
        let place = self.place(stream)?;
        Some(&mut self.streams[place].1)
    }

    /// All streams with their builders, in the order in which they appeared.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&StreamId, &mut BatchBuilder)> {
        self.streams
            .iter_mut()
            .map(|(stream, builder)| (&*stream, builder))
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Takes a stream's builder out, such as when its schema changes: the next record asks for the plan again.
    pub fn remove(&mut self, stream: &StreamId) -> Option<BatchBuilder> {
        let place = self.place(stream)?;
        let (_, builder) = self.streams.remove(place);
        self.number_places();
        Some(builder)
    }

    /// Takes all builders out.
    pub fn clear(&mut self) -> Vec<(StreamId, BatchBuilder)> {
        let streams = std::mem::take(&mut self.streams);
        self.number_places();
        streams
    }

    fn place(&self, stream: &StreamId) -> Option<usize> {
        self.places.get(stream).copied()
    }

    /// Streams have moved.
    fn number_places(&mut self) {
        let streams = self.streams.iter().enumerate();
        self.places = streams
            .clone()
            .map(|(place, (stream, _))| (stream.clone(), place))
            .collect();
        self.by_name = streams
            .map(|(place, (stream, _))| (stream.name().as_bytes().into(), place))
            .collect();
        self.last = (Vec::new(), 0);
    }

    /// Broken lines that name no known stream, as a rejects batch.
    pub fn take_unplaced(&mut self) -> Option<RecordBatch> {
        self.unplaced.finish()
    }
}
