//! Resource manager 11, Btree: entries put in, pages split, deduplicated, emptied and taken out.
//!
//! Block 0 is the page that the record is about (of META_CLEANUP the metapage). Where the metapage changes
//! too, its new contents are the data of another block: 2 of INSERT_META and NEWROOT, 4 of
//! UNLINK_PAGE_META.
//!
//! Source: `access/nbtxlog.h`. Invariants: tuples are in block data, so absent if the page's image is
//! there; the metapage is always made anew, so its contents are always there.

pub mod deletion;
mod describe;
mod encode;

use base::ids::OffsetNumber;
use base::{BlockNumber, FullXid, RelFileLocator};
use serde::Serialize;

pub use deletion::{Delete, DeletedItems, PostingUpdate, PostingUpdates, Vacuum};
pub use encode::BlockData;

use super::heap::block_data;
use super::{Array, Cursor, Element, Payload, PayloadError};
use crate::record::Record;
use crate::version::Version;

const INSERT_LEAF: u8 = 0x00;
const INSERT_UPPER: u8 = 0x10;
const INSERT_META: u8 = 0x20;
const SPLIT_L: u8 = 0x30;
const SPLIT_R: u8 = 0x40;
const INSERT_POST: u8 = 0x50;
const DEDUP: u8 = 0x60;
const DELETE: u8 = 0x70;
const UNLINK_PAGE: u8 = 0x80;
const UNLINK_PAGE_META: u8 = 0x90;
const NEWROOT: u8 = 0xA0;
const MARK_PAGE_HALFDEAD: u8 = 0xB0;
const VACUUM: u8 = 0xC0;
const REUSE_PAGE: u8 = 0xD0;
const META_CLEANUP: u8 = 0xE0;

/// The payload of a Btree record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Btree<'a> {
    /// An entry is put in a page that has room for it.
    Insert(Insert<'a>),
    /// A page is split, and an entry put in one of its halves.
    Split(Split<'a>),
    /// Entries with equal keys become posting lists.
    Dedup(Dedup<'a>),
    /// Entries known to be dead are removed, to make room.
    Delete(Delete<'a>),
    /// A half-dead page is taken out of the tree.
    UnlinkPage(UnlinkPage),
    /// The tree gets a new root.
    NewRoot(NewRoot<'a>),
    /// An empty leaf begins to be deleted.
    MarkPageHalfdead(MarkPageHalfdead),
    /// Entries of removed tuples are removed.
    Vacuum(Vacuum<'a>),
    /// A deleted page is used again.
    ReusePage(ReusePage),
    /// What the metapage says of the last clean-up changes.
    MetaCleanup(MetaCleanup),
}

/// `xl_btree_metadata`, 28 bytes: the contents of the metapage
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Version of the index's format.
    pub version: u32,
    /// The root.
    pub root: BlockNumber,
    /// The root's level, 0 for a leaf.
    pub level: u32,
    /// The lowest page that is alone on its level, where searches begin.
    pub fast_root: BlockNumber,
    /// That page's level.
    pub fast_level: u32,
    /// Number of pages deleted, but not yet recyclable, at the last clean-up.
    pub last_cleanup_deleted_pages: u32,
    /// Whether all columns are such that equal means the same bytes, as deduplication needs.
    pub all_equal_image: bool,
}

/// `xl_btree_insert`, 2 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Insert<'a> {
    /// The new entry's line pointer.
    pub offset: OffsetNumber,
    /// Where the posting list before it is split; of INSERT_POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posting_offset: Option<u16>,
    /// The metapage; of INSERT_META.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The entry, `IndexTupleData` and behind it.
    #[serde(skip)]
    pub tuple: Option<&'a [u8]>,
}

/// `xl_btree_split`, 10 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Split<'a> {
    /// Level of the page, 0 for a leaf.
    pub level: u32,
    /// First of the page's entries that goes right.
    pub first_right_offset: OffsetNumber,
    /// The new entry's line pointer, in the page before it is split.
    pub new_item_offset: OffsetNumber,
    /// Where the posting list before the new entry is split, 0 if it is not.
    pub posting_offset: u16,
    /// Left page: the new entry, if it goes there, and the page's high key.
    #[serde(skip)]
    pub left: Option<&'a [u8]>,
    /// Right page: all its entries.
    #[serde(skip)]
    pub right: Option<&'a [u8]>,
}

/// `xl_btree_dedup`, 2 bytes
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Dedup<'a> {
    /// How many posting lists are made.
    pub count: u16,
    /// Of which entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Array<'a, DedupInterval>>,
}

/// `BTDedupInterval`: entries that become one
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DedupInterval {
    /// The first one's line pointer.
    pub offset: OffsetNumber,
    /// How many they are.
    pub count: u16,
}

impl Element for DedupInterval {
    const SIZE: usize = 4;

    fn read(bytes: &[u8]) -> DedupInterval {
        DedupInterval { offset: u16::read(&bytes[..2]), count: u16::read(&bytes[2..4]) }
    }
}

/// `xl_btree_unlink_page`, 36 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UnlinkPage {
    /// The page to the left, 0 if there is none.
    pub left: BlockNumber,
    /// The page to the right.
    pub right: BlockNumber,
    /// The page's level, 0 for a leaf.
    pub level: u32,
    /// The page can be used again once no transaction sees this one running.
    pub safe_xid: FullXid,
    /// Of the leaf below, if the page is none: the page to its left.
    pub leaf_left: BlockNumber,
    /// The page to its right.
    pub leaf_right: BlockNumber,
    /// The next page to be taken out above it.
    pub leaf_top_parent: BlockNumber,
    /// The metapage; of UNLINK_PAGE_META.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// `xl_btree_newroot`, 8 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewRoot<'a> {
    /// The new root.
    pub root: BlockNumber,
    /// Its level, 0 for a leaf.
    pub level: u32,
    /// The metapage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Its two entries, if the old root was split.
    #[serde(skip)]
    pub tuples: Option<&'a [u8]>,
}

/// `xl_btree_mark_page_halfdead`, 20 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MarkPageHalfdead {
    /// The line pointer in the parent that is removed.
    pub parent_offset: OffsetNumber,
    /// The leaf.
    pub leaf: BlockNumber,
    /// The page to its left, 0 if there is none.
    pub left: BlockNumber,
    /// The page to its right.
    pub right: BlockNumber,
    /// The topmost page that is deleted with it.
    pub top_parent: BlockNumber,
}

/// `xl_btree_reuse_page`: 24 bytes in 15, 25 since 16
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReusePage {
    /// The index.
    pub locator: RelFileLocator,
    /// The page.
    pub block: BlockNumber,
    /// Standbys cancel queries to whose snapshots this transaction still runs. 15 calls it
    /// `latestRemovedFullXid`.
    pub snapshot_conflict_horizon: FullXid,
    /// Whether logical decoding uses the table as a catalog; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
}

/// A record that is nothing but the metapage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MetaCleanup {
    /// The metapage.
    pub metadata: Metadata,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    Some(match info & 0xF0 {
        INSERT_LEAF => "INSERT_LEAF",
        INSERT_UPPER => "INSERT_UPPER",
        INSERT_META => "INSERT_META",
        SPLIT_L => "SPLIT_L",
        SPLIT_R => "SPLIT_R",
        INSERT_POST => "INSERT_POST",
        DEDUP => "DEDUP",
        VACUUM => "VACUUM",
        DELETE => "DELETE",
        MARK_PAGE_HALFDEAD => "MARK_PAGE_HALFDEAD",
        UNLINK_PAGE => "UNLINK_PAGE",
        UNLINK_PAGE_META => "UNLINK_PAGE_META",
        NEWROOT => "NEWROOT",
        REUSE_PAGE => "REUSE_PAGE",
        META_CLEANUP => "META_CLEANUP",
        _ => return None,
    })
}

#[inline]
pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = record.main_data();
    Ok(Payload::Btree(match record.info() {
        INSERT_LEAF | INSERT_UPPER | INSERT_META | INSERT_POST => Btree::Insert(insert(record)?),
        SPLIT_L | SPLIT_R => Btree::Split(split(record)?),
        DEDUP => Btree::Dedup(dedup(record)?),
        DELETE => Btree::Delete(deletion::delete(record)?),
        UNLINK_PAGE | UNLINK_PAGE_META => Btree::UnlinkPage(unlink_page(record)?),
        NEWROOT => Btree::NewRoot(new_root(record)?),
        MARK_PAGE_HALFDEAD => Btree::MarkPageHalfdead(mark_page_halfdead(main)?),
        VACUUM => Btree::Vacuum(deletion::vacuum(record)?),
        REUSE_PAGE => Btree::ReusePage(reuse_page(record)?),
        META_CLEANUP => {
            let metadata = metadata(block_data(record, 0).unwrap_or_default())?;
            Btree::MetaCleanup(MetaCleanup { metadata })
        }
        _ => return Ok(Payload::Unknown),
    }))
}

fn metadata(data: &[u8]) -> Result<Metadata, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_metadata", data);
    Ok(Metadata {
        version: cursor.u32()?,
        root: cursor.u32()?,
        level: cursor.u32()?,
        fast_root: cursor.u32()?,
        fast_level: cursor.u32()?,
        last_cleanup_deleted_pages: cursor.u32()?,
        all_equal_image: cursor.bool()?,
    })
}

#[inline]
fn insert<'a>(record: &Record<'a>) -> Result<Insert<'a>, PayloadError> {
    let offset = Cursor::new("xl_btree_insert", record.main_data()).u16()?;
    let mut insert =
        Insert { offset, posting_offset: None, metadata: None, tuple: block_data(record, 0) };
    match record.info() {
        INSERT_META => insert.metadata = block_data(record, 2).map(metadata).transpose()?,
        INSERT_POST => {
            if let Some(data) = insert.tuple {
                let mut cursor = Cursor::new("posting list offset", data);
                insert.posting_offset = Some(cursor.u16()?);
                insert.tuple = Some(cursor.rest());
            }
        }
        _ => {}
    }
    Ok(insert)
}

fn split<'a>(record: &Record<'a>) -> Result<Split<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_split", record.main_data());
    Ok(Split {
        level: cursor.u32()?,
        first_right_offset: cursor.u16()?,
        new_item_offset: cursor.u16()?,
        posting_offset: cursor.u16()?,
        left: block_data(record, 0),
        right: block_data(record, 1),
    })
}

fn dedup<'a>(record: &Record<'a>) -> Result<Dedup<'a>, PayloadError> {
    let count = Cursor::new("xl_btree_dedup", record.main_data()).u16()?;
    let intervals = block_data(record, 0)
        .map(|data| Cursor::new("BTDedupInterval", data).array(usize::from(count)))
        .transpose()?;
    Ok(Dedup { count, intervals })
}

fn unlink_page(record: &Record<'_>) -> Result<UnlinkPage, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_unlink_page", record.main_data());
    let (left, right, level) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    cursor.align(8)?;
    let has_metadata = record.info() == UNLINK_PAGE_META;
    Ok(UnlinkPage {
        left,
        right,
        level,
        safe_xid: FullXid(cursor.u64()?),
        leaf_left: cursor.u32()?,
        leaf_right: cursor.u32()?,
        leaf_top_parent: cursor.u32()?,
        metadata: block_data(record, 4).filter(|_| has_metadata).map(metadata).transpose()?,
    })
}

fn new_root<'a>(record: &Record<'a>) -> Result<NewRoot<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_newroot", record.main_data());
    Ok(NewRoot {
        root: cursor.u32()?,
        level: cursor.u32()?,
        metadata: block_data(record, 2).map(metadata).transpose()?,
        tuples: block_data(record, 0),
    })
}

fn mark_page_halfdead(main: &[u8]) -> Result<MarkPageHalfdead, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_mark_page_halfdead", main);
    let parent_offset = cursor.u16()?;
    cursor.align(4)?;
    Ok(MarkPageHalfdead {
        parent_offset,
        leaf: cursor.u32()?,
        left: cursor.u32()?,
        right: cursor.u32()?,
        top_parent: cursor.u32()?,
    })
}

fn reuse_page(record: &Record<'_>) -> Result<ReusePage, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_reuse_page", record.main_data());
    let since_16 = record.version() >= Version::V16;
    Ok(ReusePage {
        locator: cursor.locator()?,
        block: cursor.u32()?,
        snapshot_conflict_horizon: FullXid(cursor.u64()?),
        is_catalog_relation: if since_16 { Some(cursor.bool()?) } else { None },
    })
}
