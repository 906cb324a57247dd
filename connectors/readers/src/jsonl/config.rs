//! The settings of the JSON lines reader.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{BadValue, Packed, Paths};
use crate::files::StorageOptions;

/// What objects and arrays become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nested {
    /// JSON text, exactly as it stands.
    Json,
    /// Structs and lists.
    Struct,
}

/// What becomes of properties that the sample had not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extra {
    /// They are kept in `_dativo_extra`.
    Keep,
    /// They are dropped.
    Drop,
}

macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $type:ty,)*) => {
        /// Settings of the JSON lines reader.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            /// Path or pattern of the files of the one stream: `data/orders*.jsonl`, `data/2026/**/*.jsonl.gz`. Several can be given as a list.
            pub path: Option<Paths>,
            /// Name of the one stream; that of the file unless given.
            pub stream: Option<String>,
            /// How object stores are reached, for paths such as `s3://bucket/folder/*.jsonl`.
            pub storage_options: Option<StorageOptions>,
            /// Streams by name, each with its `path`, and settings that differ from those beside `streams`.
            pub streams: Option<BTreeMap<String, StreamConfig>>,
            /// Threads that decode; as many as there are processors unless given.
            pub threads: Option<usize>,
            /// Bytes of text that a thread decodes at a time, 1,048,576 unless given.
            pub block_bytes: Option<usize>,
            /// Bytes of the longest record, 134,217,728 unless given.
            pub max_record_bytes: Option<usize>,
            $($(#[$meta])* pub $name: Option<$type>,)*
        }

        /// Settings of one stream.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct StreamConfig {
            /// Path or pattern of its files, or several.
            pub path: Option<Paths>,
            $($(#[$meta])* pub $name: Option<$type>,)*
        }

        impl Config {
            /// The settings of the stream of `path`.
            pub(super) fn own(&self) -> StreamConfig {
                StreamConfig { path: self.path.clone(), $($name: self.$name.clone(),)* }
            }

            /// The settings of a stream, where it has none of its own those of all.
            pub(super) fn completed(&self, of: StreamConfig) -> StreamConfig {
                StreamConfig { path: of.path, $($name: of.$name.or_else(|| self.$name.clone()),)* }
            }
        }
    };
}

settings! {
    /// How characters are bytes, `utf-8` unless given. A byte order mark is recognised.
    encoding: String,
    /// How the files are packed; as their names say unless given.
    compression: Packed,
    /// Records from which types are inferred, 10,000 unless given.
    sample_rows: usize,
    /// Types of columns, by name.
    types: BTreeMap<String, String>,
    /// What objects and arrays become; `json` unless given.
    nested: Nested,
    /// What becomes of properties that the sample had not; `keep` unless given.
    extra: Extra,
    /// Columns that together name a row.
    primary_key: Vec<String>,
    /// What becomes of a value that does not fit its column; `quarantine` unless given.
    on_bad_value: BadValue,
}
