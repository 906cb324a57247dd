//! The two layouts of Arrow data that columns are made of, with a last row that can be taken back.

use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::validity::Validity;

/// Room that a column keeps ready for the next batch, in bytes: growing from here costs little, and many streams that are
/// seldom seen must not hold much.
const MOST_ROOM: usize = 64 * 1024;

/// An empty vector with room for `len` values, within reason.
fn room<T>(len: usize) -> Vec<T> {
    Vec::with_capacity(len.min(MOST_ROOM / size_of::<T>()))
}

/// What is in `filled`, in memory of about its own size, and an empty vector in its place.
///
/// Batches wait for their consumer; what a vector grew beyond its content would wait with them.
fn take<T>(filled: &mut Vec<T>) -> Vec<T> {
    let next = room(filled.len());
    let mut taken = std::mem::replace(filled, next);
    if taken.capacity() - taken.len() > taken.len() / 8 {
        taken.shrink_to_fit();
    }
    taken
}

/// One value of fixed width per row.
#[derive(Debug)]
pub(crate) struct Fixed<T> {
    values: Vec<T>,
    validity: Validity,
}

impl<T: Copy + Default> Fixed<T> {
    pub(crate) fn new() -> Self {
        Self {
            values: Vec::new(),
            validity: Validity::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether a row is not null.
    pub(crate) fn has_values(&self) -> bool {
        self.validity.has_values()
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) {
        self.values.push(value);
        self.validity.push_valid();
    }

    #[inline]
    pub(crate) fn push_null(&mut self) {
        self.values.push(T::default());
        self.validity.push_null();
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    pub(crate) fn nbytes(&self) -> usize {
        self.values.len() * size_of::<T>() + self.validity.nbytes()
    }

    /// Hands over the values and starts anew.
    pub(crate) fn finish(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let values = take(&mut self.values);
        (values, self.validity.finish())
    }
}

/// A run of bytes per row.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// Where each row ends; the first entry is 0.
    offsets: Vec<i32>,
    /// All rows' bytes, one behind the other; a row is appended here and then closed with [`Bytes::close`].
    pub values: Vec<u8>,
    validity: Validity,
}

impl Bytes {
    pub(crate) fn new() -> Self {
        Self {
            offsets: vec![0],
            values: Vec::new(),
            validity: Validity::default(),
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.validity.len()
    }

    /// Makes what was appended to `values` a row. A batch never outgrows the offsets: the builder is full before.
    #[inline(always)]
    pub(crate) fn close(&mut self) {
        self.offsets.push(self.values.len() as i32);
        self.validity.push_valid();
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.values.extend_from_slice(bytes);
        self.close();
    }

    #[inline]
    pub(crate) fn push_null(&mut self) {
        self.offsets.push(self.values.len() as i32);
        self.validity.push_null();
    }

    /// The last row's bytes, null or not.
    pub(crate) fn last(&self) -> Option<&[u8]> {
        let [.., start, end] = self.offsets[..] else {
            return None;
        };
        self.values.get(start as usize..end as usize)
    }

    /// Keeps `rows` rows, and nothing that was appended behind them.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.values
            .truncate(self.offsets.last().map_or(0, |&end| end as usize));
        self.validity.truncate(rows);
    }

    pub(crate) fn nbytes(&self) -> usize {
        self.offsets.len() * size_of::<i32>() + self.values.len() + self.validity.nbytes()
    }

    /// Hands over the rows and starts anew.
    pub(crate) fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let offsets = take(&mut self.offsets);
        self.offsets.push(0);
        let values = take(&mut self.values);
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(values),
            self.validity.finish(),
        )
    }
}
