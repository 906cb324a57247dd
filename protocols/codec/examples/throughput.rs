//! Measures decoding and encoding on one core:
//! `cargo run --release -p dativo-codec --example throughput [rows] [shape] [passes] [metadata]`.
//! With more than the usual seven passes, only decodes: that is for profilers. With `metadata`, batches get the columns beside those of the record.
//!
//! Shapes: `twelve` (default; 450-byte lines of twelve columns), `wide` (200 columns), `floats`, `strings`, `sparse` (keys come and go),
//! `users` (690-byte lines as Airbyte's faker writes them) and `users-singer` (the same records as a Singer tap's).

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use dativo_codec::{
    Builders, MessageKind, Metadata, PlanOptions, RecordFormat, StreamPlan, airbyte, classify,
    encode_json_lines, singer,
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) ^ (self.0 >> 11)
    }
}

fn twelve(row: u64, random: &mut Random) -> String {
    let nullable = if random.next().is_multiple_of(4) {
        "null".to_owned()
    } else {
        format!("\"{:08x} Main Street\"", random.next() as u32)
    };
    format!(
        concat!(
            r#"{{"type": "RECORD", "stream": "orders", "record": {{"id": {}, "customer_id": {}, "amount": {:?}, "tax": {}, "#,
            r#""currency": "EUR", "status": "shipped", "created_at": "2024-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00", "#,
            r#""updated_at": "2024-05-06T07:08:09Z", "paid": {}, "note": {}, "email": "user{}@example.com", "#,
            r#""address": {{"street": "{} Long Road", "city": "Zürich", "zip": "{}", "geo": [{}.5, 8.25]}}}}, "#,
            r#""time_extracted": "2024-05-06T07:08:09.123456Z"}}"#
        ),
        row,
        random.next() % 1_000_000,
        (random.next() % 100_000_000) as f64 / 1000.0,
        random.next() % 100,
        random.next() % 12 + 1,
        random.next() % 28 + 1,
        random.next() % 24,
        random.next() % 60,
        random.next() % 60,
        random.next() % 1_000_000,
        random.next().is_multiple_of(2),
        nullable,
        random.next() % 1_000_000,
        random.next() % 1000,
        random.next() % 100_000,
        random.next() % 90,
    )
}

fn user(row: u64, random: &mut Random) -> String {
    let day = random.next() % 28 + 1;
    format!(
        concat!(
            r#"{{"id":{},"created_at":"20{:02}-02-{:02}T11:53:10+00:00","updated_at":"2026-11-22T08:18:01+00:00","#,
            r#""name":"John","title":"Mrs.","age":{},"email":"choices{}+1@duck.com","telephone":"1-688-539-{:04}","gender":"Fluid","#,
            r#""language":"Khmer","academic_degree":"Master","nationality":"Latvian","occupation":"Hearing Therapist","height":"1.{:02}","#,
            r#""blood_type":"AB+","weight":{},"address":{{"street_number":"{}","street_name":"Cecilia","city":"Bowling Green","#,
            r#""state":"Mississippi","province":"Hawaii","postal_code":"{:05}","country_code":"MQ"}}}}"#
        ),
        row,
        random.next() % 26,
        day,
        random.next() % 60 + 20,
        random.next() % 1_000_000,
        random.next() % 10_000,
        random.next() % 100,
        random.next() % 60 + 40,
        random.next() % 1000,
        random.next() % 100_000,
    )
}

const USERS: &str = r#"{"properties": {"id": {"type": "integer"},
 "created_at": {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
 "updated_at": {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
 "name": {"type": "string"}, "title": {"type": "string"}, "age": {"type": "integer"}, "email": {"type": "string"},
 "telephone": {"type": "string"}, "gender": {"type": "string"}, "language": {"type": "string"},
 "academic_degree": {"type": "string"}, "nationality": {"type": "string"}, "occupation": {"type": "string"},
 "height": {"type": "string"}, "blood_type": {"type": "string"}, "weight": {"type": "integer"},
 "address": {"type": "object", "properties": {"city": {"type": "string"}}}}}"#;

const TWELVE: &str = r#"{"properties": {"id": {"type": "integer"}, "customer_id": {"type": "integer"}, "amount": {"type": "number"},
 "tax": {"type": ["null", "number"]}, "currency": {"type": "string"}, "status": {"type": "string"},
 "created_at": {"type": "string", "format": "date-time"}, "updated_at": {"type": "string", "format": "date-time"},
 "paid": {"type": "boolean"}, "note": {"type": ["null", "string"]}, "email": {"type": "string"},
 "address": {"type": "object", "properties": {"street": {"type": "string"}}}}}"#;

fn columns(
    count: usize,
    schema: &str,
    mut value: impl FnMut(usize) -> Option<String>,
) -> (String, String) {
    let properties: Vec<String> = (0..count)
        .map(|column| format!("\"column_{column}\": {schema}"))
        .collect();
    let cells: Vec<String> = (0..count)
        .filter_map(|column| value(column).map(|text| format!("\"column_{column}\": {text}")))
        .collect();
    let record = format!(
        r#"{{"type": "RECORD", "stream": "orders", "record": {{{}}}}}"#,
        cells.join(", ")
    );
    (
        format!("{{\"properties\": {{{}}}}}", properties.join(", ")),
        record,
    )
}

fn input(shape: &str, rows: u64) -> (String, Vec<u8>) {
    let mut random = Random(42);
    let mut schema = TWELVE.to_owned();
    let mut lines = Vec::new();
    for row in 0..rows {
        let line = match shape {
            "wide" => {
                let line;
                (schema, line) = columns(200, r#"{"type": ["integer", "null"]}"#, |_| {
                    Some((random.next() % 1_000_000).to_string())
                });
                line
            }
            "floats" => {
                let line;
                (schema, line) = columns(12, r#"{"type": "number"}"#, |_| {
                    Some(format!("{:?}", random.next() as f64 / 1e9 / 3.0))
                });
                line
            }
            "strings" => {
                let line;
                (schema, line) = columns(12, r#"{"type": "string"}"#, |column| {
                    Some(format!(
                        "\"{}\"",
                        "lorem ipsum ".repeat(column + (random.next() % 3) as usize)
                    ))
                });
                line
            }
            "sparse" => {
                let line;
                (schema, line) = columns(30, r#"{"type": "integer"}"#, |_| {
                    (random.next().is_multiple_of(2))
                        .then(|| (random.next() % 1_000_000).to_string())
                });
                line
            }
            "users" => {
                schema = USERS.to_owned();
                let emitted_at = 1_795_335_481_918 + row;
                let data = user(row, &mut random);
                format!(
                    r#"{{"type":"RECORD","record":{{"stream":"users","data":{data},"emitted_at":{emitted_at}}}}}"#
                )
            }
            "users-singer" => {
                schema = USERS.to_owned();
                let record = user(row, &mut random);
                format!(r#"{{"type":"RECORD","stream":"users","record":{record}}}"#)
            }
            _ => twelve(row, &mut random),
        };
        lines.extend_from_slice(line.as_bytes());
        lines.push(b'\n');
    }
    (schema, lines)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(200_000), |text| text.parse())?;
    let shape = std::env::args().nth(2).unwrap_or_default();
    if shape == "users" {
        measure::<airbyte::AirbyteRecords, airbyte::Message>(&shape, rows)
    } else {
        measure::<singer::SingerRecords, singer::Message>(&shape, rows)
    }
}

fn measure<F: RecordFormat, M: MessageKind>(
    shape: &str,
    rows: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let (schema, lines) = input(shape, rows);
    let passes: usize = std::env::args().nth(3).map_or(Ok(7), |text| text.parse())?;
    let metadata = std::env::args().nth(4).as_deref() == Some("metadata");
    let plan = Arc::new(StreamPlan::compile(
        schema.as_bytes(),
        &[],
        &PlanOptions {
            metadata: Metadata {
                extracted_at: metadata,
                version: metadata,
            },
            ..PlanOptions::default()
        },
    )?);
    let mut out = std::io::stdout().lock();
    let (mut decoding, mut encoding, mut written, mut kept) = (f64::MAX, f64::MAX, 0, 0);
    for _ in 0..passes {
        let mut builders = Builders::<F>::new();
        let mut text = Vec::new();
        let (mut at, mut number) = (0, 0);
        let (mut decoded, mut encoded) = (0.0, 0.0);
        (written, kept) = (0, 0);
        while at < lines.len() {
            let start = Instant::now();
            for _ in 0..10_000 {
                let Some(length) = memchr::memchr(b'\n', &lines[at..]) else {
                    break;
                };
                let line = &lines[at..at + length];
                at += length + 1;
                number += 1;
                let _ = black_box(classify::<M>(line));
                builders.decode_line(line, number, |_| Some(plan.clone()))?;
            }
            let built = builders.at(0).1.finish();
            decoded += start.elapsed().as_secs_f64();
            if let Some(rejects) = built.rejects {
                writeln!(out, "first reject: {:?}", rejects.slice(0, 1).column(2))?;
            }
            let Some(batch) = built.batch else { continue };
            kept += batch.num_rows();
            if passes > 7 {
                continue;
            }
            text.clear();
            let start = Instant::now();
            encode_json_lines(&batch, &mut text)?;
            encoded += start.elapsed().as_secs_f64();
            written += text.len();
        }
        decoding = decoding.min(decoded);
        encoding = encoding.min(encoded);
    }
    let rate = |bytes: usize, seconds: f64| {
        format!(
            "{:.0} MB/s, {:.0} rows/s",
            bytes as f64 / 1e6 / seconds,
            rows as f64 / seconds
        )
    };
    writeln!(
        out,
        "best of {passes} on one core, batches of 10,000 rows; {kept} of {rows} rows"
    )?;
    writeln!(out, "decode {}", rate(lines.len(), decoding))?;
    writeln!(out, "encode {}", rate(written, encoding))?;
    Ok(())
}
