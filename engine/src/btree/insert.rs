//! Entries put in: a place found, a page split where there is no room, the split made known above.
//!
//! ```text
//! leaf, locked ─► room? ─► INSERT_LEAF                       a posting list in the way is split on the way (INSERT_POST)
//!                   └─ no ─► dead entries go (DELETE), those of old versions (DELETE), others are shared (DEDUP) ─► room?
//!                              └─ no ─► SPLIT: left page says INCOMPLETE_SPLIT ─► entry in the parent (INSERT_UPPER)
//!                                                                            └─► or a new root (NEWROOT)
//! ```
//!
//! A split and the entry for its right half in the parent are two records, under locks that overlap. A crash between
//! them leaves the left page saying so; readers find the right half by its link, and the next who inserts and comes by
//! finishes the split.
//!
//! Source: `nbtinsert.c` of PostgreSQL 15. Invariant: a page that says INCOMPLETE_SPLIT is not split again before that is
//! finished, and nothing is put into it.

use base::page::Placement;
use base::sync::atomic::Ordering::Relaxed;
use base::{BlockNumber, OffsetNumber, Tid, variant};
use wal::rmgr::btree::{Btree, Insert, NewRoot};

use super::error::IndexError;
use super::index::{HeldPage, Index, Part, Writer, to_change};
use super::key::SearchKey;
use super::page::{self, HIGH_KEY, METAPAGE, MetaPage, NONE, NodeFlags, Opaque};
use super::posting;
use super::search::Step;
use super::simple_deletion::Heap;
use super::tuple::{self, IndexTuple};
use crate::heap::Value;

const INSERT_LEAF: u8 = 0x00;
const INSERT_UPPER: u8 = 0x10;
const INSERT_META: u8 = 0x20;
const INSERT_POST: u8 = 0x50;
const NEWROOT: u8 = 0xA0;

/// A new entry and its place on a page.
#[derive(Debug, Clone)]
pub(super) struct NewItem {
    pub(super) tuple: Vec<u8>,
    /// The line pointer that it gets.
    pub(super) offset: OffsetNumber,
    /// What it does to the posting list before it, if it is within that one's tids.
    pub(super) posting: Option<PostingSplit>,
}

/// A posting list split by a new entry, whose place is behind it afterwards.
#[derive(Debug, Clone)]
pub(super) struct PostingSplit {
    /// The entry as it was asked for: what the log has.
    pub(super) original: Vec<u8>,
    /// Its place among the tids.
    pub(super) place: u16,
    /// The posting list afterwards.
    pub(super) posting: Vec<u8>,
}

impl NewItem {
    pub(super) fn size(&self) -> usize {
        self.tuple.len()
    }
}

/// Where a new entry goes.
enum Placed {
    At(NewItem),
    /// Among the rows of an entry that is marked dead.
    InDead(OffsetNumber),
}

/// What is known of entries with the key of a new one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Equals {
    /// Whether there are any, where that was looked at.
    pub(super) are_there: Option<bool>,
    /// The new one is for another version of a row that has one.
    pub(super) is_unchanged: bool,
}

/// What a page that was split was.
#[derive(Debug, Clone, Copy)]
struct WasSplit {
    root: bool,
    /// Alone on its level.
    alone: bool,
}

impl<'s> Writer<'_, 's> {
    /// Puts in an entry for a row: the values of all columns.
    ///
    /// # Errors
    /// Where the values do not fit the columns or a page; where the index is damaged, or has the very entry already; as
    /// the disk and the log say. The entry is then not in the index.
    pub fn insert(&mut self, values: &[Value<'_>], tid: Tid) -> Result<(), IndexError> {
        let tuple =
            self.index.of.shape.form_stored(values, self.stored, tid).map_err(IndexError::from)?;
        self.insert_tuple(&tuple, false, None)
    }

    /// The same, where the table can say which entries are of no use any more. `is_unchanged` says that the row is a new
    /// version of one whose key is the same: it is not a logical change of the index (`indexUnchanged`). That is a hint.
    ///
    /// # Errors
    /// As [`Writer::insert`], and those of `heap`.
    pub fn insert_with<E: From<IndexError>>(
        &mut self,
        values: &[Value<'_>],
        tid: Tid,
        is_unchanged: bool,
        heap: &mut dyn Heap<E>,
    ) -> Result<(), E> {
        let tuple =
            self.index.of.shape.form_stored(values, self.stored, tid).map_err(IndexError::from)?;
        self.insert_tuple(&tuple, is_unchanged, Some(heap))
    }

    /// Puts in an entry, whatever others there are with its key.
    pub(super) fn insert_tuple<E: From<IndexError>>(
        &mut self,
        tuple: &[u8],
        is_unchanged: bool,
        heap: Option<&mut dyn Heap<E>>,
    ) -> Result<(), E> {
        let index = self.index;
        let key = index.key_of(tuple)?;
        let (way, block, leaf) = self.find(&key, tuple.len())?;
        let equals = Equals { are_there: None, is_unchanged };
        self.put(&key, &way, (block, leaf), tuple, equals, heap)
    }

    /// The first leaf where a key may be, locked, and the way there, if there was one.
    pub(super) fn find(
        &mut self,
        key: &SearchKey<'_>,
        size: usize,
    ) -> Result<(Vec<Step>, BlockNumber, HeldPage<'s>), IndexError> {
        Ok(match self.rightmost_for(key, size)? {
            Some((block, leaf)) => (Vec::new(), block, leaf),
            None => self.leaf_for(key)?,
        })
    }

    /// Puts an entry on the leaf that it belongs to.
    pub(super) fn put<E: From<IndexError>>(
        &mut self,
        key: &SearchKey<'_>,
        way: &[Step],
        (block, mut leaf): (BlockNumber, HeldPage<'s>),
        tuple: &[u8],
        equals: Equals,
        mut heap: Option<&mut dyn Heap<E>>,
    ) -> Result<(), E> {
        let index = self.index;
        let new = index.formed(tuple)?;
        let has_room = |leaf: &HeldPage<'_>| {
            Ok::<_, IndexError>(index.node(block, leaf)?.page().free_space() >= tuple.len())
        };
        if !has_room(&leaf)? {
            let mut is_churn = equals.is_unchanged || equals.are_there == Some(true);
            if let Some(heap) = heap.as_deref_mut() {
                is_churn |= self.delete_dead(block, &mut leaf, new, heap)?;
            }
            // A unique key's entries are never more than a few: without any, a split is what is wanted.
            if !has_room(&leaf)? && (is_churn || equals.are_there.is_none()) {
                let is_enough = match heap.as_deref_mut().filter(|_| is_churn) {
                    Some(heap) => self.delete_bottom_up(block, &mut leaf, tuple.len(), heap)?,
                    None => false,
                };
                if !is_enough && index.of.shape.all_equal_image() {
                    self.deduplicate(block, &mut leaf, new, is_churn)?;
                }
            }
        }
        let mut placed = index.place(key, block, &leaf, tuple)?;
        if let (Placed::InDead(_), Some(heap)) = (&placed, heap) {
            // Rows of the entry are not to come to life again with the new one.
            self.delete_dead(block, &mut leaf, new, heap)?;
            placed = index.place(key, block, &leaf, tuple)?;
        }
        match placed {
            Placed::At(item) => Ok(self.insert_on(block, leaf, None, way, item, false)?),
            Placed::InDead(offset) => {
                let what = format!("line pointer {offset} is dead, and is in a new entry's way");
                Err(index.structure(block, what).into())
            }
        }
    }

    /// The rightmost leaf, if the entry belongs there, fits, and is not the first (the fast path of `_bt_search_insert`).
    fn rightmost_for(
        &mut self,
        key: &SearchKey<'_>,
        size: usize,
    ) -> Result<Option<(BlockNumber, HeldPage<'s>)>, IndexError> {
        let index = self.index;
        let block = index.of.rightmost_leaf.load(Relaxed) as BlockNumber;
        if block == NONE {
            return Ok(None);
        }
        let leaf = index.write(block)?;
        let opaque = Opaque::of(&leaf).map_err(index.node_error(block))?;
        if opaque.is_rightmost() && opaque.is_leaf() && !opaque.is_ignored() {
            let node = index.node(block, &leaf)?;
            let first = opaque.first_data();
            if node.page().free_space() > size
                && node.last() >= first
                && index.compare(key, block, &node, first)?.is_gt()
            {
                return Ok(Some((block, leaf)));
            }
        }
        index.of.rightmost_leaf.store(u64::from(NONE), Relaxed);
        Ok(None)
    }

    /// Puts an entry on a page, with a split if it does not fit. Above the leaves, `child` is the left page of the split
    /// that the entry is about, which is finished by this; `child_was_alone` on its level.
    pub(super) fn insert_on(
        &mut self,
        block: BlockNumber,
        mut page: HeldPage<'s>,
        child: Option<HeldPage<'s>>,
        way: &[Step],
        item: NewItem,
        child_was_alone: bool,
    ) -> Result<(), IndexError> {
        let index = self.index;
        let node = index.node(block, &page)?;
        let opaque = node.opaque;
        if node.page().free_space() < item.size() {
            let was = WasSplit {
                root: opaque.flags.contains(NodeFlags::ROOT),
                alone: opaque.is_leftmost() && opaque.is_rightmost(),
            };
            let (right_block, right) = self.split(block, &mut page, child, &item)?;
            return self.insert_parent((block, page), (right_block, right), way, was);
        }
        let Some(mut child) = child else { return self.insert_on_leaf(block, page, opaque, &item) };
        // The lowest page that is alone on its level is this one now.
        let mut metapage = None;
        if child_was_alone {
            let held = index.write(METAPAGE)?;
            let mut meta = MetaPage::read(&held).map_err(index.node_error(METAPAGE))?;
            if meta.metadata.fast_level < opaque.level {
                (meta.metadata.fast_root, meta.metadata.fast_level) = (block, opaque.level);
                metapage = Some((held, meta));
            }
        }
        to_change(&mut page)
            .add_item(&item.tuple, Placement::Before(item.offset))
            .map_err(|error| index.node_error(block)(error.into()))?;
        Opaque::change(&mut to_change(&mut child), |opaque| {
            opaque.flags -= NodeFlags::INCOMPLETE_SPLIT;
        });
        let (mut parts, metadata): (Vec<Part<'_, 's>>, _) = match &mut metapage {
            Some((held, meta)) => {
                meta.write(held.bytes_mut());
                (vec![(2, true, held)], Some(meta.metadata))
            }
            None => (Vec::new(), None),
        };
        parts.insert(0, (1, false, &mut child));
        parts.insert(0, (0, false, &mut page));
        let insert = Insert {
            offset: item.offset,
            posting_offset: None,
            metadata,
            tuple: Some(&item.tuple),
        };
        let info = if metadata.is_some() { INSERT_META } else { INSERT_UPPER };
        self.log(info, &Btree::Insert(insert), &mut parts)
    }

    fn insert_on_leaf(
        &mut self,
        block: BlockNumber,
        mut page: HeldPage<'s>,
        opaque: Opaque,
        item: &NewItem,
    ) -> Result<(), IndexError> {
        let index = self.index;
        let mut change = to_change(&mut page);
        if let Some(split) = &item.posting {
            change.overwrite_item(item.offset - 1, &split.posting);
        }
        change
            .add_item(&item.tuple, Placement::Before(item.offset))
            .map_err(|error| index.node_error(block)(error.into()))?;
        let logged = item.posting.as_ref().map_or(&item.tuple, |split| &split.original);
        let insert = Insert {
            offset: item.offset,
            posting_offset: item.posting.as_ref().map(|split| split.place),
            metadata: None,
            tuple: Some(logged),
        };
        let info = if item.posting.is_some() { INSERT_POST } else { INSERT_LEAF };
        self.log(info, &Btree::Insert(insert), &mut [(0, false, &mut page)])?;
        if opaque.is_rightmost() && !opaque.flags.contains(NodeFlags::ROOT) {
            index.of.rightmost_leaf.store(u64::from(block), Relaxed);
        }
        Ok(())
    }

    /// Makes a split known one level up: an entry in the parent, or a new root. Both halves are locked; the right one is
    /// given back as soon as the parent is.
    fn insert_parent(
        &mut self,
        (left_block, left): (BlockNumber, HeldPage<'s>),
        (right_block, right): (BlockNumber, HeldPage<'s>),
        way: &[Step],
        was: WasSplit,
    ) -> Result<(), IndexError> {
        let index = self.index;
        let node = index.node(left_block, &left)?;
        let level = node.opaque.level + 1;
        let high_key = node.entry(HIGH_KEY).map_err(index.node_error(left_block))?;
        let mut link = high_key.bytes().to_vec();
        tuple::set_downlink(&mut link, right_block);
        if was.root {
            self.new_root((left_block, left), &link, level)?;
            drop(right);
            return Ok(());
        }
        let (above, step) = match way.split_last() {
            Some((step, above)) => (above, *step),
            // The root was split since, or the way down began below it.
            None => {
                let block = index.endpoint(level, false)?;
                (&[][..], Step { block, offset: 0 })
            }
        };
        let (left, right) = match variant!("btree.split-unlocked") {
            true => {
                drop((left, right));
                (index.write(left_block)?, index.write(right_block)?)
            }
            false => (left, right),
        };
        let (step, parent) = self.parent_of(left_block, step, above)?;
        drop(right);
        let item = NewItem { tuple: link, offset: step.offset + 1, posting: None };
        self.insert_on(step.block, parent, Some(left), above, item, was.alone)
    }

    /// The page that leads to a child, locked, and by which entry: from where the way down came through, to the right
    /// (`_bt_getstackbuf`).
    pub(super) fn parent_of(
        &mut self,
        child: BlockNumber,
        from: Step,
        above: &[Step],
    ) -> Result<(Step, HeldPage<'s>), IndexError> {
        let index = self.index;
        let Step { mut block, offset: hint } = from;
        loop {
            let page = index.write(block)?;
            let opaque = Opaque::of(&page).map_err(index.node_error(block))?;
            if opaque.is_unfinished() {
                self.finish_split(block, page, above)?;
                continue;
            }
            if !opaque.is_ignored() {
                let node = index.node(block, &page)?;
                let leads =
                    |offset| node.entry(offset).is_ok_and(|entry| entry.downlink() == child);
                let data = opaque.first_data()..=node.last();
                // It is where it was, or behind.
                let behind = data.clone().filter(|offset| *offset >= hint);
                let before = data.rev().filter(|offset| *offset < hint);
                if let Some(offset) = behind.chain(before).find(|offset| leads(*offset)) {
                    return Ok((Step { block, offset }, page));
                }
            }
            if opaque.is_rightmost() {
                return Err(index.structure(child, "no page above leads to it"));
            }
            block = opaque.next;
        }
    }

    /// Finishes the split of a page, if it still says so.
    pub(super) fn finish_if_split(
        &mut self,
        block: BlockNumber,
        way: &[Step],
    ) -> Result<(), IndexError> {
        let page = self.index.write(block)?;
        let opaque = Opaque::of(&page).map_err(self.index.node_error(block))?;
        match opaque.is_unfinished() {
            true => self.finish_split(block, page, way),
            false => Ok(()),
        }
    }

    /// Gives the right half of a page that says INCOMPLETE_SPLIT its entry above (`_bt_finish_split`).
    pub(super) fn finish_split(
        &mut self,
        block: BlockNumber,
        page: HeldPage<'s>,
        way: &[Step],
    ) -> Result<(), IndexError> {
        let index = self.index;
        let opaque = Opaque::of(&page).map_err(index.node_error(block))?;
        let right = index.write(opaque.next)?;
        let right_opaque = Opaque::of(&right).map_err(index.node_error(opaque.next))?;
        let was = WasSplit {
            root: way.is_empty() && index.metapage()?.metadata.root == block,
            alone: opaque.is_leftmost() && right_opaque.is_rightmost(),
        };
        self.insert_parent((block, page), (opaque.next, right), way, was)
    }

    /// The first page of an empty index: a leaf that is the root. Somebody else may have made it meanwhile.
    pub(super) fn make_root(&mut self) -> Result<(), IndexError> {
        let index = self.index;
        let mut metapage = index.write(METAPAGE)?;
        let mut meta = MetaPage::read(&metapage).map_err(index.node_error(METAPAGE))?;
        if meta.metadata.root != NONE {
            return Ok(());
        }
        let (block, mut root) = self.new_page()?;
        page::init(root.bytes_mut(), &Opaque::alone(0, NodeFlags::ROOT));
        meta = MetaPage::new(block, 0, meta.metadata.all_equal_image);
        meta.write(metapage.bytes_mut());
        let new_root =
            NewRoot { root: block, level: 0, metadata: Some(meta.metadata), tuples: None };
        let parts: &mut [Part<'_, 's>] = &mut [(0, true, &mut root), (2, true, &mut metapage)];
        self.log(NEWROOT, &Btree::NewRoot(new_root), parts)
    }

    /// A root above the two halves of the old one, the link to the right one being this (`_bt_newroot`).
    fn new_root(
        &mut self,
        (left_block, mut left): (BlockNumber, HeldPage<'s>),
        link: &[u8],
        level: u32,
    ) -> Result<(), IndexError> {
        let index = self.index;
        let (block, mut root) = self.new_page()?;
        let mut metapage = index.write(METAPAGE)?;
        let mut meta = MetaPage::read(&metapage).map_err(index.node_error(METAPAGE))?;

        let mut page = page::init(root.bytes_mut(), &Opaque::alone(level, NodeFlags::ROOT));
        let first = tuple::bare_pivot(left_block);
        for entry in [&first[..], link] {
            page.add_item(entry, Placement::Free)
                .map_err(|error| index.node_error(block)(error.into()))?;
        }
        let metadata = &mut meta.metadata;
        (metadata.root, metadata.level) = (block, level);
        (metadata.fast_root, metadata.fast_level) = (block, level);
        meta.write(metapage.bytes_mut());
        Opaque::change(&mut to_change(&mut left), |opaque| {
            opaque.flags -= NodeFlags::INCOMPLETE_SPLIT;
        });
        // As they lie on the page: the last first.
        let tuples = [link, &first[..]].concat();
        let new_root =
            NewRoot { root: block, level, metadata: Some(meta.metadata), tuples: Some(&tuples) };
        let parts: &mut [Part<'_, 's>] =
            &mut [(0, true, &mut root), (1, false, &mut left), (2, true, &mut metapage)];
        self.log(NEWROOT, &Btree::NewRoot(new_root), parts)
    }
}

impl Index<'_> {
    /// An entry that was just made.
    pub(super) fn formed<'e>(&self, entry: &'e [u8]) -> Result<IndexTuple<'e>, IndexError> {
        IndexTuple::read(entry).map_err(self.posting_error(METAPAGE, 0))
    }

    /// What an entry that was just made is searched by.
    pub(super) fn key_of<'e>(&'e self, entry: &'e [u8]) -> Result<SearchKey<'e>, IndexError> {
        Ok(self.of.shape.search_key(self.formed(entry)?, usize::MAX)?)
    }

    /// Where an entry goes on the leaf that it belongs to, and what it does to a posting list there (`_bt_findinsertloc`).
    fn place(
        &self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        page: &HeldPage<'_>,
        new: &[u8],
    ) -> Result<Placed, IndexError> {
        let node = self.node(block, page)?;
        let offset = self.first_not_before(key, block, &node)?;
        let plain = NewItem { tuple: new.to_vec(), offset, posting: None };
        if offset > node.last() || self.compare(key, block, &node, offset)?.is_ne() {
            return Ok(Placed::At(plain));
        }
        // The tid is that of an entry, or between a posting list's.
        let list = node.entry(offset).map_err(self.node_error(block))?;
        let tid = key.tid.unwrap_or_default();
        let place = list.tids().position(|there| there >= tid).unwrap_or(0);
        let is_there = list.tids().any(|there| there == tid);
        if node.is_dead(offset) {
            return Ok(Placed::InDead(offset));
        }
        if is_there {
            let text = format!("line pointer {offset} has the row {tid} of the new entry");
            return Err(self.structure(block, text));
        }
        let swapped = posting::swap(self.formed(new)?, list, place as u16);
        let swapped = swapped.map_err(self.posting_error(block, offset))?;
        let split =
            PostingSplit { original: new.to_vec(), place: place as u16, posting: swapped.posting };
        let item = NewItem { tuple: swapped.new_item, offset: offset + 1, posting: Some(split) };
        Ok(Placed::At(item))
    }
}
