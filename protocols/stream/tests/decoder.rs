//! Whole decoders over pipes: order, barriers, errors.

use std::io::{self, PipeWriter, Write};
use std::thread;
use std::time::{Duration, Instant};

use dativo_codec::OnBadValue;
use dativo_stream::{Decoder, Event, Failure, FailureKind, Next, Options};

const SCHEMA: &str = r#"{"type":"SCHEMA","stream":"a","schema":{"properties":{"x":{"type":"integer"}}},"key_properties":[]}"#;

fn record(stream: &str, x: &str) -> String {
    format!(r#"{{"type":"RECORD","stream":"{stream}","record":{{"x":{x}}}}}"#)
}

fn state(x: usize) -> String {
    format!(r#"{{"type":"STATE","value":{x}}}"#)
}

fn start(options: Options) -> (PipeWriter, Decoder) {
    let (reader, writer) = io::pipe().unwrap();
    (writer, Decoder::singer(reader.into(), options).unwrap())
}

fn next(decoder: &mut Decoder) -> Result<Option<Event>, Failure> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match decoder.next(Duration::from_millis(100))? {
            Next::Event(event) => return Ok(Some(event)),
            Next::End => return Ok(None),
            Next::Pending => assert!(Instant::now() < deadline, "hangs"),
        }
    }
}

/// Events as short texts (`a:3` are three rows of stream a), and how it ended.
fn decode(lines: &[String], options: Options) -> (Vec<String>, Result<(), Failure>) {
    let (mut writer, mut decoder) = start(options);
    let text = lines.join("\n") + "\n";
    let feeder = thread::spawn(move || {
        // A decoder that failed reads no further.
        let _ = writer.write_all(text.as_bytes());
    });
    let mut events = Vec::new();
    let ended = loop {
        match next(&mut decoder) {
            Ok(Some(event)) => events.push(match event {
                Event::Schema { stream, schema, .. } => {
                    format!("schema {stream} {}", schema.fields().len())
                }
                Event::Batch { stream, batch } => format!("{stream}:{}", batch.num_rows()),
                Event::Rejects { stream, batch } => {
                    format!("{stream} rejects {}", batch.num_rows())
                }
                Event::State(data) => format!("state {}", String::from_utf8(data).unwrap()),
                Event::Version { stream, version } => format!("version {stream} {version}"),
                other => format!("{other:?}"),
            }),
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    assert!(matches!(next(&mut decoder), Ok(None)));
    drop(decoder);
    feeder.join().unwrap();
    (events, ended)
}

#[test]
fn rows_come_before_the_state_that_covers_them_and_others_behind_it() {
    let lines = [
        SCHEMA.to_owned(),
        record("a", "1"),
        state(1),
        record("a", "2"),
        record("a", "3"),
    ];
    let (events, ended) = decode(&lines, Options::default());
    assert_eq!(events, ["schema a 1", "a:1", "state 1", "a:2"]);
    assert!(ended.is_ok());
}

#[test]
fn a_changed_schema_and_a_version_stand_between_the_rows_around_them() {
    let lines = [
        SCHEMA.to_owned(),
        record("a", "1"),
        SCHEMA.to_owned(),
        record("a", "2"),
        SCHEMA.replace(r#""x":"#, r#""y":{},"x":"#),
        record("a", "3"),
        r#"{"type":"ACTIVATE_VERSION","stream":"a","version":7}"#.to_owned(),
        record("a", "4"),
    ];
    let (events, ended) = decode(&lines, Options::default());
    assert_eq!(
        events,
        [
            "schema a 1",
            "a:2",
            "schema a 2",
            "a:1",
            "version a 7",
            "a:1"
        ]
    );
    assert!(ended.is_ok());
}

#[test]
fn an_error_stands_behind_everything_before_it() {
    let lines = [
        SCHEMA.to_owned(),
        record("a", "1"),
        state(1),
        record("a", "\"bad\""),
        record("b", "2"),
        record("a", "3"),
    ];
    let (events, ended) = decode(&lines, Options::default());
    assert_eq!(events, ["schema a 1", "a:1", "state 1", "a rejects 1"]);
    let failure = ended.unwrap_err();
    assert_eq!(
        (failure.kind, failure.line, failure.stream.as_deref()),
        (FailureKind::Protocol, Some(5), Some("b"))
    );
}

#[test]
fn a_bad_value_fails_where_it_stands_when_the_job_says_so() {
    let options = Options {
        on_bad_value: OnBadValue::Fail,
        ..Options::default()
    };
    let lines = [
        SCHEMA.to_owned(),
        record("a", "1"),
        record("a", "1.5"),
        record("a", "2"),
    ];
    let (events, ended) = decode(&lines, options);
    assert_eq!(events, ["schema a 1", "a:1"]);
    let failure = ended.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Contract);
    assert_eq!(
        (failure.line, failure.column.as_deref()),
        (Some(3), Some("x"))
    );
}

#[test]
fn every_state_covers_exactly_the_rows_before_it_whatever_the_threads_and_the_budget() {
    let mut lines = vec![SCHEMA.to_owned(), SCHEMA.replace("\"a\"", "\"b\"")];
    for number in 0..60_000 {
        lines.push(record(if number % 3 == 0 { "a" } else { "b" }, "1"));
        if number % 7 == 0 {
            lines.push(state(number + 1));
        }
    }
    for threads in [1, 2, 4] {
        for memory_budget_bytes in [64 << 10, 1 << 20, 96 << 20] {
            let options = Options {
                threads,
                memory_budget_bytes,
                ..Options::default()
            };
            let (events, ended) = decode(&lines, options);
            assert!(ended.is_ok());
            let mut rows = 0;
            let mut last = 0;
            for event in events {
                if let Some(state) = event.strip_prefix("state ") {
                    last = state.parse().unwrap();
                    assert_eq!(rows, last);
                } else if let Some((_, count)) = event.split_once(':') {
                    rows += count.parse::<usize>().unwrap();
                }
            }
            assert_eq!((rows, last), (60_000, 59_998));
        }
    }
}

#[test]
fn a_record_larger_than_the_budget_passes_alone() {
    let long = format!(
        r#"{{"type":"RECORD","stream":"a","record":{{"x":1,"more":"{}"}}}}"#,
        "y".repeat(5 << 20)
    );
    let lines = [
        SCHEMA.to_owned(),
        record("a", "1"),
        long,
        record("a", "2"),
        state(3),
    ];
    let options = Options {
        memory_budget_bytes: 1 << 20,
        ..Options::default()
    };
    let (events, ended) = decode(&lines, options);
    assert!(ended.is_ok());
    let rows: usize = events
        .iter()
        .filter_map(|event| event.strip_prefix("a:"))
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    assert_eq!(rows, 3);
    assert_eq!(events.last().map(String::as_str), Some("state 3"));
}

#[test]
fn closing_fails_the_waiting_consumer_at_once() {
    let (mut writer, mut decoder) = start(Options::default());
    writer.write_all(b"{\"type\":").unwrap();
    let closer = decoder.closer();
    let consumer = thread::spawn(move || next(&mut decoder).unwrap_err());
    thread::sleep(Duration::from_millis(50));
    let started = Instant::now();
    closer.close();
    assert_eq!(consumer.join().unwrap(), Failure::closed());
    assert!(started.elapsed() < Duration::from_secs(2));
}
