//! What stands before the first record of a file: the names of its columns.

use std::collections::HashSet;
use std::io;

use super::column::Rules;
use super::config::StreamConfig;
use super::index::{Index, LONGEST, Stop, Walk, unescape};
use crate::files::Feed;

/// The columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Their names, each once.
    pub names: Vec<String>,
    /// Records may end with a delimiter that starts no field.
    pub trailing: bool,
}

fn wrong(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

impl Head {
    /// Reads it, and passes over it; `None` where the file is empty.
    ///
    /// # Errors
    /// When the file cannot be read, or its header is none.
    pub(super) fn read(
        feed: &mut Feed,
        config: &StreamConfig,
        rules: &Rules,
    ) -> io::Result<Option<Self>> {
        for _ in 0..config.skip_rows.unwrap_or(0) {
            skip_line(feed, rules.dialect.end)?;
        }
        let header = config.header.unwrap_or(true);
        if let (false, Some(names)) = (header, &config.columns) {
            return Ok(Some(Self {
                names: names.clone(),
                trailing: false,
            }));
        }
        let Some((fields, len)) = first_record(feed, rules)? else {
            return Ok(None);
        };
        if header {
            feed.skip(len);
        }
        if let Some(names) = &config.columns {
            return Ok(Some(Self {
                names: names.clone(),
                trailing: false,
            }));
        }
        if !header {
            let names = (1..=fields.len())
                .map(|number| format!("column_{number}"))
                .collect();
            return Ok(Some(Self {
                names,
                trailing: false,
            }));
        }
        let mut names = Vec::with_capacity(fields.len());
        for field in fields {
            names.push(
                String::from_utf8(field).map_err(|_| wrong("the header is not valid UTF-8"))?,
            );
        }
        let trailing = names.len() > 1
            && names.last().is_some_and(String::is_empty)
            && first_record(feed, rules)?.is_none_or(|(fields, _)| {
                fields.len() < names.len() || fields.last().is_some_and(Vec::is_empty)
            });
        if trailing {
            names.pop();
        }
        Ok(Some(Self {
            names: distinct(names),
            trailing,
        }))
    }
}

/// The next record's fields, and how long it is with its end; `None` at the end of the text.
fn first_record(feed: &mut Feed, rules: &Rules) -> io::Result<Option<(Vec<Vec<u8>>, usize)>> {
    let mut wanted = 64 * 1024;
    loop {
        let (text, ended) = feed.peek(wanted)?;
        if text.len() > LONGEST {
            return Err(wrong("the first record is longer than a gibibyte"));
        }
        let mut index = Index::default();
        let stop = Walk::new(text, rules.dialect, ended).records(1, None, &mut index);
        if let (Stop::Open(_), false) = (stop, ended) {
            wanted = text.len() * 2;
            continue;
        }
        if !index.broken.is_empty() {
            return Err(wrong(
                "the first record has a quote that is never closed, or text behind one",
            ));
        }
        if index.rows.is_empty() {
            return Ok(None);
        }
        let field = |cell: &super::index::Cell| {
            let mut value = Vec::new();
            if cell.is_escaped() {
                unescape(cell.bytes(text), &rules.dialect, &mut value);
            } else {
                value.extend_from_slice(cell.bytes(text));
            }
            value
        };
        let len = if let Stop::Full(at) = stop {
            at
        } else {
            text.len()
        };
        return Ok(Some((index.cells.iter().map(field).collect(), len)));
    }
}

fn skip_line(feed: &mut Feed, end: u8) -> io::Result<()> {
    let mut wanted = 1;
    loop {
        let (text, ended) = feed.peek(wanted)?;
        match memchr::memchr(end, text) {
            Some(at) => {
                feed.skip(at + 1);
                return Ok(());
            }
            None if ended => {
                let len = text.len();
                feed.skip(len);
                return Ok(());
            }
            None => wanted = text.len() * 2,
        }
    }
}

/// Each name once: a column without one is called by its number, one whose name is taken gets a number behind it.
fn distinct(names: Vec<String>) -> Vec<String> {
    let all: HashSet<String> = names.iter().cloned().collect();
    let mut taken = HashSet::new();
    let mut result = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        let base = if name.is_empty() {
            format!("column_{}", at + 1)
        } else {
            name.clone()
        };
        let mut own = base.clone();
        let mut number = 2;
        while taken.contains(&own) || (own != name && all.contains(&own)) {
            own = format!("{base}_{number}");
            number += 1;
        }
        taken.insert(own.clone());
        result.push(own);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str, config: &StreamConfig) -> (Option<Head>, String) {
        let mut feed = Feed::new(
            Box::new(io::Cursor::new(text.to_owned().into_bytes())),
            0,
            0,
        );
        let head = Head::read(&mut feed, config, &config.rules().unwrap()).unwrap();
        (
            head,
            String::from_utf8(feed.peek(1000).unwrap().0.to_vec()).unwrap(),
        )
    }

    fn names(text: &str, config: &StreamConfig) -> (Vec<String>, String) {
        let (head, rest) = head(text, config);
        (head.unwrap().names, rest)
    }

    #[test]
    fn the_first_record_names_the_columns() {
        let plain = StreamConfig::default();
        assert_eq!(
            names("a,\"b\nc\"\r\n1,2\n", &plain),
            (vec!["a".to_owned(), "b\nc".to_owned()], "1,2\n".to_owned())
        );
        assert_eq!(
            names("a,a,,a_2,\n", &plain).0,
            ["a", "a_3", "column_3", "a_2"]
        );
        assert_eq!(
            names(
                "x\n1\n",
                &StreamConfig {
                    skip_rows: Some(1),
                    ..plain.clone()
                }
            )
            .0,
            ["1"]
        );
        assert_eq!(head("", &plain).0, None);
    }

    #[test]
    fn names_can_be_given_or_counted() {
        let config = StreamConfig {
            header: Some(false),
            ..StreamConfig::default()
        };
        assert_eq!(
            names("1,2\n", &config),
            (
                vec!["column_1".to_owned(), "column_2".to_owned()],
                "1,2\n".to_owned()
            )
        );
        let config = StreamConfig {
            columns: Some(vec!["x".to_owned()]),
            ..StreamConfig::default()
        };
        assert_eq!(
            names("a\n1\n", &config),
            (vec!["x".to_owned()], "1\n".to_owned())
        );
    }

    #[test]
    fn a_delimiter_at_the_end_of_the_header_is_no_column_unless_records_have_one() {
        let plain = StreamConfig::default();
        assert_eq!(
            head("a,b,\n1,2,\n", &plain).0,
            Some(Head {
                names: vec!["a".to_owned(), "b".to_owned()],
                trailing: true
            })
        );
        assert_eq!(names("a,\n1,2\n", &plain).0, ["a", "column_2"]);
    }
}
