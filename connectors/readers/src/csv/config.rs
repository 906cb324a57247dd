//! The settings of the CSV reader.

use std::collections::BTreeMap;

use dativo_sdk::Error;
use schemars::JsonSchema;
use serde::Deserialize;

use super::column::Rules;
use super::dialect::Dialect;
use crate::config::{BadValue, Origin, Packed, Paths};
use crate::files::StorageOptions;
use crate::types::{Kind, NAMES};

/// What an empty field without quotes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Null.
    Null,
    /// An empty text; null where the column is no text.
    Text,
}

/// What becomes of a record with too few fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShortRecords {
    /// It goes to the quarantine.
    Quarantine,
    /// The fields that it lacks are null.
    Null,
}

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// A line feed, with or without a carriage return before it.
    Lf,
    /// A carriage return.
    Cr,
}

/// The settings that a stream can have of its own, once for all streams and once for each.
macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $type:ty,)*) => {
        /// Settings of the CSV reader.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            /// Path or pattern of the files of the one stream: `data/orders*.csv`, `data/2026/**/*.csv.gz`. Several can be given as a list.
            pub path: Option<Paths>,
            /// Name of the one stream; that of the file unless given.
            pub stream: Option<String>,
            /// How object stores are reached, for paths such as `s3://bucket/folder/*.csv`.
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
    /// What stands between fields: one ASCII character, `,` unless given; `\t` or `tab` for a tabulator.
    delimiter: String,
    /// What stands around fields that hold delimiters: one ASCII character, `"` unless given; empty for none.
    quote: String,
    /// What stands before a quote that belongs to the field: one ASCII character; none unless given.
    escape: String,
    /// Whether two quotes within quotes are one that belongs to the field; true unless given.
    doubled_quote: bool,
    /// What lines that are no records start with: one ASCII character; none unless given.
    comment: String,
    /// What ends a record; `lf` unless given, which takes a carriage return before the line feed too.
    line_end: LineEnd,
    /// Whether the first record names the columns; true unless given.
    header: bool,
    /// Names of the columns, in place of those in the header.
    columns: Vec<String>,
    /// Lines before the header that are passed over.
    skip_rows: usize,
    /// Texts without quotes that mean null, beside the empty one.
    nulls: Vec<String>,
    /// What an empty field without quotes is; `null` unless given.
    empty: Empty,
    /// Whether spaces around numbers, dates and truth values are passed over.
    trim: bool,
    /// Whether each record may end with a delimiter that starts no field. A header that ends so says it by itself.
    trailing_delimiter: bool,
    /// What becomes of records with too few fields; `quarantine` unless given.
    short_records: ShortRecords,
    /// How characters are bytes, `utf-8` unless given. A byte order mark is recognised.
    encoding: String,
    /// How the files are packed; as their names say unless given.
    compression: Packed,
    /// Records from which types are inferred, 10,000 unless given.
    sample_rows: usize,
    /// Whether types are inferred; without, columns without a type are text.
    infer: bool,
    /// Types of columns, by name.
    types: BTreeMap<String, String>,
    /// Columns that together name a row.
    primary_key: Vec<String>,
    /// What becomes of a value that does not fit its column; `quarantine` unless given.
    on_bad_value: BadValue,
    /// Columns that say where a row comes from.
    origin: Vec<Origin>,
}

fn one(key: &str, said: Option<&str>, default: Option<u8>) -> Result<Option<u8>, Error> {
    match said {
        None => Ok(default),
        Some("" | "none") => Ok(None),
        Some("tab" | "\\t") => Ok(Some(b'\t')),
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
            _ => Err(
                Error::config(format!("`{key}` must be one ASCII character"))
                    .with_hint("a tabulator is `\\t` or `tab`")
                    .with_fact("key", key),
            ),
        },
    }
}

impl StreamConfig {
    pub(super) fn rules(&self) -> Result<Rules, Error> {
        let delimiter =
            one("delimiter", self.delimiter.as_deref(), Some(b','))?.ok_or_else(|| {
                Error::config("`delimiter` must be one ASCII character")
                    .with_fact("key", "delimiter")
            })?;
        let quote = one("quote", self.quote.as_deref(), Some(b'"'))?;
        let escape =
            one("escape", self.escape.as_deref(), None)?.filter(|escape| Some(*escape) != quote);
        let comment = one("comment", self.comment.as_deref(), None)?;
        if quote == Some(delimiter)
            || escape == Some(delimiter)
            || comment.is_some_and(|byte| byte == delimiter || Some(byte) == quote)
        {
            return Err(Error::config(
                "`delimiter`, `quote`, `escape` and `comment` must differ",
            ));
        }
        let dialect = Dialect {
            delimiter,
            quote,
            escape,
            doubled: self.doubled_quote.unwrap_or(true),
            comment,
            end: if self.line_end == Some(LineEnd::Cr) {
                b'\r'
            } else {
                b'\n'
            },
            trailing: self.trailing_delimiter.unwrap_or(false),
            short: self.short_records == Some(ShortRecords::Null),
        };
        let nulls = self.nulls.iter().flatten().filter(|null| !null.is_empty());
        Ok(Rules {
            dialect,
            nulls: nulls.map(|null| null.clone().into_bytes()).collect(),
            empty_is_null: self.empty != Some(Empty::Text),
            trim: self.trim.unwrap_or(false),
        })
    }

    /// The type that the user gave a column.
    pub(super) fn given(&self, column: &str) -> Result<Option<Kind>, Error> {
        let Some(name) = self.types.as_ref().and_then(|types| types.get(column)) else {
            return Ok(None);
        };
        let found = Kind::from_name(name).ok_or_else(|| {
            Error::config(format!("`types`: there is no type `{name}`"))
                .with_hint(format!("types: {NAMES}"))
                .with_fact("key", "types")
        })?;
        Ok(Some(found))
    }

    pub(super) fn has(&self, origin: Origin) -> bool {
        self.origin.iter().flatten().any(|said| *said == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Config {
        dativo_sdk::parse_config(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_stream_has_the_settings_of_all_but_for_its_own() {
        let config = parsed(
            r#"{"delimiter": ";", "header": false, "streams": {"a": {"path": "a.csv", "delimiter": "\t"}}}"#,
        );
        let of = config.completed(config.streams.as_ref().unwrap()["a"].clone());
        assert_eq!(of.rules().unwrap().dialect.delimiter, b'\t');
        assert_eq!(of.header, Some(false));
    }

    #[test]
    fn wrong_settings_are_named() {
        for json in [
            r#"{"delimiter": ";;"}"#,
            r#"{"delimiter": "é"}"#,
            r#"{"delimiter": ""}"#,
            r#"{"quote": ","}"#,
        ] {
            assert!(parsed(json).own().rules().is_err(), "{json}");
        }
        assert!(dativo_sdk::parse_config::<Config>(br#"{"delimeter": ";"}"#).is_err());
        let config = parsed(r#"{"types": {"a": "int32"}}"#).own();
        assert!(config.given("a").is_err());
        assert_eq!(config.given("b").unwrap(), None);
    }
}
