//! What ends a stream before its end.

use dativo_codec::canonical::CanonicalError;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The connector broke its protocol, or its output cannot be read.
    Protocol,
    /// A bad value or a broken record, and `on_bad_value` is `fail`.
    Contract,
    /// A choice of the job does not fit what the connector sends.
    Config,
    /// A defect of this program.
    Bug,
}

/// Why decoding stopped, and where. Holds no value of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// One sentence, no final period; says where.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// The stream, where it is known.
    pub stream: Option<String>,
    /// 1-based line of the connector's output.
    pub line: Option<u64>,
    /// The column, where one cell is to blame.
    pub column: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            stream: None,
            line: None,
            column: None,
        }
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Protocol, message)
    }

    /// What a decoder that was closed before its end fails with.
    pub fn closed() -> Self {
        Self::protocol("the decoder was closed before the end of its input")
    }

    /// What a panic of one of the threads becomes.
    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Self::new(FailureKind::Bug, format!("the decoder panicked: {text}"))
    }

    /// What Arrow data fail with that have no canonical form.
    pub fn uncanonical(error: CanonicalError) -> Self {
        let message = error.to_string();
        match error {
            CanonicalError::Lossy { column, hint, .. } => Self {
                column: Some(column),
                hint,
                ..Self::new(FailureKind::Contract, message)
            },
            CanonicalError::TooLarge(column) => Self {
                column: Some(column),
                hint: Some("send fewer rows in a batch".to_owned()),
                ..Self::new(FailureKind::Contract, message)
            },
            CanonicalError::Impossible { column, .. } => Self {
                column: Some(column),
                ..Self::new(FailureKind::Config, message)
            },
            CanonicalError::DuplicateColumn(column) => Self {
                column: Some(column),
                ..Self::protocol(message)
            },
            CanonicalError::Broken(_) => Self::protocol(message),
        }
    }

    pub(crate) fn at(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    pub(crate) fn of(mut self, stream: impl ToString) -> Self {
        self.stream = Some(stream.to_string());
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
