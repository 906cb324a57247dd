//! What is printed when a thread panics.

use std::panic;

/// Keeps a panic quiet that only says that foreign data are broken: it becomes an error. The hook is that of this library alone.
pub fn hush_guarded() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        if !dativo_codec::frame::is_guarded() {
            before(panicked);
        }
    }));
}
