//! Frames of the Arrow protocol: a header line, and so many bytes behind it, which are one Arrow IPC stream.

mod decode;
mod encode;
mod guard;
mod header;
mod own;
mod schema;

pub use decode::{
    PayloadError, counted, decode_payload, first_reject, read_schema, rejects_of, schema_message,
};
pub use encode::{EncodedFrame, FrameError, FrameKind, encode_frame};
pub use guard::is_guarded;
pub use header::{FrameHeader, parse_frame_header};
pub use schema::{SchemaTextError, decode_arrow_schema, encode_arrow_schema};
