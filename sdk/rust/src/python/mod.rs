//! A reader as a Python class with the five methods of `dativo_sdk.Reader`.

mod arrow;
mod errors;
mod values;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use serde_json::Value;

use self::errors::raised;
use crate::panics::caught;
use crate::{
    API_VERSION, Catalog, Error, Estimate, Info, Partition, Piece, ReadCatalog, Reader, SavedState,
    State, config_schema, parse_config, run,
};

/// Makes the extension module `MODULE` with a class for each reader:
/// `dativo_sdk::export_python!(_numbers: Numbers = NumbersReader);`.
#[macro_export]
macro_rules! export_python {
    ($module:ident: $($class:ident = $reader:ty),+ $(,)?) => {
        #[$crate::pyo3::pymodule]
        #[pyo3(crate = "::dativo_sdk::pyo3")]
        fn $module(
            module: &$crate::pyo3::Bound<'_, $crate::pyo3::types::PyModule>,
        ) -> $crate::pyo3::PyResult<()> {
            use $crate::pyo3::types::PyModuleMethods;
            $(module.add(
                stringify!($class),
                $crate::python_class::<$reader>(module, stringify!($class))?,
            )?;)+
            Ok(())
        }
    };
}

/// A reader of any type.
trait AnyReader: Send {
    fn get_schema(&mut self) -> Result<Catalog, Error>;
    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error>;
    fn get_incremental_state(&mut self) -> Result<Option<State>, Error>;
    fn close(&mut self) -> Result<(), Error>;
    fn check(&mut self) -> Result<(), Error>;
    fn partitions(&mut self, count: usize, target_bytes: usize) -> Result<Vec<Partition>, Error>;
    fn estimates(&mut self) -> Result<Vec<Estimate>, Error>;
}

impl<R: Reader> AnyReader for R {
    fn get_schema(&mut self) -> Result<Catalog, Error> {
        Reader::get_schema(self)
    }
    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error> {
        Reader::read_batch(self, max_rows)
    }
    fn get_incremental_state(&mut self) -> Result<Option<State>, Error> {
        Reader::get_incremental_state(self)
    }
    fn close(&mut self) -> Result<(), Error> {
        Reader::close(self)
    }
    fn check(&mut self) -> Result<(), Error> {
        Reader::check(self)
    }
    fn partitions(&mut self, count: usize, target_bytes: usize) -> Result<Vec<Partition>, Error> {
        Reader::partitions(self, count, target_bytes)
    }
    fn estimates(&mut self) -> Result<Vec<Estimate>, Error> {
        Reader::estimates(self)
    }
}

type Initialize =
    fn(&[u8], Option<ReadCatalog>, Option<SavedState>) -> Result<Box<dyn AnyReader>, Error>;

/// What a class needs to know of its type.
#[pyclass(frozen)]
struct Make {
    initialize: Initialize,
    run: fn(Vec<OsString>) -> u8,
}

fn initialize<R: Reader>(
    config: &[u8],
    catalog: Option<ReadCatalog>,
    state: Option<SavedState>,
) -> Result<Box<dyn AnyReader>, Error> {
    Ok(Box::new(R::initialize(
        parse_config(config)?,
        catalog,
        state,
    )?))
}

fn run_here<R: Reader>(arguments: Vec<OsString>) -> u8 {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(stdout) => run::<R>(arguments, io::stdin(), File::from(stdout), io::stderr()),
        Err(_) => 1,
    }
}

/// The Python class of a reader, for a module of one's own: what [`export_python`] does for each.
///
/// It has the five methods, and those of its powers that [`Info`] names; the attributes `name`, `version`, `__api_version__`,
/// `modes`, `config_schema`, `releases_gil`; and `main(argv=None)`, which runs it as a program and gives the exit code, for the
/// console script of a wheel. No method holds the GIL while the reader works.
///
/// # Errors
/// When Python cannot make the class.
pub fn python_class<'py, R: Reader>(
    module: &Bound<'py, PyModule>,
    name: &str,
) -> PyResult<Bound<'py, PyType>> {
    let py = module.py();
    let info: Info = R::INFO;
    let base = py.get_type::<RustReader>();
    let attributes = PyDict::new(py);
    let make = Make {
        initialize: initialize::<R>,
        run: run_here::<R>,
    };
    attributes.set_item("_make", Py::new(py, make)?)?;
    attributes.set_item("__module__", module.name()?)?;
    attributes.set_item("name", info.name)?;
    attributes.set_item("version", info.version)?;
    attributes.set_item("__api_version__", API_VERSION)?;
    attributes.set_item("releases_gil", true)?;
    let schema = config_schema::<R::Config>();
    if let Some(Value::String(text)) = schema.get("description") {
        attributes.set_item("__doc__", text)?;
    }
    attributes.set_item(
        "config_schema",
        values::loads(py, schema.to_string().as_bytes())?,
    )?;
    let modes = info.capabilities()["modes"].to_string();
    let modes = values::loads(py, modes.as_bytes())?;
    attributes.set_item("modes", py.get_type::<PyTuple>().call1((modes,))?)?;
    for (power, method, hidden) in [
        ("check", "check", "_check"),
        ("partitions", "partitions", "_partitions"),
        ("estimates", "estimates", "_estimates"),
    ] {
        // A power is there where its method is.
        if info.has(power) {
            attributes.set_item(method, base.getattr(hidden)?)?;
        }
    }
    let class = py.get_type::<PyType>().call1((name, (base,), attributes))?;
    Ok(class.cast_into::<PyType>()?)
}

/// The base of the classes: what is the same for all.
#[pyclass(frozen, subclass)]
struct RustReader(Mutex<Option<Box<dyn AnyReader>>>);

impl RustReader {
    /// What `work` gives for the reader, without the GIL; a panic is an error too.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut dyn AnyReader) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let done = py.detach(|| {
            // A reader that panicked is closed, and no more.
            let mut held = self
                .0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            held.as_mut().map(|reader| caught(|| work(reader.as_mut())))
        });
        match done {
            Some(done) => done.map_err(|error| raised(py, error)),
            None => Err(values::out_of_turn(
                "the reader is not initialized, or is closed",
            )),
        }
    }
}

#[pymethods]
impl RustReader {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    #[pyo3(signature = (config, catalog=None, state=None))]
    fn initialize(
        slf: &Bound<'_, Self>,
        config: &Bound<'_, PyAny>,
        catalog: Option<&Bound<'_, PyAny>>,
        state: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let make = slf.get_type().getattr("_make")?.cast_into::<Make>()?;
        let initialize = make.get().initialize;
        let config = values::config(config)?;
        let catalog = catalog.map(values::read_catalog).transpose()?.transpose();
        let state = state.map(values::saved_state).transpose()?.transpose();
        let made = py.detach(|| caught(|| initialize(&config, catalog?, state?.flatten())));
        let reader = made.map_err(|error| raised(py, error))?;
        let mut held = slf
            .get()
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *held = Some(reader);
        Ok(())
    }

    fn get_schema(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let catalog = self.with(py, |reader| reader.get_schema())?;
        values::catalog(py, &catalog)
    }

    fn read_batch(&self, py: Python<'_>, max_rows: usize) -> PyResult<Option<Py<PyAny>>> {
        let piece = self.with(py, |reader| reader.read_batch(max_rows))?;
        piece.map(|piece| values::piece(py, piece)).transpose()
    }

    fn get_incremental_state(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let state = self.with(py, |reader| reader.get_incremental_state())?;
        state.map(|state| values::state(py, &state)).transpose()
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let closed = py.detach(|| {
            let mut held = self
                .0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            match held.take() {
                Some(mut reader) => caught(move || reader.close()),
                None => Ok(()),
            }
        });
        closed.map_err(|error| raised(py, error))
    }

    fn _check(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let checked = self.with(py, |reader| Ok(reader.check()))?;
        values::status(py, &checked)
    }

    fn _partitions(
        &self,
        py: Python<'_>,
        count: usize,
        target_bytes: usize,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let parts = self.with(py, |reader| reader.partitions(count, target_bytes))?;
        parts
            .iter()
            .map(|part| values::partition(py, part))
            .collect()
    }

    fn _estimates(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let estimates = self.with(py, |reader| reader.estimates())?;
        estimates
            .iter()
            .map(|estimate| values::estimate(py, estimate))
            .collect()
    }

    #[classmethod]
    #[pyo3(signature = (argv=None))]
    fn main(cls: &Bound<'_, PyType>, argv: Option<Vec<OsString>>) -> PyResult<u8> {
        let py = cls.py();
        let make = cls.getattr("_make")?.cast_into::<Make>()?;
        let argv = match argv {
            Some(argv) => argv,
            None => {
                let all = py.import("sys")?.getattr("argv")?.cast_into::<PyList>()?;
                all.get_slice(1, all.len()).extract()?
            }
        };
        // Python's own handler would only take note: nothing of Python runs until the program ends.
        let signal = py.import("signal")?;
        signal.call_method1(
            "signal",
            (signal.getattr("SIGINT")?, signal.getattr("SIG_DFL")?),
        )?;
        let run = make.get().run;
        Ok(py.detach(|| run(argv)))
    }
}
