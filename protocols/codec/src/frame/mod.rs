//! Frames of the Arrow protocol: a header line, and so many bytes behind it, which are one Arrow IPC stream.

mod encode;
mod guard;
mod schema;

pub use encode::{EncodedFrame, FrameError, FrameKind, encode_frame};
pub use guard::is_guarded;
pub use schema::{SchemaTextError, decode_arrow_schema, encode_arrow_schema};
