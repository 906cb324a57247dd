//! Property names to columns.
//!
//! Records of a stream have their properties in the same order, so the reader remembers which bytes came between one value and
//! the next — comma, white space, name, colon — and compares them as they are. Only where they differ is the name looked up.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::json::{Broken, Cursor, Key, unescape};

/// Instead of a slot: no property was read yet.
pub(crate) const START: usize = usize::MAX - 1;
/// Instead of a slot: the object has ended.
pub(crate) const END: usize = usize::MAX;

/// After so many properties left out, looking the name up is cheaper than guessing.
const MOST_LEFT_OUT: usize = 8;

/// The known properties of an object, numbered ("slots").
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    slots: HashMap<Box<[u8]>, usize, FixedState>,
    len: usize,
}

impl KeyTable {
    /// Numbers `names` in their order.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut table = Self::default();
        for name in names {
            table.slots.insert(name.as_bytes().into(), table.len);
            table.len += 1;
        }
        table
    }

    #[inline]
    fn slot(&self, name: &[u8]) -> usize {
        self.slots.get(name).copied().unwrap_or(self.len)
    }
}

/// What came after a property the last time.
#[derive(Debug, Clone)]
struct Guess {
    /// The bytes from the end of one value to the start of the next; none as long as there is no guess.
    bytes: Vec<u8>,
    /// The first 32 of them, and which of these count.
    head: [u128; 2],
    mask: [u128; 2],
    slot: usize,
    /// Where in `bytes` the name is, with its quotes.
    name: Range<usize>,
}

impl Guess {
    fn none() -> Self {
        Self {
            bytes: Vec::new(),
            head: [0; 2],
            mask: [0; 2],
            slot: END,
            name: 0..0,
        }
    }

    fn learn(&mut self, bytes: &[u8], slot: usize, name: Range<usize>) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.slot = slot;
        self.name = name;
        for half in 0..2 {
            let mut block = [0; 16];
            let mut mask = [0; 16];
            let part = bytes.get(half * 16..).unwrap_or_default();
            let len = part.len().min(16);
            block[..len].copy_from_slice(&part[..len]);
            mask[..len].fill(0xFF);
            self.head[half] = u128::from_le_bytes(block);
            self.mask[half] = u128::from_le_bytes(mask);
        }
    }

    #[inline(always)]
    fn fits(&self, rest: &[u8]) -> bool {
        let (Some(low), Some(high)) = (
            rest.first_chunk::<16>(),
            rest.get(16..).and_then(|rest| rest.first_chunk::<16>()),
        ) else {
            return !self.bytes.is_empty() && rest.starts_with(&self.bytes);
        };
        let (low, high) = (u128::from_le_bytes(*low), u128::from_le_bytes(*high));
        let differ = ((low ^ self.head[0]) & self.mask[0]) | ((high ^ self.head[1]) & self.mask[1]);
        differ == 0 && (self.bytes.len().wrapping_sub(1) < 32 || self.fits_longer(rest))
    }

    /// Moves behind what fits. Another record may be spaced otherwise behind the colon.
    #[inline(always)]
    fn take(&self, at: &mut Cursor<'_>) {
        at.pos += self.bytes.len();
        if self.slot != END {
            at.skip_space();
        }
    }

    #[inline(never)]
    fn fits_longer(&self, rest: &[u8]) -> bool {
        !self.bytes.is_empty() && rest.starts_with(&self.bytes)
    }
}

/// Reads the names of objects of one kind.
#[derive(Debug)]
pub(crate) struct KeyReader {
    table: Arc<KeyTable>,
    /// By slot of the property before; the last is for the start of an object.
    guesses: Vec<Guess>,
    /// Where the last name outside the table was, with its quotes.
    pub outside_name: Range<usize>,
}

impl KeyReader {
    pub(crate) fn new(table: Arc<KeyTable>) -> Self {
        let guesses = vec![Guess::none(); table.len + 2];
        Self {
            table,
            guesses,
            outside_name: 0..0,
        }
    }

    /// Slot of all properties outside the table.
    pub(crate) fn outside(&self) -> usize {
        self.table.len
    }

    /// From behind the value of `slot` (or, with [`START`], from the opening brace) to the next value.
    ///
    /// Gives its slot; [`END`] when the object has ended, the cursor then stands behind it.
    #[inline]
    pub(crate) fn next(
        &mut self,
        slot: usize,
        at: &mut Cursor<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<usize, Broken> {
        let place = slot.min(self.table.len + 1);
        let guess = &self.guesses[place];
        let start = at.pos;
        if guess.fits(at.buf.get(start..).unwrap_or_default()) {
            guess.take(at);
            if guess.slot == self.table.len {
                self.outside_name = start + guess.name.start..start + guess.name.end;
            }
            return Ok(guess.slot);
        }
        match self.skip_ahead(place, at) {
            Some(slot) => Ok(slot),
            None => self.look_up(place, at, scratch),
        }
    }

    /// Records that leave properties out keep the order of the rest: tries what came after the ones expected here.
    #[inline(never)]
    fn skip_ahead(&self, place: usize, at: &mut Cursor<'_>) -> Option<usize> {
        let mut guess = &self.guesses[place];
        let rest = at.buf.get(at.pos..)?;
        for _ in 0..MOST_LEFT_OUT {
            if guess.slot >= self.table.len {
                return None;
            }
            guess = &self.guesses[guess.slot];
            if guess.fits(rest) && guess.slot != self.table.len {
                guess.take(at);
                return Some(guess.slot);
            }
        }
        None
    }

    #[inline(never)]
    fn look_up(
        &mut self,
        place: usize,
        at: &mut Cursor<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<usize, Broken> {
        let start = at.pos;
        let first = place == self.table.len + 1;
        if first {
            at.expect(b'{', Broken::ExpectedObject)?;
        }
        at.skip_space();
        match at.byte() {
            b'}' => {
                at.pos += 1;
                self.guesses[place].learn(&at.buf[start..at.pos], END, 0..0);
                return Ok(END);
            }
            b',' if !first => {
                at.pos += 1;
                at.skip_space();
            }
            _ if !first => return Err(Broken::ExpectedCommaOrBrace),
            _ => {}
        }
        let key = at.key()?;
        let slot = self.slot(&key, at, scratch)?;
        self.guesses[place].learn(
            &at.buf[start..at.pos],
            slot,
            key.start - start..key.end - start,
        );
        if slot == self.table.len {
            self.outside_name = key.start..key.end;
        }
        Ok(slot)
    }

    fn slot(
        &self,
        key: &Key<'_>,
        at: &mut Cursor<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<usize, Broken> {
        key.span
            .text(scratch)
            .map(|name| self.table.slot(name))
            .map_err(|_| {
                at.pos = key.start;
                Broken::BadName
            })
    }
}

/// The text of a name at `range` of `buf`, quotes included; names were checked when they were read.
pub(crate) fn name_text(buf: &[u8], range: Range<usize>) -> String {
    let mut text = Vec::new();
    let inner = buf
        .get(range.start + 1..range.end.saturating_sub(1))
        .unwrap_or_default();
    let _ = unescape(inner, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: &mut KeyReader, text: &str) -> Result<Vec<usize>, Broken> {
        let mut at = Cursor::new(text.as_bytes(), 0);
        let mut scratch = Vec::new();
        let mut slots = Vec::new();
        let mut slot = reader.next(START, &mut at, &mut scratch)?;
        while slot != END {
            slots.push(slot);
            at.skip()?;
            slot = reader.next(slot, &mut at, &mut scratch)?;
        }
        assert_eq!(at.pos, text.len());
        Ok(slots)
    }

    fn reader() -> KeyReader {
        let long = "a name that is far longer than two blocks of sixteen bytes, so that its end is compared too";
        KeyReader::new(Arc::new(KeyTable::new(["id", "naïve", long, ""])))
    }

    #[test]
    fn names_are_found_in_any_order_and_spelling() {
        let mut reader = reader();
        for _ in 0..2 {
            assert_eq!(read(&mut reader, r#"{"id":1,"naïve":2}"#), Ok(vec![0, 1]));
            assert_eq!(
                read(&mut reader, r#"{"na\u00efve" : 2 , "id": 1, "":3}"#),
                Ok(vec![1, 0, 3])
            );
            assert_eq!(
                read(&mut reader, r#"{"id":1,"x":[],"\u0069d":2}"#),
                Ok(vec![0, 4, 0])
            );
            assert_eq!(read(&mut reader, "{}"), Ok(vec![]));
            assert_eq!(read(&mut reader, "{ }"), Ok(vec![]));
        }
    }

    #[test]
    fn properties_left_out_change_nothing() {
        let mut reader = KeyReader::new(Arc::new(KeyTable::new(["a", "b", "c", "d"])));
        for _ in 0..2 {
            assert_eq!(
                read(&mut reader, r#"{"a":1,"b":2,"c":3,"d":4}"#),
                Ok(vec![0, 1, 2, 3])
            );
            assert_eq!(
                read(&mut reader, r#"{"a":1,"c": 3,"x":5}"#),
                Ok(vec![0, 2, 4])
            );
            assert_eq!(read(&mut reader, r#"{"a":1}"#), Ok(vec![0]));
            assert_eq!(read(&mut reader, r#"{"d":4,"d" :5}"#), Ok(vec![3, 3]));
            assert_eq!(
                read(&mut reader, r#"{"a":1,"d":  4 , "b":2}"#),
                Ok(vec![0, 3, 1])
            );
        }
    }

    #[test]
    fn long_names_that_differ_at_their_end_are_told_apart() {
        let long = "a name that is far longer than two blocks of sixteen bytes, so that its end is compared too";
        let mut reader = reader();
        for _ in 0..2 {
            assert_eq!(
                read(
                    &mut reader,
                    &format!(r#"{{"{long}":1,"id":22222222222222222222222222222222}}"#)
                ),
                Ok(vec![2, 0])
            );
            assert_eq!(
                read(
                    &mut reader,
                    &format!(r#"{{"{long}!":1,"id":22222222222222222222222222222222}}"#)
                ),
                Ok(vec![4, 0])
            );
        }
    }

    #[test]
    fn names_that_are_no_text_break_the_record() {
        assert_eq!(read(&mut reader(), r#"{"\ud800":1}"#), Err(Broken::BadName));
        assert_eq!(
            read(&mut reader(), r#"{"id":1 "x":2}"#),
            Err(Broken::ExpectedCommaOrBrace)
        );
        assert_eq!(
            read(&mut reader(), r#"{,"id":1}"#),
            Err(Broken::ExpectedKey)
        );
        assert_eq!(
            read(&mut reader(), r#"{"id":1,}"#),
            Err(Broken::ExpectedKey)
        );
        assert_eq!(read(&mut reader(), "[]"), Err(Broken::ExpectedObject));
    }
}
