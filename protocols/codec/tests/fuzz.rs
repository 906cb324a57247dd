//! Damaged input: nothing panics, nothing hangs, and good lines around it stay whole.

mod common;

use std::sync::Arc;

use common::rows;
use dativo_codec::singer::{
    self, parse_activate_version, parse_batch_message, parse_schema_message,
};
use dativo_codec::{
    Builders, MessageKind, Metadata, Nested, OnBadValue, PlanOptions, RecordFormat, StreamPlan,
    airbyte, classify,
};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

const SCHEMA: &str = r#"{"properties":{"i":{"type":"integer"},"f":{"type":"number"},"d":{"type":"number","multipleOf":0.01},
    "s":{"type":"string"},"b":{"type":"boolean"},"t":{"type":"string","format":"date-time"},"y":{"type":"string","format":"date"},
    "c":{"type":"string","format":"time"},"x":{"type":"string","contentEncoding":"base64"},"j":{},
    "o":{"type":"object","properties":{"p":{"type":"integer"},"q":{"type":"array","items":{"type":"string"}}}},
    "l":{"type":"array","items":{"type":"object","properties":{"k":{"type":"number"}}}}}}"#;

const GOOD: &str = r#"{"type":"RECORD","stream":"s","record":{"i":-12,"f":1.5e3,"d":10.25,"s":"a\u00e9\n\ud83d\ude00","b":true,
"t":"2024-01-01T00:00:00.5+01:00","y":"2024-01-01","c":"10:20:30.4","x":"aGVsbG8=","j":[1,{"z":null}],
"o":{"p":1,"q":["a","b"],"r":2},"l":[{"k":1},{},null],"extra":{"e":[true]}},"version":3,"time_extracted":"2024-01-01T00:00:00Z"}"#;

/// Bytes that mean something to a parser, and some that mean nothing.
const BYTES: &[u8] = b"\"\\{}[]:,-+.0123456789eEtfnuNI \t\n\x00\x1F\x7F\x80\xC3\xED\xFF";

fn damaged(line: &[u8], random: &mut Random) -> Vec<u8> {
    let mut line = line.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(line.len().max(1));
        match random.below(6) {
            0 => line.truncate(at),
            1 => drop(line.drain(at..(at + random.below(9)).min(line.len()))),
            2 => line.insert(at.min(line.len()), BYTES[random.below(BYTES.len())]),
            3 => {
                let copy =
                    line[at.min(line.len())..(at + random.below(40)).min(line.len())].to_vec();
                let to = random.below(line.len() + 1);
                line.splice(to..to, copy);
            }
            _ => {
                if let Some(byte) = line.get_mut(at) {
                    *byte = BYTES[random.below(BYTES.len())];
                }
            }
        }
    }
    line
}

/// Damaged lines a run; `DATIVO_FUZZ_LINES` sets another number for a long one.
fn line_count() -> i64 {
    std::env::var("DATIVO_FUZZ_LINES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000)
}

fn run<F: RecordFormat, M: MessageKind>(
    good: &str,
    nested: Nested,
    on_bad_value: OnBadValue,
    seed: u64,
) {
    let options = PlanOptions {
        nested,
        on_bad_value,
        metadata: Metadata {
            extracted_at: true,
            version: true,
        },
        ..PlanOptions::default()
    };
    let plan =
        Arc::new(StreamPlan::compile(SCHEMA.as_bytes(), &["i".to_owned()], &options).unwrap());
    let mut random = Random(seed);
    let good = good.replace('\n', "");
    let mut pure = Builders::<F>::new();
    pure.decode_line(good.as_bytes(), 1, |_| Some(plan.clone()))
        .unwrap();
    let expected = rows(&pure.at(0).1.finish()).remove(0);
    let mut builders = Builders::<F>::new();
    let (mut lines, mut kept, mut whole) = (0, 0, 0);
    for number in 0..line_count() {
        if number % 7 == 0 {
            builders
                .decode_line(good.as_bytes(), number, |_| Some(plan.clone()))
                .unwrap();
            lines += 1;
            whole += 1;
        }
        let line = damaged(good.as_bytes(), &mut random);
        let _ = classify::<M>(&line);
        if builders
            .decode_line(&line, number, |stream| {
                (*stream == "s".into()).then(|| plan.clone())
            })
            .is_ok()
        {
            lines += 1;
        }
        if number % 1000 == 999 {
            let unplaced = builders.take_unplaced().map_or(0, |batch| batch.num_rows());
            let built = builders.at(0).1.finish();
            let optional = ["_dativo_changes", "_dativo_extra", "_dativo_extracted_at"];
            let rows = rows(&built);
            let same = |row: &String| {
                let end = optional
                    .iter()
                    .filter_map(|name| row.find(name))
                    .min()
                    .unwrap_or(row.len());
                expected.starts_with(&row[..end - 2])
            };
            whole -= rows.iter().filter(|row| same(row)).count().min(whole);
            kept += built.rows + built.rejected + unplaced;
        }
    }
    assert_eq!(lines, kept, "every line is a row or a reject");
    assert_eq!(whole, 0, "good lines stay whole");
}

#[test]
fn damaged_lines_neither_panic_nor_harm_others() {
    for (seed, (nested, on_bad_value)) in (1..).zip([
        (Nested::Json, OnBadValue::Quarantine),
        (Nested::Struct, OnBadValue::Quarantine),
        (Nested::Json, OnBadValue::Null),
        (Nested::Struct, OnBadValue::Null),
    ]) {
        run::<singer::SingerRecords, singer::Message>(GOOD, nested, on_bad_value, seed);
        let (start, rest) = GOOD.split_once(r#","stream":"s","record":"#).unwrap();
        let (record, _) = rest.rsplit_once(r#","version""#).unwrap();
        let good = format!(
            r#"{start},"record":{{"stream":"s","data":{record},"emitted_at":1,"meta":{{"changes":[]}},"file_reference":null}}}}"#
        );
        run::<airbyte::AirbyteRecords, airbyte::Message>(&good, nested, on_bad_value, 10 * seed);
    }
}

#[test]
fn damaged_messages_and_schemas_do_not_panic() {
    let mut random = Random(5);
    let schema = SCHEMA.replace('\n', "");
    let lines = [
        format!(r#"{{"type":"SCHEMA","stream":"s","schema":{schema},"key_properties":["i"],"bookmark_properties":[]}}"#),
        r#"{"type":"STATE","value":{"bookmarks":{"s":{"i":1}}}}"#.to_owned(),
        r#"{"type":"ACTIVATE_VERSION","stream":"s","version":12}"#.to_owned(),
        r#"{"type":"BATCH","stream":"s","encoding":{"format":"jsonl","compression":"gzip"},"manifest":["file:///x"]}"#.to_owned(),
    ];
    for _ in 0..20_000 {
        let line = damaged(lines[random.below(lines.len())].as_bytes(), &mut random);
        let _ = (
            classify::<singer::Message>(&line),
            singer::parse_state(&line),
            parse_activate_version(&line),
            parse_batch_message(&line),
        );
        if let Ok(message) = parse_schema_message(&line) {
            let options = PlanOptions {
                nested: Nested::Struct,
                ..PlanOptions::default()
            };
            let _ = StreamPlan::compile(message.schema, &message.key_properties, &options);
        }
    }
}

#[test]
fn damaged_airbyte_messages_do_not_panic() {
    let mut random = Random(6);
    let lines = [
        r#"{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"a","namespace":"n"},"stream_state":{"i":1}},"sourceStats":{"recordCount":20.0}}}"#,
        r#"{"type":"STATE","state":{"type":"GLOBAL","global":{"shared_state":{"lsn":1},"stream_states":[{"stream_descriptor":{"name":"a"},"stream_state":{}}]}}}"#,
        r#"{"type":"STATE","state":{"data":{"i":1}}}"#,
        r#"{"type":"TRACE","trace":{"type":"STREAM_STATUS","emitted_at":1.5,"stream_status":{"stream_descriptor":{"name":"a"},"status":"RUNNING","reasons":[{"type":"RATE_LIMITED","rate_limited":{"quota_reset":17}}]}}}"#,
        r#"{"type":"TRACE","trace":{"type":"ERROR","emitted_at":1.5,"error":{"message":"m","stack_trace":"\u00e9","failure_type":"config_error"}}}"#,
        r#"{"type":"CONTROL","control":{"type":"CONNECTOR_CONFIG","emitted_at":1.5,"connectorConfig":{"config":{"a":1}}}}"#,
        r#"{"streams":[{"stream":{"name":"a","json_schema":{"properties":{"i":{"$ref":"WellKnownTypes.json#/definitions/Integer"}}}},"sync_mode":"incremental","primary_key":[["i"]]}]}"#,
    ];
    let mut merged = airbyte::MergedState::new(None).unwrap();
    for _ in 0..20_000 {
        let line = damaged(lines[random.below(lines.len())].as_bytes(), &mut random);
        let _ = (
            classify::<airbyte::Message>(&line),
            airbyte::parse_trace(&line),
            airbyte::parse_control(&line),
        );
        if let Ok(state) = airbyte::parse_state(&line) {
            merged.merge(&state.body, &Default::default());
            airbyte::MergedState::new(Some(&merged.to_json())).unwrap();
        }
        for stream in airbyte::parse_configured_catalog(&line).unwrap_or_default() {
            let _ = stream.plan(PlanOptions::default());
        }
    }
}
