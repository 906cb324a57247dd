//! Finding the end of plain text in a string, sixteen bytes at a time.

/// Index of the first byte at or after `from` that is `"`, `\` or below 0x20 (or `buf.len()`), and whether a byte above 0x7F comes before it.
#[inline]
pub(crate) fn plain_run(buf: &[u8], from: usize) -> (usize, bool) {
    let mut at = from;
    let mut wide = false;
    while let Some(block) = buf.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let (stops, high) = block_masks(block);
        if stops != 0 {
            let offset = stops.trailing_zeros();
            return (
                at + offset as usize,
                wide | (high & ((1 << offset) - 1) != 0),
            );
        }
        wide |= high != 0;
        at += 16;
    }
    while let Some(&byte) = buf.get(at) {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            break;
        }
        wide |= byte >= 0x80;
        at += 1;
    }
    (at, wide)
}

/// One bit per byte: where the plain text stops, and where a byte is above 0x7F.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn block_masks(block: &[u8; 16]) -> (u32, u32) {
    // SSE2 is part of x86-64, so there is nothing to detect.
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    // SAFETY: the load reads the 16 bytes that `block` borrows, and has no alignment to keep.
    #[allow(unsafe_code)]
    let bytes = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
    // SAFETY: SSE2 is always there on x86-64; these read no memory.
    #[allow(unsafe_code, unused_unsafe)]
    unsafe {
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
        let stops = _mm_or_si128(_mm_or_si128(quote, slash), control);
        (
            _mm_movemask_epi8(stops) as u32,
            _mm_movemask_epi8(bytes) as u32,
        )
    }
}

/// One bit per byte: where the plain text stops, and where a byte is above 0x7F.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn block_masks(block: &[u8; 16]) -> (u32, u32) {
    let (mut stops, mut high) = (0, 0);
    for (bit, &byte) in block.iter().enumerate() {
        stops |= u32::from(byte < 0x20 || byte == b'"' || byte == b'\\') << bit;
        high |= u32::from(byte >> 7) << bit;
    }
    (stops, high)
}

#[cfg(test)]
mod tests {
    use super::plain_run;

    #[test]
    fn stops_at_quote_backslash_and_control_wherever_they_are() {
        for stop in [b'"', b'\\', 0x00, 0x1F, b'\n'] {
            for length in 0..70 {
                let mut text = vec![b'x'; length];
                text.push(stop);
                text.extend_from_slice(b"tail\"");
                assert_eq!(plain_run(&text, 0), (length, false));
            }
        }
    }

    #[test]
    fn sees_wide_bytes_only_before_the_stop() {
        for length in 0..40 {
            let mut text = vec![b'x'; length];
            text.extend_from_slice("é".as_bytes());
            assert_eq!(plain_run(&text, 0), (length + 2, true));
            let mut after = vec![b'x'; length];
            after.push(b'"');
            after.extend_from_slice("ééééééééééé".as_bytes());
            assert_eq!(plain_run(&after, 0), (length, false));
        }
    }

    #[test]
    fn del_and_bytes_above_are_plain() {
        assert_eq!(plain_run(&[0x7F, 0x80, 0xFF, b'"'], 0), (3, true));
        assert_eq!(plain_run(b"", 0), (0, false));
    }
}
