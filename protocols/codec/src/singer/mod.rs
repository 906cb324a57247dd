//! The Singer protocol: lines to messages.

mod messages;
mod record;

pub use messages::{
    ActivateVersion, BatchFormat, BatchMessage, Compression, SchemaMessage, parse_activate_version,
    parse_batch_message, parse_schema_message, parse_state,
};
pub use record::SingerRecords;

use crate::lines::MessageKind;

/// The messages other than RECORD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// SCHEMA.
    Schema,
    /// STATE.
    State,
    /// ACTIVATE_VERSION.
    ActivateVersion,
    /// BATCH.
    Batch,
}

impl MessageKind for Message {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("SCHEMA", Self::Schema),
        ("STATE", Self::State),
        ("ACTIVATE_VERSION", Self::ActivateVersion),
        ("BATCH", Self::Batch),
    ];
}
