//! What a reader gives.

use arrow_array::RecordBatch;

use crate::{State, StreamId};

/// Rows of one stream, or rows that could not be read as rows of their stream and are not to be lost.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Their stream.
    pub stream: StreamId,
    /// Which of the two.
    pub kind: PieceKind,
    /// For rejects, with the columns of [`crate::rejects_schema`].
    pub data: RecordBatch,
}

/// What the rows of a piece are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// Rows of the stream.
    Batch,
    /// Rejected records.
    Rejects,
}

impl PieceKind {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Rejects => "rejects",
        }
    }
}

impl Piece {
    /// Rows of a stream.
    pub fn batch(stream: impl Into<StreamId>, data: RecordBatch) -> Self {
        Self {
            stream: stream.into(),
            kind: PieceKind::Batch,
            data,
        }
    }

    /// Rejected records of a stream, from [`crate::RejectsBuilder::finish`].
    pub fn rejects(stream: impl Into<StreamId>, data: RecordBatch) -> Self {
        Self {
            stream: stream.into(),
            kind: PieceKind::Rejects,
            data,
        }
    }
}

/// A part of what is to be read.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Handed to another reader of the same type as [`crate::ReadCatalog::partition`]; it may run in another process.
    pub token: Vec<u8>,
    /// Covers this part and all parts before it; `None` where none does.
    pub state: Option<State>,
}

/// About how much there is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The stream meant; `None` for all.
    pub stream: Option<StreamId>,
    /// Rows, where known.
    pub rows: Option<u64>,
    /// Bytes, where known.
    pub bytes: Option<u64>,
}
