//! The outer object of a message: where its values are, whatever the order of its keys.

use std::ops::Range;

use crate::json::{Broken, Cursor};

/// Where the values of a message's keys are. The last one counts, as in any JSON parser.
pub(super) struct Envelope<const N: usize> {
    pub values: [Option<Range<usize>>; N],
}

impl<const N: usize> Envelope<N> {
    /// Reads all of `line`. On [`Broken`], the values found before it are there, and the offset is given.
    pub(super) fn read(line: &[u8], keys: [&str; N]) -> (Self, Result<(), (Broken, usize)>) {
        let mut envelope = Self {
            values: [const { None }; N],
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
                at.skip_record()?;
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

    /// The bytes of a value.
    pub(super) fn bytes<'l>(&self, line: &'l [u8], place: usize) -> Option<&'l [u8]> {
        self.values[place].clone().map(|range| &line[range])
    }

    /// The text of a value, if it is a valid string.
    pub(super) fn string(&self, line: &[u8], place: usize) -> Option<String> {
        string_value(self.bytes(line, place)?)
    }

    /// A value, if it is an integer.
    pub(super) fn integer(&self, line: &[u8], place: usize) -> Option<i64> {
        integer_value(self.bytes(line, place)?)
    }
}

/// The text of a JSON string.
pub(super) fn string_value(json: &[u8]) -> Option<String> {
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
pub(super) fn integer_value(json: &[u8]) -> Option<i64> {
    crate::json::Number::parse(json)?.to_i64().ok()
}
