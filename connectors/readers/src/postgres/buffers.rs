//! The layouts of Arrow data that columns are made of, with a last row that can be taken back.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

/// One bit per row.
#[derive(Debug, Default)]
pub(super) struct Bits {
    len: usize,
    bytes: Vec<u8>,
}

impl Bits {
    #[inline(always)]
    pub(super) fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        self.bytes[self.len / 8] |= u8::from(bit) << (self.len % 8);
        self.len += 1;
    }

    fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.bytes.truncate(len.div_ceil(8));
            if !len.is_multiple_of(8) {
                self.bytes[len / 8] &= !(0xFF << (len % 8));
            }
        }
    }

    fn finish(&mut self) -> BooleanBuffer {
        let taken = std::mem::take(self);
        BooleanBuffer::new(Buffer::from_vec(taken.bytes), 0, taken.len)
    }
}

/// Which rows are null; nothing is kept before the first null.
#[derive(Debug, Default)]
pub(super) struct Validity {
    len: usize,
    bits: Option<Bits>,
}

impl Validity {
    #[inline(always)]
    pub(super) fn push(&mut self) {
        if let Some(bits) = &mut self.bits {
            bits.push(true);
        }
        self.len += 1;
    }

    pub(super) fn push_null(&mut self) {
        let len = self.len;
        let bits = self.bits.get_or_insert_with(|| Bits {
            len,
            bytes: filled(len),
        });
        bits.push(false);
        self.len += 1;
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if let Some(bits) = &mut self.bits {
            bits.truncate(len);
        }
    }

    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        self.len = 0;
        let nulls = NullBuffer::new(self.bits.take()?.finish());
        (nulls.null_count() > 0).then_some(nulls)
    }
}

/// `len` set bits.
fn filled(len: usize) -> Vec<u8> {
    let mut bytes = vec![0xFF; len / 8];
    if !len.is_multiple_of(8) {
        bytes.push(!(0xFF << (len % 8)));
    }
    bytes
}

/// One value of fixed width per row.
#[derive(Debug, Default)]
pub(super) struct Fixed<T> {
    values: Vec<T>,
    validity: Validity,
}

impl<T: Copy + Default> Fixed<T> {
    #[inline(always)]
    pub(super) fn push(&mut self, value: T) {
        self.values.push(value);
        self.validity.push();
    }

    pub(super) fn push_null(&mut self) {
        self.values.push(T::default());
        self.validity.push_null();
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    pub(super) fn nbytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    /// Hands over the rows and starts anew, with room for as many.
    pub(super) fn finish(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let next = Vec::with_capacity(self.values.len());
        (
            std::mem::replace(&mut self.values, next),
            self.validity.finish(),
        )
    }
}

/// One truth value per row.
#[derive(Debug, Default)]
pub(super) struct Flags {
    values: Bits,
    validity: Validity,
}

impl Flags {
    #[inline(always)]
    pub(super) fn push(&mut self, value: bool) {
        self.values.push(value);
        self.validity.push();
    }

    pub(super) fn push_null(&mut self) {
        self.values.push(false);
        self.validity.push_null();
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    pub(super) fn nbytes(&self) -> usize {
        self.values.bytes.len()
    }

    pub(super) fn finish(&mut self) -> (BooleanBuffer, Option<NullBuffer>) {
        (self.values.finish(), self.validity.finish())
    }
}

/// Where each row of a column of runs ends.
#[derive(Debug)]
pub(super) struct Ends {
    /// The first entry is 0.
    offsets: Vec<i32>,
    validity: Validity,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            validity: Validity::default(),
        }
    }
}

impl Ends {
    /// A row that ends at `end`; false where no offset reaches so far.
    #[inline(always)]
    pub(super) fn push(&mut self, end: usize) -> bool {
        if end > i32::MAX as usize {
            return false;
        }
        self.offsets.push(end as i32);
        self.validity.push();
        true
    }

    pub(super) fn push_null(&mut self) {
        self.offsets.push(self.end() as i32);
        self.validity.push_null();
    }

    /// Where the last row ends.
    pub(super) fn end(&self) -> usize {
        self.offsets.last().map_or(0, |&end| end as usize)
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.validity.truncate(rows);
    }

    pub(super) fn nbytes(&self) -> usize {
        self.offsets.len() * size_of::<i32>()
    }

    pub(super) fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let mut next = Vec::with_capacity(self.offsets.len());
        next.push(0);
        let offsets = std::mem::replace(&mut self.offsets, next);
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            self.validity.finish(),
        )
    }
}

/// A run of bytes per row.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// All rows' bytes, one behind the other; a row is appended here and then closed with [`Runs::close`].
    pub values: Vec<u8>,
    ends: Ends,
}

impl Runs {
    /// Makes what was appended to `values` a row; false where the column holds no more.
    #[inline(always)]
    #[must_use]
    pub(super) fn close(&mut self) -> bool {
        self.ends.push(self.values.len())
    }

    #[inline(always)]
    #[must_use]
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.values.extend_from_slice(bytes);
        self.close()
    }

    pub(super) fn push_null(&mut self) {
        self.ends.push_null();
    }

    /// Keeps `rows` rows, and nothing that was appended behind them.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.values.truncate(self.ends.end());
    }

    pub(super) fn nbytes(&self) -> usize {
        self.values.len() + self.ends.nbytes()
    }

    pub(super) fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let (offsets, nulls) = self.ends.finish();
        let next = Vec::with_capacity(self.values.len().min(MOST_ROOM));
        let mut values = std::mem::replace(&mut self.values, next);
        // A batch waits for its consumer; what a vector grew beyond its content would wait with it.
        if values.capacity() - values.len() > values.len() / 8 {
            values.shrink_to_fit();
        }
        (offsets, Buffer::from_vec(values), nulls)
    }
}

/// Room that a column of texts keeps ready for the next batch, in bytes: one wide value must not be paid for ever after.
const MOST_ROOM: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_forgets_the_rows_behind() {
        for len in 0..40 {
            for keep in 0..=len {
                let mut cells = Fixed::<i64>::default();
                let mut flags = Flags::default();
                for row in 0..len {
                    if row % 3 == 1 {
                        cells.push_null();
                        flags.push_null();
                    } else {
                        cells.push(row);
                        flags.push(true);
                    }
                }
                cells.truncate(keep as usize);
                flags.truncate(keep as usize);
                cells.push_null();
                flags.push(false);
                let (values, nulls) = cells.finish();
                let nulls = nulls.unwrap();
                assert_eq!(values.len() as i64, keep + 1);
                let expected: Vec<bool> = (0..keep).map(|row| row % 3 != 1).collect();
                assert_eq!(nulls.iter().collect::<Vec<_>>()[..keep as usize], expected);
                assert!(nulls.is_null(keep as usize));
                assert!(!flags.finish().0.value(keep as usize));
            }
        }
    }

    #[test]
    fn no_bitmap_without_a_null() {
        let mut runs = Runs::default();
        assert!(runs.push(b"ab"));
        runs.push_null();
        runs.truncate(1);
        assert!(runs.push(b"c"));
        let (offsets, values, nulls) = runs.finish();
        assert_eq!(
            (&offsets[..], values.as_slice()),
            (&[0, 2, 3][..], &b"abc"[..])
        );
        assert!(nulls.is_none());
    }
}
