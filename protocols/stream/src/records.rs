//! JSON lines without envelopes, all of one stream.

use std::sync::Arc;

use dativo_codec::{StreamId, StreamPlan};

use crate::failure::Failure;
use crate::input::{Piece, Source};
use crate::sequencer::{Halt, Item, Outlet, Shared};
use crate::work::Work;

/// The input thread of a JSON lines file.
pub(crate) struct Records {
    plan: Arc<StreamPlan>,
    max_line: usize,
    shared: Shared,
    outlet: Outlet,
}

impl Records {
    pub(crate) fn new(
        plan: Arc<StreamPlan>,
        max_line: usize,
        shared: Shared,
        outlet: Outlet,
    ) -> Self {
        Self {
            plan,
            max_line,
            shared,
            outlet,
        }
    }

    /// Reads the source to its end. The last item tells how it ended, unless the decoder was closed.
    pub(crate) fn run(self, source: Source) {
        let _ = match self.read(source) {
            Ok(()) => self.outlet.item(Item::End),
            Err(Halt::Failed(failure)) => self.outlet.item(Item::Fail(*failure)),
            Err(Halt::Gone) => Ok(()),
        };
    }

    fn read(&self, source: Source) -> Result<(), Halt> {
        let mut input = self
            .shared
            .input(source, Arc::clone(&self.shared.gauge), self.max_line);
        let stream = StreamId::from("");
        let mut line = 1;
        loop {
            let piece = input.next(&|| self.outlet.pressure());
            match piece.map_err(|error| Failure::protocol(format!("reading failed: {error}")))? {
                Piece::Lines { chunk, .. } => {
                    let lines = memchr::memchr_iter(b'\n', &chunk).count() as u64;
                    let work = Work::Records {
                        stream: stream.clone(),
                        plan: Arc::clone(&self.plan),
                        first_line: line,
                        numbered: true,
                    };
                    line += lines;
                    self.outlet.task(&Arc::new(chunk), work)?;
                }
                Piece::TooLong { .. } => {
                    let limit = self.max_line;
                    let message = format!(
                        "line {line}: a record has more than {limit} bytes, the limit (`max_record_bytes`)"
                    );
                    return Err(Failure::protocol(message).at(line).into());
                }
                Piece::End => return Ok(()),
                Piece::Stopped => return Err(Halt::Gone),
            }
        }
    }
}
