//! The header of a heap tuple: who made this version, who ended or locked it, and what is known of both.
//!
//! ```text
//! byte  0      4      8      12          18     20     22   23
//!       | xmin | xmax | cid  | ctid      | mask2| mask | hoff| null bitmap, padding, data ...
//!       |      |      | or   | block hi, |      |      |     |
//!       |      |      | xvac | lo, offset|      |      |     |
//! ```
//!
//! Little-endian, 23 bytes, without padding. `xmax` is a multixact id where [`Infomask::XMAX_IS_MULTI`] is
//! set. The third field is a command id: the inserting one, the ending one, or (with
//! [`Infomask::COMBOCID`]) a number that stands for both within the transaction that made it; with one of
//! the `MOVED` bits, which VACUUM FULL before 9.0 set, it is that VACUUM's transaction id.
//!
//! Invariant: a [`HeapTupleHeader`] holds what was read, whatever it is, and writes the same bytes again.
//! [`HeapTupleHeader::check`] is what says that lengths in it can be used.
//! Source: `access/htup_details.h`, `storage/itemptr.h`.

use std::mem::{offset_of, size_of};
use std::ops::Range;

use crate::{Tid, Xid, max_align};

/// The number of a command within its transaction (`CommandId`), from 0.
pub type CommandId = u32;
/// The number of a set of transactions that hold one row together (`MultiXactId`). 0 is none.
pub type MultiXactId = u32;

/// Bytes of a heap tuple's header before its null bitmap (`SizeofHeapTupleHeader`).
pub const TUPLE_HEADER_SIZE: usize = 23;
/// The most columns that a tuple can have (`MaxTupleAttributeNumber`).
pub const MAX_TUPLE_COLUMNS: u16 = 1664;

/// `ctid`'s offset number of a speculative insertion (`SpecTokenOffsetNumber`).
const SPECULATIVE_OFFSET: u16 = 0xFFFE;
/// `ctid`'s offset number, with an invalid block, of a row that went to another partition
/// (`MovedPartitionsOffsetNumber`).
const MOVED_PARTITIONS_OFFSET: u16 = 0xFFFD;
/// The `ctid` of a row that an UPDATE took to another partition.
pub const MOVED_PARTITIONS: Tid =
    Tid { block: crate::ids::INVALID_BLOCK, offset: MOVED_PARTITIONS_OFFSET };

bitflags::bitflags! {
    /// `t_infomask`: the names are PostgreSQL's, without `HEAP_`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
    pub struct Infomask: u16 {
        /// Some column is null: a bitmap follows the header.
        const HASNULL = 0x0001;
        /// Some column is of variable width.
        const HASVARWIDTH = 0x0002;
        /// Some value lies in the TOAST table.
        const HASEXTERNAL = 0x0004;
        /// An object id lies before the data (before 12).
        const HASOID_OLD = 0x0008;
        /// `xmax` locks with FOR KEY SHARE; with the next bit, FOR SHARE.
        const XMAX_KEYSHR_LOCK = 0x0010;
        /// The command id is a combo command id.
        const COMBOCID = 0x0020;
        /// `xmax` locks exclusively.
        const XMAX_EXCL_LOCK = 0x0040;
        /// `xmax`, if valid, only locks.
        const XMAX_LOCK_ONLY = 0x0080;
        /// `xmin` is known to have committed.
        const XMIN_COMMITTED = 0x0100;
        /// `xmin` is known to have aborted.
        const XMIN_INVALID = 0x0200;
        /// `xmax` is known to have committed.
        const XMAX_COMMITTED = 0x0400;
        /// `xmax` is none, or known to have aborted.
        const XMAX_INVALID = 0x0800;
        /// `xmax` is a multixact id.
        const XMAX_IS_MULTI = 0x1000;
        /// An UPDATE made this version.
        const UPDATED = 0x2000;
        /// VACUUM FULL before 9.0 moved the row away from here.
        const MOVED_OFF = 0x4000;
        /// VACUUM FULL before 9.0 moved the row to here.
        const MOVED_IN = 0x8000;
    }
}

impl Infomask {
    /// `xmax` locks with FOR SHARE (`HEAP_XMAX_SHR_LOCK`).
    pub const XMAX_SHR_LOCK: Infomask = Infomask::XMAX_KEYSHR_LOCK.union(Infomask::XMAX_EXCL_LOCK);
    /// The bits of the lock's strength (`HEAP_LOCK_MASK`).
    pub const LOCK_MASK: Infomask = Infomask::XMAX_SHR_LOCK;
    /// `xmin` is visible to everyone, for ever (`HEAP_XMIN_FROZEN`).
    pub const XMIN_FROZEN: Infomask = Infomask::XMIN_COMMITTED.union(Infomask::XMIN_INVALID);
    /// Either of the moves of VACUUM FULL before 9.0 (`HEAP_MOVED`).
    pub const MOVED: Infomask = Infomask::MOVED_OFF.union(Infomask::MOVED_IN);
    /// What a new `xmax` replaces (`HEAP_XMAX_BITS`).
    pub const XMAX_BITS: Infomask = Infomask::XMAX_COMMITTED
        .union(Infomask::XMAX_INVALID)
        .union(Infomask::XMAX_IS_MULTI)
        .union(Infomask::LOCK_MASK)
        .union(Infomask::XMAX_LOCK_ONLY);

    /// `xmin` is known committed; frozen is, too (`HeapTupleHeaderXminCommitted`).
    #[inline]
    pub const fn xmin_committed(self) -> bool {
        self.contains(Infomask::XMIN_COMMITTED)
    }

    /// `xmin` is known aborted (`HeapTupleHeaderXminInvalid`).
    #[inline]
    pub const fn xmin_aborted(self) -> bool {
        self.intersection(Infomask::XMIN_FROZEN).bits() == Infomask::XMIN_INVALID.bits()
    }

    /// `xmin` is frozen (`HeapTupleHeaderXminFrozen`).
    #[inline]
    pub const fn xmin_frozen(self) -> bool {
        self.contains(Infomask::XMIN_FROZEN)
    }

    /// `xmax` does not end the version, it only locks it (`HEAP_XMAX_IS_LOCKED_ONLY`). Before 9.3 there
    /// was no bit for it, and a single exclusive locker was written as the lock's bit alone.
    #[inline]
    pub const fn xmax_locked_only(self) -> bool {
        let kind = self.intersection(Infomask::XMAX_IS_MULTI.union(Infomask::LOCK_MASK));
        self.contains(Infomask::XMAX_LOCK_ONLY) || kind.bits() == Infomask::XMAX_EXCL_LOCK.bits()
    }

    /// Lockers of 9.2 or before, brought here by pg_upgrade: all of them are gone, and their multixact
    /// id must not be looked up (`HEAP_LOCKED_UPGRADED`).
    #[inline]
    pub const fn locked_before_upgrade(self) -> bool {
        self.contains(Infomask::XMAX_IS_MULTI.union(Infomask::XMAX_LOCK_ONLY))
            && !self.intersects(Infomask::LOCK_MASK)
    }

    /// The names of the bits set, as pageinspect's `heap_tuple_infomask_flags` prints them (`raw_flags`).
    pub fn raw_flag_names(self) -> impl Iterator<Item = String> {
        self.iter_names().map(|(name, _)| format!("HEAP_{name}"))
    }
}

bitflags::bitflags! {
    /// `t_infomask2`: the number of columns in its low 11 bits, and flags.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
    pub struct Infomask2: u16 {
        /// The version was deleted, or updated in a column that a foreign key may refer to.
        const KEYS_UPDATED = 0x2000;
        /// The next version is heap-only.
        const HOT_UPDATED = 0x4000;
        /// No index points at this version.
        const ONLY_TUPLE = 0x8000;
        // The number of columns, and two bits that are free.
        const _ = 0x1FFF;
    }
}

impl Infomask2 {
    /// Bits of the number of columns (`HEAP_NATTS_MASK`).
    pub const COLUMNS_MASK: u16 = 0x07FF;

    /// The number of columns of this version, 0 to 2047.
    #[inline]
    pub const fn columns(self) -> u16 {
        self.bits() & Infomask2::COLUMNS_MASK
    }
}

/// The fixed part of a heap tuple's header (`HeapTupleHeaderData`), as read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct HeapTupleHeader {
    /// Who inserted this version. Of a frozen one, who did once (`HeapTupleHeaderGetRawXmin`).
    pub xmin: Xid,
    /// Who ended or locked it, or the number of the multixact that did (`HeapTupleHeaderGetRawXmax`).
    pub xmax: Xid,
    /// A command id, or a transaction id where [`Infomask::MOVED`] is set.
    pub field3: u32,
    /// The next version; this one itself where there is none; or one of the two special values.
    pub ctid: Tid,
    /// Number of columns and flags.
    pub infomask2: Infomask2,
    /// Flags.
    pub infomask: Infomask,
    /// Bytes from the header's start to the data.
    pub hoff: u8,
}

/// The header as it lies in a page; only its offsets are used.
#[repr(C)]
struct OnDisk {
    xmin: [u8; 4],
    xmax: [u8; 4],
    field3: [u8; 4],
    ctid: [u8; 6],
    infomask2: [u8; 2],
    infomask: [u8; 2],
    hoff: u8,
}

const _: () = {
    assert!(offset_of!(OnDisk, xmin) == 0);
    assert!(offset_of!(OnDisk, xmax) == 4);
    assert!(offset_of!(OnDisk, field3) == 8);
    assert!(offset_of!(OnDisk, ctid) == 12);
    assert!(offset_of!(OnDisk, infomask2) == 18);
    assert!(offset_of!(OnDisk, infomask) == 20);
    assert!(offset_of!(OnDisk, hoff) == 22);
    assert!(size_of::<OnDisk>() == TUPLE_HEADER_SIZE);
};

/// Why a tuple's header cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TupleError {
    /// Shorter than its own header.
    #[error("a tuple of {length} bytes is shorter than its header of {TUPLE_HEADER_SIZE}")]
    Short {
        /// Bytes of the tuple.
        length: usize,
    },
    /// The data would begin elsewhere than right behind header and bitmap, aligned.
    #[error(
        "the tuple's data begins at {hoff}, but its header and null bitmap make that {expected}"
    )]
    DataOffset {
        /// `t_hoff`.
        hoff: u8,
        /// What the number of columns makes it.
        expected: usize,
    },
    /// The data would begin behind the tuple's end.
    #[error("the tuple's data begins at {hoff}, behind the end of its {length} bytes")]
    DataBehindEnd {
        /// `t_hoff`.
        hoff: u8,
        /// Bytes of the tuple.
        length: usize,
    },
    /// More columns than a tuple can have.
    #[error("{columns} columns are more than the {MAX_TUPLE_COLUMNS} that a tuple can have")]
    Columns {
        /// `t_infomask2`'s number.
        columns: u16,
    },
}

/// Where the parts of a tuple lie, in bytes from its start. Only [`HeapTupleHeader::check`] makes one: the
/// ranges lie within the tuple.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TupleParts {
    /// One bit a column, 1 where it is not null; empty if no column is null.
    pub null_bitmap: Range<usize>,
    /// The columns' values.
    pub data: Range<usize>,
}

impl HeapTupleHeader {
    /// From the bytes at a tuple's start. Every bit pattern is taken as it is.
    #[inline]
    pub const fn from_bytes(bytes: &[u8; TUPLE_HEADER_SIZE]) -> HeapTupleHeader {
        let b = bytes;
        HeapTupleHeader {
            xmin: Xid(u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            xmax: Xid(u32::from_le_bytes([b[4], b[5], b[6], b[7]])),
            field3: u32::from_le_bytes([b[8], b[9], b[10], b[11]]),
            ctid: Tid::from_bytes([b[12], b[13], b[14], b[15], b[16], b[17]]),
            infomask2: Infomask2::from_bits_retain(u16::from_le_bytes([b[18], b[19]])),
            infomask: Infomask::from_bits_retain(u16::from_le_bytes([b[20], b[21]])),
            hoff: b[22],
        }
    }

    /// The bytes that [`HeapTupleHeader::from_bytes`] reads.
    pub fn to_bytes(&self) -> [u8; TUPLE_HEADER_SIZE] {
        let mut bytes = [0; TUPLE_HEADER_SIZE];
        bytes[0..4].copy_from_slice(&self.xmin.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.xmax.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.field3.to_le_bytes());
        bytes[12..18].copy_from_slice(&self.ctid.to_bytes());
        bytes[18..20].copy_from_slice(&self.infomask2.bits().to_le_bytes());
        bytes[20..22].copy_from_slice(&self.infomask.bits().to_le_bytes());
        bytes[22] = self.hoff;
        bytes
    }

    /// The header of a tuple, and where its parts lie.
    ///
    /// # Errors
    /// [`TupleError`] if lengths in the header contradict each other or the tuple's.
    #[inline]
    pub fn read(tuple: &[u8]) -> Result<(HeapTupleHeader, TupleParts), TupleError> {
        let bytes = tuple.first_chunk().ok_or(TupleError::Short { length: tuple.len() })?;
        let header = HeapTupleHeader::from_bytes(bytes);
        let parts = header.check(tuple.len())?;
        Ok((header, parts))
    }

    /// Where the parts of a tuple of `length` bytes with this header lie.
    ///
    /// # Errors
    /// As [`HeapTupleHeader::read`].
    #[inline]
    pub fn check(&self, length: usize) -> Result<TupleParts, TupleError> {
        if length < TUPLE_HEADER_SIZE {
            return Err(TupleError::Short { length });
        }
        let columns = self.infomask2.columns();
        if columns > MAX_TUPLE_COLUMNS {
            return Err(TupleError::Columns { columns });
        }
        let bitmap_size = if self.infomask.contains(Infomask::HASNULL) {
            usize::from(columns).div_ceil(8)
        } else {
            0
        };
        let oid_size = if self.infomask.contains(Infomask::HASOID_OLD) { 4 } else { 0 };
        let expected = max_align((TUPLE_HEADER_SIZE + bitmap_size + oid_size) as u64) as usize;
        if usize::from(self.hoff) != expected {
            return Err(TupleError::DataOffset { hoff: self.hoff, expected });
        }
        if expected > length {
            return Err(TupleError::DataBehindEnd { hoff: self.hoff, length });
        }
        Ok(TupleParts {
            null_bitmap: TUPLE_HEADER_SIZE..TUPLE_HEADER_SIZE + bitmap_size,
            data: expected..length,
        })
    }

    /// The token of an insertion that may still be taken back without an abort
    /// (`HeapTupleHeaderGetSpeculativeToken`).
    #[inline]
    pub const fn speculative_token(&self) -> Option<u32> {
        if self.ctid.offset == SPECULATIVE_OFFSET { Some(self.ctid.block) } else { None }
    }

    /// An UPDATE took the row to another partition (`HeapTupleHeaderIndicatesMovedPartitions`).
    #[inline]
    pub const fn moved_to_another_partition(&self) -> bool {
        self.ctid.offset == MOVED_PARTITIONS_OFFSET && self.ctid.block == crate::ids::INVALID_BLOCK
    }

    /// The old VACUUM FULL that moved the row (`HeapTupleHeaderGetXvac`).
    #[inline]
    pub const fn xvac(&self) -> Option<Xid> {
        if self.infomask.intersects(Infomask::MOVED) { Some(Xid(self.field3)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row of two columns, one of them null, inserted by 740 and deleted by 741.
    fn deleted() -> HeapTupleHeader {
        HeapTupleHeader {
            xmin: Xid(740),
            xmax: Xid(741),
            field3: 0,
            ctid: Tid { block: 0x0001_0002, offset: 3 },
            infomask2: Infomask2::from_bits_retain(0x2002),
            infomask: Infomask::from_bits_retain(0x0101),
            hoff: 24,
        }
    }

    #[test]
    fn every_field_lies_at_its_place() {
        let bytes = deleted().to_bytes();
        let expected = [
            0xE4, 2, 0, 0, 0xE5, 2, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0, 0x02, 0x20, 0x01, 0x01, 24,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(HeapTupleHeader::from_bytes(&bytes), deleted());
    }

    #[test]
    fn each_bit_belongs_to_one_field() {
        let bytes = deleted().to_bytes();
        for bit in 0..TUPLE_HEADER_SIZE * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let header = HeapTupleHeader::from_bytes(&flipped);
            assert_ne!(header, deleted(), "bit {bit} is read");
            assert_eq!(header.to_bytes(), flipped, "bit {bit} is written again");
            let was = deleted();
            let changed = [
                header.xmin != was.xmin,
                header.xmax != was.xmax,
                header.field3 != was.field3,
                header.ctid != was.ctid,
                header.infomask2 != was.infomask2,
                header.infomask != was.infomask,
                header.hoff != was.hoff,
            ];
            assert_eq!(changed.iter().filter(|changed| **changed).count(), 1, "bit {bit}");
        }
    }

    #[test]
    fn lengths_are_checked_before_they_are_used() {
        let header = deleted();
        let parts = header.check(28).unwrap();
        assert_eq!((parts.null_bitmap, parts.data), (23..24, 24..28));
        assert_eq!(header.check(22), Err(TupleError::Short { length: 22 }));
        assert_eq!(header.check(23), Err(TupleError::DataBehindEnd { hoff: 24, length: 23 }));
        let wide = HeapTupleHeader { infomask2: Infomask2::from_bits_retain(9), ..header };
        assert_eq!(wide.check(99), Err(TupleError::DataOffset { hoff: 24, expected: 32 }));
        let wider = HeapTupleHeader { infomask2: Infomask2::from_bits_retain(0x7FF), ..header };
        assert_eq!(wider.check(99), Err(TupleError::Columns { columns: 2047 }));
    }

    #[test]
    fn lock_bits_are_read_as_every_release_wrote_them() {
        let locked_only = |mask: Infomask| mask.xmax_locked_only();
        assert!(locked_only(Infomask::XMAX_EXCL_LOCK), "an exclusive locker before 9.3");
        assert!(!locked_only(Infomask::XMAX_EXCL_LOCK | Infomask::XMAX_IS_MULTI));
        assert!(!locked_only(Infomask::XMAX_KEYSHR_LOCK));
        assert!(locked_only(Infomask::XMAX_LOCK_ONLY | Infomask::XMAX_IS_MULTI));
        assert!((Infomask::XMAX_LOCK_ONLY | Infomask::XMAX_IS_MULTI).locked_before_upgrade());
        assert!(
            !(Infomask::XMAX_LOCK_ONLY | Infomask::XMAX_IS_MULTI | Infomask::XMAX_KEYSHR_LOCK)
                .locked_before_upgrade()
        );
    }

    #[test]
    fn names_are_postgresqls() {
        let names: Vec<String> = Infomask::from_bits_retain(0x0903).raw_flag_names().collect();
        assert_eq!(
            names,
            ["HEAP_HASNULL", "HEAP_HASVARWIDTH", "HEAP_XMIN_COMMITTED", "HEAP_XMAX_INVALID"]
        );
    }

    #[test]
    fn special_positions_are_told_apart() {
        let at = |block, offset| HeapTupleHeader { ctid: Tid { block, offset }, ..deleted() };
        assert_eq!(at(7, 0xFFFE).speculative_token(), Some(7));
        assert_eq!(at(7, 1).speculative_token(), None);
        assert!(at(u32::MAX, 0xFFFD).moved_to_another_partition());
        assert!(!at(7, 0xFFFD).moved_to_another_partition());
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: [u8; TUPLE_HEADER_SIZE]) {
            prop_assert_eq!(HeapTupleHeader::from_bytes(&bytes).to_bytes(), bytes);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((_, parts)) = HeapTupleHeader::read(&bytes) {
                prop_assert!(bytes.get(parts.data).is_some());
                prop_assert!(bytes.get(parts.null_bitmap).is_some());
            }
        }
    }
}
