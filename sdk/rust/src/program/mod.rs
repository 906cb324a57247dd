//! A reader as a program: an Airbyte source, a Singer tap, a source of Arrow data.

mod airbyte;
mod command;
mod ending;
mod inputs;
mod logger;
mod outlet;
mod reading;
mod singer;
mod singer_catalog;
mod singer_state;
mod voice;

use crossbeam_channel::bounded;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use self::command::{Action, Command, USAGE};
use self::outlet::{Halt, Outlet, Said, halt, write_all};
use self::reading::Reading;
use self::singer::Singer;
use self::voice::Voice;
use crate::panics::caught;
use crate::{API_VERSION, Error, Reader};

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE_ERROR: u8 = 2;
/// As a shell says of a program that SIGPIPE ended.
const NOBODY_LISTENS: u8 = 141;

/// Runs the reader as this process's program: `fn main() -> ExitCode { dativo_sdk::program::<MyReader>() }`.
///
/// It is an Airbyte source (`spec`, `check`, `discover`, `read`) and a Singer tap (`--discover`, `--config`, `--catalog`, `--state`,
/// `--about`). With `--format arrow`, or the environment variable `DATIVO_FORMAT=arrow`, it sends Arrow data instead of a line a
/// record. Exit codes: 0 done; 1 failed, and a message or stderr says why; 2 a wrong command line; 141 nobody reads its output;
/// 143 ended by SIGTERM, after the reader was closed, or after five seconds. Records of the crate [`log`], from INFO on, become LOG
/// messages; of a tap, lines on stderr.
pub fn program<R: Reader>() -> ExitCode {
    // Not `io::stdout()` itself: it writes line by line.
    let stdout = match io::stdout().as_fd().try_clone_to_owned() {
        Ok(fd) => File::from(fd),
        Err(_) => return ExitCode::from(NOBODY_LISTENS),
    };
    ending::watch();
    logger::install();
    let arguments = std::env::args_os().skip(1);
    ExitCode::from(run::<R>(arguments, io::stdin(), stdout, io::stderr()))
}

/// The same with arguments (without the program's name) and streams of one's own; gives the exit code. Where Python starts
/// it, the caller releases the GIL.
///
/// `stdin` is read to its end by `partitions` alone. `stdout` gets messages whole, and need not be buffered.
pub fn run<R: Reader>(
    arguments: impl IntoIterator<Item = OsString>,
    stdin: impl Read + Send,
    stdout: impl Write + Send,
    mut stderr: impl Write,
) -> u8 {
    let words: Result<Vec<String>, _> = arguments.into_iter().map(OsString::into_string).collect();
    let format = std::env::var("DATIVO_FORMAT").ok();
    let command = words
        .map_err(|word| format!("the argument `{}` is not UTF-8", word.display()))
        .and_then(|words| command::parse(words, format.as_deref()));
    let usage = USAGE.replace("NAME", R::INFO.name);
    match command {
        Ok(command) => answer::<R>(&command, &usage, stdin, stdout, &mut stderr),
        Err(wrong) => {
            let _ = writeln!(stderr, "{wrong}\n\n{usage}");
            USAGE_ERROR
        }
    }
}

fn answer<R: Reader>(
    command: &Command,
    usage: &str,
    stdin: impl Read + Send,
    mut stdout: impl Write + Send,
    stderr: &mut impl Write,
) -> u8 {
    let host = std::env::var("DATIVO_API_VERSION").ok();
    let read = match refused(R::INFO.name, host.as_deref()) {
        Some(error) => Err(error),
        None => caught(|| inputs::read_config(&command.configs)),
    };
    let (info, arrow) = (R::INFO, command.arrow);
    let said = match (command.action, command.singer) {
        (Action::Help, _) => usage.as_bytes().to_vec(),
        (Action::Version, _) => format!("{} {}\n", info.name, info.version).into_bytes(),
        (Action::Spec, true) => singer::about::<R::Config>(&info),
        (Action::Spec, false) => airbyte::spec::<R::Config>(&info, arrow),
        (Action::Check, _) => airbyte::status(&read.and_then(|(config, _)| {
            caught(|| match reading::check::<R>(&config) {
                Err(Halt::Failed(error)) => Err(error),
                _ => Ok(()),
            })
        })),
        _ => {
            return work::<R>(command, read, stdin, stdout, stderr);
        }
    };
    match stdout.write_all(&said).map_err(halt) {
        Ok(()) => DONE,
        Err(_) => NOBODY_LISTENS,
    }
}

/// The error for a host that is older than this SDK, or of another major version; one that does not say its version takes all.
fn refused(name: &str, host: Option<&str>) -> Option<Error> {
    let numbers = |version: &str| -> Option<(u32, u32)> {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let host = host?;
    let ((major, minor), own) = (numbers(host)?, numbers(API_VERSION)?);
    if own.0 == major && own.1 <= minor {
        return None;
    }
    let message = format!(
        "`{name}` was written for version {API_VERSION} of the plugin API, and version {host} is installed here"
    );
    let hint = match own > (major, minor) {
        true => format!(
            "update Dativo to one with version {API_VERSION}, or take an older version of the plugin"
        ),
        false => format!(
            "take a version of the plugin that was written for {major}.x, or ask its makers for one"
        ),
    };
    Some(Error::config(message).with_hint(hint))
}

type Config = Result<(Vec<u8>, inputs::OnBadRows), Error>;

fn work<R: Reader>(
    command: &Command,
    config: Config,
    stdin: impl Read + Send,
    stdout: impl Write + Send,
    stderr: &mut impl Write,
) -> u8 {
    let on_bad_rows = config
        .as_ref()
        .map_or(inputs::OnBadRows::Fail, |(_, chosen)| *chosen);
    let mut airbyte;
    let mut tap;
    let voice: &mut dyn Voice = if command.singer {
        tap = Singer::new(on_bad_rows);
        &mut tap
    } else {
        airbyte = airbyte::Airbyte::new(command.arrow, on_bad_rows);
        &mut airbyte
    };
    let (mut stdout, done) = std::thread::scope(|scope| {
        let (sender, receiver) = bounded(1);
        let writer = scope.spawn(move || write_all(&receiver, stdout));
        let outlet = Outlet(sender);
        let spoken = (!command.singer).then(|| logger::Spoken::by(&outlet));
        let mut done = Ok(());
        let failed = caught(|| {
            let (config, _) = config?;
            done = perform::<R>(command, &config, stdin, voice, &outlet, stderr);
            Ok(())
        });
        drop(spoken);
        drop(outlet);
        let done = failed.map_err(Halt::from).and(done);
        match writer.join() {
            // What the output says of its end is the cause of what the reading says.
            Ok((stdout, written)) => (Some(stdout), written.and(done)),
            Err(_) => (
                None,
                Err(Error::connector("the output's thread panicked").into()),
            ),
        }
    });
    match done {
        Ok(()) => DONE,
        Err(Halt::Closed) => NOBODY_LISTENS,
        Err(Halt::Failed(error)) => {
            let (said, logged) = voice.failed(&error);
            if let Some(stdout) = &mut stdout {
                let _ = stdout.write_all(&said);
            }
            let _ = stderr.write_all(logged.as_bytes());
            FAILED
        }
    }
}

fn perform<R: Reader>(
    command: &Command,
    config: &[u8],
    mut stdin: impl Read + Send,
    voice: &mut dyn Voice,
    outlet: &Outlet,
    stderr: &mut impl Write,
) -> Result<(), Halt> {
    match (command.action, command.singer) {
        (Action::Discover, singer) => {
            let catalog = reading::discover::<R>(config)?;
            outlet.say(Said::Lines(if singer {
                singer::document(&singer_catalog::discovered(&catalog))
            } else {
                airbyte::catalog(&catalog)
            }))
        }
        (Action::Partitions, _) => {
            let catalog = inputs::read_catalog(command.catalog.as_deref(), None)?;
            let state = inputs::read_state(command.state.as_deref())?;
            reading::open::<R, _>(config, catalog, state, |reader| {
                let parts = reader.partitions(command.count, command.target_bytes)?;
                outlet.say(Said::Lines(airbyte::partitions(&parts)))?;
                // What the parts may need stays open until the host has read them, or ends this.
                std::thread::scope(|scope| {
                    let host = scope.spawn(|| io::copy(&mut stdin, &mut io::sink()));
                    while !host.is_finished() {
                        if ending::is_asked() {
                            let _ = reader.close();
                            ending::end_if_asked();
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
                Ok(())
            })
        }
        (_, singer) => {
            let reading = if singer {
                Reading::of_tap::<R>(config, command)?
            } else {
                Reading::of_source(command)?
            };
            reading.run::<R>(config, command.max_rows, voice, outlet, &mut |warnings| {
                let _ = stderr.write_all(warnings.as_bytes());
            })
        }
    }
}
