//! Readers of files and tables, straight into Arrow builders.
//!
//! One module a reader; each is a reader like anybody else's, by the contract of `dativo-sdk`.

pub mod csv;
