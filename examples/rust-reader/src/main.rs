//! The reader as a program: an Airbyte source, a Singer tap, a source of Arrow data.

fn main() -> std::process::ExitCode {
    dativo_sdk::program::<source_waves::Waves>()
}
