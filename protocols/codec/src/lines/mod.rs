//! What lines of messages have in common, whatever the protocol.

mod builders;
mod classify;
mod envelope;
mod opening;

pub(crate) use builders::Parts;
pub use builders::{Builders, Decoded, LineError, RecordFormat};
pub use classify::{LineKind, MessageKind, classify};
pub use envelope::MessageError;
pub(crate) use envelope::{Envelope, elements, integer_value, string_value};
pub(crate) use opening::{Head, Named, Opening, next_key, plain_text, values_before};
