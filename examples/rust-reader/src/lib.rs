//! Points of a sine wave, as many as are asked for.

use std::sync::Arc;

use dativo_sdk::arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use dativo_sdk::arrow_schema::{DataType, Field, Schema, SchemaRef};
use dativo_sdk::{
    Catalog, CatalogStream, Error, Info, Piece, ReadCatalog, Reader, SavedState, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const WAVE: &str = "wave";

/// What the user configures; its JSON Schema is the spec.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many points there are.
    pub points: i64,
    /// At which point the reader panics: what becomes of bugs is to be seen.
    pub broken_at: Option<i64>,
}

/// The state: what comes next.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    next: i64,
}

/// The reader.
pub struct Waves {
    config: Config,
    next: i64,
    schema: SchemaRef,
}

impl Reader for Waves {
    type Config = Config;

    const INFO: Info = Info::new("source-waves", env!("CARGO_PKG_VERSION")).incremental();

    fn initialize(
        config: Config,
        catalog: Option<ReadCatalog>,
        state: Option<SavedState>,
    ) -> Result<Self, Error> {
        if config.points < 0 {
            return Err(
                Error::config("`points` is below zero").with_hint("set it to a number from 0 on")
            );
        }
        let position = state.unwrap_or_default().of::<Position>(&WAVE.into())?;
        let selected = catalog
            .as_ref()
            .and_then(|catalog| catalog.of(&WAVE.into()));
        let fields = [
            Field::new("point", DataType::Int64, false),
            Field::new("height", DataType::Float64, false),
            Field::new("sign", DataType::Utf8, false),
        ];
        // What is not selected is not made.
        let wanted = fields
            .into_iter()
            .filter(|field| selected.is_none_or(|all| all.wants(field.name())));
        Ok(Self {
            config,
            next: position.map_or(0, |position| position.next),
            schema: Arc::new(Schema::new(wanted.collect::<Vec<_>>())),
        })
    }

    fn get_schema(&mut self) -> Result<Catalog, Error> {
        let wave = CatalogStream::of_arrow(WAVE, Arc::clone(&self.schema));
        Ok([wave
            .with_primary_key(["point"])
            .incremental_by_itself(Some("point"))]
        .into_iter()
        .collect())
    }

    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error> {
        let end = self.config.points.min(self.next + max_rows as i64);
        let points = self.next..end;
        if points.is_empty() {
            return Ok(None);
        }
        assert!(
            !self
                .config
                .broken_at
                .is_some_and(|point| points.contains(&point)),
            "a bug at a point"
        );
        self.next = end;
        let heights = points.clone().map(|point| (point as f64 / 100.0).sin());
        let columns = self.schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "point" => Arc::new(Int64Array::from_iter_values(points.clone())),
                "height" => Arc::new(Float64Array::from_iter_values(heights.clone())),
                _ => Arc::new(StringArray::from_iter_values(
                    heights
                        .clone()
                        .map(|height| if height < 0.0 { "-" } else { "+" }),
                )),
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns.collect())?;
        Ok(Some(Piece::batch(WAVE, batch)))
    }

    fn get_incremental_state(&mut self) -> Result<Option<State>, Error> {
        State::of(WAVE, &Position { next: self.next }).map(Some)
    }
}

#[cfg(feature = "capi")]
dativo_sdk::export_c!(Waves);

#[cfg(feature = "python")]
dativo_sdk::export_python!(source_waves: Waves = Waves);
