//! The stream of a line that cannot be parsed as a whole.

/// Bytes looked at: the key comes early in every known library.
const LOOKED_AT: usize = 4096;

/// The value of the first `"stream"` key near the beginning of the line, if it is a whole string.
pub(crate) fn stream_in(line: &[u8]) -> Option<String> {
    let line = &line[..line.len().min(LOOKED_AT)];
    let key = b"\"stream\"";
    let at = memchr::memmem::find(line, key)? + key.len();
    let value = line[at..]
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start();
    serde_json::Deserializer::from_slice(value)
        .into_iter::<String>()
        .next()?
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_stream_of_a_line_cut_anywhere_behind_it() {
        let line = br#"{"type": "RECORD", "stream" : "or\u00e9", "record": {"a": [1, 2"#;
        assert_eq!(stream_in(line).as_deref(), Some("oré"));
        assert_eq!(stream_in(&line[..34]), None);
        assert_eq!(stream_in(b"\"stream\""), None);
    }
}
