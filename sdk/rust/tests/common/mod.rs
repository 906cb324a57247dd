//! A reader that counts: streams of numbers, which go wrong where they are told to.

use std::sync::Arc;

use dativo_sdk::arrow_array::{ArrayRef, Int64Array, RecordBatch};
use dativo_sdk::arrow_schema::{DataType, Field, Schema, SchemaRef};
use dativo_sdk::{
    Catalog, CatalogStream, Error, Estimate, Info, Method, Partition, Piece, ReadCatalog, Reader,
    RejectsBuilder, SavedState, State, StreamId, schemars, serde,
};

#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "dativo_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "dativo_sdk::schemars")]
pub struct Config {
    /// Rows of each stream.
    pub rows: i64,
    /// Streams; `name` or `namespace.name`.
    #[serde(default = "one")]
    pub streams: Vec<String>,
    /// What goes wrong behind the first batch: `panic`, `error`, `temporary`, `rejects`, `foreign`, `state`.
    #[serde(default)]
    pub wrong: Option<String>,
    #[serde(default)]
    #[schemars(extend("airbyte_secret" = true))]
    #[allow(dead_code)]
    pub token: Option<String>,
}

fn one() -> Vec<String> {
    vec!["numbers".to_owned()]
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(crate = "dativo_sdk::serde")]
struct Position {
    next: i64,
}

pub struct Numbers {
    config: Config,
    left: Vec<(StreamId, i64, i64)>,
    last: Option<(StreamId, i64)>,
    batches: usize,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

fn id(name: &str) -> StreamId {
    match name.split_once('.') {
        Some((namespace, name)) => StreamId::new(name, Some(namespace)),
        None => name.into(),
    }
}

impl Numbers {
    fn catalog(&self) -> Catalog {
        let streams = self.config.streams.iter();
        streams
            .map(|name| {
                CatalogStream::of_arrow(id(name), schema())
                    .with_primary_key(["n"])
                    .incremental_by_itself(Some("n"))
            })
            .collect()
    }
}

impl Reader for Numbers {
    type Config = Config;

    const INFO: Info = Info::new("source-numbers", "1.2.3")
        .incremental()
        .checks()
        .partitions()
        .estimates();

    fn initialize(
        config: Config,
        catalog: Option<ReadCatalog>,
        state: Option<SavedState>,
    ) -> Result<Self, Error> {
        if config.rows < 0 {
            return Err(Error::config("`rows` is below zero").with_hint("count upwards"));
        }
        let ids: Vec<(StreamId, Method)> = match &catalog {
            Some(catalog) => catalog
                .streams
                .iter()
                .map(|each| (each.id.clone(), each.method))
                .collect(),
            None => config
                .streams
                .iter()
                .map(|name| (id(name), Method::Incremental))
                .collect(),
        };
        let state = state.unwrap_or_default();
        let mut left = Vec::new();
        for (stream, method) in ids {
            let saved = state
                .of::<Position>(&stream)?
                .filter(|_| method == Method::Incremental);
            let range = catalog
                .as_ref()
                .and_then(|catalog| catalog.partition.as_deref());
            let (from, to) = match range.map(|token| std::str::from_utf8(token).unwrap()) {
                Some(token) => {
                    let (from, to) = token.split_once('-').unwrap();
                    (from.parse().unwrap(), to.parse().unwrap())
                }
                None => (saved.map_or(0, |position| position.next), config.rows),
            };
            left.push((stream, from, to));
        }
        left.reverse();
        Ok(Self {
            config,
            left,
            last: None,
            batches: 0,
        })
    }

    fn get_schema(&mut self) -> Result<Catalog, Error> {
        Ok(self.catalog())
    }

    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error> {
        if self.batches == 1 {
            match self.config.wrong.as_deref() {
                Some("panic") => panic!("out of numbers"),
                Some("error") => {
                    return Err(Error::connector("no more").with_fact("stream", "numbers"));
                }
                Some("temporary") => return Err(Error::temporary("come back later")),
                Some("foreign") => {
                    let none = RecordBatch::new_empty(schema());
                    return Ok(Some(Piece::batch("letters", none)));
                }
                Some("rejects") => {
                    self.batches += 1;
                    let mut rejects = RejectsBuilder::default();
                    rejects.push(7, Some("n"), "not a number", b"seven");
                    let stream = self
                        .left
                        .last()
                        .map_or("numbers".into(), |(id, ..)| id.clone());
                    return Ok(rejects.finish().map(|batch| Piece::rejects(stream, batch)));
                }
                _ => {}
            }
        }
        self.batches += 1;
        let Some((stream, from, to)) = self.left.last_mut() else {
            return Ok(None);
        };
        if *from >= *to {
            self.left.pop();
            self.batches -= 1;
            return self.read_batch(max_rows);
        }
        let end = (*to).min(*from + max_rows as i64);
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(*from..end));
        *from = end;
        self.last = Some((stream.clone(), end));
        let batch = RecordBatch::try_new(schema(), vec![column])?;
        Ok(Some(Piece::batch(stream.clone(), batch)))
    }

    fn get_incremental_state(&mut self) -> Result<Option<State>, Error> {
        let Some((stream, next)) = self.last.clone() else {
            return Ok(None);
        };
        let stream = if self.config.wrong.as_deref() == Some("state") {
            "letters".into()
        } else {
            stream
        };
        State::of(stream, &Position { next }).map(Some)
    }

    fn check(&mut self) -> Result<(), Error> {
        if self.config.rows == 0 {
            return Err(Error::connector("there are no numbers"));
        }
        Ok(())
    }

    fn partitions(&mut self, count: usize, _: usize) -> Result<Vec<Partition>, Error> {
        let (stream, from, to) = self.left[0].clone();
        let (count, rows) = (count as i64, to - from);
        let bound = |part: i64| from + rows * part / count;
        let parts = (0..count).map(|part| {
            Ok(Partition {
                token: format!("{}-{}", bound(part), bound(part + 1)).into_bytes(),
                state: Some(State::of(
                    stream.clone(),
                    &Position {
                        next: bound(part + 1),
                    },
                )?),
            })
        });
        parts.collect()
    }

    fn estimates(&mut self) -> Result<Vec<Estimate>, Error> {
        let streams = self.left.iter().map(|(stream, from, to)| Estimate {
            stream: Some(stream.clone()),
            rows: Some((to - from) as u64),
            bytes: None,
        });
        Ok(streams.collect())
    }
}
