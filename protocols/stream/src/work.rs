//! Tasks for the decoder threads.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};
use dativo_codec::canonical::{CanonicalError, Converted};
use dativo_codec::frame::{counted, decode_payload, first_reject, rejects_of};
use dativo_codec::with_extracted_at;
use dativo_codec::{
    BatchBuilder, Builders, Built, LineError, OnBadValue, Outcome, PushError, StreamId, StreamPlan,
};

use crate::budget::{Budget, Permit};
use crate::chunk::Chunk;
use crate::event::{UNKNOWN_STREAM, nbytes};
use crate::failure::{Failure, FailureKind};
use crate::frames::{FrameOrder, FramePlan};
use crate::input::Stop;
use crate::sequencer::Protocol;

/// How often a thread that waits for its part's turn looks whether the decoder was closed.
const PATIENCE: Duration = Duration::from_millis(50);

/// The plans in force, by stream.
pub(crate) type Registry = HashMap<StreamId, Arc<StreamPlan>>;

/// Consecutive lines of a chunk, all of them RECORDs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) first_line: u64,
    /// The only line is the input's last and has no line break: when it does not parse, it is no reject.
    pub(crate) cut: bool,
}

/// What the lines of a task are.
pub(crate) enum Work {
    /// RECORD messages.
    Messages {
        segments: Vec<Segment>,
        registry: Arc<Registry>,
    },
    /// Bare records of one stream; the whole chunk. All get `line` as their line number when they come from a BATCH message.
    Records {
        stream: StreamId,
        plan: Arc<StreamPlan>,
        first_line: u64,
        numbered: bool,
    },
    /// An Arrow IPC stream, and where it is in the chunk.
    Frame { at: Range<usize>, order: FrameOrder },
}

/// Work for one decoder thread. Its parts go to `parts`, which the consumer reads in the order of the tasks.
pub(crate) struct Task {
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) work: Work,
    pub(crate) parts: Sender<Part>,
}

/// What a task gave: all of it, or so much as had to be handed over to bound the memory.
pub(crate) struct Part {
    pub(crate) outputs: Vec<Output>,
    pub(crate) failure: Option<Failure>,
    pub(crate) permit: Permit,
    pub(crate) last: bool,
}

/// Of one stream.
pub(crate) struct Output {
    pub(crate) stream: StreamId,
    /// Records seen, counted apart from what the codec made of them.
    pub(crate) seen: u64,
    pub(crate) batch: Option<RecordBatch>,
    pub(crate) rejects: Option<RecordBatch>,
    /// The lines of the rejects are places of rows among those seen here, from 0 on.
    pub(crate) by_row: bool,
}

/// The consumer is gone.
struct Gone;

/// Why a frame was not given to its end.
enum Ended {
    Gone,
    Failed(Box<Failure>),
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl FramePlan {
    fn convert(
        &self,
        batch: &RecordBatch,
        limit: usize,
        on_bad_value: OnBadValue,
        emitted_at: Option<i64>,
    ) -> Result<Converted, CanonicalError> {
        let Converted { batch, rejects } =
            self.canonical
                .convert_rows(batch, limit, on_bad_value, &self.keys)?;
        let batch = counted(batch);
        let batch = match self.stamped {
            true => with_extracted_at(&batch, emitted_at),
            false => batch,
        };
        Ok(Converted { batch, rejects })
    }
}

/// One decoder thread.
pub(crate) struct Worker<P: Protocol> {
    builders: Builders<P::Records>,
    bare: Option<BatchBuilder>,
    registry: Arc<Registry>,
    /// Per place of `builders`: records since the last part, and bytes a row takes at least.
    seen: Vec<(u64, usize)>,
    unplaced: u64,
    budget: Arc<Budget>,
    stop: Arc<Stop>,
    on_bad_value: OnBadValue,
    part_bytes: usize,
    max_record_bytes: usize,
}

impl<P: Protocol> Worker<P> {
    pub(crate) fn new(
        budget: Arc<Budget>,
        stop: Arc<Stop>,
        on_bad_value: OnBadValue,
        max_record_bytes: usize,
    ) -> Self {
        let part_bytes = (budget.limit() / 6).max(1 << 20);
        Self {
            builders: Builders::new(),
            bare: None,
            registry: Arc::default(),
            seen: Vec::new(),
            unplaced: 0,
            budget,
            stop,
            on_bad_value,
            part_bytes,
            max_record_bytes,
        }
    }

    /// Takes tasks until there are no more.
    pub(crate) fn run(&mut self, tasks: &Receiver<Task>) {
        for task in tasks {
            if self.stop.is_stopped() {
                continue;
            }
            let parts = task.parts.clone();
            let done = catch_unwind(AssertUnwindSafe(|| self.decode(task)));
            if let Err(payload) = done {
                self.forget();
                let part = Part {
                    outputs: Vec::new(),
                    failure: Some(Failure::panicked(payload.as_ref())),
                    permit: self.budget.charge(0),
                    last: true,
                };
                // Nobody waits for it when the consumer is gone.
                let _ = self.deliver(part, &parts);
            }
        }
    }

    fn forget(&mut self) {
        self.builders = Builders::new();
        self.bare = None;
        self.seen.clear();
        self.unplaced = 0;
    }

    fn decode(&mut self, task: Task) {
        let Task { chunk, work, parts } = task;
        let outcome = match work {
            Work::Messages { segments, registry } => {
                self.decode_messages(&chunk, &segments, registry, &parts)
            }
            Work::Records {
                stream,
                plan,
                first_line,
                numbered,
            } => self.decode_records(&chunk, &stream, &plan, first_line, numbered, &parts),
            Work::Frame { at, order } => self.decode_frame(chunk, at, &order, &parts),
        };
        if outcome.is_err() {
            self.forget();
        }
    }

    fn decode_messages(
        &mut self,
        chunk: &Chunk,
        segments: &[Segment],
        registry: Arc<Registry>,
        parts: &Sender<Part>,
    ) -> Result<(), Gone> {
        self.follow(registry);
        let mut failure = None;
        let mut estimate = 0;
        'segments: for segment in segments {
            let mut number = segment.first_line;
            let mut start = segment.start;
            while start < segment.end {
                let rest = &chunk[start..segment.end];
                let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                if length >= self.part_bytes && estimate > 0 {
                    self.hand_over(None, false, parts)?;
                    estimate = 0;
                }
                match self.decode_message(&rest[..length], number, segment.cut) {
                    Ok(width) => estimate += width + length,
                    Err(found) => {
                        failure = Some(*found);
                        break 'segments;
                    }
                }
                if estimate >= self.part_bytes {
                    self.hand_over(None, false, parts)?;
                    estimate = 0;
                }
                start += length;
                number += 1;
            }
        }
        self.hand_over(failure, true, parts)
    }

    /// Drops the builders whose plan is no longer in force.
    fn follow(&mut self, registry: Arc<Registry>) {
        if Arc::ptr_eq(&self.registry, &registry) {
            return;
        }
        let stale: Vec<StreamId> = self
            .builders
            .iter_mut()
            .filter(|(stream, builder)| {
                registry
                    .get(*stream)
                    .is_none_or(|plan| !Arc::ptr_eq(plan, builder.plan()))
            })
            .map(|(stream, _)| stream.clone())
            .collect();
        for stream in &stale {
            self.builders.remove(stream);
        }
        if !stale.is_empty() {
            self.seen.clear();
        }
        self.registry = registry;
    }

    /// Decodes one line; gives the bytes its row takes beside its own values.
    fn decode_message(
        &mut self,
        line: &[u8],
        number: u64,
        cut: bool,
    ) -> Result<usize, Box<Failure>> {
        let registry = &self.registry;
        let number_i64 = i64::try_from(number).unwrap_or(i64::MAX);
        let decoded = self
            .builders
            .decode_line(line, number_i64, |stream| registry.get(stream).cloned())
            .map_err(|error| Box::new(refused::<P>(error, number, cut)))?;
        if decoded.outcome == Outcome::Broken && (cut || self.on_bad_value == OnBadValue::Fail) {
            let stream = match decoded.builder {
                Some(place) => {
                    let (stream, builder) = self.builders.at(place);
                    builder.rollback_last();
                    stream.to_string()
                }
                None => {
                    self.builders.take_unplaced();
                    UNKNOWN_STREAM.to_owned()
                }
            };
            return Err(Box::new(if cut {
                cut_short(Some(stream), number)
            } else {
                bad_value(stream, number, None, "the record does not parse")
            }));
        }
        let Some(place) = decoded.builder else {
            self.unplaced += 1;
            return Ok(line.len());
        };
        while self.seen.len() <= place {
            let columns = self
                .builders
                .at(self.seen.len())
                .1
                .plan()
                .announced_schema()
                .fields()
                .len();
            self.seen.push((0, 9 * columns));
        }
        let (seen, width) = &mut self.seen[place];
        *seen += 1;
        Ok(*width)
    }

    fn decode_records(
        &mut self,
        chunk: &Chunk,
        stream: &StreamId,
        plan: &Arc<StreamPlan>,
        first_line: u64,
        numbered: bool,
        parts: &Sender<Part>,
    ) -> Result<(), Gone> {
        let mut builder = match self.bare.take() {
            Some(builder) if Arc::ptr_eq(builder.plan(), plan) => builder,
            _ => BatchBuilder::new(Arc::clone(plan)),
        };
        let width = 9 * plan.announced_schema().fields().len();
        let (mut number, mut start, mut seen, mut estimate) = (first_line, 0, 0, 0);
        let mut failure = None;
        while start < chunk.len() {
            let rest = &chunk[start..];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let line = &rest[..length];
            if !line.trim_ascii().is_empty() {
                if length >= self.part_bytes && estimate > 0 {
                    self.send(
                        vec![output(stream, seen, builder.finish())],
                        None,
                        false,
                        parts,
                    )?;
                    (seen, estimate) = (0, 0);
                }
                match builder.push_line(line, i64::try_from(number).unwrap_or(i64::MAX)) {
                    Ok(_) => seen += 1,
                    Err(PushError::Bad { column, reason, .. }) => {
                        failure = Some(bad_value(stream.to_string(), number, column, &reason));
                        break;
                    }
                    Err(PushError::Full) => {
                        failure = Some(too_large(stream, number));
                        break;
                    }
                }
                estimate += width + length;
                if estimate >= self.part_bytes {
                    self.send(
                        vec![output(stream, seen, builder.finish())],
                        None,
                        false,
                        parts,
                    )?;
                    (seen, estimate) = (0, 0);
                }
            }
            start += length;
            number += u64::from(numbered);
        }
        let outputs = vec![output(stream, seen, builder.finish())];
        self.bare = Some(builder);
        self.send(outputs, failure, true, parts)
    }

    fn decode_frame(
        &self,
        mut chunk: Arc<Chunk>,
        at: Range<usize>,
        order: &FrameOrder,
        parts: &Sender<Part>,
    ) -> Result<(), Gone> {
        let payload = match Chunk::take(&mut chunk) {
            Some(bytes) => Buffer::from_vec(bytes).slice_with_length(at.start, at.len()),
            // Arrow's own allocator aligns it.
            None => Buffer::from(&chunk[at]),
        };
        let mut last: Option<Output> = None;
        let mut give = |output: Output| match last.replace(output) {
            Some(before) => self.send(vec![before], None, false, parts),
            None => Ok(()),
        };
        let failure = match self.give_frame(payload, order, &mut give) {
            Ok(()) => None,
            Err(Ended::Gone) => return Err(Gone),
            Err(Ended::Failed(failure)) => Some(*failure),
        };
        self.send(last.into_iter().collect(), failure, true, parts)
    }

    /// Gives what a payload holds, all of it or, where its header does not tell the truth, nothing.
    fn give_frame(
        &self,
        payload: Buffer,
        order: &FrameOrder,
        give: &mut dyn FnMut(Output) -> Result<(), Gone>,
    ) -> Result<(), Ended> {
        let failed = |failure| Ended::Failed(Box::new(order.failed(failure)));
        let broken = |error: &dyn std::fmt::Display| failed(Failure::protocol(error.to_string()));
        let batches =
            decode_payload(payload, self.budget.limit()).map_err(|error| broken(&error))?;
        let (rows, stated) = (
            batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            order.header.rows,
        );
        if rows != stated {
            return Err(broken(&format!(
                "its header says {stated} rows, but {rows} came"
            )));
        }
        let output = |seen: usize, batch, rejects| Output {
            stream: order.header.stream.clone(),
            seen: seen as u64,
            batch,
            rejects,
            by_row: false,
        };
        for batch in batches {
            let Some(plan) = &order.plan else {
                let rejects = rejects_of(&batch, self.max_record_bytes);
                let rejects = rejects.map_err(|error| broken(&error))?;
                if self.on_bad_value == OnBadValue::Fail
                    && let Some((line, column, reason)) = first_reject(&rejects)
                {
                    let stream = order.header.stream.to_string();
                    let failure = bad_value(stream, line, column, &reason);
                    return Err(Ended::Failed(Box::new(failure)));
                }
                give(output(rejects.num_rows(), None, Some(counted(rejects))))?;
                continue;
            };
            let mut waiting = vec![batch];
            while let Some(batch) = waiting.pop() {
                let rows = batch.num_rows();
                let limit = if rows > 1 {
                    self.part_bytes
                } else {
                    self.max_record_bytes
                };
                let emitted_at = order.header.emitted_at;
                match plan.convert(&batch, limit, self.on_bad_value, emitted_at) {
                    Ok(_) if rows == 0 => {}
                    Ok(Converted { batch, rejects }) => {
                        let batch = (batch.num_rows() > 0).then_some(batch);
                        let by_row = rejects.is_some();
                        give(Output {
                            by_row,
                            ..output(rows, batch, rejects.map(counted))
                        })?;
                    }
                    Err(CanonicalError::TooLarge(_)) if rows > 1 => {
                        waiting.push(batch.slice(rows / 2, rows - rows / 2));
                        waiting.push(batch.slice(0, rows / 2));
                    }
                    Err(error) => return Err(failed(Failure::uncanonical(error))),
                }
            }
        }
        Ok(())
    }

    fn hand_over(
        &mut self,
        failure: Option<Failure>,
        last: bool,
        parts: &Sender<Part>,
    ) -> Result<(), Gone> {
        let mut outputs = Vec::new();
        for ((stream, builder), (seen, _)) in self.builders.iter_mut().zip(&mut self.seen) {
            if *seen > 0 {
                outputs.push(output(stream, *seen, builder.finish()));
                *seen = 0;
            }
        }
        if self.unplaced > 0 {
            outputs.push(Output {
                stream: UNKNOWN_STREAM.into(),
                seen: self.unplaced,
                batch: None,
                rejects: self.builders.take_unplaced(),
                by_row: false,
            });
            self.unplaced = 0;
        }
        self.send(outputs, failure, last, parts)
    }

    fn send(
        &self,
        outputs: Vec<Output>,
        failure: Option<Failure>,
        last: bool,
        parts: &Sender<Part>,
    ) -> Result<(), Gone> {
        let bytes = outputs
            .iter()
            .flat_map(|output| [&output.batch, &output.rejects])
            .flatten()
            .map(nbytes)
            .sum();
        let part = Part {
            outputs,
            failure,
            permit: self.budget.charge(bytes),
            last,
        };
        self.deliver(part, parts)
    }

    /// Hands a part over, and waits for its turn: not for ever, for a consumer that has gone leaves unread what others sent.
    fn deliver(&self, part: Part, parts: &Sender<Part>) -> Result<(), Gone> {
        let mut part = part;
        loop {
            part = match parts.send_timeout(part, PATIENCE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(part)) if !self.stop.is_stopped() => part,
                Err(_) => return Err(Gone),
            }
        }
    }
}

fn output(stream: &StreamId, seen: u64, built: Built) -> Output {
    Output {
        stream: stream.clone(),
        seen,
        batch: built.batch,
        rejects: built.rejects,
        by_row: false,
    }
}

fn refused<P: Protocol>(error: LineError, line: u64, cut: bool) -> Failure {
    match error {
        LineError::UnknownStream { stream } => P::unknown_stream(&stream, line),
        LineError::Push { stream, error, .. } => match error {
            PushError::Full => too_large(&stream, line),
            PushError::Bad { column: None, .. } if cut => cut_short(Some(stream.to_string()), line),
            PushError::Bad { column, reason, .. } => {
                bad_value(stream.to_string(), line, column, &reason)
            }
        },
    }
}

/// Parts are handed over long before a batch is full, so one record alone must be that large.
fn too_large(stream: &StreamId, line: u64) -> Failure {
    Failure::protocol(format!(
        "line {line}: a record of stream `{stream}` does not fit into a batch"
    ))
    .of(stream)
    .at(line)
}

fn bad_value(stream: String, line: u64, column: Option<String>, reason: &str) -> Failure {
    let place = column
        .as_ref()
        .map(|column| format!(", column `{column}`"))
        .unwrap_or_default();
    let message = format!("line {line}, stream `{stream}`{place}: {reason}");
    Failure {
        column,
        ..Failure::new(FailureKind::Contract, message)
            .of(stream)
            .at(line)
            .with_hint("`on_bad_value: quarantine` sets such records aside and goes on")
    }
}

/// The last line of the input is not whole.
pub(crate) fn cut_short(stream: Option<String>, line: u64) -> Failure {
    let place = stream
        .as_ref()
        .map(|stream| format!(", in a message of stream `{stream}`"))
        .unwrap_or_default();
    let mut failure = Failure::protocol(format!(
        "line {line}: the output ends in the middle of a line{place}"
    ))
    .at(line)
    .with_hint("the connector was probably killed, or failed without saying so");
    failure.stream = stream;
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Pool;
    use crossbeam_channel::{bounded, unbounded};

    #[test]
    fn a_panic_becomes_the_failure_of_its_task_and_the_thread_goes_on() {
        let budget = Budget::new(1 << 20);
        let stop = Arc::new(Stop::new().unwrap());
        let mut worker = Worker::<crate::singer::Singer>::new(
            Arc::clone(&budget),
            stop,
            OnBadValue::Quarantine,
            1 << 20,
        );
        let (sender, tasks) = unbounded();
        let mut receivers = Vec::new();
        for end in [1000, 0] {
            let (parts, receiver) = bounded(1);
            receivers.push(receiver);
            let segment = Segment {
                start: 0,
                end,
                first_line: 1,
                cut: false,
            };
            let chunk = Chunk::new(b"{}\n".to_vec(), Pool::new(16), budget.charge(6));
            let work = Work::Messages {
                segments: vec![segment],
                registry: Arc::default(),
            };
            let chunk = Arc::new(chunk);
            sender.send(Task { chunk, work, parts }).unwrap();
        }
        drop(sender);
        worker.run(&tasks);
        let failure = receivers[0].recv().unwrap().failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Bug);
        assert!(failure.message.starts_with("the decoder panicked: "));
        assert!(receivers[1].recv().unwrap().failure.is_none());
        assert_eq!(budget.used(), 0);
    }
}
