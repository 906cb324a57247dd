//! Whole lines of input in buffers that are used again.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::Permit;

/// Buffers kept for the next chunk. More than a few are never free at once: the budget bounds those in flight.
const KEPT: usize = 8;

/// Free buffers of one size.
#[derive(Debug)]
pub(crate) struct Pool {
    capacity: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            free: Mutex::default(),
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// An empty buffer of at least the pool's capacity.
    pub(crate) fn take(&self) -> Vec<u8> {
        let reused = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        reused.unwrap_or_else(|| Vec::with_capacity(self.capacity))
    }

    /// Keeps a buffer for later, unless it grew, for a very long line must not hold its memory for the rest of the run, or was never
    /// one of these.
    fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() > self.capacity * 2 || buffer.capacity() < self.capacity {
            return;
        }
        buffer.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(buffer);
        }
    }
}

/// Complete lines, or a frame, and the bytes of the budget they hold. Shared by the tasks made from it.
#[derive(Debug)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
    is_frame: bool,
    _permit: Permit,
}

impl Chunk {
    pub(crate) fn new(bytes: Vec<u8>, pool: Arc<Pool>, permit: Permit) -> Self {
        Self {
            bytes,
            pool,
            is_frame: false,
            _permit: permit,
        }
    }

    /// A frame alone, which whoever decodes it takes as it is.
    pub(crate) fn frame(bytes: Vec<u8>, pool: Arc<Pool>, permit: Permit) -> Self {
        Self {
            bytes,
            pool,
            is_frame: true,
            _permit: permit,
        }
    }

    /// The bytes of a frame that is alone, if nobody else has it; the chunk still holds their budget.
    pub(crate) fn take(this: &mut Arc<Self>) -> Option<Vec<u8>> {
        let chunk = Arc::get_mut(this).filter(|chunk| chunk.is_frame)?;
        Some(std::mem::take(&mut chunk.bytes))
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}
