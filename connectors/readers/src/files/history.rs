//! Which files were read before: the state of a stream.

use serde::{Deserialize, Serialize};

use super::listing::Entry;

/// What was read of a stream: every file changed before `until`, those of that moment which are named, and a part of one.
///
/// Files are read in the order of their last change. One that is changed again is read again, whole. One that appears later with
/// an older time of change is not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Microseconds since 1970; none for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    /// Paths of the files changed at `until` that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    at: Vec<String>,
    /// Where in the next file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
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
    /// Bytes read; of Parquet, row groups.
    pub offset: u64,
    /// Lines read.
    #[serde(default)]
    pub line: u64,
}

impl History {
    /// The files that are to be read, in order.
    pub fn unread(&self, mut files: Vec<Entry>) -> Vec<Entry> {
        files.retain(|file| match self.until {
            None => true,
            Some(until) => {
                file.modified > until || (file.modified == until && !self.at.contains(&file.path))
            }
        });
        files
            .sort_by(|left, right| (left.modified, &left.path).cmp(&(right.modified, &right.path)));
        files
    }

    /// Where to go on in a file; `None` for its beginning: also when it was changed since.
    pub fn position(&self, file: &Entry) -> Option<&Position> {
        let position = self.position.as_ref()?;
        let same = position.path == file.path
            && position.modified == file.modified
            && position.size == file.size;
        same.then_some(position)
    }

    /// All of a file was read.
    pub fn finished(&mut self, file: &Entry) {
        if self.until != Some(file.modified) {
            self.until = Some(file.modified);
            self.at.clear();
        }
        self.at.push(file.path.clone());
        self.position = None;
    }

    /// A part of a file was read.
    pub fn reached(&mut self, file: &Entry, offset: u64, line: u64) {
        let Entry {
            path,
            size,
            modified,
        } = file.clone();
        self.position = Some(Position {
            path,
            modified,
            size,
            offset,
            line,
        });
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
}
