//! Tuples as records carry them: without the parts of the header that redo knows from elsewhere.
//!
//! ```text
//! xl_heap_header, 5 bytes        xl_multi_insert_tuple, 7 bytes, each aligned to 2
//! offset  size  field            offset  size  field
//!      0     2  t_infomask2           0     2  datalen, of what follows the 7 bytes
//!      2     2  t_infomask            2     5  as xl_heap_header
//!      4     1  t_hoff
//! ```
//!
//! Behind the header comes what follows `HeapTupleHeaderData`'s 23 bytes in a page: the null bitmap,
//! padding up to `t_hoff`, the columns.

use serde::Serialize;

use crate::rmgr::{Cursor, PayloadError};

/// `xl_heap_header`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TupleHeader {
    /// `t_infomask2`: number of columns and flags.
    pub infomask2: u16,
    /// `t_infomask`: flags.
    pub infomask: u16,
    /// `t_hoff`: where the columns begin in the whole tuple, in bytes.
    pub header_size: u8,
}

impl TupleHeader {
    #[inline]
    fn read(cursor: &mut Cursor<'_>) -> Result<TupleHeader, PayloadError> {
        Ok(TupleHeader {
            infomask2: cursor.u16()?,
            infomask: cursor.u16()?,
            header_size: cursor.u8()?,
        })
    }
}

/// A tuple in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tuple<'a> {
    /// What is kept of its header.
    #[serde(flatten)]
    pub header: TupleHeader,
    /// What follows the 23 fixed bytes of its header in a page.
    #[serde(skip)]
    pub data: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// The tuple that fills the rest.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, PayloadError> {
        Ok(Tuple { header: TupleHeader::read(cursor)?, data: cursor.rest() })
    }
}

/// The tuples of a multi-insert, read one by one.
#[derive(Debug, Clone)]
pub struct MultiInsertTuples<'a> {
    cursor: Cursor<'a>,
    left: u16,
}

impl<'a> MultiInsertTuples<'a> {
    pub(in crate::rmgr) fn new(bytes: &'a [u8], count: u16) -> MultiInsertTuples<'a> {
        MultiInsertTuples { cursor: Cursor::new("xl_multi_insert_tuple", bytes), left: count }
    }

    fn read(&mut self) -> Result<Tuple<'a>, PayloadError> {
        self.cursor.align(2)?;
        let length = self.cursor.u16()?;
        let header = TupleHeader::read(&mut self.cursor)?;
        Ok(Tuple { header, data: self.cursor.bytes(usize::from(length))? })
    }
}

/// Ends with the first error.
impl<'a> Iterator for MultiInsertTuples<'a> {
    type Item = Result<Tuple<'a>, PayloadError>;

    fn next(&mut self) -> Option<Result<Tuple<'a>, PayloadError>> {
        self.left = self.left.checked_sub(1)?;
        let tuple = self.read();
        if tuple.is_err() {
            self.left = 0;
        }
        Some(tuple)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmgr::test_record::Bytes;

    #[test]
    fn multi_insert_tuples_are_aligned_and_the_first_error_ends_them() {
        let bytes = Bytes::default();
        let bytes = bytes.u16(3).u16(2).u16(0x802).u8(24).bytes(b"abc").u16(1).u16(1).u16(9).u8(32);
        let bytes = bytes.bytes(b"d").0;
        let tuple = |infomask2, infomask, header_size, data| Tuple {
            header: TupleHeader { infomask2, infomask, header_size },
            data,
        };
        let (first, second) = (tuple(2, 0x802, 24, &b"abc"[..]), tuple(1, 9, 32, &b"d"[..]));
        let all: Vec<_> = MultiInsertTuples::new(&bytes, 2).map(Result::ok).collect();
        assert_eq!(all, [Some(first), Some(second)]);
        let more: Vec<_> = MultiInsertTuples::new(&bytes, 100).map(Result::ok).collect();
        assert_eq!(more, [Some(first), Some(second), None]);
        for length in 0..bytes.len() {
            let cut: Vec<_> = MultiInsertTuples::new(&bytes[..length], 2).collect();
            assert!(cut.iter().any(Result::is_err), "cut to {length}");
        }
    }
}
