//! The JSON Schema of Arrow data: the way back from the table "From JSON Schema to Arrow".

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use serde_json::{Map, Value, json};

/// JSON Schema of the records that [`crate::encode_json_lines`] writes for batches of this schema.
///
/// From it, [`crate::StreamPlan`] makes the same columns again, where their types are of those that it makes: int64, float64,
/// bool, utf8, decimal128 of 38 digits, date32, timestamp[us] in UTC or without a zone, time64[us], binary, structs and lists of
/// them, and `arrow.json`. Anything else has the schema of its JSON form: a narrower integer is an integer, uint64 and a decimal
/// without a fraction a `big_integer`. What has no JSON form at all has a schema that allows everything.
pub fn arrow_json_schema(schema: &Schema) -> Value {
    Value::Object(object(schema.fields()))
}

fn object(fields: &Fields) -> Map<String, Value> {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name().clone(), Value::Object(property(field))))
        .collect();
    let mut described = Map::from_iter([
        ("type".to_owned(), "object".into()),
        ("properties".to_owned(), Value::Object(properties)),
    ]);
    let required = fields.iter().filter(|field| !field.is_nullable());
    let required: Vec<&str> = required.map(|field| field.name().as_str()).collect();
    if !required.is_empty() {
        described.insert("required".to_owned(), json!(required));
    }
    described
}

fn property(field: &Field) -> Map<String, Value> {
    let is_json = field
        .metadata()
        .get("ARROW:extension:name")
        .is_some_and(|name| name == "arrow.json");
    let mut described = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json => return Map::new(),
        data_type => of_type(data_type),
    };
    if let (true, Some(Value::String(name))) = (field.is_nullable(), described.get("type")) {
        let either = json!(["null", name]);
        described.insert("type".to_owned(), either);
    }
    described
}

fn of_type(data_type: &DataType) -> Map<String, Value> {
    let described = match data_type {
        DataType::Null => json!({"type": "null"}),
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => json!({"type": "integer"}),
        DataType::UInt64 => json!({"type": "integer", "airbyte_type": "big_integer"}),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => json!({"type": "number"}),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => match scale {
            ..=0 => json!({"type": "integer", "airbyte_type": "big_integer"}),
            _ => return decimal(*scale),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => json!({"type": "string"}),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => json!({"type": "string", "contentEncoding": "base64"}),
        DataType::Date32 | DataType::Date64 => json!({"type": "string", "format": "date"}),
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => {
            json!({"type": "string", "format": "time", "airbyte_type": "time_without_timezone"})
        }
        DataType::Timestamp(_, zone) => json!({
            "type": "string",
            "format": "date-time",
            "airbyte_type": match zone {
                Some(_) => "timestamp_with_timezone",
                None => "timestamp_without_timezone",
            },
        }),
        DataType::Struct(fields) => return object(fields),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => json!({"type": "array", "items": property(item)}),
        DataType::Map(entries, _) => map(entries),
        DataType::Dictionary(_, values) => return of_type(values),
        DataType::RunEndEncoded(_, values) => return of_type(values.data_type()),
        // Of microseconds.
        DataType::Duration(_) => json!({"type": "integer"}),
        DataType::Interval(_) => json!({"type": "string"}),
        _ => json!({}),
    };
    match described {
        Value::Object(described) => described,
        _ => Map::new(),
    }
}

/// An object where the keys are text, else a list of pairs.
fn map(entries: &Field) -> Value {
    match entries.data_type() {
        DataType::Struct(pair) if pair.len() == 2 => match pair[0].data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                json!({"type": "object", "additionalProperties": property(&pair[1])})
            }
            _ => json!({
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"key": property(&pair[0]), "value": property(&pair[1])},
                },
            }),
        },
        _ => json!({}),
    }
}

/// A number of so many digits behind the point, which is said by a text: `1e-10` is no binary fraction.
fn decimal(scale: i8) -> Map<String, Value> {
    let step = format!("1e-{scale}").parse::<serde_json::Number>();
    let mut described = Map::from_iter([("type".to_owned(), "number".into())]);
    if let Ok(step) = step {
        described.insert("multipleOf".to_owned(), Value::Number(step));
    }
    described
}
