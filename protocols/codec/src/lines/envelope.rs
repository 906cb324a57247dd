//! The outer object of a message: where its values are, whatever the order of its keys.

use std::ops::Range;

use crate::json::{Broken, Cursor};

/// Where the values of a message's keys are. The last one counts, as in any JSON parser.
pub(crate) struct Envelope<const N: usize> {
    pub values: [Option<Range<usize>>; N],
    /// The value at which the object broke, and where it starts, if it is one of those wanted.
    pub open: Option<(usize, usize)>,
}

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is not JSON.
    #[error("{message} message is not JSON: {reason} at byte {offset}")]
    NotJson {
        /// SCHEMA, STATE, …
        message: &'static str,
        /// What was expected.
        reason: &'static str,
        /// 0-based, from the start of the line.
        offset: usize,
    },
    /// A key is missing, or of the wrong type.
    #[error("{message} message: `{key}` is missing or is not {expected}")]
    Key {
        /// SCHEMA, STATE, …
        message: &'static str,
        /// The key.
        key: &'static str,
        /// Such as `a string`.
        expected: &'static str,
    },
}

impl<const N: usize> Envelope<N> {
    /// Reads all of `line`. On [`Broken`], the values found before it are there, and the offset is given.
    pub(crate) fn read(line: &[u8], keys: [&str; N]) -> (Self, Result<(), (Broken, usize)>) {
        let mut envelope = Self {
            values: [const { None }; N],
            open: None,
        };
        let mut at = Cursor::new(line, 0);
        let result = envelope
            .fill(&mut at, keys)
            .map_err(|broken| (broken, at.pos));
        (envelope, result)
    }

    fn fill(&mut self, at: &mut Cursor<'_>, keys: [&str; N]) -> Result<(), Broken> {
        let mut scratch = Vec::new();
        at.skip_space();
        at.expect(b'{', Broken::ExpectedObject)?;
        at.skip_space();
        if at.byte() != b'}' {
            loop {
                let key = at.key()?;
                // A name that is no text cannot be one of ours.
                let name = key.span.text(&mut scratch).ok();
                let place =
                    name.and_then(|name| keys.iter().position(|key| key.as_bytes() == name));
                let start = at.pos;
                self.open = place.map(|place| (place, start));
                at.skip_record()?;
                self.open = None;
                if let Some(place) = place {
                    self.values[place] = Some(start..at.pos);
                }
                at.skip_space();
                match at.byte() {
                    b',' => at.pos += 1,
                    b'}' => break,
                    _ => return Err(Broken::ExpectedCommaOrBrace),
                }
                at.skip_space();
            }
        }
        at.pos += 1;
        at.expect_end()
    }

    /// [`Self::read`] for a message of which all must be JSON.
    pub(crate) fn message(
        line: &[u8],
        message: &'static str,
        keys: [&str; N],
    ) -> Result<Self, MessageError> {
        let (envelope, result) = Self::read(line, keys);
        result.map_err(|(broken, offset)| MessageError::NotJson {
            message,
            reason: broken.text(),
            offset,
        })?;
        Ok(envelope)
    }

    /// The bytes of a value.
    pub(crate) fn bytes<'l>(&self, line: &'l [u8], place: usize) -> Option<&'l [u8]> {
        self.values[place].clone().map(|range| &line[range])
    }

    /// The text of a value, if it is a valid string.
    pub(crate) fn string(&self, line: &[u8], place: usize) -> Option<String> {
        string_value(self.bytes(line, place)?)
    }

    /// A value, if it is an integer.
    pub(crate) fn integer(&self, line: &[u8], place: usize) -> Option<i64> {
        integer_value(self.bytes(line, place)?)
    }
}

/// The text of a JSON string.
pub(crate) fn string_value(json: &[u8]) -> Option<String> {
    if json.first() != Some(&b'"') {
        return None;
    }
    let mut scratch = Vec::new();
    let text = Cursor::new(json, 0)
        .string()
        .ok()?
        .text(&mut scratch)
        .ok()?
        .to_vec();
    String::from_utf8(text).ok()
}

/// The value of a JSON number that is an integer.
pub(crate) fn integer_value(json: &[u8]) -> Option<i64> {
    crate::json::Number::parse(json)?.to_i64().ok()
}

/// The bytes of the elements of a JSON array; `None` when it is none.
pub(crate) fn elements(json: &[u8]) -> Option<Vec<&[u8]>> {
    let mut at = Cursor::new(json, 0);
    let mut found = Vec::new();
    at.skip_space();
    at.expect(b'[', Broken::ExpectedValue).ok()?;
    at.skip_space();
    if at.byte() == b']' {
        at.pos += 1;
        at.expect_end().ok()?;
        return Some(found);
    }
    loop {
        let start = at.pos;
        at.skip_record().ok()?;
        found.push(&json[start..at.pos]);
        at.skip_space();
        match at.byte() {
            b',' => at.pos += 1,
            b']' => break,
            _ => return None,
        }
        at.skip_space();
    }
    at.pos += 1;
    at.expect_end().ok()?;
    Some(found)
}
