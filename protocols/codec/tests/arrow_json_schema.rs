//! Arrow to JSON Schema, and back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use dativo_codec::{Nested, PlanOptions, StreamPlan, arrow_json_schema, c_names};
use serde_json::json;

fn json_text(name: &str) -> Field {
    let mark = HashMap::from([("ARROW:extension:name".to_owned(), "arrow.json".to_owned())]);
    Field::new(name, DataType::Utf8, true).with_metadata(mark)
}

fn again(schema: &Schema) -> Schema {
    let options = PlanOptions {
        nested: Nested::Struct,
        ..PlanOptions::default()
    };
    let json = arrow_json_schema(schema).to_string();
    let plan = StreamPlan::compile(json.as_bytes(), &[], &options).unwrap();
    plan.arrow_schema().as_ref().clone()
}

#[test]
fn what_a_plan_makes_comes_back() {
    let of = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let micros =
        |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Arc::from));
    let inner = Fields::from(vec![of("a", DataType::Int64), json_text("any")]);
    let schema = Schema::new(vec![
        of("whole", DataType::Int64),
        of("real", DataType::Float64),
        of("yes", DataType::Boolean),
        of("text", DataType::Utf8),
        of("big", DataType::Decimal128(38, 0)),
        of("small", DataType::Decimal128(38, 10)),
        of("day", DataType::Date32),
        of("clock", DataType::Time64(TimeUnit::Microsecond)),
        of("at", micros(Some("UTC"))),
        of("local", micros(None)),
        of("raw", DataType::Binary),
        json_text("json"),
        of(
            "list",
            DataType::List(Arc::new(of("item", DataType::Date32))),
        ),
        of("struct", DataType::Struct(inner)),
    ]);
    assert_eq!(again(&schema), schema);
}

#[test]
fn other_types_have_the_schema_of_their_json() {
    let item = Field::new("item", DataType::Float32, false);
    let pair = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Boolean, true),
    ]);
    let entries = Field::new("entries", DataType::Struct(pair), false);
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int16, false),
        Field::new("count", DataType::UInt64, true),
        Field::new(
            "kind",
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            true,
        ),
        Field::new("lasts", DataType::Duration(TimeUnit::Second), true),
        Field::new("parts", DataType::ListView(Arc::new(item)), true),
        Field::new("names", DataType::Map(Arc::new(entries), false), true),
    ]);
    assert_eq!(
        arrow_json_schema(&schema),
        json!({
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "count": {"type": ["null", "integer"], "airbyte_type": "big_integer"},
                "kind": {"type": ["null", "string"]},
                "lasts": {"type": ["null", "integer"]},
                "parts": {"type": ["null", "array"], "items": {"type": "number"}},
                "names": {"type": ["null", "object"], "additionalProperties": {"type": ["null", "boolean"]}},
            },
            "required": ["id"],
        })
    );
}

#[test]
fn nul_in_a_name_is_a_symbol_for_c() {
    let item = Field::new("i\0", DataType::Int64, true);
    let list = DataType::List(Arc::new(Field::new(
        "x",
        DataType::Struct(vec![item].into()),
        true,
    )));
    let schema = Arc::new(Schema::new(vec![Field::new("a\0b", list, true)]));
    let named = c_names(&schema);
    assert_eq!(named.field(0).name(), "a\u{2400}b");
    assert!(format!("{named:?}").contains("i\u{2400}"));
    let plain = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    assert!(Arc::ptr_eq(&c_names(&plain), &plain));
}
