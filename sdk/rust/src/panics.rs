//! Panics of a reader: bugs that are to be errors, wherever it runs.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::Error;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// What `work` gives; a panic in it is an error that says where it was, and nothing is printed.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHED.get() {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                before(info);
            }
        }));
    });
    let before = WATCHED.replace(true);
    // What a panic left half done is not used again: whoever gets the error closes the reader.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    WATCHED.set(before);
    done.unwrap_or_else(|payload| Err(broken(payload.as_ref())))
}

fn broken(payload: &(dyn std::any::Any + Send)) -> Error {
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it does not say why");
    let place = PLACE
        .take()
        .unwrap_or_else(|| "an unknown place".to_owned());
    Error::connector(format!("the reader panicked at {place}: {said}"))
        .with_hint("this is a bug in the reader: tell its makers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_where() {
        let error = caught::<()>(|| panic!("no {}", 7)).unwrap_err();
        assert!(
            error.message.starts_with("the reader panicked at "),
            "{error}"
        );
        assert!(error.message.contains("panics.rs:"), "{error}");
        assert!(error.message.ends_with(": no 7"), "{error}");
    }

    #[test]
    fn what_is_done_comes_through() {
        assert_eq!(caught(|| Ok(3)), Ok(3));
        let nested = caught(|| caught::<()>(|| panic!("inner")).or(Ok(())));
        assert_eq!(nested, Ok(()));
    }
}
