//! Which rows of a column are null.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

/// A validity bitmap that is not kept before the first null.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    len: usize,
    /// One bit per row, set where there is a value; empty as long as there was no null. Bits behind `len` are zero.
    bits: Vec<u8>,
}

impl Validity {
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(crate) fn push_valid(&mut self) {
        if !self.bits.is_empty() {
            self.push_bit(1);
        }
        self.len += 1;
    }

    #[inline]
    pub(crate) fn push_null(&mut self) {
        if self.bits.is_empty() {
            self.materialize();
        }
        self.push_bit(0);
        self.len += 1;
    }

    #[inline]
    fn push_bit(&mut self, bit: u8) {
        let byte = self.len / 8;
        if byte == self.bits.len() {
            self.bits.push(0);
        }
        self.bits[byte] |= bit << (self.len % 8);
    }

    #[cold]
    fn materialize(&mut self) {
        self.bits.resize(self.len / 8, 0xFF);
        self.bits.push(!(0xFF << (self.len % 8)));
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        if !self.bits.is_empty() {
            self.bits.truncate(len / 8 + 1);
            if let Some(last) = self.bits.get_mut(len / 8) {
                *last &= !(0xFF << (len % 8));
            }
        }
    }

    /// Whether a row has a value.
    pub(crate) fn has_values(&self) -> bool {
        match self.bits.is_empty() {
            true => self.len > 0,
            false => self.bits.iter().any(|bits| *bits != 0),
        }
    }

    pub(crate) fn nbytes(&self) -> usize {
        self.bits.len()
    }

    /// Hands the bitmap over and starts anew.
    pub(crate) fn finish(&mut self) -> Option<NullBuffer> {
        let len = std::mem::take(&mut self.len);
        let bits = std::mem::take(&mut self.bits);
        if bits.is_empty() {
            return None;
        }
        let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, len));
        (nulls.null_count() > 0).then_some(nulls)
    }
}

#[cfg(test)]
mod tests {
    use super::Validity;

    fn pushed(rows: &[bool]) -> Validity {
        let mut validity = Validity::default();
        for &valid in rows {
            if valid {
                validity.push_valid()
            } else {
                validity.push_null()
            }
        }
        validity
    }

    #[test]
    fn no_bitmap_without_a_null() {
        assert!(pushed(&[true; 100]).finish().is_none());
    }

    #[test]
    fn truncation_forgets_the_rows_behind() {
        for len in 0..40 {
            for keep in 0..=len {
                let rows: Vec<bool> = (0..len).map(|row| row % 3 != 1).collect();
                let mut validity = pushed(&rows);
                validity.truncate(keep);
                validity.push_valid();
                validity.push_null();
                validity.push_valid();
                let mut expected = rows[..keep].to_vec();
                expected.extend([true, false, true]);
                assert_eq!(validity.len(), expected.len());
                assert_eq!(
                    validity.finish().unwrap().iter().collect::<Vec<_>>(),
                    expected
                );
            }
        }
    }

    #[test]
    fn rolled_back_nulls_leave_no_bitmap() {
        let mut validity = pushed(&[true, true, false]);
        validity.truncate(2);
        validity.push_valid();
        assert!(validity.finish().is_none());
    }
}
