//! What went wrong, grouped by what the caller should do.

use std::fmt;
use std::io;

use arrow_schema::ArrowError;
use serde_json::Value;

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The user: what is configured is wrong.
    Config,
    /// The source failed, or gave what it must not give.
    Connector,
    /// The data broke a promise.
    Contract,
    /// The source failed in a way that may pass: the same call may succeed later with nothing changed.
    Temporary,
}

impl Kind {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Connector => "connector",
            Self::Contract => "contract",
            Self::Temporary => "temporary",
        }
    }

    /// The exit code of a program that ends with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Config => 2,
            Self::Connector => 10,
            Self::Contract => 30,
            Self::Temporary => 75,
        }
    }
}

/// An error of a reader. Nothing in it may be a secret or a value of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// Who can mend it.
    pub kind: Kind,
    /// One sentence, no final period.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// Where it happened and with what, for example `stream`, `file`, `line`.
    pub facts: Vec<(String, Value)>,
}

impl Error {
    /// What the user wrote is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// The source failed.
    pub fn connector(message: impl Into<String>) -> Self {
        Self::new(Kind::Connector, message)
    }

    /// The data broke a promise.
    pub fn contract(message: impl Into<String>) -> Self {
        Self::new(Kind::Contract, message)
    }

    /// The source failed in a way that may pass.
    pub fn temporary(message: impl Into<String>) -> Self {
        Self::new(Kind::Temporary, message)
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            facts: Vec::new(),
        }
    }

    /// With what the user can do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a fact.
    pub fn with_fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.push((name.to_owned(), value.into()));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    /// Of the source. What network and disk take back by themselves is temporary.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::*;
        match error.kind() {
            ConnectionRefused | ConnectionReset | ConnectionAborted | HostUnreachable
            | NetworkUnreachable | NetworkDown | TimedOut | ResourceBusy => {
                Self::temporary(error.to_string())
            }
            _ => Self::connector(error.to_string()),
        }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self::connector(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_has_a_line_of_its_own() {
        let error = Error::config("no file").with_hint("mend `path`");
        assert_eq!(error.to_string(), "no file\nhint: mend `path`");
        assert_eq!(Error::contract("broken").to_string(), "broken");
    }

    #[test]
    fn a_network_that_is_away_is_temporary_and_a_missing_file_is_not() {
        let away = Error::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        let missing = Error::from(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(
            (away.kind, missing.kind),
            (Kind::Temporary, Kind::Connector)
        );
    }
}
