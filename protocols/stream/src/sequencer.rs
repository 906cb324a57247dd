//! Lines in their order: runs of RECORDs become tasks, everything else is handled where it stands, as the protocol says.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use dativo_codec::frame::FrameHeader;
use dativo_codec::{
    LineKind, MessageKind, RecordFormat, SchemaError, StreamId, StreamPlan, classify,
};

use crate::budget::{Budget, Permit};
use crate::chunk::{Chunk, Pool};
use crate::event::{Event, Level};
use crate::failure::{Failure, FailureKind};
use crate::input::{Finished, Gauge, Input, Piece, Source, Stop};
use crate::noise::Noise;
use crate::options::Options;
use crate::prefix::stream_in;
use crate::work::{Part, Registry, Segment, Task, Work, cut_short};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the consumer gets, in the order of the input.
pub(crate) enum Item {
    /// A task's parts, up to the last.
    Parts(Receiver<Part>),
    Schema {
        stream: StreamId,
        event: Event,
    },
    State {
        data: Vec<u8>,
        scope: Scope,
        position: u64,
        permit: Permit,
    },
    Barrier {
        stream: StreamId,
        event: Event,
    },
    /// There are no more rows of the stream.
    Ended {
        stream: StreamId,
        event: Event,
    },
    /// Its place does not matter.
    Aside {
        event: Event,
        permit: Permit,
    },
    /// The budget holds the input back: give out what is pending, unless more is on its way.
    Pressure,
    Fail(Failure),
    End,
}

/// Which rows before a state it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    /// Those of these streams, and of streams that say no state of their own.
    Streams(Vec<StreamId>),
}

impl Scope {
    /// What a state covers that says all that this one says, and more.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Streams(mut streams), Self::Streams(more)) => {
                for stream in more {
                    if !streams.contains(&stream) {
                        streams.push(stream);
                    }
                }
                Self::Streams(streams)
            }
            _ => Self::All,
        }
    }
}

/// What differs between protocols.
pub(crate) trait Protocol: Sized + Send + 'static {
    type Kind: MessageKind;
    type Records: RecordFormat;

    /// Takes note of a RECORD line, before it is decoded.
    fn record(&mut self, core: &Core, line: &[u8]) -> Result<(), Halt>;

    /// Handles any other message; gives what follows its line where that is no line but a frame.
    fn message(
        &mut self,
        core: &mut Core,
        kind: Self::Kind,
        line: Line<'_>,
        run: &mut Run,
    ) -> Result<Option<Box<FrameHeader>>, Halt>;

    /// Handles the frame of a header that [`Self::message`] gave.
    fn frame(&mut self, core: &Core, frame: Frame) -> Result<(), Halt>;

    /// The bytes of the last state of a run.
    fn state(&self, chunk: &Chunk, state: &PendingState) -> Vec<u8>;

    /// What is left to say when the input has ended well.
    fn end(&mut self, core: &Core) -> Result<(), Halt>;

    /// A record of a stream that has no plan.
    fn unknown_stream(stream: &StreamId, line: u64) -> Failure;
}

/// The bytes that a header announced.
pub(crate) struct Frame {
    pub(crate) header: Box<FrameHeader>,
    pub(crate) chunk: Arc<Chunk>,
    /// Where they are in the chunk.
    pub(crate) at: Range<usize>,
}

/// A line of a chunk that is a message.
#[derive(Clone, Copy)]
pub(crate) struct Line<'c> {
    pub(crate) chunk: &'c Arc<Chunk>,
    pub(crate) bytes: &'c [u8],
    /// Where it ends in the chunk.
    pub(crate) end: usize,
    /// Its line break is missing: it is the input's last, and perhaps not whole.
    pub(crate) cut: bool,
}

/// Why sequencing ended early.
pub(crate) enum Halt {
    /// The consumer is gone.
    Gone,
    /// The input is wrong.
    Failed(Box<Failure>),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// What the input thread shares with the others.
pub(crate) struct Shared {
    pub(crate) stop: Arc<Stop>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) budget: Arc<Budget>,
    /// States replaced by a later one of the same chunk.
    pub(crate) superseded: Arc<AtomicU64>,
}

impl Shared {
    pub(crate) fn input(&self, source: Source, gauge: Arc<Gauge>, max_line: usize) -> Input {
        Input::new(
            source,
            Arc::clone(&self.stop),
            gauge,
            Arc::clone(&self.pool),
            Arc::clone(&self.budget),
            max_line,
        )
    }
}

/// The input thread's sending half.
pub(crate) struct Outlet {
    pub(crate) tasks: Sender<Task>,
    pub(crate) items: Sender<Item>,
}

impl Outlet {
    pub(crate) fn item(&self, item: Item) -> Result<(), Halt> {
        self.items.send(item).map_err(|_| Halt::Gone)
    }

    pub(crate) fn task(&self, chunk: &Arc<Chunk>, work: Work) -> Result<(), Halt> {
        let (parts, receiver) = bounded(1);
        let chunk = Arc::clone(chunk);
        self.item(Item::Parts(receiver))?;
        self.tasks
            .send(Task { chunk, work, parts })
            .map_err(|_| Halt::Gone)
    }

    /// For [`Input::next`].
    pub(crate) fn pressure(&self) {
        // When the consumer is gone, the next send finds out.
        let _ = self.items.send(Item::Pressure);
    }
}

/// Sequences the messages of a protocol.
pub(crate) struct Sequencer<P> {
    core: Core,
    protocol: P,
}

/// What sequencing needs in every protocol.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) shared: Shared,
    pub(crate) outlet: Outlet,
    pub(crate) registry: Arc<Registry>,
    noise: Noise,
    pub(crate) line: u64,
    pub(crate) position: u64,
}

/// What is known of a chunk and not yet sent.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) segments: Vec<Segment>,
    /// The last state so far.
    pub(crate) state: Option<PendingState>,
}

/// A state that goes out with its run, unless a later one covers more.
pub(crate) struct PendingState {
    /// How many of the run's segments come before it.
    pub(crate) before: usize,
    /// Its bytes in the chunk, for protocols that hand them on.
    pub(crate) value: Range<usize>,
    pub(crate) scope: Scope,
    /// The position behind it.
    pub(crate) position: u64,
}

impl<P: Protocol> Sequencer<P> {
    pub(crate) fn new(
        options: Options,
        registry: Registry,
        protocol: P,
        shared: Shared,
        outlet: Outlet,
    ) -> Self {
        let core = Core {
            options,
            shared,
            outlet,
            registry: Arc::new(registry),
            noise: Noise::default(),
            line: 0,
            position: 0,
        };
        Self { core, protocol }
    }

    /// Reads the source to its end. The last item tells how it ended, unless the decoder was closed.
    pub(crate) fn run(mut self, source: Source) {
        let ended = self.read(source);
        for message in self.core.noise.summary() {
            let level = Level::Warning;
            let _ = self.core.aside(Event::Log { level, message });
        }
        let ended = ended.and_then(|()| self.protocol.end(&self.core));
        let _ = match ended {
            Ok(()) => self.core.outlet.item(Item::End),
            Err(Halt::Failed(failure)) => self.core.outlet.item(Item::Fail(*failure)),
            Err(Halt::Gone) => Ok(()),
        };
    }

    fn read(&mut self, source: Source) -> Result<(), Halt> {
        let core = &self.core;
        let gauge = Arc::clone(&core.shared.gauge);
        let mut input = core
            .shared
            .input(source, gauge, core.options.max_record_bytes);
        loop {
            let piece = input.next(&|| self.core.outlet.pressure());
            match piece.map_err(unreadable)? {
                Piece::Lines { chunk, cut } => {
                    let chunk = Arc::new(chunk);
                    if let Some((header, start)) = self.sequence(&chunk, cut)? {
                        self.await_frame(&mut input, header, chunk, start)?;
                    }
                }
                Piece::TooLong { beginning } => {
                    return Err(self.core.too_long(&beginning, self.core.line + 1).into());
                }
                Piece::End => return Ok(()),
                Piece::Stopped => return Err(Halt::Gone),
            }
        }
    }

    /// Handles the lines and frames of a chunk. Gives the header of a frame that it does not hold whole, and where that starts.
    fn sequence(
        &mut self,
        chunk: &Arc<Chunk>,
        cut: bool,
    ) -> Result<Option<(Box<FrameHeader>, usize)>, Halt> {
        let mut run = Run::default();
        let mut start = 0;
        let mut outcome = Ok(None);
        while start < chunk.len() && matches!(outcome, Ok(None)) {
            let rest = &chunk[start..];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            self.core.line += 1;
            outcome = self.line(chunk, start, length, cut, &mut run);
            start += length;
            if let Ok(Some(header)) = &outcome
                && header.bytes <= chunk.len() - start
            {
                self.core.send(&self.protocol, chunk, &mut run)?;
                let frame = Frame {
                    header: header.clone(),
                    chunk: Arc::clone(chunk),
                    at: start..start + header.bytes,
                };
                start = frame.at.end;
                outcome = self.protocol.frame(&self.core, frame).map(|()| None);
            }
        }
        let core = &mut self.core;
        core.shared.gauge.lines.store(core.line, Ordering::Relaxed);
        core.send(&self.protocol, chunk, &mut run)?;
        core.position += chunk.len() as u64;
        outcome.map(|header| header.map(|header| (header, start)))
    }

    /// Reads the rest of a frame that begins at `start` of the last chunk, and handles it.
    fn await_frame(
        &mut self,
        input: &mut Input,
        header: Box<FrameHeader>,
        chunk: Arc<Chunk>,
        start: usize,
    ) -> Result<(), Halt> {
        let begun = input.begin_frame(header.bytes, &chunk[start..]);
        self.core.position += (header.bytes - (chunk.len() - start)) as u64;
        drop(chunk);
        let finished = input.finish_frame(begun, &|| self.core.outlet.pressure());
        match finished.map_err(unreadable)? {
            Finished::Whole(chunk, at) => {
                let chunk = Arc::new(chunk);
                self.protocol.frame(&self.core, Frame { header, chunk, at })
            }
            Finished::Cut(came) => Err(frame_cut_short(&header, came, self.core.line).into()),
            Finished::Stopped => Err(Halt::Gone),
        }
    }

    /// Handles the line at `start`, of `length` bytes with its line break.
    fn line(
        &mut self,
        chunk: &Arc<Chunk>,
        start: usize,
        length: usize,
        cut: bool,
        run: &mut Run,
    ) -> Result<Option<Box<FrameHeader>>, Halt> {
        let core = &mut self.core;
        let mut start = start;
        let end = start + length;
        if chunk[start..end].starts_with(BOM) {
            start += BOM.len();
        }
        let line = &chunk[start..end];
        if length > core.options.max_record_bytes {
            return Err(core.too_long(line, core.line).into());
        }
        // Whether the line break is missing; of a chunk's lines that can only be the last.
        let cut = cut && !line.ends_with(b"\n");
        let handled = match classify(line) {
            LineKind::Record | LineKind::BrokenRecord => {
                self.protocol.record(core, line)?;
                match run.segments.last_mut() {
                    Some(last) if last.end == start && !cut => last.end = end,
                    _ => run.segments.push(Segment {
                        start,
                        end,
                        first_line: core.line,
                        cut,
                    }),
                }
                return Ok(None);
            }
            LineKind::Message(kind) => {
                let line = Line {
                    chunk,
                    bytes: line,
                    end,
                    cut,
                };
                self.protocol.message(core, kind, line, run)
            }
            LineKind::BrokenControl => Err(core
                .broken("a message that is not a RECORD does not parse", line)
                .into()),
            LineKind::Other(name) => core.unknown(&name).map(|()| None),
            LineKind::Noise if cut && line.trim_ascii_start().starts_with(b"{") => {
                Err(core.broken("", line).into())
            }
            LineKind::Noise if line.trim_ascii().is_empty() => Ok(None),
            LineKind::Noise => core.printed(line).map(|()| None),
        };
        match handled {
            Err(Halt::Failed(failure)) if cut && failure.kind == FailureKind::Protocol => {
                Err(cut_short(failure.stream.or_else(|| stream_in(line)), core.line).into())
            }
            handled => handled,
        }
    }
}

impl Core {
    /// Passes on an event whose place does not matter.
    pub(crate) fn aside(&self, event: Event) -> Result<(), Halt> {
        let permit = self.shared.budget.charge(event.nbytes());
        self.outlet.item(Item::Aside { event, permit })
    }

    fn log(&self, level: Level, message: Option<String>) -> Result<(), Halt> {
        match message {
            Some(message) => self.aside(Event::Log { level, message }),
            None => Ok(()),
        }
    }

    /// Logs a line that is no message.
    pub(crate) fn printed(&mut self, line: &[u8]) -> Result<(), Halt> {
        let message = self.noise.printed(line);
        self.log(Level::Info, message)
    }

    /// Logs a message of an unknown type.
    pub(crate) fn unknown(&mut self, name: &str) -> Result<(), Halt> {
        let message = self.noise.unknown(name, self.line);
        self.log(Level::Warning, message)
    }

    pub(crate) fn broken(&self, what: impl std::fmt::Display, line: &[u8]) -> Failure {
        let mut failure = Failure::protocol(format!("line {}: {what}", self.line)).at(self.line);
        failure.stream = stream_in(line);
        failure
    }

    /// Counts a state that a later one of the same run replaces.
    pub(crate) fn superseded(&self) {
        self.shared.superseded.fetch_add(1, Ordering::Relaxed);
    }

    /// The failure of a frame that has more bytes than a message may have.
    pub(crate) fn frame_too_long(&self, header: &FrameHeader) -> Failure {
        let (line, limit) = (self.line, self.options.max_record_bytes);
        Failure::protocol(format!(
            "line {line}, stream `{}`: a {} has {} bytes, more than {limit}, the limit (`max_record_bytes`)",
            header.stream,
            header.kind.name(),
            header.bytes
        ))
        .of(&header.stream)
        .at(line)
        .with_hint("send fewer rows in a frame, or raise `max_record_bytes`, and the memory budget with it")
    }

    fn too_long(&self, beginning: &[u8], line: u64) -> Failure {
        let stream = stream_in(beginning);
        let limit = self.options.max_record_bytes;
        let place = match &stream {
            Some(stream) => format!("line {line}, stream `{stream}`"),
            None => format!("line {line}"),
        };
        let mut failure = Failure::protocol(format!(
            "{place}: a message has more than {limit} bytes, the limit (`max_record_bytes`)"
        ))
        .at(line)
        .with_hint("raise `max_record_bytes`, and the memory budget with it");
        failure.stream = stream;
        failure
    }

    /// Sends what is known of the chunk: the run before the last state, the state, the run after it.
    pub(crate) fn send<P: Protocol>(
        &self,
        protocol: &P,
        chunk: &Arc<Chunk>,
        run: &mut Run,
    ) -> Result<(), Halt> {
        let Run {
            mut segments,
            state,
        } = std::mem::take(run);
        if let Some(state) = state {
            let rest = segments.split_off(state.before);
            self.send_segments(chunk, segments)?;
            let data = protocol.state(chunk, &state);
            let permit = self.shared.budget.charge(data.len());
            self.outlet.item(Item::State {
                data,
                scope: state.scope,
                position: state.position,
                permit,
            })?;
            segments = rest;
        }
        self.send_segments(chunk, segments)
    }

    fn send_segments(&self, chunk: &Arc<Chunk>, segments: Vec<Segment>) -> Result<(), Halt> {
        if segments.is_empty() {
            return Ok(());
        }
        let registry = Arc::clone(&self.registry);
        self.outlet
            .task(chunk, Work::Messages { segments, registry })
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::protocol(format!("reading the connector's output failed: {error}"))
}

/// The input ends within a frame, behind so many of its bytes.
pub(crate) fn frame_cut_short(header: &FrameHeader, came: usize, line: u64) -> Failure {
    let FrameHeader {
        kind,
        stream,
        bytes,
        ..
    } = header;
    let kind = kind.name();
    Failure::protocol(format!(
        "line {line}: the output ends in the middle of a {kind} of stream `{stream}`, behind {came} of its {bytes} bytes"
    ))
    .of(stream)
    .at(line)
    .with_hint("the connector was probably killed, or failed without saying so")
}

/// The failure of a stream whose schema gives no plan; `place` says where that is.
pub(crate) fn refused(place: &str, stream: &StreamId, error: &SchemaError) -> Failure {
    let kind = match error {
        SchemaError::UnknownType { .. } => FailureKind::Config,
        _ => FailureKind::Protocol,
    };
    Failure::new(kind, format!("{place} of stream `{stream}`: {error}")).of(stream)
}

/// What announces a stream.
pub(crate) fn announcement(
    stream: &StreamId,
    plan: &StreamPlan,
    json_schema: &[u8],
    cursor: &[String],
) -> Item {
    let event = Event::Schema {
        stream: stream.clone(),
        schema: plan.announced_schema(),
        json_schema: json_schema.to_vec(),
        primary_key: plan.key_properties().to_vec(),
        cursor: cursor.iter().map(|name| plan.column_of(name)).collect(),
    };
    let stream = stream.clone();
    Item::Schema { stream, event }
}
