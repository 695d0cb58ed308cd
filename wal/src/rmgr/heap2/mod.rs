//! Resource manager 9, Heap2: what Heap has no numbers left for. Pages are pruned, frozen and marked
//! all-visible, many tuples are put in at once, and logical decoding hears of commands and rewrites.
//!
//! | info | 15, 16 | 17, 18 |
//! |---|---|---|
//! | 0x10 | PRUNE | PRUNE_ON_ACCESS |
//! | 0x20 | VACUUM | PRUNE_VACUUM_SCAN |
//! | 0x30 | FREEZE_PAGE | PRUNE_VACUUM_CLEANUP |
//!
//! The three of 17 and later look alike ([`PruneFreeze`]); [`prune`] holds them all.
//!
//! Source: `access/heapam_xlog.h`. Block 0 is the heap page, but of VISIBLE the visibility map's (the heap
//! page is its block 1). From 17.11 and 18.6 on, MULTI_INSERT and LOCK_UPDATED refer to the page of the
//! visibility map as block 1 if they clear its bits.

mod describe;
mod encode;
pub mod prune;

use base::ids::OffsetNumber;
use base::{Lsn, Oid, RelFileLocator, Tid, Xid};
use serde::Serialize;

pub use prune::{FreezePage, Prune, PruneFreeze, Vacuum};

use super::flags::flags;
use super::heap::{self, INIT_PAGE, InsertFlags, Lock, MultiInsertTuples, OPERATION, block_data};
use super::{Array, Cursor, Element, Payload, PayloadError};
use crate::record::Record;
use crate::version::Version;

const REWRITE: u8 = 0x00;
const PRUNE: u8 = 0x10;
const VACUUM: u8 = 0x20;
const FREEZE_PAGE: u8 = 0x30;
const VISIBLE: u8 = 0x40;
const MULTI_INSERT: u8 = 0x50;
const LOCK_UPDATED: u8 = 0x60;
const NEW_CID: u8 = 0x70;

/// The payload of a Heap2 record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Heap2<'a> {
    /// Old versions of rows moved to new places, for logical decoding.
    Rewrite(Rewrite<'a>),
    /// Dead tuples are removed from a page; 15 and 16.
    Prune(Prune<'a>),
    /// Dead line pointers become unused; 15 and 16.
    Vacuum(Vacuum<'a>),
    /// Tuples are frozen; 15 and 16.
    FreezePage(FreezePage<'a>),
    /// Each of these three, for whatever reason; 17 and 18.
    PruneFreeze(PruneFreeze<'a>),
    /// A page's bits in the visibility map are set.
    Visible(Visible),
    /// Tuples are put in a page.
    MultiInsert(MultiInsert<'a>),
    /// A later version of a locked tuple is locked too.
    LockUpdated(Lock),
    /// A catalog's tuple was changed by this command, for logical decoding.
    NewCid(NewCid),
}

flags! {
    /// Flags of `xl_heap_visible`: bits of the visibility map, and one of the record's own.
    pub struct VisibleFlags: u8 {
        /// All tuples of the page are visible to all.
        const ALL_VISIBLE = 1 << 0;
        /// All tuples of the page are frozen.
        const ALL_FROZEN = 1 << 1;
        /// The relation is a catalog that logical decoding uses; since 16.
        const CATALOG_REL = 1 << 2;
    }
}

/// `xl_heap_visible`, 5 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Visible {
    /// Standbys cancel queries with snapshots that might not see all that is now all-visible: those to
    /// which this transaction still runs. 15 calls it `cutoff_xid`.
    pub snapshot_conflict_horizon: Xid,
    /// The bits.
    pub flags: VisibleFlags,
}

/// `xl_heap_multi_insert`, 4 bytes and offsets
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MultiInsert<'a> {
    /// What else happened.
    pub flags: InsertFlags,
    /// Number of tuples.
    pub count: u16,
    /// Their line pointers; of a page that is made anew they are 1, 2, and so on, and not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Array<'a, OffsetNumber>>,
    /// The tuples, see [`MultiInsert::tuples`].
    #[serde(skip)]
    pub data: Option<&'a [u8]>,
}

impl<'a> MultiInsert<'a> {
    /// The tuples, if the record has them.
    pub fn tuples(&self) -> Option<MultiInsertTuples<'a>> {
        self.data.map(|data| MultiInsertTuples::new(data, self.count))
    }
}

/// `xl_heap_new_cid`, 34 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewCid {
    /// The top-level transaction.
    pub top_xid: Xid,
    /// Command that made the tuple, `u32::MAX` if unknown.
    pub cmin: u32,
    /// Command that deleted it, `u32::MAX` if none.
    pub cmax: u32,
    /// The number that stands for both, `u32::MAX` if none.
    pub combo_cid: u32,
    /// The catalog.
    pub locator: RelFileLocator,
    /// The tuple.
    pub tid: Tid,
}

/// `xl_heap_rewrite_mapping`, 40 bytes, and the mappings
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rewrite<'a> {
    /// A transaction that may need to see the rows.
    pub mapped_xid: Xid,
    /// The table's database, 0 if it is shared.
    pub database: Oid,
    /// The table.
    pub relation: Oid,
    /// How far the mapping file was written, in bytes.
    pub file_offset: i64,
    /// Where the log stood when the rewrite began.
    pub start_lsn: Lsn,
    /// Which tuple went where.
    pub mappings: Array<'a, RewriteMapping>,
}

/// `LogicalRewriteMappingData`, 36 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RewriteMapping {
    /// The file before.
    pub old_locator: RelFileLocator,
    /// The file after.
    pub new_locator: RelFileLocator,
    /// The tuple's place before.
    pub old_tid: Tid,
    /// Its place after.
    pub new_tid: Tid,
}

impl Element for RewriteMapping {
    const SIZE: usize = 36;

    fn read(bytes: &[u8]) -> RewriteMapping {
        RewriteMapping {
            old_locator: RelFileLocator::read(&bytes[..12]),
            new_locator: RelFileLocator::read(&bytes[12..24]),
            old_tid: tid(&bytes[24..30]),
            new_tid: tid(&bytes[30..36]),
        }
    }
}

/// `ItemPointerData`: the block's high half first.
fn tid(bytes: &[u8]) -> Tid {
    let half = |at: usize| u16::read(&bytes[at..at + 2]);
    Tid { block: u32::from(half(0)) << 16 | u32::from(half(2)), offset: half(4) }
}

pub(super) fn identify(version: Version, info: u8) -> Option<&'static str> {
    const MULTI_INSERT_INIT: u8 = MULTI_INSERT | INIT_PAGE;
    let since_17 = version >= Version::V17;
    Some(match info & 0xF0 {
        PRUNE if since_17 => "PRUNE_ON_ACCESS",
        PRUNE => "PRUNE",
        VACUUM if since_17 => "PRUNE_VACUUM_SCAN",
        VACUUM => "VACUUM",
        FREEZE_PAGE if since_17 => "PRUNE_VACUUM_CLEANUP",
        FREEZE_PAGE => "FREEZE_PAGE",
        VISIBLE => "VISIBLE",
        MULTI_INSERT => "MULTI_INSERT",
        MULTI_INSERT_INIT => "MULTI_INSERT+INIT",
        LOCK_UPDATED => "LOCK_UPDATED",
        NEW_CID => "NEW_CID",
        REWRITE => "REWRITE",
        _ => return None,
    })
}

#[inline]
pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = record.main_data();
    Ok(Payload::Heap2(match record.info() & OPERATION {
        PRUNE | VACUUM | FREEZE_PAGE if record.version() >= Version::V17 => {
            Heap2::PruneFreeze(prune::prune_freeze(record)?)
        }
        PRUNE => Heap2::Prune(prune::prune(record)?),
        VACUUM => Heap2::Vacuum(prune::vacuum(record)?),
        FREEZE_PAGE => Heap2::FreezePage(prune::freeze_page(record)?),
        VISIBLE => Heap2::Visible(visible(main)?),
        MULTI_INSERT => Heap2::MultiInsert(multi_insert(record)?),
        LOCK_UPDATED => Heap2::LockUpdated(heap::lock(Cursor::new("xl_heap_lock_updated", main))?),
        NEW_CID => Heap2::NewCid(new_cid(main)?),
        REWRITE => Heap2::Rewrite(rewrite(main)?),
        _ => return Ok(Payload::Unknown),
    }))
}

fn visible(main: &[u8]) -> Result<Visible, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_visible", main);
    Ok(Visible {
        snapshot_conflict_horizon: cursor.xid()?,
        flags: VisibleFlags::from_bits_retain(cursor.u8()?),
    })
}

fn multi_insert<'a>(record: &Record<'a>) -> Result<MultiInsert<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_multi_insert", record.main_data());
    let flags = InsertFlags::from_bits_retain(cursor.u8()?);
    cursor.align(2)?;
    let count = cursor.u16()?;
    let makes_page = record.info() & INIT_PAGE != 0;
    let offsets = if makes_page { None } else { Some(cursor.array(usize::from(count))?) };
    Ok(MultiInsert { flags, count, offsets, data: block_data(record, 0) })
}

fn new_cid(main: &[u8]) -> Result<NewCid, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_new_cid", main);
    Ok(NewCid {
        top_xid: cursor.xid()?,
        cmin: cursor.u32()?,
        cmax: cursor.u32()?,
        combo_cid: cursor.u32()?,
        locator: cursor.locator()?,
        tid: tid(cursor.bytes(6)?),
    })
}

fn rewrite(main: &[u8]) -> Result<Rewrite<'_>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_rewrite_mapping", main);
    let (mapped_xid, database, relation) = (cursor.xid()?, cursor.u32()?, cursor.u32()?);
    cursor.align(8)?;
    let (file_offset, count) = (cursor.i64()?, cursor.u32()?);
    cursor.align(8)?;
    let start_lsn = cursor.lsn()?;
    let mappings = cursor.array(count as usize)?;
    Ok(Rewrite { mapped_xid, database, relation, file_offset, start_lsn, mappings })
}
