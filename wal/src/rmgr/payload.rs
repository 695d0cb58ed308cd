//! Reading a record's payload: a checked cursor over its bytes, arrays that are read when asked for, and
//! the error when the bytes do not suffice.
//!
//! A checksum is no authentication, so every length in a payload is checked against the bytes that are
//! there; nothing is allocated for a count that is merely claimed. Structs keep the padding that the C
//! compiler gave them: [`Cursor::skip`] and [`Cursor::align`] say where.

use std::marker::PhantomData;

use base::{BlockNumber, Lsn, RelFileLocator, Tid, TimestampTz, Xid};
use serde::{Serialize, Serializer};

use crate::version::Version;

/// A payload whose bytes do not hold what its record type says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is too short: {wanted} bytes wanted at offset {at}, {got} there")]
pub struct PayloadError {
    /// What was being read, as PostgreSQL names it: `xl_heap_insert`.
    pub what: &'static str,
    /// Offset in the main data or block data, in bytes.
    pub at: usize,
    /// Bytes needed from there.
    pub wanted: usize,
    /// Bytes that are there.
    pub got: usize,
}

/// A position in a payload. Integers are little-endian.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`, which hold the struct `what`.
    #[inline]
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { what, bytes, at: 0 }
    }

    /// Offset from the start, in bytes.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes that are left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Where fewer are left; so for all that follow.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], PayloadError> {
        match self.rest().get(..count) {
            Some(found) => {
                self.at += count;
                Ok(found)
            }
            None => Err(self.too_short(count)),
        }
    }

    #[cold]
    fn too_short(&self, wanted: usize) -> PayloadError {
        PayloadError { what: self.what, at: self.at, wanted, got: self.remaining() }
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        match self.rest().first_chunk() {
            Some(found) => {
                self.at += N;
                Ok(*found)
            }
            None => Err(self.too_short(N)),
        }
    }

    /// Passes over `count` bytes.
    #[inline]
    pub fn skip(&mut self, count: usize) -> Result<(), PayloadError> {
        self.bytes(count).map(|_| ())
    }

    /// Passes over padding up to a multiple of `alignment` from the start.
    #[inline]
    pub fn align(&mut self, alignment: usize) -> Result<(), PayloadError> {
        self.skip(self.at.next_multiple_of(alignment) - self.at)
    }

    /// `uint8`
    #[inline]
    pub fn u8(&mut self) -> Result<u8, PayloadError> {
        self.chunk().map(|[byte]| byte)
    }

    /// `bool`: any byte but 0 is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, PayloadError> {
        self.u8().map(|byte| byte != 0)
    }

    /// `uint16`
    #[inline]
    pub fn u16(&mut self) -> Result<u16, PayloadError> {
        self.chunk().map(u16::from_le_bytes)
    }

    /// `uint32`
    #[inline]
    pub fn u32(&mut self) -> Result<u32, PayloadError> {
        self.chunk().map(u32::from_le_bytes)
    }

    /// `int32`
    #[inline]
    pub fn i32(&mut self) -> Result<i32, PayloadError> {
        self.chunk().map(i32::from_le_bytes)
    }

    /// `uint64`
    #[inline]
    pub fn u64(&mut self) -> Result<u64, PayloadError> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// `int64`
    #[inline]
    pub fn i64(&mut self) -> Result<i64, PayloadError> {
        self.chunk().map(i64::from_le_bytes)
    }

    /// Number of a page of an SLRU log: `int` before 17, `int64` from then on.
    #[inline]
    pub fn slru_page(&mut self, version: Version) -> Result<i64, PayloadError> {
        if version >= Version::V17 { self.i64() } else { self.i32().map(i64::from) }
    }

    /// `TransactionId`
    #[inline]
    pub fn xid(&mut self) -> Result<Xid, PayloadError> {
        self.u32().map(Xid)
    }

    /// `XLogRecPtr`
    #[inline]
    pub fn lsn(&mut self) -> Result<Lsn, PayloadError> {
        self.u64().map(Lsn)
    }

    /// `TimestampTz`
    #[inline]
    pub fn time(&mut self) -> Result<TimestampTz, PayloadError> {
        self.i64().map(TimestampTz)
    }

    /// `RelFileLocator`, 12 bytes
    #[inline]
    pub fn locator(&mut self) -> Result<RelFileLocator, PayloadError> {
        Ok(RelFileLocator { tablespace: self.u32()?, database: self.u32()?, relation: self.u32()? })
    }

    /// A count: an `int` that C would let be negative. A negative one becomes so large that no bytes
    /// suffice for it.
    #[inline]
    pub fn count(&mut self) -> Result<usize, PayloadError> {
        self.i32().map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// A count (`int`) and as many elements behind it.
    ///
    /// # Errors
    /// Where the bytes left do not hold as many, and for a negative count.
    #[inline]
    pub fn counted_array<T: Element>(&mut self) -> Result<Array<'a, T>, PayloadError> {
        let count = self.count()?;
        self.array(count)
    }

    /// The bytes up to the next 0, which is passed over and not among them: a C string.
    ///
    /// # Errors
    /// Where there is no 0.
    #[inline]
    pub fn c_string(&mut self) -> Result<&'a [u8], PayloadError> {
        match self.rest().iter().position(|&byte| byte == 0) {
            Some(length) => {
                let found = &self.rest()[..length];
                self.at += length + 1;
                Ok(found)
            }
            None => Err(self.too_short(self.remaining() + 1)),
        }
    }

    /// `BlockIdData`, 4 bytes aligned to 2: the high half comes first.
    #[inline]
    pub fn block_id(&mut self) -> Result<BlockNumber, PayloadError> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// `ItemPointerData`, 6 bytes
    #[inline]
    pub fn tid(&mut self) -> Result<Tid, PayloadError> {
        Ok(Tid { block: self.block_id()?, offset: self.u16()? })
    }

    /// The next `count` elements, as an array that reads them when asked for.
    ///
    /// # Errors
    /// Where the bytes left do not hold as many.
    #[inline]
    pub fn array<T: Element>(&mut self, count: usize) -> Result<Array<'a, T>, PayloadError> {
        let wanted = count.saturating_mul(T::SIZE);
        Ok(Array { bytes: self.bytes(wanted)?, element: PhantomData })
    }
}

/// What an [`Array`] may hold: a value with a fixed size on disk.
pub trait Element: Copy {
    /// Size on disk in bytes, padding included.
    const SIZE: usize;
    /// Reads one from exactly `SIZE` bytes.
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! integer_element {
    ($($type:ty),*) => {$(
        impl Element for $type {
            const SIZE: usize = size_of::<$type>();
            #[inline]
            fn read(bytes: &[u8]) -> $type {
                bytes.first_chunk().map_or(0, |chunk| <$type>::from_le_bytes(*chunk))
            }
        }
    )*};
}
integer_element!(u8, u16, u32, i32, u64);

impl Element for Xid {
    const SIZE: usize = 4;
    #[inline]
    fn read(bytes: &[u8]) -> Xid {
        Xid(u32::read(bytes))
    }
}

impl Element for RelFileLocator {
    const SIZE: usize = 12;
    #[inline]
    fn read(bytes: &[u8]) -> RelFileLocator {
        RelFileLocator {
            tablespace: u32::read(&bytes[..4]),
            database: u32::read(&bytes[4..8]),
            relation: u32::read(&bytes[8..12]),
        }
    }
}

impl Element for Tid {
    const SIZE: usize = Tid::SIZE;
    #[inline]
    fn read(bytes: &[u8]) -> Tid {
        bytes.first_chunk().map_or(Tid::default(), |chunk| Tid::from_bytes(*chunk))
    }
}

/// An array on disk, read element by element; its bytes are known to be there.
#[derive(Clone, Copy)]
pub struct Array<'a, T> {
    bytes: &'a [u8],
    element: PhantomData<T>,
}

impl<'a, T> Array<'a, T> {
    /// Its bytes as they lie in the record.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a, T: Element> Array<'a, T> {
    /// Over the bytes of whole elements; `None` where some are left over.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Option<Array<'a, T>> {
        bytes.len().is_multiple_of(T::SIZE).then_some(Array { bytes, element: PhantomData })
    }

    /// An array of nothing.
    pub const EMPTY: Array<'static, T> = Array { bytes: &[], element: PhantomData };

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() / T::SIZE
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The element at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        let start = index.checked_mul(T::SIZE)?;
        self.bytes.get(start..start.checked_add(T::SIZE)?).map(T::read)
    }

    /// The first `count` elements, and those behind them; `None` if there are fewer.
    #[inline]
    pub fn split_at(&self, count: usize) -> Option<(Array<'a, T>, Array<'a, T>)> {
        let (front, back) = self.bytes.split_at_checked(count.checked_mul(T::SIZE)?)?;
        let array = |bytes| Array { bytes, element: PhantomData };
        Some((array(front), array(back)))
    }

    /// The elements in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(T::SIZE).map(T::read)
    }
}

impl<'a> Array<'a, u8> {
    /// The bytes themselves.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<T: Element + std::fmt::Debug> std::fmt::Debug for Array<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Element + Serialize> Serialize for Array<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
