//! JSON lines: one object a line.

mod config;
mod infer;
mod stream;

use std::sync::Arc;

use dativo_codec::{BatchBuilder, PushError, StreamPlan};
use dativo_sdk::{
    Catalog, CatalogStream, Error, Estimate, Info, Method, Piece, ReadCatalog, Reader, SavedState,
    State,
};

pub use config::{Config, StreamConfig};

use crate::config::{streams, threads};
use crate::files::{Block, Entry, Feed, History, Places};
use crate::flow::{Decoded, Format, Job, Limits};
use crate::progress::{Progress, Track};
use stream::Stream;

/// Bytes of text that one thread decodes at a time.
const BLOCK: usize = 1 << 20;

/// What is to be read of a stream, in order, and its history where it is read incrementally.
type Todo = (Vec<Job>, Option<History>);

/// Reads files of JSON lines.
pub struct JsonlReader {
    config: Config,
    streams: Vec<Stream>,
    catalog: Option<ReadCatalog>,
    state: Option<SavedState>,
    progress: Option<Progress<JsonlFormat>>,
}

/// A stream as it is read.
struct Reading {
    name: String,
    plan: Arc<StreamPlan>,
    /// The columns that are wanted; all without.
    fields: Option<Vec<usize>>,
}

struct JsonlFormat {
    streams: Vec<Option<Reading>>,
}

impl Format for JsonlFormat {
    type Layout = ();

    fn open(&self, _stream: usize, _file: &Entry, _feed: &mut Feed) -> Result<(), Error> {
        Ok(())
    }

    fn boundary(&self, _stream: usize, text: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', text).map(|at| at + 1)
    }

    fn decode(
        &self,
        stream: usize,
        file: &Entry,
        _layout: &(),
        block: &Block,
    ) -> Result<Decoded, Error> {
        let found = self.streams.get(stream).and_then(Option::as_ref);
        let reading =
            found.ok_or_else(|| Error::connector("a file of a stream that is not read"))?;
        let mut builder = BatchBuilder::new(Arc::clone(&reading.plan));
        let text = block.bytes.as_slice();
        let (mut start, mut line) = (0, block.line as i64);
        for end in
            memchr::memchr_iter(b'\n', text).chain((!text.ends_with(b"\n")).then_some(text.len()))
        {
            line += 1;
            let record = text[start..end].trim_ascii();
            start = end + 1;
            if !record.is_empty() {
                builder
                    .push_line(record, line)
                    .map_err(|error| bad(&reading.name, file, &error))?;
            }
        }
        let built = builder.finish();
        let batch = match (&reading.fields, built.batch) {
            (Some(fields), Some(batch)) => {
                let beside = reading.plan.arrow_schema().fields().len()..batch.num_columns();
                Some(batch.project(&fields.iter().copied().chain(beside).collect::<Vec<_>>())?)
            }
            (_, batch) => batch,
        };
        Ok(Decoded {
            batch,
            rejects: built.rejects,
            open: None,
        })
    }
}

fn bad(stream: &str, file: &Entry, error: &PushError) -> Error {
    let failed = Error::contract(format!("stream `{stream}`: `{}` {error}", file.path))
        .with_hint("`on_bad_value: quarantine` keeps such records aside; `types` gives a column another type")
        .with_fact("stream", stream)
        .with_fact("file", file.path.as_str());
    match error {
        PushError::Bad { line, .. } => failed.with_fact("line", *line),
        PushError::Full => failed,
    }
}

impl Reader for JsonlReader {
    type Config = Config;

    const INFO: Info = Info::new("dativo-jsonl", env!("CARGO_PKG_VERSION"))
        .incremental()
        .checks()
        .estimates();

    fn initialize(
        config: Config,
        catalog: Option<ReadCatalog>,
        state: Option<SavedState>,
    ) -> Result<Self, Error> {
        let named = streams(
            config.streams.as_ref(),
            config.path.as_ref(),
            config.stream.as_deref(),
            || config.own(),
        )?;
        let mut places = Places::new(config.storage_options.clone());
        let found = named
            .into_iter()
            .map(|(name, own)| Stream::find(&name, &config, own, &mut places));
        let streams = found.collect::<Result<Vec<Stream>, Error>>()?;
        places.complete()?;
        Ok(Self {
            config,
            streams,
            catalog,
            state,
            progress: None,
        })
    }

    fn get_schema(&mut self) -> Result<Catalog, Error> {
        let described = self.streams.iter().map(|stream| {
            let plan = stream.discover()?;
            Ok(
                CatalogStream::of_arrow(stream.source.id.clone(), Arc::clone(plan.arrow_schema()))
                    .with_primary_key(stream.config.primary_key.iter().flatten().cloned())
                    .incremental_by_itself(None),
            )
        });
        described.collect()
    }

    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error> {
        if self.progress.is_none() {
            self.progress = Some(self.start()?);
        }
        match &mut self.progress {
            Some(progress) => progress.next(max_rows),
            None => Ok(None),
        }
    }

    fn get_incremental_state(&mut self) -> Result<Option<State>, Error> {
        self.progress.as_ref().map_or(Ok(None), Progress::state)
    }

    fn close(&mut self) -> Result<(), Error> {
        if let Some(progress) = &mut self.progress {
            progress.stop();
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Error> {
        for stream in &self.streams {
            stream.source.check()?;
        }
        self.get_schema().map(drop)
    }

    fn estimates(&mut self) -> Result<Vec<Estimate>, Error> {
        let mut estimates = Vec::new();
        for number in 0..self.streams.len() {
            let Some((jobs, _)) = self.todo(number)? else {
                continue;
            };
            let bytes = jobs.iter().map(Job::bytes).sum();
            estimates.push(Estimate {
                stream: Some(self.streams[number].source.id.clone()),
                rows: None,
                bytes: Some(bytes),
            });
        }
        Ok(estimates)
    }
}

impl JsonlReader {
    /// What is to be read of a stream, in order, and its history where it is read incrementally; `None` where it is not selected.
    fn todo(&self, number: usize) -> Result<Option<Todo>, Error> {
        let stream = &self.streams[number];
        let selected = self
            .catalog
            .as_ref()
            .map(|catalog| catalog.of(&stream.source.id));
        if matches!(selected, Some(None)) {
            return Ok(None);
        }
        let incremental = selected
            .flatten()
            .is_some_and(|selected| selected.method == Method::Incremental);
        let (todo, history) = stream.source.todo(incremental, self.state.as_ref())?;
        let jobs = todo.into_iter().map(|(place, file, from)| {
            Ok(Job {
                from,
                ..stream.job(number, &place, &file)?
            })
        });
        Ok(Some((jobs.collect::<Result<Vec<Job>, Error>>()?, history)))
    }

    fn start(&mut self) -> Result<Progress<JsonlFormat>, Error> {
        let (mut jobs, mut tracks, mut streams) = (Vec::new(), Vec::new(), Vec::new());
        for (number, stream) in self.streams.iter().enumerate() {
            let (of_stream, history) = self.todo(number)?.unwrap_or_default();
            let selected = self
                .catalog
                .as_ref()
                .and_then(|catalog| catalog.of(&stream.source.id));
            let planned = if of_stream.is_empty() {
                None
            } else {
                Some(stream.plan(selected)?)
            };
            let name = stream.source.id.name().to_owned();
            streams.push(planned.map(|(plan, fields)| Reading {
                name,
                plan: Arc::new(plan),
                fields,
            }));
            jobs.extend(of_stream);
            tracks.push(Track {
                id: stream.source.id.clone(),
                history,
            });
        }
        let record = self
            .config
            .max_record_bytes
            .unwrap_or(stream::LONGEST_RECORD);
        let limits = Limits {
            threads: threads(self.config.threads),
            block: self.config.block_bytes.unwrap_or(BLOCK).clamp(1, 1 << 28),
            record,
        };
        Ok(Progress::start(
            JsonlFormat { streams },
            jobs,
            tracks,
            limits,
        )?)
    }
}
