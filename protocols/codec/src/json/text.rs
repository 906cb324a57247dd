//! Strings: spans in the buffer, and their text.

use super::fault::Problem;
use super::scan::plain_run;

/// A string's bytes between its quotes, as sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StringSpan<'a> {
    /// The bytes.
    pub raw: &'a [u8],
    /// There is a backslash among them.
    pub escaped: bool,
    /// There is a byte above 0x7F among them.
    pub wide: bool,
    /// There is a byte below 0x20 among them.
    pub control: bool,
}

impl<'a> StringSpan<'a> {
    /// The text, in place where the bytes are the text, else in `scratch`.
    #[inline]
    pub(crate) fn text<'s>(&self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Problem>
    where
        'a: 's,
    {
        if self.escaped {
            scratch.clear();
            self.append_to(scratch)?;
            Ok(scratch)
        } else {
            self.check()?;
            Ok(self.raw)
        }
    }

    /// Appends the text to `out`; on a problem, `out` may hold a part of it.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) -> Result<(), Problem> {
        self.check()?;
        if self.escaped {
            unescape(self.raw, out)
        } else {
            out.extend_from_slice(self.raw);
            Ok(())
        }
    }

    /// Whether the raw bytes, escapes aside, may stand in JSON text.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.control {
            return Err(Problem::ControlCharacter);
        }
        if self.wide && simdutf8::basic::from_utf8(self.raw).is_err() {
            return Err(Problem::InvalidUtf8);
        }
        Ok(())
    }

    /// Whether all of it, escapes too, may stand in JSON text.
    pub(crate) fn check_all(&self) -> Result<(), Problem> {
        self.check()?;
        if self.escaped {
            check_escapes(self.raw)
        } else {
            Ok(())
        }
    }
}

/// Checks the escapes of a string; surrogates must come in pairs.
fn check_escapes(raw: &[u8]) -> Result<(), Problem> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &raw[at..]) {
        at += found;
        (_, at) = escape(raw, at)?;
    }
    Ok(())
}

/// Appends the text of a string with escapes; all else in `raw` is copied as it is.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let mut at = 0;
    loop {
        let (stop, _) = plain_run(raw, at);
        out.extend_from_slice(&raw[at..stop]);
        if stop == raw.len() {
            return Ok(());
        }
        if raw[stop] != b'\\' {
            out.push(raw[stop]);
            at = stop + 1;
            continue;
        }
        let character;
        (character, at) = escape(raw, stop)?;
        if character.is_ascii() {
            out.push(character as u8);
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// The character of the escape at `raw[at]`, and where it ends.
fn escape(raw: &[u8], at: usize) -> Result<(char, usize), Problem> {
    let plain = match raw.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(raw, at),
        _ => return Err(Problem::BadEscape),
    };
    Ok((plain, at + 2))
}

fn unicode_escape(raw: &[u8], at: usize) -> Result<(char, usize), Problem> {
    let first = four_hex(raw, at + 2)?;
    if !(0xD800..0xE000).contains(&first) {
        return char::from_u32(first)
            .map(|character| (character, at + 6))
            .ok_or(Problem::BadEscape);
    }
    if first >= 0xDC00 || raw.get(at + 6..at + 8) != Some(b"\\u") {
        return Err(Problem::LoneSurrogate);
    }
    let second = four_hex(raw, at + 8)?;
    if !(0xDC00..0xE000).contains(&second) {
        return Err(Problem::LoneSurrogate);
    }
    let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    char::from_u32(code)
        .map(|character| (character, at + 12))
        .ok_or(Problem::BadEscape)
}

fn four_hex(raw: &[u8], at: usize) -> Result<u32, Problem> {
    let digits = raw.get(at..at + 4).ok_or(Problem::BadEscape)?;
    digits.iter().try_fold(0, |value, &digit| {
        char::from(digit)
            .to_digit(16)
            .map(|nibble| value << 4 | nibble)
            .ok_or(Problem::BadEscape)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &str) -> Result<String, Problem> {
        let mut out = Vec::new();
        unescape(raw.as_bytes(), &mut out)?;
        assert_eq!(check_escapes(raw.as_bytes()), Ok(()));
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_escape_is_read() {
        assert_eq!(
            text(r#"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC"#).unwrap(),
            "\"\\/\u{8}\u{c}\n\r\tAé€"
        );
        assert_eq!(text(r"a\u0000b").unwrap(), "a\0b");
        assert_eq!(text(r"\ud83d\ude00!").unwrap(), "😀!");
        assert_eq!(
            text(r"long enough to pass sixteen bytes \\ twice over").unwrap(),
            r"long enough to pass sixteen bytes \ twice over"
        );
    }

    #[test]
    fn half_pairs_are_refused() {
        for raw in [
            r"\ud83d",
            r"\ud83dx",
            r"\ude00",
            r"\ud83d\u0041",
            r"\ud83d\ud83d",
            r"\ude00\ud83d",
        ] {
            assert_eq!(
                unescape(raw.as_bytes(), &mut Vec::new()),
                Err(Problem::LoneSurrogate),
                "{raw}"
            );
            assert_eq!(
                check_escapes(raw.as_bytes()),
                Err(Problem::LoneSurrogate),
                "{raw}"
            );
        }
    }

    #[test]
    fn unknown_and_short_escapes_are_refused() {
        for raw in [r"\x41", r"\u00", r"\u00g0", r"\", r"\U0041", r"\ud83d\u00"] {
            assert_eq!(
                unescape(raw.as_bytes(), &mut Vec::new()),
                Err(Problem::BadEscape),
                "{raw}"
            );
        }
    }
}
