//! Values of the server's binary form as text, and as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::input::{Fault, Input, exactly, text};
use super::kind::Kind;
use super::{calendar, network, numeric};

/// Appends the value as text that the server reads back as the same value.
pub(super) fn write_text(kind: &Kind, cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    match kind {
        Kind::Bool => out.extend_from_slice(if truth(cell)? { b"true" } else { b"false" }),
        Kind::Int2 => integer(i16::from_be_bytes(exactly(cell)?).into(), out),
        Kind::Int4 => integer(i32::from_be_bytes(exactly(cell)?).into(), out),
        Kind::Int8 => integer(i64::from_be_bytes(exactly(cell)?), out),
        Kind::Oid => integer(u32::from_be_bytes(exactly(cell)?).into(), out),
        Kind::Float4 => {
            let value = f32::from_be_bytes(exactly(cell)?);
            match value.is_finite() {
                true => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
                false => out.extend_from_slice(not_finite(value.into())),
            }
        }
        Kind::Float8 => {
            let value = f64::from_be_bytes(exactly(cell)?);
            match value.is_finite() {
                true => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
                false => out.extend_from_slice(not_finite(value)),
            }
        }
        Kind::Decimal(..) | Kind::Number | Kind::Digits => {
            numeric::write(cell, out)?;
        }
        Kind::Text | Kind::Json => out.extend_from_slice(text(cell)?.as_bytes()),
        Kind::Jsonb => out.extend_from_slice(jsonb(cell)?.as_bytes()),
        Kind::Bytea => {
            out.extend_from_slice(b"\\x");
            for byte in cell {
                out.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
        }
        Kind::Date => calendar::write_date(cell, out)?,
        Kind::Time => calendar::write_time(cell, out)?,
        Kind::TimeTz => calendar::write_time_with_zone(cell, out)?,
        Kind::Timestamp(zoned) => calendar::write_timestamp(cell, *zoned, out)?,
        Kind::Interval => calendar::write_interval(cell, out)?,
        Kind::Uuid => network::write_uuid(cell, out)?,
        Kind::Address => network::write_address(cell, out)?,
        Kind::HardwareAddress => network::write_hardware_address(cell, out)?,
        Kind::BitString => bit_string(cell, out)?,
        Kind::Array(element) | Kind::List(element) => array(element, cell, out)?,
    }
    Ok(())
}

/// Appends the value as JSON: numbers with all their digits, bytes in base64, all else that JSON has no form for as a string.
pub(super) fn write_json(kind: &Kind, cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    match kind {
        Kind::Bool | Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => {
            write_text(kind, cell, out)
        }
        Kind::Json | Kind::Jsonb | Kind::Array(_) | Kind::List(_) => write_text(kind, cell, out),
        Kind::Float4 | Kind::Float8 | Kind::Decimal(..) | Kind::Number => {
            let start = out.len();
            write_text(kind, cell, out)?;
            if out.last().is_some_and(u8::is_ascii_alphabetic) {
                out.insert(start, b'"');
                out.push(b'"');
            }
            Ok(())
        }
        Kind::Bytea => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(cell).as_bytes());
            out.push(b'"');
            Ok(())
        }
        Kind::Text => {
            quote(text(cell)?, out);
            Ok(())
        }
        // Letters, digits and signs, none of which JSON escapes.
        _ => {
            out.push(b'"');
            write_text(kind, cell, out)?;
            out.push(b'"');
            Ok(())
        }
    }
}

/// Appends a JSON string.
pub(super) fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(place) = rest
        .iter()
        .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
    {
        out.extend_from_slice(&rest[..place]);
        match rest[place] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

pub(super) fn truth(cell: &[u8]) -> Result<bool, Fault> {
    match cell {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Fault::Malformed),
    }
}

/// The text of a `jsonb`: its format has a version, which has been 1 ever since.
pub(super) fn jsonb(cell: &[u8]) -> Result<&str, Fault> {
    match cell.split_first() {
        Some((1, json)) => text(json),
        _ => Err(Fault::Malformed),
    }
}

fn integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn not_finite(value: f64) -> &'static [u8] {
    match value {
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => b"NaN",
    }
}

fn bit_string(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut input = Input(cell);
    let len = usize::try_from(input.i32()?).map_err(|_| Fault::Malformed)?;
    let bytes = input.bytes(len.div_ceil(8))?;
    input.end()?;
    out.extend((0..len).map(|place| b'0' + (bytes[place / 8] >> (7 - place % 8) & 1)));
    Ok(())
}

/// The dimensions of an array, and its elements one behind the other.
pub(super) struct Elements<'a> {
    pub lengths: Vec<usize>,
    rest: Input<'a>,
}

/// As many as the server has.
const MOST_DIMENSIONS: i32 = 6;

impl<'a> Elements<'a> {
    pub(super) fn new(cell: &'a [u8]) -> Result<Self, Fault> {
        let mut input = Input(cell);
        let dimensions = input.i32()?;
        let (_has_nulls, _element_type) = (input.i32()?, input.u32()?);
        if !(0..=MOST_DIMENSIONS).contains(&dimensions) {
            return Err(Fault::Malformed);
        }
        let mut lengths = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            lengths.push(usize::try_from(input.i32()?).map_err(|_| Fault::Malformed)?);
            let _lower_bound = input.i32()?;
        }
        // Each element takes four bytes at least: what is said of lengths cannot be more than there is.
        let total = lengths
            .iter()
            .try_fold(1usize, |total, len| total.checked_mul(*len));
        if lengths.contains(&0) || total.is_none_or(|total| total > input.0.len() / 4 + 1) {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            lengths,
            rest: input,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        self.rest.cell()
    }

    pub(super) fn end(self) -> Result<(), Fault> {
        self.rest.end()
    }
}

fn array(element: &Kind, cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut elements = Elements::new(cell)?;
    let lengths = std::mem::take(&mut elements.lengths);
    match lengths.as_slice() {
        [] => out.extend_from_slice(b"[]"),
        lengths => dimension(element, lengths, &mut elements, out)?,
    }
    elements.end()
}

fn dimension(
    element: &Kind,
    lengths: &[usize],
    elements: &mut Elements<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    out.push(b'[');
    for place in 0..lengths[0] {
        if place > 0 {
            out.push(b',');
        }
        match &lengths[1..] {
            [] => match elements.next()? {
                Some(cell) => write_json(element, cell, out)?,
                None => out.extend_from_slice(b"null"),
            },
            inner => dimension(element, inner, elements, out)?,
        }
    }
    out.push(b']');
    Ok(())
}
