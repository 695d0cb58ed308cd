//! A page made two, with a new entry put into one of them.
//!
//! Source: `_bt_split` of PostgreSQL 15. Invariants: everything that can fail comes before the first change of a page
//! that has been; a page that was got for the right half stays unused then. The left half says INCOMPLETE_SPLIT until
//! its sibling has an entry above.

use base::page::{PageBytes, Placement};
use base::sync::atomic::Ordering::Relaxed;
use base::{BlockNumber, OffsetNumber, PAGE_SIZE, PageMut};
use wal::rmgr::btree::{Btree, Split};

use super::error::IndexError;
use super::index::{HeldPage, Index, Part, Writer, to_change};
use super::insert::NewItem;
use super::page::{self, HIGH_KEY, Node, NodeFlags, Opaque};
use super::split_location::{Page, SplitPoint};
use super::tuple::{self, IndexTuple};
use crate::heap::Compression;

const SPLIT_L: u8 = 0x30;
const SPLIT_R: u8 = 0x40;

/// The two pages that a split makes, and what goes into its record.
struct Halves {
    left: Box<PageBytes>,
    right: Box<PageBytes>,
    point: SplitPoint,
    high_key: Vec<u8>,
}

impl<'s> Writer<'_, 's> {
    /// Splits a page, which keeps the left half and stays locked, and gives the right one, locked. `child` is as in
    /// [`Writer::insert_on`].
    pub(super) fn split(
        &mut self,
        block: BlockNumber,
        page: &mut HeldPage<'s>,
        mut child: Option<HeldPage<'s>>,
        item: &NewItem,
    ) -> Result<(BlockNumber, HeldPage<'s>), IndexError> {
        let index = self.index;
        let halves = index.halves(block, page, item, self.stored.default)?;
        let old = Opaque::of(page).map_err(index.node_error(block))?;
        let (right_block, mut right) = self.new_page()?;
        let mut sibling = None;
        if !old.is_rightmost() {
            let held = index.write(old.next)?;
            let found = Opaque::of(&held).map_err(index.node_error(old.next))?;
            if found.prev != block {
                let what = format!("its left link leads to {}, and not to {block}", found.prev);
                return Err(index.structure(old.next, what));
            }
            sibling = Some(held);
        }

        let level = old.level;
        // Looked at under the lock: a vacuum that begins now comes to both halves.
        let cycle_id = index.of.cycle.load(Relaxed);
        let flags = old.flags - (NodeFlags::ROOT | NodeFlags::SPLIT_END | NodeFlags::HAS_GARBAGE);
        page.bytes_mut().copy_from_slice(&halves.left[..]);
        let left_flags = flags | NodeFlags::INCOMPLETE_SPLIT;
        Opaque { next: right_block, flags: left_flags, cycle_id, ..old }.put(&mut to_change(page));
        right.bytes_mut().copy_from_slice(&halves.right[..]);
        let mut opaque = Opaque { prev: block, next: old.next, level, flags, cycle_id };
        if let Some(sibling) = &mut sibling {
            Opaque::change(&mut to_change(sibling), |sibling| {
                sibling.prev = right_block;
                // What lies behind was not split off the same page during the same vacuum.
                opaque.flags.set(NodeFlags::SPLIT_END, sibling.cycle_id != cycle_id);
            });
        }
        opaque.put(&mut to_change(&mut right));
        if let Some(child) = &mut child {
            Opaque::change(&mut to_change(child), |opaque| {
                opaque.flags -= NodeFlags::INCOMPLETE_SPLIT;
            });
        }

        let SplitPoint { first_right, new_is_left } = halves.point;
        // A posting list that goes right as a whole needs no help of redo: the right page is logged as it is.
        let posting = item.posting.as_ref().filter(|_| item.offset - 1 < first_right);
        let mut logged_left = Vec::new();
        match posting {
            Some(split) => logged_left.extend_from_slice(&split.original),
            None if new_is_left => logged_left.extend_from_slice(&item.tuple),
            None => {}
        }
        logged_left.extend_from_slice(&halves.high_key);
        let header = base::RawPage::new(&halves.right).header();
        let entries = &halves.right[usize::from(header.upper)..usize::from(header.special)];
        let split = Split {
            level,
            first_right_offset: first_right,
            new_item_offset: item.offset,
            posting_offset: posting.map_or(0, |split| split.place),
            left: Some(&logged_left),
            right: Some(entries),
        };
        let mut parts: Vec<Part<'_, 's>> = vec![(0, false, page), (1, true, &mut right)];
        parts.extend(sibling.as_mut().map(|sibling| (2, false, sibling)));
        parts.extend(child.as_mut().map(|child| (3, false, child)));
        self.log(if new_is_left { SPLIT_L } else { SPLIT_R }, &Btree::Split(split), &mut parts)?;
        Ok((right_block, right))
    }
}

impl Index<'_> {
    /// What the halves of a page hold; what they keep at their ends is not filled in.
    fn halves(
        &self,
        block: BlockNumber,
        page: &HeldPage<'_>,
        item: &NewItem,
        default: Compression,
    ) -> Result<Halves, IndexError> {
        let node = self.node(block, page)?;
        let opaque = node.opaque;
        let posting_at = item.posting.as_ref().map(|_| item.offset - 1);
        // An entry as it is after the posting list in the way was split.
        let entry = |offset: OffsetNumber| -> Result<&[u8], IndexError> {
            match &item.posting {
                Some(split) if Some(offset) == posting_at => Ok(&split.posting),
                _ => Ok(node.entry(offset).map_err(self.node_error(block))?.bytes()),
            }
        };
        let point = self.split_point(block, &node, item)?;
        let SplitPoint { first_right, new_is_left } = point;
        let new_is_at_split = item.offset == first_right;
        let right_first =
            if new_is_at_split && !new_is_left { &item.tuple[..] } else { entry(first_right)? };
        let damaged = self.posting_error(block, first_right);
        let high_key = if opaque.is_leaf() {
            let left_last = if new_is_at_split && new_is_left {
                &item.tuple[..]
            } else {
                entry(first_right - 1)?
            };
            let left_last = IndexTuple::read(left_last).map_err(&damaged)?;
            let right_first = IndexTuple::read(right_first).map_err(&damaged)?;
            let cut = self.of.shape.truncate(left_last, right_first, default);
            cut.map_err(self.entry_error(block, first_right))?
        } else {
            right_first.to_vec()
        };

        let mut left_bytes = Box::new([0; PAGE_SIZE]);
        let mut right_bytes = Box::new([0; PAGE_SIZE]);
        let mut left = page::init(&mut left_bytes, &opaque);
        let mut right = page::init(&mut right_bytes, &opaque);
        let add = |to: &mut PageMut<'_>, entry: &[u8]| {
            let added = to.add_item(entry, Placement::Free);
            added.map(|_| ()).map_err(|error| self.node_error(block)(error.into()))
        };
        add(&mut left, &high_key)?;
        if let Some(high_key) = node.high_key().map_err(self.node_error(block))? {
            add(&mut right, high_key.bytes())?;
        }
        let mut is_first_right = true;
        let mut add_right = |entry: &[u8]| {
            // Above the leaves the first entry has no key.
            let is_bare = is_first_right && !opaque.is_leaf();
            is_first_right = false;
            match is_bare {
                true => {
                    let link = IndexTuple::read(entry).map_err(&damaged)?.downlink();
                    add(&mut right, &tuple::bare_pivot(link))
                }
                false => add(&mut right, entry),
            }
        };
        for offset in opaque.first_data()..=node.last() + 1 {
            if offset == item.offset {
                if new_is_left { add(&mut left, &item.tuple)? } else { add_right(&item.tuple)? }
            }
            if offset > node.last() {
                break;
            }
            let entry = entry(offset)?;
            if offset < first_right { add(&mut left, entry)? } else { add_right(entry)? }
        }
        Ok(Halves { left: left_bytes, right: right_bytes, point, high_key })
    }

    fn split_point(
        &self,
        block: BlockNumber,
        node: &Node<'_>,
        item: &NewItem,
    ) -> Result<SplitPoint, IndexError> {
        let mut entries = vec![None; usize::from(node.last()) + 1];
        for offset in HIGH_KEY..=node.last() {
            let entry = node.entry(offset).map_err(self.node_error(block))?;
            entries[usize::from(offset)] = Some(entry);
        }
        let page = Page {
            shape: &self.of.shape,
            fill_factor: self.of.fill_factor,
            opaque: node.opaque,
            entries: entries.into_iter().flatten().collect(),
            new: IndexTuple::read(&item.tuple).map_err(self.posting_error(block, item.offset))?,
            new_offset: item.offset,
            free: node.page().exact_free_space(),
        };
        let point = page.split_point().map_err(self.entry_error(block, item.offset))?;
        point.ok_or_else(|| self.structure(block, "no place is found where it could be split"))
    }
}
