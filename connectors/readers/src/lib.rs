//! Readers of files and tables, straight into Arrow builders.
//!
//! One module a reader; each is a reader like anybody else's, by the contract of `dativo-sdk`:
//!
//! - [`csv`]: comma-separated values.
//! - [`jsonl`]: JSON lines.
//! - [`parquet`]: Parquet files.
//! - [`postgres`]: tables, views and queries of a PostgreSQL database.
//!
//! What readers of files have in common: which files there are and their bytes as text (`files`), text in blocks through threads
//! in order (`flow`), what was given and the states that cover it (`progress`).

mod config;
pub mod csv;
mod files;
mod flow;
pub mod jsonl;
pub mod parquet;
pub mod postgres;
mod progress;
mod types;
