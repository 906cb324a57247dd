//! Parquet files: only the columns and row groups that are asked for.

mod chunks;
mod config;
mod cursor;
mod footers;
mod windows;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use dativo_sdk::{
    Catalog, CatalogStream, Error, Estimate, Info, Method, Partition, Piece, ReadCatalog, Reader,
    SavedState, SelectedStream, State,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use serde::{Deserialize, Serialize};

pub use config::{Config, StreamConfig};

use crate::config::{Source, streams};
use crate::files::{Entry, History, Place, Places};
use chunks::{Chunks, Failure};
use cursor::{Cursor, Reached};
use footers::Footers;
use windows::Windows;

/// Rows decoded at a time, at most.
const ROWS: usize = 16_384;

/// Bytes of data below which a part is not worth a reader of its own.
const SMALLEST_PART: u64 = 1 << 20;

/// Reads Parquet files.
pub struct ParquetReader {
    streams: Vec<(Source, StreamConfig)>,
    catalog: Option<ReadCatalog>,
    saved: Option<SavedState>,
    /// What is still to be read, in reverse.
    todo: Option<Vec<Stretch>>,
    tracks: Vec<Track>,
    footers: Footers,
    /// The object that was opened last, and what is fetched of it.
    fetched: Option<(usize, Chunks)>,
    open: Option<Open>,
    ahead: Option<Given>,
    /// Covers what was given.
    state: Option<State>,
}

/// A batch, and the history of its stream where that covers it.
struct Given {
    stream: usize,
    batch: RecordBatch,
    history: Option<History>,
}

/// How a stream is read.
#[derive(Default)]
struct Track {
    history: Option<History>,
    cursor: Option<Cursor>,
    /// The columns that are read, as they were discovered.
    schema: Option<SchemaRef>,
}

/// Row groups of a file.
#[derive(Debug, Clone)]
struct Stretch {
    stream: usize,
    place: Place,
    file: Entry,
    groups: Vec<usize>,
    /// Of the file's groups, the last one is among them.
    whole: bool,
}

/// What a part's token says.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    stream: String,
    path: String,
    modified: i64,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    groups: Vec<usize>,
}

impl Part {
    /// Whether a file is as it was.
    fn is_of(&self, file: &Entry) -> bool {
        self.modified == file.modified && self.size == file.size && self.tag == file.tag
    }
}

struct Open {
    stretch: Stretch,
    rows: ParquetRecordBatchReader,
    failure: Failure,
    /// Decoded and not given yet.
    ahead: Option<RecordBatch>,
}

/// What the file's place said, or else the decoder.
fn failed(file: &Entry, failure: &Failure, error: &dyn std::fmt::Display) -> Error {
    failure.take().unwrap_or_else(|| {
        Error::connector(format!(
            "`{}` is no Parquet file that can be read: {error}",
            file.path
        ))
        .with_fact("file", file.path.as_str())
    })
}

/// The columns of all files: those of the first, then what others have more.
fn discover(source: &Source, footers: &Footers) -> Result<SchemaRef, Error> {
    let mut fields: Vec<Arc<arrow_schema::Field>> = Vec::new();
    let files = source.files.iter().map(|(place, file)| (place, file));
    footers.each(files, |number, found| {
        let (_, file) = &source.files[number];
        for field in found.schema().fields() {
            match fields.iter_mut().find(|known| known.name() == field.name()) {
                None => fields.push(Arc::new(field.as_ref().clone().with_metadata(clean(field)))),
                Some(known) if known.data_type() == field.data_type() => {
                    if field.is_nullable() && !known.is_nullable() {
                        *known = Arc::new(known.as_ref().clone().with_nullable(true));
                    }
                }
                Some(known) => return Err(differs(source, file, known, field)),
            }
        }
        Ok(())
    })?;
    if source.files.len() > 1 {
        // A file may lack what another has.
        fields = fields
            .iter()
            .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
            .collect();
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A field's metadata without the number that it has in its file.
fn clean(field: &arrow_schema::Field) -> std::collections::HashMap<String, String> {
    let mut metadata = field.metadata().clone();
    metadata.remove("PARQUET:field_id");
    metadata
}

fn differs(
    source: &Source,
    file: &Entry,
    known: &arrow_schema::Field,
    found: &arrow_schema::Field,
) -> Error {
    let (name, stream) = (known.name(), source.id.name());
    Error::contract(format!(
        "stream `{stream}`: column `{name}` of `{}` is {}, elsewhere {}",
        file.path,
        found.data_type(),
        known.data_type()
    ))
    .with_hint("give the files that differ a stream of their own")
    .with_fact("stream", stream)
    .with_fact("file", file.path.as_str())
}

impl Reader for ParquetReader {
    type Config = Config;

    const INFO: Info = Info::new("dativo-parquet", env!("CARGO_PKG_VERSION"))
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
        let found = named.into_iter().map(|(name, own)| {
            let source = Source::find(&name, own.path.as_ref(), &mut places)?;
            let primary_key = own.primary_key.or_else(|| config.primary_key.clone());
            Ok((
                source,
                StreamConfig {
                    path: own.path,
                    primary_key,
                },
            ))
        });
        let streams = found.collect::<Result<Vec<_>, Error>>()?;
        places.complete()?;
        Ok(Self {
            streams,
            catalog,
            saved: state,
            todo: None,
            tracks: Vec::new(),
            footers: Footers::default(),
            fetched: None,
            open: None,
            ahead: None,
            state: None,
        })
    }

    fn get_schema(&mut self) -> Result<Catalog, Error> {
        let described = self.streams.iter().map(|(source, config)| {
            Ok(
                CatalogStream::of_arrow(source.id.clone(), discover(source, &self.footers)?)
                    .with_primary_key(config.primary_key.iter().flatten().cloned())
                    .incremental_by_any_or_by_itself(),
            )
        });
        described.collect()
    }

    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error> {
        if self.todo.is_none() {
            let mut todo = self.start()?;
            todo.reverse();
            self.todo = Some(todo);
            self.ahead = self.fetch(max_rows)?;
        }
        // One batch is looked at ahead: only so is the last one of a stream known.
        let Some(given) = self.ahead.take() else {
            return Ok(None);
        };
        self.ahead = self.fetch(max_rows)?;
        let id = &self.streams[given.stream].0.id;
        self.state = match (&self.tracks[given.stream].cursor, given.history) {
            // Rows come in the order of the files: the cursor covers them when all are read.
            (Some(cursor), _)
                if self
                    .ahead
                    .as_ref()
                    .is_none_or(|next| next.stream != given.stream) =>
            {
                Some(State::of(id.clone(), &cursor.reached()?)?)
            }
            (None, Some(history)) => Some(State::of(id.clone(), &history)?),
            _ => None,
        };
        Ok(Some(Piece::batch(id.clone(), given.batch)))
    }

    fn get_incremental_state(&mut self) -> Result<Option<State>, Error> {
        Ok(self.state.clone())
    }

    fn check(&mut self) -> Result<(), Error> {
        self.get_schema().map(drop)
    }

    fn partitions(&mut self, count: usize, target_bytes: usize) -> Result<Vec<Partition>, Error> {
        let mut parts = Vec::new();
        for stretch in self.stretches(count, target_bytes)? {
            let track = &mut self.tracks[stretch.stream];
            if track.cursor.is_some() {
                // Only who reads all of it knows how far the cursor is.
                return Ok(Vec::new());
            }
            let stream = self.streams[stretch.stream].0.id.clone();
            if let Some(history) = &mut track.history {
                reach(history, &stretch);
            }
            let state = track
                .history
                .as_ref()
                .map(|history| State::of(stream.clone(), history))
                .transpose()?;
            let Entry {
                path,
                modified,
                size,
                tag,
            } = stretch.file;
            let part = Part {
                stream: stream.name().to_owned(),
                path,
                modified,
                size,
                tag,
                groups: stretch.groups,
            };
            let token = serde_json::to_vec(&part)
                .map_err(|error| Error::connector(format!("a part is not JSON: {error}")))?;
            parts.push(Partition { token, state });
        }
        Ok(parts)
    }

    fn estimates(&mut self) -> Result<Vec<Estimate>, Error> {
        let mut estimates: Vec<Estimate> = Vec::new();
        for stretch in self.start()? {
            let metadata = Arc::clone(self.footers.of(&stretch.place, &stretch.file)?.metadata());
            let groups = stretch
                .groups
                .iter()
                .map(|group| metadata.row_group(*group));
            let (rows, bytes) = groups.fold((0, 0), |(rows, bytes), group| {
                (
                    rows + group.num_rows() as u64,
                    bytes + group.compressed_size() as u64,
                )
            });
            let id = &self.streams[stretch.stream].0.id;
            match estimates
                .iter_mut()
                .find(|known| known.stream.as_ref() == Some(id))
            {
                Some(known) => {
                    known.rows = known.rows.map(|sum| sum + rows);
                    known.bytes = known.bytes.map(|sum| sum + bytes);
                }
                None => estimates.push(Estimate {
                    stream: Some(id.clone()),
                    rows: Some(rows),
                    bytes: Some(bytes),
                }),
            }
        }
        Ok(estimates)
    }
}

/// At most so many rows, and the others.
fn split(batch: RecordBatch, max_rows: usize) -> (RecordBatch, Option<RecordBatch>) {
    let max_rows = max_rows.max(1);
    if batch.num_rows() <= max_rows {
        return (batch, None);
    }
    let rest = batch.slice(max_rows, batch.num_rows() - max_rows);
    (batch.slice(0, max_rows), Some(rest))
}

fn next(
    file: &Entry,
    failure: &Failure,
    rows: &mut ParquetRecordBatchReader,
) -> Result<Option<RecordBatch>, Error> {
    rows.next()
        .transpose()
        .map_err(|error| failed(file, failure, &error))
}

/// The row groups of a file that may hold something new.
fn groups(
    file: &Entry,
    found: &ArrowReaderMetadata,
    track: &Track,
    from: usize,
) -> Result<Vec<usize>, Error> {
    let metadata = found.metadata();
    let all = from..metadata.num_row_groups();
    let Some(cursor) = &track.cursor else {
        return Ok(all.collect());
    };
    let converter =
        StatisticsConverter::try_new(&cursor.name, found.schema(), found.parquet_schema());
    let Ok(converter) = converter else {
        return Ok(all.collect());
    };
    let greatest: ArrayRef = converter
        .row_group_maxes(metadata.row_groups())
        .map_err(|error| failed(file, &Failure::default(), &error))?;
    let wants = cursor.wants(&greatest)?;
    Ok(all.filter(|group| wants.value(*group)).collect())
}

/// All of a stretch was read.
fn reach(history: &mut History, stretch: &Stretch) {
    if stretch.whole {
        history.finished(&stretch.file);
    } else {
        history.reached(
            &stretch.file,
            stretch.groups.last().map_or(0, |group| *group as u64 + 1),
            0,
        );
    }
}

impl ParquetReader {
    fn selected(&self, stream: usize) -> Option<&SelectedStream> {
        self.catalog
            .as_ref()
            .and_then(|catalog| catalog.of(&self.streams[stream].0.id))
    }

    /// What is to be read, a row group at a time, in order.
    fn start(&mut self) -> Result<Vec<Stretch>, Error> {
        let mut stretches = Vec::new();
        let mut tracks = Vec::new();
        let token = self
            .catalog
            .as_ref()
            .and_then(|catalog| catalog.partition.clone());
        let part: Option<Part> = token
            .map(|token| serde_json::from_slice(&token))
            .transpose()
            .map_err(|error| Error::config(format!("not a part of this reader: {error}")))?;
        for number in 0..self.streams.len() {
            let (track, of_stream) = self.track(number, part.as_ref())?;
            tracks.push(track);
            stretches.extend(of_stream);
        }
        self.tracks = tracks;
        Ok(stretches)
    }

    /// The same, of each file as many row groups at once as are worth a reader of their own.
    fn stretches(&mut self, count: usize, target_bytes: usize) -> Result<Vec<Stretch>, Error> {
        let mut sized = Vec::new();
        for stretch in self.start()? {
            let found = self.footers.of(&stretch.place, &stretch.file)?;
            let groups = stretch.groups.iter();
            let bytes = groups.map(|group| found.metadata().row_group(*group).total_byte_size());
            let bytes: i64 = bytes.sum();
            sized.push((stretch, bytes.max(0) as u64));
        }
        let total: u64 = sized.iter().map(|(_, bytes)| bytes).sum();
        let most = (target_bytes as u64).max(SMALLEST_PART);
        let target = (total / count.max(1) as u64 + 1).clamp(SMALLEST_PART, most);
        let mut joined: Vec<(Stretch, u64)> = Vec::new();
        for (stretch, bytes) in sized {
            match joined.last_mut() {
                Some((last, sum))
                    if last.stream == stretch.stream
                        && last.file == stretch.file
                        && *sum + bytes <= target =>
                {
                    last.groups.extend(stretch.groups);
                    last.whole = stretch.whole;
                    *sum += bytes;
                }
                _ => joined.push((stretch, bytes)),
            }
        }
        Ok(joined.into_iter().map(|(stretch, _)| stretch).collect())
    }

    fn track(&self, number: usize, part: Option<&Part>) -> Result<(Track, Vec<Stretch>), Error> {
        let source = &self.streams[number].0;
        let selected = self.selected(number);
        let left_out = self.catalog.is_some() && selected.is_none()
            || part.is_some_and(|part| part.stream != source.id.name());
        if left_out {
            return Ok((Track::default(), Vec::new()));
        }
        let all = match selected.and_then(|selected| selected.arrow_schema.clone()) {
            Some(schema) => schema,
            None => discover(source, &self.footers)?,
        };
        let wanted = all
            .fields()
            .iter()
            .filter(|field| selected.is_none_or(|selected| selected.wants(field.name())))
            .cloned();
        let schema: SchemaRef = Arc::new(Schema::new(wanted.collect::<Vec<_>>()));
        let incremental = part.is_none()
            && selected.is_some_and(|selected| selected.method == Method::Incremental);
        let column = selected
            .and_then(|selected| selected.cursor.as_deref())
            .filter(|_| incremental);
        let mut track = Track {
            schema: Some(Arc::clone(&schema)),
            ..Track::default()
        };
        if let Some(name) = column {
            let field = schema.field_with_name(name).map_err(|_| {
                Error::config(format!(
                    "stream `{}` has no column `{name}` to be its cursor",
                    source.id.name()
                ))
            })?;
            let saved = self
                .saved
                .as_ref()
                .map_or(Ok(None), |state| state.of::<Reached>(&source.id))?;
            track.cursor = Some(Cursor::new(name, field.data_type(), saved)?);
        }
        let (todo, history) = source.todo(incremental && column.is_none(), self.saved.as_ref())?;
        track.history = history;
        let mut stretches = Vec::new();
        let mut add = |place: &Place, file: &Entry, groups: Vec<usize>| {
            let last = groups.len().saturating_sub(1);
            stretches.extend(groups.into_iter().enumerate().map(|(at, group)| Stretch {
                stream: number,
                place: place.clone(),
                file: file.clone(),
                groups: vec![group],
                whole: at == last,
            }));
        };
        if let Some(part) = part {
            let found = todo.iter().find(|(_, file, _)| file.path == part.path);
            if let Some((place, file, _)) = found {
                if !part.is_of(file) {
                    return Err(crate::flow::changed(file));
                }
                add(place, file, part.groups.clone());
            }
            return Ok((track, stretches));
        }
        let files = todo.iter().map(|(place, file, _)| (place, file));
        self.footers.each(files, |number, found| {
            let (place, file, from) = &todo[number];
            let from = from.as_ref().map_or(0, |from| from.offset as usize);
            add(place, file, groups(file, found, &track, from)?);
            Ok(())
        })?;
        Ok((track, stretches))
    }

    fn open(&mut self, stretch: Stretch, max_rows: usize) -> Result<Open, Error> {
        let file = &stretch.file;
        let found = self.footers.of(&stretch.place, file)?;
        let names = self.tracks[stretch.stream]
            .schema
            .iter()
            .flat_map(|schema| schema.fields());
        let roots: Vec<usize> = names
            .filter_map(|field| found.schema().index_of(field.name()).ok())
            .collect();
        let mask = ProjectionMask::roots(found.parquet_schema(), roots);
        let chunks = self.chunks(&stretch, &found, &mask);
        let failure = chunks.failure.clone();
        let built = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, found)
            .with_projection(mask)
            .with_row_groups(stretch.groups.clone())
            .with_batch_size(max_rows.clamp(1, ROWS))
            .build();
        let mut rows = built.map_err(|error| failed(file, &failure, &error))?;
        let ahead = next(file, &failure, &mut rows)?;
        Ok(Open {
            stretch,
            rows,
            failure,
            ahead,
        })
    }

    /// The file of a stretch; of an object, also what the stretches behind it want is fetched.
    fn chunks(
        &mut self,
        stretch: &Stretch,
        found: &ArrowReaderMetadata,
        mask: &ProjectionMask,
    ) -> Chunks {
        let mut chunks = Chunks {
            place: stretch.place.clone(),
            file: stretch.file.clone(),
            windows: None,
            failure: Failure::default(),
        };
        let Place::Bucket(bucket) = &stretch.place else {
            return chunks;
        };
        if let Some((stream, open)) = &self.fetched
            && *stream == stretch.stream
            && open.file == stretch.file
        {
            return open.clone();
        }
        let behind = self.todo.iter().flatten().rev();
        let behind = behind
            .take_while(|next| next.stream == stretch.stream && next.file == stretch.file)
            .flat_map(|next| &next.groups);
        let groups = stretch.groups.iter().chain(behind).map(|group| {
            let columns = found.metadata().row_group(*group).columns().iter();
            let wanted = columns
                .enumerate()
                .filter(|(leaf, _)| mask.leaf_included(*leaf));
            let ranges = wanted.map(|(_, column)| {
                let (start, len) = column.byte_range();
                start..start + len
            });
            ranges.filter(|range| !range.is_empty()).collect()
        });
        let windows = Windows::new(Arc::clone(bucket), stretch.file.clone(), groups.collect());
        chunks.windows = Some(Arc::new(windows));
        self.fetched = Some((stretch.stream, chunks.clone()));
        chunks
    }

    /// The next batch that is not empty.
    fn fetch(&mut self, max_rows: usize) -> Result<Option<Given>, Error> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(stretch) = self.todo.as_mut().and_then(Vec::pop) else {
                    return Ok(None);
                };
                self.open = Some(self.open(stretch, max_rows)?);
                continue;
            };
            let Some(batch) = open.ahead.take() else {
                self.finish_stretch();
                continue;
            };
            let (batch, rest) = split(batch, max_rows);
            let stream = open.stretch.stream;
            open.ahead = match rest {
                Some(rest) => Some(rest),
                None => next(&open.stretch.file, &open.failure, &mut open.rows)?,
            };
            let ended = open.ahead.is_none();
            if ended {
                self.finish_stretch();
            }
            if let Some(batch) = self.fitted(stream, batch)? {
                let history = if ended {
                    self.tracks[stream].history.clone()
                } else {
                    None
                };
                return Ok(Some(Given {
                    stream,
                    batch,
                    history,
                }));
            }
        }
    }

    /// The open stretch was given.
    fn finish_stretch(&mut self) {
        let Some(Open { stretch, .. }) = self.open.take() else {
            return;
        };
        if let Some(history) = &mut self.tracks[stretch.stream].history {
            reach(history, &stretch);
        }
    }

    /// The rows that are new, with the columns as they were discovered.
    fn fitted(&mut self, stream: usize, batch: RecordBatch) -> Result<Option<RecordBatch>, Error> {
        let source = &self.streams[stream].0;
        let track = &mut self.tracks[stream];
        let Some(schema) = &track.schema else {
            return Ok(None);
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(match batch.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
                Some(column) => {
                    return Err(Error::contract(format!(
                        "stream `{}`: column `{}` is {}, not {} as it was discovered",
                        source.id.name(),
                        field.name(),
                        column.data_type(),
                        field.data_type()
                    ))
                    .with_hint("discover the streams anew"));
                }
                None => arrow_array::new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let mut batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        if let Some(cursor) = &mut track.cursor
            && let Some(values) = batch.column_by_name(&cursor.name).cloned()
        {
            if let Some(keep) = cursor.new_rows(&values)? {
                batch = filter_record_batch(&batch, &keep)?;
            }
            cursor.note(&values)?;
        }
        Ok((batch.num_rows() > 0).then_some(batch))
    }
}
