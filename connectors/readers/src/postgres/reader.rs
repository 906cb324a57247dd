//! The reader: streams one after the other, each a COPY decoded batch by batch.

use std::collections::VecDeque;

use dativo_sdk::serde_json::{Value, from_slice};
use dativo_sdk::{
    Catalog, CatalogStream, Error, Estimate, Info, Method, Partition, Piece, ReadCatalog, Reader,
    SavedState, SelectedStream, State, StreamId,
};

use super::config::{BadValues, PostgresConfig};
use super::connection::Connection;
use super::plan::{self, By, Copy, Position, Task, Token};
use super::relations::{self, Relation, Wanted};
use super::rows::{Limits, OnBadValue, Rows};
use super::settings::Settings;
use super::tuples::Broken;
use super::types::Types;

/// Size of a batch's Arrow buffers.
const BATCH_BYTES: usize = 2 << 20;

/// Tables, views and queries of a PostgreSQL database.
///
/// All that one reader reads is of one snapshot. Streams that are read incrementally come first, so that their states are not
/// held back by the rows of those that have none.
pub struct PostgresReader {
    config: PostgresConfig,
    settings: Settings,
    catalog: ReadCatalog,
    /// There is no catalog: all there is is to be read.
    everything: bool,
    state: SavedState,
    connection: Option<Connection>,
    tasks: VecDeque<Task>,
    planned: bool,
    current: Option<Current>,
    pieces: VecDeque<Piece>,
    /// Covers all pieces that are made.
    reached: Option<State>,
    /// Covers all pieces that were given.
    covered: Option<State>,
}

/// A stream that is being read.
struct Current {
    stream: StreamId,
    by: Option<By>,
    copies: VecDeque<Copy>,
    /// Whether the rows of the COPY at hand are in the cursor's order.
    ordered: bool,
    rows: Rows,
    what: String,
}

impl Reader for PostgresReader {
    type Config = PostgresConfig;

    const INFO: Info = Info::new("postgres", env!("CARGO_PKG_VERSION"))
        .incremental()
        .partitions()
        .estimates();

    fn initialize(
        config: PostgresConfig,
        catalog: Option<ReadCatalog>,
        state: Option<SavedState>,
    ) -> Result<Self, Error> {
        Ok(Self {
            settings: Settings::new(&config)?,
            config,
            everything: catalog.is_none(),
            catalog: catalog.unwrap_or_default(),
            state: state.unwrap_or_default(),
            connection: None,
            tasks: VecDeque::new(),
            planned: false,
            current: None,
            pieces: VecDeque::new(),
            reached: None,
            covered: None,
        })
    }

    fn get_schema(&mut self) -> Result<Catalog, Error> {
        let relations = self.relations(&Wanted::Offered)?;
        Ok(relations.iter().map(described).collect())
    }

    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error> {
        self.covered = None;
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                if self.pieces.is_empty() {
                    self.covered = self.reached.take();
                }
                return Ok(Some(piece));
            }
            if self.current.is_none() && !self.start_stream()? {
                return Ok(None);
            }
            self.fill(Limits {
                rows: max_rows.max(1),
                bytes: BATCH_BYTES,
            })?;
        }
    }

    fn get_incremental_state(&mut self) -> Result<Option<State>, Error> {
        Ok(self.covered.clone())
    }

    fn close(&mut self) -> Result<(), Error> {
        if let Some(mut connection) = self.connection.take() {
            connection.abandon(&self.settings);
        }
        Ok(())
    }

    fn partitions(&mut self, count: usize, target_bytes: usize) -> Result<Vec<Partition>, Error> {
        let relations = self.begin(None)?;
        let connection = self.connection()?;
        let rows = connection.rows("SELECT pg_catalog.pg_export_snapshot()", "share a snapshot")?;
        let snapshot = rows
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .unwrap_or_default();
        let mut parts = Vec::new();
        for selection in in_order(&self.catalog) {
            let relation = found(&relations, &selection.id)?;
            let position = self.position_of(&selection)?;
            let task = plan::task(
                relation,
                &selection,
                self.config.boundary,
                position.as_ref(),
                None,
            )?;
            let known = position.filter(|position| {
                task.by
                    .as_ref()
                    .is_some_and(|by| by.name == position.cursor)
            });
            let size = (count, target_bytes);
            parts.extend(plan::parts(
                self.connection()?,
                relation,
                &task,
                known.as_ref(),
                &snapshot,
                size,
            )?);
        }
        Ok(parts)
    }

    fn estimates(&mut self) -> Result<Vec<Estimate>, Error> {
        let ids: Vec<StreamId> = self
            .catalog
            .streams
            .iter()
            .map(|stream| stream.id.clone())
            .collect();
        let wanted: Vec<&StreamId> = ids.iter().collect();
        let relations = self.relations(&Wanted::Only(&wanted))?;
        let known = relations
            .into_iter()
            .filter(|relation| relation.rows.is_some());
        Ok(known
            .map(|relation| Estimate {
                stream: Some(relation.id),
                rows: relation.rows,
                bytes: None,
            })
            .collect())
    }
}

impl PostgresReader {
    fn connection(&mut self) -> Result<&mut Connection, Error> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(Connection::open(&self.settings)?)),
        }
    }

    fn relations(&mut self, wanted: &Wanted<'_>) -> Result<Vec<Relation>, Error> {
        let config = self.config.clone();
        let connection = self.connection()?;
        let types = Types::load(connection, config.numeric, config.arrays)?;
        relations::list(connection, &config, &types, wanted)
    }

    /// Begins the transaction that all is read in, and asks for what is selected.
    fn begin(&mut self, snapshot: Option<&str>) -> Result<Vec<Relation>, Error> {
        let timeout = self.settings.statement_timeout;
        self.connection()?.begin(snapshot, timeout)?;
        let ids: Vec<StreamId> = self
            .catalog
            .streams
            .iter()
            .map(|stream| stream.id.clone())
            .collect();
        let wanted: Vec<&StreamId> = ids.iter().collect();
        self.relations(&Wanted::Only(&wanted))
    }

    fn position_of(&self, selection: &SelectedStream) -> Result<Option<Position>, Error> {
        match selection.method {
            Method::Incremental => self.state.of(&selection.id),
            Method::FullRefresh => Ok(None),
        }
    }

    /// Finds out what to ask for.
    fn plan(&mut self) -> Result<(), Error> {
        self.planned = true;
        let token = self.catalog.partition.take().map(|token| {
            from_slice::<Token>(&token)
                .map_err(|_| Error::config("the partition is none of this reader"))
        });
        let boundary = self.config.boundary;
        if let Some(token) = token.transpose()? {
            let id = StreamId::new(token.name, token.namespace.as_deref());
            self.catalog.streams.retain(|selection| selection.id == id);
            let relations = self.begin(Some(&token.snapshot))?;
            for selection in &self.catalog.streams {
                let relation = found(&relations, &selection.id)?;
                self.tasks.push_back(plan::task(
                    relation,
                    selection,
                    boundary,
                    token.position.as_ref(),
                    token.pages,
                )?);
            }
            return Ok(());
        }
        if self.everything {
            self.catalog = ReadCatalog::everything(&self.get_schema()?);
        }
        if self.catalog.streams.is_empty() {
            return Ok(());
        }
        let relations = self.begin(None)?;
        for selection in in_order(&self.catalog) {
            let relation = found(&relations, &selection.id)?;
            let position = self.position_of(&selection)?;
            self.tasks.push_back(plan::task(
                relation,
                &selection,
                boundary,
                position.as_ref(),
                None,
            )?);
        }
        Ok(())
    }

    /// Begins the next stream; false when there is none.
    fn start_stream(&mut self) -> Result<bool, Error> {
        if !self.planned {
            self.plan()?;
        }
        let Some(task) = self.tasks.pop_front() else {
            return Ok(false);
        };
        let on_bad_value = match self.config.bad_values {
            BadValues::Quarantine => OnBadValue::Reject,
            BadValues::Null => OnBadValue::Null,
        };
        let mut current = Current {
            what: format!("read stream `{}`", task.stream),
            stream: task.stream,
            by: task.by,
            copies: task.copies.into(),
            ordered: false,
            rows: Rows::new(task.kinds, task.schema, on_bad_value),
        };
        self.start_copy(&mut current)?;
        self.current = Some(current);
        Ok(true)
    }

    fn start_copy(&mut self, current: &mut Current) -> Result<bool, Error> {
        let Some(copy) = current.copies.pop_front() else {
            return Ok(false);
        };
        current.ordered = copy.ordered;
        current.rows.restart();
        if let (true, Some(by)) = (copy.ordered, &current.by) {
            current.rows.follow(by.column, by.exclusive && !by.unique);
        }
        let connection = self.connection()?;
        let named = |error: Error| error.with_fact("stream", current.stream.to_string());
        connection.copy(&copy.sql, &current.what).map_err(named)?;
        Ok(true)
    }

    /// Reads until a batch is full or the stream ends, and makes pieces of it.
    fn fill(&mut self, limits: Limits) -> Result<(), Error> {
        let Some(mut current) = self.current.take() else {
            return Ok(());
        };
        let ended = self
            .read_on(&mut current, limits)
            .map_err(|error| error.with_fact("stream", current.stream.to_string()))?;
        let (batch, rejects) = current.rows.finish()?;
        self.pieces
            .extend(batch.map(|batch| Piece::batch(current.stream.clone(), batch)));
        self.pieces
            .extend(rejects.map(|rejects| Piece::rejects(current.stream.clone(), rejects)));
        self.reached = current.position()?;
        if !ended || self.start_copy(&mut current)? {
            self.current = Some(current);
        }
        Ok(())
    }
}

impl PostgresReader {
    /// Decodes until a batch is full; true at the end of the COPY.
    fn read_on(&mut self, current: &mut Current, limits: Limits) -> Result<bool, Error> {
        let connection = self.connection()?;
        let (rows, what) = (&mut current.rows, current.what.as_str());
        let broken = |Broken(found): Broken| {
            Error::connector(format!("cannot {what}: the server sent {found}"))
        };
        let mut full = rows.resume(limits).map_err(broken)?;
        while !full {
            match connection.copied(what)? {
                Some(data) => full = rows.push(data, limits).map_err(broken)?,
                None if rows.has_ended() => return Ok(true),
                None => return Err(broken(Broken("a COPY that ends in the midst of a row"))),
            }
        }
        // Whether the rows so far are all of their value is known by the next one.
        if rows.wants_next() {
            match connection.copied(what)? {
                Some(data) => rows.keep(data),
                None => return Ok(true),
            }
        }
        Ok(false)
    }
}

impl Current {
    /// The state that covers all rows so far, if there is one.
    fn position(&self) -> Result<Option<State>, Error> {
        let Some(by) = self.by.as_ref().filter(|_| self.ordered) else {
            return Ok(None);
        };
        if by.exclusive && !by.unique && !self.rows.is_between_groups() {
            return Ok(None);
        }
        let Some(value) = self.rows.last_cursor() else {
            return Ok(None);
        };
        let position = Position {
            cursor: by.name.clone(),
            value,
            type_name: by.type_name.clone(),
        };
        State::of(self.stream.clone(), &position).map(Some)
    }
}

/// Streams with states first.
fn in_order(catalog: &ReadCatalog) -> Vec<SelectedStream> {
    let mut streams = catalog.streams.clone();
    streams.sort_by_key(|selection| selection.method != Method::Incremental);
    streams
}

fn found<'a>(relations: &'a [Relation], id: &StreamId) -> Result<&'a Relation, Error> {
    relations.iter().find(|relation| relation.id == *id).ok_or_else(|| {
        Error::connector(format!("stream `{id}` is not there, or may not be read"))
            .with_hint("it was dropped or renamed since the streams were asked for, or SELECT on it was revoked")
            .with_fact("stream", id.to_string())
    })
}

fn described(relation: &Relation) -> CatalogStream {
    let schema = plan::schema(&relation.columns);
    let mut stream = CatalogStream::of_arrow(relation.id.clone(), schema)
        .with_primary_key(relation.primary_key.clone());
    if relation
        .columns
        .iter()
        .any(|column| column.reading.kind.is_ordered())
    {
        stream = stream.incremental(relation.cursor.as_deref());
    }
    if let Some(comment) = &relation.comment {
        stream.json_schema["description"] = Value::from(comment.as_str());
    }
    for column in &relation.columns {
        if let Some(comment) = &column.comment {
            stream.json_schema["properties"][&column.name]["description"] =
                Value::from(comment.as_str());
        }
    }
    stream
}
