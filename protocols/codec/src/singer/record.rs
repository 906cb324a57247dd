//! RECORD lines, the hot path.

use std::sync::Arc;

use arrow_array::RecordBatch;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::envelope::{Envelope, integer_value};
use crate::batch::{BatchBuilder, Outcome, PushError, without_line_break};
use crate::json::{Broken, Cursor, plain_run};
use crate::plan::StreamPlan;
use crate::rejects::RejectsBuilder;

/// What became of a RECORD line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Where it went, for [`Builders::at`]; `None` for a broken line that names no known stream (see [`Builders::take_unplaced`]).
    pub builder: Option<usize>,
    /// What became of the record.
    pub outcome: Outcome,
    /// `version` of the message, where it has one.
    pub version: Option<i64>,
}

/// A RECORD line that was not decoded; the builders are as they were.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The plan source does not know the stream: a RECORD before its SCHEMA.
    #[error("RECORD of stream `{stream}` comes before its SCHEMA")]
    UnknownStream {
        /// The stream.
        stream: String,
    },
    /// The stream's builder refused.
    #[error("stream `{stream}`, {error}")]
    Push {
        /// The stream.
        stream: String,
        /// Why; on [`PushError::Full`], finish the builder at `builder` and decode the line again.
        error: PushError,
        /// Its place, for [`Builders::at`].
        builder: usize,
    },
}

/// The builders of one thread, by stream. Places are stable until [`Builders::remove`] or [`Builders::clear`].
#[derive(Debug, Default)]
pub struct Builders {
    streams: Vec<(String, BatchBuilder)>,
    /// Places by the stream's name.
    places: HashMap<Box<[u8]>, usize, FixedState>,
    /// The name that the last line had, and its place.
    last: (Vec<u8>, usize),
    /// What lines have before the stream's name, and between it and the record.
    before: Vec<u8>,
    between: Vec<u8>,
    /// The version, where it is among these.
    version_before: Option<i64>,
    unplaced: RejectsBuilder,
}

/// A RECORD line's keys, in the order in which [`Envelope`] has them.
const KEYS: [&str; 4] = ["type", "stream", "record", "version"];

impl Builders {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one RECORD line (its line break may be there) into its stream's builder, in one pass where `stream` comes
    /// before `record`.
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
        plan: impl FnOnce(&str) -> Option<Arc<StreamPlan>>,
    ) -> Result<Decoded, LineError> {
        if let Some((place, start)) = self.known_start(line) {
            let builder = &mut self.streams[place].1;
            let pushed = match builder.push_within(line, start, line, line_number) {
                Ok(pushed) => pushed,
                Err(error) => return Err(self.refused(place, error)),
            };
            if pushed.outcome == Outcome::Broken {
                return Ok(Decoded {
                    builder: Some(place),
                    outcome: pushed.outcome,
                    version: None,
                });
            }
            match rest_of_line(line, pushed.end) {
                Ok(version) => {
                    let version = version.or(self.version_before);
                    return Ok(Decoded {
                        builder: Some(place),
                        outcome: pushed.outcome,
                        version,
                    });
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
        if self.between.is_empty() || !line.starts_with(&self.before) {
            return None;
        }
        let name_start = self.before.len();
        let (name_end, _) = plain_run(line, name_start);
        if !line[name_end..].starts_with(&self.between) {
            return None;
        }
        let name = &line[name_start..name_end];
        // Before the first line, the last name is empty too.
        if name.is_empty() || self.last.0 != name {
            let place = *self.places.get(name)?;
            self.last.0.clear();
            self.last.0.extend_from_slice(name);
            self.last.1 = place;
        }
        Some((self.last.1, name_end + self.between.len()))
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
        plan: impl FnOnce(&str) -> Option<Arc<StreamPlan>>,
    ) -> Result<Decoded, LineError> {
        let (envelope, result) = Envelope::read(line, KEYS);
        let reason = match result {
            Err((broken, offset)) => Some(format!("{} at byte {offset}", broken.text())),
            Ok(()) => missing_part(&envelope, line).map(str::to_owned),
        };
        let stream = envelope.string(line, 1);
        let known = stream.as_deref().and_then(|name| self.place(name));
        let place = match (known, stream) {
            (Some(place), _) => place,
            (None, Some(name)) => match plan(&name) {
                Some(plan) => {
                    let place = self.streams.len();
                    self.places.insert(name.as_bytes().into(), place);
                    self.streams.push((name, BatchBuilder::new(plan)));
                    place
                }
                None if reason.is_none() => return Err(LineError::UnknownStream { stream: name }),
                None => return Ok(self.unplaced(reason.unwrap_or_default(), line, line_number)),
            },
            (None, None) => {
                return Ok(self.unplaced(reason.unwrap_or_default(), line, line_number));
            }
        };
        if let Some(reason) = reason {
            if let Err(error) = self.streams[place]
                .1
                .reject_whole(&reason, line, line_number)
            {
                return Err(self.refused(place, error));
            }
            return Ok(Decoded {
                builder: Some(place),
                outcome: Outcome::Broken,
                version: None,
            });
        }
        self.learn(&envelope, line);
        let start = envelope.values[2].clone().map_or(0, |range| range.start);
        match self.streams[place]
            .1
            .push_within(line, start, line, line_number)
        {
            Ok(pushed) => Ok(Decoded {
                builder: Some(place),
                outcome: pushed.outcome,
                version: envelope.integer(line, 3),
            }),
            Err(error) => Err(self.refused(place, error)),
        }
    }

    /// Remembers how this line begins, if its type and stream come before its record.
    fn learn(&mut self, envelope: &Envelope<4>, line: &[u8]) {
        let [Some(kind), Some(stream), Some(record), version] = &envelope.values else {
            return;
        };
        if kind.start > record.start || stream.start > record.start {
            return;
        }
        let name = stream.start + 1..stream.end - 1;
        self.before.clear();
        self.before.extend_from_slice(&line[..name.start]);
        self.between.clear();
        self.between
            .extend_from_slice(&line[name.end..record.start]);
        let version_before = version
            .as_ref()
            .is_some_and(|version| version.start < record.start);
        self.version_before = if version_before {
            envelope.integer(line, 3)
        } else {
            None
        };
    }

    fn unplaced(&mut self, reason: String, line: &[u8], line_number: i64) -> Decoded {
        self.unplaced
            .push(line_number, None, &reason, without_line_break(line));
        Decoded {
            builder: None,
            outcome: Outcome::Broken,
            version: None,
        }
    }

    /// The stream and builder at a place that [`Builders::decode_line`] gave.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn at(&mut self, place: usize) -> (&str, &mut BatchBuilder) {
        let (name, builder) = &mut self.streams[place];
        (name, builder)
    }

    /// The builder of a stream, if there is one.
    pub fn get_mut(&mut self, stream: &str) -> Option<&mut BatchBuilder> {
        let place = self.place(stream)?;
        Some(&mut self.streams[place].1)
    }

    /// All streams with their builders, in the order in which they appeared.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut BatchBuilder)> {
        self.streams
            .iter_mut()
            .map(|(name, builder)| (name.as_str(), builder))
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
    pub fn remove(&mut self, stream: &str) -> Option<BatchBuilder> {
        let place = self.place(stream)?;
        let (_, builder) = self.streams.remove(place);
        self.number_places();
        Some(builder)
    }

    /// Takes all builders out.
    pub fn clear(&mut self) -> Vec<(String, BatchBuilder)> {
        let streams = std::mem::take(&mut self.streams);
        self.number_places();
        streams
    }

    fn place(&self, stream: &str) -> Option<usize> {
        self.places.get(stream.as_bytes()).copied()
    }

    /// Streams have moved.
    fn number_places(&mut self) {
        let names = self.streams.iter().enumerate();
        self.places = names
            .map(|(place, (name, _))| (name.as_bytes().into(), place))
            .collect();
        self.last = (Vec::new(), 0);
    }

    /// Broken lines that name no known stream, as a rejects batch.
    pub fn take_unplaced(&mut self) -> Option<RecordBatch> {
        self.unplaced.finish()
    }
}

/// What a line of whole JSON lacks to be a RECORD.
fn missing_part(envelope: &Envelope<4>, line: &[u8]) -> Option<&'static str> {
    if !envelope
        .string(line, 0)
        .is_some_and(|name| name.eq_ignore_ascii_case("RECORD"))
    {
        Some("`type` is not `RECORD`")
    } else if envelope.string(line, 1).is_none() {
        Some("`stream` is missing or is not a string")
    } else if !envelope
        .bytes(line, 2)
        .is_some_and(|record| record.starts_with(b"{"))
    {
        Some("`record` is missing or is not an object")
    } else {
        None
    }
}

/// Reads what comes behind the record, to the end of the line: gives the version, if there is one. Keys that could change
/// what the line means are an error here.
#[inline]
fn rest_of_line(line: &[u8], end: usize) -> Result<Option<i64>, Broken> {
    let mut at = Cursor::new(line, end);
    let mut version = None;
    loop {
        at.skip_space();
        match at.byte() {
            b'}' => break,
            b',' => at.pos += 1,
            _ => return Err(Broken::ExpectedCommaOrBrace),
        }
        at.skip_space();
        let key = at.key()?;
        if key.span.escaped || KEYS[..3].iter().any(|name| name.as_bytes() == key.span.raw) {
            return Err(Broken::BadName);
        }
        let start = at.pos;
        at.skip()?;
        if key.span.raw == KEYS[3].as_bytes() {
            version = integer_value(&line[start..at.pos]);
        }
    }
    at.pos += 1;
    at.expect_end()?;
    Ok(version)
}
