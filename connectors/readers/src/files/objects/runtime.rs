//! The thread that makes requests.

use std::future::{Future, pending};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select};
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

/// Whether answers are waited for.
#[derive(Debug)]
pub(super) struct Patience {
    /// Gone when they are not.
    lasts: Mutex<Option<Sender<()>>>,
    ended: Receiver<()>,
}

impl Patience {
    pub(super) fn new() -> Self {
        let (lasts, ended) = bounded(0);
        Self {
            lasts: Mutex::new(Some(lasts)),
            ended,
        }
    }

    /// Whoever waits is let go.
    pub(super) fn end(&self) {
        self.lasts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
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
    /// Waits for what comes of it, unless nobody wants it any more.
    ///
    /// # Errors
    /// When it panicked, or was given up.
    pub(super) fn wait(self, patience: &Patience) -> Result<T, Error> {
        let answer = select! {
            recv(self.answer) -> answer => answer.ok(),
            recv(patience.ended) -> _ => None,
        };
        answer.ok_or_else(|| Error::connector("a request to an object store was given up"))
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
        let patience = Patience::new();
        assert_eq!(begin(async { 7 }).unwrap().wait(&patience).unwrap(), 7);
        patience.end();
        assert!(begin(pending::<()>()).unwrap().wait(&patience).is_err());
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
