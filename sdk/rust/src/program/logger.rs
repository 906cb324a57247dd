//! Records of the crate `log` as LOG messages; on stderr, where no messages go out.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::airbyte;
use super::outlet::{Outlet, Said};

struct Logger(Mutex<Option<Outlet>>);

static LOGGER: Logger = Logger(Mutex::new(None));

/// Takes the records of this process, from INFO on, unless a reader has a logger of its own.
pub(super) fn install() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Messages go there until this is dropped.
pub(super) struct Spoken;

impl Spoken {
    pub(super) fn by(outlet: &Outlet) -> Self {
        LOGGER.put(Some(outlet.clone()));
        Self
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        LOGGER.put(None);
    }
}

impl Logger {
    fn put(&self, outlet: Option<Outlet>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outlet;
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        };
        let text = record.args().to_string();
        let outlet = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let said = outlet.map(|outlet| outlet.say(Said::Lines(airbyte::log(level, &text))));
        if !matches!(said, Some(Ok(()))) {
            let _ = writeln!(std::io::stderr(), "{level} {text}");
        }
    }

    fn flush(&self) {}
}
