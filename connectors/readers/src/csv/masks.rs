//! Where in 64 bytes one of two bytes stands.

/// Bytes looked at in one go.
pub(super) const WIDTH: usize = 64;

/// One bit per byte that is `first` or `second`.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn either(block: &[u8; WIDTH], first: u8, second: u8) -> u64 {
    // SSE2 is part of x86-64, so there is nothing to detect.
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    let mut mask = 0;
    for part in 0..4 {
        // SAFETY: each load reads 16 of the 64 bytes that `block` borrows, and has no alignment to keep; the rest reads no memory.
        #[allow(unsafe_code, unused_unsafe)]
        let bits = unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().add(part * 16).cast());
            let left = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(first as i8));
            let right = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(second as i8));
            _mm_movemask_epi8(_mm_or_si128(left, right)) as u32
        };
        mask |= u64::from(bits) << (part * 16);
    }
    mask
}

/// One bit per byte that is `first` or `second`.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn either(block: &[u8; WIDTH], first: u8, second: u8) -> u64 {
    let mut mask = 0;
    for (bit, &byte) in block.iter().enumerate() {
        mask |= u64::from(byte == first || byte == second) << bit;
    }
    mask
}

/// Walks over the places of two bytes in a text, from left to right.
pub(super) struct Places<'a> {
    text: &'a [u8],
    first: u8,
    second: u8,
    base: usize,
    mask: u64,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a [u8], first: u8, second: u8) -> Self {
        let mut places = Self {
            text,
            first,
            second,
            base: 0,
            mask: 0,
        };
        places.mask = places.load();
        places
    }

    #[inline]
    fn load(&self) -> u64 {
        let Some(rest) = self.text.get(self.base..) else {
            return 0;
        };
        if let Some(block) = rest.first_chunk::<WIDTH>() {
            return either(block, self.first, self.second);
        }
        let mut block = [0; WIDTH];
        block[..rest.len()].copy_from_slice(rest);
        // What lies behind the text is no place in it.
        either(&block, self.first, self.second) & !(u64::MAX << rest.len())
    }

    /// The next place, which is then behind; the text's length where there is none.
    #[inline(always)]
    pub(super) fn next(&mut self) -> usize {
        while self.mask == 0 {
            self.base += WIDTH;
            if self.base >= self.text.len() {
                return self.text.len();
            }
            self.mask = self.load();
        }
        let place = self.base + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        place
    }

    /// Goes on at `place`, which is not before where it is.
    #[inline]
    pub(super) fn skip_to(&mut self, place: usize) {
        let base = place & !(WIDTH - 1);
        if base != self.base {
            self.base = base;
            self.mask = self.load();
        }
        self.mask &= u64::MAX << (place - base);
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn every_place_is_found_once_wherever_it_is() {
        for length in 0..200 {
            let text: Vec<u8> = (0..length)
                .map(|at| match at % 7 {
                    3 => b',',
                    5 => b'\n',
                    _ => 0,
                })
                .collect();
            let mut places = Places::new(&text, b',', b'\n');
            for (at, byte) in text.iter().enumerate() {
                if *byte != 0 {
                    assert_eq!(places.next(), at);
                }
            }
            assert_eq!(places.next(), length);
        }
    }

    #[test]
    fn a_skip_forgets_what_lies_before() {
        let text = [b','; 200];
        for from in 0..200 {
            let mut places = Places::new(&text, b',', b'\n');
            places.skip_to(from);
            assert_eq!(places.next(), from);
        }
    }

    #[test]
    fn zero_bytes_behind_the_text_are_none() {
        let mut places = Places::new(b"a\0", 0, 0);
        assert_eq!((places.next(), places.next()), (1, 2));
    }
}
