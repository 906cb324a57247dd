//! PostgreSQL: tables, views and queries, by binary COPY straight into Arrow buffers.
//!
//! The way of one stream:
//!
//! 1. [`settings`] and [`conninfo`] say how to reach the server, [`socket`] and [`tls`] reach it, [`connection`] speaks to it.
//! 2. [`relations`] asks the catalog what there is, [`types`] decides what each column becomes ([`kind`]).
//! 3. [`plan`] writes the COPY statements: in the order of a cursor, or for pages of a table.
//! 4. [`tuples`] and [`rows`] take their bytes apart, [`columns`] appends cells to [`buffers`].
//! 5. [`reader`] hands over batches and says how far it is.

mod buffers;
mod calendar;
mod columns;
mod config;
mod connection;
mod conninfo;
#[cfg(test)]
mod hostile_tests;
mod input;
mod kind;
mod network;
mod numeric;
mod plan;
mod reader;
mod relations;
mod rows;
mod server_error;
mod settings;
mod socket;
mod text;
mod tls;
mod tuples;
mod types;

pub use config::{ArraysAs, BadValues, Boundary, NumericAs, PostgresConfig, Query};
pub use reader::PostgresReader;
