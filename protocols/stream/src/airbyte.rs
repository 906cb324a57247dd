//! Airbyte messages, in their order.

use std::collections::HashSet;
use std::sync::Arc;

use dativo_codec::airbyte::{
    AirbyteRecords, Census, ConfiguredStream, ControlMessage, LogLevel, MergedState, Message,
    StateBody, TraceMessage, parse_catalog, parse_configured_catalog, parse_connection_status,
    parse_control, parse_log, parse_spec, parse_state, parse_trace,
};
use dativo_codec::{StreamId, StreamPlan};

use crate::chunk::Chunk;
use crate::configs::Announcer;
use crate::event::{Event, Level};
use crate::failure::{Failure, FailureKind};
use crate::options::Options;
use crate::sequencer::{
    Core, Halt, Line, PendingState, Protocol, Run, Scope, announcement, refused,
};
use crate::work::Registry;

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
}

impl Airbyte {
    pub(crate) fn new(input: AirbyteInput, configs: Announcer) -> Self {
        let ids = || input.streams.iter().map(|(stream, _)| stream.id.clone());
        Self {
            census: Census::new(ids()),
            read: ids().collect(),
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
            Some(place) => self.announce(core, place),
        }
    }

    fn message(
        &mut self,
        core: &mut Core,
        kind: Message,
        line: Line<'_>,
        run: &mut Run,
    ) -> Result<(), Halt> {
        let broken = |core: &Core, error| Halt::from(core.broken(error, line.bytes));
        let event = match kind {
            Message::State => return self.note_state(core, line, run),
            Message::Log => match parse_log(line.bytes) {
                Ok(log) => Event::Log {
                    level: level(log.level),
                    message: log.text,
                },
                Err(error) if line.cut => return Err(broken(core, error)),
                Err(_) => return core.printed(line.bytes),
            },
            Message::Trace => match parse_trace(line.bytes).map_err(|error| broken(core, error))? {
                TraceMessage::Error(error) => Event::Error(error),
                TraceMessage::Estimate(estimate) => Event::Estimate(estimate),
                TraceMessage::Status(status) => Event::Status(status),
                TraceMessage::Analytics(event, value) => {
                    let value = value.map(|value| format!(" = {value}")).unwrap_or_default();
                    let level = Level::Debug;
                    let message = format!("analytics: {event}{value}");
                    Event::Log { level, message }
                }
                TraceMessage::Unknown => return core.unknown("TRACE"),
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
                    ControlMessage::Unknown => return core.unknown("CONTROL"),
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
        core.aside(event)
    }

    fn state(&self, _: &Chunk, _: &PendingState) -> Vec<u8> {
        self.merged.to_json()
    }

    fn end(&mut self, core: &Core) -> Result<(), Halt> {
        let unseen: Vec<usize> = self.census.unseen().collect();
        unseen
            .into_iter()
            .try_for_each(|place| self.announce(core, place))
    }

    fn unknown_stream(stream: &StreamId, line: u64) -> Failure {
        Failure::protocol(format!(
            "line {line}: RECORD of stream `{stream}`, which is not in the catalog that the connector was given"
        ))
        .of(stream)
        .at(line)
    }
}

impl Airbyte {
    /// Gives the stream's schema: before its first record, or at the end, so that targets know of streams that are empty.
    fn announce(&self, core: &Core, place: usize) -> Result<(), Halt> {
        let (stream, plan) = &self.streams[place];
        if stream.key_columns().len() != stream.primary_key.len() {
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
            core.aside(Event::Log { level, message })?;
        }
        let cursor = match stream.cursor.as_slice() {
            [] => Vec::new(),
            path => vec![path.join(".")],
        };
        core.outlet
            .item(announcement(&stream.id, plan, &stream.json_schema, &cursor))
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
