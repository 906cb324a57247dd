//! What a job chooses about the reading of a stream.

use std::collections::{HashMap, HashSet};

/// What objects and arrays of known types become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Nested {
    /// JSON text, exactly as sent.
    #[default]
    Json,
    /// Structs and lists. A property outside a nested object's schema does not vanish: the whole top-level cell is kept,
    /// as sent, in `_dativo_extra` under the column's name, beside the struct (unless extra properties are dropped).
    Struct,
}

/// What becomes of properties outside the schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extra {
    /// Kept in `_dativo_extra`.
    #[default]
    Keep,
    /// Dropped.
    Drop,
}

/// What becomes of a row with a cell that does not fit its column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBadValue {
    /// The record goes to the rejects batch.
    #[default]
    Quarantine,
    /// The cell becomes null and `_dativo_changes` says so; a primary key cannot be nulled, so that record is rejected.
    Null,
    /// [`crate::PushError::Bad`].
    Fail,
}

/// Which columns a row gets beside its record's, from what its line says about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `_dativo_extracted_at`, timestamp[us, UTC]: Singer's `time_extracted`, Airbyte's `emitted_at`; null where that is absent or
    /// cannot be read.
    pub extracted_at: bool,
    /// `_dativo_version`, int64: Singer's `version`. A batch of which no row has one goes without the column.
    pub version: bool,
}

/// Choices for [`crate::StreamPlan::compile`].
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// What objects and arrays become.
    pub nested: Nested,
    /// What becomes of properties outside the schema.
    pub extra: Extra,
    /// What becomes of bad cells.
    pub on_bad_value: OnBadValue,
    /// Properties to keep; others that the schema knows are skipped. Key properties are always kept. `None` keeps all.
    pub fields: Option<HashSet<String>>,
    /// Whether key properties may be null or absent, as others may.
    pub nullable_keys: bool,
    /// Columns beside those of the record.
    pub metadata: Metadata,
    /// Types that beat the schema, by column: `int64`, `float64`, `bool`, `string` (takes numbers and booleans as their exact
    /// text), `json`, `date`, `timestamp`, `time`, `binary`, `decimal(p,s)`.
    pub types: HashMap<String, String>,
}
