//! Resource manager 12, Hash: entries put in, moved and removed, overflow pages added and freed, buckets
//! split.
//!
//! ```text
//! record               blocks that carry data
//! INSERT               0: the entry
//! ADD_OVFL_PAGE        0: bucket 4; 2: bit in the bitmap 4; 4: first free bit 4
//! SPLIT_ALLOCATE_PAGE  2: as flags say: low mask 4, high mask 4; overflow point 4, its pages 4
//! SPLIT_PAGE           none: 0 comes as an image
//! MOVE_PAGE_CONTENTS   1: offsets 2 each, entries; 2: removed offsets 2 each
//! SQUEEZE_PAGE         1: offsets 2 each, entries; 5: bit in the bitmap 4; 6: first free bit 4
//! DELETE               1: removed offsets 2 each
//! ```
//!
//! Source: `access/hash_xlog.h`. Invariant: data of a block is absent if the page's image is there.

mod describe;
pub mod general_number;

use base::ids::OffsetNumber;
use base::{BlockNumber, Oid, Xid};
use serde::Serialize;

use super::flags::flags;
use super::heap::block_data;
use super::{Array, Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::version::Version;

const INIT_META_PAGE: u8 = 0x00;
const INIT_BITMAP_PAGE: u8 = 0x10;
const INSERT: u8 = 0x20;
const ADD_OVFL_PAGE: u8 = 0x30;
const SPLIT_ALLOCATE_PAGE: u8 = 0x40;
const SPLIT_PAGE: u8 = 0x50;
const SPLIT_COMPLETE: u8 = 0x60;
const MOVE_PAGE_CONTENTS: u8 = 0x70;
const SQUEEZE_PAGE: u8 = 0x80;
const DELETE: u8 = 0x90;
const SPLIT_CLEANUP: u8 = 0xA0;
const UPDATE_META_PAGE: u8 = 0xB0;
const VACUUM_ONE_PAGE: u8 = 0xC0;

/// The payload of a Hash record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Hash<'a> {
    /// The metapage of a new index.
    InitMetaPage(InitMetaPage),
    /// A page of the bitmap of overflow pages.
    InitBitmapPage(InitBitmapPage),
    /// An entry is put in.
    Insert(Insert<'a>),
    /// A bucket gets an overflow page.
    AddOverflowPage(AddOverflowPage),
    /// A bucket begins to be split.
    SplitAllocatePage(SplitAllocatePage),
    /// A page of the new bucket, all in its image.
    SplitPage(NoData),
    /// A bucket is split.
    SplitComplete(SplitComplete),
    /// Entries move to an earlier page of their bucket.
    MovePageContents(MovePageContents<'a>),
    /// An overflow page is freed, its entries moved to an earlier page.
    SqueezePage(SqueezePage<'a>),
    /// Entries are removed.
    Delete(Delete<'a>),
    /// A split bucket has lost what moved to the new one.
    SplitCleanup(NoData),
    /// The metapage's count of entries after a vacuum.
    UpdateMetaPage(UpdateMetaPage),
    /// Entries known to be dead are removed, to make room.
    VacuumOnePage(VacuumOnePage<'a>),
}

/// Records that say all by their type and blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NoData {}

/// `xl_hash_init_meta_page`, 14 bytes
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct InitMetaPage {
    /// How many entries are expected.
    pub tuple_count: f64,
    /// The hash function.
    pub procedure: Oid,
    /// Entries that a bucket should hold.
    pub fill_factor: u16,
}

/// `xl_hash_init_bitmap_page`, 2 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InitBitmapPage {
    /// Size of a page's bitmap in bytes.
    pub bitmap_size: u16,
}

/// `xl_hash_insert`, 2 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Insert<'a> {
    /// The new entry's line pointer.
    pub offset: OffsetNumber,
    /// The entry, `IndexTupleData` and behind it.
    #[serde(skip)]
    pub tuple: Option<&'a [u8]>,
}

/// `xl_hash_add_ovfl_page`, 3 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AddOverflowPage {
    /// Size of a page's bitmap in bytes.
    pub bitmap_size: u16,
    /// Whether a page that was free is used.
    pub page_was_free: bool,
    /// The bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u32>,
    /// The page's bit in its page of the bitmap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitmap_bit: Option<u32>,
    /// The bitmap's first free bit from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_free: Option<u32>,
}

flags! {
    /// Flags of `xl_hash_split_allocate_page`: what changes in the metapage.
    pub struct SplitFlags: u8 {
        /// The masks that make a bucket's number from a hash value.
        const META_UPDATE_MASKS = 1 << 0;
        /// The split point and its overflow pages.
        const META_UPDATE_SPLITPOINT = 1 << 1;
    }
}

/// `xl_hash_split_allocate_page`, 9 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SplitAllocatePage {
    /// The new bucket.
    pub new_bucket: u32,
    /// The old bucket's page flags from now on.
    pub old_bucket_flag: u16,
    /// The new bucket's page flags.
    pub new_bucket_flag: u16,
    /// What changes in the metapage.
    pub flags: SplitFlags,
    /// The new low and high mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<(u32, u32)>,
    /// The new split point, and how many overflow pages were allotted before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_point: Option<(u32, u32)>,
}

/// `xl_hash_split_complete`, 4 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SplitComplete {
    /// The old bucket's page flags from now on.
    pub old_bucket_flag: u16,
    /// The new bucket's page flags from now on.
    pub new_bucket_flag: u16,
}

/// Entries that move to another page.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MovedTuples<'a> {
    /// Their line pointers there.
    pub offsets: Array<'a, OffsetNumber>,
    /// They themselves, one behind the other, each aligned to 8 bytes.
    #[serde(skip)]
    pub tuples: &'a [u8],
}

/// `xl_hash_move_page_contents`, 3 bytes
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MovePageContents<'a> {
    /// How many entries move.
    pub count: u16,
    /// Whether they move to the bucket's first page.
    pub is_primary: bool,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<MovedTuples<'a>>,
    /// Their line pointers in the page where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Array<'a, OffsetNumber>>,
}

/// `xl_hash_squeeze_page`, 12 bytes
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SqueezePage<'a> {
    /// The page before that which is freed.
    pub previous: BlockNumber,
    /// The page after it, `u32::MAX` if there is none.
    pub next: BlockNumber,
    /// How many entries move.
    pub count: u16,
    /// Whether they move to the bucket's first page.
    pub is_primary: bool,
    /// Whether they move to the page before.
    pub is_previous: bool,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<MovedTuples<'a>>,
    /// The page's bit in its page of the bitmap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitmap_bit: Option<u32>,
    /// The bitmap's first free bit from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_free: Option<u32>,
}

/// `xl_hash_delete`, 2 bytes
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Delete<'a> {
    /// Whether the page no longer says that it has dead entries.
    pub clears_dead_marking: bool,
    /// Whether it is the bucket's first page.
    pub is_primary: bool,
    /// Line pointers of the entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Array<'a, OffsetNumber>>,
}

/// `xl_hash_update_meta_page`, 8 bytes
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UpdateMetaPage {
    /// How many entries there are.
    pub tuple_count: f64,
}

/// `xl_hash_vacuum_one_page`, 8 bytes and offsets: in 15, the count has 4 bytes, and since 16, 2
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VacuumOnePage<'a> {
    /// Standbys cancel queries to whose snapshots this transaction still runs. 15 calls it
    /// `latestRemovedXid`.
    pub snapshot_conflict_horizon: Xid,
    /// Whether logical decoding uses the table as a catalog; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
    /// Line pointers of the entries.
    pub removed: Array<'a, OffsetNumber>,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    Some(match info & 0xF0 {
        INIT_META_PAGE => "INIT_META_PAGE",
        INIT_BITMAP_PAGE => "INIT_BITMAP_PAGE",
        INSERT => "INSERT",
        ADD_OVFL_PAGE => "ADD_OVFL_PAGE",
        SPLIT_ALLOCATE_PAGE => "SPLIT_ALLOCATE_PAGE",
        SPLIT_PAGE => "SPLIT_PAGE",
        SPLIT_COMPLETE => "SPLIT_COMPLETE",
        MOVE_PAGE_CONTENTS => "MOVE_PAGE_CONTENTS",
        SQUEEZE_PAGE => "SQUEEZE_PAGE",
        DELETE => "DELETE",
        SPLIT_CLEANUP => "SPLIT_CLEANUP",
        UPDATE_META_PAGE => "UPDATE_META_PAGE",
        VACUUM_ONE_PAGE => "VACUUM_ONE_PAGE",
        _ => return None,
    })
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = record.main_data();
    Ok(Payload::Hash(match record.info() {
        INIT_META_PAGE => Hash::InitMetaPage(init_meta_page(main)?),
        INIT_BITMAP_PAGE => {
            let bitmap_size = Cursor::new("xl_hash_init_bitmap_page", main).u16()?;
            Hash::InitBitmapPage(InitBitmapPage { bitmap_size })
        }
        INSERT => {
            let offset = Cursor::new("xl_hash_insert", main).u16()?;
            Hash::Insert(Insert { offset, tuple: block_data(record, 0) })
        }
        ADD_OVFL_PAGE => Hash::AddOverflowPage(add_overflow_page(record)?),
        SPLIT_ALLOCATE_PAGE => Hash::SplitAllocatePage(split_allocate_page(record)?),
        SPLIT_PAGE => Hash::SplitPage(NoData {}),
        SPLIT_COMPLETE => {
            let mut cursor = Cursor::new("xl_hash_split_complete", main);
            let (old_bucket_flag, new_bucket_flag) = (cursor.u16()?, cursor.u16()?);
            Hash::SplitComplete(SplitComplete { old_bucket_flag, new_bucket_flag })
        }
        MOVE_PAGE_CONTENTS => Hash::MovePageContents(move_page_contents(record)?),
        SQUEEZE_PAGE => Hash::SqueezePage(squeeze_page(record)?),
        DELETE => Hash::Delete(delete(record)?),
        SPLIT_CLEANUP => Hash::SplitCleanup(NoData {}),
        UPDATE_META_PAGE => {
            let tuple_count = double(&mut Cursor::new("xl_hash_update_meta_page", main))?;
            Hash::UpdateMetaPage(UpdateMetaPage { tuple_count })
        }
        VACUUM_ONE_PAGE => Hash::VacuumOnePage(vacuum_one_page(record)?),
        _ => return Ok(Payload::Unknown),
    }))
}

fn double(cursor: &mut Cursor<'_>) -> Result<f64, PayloadError> {
    cursor.u64().map(f64::from_bits)
}

/// A number that is all that a block's data holds.
fn block_number(record: &Record<'_>, id: u8) -> Result<Option<u32>, PayloadError> {
    let number = |data| Cursor::new("hash block data", data).u32();
    block_data(record, id).map(number).transpose()
}

/// Offsets that are all that a block's data holds.
fn block_offsets<'a>(
    record: &Record<'a>,
    id: u8,
) -> Result<Option<Array<'a, OffsetNumber>>, PayloadError> {
    let offsets = |data: &'a [u8]| Cursor::new("hash block data", data).array(data.len() / 2);
    block_data(record, id).map(offsets).transpose()
}

fn moved_tuples<'a>(
    record: &Record<'a>,
    count: u16,
) -> Result<Option<MovedTuples<'a>>, PayloadError> {
    let Some(data) = block_data(record, 1) else {
        return Ok(None);
    };
    let mut cursor = Cursor::new("moved hash entries", data);
    Ok(Some(MovedTuples { offsets: cursor.array(usize::from(count))?, tuples: cursor.rest() }))
}

fn init_meta_page(main: &[u8]) -> Result<InitMetaPage, PayloadError> {
    let mut cursor = Cursor::new("xl_hash_init_meta_page", main);
    Ok(InitMetaPage {
        tuple_count: double(&mut cursor)?,
        procedure: cursor.u32()?,
        fill_factor: cursor.u16()?,
    })
}

fn add_overflow_page(record: &Record<'_>) -> Result<AddOverflowPage, PayloadError> {
    let mut cursor = Cursor::new("xl_hash_add_ovfl_page", record.main_data());
    Ok(AddOverflowPage {
        bitmap_size: cursor.u16()?,
        page_was_free: cursor.bool()?,
        bucket: block_number(record, 0)?,
        bitmap_bit: block_number(record, 2)?,
        first_free: block_number(record, 4)?,
    })
}

fn split_allocate_page(record: &Record<'_>) -> Result<SplitAllocatePage, PayloadError> {
    let mut cursor = Cursor::new("xl_hash_split_allocate_page", record.main_data());
    let mut split = SplitAllocatePage {
        new_bucket: cursor.u32()?,
        old_bucket_flag: cursor.u16()?,
        new_bucket_flag: cursor.u16()?,
        flags: SplitFlags::from_bits_retain(cursor.u8()?),
        masks: None,
        split_point: None,
    };
    if let Some(data) = block_data(record, 2) {
        let mut cursor = Cursor::new("hash metapage", data);
        if split.flags.contains(SplitFlags::META_UPDATE_MASKS) {
            split.masks = Some((cursor.u32()?, cursor.u32()?));
        }
        if split.flags.contains(SplitFlags::META_UPDATE_SPLITPOINT) {
            split.split_point = Some((cursor.u32()?, cursor.u32()?));
        }
    }
    Ok(split)
}

fn move_page_contents<'a>(record: &Record<'a>) -> Result<MovePageContents<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_hash_move_page_contents", record.main_data());
    let (count, is_primary) = (cursor.u16()?, cursor.bool()?);
    let moved = moved_tuples(record, count)?;
    Ok(MovePageContents { count, is_primary, moved, removed: block_offsets(record, 2)? })
}

fn squeeze_page<'a>(record: &Record<'a>) -> Result<SqueezePage<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_hash_squeeze_page", record.main_data());
    let (previous, next, count) = (cursor.u32()?, cursor.u32()?, cursor.u16()?);
    Ok(SqueezePage {
        previous,
        next,
        count,
        is_primary: cursor.bool()?,
        is_previous: cursor.bool()?,
        moved: moved_tuples(record, count)?,
        bitmap_bit: block_number(record, 5)?,
        first_free: block_number(record, 6)?,
    })
}

fn delete<'a>(record: &Record<'a>) -> Result<Delete<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_hash_delete", record.main_data());
    Ok(Delete {
        clears_dead_marking: cursor.bool()?,
        is_primary: cursor.bool()?,
        removed: block_offsets(record, 1)?,
    })
}

fn vacuum_one_page<'a>(record: &Record<'a>) -> Result<VacuumOnePage<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_hash_vacuum_one_page", record.main_data());
    let snapshot_conflict_horizon = cursor.xid()?;
    let (count, is_catalog_relation) = if record.version() >= Version::V16 {
        (usize::from(cursor.u16()?), Some(cursor.bool()?))
    } else {
        (cursor.count()?, None)
    };
    cursor.align(8)?;
    let removed = cursor.array(count)?;
    Ok(VacuumOnePage { snapshot_conflict_horizon, is_catalog_relation, removed })
}
