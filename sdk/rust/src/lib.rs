//! Readers for Dativo in Rust.
//!
//! A reader is a type that implements [`Reader`]: five methods, over Arrow record batches. From one implementation come a
//! program ([`program()`]), a Python class and a shared library; each is a few lines in a crate of its own kind.
//!
//! The trait says who calls what, in which order. Around it:
//!
//! - [`Info`]: the reader's name and version, and what it can do beyond the five methods.
//! - [`Catalog`]: the streams that it offers. [`ReadCatalog`]: what it is to read.
//! - [`Piece`]: rows, or rows that could not be read as such ([`RejectsBuilder`]).
//! - [`State`]: what it says about how far it is. [`SavedState`]: what it said before.
//! - [`Error`]: what went wrong, grouped by what the caller should do.

#[cfg(feature = "capi")]
#[doc(hidden)]
pub mod capi;
mod catalog;
mod config;
mod error;
mod info;
#[cfg(any(feature = "program", feature = "capi"))]
mod panics;
mod piece;
#[cfg(feature = "program")]
mod program;
#[cfg(feature = "python")]
mod python;
mod read_catalog;
mod reader;
mod saved_state;

pub use catalog::{Catalog, CatalogStream, Method};
pub use config::{config_schema, parse_config};
pub use error::{Error, Kind};
pub use info::{API_VERSION, Info};
pub use piece::{Estimate, Partition, Piece, PieceKind};
#[cfg(feature = "program")]
pub use program::{program, run};
#[cfg(feature = "python")]
pub use python::python_class;
pub use read_catalog::{ReadCatalog, SelectedStream};
pub use reader::Reader;
pub use saved_state::{SavedState, State};

pub use arrow_array;
pub use arrow_schema;
pub use dativo_codec::{RejectsBuilder, StreamId, rejects_schema};
#[cfg(feature = "python")]
pub use pyo3;
pub use schemars;
pub use serde;
pub use serde_json;
