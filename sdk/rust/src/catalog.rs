//! The streams that a reader offers.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use dativo_codec::arrow_json_schema;
use dativo_codec::frame::{decode_arrow_schema, encode_arrow_schema};
use serde_json::{Map, Value, json};

use crate::{Error, StreamId};

/// How a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// All of it, each time.
    FullRefresh,
    /// What is new since the last state.
    Incremental,
}

impl Method {
    /// Its name in Airbyte's messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FullRefresh => "full_refresh",
            Self::Incremental => "incremental",
        }
    }

    /// Its name in Singer's catalogs.
    pub fn as_singer(self) -> &'static str {
        match self {
            Self::FullRefresh => "FULL_TABLE",
            Self::Incremental => "INCREMENTAL",
        }
    }
}

/// The streams that a reader offers, in its own order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// Each once.
    pub streams: Vec<CatalogStream>,
}

/// One stream that a reader offers.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogStream {
    /// Its identity.
    pub id: StreamId,
    /// JSON Schema of its records.
    pub json_schema: Value,
    /// The exact Arrow schema of its batches, where it is known.
    pub arrow_schema: Option<SchemaRef>,
    /// Names of the properties that are its key, possibly none.
    pub primary_key: Vec<String>,
    /// The property that orders its changes, unless the user names another one.
    pub cursor: Option<String>,
    /// Whether the user can name no other cursor: also where the reader has one that is no property.
    pub cursor_is_fixed: bool,
    /// Whether it can be read incrementally without a cursor.
    pub by_itself: bool,
    /// How it can be read.
    pub methods: Vec<Method>,
}

impl CatalogStream {
    /// A stream that is read whole, described by its Arrow schema.
    pub fn of_arrow(id: impl Into<StreamId>, schema: SchemaRef) -> Self {
        Self {
            arrow_schema: Some(Arc::clone(&schema)),
            ..Self::of_json(id, arrow_json_schema(&schema))
        }
    }

    /// A stream that is read whole, described by the JSON Schema of its records.
    pub fn of_json(id: impl Into<StreamId>, json_schema: Value) -> Self {
        Self {
            id: id.into(),
            json_schema,
            arrow_schema: None,
            primary_key: Vec::new(),
            cursor: None,
            cursor_is_fixed: false,
            by_itself: false,
            methods: vec![Method::FullRefresh],
        }
    }

    /// With a key.
    pub fn with_primary_key(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.primary_key = names.into_iter().map(Into::into).collect();
        self
    }

    /// That can also be read incrementally, by a property that the user names; `cursor` unless he names one.
    pub fn incremental(mut self, cursor: Option<&str>) -> Self {
        self.methods = vec![Method::FullRefresh, Method::Incremental];
        self.cursor = cursor.map(str::to_owned);
        self
    }

    /// That can also be read incrementally, by this cursor or (without one) by what the reader itself keeps in its state.
    pub fn incremental_by_itself(self, cursor: Option<&str>) -> Self {
        let mut stream = self.incremental(cursor);
        stream.cursor_is_fixed = true;
        stream.by_itself = true;
        stream
    }

    /// That can also be read incrementally, by a property that the user names or by what the reader itself keeps in its state.
    pub fn incremental_by_any_or_by_itself(self) -> Self {
        let mut stream = self.incremental(None);
        stream.by_itself = true;
        stream
    }

    /// As an AirbyteStream. `arrow_schema` in it is an Arrow IPC schema message in base64.
    pub fn to_airbyte(&self) -> Value {
        let mut said = Map::new();
        said.insert("name".to_owned(), self.id.name().into());
        if let Some(namespace) = self.id.namespace() {
            said.insert("namespace".to_owned(), namespace.into());
        }
        said.insert("json_schema".to_owned(), self.json_schema.clone());
        let modes: Vec<&str> = self.methods.iter().map(|method| method.as_str()).collect();
        said.insert("supported_sync_modes".to_owned(), json!(modes));
        let cursor: Vec<&str> = self.cursor.as_deref().into_iter().collect();
        said.insert("default_cursor_field".to_owned(), json!(cursor));
        said.insert(
            "source_defined_cursor".to_owned(),
            self.cursor_is_fixed.into(),
        );
        let key: Vec<[&str; 1]> = self
            .primary_key
            .iter()
            .map(|name| [name.as_str()])
            .collect();
        said.insert("source_defined_primary_key".to_owned(), json!(key));
        said.insert(
            "is_resumable".to_owned(),
            self.methods.contains(&Method::Incremental).into(),
        );
        // One that Arrow IPC cannot carry is not said: its batches could not be sent either.
        let schema = self.arrow_schema.as_deref().map(encode_arrow_schema);
        if let Some(Ok(schema)) = schema {
            said.insert("arrow_schema".to_owned(), schema.into());
        }
        Value::Object(said)
    }
}

impl Catalog {
    /// As an AirbyteCatalog.
    pub fn to_airbyte(&self) -> Value {
        let streams: Vec<Value> = self.streams.iter().map(CatalogStream::to_airbyte).collect();
        json!({"streams": streams})
    }
}

impl FromIterator<CatalogStream> for Catalog {
    fn from_iter<T: IntoIterator<Item = CatalogStream>>(streams: T) -> Self {
        Self {
            streams: streams.into_iter().collect(),
        }
    }
}

/// What stands under `arrow_schema`.
///
/// # Errors
/// When it is no schema.
pub(crate) fn decode_schema(text: &str) -> Result<SchemaRef, Error> {
    let schema = decode_arrow_schema(text)
        .map_err(|error| Error::config(format!("the catalog's `arrow_schema`: {error}")))?;
    Ok(Arc::new(schema))
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn schema() -> SchemaRef {
        let mark = [("unit".to_owned(), "€".to_owned())].into();
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            Field::new("price", DataType::Decimal128(10, 2), true).with_metadata(mark),
        ]))
    }

    #[test]
    fn a_stream_is_said_as_airbyte_says_it() {
        let id = StreamId::new("orders", Some("shop"));
        let mut said = CatalogStream::of_arrow(id, schema())
            .with_primary_key(["id"])
            .incremental(Some("id"))
            .to_airbyte();
        said.as_object_mut()
            .unwrap()
            .remove("arrow_schema")
            .unwrap();
        assert_eq!(
            said,
            json!({
                "name": "orders",
                "namespace": "shop",
                "json_schema": arrow_json_schema(&schema()),
                "supported_sync_modes": ["full_refresh", "incremental"],
                "default_cursor_field": ["id"],
                "source_defined_cursor": false,
                "source_defined_primary_key": [["id"]],
                "is_resumable": true,
            })
        );
    }
}
