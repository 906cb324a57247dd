//! Records to rows: keys, bad cells, and what can be taken back.

mod common;

use std::sync::Arc;

use common::{builder, builder_with, lines, options, push_all, rejects, rows};
use dativo_codec::{
    BatchBuilder, Extra, Nested, OnBadValue, Outcome, PlanOptions, PushError, StreamPlan, unify,
};

const TWO: &str = r#"{"id":{"type":"integer"},"name":{"type":["string","null"]}}"#;

#[test]
fn properties_come_in_any_order_and_may_be_absent() {
    let built = push_all(
        &mut builder(TWO),
        &[
            r#"{"id":1,"name":"a"}"#,
            r#"{"name":"b","id":2}"#,
            r#" { "id" : 3 } "#,
            r#"{"name":"d"}"#,
            "{}",
            r#"{"\u0069d":6,"name":null}"#,
            "{\"id\": 7, \"name\": \"g\"}\r\n",
        ],
    );
    assert_eq!(
        rows(&built),
        [
            r#"{"id":1,"name":"a"}"#,
            r#"{"id":2,"name":"b"}"#,
            r#"{"id":3,"name":null}"#,
            r#"{"id":null,"name":"d"}"#,
            r#"{"id":null,"name":null}"#,
            r#"{"id":6,"name":null}"#,
            r#"{"id":7,"name":"g"}"#,
        ]
    );
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let built = push_all(
        &mut builder(TWO),
        &[
            r#"{"id":1,"name":"long text","id":2,"name":"b"}"#,
            r#"{"id":"bad","id":3}"#,
            r#"{"id":4,"id":"bad"}"#,
            r#"{"id":5,"id":null}"#,
        ],
    );
    assert_eq!(
        rows(&built),
        [
            r#"{"id":2,"name":"b"}"#,
            r#"{"id":3,"name":null}"#,
            r#"{"id":null,"name":null}"#
        ]
    );
    assert_eq!(rejects(&built)[0].0, 3);
}

#[test]
fn bad_cells_send_the_record_to_quarantine() {
    let bad: &[u8] = b"{\"id\":2,\"name\":\"\xFF\",\"x\":[1, 2]}";
    let built = push_all(
        &mut builder(TWO),
        &[br#"{"id":1,"name":"a"}"#, bad, br#"{"id":3,"name":"c"}"#],
    );
    assert_eq!(
        rows(&built),
        [r#"{"id":1,"name":"a"}"#, r#"{"id":3,"name":"c"}"#]
    );
    let reason = "expected utf8: the text is not valid UTF-8".to_owned();
    assert_eq!(
        rejects(&built),
        [(2, Some("name".to_owned()), reason, bad.to_vec())]
    );
    assert_eq!((built.rows, built.rejected), (2, 1));
}

#[test]
fn broken_records_are_quarantined_whole() {
    let built = push_all(
        &mut builder(TWO),
        &[
            "{\"id\":1,\"name\":\"a\"",
            "{\"id\":1}{\"id\":2}\n",
            "[1]",
            "",
            "{\"id\":1 \"name\":2}",
        ],
    );
    assert!(built.batch.is_none());
    let reasons: Vec<_> = rejects(&built)
        .into_iter()
        .map(|(_, column, reason, record)| (column, reason, record))
        .collect();
    assert_eq!(
        reasons[0],
        (
            None,
            "expected `,` or `}` at byte 18".to_owned(),
            b"{\"id\":1,\"name\":\"a\"".to_vec()
        )
    );
    assert_eq!(
        reasons[1],
        (
            None,
            "expected the end of the line at byte 8".to_owned(),
            b"{\"id\":1}{\"id\":2}".to_vec()
        )
    );
    assert_eq!(reasons[2].1, "expected an object at byte 0");
    assert_eq!(reasons[3].1, "expected an object at byte 0");
    assert_eq!(reasons[4].1, "expected `,` or `}` at byte 8");
}

#[test]
fn primary_keys_must_be_there() {
    let mut builder = builder_with(TWO, &["id"], &options(OnBadValue::Null));
    let built = push_all(
        &mut builder,
        &[
            r#"{"name":"a"}"#,
            r#"{"id":null}"#,
            r#"{"id":"x","name":1}"#,
            r#"{"id":1}"#,
        ],
    );
    assert_eq!(rows(&built), [r#"{"id":1,"name":null}"#]);
    let reasons: Vec<_> = rejects(&built)
        .into_iter()
        .map(|(_, column, reason, _)| (column.unwrap(), reason))
        .collect();
    assert_eq!(
        reasons,
        [
            (
                "id".to_owned(),
                "expected int64 (primary key): is missing".to_owned()
            ),
            (
                "id".to_owned(),
                "expected int64 (primary key): found null".to_owned()
            ),
            (
                "id".to_owned(),
                "expected int64 (primary key): found a string".to_owned()
            ),
        ]
    );
    assert!(!builder.plan().arrow_schema().field(0).is_nullable());
}

#[test]
fn null_notes_what_it_changed() {
    let mut builder = builder_with(TWO, &[], &options(OnBadValue::Null));
    let built = push_all(
        &mut builder,
        &[
            r#"{"id":1,"name":"a"}"#,
            r#"{"id":"x","name":2}"#,
            r#"{"id":"x","id":3}"#,
        ],
    );
    assert_eq!(
        rows(&built),
        [
            r#"{"id":1,"name":"a","_dativo_changes":null}"#,
            concat!(
                r#"{"id":null,"name":null,"_dativo_changes":[{"column":"id","reason":"expected int64: found a string"},"#,
                r#"{"column":"name","reason":"expected utf8: found a number"}]}"#
            ),
            r#"{"id":3,"name":null,"_dativo_changes":null}"#,
        ]
    );
    assert!(built.rejects.is_none());
}

#[test]
fn fail_names_line_column_and_reason() {
    let mut builder = builder_with(TWO, &[], &options(OnBadValue::Fail));
    assert_eq!(builder.push_line(br#"{"id":1}"#, 1).unwrap(), Outcome::Row);
    let error = builder.push_line(br#"{"id":"x"}"#, 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column `id`: expected int64: found a string"
    );
    let error = builder.push_line(br#"{"id":1"#, 3).unwrap_err();
    assert_eq!(error.to_string(), "line 3: expected `,` or `}` at byte 7");
    assert!(matches!(
        builder.push_line(br#"{"id":1}}"#, 4).unwrap_err(),
        PushError::Bad { column: None, .. }
    ));
    assert_eq!(rows(&builder.finish()), [r#"{"id":1,"name":null}"#]);
}

#[test]
fn properties_outside_the_schema_are_kept_as_sent() {
    let mut builder = builder(TWO);
    let first = push_all(&mut builder, &[r#"{"id":1}"#]);
    let second = push_all(
        &mut builder,
        &[
            r#"{"id":2}"#,
            r#"{"new":1.10,"id":3,"o\"ld":{"a" : [ ]}}"#,
            r#"{"id":4,"new":NaN}"#,
        ],
    );
    assert_eq!(rows(&first), [r#"{"id":1,"name":null}"#]);
    assert_eq!(
        rows(&second),
        [
            r#"{"id":2,"name":null,"_dativo_extra":null}"#,
            r#"{"id":3,"name":null,"_dativo_extra":{"new":1.10,"o\"ld":{"a" : [ ]}}}"#
        ]
    );
    assert_eq!(rejects(&second)[0].1.as_deref(), Some("new"));
    let (schema, alike) = unify(vec![first.batch.unwrap(), second.batch.unwrap()])
        .unwrap()
        .unwrap();
    assert_eq!(schema.fields().len(), 3);
    assert_eq!(
        lines(&alike[0]),
        [r#"{"id":1,"name":null,"_dativo_extra":null}"#]
    );
}

#[test]
fn dropped_and_deselected_properties_leave_no_trace() {
    let options = PlanOptions {
        extra: Extra::Drop,
        fields: Some(["name".to_owned()].into()),
        ..PlanOptions::default()
    };
    let mut builder = builder_with(TWO, &[], &options);
    let built = push_all(
        &mut builder,
        &[r#"{"id":"not even an integer","name":"a","x":NaN}"#],
    );
    assert_eq!(rows(&built), [r#"{"name":"a"}"#]);
    let mut builder = builder_with(
        TWO,
        &["id"],
        &PlanOptions {
            extra: Extra::Keep,
            ..options
        },
    );
    let built = push_all(&mut builder, &[r#"{"id":1,"name":"a","x":2}"#]);
    assert_eq!(
        rows(&built),
        [r#"{"id":1,"name":"a","_dativo_extra":{"x":2}}"#]
    );
}

#[test]
fn rows_with_extras_read_back_beside_new_extras() {
    let built = push_all(&mut builder(TWO), &[r#"{"id":1,"new":[2]}"#]);
    let batch = built.batch.unwrap();
    let plan = StreamPlan::from_arrow(batch.schema(), false).unwrap();
    let mut reader = BatchBuilder::new(Arc::new(plan));
    let same = push_all(&mut reader, &lines(&batch));
    assert_eq!(rows(&same), lines(&batch));
    let more = push_all(&mut reader, &[r#"{"id":2,"_dativo_extra":null,"newer":3}"#])
        .batch
        .unwrap();
    let (schema, alike) = unify(vec![same.batch.unwrap(), more]).unwrap().unwrap();
    assert_eq!(schema.fields().len(), 4);
    assert_eq!(
        lines(&alike[1]),
        [r#"{"id":2,"name":null,"_dativo_extra":null,"_dativo_extra":{"newer":3}}"#]
    );
}

#[test]
fn an_empty_schema_keeps_everything_as_extra() {
    let built = push_all(&mut builder("{}"), &[r#"{"a":1,"b":[2]}"#, "{}"]);
    assert_eq!(
        rows(&built),
        [
            r#"{"_dativo_extra":{"a":1,"b":[2]}}"#,
            r#"{"_dativo_extra":null}"#
        ]
    );
}

#[test]
fn the_last_push_can_be_taken_back() {
    let mut builder = builder(TWO);
    builder.push_line(br#"{"id":1,"name":"a"}"#, 1).unwrap();
    builder
        .push_line(br#"{"id":null,"name":"taken back","x":1}"#, 2)
        .unwrap();
    builder.rollback_last();
    builder.rollback_last();
    builder.push_line(br#"{"id":"bad"}"#, 3).unwrap();
    builder.rollback_last();
    builder.push_line(br#"{"id":4,"name":"d"}"#, 4).unwrap();
    assert_eq!((builder.rows(), builder.rejected()), (2, 0));
    let built = builder.finish();
    assert_eq!(
        rows(&built),
        [r#"{"id":1,"name":"a"}"#, r#"{"id":4,"name":"d"}"#]
    );
    assert!(built.rejects.is_none());
    assert!(builder.finish().batch.is_none());
}

#[test]
fn records_end_where_their_object_ends() {
    let mut builder = builder(TWO);
    let buf = br#"{"record": {"id":1,"name":"}"} , "time_extracted":"x"}"#;
    let pushed = builder.push(buf, 10, 1).unwrap();
    assert_eq!(
        (pushed.outcome, &buf[pushed.end..pushed.end + 3]),
        (Outcome::Row, &b" , "[..])
    );
}

const NESTED: &str = r#"{"a":{"type":"object","properties":{"x":{"type":"integer"},"y":{"type":"array","items":{"type":"object",
    "properties":{"z":{"type":["null","string"],"format":"date"}}}}}},"l":{"type":"array","items":{"type":"integer"}}}"#;

fn nested(on_bad_value: OnBadValue, extra: Extra) -> PlanOptions {
    PlanOptions {
        nested: Nested::Struct,
        on_bad_value,
        extra,
        ..PlanOptions::default()
    }
}

#[test]
fn objects_and_arrays_become_structs_and_lists() {
    let mut builder = builder_with(NESTED, &[], &nested(OnBadValue::Quarantine, Extra::Keep));
    let built = push_all(
        &mut builder,
        &[
            r#"{"a":{"x":1,"y":[{"z":"2024-01-01"},{},null]},"l":[1,2]}"#,
            r#"{"a":{"y":[],"x":2,"x":3},"l":null}"#,
            r#"{"a":null,"l":[ ]}"#,
            r#"{"l":[null, 7 ]}"#,
        ],
    );
    assert_eq!(
        rows(&built),
        [
            r#"{"a":{"x":1,"y":[{"z":"2024-01-01"},{"z":null},null]},"l":[1,2]}"#,
            r#"{"a":{"x":3,"y":[]},"l":null}"#,
            r#"{"a":null,"l":[]}"#,
            r#"{"a":null,"l":[null,7]}"#,
        ]
    );
}

#[test]
fn a_bad_nested_value_makes_the_whole_cell_bad() {
    let mut builder = builder_with(NESTED, &[], &nested(OnBadValue::Null, Extra::Keep));
    let built = push_all(
        &mut builder,
        &[
            r#"{"a":{"x":1,"y":[{"z":"2024-01-01"},{"z":"never"}]},"l":[1]}"#,
            r#"{"a":{"x":2},"l":[1,2,"3",4]}"#,
            r#"{"a":{"x":3,"y":[{"z":"2024-01-03"}]},"l":[5]}"#,
        ],
    );
    assert_eq!(
        rows(&built),
        [
            concat!(
                r#"{"a":null,"l":[1],"_dativo_changes":[{"column":"a","#,
                r#""reason":"expected struct: in a nested date32, the text is not a date `YYYY-MM-DD`"}]}"#
            ),
            r#"{"a":{"x":2,"y":null},"l":null,"_dativo_changes":[{"column":"l","reason":"expected list: in a nested int64, found a string"}]}"#,
            r#"{"a":{"x":3,"y":[{"z":"2024-01-03"}]},"l":[5],"_dativo_changes":null}"#,
        ]
    );
}

#[test]
fn nested_properties_outside_the_schema_keep_the_whole_cell_as_extra() {
    let record = r#"{"a":{"x":1,"new": [1.0]},"l":[]}"#;
    let built = push_all(
        &mut builder_with(NESTED, &[], &nested(OnBadValue::Quarantine, Extra::Keep)),
        &[record],
    );
    assert_eq!(
        rows(&built),
        [r#"{"a":{"x":1,"y":null},"l":[],"_dativo_extra":{"a":{"x":1,"new": [1.0]}}}"#]
    );
    let built = push_all(
        &mut builder_with(NESTED, &[], &nested(OnBadValue::Quarantine, Extra::Drop)),
        &[record],
    );
    assert_eq!(rows(&built), [r#"{"a":{"x":1,"y":null},"l":[]}"#]);
    let bad = r#"{"a":{"x":1,"new":NaN},"l":[]}"#;
    let built = push_all(
        &mut builder_with(NESTED, &[], &nested(OnBadValue::Quarantine, Extra::Keep)),
        &[bad],
    );
    assert_eq!(rejects(&built)[0].1.as_deref(), Some("a"));
}

#[test]
fn sizes_and_counts_follow_what_is_pushed() {
    let mut builder = builder(TWO);
    let empty = builder.nbytes();
    builder
        .push_line(br#"{"id":1,"name":"0123456789"}"#, 1)
        .unwrap();
    assert!(builder.nbytes() >= empty + 18);
    builder.finish();
    assert_eq!(builder.nbytes(), empty);
}
