//! Entries of a btree's pages: bytes that are checked once, and read in place.
//!
//! ```text
//! byte   0      6      8             8 or 16
//! plain  | tid  | info | nulls, if any | key columns, included columns |            leaf: tid of the row
//! posting| n    | info | nulls, if any | key columns | pad to 8 | tid, 6 each ... |  leaf: rows with an equal key
//! pivot  | n    | info | nulls, if any | leading key columns | tid, if it is kept | high keys, and entries above leaves
//!
//! info   bit 15: has nulls; 14: has columns of variable width; 13: posting or pivot; 0-12: bytes in all
//! n      plain: block, line pointer. posting: where the tids begin; 0x2000 | their count.
//!        pivot: block of the page below; 0x1000 if it ends in a tid | count of key columns that are left
//! ```
//!
//! Key columns that a pivot lacks are minus infinity: it is less than every entry with the same columns before them.
//!
//! Source: `access/itup.h`, `access/nbtree.h`. Invariants: an [`IndexTuple`] is as long as it says, and what it
//! says of where its parts lie is within it; the length is a multiple of 8, as all that PostgreSQL makes is.

use base::{OffsetNumber, Tid, max_align};

/// Bytes of `IndexTupleData`.
pub const HEADER_SIZE: usize = 8;
/// Bytes of the null bitmap, where there is one.
pub const NULL_BITMAP_SIZE: usize = 4;
/// The most columns that an index has (`INDEX_MAX_KEYS`).
pub const MAX_COLUMNS: usize = 32;
/// The longest entry (`BTMaxItemSize`): a third of a page, with room for a tid that a pivot gets.
pub const MAX_ITEM_SIZE: usize = 2704;

const _: () = {
    let page = base::PAGE_SIZE - super::page::SPECIAL_SIZE;
    let with_tids = max_align(24 + 3 * 4 + 3 * Tid::SIZE as u64) as usize;
    assert!((page - with_tids) / 3 / 8 * 8 == MAX_ITEM_SIZE);
    assert!(NULL_BITMAP_SIZE * 8 == MAX_COLUMNS);
};

/// `INDEX_NULL_MASK`
pub(super) const HAS_NULLS: u16 = 0x8000;
/// `INDEX_VAR_MASK`
pub(super) const HAS_VARIABLE: u16 = 0x4000;
/// `INDEX_ALT_TID_MASK`
const ALT_TID: u16 = 0x2000;
/// `INDEX_SIZE_MASK`
pub(super) const SIZE: u16 = 0x1FFF;
/// `BT_PIVOT_HEAP_TID_ATTR`
const PIVOT_HAS_TID: OffsetNumber = 0x1000;
/// `BT_IS_POSTING`
const IS_POSTING: OffsetNumber = 0x2000;
/// `BT_OFFSET_MASK`
const COUNT: OffsetNumber = 0x0FFF;

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TupleError {
    /// Its length is not what it says.
    #[error("its header says {says} bytes, and it has {length}")]
    Length {
        /// `t_info`'s size.
        says: usize,
        /// Bytes there.
        length: usize,
    },
    /// Its tids do not lie within it.
    #[error("{count} tids at byte {at} are no posting list of an entry of {length} bytes")]
    Posting {
        /// How many it says.
        count: u16,
        /// Where it says they begin.
        at: u32,
        /// Bytes of the entry.
        length: usize,
    },
    /// It cannot hold what it says.
    #[error("a pivot of {length} bytes has no room for {columns} columns and a tid")]
    Pivot {
        /// How many key columns it says.
        columns: u16,
        /// Bytes of the entry.
        length: usize,
    },
    /// A posting list was wanted.
    #[error("it has no posting list")]
    NotPosting,
    /// A posting list of so many tids was wanted to be split or shortened elsewhere.
    #[error("a posting list of {count} tids has no place {place} to be changed at")]
    Place {
        /// How many there are.
        count: u16,
        /// The place, from 0.
        place: u16,
    },
    /// An entry of a leaf was wanted.
    #[error("it is a pivot, and an entry of a leaf is wanted")]
    IsPivot,
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexTuple<'a> {
    bytes: &'a [u8],
}

fn info(bytes: &[u8]) -> u16 {
    bytes.get(6..8).map_or(0, |info| u16::from_le_bytes([info[0], info[1]]))
}

/// How long an entry that begins here says that it is; `None` where not even its header is there.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= HEADER_SIZE).then(|| usize::from(info(bytes) & SIZE))
}

/// What an entry has from its first column on, without looking at more than its header; `None` where that column is null,
/// may be, or is not there.
#[inline]
pub(super) fn first_column(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_SIZE>()?;
    let info = u16::from_le_bytes([header[6], header[7]]);
    let offset = u16::from_le_bytes([header[4], header[5]]);
    let is_bare = info & ALT_TID != 0 && offset & (IS_POSTING | COUNT) == 0;
    (info & HAS_NULLS == 0 && !is_bare).then_some(rest)
}

impl<'a> IndexTuple<'a> {
    /// Of exactly these bytes.
    ///
    /// # Errors
    /// [`TupleError`]: lengths contradict each other.
    pub fn read(bytes: &'a [u8]) -> Result<IndexTuple<'a>, TupleError> {
        let length = bytes.len();
        let says = claimed_size(bytes).unwrap_or_default();
        if says != length || length < HEADER_SIZE || !length.is_multiple_of(8) {
            return Err(TupleError::Length { says, length });
        }
        let tuple = IndexTuple { bytes };
        let parts = tuple.data_start();
        if parts > length {
            return Err(TupleError::Length { says: parts, length });
        }
        let raw = tuple.raw_tid();
        if tuple.is_posting() {
            let (count, at) = (raw.offset & COUNT, raw.block);
            let bad = TupleError::Posting { count, at, length };
            let start = usize::try_from(at).map_err(|_| bad.clone())?;
            let is_inside = start >= parts
                && start.is_multiple_of(8)
                && start.saturating_add(usize::from(count) * Tid::SIZE) <= length;
            if !is_inside || count < 2 {
                return Err(bad);
            }
        } else if tuple.is_pivot() {
            let columns = raw.offset & COUNT;
            let has_tid = raw.offset & PIVOT_HAS_TID != 0;
            let needs = if has_tid { parts + max_align(Tid::SIZE as u64) as usize } else { parts };
            if usize::from(columns) > MAX_COLUMNS || needs > length {
                return Err(TupleError::Pivot { columns, length });
            }
        }
        Ok(tuple)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many they are.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn raw_tid(&self) -> Tid {
        self.bytes.first_chunk().map_or(Tid::default(), |chunk| Tid::from_bytes(*chunk))
    }

    /// Whether some of its columns are null.
    pub fn has_nulls(&self) -> bool {
        info(self.bytes) & HAS_NULLS != 0
    }

    /// Whether some of its columns are of variable width.
    pub fn has_variable_width(&self) -> bool {
        info(self.bytes) & HAS_VARIABLE != 0
    }

    /// A bit for each column, 1 where it is not null; nothing where none is.
    pub fn null_bitmap(&self) -> &'a [u8] {
        let end = if self.has_nulls() { HEADER_SIZE + NULL_BITMAP_SIZE } else { HEADER_SIZE };
        &self.bytes[HEADER_SIZE..end]
    }

    /// Where its columns begin.
    pub fn data_start(&self) -> usize {
        if self.has_nulls() { HEADER_SIZE + 8 } else { HEADER_SIZE }
    }

    /// Where its columns end, padding included.
    pub fn data_end(&self) -> usize {
        let raw = self.raw_tid();
        if self.is_posting() {
            raw.block as usize
        } else if self.is_pivot() && raw.offset & PIVOT_HAS_TID != 0 {
            self.bytes.len() - 8
        } else {
            self.bytes.len()
        }
    }

    /// Whether it is a high key or an entry above the leaves.
    pub fn is_pivot(&self) -> bool {
        info(self.bytes) & ALT_TID != 0 && self.raw_tid().offset & IS_POSTING == 0
    }

    /// Whether it stands for several rows.
    pub fn is_posting(&self) -> bool {
        info(self.bytes) & ALT_TID != 0 && self.raw_tid().offset & IS_POSTING != 0
    }

    /// How many of the key's columns a pivot has; `None` of others, which have all.
    pub fn pivot_columns(&self) -> Option<usize> {
        self.is_pivot().then(|| usize::from(self.raw_tid().offset & COUNT))
    }

    /// The page below.
    pub fn downlink(&self) -> u32 {
        self.raw_tid().block
    }

    /// The rows that it stands for, in order; of a pivot, none.
    pub fn tids(&self) -> impl DoubleEndedIterator<Item = Tid> + ExactSizeIterator + use<'a> {
        let bytes: &'a [u8] = if self.is_posting() {
            let start = self.data_end();
            let length = usize::from(self.raw_tid().offset & COUNT) * Tid::SIZE;
            &self.bytes[start..start + length]
        } else if self.is_pivot() {
            &[]
        } else {
            &self.bytes[..Tid::SIZE]
        };
        bytes.as_chunks().0.iter().map(|tid| Tid::from_bytes(*tid))
    }

    /// How many rows it stands for.
    pub fn tid_count(&self) -> usize {
        self.tids().len()
    }

    /// The tid by which it is ordered among equal ones: the first row's; of a pivot, the one that it was left, if any.
    pub fn heap_tid(&self) -> Option<Tid> {
        if self.is_pivot() {
            let has_tid = self.raw_tid().offset & PIVOT_HAS_TID != 0;
            let tid = self.bytes.last_chunk::<{ Tid::SIZE }>().filter(|_| has_tid);
            return tid.map(|tid| Tid::from_bytes(*tid));
        }
        self.tids().next()
    }

    /// The last row's tid; of a pivot, as [`IndexTuple::heap_tid`].
    pub fn max_heap_tid(&self) -> Option<Tid> {
        if self.is_pivot() { self.heap_tid() } else { self.tids().next_back() }
    }

    /// Its columns as a posting list or a plain entry of the same key has them, with the header in front.
    pub(crate) fn key_part(&self) -> &'a [u8] {
        &self.bytes[..self.data_end()]
    }
}

/// Writes a tuple's first six bytes: of a plain entry its row's tid.
pub(super) fn put_tid(tuple: &mut [u8], tid: Tid) {
    tuple[..Tid::SIZE].copy_from_slice(&tid.to_bytes());
}

fn put_info(tuple: &mut [u8], info: u16) {
    tuple[6..8].copy_from_slice(&info.to_le_bytes());
}

/// Lets a pivot lead to another page. The tuple has a header.
pub fn set_downlink(tuple: &mut [u8], block: u32) {
    let offset = u16::from_le_bytes([tuple[4], tuple[5]]);
    put_tid(tuple, Tid { block, offset });
}

/// Makes an entry a pivot with so many key columns, and with a tid at its end or without (`BTreeTupleSetNAtts`).
pub fn set_pivot(tuple: &mut [u8], columns: usize, has_tid: bool) {
    let flag = if has_tid { PIVOT_HAS_TID } else { 0 };
    let tid =
        Tid { block: IndexTuple { bytes: tuple }.raw_tid().block, offset: columns as u16 | flag };
    let bits = info(tuple) | ALT_TID;
    put_tid(tuple, tid);
    put_info(tuple, bits);
}

/// A pivot that has nothing but a link: the high key of a half-dead page, or the first entry above the leaves
/// (`BTreeTupleSetTopParent`).
pub fn bare_pivot(block: u32) -> [u8; HEADER_SIZE] {
    let mut tuple = [0; HEADER_SIZE];
    put_info(&mut tuple, HEADER_SIZE as u16);
    put_tid(&mut tuple, Tid { block, offset: 0 });
    set_pivot(&mut tuple, 0, false);
    tuple
}

/// An entry of a leaf with this key, for these rows, in order: plain if they are one, else with a posting list
/// (`_bt_form_posting`). `key_part` is a header, whose tid is not looked at, and columns, padded to a multiple of 8.
pub(super) fn with_tids(key_part: &[u8], tids: &[Tid]) -> Vec<u8> {
    let mut tuple = key_part.to_vec();
    let bits = info(&tuple) & !(SIZE | ALT_TID);
    match tids {
        [tid] => {
            put_tid(&mut tuple, *tid);
            put_info(&mut tuple, bits | key_part.len() as u16);
        }
        _ => {
            let offset = tids.len() as u16 | IS_POSTING;
            put_tid(&mut tuple, Tid { block: key_part.len() as u32, offset });
            for tid in tids {
                tuple.extend_from_slice(&tid.to_bytes());
            }
            tuple.resize(tuple.len().next_multiple_of(8), 0);
            let size = tuple.len() as u16;
            put_info(&mut tuple, bits | ALT_TID | size);
        }
    }
    tuple
}
