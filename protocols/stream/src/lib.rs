//! A byte stream of messages to ordered batches and states.
//!
//! ```text
//! fd ── input thread: chunks of whole lines, or frames; RECORDs in runs, all else where it stands (input, sequencer)
//!         │ tasks                      │ items, in order
//!       decoder threads (work) ─ parts ┴► consumer, in `Decoder::next`: joins small batches, keeps states barriers (assembler)
//! ```
//!
//! All that is between the input and the consumer shares one budget of bytes; when it is used up, the input thread stops reading.

mod airbyte;
mod assembler;
mod budget;
mod chunk;
mod configs;
mod decoder;
mod event;
mod failure;
mod frames;
mod input;
mod noise;
mod options;
mod prefix;
mod records;
mod sequencer;
mod singer;
mod work;

pub use airbyte::AirbyteInput;
pub use configs::NewConfigs;
pub use decoder::{Closer, Counters, Decoder, Next};
pub use event::{Event, Level, UNKNOWN_STREAM};
pub use failure::{Failure, FailureKind};
pub use options::Options;
