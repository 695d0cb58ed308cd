//! Changes of a btree's pages made again from their records: `btree_redo` of PostgreSQL 15.
//!
//! [`redo`] changes the page of one block reference; a record about several pages is redone page by page, in any order,
//! since each part of it says all that its page needs.
//!
//! Invariants: the caller has compared the page's LSN with the record's end, has restored the page from its image if
//! redo is to take that, and stamps the page with the record's end afterwards. A record that does not fit the
//! page is an error, the page is then not to be used: the log or the page is damaged. Entries lie on the page in the
//! order in which PostgreSQL leaves them.

use base::page::{PageBytes, PageError, Placement};
use base::{BlockNumber, OffsetNumber, PageMut};
use wal::record::Record;
use wal::rmgr::btree::{
    Btree, Dedup, DedupInterval, DeletedItems, Insert, MarkPageHalfdead, Metadata, NewRoot, Split,
    UnlinkPage,
};
use wal::rmgr::{Payload, PayloadError};

use super::page::{self, HIGH_KEY, MetaPage, NONE, NodeError, NodeFlags, Opaque, SPECIAL_SIZE};
use super::posting::{self, Pending};
use super::tuple::{self, IndexTuple, MAX_ITEM_SIZE, TupleError};

/// The resource manager Btree (`RM_BTREE_ID`).
pub const RM_BTREE: u8 = 11;
/// `XLOG_BTREE_SPLIT_L`: the new entry goes to the left page.
const SPLIT_L: u8 = 0x30;

/// Why a record cannot be redone on a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedoError {
    /// The page is none of a btree, or lacks an entry.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The record's payload is too short.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Not a change of a btree's page that 15 logs.
    #[error("no change of a btree's page that PostgreSQL 15 logs")]
    NotBtree,
    /// The record does not carry what redo puts in.
    #[error("the record lacks {what}")]
    Lacks {
        /// What.
        what: &'static str,
    },
    /// An entry in the record is damaged, or does not fit the one on the page.
    #[error("the record's entry for line pointer {offset}: {error}")]
    Entry {
        /// The line pointer.
        offset: OffsetNumber,
        /// What is wrong.
        #[source]
        error: TupleError,
    },
    /// Line pointers in the record that the page does not have, or that do not ascend.
    #[error("the record changes line pointers that the page does not have")]
    LinePointers,
}

impl From<PageError> for RedoError {
    fn from(error: PageError) -> RedoError {
        RedoError::Node(NodeError::Page(error))
    }
}

impl From<base::page::AddError> for RedoError {
    fn from(error: base::page::AddError) -> RedoError {
        RedoError::Node(NodeError::Add(error))
    }
}

/// Whether redo makes this block's page anew, so that it is to be called with a page of any bytes.
pub fn makes_page(record: &Record<'_>, id: u8) -> bool {
    if record.rmid() != RM_BTREE {
        return false;
    }
    match record.payload() {
        Ok(Payload::Btree(Btree::Insert(_))) => id == 2,
        Ok(Payload::Btree(Btree::Split(_))) => id == 1,
        Ok(Payload::Btree(Btree::MarkPageHalfdead(_) | Btree::MetaCleanup(_))) => id == 0,
        Ok(Payload::Btree(Btree::UnlinkPage(_))) => matches!(id, 0 | 3 | 4),
        Ok(Payload::Btree(Btree::NewRoot(_))) => matches!(id, 0 | 2),
        _ => false,
    }
}

/// Makes the record's change of the page of block reference `id` again.
///
/// # Errors
/// [`RedoError`]; the page is then not to be used.
pub fn redo(record: &Record<'_>, id: u8, bytes: &mut PageBytes) -> Result<(), RedoError> {
    let Payload::Btree(payload) = record.payload()? else { return Err(RedoError::NotBtree) };
    let block = |id| record.block(id).map(|block| block.block);
    match (&payload, id) {
        (Btree::Insert(insert), 0) => redo_insert(bytes, insert),
        (Btree::Insert(Insert { metadata, .. }) | Btree::NewRoot(NewRoot { metadata, .. }), 2)
        | (Btree::UnlinkPage(UnlinkPage { metadata, .. }), 4) => {
            put_metadata(bytes, metadata.as_ref())
        }
        (Btree::MetaCleanup(cleanup), 0) => put_metadata(bytes, Some(&cleanup.metadata)),
        (Btree::Insert(_) | Btree::NewRoot(_), 1) | (Btree::Split(_), 3) => {
            change_opaque(bytes, |opaque| opaque.flags -= NodeFlags::INCOMPLETE_SPLIT)
        }
        (Btree::Split(split), 0) => {
            let right = block(1).ok_or(RedoError::Lacks { what: "the right page" })?;
            redo_split_left(bytes, split, record.info() == SPLIT_L, right)
        }
        (Btree::Split(split), 1) => {
            let left = block(0).ok_or(RedoError::Lacks { what: "the left page" })?;
            let opaque = Opaque {
                prev: left,
                next: block(2).unwrap_or(NONE),
                ..Opaque::alone(split.level, NodeFlags::empty())
            };
            let mut page = page::init(bytes, &opaque);
            put_entries(&mut page, split.right)
        }
        (Btree::Split(_), 2) => {
            let right = block(1).ok_or(RedoError::Lacks { what: "the right page" })?;
            change_opaque(bytes, |opaque| opaque.prev = right)
        }
        (Btree::Dedup(dedup), 0) => redo_dedup(bytes, dedup),
        (Btree::Delete(delete), 0) => redo_delete(bytes, delete.items.as_ref()),
        (Btree::Vacuum(vacuum), 0) => redo_delete(bytes, vacuum.items.as_ref()),
        (Btree::MarkPageHalfdead(mark), 0) => {
            put_half_dead(bytes, mark.left, mark.right, mark.top_parent)
        }
        (Btree::MarkPageHalfdead(mark), 1) => redo_parent(bytes, mark),
        (Btree::UnlinkPage(unlink), 0) => {
            let flags = NodeFlags::empty();
            let (prev, next) = (unlink.left, unlink.right);
            let opaque = Opaque { prev, next, ..Opaque::alone(unlink.level, flags) };
            page::init_deleted(bytes, &opaque, unlink.safe_xid);
            Ok(())
        }
        (Btree::UnlinkPage(unlink), 1) => change_opaque(bytes, |opaque| opaque.next = unlink.right),
        (Btree::UnlinkPage(unlink), 2) => change_opaque(bytes, |opaque| opaque.prev = unlink.left),
        (Btree::UnlinkPage(unlink), 3) => {
            put_half_dead(bytes, unlink.leaf_left, unlink.leaf_right, unlink.leaf_top_parent)
        }
        (Btree::NewRoot(new_root), 0) => {
            let mut page = page::init(bytes, &Opaque::alone(new_root.level, NodeFlags::ROOT));
            if new_root.level > 0 { put_entries(&mut page, new_root.tuples) } else { Ok(()) }
        }
        _ => Err(RedoError::NotBtree),
    }
}

/// An entry in a record.
fn logged(bytes: &[u8], offset: OffsetNumber) -> Result<IndexTuple<'_>, RedoError> {
    IndexTuple::read(bytes).map_err(|error| RedoError::Entry { offset, error })
}

/// The first entry of several, and what is behind it.
fn split_first(bytes: &[u8]) -> Result<(IndexTuple<'_>, &[u8]), RedoError> {
    let size = tuple::claimed_size(bytes).unwrap_or_default();
    let whole = bytes.split_at_checked(size).filter(|_| size >= tuple::HEADER_SIZE);
    let (first, rest) = whole.ok_or(RedoError::Lacks { what: "a whole entry" })?;
    Ok((logged(first, 0)?, rest))
}

/// A page of the tree, to be changed.
fn node<'p>(bytes: &'p mut PageBytes) -> Result<(PageMut<'p>, Opaque), RedoError> {
    let opaque = page::Node::read(bytes)?.opaque;
    Ok((PageMut::assume_valid(bytes), opaque))
}

fn change_opaque(bytes: &mut PageBytes, change: impl FnOnce(&mut Opaque)) -> Result<(), RedoError> {
    let (mut page, _) = node(bytes)?;
    Opaque::change(&mut page, change);
    Ok(())
}

fn put_metadata(bytes: &mut PageBytes, metadata: Option<&Metadata>) -> Result<(), RedoError> {
    let metadata = metadata.ok_or(RedoError::Lacks { what: "the metapage" })?;
    MetaPage::of(*metadata).write(bytes);
    Ok(())
}

/// Puts in the entries that a record has of a page, which lie there as on the page: the last first
/// (`_bt_restore_page`).
fn put_entries(page: &mut PageMut<'_>, entries: Option<&[u8]>) -> Result<(), RedoError> {
    let mut rest = entries.ok_or(RedoError::Lacks { what: "the page's entries" })?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (entry, behind) = split_first(rest)?;
        found.push(entry);
        rest = behind;
    }
    for entry in found.iter().rev() {
        page.add_item(entry.bytes(), Placement::Free)?;
    }
    Ok(())
}

/// A leaf that is about to be deleted: no entries, and a high key that leads to the topmost page that goes with it.
fn put_half_dead(
    bytes: &mut PageBytes,
    prev: BlockNumber,
    next: BlockNumber,
    top_parent: BlockNumber,
) -> Result<(), RedoError> {
    let opaque = Opaque { prev, next, ..Opaque::alone(0, NodeFlags::HALF_DEAD) };
    let mut page = page::init(bytes, &opaque);
    page.add_item(&tuple::bare_pivot(top_parent), Placement::At(HIGH_KEY))?;
    Ok(())
}

/// The posting list before a new entry, split for it, and both as they are then.
fn swapped(
    page: &PageMut<'_>,
    new_item: IndexTuple<'_>,
    offset: OffsetNumber,
    place: u16,
) -> Result<posting::Swapped, RedoError> {
    let before = offset.checked_sub(1).ok_or(RedoError::LinePointers)?;
    let old = page::entry(page.as_page(), before)?;
    posting::swap(new_item, old, place).map_err(|error| RedoError::Entry { offset: before, error })
}

fn redo_insert(bytes: &mut PageBytes, insert: &Insert<'_>) -> Result<(), RedoError> {
    let (mut page, _) = node(bytes)?;
    let tuple = insert.tuple.ok_or(RedoError::Lacks { what: "the new entry" })?;
    let (offset, new_item) = (insert.offset, logged(tuple, insert.offset)?);
    match insert.posting_offset {
        None => page.add_item(new_item.bytes(), Placement::Before(offset))?,
        Some(place) => {
            let swapped = swapped(&page, new_item, offset, place)?;
            if !page.overwrite_item(offset - 1, &swapped.posting) {
                return Err(RedoError::LinePointers);
            }
            page.add_item(&swapped.new_item, Placement::Before(offset))?
        }
    };
    Ok(())
}

fn redo_split_left(
    bytes: &mut PageBytes,
    split: &Split<'_>,
    new_item_is_left: bool,
    right: BlockNumber,
) -> Result<(), RedoError> {
    let (mut page, opaque) = node(bytes)?;
    let mut data = split.left.ok_or(RedoError::Lacks { what: "the left page's entries" })?;
    let offset = split.new_item_offset;
    let (mut new_item, mut replaced) = (None, None);
    if new_item_is_left || split.posting_offset != 0 {
        let (item, rest) = split_first(data)?;
        (new_item, data) = (Some(item.bytes().to_vec()), rest);
        if split.posting_offset != 0 {
            let swapped = swapped(&page, item, offset, split.posting_offset)?;
            new_item = Some(swapped.new_item);
            replaced = Some(swapped.posting);
        }
    }
    let new_item = new_item.filter(|_| new_item_is_left);
    let high_key = logged(data, HIGH_KEY)?;

    let mut left_bytes = Box::new([0; base::PAGE_SIZE]);
    let mut left = PageMut::init(&mut left_bytes, SPECIAL_SIZE);
    left.add_item(high_key.bytes(), Placement::Free)?;
    let first_right = split.first_right_offset;
    if first_right > page.as_page().last_offset() + 1 {
        return Err(RedoError::LinePointers);
    }
    for number in opaque.first_data()..first_right {
        match (&replaced, &new_item) {
            (Some(posting), _) if number + 1 == offset => {
                left.add_item(posting, Placement::Free)?;
                continue;
            }
            (_, Some(item)) if number == offset => {
                left.add_item(item, Placement::Free)?;
            }
            _ => {}
        }
        left.add_item(page::entry(page.as_page(), number)?.bytes(), Placement::Free)?;
    }
    if let Some(item) = new_item.filter(|_| offset == first_right) {
        left.add_item(&item, Placement::Free)?;
    }
    let mut flags = NodeFlags::INCOMPLETE_SPLIT;
    flags.set(NodeFlags::LEAF, split.level == 0);
    Opaque { next: right, flags, cycle_id: 0, ..opaque }.put(&mut left);
    page.copy_from(left.as_page());
    Ok(())
}

fn redo_dedup(bytes: &mut PageBytes, dedup: &Dedup<'_>) -> Result<(), RedoError> {
    let (mut page, opaque) = node(bytes)?;
    let intervals = dedup.intervals.ok_or(RedoError::Lacks { what: "the intervals" })?;
    let mut made_bytes = Box::new([0; base::PAGE_SIZE]);
    let mut made = PageMut::init(&mut made_bytes, SPECIAL_SIZE);
    Opaque { flags: opaque.flags - NodeFlags::HAS_GARBAGE, ..opaque }.put(&mut made);
    let (old, last) = (page.as_page(), page.as_page().last_offset());
    let mut number = 1;
    let copy = |number: &mut OffsetNumber, until: OffsetNumber, made: &mut PageMut<'_>| {
        while *number < until {
            made.add_item(page::entry(old, *number)?.bytes(), Placement::Free)?;
            *number += 1;
        }
        Ok::<(), RedoError>(())
    };
    for DedupInterval { offset, count } in intervals.iter() {
        let end = offset.checked_add(count).filter(|end| *end <= last + 1 && count > 1);
        let end = end.filter(|_| offset >= number.max(opaque.first_data()));
        let end = end.ok_or(RedoError::LinePointers)?;
        copy(&mut number, offset, &mut made)?;
        let of_page = |error| NodeError::Entry { offset, error };
        let mut pending = Pending::new(MAX_ITEM_SIZE);
        pending.start(page::entry(old, offset)?).map_err(of_page)?;
        for other in offset + 1..end {
            if !pending.save(page::entry(old, other)?).map_err(of_page)? {
                return Err(RedoError::LinePointers);
            }
        }
        made.add_item(&pending.finish().unwrap_or_default(), Placement::Free)?;
        number = end;
    }
    copy(&mut number, last + 1, &mut made)?;
    page.copy_from(made.as_page());
    Ok(())
}

fn redo_delete(bytes: &mut PageBytes, items: Option<&DeletedItems<'_>>) -> Result<(), RedoError> {
    let (mut page, _) = node(bytes)?;
    let items = items.ok_or(RedoError::Lacks { what: "what is deleted" })?;
    for update in items.updated.iter() {
        let offset = update.offset;
        let places: Vec<u16> = update.deleted_tids.iter().collect();
        let shorter = posting::without(page::entry(page.as_page(), offset)?, &places)
            .map_err(|error| RedoError::Entry { offset, error })?;
        if !page.overwrite_item(offset, &shorter) {
            return Err(RedoError::LinePointers);
        }
    }
    let deleted: Vec<OffsetNumber> = items.deleted.iter().collect();
    if !deleted.is_empty() && !page.delete_items(&deleted) {
        return Err(RedoError::LinePointers);
    }
    Opaque::change(&mut page, |opaque| opaque.flags -= NodeFlags::HAS_GARBAGE);
    Ok(())
}

/// The parent of pages that are about to be deleted: their entry leads to the page to the right, whose entry goes.
fn redo_parent(bytes: &mut PageBytes, mark: &MarkPageHalfdead) -> Result<(), RedoError> {
    let (mut page, _) = node(bytes)?;
    let next = mark.parent_offset.checked_add(1).ok_or(RedoError::LinePointers)?;
    let right = page::entry(page.as_page(), next)?.downlink();
    let mut entry = page::entry(page.as_page(), mark.parent_offset)?.bytes().to_vec();
    tuple::set_downlink(&mut entry, right);
    match page.overwrite_item(mark.parent_offset, &entry) && page.delete_item(next) {
        true => Ok(()),
        false => Err(RedoError::LinePointers),
    }
}
