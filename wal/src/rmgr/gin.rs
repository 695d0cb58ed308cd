//! Resource manager 13, Gin: inverted indexes.
//!
//! Two kinds of trees: of entries, with ordinary tuples, and of posting items ("data"), whose leaves hold
//! compressed posting lists. The flags of INSERT and SPLIT say which of them, and whether a leaf. Format
//! and text are the same in 15 to 18.

mod posting;

use base::{BlockNumber, OffsetNumber, RelFileLocator, Tid, Xid};
pub use posting::{Action, PostingList, PostingLists, Recompression, SegmentAction};
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::{BlockRef, Record};
use crate::text::Text;
use crate::version::Version;

const CREATE_PTREE: u8 = 0x10;
const INSERT: u8 = 0x20;
const SPLIT: u8 = 0x30;
const VACUUM_PAGE: u8 = 0x40;
const DELETE_PAGE: u8 = 0x50;
const UPDATE_META_PAGE: u8 = 0x60;
const INSERT_LISTPAGE: u8 = 0x70;
const DELETE_LISTPAGE: u8 = 0x80;
const VACUUM_DATA_LEAF_PAGE: u8 = 0x90;

const IS_DATA: u16 = 0x01;
const IS_LEAF: u16 = 0x02;
const IS_ROOT_SPLIT: u16 = 0x04;

/// The payload of a Gin record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Gin<'a> {
    /// A posting tree is made, its root being block 0.
    CreatePostingTree(CreatePostingTree<'a>),
    /// Something is put on block 0; block 1, if there, is the left half of a split that this completes.
    Insert(Insert<'a>),
    /// A page is split, logged by images: block 0 left, 1 right, 2 the old root, 3 the left half of a
    /// split below.
    Split(Split),
    /// A leaf of the entry tree is cleaned, logged by its image.
    VacuumPage(VacuumPage),
    /// A leaf of a posting tree is cleaned.
    VacuumDataLeafPage(VacuumDataLeafPage<'a>),
    /// Block 0 is deleted; block 1 is its parent, block 2 its left neighbour.
    DeletePage(DeletePage),
    /// The metapage, block 0, is written anew; block 1, if there, is the pending list's last page.
    UpdateMetaPage(UpdateMetaPage<'a>),
    /// Block 0 becomes a page of the pending list.
    InsertListPage(InsertListPage<'a>),
    /// Pages of the pending list, blocks 1 and on, are deleted; block 0 is the metapage.
    DeleteListPages(DeleteListPages),
}

/// `ginxlogCreatePostingTree`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CreatePostingTree<'a> {
    /// Length of the posting lists in bytes.
    pub size: u32,
    /// What the tree begins with.
    pub posting_lists: PostingLists<'a>,
}

/// `ginxlogInsert`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Insert<'a> {
    /// Whether block 0 is of a posting tree.
    pub is_data: bool,
    /// Whether it is a leaf.
    pub is_leaf: bool,
    /// The two halves of the split that this completes, where it is no leaf.
    pub children: Option<Children>,
    /// What is put there, unless an image of block 0 shows it.
    pub change: Option<Change<'a>>,
}

/// The halves of a split page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Children {
    /// The old page.
    pub left: BlockNumber,
    /// The new page.
    pub right: BlockNumber,
}

/// What is put on a page.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Change<'a> {
    /// A tuple of the entry tree (`ginxlogInsertEntry`).
    Entry {
        /// Where it goes.
        offset: OffsetNumber,
        /// Whether it replaces the one there.
        is_delete: bool,
        /// The tuple (`IndexTuple`).
        #[serde(skip)]
        tuple: &'a [u8],
    },
    /// Posting lists of a posting tree's leaf.
    Leaf {
        /// What is done to them.
        actions: Recompression<'a>,
    },
    /// A downlink of a posting tree (`ginxlogInsertDataInternal`).
    Internal {
        /// Where it goes.
        offset: OffsetNumber,
        /// The page that it leads to.
        child: BlockNumber,
        /// The highest position below it.
        key: Tid,
    },
}

/// `ginxlogSplit`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Split {
    /// The index.
    pub locator: RelFileLocator,
    /// Right link of the new page, or the root's block if the root was split.
    pub right_link: BlockNumber,
    /// Left half of the split below that this completes, where it is no leaf.
    pub left_child: BlockNumber,
    /// Right half of that split.
    pub right_child: BlockNumber,
    /// Whether the page is of a posting tree.
    pub is_data: bool,
    /// Whether it is a leaf.
    pub is_leaf: bool,
    /// Whether it is the root.
    pub is_root_split: bool,
}

/// A VACUUM_PAGE record has nothing but its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VacuumPage {}

/// `ginxlogVacuumDataLeafPage`, the data of block 0
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VacuumDataLeafPage<'a> {
    /// What is done to its posting lists, unless an image shows it.
    pub actions: Option<Recompression<'a>>,
}

/// `ginxlogDeletePage`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeletePage {
    /// Where the downlink was in the parent.
    pub parent_offset: OffsetNumber,
    /// What the left neighbour links to now.
    pub right_link: BlockNumber,
    /// Newest transaction that may still see the page.
    pub delete_xid: Xid,
}

/// `GinMetaPageData`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// First page of the pending list.
    pub head: BlockNumber,
    /// Last page of the pending list.
    pub tail: BlockNumber,
    /// Bytes free on the last page.
    pub tail_free_size: u32,
    /// Pages in the pending list.
    pub pending_pages: BlockNumber,
    /// Heap tuples in the pending list.
    pub pending_heap_tuples: i64,
    /// Pages of the index as of the last VACUUM; so the following three.
    pub total_pages: BlockNumber,
    /// Pages of the entry tree.
    pub entry_pages: BlockNumber,
    /// Pages of posting trees.
    pub data_pages: BlockNumber,
    /// Entries.
    pub entries: i64,
    /// Version of the index's format.
    pub version: i32,
}

/// `ginxlogUpdateMeta`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UpdateMetaPage<'a> {
    /// The index.
    pub locator: RelFileLocator,
    /// What the metapage says now.
    pub metadata: Metadata,
    /// The pending list's last page before.
    pub previous_tail: BlockNumber,
    /// What it links to now.
    pub new_right_link: BlockNumber,
    /// Tuples put on the last page; 0 if a new list was hung in behind it.
    pub tuple_count: i32,
    /// The tuples (`IndexTuple`), unless an image of block 1 holds them.
    #[serde(skip)]
    pub tuples: Option<&'a [u8]>,
}

/// `ginxlogInsertListPage`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InsertListPage<'a> {
    /// The next page of the list.
    pub right_link: BlockNumber,
    /// Tuples on the page.
    pub tuple_count: i32,
    /// The tuples (`IndexTuple`), one behind the other.
    #[serde(skip)]
    pub tuples: Option<&'a [u8]>,
}

/// `ginxlogDeleteListPages`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeleteListPages {
    /// What the metapage says now.
    pub metadata: Metadata,
    /// Pages deleted.
    pub deleted_count: i32,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    Some(match info & 0xF0 {
        CREATE_PTREE => "CREATE_PTREE",
        INSERT => "INSERT",
        SPLIT => "SPLIT",
        VACUUM_PAGE => "VACUUM_PAGE",
        VACUUM_DATA_LEAF_PAGE => "VACUUM_DATA_LEAF_PAGE",
        DELETE_PAGE => "DELETE_PAGE",
        UPDATE_META_PAGE => "UPDATE_META_PAGE",
        INSERT_LISTPAGE => "INSERT_LISTPAGE",
        DELETE_LISTPAGE => "DELETE_LISTPAGE",
        _ => return None,
    })
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = record.main_data();
    let payload = match record.info() {
        CREATE_PTREE => {
            let mut cursor = Cursor::new("ginxlogCreatePostingTree", main);
            let size = cursor.u32()?;
            let posting_lists = PostingLists::read(cursor.bytes(size as usize)?)?;
            Gin::CreatePostingTree(CreatePostingTree { size, posting_lists })
        }
        INSERT => Gin::Insert(insert(record)?),
        SPLIT => Gin::Split(split(Cursor::new("ginxlogSplit", main))?),
        VACUUM_PAGE => Gin::VacuumPage(VacuumPage {}),
        VACUUM_DATA_LEAF_PAGE => {
            let actions = page_data(record).map(Recompression::read).transpose()?;
            Gin::VacuumDataLeafPage(VacuumDataLeafPage { actions })
        }
        DELETE_PAGE => {
            let mut cursor = Cursor::new("ginxlogDeletePage", main);
            let parent_offset = cursor.u16()?;
            cursor.align(4)?;
            let (right_link, delete_xid) = (cursor.u32()?, cursor.xid()?);
            Gin::DeletePage(DeletePage { parent_offset, right_link, delete_xid })
        }
        UPDATE_META_PAGE => {
            let mut cursor = Cursor::new("ginxlogUpdateMeta", main);
            let locator = cursor.locator()?;
            let metadata = metadata(&mut cursor)?;
            Gin::UpdateMetaPage(UpdateMetaPage {
                locator,
                metadata,
                previous_tail: cursor.u32()?,
                new_right_link: cursor.u32()?,
                tuple_count: cursor.i32()?,
                tuples: block_data(record, 1),
            })
        }
        INSERT_LISTPAGE => {
            let mut cursor = Cursor::new("ginxlogInsertListPage", main);
            let (right_link, tuple_count) = (cursor.u32()?, cursor.i32()?);
            let tuples = block_data(record, 0);
            Gin::InsertListPage(InsertListPage { right_link, tuple_count, tuples })
        }
        DELETE_LISTPAGE => {
            let mut cursor = Cursor::new("ginxlogDeleteListPages", main);
            let metadata = metadata(&mut cursor)?;
            Gin::DeleteListPages(DeleteListPages { metadata, deleted_count: cursor.i32()? })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Gin(payload))
}

fn block_data<'a>(record: &Record<'a>, id: u8) -> Option<&'a [u8]> {
    record.block(id).map(|block| record.block_data(block)).filter(|data| !data.is_empty())
}

/// The data of block 0, which an image may stand for; without one, it has to be there.
fn page_data<'a>(record: &Record<'a>) -> Option<&'a [u8]> {
    let has_image = record.block(0).is_some_and(BlockRef::has_image);
    block_data(record, 0).or(if has_image { None } else { Some(&[]) })
}

fn insert<'a>(record: &Record<'a>) -> Result<Insert<'a>, PayloadError> {
    let mut cursor = Cursor::new("ginxlogInsert", record.main_data());
    let flags = cursor.u16()?;
    let (is_data, is_leaf) = (flags & IS_DATA != 0, flags & IS_LEAF != 0);
    let children = if is_leaf {
        None
    } else {
        Some(Children { left: cursor.block_id()?, right: cursor.block_id()? })
    };
    let change = match page_data(record) {
        None => None,
        Some(data) if !is_data => {
            let mut cursor = Cursor::new("ginxlogInsertEntry", data);
            let (offset, is_delete) = (cursor.u16()?, cursor.bool()?);
            cursor.align(2)?;
            Some(Change::Entry { offset, is_delete, tuple: cursor.rest() })
        }
        Some(data) if is_leaf => Some(Change::Leaf { actions: Recompression::read(data)? }),
        Some(data) => {
            let mut cursor = Cursor::new("ginxlogInsertDataInternal", data);
            let (offset, child) = (cursor.u16()?, cursor.block_id()?);
            Some(Change::Internal { offset, child, key: cursor.tid()? })
        }
    };
    Ok(Insert { is_data, is_leaf, children, change })
}

fn split(mut cursor: Cursor<'_>) -> Result<Split, PayloadError> {
    let locator = cursor.locator()?;
    let (right_link, left_child, right_child) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let flags = cursor.u16()?;
    Ok(Split {
        locator,
        right_link,
        left_child,
        right_child,
        is_data: flags & IS_DATA != 0,
        is_leaf: flags & IS_LEAF != 0,
        is_root_split: flags & IS_ROOT_SPLIT != 0,
    })
}

/// ```text
/// offset 0 head, 4 tail, 8 tailFreeSize, 12 nPendingPages, 16 nPendingHeapTuples, 24 nTotalPages,
/// 28 nEntryPages, 32 nDataPages, 40 nEntries, 48 ginVersion, 56 end; aligned to 8
/// ```
fn metadata(cursor: &mut Cursor<'_>) -> Result<Metadata, PayloadError> {
    cursor.align(8)?;
    let (head, tail, tail_free_size, pending_pages) =
        (cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let pending_heap_tuples = cursor.i64()?;
    let (total_pages, entry_pages, data_pages) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    cursor.align(8)?;
    let (entries, version) = (cursor.i64()?, cursor.i32()?);
    cursor.align(8)?;
    Ok(Metadata {
        head,
        tail,
        tail_free_size,
        pending_pages,
        pending_heap_tuples,
        total_pages,
        entry_pages,
        data_pages,
        entries,
        version,
    })
}

impl Gin<'_> {
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        match self {
            Gin::CreatePostingTree(_)
            | Gin::VacuumPage(_)
            | Gin::DeletePage(_)
            | Gin::UpdateMetaPage(_)
            | Gin::InsertListPage(_) => {}
            Gin::Insert(insert) => describe_insert(insert, record, out),
            Gin::Split(split) => {
                out.str("isrootsplit: ").str(truth(split.is_root_split)).str(" isdata: ");
                out.str(truth(split.is_data)).str(" isleaf: ").str(truth(split.is_leaf));
            }
            Gin::VacuumDataLeafPage(vacuum) => {
                if let Some(text) = image_text(record) {
                    out.str(text);
                } else if let Some(actions) = vacuum.actions {
                    describe_recompression(actions, out);
                }
            }
            Gin::DeleteListPages(delete) => {
                out.str("ndeleted: ").int(delete.deleted_count);
            }
        }
    }
}

fn describe_insert(insert: &Insert<'_>, record: &Record<'_>, out: &mut Text) {
    out.str("isdata: ").str(truth(insert.is_data)).str(" isleaf: ").str(truth(insert.is_leaf));
    if let Some(Children { left, right }) = insert.children {
        out.str(" children: ").int(left).str("/").int(right);
    }
    if let Some(text) = image_text(record) {
        out.str(text);
        return;
    }
    match insert.change {
        None => {}
        Some(Change::Entry { is_delete, .. }) => {
            out.str(" isdelete: ").str(truth(is_delete));
        }
        Some(Change::Leaf { actions }) => describe_recompression(actions, out),
        Some(Change::Internal { child, key, .. }) => {
            out.str(" pitem: ").int(child).str("-").int(key.block).str("/").int(key.offset);
        }
    }
}

fn describe_recompression(recompression: Recompression<'_>, out: &mut Text) {
    out.str(" ").int(recompression.action_count).str(" segments:");
    for SegmentAction { segment, action } in recompression.actions() {
        out.str(" ").int(segment);
        match action {
            Action::AddItems { items } => out.str(" (add ").int(items.len()).str(" items)"),
            Action::Delete => out.str(" (delete)"),
            Action::Insert { .. } => out.str(" (insert)"),
            Action::Replace { .. } => out.str(" (replace)"),
            Action::Unknown { number } => out.str(" unknown action ").int(number).str(" ???"),
        };
    }
}

/// What stands for the description of a change that block 0 has an image of.
fn image_text(record: &Record<'_>) -> Option<&'static str> {
    let block = record.block(0).filter(|block| block.has_image())?;
    Some(if block.applies_image() {
        " (full page image)"
    } else {
        " (full page image, for WAL verification)"
    })
}

fn truth(value: bool) -> &'static str {
    if value { "T" } else { "F" }
}

#[cfg(test)]
mod tests;
