//! How RECORD lines begin: alike, but for the name of the stream.

use std::ops::Range;
use std::sync::Arc;

use crate::json::{Broken, Cursor, plain_run};
use crate::stream_id::StreamId;

/// Where a RECORD line says its namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Named {
    /// Behind the record, if at all.
    #[default]
    Behind,
    /// Before the record; `null` is none.
    Before(Option<Arc<str>>),
}

impl Named {
    /// Whether a line with this namespace before its record can be one of `stream`.
    #[inline]
    pub(crate) fn admits(&self, stream: &StreamId) -> bool {
        match self {
            Self::Behind => true,
            Self::Before(namespace) => namespace.as_deref() == stream.namespace(),
        }
    }
}

/// What stands before the record of a line.
#[derive(Debug)]
pub struct Head {
    /// The name of the stream, without its quotes; no escapes in it.
    pub(crate) name: Range<usize>,
    pub(crate) named: Named,
    /// Something that [`crate::Stamps`] tell stands before the record.
    pub(crate) stamped: bool,
    /// Where the record starts.
    pub(crate) record: usize,
}

/// Remembers what lines have before the stream's name, and between it and the record.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    before: Vec<u8>,
    between: Vec<u8>,
    pub named: Named,
    pub stamped: bool,
}

impl Opening {
    /// The stream's name and the start of the record, where the line begins like the ones before.
    #[inline]
    pub(crate) fn name<'l>(&self, line: &'l [u8]) -> Option<(&'l [u8], usize)> {
        if self.between.is_empty() || !line.starts_with(&self.before) {
            return None;
        }
        let start = self.before.len();
        let (end, _) = plain_run(line, start);
        if !line[end..].starts_with(&self.between) {
            return None;
        }
        let record = end + self.between.len();
        (line.get(record) == Some(&b'{')).then_some((&line[start..end], record))
    }

    pub(crate) fn learn(&mut self, line: &[u8], head: &Head) {
        self.before.clear();
        self.before.extend_from_slice(&line[..head.name.start]);
        self.between.clear();
        self.between
            .extend_from_slice(&line[head.name.end..head.record]);
        self.named.clone_from(&head.named);
        self.stamped = head.stamped;
    }
}

/// Reads the object at the cursor up to the object that is the value of the key `until`, where it stops; gives where the values of `keys` are.
/// `None` when there is no such key, or anything unusual before it.
pub(crate) fn values_before<const N: usize>(
    at: &mut Cursor<'_>,
    keys: [&str; N],
    until: &str,
) -> Option<[Option<Range<usize>>; N]> {
    let mut values = [const { None }; N];
    at.skip_space();
    if at.byte() != b'{' {
        return None;
    }
    loop {
        at.pos += 1;
        at.skip_space();
        let key = at.key().ok()?;
        if key.span.escaped {
            return None;
        }
        if key.span.raw == until.as_bytes() {
            return (at.byte() == b'{').then_some(values);
        }
        let start = at.pos;
        at.skip().ok()?;
        if let Some(place) = keys.iter().position(|name| name.as_bytes() == key.span.raw) {
            if values[place].is_some() {
                return None;
            }
            values[place] = Some(start..at.pos);
        }
        at.skip_space();
        if at.byte() != b',' {
            return None;
        }
    }
}

/// What is between the quotes of a string without escapes.
pub(crate) fn plain_text(line: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    let inner = value.start + 1..value.end.checked_sub(1)?;
    let text = line.get(inner.clone())?;
    (line[value.start] == b'"' && !text.contains(&b'\\')).then_some(inner)
}

/// From behind a value to the next value of the same object; `None` behind the object's end. Names with escapes could be any.
#[inline]
pub(crate) fn next_key<'l>(at: &mut Cursor<'l>) -> Result<Option<&'l [u8]>, Broken> {
    at.skip_space();
    match at.byte() {
        b'}' => {
            at.pos += 1;
            return Ok(None);
        }
        b',' => at.pos += 1,
        _ => return Err(Broken::ExpectedCommaOrBrace),
    }
    at.skip_space();
    let key = at.key()?;
    if key.span.escaped {
        return Err(Broken::BadName);
    }
    Ok(Some(key.span.raw))
}
