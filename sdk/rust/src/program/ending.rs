//! SIGTERM: the reader is closed, and the program ends with 143.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

static ASKED: AtomicBool = AtomicBool::new(false);
/// As a shell says of a program that SIGTERM ended.
const TERMINATED: i32 = 143;
/// What a reader has for the call it is in, and for its `close`. Hosts wait for ten.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes SIGTERM from now on. Without a thread for that, it ends the program at once, as ever.
pub(super) fn watch() {
    let Ok(mut signals) = Signals::new([SIGTERM]) else {
        return;
    };
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            ASKED.store(true, Ordering::SeqCst);
            std::thread::sleep(PATIENCE);
            exit(TERMINATED);
        }
    });
}

/// Whether the program is to end.
pub(super) fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Ends the program, if it is to end: its reader is closed, and nothing is left to say.
pub(super) fn end_if_asked() {
    if is_asked() {
        exit(TERMINATED);
    }
}
