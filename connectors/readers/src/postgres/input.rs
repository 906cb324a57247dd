//! Fields of PostgreSQL's binary formats, read without a step beyond their end.

/// Why a cell is no value of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A value that no Arrow type of the column holds: what is the matter with it.
    Value(&'static str),
    /// These bytes are no value of the type: what the server says and what it sends differ.
    Malformed,
}

/// The rest of a value's bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    #[inline(always)]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (chunk, rest) = self.0.split_first_chunk::<N>().ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(*chunk)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.chunk::<1>()?[0])
    }

    pub(super) fn i16(&mut self) -> Result<i16, Fault> {
        Ok(i16::from_be_bytes(self.chunk()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(self.chunk()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, Fault> {
        Ok(i32::from_be_bytes(self.chunk()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_be_bytes(self.chunk()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, Fault> {
        Ok(i64::from_be_bytes(self.chunk()?))
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A value with its length before it; `None` for null.
    pub(super) fn cell(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        match self.i32()? {
            -1 => Ok(None),
            len => self
                .bytes(usize::try_from(len).map_err(|_| Fault::Malformed)?)
                .map(Some),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Fault::Malformed),
        }
    }
}

/// All of a value's bytes, which must be exactly `N`.
#[inline(always)]
pub(super) fn exactly<const N: usize>(cell: &[u8]) -> Result<[u8; N], Fault> {
    cell.try_into().map_err(|_| Fault::Malformed)
}

/// Text, as the server must have sent it.
#[inline(always)]
pub(super) fn text(cell: &[u8]) -> Result<&str, Fault> {
    simdutf8::basic::from_utf8(cell).map_err(|_| Fault::Value("text that is not UTF-8"))
}
