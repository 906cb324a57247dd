//! Files, wherever they are: which ones there are, their bytes as text, and which were read before.

mod block;
mod history;
mod local;
mod objects;
mod opening;
mod pattern;
mod place;

pub(crate) use block::lines;
pub use block::{Block, Feed};
pub use history::{History, Position};
pub(crate) use local::failed;
pub use objects::StorageOptions;
pub(crate) use objects::{Asked, Bucket};
pub use opening::{Compression, Encoding, open};
pub use place::{Entry, Opening, Place, Places};
