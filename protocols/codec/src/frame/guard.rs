//! Foreign Arrow data that must not end the thread that reads it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_schema::ArrowError;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is reading data of somebody else: a panic then says that they are broken, and nothing else.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs `read`. The Arrow library checks most of what it reads, and panics at the rest.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    done.unwrap_or_else(|_| {
        Err(ArrowError::IpcError(
            "its parts do not fit together".to_owned(),
        ))
    })
}
