//! Strings as JSON.

use crate::json::plain_run;

/// Appends `text`, which is valid UTF-8, in quotes, with what must be escaped escaped.
#[inline]
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut from = 0;
    loop {
        let (stop, _) = plain_run(text, from);
        out.extend_from_slice(&text[from..stop]);
        let Some(&byte) = text.get(stop) else { break };
        escape(byte, out);
        from = stop + 1;
    }
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends JSON text so that it stays on one line: outside strings a line break is white space, and inside there is none.
#[inline]
pub(super) fn write_raw(json: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(json);
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        out[from..]
            .iter_mut()
            .filter(|byte| matches!(byte, b'\n' | b'\r'))
            .for_each(|byte| *byte = b' ');
    }
}
