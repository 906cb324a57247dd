//! The settings of the Parquet reader.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Paths;
use crate::files::StorageOptions;

/// Settings of the Parquet reader.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Path or pattern of the files of the one stream: `data/orders*.parquet`, `data/2026/**/*.parquet`. Several can be given as a list.
    pub path: Option<Paths>,
    /// Name of the one stream; that of the file unless given.
    pub stream: Option<String>,
    /// How object stores are reached, for paths such as `s3://bucket/folder/*.parquet`.
    pub storage_options: Option<StorageOptions>,
    /// Streams by name, each with its `path`, and settings that differ from those beside `streams`.
    pub streams: Option<BTreeMap<String, StreamConfig>>,
    /// Columns that together name a row.
    pub primary_key: Option<Vec<String>>,
}

/// Settings of one stream.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// Path or pattern of its files, or several.
    pub path: Option<Paths>,
    /// Columns that together name a row.
    pub primary_key: Option<Vec<String>>,
}

impl Config {
    /// The settings of the stream of `path`.
    pub(super) fn own(&self) -> StreamConfig {
        StreamConfig {
            path: self.path.clone(),
            primary_key: self.primary_key.clone(),
        }
    }
}
