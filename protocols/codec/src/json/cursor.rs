//! A place in a buffer, moved forward token by token.

use super::fault::{Broken, Fault, Problem};
use super::number::Number;
use super::scan::plain_run;
use super::text::StringSpan;
use crate::MAX_DEPTH;

/// Reads JSON from `buf`, which ends where the line ends. On [`Broken`], `pos` is where the text stops to be JSON.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    pub buf: &'a [u8],
    pub pos: usize,
}

/// A property name: where its opening quote is and where the byte after its closing quote is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub start: usize,
    pub end: usize,
    pub span: StringSpan<'a>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(buf: &'a [u8], pos: usize) -> Self {
        Self { buf, pos }
    }

    /// The byte here; NUL, which starts no token, at the end.
    #[inline(always)]
    pub(crate) fn byte(&self) -> u8 {
        self.buf.get(self.pos).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub(crate) fn skip_space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.pos += 1;
        }
    }

    /// Takes the decimal digits here.
    #[inline]
    pub(crate) fn digits(&mut self) -> &'a [u8] {
        let start = self.pos;
        while self.byte().is_ascii_digit() {
            self.pos += 1;
        }
        &self.buf[start..self.pos]
    }

    /// Takes `word` if it is here.
    #[inline(always)]
    pub(crate) fn word(&mut self, word: &[u8]) -> bool {
        let found = self.buf[self.pos.min(self.buf.len())..].starts_with(word);
        if found {
            self.pos += word.len();
        }
        found
    }

    /// Takes `null` if it is here.
    #[inline(always)]
    pub(crate) fn null(&mut self) -> bool {
        self.word(b"null")
    }

    /// Takes `byte`, or fails with `broken`.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, broken: Broken) -> Result<(), Broken> {
        if self.byte() == byte {
            self.pos += 1;
            Ok(())
        } else {
            Err(broken)
        }
    }

    /// White space to the end of the buffer, and nothing else.
    pub(crate) fn expect_end(&mut self) -> Result<(), Broken> {
        self.skip_space();
        if self.pos == self.buf.len() {
            Ok(())
        } else {
            Err(Broken::ExpectedEnd)
        }
    }

    /// Takes the string whose opening quote is here.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<StringSpan<'a>, Broken> {
        let start = self.pos + 1;
        let (end, wide) = plain_run(self.buf, start);
        if self.buf.get(end) == Some(&b'"') {
            self.pos = end + 1;
            return Ok(StringSpan {
                raw: &self.buf[start..end],
                escaped: false,
                wide,
                control: false,
            });
        }
        self.string_with_stops(start, end, wide)
    }

    #[cold]
    fn string_with_stops(
        &mut self,
        start: usize,
        stop: usize,
        wide: bool,
    ) -> Result<StringSpan<'a>, Broken> {
        let mut span = StringSpan {
            raw: &[],
            escaped: false,
            wide,
            control: false,
        };
        let mut at = stop;
        loop {
            match self.buf.get(at) {
                Some(b'"') => {
                    span.raw = &self.buf[start..at];
                    self.pos = at + 1;
                    return Ok(span);
                }
                Some(b'\\') => {
                    span.escaped = true;
                    at += 1;
                    // What is escaped is looked at later; only a quote or a backslash must not be taken for itself.
                    if matches!(self.buf.get(at), Some(b'"' | b'\\')) {
                        at += 1;
                    }
                }
                Some(_) => {
                    span.control = true;
                    at += 1;
                }
                None => {
                    self.pos = self.buf.len();
                    return Err(Broken::OpenString);
                }
            }
            let (next, wide) = plain_run(self.buf, at);
            at = next;
            span.wide |= wide;
        }
    }

    /// Takes a property name, its colon and the white space around, and stands at the value.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Key<'a>, Broken> {
        if self.byte() != b'"' {
            return Err(Broken::ExpectedKey);
        }
        let start = self.pos;
        let span = self.string()?;
        let end = self.pos;
        self.skip_space();
        self.expect(b':', Broken::ExpectedColon)?;
        self.skip_space();
        Ok(Key { start, end, span })
    }

    /// What kind of value is here, as a problem for a column that wants another one.
    #[cold]
    pub(crate) fn found(&self) -> Fault {
        Fault::Bad(match self.byte() {
            b'"' => Problem::FoundString,
            b'-' if self.buf.get(self.pos + 1) == Some(&b'I') => Problem::FoundNonFinite,
            b'N' | b'I' => Problem::FoundNonFinite,
            b'0'..=b'9' | b'-' => Problem::FoundNumber,
            b't' | b'f' => Problem::FoundBoolean,
            b'n' => Problem::FoundNull,
            b'{' => Problem::FoundObject,
            b'[' => Problem::FoundArray,
            _ => return Fault::Broken(Broken::ExpectedValue),
        })
    }

    /// Takes any value, only as far as its structure goes: texts may have problems, NaN and infinities may occur.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<(), Broken> {
        self.value::<false>(MAX_DEPTH).map(|_| ())
    }

    /// [`Self::skip`] for a value of a message: in it is a record, whose values may each be as deep as a value may.
    pub(crate) fn skip_record(&mut self) -> Result<(), Broken> {
        self.value::<false>(MAX_DEPTH + 2).map(|_| ())
    }

    /// Takes any value and gives its bytes, if they are JSON text in every respect.
    #[inline]
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.pos;
        match self.value::<true>(MAX_DEPTH)? {
            None => Ok(&self.buf[start..self.pos]),
            Some(problem) => Err(Fault::Bad(problem)),
        }
    }

    /// Takes any value; with `STRICT`, gives the first problem of a text or number within.
    fn value<const STRICT: bool>(&mut self, limit: usize) -> Result<Option<Problem>, Broken> {
        let mut problem = None;
        let mut nesting = Nesting::default();
        loop {
            match self.byte() {
                b'"' => {
                    let span = self.string()?;
                    if STRICT && problem.is_none() {
                        problem = span.check_all().err();
                    }
                }
                b'{' | b'[' => {
                    let object = self.byte() == b'{';
                    self.pos += 1;
                    self.skip_space();
                    nesting.enter(object, limit)?;
                    if self.byte() == if object { b'}' } else { b']' } {
                        self.pos += 1;
                        nesting.leave();
                    } else {
                        if object {
                            self.checked_key::<STRICT>(&mut problem)?;
                        }
                        continue;
                    }
                }
                _ => self.scalar::<STRICT>(&mut problem)?,
            }
            loop {
                let Some(object) = nesting.innermost() else {
                    return Ok(problem);
                };
                self.skip_space();
                match self.byte() {
                    b',' => {
                        self.pos += 1;
                        self.skip_space();
                        if object {
                            self.checked_key::<STRICT>(&mut problem)?;
                        }
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ if object => return Err(Broken::ExpectedCommaOrBrace),
                    _ => return Err(Broken::ExpectedCommaOrBracket),
                }
                self.pos += 1;
                nesting.leave();
            }
        }
    }

    #[inline]
    fn checked_key<const STRICT: bool>(
        &mut self,
        problem: &mut Option<Problem>,
    ) -> Result<(), Broken> {
        let key = self.key()?;
        if STRICT && problem.is_none() {
            *problem = key.span.check_all().err();
        }
        Ok(())
    }

    #[inline]
    fn scalar<const STRICT: bool>(&mut self, problem: &mut Option<Problem>) -> Result<(), Broken> {
        match self.byte() {
            b'-' | b'0'..=b'9' if self.buf.get(self.pos + 1) != Some(&b'I') => {
                Number::read(self).map(|_| ())
            }
            b't' if self.word(b"true") => Ok(()),
            b'f' if self.word(b"false") => Ok(()),
            b'n' if self.null() => Ok(()),
            _ if self.non_finite().is_some() => {
                if STRICT && problem.is_none() {
                    *problem = Some(Problem::FoundNonFinite);
                }
                Ok(())
            }
            _ => Err(Broken::ExpectedValue),
        }
    }

    /// Takes one of Python's names for what is no number: `NaN`, `Infinity`, `-Infinity`.
    #[cold]
    pub(crate) fn non_finite(&mut self) -> Option<f64> {
        [
            (&b"NaN"[..], f64::NAN),
            (b"Infinity", f64::INFINITY),
            (b"-Infinity", f64::NEG_INFINITY),
        ]
        .into_iter()
        .find_map(|(word, value)| self.word(word).then_some(value))
    }
}

/// Which of the open brackets are objects: one bit each.
#[derive(Default)]
struct Nesting {
    bits: [u64; (MAX_DEPTH + 2).div_ceil(64)],
    depth: usize,
}

impl Nesting {
    #[inline]
    fn enter(&mut self, object: bool, limit: usize) -> Result<(), Broken> {
        if self.depth == limit {
            return Err(Broken::TooDeep);
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(object) << bit;
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn innermost(&self) -> Option<bool> {
        let place = self.depth.checked_sub(1)?;
        Some(self.bits[place / 64] >> (place % 64) & 1 == 1)
    }

    #[inline]
    fn leave(&mut self) {
        self.depth -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(text: &str) -> Result<usize, (Broken, usize)> {
        let mut at = Cursor::new(text.as_bytes(), 0);
        match at.skip() {
            Ok(()) => Ok(at.pos),
            Err(broken) => Err((broken, at.pos)),
        }
    }

    #[test]
    fn values_end_where_they_end() {
        for text in [
            "null",
            "true",
            "-1.5e7",
            r#""a\"b""#,
            r#"{"a":[1,{"b":{}},[]],"c":"}"}"#,
            "[ ]",
            "{ }",
            "[NaN, -Infinity]",
        ] {
            assert_eq!(skip(&format!("{text},x")), Ok(text.len()), "{text}");
        }
    }

    #[test]
    fn broken_structure_says_where() {
        assert_eq!(skip(r#"{"a" 1}"#), Err((Broken::ExpectedColon, 5)));
        assert_eq!(skip(r#"{"a":1,}"#), Err((Broken::ExpectedKey, 7)));
        assert_eq!(skip("[1 2]"), Err((Broken::ExpectedCommaOrBracket, 3)));
        assert_eq!(skip(r#"{"a":1]"#), Err((Broken::ExpectedCommaOrBrace, 6)));
        assert_eq!(skip("[1"), Err((Broken::ExpectedCommaOrBracket, 2)));
        assert_eq!(skip(r#"["abc"#), Err((Broken::OpenString, 5)));
        assert_eq!(skip("nul"), Err((Broken::ExpectedValue, 0)));
        assert_eq!(skip("[01]"), Err((Broken::BadNumber, 3)));
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(skip(&nested(MAX_DEPTH)), Ok(MAX_DEPTH * 2));
        assert_eq!(skip(&nested(MAX_DEPTH + 1)).unwrap_err().0, Broken::TooDeep);
        assert_eq!(skip(&nested(1_000_000)).unwrap_err().0, Broken::TooDeep);
    }

    #[test]
    fn raw_text_must_be_json_in_every_respect() {
        for (text, problem) in [
            (&b"[NaN]"[..], Problem::FoundNonFinite),
            (br#"{"a":"\ud800"}"#, Problem::LoneSurrogate),
            (b"[\"\xFF\"]", Problem::InvalidUtf8),
            (b"{\"\xFF\":1}", Problem::InvalidUtf8),
            (br#"["\q"]"#, Problem::BadEscape),
            (b"[\"a\tb\"]", Problem::ControlCharacter),
        ] {
            let mut at = Cursor::new(text, 0);
            assert_eq!(at.raw(), Err(Fault::Bad(problem)));
            assert_eq!(at.pos, text.len());
        }
    }
}
