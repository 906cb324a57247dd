//! RECORD lines as Airbyte sources write them.

use std::ops::Range;

use serde_json::{Value, json};

use crate::batch::BatchBuilder;
use crate::json::{Broken, Cursor};
use crate::lines::{
    Envelope, Head, Named, Parts, RecordFormat, elements, next_key, plain_text, string_value,
    values_before,
};
use crate::stamps::{Moment, Stamps};
use crate::stream_id::StreamId;

/// Property of `_dativo_extra` that keeps a record's file reference.
const FILE_REFERENCE: &[u8] = b"\"_airbyte_file_reference\"";

/// `{"type":"RECORD","record":{"stream":…,"namespace":…,"data":{…},"emitted_at":…}}`, with other keys around.
#[derive(Debug, Default)]
pub struct AirbyteRecords;

/// Where the values beside a record are that its row keeps.
#[derive(Debug, Default)]
pub struct Beside {
    meta: Option<Range<usize>>,
    file_reference: Option<Range<usize>>,
}

impl RecordFormat for AirbyteRecords {
    type Beside = Beside;

    fn head(line: &[u8]) -> Option<Head> {
        let mut at = Cursor::new(line, 0);
        let [kind] = values_before(&mut at, ["type"], "record")?;
        let is_record = string_value(&line[kind?])?.eq_ignore_ascii_case("RECORD");
        let keys = [
            "stream",
            "namespace",
            "meta",
            "file_reference",
            "emitted_at",
        ];
        let [stream, namespace, meta, file, emitted_at] = values_before(&mut at, keys, "data")?;
        if meta.is_some() || file.is_some() {
            return None;
        }
        let name = plain_text(line, &stream?)?;
        let named = match namespace {
            None => Named::Behind,
            Some(value) if &line[value.clone()] == b"null" => Named::Before(None),
            Some(value) => Named::Before(Some(string_value(&line[value])?.into())),
        };
        is_record.then_some(Head {
            name,
            named,
            stamped: emitted_at.is_some(),
            record: at.pos,
        })
    }

    #[inline]
    fn rest(
        line: &[u8],
        end: usize,
        stream: &StreamId,
        named: &Named,
        mut stamps: Option<&mut Stamps>,
    ) -> Result<Beside, Broken> {
        let mut at = Cursor::new(line, end);
        let mut beside = Beside::default();
        let mut said = *named != Named::Behind;
        while let Some(key) = next_key(&mut at)? {
            let start = at.pos;
            at.skip()?;
            let value = start..at.pos;
            match key {
                b"stream" | b"data" => return Err(Broken::BadName),
                b"namespace" => {
                    if !is_namespace(&line[value], stream.namespace()) {
                        return Err(Broken::BadName);
                    }
                    said = true;
                }
                b"meta" => beside.meta = Some(value),
                b"file_reference" => beside.file_reference = Some(value),
                b"emitted_at" => {
                    if let Some(stamps) = &mut stamps {
                        stamps.extracted_at = Some(Moment::Millis(value));
                    }
                }
                _ => {}
            }
        }
        if !said && stream.namespace().is_some() {
            return Err(Broken::BadName);
        }
        while let Some(key) = next_key(&mut at)? {
            if key == b"type" || key == b"record" {
                return Err(Broken::BadName);
            }
            at.skip()?;
        }
        at.expect_end()?;
        Ok(beside)
    }

    fn parts(line: &[u8]) -> Parts<Beside> {
        let (outer, result) = Envelope::read(line, ["type", "record"]);
        let start = match (&outer.values[1], outer.open) {
            (Some(range), _) => Some(range.start),
            (None, Some((1, start))) => Some(start),
            _ => None,
        };
        let broken = result
            .err()
            .map(|(broken, offset)| format!("{} at byte {offset}", broken.text()));
        let Some(start) = start else {
            return Parts {
                stream: None,
                record: Err(
                    broken.unwrap_or_else(|| "`record` is missing or is not an object".to_owned())
                ),
            };
        };
        let record = match &outer.values[1] {
            Some(range) => &line[range.clone()],
            None => &line[start..],
        };
        let (inner, _) = Envelope::read(
            record,
            ["stream", "namespace", "data", "meta", "file_reference"],
        );
        let namespace = match inner.bytes(record, 1) {
            None | Some(b"null") => Ok(None),
            Some(value) => string_value(value).map(Some).ok_or(()),
        };
        let stream = match (inner.string(record, 0), &namespace) {
            (Some(name), Ok(namespace)) => Some(StreamId::new(name, namespace.as_deref())),
            _ => None,
        };
        let missing = || {
            let is_record = outer
                .string(line, 0)
                .is_some_and(|name| name.eq_ignore_ascii_case("RECORD"));
            let is_object = |json: Option<&[u8]>| json.is_some_and(|json| json.starts_with(b"{"));
            Some(if !is_record {
                "`type` is not `RECORD`"
            } else if !is_object(Some(record)) {
                "`record` is missing or is not an object"
            } else if namespace.is_err() {
                "`record.namespace` is not a string"
            } else if stream.is_none() {
                "`record.stream` is missing or is not a string"
            } else if !is_object(inner.bytes(record, 2)) {
                "`record.data` is missing or is not an object"
            } else {
                return None;
            })
        };
        let moved = |place: usize| {
            let range = inner.values[place].clone()?;
            Some(start + range.start..start + range.end)
        };
        let record = match (broken.or_else(|| missing().map(str::to_owned)), moved(2)) {
            (None, Some(data)) => Ok((
                data.start,
                Beside {
                    meta: moved(3),
                    file_reference: moved(4),
                },
            )),
            (reason, _) => Err(reason.unwrap_or_default()),
        };
        Parts { stream, record }
    }

    #[inline]
    fn finish_row(beside: &Beside, line: &[u8], builder: &mut BatchBuilder) -> Result<(), String> {
        if let Some(meta) = &beside.meta {
            note_changes(&line[meta.clone()], builder)?;
        }
        if let Some(file) = &beside.file_reference {
            keep_file(&line[file.clone()], builder)?;
        }
        Ok(())
    }

    fn stamps(line: &[u8]) -> Stamps {
        let (outer, _) = Envelope::read(line, ["record"]);
        let [Some(record)] = outer.values else {
            return Stamps::default();
        };
        let (inner, _) = Envelope::read(&line[record.clone()], ["emitted_at"]);
        let [emitted_at] = inner.values;
        Stamps {
            extracted_at: emitted_at
                .map(|range| Moment::Millis(record.start + range.start..record.start + range.end)),
            version: None,
        }
    }
}

fn is_namespace(json: &[u8], namespace: Option<&str>) -> bool {
    if json == b"null" {
        return namespace.is_none();
    }
    string_value(json).as_deref() == namespace && namespace.is_some()
}

/// What the source itself changed in the record: `meta.changes` to `_dativo_changes`.
fn note_changes(meta: &[u8], builder: &mut BatchBuilder) -> Result<(), String> {
    // Java sources send it with every record.
    if meta == br#"{"changes":[]}"# || !meta.starts_with(b"{") {
        return Ok(());
    }
    let (envelope, _) = Envelope::read(meta, ["changes"]);
    let Some(changes) = envelope.bytes(meta, 0).and_then(elements) else {
        return Ok(());
    };
    let notes = changes.into_iter().map(|change| {
        let change: Value = serde_json::from_slice(change)
            .map_err(|_| "`record.meta.changes` is not valid JSON".to_owned())?;
        Ok(json!({"column": change["field"], "reason": change["reason"], "change": change["change"]}))
    });
    builder.note_changes(&notes.collect::<Result<Vec<_>, String>>()?);
    Ok(())
}

fn keep_file(reference: &[u8], builder: &mut BatchBuilder) -> Result<(), String> {
    if reference == b"null" {
        return Ok(());
    }
    match Cursor::new(reference, 0).raw() {
        Ok(raw) => builder.keep_beside(FILE_REFERENCE, raw),
        Err(_) => return Err("`record.file_reference` is not valid JSON".to_owned()),
    }
    Ok(())
}
