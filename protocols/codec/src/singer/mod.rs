//! The Singer protocol: lines to messages.

mod classify;
mod envelope;
mod messages;
mod record;

pub use classify::{LineKind, classify};
pub use messages::{
    ActivateVersion, BatchFormat, BatchMessage, Compression, MessageError, SchemaMessage,
    parse_activate_version, parse_batch_message, parse_schema_message, parse_state,
};
pub use record::{Builders, Decoded, LineError};
