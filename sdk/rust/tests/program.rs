//! A reader as a program: an Airbyte source, a Singer tap, a source of Arrow data.

mod common;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::Numbers;
use dativo_sdk::arrow_array::cast::AsArray;
use dativo_sdk::arrow_array::types::Int64Type;
use dativo_sdk::run;
use dativo_sdk::serde_json::{Value, from_slice, from_str, json};

/// What a program said, and how it ended.
struct Ended {
    code: u8,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    fn messages(&self) -> Vec<Value> {
        let lines = self
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines.map(|line| from_slice(line).unwrap()).collect()
    }

    fn of_type(&self, name: &str) -> Vec<Value> {
        self.messages()
            .into_iter()
            .filter(|message| message["type"] == name)
            .collect()
    }

    /// The statuses of streams, in order.
    fn statuses(&self) -> Vec<String> {
        let traces = self
            .of_type("TRACE")
            .into_iter()
            .map(|message| message["trace"].clone());
        let said = traces.filter(|trace| trace["type"] == "STREAM_STATUS");
        said.map(|trace| {
            trace["stream_status"]["status"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
    }

    fn error(&self) -> Value {
        let last = self.of_type("TRACE").pop().unwrap();
        assert_eq!(last["trace"]["type"], "ERROR");
        last["trace"]["error"].clone()
    }
}

/// A folder of files for the command line.
struct Files(PathBuf);

impl Files {
    fn new(config: Value) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("program-{}-{number}", std::process::id());
        let files = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
        std::fs::create_dir_all(&files.0).unwrap();
        files.put("config.json", config);
        files
    }

    fn put(&self, name: &str, value: Value) {
        std::fs::write(self.path(name), value.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a command line; words that end with `.json` or `.part` are files.
    fn run(&self, line: &str) -> Ended {
        let words: Vec<OsString> = line
            .split_whitespace()
            .map(
                |word| match word.ends_with(".json") || word.ends_with(".part") {
                    true => self.path(word).into(),
                    false => word.into(),
                },
            )
            .collect();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let code = run::<Numbers>(words, io::empty(), &mut stdout, &mut stderr);
        let stderr = String::from_utf8(stderr).unwrap();
        Ended {
            code,
            stdout,
            stderr,
        }
    }

    /// A configured catalog of what discovery says.
    fn configure(&self, mode: &str) {
        let catalog = self
            .run("discover --config config.json")
            .of_type("CATALOG")
            .remove(0);
        let streams = catalog["catalog"]["streams"].as_array().unwrap().iter();
        let configured: Vec<Value> = streams
            .map(|stream| json!({"stream": stream, "sync_mode": mode}))
            .collect();
        self.put("catalog.json", json!({"streams": configured}));
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_spec_is_the_schema_of_the_configuration() {
    let ended = Files::new(json!({})).run("spec");
    assert_eq!(ended.code, 0);
    let spec = &ended.messages()[0]["spec"];
    let schema = &spec["connectionSpecification"];
    assert_eq!(schema["required"], json!(["rows"]));
    assert_eq!(schema["properties"]["token"]["airbyte_secret"], true);
    assert_eq!(
        schema["properties"]["dativo_on_bad_rows"]["default"],
        "fail"
    );
    assert_eq!(spec["supportsIncremental"], true);
    assert_eq!(spec["dativo"]["name"], "source-numbers");
    let powers = &spec["dativo"]["capabilities"]["powers"];
    assert_eq!(*powers, json!(["check", "partitions", "estimates"]));
}

#[test]
fn a_check_says_whether_the_configuration_works() {
    let status = |config: Value| {
        let ended = Files::new(config).run("check --config config.json");
        assert_eq!(ended.code, 0);
        ended.messages()[0]["connectionStatus"].clone()
    };
    assert_eq!(status(json!({"rows": 1}))["status"], "SUCCEEDED");
    assert_eq!(
        status(json!({"rows": 0})),
        json!({"status": "FAILED", "message": "there are no numbers"})
    );
    assert_eq!(
        status(json!({"rows": -1}))["message"],
        "`rows` is below zero\nhint: count upwards"
    );
    let message = status(json!({"rows": "hunter2"}))["message"].clone();
    assert!(
        message.as_str().unwrap().contains("`rows`: invalid type"),
        "{message}"
    );
    assert!(!message.as_str().unwrap().contains("hunter2"), "{message}");
}

#[test]
fn records_states_and_statuses_of_a_read() {
    let files = Files::new(json!({"rows": 5, "streams": ["a.numbers"]}));
    files.configure("incremental");
    let ended = files.run("read --config config.json --catalog catalog.json --max-rows 3");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.statuses(), ["STARTED", "RUNNING", "COMPLETE"]);
    let records = ended.of_type("RECORD");
    assert_eq!(records.len(), 5);
    assert_eq!(records[4]["record"]["data"], json!({"n": 4}));
    assert_eq!(records[4]["record"]["namespace"], "a");
    assert_eq!(
        ended.of_type("STATE")[1],
        json!({"type": "STATE", "state": {
            "type": "STREAM",
            "stream": {
                "stream_descriptor": {"name": "numbers", "namespace": "a"},
                "stream_state": {"next": 5},
            },
            "sourceStats": {"recordCount": 2},
        }})
    );
    let estimate = &ended.of_type("TRACE")[1]["trace"]["estimate"];
    assert_eq!(estimate["row_estimate"], 5);
}

#[test]
fn a_read_goes_on_behind_its_state() {
    let files = Files::new(json!({"rows": 5}));
    files.configure("incremental");
    let stream = json!({"stream_descriptor": {"name": "numbers"}, "stream_state": {"next": 3}});
    files.put("state.json", json!([{"type": "STREAM", "stream": stream}]));
    let line = "read --config config.json --catalog catalog.json --state state.json";
    assert_eq!(files.run(line).of_type("RECORD").len(), 2);
    files.configure("full_refresh");
    assert_eq!(files.run(line).of_type("RECORD").len(), 5);
}

#[test]
fn frames_hold_an_arrow_stream_each() {
    let files = Files::new(json!({"rows": 5, "wrong": "rejects"}));
    files.configure("incremental");
    let line = "read --config config.json --catalog catalog.json --max-rows 3 --format arrow";
    let ended = files.run(line);
    assert_eq!(ended.code, 0);
    let mut rest = ended.stdout.as_slice();
    let (mut seen, mut numbers, mut states) = (Vec::new(), Vec::new(), Vec::new());
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let message: Value = from_slice(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        if let Some(bytes) = message["bytes"].as_u64() {
            let (data, behind) = rest.split_at(bytes as usize);
            rest = behind;
            let reader = arrow_ipc::reader::StreamReader::try_new(data, None).unwrap();
            let batches: Vec<_> = reader.map(|batch| batch.unwrap()).collect();
            assert_eq!(message["rows"], batches[0].num_rows());
            seen.push(message["type"].as_str().unwrap().to_owned());
            if message["type"] == "BATCH" {
                numbers.extend(
                    batches[0]
                        .column(0)
                        .as_primitive::<Int64Type>()
                        .values()
                        .to_vec(),
                );
            }
        } else if message["type"] == "STATE" {
            states.push(message["state"]["sourceStats"]["recordCount"].clone());
        }
    }
    assert_eq!(seen, ["BATCH", "REJECTS", "BATCH"]);
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!(states, [3, 1, 2]);
}

#[test]
fn rows_that_are_no_records_end_a_run_or_are_logged() {
    let files = Files::new(json!({"rows": 5, "wrong": "rejects"}));
    files.configure("incremental");
    let line = "read --config config.json --catalog catalog.json --max-rows 3";
    let ended = files.run(line);
    assert_eq!(ended.code, 1);
    assert!(
        ended.error()["message"]
            .as_str()
            .unwrap()
            .starts_with("1 row of `numbers` could not")
    );
    assert_eq!(ended.statuses().last().unwrap(), "INCOMPLETE");
    files.put(
        "config.json",
        json!({"rows": 5, "wrong": "rejects", "dativo_on_bad_rows": "log"}),
    );
    let ended = files.run(line);
    assert_eq!((ended.code, ended.of_type("RECORD").len()), (0, 5));
    let message = ended.of_type("LOG")[0]["log"]["message"].clone();
    assert_eq!(
        message,
        "1 row of `numbers` could not be read, and are left out"
    );
    assert!(!String::from_utf8(ended.stdout).unwrap().contains("seven"));
}

#[test]
fn what_goes_wrong_is_an_error_message() {
    for (wrong, failure_type, expected) in [
        ("error", "system_error", "no more"),
        ("temporary", "transient_error", "come back later"),
        ("panic", "system_error", "the reader panicked at "),
        (
            "foreign",
            "system_error",
            "the reader breaks its contract: it gave rows of `letters`",
        ),
        (
            "state",
            "system_error",
            "the reader breaks its contract: its state after a batch of `numbers`",
        ),
    ] {
        let files = Files::new(json!({"rows": 5, "wrong": wrong}));
        files.configure("incremental");
        let ended = files.run("read --config config.json --catalog catalog.json --max-rows 3");
        assert_eq!(ended.code, 1, "{wrong}");
        let error = ended.error();
        assert_eq!(error["failure_type"], failure_type, "{wrong}");
        assert!(
            error["message"].as_str().unwrap().starts_with(expected),
            "{error}"
        );
        assert_eq!(ended.statuses().last().unwrap(), "INCOMPLETE");
        assert_eq!(ended.of_type("RECORD").len(), 3, "{wrong}");
    }
}

#[test]
fn parts_together_are_the_whole() {
    let files = Files::new(json!({"rows": 10}));
    files.configure("incremental");
    let said = files.run("partitions --config config.json --catalog catalog.json --count 3");
    let parts = said.messages()[0]["partitions"].as_array().unwrap().clone();
    assert_eq!(parts.len(), 3);
    assert_eq!(
        parts[2]["state"]["stream"]["stream_state"],
        json!({"next": 10})
    );
    let mut numbers = Vec::new();
    for token in ["0-3", "3-6", "6-10"] {
        std::fs::write(files.path("one.part"), token).unwrap();
        let line = "read --config config.json --catalog catalog.json --partition one.part";
        let ended = files.run(line);
        assert!(ended.of_type("STATE").is_empty());
        let records = ended.of_type("RECORD").into_iter();
        numbers.extend(records.map(|record| record["record"]["data"]["n"].as_i64().unwrap()));
    }
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_tap_discovers_selects_and_goes_on() {
    let files = Files::new(json!({"rows": 4, "streams": ["shop.orders", "other"]}));
    let ended = files.run("--config config.json --discover");
    let mut catalog: Value = from_slice(&ended.stdout).unwrap();
    assert_eq!(catalog["streams"][0]["tap_stream_id"], "shop-orders");
    catalog["streams"][0]["metadata"][0]["metadata"]["selected"] = true.into();
    files.put("catalog.json", catalog);
    let ended = files.run("--config config.json --catalog catalog.json");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let messages = ended.messages();
    assert_eq!(messages[0]["type"], "SCHEMA");
    assert_eq!(messages[0]["key_properties"], json!(["n"]));
    assert_eq!(messages[0]["bookmark_properties"], json!(["n"]));
    let records = ended.of_type("RECORD");
    assert_eq!(
        (records.len(), &records[0]["stream"]),
        (4, &json!("shop-orders"))
    );
    let state = ended.of_type("STATE").pop().unwrap()["value"].clone();
    assert_eq!(state, json!({"bookmarks": {"shop-orders": {"next": 4}}}));
    files.put(
        "config.json",
        json!({"rows": 6, "streams": ["shop.orders", "other"]}),
    );
    files.put("state.json", state);
    let line = "--config config.json --properties catalog.json --state state.json";
    assert_eq!(files.run(line).of_type("RECORD").len(), 2);
}

#[test]
fn a_tap_says_who_it_is_and_what_went_wrong() {
    let files = Files::new(json!({"rows": 4, "wrong": "error"}));
    let about: Value = from_slice(&files.run("--about --format=json").stdout).unwrap();
    assert_eq!(about["name"], "source-numbers");
    assert_eq!(about["settings"]["required"], json!(["rows"]));
    let ended = files.run("--config config.json --max-rows 2");
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (1, "CRITICAL no more\n")
    );
    assert_eq!(ended.of_type("RECORD").len(), 2);
}

#[test]
fn a_wrong_command_line_is_told_the_right_one() {
    let ended = Files::new(json!({})).run("fly");
    assert_eq!((ended.code, ended.stdout.len()), (2, 0));
    assert!(
        ended
            .stderr
            .starts_with("there is no command `fly`\n\nusage: source-numbers spec | check")
    );
    assert_eq!(
        Files::new(json!({})).run("--version").stdout,
        b"source-numbers 1.2.3\n"
    );
}

/// A pipe whose reader is gone.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_program_that_nobody_listens_to_ends_in_silence() {
    let files = Files::new(json!({"rows": 1_000_000}));
    let words = [
        OsString::from("read"),
        "--config".into(),
        files.path("config.json").into(),
    ];
    let mut stderr = Vec::new();
    let code = run::<Numbers>(words, io::empty(), Broken, &mut stderr);
    assert_eq!((code, stderr.len()), (141, 0));
}

#[test]
fn a_file_that_is_missing_or_no_json_is_named() {
    let files = Files::new(json!({"rows": 1}));
    let ended = files.run("read --config config.json --catalog none.json");
    assert!(
        ended.error()["message"]
            .as_str()
            .unwrap()
            .starts_with("catalog file `")
    );
    std::fs::write(files.path("config.json"), "{\"token\": \"hunter2").unwrap();
    let ended = files.run("read --config config.json");
    let error = ended.error();
    assert_eq!(error["failure_type"], "config_error");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .ends_with("is no JSON at line 1, column 18"),
        "{error}"
    );
    let read: Result<Value, _> = from_str(&ended.stderr);
    assert!(read.is_err() && ended.stderr.is_empty());
}
