//! Records in, rows out as JSON text: what most tests compare.
#![allow(dead_code)]

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use dativo_codec::{BatchBuilder, Built, OnBadValue, PlanOptions, StreamPlan, encode_json_lines};

pub fn options(on_bad_value: OnBadValue) -> PlanOptions {
    PlanOptions {
        on_bad_value,
        ..PlanOptions::default()
    }
}

/// A builder for `properties` (JSON text) with the key properties and options given.
pub fn builder_with(properties: &str, keys: &[&str], options: &PlanOptions) -> BatchBuilder {
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    let schema = format!(r#"{{"type":"object","properties":{properties}}}"#);
    BatchBuilder::new(Arc::new(
        StreamPlan::compile(schema.as_bytes(), &keys, options).unwrap(),
    ))
}

pub fn builder(properties: &str) -> BatchBuilder {
    builder_with(properties, &[], &PlanOptions::default())
}

pub fn push_all<T: AsRef<[u8]>>(builder: &mut BatchBuilder, records: &[T]) -> Built {
    for (number, record) in records.iter().enumerate() {
        builder
            .push_line(record.as_ref(), number as i64 + 1)
            .unwrap();
    }
    builder.finish()
}

/// The batch as JSON lines.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut out = Vec::new();
    encode_json_lines(batch, &mut out).unwrap();
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Rows as JSON lines; none when there is no batch.
pub fn rows(built: &Built) -> Vec<String> {
    built.batch.as_ref().map(lines).unwrap_or_default()
}

/// Rejects as `line column reason record`.
pub fn rejects(built: &Built) -> Vec<(i64, Option<String>, String, Vec<u8>)> {
    let Some(batch) = &built.rejects else {
        return Vec::new();
    };
    let line = batch
        .column(0)
        .as_primitive::<arrow_array::types::Int64Type>();
    let (column, reason, record) = (
        batch.column(1).as_string::<i32>(),
        batch.column(2).as_string::<i32>(),
        batch.column(3).as_binary::<i32>(),
    );
    (0..batch.num_rows())
        .map(|row| {
            let name = column.is_valid(row).then(|| column.value(row).to_owned());
            (
                line.value(row),
                name,
                reason.value(row).to_owned(),
                record.value(row).to_vec(),
            )
        })
        .collect()
}

/// What becomes of one value in a column `v` of this schema: the value as JSON, or the reason.
pub fn cell(schema: &str, value: &str) -> Result<String, String> {
    cell_bytes(schema, value.as_bytes())
}

pub fn cell_bytes(schema: &str, value: &[u8]) -> Result<String, String> {
    let mut builder = builder(&format!(r#"{{"v":{schema}}}"#));
    let record = [br#"{"v":"#, value, b"}"].concat();
    let built = push_all(&mut builder, &[record]);
    if let [(_, column, reason, _)] = rejects(&built).as_slice() {
        assert!(built.batch.is_none());
        return Err(if column.is_none() {
            format!("broken: {reason}")
        } else {
            reason.clone()
        });
    }
    let row = rows(&built).remove(0);
    Ok(row
        .strip_prefix(r#"{"v":"#)
        .unwrap()
        .strip_suffix('}')
        .unwrap()
        .to_owned())
}
