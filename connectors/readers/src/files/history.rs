//! Which files were read before: the state of a stream.

use serde::{Deserialize, Serialize};

use super::place::Entry;

/// What was read of a stream: every file changed before `until`, those of that moment which are named, and a part of one.
///
/// Files are read in the order of their last change. One that is changed again is read again, whole. One that appears later with
/// an older time of change is not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Microseconds since 1970; none for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    /// The files changed at `until` that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    at: Vec<Seen>,
    /// Where in the next file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Seen {
    /// Of this machine.
    Path(String),
    /// An object, which may be changed twice within a second, and then says the same time.
    Object {
        /// Its URL.
        path: String,
        /// What its store called this version of it.
        tag: String,
    },
}

impl Seen {
    fn of(file: &Entry) -> Self {
        let path = file.path.clone();
        match &file.tag {
            None => Self::Path(path),
            Some(tag) => Self::Object {
                path,
                tag: tag.clone(),
            },
        }
    }
}

/// A place between two records of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its path.
    pub path: String,
    /// When it was changed last.
    pub modified: i64,
    /// Its size.
    pub size: u64,
    /// Of an object, what its store called this version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Bytes read; of Parquet, row groups.
    pub offset: u64,
    /// Lines read.
    #[serde(default)]
    pub line: u64,
}

impl Position {
    /// A place in a file.
    pub fn of(file: &Entry, offset: u64, line: u64) -> Self {
        let Entry {
            path,
            size,
            modified,
            tag,
        } = file.clone();
        Self {
            path,
            modified,
            size,
            tag,
            offset,
            line,
        }
    }

    /// Whether it is one of this file, as it is.
    pub fn is_in(&self, file: &Entry) -> bool {
        self.path == file.path
            && self.modified == file.modified
            && self.size == file.size
            && self.tag == file.tag
    }
}

impl History {
    /// The files that are to be read, in order.
    pub fn unread(&self, mut files: Vec<Entry>) -> Vec<Entry> {
        files.retain(|file| match self.until {
            None => true,
            Some(until) => {
                file.modified > until
                    || (file.modified == until && !self.at.contains(&Seen::of(file)))
            }
        });
        files
            .sort_by(|left, right| (left.modified, &left.path).cmp(&(right.modified, &right.path)));
        files
    }

    /// Where to go on in a file; `None` for its beginning: also when it was changed since.
    pub fn position(&self, file: &Entry) -> Option<&Position> {
        let position = self.position.as_ref()?;
        position.is_in(file).then_some(position)
    }

    /// All of a file was read.
    pub fn finished(&mut self, file: &Entry) {
        if self.until != Some(file.modified) {
            self.until = Some(file.modified);
            self.at.clear();
        }
        self.at.push(Seen::of(file));
        self.position = None;
    }

    /// A part of a file was read.
    pub fn reached(&mut self, file: &Entry, offset: u64, line: u64) {
        self.position = Some(Position::of(file, offset, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, modified: i64) -> Entry {
        Entry {
            path: path.to_owned(),
            size: 10,
            modified,
            tag: None,
        }
    }

    fn object(path: &str, modified: i64, tag: &str) -> Entry {
        Entry {
            tag: Some(tag.to_owned()),
            ..file(path, modified)
        }
    }

    fn paths(files: &[Entry]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn what_was_read_is_not_read_again_unless_it_changed() {
        let mut history = History::default();
        let files = vec![file("a", 5), file("b", 3), file("c", 5)];
        let todo = history.unread(files.clone());
        assert_eq!(paths(&todo), ["b", "a", "c"]);
        history.finished(&todo[0]);
        history.finished(&todo[1]);
        assert_eq!(paths(&history.unread(files.clone())), ["c"]);
        history.finished(&todo[2]);
        assert!(history.unread(files).is_empty());
        assert_eq!(
            paths(&history.unread(vec![file("a", 5), file("b", 6), file("d", 5)])),
            ["d", "b"]
        );
    }

    #[test]
    fn a_part_goes_on_only_in_the_same_file() {
        let mut history = History::default();
        history.reached(&file("a", 5), 7, 2);
        let text = serde_json::to_string(&history).unwrap();
        let history: History = serde_json::from_str(&text).unwrap();
        assert_eq!(
            history
                .position(&file("a", 5))
                .map(|at| (at.offset, at.line)),
            Some((7, 2))
        );
        assert_eq!(history.position(&file("a", 6)), None);
        assert_eq!(history.position(&file("b", 5)), None);
    }
    #[test]
    fn an_object_that_changed_within_a_second_is_another() {
        let mut history = History::default();
        history.reached(&object("a", 5, "x"), 7, 2);
        assert_eq!(history.position(&object("a", 5, "y")), None);
        history.finished(&object("a", 5, "x"));
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(text, r#"{"until":5,"at":[{"path":"a","tag":"x"}]}"#);
        let history: History = serde_json::from_str(&text).unwrap();
        assert!(history.unread(vec![object("a", 5, "x")]).is_empty());
        assert_eq!(history.unread(vec![object("a", 5, "y")]).len(), 1);
    }
}
