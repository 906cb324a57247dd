//! Bytes of records to Arrow batches, and back: no I/O, no threads, no Python.
//!
//! The way of one line:
//!
//! 1. [`classify`] says which message of its protocol ([`singer::Message`], [`airbyte::Message`]) it is.
//! 2. A stream's JSON Schema (a SCHEMA line, or the configured catalog: [`airbyte::parse_configured_catalog`]) becomes a
//!    [`StreamPlan`], once.
//! 3. RECORD (and [`LineKind::BrokenRecord`]): [`Builders::decode_line`] reads it in one pass into the stream's
//!    [`BatchBuilder`], which it makes from the stream's plan when it meets the stream for the first time.
//! 4. Other messages: one function each in [`singer`] and [`airbyte`]. [`airbyte::MergedState`] keeps the newest states.
//! 5. [`BatchBuilder::finish`] hands over a batch of rows and a batch of rejected records, and can be filled again.
//!    [`unify()`] gives batches of one stream that differ only in the optional columns the same schema.
//!
//! Rows that come as Arrow IPC streams ([`frame`]) have their types already; [`canonical`] makes them those that targets take.
//!
//! Records without an envelope (JSON lines files) go through [`BatchBuilder::push_line`]. [`encode_json_lines`] is the way back,
//! and [`arrow_json_schema()`] says what it writes.
//!
//! One builder belongs to one thread; plans are shared (`Arc`). Everything is `Send`.
//!
//! No message of this crate ever contains a value of a record: values may be secrets. Names of columns and streams it does contain.

pub mod airbyte;
mod arrow_json_schema;
mod batch;
mod c_names;
pub mod canonical;
mod columns;
mod encode;
pub mod frame;
mod json;
mod keys;
mod lines;
mod optional;
mod plan;
mod rejects;

pub mod scalar;
pub mod singer;
mod stamps;
mod stream_id;
mod temporal;
mod unify;

pub use arrow_json_schema::arrow_json_schema;
pub use batch::{BatchBuilder, Built, Outcome, PushError, Pushed};
pub use c_names::c_names;
pub use encode::{EncodeError, encode_json_lines};
pub use lines::{
    Builders, Decoded, LineError, LineKind, MessageError, MessageKind, RecordFormat, classify,
};
pub use plan::{Extra, Metadata, Nested, OnBadValue, PlanOptions, SchemaError, StreamPlan};
pub use rejects::{RejectsBuilder, rejects_schema};
pub use stamps::{Moment, Stamps, announced, with_extracted_at};
pub use stream_id::StreamId;
pub use unify::{ROLE_KEY, unify};

/// Name of the optional column that keeps properties outside the schema, as one JSON object per row.
pub const EXTRA_COLUMN: &str = "_dativo_extra";
/// Name of the optional column that lists nulled cells, as a JSON array of `{"column", "reason"}` per row.
pub const CHANGES_COLUMN: &str = "_dativo_changes";
/// Name of the column with the moment at which the source says that it read the row, where it is wanted.
pub const EXTRACTED_AT_COLUMN: &str = "_dativo_extracted_at";
/// Name of the optional column with the stream's version that a row belongs to, where it is wanted.
pub const VERSION_COLUMN: &str = "_dativo_version";
/// Objects and arrays nested deeper than this make a record broken.
pub const MAX_DEPTH: usize = 512;
