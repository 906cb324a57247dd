//! A reader's streams as a tap's catalog, and what such a catalog selects.

use serde_json::{Map, Value, json};

use crate::{Catalog, CatalogStream, Error, Method, ReadCatalog, SelectedStream, StreamId};

/// Singer has no namespaces.
pub(super) fn singer_name(stream: &StreamId) -> String {
    match stream.namespace() {
        None => stream.name().to_owned(),
        Some(namespace) => format!("{namespace}-{}", stream.name()),
    }
}

/// As SCHEMA messages demand it: an object with properties, each with its types. Some targets drop a property that has none, or
/// rows that have it.
pub(super) fn object_schema(schema: &Value) -> Value {
    let mut said = Map::from_iter([("type".to_owned(), "object".into())]);
    said.extend(schema.as_object().cloned().unwrap_or_default());
    let properties = said.entry("properties").or_insert_with(|| json!({}));
    for property in properties
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        if let Value::Object(property) = property
            && !TYPED_BY.iter().any(|key| property.contains_key(*key))
        {
            property.insert("type".to_owned(), json!(ANY_TYPE));
        }
    }
    Value::Object(said)
}

/// Keywords that say what a value may be.
const TYPED_BY: [&str; 7] = ["type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"];
const ANY_TYPE: [&str; 6] = ["null", "object", "array", "string", "number", "boolean"];

/// The catalog that discovery prints.
pub(super) fn discovered(catalog: &Catalog) -> Value {
    let entries: Vec<Value> = catalog.streams.iter().map(entry).collect();
    json!({"streams": entries})
}

fn entry(stream: &CatalogStream) -> Value {
    let name = singer_name(&stream.id);
    let schema = object_schema(&stream.json_schema);
    let mut root = json!({"inclusion": "available", "table-key-properties": stream.primary_key});
    let mut entry = json!({
        "tap_stream_id": name,
        "stream": name,
        "schema": schema,
        "key_properties": stream.primary_key,
    });
    let incremental = stream.methods.contains(&Method::Incremental);
    let method = if incremental {
        Method::Incremental
    } else {
        Method::FullRefresh
    };
    if let Some(cursor) = &stream.cursor {
        root["valid-replication-keys"] = json!([cursor]);
    }
    root["replication-method"] = method.as_singer().into();
    entry["replication_method"] = method.as_singer().into();
    if let (true, Some(cursor)) = (incremental, &stream.cursor) {
        root["replication-key"] = cursor.as_str().into();
        entry["replication_key"] = cursor.as_str().into();
    }
    let mut metadata = vec![json!({"breadcrumb": [], "metadata": root})];
    for field in names(&schema) {
        let automatic =
            stream.primary_key.contains(&field) || stream.cursor.as_ref() == Some(&field);
        let inclusion = if automatic { "automatic" } else { "available" };
        metadata.push(json!({
            "breadcrumb": ["properties", field],
            "metadata": {"inclusion": inclusion},
        }));
    }
    entry["metadata"] = Value::Array(metadata);
    entry
}

/// What a tap's catalog selects of the streams there are: by its metadata, or by the older flags in its schemas.
///
/// # Errors
/// When it is no catalog.
pub(super) fn selected(catalog: &Catalog, said: &Map<String, Value>) -> Result<ReadCatalog, Error> {
    let entries = said
        .get("streams")
        .and_then(Value::as_array)
        .ok_or_else(|| Error::config("catalog: `streams` is missing or is no list"))?;
    let mut streams: Vec<SelectedStream> = Vec::new();
    for entry in entries {
        let named = entry.get("tap_stream_id").or_else(|| entry.get("stream"));
        let named = named.and_then(Value::as_str).unwrap_or_default();
        let mut known = catalog.streams.iter();
        let Some(stream) = known.find(|stream| singer_name(&stream.id) == named) else {
            continue;
        };
        let root = node(entry, &[]);
        if is_selected(&[root, Some(entry), entry.get("schema")], false)
            && !streams.iter().any(|known| known.id == stream.id)
        {
            streams.push(chosen(stream, entry, root));
        }
    }
    Ok(ReadCatalog {
        streams,
        partition: None,
    })
}

fn chosen(stream: &CatalogStream, entry: &Value, root: Option<&Value>) -> SelectedStream {
    let text = |name: &str, older: &str| {
        let said = root
            .and_then(|root| root.get(name))
            .or_else(|| entry.get(older));
        said.and_then(Value::as_str)
    };
    let cursor = text("replication-key", "replication_key").map(str::to_owned);
    let cursor = cursor
        .filter(|_| !stream.cursor_is_fixed)
        .or_else(|| stream.cursor.clone());
    let can =
        stream.methods.contains(&Method::Incremental) && (cursor.is_some() || stream.by_itself);
    let method = match text("replication-method", "replication_method") {
        Some("FULL_TABLE") => Method::FullRefresh,
        _ if can => Method::Incremental,
        _ => Method::FullRefresh,
    };
    let fields = entry
        .get("schema")
        .map(names)
        .filter(|names| !names.is_empty());
    let fields = fields.map(|names| {
        let wanted = |name: &String| is_wanted(entry, name);
        let needed =
            |name: &String| stream.primary_key.contains(name) || cursor.as_ref() == Some(name);
        names
            .into_iter()
            .filter(|name| wanted(name) || needed(name))
            .collect()
    });
    SelectedStream {
        id: stream.id.clone(),
        fields,
        method,
        cursor,
        primary_key: stream.primary_key.clone(),
        json_schema: stream.json_schema.clone(),
        arrow_schema: stream.arrow_schema.clone(),
    }
}

fn is_wanted(entry: &Value, name: &str) -> bool {
    let node = node(entry, &["properties", name]);
    match node
        .and_then(|node| node.get("inclusion"))
        .and_then(Value::as_str)
    {
        Some("automatic") => true,
        Some("unsupported") => false,
        _ => {
            let schema = entry
                .get("schema")
                .and_then(|schema| schema.get("properties"));
            is_selected(&[node, schema.and_then(|schema| schema.get(name))], true)
        }
    }
}

fn is_selected(places: &[Option<&Value>], otherwise: bool) -> bool {
    let said = |key: &str| {
        let mut places = places.iter().flatten();
        places.find_map(|place| place.get(key).and_then(Value::as_bool))
    };
    said("selected")
        .or_else(|| said("selected-by-default"))
        .unwrap_or(otherwise)
}

/// The metadata at a breadcrumb.
fn node<'e>(entry: &'e Value, breadcrumb: &[&str]) -> Option<&'e Value> {
    let listed = entry.get("metadata")?.as_array()?;
    let found = listed.iter().find(|item| {
        let path = item.get("breadcrumb").and_then(Value::as_array);
        path.map_or(&[][..], Vec::as_slice) == breadcrumb
    })?;
    found.get("metadata")
}

fn names(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let schema = json!({"properties": {"id": {}, "at": {}, "text": {}}});
        let id = StreamId::new("orders", Some("shop"));
        [CatalogStream::of_json(id, schema)
            .with_primary_key(["id"])
            .incremental(Some("at"))]
        .into_iter()
        .collect()
    }

    fn picked(change: impl FnOnce(&mut Value)) -> Vec<SelectedStream> {
        let mut said = discovered(&catalog());
        change(&mut said["streams"][0]);
        selected(&catalog(), said.as_object().unwrap())
            .unwrap()
            .streams
    }

    #[test]
    fn nothing_is_selected_that_nobody_selects() {
        assert!(picked(|_| {}).is_empty());
        let stream = &picked(|entry| entry["selected"] = true.into())[0];
        assert_eq!(stream.id, StreamId::new("orders", Some("shop")));
        assert_eq!(stream.method, Method::Incremental);
        assert_eq!(stream.cursor.as_deref(), Some("at"));
    }

    #[test]
    fn metadata_selects_streams_and_fields() {
        let stream = &picked(|entry| {
            entry["metadata"][0]["metadata"]["selected"] = true.into();
            for place in 1..4 {
                entry["metadata"][place]["metadata"]["selected"] = false.into();
            }
            entry["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE".into();
        })[0];
        assert_eq!(
            stream.fields.as_deref(),
            Some(&["id".to_owned(), "at".to_owned()][..])
        );
        assert_eq!(stream.method, Method::FullRefresh);
    }

    #[test]
    fn a_key_that_the_user_names_comes_first() {
        let stream = &picked(|entry| {
            entry["metadata"][0]["metadata"] = json!({"selected": true, "replication-key": "text"});
        })[0];
        assert_eq!(stream.cursor.as_deref(), Some("text"));
    }

    #[test]
    fn a_property_of_any_type_says_all_of_them() {
        let said =
            object_schema(&json!({"properties": {"a": {"description": "x"}, "b": {"enum": [1]}}}));
        assert_eq!(said["properties"]["a"]["type"], json!(ANY_TYPE));
        assert_eq!(said["properties"]["b"], json!({"enum": [1]}));
    }

    #[test]
    fn what_needs_no_cursor_is_incremental_without_one() {
        let method = |stream: CatalogStream| {
            let catalog: Catalog = [stream].into_iter().collect();
            let mut said = discovered(&catalog);
            said["streams"][0]["selected"] = true.into();
            selected(&catalog, said.as_object().unwrap())
                .unwrap()
                .streams
                .remove(0)
                .method
        };
        let stream = || CatalogStream::of_json("files", json!({}));
        assert_eq!(method(stream().incremental(None)), Method::FullRefresh);
        assert_eq!(
            method(stream().incremental_by_any_or_by_itself()),
            Method::Incremental
        );
    }
}
