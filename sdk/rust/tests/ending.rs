//! SIGTERM and the crate `log`, in a real process: this program itself, as a reader, where `READER` says so.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dativo_sdk::arrow_array::{Int64Array, RecordBatch};
use dativo_sdk::arrow_schema::{DataType, Field, Schema};
use dativo_sdk::serde_json::{Value, from_str};
use dativo_sdk::{
    Catalog, CatalogStream, Error, Info, Piece, ReadCatalog, Reader, SavedState, State,
};

const ROWS: i64 = 10_000;

/// Reads numbers without end, and leaves a file when it is closed; `READER=hangs` comes back from no second call.
struct Endless {
    batches: usize,
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

impl Reader for Endless {
    type Config = dativo_sdk::serde_json::Map<String, Value>;

    const INFO: Info = Info::new("source-endless", "1");

    fn initialize(
        _: Self::Config,
        _: Option<ReadCatalog>,
        _: Option<SavedState>,
    ) -> Result<Self, Error> {
        Ok(Self { batches: 0 })
    }

    fn get_schema(&mut self) -> Result<Catalog, Error> {
        Ok([CatalogStream::of_arrow("numbers", schema())]
            .into_iter()
            .collect())
    }

    fn read_batch(&mut self, _: usize) -> Result<Option<Piece>, Error> {
        if self.batches > 0 && std::env::var("READER").as_deref() == Ok("hangs") {
            std::thread::sleep(Duration::from_secs(600));
        }
        self.batches += 1;
        log::info!("batch {}", self.batches);
        log::debug!("not of interest");
        let column = Arc::new(Int64Array::from_iter_values(0..ROWS));
        let batch = RecordBatch::try_new(schema(), vec![column]).unwrap();
        Ok(Some(Piece::batch("numbers", batch)))
    }

    fn get_incremental_state(&mut self) -> Result<Option<State>, Error> {
        Ok(None)
    }

    fn close(&mut self) -> Result<(), Error> {
        std::fs::write(std::env::var("CLOSED").unwrap(), "closed").unwrap();
        Ok(())
    }
}

struct Started {
    child: Child,
    closed: PathBuf,
}

fn start(kind: &str) -> Started {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let closed = folder.join(format!("closed-{kind}-{}", std::process::id()));
    let _ = std::fs::remove_file(&closed);
    let child = Command::new(std::env::current_exe().unwrap())
        .arg("read")
        .env("READER", kind)
        .env("CLOSED", &closed)
        .env_remove("DATIVO_FORMAT")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Started { child, closed }
}

impl Started {
    /// Sends SIGTERM; whether it was closed before it ended with 143, and how long that took.
    fn terminate(mut self) -> (bool, Duration) {
        let pid = self.child.id().to_string();
        let began = Instant::now();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let ended = self.child.wait().unwrap();
        assert_eq!(ended.code(), Some(143));
        let closed = std::fs::remove_file(&self.closed).is_ok();
        (closed, began.elapsed())
    }
}

fn a_reader_is_closed_and_its_records_are_messages() {
    let mut started = start("reads");
    let mut lines = BufReader::new(started.child.stdout.take().unwrap()).lines();
    let mut logged = Vec::new();
    while logged.len() < 3 {
        let message: Value = from_str(&lines.next().unwrap().unwrap()).unwrap();
        if message["type"] == "LOG" {
            assert_eq!(message["log"]["level"], "INFO");
            logged.push(message["log"]["message"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(logged, ["batch 1", "batch 2", "batch 3"]);
    let rest = std::thread::spawn(move || lines.count());
    let (closed, took) = started.terminate();
    assert!(
        closed && took < Duration::from_secs(4),
        "{closed}, {took:?}"
    );
    rest.join().unwrap();
}

fn a_reader_is_closed_although_nobody_takes_its_rows() {
    let started = start("waits");
    std::thread::sleep(Duration::from_secs(1));
    let (closed, took) = started.terminate();
    assert!(
        closed && took < Duration::from_secs(4),
        "{closed}, {took:?}"
    );
}

fn a_reader_that_does_not_come_back_is_left() {
    let started = start("hangs");
    std::thread::sleep(Duration::from_secs(1));
    let (closed, took) = started.terminate();
    assert!(
        !closed && took > Duration::from_secs(4),
        "{closed}, {took:?}"
    );
    assert!(took < Duration::from_secs(15), "{took:?}");
}

fn an_older_host_is_refused() {
    let said = Command::new(std::env::current_exe().unwrap())
        .arg("read")
        .env("READER", "refuses")
        .env("DATIVO_API_VERSION", "0.9")
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8(said.stdout).unwrap();
    let error = &from_str::<Value>(text.lines().last().unwrap()).unwrap()["trace"]["error"];
    assert_eq!(error["failure_type"], "config_error");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("version 1.0 of the plugin API"),
        "{message}"
    );
}

fn main() -> ExitCode {
    if std::env::var_os("READER").is_some() {
        return dativo_sdk::program::<Endless>();
    }
    a_reader_is_closed_and_its_records_are_messages();
    a_reader_is_closed_although_nobody_takes_its_rows();
    a_reader_that_does_not_come_back_is_left();
    an_older_host_is_refused();
    ExitCode::SUCCESS
}
