//! Lines in their order: runs of RECORDs become tasks, everything else is handled where it stands.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use dativo_codec::{
    BatchFormat, BatchMessage, Compression, LineKind, SchemaError, StreamPlan, classify,
    parse_activate_version, parse_batch_message, parse_schema_message, parse_state,
};
use flate2::read::MultiGzDecoder;

use crate::budget::{Budget, Permit};
use crate::chunk::{Chunk, Pool};
use crate::event::{Event, Level};
use crate::failure::{Failure, FailureKind};
use crate::input::{Gauge, Input, Piece, Source, Stop};
use crate::noise::Noise;
use crate::options::Options;
use crate::prefix::stream_in;
use crate::work::{Part, Registry, Segment, Task, Work, before_schema, cut_short};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the consumer gets, in the order of the input.
pub(crate) enum Item {
    /// A task's parts, up to the last.
    Parts(Receiver<Part>),
    Schema {
        stream: Arc<str>,
        event: Event,
    },
    State {
        data: Vec<u8>,
        position: u64,
        permit: Permit,
    },
    Barrier {
        stream: Arc<str>,
        event: Event,
    },
    Log(Event),
    /// The budget holds the input back: give out what is pending, unless more is on its way.
    Pressure,
    Fail(Failure),
    End,
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

/// Sequences Singer messages.
pub(crate) struct Sequencer {
    options: Options,
    shared: Shared,
    outlet: Outlet,
    registry: Arc<Registry>,
    /// SCHEMA lines in force: taps repeat them often.
    schema_lines: HashSet<Arc<[u8]>>,
    schema_line_of: HashMap<Arc<str>, Arc<[u8]>>,
    noise: Noise,
    line: u64,
    position: u64,
}

/// What is known of a chunk and not yet sent.
#[derive(Default)]
struct Run {
    segments: Vec<Segment>,
    /// The last state so far: how many of the segments come before it, its bytes in the chunk, and the position behind it.
    state: Option<(usize, Range<usize>, u64)>,
}

impl Sequencer {
    pub(crate) fn new(options: Options, shared: Shared, outlet: Outlet) -> Self {
        Self {
            options,
            shared,
            outlet,
            registry: Arc::default(),
            schema_lines: HashSet::new(),
            schema_line_of: HashMap::new(),
            noise: Noise::default(),
            line: 0,
            position: 0,
        }
    }

    /// Reads the source to its end. The last item tells how it ended, unless the decoder was closed.
    pub(crate) fn run(mut self, source: Source) {
        let ended = self.read(source);
        for message in self.noise.summary() {
            let level = Level::Warning;
            let _ = self.outlet.item(Item::Log(Event::Log { level, message }));
        }
        let _ = match ended {
            Ok(()) => self.outlet.item(Item::End),
            Err(Halt::Failed(failure)) => self.outlet.item(Item::Fail(*failure)),
            Err(Halt::Gone) => Ok(()),
        };
    }

    fn read(&mut self, source: Source) -> Result<(), Halt> {
        let gauge = Arc::clone(&self.shared.gauge);
        let mut input = self
            .shared
            .input(source, gauge, self.options.max_record_bytes);
        loop {
            let piece = input.next(&|| self.outlet.pressure());
            match piece.map_err(|error| {
                Failure::protocol(format!("reading the connector's output failed: {error}"))
            })? {
                Piece::Lines { chunk, cut } => self.sequence(&Arc::new(chunk), cut)?,
                Piece::TooLong { beginning } => {
                    return Err(self.too_long(&beginning, self.line + 1).into());
                }
                Piece::End => return Ok(()),
                Piece::Stopped => return Err(Halt::Gone),
            }
        }
    }

    fn sequence(&mut self, chunk: &Arc<Chunk>, cut: bool) -> Result<(), Halt> {
        let mut run = Run::default();
        let mut start = 0;
        let mut outcome = Ok(());
        while start < chunk.len() && outcome.is_ok() {
            let rest = &chunk[start..];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            self.line += 1;
            outcome = self.line(chunk, start, length, cut, &mut run);
            start += length;
        }
        self.shared.gauge.lines.store(self.line, Ordering::Relaxed);
        self.position += chunk.len() as u64;
        self.send(chunk, &mut run)?;
        outcome
    }

    /// Handles the line at `start`, of `length` bytes with its line break.
    fn line(
        &mut self,
        chunk: &Arc<Chunk>,
        start: usize,
        length: usize,
        cut: bool,
        run: &mut Run,
    ) -> Result<(), Halt> {
        let mut start = start;
        let end = start + length;
        if chunk[start..end].starts_with(BOM) {
            start += BOM.len();
        }
        let line = &chunk[start..end];
        if length > self.options.max_record_bytes {
            return Err(self.too_long(line, self.line).into());
        }
        // Whether the line break is missing; of a chunk's lines that can only be the last.
        let cut = cut && !line.ends_with(b"\n");
        let handled = match classify(line) {
            LineKind::Record | LineKind::BrokenRecord => {
                match run.segments.last_mut() {
                    Some(last) if last.end == start && !cut => last.end = end,
                    _ => run.segments.push(Segment {
                        start,
                        end,
                        first_line: self.line,
                        cut,
                    }),
                }
                return Ok(());
            }
            LineKind::State => self.state(chunk, line, end, run),
            LineKind::Schema => self.schema(chunk, line, run),
            LineKind::ActivateVersion => self.version(chunk, line, run),
            LineKind::Batch => self.batch(chunk, line, run),
            LineKind::BrokenControl => Err(self
                .broken("a message that is not a RECORD does not parse", line)
                .into()),
            LineKind::Other(name) => {
                self.log(Level::Warning, |noise, number| noise.unknown(&name, number))
            }
            LineKind::Noise if cut && line.trim_ascii_start().starts_with(b"{") => {
                Err(self.broken("", line).into())
            }
            LineKind::Noise if line.trim_ascii().is_empty() => Ok(()),
            LineKind::Noise => self.log(Level::Info, |noise, _| noise.printed(line)),
        };
        match handled {
            Err(Halt::Failed(failure)) if cut && failure.kind == FailureKind::Protocol => {
                Err(cut_short(failure.stream.or_else(|| stream_in(line)), self.line).into())
            }
            handled => handled,
        }
    }

    fn log(
        &mut self,
        level: Level,
        note: impl FnOnce(&mut Noise, u64) -> Option<String>,
    ) -> Result<(), Halt> {
        match note(&mut self.noise, self.line) {
            Some(message) => self.outlet.item(Item::Log(Event::Log { level, message })),
            None => Ok(()),
        }
    }

    fn broken(&self, what: impl std::fmt::Display, line: &[u8]) -> Failure {
        let mut failure = Failure::protocol(format!("line {}: {what}", self.line)).at(self.line);
        failure.stream = stream_in(line);
        failure
    }

    fn state(&mut self, chunk: &Chunk, line: &[u8], end: usize, run: &mut Run) -> Result<(), Halt> {
        let value = parse_state(line).map_err(|error| self.broken(error, line))?;
        let start = value.as_ptr().addr() - chunk.as_ptr().addr();
        let state = (
            run.segments.len(),
            start..start + value.len(),
            self.position + end as u64,
        );
        if run.state.replace(state).is_some() {
            self.shared.superseded.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn schema(&mut self, chunk: &Arc<Chunk>, line: &[u8], run: &mut Run) -> Result<(), Halt> {
        if self.schema_lines.contains(line) {
            return Ok(());
        }
        let message = parse_schema_message(line).map_err(|error| self.broken(error, line))?;
        self.send(chunk, run)?;
        let plan = StreamPlan::compile(
            message.schema,
            &message.key_properties,
            &self.options.plan(&message.stream),
        )
        .map_err(|error| self.refused(&message.stream, &error))?;
        let stream: Arc<str> = Arc::from(message.stream);
        let event = Event::Schema {
            stream: Arc::clone(&stream),
            schema: Arc::clone(plan.arrow_schema()),
            json_schema: message.schema.to_vec(),
            primary_key: message.key_properties,
            cursor: message.bookmark_properties,
        };
        Arc::make_mut(&mut self.registry).insert(Arc::clone(&stream), Arc::new(plan));
        let line: Arc<[u8]> = Arc::from(line);
        if let Some(old) = self
            .schema_line_of
            .insert(Arc::clone(&stream), Arc::clone(&line))
        {
            self.schema_lines.remove(&old);
        }
        self.schema_lines.insert(line);
        self.outlet.item(Item::Schema { stream, event })
    }

    fn refused(&self, stream: &str, error: &SchemaError) -> Failure {
        let kind = match error {
            SchemaError::UnknownType { .. } => FailureKind::Config,
            _ => FailureKind::Protocol,
        };
        Failure::new(
            kind,
            format!("line {}: SCHEMA of stream `{stream}`: {error}", self.line),
        )
        .of(stream)
        .at(self.line)
    }

    fn version(&mut self, chunk: &Arc<Chunk>, line: &[u8], run: &mut Run) -> Result<(), Halt> {
        let message = parse_activate_version(line).map_err(|error| self.broken(error, line))?;
        self.send(chunk, run)?;
        let stream: Arc<str> = Arc::from(message.stream);
        let event = Event::Version {
            stream: Arc::clone(&stream),
            version: message.version,
        };
        self.outlet.item(Item::Barrier { stream, event })
    }

    fn batch(&mut self, chunk: &Arc<Chunk>, line: &[u8], run: &mut Run) -> Result<(), Halt> {
        let message = parse_batch_message(line).map_err(|error| self.broken(error, line))?;
        self.send(chunk, run)?;
        let Some((stream, plan)) = self.registry.get_key_value(message.stream.as_str()) else {
            return Err(before_schema("BATCH", &message.stream, self.line).into());
        };
        let (stream, plan) = (Arc::clone(stream), Arc::clone(plan));
        let decoded = message.format == BatchFormat::Jsonl;
        if decoded {
            for file in &message.files {
                self.batch_file(file, &message, &stream, &plan)?;
            }
        }
        let event = Event::BatchFiles {
            stream: Arc::clone(&stream),
            format: match message.format {
                BatchFormat::Jsonl => "jsonl",
                BatchFormat::Parquet => "parquet",
                BatchFormat::Arrow => "arrow",
            },
            compression: message.compression.map(|Compression::Gzip| "gzip"),
            files: message.files,
            decoded,
        };
        self.outlet.item(Item::Barrier { stream, event })
    }

    /// Decodes the records of a BATCH file; they count as lines of the message.
    fn batch_file(
        &mut self,
        file: &str,
        message: &BatchMessage,
        stream: &Arc<str>,
        plan: &Arc<StreamPlan>,
    ) -> Result<(), Halt> {
        let fail = |error: &dyn std::fmt::Display| {
            Failure::protocol(format!(
                "line {}: BATCH file `{file}` of stream `{stream}`: {error}",
                self.line
            ))
            .of(stream.as_ref())
            .at(self.line)
        };
        let path = local_path(file).ok_or_else(|| fail(&"only local files can be read"))?;
        let opened = File::open(path).map_err(|error| fail(&error))?;
        let source = Source::Reader(decompressed(opened, message.compression));
        let limit = self.options.max_record_bytes;
        let mut input = self.shared.input(source, Arc::new(Gauge::new()), limit);
        loop {
            match input
                .next(&|| self.outlet.pressure())
                .map_err(|error| fail(&error))?
            {
                Piece::Lines { chunk, .. } => {
                    self.position += chunk.len() as u64;
                    let work = Work::Records {
                        stream: Arc::clone(stream),
                        plan: Arc::clone(plan),
                        first_line: self.line,
                        numbered: false,
                    };
                    self.outlet.task(&Arc::new(chunk), work)?;
                }
                Piece::TooLong { .. } => {
                    let error = format!(
                        "a record has more than {limit} bytes, the limit (`max_record_bytes`)"
                    );
                    return Err(fail(&error).into());
                }
                Piece::End => return Ok(()),
                Piece::Stopped => return Err(Halt::Gone),
            }
        }
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
    fn send(&self, chunk: &Arc<Chunk>, run: &mut Run) -> Result<(), Halt> {
        let Run {
            mut segments,
            state,
        } = std::mem::take(run);
        if let Some((before, value, position)) = state {
            let rest = segments.split_off(before);
            self.send_segments(chunk, segments)?;
            let data = chunk[value].to_vec();
            let permit = self.shared.budget.charge(data.len());
            self.outlet.item(Item::State {
                data,
                position,
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

/// A file behind its compression.
pub(crate) fn decompressed(file: File, compression: Option<Compression>) -> Box<dyn Read + Send> {
    match compression {
        Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(
            1 << 16,
            file,
        ))),
        None => Box::new(file),
    }
}

/// The path of a `file://` URL, or what is given when it is no URL; None for what is not on this machine.
fn local_path(file: &str) -> Option<PathBuf> {
    let Some(rest) = file.strip_prefix("file://") else {
        return (!file.contains("://")).then(|| PathBuf::from(file));
    };
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    path.starts_with('/')
        .then(|| PathBuf::from(percent_decoded(path)))
}

fn percent_decoded(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    std::ffi::OsString::from_vec(decoded)
}
