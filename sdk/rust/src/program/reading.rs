//! A reader at work: its pieces and states, checked and said.

use super::command::Command;
use super::ending;
use super::inputs;
use super::outlet::{Halt, Outlet, Said};
use super::singer_catalog;
use super::singer_state::read_bookmarks;
use super::voice::Voice;
use crate::{
    Catalog, CatalogStream, Error, Method, Piece, ReadCatalog, Reader, SavedState, SelectedStream,
    State, StreamId, parse_config,
};

/// Whether the configuration works.
pub(super) fn check<R: Reader>(config: &[u8]) -> Result<(), Halt> {
    open::<R, _>(config, None, None, |reader| Ok(reader.check()?))
}

/// The streams there are.
pub(super) fn discover<R: Reader>(config: &[u8]) -> Result<Catalog, Halt> {
    open::<R, _>(config, None, None, |reader| Ok(reader.get_schema()?))
}

/// What is to be read.
pub(super) struct Reading {
    catalog: Option<ReadCatalog>,
    state: Option<SavedState>,
}

impl Reading {
    /// As an Airbyte source is told it.
    pub(super) fn of_source(command: &Command) -> Result<Self, Error> {
        Ok(Self {
            catalog: inputs::read_catalog(
                command.catalog.as_deref(),
                command.partition.as_deref(),
            )?,
            state: inputs::read_state(command.state.as_deref())?,
        })
    }

    /// As a tap is told it. Names of its catalog and state become streams by what the reader says of them.
    pub(super) fn of_tap<R: Reader>(config: &[u8], command: &Command) -> Result<Self, Halt> {
        let (catalog, state) = (command.catalog.as_deref(), command.state.as_deref());
        if catalog.is_none() && state.is_none() {
            return Ok(Self {
                catalog: None,
                state: None,
            });
        }
        let everything = discover::<R>(config)?;
        let said = catalog
            .map(|file| inputs::object(file, "catalog"))
            .transpose()?;
        let selected = said
            .map(|said| singer_catalog::selected(&everything, &said))
            .transpose()?;
        Ok(Self {
            state: read_bookmarks(state, &everything)?,
            catalog: selected,
        })
    }

    /// Reads to the end, and says each piece and the state behind it. `log` takes what is for stderr.
    pub(super) fn run<R: Reader>(
        self,
        config: &[u8],
        max_rows: usize,
        voice: &mut dyn Voice,
        outlet: &Outlet,
        log: &mut dyn FnMut(&str),
    ) -> Result<(), Halt> {
        let selected = self.catalog.as_ref().map(|catalog| {
            let streams = catalog.streams.iter();
            streams.map(announced).collect::<Vec<CatalogStream>>()
        });
        let partition = self
            .catalog
            .as_ref()
            .and_then(|catalog| catalog.partition.as_ref());
        let is_part = partition.is_some();
        let mut saved = self.state.clone().unwrap_or_default();
        open::<R, _>(config, self.catalog, self.state, |reader| {
            let streams = match selected {
                Some(streams) => streams,
                None => reader.get_schema()?.streams,
            };
            outlet.say(Said::Lines(voice.started(&streams)))?;
            if R::INFO.has("estimates") && !is_part {
                for estimate in reader.estimates()? {
                    outlet.say(Said::Lines(voice.estimate(&estimate)))?;
                }
            }
            while let Some(piece) = next(reader, max_rows)? {
                let stream = piece.stream.clone();
                if !streams.iter().any(|selected| selected.id == stream) {
                    let what = format!("it gave rows of `{stream}`, which is not selected");
                    return Err(broken(&what, &stream).into());
                }
                for said in voice.piece(piece)? {
                    outlet.say(said)?;
                }
                log(&voice.warnings());
                // Of the readers of parts no state is asked.
                let state = if is_part {
                    None
                } else {
                    reader.get_incremental_state()?
                };
                if let Some(state) = state {
                    check_state(&state, &stream)?;
                    saved.merge(state.clone());
                    outlet.say(Said::Lines(voice.state(&state, &saved)))?;
                }
            }
            outlet.say(Said::Lines(voice.ended(&saved)))
        })
    }
}

/// A reader for `work`, closed however that ends; its error is the one that counts.
pub(super) fn open<R: Reader, T>(
    config: &[u8],
    catalog: Option<ReadCatalog>,
    state: Option<SavedState>,
    work: impl FnOnce(&mut R) -> Result<T, Halt>,
) -> Result<T, Halt> {
    let mut reader = R::initialize(parse_config(config)?, catalog, state)?;
    let done = work(&mut reader);
    let closed = reader.close();
    ending::end_if_asked();
    let done = done?;
    closed?;
    Ok(done)
}

/// The next piece, unless the program is to end.
fn next<R: Reader>(reader: &mut R, max_rows: usize) -> Result<Option<Piece>, Halt> {
    if ending::is_asked() {
        return Err(Halt::Closed);
    }
    Ok(reader.read_batch(max_rows)?)
}

fn check_state(state: &State, stream: &StreamId) -> Result<(), Error> {
    if let Some(other) = state.stream.as_ref().filter(|other| *other != stream) {
        let what = format!("its state after a batch of `{stream}` is one of `{other}`");
        return Err(broken(&what, stream));
    }
    if !state.data.get().starts_with('{') {
        return Err(broken(
            &format!("its state of `{stream}` is no JSON object"),
            stream,
        ));
    }
    Ok(())
}

fn broken(what: &str, stream: &StreamId) -> Error {
    Error::connector(format!("the reader breaks its contract: {what}"))
        .with_hint("this is a bug in the reader: tell its makers")
        .with_fact("stream", stream.to_string())
}

/// A selected stream as it is announced: with the fields that are read, and no others.
fn announced(selected: &SelectedStream) -> CatalogStream {
    let mut json_schema = selected.json_schema.clone();
    let wanted = |name: &str| {
        selected.wants(name)
            || selected.primary_key.iter().any(|key| key == name)
            || selected.cursor.as_deref() == Some(name)
    };
    if let Some(properties) = json_schema
        .get_mut("properties")
        .and_then(|found| found.as_object_mut())
    {
        properties.retain(|name, _| wanted(name));
    }
    if let Some(required) = json_schema
        .get_mut("required")
        .and_then(|found| found.as_array_mut())
    {
        required.retain(|name| name.as_str().is_some_and(wanted));
    }
    CatalogStream {
        id: selected.id.clone(),
        json_schema,
        arrow_schema: selected.arrow_schema.clone(),
        primary_key: selected.primary_key.clone(),
        cursor: selected.cursor.clone(),
        cursor_is_fixed: false,
        by_itself: false,
        methods: match selected.method {
            Method::FullRefresh => vec![Method::FullRefresh],
            Method::Incremental => vec![Method::FullRefresh, Method::Incremental],
        },
    }
}
