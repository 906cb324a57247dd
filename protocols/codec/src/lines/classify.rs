//! Which message a line is.

use super::envelope::{Envelope, string_value};
use crate::json::{Broken, Cursor};

/// The messages of a protocol, apart from RECORD.
pub trait MessageKind: Copy + 'static {
    /// Their types, in upper case, with what they are. Those that must not be lost when they do not parse come first; from
    /// `NEEDED` on, a broken one is noise.
    const NAMES: &'static [(&'static str, Self)];
    /// How many of them must not be lost.
    const NEEDED: usize = Self::NAMES.len();
}

/// The kind of a line. Types are recognised in any letter case, keys in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineKind<M> {
    /// RECORD, as far as its type says: [`crate::Builders::decode_line`] finds out whether all of it parses.
    Record,
    /// Another message of the protocol.
    Message(M),
    /// A JSON object whose `type` is another string: that string.
    Other(String),
    /// No JSON object, or one without a string `type`; also an empty line. What a connector prints on stdout by mistake.
    Noise,
    /// Does not parse up to its type, but looks like a RECORD: give it to [`crate::Builders::decode_line`] all the same, which
    /// quarantines it.
    BrokenRecord,
    /// Does not parse up to its type, but looks like one of the other messages.
    BrokenControl,
}

/// What RECORD lines begin with, as Python's `json` and compact writers put it.
const RECORD_STARTS: [&[u8]; 2] = [b"{\"type\": \"RECORD\"", b"{\"type\":\"RECORD\""];

/// How far into a line that does not parse its keys are looked for, from both ends.
const NEAR_ENDS: usize = 4096;

/// Says which message `line` is; costs a few nanoseconds where `"type"` comes first, which it does in every known library.
#[inline]
pub fn classify<M: MessageKind>(line: &[u8]) -> LineKind<M> {
    if RECORD_STARTS.iter().any(|start| line.starts_with(start)) {
        return LineKind::Record;
    }
    classify_any(line)
}

fn classify_any<M: MessageKind>(line: &[u8]) -> LineKind<M> {
    let mut at = Cursor::new(line, 0);
    at.skip_space();
    if at.byte() != b'{' {
        return LineKind::Noise;
    }
    let kind = match message_type(&mut at) {
        Ok(Some(name)) => named(name),
        Ok(None) => LineKind::Noise,
        Err(_) => return broken(line),
    };
    // A garbled RECORD must not pass for a message that nobody needs.
    let needed = !matches!(kind, LineKind::Other(_) | LineKind::Noise);
    if needed || Envelope::read(line, []).1.is_ok() {
        kind
    } else {
        broken(line)
    }
}

/// The first `type` of the object at the cursor that is a string; what stands behind it is not looked at.
fn message_type(at: &mut Cursor<'_>) -> Result<Option<String>, Broken> {
    let mut scratch = Vec::new();
    at.pos += 1;
    at.skip_space();
    if at.byte() == b'}' {
        return Ok(None);
    }
    loop {
        let key = at.key()?;
        let is_type = key
            .span
            .text(&mut scratch)
            .is_ok_and(|name| name == b"type");
        let start = at.pos;
        at.skip_record()?;
        if is_type && let Some(name) = string_value(&at.buf[start..at.pos]) {
            return Ok(Some(name));
        }
        at.skip_space();
        match at.byte() {
            b',' => at.pos += 1,
            b'}' => return Ok(None),
            _ => return Err(Broken::ExpectedCommaOrBrace),
        }
        at.skip_space();
    }
}

fn named<M: MessageKind>(name: String) -> LineKind<M> {
    if name.eq_ignore_ascii_case("RECORD") {
        return LineKind::Record;
    }
    let known = M::NAMES
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known));
    known.map_or(LineKind::Other(name), |(_, message)| {
        LineKind::Message(*message)
    })
}

/// A line that starts like an object but breaks before its type is known: a message cut or garbled, or a tap's print-out.
fn broken<M: MessageKind>(line: &[u8]) -> LineKind<M> {
    // What a message is stands at one of its ends; what lies between may be very long.
    let ends = line.len().min(NEAR_ENDS);
    let mut upper = line[..ends].to_ascii_uppercase();
    upper.push(b' ');
    upper.extend(line[line.len() - ends..].iter().map(u8::to_ascii_uppercase));
    let has = |word: &str| memchr::memmem::find(&upper, word.as_bytes()).is_some();
    if !has("\"TYPE\"") {
        // A RECORD whose type comes last still names these two.
        return if has("\"STREAM\"") && has("\"RECORD\"") {
            LineKind::BrokenRecord
        } else {
            LineKind::Noise
        };
    }
    if has("\"RECORD\"") {
        LineKind::BrokenRecord
    } else if M::NAMES[..M::NEEDED]
        .iter()
        .any(|(word, _)| has(&format!("\"{word}\"")))
    {
        LineKind::BrokenControl
    } else {
        LineKind::Noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::singer::Message;

    type LineKind = super::LineKind<Message>;

    #[test]
    fn messages_are_known_by_type_in_any_case_and_place() {
        for (line, kind) in [
            (
                r#"{"type": "RECORD", "stream": "a", "record": {}}"#,
                LineKind::Record,
            ),
            (r#"{"type":"RECORD"}"#, LineKind::Record),
            (r#" { "type" : "record" }"#, LineKind::Record),
            (
                r#"{"record":{"type":"STATE"},"stream":"a","type":"Record"}"#,
                LineKind::Record,
            ),
            (
                r#"{"type":"SCHEMA","stream":"a"}"#,
                LineKind::Message(Message::Schema),
            ),
            (
                r#"{"value":{},"type":"state"}"#,
                LineKind::Message(Message::State),
            ),
            (
                r#"{"type":"ACTIVATE_VERSION"}"#,
                LineKind::Message(Message::ActivateVersion),
            ),
            (r#"{"type":"BATCH"}"#, LineKind::Message(Message::Batch)),
            (
                r#"{"t\u0079pe":"ST\u0041TE"}"#,
                LineKind::Message(Message::State),
            ),
            (
                r#"{"type":"Heartbeat"}"#,
                LineKind::Other("Heartbeat".to_owned()),
            ),
            (r#"{"type":1}"#, LineKind::Noise),
            (r#"{"level":"info"}"#, LineKind::Noise),
            ("{}", LineKind::Noise),
            ("[1]", LineKind::Noise),
            ("INFO starting", LineKind::Noise),
            ("", LineKind::Noise),
        ] {
            assert_eq!(classify(line.as_bytes()), kind, "{line}");
        }
    }

    #[test]
    fn broken_messages_are_told_from_noise() {
        for (line, kind) in [
            (r#"{"stream":"a","record":{"id":1"#, LineKind::BrokenRecord),
            (
                r#"{"stream":"a","type":"RECORD,"record":{"id":1}}"#,
                LineKind::BrokenRecord,
            ),
            (
                r#"{"value":{"a":1,"type":"STATE"}"#,
                LineKind::BrokenControl,
            ),
            (r#"{'type': 'RECORD'}"#, LineKind::Noise),
            ("{starting up}", LineKind::Noise),
        ] {
            assert_eq!(classify(line.as_bytes()), kind, "{line}");
        }
    }
}
