//! The PostgreSQL reader as a program: an Airbyte source, a Singer tap, a source of Arrow data.

use std::process::ExitCode;

fn main() -> ExitCode {
    dativo_sdk::program::<dativo_readers::postgres::PostgresReader>()
}
