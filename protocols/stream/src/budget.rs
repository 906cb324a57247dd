//! How many bytes everything between the input and the consumer may hold.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded number of bytes, shared by the input thread, the decoders and the assembler.
///
/// Only the input thread ever waits. What is made from its chunks (batches, rejects) is charged without waiting: a chunk is
/// charged twice its size while it is in flight, which leaves room for what comes out of it.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    ledger: Mutex<Ledger>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Ledger {
    used: usize,
    waiting: bool,
    closed: bool,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            ledger: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Charges `bytes` and waits until they fit, or until nobody else holds anything: one record larger than the whole budget passes
    /// alone. `on_wait` is called once if there is something to wait for. None when the budget was closed meanwhile.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        bytes: usize,
        on_wait: impl FnOnce(),
    ) -> Option<Permit> {
        let mut permit = self.charge(0);
        permit.grow_by(bytes, on_wait).then_some(permit)
    }

    /// Charges `bytes` without waiting.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Permit {
        self.ledger().used += bytes;
        Permit {
            budget: Arc::clone(self),
            bytes,
        }
    }

    /// Whether the input is held back at this moment.
    pub(crate) fn is_waiting(&self) -> bool {
        self.ledger().waiting
    }

    /// Ends every wait, now and later.
    pub(crate) fn close(&self) {
        self.ledger().closed = true;
        self.freed.notify_all();
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.ledger().used
    }
}

/// Some bytes of a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Permit {
    /// As [`Budget::acquire`], for a holder that needs more. False when the budget was closed meanwhile.
    pub(crate) fn grow_by(&mut self, bytes: usize, on_wait: impl FnOnce()) -> bool {
        let budget = &self.budget;
        let mut on_wait = Some(on_wait);
        loop {
            let mut ledger = budget.ledger();
            let fits =
                |ledger: &Ledger| ledger.used + bytes <= budget.limit || ledger.used == self.bytes;
            if !fits(&ledger) && !ledger.closed {
                ledger.waiting = true;
                if let Some(tell) = on_wait.take() {
                    drop(ledger);
                    tell();
                    continue;
                }
                ledger = budget
                    .freed
                    .wait_while(ledger, |ledger| !fits(ledger) && !ledger.closed)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            ledger.waiting = false;
            if ledger.closed {
                return false;
            }
            ledger.used += bytes;
            self.bytes += bytes;
            return true;
        }
    }

    /// Gives back all but `bytes`; no effect when it holds less.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.give_back(self.bytes - bytes);
        }
    }

    /// Holds exactly `bytes` from now on, without waiting.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.budget.ledger().used += bytes - self.bytes;
            self.bytes = bytes;
        } else {
            self.shrink_to(bytes);
        }
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        let mut ledger = self.budget.ledger();
        ledger.used -= bytes;
        if ledger.waiting {
            drop(ledger);
            self.budget.freed.notify_all();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_request_beyond_the_limit_passes_alone() {
        let budget = Budget::new(10);
        let permit = budget.acquire(100, || panic!("nothing to wait for"));
        assert_eq!(budget.used(), 100);
        drop(permit);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_waiting_request_goes_on_when_bytes_are_given_back() {
        let budget = Budget::new(10);
        let held = budget.charge(8);
        let told = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (budget, told) = (Arc::clone(&budget), Arc::clone(&told));
            thread::spawn(move || {
                budget
                    .acquire(5, || told.store(true, Ordering::SeqCst))
                    .is_some()
            })
        };
        while !told.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(budget.is_waiting());
        drop(held);
        assert!(waiter.join().unwrap());
        assert!(!budget.is_waiting());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn closing_ends_a_wait() {
        let budget = Budget::new(10);
        let _held = budget.charge(8);
        let waiter = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || budget.acquire(5, || {}).is_none())
        };
        while !budget.is_waiting() {
            thread::sleep(Duration::from_millis(1));
        }
        budget.close();
        assert!(waiter.join().unwrap());
    }
}
