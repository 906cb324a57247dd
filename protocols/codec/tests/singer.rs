//! RECORD lines to the right builder.

mod common;

use std::sync::Arc;

use common::{options, rejects, rows};
use dativo_codec::singer::SingerRecords;
use dativo_codec::{
    Decoded, LineError, Metadata, OnBadValue, Outcome, PlanOptions, PushError, StreamId, StreamPlan,
};

type Builders = dativo_codec::Builders<SingerRecords>;

fn plan(on_bad_value: OnBadValue) -> Arc<StreamPlan> {
    let schema = br#"{"properties":{"id":{"type":"integer"},"s":{"type":"string"}}}"#;
    Arc::new(StreamPlan::compile(schema, &["id".to_owned()], &options(on_bad_value)).unwrap())
}

/// Decodes lines of streams `a` and `b`.
fn decode(builders: &mut Builders, lines: &[&str]) -> Vec<Decoded> {
    let decode = |(number, line): (usize, &&str)| {
        let plan = |stream: &StreamId| {
            ["a", "b", "é"]
                .contains(&stream.name())
                .then(|| plan(OnBadValue::Quarantine))
        };
        builders
            .decode_line(line.as_bytes(), number as i64 + 1, plan)
            .unwrap()
    };
    lines.iter().enumerate().map(decode).collect()
}

fn rows_of(builders: &mut Builders, stream: &str) -> Vec<String> {
    builders
        .get_mut(&stream.into())
        .map(|builder| rows(&builder.finish()))
        .unwrap_or_default()
}

#[test]
fn interleaved_streams_find_their_builders() {
    let mut builders = Builders::new();
    let decoded = decode(
        &mut builders,
        &[
            r#"{"type":"RECORD","stream":"a","record":{"id":1,"s":"x"}}"#,
            r#"{"type":"RECORD","stream":"b","record":{"id":2,"s":"y"},"version":7}"#,
            r#"{"type":"RECORD","stream":"a","record":{"id":3,"s":"x"},"time_extracted":"2024-01-01T00:00:00Z"}"#,
            r#"{"type":"RECORD","stream":"b","record":{"id":4,"s":"y"}, "version" : 7 }"#,
            r#"{"type": "record", "stream": "\u0061", "record": {"id":5,"s":"z"}}"#,
            r#"{"type": "record", "stream": "\u0061", "record": {"id":6,"s":"z"}}"#,
            "{\"type\": \"record\", \"stream\": \"\\u00e9\", \"record\": {\"id\":7}}\r\n",
            r#"{"version":9,"type":"RECORD","stream":"a","record":{"id":8,"s":"x"}}"#,
            r#"{"time_extracted":"2024-01-01T00:00:00Z","type":"RECORD","stream":"a","record":{"id":9,"s":"x"}}"#,
        ],
    );
    assert!(
        decoded
            .iter()
            .all(|decoded| decoded.outcome == Outcome::Row)
    );
    let places: Vec<_> = decoded
        .iter()
        .map(|decoded| decoded.builder.unwrap())
        .collect();
    assert_eq!(places, [0, 1, 0, 1, 0, 0, 2, 0, 0]);
    assert_eq!(rows_of(&mut builders, "a").len(), 6);
    assert_eq!(
        rows_of(&mut builders, "b"),
        [r#"{"id":2,"s":"y"}"#, r#"{"id":4,"s":"y"}"#]
    );
    assert_eq!(rows_of(&mut builders, "é"), [r#"{"id":7,"s":null}"#]);
}

#[test]
fn the_order_of_the_keys_does_not_matter() {
    let mut builders = Builders::new();
    decode(
        &mut builders,
        &[
            r#"{"record":{"id":1},"stream":"a","type":"RECORD"}"#,
            r#"{"stream":"a","record":{"id":2},"type":"RECORD"}"#,
            r#"{"stream":"a","type":"RECORD","record":{"id":3}}"#,
            r#"{"stream":"a","type":"RECORD","record":{"id":4},"record":{"id":5}}"#,
            r#"{"stream":"a","type":"RECORD","record":{"id":6},"stream":"b"}"#,
        ],
    );
    assert_eq!(
        rows_of(&mut builders, "a"),
        [
            r#"{"id":1,"s":null}"#,
            r#"{"id":2,"s":null}"#,
            r#"{"id":3,"s":null}"#,
            r#"{"id":5,"s":null}"#
        ]
    );
    assert_eq!(rows_of(&mut builders, "b"), [r#"{"id":6,"s":null}"#]);
}

#[test]
fn a_line_that_breaks_behind_its_record_gives_no_row() {
    let good = r#"{"type":"RECORD","stream":"a","record":{"id":1}}"#;
    for tail in [
        "",
        "}}",
        "} x",
        ",}",
        ",\"version\":}",
        "}{}",
        ",\"x\" 1}",
        ",\"type\":\"STATE\"}",
        ",\"record\":[]}",
    ] {
        let line = format!(r#"{{"type":"RECORD","stream":"a","record":{{"id":2}}{tail}"#);
        let mut builders = Builders::new();
        let decoded = decode(&mut builders, &[good, &line, good]);
        assert_eq!(
            decoded[1],
            Decoded {
                builder: Some(0),
                outcome: Outcome::Broken
            },
            "{tail}"
        );
        let built = builders.at(0).1.finish();
        assert_eq!(built.rows, 2);
        let rejected = rejects(&built);
        assert_eq!(
            (rejected[0].0, &rejected[0].1, rejected[0].3.as_slice()),
            (2, &None, line.as_bytes())
        );
    }
}

#[test]
fn broken_lines_go_to_their_stream_or_to_none() {
    let mut builders = Builders::new();
    let decoded = decode(
        &mut builders,
        &[
            r#"{"type":"RECORD","stream":"a","record":{"id":1"#,
            r#"{"type":"RECORD","stream":"nobody","record":{"id":1"#,
            r#"{"type":"RECORD","record":{"id":1}}"#,
            r#"{"type":"RECORD","stream":"a","record":7}"#,
            r#"{"type":"RECORD","stream":"a"}"#,
            r#"{"type":"RECORD","str"#,
        ],
    );
    assert!(
        decoded
            .iter()
            .all(|decoded| decoded.outcome == Outcome::Broken)
    );
    let places: Vec<_> = decoded.iter().map(|decoded| decoded.builder).collect();
    assert_eq!(places, [Some(0), None, None, Some(0), Some(0), None]);
    assert_eq!(builders.take_unplaced().unwrap().num_rows(), 3);
    assert!(builders.take_unplaced().is_none());
    let reasons: Vec<_> = rejects(&builders.at(0).1.finish())
        .into_iter()
        .map(|(_, _, reason, _)| reason)
        .collect();
    assert_eq!(
        reasons,
        [
            "expected `,` or `}` at byte 46",
            "`record` is missing or is not an object",
            "`record` is missing or is not an object",
        ]
    );
}

#[test]
fn a_record_before_its_schema_names_the_stream() {
    let line = br#"{"type":"RECORD","stream":"or\"ders","record":{}}"#;
    let error = Builders::new().decode_line(line, 1, |_| None).unwrap_err();
    assert!(matches!(&error, LineError::UnknownStream { stream } if stream.name() == "or\"ders"));
    assert_eq!(
        error.to_string(),
        "RECORD of stream `or\"ders`, which was not announced"
    );
}

#[test]
fn fail_says_where() {
    let mut builders = Builders::new();
    let plan = plan(OnBadValue::Fail);
    builders
        .decode_line(
            br#"{"type":"RECORD","stream":"a","record":{"id":1}}"#,
            1,
            |_| Some(plan),
        )
        .unwrap();
    let mut fail = |line: &str| {
        builders
            .decode_line(line.as_bytes(), 9, |_| None)
            .unwrap_err()
    };
    let error = fail(r#"{"type":"RECORD","stream":"a","record":{"id":"x"}}"#);
    assert_eq!(
        error.to_string(),
        "stream `a`, line 9, column `id`: expected int64 (primary key): found a string"
    );
    let error = fail(r#"{"type":"RECORD","stream":"a","record":{"id":1}"#);
    assert!(matches!(
        error,
        LineError::Push {
            error: PushError::Bad { column: None, .. },
            ..
        }
    ));
    assert_eq!(builders.at(0).1.rows(), 1);
}

#[test]
fn removed_builders_are_made_anew_from_a_new_plan() {
    let mut builders = Builders::new();
    let line = r#"{"type":"RECORD","stream":"a","record":{"id":1}}"#;
    decode(
        &mut builders,
        &[
            line,
            r#"{"type":"RECORD","stream":"b","record":{"id":1}}"#,
            line,
        ],
    );
    assert_eq!(builders.remove(&"a".into()).unwrap().finish().rows, 2);
    let schema = br#"{"properties":{"id":{"type":"string"}}}"#;
    let changed = Arc::new(StreamPlan::compile(schema, &[], &PlanOptions::default()).unwrap());
    let line = br#"{"type":"RECORD","stream":"a","record":{"id":"one"}}"#;
    let decoded = builders
        .decode_line(line, 1, |_| Some(changed.clone()))
        .unwrap();
    assert_eq!((decoded.builder, decoded.outcome), (Some(1), Outcome::Row));
    decode(
        &mut builders,
        &[r#"{"type":"RECORD","stream":"b","record":{"id":2}}"#],
    );
    assert_eq!(rows_of(&mut builders, "b").len(), 2);
    assert_eq!(builders.clear().len(), 2);
    assert!(builders.is_empty());
}

/// Rows of one stream, with the columns of what their lines say about them.
fn stamped<F: dativo_codec::RecordFormat>(lines: &[&str]) -> Vec<String> {
    let schema = br#"{"properties":{"id":{"type":"integer"}}}"#;
    let options = PlanOptions {
        metadata: Metadata {
            extracted_at: true,
            version: true,
        },
        on_bad_value: OnBadValue::Null,
        ..PlanOptions::default()
    };
    let plan = Arc::new(StreamPlan::compile(schema, &[], &options).unwrap());
    let mut builders = dativo_codec::Builders::<F>::new();
    for (number, line) in lines.iter().enumerate() {
        builders
            .decode_line(line.as_bytes(), number as i64, |_| Some(plan.clone()))
            .unwrap();
    }
    rows(&builders.at(0).1.finish())
}

#[test]
fn a_row_has_what_its_line_says_about_it_wherever_that_stands() {
    let at = |second: u32| format!("2024-01-01T02:00:{second:02}+02:00");
    let lines = [
        r#"{"type":"RECORD","stream":"a","record":{"id":1}}"#.to_owned(),
        format!(r#"{{"type":"RECORD","stream":"a","record":{{"id":2}},"time_extracted":"{}","version":7}}"#, at(2)),
        format!(r#"{{"type":"RECORD","version":8,"stream":"a","time_extracted":"{}","record":{{"id":3}}}}"#, at(3)),
        format!(r#"{{"type":"RECORD","version":8,"stream":"a","time_extracted":"{}","record":{{"id":4}},"version":9}}"#, at(3)),
        format!(r#"{{"version":1,"record":{{"id":5}},"t\u0069me_extracted":"{}","stream":"a","type":"RECORD","version":-2}}"#, at(5)),
        r#"{"type":"RECORD","stream":"a","record":{"id":"x"},"time_extracted":"now","version":"3"}"#.to_owned(),
        r#"{"type":"RECORD","stream":"a","record":{"id":7},"time_extracted":1700000000,"version":4.0}"#.to_owned(),
        r#"{"type":"RECORD","stream":"a","record":{"id":8},"time_extracted":null,"version":null}"#.to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let stamps: Vec<String> = stamped::<SingerRecords>(&lines)
        .into_iter()
        .map(|row| row[row.find("_dativo_extracted_at").unwrap() + 22..].to_owned())
        .collect();
    assert_eq!(
        stamps,
        [
            r#"null,"_dativo_version":null}"#,
            r#""2024-01-01T00:00:02Z","_dativo_version":7}"#,
            r#""2024-01-01T00:00:03Z","_dativo_version":8}"#,
            r#""2024-01-01T00:00:03Z","_dativo_version":9}"#,
            r#""2024-01-01T00:00:05Z","_dativo_version":-2}"#,
            r#"null,"_dativo_version":null}"#,
            r#"null,"_dativo_version":4}"#,
            r#"null,"_dativo_version":null}"#,
        ]
    );
}

#[test]
fn batches_without_a_version_go_without_the_column() {
    let line = r#"{"type":"RECORD","stream":"a","record":{"id":1},"version":"new"}"#;
    assert_eq!(
        stamped::<SingerRecords>(&[line]),
        [r#"{"id":1,"_dativo_extracted_at":null}"#]
    );
}

#[test]
fn airbyte_s_milliseconds_are_exact() {
    let moments = [
        ("1700000000000", "\"2023-11-14T22:13:20Z\""),
        ("1700000000000.25", "\"2023-11-14T22:13:20.000250Z\""),
        ("1.7e12", "\"2023-11-14T22:13:20Z\""),
        ("-1", "\"1969-12-31T23:59:59.999000Z\""),
        ("0.0001", "null"),
        ("9999999999999999", "null"),
        ("\"1700000000000\"", "null"),
        ("null", "null"),
    ];
    for before in [true, false] {
        for (given, expected) in moments {
            let line = if before {
                format!(
                    r#"{{"type":"RECORD","record":{{"emitted_at":{given},"stream":"a","data":{{"id":1}}}}}}"#
                )
            } else {
                format!(
                    r#"{{"type":"RECORD","record":{{"stream":"a","data":{{"id":1}},"emitted_at":{given}}}}}"#
                )
            };
            let row = format!(r#"{{"id":1,"_dativo_extracted_at":{expected}}}"#);
            let rows = stamped::<dativo_codec::airbyte::AirbyteRecords>(&[&line, &line]);
            assert_eq!(rows, [row.clone(), row]);
        }
    }
}

#[test]
fn rows_that_are_taken_back_leave_no_stamp() {
    let lines = [
        r#"{"type":"RECORD","stream":"a","record":{"id":1},"version":1}"#,
        r#"{"type":"RECORD","stream":"a","record":{"id":2},"version":2"#,
        r#"{"type":"RECORD","stream":"a","record":{"id":3},"version":3,"version":"#,
        r#"{"type":"RECORD","stream":"a","record":{"id":4}}"#,
    ];
    assert_eq!(
        stamped::<SingerRecords>(&lines),
        [
            r#"{"id":1,"_dativo_extracted_at":null,"_dativo_version":1}"#,
            r#"{"id":4,"_dativo_extracted_at":null,"_dativo_version":null}"#
        ]
    );
}
