//! Where the fields of records are, before anyone asks what they hold.

use super::dialect::Dialect;
use super::masks::Places;

/// One field: where its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    start: u32,
    /// The length, and two flags.
    rest: u32,
}

const QUOTED: u32 = 1 << 31;
const ESCAPED: u32 = 1 << 30;
/// Longest text that can be indexed.
pub(super) const LONGEST: usize = (1 << 30) - 1;

impl Cell {
    /// What a record does not have.
    pub(super) const MISSING: Self = Self { start: 0, rest: 0 };

    fn plain(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            rest: (end - start) as u32,
        }
    }

    fn quoted(start: usize, end: usize, escaped: bool) -> Self {
        let mut cell = Self::plain(start, end);
        cell.rest |= QUOTED | if escaped { ESCAPED } else { 0 };
        cell
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        (self.rest & !(QUOTED | ESCAPED)) as usize
    }

    #[inline(always)]
    pub(super) fn is_quoted(self) -> bool {
        self.rest & QUOTED != 0
    }

    /// Holds quotes or escapes that do not belong to the value.
    #[inline(always)]
    pub(super) fn is_escaped(self) -> bool {
        self.rest & ESCAPED != 0
    }

    /// Neither quoted nor a single byte.
    #[inline(always)]
    pub(super) fn is_nothing(self) -> bool {
        self.rest == 0
    }

    #[inline(always)]
    pub(super) fn bytes(self, text: &[u8]) -> &[u8] {
        let start = self.start as usize;
        &text[start..start + self.len()]
    }
}

/// Why a record is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadRecord {
    /// It has this many fields.
    Fields(usize),
    /// Something stands between a closing quote and the next delimiter.
    BehindQuote,
    /// The text ends within quotes.
    Unclosed,
}

/// A record that is none: from where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken {
    pub start: usize,
    pub end: usize,
    pub why: BadRecord,
}

/// The fields of some records, all with the same number of fields.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Row by row.
    pub cells: Vec<Cell>,
    /// Where each row starts and ends, without the end of its line.
    pub rows: Vec<(u32, u32)>,
    pub broken: Vec<Broken>,
}

impl Index {
    pub(super) fn clear(&mut self) {
        self.cells.clear();
        self.rows.clear();
        self.broken.clear();
    }
}

/// How the walk over a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// As many records as wanted; the next one starts here.
    Full(usize),
    /// The text is used up.
    End,
    /// The record that starts here is not all there.
    Open(usize),
}

/// Walks over a text, record by record.
pub(super) struct Walk<'a> {
    text: &'a [u8],
    dialect: Dialect,
    places: Places<'a>,
    at: usize,
    /// Nothing comes behind the text: a record without an end of line is whole.
    last: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a [u8], dialect: Dialect, last: bool) -> Self {
        debug_assert!(text.len() <= LONGEST);
        let places = Places::new(text, dialect.delimiter, dialect.end);
        Self {
            text,
            dialect,
            places,
            at: 0,
            last,
        }
    }

    /// Adds up to `rows` records of `width` fields to the index. Without a width, the first record decides, whatever it has.
    pub(super) fn records(
        &mut self,
        rows: usize,
        mut width: Option<usize>,
        index: &mut Index,
    ) -> Stop {
        let end = index.rows.len() + rows;
        while index.rows.len() < end {
            if self.at >= self.text.len() {
                return Stop::End;
            }
            if self.dialect.comment == Some(self.text[self.at]) {
                match self.line_end() {
                    Some(next) => self.at = next,
                    None => return self.open(),
                }
                continue;
            }
            let from = index.cells.len();
            let start = self.at;
            let (row_end, fault) = match self.fields(index) {
                Ok(found) => found,
                Err(stop) => {
                    index.cells.truncate(from);
                    if stop == Stop::End {
                        // Whatever else is wrong with it: what was opened last is never closed.
                        let why = BadRecord::Unclosed;
                        index.broken.push(Broken {
                            start,
                            end: self.text.len(),
                            why,
                        });
                        self.at = self.text.len();
                    }
                    return stop;
                }
            };
            let found = index.cells.len() - from;
            if found == 1 && index.cells[from].is_nothing() {
                // An empty line is no record.
                index.cells.truncate(from);
                continue;
            }
            let width = *width.get_or_insert(found);
            let fault = fault.or_else(|| self.fit(index, found, width));
            match fault {
                None => index.rows.push((start as u32, row_end as u32)),
                Some(why) => {
                    index.cells.truncate(from);
                    index.broken.push(Broken {
                        start,
                        end: row_end,
                        why,
                    });
                }
            }
        }
        Stop::Full(self.at)
    }

    /// Makes the last record's `found` fields `width` ones, where the dialect lets it.
    #[inline(always)]
    fn fit(&self, index: &mut Index, found: usize, width: usize) -> Option<BadRecord> {
        if found == width {
            return None;
        }
        let one_too_many =
            found == width + 1 && index.cells.last().is_some_and(|cell| cell.is_nothing());
        if self.dialect.trailing && one_too_many {
            index.cells.pop();
        } else if self.dialect.short && found < width {
            index
                .cells
                .resize(index.cells.len() + width - found, Cell::MISSING);
        } else {
            return Some(BadRecord::Fields(found));
        }
        None
    }

    /// The fields of the record at the cursor, which is then behind its end; where it ended, and what is wrong with it.
    ///
    /// `Err` when the text ends within it: with [`Stop::End`] when it will never go on.
    #[inline(always)]
    fn fields(&mut self, index: &mut Index) -> Result<(usize, Option<BadRecord>), Stop> {
        let start = self.at;
        let mut fault = None;
        loop {
            let quote = self.text.get(self.at).copied();
            let end = if quote.is_some() && quote == self.dialect.quote {
                let (cell, end) = self.quoted(start)?;
                if end < self.text.len()
                    && self.text[end] != self.dialect.delimiter
                    && !self.is_end(end)
                {
                    fault = Some(BadRecord::BehindQuote);
                }
                self.places.skip_to(end);
                index.cells.push(cell);
                self.places.next()
            } else {
                let end = self.places.next();
                let mut content = end;
                if (end == self.text.len() || self.text[end] != self.dialect.delimiter)
                    && end > self.at
                    && self.text[end - 1] == b'\r'
                    && self.dialect.end == b'\n'
                {
                    content -= 1;
                }
                index.cells.push(Cell::plain(self.at, content));
                end
            };
            if end == self.text.len() {
                if !self.last {
                    return Err(Stop::Open(start));
                }
                self.at = end;
                return Ok((self.without_return(start, end), fault));
            }
            self.at = end + 1;
            if self.text[end] == self.dialect.end {
                return Ok((self.without_return(start, end), fault));
            }
        }
    }

    fn without_return(&self, start: usize, end: usize) -> usize {
        let returns = self.dialect.end == b'\n' && end > start && self.text[end - 1] == b'\r';
        end - usize::from(returns)
    }

    /// Whether the end of a record stands here.
    fn is_end(&self, at: usize) -> bool {
        let text = self.text;
        let end = self.dialect.end;
        text[at] == end
            || (end == b'\n'
                && text[at] == b'\r'
                && text.get(at + 1).is_none_or(|next| *next == end))
    }

    /// The quoted field at the cursor, and what stands behind its closing quote.
    #[inline]
    fn quoted(&mut self, record: usize) -> Result<(Cell, usize), Stop> {
        let quote = self.text[self.at];
        let start = self.at + 1;
        let mut escaped = false;
        let mut from = start;
        loop {
            let found = match self.dialect.escape {
                None => memchr::memchr(quote, &self.text[from..]),
                Some(escape) => memchr::memchr2(quote, escape, &self.text[from..]),
            };
            let Some(at) = found.map(|found| from + found) else {
                return Err(self.unclosed(record));
            };
            let next = self.text.get(at + 1);
            if self.text[at] != quote {
                escaped = true;
                from = at + 2;
                if next.is_none() {
                    return Err(self.unclosed(record));
                }
            } else if self.dialect.doubled && next == Some(&quote) {
                escaped = true;
                from = at + 2;
            } else if next.is_none() && !self.last {
                return Err(Stop::Open(record));
            } else {
                return Ok((Cell::quoted(start, at, escaped), at + 1));
            }
        }
    }

    fn unclosed(&self, record: usize) -> Stop {
        if self.last {
            Stop::End
        } else {
            Stop::Open(record)
        }
    }

    /// Behind the line at the cursor.
    fn line_end(&mut self) -> Option<usize> {
        let found = memchr::memchr(self.dialect.end, &self.text[self.at..]);
        let next = match found {
            Some(found) => self.at + found + 1,
            None if self.last => self.text.len(),
            None => return None,
        };
        self.places.skip_to(next.min(self.text.len()));
        Some(next)
    }

    fn open(&self) -> Stop {
        Stop::Open(self.at)
    }
}

/// Appends a cell's value: its content without what only protects quotes.
pub(super) fn unescape(content: &[u8], dialect: &Dialect, into: &mut Vec<u8>) {
    let Some(quote) = dialect.quote else {
        return into.extend_from_slice(content);
    };
    let escape = dialect.escape.unwrap_or(quote);
    let mut from = 0;
    while let Some(found) = memchr::memchr2(quote, escape, &content[from..]) {
        let at = from + found;
        into.extend_from_slice(&content[from..at]);
        // The byte behind is kept, whatever it is.
        into.extend(content.get(at + 1));
        from = at + 2;
        if from > content.len() {
            return;
        }
    }
    into.extend_from_slice(&content[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(
        text: &str,
        width: Option<usize>,
        last: bool,
    ) -> (Vec<Vec<String>>, Vec<Broken>, Stop) {
        with(text, Dialect::default(), width, last)
    }

    fn with(
        text: &str,
        dialect: Dialect,
        width: Option<usize>,
        last: bool,
    ) -> (Vec<Vec<String>>, Vec<Broken>, Stop) {
        let mut index = Index::default();
        let stop = Walk::new(text.as_bytes(), dialect, last).records(100, width, &mut index);
        let value = |cell: &Cell| {
            let mut value = Vec::new();
            if cell.is_escaped() {
                unescape(cell.bytes(text.as_bytes()), &dialect, &mut value);
            } else {
                value.extend_from_slice(cell.bytes(text.as_bytes()));
            }
            String::from_utf8(value).unwrap()
        };
        let width = index
            .cells
            .len()
            .checked_div(index.rows.len())
            .unwrap_or(1)
            .max(1);
        let rows = index
            .cells
            .chunks(width)
            .map(|row| row.iter().map(value).collect());
        (rows.collect(), index.broken, stop)
    }

    #[test]
    fn fields_are_what_stands_between_delimiters() {
        let (rows, broken, stop) = walked("a,b\r\n\"c,\"\"d\n\",\n\n,e", Some(2), true);
        assert_eq!(rows, [["a", "b"], ["c,\"d\n", ""], ["", "e"]]);
        assert_eq!((broken, stop), (vec![], Stop::End));
    }

    #[test]
    fn quotes_within_a_field_are_its_own() {
        assert_eq!(walked("5\" pipe,b\n", None, true).0, [["5\" pipe", "b"]]);
    }

    #[test]
    fn a_record_without_its_end_is_open_until_the_text_ends() {
        for text in [
            "a,b\nc,d",
            "a,b\nc,\"d",
            "a,b\nc,\"d\"",
            "a,b\nc,\"d\"\"",
            "a,b\nc,",
            "a,b\nc,d\r",
        ] {
            assert_eq!(walked(text, Some(2), false).2, Stop::Open(4), "{text}");
        }
        let (rows, broken, stop) = walked("a,b\nc,\"d\n", Some(2), true);
        assert_eq!(rows, [["a", "b"]]);
        assert_eq!(
            broken,
            [Broken {
                start: 4,
                end: 9,
                why: BadRecord::Unclosed
            }]
        );
        assert_eq!(stop, Stop::End);
    }

    #[test]
    fn records_of_another_width_are_broken() {
        let (rows, broken, _) = walked("a,b\nc\nd,e,f\ng,\"h\"i\nj,k\n", Some(2), true);
        assert_eq!(rows, [["a", "b"], ["j", "k"]]);
        let why: Vec<BadRecord> = broken.iter().map(|broken| broken.why).collect();
        assert_eq!(
            why,
            [
                BadRecord::Fields(1),
                BadRecord::Fields(3),
                BadRecord::BehindQuote
            ]
        );
        assert_eq!((broken[1].start, broken[1].end), (6, 11));
    }

    #[test]
    fn a_dialect_can_forgive_widths() {
        let dialect = Dialect {
            trailing: true,
            short: true,
            ..Dialect::default()
        };
        let (rows, broken, _) = with("a,b,\nc\n", dialect, Some(2), true);
        assert_eq!(rows, [["a", "b"], ["c", ""]]);
        assert!(broken.is_empty());
    }

    #[test]
    fn other_dialects() {
        let dialect = Dialect {
            delimiter: b';',
            quote: Some(b'\''),
            escape: Some(b'\\'),
            comment: Some(b'#'),
            ..Dialect::default()
        };
        let (rows, ..) = with("# x;'\na;'b\\'c;'\n#", dialect, None, true);
        assert_eq!(rows, [["a", "b'c;"]]);
        let dialect = Dialect {
            quote: None,
            end: b'\r',
            ..Dialect::default()
        };
        assert_eq!(
            with("\"a,b\rc,d\r", dialect, None, true).0,
            [["\"a", "b"], ["c", "d"]]
        );
    }

    #[test]
    fn an_empty_quoted_field_is_a_record() {
        assert_eq!(
            walked("a\n\"\"\n\nb\n", Some(1), true).0,
            [["a"], [""], ["b"]]
        );
    }
}
