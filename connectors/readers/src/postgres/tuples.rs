//! The stream of a binary COPY.
//!
//! A signature, flags, an extension; then for each row the number of its fields and each field with its length; -1 in the place
//! of a number of fields ends it. The server sends a row a message, but promises nothing, and what stands between may cut
//! it anywhere: bytes of a row that is not yet whole are kept for the next call.

use super::kind::Kind;
use super::{calendar, numeric};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// In the place of a number of fields.
pub(super) const END: [u8; 2] = (-1i16).to_be_bytes();
/// Flags that change what follows; none is known.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;

/// What is wrong with the stream itself: it cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub &'static str);

/// The length of the header that `data` starts with, if it is there.
pub(super) fn header(data: &[u8]) -> Result<Option<usize>, Broken> {
    let known = data.len().min(SIGNATURE.len());
    if data[..known] != SIGNATURE[..known] {
        return Err(Broken("no binary COPY"));
    }
    let Some((fixed, rest)) = data.split_first_chunk::<19>() else {
        return Ok(None);
    };
    let word = |place: usize| {
        u32::from_be_bytes([
            fixed[place],
            fixed[place + 1],
            fixed[place + 2],
            fixed[place + 3],
        ])
    };
    if word(11) & CRITICAL_FLAGS != 0 {
        return Err(Broken("a binary COPY of an unknown kind"));
    }
    let extension = word(15) as usize;
    Ok((rest.len() >= extension).then(|| 19 + extension))
}

/// A field of a row; `None` where it is null or not there.
pub(super) fn field(tuple: &[u8], column: usize) -> Option<&[u8]> {
    let mut rest = tuple.get(2..)?;
    for place in 0.. {
        let (&len, behind) = rest.split_first_chunk::<4>()?;
        let cell = match i32::from_be_bytes(len) {
            -1 => None,
            len => {
                let (cell, after) = behind.split_at_checked(usize::try_from(len).ok()?)?;
                rest = after;
                Some(cell)
            }
        };
        if cell.is_none() {
            rest = behind;
        }
        if place == column {
            return cell;
        }
    }
    None
}

/// Whether two values are equal: `numeric` and floats have several forms of one value.
pub(super) fn is_same(kind: &Kind, one: &[u8], other: &[u8]) -> bool {
    match (kind, one.len().max(other.len())) {
        (Kind::Decimal(..) | Kind::Number | Kind::Digits, 8..)
            if one.len().min(other.len()) >= 8 =>
        {
            one[..6] == other[..6] && one[8..] == other[8..]
        }
        (Kind::Float4 | Kind::Float8, 4..) => {
            let is_zero =
                |cell: &[u8]| cell[0] & 0x7F == 0 && cell[1..].iter().all(|byte| *byte == 0);
            one == other || (!one.is_empty() && !other.is_empty() && is_zero(one) && is_zero(other))
        }
        _ => one == other,
    }
}

/// Whether a row behind this value can be asked for: infinity would be the last cursor for ever.
pub(super) fn is_finite(kind: &Kind, cell: &[u8]) -> bool {
    match kind {
        Kind::Date => calendar::date(cell).is_ok(),
        Kind::Timestamp(_) => calendar::timestamp(cell).is_ok(),
        Kind::Float4 => cell
            .try_into()
            .is_ok_and(|bytes| f32::from_be_bytes(bytes).is_finite()),
        Kind::Float8 => cell
            .try_into()
            .is_ok_and(|bytes| f64::from_be_bytes(bytes).is_finite()),
        Kind::Decimal(..) | Kind::Number | Kind::Digits => {
            numeric::write(cell, &mut Vec::new()) == Ok(true)
        }
        _ => true,
    }
}
