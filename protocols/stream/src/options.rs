//! What a job chooses about decoding.

use std::collections::{HashMap, HashSet};

use dativo_codec::{Extra, Metadata, Nested, OnBadValue, PlanOptions, StreamId};

/// Choices for a [`crate::Decoder`].
#[derive(Debug, Clone)]
pub struct Options {
    /// What becomes of bad cells and broken records.
    pub on_bad_value: OnBadValue,
    /// What objects and arrays become.
    pub nested: Nested,
    /// What becomes of properties outside the schema.
    pub extra: Extra,
    /// Columns beside those of the record.
    pub metadata: Metadata,
    /// Properties to keep, by stream; a stream that is missing keeps all.
    pub fields: HashMap<StreamId, HashSet<String>>,
    /// Types that beat the schema, by stream and column.
    pub types: HashMap<StreamId, HashMap<String, String>>,
    /// A longer line is an error, in bytes.
    pub max_record_bytes: usize,
    /// For everything between the input and the consumer, in bytes.
    pub memory_budget_bytes: usize,
    /// Threads that decode; 0 takes as many as there are cores, but not more than four.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            on_bad_value: OnBadValue::default(),
            nested: Nested::default(),
            extra: Extra::default(),
            metadata: Metadata::default(),
            fields: HashMap::new(),
            types: HashMap::new(),
            max_record_bytes: 128 << 20,
            memory_budget_bytes: 96 << 20,
            threads: 0,
        }
    }
}

impl Options {
    /// The codec's options for one stream.
    pub(crate) fn plan(&self, stream: &StreamId) -> PlanOptions {
        PlanOptions {
            nested: self.nested,
            extra: self.extra,
            on_bad_value: self.on_bad_value,
            metadata: self.metadata,
            fields: self.fields.get(stream).cloned(),
            types: self.types.get(stream).cloned().unwrap_or_default(),
            ..PlanOptions::default()
        }
    }

    pub(crate) fn decoder_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            threads => threads,
        }
    }

    /// Bytes of input a task takes when the source is fast: small beside the budget, so that several can be in flight.
    pub(crate) fn chunk_bytes(&self) -> usize {
        (self.memory_budget_bytes / 24).clamp(64 << 10, 4 << 20)
    }
}
