//! How fast a reader gives Arrow data: `cargo run --release --example to_arrow -- csv|jsonl|parquet '{"path": "…"}'`.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::Instant;

use dativo_readers::csv::CsvReader;
use dativo_readers::jsonl::JsonlReader;
use dativo_readers::parquet::ParquetReader;
use dativo_sdk::{Error, PieceKind, Reader, parse_config};

fn read<R: Reader>(config: &str) -> Result<(), Error> {
    let started = Instant::now();
    let mut reader = R::initialize(parse_config(config.as_bytes())?, None, None)?;
    let (mut rows, mut rejects, mut bytes, mut pieces) = (0, 0, 0, 0);
    while let Some(piece) = reader.read_batch(1 << 20)? {
        pieces += 1;
        bytes += piece.data.get_array_memory_size();
        match piece.kind {
            PieceKind::Batch => rows += piece.data.num_rows(),
            PieceKind::Rejects => rejects += piece.data.num_rows(),
        }
    }
    reader.close()?;
    println!(
        "{rows} rows, {rejects} rejects, {pieces} pieces, {bytes} bytes in {:.3} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, config] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let done = match kind.as_str() {
        "csv" => read::<CsvReader>(config),
        "jsonl" => read::<JsonlReader>(config),
        "parquet" => read::<ParquetReader>(config),
        _ => return ExitCode::from(2),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}
