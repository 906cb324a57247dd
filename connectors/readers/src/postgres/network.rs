//! `inet`, `cidr`, `macaddr` and `macaddr8` as the server shows them.

use super::input::{Fault, Input};

/// Appends an address, with the length of its network where that is not all of it or the type is `cidr`.
pub(super) fn write_address(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut input = Input(cell);
    let (family, bits, is_network, len) = (input.u8()?, input.u8()?, input.u8()?, input.u8()?);
    let address = input.bytes(usize::from(len))?;
    input.end()?;
    match (family, address.len()) {
        (2, 4) => dotted(address, out),
        (3, 16) => colons(address, out),
        _ => return Err(Fault::Malformed),
    }
    if is_network != 0 || usize::from(bits) != address.len() * 8 {
        out.extend_from_slice(format!("/{bits}").as_bytes());
    }
    Ok(())
}

fn dotted(address: &[u8], out: &mut Vec<u8>) {
    for (place, byte) in address.iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(byte.to_string().as_bytes());
    }
}

/// As `inet_ntop` of BIND, which PostgreSQL has its own copy of: one run of two zero words or more becomes `::`.
fn colons(address: &[u8], out: &mut Vec<u8>) {
    let words: Vec<u16> = address
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let (mut start, mut len, mut place) = (0, 0, 0);
    while place < 8 {
        let zeros = words[place..].iter().take_while(|word| **word == 0).count();
        if zeros > len {
            (start, len) = (place, zeros);
        }
        place += zeros.max(1);
    }
    if len < 2 {
        (start, len) = (8, 0);
    }
    // The last two words of an address that is made of an older one are written as that one.
    let older = start == 0 && (len == 6 || (len == 5 && words[5] == 0xFFFF));
    let mut place = 0;
    while place < 8 {
        if place == start {
            out.extend_from_slice(b"::");
            place += len;
        } else {
            if place > 0 && !out.ends_with(b"::") {
                out.push(b':');
            }
            if place == 6 && older {
                dotted(&address[12..], out);
                break;
            }
            out.extend_from_slice(format!("{:x}", words[place]).as_bytes());
            place += 1;
        }
    }
}

/// Appends the bytes of a hardware address.
pub(super) fn write_hardware_address(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    if !matches!(cell.len(), 6 | 8) {
        return Err(Fault::Malformed);
    }
    for (place, byte) in cell.iter().enumerate() {
        if place > 0 {
            out.push(b':');
        }
        hex(*byte, out);
    }
    Ok(())
}

/// Appends a UUID.
pub(super) fn write_uuid(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let cell: &[u8; 16] = cell.try_into().map_err(|_| Fault::Malformed)?;
    out.reserve(36);
    for (place, byte) in cell.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        hex(*byte, out);
    }
    Ok(())
}

#[inline(always)]
fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shortened_as_the_server_does() {
        for (words, text) in [
            ([0, 0, 0, 0, 0, 0, 0, 0], "::"),
            ([0, 0, 0, 0, 0, 0, 0, 1], "::1"),
            ([0, 0, 0, 0, 0, 0, 0x0102, 0x0304], "::1.2.3.4"),
            ([0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304], "::ffff:1.2.3.4"),
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], "2001:db8::1"),
            ([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1], "2001:db8:0:1::1"),
            ([1, 0, 2, 0, 3, 0, 4, 0], "1:0:2:0:3:0:4:0"),
            ([1, 2, 3, 4, 5, 6, 0, 0], "1:2:3:4:5:6::"),
        ] {
            let mut cell = vec![3, 128, 0, 16];
            cell.extend(words.iter().flat_map(|word: &u16| word.to_be_bytes()));
            let mut out = Vec::new();
            write_address(&cell, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn networks_have_their_length() {
        for (cell, text) in [
            (&[2, 32, 0, 4, 10, 0, 0, 1][..], "10.0.0.1"),
            (&[2, 32, 1, 4, 10, 0, 0, 1][..], "10.0.0.1/32"),
            (&[2, 8, 0, 4, 10, 0, 0, 1][..], "10.0.0.1/8"),
        ] {
            let mut out = Vec::new();
            write_address(cell, &mut out).unwrap();
            assert_eq!(out, text.as_bytes());
        }
        assert_eq!(
            write_address(&[2, 32, 0, 16, 1], &mut Vec::new()),
            Err(Fault::Malformed)
        );
    }
}
