//! Which stream a message belongs to.

use std::fmt;
use std::sync::Arc;

/// A stream's identity: one name in two namespaces is two streams. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
}

impl StreamId {
    /// A stream in a namespace, or in none.
    pub fn new(name: impl Into<Arc<str>>, namespace: Option<&str>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.map(Arc::from),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

impl From<&str> for StreamId {
    fn from(name: &str) -> Self {
        Self::new(name, None)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}.")?;
        }
        formatter.write_str(&self.name)
    }
}
