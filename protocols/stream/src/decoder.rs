//! A decoder: its threads, and the consumer's side of them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use dativo_codec::singer::Compression;
use dativo_codec::{OnBadValue, StreamId, StreamPlan};

use crate::airbyte::{Airbyte, AirbyteInput};
use crate::assembler::{Assembler, BARRIER_AGE};
use crate::budget::Budget;
use crate::chunk::Pool;
use crate::configs::{Announcer, NewConfigs};
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::input::{Gauge, Source, Stop};
use crate::options::Options;
use crate::records::Records;
use crate::sequencer::{Item, Outlet, Protocol, Sequencer, Shared};
use crate::singer::{Singer, decompressed};
use crate::work::{Part, Registry, Task, Worker};

/// Items on their way to the consumer. The budget bounds their bytes; this bounds those that have none.
const ITEMS: usize = 1024;

/// What [`Decoder::next`] found.
#[derive(Debug)]
pub enum Next {
    /// The next event.
    Event(Event),
    /// Nothing yet; ask again.
    Pending,
    /// The input ended well, and everything was given out.
    End,
}

/// What the decoder has counted so far; can be read from any thread.
#[derive(Debug)]
pub struct Counters {
    gauge: Arc<Gauge>,
    superseded: Arc<AtomicU64>,
    superseded_later: AtomicU64,
    rows_in: Mutex<HashMap<StreamId, u64>>,
}

impl Counters {
    /// Records seen per stream, broken ones and those of BATCH files that were decoded here too.
    pub fn rows_in(&self) -> HashMap<StreamId, u64> {
        self.rows_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Bytes read from the input.
    pub fn bytes_in(&self) -> u64 {
        self.gauge.bytes.load(Ordering::Relaxed)
    }

    /// Lines read from the input, blank ones too.
    pub fn lines_in(&self) -> u64 {
        self.gauge.lines.load(Ordering::Relaxed)
    }

    /// How long there has been nothing to read; zero while there is, and while the consumer holds the input back.
    pub fn idle(&self) -> Duration {
        self.gauge.idle()
    }

    /// States that were never given out, because a later one covers more.
    pub fn superseded_states(&self) -> u64 {
        self.superseded.load(Ordering::Relaxed) + self.superseded_later.load(Ordering::Relaxed)
    }
}

/// Ends a decoder from any thread, also while another one waits in [`Decoder::next`].
#[derive(Debug, Clone)]
pub struct Closer {
    stop: Arc<Stop>,
    budget: Arc<Budget>,
}

impl Closer {
    /// Ends all waiting. [`Decoder::next`] fails from now on, unless the end was reached.
    pub fn close(&self) {
        self.stop.stop();
        self.budget.close();
    }
}

/// What bounds a decoder.
struct Limits {
    threads: usize,
    on_bad_value: OnBadValue,
    budget: usize,
    chunk: usize,
    record: usize,
}

enum Ended {
    Well,
    Badly,
}

/// Turns a byte stream into events, on threads of its own.
///
/// Dropping it ends the threads and closes the input.
pub struct Decoder {
    items: Option<Receiver<Item>>,
    parts: Option<Receiver<Part>>,
    assembler: Assembler,
    counters: Arc<Counters>,
    closer: Closer,
    configs: Option<NewConfigs>,
    threads: Vec<JoinHandle<()>>,
    failure: Option<Failure>,
    ended: Option<Ended>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decoder")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Decodes Singer messages from a pipe, socket or file.
    ///
    /// # Errors
    /// When the system gives no pipe or thread.
    pub fn singer(fd: OwnedFd, options: Options) -> io::Result<Self> {
        Self::messages(
            fd,
            options,
            Registry::new(),
            HashSet::new(),
            Singer::default(),
        )
    }

    /// Decodes Airbyte messages from a pipe, socket or file.
    ///
    /// # Errors
    /// When the system gives no pipe or thread.
    pub fn airbyte(fd: OwnedFd, input: AirbyteInput, options: Options) -> io::Result<Self> {
        let (registry, stateful) = (input.registry(), input.stateful());
        let (announcer, configs) = Announcer::new();
        let protocol = Airbyte::new(input, announcer);
        let mut decoder = Self::messages(fd, options, registry, stateful, protocol)?;
        decoder.configs = Some(configs);
        Ok(decoder)
    }

    fn messages<P: Protocol>(
        fd: OwnedFd,
        options: Options,
        registry: Registry,
        stateful: HashSet<StreamId>,
        protocol: P,
    ) -> io::Result<Self> {
        let limits = Limits {
            threads: options.decoder_threads(),
            on_bad_value: options.on_bad_value,
            budget: options.memory_budget_bytes,
            chunk: options.chunk_bytes(),
            record: options.max_record_bytes,
        };
        Self::start::<P>(limits, stateful, move |shared, outlet| {
            Sequencer::new(options, registry, protocol, shared, outlet).run(Source::Descriptor(fd));
        })
    }

    /// Decodes a file of JSON lines, every line a record of `plan`. Gives only batches and, if the plan quarantines, rejects; their
    /// stream is the empty text. `options` gives the limits.
    ///
    /// # Errors
    /// When the system gives no pipe or thread.
    pub fn json_lines(
        file: File,
        compression: Option<Compression>,
        plan: Arc<StreamPlan>,
        options: &Options,
    ) -> io::Result<Self> {
        let max_line = options.max_record_bytes;
        let limits = Limits {
            threads: options.decoder_threads(),
            on_bad_value: OnBadValue::Quarantine,
            budget: options.memory_budget_bytes,
            chunk: options.chunk_bytes(),
            record: options.max_record_bytes,
        };
        // Bare records have no messages around them: any protocol does.
        Self::start::<Singer>(limits, HashSet::new(), move |shared, outlet| {
            let source = Source::Reader(decompressed(file, compression));
            Records::new(plan, max_line, shared, outlet).run(source);
        })
    }

    fn start<P: Protocol>(
        limits: Limits,
        stateful: HashSet<StreamId>,
        input: impl FnOnce(Shared, Outlet) + Send + 'static,
    ) -> io::Result<Self> {
        let Limits {
            threads,
            on_bad_value,
            budget,
            chunk,
            record,
        } = limits;
        let budget = Budget::new(budget);
        let stop = Arc::new(Stop::new()?);
        let gauge = Arc::new(Gauge::new());
        let superseded = Arc::new(AtomicU64::new(0));
        let (task_sender, tasks) = bounded::<Task>(2 * threads);
        let (item_sender, items) = bounded(ITEMS);
        let mut decoder = Self {
            items: Some(items),
            parts: None,
            assembler: Assembler::new(&budget, stateful),
            counters: Arc::new(Counters {
                gauge: Arc::clone(&gauge),
                superseded: Arc::clone(&superseded),
                superseded_later: AtomicU64::new(0),
                rows_in: Mutex::default(),
            }),
            closer: Closer {
                stop: Arc::clone(&stop),
                budget: Arc::clone(&budget),
            },
            configs: None,
            threads: Vec::new(),
            failure: None,
            ended: None,
        };
        for number in 0..threads {
            let tasks = tasks.clone();
            let mut worker =
                Worker::<P>::new(Arc::clone(&budget), Arc::clone(&stop), on_bad_value, record);
            let thread = Builder::new().name(format!("dativo-decode-{number}"));
            decoder
                .threads
                .push(thread.spawn(move || worker.run(&tasks))?);
        }
        let shared = Shared {
            stop,
            gauge,
            pool: Pool::new(chunk),
            budget,
            superseded,
        };
        let thread = Builder::new().name("dativo-input".to_owned());
        decoder.threads.push(thread.spawn(move || {
            let outlet = Outlet {
                tasks: task_sender,
                items: item_sender,
            };
            run_guarded(&outlet.items.clone(), || input(shared, outlet));
        })?);
        Ok(decoder)
    }

    /// What the decoder has counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// For ending the decoder from another thread.
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }

    /// The source's new configurations as soon as they are read; None for a protocol that has none.
    pub fn configs(&self) -> Option<NewConfigs> {
        self.configs.clone()
    }

    /// Whether the input ended well and everything was given out.
    pub fn is_at_end(&self) -> bool {
        matches!(self.ended, Some(Ended::Well)) && self.assembler.is_empty()
    }

    /// The next event, or [`Next::Pending`] when there is none within `timeout`.
    ///
    /// # Errors
    /// The failure that ended the stream, once everything before it was given out; from then on [`Next::End`]. A decoder
    /// that was closed before its end always fails.
    pub fn next(&mut self, timeout: Duration) -> Result<Next, Failure> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.assembler.pop() {
                return Ok(Next::Event(event));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.ended.is_some() {
                return Ok(Next::End);
            }
            let step = if self.parts.is_some() {
                self.part(deadline)
            } else {
                self.item(deadline)
            };
            match step {
                Ok(true) => {}
                Ok(false) => return Ok(Next::Pending),
                Err(failure) => self.fail(failure)?,
            }
        }
    }

    /// Waits for the next part of the task at the head. False when the time is over.
    fn part(&mut self, deadline: Instant) -> Result<bool, Failure> {
        let Some(parts) = &self.parts else {
            return Ok(true);
        };
        match parts.recv_deadline(deadline) {
            Ok(part) => {
                if part.last {
                    self.parts = None;
                }
                {
                    let mut rows_in = self
                        .counters
                        .rows_in
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    for output in part.outputs.iter().filter(|output| output.seen > 0) {
                        match rows_in.get_mut(&output.stream) {
                            Some(count) => *count += output.seen,
                            None => {
                                rows_in.insert(output.stream.clone(), output.seen);
                            }
                        }
                    }
                }
                self.assembler.add(part.outputs, part.permit).map_err(bug)?;
                part.failure.map_or(Ok(true), Err)
            }
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => Err(Failure::closed()),
        }
    }

    /// Waits for the next item. False when the time is over. What has been pending for long is given out when nothing else comes.
    fn item(&mut self, deadline: Instant) -> Result<bool, Failure> {
        let Some(items) = &self.items else {
            return Err(Failure::closed());
        };
        let item = match items.try_recv() {
            Ok(item) => item,
            Err(_) => {
                let age = self.assembler.pending_age();
                if age.is_some_and(|age| age >= BARRIER_AGE) {
                    self.assembler.flush_old().map_err(bug)?;
                    return Ok(true);
                }
                let due = age.map(|age| Instant::now() + BARRIER_AGE.saturating_sub(age));
                match items.recv_deadline(due.map_or(deadline, |due| due.min(deadline))) {
                    Ok(item) => item,
                    Err(RecvTimeoutError::Timeout) => return Ok(Instant::now() < deadline),
                    Err(RecvTimeoutError::Disconnected) => return Err(Failure::closed()),
                }
            }
        };
        let is_last = items.is_empty();
        match item {
            Item::Parts(parts) => self.parts = Some(parts),
            Item::Schema { stream, event } => self.assembler.schema(&stream, event).map_err(bug)?,
            Item::State {
                data,
                scope,
                position,
                permit,
            } => {
                self.assembler.state(data, &scope, position).map_err(bug)?;
                drop(permit);
                let superseded = self.assembler.superseded();
                self.counters
                    .superseded_later
                    .store(superseded, Ordering::Relaxed);
            }
            Item::Barrier { stream, event } => {
                self.assembler.barrier(&stream, event).map_err(bug)?
            }
            Item::Ended { stream, event } => self.assembler.ended(&stream, event).map_err(bug)?,
            Item::Aside { event, permit } => {
                self.assembler.aside(event);
                drop(permit);
            }
            Item::Pressure => {
                if is_last && self.closer.budget.is_waiting() {
                    self.assembler.flush().map_err(bug)?;
                }
            }
            Item::Fail(failure) => return Err(failure),
            Item::End => {
                self.assembler.finish().map_err(bug)?;
                self.ended = Some(Ended::Well);
                self.items = None;
            }
        }
        Ok(true)
    }

    /// Drops what the threads have made, so that none of them waits to hand over more.
    fn let_go(&mut self) {
        self.parts = None;
        if let Some(items) = self.items.take() {
            items.try_iter().for_each(drop);
        }
    }

    /// Keeps a failure until everything before it was given out, and ends the threads.
    fn fail(&mut self, failure: Failure) -> Result<(), Failure> {
        self.closer.close();
        self.let_go();
        self.ended = Some(Ended::Badly);
        self.failure = Some(failure);
        self.assembler.flush().map_err(bug)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.closer.close();
        self.let_go();
        for thread in self.threads.drain(..) {
            // Threads catch their panics.
            let _ = thread.join();
        }
    }
}

/// Turns a panic of the input thread into the last item.
fn run_guarded(items: &Sender<Item>, run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        let _ = items.send(Item::Fail(Failure::panicked(payload.as_ref())));
    }
}

fn bug(error: impl fmt::Display) -> Failure {
    Failure::new(
        FailureKind::Bug,
        format!("batches of one stream do not fit together: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_input_thread_ends_the_stream_with_a_failure() {
        let (sender, items) = bounded(1);
        run_guarded(&sender, || panic!("on purpose"));
        let Ok(Item::Fail(failure)) = items.recv() else {
            panic!("no failure");
        };
        assert_eq!(failure.message, "the decoder panicked: on purpose");
    }
}
