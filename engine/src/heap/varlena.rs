//! Values of variable width, as they lie in a tuple.
//!
//! ```text
//! short         1 byte: (length + 1) * 2 + 1             not aligned; up to 126 bytes of value follow
//! long          4 bytes: (length + 4) * 4                aligned to 4; the value follows
//! compressed    4 bytes: (length + 4) * 4 + 2            aligned to 4; these follow, `length` bytes in all:
//!                 4 bytes: bytes of the value | method << 30, then the value compressed
//! out of line   0x01, 0x12, then 16 bytes                not aligned:
//!                 bytes of the value + 4 | bytes of its chunks, method << 30 | value's number | TOAST table's number
//! ```
//!
//! What is compressed and out of line has in its chunks what follows the long header otherwise. Whether a value out of line is
//! compressed is told by its chunks being shorter than the value.
//!
//! Source: `postgres.h` (`varattrib_4b`, `varatt_external`). Invariant: a [`Varlena`] says how a value lies, and no more: that
//! it can be decompressed, or is where it is said to be, turns out when it is read.

use base::Oid;

/// The longest value with a short header, without that header (`VARATT_CAN_MAKE_SHORT`).
pub(crate) const SHORT_MAX: usize = 126;
/// The longest value (`MaxAllocSize`, its header included).
pub const LONGEST_VALUE: usize = (1 << 30) - 1 - LONG_HEADER;
/// `VARHDRSZ`
pub(crate) const LONG_HEADER: usize = 4;
/// Bytes in front of what is compressed, behind the long header.
pub(crate) const COMPRESSED_HEADER: usize = 4;
/// `VARLENA_EXTSIZE_MASK`
const SIZE_MASK: u32 = (1 << 30) - 1;
const METHOD_SHIFT: u32 = 30;
/// `VARTAG_ONDISK`
const STORED_TAG: u8 = 18;

/// How values are compressed (`attcompression`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// PostgreSQL's own.
    #[default]
    Pglz,
    /// LZ4, as blocks.
    Lz4,
}

impl Compression {
    /// As SQL has it.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::Pglz => "pglz",
            Compression::Lz4 => "lz4",
        }
    }

    /// The method of this name.
    pub fn of_name(name: &str) -> Option<Compression> {
        [Compression::Pglz, Compression::Lz4].into_iter().find(|method| method.name() == name)
    }

    /// `ToastCompressionId`
    pub(crate) const fn id(self) -> u32 {
        self as u32
    }

    pub(crate) const fn of_id(id: u32) -> Option<Compression> {
        match id {
            0 => Some(Compression::Pglz),
            1 => Some(Compression::Lz4),
            _ => None,
        }
    }
}

/// Where a value out of line is (`varatt_external`). Any bytes make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// `va_rawsize`: bytes of the value, and 4.
    raw_size: u32,
    /// `va_extinfo`
    info: u32,
    /// The value's number in the TOAST table (`va_valueid`).
    pub value: Oid,
    /// The number of the TOAST table (`va_toastrelid`).
    pub relation: Oid,
}

impl Pointer {
    /// Bytes of it in a tuple, header included (`TOAST_POINTER_SIZE`).
    pub const SIZE: usize = 18;

    /// Of a value of so many bytes, which `stored` bytes are stored of; with the method that they are compressed by, if they
    /// are.
    pub(crate) fn new(
        length: usize,
        stored: usize,
        method: Option<Compression>,
        (relation, value): (Oid, Oid),
    ) -> Pointer {
        let info = stored as u32 | method.map_or(0, Compression::id) << METHOD_SHIFT;
        Pointer { raw_size: (length + LONG_HEADER) as u32, info, value, relation }
    }

    /// From the 16 bytes behind its header.
    pub fn from_bytes(bytes: &[u8; 16]) -> Pointer {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Pointer { raw_size: word(0), info: word(4), value: word(8), relation: word(12) }
    }

    /// The whole of it, as it lies in a tuple.
    pub fn to_bytes(self) -> [u8; Pointer::SIZE] {
        let mut bytes = [0; Pointer::SIZE];
        (bytes[0], bytes[1]) = (1, STORED_TAG);
        let words = [self.raw_size, self.info, self.value, self.relation];
        for (place, word) in bytes[2..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Bytes of the value.
    pub fn length(&self) -> usize {
        (self.raw_size as usize).saturating_sub(LONG_HEADER)
    }

    /// Bytes of its chunks.
    pub fn stored_length(&self) -> usize {
        (self.info & SIZE_MASK) as usize
    }

    /// How its chunks are compressed, if they are and the method is known.
    pub fn compression(&self) -> Option<Compression> {
        Compression::of_id(self.info >> METHOD_SHIFT).filter(|_| self.is_compressed())
    }

    /// Whether its chunks are compressed (`VARATT_EXTERNAL_IS_COMPRESSED`).
    pub fn is_compressed(&self) -> bool {
        self.stored_length() < self.length()
    }
}

/// A value, as it lies in a tuple. One of fixed width is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Varlena<'a> {
    /// Its bytes.
    Plain(&'a [u8]),
    /// Compressed: what is behind the long header.
    Compressed(&'a [u8]),
    /// Elsewhere.
    External(Pointer),
}

/// What a long header says: whether it is of a compressed value, and how many bytes follow it; `None` where that is less than
/// nothing.
pub(crate) fn read_long_header(header: u32) -> (bool, Option<usize>) {
    (header & 3 == 2, ((header >> 2) as usize).checked_sub(LONG_HEADER))
}

/// The length of the value in front of what is compressed, and its method, if that is one.
pub(crate) fn read_compressed_header(bytes: [u8; 4]) -> (usize, Option<Compression>) {
    let word = u32::from_le_bytes(bytes);
    ((word & SIZE_MASK) as usize, Compression::of_id(word >> METHOD_SHIFT))
}

/// The reverse.
pub(crate) fn compressed_header(length: usize, method: Compression) -> [u8; 4] {
    (length as u32 | method.id() << METHOD_SHIFT).to_le_bytes()
}

/// Whether this tag of a value out of line is that of one that is stored; others have been in memory alone.
pub(crate) fn is_stored(tag: u8) -> bool {
    tag == STORED_TAG
}

impl Varlena<'_> {
    /// Bytes that it takes where `at` bytes come before it, padding included. `packs` says whether a short header is used
    /// where it can be.
    pub(crate) fn end(&self, at: usize, packs: bool) -> usize {
        match self {
            Varlena::Plain(bytes) if packs && bytes.len() <= SHORT_MAX => at + 1 + bytes.len(),
            Varlena::Plain(bytes) | Varlena::Compressed(bytes) => {
                at.next_multiple_of(4) + LONG_HEADER + bytes.len()
            }
            Varlena::External(_) => at + Pointer::SIZE,
        }
    }

    /// Appends it, of at most [`LONGEST_VALUE`] bytes, to what has begun at a multiple of 4.
    pub(crate) fn push(&self, packs: bool, tuple: &mut Vec<u8>) {
        match self {
            Varlena::Plain(bytes) if packs && bytes.len() <= SHORT_MAX => {
                tuple.push((bytes.len() as u8 + 1) << 1 | 1);
                tuple.extend_from_slice(bytes);
            }
            Varlena::Plain(bytes) | Varlena::Compressed(bytes) => {
                tuple.resize(tuple.len().next_multiple_of(4), 0);
                let kind = u32::from(matches!(self, Varlena::Compressed(_))) << 1;
                let header = ((bytes.len() + LONG_HEADER) as u32) << 2 | kind;
                tuple.extend_from_slice(&header.to_le_bytes());
                tuple.extend_from_slice(bytes);
            }
            Varlena::External(pointer) => tuple.extend_from_slice(&pointer.to_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_as_it_was_written() {
        let pointer = Pointer::new(100_000, 1173, Some(Compression::Lz4), (16_390, 16_401));
        let bytes = pointer.to_bytes();
        assert_eq!(bytes[..6], [1, 18, 0xA4, 0x86, 1, 0]);
        assert_eq!(bytes[6..10], [0x95, 4, 0, 0x40]);
        let read = Pointer::from_bytes(bytes[2..].try_into().expect("16 bytes"));
        assert_eq!(read, pointer);
        assert_eq!(
            (read.length(), read.stored_length(), read.is_compressed()),
            (100_000, 1173, true)
        );
        assert!(!Pointer::new(5000, 5000, None, (1, 2)).is_compressed());
    }

    #[test]
    fn it_takes_as_many_bytes_as_it_says() {
        let long = vec![7; 127];
        let pointer = Pointer::new(5000, 5000, None, (1, 2));
        let values = [
            Varlena::Plain(&long),
            Varlena::Plain(&long[1..]),
            Varlena::Compressed(&long),
            Varlena::External(pointer),
        ];
        for value in values {
            for (before, packs) in [(8, true), (9, true), (9, false), (11, false)] {
                let mut tuple = vec![1; before];
                value.push(packs, &mut tuple);
                assert_eq!(tuple.len(), value.end(before, packs), "{value:?} behind {before}");
            }
        }
    }
}
