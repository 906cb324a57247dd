//! The thread that makes requests.

use std::future::{Future, pending};
use std::sync::OnceLock;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use dativo_sdk::Error;
use tokio::runtime::{Builder, Handle};
use tokio::task::AbortHandle;

/// Started by the first who asks, for as long as the process lives.
static THREAD: OnceLock<Result<Handle, String>> = OnceLock::new();

fn thread() -> Result<&'static Handle, Error> {
    let started = THREAD.get_or_init(|| {
        // One that is there already will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("objects".to_owned())
            .spawn(move || runtime.block_on(pending::<()>()))
            .map_err(|error| error.to_string())?;
        Ok(handle)
    });
    started.as_ref().map_err(|error| {
        Error::connector(format!("no thread can be started for requests: {error}"))
    })
}

/// Starts that thread, unless it runs.
///
/// # Errors
/// When it cannot be started.
pub(super) fn prepare() -> Result<(), Error> {
    thread().map(drop)
}

/// Work that was begun. Dropped, it is given up.
#[derive(Debug)]
pub(super) struct Begun<T> {
    answer: Receiver<T>,
    task: AbortHandle,
}

/// Begins work on the thread that makes requests.
///
/// # Errors
/// When that cannot be started.
pub(super) fn begin<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Begun<T>, Error> {
    let (answer, wait) = bounded(1);
    let task = thread()?.spawn(async move {
        // Nobody waits for it any more where it was given up.
        let _ = answer.send(work.await);
    });
    Ok(Begun {
        answer: wait,
        task: task.abort_handle(),
    })
}

impl<T> Begun<T> {
    /// Waits for what comes of it.
    ///
    /// # Errors
    /// When it panicked.
    pub(super) fn wait(self) -> Result<T, Error> {
        self.answer
            .recv()
            .map_err(|_| Error::connector("a request to an object store ended before its time"))
    }
}

impl<T> Drop for Begun<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn work_is_waited_for_or_given_up() {
        assert_eq!(begin(async { 7 }).unwrap().wait().unwrap(), 7);
        let kept = Arc::new(());
        let held = Arc::clone(&kept);
        drop(begin(async move {
            pending::<()>().await;
            drop(held);
        }));
        let started = Instant::now();
        while Arc::strong_count(&kept) > 1 {
            assert!(started.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(1));
        }
    }
}
