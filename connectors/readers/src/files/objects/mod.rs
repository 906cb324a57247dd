//! Objects in buckets: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//!
//! Readers are threads that wait; requests are made by one thread of the process (`runtime`), which any number of them ask.
//! A text comes in ranges that are asked for ahead (`ahead`). Each request names the version that was found first, so that what
//! is read of an object is of one version, or an error.

mod ahead;
mod bucket;
mod connect;
mod failure;
mod options;
mod runtime;
mod url;

pub use ahead::FirstBytes;
pub(crate) use bucket::{Asked, Bucket};
pub use options::StorageOptions;
pub(super) use url::Url;
