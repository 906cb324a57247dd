//! The CSV reader against a slower one that is trusted: the same fields, in the same records, whatever the text and the blocks.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use dativo_readers::csv::CsvReader;
use dativo_sdk::{PieceKind, Reader, parse_config};
use serde_json::json;

/// A small generator of numbers: the same ones for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as usize
    }
}

/// A record: its fields, or why it is none.
type Record = Result<Vec<String>, String>;

fn ours(path: &str, settings: &serde_json::Value, width: usize) -> Vec<Record> {
    let names: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
    let mut config = json!({
        "path": path, "header": false, "columns": names, "infer": false, "empty": "text", "origin": ["line"],
    });
    config
        .as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    let config = parse_config(config.to_string().as_bytes()).unwrap();
    let mut reader = CsvReader::initialize(config, None, None).unwrap();
    let mut records = Vec::new();
    while let Some(piece) = reader.read_batch(100_000).unwrap() {
        let lines = |column: usize| piece.data.column(column).as_primitive::<Int64Type>();
        for row in 0..piece.data.num_rows() {
            records.push(match piece.kind {
                PieceKind::Batch => {
                    let field = |column: usize| {
                        piece
                            .data
                            .column(column)
                            .as_string::<i32>()
                            .value(row)
                            .to_owned()
                    };
                    (lines(width).value(row), Ok((0..width).map(field).collect()))
                }
                PieceKind::Rejects => (
                    lines(0).value(row),
                    Err(piece
                        .data
                        .column(2)
                        .as_string::<i32>()
                        .value(row)
                        .to_owned()),
                ),
            });
        }
    }
    records.sort_by_key(|(line, _)| *line);
    records.into_iter().map(|(_, record)| record).collect()
}

fn theirs(text: &str, settings: &serde_json::Value) -> Vec<Vec<String>> {
    let byte = |key: &str| {
        settings
            .get(key)
            .map(|value| value.as_str().unwrap().as_bytes()[0])
    };
    let mut reader = csv::ReaderBuilder::new();
    reader
        .has_headers(false)
        .flexible(true)
        .delimiter(byte("delimiter").unwrap_or(b','));
    reader.comment(byte("comment")).escape(byte("escape"));
    match settings
        .get("quote")
        .map(|quote| quote.as_str().unwrap().as_bytes())
    {
        Some([]) => drop(reader.quoting(false)),
        Some(quote) => drop(reader.quote(quote[0])),
        None => {}
    }
    let mut reader = reader.from_reader(text.as_bytes());
    reader
        .records()
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

fn compare(text: &str, settings: &serde_json::Value, width: usize) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let ours = ours(file.path().to_str().unwrap(), settings, width);
    let theirs = theirs(text, settings);
    assert_eq!(
        ours.len(),
        theirs.len(),
        "{text:?} {settings}\n{ours:?}\n{theirs:?}"
    );
    for (our, their) in ours.into_iter().zip(theirs) {
        match our {
            Ok(fields) => assert_eq!(fields, their, "{text:?} {settings}"),
            // What the trusted one takes all the same.
            Err(reason) if reason.contains("quote") => {}
            Err(reason) => assert!(
                reason.contains(&format!(" {} field", their.len())),
                "{reason}: {their:?} of {text:?} {settings}"
            ),
        }
    }
}

#[test]
fn every_text_has_the_same_records() {
    let dialects = [
        json!({}),
        json!({"delimiter": ";", "quote": "'"}),
        json!({"escape": "\\"}),
        json!({"comment": "#"}),
        json!({"quote": ""}),
    ];
    let pieces = [
        "a",
        "bc",
        ",",
        ",",
        "\"",
        "\"\"",
        "\n",
        "\r\n",
        "é",
        ";",
        "'",
        "\\",
        "#",
        " ",
        "\0",
        "0123456789abcdef",
    ];
    let mut random = Random(20_261_130);
    let rounds = std::env::var("FUZZ_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1500);
    for round in 0..rounds {
        let mut settings = dialects[round % dialects.len()].clone();
        settings["block_bytes"] = json!(1 + random.below(200));
        settings["threads"] = json!(1 + random.below(3));
        let length = random.below(120);
        let mut text: String = (0..length)
            .map(|_| pieces[random.below(pieces.len())])
            .collect();
        if settings.get("comment").is_some() {
            // The trusted one takes a comment that the text ends with for a record.
            text.push('\n');
        }
        compare(&text, &settings, 1 + random.below(4));
    }
}

#[test]
fn orderly_texts_have_no_rejects() {
    let mut random = Random(7);
    for round in 0..40 {
        let width = 1 + random.below(20);
        let mut writer = csv::WriterBuilder::new()
            .flexible(true)
            .from_writer(Vec::new());
        let mut expected = Vec::new();
        for _ in 0..random.below(300) {
            let field = |random: &mut Random| {
                let len = random.below(12);
                (0..len)
                    .map(|_| ["x", "\"", ",", "\n", "東", "\r\n", "7"][random.below(7)])
                    .collect::<String>()
            };
            let record: Vec<String> = (0..width).map(|_| field(&mut random)).collect();
            writer.write_record(&record).unwrap();
            expected.push(Ok(record));
        }
        let text = writer.into_inner().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&text).unwrap();
        let settings = json!({"block_bytes": 1 + random.below(2000), "threads": 1 + round % 3});
        assert_eq!(
            ours(file.path().to_str().unwrap(), &settings, width),
            expected
        );
    }
}
