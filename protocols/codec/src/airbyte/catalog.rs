//! The configured catalog that a source is started with.

use arrow_schema::Schema;

use crate::frame::decode_arrow_schema;
use crate::lines::{Envelope, elements, string_value};
use crate::plan::{PlanOptions, SchemaError, StreamPlan};
use crate::stream_id::StreamId;

/// A catalog that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("configured catalog: {what}")]
pub struct CatalogError {
    what: String,
}

/// A stream of a configured catalog.
#[derive(Debug, Clone)]
pub struct ConfiguredStream {
    /// Its identity.
    pub id: StreamId,
    /// JSON Schema of its records, exactly as it stands there.
    pub json_schema: Vec<u8>,
    /// Paths of the properties that are its key: the configured one, else the source's own.
    pub primary_key: Vec<Vec<String>>,
    /// Path of the property that orders its changes: the configured one, else the source's default.
    pub cursor: Vec<String>,
    /// Whether the source is to send only what is new, and so to say a state of its own.
    pub is_incremental: bool,
    /// The Arrow schema of its batches, where the source knows it.
    pub arrow_schema: Option<Schema>,
}

/// Reads a ConfiguredAirbyteCatalog.
///
/// # Errors
/// When it is none, or has a stream twice.
pub fn parse_configured_catalog(json: &[u8]) -> Result<Vec<ConfiguredStream>, CatalogError> {
    let streams = object(json, "it", ["streams"])?;
    let listed = streams[0]
        .and_then(elements)
        .ok_or_else(|| wrong("`streams` is missing or is not a list".to_owned()))?;
    let mut found: Vec<ConfiguredStream> = Vec::new();
    for (place, entry) in listed.into_iter().enumerate() {
        let stream = configured(entry, &format!("streams[{place}]"))?;
        if found.iter().any(|known| known.id == stream.id) {
            return Err(wrong(format!("stream `{}` is there twice", stream.id)));
        }
        found.push(stream);
    }
    Ok(found)
}

fn configured(entry: &[u8], place: &str) -> Result<ConfiguredStream, CatalogError> {
    let [stream, sync_mode, key, cursor] = object(
        entry,
        place,
        ["stream", "sync_mode", "primary_key", "cursor_field"],
    )?;
    let stream = stream.unwrap_or_default();
    let [
        name,
        namespace,
        json_schema,
        own_key,
        own_cursor,
        arrow_schema,
    ] = object(
        stream,
        &format!("{place}.stream"),
        [
            "name",
            "namespace",
            "json_schema",
            "source_defined_primary_key",
            "default_cursor_field",
            "arrow_schema",
        ],
    )?;
    let missing = |what: &str| wrong(format!("{place}.stream.{what}"));
    let name = name
        .and_then(string_value)
        .ok_or_else(|| missing("name is missing or is not a string"))?;
    let namespace = match namespace {
        None | Some(b"null") => None,
        Some(value) => {
            Some(string_value(value).ok_or_else(|| missing("namespace is not a string"))?)
        }
    };
    let paths = |json: Option<&[u8]>| -> Vec<Vec<String>> {
        json.and_then(|json| serde_json::from_slice(json).ok())
            .unwrap_or_default()
    };
    let path = |json: Option<&[u8]>| -> Vec<String> {
        json.and_then(|json| serde_json::from_slice(json).ok())
            .unwrap_or_default()
    };
    let or = |chosen: Vec<Vec<String>>, own: &dyn Fn() -> Vec<Vec<String>>| {
        if chosen.is_empty() { own() } else { chosen }
    };
    let arrow_schema = match arrow_schema {
        None | Some(b"null") => None,
        Some(value) => {
            let text =
                string_value(value).ok_or_else(|| missing("arrow_schema is not a string"))?;
            let read = decode_arrow_schema(&text);
            Some(read.map_err(|error| wrong(format!("{place}.stream.arrow_schema: {error}")))?)
        }
    };
    let chosen_cursor = path(cursor);
    Ok(ConfiguredStream {
        id: StreamId::new(name, namespace.as_deref()),
        json_schema: json_schema.unwrap_or(b"{}").to_vec(),
        primary_key: or(paths(key), &|| paths(own_key)),
        cursor: if chosen_cursor.is_empty() {
            path(own_cursor)
        } else {
            chosen_cursor
        },
        is_incremental: sync_mode
            .and_then(string_value)
            .is_some_and(|mode| mode.eq_ignore_ascii_case("incremental")),
        arrow_schema,
    })
}

impl ConfiguredStream {
    /// The columns of the key; none when the key has properties within others, which are no columns.
    pub fn key_columns(&self) -> Vec<String> {
        let columns = self.primary_key.iter().map(|path| match path.as_slice() {
            [name] => Some(name.clone()),
            _ => None,
        });
        columns.collect::<Option<_>>().unwrap_or_default()
    }

    /// The plan for its records: [`StreamPlan::compile`], but every column may be null, for sources leave nulls out, also in keys.
    ///
    /// # Errors
    /// As [`StreamPlan::compile`].
    pub fn plan(&self, options: PlanOptions) -> Result<StreamPlan, SchemaError> {
        let mut options = options;
        options.nullable_keys = true;
        if let Some(fields) = &mut options.fields {
            let roots = self.primary_key.iter().filter_map(|path| path.first());
            fields.extend(roots.cloned());
        }
        StreamPlan::compile(&self.json_schema, &self.key_columns(), &options)
    }
}

fn wrong(what: String) -> CatalogError {
    CatalogError { what }
}

fn object<'j, const N: usize>(
    json: &'j [u8],
    place: &str,
    keys: [&str; N],
) -> Result<[Option<&'j [u8]>; N], CatalogError> {
    let (envelope, result) = Envelope::read(json, keys);
    result.map_err(|_| wrong(format!("{place} is missing or is not an object")))?;
    Ok(std::array::from_fn(|place| envelope.bytes(json, place)))
}
