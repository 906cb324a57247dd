//! What a reader is to read.

use arrow_schema::SchemaRef;
use serde::Deserialize;
use serde_json::Value;

use crate::catalog::decode_schema;
use crate::{Catalog, Error, Method, StreamId};

/// The streams to read, and how.
#[derive(Debug, Clone, Default)]
pub struct ReadCatalog {
    /// Each once; a stream that is not here is not to be read.
    pub streams: Vec<SelectedStream>,
    /// One of what [`crate::Reader::partitions`] gave, for a reader that is to read only this part.
    pub partition: Option<Vec<u8>>,
}

/// What to read of one stream.
#[derive(Debug, Clone)]
pub struct SelectedStream {
    /// Its identity.
    pub id: StreamId,
    /// The properties to read, or `None` for all; keys and the cursor are among them.
    pub fields: Option<Vec<String>>,
    /// Whether to read all of it, or what is new.
    pub method: Method,
    /// The property that orders its changes: the one that the user named, else the stream's own.
    pub cursor: Option<String>,
    /// Names of the properties that are its key, possibly none.
    pub primary_key: Vec<String>,
    /// JSON Schema of its records as it was discovered; without the properties that are not to be read, where it comes from
    /// an Airbyte catalog.
    pub json_schema: Value,
    /// Its Arrow schema as it was discovered, with all columns, where it is known.
    pub arrow_schema: Option<SchemaRef>,
}

impl ReadCatalog {
    /// Reads a ConfiguredAirbyteCatalog.
    ///
    /// # Errors
    /// When it is none, or has a stream twice.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let configured: Configured = serde_json::from_slice(json)
            .map_err(|error| Error::config(format!("not a configured catalog: {error}")))?;
        let mut streams: Vec<SelectedStream> = Vec::with_capacity(configured.streams.len());
        for entry in configured.streams {
            let stream = entry.selected()?;
            if streams.iter().any(|known| known.id == stream.id) {
                let message = format!("configured catalog: stream `{}` is there twice", stream.id);
                return Err(Error::config(message));
            }
            streams.push(stream);
        }
        Ok(Self {
            streams,
            partition: None,
        })
    }

    /// All streams, whole.
    pub fn everything(catalog: &Catalog) -> Self {
        let streams = catalog.streams.iter().map(|stream| SelectedStream {
            id: stream.id.clone(),
            fields: None,
            method: Method::FullRefresh,
            cursor: None,
            primary_key: stream.primary_key.clone(),
            json_schema: stream.json_schema.clone(),
            arrow_schema: stream.arrow_schema.clone(),
        });
        Self {
            streams: streams.collect(),
            partition: None,
        }
    }

    /// For one part of it.
    pub fn with_partition(mut self, token: Option<Vec<u8>>) -> Self {
        self.partition = token;
        self
    }

    /// What to read of this stream; `None` where it is not to be read.
    pub fn of(&self, stream: &StreamId) -> Option<&SelectedStream> {
        self.streams.iter().find(|selected| selected.id == *stream)
    }
}

impl SelectedStream {
    /// Whether this property is to be read.
    pub fn wants(&self, field: &str) -> bool {
        self.fields
            .as_ref()
            .is_none_or(|fields| fields.iter().any(|name| name == field))
    }
}

#[derive(Deserialize)]
struct Configured {
    streams: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    stream: Stream,
    #[serde(default)]
    sync_mode: String,
    #[serde(default)]
    cursor_field: Option<Vec<String>>,
    #[serde(default)]
    primary_key: Option<Vec<Path>>,
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    json_schema: Value,
    #[serde(default)]
    default_cursor_field: Option<Vec<String>>,
    #[serde(default)]
    source_defined_primary_key: Option<Vec<Path>>,
    #[serde(default)]
    arrow_schema: Option<String>,
}

/// Of a property; older catalogs have its name instead.
#[derive(Deserialize)]
#[serde(untagged)]
enum Path {
    Parts(Vec<String>),
    Name(String),
}

impl Path {
    fn joined(self) -> String {
        match self {
            Self::Parts(parts) => parts.join("."),
            Self::Name(name) => name,
        }
    }
}

impl Entry {
    fn selected(self) -> Result<SelectedStream, Error> {
        let stream = self.stream;
        let own_or = |chosen: Option<Vec<String>>, own: Option<Vec<String>>| {
            let said = |path: &Vec<String>| !path.is_empty();
            chosen.filter(said).or(own.filter(said))
        };
        let said = |key: &Vec<Path>| !key.is_empty();
        let key = self
            .primary_key
            .filter(said)
            .or(stream.source_defined_primary_key);
        let arrow_schema = stream
            .arrow_schema
            .as_deref()
            .map(decode_schema)
            .transpose()?;
        let properties = stream
            .json_schema
            .get("properties")
            .and_then(Value::as_object);
        Ok(SelectedStream {
            id: StreamId::new(stream.name, stream.namespace.as_deref()),
            fields: properties.map(|properties| properties.keys().cloned().collect()),
            method: if self.sync_mode.eq_ignore_ascii_case("incremental") {
                Method::Incremental
            } else {
                Method::FullRefresh
            },
            cursor: own_or(self.cursor_field, stream.default_cursor_field)
                .map(|path| path.join(".")),
            primary_key: key
                .unwrap_or_default()
                .into_iter()
                .map(Path::joined)
                .collect(),
            json_schema: stream.json_schema,
            arrow_schema,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field, Schema};
    use serde_json::json;

    use super::*;
    use crate::CatalogStream;

    fn parsed(entry: Value) -> SelectedStream {
        let catalog = json!({"streams": [entry]}).to_string();
        ReadCatalog::parse(catalog.as_bytes())
            .unwrap()
            .streams
            .remove(0)
    }

    #[test]
    fn what_a_stream_says_of_itself_comes_back() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            Field::new("at", DataType::Utf8, true),
        ]));
        let id = StreamId::new("orders", Some("shop"));
        let offered = CatalogStream::of_arrow(id.clone(), schema.clone())
            .with_primary_key(["id"])
            .incremental(Some("at"));
        let selected = parsed(json!({"stream": offered.to_airbyte(), "sync_mode": "incremental"}));
        assert_eq!(selected.id, id);
        assert_eq!(selected.method, Method::Incremental);
        assert_eq!(selected.cursor.as_deref(), Some("at"));
        assert_eq!(selected.primary_key, ["id"]);
        assert_eq!(selected.arrow_schema, Some(schema));
        assert!(selected.wants("at") && !selected.wants("other"));
    }

    #[test]
    fn what_the_user_says_comes_first() {
        let selected = parsed(json!({
            "stream": {
                "name": "a",
                "json_schema": {},
                "default_cursor_field": ["n"],
                "source_defined_primary_key": ["n"],
            },
            "sync_mode": "full_refresh",
            "cursor_field": ["m"],
            "primary_key": [["k"], ["nested", "k"]],
        }));
        assert_eq!(selected.cursor.as_deref(), Some("m"));
        assert_eq!(selected.primary_key, ["k", "nested.k"]);
        assert_eq!(selected.method, Method::FullRefresh);
        assert!(selected.wants("anything"));
    }

    #[test]
    fn a_catalog_that_is_none_is_refused() {
        let refused = |json: &str| ReadCatalog::parse(json.as_bytes()).unwrap_err().message;
        let mangled = r#"{"streams": [{"stream": {"name": "a", "arrow_schema": "AAAA"}}]}"#;
        assert!(refused(mangled).starts_with("the catalog's `arrow_schema`: "));
        assert!(refused("[]").starts_with("not a configured catalog: "));
        let entry = r#"{"stream": {"name": "a"}}"#;
        let twice = refused(&format!(r#"{{"streams": [{entry}, {entry}]}}"#));
        assert_eq!(twice, "configured catalog: stream `a` is there twice");
    }
}
