//! Files, wherever they are: which ones there are, their bytes as text, and which were read before.

mod block;
mod history;
mod listing;
mod opening;
mod pattern;

pub(crate) use block::lines;
pub use block::{Block, Feed};
pub use history::{History, Position};
pub(crate) use listing::failed;
pub use listing::{Entry, Place};
pub use opening::{Compression, Encoding, open};
