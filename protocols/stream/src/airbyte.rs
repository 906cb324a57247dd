//! Airbyte messages, in their order.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use dativo_codec::airbyte::{
    AirbyteRecords, Census, ConfiguredStream, ControlMessage, LogLevel, MergedState, Message,
    StateBody, StatusTrace, TraceMessage, parse_catalog, parse_configured_catalog,
    parse_connection_status, parse_control, parse_log, parse_spec, parse_state, parse_trace,
};
use dativo_codec::frame::{
    FrameHeader, FrameKind, parse_frame_header, read_schema, schema_message,
};
use dativo_codec::{StreamId, StreamPlan};

use crate::chunk::Chunk;
use crate::configs::Announcer;
use crate::event::{Event, Level};
use crate::failure::{Failure, FailureKind};
use crate::frames::{FrameOrder, FramePlan};
use crate::options::Options;
use crate::sequencer::{
    Core, Frame, Halt, Item, Line, PendingState, Protocol, Run, Scope, announcement, refused,
};
use crate::work::{Registry, Work, cut_short};

/// What an Airbyte source was started with.
#[derive(Debug)]
pub struct AirbyteInput {
    streams: Vec<(ConfiguredStream, Arc<StreamPlan>)>,
    state: MergedState,
}

impl AirbyteInput {
    /// From the configured catalog, if any (without one, a RECORD is an error), and the state.
    ///
    /// # Errors
    /// When either cannot be read, or a schema gives no plan with these options.
    pub fn new(
        catalog: Option<&[u8]>,
        state: Option<&[u8]>,
        options: &Options,
    ) -> Result<Self, Failure> {
        let bad =
            |error: &dyn std::fmt::Display| Failure::new(FailureKind::Config, error.to_string());
        let state = MergedState::new(state).map_err(|error| bad(&error))?;
        let streams = match catalog {
            Some(catalog) => parse_configured_catalog(catalog).map_err(|error| bad(&error))?,
            None => Vec::new(),
        };
        let planned = streams.into_iter().map(|stream| {
            let plan = stream
                .plan(options.plan(&stream.id))
                .map_err(|error| refused("schema", &stream.id, &error))?;
            Ok((stream, Arc::new(plan)))
        });
        Ok(Self {
            streams: planned.collect::<Result<_, Failure>>()?,
            state,
        })
    }

    /// The plans, by stream.
    pub(crate) fn registry(&self) -> Registry {
        let plans = self.streams.iter();
        plans
            .map(|(stream, plan)| (stream.id.clone(), Arc::clone(plan)))
            .collect()
    }

    /// Streams that say states of their own.
    pub(crate) fn stateful(&self) -> HashSet<StreamId> {
        let streams = self.streams.iter().map(|(stream, _)| stream);
        streams
            .filter(|stream| stream.is_incremental)
            .map(|stream| stream.id.clone())
            .collect()
    }
}

/// What is to be remembered of Airbyte messages.
pub(crate) struct Airbyte {
    streams: Vec<(ConfiguredStream, Arc<StreamPlan>)>,
    read: HashSet<StreamId>,
    census: Census,
    merged: MergedState,
    configs: Announcer,
    /// By the stream's place: the schema that was announced last, and of frames, what it was made from.
    announced: Vec<Option<SchemaRef>>,
    framed: Vec<Option<(Vec<u8>, Arc<FramePlan>)>>,
}

impl Airbyte {
    pub(crate) fn new(input: AirbyteInput, configs: Announcer) -> Self {
        let ids = || input.streams.iter().map(|(stream, _)| stream.id.clone());
        Self {
            census: Census::new(ids()),
            read: ids().collect(),
            announced: vec![None; input.streams.len()],
            framed: vec![None; input.streams.len()],
            streams: input.streams,
            merged: input.state,
            configs,
        }
    }
}

impl Protocol for Airbyte {
    type Kind = Message;
    type Records = AirbyteRecords;

    #[inline]
    fn record(&mut self, core: &Core, line: &[u8]) -> Result<(), Halt> {
        match self.census.record(line) {
            None => Ok(()),
            Some(place) => self.announce(core, place, false),
        }
    }

    fn message(
        &mut self,
        core: &mut Core,
        kind: Message,
        line: Line<'_>,
        run: &mut Run,
    ) -> Result<Option<Box<FrameHeader>>, Halt> {
        let broken = |core: &Core, error| Halt::from(core.broken(error, line.bytes));
        let event = match kind {
            Message::State => return self.note_state(core, line, run).map(|()| None),
            Message::Batch => return header(core, line, FrameKind::Batch).map(Some),
            Message::Rejects => return header(core, line, FrameKind::Rejects).map(Some),
            Message::Log => match parse_log(line.bytes) {
                Ok(log) => Event::Log {
                    level: level(log.level),
                    message: log.text,
                },
                Err(error) if line.cut => return Err(broken(core, error)),
                Err(_) => return core.printed(line.bytes).map(|()| None),
            },
            Message::Trace => match parse_trace(line.bytes).map_err(|error| broken(core, error))? {
                TraceMessage::Error(error) => Event::Error(error),
                TraceMessage::Estimate(estimate) => Event::Estimate(estimate),
                TraceMessage::Status(status) => {
                    if matches!(status.status, "COMPLETE" | "INCOMPLETE") {
                        return self.ended(core, status, line, run).map(|()| None);
                    }
                    Event::Status(status)
                }
                TraceMessage::Analytics(event, value) => {
                    let value = value.map(|value| format!(" = {value}")).unwrap_or_default();
                    let level = Level::Debug;
                    let message = format!("analytics: {event}{value}");
                    Event::Log { level, message }
                }
                TraceMessage::Unknown => return core.unknown("TRACE").map(|()| None),
            },
            Message::Control => {
                match parse_control(line.bytes).map_err(|error| broken(core, error))? {
                    ControlMessage::Config(config, emitted_at) => {
                        let event = || Event::Control {
                            config: config.to_vec(),
                            emitted_at,
                        };
                        self.configs.say(event());
                        event()
                    }
                    ControlMessage::Unknown => return core.unknown("CONTROL").map(|()| None),
                }
            }
            Message::Spec => {
                let spec = parse_spec(line.bytes).map_err(|error| broken(core, error))?;
                Event::Spec(spec.to_vec())
            }
            Message::Catalog => {
                let catalog = parse_catalog(line.bytes).map_err(|error| broken(core, error))?;
                Event::Catalog(catalog.to_vec())
            }
            Message::ConnectionStatus => Event::ConnectionStatus(
                parse_connection_status(line.bytes).map_err(|error| broken(core, error))?,
            ),
        };
        core.aside(event).map(|()| None)
    }

    fn frame(&mut self, core: &Core, frame: Frame) -> Result<(), Halt> {
        let Frame { header, chunk, at } = frame;
        let line = core.line;
        let Some(place) = self.census.frame(&header.stream, header.rows as u64) else {
            return Err(unknown(header.kind.name(), &header.stream, line).into());
        };
        let mut order = FrameOrder {
            header,
            line,
            plan: None,
        };
        match order.header.kind {
            FrameKind::Batch => {
                let plan = self.plan_of(core, place, &chunk[at.clone()]);
                order.plan = Some(plan.map_err(|failure| order.failed(failure))?);
                let plan = order.plan.as_ref();
                let announced = plan.map(|plan| self.announce_frames(core, place, plan));
                announced.unwrap_or(Ok(())).map_err(|halt| match halt {
                    Halt::Failed(failure) => order.failed(*failure).into(),
                    Halt::Gone => Halt::Gone,
                })?;
            }
            FrameKind::Rejects if self.announced[place].is_none() => {
                self.announce(core, place, true)?;
            }
            FrameKind::Rejects => {}
        }
        core.outlet.task(&chunk, Work::Frame { at, order })
    }

    fn state(&self, _: &Chunk, _: &PendingState) -> Vec<u8> {
        self.merged.to_json()
    }

    fn end(&mut self, core: &Core) -> Result<(), Halt> {
        let unseen: Vec<usize> = self.census.unseen().collect();
        unseen
            .into_iter()
            .try_for_each(|place| self.announce(core, place, true))
    }

    fn unknown_stream(stream: &StreamId, line: u64) -> Failure {
        unknown("RECORD", stream, line)
    }
}

fn unknown(what: &str, stream: &StreamId, line: u64) -> Failure {
    Failure::protocol(format!(
        "line {line}: {what} of stream `{stream}`, which is not in the catalog that the connector was given"
    ))
    .of(stream)
    .at(line)
}

/// Reads the header of a frame that may follow.
fn header(core: &Core, line: Line<'_>, kind: FrameKind) -> Result<Box<FrameHeader>, Halt> {
    let header =
        parse_frame_header(line.bytes, kind).map_err(|error| core.broken(error, line.bytes))?;
    if line.cut {
        return Err(cut_short(Some(header.stream.to_string()), core.line).into());
    }
    if header.bytes > core.options.max_record_bytes {
        return Err(core.frame_too_long(&header).into());
    }
    Ok(Box::new(header))
}

impl Airbyte {
    /// What becomes of a payload's batches; worked out anew where their schema is not that of the payload before.
    fn plan_of(
        &mut self,
        core: &Core,
        place: usize,
        payload: &[u8],
    ) -> Result<Arc<FramePlan>, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::protocol(error.to_string());
        let message = schema_message(payload).map_err(|error| broken(&error))?;
        if let Some((known, plan)) = &self.framed[place]
            && known == message
        {
            return Ok(Arc::clone(plan));
        }
        let schema = read_schema(message).map_err(|error| broken(&error))?;
        let plan = FramePlan::new(&schema, &self.streams[place].0, &core.options)?;
        let plan = Arc::new(plan);
        self.framed[place] = Some((message.to_vec(), Arc::clone(&plan)));
        Ok(plan)
    }

    /// Gives the schema of frames, unless it is the one that was given last.
    fn announce_frames(&mut self, core: &Core, place: usize, plan: &FramePlan) -> Result<(), Halt> {
        let schema = plan.schema();
        let first = self.announced[place].is_none();
        if self.announced[place].as_ref() == Some(&schema) {
            return Ok(());
        }
        let (stream, _) = &self.streams[place];
        if first {
            warn_of_key(core, stream)?;
        }
        core.outlet.item(plan.announcement(stream)?)?;
        self.announced[place] = Some(schema);
        Ok(())
    }

    /// Gives the schema of the stream's records, unless it is the one that was given last. `by_catalog`: none has come, so that the
    /// catalog's word on batches goes first; targets are to know of streams that are empty.
    fn announce(&mut self, core: &Core, place: usize, by_catalog: bool) -> Result<(), Halt> {
        let (stream, plan) = &self.streams[place];
        if by_catalog && let Some(schema) = &stream.arrow_schema {
            let plan = FramePlan::new(schema, stream, &core.options)
                .map_err(|failure| failure.of(&stream.id))?;
            return self.announce_frames(core, place, &plan);
        }
        let schema = plan.announced_schema();
        if self.announced[place].as_ref() == Some(&schema) {
            return Ok(());
        }
        if self.announced[place].is_none() {
            warn_of_key(core, stream)?;
        }
        let cursor = match stream.cursor.as_slice() {
            [] => Vec::new(),
            path => vec![path.join(".")],
        };
        core.outlet
            .item(announcement(&stream.id, plan, &stream.json_schema, &cursor))?;
        self.announced[place] = Some(schema);
        Ok(())
    }

    /// The end of a stream comes behind its rows.
    fn ended(
        &self,
        core: &Core,
        status: StatusTrace,
        line: Line<'_>,
        run: &mut Run,
    ) -> Result<(), Halt> {
        core.send(self, line.chunk, run)?;
        core.outlet.item(Item::Ended {
            stream: status.stream.clone(),
            event: Event::Status(status),
        })
    }

    /// Verifies a state's count, and merges it. It goes out when its run does, or a later one in its place.
    fn note_state(&mut self, core: &Core, line: Line<'_>, run: &mut Run) -> Result<(), Halt> {
        let state = parse_state(line.bytes).map_err(|error| core.broken(error, line.bytes))?;
        let (count, mut scope) = match &state.body {
            StateBody::Stream(stream, _) => (
                self.census.state_of(stream),
                Scope::Streams(vec![stream.clone()]),
            ),
            _ => (Some(self.census.state_of_all()), Scope::All),
        };
        if let (Some(count), Some(stated)) = (count, state.record_count)
            && !count.agrees(stated)
        {
            return Err(miscounted(&scope, stated, count.records, core.line).into());
        }
        if run
            .state
            .as_ref()
            .is_some_and(|state| self.is_open(&state.scope))
        {
            // Rows of what it covers came since: one state for both would cover them too.
            core.send(self, line.chunk, run)?;
        }
        if let Some(earlier) = run.state.take() {
            core.superseded();
            scope = earlier.scope.and(scope);
        }
        self.merged.merge(&state.body, &self.read);
        run.state = Some(PendingState {
            before: run.segments.len(),
            value: 0..0,
            scope,
            position: core.position + line.end as u64,
        });
        Ok(())
    }

    /// Whether records of a stream in this scope came after its last state.
    fn is_open(&self, scope: &Scope) -> bool {
        match scope {
            Scope::All => self.read.iter().any(|stream| self.census.is_open(stream)),
            Scope::Streams(streams) => streams.iter().any(|stream| self.census.is_open(stream)),
        }
    }
}

/// Says that a stream is taken as one without a key.
fn warn_of_key(core: &Core, stream: &ConfiguredStream) -> Result<(), Halt> {
    if stream.key_columns().len() == stream.primary_key.len() {
        return Ok(());
    }
    let paths = stream.primary_key.iter().map(|path| path.join("."));
    let message = format!(
        "stream `{}`: the key {} is not made of columns, so the stream is taken as one without a key",
        stream.id,
        paths
            .map(|path| format!("`{path}`"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let level = Level::Warning;
    core.aside(Event::Log { level, message })
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
    }
}

fn miscounted(scope: &Scope, stated: f64, counted: u64, line: u64) -> Failure {
    let (whose, stream) = match scope {
        Scope::Streams(streams) => {
            let stream = streams.first();
            let name = stream.map(ToString::to_string).unwrap_or_default();
            (format!("stream `{name}`"), stream)
        }
        Scope::All => ("all streams".to_owned(), None),
    };
    let mut failure = Failure::protocol(format!(
        "line {line}: the connector says it sent {stated} records of {whose} since the state before, but {counted} came"
    ))
    .at(line)
    .with_hint("records were lost or doubled on their way out of the connector: the checkpoints made stand, run it again");
    failure.stream = stream.map(ToString::to_string);
    failure
}
