//! Singer messages, in their order.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use dativo_codec::frame::FrameHeader;
use dativo_codec::singer::{
    BatchFormat, BatchMessage, Compression, Message, SingerRecords, parse_activate_version,
    parse_batch_message, parse_schema_message, parse_state,
};
use dativo_codec::{StreamId, StreamPlan};
use flate2::read::MultiGzDecoder;

use crate::chunk::Chunk;
use crate::event::Event;
use crate::failure::Failure;
use crate::input::{Gauge, Piece, Source};
use crate::sequencer::{
    Core, Frame, Halt, Item, Line, PendingState, Protocol, Run, Scope, announcement, refused,
};
use crate::work::Work;

/// What is to be remembered of Singer messages.
#[derive(Default)]
pub(crate) struct Singer {
    /// SCHEMA lines in force: taps repeat them often.
    schema_lines: HashSet<Arc<[u8]>>,
    schema_line_of: HashMap<StreamId, Arc<[u8]>>,
}

impl Protocol for Singer {
    type Kind = Message;
    type Records = SingerRecords;

    #[inline]
    fn record(&mut self, _: &Core, _: &[u8]) -> Result<(), Halt> {
        Ok(())
    }

    fn message(
        &mut self,
        core: &mut Core,
        kind: Message,
        line: Line<'_>,
        run: &mut Run,
    ) -> Result<Option<Box<FrameHeader>>, Halt> {
        match kind {
            Message::State => self.note_state(core, line, run)?,
            Message::Schema => self.schema(core, line, run)?,
            Message::ActivateVersion => self.version(core, line, run)?,
            Message::Batch => self.batch(core, line, run)?,
        }
        Ok(None)
    }

    fn frame(&mut self, _: &Core, _: Frame) -> Result<(), Halt> {
        Ok(())
    }

    fn state(&self, chunk: &Chunk, state: &PendingState) -> Vec<u8> {
        chunk[state.value.clone()].to_vec()
    }

    fn end(&mut self, _: &Core) -> Result<(), Halt> {
        Ok(())
    }

    fn unknown_stream(stream: &StreamId, line: u64) -> Failure {
        before_schema("RECORD", stream, line)
    }
}

impl Singer {
    fn note_state(&self, core: &Core, line: Line<'_>, run: &mut Run) -> Result<(), Halt> {
        let value = parse_state(line.bytes).map_err(|error| core.broken(error, line.bytes))?;
        let start = value.as_ptr().addr() - line.chunk.as_ptr().addr();
        let state = PendingState {
            before: run.segments.len(),
            value: start..start + value.len(),
            scope: Scope::All,
            position: core.position + line.end as u64,
        };
        if run.state.replace(state).is_some() {
            core.superseded();
        }
        Ok(())
    }

    fn schema(&mut self, core: &mut Core, line: Line<'_>, run: &mut Run) -> Result<(), Halt> {
        if self.schema_lines.contains(line.bytes) {
            return Ok(());
        }
        let message =
            parse_schema_message(line.bytes).map_err(|error| core.broken(error, line.bytes))?;
        core.send(self, line.chunk, run)?;
        let stream = StreamId::from(message.stream.as_str());
        let number = core.line;
        let plan = StreamPlan::compile(
            message.schema,
            &message.key_properties,
            &core.options.plan(&stream),
        )
        .map_err(|error| refused(&format!("line {number}: SCHEMA"), &stream, &error).at(number))?;
        let announcement =
            announcement(&stream, &plan, message.schema, &message.bookmark_properties);
        Arc::make_mut(&mut core.registry).insert(stream.clone(), Arc::new(plan));
        let line: Arc<[u8]> = Arc::from(line.bytes);
        if let Some(old) = self.schema_line_of.insert(stream, Arc::clone(&line)) {
            self.schema_lines.remove(&old);
        }
        self.schema_lines.insert(line);
        core.outlet.item(announcement)
    }

    fn version(&self, core: &Core, line: Line<'_>, run: &mut Run) -> Result<(), Halt> {
        let message =
            parse_activate_version(line.bytes).map_err(|error| core.broken(error, line.bytes))?;
        core.send(self, line.chunk, run)?;
        let stream = StreamId::from(message.stream.as_str());
        let event = Event::Version {
            stream: stream.clone(),
            version: message.version,
        };
        core.outlet.item(Item::Barrier { stream, event })
    }

    fn batch(&self, core: &mut Core, line: Line<'_>, run: &mut Run) -> Result<(), Halt> {
        let message =
            parse_batch_message(line.bytes).map_err(|error| core.broken(error, line.bytes))?;
        core.send(self, line.chunk, run)?;
        let stream = StreamId::from(message.stream.as_str());
        let Some(plan) = core.registry.get(&stream).cloned() else {
            return Err(before_schema("BATCH", &stream, core.line).into());
        };
        let decoded = message.format == BatchFormat::Jsonl;
        if decoded {
            for file in &message.files {
                batch_file(core, file, &message, &stream, &plan)?;
            }
        }
        let event = Event::BatchFiles {
            stream: stream.clone(),
            format: match message.format {
                BatchFormat::Jsonl => "jsonl",
                BatchFormat::Parquet => "parquet",
                BatchFormat::Arrow => "arrow",
            },
            compression: message.compression.map(|Compression::Gzip| "gzip"),
            files: message.files,
            decoded,
        };
        core.outlet.item(Item::Barrier { stream, event })
    }
}

/// Decodes the records of a BATCH file; they count as lines of the message.
fn batch_file(
    core: &mut Core,
    file: &str,
    message: &BatchMessage,
    stream: &StreamId,
    plan: &Arc<StreamPlan>,
) -> Result<(), Halt> {
    let number = core.line;
    let fail = |error: &dyn std::fmt::Display| {
        Failure::protocol(format!(
            "line {number}: BATCH file `{file}` of stream `{stream}`: {error}"
        ))
        .of(stream)
        .at(number)
    };
    let path = local_path(file).ok_or_else(|| fail(&"only local files can be read"))?;
    let opened = File::open(path).map_err(|error| fail(&error))?;
    let source = Source::Reader(decompressed(opened, message.compression));
    let limit = core.options.max_record_bytes;
    let mut input = core.shared.input(source, Arc::new(Gauge::new()), limit);
    loop {
        match input
            .next(&|| core.outlet.pressure())
            .map_err(|error| fail(&error))?
        {
            Piece::Lines { chunk, .. } => {
                core.position += chunk.len() as u64;
                let work = Work::Records {
                    stream: stream.clone(),
                    plan: Arc::clone(plan),
                    first_line: number,
                    numbered: false,
                };
                core.outlet.task(&Arc::new(chunk), work)?;
            }
            Piece::TooLong { .. } => {
                let error =
                    format!("a record has more than {limit} bytes, the limit (`max_record_bytes`)");
                return Err(fail(&error).into());
            }
            Piece::End => return Ok(()),
            Piece::Stopped => return Err(Halt::Gone),
        }
    }
}

/// A message of a stream that was not announced.
fn before_schema(message: &str, stream: &StreamId, line: u64) -> Failure {
    Failure::protocol(format!(
        "line {line}: {message} of stream `{stream}` comes before its SCHEMA"
    ))
    .of(stream)
    .at(line)
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
