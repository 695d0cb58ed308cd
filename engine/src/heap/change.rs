//! What a change of a page leaves to be logged, and what it is told.

use base::page::AddError;
use base::{CommandId, HeapTupleHeader, Infomask, Infomask2, OffsetNumber, Tid, Xid};
use wal::rmgr::heap::{InfoBits, Tuple, TupleHeader};

/// The resource manager Heap (`RM_HEAP_ID`).
pub const RM_HEAP: u8 = 10;
/// The resource manager Heap2 (`RM_HEAP2_ID`).
pub const RM_HEAP2: u8 = 9;

/// The record that a change of a page is logged with, but for the page's name and image. One value can serve many
/// changes: its memory is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The resource manager.
    pub rmid: u8,
    /// Its bits of the info byte.
    pub info: u8,
    /// Whether redo makes the page of block 0 anew (`REGBUF_WILL_INIT`).
    pub will_init: bool,
    /// The main data.
    pub main: Vec<u8>,
    /// The data of block 0, left out by the log where the page's image is taken.
    pub block_data: Vec<u8>,
}

impl Change {
    pub(super) fn begin(&mut self, rmid: u8, info: u8, will_init: bool) {
        let init = if will_init { INIT_PAGE } else { 0 };
        (self.rmid, self.info, self.will_init) = (rmid, info | init, will_init);
        self.main.clear();
        self.block_data.clear();
    }
}

/// `XLOG_HEAP_INIT_PAGE`
pub(super) const INIT_PAGE: u8 = 0x80;

/// Which command of its transaction makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommandStamp {
    /// Its number, or the number that stands for it and the one that inserted.
    pub id: CommandId,
    /// Which of the two.
    pub is_combo: bool,
}

/// The `xmax` that a tuple gets, with the bits that say what it means. Who locks or ends a tuple that has an `xmax`
/// already works these out first (`compute_new_xmax_infomask`); the functions here are for one that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewXmax {
    /// A transaction's id, or a multixact's.
    pub xmax: Xid,
    /// Whether it only locks, how strongly, and whether key columns change.
    pub bits: InfoBits,
}

/// How strongly a row is locked (`LockTupleMode`), the weakest first.
///
/// ```text
///              key share  share  no key update  update
/// key share        .        .          .           x
/// share            .        .          x           x
/// no key update    .        x          x           x
/// update           x        x          x           x
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowLock {
    /// `FOR KEY SHARE`
    KeyShare,
    /// `FOR SHARE`
    Share,
    /// `FOR NO KEY UPDATE`, and updates that leave key columns alone
    NoKeyUpdate,
    /// `FOR UPDATE`, deletions, and other updates
    Update,
}

impl NewXmax {
    /// Of a deletion, or of an update that changes key columns.
    pub const fn ends(xid: Xid) -> NewXmax {
        NewXmax { xmax: xid, bits: InfoBits::KEYS_UPDATED }
    }

    /// Of an update that leaves key columns alone.
    pub const fn updates(xid: Xid) -> NewXmax {
        NewXmax { xmax: xid, bits: InfoBits::empty() }
    }

    /// Of a lock.
    pub const fn locks(xid: Xid, strength: RowLock) -> NewXmax {
        let bits = match strength {
            RowLock::KeyShare => InfoBits::KEYSHR_LOCK,
            RowLock::Share => InfoBits::KEYSHR_LOCK.union(InfoBits::EXCL_LOCK),
            RowLock::NoKeyUpdate => InfoBits::EXCL_LOCK,
            RowLock::Update => InfoBits::EXCL_LOCK.union(InfoBits::KEYS_UPDATED),
        };
        NewXmax { xmax: xid, bits: bits.union(InfoBits::LOCK_ONLY) }
    }
}

/// Why a page cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeapError {
    /// The tuple cannot be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// No tuple is there.
    #[error("line pointer {offset} has no tuple")]
    NoTuple {
        /// The line pointer.
        offset: OffsetNumber,
    },
    /// What is there is shorter than a tuple's header, or its header contradicts itself.
    #[error("the tuple of line pointer {offset} is damaged: {length} bytes, data from byte {hoff}")]
    DamagedTuple {
        /// The line pointer.
        offset: OffsetNumber,
        /// Bytes of the tuple.
        length: usize,
        /// Where its header says that the data begin.
        hoff: u8,
    },
    /// A tuple that is freed must be gone for everyone.
    #[error("line pointer {offset} is not what the change expects")]
    LinePointer {
        /// The line pointer.
        offset: OffsetNumber,
    },
    /// Nothing to do is no change.
    #[error("a change of nothing")]
    Nothing,
}

/// The header of a tuple of the page.
#[inline]
pub(super) fn header(tuple: &[u8], offset: OffsetNumber) -> Result<HeapTupleHeader, HeapError> {
    let length = tuple.len();
    let bytes = tuple.first_chunk().ok_or(HeapError::DamagedTuple { offset, length, hoff: 0 })?;
    let header = HeapTupleHeader::from_bytes(bytes);
    let hoff = header.hoff;
    if usize::from(hoff) < bytes.len() || usize::from(hoff) > length {
        return Err(HeapError::DamagedTuple { offset, length, hoff });
    }
    Ok(header)
}

/// Writes a header over a tuple's.
pub(super) fn put_header(tuple: &mut [u8], header: &HeapTupleHeader) {
    let bytes = header.to_bytes();
    tuple[..bytes.len()].copy_from_slice(&bytes);
}

/// Changes the header of a tuple of the page.
pub(super) fn change_header(
    page: &mut base::PageMut<'_>,
    offset: OffsetNumber,
    change: impl FnOnce(&mut HeapTupleHeader),
) -> Result<(), HeapError> {
    let tuple = page.item_mut(offset).ok_or(HeapError::NoTuple { offset })?;
    let mut found = header(tuple, offset)?;
    change(&mut found);
    put_header(tuple, &found);
    Ok(())
}

/// `t_infomask`'s bits of a transaction's doing (`HEAP_XACT_MASK`).
pub(super) const TRANSACTION_BITS: Infomask = Infomask::from_bits_retain(0xFFF0);
/// The same of `t_infomask2` (`HEAP2_XACT_MASK`).
pub(super) const TRANSACTION_BITS_2: Infomask2 = Infomask2::from_bits_retain(0xE000);

/// Gives a tuple its `xmax` in place of another, with the bits.
pub(super) fn set_xmax(header: &mut HeapTupleHeader, new: NewXmax) {
    header.infomask.remove(Infomask::MOVED);
    put_xmax_bits(&mut header.infomask, &mut header.infomask2, new.bits);
    header.xmax = new.xmax;
}

/// Says of an `xmax` what it is (`fix_infomask_from_infobits`).
pub(crate) fn put_xmax_bits(infomask: &mut Infomask, infomask2: &mut Infomask2, bits: InfoBits) {
    let masks = [
        (InfoBits::IS_MULTI, Infomask::XMAX_IS_MULTI),
        (InfoBits::LOCK_ONLY, Infomask::XMAX_LOCK_ONLY),
        (InfoBits::EXCL_LOCK, Infomask::XMAX_EXCL_LOCK),
        (InfoBits::KEYSHR_LOCK, Infomask::XMAX_KEYSHR_LOCK),
    ];
    infomask.remove(Infomask::XMAX_BITS);
    for (bit, mask) in masks {
        infomask.set(mask, bits.contains(bit));
    }
    infomask2.set(Infomask2::KEYS_UPDATED, bits.contains(InfoBits::KEYS_UPDATED));
}

/// Stamps the command that ended or locked the tuple (`HeapTupleHeaderSetCmax`).
pub(super) fn set_cmax(header: &mut HeapTupleHeader, command: CommandStamp) {
    header.field3 = command.id;
    header.infomask.set(Infomask::COMBOCID, command.is_combo);
}

/// Whether the next version is heap-only, on this page (`HeapTupleHeaderIsHotUpdated`).
pub(crate) fn is_hot_updated(header: &HeapTupleHeader) -> bool {
    header.infomask2.contains(Infomask2::HOT_UPDATED)
        && !header.infomask.contains(Infomask::XMAX_INVALID)
        && !header.infomask.xmin_aborted()
}

/// A new tuple's header: its inserter, no `xmax`, and nothing known of either (`heap_prepare_insert`).
pub(super) fn stamp_new(header: &mut HeapTupleHeader, xid: Xid, command: CommandId) {
    header.infomask.remove(TRANSACTION_BITS);
    header.infomask2.remove(TRANSACTION_BITS_2);
    header.infomask |= Infomask::XMAX_INVALID;
    (header.xmin, header.xmax, header.field3) = (xid, Xid::INVALID, command);
    // Its place is not known yet.
    header.ctid = Tid { block: base::ids::INVALID_BLOCK, offset: 0 };
}

/// A whole tuple as a record carries it.
pub(super) fn logged_tuple<'a>(header: &HeapTupleHeader, tuple: &'a [u8]) -> Tuple<'a> {
    Tuple {
        header: TupleHeader {
            infomask2: header.infomask2.bits(),
            infomask: header.infomask.bits(),
            header_size: header.hoff,
        },
        data: &tuple[base::tuple::TUPLE_HEADER_SIZE..],
    }
}
