//! JSON Schema to Arrow.

mod common;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use common::{push_all, rejects, rows};
use dativo_codec::{BatchBuilder, Nested, PlanOptions, SchemaError, StreamPlan};

fn compile(schema: &str, keys: &[&str], options: &PlanOptions) -> StreamPlan {
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    StreamPlan::compile(schema.as_bytes(), &keys, options).unwrap()
}

/// Name of the type that `schema` gives a property; JSON text is `json`.
fn type_in(nested: Nested, schema: &str) -> String {
    let whole = format!(
        r##"{{"properties":{{"v":{schema}}},"definitions":{{"day":{{"type":"string","format":"date"}},"a/b%":{{"type":"integer"}},
        "tree":{{"type":"object","properties":{{"n":{{"type":"integer"}},"child":{{"$ref":"#/definitions/tree"}}}}}},
        "loop":{{"$ref":"#/definitions/loop"}}}},"$defs":{{"flag":{{"type":["null","boolean"]}}}}}}"##
    );
    let plan = compile(
        &whole,
        &[],
        &PlanOptions {
            nested,
            ..PlanOptions::default()
        },
    );
    let field = plan.arrow_schema().field(0).clone();
    if field.metadata().is_empty() {
        field.data_type().to_string()
    } else {
        "json".to_owned()
    }
}

fn type_of(schema: &str) -> String {
    type_in(Nested::Json, schema)
}

#[test]
fn the_table_of_types() {
    for (schema, expected) in [
        (r#"{"type":"integer"}"#, "Int64"),
        (r#"{"type":["null","integer"]}"#, "Int64"),
        (
            r#"{"type":["integer","null"],"multipleOf":5,"exclusiveMaximum":true}"#,
            "Int64",
        ),
        (
            r#"{"type":"integer","airbyte_type":"big_integer"}"#,
            "Decimal128(38, 0)",
        ),
        (r#"{"type":"number"}"#, "Float64"),
        (
            r#"{"type":"number","multipleOf":1e-5}"#,
            "Decimal128(38, 5)",
        ),
        (
            r#"{"type":"number","multipleOf":0.01}"#,
            "Decimal128(38, 2)",
        ),
        (r#"{"type":"number","multipleOf":1}"#, "Decimal128(38, 0)"),
        (
            r#"{"type":"number","multipleOf":1e-37}"#,
            "Decimal128(38, 37)",
        ),
        (r#"{"type":"number","multipleOf":1e-38}"#, "json"),
        (r#"{"type":"number","multipleOf":1e-100}"#, "json"),
        (r#"{"type":"number","multipleOf":0.05}"#, "Float64"),
        (r#"{"type":"number","multipleOf":10}"#, "Float64"),
        (
            r#"{"type":"number","airbyte_type":"big_number"}"#,
            "Decimal128(38, 9)",
        ),
        (r#"{"type":"number","airbyte_type":"integer"}"#, "Int64"),
        (r#"{"type":"boolean"}"#, "Boolean"),
        (r#"{"type":"string"}"#, "Utf8"),
        (r#"{"type":"string","format":"uuid"}"#, "Utf8"),
        (
            r#"{"type":["null","string"],"format":"singer.decimal"}"#,
            "Utf8",
        ),
        (r#"{"type":"string","format":"date"}"#, "Date32"),
        (
            r#"{"type":"string","format":"date-time"}"#,
            "Timestamp(µs, \"UTC\")",
        ),
        (
            r#"{"type":"string","format":"date-time","airbyte_type":"timestamp_without_timezone"}"#,
            "Timestamp(µs)",
        ),
        (
            r#"{"type":"string","airbyte_type":"timestamp_with_timezone"}"#,
            "Timestamp(µs, \"UTC\")",
        ),
        (r#"{"type":"string","format":"time"}"#, "Time64(µs)"),
        (
            r#"{"type":"string","airbyte_type":"time_without_timezone"}"#,
            "Time64(µs)",
        ),
        (
            r#"{"type":"string","format":"time","airbyte_type":"time_with_timezone"}"#,
            "Utf8",
        ),
        (r#"{"type":"string","contentEncoding":"base64"}"#, "Binary"),
        (
            r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#,
            "json",
        ),
        (r#"{"type":"array","items":{"type":"integer"}}"#, "json"),
        ("{}", "json"),
        ("true", "json"),
        ("false", "json"),
        (r#"{"type":"null"}"#, "json"),
        (r#"{"type":"whatever"}"#, "json"),
        (r#"{"description":"no type"}"#, "json"),
        (r#"{"enum":["a","b"]}"#, "json"),
    ] {
        assert_eq!(type_of(schema), expected, "{schema}");
    }
}

#[test]
fn unions_and_references_are_resolved() {
    for (schema, expected) in [
        (
            r#"{"anyOf":[{"type":"string","format":"date-time"},{"type":"null"}]}"#,
            "Timestamp(µs, \"UTC\")",
        ),
        (
            r#"{"anyOf":[{"type":"string","format":"date-time"},{"type":["null","string"]}]}"#,
            "Utf8",
        ),
        (
            r#"{"oneOf":[{"type":"integer"},{"type":"number"}]}"#,
            "Float64",
        ),
        (
            r#"{"oneOf":[{"type":"integer"},{"type":"number","multipleOf":0.1}]}"#,
            "Decimal128(38, 1)",
        ),
        (r#"{"type":["integer","number","null"]}"#, "Float64"),
        (
            r#"{"oneOf":[{"type":"integer"},{"type":"integer"}]}"#,
            "Int64",
        ),
        (
            r#"{"oneOf":[{"type":"integer"},{"type":"string"}]}"#,
            "json",
        ),
        (r#"{"type":["string","integer"]}"#, "json"),
        (r#"{"anyOf":[{"type":"string"},{}]}"#, "json"),
        (
            r#"{"type":["null","string"],"anyOf":[{"format":"date-time"},{}]}"#,
            "Utf8",
        ),
        (
            r#"{"type":"string","anyOf":[{"format":"date"},{"format":"date","maxLength":10}]}"#,
            "Date32",
        ),
        (
            r#"{"allOf":[{"type":["null","number"]},{"type":["integer","null"]}]}"#,
            "Int64",
        ),
        (
            r#"{"allOf":[{"type":"string"},{"format":"date"}]}"#,
            "Date32",
        ),
        (r##"{"$ref":"#/definitions/day"}"##, "Date32"),
        (
            r##"{"anyOf":[{"$ref":"#/$defs/flag"},{"type":"null"}]}"##,
            "Boolean",
        ),
        (r##"{"$ref":"#/definitions/a~1b%25"}"##, "Int64"),
        (r##"{"$ref":"#/definitions/loop"}"##, "json"),
        (
            r##"{"$ref":"#/definitions/day","description":"sibling"}"##,
            "Date32",
        ),
    ] {
        assert_eq!(type_of(schema), expected, "{schema}");
    }
}

#[test]
fn nested_types_where_the_job_wants_them() {
    for (schema, expected) in [
        (
            r#"{"type":"array","items":{"type":"integer"}}"#,
            "List(Int64)",
        ),
        (r#"{"items":{"type":["null","string"]}}"#, "List(Utf8)"),
        (r#"{"type":"array","items":[{"type":"integer"}]}"#, "json"),
        (r#"{"type":"array"}"#, "json"),
        (r#"{"type":"array","items":{}}"#, "json"),
        (r#"{"type":"object"}"#, "json"),
        (r#"{"type":"object","properties":{}}"#, "json"),
        (
            r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#,
            "Struct(\"a\": Int64)",
        ),
        (
            r#"{"type":["object","string"],"properties":{"a":{"type":"integer"}}}"#,
            "json",
        ),
    ] {
        assert_eq!(type_in(Nested::Struct, schema), expected, "{schema}");
    }
    let tree = type_in(Nested::Struct, r##"{"$ref":"#/definitions/tree"}"##);
    assert!(
        tree.starts_with("Struct(\"n\": Int64, \"child\": Utf8"),
        "{tree}"
    );
}

#[test]
fn definitions_that_refer_to_one_another_in_many_ways_come_to_an_end() {
    let all: String = (0..12)
        .map(|to| format!(r##""p{to}":{{"$ref":"#/definitions/d{to}"}},"##))
        .collect();
    let definition =
        format!(r#"{{"type":"object","properties":{{{all}"id":{{"type":"integer"}}}}}}"#);
    let definitions: Vec<String> = (0..12)
        .map(|name| format!(r#""d{name}":{definition}"#))
        .collect();
    let pair = |name: usize| {
        format!(
            r##""a{name}":{{"allOf":[{{"$ref":"#/definitions/a{0}"}},{{"$ref":"#/definitions/a{0}"}}]}}"##,
            name + 1
        )
    };
    let pairs: Vec<String> = (0..40).map(pair).collect();
    let schema = format!(
        r##"{{"properties":{{"v":{{"$ref":"#/definitions/d0"}},"w":{{"$ref":"#/definitions/a0"}},"x":{{"type":"integer"}}}},
        "definitions":{{{},{},"a40":{{"type":"integer"}}}}}}"##,
        definitions.join(","),
        pairs.join(",")
    );
    let plan = compile(
        &schema,
        &[],
        &PlanOptions {
            nested: Nested::Struct,
            ..PlanOptions::default()
        },
    );
    let types: Vec<_> = plan
        .arrow_schema()
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(types, [DataType::Utf8, DataType::Utf8, DataType::Int64]);
}

#[test]
fn columns_follow_the_schema_and_only_keys_are_required() {
    let schema = r#"{"properties":{"z":{"type":"integer"},"Z":{"type":"string"},"":{"type":"string"},"a":{"type":"integer"}},"required":["a"]}"#;
    let plan = compile(schema, &["a", "elsewhere"], &PlanOptions::default());
    let fields: Vec<_> = plan
        .arrow_schema()
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.is_nullable()))
        .collect();
    assert_eq!(
        fields,
        [
            ("z", true),
            ("Z", true),
            ("", true),
            ("a", false),
            ("elsewhere", false)
        ]
    );
    assert_eq!(plan.key_properties(), ["a", "elsewhere"]);
    for empty in ["{}", "true", r#"{"type":"object"}"#, r#"{"properties":{}}"#] {
        assert!(
            compile(empty, &[], &PlanOptions::default())
                .arrow_schema()
                .fields()
                .is_empty()
        );
    }
}

#[test]
fn top_level_combinators_give_all_properties() {
    let schema = r##"{"allOf":[{"$ref":"#/definitions/base"},{"properties":{"b":{"type":"string"}}}],
        "anyOf":[{"properties":{"c":{"type":"integer"}}},{"properties":{"c":{"type":"number"},"d":{"type":"boolean"}}}],
        "definitions":{"base":{"type":"object","properties":{"a":{"type":"integer"}}}}}"##;
    let plan = compile(schema, &[], &PlanOptions::default());
    let fields: Vec<_> = plan
        .arrow_schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    let expected = [
        ("a", DataType::Int64),
        ("b", DataType::Utf8),
        ("c", DataType::Float64),
        ("d", DataType::Boolean),
    ];
    assert_eq!(
        fields,
        expected.map(|(name, data_type)| (name.to_owned(), data_type))
    );
}

#[test]
fn schemas_that_are_none_are_refused() {
    let fail = |schema: &str| {
        StreamPlan::compile(schema.as_bytes(), &[], &PlanOptions::default()).unwrap_err()
    };
    assert!(matches!(fail("{"), SchemaError::NotJson(_)));
    assert!(matches!(fail("[]"), SchemaError::NotAnObject));
    let error = fail(r##"{"properties":{"a":{"$ref":"#/definitions/gone"}}}"##);
    assert_eq!(
        error.to_string(),
        "`$ref` `#/definitions/gone` of property `a` points to nothing in this schema"
    );
    let bombs = format!(
        r#"{{"properties":{{"a":{}{{}}{}}}}}"#,
        r#"{"anyOf":["#.repeat(60),
        "]}".repeat(60)
    );
    assert!(StreamPlan::compile(bombs.as_bytes(), &[], &PlanOptions::default()).is_ok());
}

#[test]
fn a_job_can_name_types() {
    let types = [
        ("a", "string"),
        ("b", "decimal(10, 2)"),
        ("c", "json"),
        ("d", "timestamp"),
        ("gone", "int64"),
    ];
    let types = types
        .map(|(column, name)| (column.to_owned(), name.to_owned()))
        .into();
    let options = PlanOptions {
        types,
        ..PlanOptions::default()
    };
    let schema = r#"{"properties":{"a":{"type":"object"},"b":{},"c":{"type":"integer"},"d":{"type":"string"}}}"#;
    let mut builder = BatchBuilder::new(Arc::new(compile(schema, &[], &options)));
    let built = push_all(
        &mut builder,
        &[
            r#"{"a":1.10,"b":1.5,"c":1,"d":"2024-01-01"}"#,
            r#"{"a":true,"c":"x"}"#,
            r#"{"a":"text"}"#,
            r#"{"a":{}}"#,
        ],
    );
    assert_eq!(
        rows(&built),
        [
            r#"{"a":"1.10","b":1.50,"c":1,"d":"2024-01-01T00:00:00Z"}"#,
            r#"{"a":"true","b":null,"c":"x","d":null}"#,
            r#"{"a":"text","b":null,"c":null,"d":null}"#,
        ]
    );
    assert_eq!(rejects(&built).len(), 1);
    for wrong in [
        "text",
        "decimal(39,2)",
        "decimal(2,3)",
        "decimal(1)",
        "Int64",
    ] {
        let options = PlanOptions {
            types: [("a".to_owned(), wrong.to_owned())].into(),
            ..PlanOptions::default()
        };
        let error = StreamPlan::compile(b"{}", &[], &options).unwrap_err();
        assert!(error.to_string().starts_with(&format!(
            "column `a`: unknown type `{wrong}`, expected one of"
        )));
    }
}

#[test]
fn arrow_schemas_give_plans_too() {
    let schema = |fields: Vec<Field>| Arc::new(Schema::new(fields));
    let wanted = schema(vec![
        Field::new("i", DataType::Int64, false),
        Field::new("f", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
    ]);
    let records = [
        r#"{"i":"12","f":"1.5","s":1.10}"#,
        r#"{"i":2,"f":"NaN","s":true}"#,
        r#"{"i":3,"f":"x"}"#,
        r#"{"f":1}"#,
    ];
    let strict = StreamPlan::from_arrow(wanted.clone(), false).unwrap();
    assert_eq!(strict.arrow_schema(), &wanted);
    let built = push_all(&mut BatchBuilder::new(Arc::new(strict)), &records);
    assert_eq!((built.rows, built.rejected), (0, 4));
    let lenient = StreamPlan::from_arrow(wanted, true).unwrap();
    let built = push_all(&mut BatchBuilder::new(Arc::new(lenient)), &records);
    assert_eq!(
        rows(&built),
        [
            r#"{"i":12,"f":1.5,"s":"1.10"}"#,
            r#"{"i":2,"f":"NaN","s":"true"}"#
        ]
    );
    let reasons: Vec<_> = rejects(&built)
        .into_iter()
        .map(|(_, _, reason, _)| reason)
        .collect();
    assert_eq!(
        reasons,
        [
            "expected float64: the text is not a number",
            "expected int64 (primary key): is missing"
        ]
    );
    let error = StreamPlan::from_arrow(schema(vec![Field::new("x", DataType::Int32, true)]), false)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "column `x` has type Int32, which cannot be read from JSON here"
    );
    let twice = vec![
        Field::new("x", DataType::Int64, true),
        Field::new("x", DataType::Utf8, true),
    ];
    assert!(matches!(
        StreamPlan::from_arrow(schema(twice), false),
        Err(SchemaError::DuplicateColumn { .. })
    ));
}

#[test]
fn properties_named_like_dativo_s_own_columns_get_another_name() {
    let schema = br#"{"properties":{"_dativo_extra":{"type":"integer"},"_dativo_extra_":{"type":"string"},"_dativo_changes":{},"_dativo_version":{}}}"#;
    let keys = ["_dativo_extra".to_owned()];
    let plan = StreamPlan::compile(schema, &keys, &PlanOptions::default()).unwrap();
    let names = [
        "_dativo_extra__",
        "_dativo_extra_",
        "_dativo_changes_",
        "_dativo_version_",
    ];
    assert_eq!(
        plan.arrow_schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect::<Vec<_>>(),
        names
    );
    assert_eq!(plan.key_properties(), [names[0]]);
    assert_eq!(plan.column_of("_dativo_changes"), names[2]);
}
