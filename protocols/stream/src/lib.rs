//! A byte stream of messages to ordered batches and states: threads, memory budget, barriers.
