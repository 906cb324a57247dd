//! What is encoded reads back the same.

mod common;

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::*;
use arrow_schema::{DataType, Field, Schema, TimeUnit, UnionFields};
use common::{builder_with, lines, push_all};
use dativo_codec::{BatchBuilder, EncodeError, Nested, PlanOptions, StreamPlan, encode_json_lines};

const SCHEMA: &str = r#"{"i":{"type":"integer"},"f":{"type":"number"},"d":{"type":"number","multipleOf":1e-9},
    "s":{"type":"string"},"b":{"type":"boolean"},"t":{"type":"string","format":"date-time"},
    "n":{"type":"string","airbyte_type":"timestamp_without_timezone"},"y":{"type":"string","format":"date"},
    "c":{"type":"string","format":"time"},"x":{"type":"string","contentEncoding":"base64"},"j":{},
    "o":{"type":"object","properties":{"p":{"type":"integer"},"q":{"type":"array","items":{"type":"string"}}}},
    "l":{"type":"array","items":{"type":"object","properties":{"k":{"type":"number"}}}}}"#;

const RECORDS: [&str; 4] = [
    r#"{"i":-9223372036854775808,"f":-1.5e-300,"d":-12345678901234567890.123456789,"s":"\"\\\u0000\u001f\n€😀","b":true,"t":"0001-01-01T00:00:00Z","n":"1969-12-31T23:59:59.999999","y":"9999-12-31","c":"23:59:59.000001","x":"AP+A","j":{"a" :[1e400]},"o":{"p":1,"q":["",null]},"l":[{"k":0.1},null,{}]}"#,
    r#"{"i":0,"f":NaN,"d":0.000000001,"s":"","b":false,"t":"9999-12-31T23:59:59.999999Z","x":"","j":"null","o":{},"l":[]}"#,
    r#"{"f":-Infinity,"d":-0.5}"#,
    "{}",
];

#[test]
fn rows_survive_encoding_and_reading_back() {
    let options = PlanOptions {
        nested: Nested::Struct,
        ..PlanOptions::default()
    };
    let built = push_all(&mut builder_with(SCHEMA, &[], &options), &RECORDS);
    let batch = built.batch.unwrap();
    assert_eq!(batch.num_rows(), 4);
    let plan = Arc::new(StreamPlan::from_arrow(batch.schema(), false).unwrap());
    let again = push_all(&mut BatchBuilder::new(plan), &lines(&batch))
        .batch
        .unwrap();
    assert_eq!(lines(&again), lines(&batch));
    for column in 0..batch.num_columns() {
        if column != 1 {
            assert_eq!(batch.column(column), again.column(column));
        }
    }
}

#[test]
fn every_random_float_reads_back_the_same() {
    let mut bits = 88_172_645_463_325_252_u64;
    let values: Vec<f64> = std::iter::repeat_with(|| {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        f64::from_bits(bits)
    })
    .filter(|value| value.is_finite())
    .take(20_000)
    .collect();
    let schema = Arc::new(Schema::new(vec![Field::new("f", DataType::Float64, true)]));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![Arc::new(Float64Array::from(values.clone()))],
    )
    .unwrap();
    let plan = Arc::new(StreamPlan::from_arrow(schema, false).unwrap());
    let again = push_all(&mut BatchBuilder::new(plan), &lines(&batch))
        .batch
        .unwrap();
    let read: &Float64Array = again.column(0).as_any().downcast_ref().unwrap();
    assert!(
        read.values()
            .iter()
            .zip(&values)
            .all(|(left, right)| left.to_bits() == right.to_bits())
    );
}

fn encode(data_type: DataType, array: ArrayRef) -> Vec<String> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", data_type, true)]));
    let rows = lines(&RecordBatch::try_new(schema, vec![array]).unwrap());
    rows.iter()
        .map(|row| row[5..row.len() - 1].to_owned())
        .collect()
}

#[test]
fn types_from_elsewhere_are_written_too() {
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into()));
    let array = TimestampNanosecondArray::from(vec![
        Some(1_500_000_001),
        Some(1_000_000_000),
        None,
        Some(-1),
        Some(2_000_000_007),
    ]);
    assert_eq!(
        encode(nanos, Arc::new(array.with_timezone("+02:00"))),
        [
            r#""1970-01-01T00:00:01.500000001Z""#,
            r#""1970-01-01T00:00:01Z""#,
            "null",
            r#""1969-12-31T23:59:59.999999999Z""#,
            r#""1970-01-01T00:00:02.000000007Z""#,
        ]
    );
    let time = Time32MillisecondArray::from(vec![1, 86_399_999]);
    assert_eq!(
        encode(DataType::Time32(TimeUnit::Millisecond), Arc::new(time)),
        [r#""00:00:00.001000""#, r#""23:59:59.999000""#]
    );
    assert_eq!(
        encode(
            DataType::UInt64,
            Arc::new(UInt64Array::from(vec![u64::MAX]))
        ),
        ["18446744073709551615"]
    );
    assert_eq!(
        encode(
            DataType::Float32,
            Arc::new(Float32Array::from(vec![0.1, f32::NEG_INFINITY]))
        ),
        ["0.1", "\"-Infinity\""]
    );
    assert_eq!(
        encode(
            DataType::LargeUtf8,
            Arc::new(LargeStringArray::from(vec!["a\tb"]))
        ),
        [r#""a\tb""#]
    );
    assert_eq!(
        encode(DataType::Null, Arc::new(NullArray::new(1))),
        ["null"]
    );
    let decimal = Decimal128Array::from(vec![0, -12])
        .with_precision_and_scale(5, -2)
        .unwrap();
    assert_eq!(
        encode(DataType::Decimal128(5, -2), Arc::new(decimal)),
        ["0", "-1200"]
    );
}

#[test]
fn slices_are_written_as_what_they_show() {
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1)]);
    list.append_value([Some(2), None]);
    list.append_null();
    let array = list.finish();
    let schema = Arc::new(Schema::new(vec![Field::new(
        "v",
        array.data_type().clone(),
        true,
    )]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(array)]).unwrap();
    assert_eq!(
        lines(&batch.slice(1, 2)),
        [r#"{"v":[2,null]}"#, r#"{"v":null}"#]
    );
}

#[test]
fn json_text_stays_on_one_line() {
    let metadata = [("ARROW:extension:name".to_owned(), "arrow.json".to_owned())].into();
    let schema = Arc::new(Schema::new(vec![
        Field::new("v", DataType::Utf8, true).with_metadata(metadata),
    ]));
    let batch = RecordBatch::try_new(
        schema,
        vec![Arc::new(StringArray::from(vec!["{\r\n \"a\": 1\n}"]))],
    )
    .unwrap();
    assert_eq!(lines(&batch), [r#"{"v":{   "a": 1 }}"#]);
}

#[test]
fn what_has_no_text_is_an_error() {
    let schema =
        |data_type: DataType| Arc::new(Schema::new(vec![Field::new("v", data_type, true)]));
    let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX]));
    let batch = RecordBatch::try_new(schema(array.data_type().clone()), vec![array]).unwrap();
    let mut out = Vec::new();
    assert!(matches!(
        encode_json_lines(&batch, &mut out),
        Err(EncodeError::OutOfRange { row: 1, .. })
    ));
    assert_eq!(out, b"{\"v\":\"1970-01-01T00:00:00\"}\n");
    let children: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1]))];
    let fields = UnionFields::from_fields([Field::new("n", DataType::Int64, true)]);
    let union = UnionArray::try_new(fields, vec![0].into(), None, children).unwrap();
    let array: ArrayRef = Arc::new(union);
    let batch = RecordBatch::try_new(schema(array.data_type().clone()), vec![array]).unwrap();
    assert!(matches!(
        encode_json_lines(&batch, &mut out),
        Err(EncodeError::Unsupported { .. })
    ));
}
