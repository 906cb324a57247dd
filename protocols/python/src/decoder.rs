//! `SingerDecoder` and `AirbyteDecoder`.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dativo_codec::{Extra, Metadata, Nested, OnBadValue, StreamId};
use dativo_stream::{AirbyteInput, Closer, Counters, Decoder, Failure, NewConfigs, Next, Options};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::{errors, messages};

/// How often a waiting call looks for signals.
const SIGNALS: Duration = Duration::from_millis(100);

/// A decoder that may be closed while another thread waits in it.
pub struct Closable {
    decoder: Mutex<Option<Decoder>>,
    closer: Closer,
    configs: Option<NewConfigs>,
    pub counters: Arc<Counters>,
}

impl Closable {
    pub fn new(decoder: Decoder) -> Self {
        Self {
            closer: decoder.closer(),
            configs: decoder.configs(),
            counters: Arc::clone(decoder.counters()),
            decoder: Mutex::new(Some(decoder)),
        }
    }

    /// The next event; None at the end. Waits without the GIL.
    pub fn next(&self, py: Python<'_>) -> PyResult<Option<dativo_stream::Event>> {
        loop {
            let next = py.detach(|| {
                let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
                match decoder.as_mut() {
                    Some(decoder) => decoder.next(SIGNALS),
                    None => Err(Failure::closed()),
                }
            });
            match next {
                Ok(Next::Event(event)) => return Ok(Some(event)),
                Ok(Next::End) => return Ok(None),
                Ok(Next::Pending) => py.check_signals()?,
                Err(failure) => return Err(errors::failure(py, failure)),
            }
        }
    }

    pub fn close(&self, py: Python<'_>) {
        self.closer.close();
        py.detach(|| {
            let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
            if !decoder.as_ref().is_some_and(Decoder::is_at_end) {
                drop(decoder.take());
            }
        });
    }
}

/// A decoder of one protocol: its constructor, and what they all have.
macro_rules! decoder {
    ($name:ident { $($constructor:tt)* }) => {
        #[pyclass(frozen, module = "dativo_protocols._codec")]
        pub struct $name(Closable);

        #[pymethods]
        impl $name {
            $($constructor)*

            fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
                this
            }

            fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
                let event = self.0.next(py)?;
                event.map(|event| messages::message(py, event)).transpose()
            }

            fn close(&self, py: Python<'_>) {
                self.0.close(py);
            }

            #[getter]
            fn rows_in<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let rows = PyDict::new(py);
                for (stream, count) in self.0.counters.rows_in() {
                    rows.set_item(messages::stream_id(py, &stream)?, count)?;
                }
                Ok(rows)
            }

            #[getter]
            fn bytes_in(&self) -> u64 {
                self.0.counters.bytes_in()
            }

            #[getter]
            fn lines_in(&self) -> u64 {
                self.0.counters.lines_in()
            }

            #[getter]
            fn idle_seconds(&self) -> f64 {
                self.0.counters.idle().as_secs_f64()
            }

            #[getter]
            fn superseded_states(&self) -> u64 {
                self.0.counters.superseded_states()
            }
        }
    };
}

decoder!(SingerDecoder {
    #[new]
    #[pyo3(signature = (
        fd,
        *,
        on_bad_value = "quarantine",
        nested = "json",
        extra = "keep",
        metadata = None,
        fields = None,
        types = None,
        max_record_bytes = 134_217_728,
        memory_budget_bytes = 100_663_296,
        threads = 0,
    ))]
    #[allow(clippy::too_many_arguments)] // They are keywords.
    fn new(
        fd: RawFd,
        on_bad_value: &str,
        nested: &str,
        extra: &str,
        metadata: Option<Vec<String>>,
        fields: Option<&Bound<'_, PyMapping>>,
        types: Option<&Bound<'_, PyMapping>>,
        max_record_bytes: usize,
        memory_budget_bytes: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let by_name = |name: &Bound<'_, PyAny>| {
            PyResult::Ok(StreamId::from(name.extract::<String>()?.as_str()))
        };
        let options = Options {
            max_record_bytes,
            memory_budget_bytes,
            threads,
            metadata: metadata_columns(metadata.unwrap_or_default())?,
            ..choices(on_bad_value, nested, extra, fields, types, by_name)?
        };
        let decoder = Decoder::singer(duplicate(fd)?, options)?;
        Ok(Self(Closable::new(decoder)))
    }
});

decoder!(AirbyteDecoder {
    #[new]
    #[pyo3(signature = (
        fd,
        *,
        catalog = None,
        state = None,
        on_bad_value = "quarantine",
        nested = "json",
        extra = "keep",
        metadata = None,
        fields = None,
        types = None,
        max_record_bytes = 134_217_728,
        memory_budget_bytes = 100_663_296,
        threads = 0,
    ))]
    #[allow(clippy::too_many_arguments)] // They are keywords.
    fn new(
        py: Python<'_>,
        fd: RawFd,
        catalog: Option<&[u8]>,
        state: Option<&[u8]>,
        on_bad_value: &str,
        nested: &str,
        extra: &str,
        metadata: Option<Vec<String>>,
        fields: Option<&Bound<'_, PyMapping>>,
        types: Option<&Bound<'_, PyMapping>>,
        max_record_bytes: usize,
        memory_budget_bytes: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let by_identity = |stream: &Bound<'_, PyAny>| {
            let (name, namespace) = stream.extract::<(String, Option<String>)>()?;
            PyResult::Ok(StreamId::new(name, namespace.as_deref()))
        };
        let options = Options {
            max_record_bytes,
            memory_budget_bytes,
            threads,
            metadata: metadata_columns(metadata.unwrap_or_default())?,
            ..choices(on_bad_value, nested, extra, fields, types, by_identity)?
        };
        let catalog = catalog.filter(|catalog| !catalog.is_empty());
        let input = AirbyteInput::new(catalog, state, &options)
            .map_err(|failure| errors::failure(py, failure))?;
        let decoder = Decoder::airbyte(duplicate(fd)?, input, options)?;
        Ok(Self(Closable::new(decoder)))
    }

    fn next_control<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let event = py.detach(|| self.0.configs.as_ref().and_then(NewConfigs::next));
        event.map(|event| messages::message(py, event)).transpose()
    }
});

/// What is there to choose in every protocol. Streams are named as `id` reads them.
fn choices(
    on_bad_value: &str,
    nested: &str,
    extra: &str,
    fields: Option<&Bound<'_, PyMapping>>,
    types: Option<&Bound<'_, PyMapping>>,
    id: impl Fn(&Bound<'_, PyAny>) -> PyResult<StreamId> + Copy,
) -> PyResult<Options> {
    let text = |name: &Bound<'_, PyAny>| name.extract::<String>();
    Ok(Options {
        on_bad_value: on_bad_value_choice(on_bad_value)?,
        nested: nested_choice(nested)?,
        extra: choice(
            "extra",
            extra,
            &[("keep", Extra::Keep), ("drop", Extra::Drop)],
        )?,
        fields: mapping(fields, id, |names| {
            let names = names.extract::<Vec<String>>()?;
            Ok(names.into_iter().collect::<HashSet<_>>())
        })?,
        types: mapping(types, id, |names| mapping(Some(names.cast()?), text, text))?,
        ..Options::default()
    })
}

pub fn on_bad_value_choice(given: &str) -> PyResult<OnBadValue> {
    choice(
        "on_bad_value",
        given,
        &[
            ("quarantine", OnBadValue::Quarantine),
            ("null", OnBadValue::Null),
            ("fail", OnBadValue::Fail),
        ],
    )
}

pub fn nested_choice(given: &str) -> PyResult<Nested> {
    choice(
        "nested",
        given,
        &[("json", Nested::Json), ("struct", Nested::Struct)],
    )
}

/// The columns beside those of the record, by what they hold.
fn metadata_columns(names: Vec<String>) -> PyResult<Metadata> {
    let mut metadata = Metadata::default();
    for name in names {
        match name.as_str() {
            "extracted_at" => metadata.extracted_at = true,
            "version" => metadata.version = true,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "`metadata` has `{name}`, expected `extracted_at`, `version`"
                )));
            }
        }
    }
    Ok(metadata)
}

/// A descriptor of our own, so that the caller may close his at any time.
fn duplicate(fd: RawFd) -> PyResult<OwnedFd> {
    Ok(borrowed(fd)?.try_clone_to_owned()?)
}

/// The caller's descriptor, for the duration of a call.
pub fn borrowed<'fd>(fd: RawFd) -> PyResult<BorrowedFd<'fd>> {
    if fd < 0 {
        return Err(PyValueError::new_err(format!(
            "`fd` is {fd}, expected a file descriptor"
        )));
    }
    // SAFETY: it is not -1, and used only during the caller's call; the kernel refuses what is not open.
    #[allow(unsafe_code)]
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

pub fn choice<T: Copy>(option: &str, given: &str, choices: &[(&str, T)]) -> PyResult<T> {
    let found = choices.iter().find(|(name, _)| *name == given);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        PyValueError::new_err(format!(
            "`{option}` is `{given}`, expected one of {}",
            names.join(", ")
        ))
    })
}

fn mapping<K: Eq + Hash, T>(
    given: Option<&Bound<'_, PyMapping>>,
    key: impl Fn(&Bound<'_, PyAny>) -> PyResult<K>,
    value: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<HashMap<K, T>> {
    let Some(given) = given else {
        return Ok(HashMap::new());
    };
    let mut converted = HashMap::new();
    for item in given.items()?.iter() {
        let (name, item): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        converted.insert(key(&name)?, value(&item)?);
    }
    Ok(converted)
}
