//! Comma-separated values, in any dialect, of any size.
//!
//! A block of whole records is first cut into fields (`masks`, `index`), and then read column by column (`column`, `values`),
//! some thousand cells at a time: no cell is copied or allocated on the way into its Arrow column, except where quotes are in it.

mod block;
mod column;
mod config;
mod dialect;
mod head;
mod index;
mod infer;
mod masks;
mod parts;
mod stream;
mod values;

use std::sync::Arc;

use dativo_sdk::{
    Catalog, CatalogStream, Error, Estimate, Info, Method, Partition, Piece, ReadCatalog, Reader,
    SavedState, State,
};

pub use block::OnBad;
pub use config::{Config, StreamConfig};

use crate::config::{streams, threads};
use crate::files::{Block, Entry, Feed, History, Places};
use crate::flow::{Decoded, Format, Job, Limits};
use crate::progress::{Progress, Track};
use block::{Layout, Plan, decode};
use stream::{Stream, likely_boundary, schema};

/// Bytes of text that one thread decodes at a time.
const BLOCK: usize = 1 << 20;

/// What is to be read of a stream, in order, and its history where it is read incrementally.
type Todo = (Vec<Job>, Option<History>);

/// Reads CSV files.
pub struct CsvReader {
    config: Config,
    streams: Vec<Stream>,
    catalog: Option<ReadCatalog>,
    state: Option<SavedState>,
    progress: Option<Progress<CsvFormat>>,
}

/// A stream as it is read.
struct Reading {
    stream: Stream,
    plan: Plan,
    /// All columns of the stream.
    names: Vec<String>,
}

struct CsvFormat {
    streams: Vec<Option<Reading>>,
}

impl CsvFormat {
    fn of(&self, stream: usize) -> Result<&Reading, Error> {
        let found = self.streams.get(stream).and_then(Option::as_ref);
        found.ok_or_else(|| Error::connector("a file of a stream that is not read"))
    }
}

impl Format for CsvFormat {
    type Layout = Layout;

    fn open(&self, stream: usize, file: &Entry, feed: &mut Feed) -> Result<Layout, Error> {
        let reading = self.of(stream)?;
        reading
            .stream
            .layout(feed, file, &reading.plan, &reading.names)
    }

    fn boundary(&self, stream: usize, text: &[u8]) -> Option<usize> {
        likely_boundary(&self.of(stream).ok()?.stream.rules, text)
    }

    fn decode(
        &self,
        stream: usize,
        file: &Entry,
        layout: &Layout,
        block: &Block,
    ) -> Result<Decoded, Error> {
        decode(&self.of(stream)?.plan, layout, file, block)
    }
}

impl Reader for CsvReader {
    type Config = Config;

    const INFO: Info = Info::new("dativo-csv", env!("CARGO_PKG_VERSION"))
        .incremental()
        .checks()
        .partitions()
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
            let columns = stream.discover()?;
            let has = |origin| stream.config.has(origin);
            let schema = schema(
                &columns,
                has(crate::config::Origin::File),
                has(crate::config::Origin::Line),
            );
            Ok(
                CatalogStream::of_arrow(stream.source.id.clone(), Arc::new(schema))
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

    fn partitions(&mut self, count: usize, target_bytes: usize) -> Result<Vec<Partition>, Error> {
        let mut parts = Vec::new();
        for number in 0..self.streams.len() {
            let Some((jobs, history)) = self.todo(number)? else {
                continue;
            };
            let stream = &self.streams[number];
            parts.extend(parts::of_stream(
                stream,
                jobs,
                history,
                count,
                target_bytes,
            )?);
        }
        Ok(parts)
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

impl CsvReader {
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

    fn start(&mut self) -> Result<Progress<CsvFormat>, Error> {
        let token = self
            .catalog
            .as_ref()
            .and_then(|catalog| catalog.partition.clone());
        let mut jobs = Vec::new();
        let mut tracks = Vec::new();
        for number in 0..self.streams.len() {
            let todo = self.todo(number)?;
            let id = self.streams[number].source.id.clone();
            let (of_stream, history) = todo.unwrap_or_default();
            jobs.extend(of_stream);
            tracks.push(Track { id, history });
        }
        let mut threads = threads(self.config.threads);
        if let Some(token) = token {
            // Others read the other parts.
            threads = 1;
            jobs = parts::jobs(&token, &self.streams)?;
            tracks.iter_mut().for_each(|track| track.history = None);
        }
        let mut streams = Vec::new();
        for (number, stream) in std::mem::take(&mut self.streams).into_iter().enumerate() {
            let wanted = jobs.iter().any(|job| job.stream == number);
            let selected = self
                .catalog
                .as_ref()
                .and_then(|catalog| catalog.of(&stream.source.id));
            let planned = if wanted {
                Some(stream.plan(selected)?)
            } else {
                None
            };
            streams.push(planned.map(|(plan, names)| Reading {
                stream,
                plan,
                names,
            }));
        }
        let record = streams
            .iter()
            .flatten()
            .map(|reading| reading.stream.record)
            .max()
            .unwrap_or(BLOCK);
        let limits = Limits {
            threads,
            block: self.config.block_bytes.unwrap_or(BLOCK).clamp(1, 1 << 28),
            record,
        };
        Ok(Progress::start(
            CsvFormat { streams },
            jobs,
            tracks,
            limits,
        )?)
    }
}
