//! Empty leaves taken out of the tree, with the pages above that lead to nothing else.
//!
//! ```text
//! 1  MARK_PAGE_HALFDEAD   the parent's entry for the leaf leads to its right sibling, whose own entry goes;
//!                         the leaf says HALF_DEAD, and its high key which page above it goes first
//! 2  UNLINK_PAGE          topmost page first, the leaf last: its siblings lead to each other; it says DELETED
//! ```
//!
//! The range of a deleted page goes to its right sibling; so the rightmost page of a level, and the last child of a page
//! that has others, stay. Who has a link to a deleted page goes on by its right link, which it keeps. A crash between the two
//! steps leaves a half-dead leaf, which the next vacuum comes by.
//!
//! Source: `_bt_pagedel` of PostgreSQL 15; Lanin and Shasha, "A Symmetric Concurrent B-Tree Algorithm" (1986). Invariants: one
//! vacuum of an index at a time deletes pages, and nobody else. Pages are locked from left to right, then upwards. What can
//! fail comes before the first change of a page.

use base::sync::atomic::Ordering::Relaxed;
use base::{BlockNumber, OffsetNumber};
use wal::rmgr::btree::{Btree, MarkPageHalfdead, UnlinkPage};

use super::error::IndexError;
use super::index::{HeldPage, Part, Writer, to_change};
use super::page::{self, HIGH_KEY, METAPAGE, MetaPage, NONE, NodeFlags, Opaque};
use super::search::Step;
use super::space::Readers;
use super::tuple;

const UNLINK_PAGE: u8 = 0x80;
const UNLINK_PAGE_META: u8 = 0x90;
const MARK_PAGE_HALFDEAD: u8 = 0xB0;
/// No page, in a half-dead leaf's high key (`InvalidBlockNumber`).
const NO_BLOCK: BlockNumber = BlockNumber::MAX;

/// Where the entry is that leads to what is deleted.
struct SubtreeParent<'s> {
    page: HeldPage<'s>,
    block: BlockNumber,
    offset: OffsetNumber,
    /// The topmost page that is deleted.
    top: BlockNumber,
    /// Its right sibling.
    top_right: BlockNumber,
}

/// A page that was taken out.
struct Unlinked {
    is_leaf: bool,
    right: BlockNumber,
    right_is_empty: bool,
}

impl<'s> Writer<'_, 's> {
    /// Deletes a leaf, if it is empty and can go, and then leaves to its right that are empty, too. `on_deleted` is told of
    /// each page; `on_page` is called between pages, when none is locked.
    pub(super) fn delete_leaf<E: From<IndexError>>(
        &mut self,
        leaf: BlockNumber,
        readers: &dyn Readers,
        on_deleted: &mut dyn FnMut(BlockNumber),
        on_page: &mut dyn FnMut(BlockNumber) -> Result<(), E>,
    ) -> Result<(), E> {
        let index = self.index;
        let (mut block, mut way) = (leaf, None);
        loop {
            let page = index.write(block)?;
            let node = index.node(block, &page)?;
            let opaque = node.opaque;
            if !opaque.is_leaf() {
                return Err(index.structure(block, "a leaf's right sibling is none").into());
            }
            let stays = NodeFlags::ROOT | NodeFlags::INCOMPLETE_SPLIT;
            if opaque.is_rightmost()
                || opaque.flags.intersects(stays)
                || node.last() >= opaque.first_data()
            {
                return Ok(());
            }
            if !opaque.flags.contains(NodeFlags::HALF_DEAD) {
                let Some(way) = &way else {
                    let high_key = node.entry(HIGH_KEY).map_err(index.node_error(block))?;
                    let high_key = high_key.bytes().to_vec();
                    drop(page);
                    if self.is_right_half(opaque.prev, block)? {
                        return Ok(());
                    }
                    let mut key = index.key_of(&high_key)?;
                    key.is_pivot = true;
                    let found = index.descend(&key, None, None)?;
                    // It is looked at again: entries may have come meanwhile.
                    way = Some(found.map(|(way, _)| way).unwrap_or_default());
                    continue;
                };
                if !self.mark_half_dead(block, page, &opaque, way)? {
                    return Ok(());
                }
            } else {
                drop(page);
            }
            let last = loop {
                on_page(block)?;
                let unlinked = self.unlink_topmost(block, readers, on_deleted)?;
                if unlinked.is_leaf {
                    break unlinked;
                }
            };
            // What kept its sibling may have been that it was its parent's last child.
            if !last.right_is_empty {
                return Ok(());
            }
            // From a half-dead leaf there is no way yet.
            block = last.right;
            on_page(block)?;
        }
    }

    /// Whether a page is the right half of a split that is not finished; `left` was its left sibling a moment ago.
    fn is_right_half(&self, left: BlockNumber, block: BlockNumber) -> Result<bool, IndexError> {
        if left == NONE {
            return Ok(false);
        }
        let Opaque { next, flags, .. } = self.index.opaque(left)?;
        Ok(next == block && flags.contains(NodeFlags::INCOMPLETE_SPLIT))
    }

    /// The first step. Whether it was taken.
    fn mark_half_dead(
        &mut self,
        block: BlockNumber,
        mut leaf: HeldPage<'s>,
        opaque: &Opaque,
        way: &[Step],
    ) -> Result<bool, IndexError> {
        let index = self.index;
        // That one has no entry above any more, which would be looked for behind this one's.
        if index.opaque(opaque.next)?.flags.contains(NodeFlags::HALF_DEAD) {
            return Ok(false);
        }
        let Some(mut parent) = self.subtree_parent(block, opaque.next, way)? else {
            return Ok(false);
        };
        let (at, node) = (parent.offset, index.node(parent.block, &parent.page)?);
        let next = node.entry(at + 1).map_err(index.node_error(parent.block))?.downlink();
        if next != parent.top_right {
            let what = format!(
                "the entry behind that of block {} leads to {next}, and not to its right sibling {}",
                parent.top, parent.top_right
            );
            return Err(index.structure(parent.block, what));
        }
        let mut link = node.entry(at).map_err(index.node_error(parent.block))?.bytes().to_vec();
        tuple::set_downlink(&mut link, next);
        let top_parent = if parent.top == block { NO_BLOCK } else { parent.top };

        let mut change = to_change(&mut parent.page);
        let is_changed = change.overwrite_item(at, &link) && change.delete_item(at + 1);
        let mut change = to_change(&mut leaf);
        let is_changed =
            change.overwrite_item(HIGH_KEY, &tuple::bare_pivot(top_parent)) && is_changed;
        if !is_changed {
            return Err(index.structure(parent.block, "its entries are not where they were"));
        }
        Opaque::change(&mut change, |opaque| opaque.flags |= NodeFlags::HALF_DEAD);
        let mark = MarkPageHalfdead {
            parent_offset: at,
            leaf: block,
            left: opaque.prev,
            right: opaque.next,
            top_parent,
        };
        let parts: &mut [Part<'_, 's>] = &mut [(0, true, &mut leaf), (1, false, &mut parent.page)];
        self.log(MARK_PAGE_HALFDEAD, &Btree::MarkPageHalfdead(mark), parts)?;
        Ok(true)
    }

    /// The page whose entry for a leaf, or for the page above it that leads to nothing else, can go; locked. `None` where
    /// the leaf must stay. The leaf is locked, so that no page above it gets an entry below which it lies.
    fn subtree_parent(
        &mut self,
        leaf: BlockNumber,
        right: BlockNumber,
        way: &[Step],
    ) -> Result<Option<SubtreeParent<'s>>, IndexError> {
        let index = self.index;
        let (mut top, mut top_right, mut way, mut level) = (leaf, right, way, 0);
        loop {
            level += 1;
            let (above, from) = match way.split_last() {
                Some((step, above)) => (above, *step),
                // The way down began below.
                None => (&[][..], Step { block: index.endpoint(level, false)?, offset: 0 }),
            };
            let (step, page) = self.parent_of(top, from, above)?;
            let Step { block, offset } = step;
            let node = index.node(block, &page)?;
            if offset < node.last() {
                return Ok(Some(SubtreeParent { page, block, offset, top, top_right }));
            }
            let Opaque { prev, next, .. } = node.opaque;
            if offset != node.opaque.first_data() || node.opaque.is_rightmost() {
                return Ok(None);
            }
            drop(page);
            if self.is_right_half(prev, block)? {
                return Ok(None);
            }
            (top, top_right, way) = (block, next, above);
        }
    }

    /// The second step, of one page: the topmost one that goes with a half-dead leaf, or the leaf.
    fn unlink_topmost(
        &mut self,
        leaf_block: BlockNumber,
        readers: &dyn Readers,
        on_deleted: &mut dyn FnMut(BlockNumber),
    ) -> Result<Unlinked, IndexError> {
        let index = self.index;
        let (seen_leaf, top) = index.read(leaf_block, |opaque, node| {
            let half_dead = node.filter(|_| opaque.flags.contains(NodeFlags::HALF_DEAD));
            let Some(node) = half_dead else {
                return Err(index.structure(leaf_block, "a half-dead page is that no more"));
            };
            let high_key = node.entry(HIGH_KEY).map_err(index.node_error(leaf_block))?;
            Ok((*opaque, high_key.downlink()))
        })?;
        let is_leaf = top == NO_BLOCK;
        let block = if is_leaf { leaf_block } else { top };
        let seen = if is_leaf { seen_leaf } else { index.opaque(top)? };
        let level = seen.level;
        if is_leaf != (level == 0) {
            return Err(index.structure(block, "a half-dead leaf names it as a page above itself"));
        }

        // Up from the leaf, then from left to right.
        let mut leaf = if is_leaf { None } else { Some(index.write(leaf_block)?) };
        let of_leaf = match &leaf {
            Some(leaf) => Opaque::of(leaf).map_err(index.node_error(leaf_block))?,
            None => Opaque { prev: NONE, next: NONE, ..seen_leaf },
        };
        let mut left = self.left_sibling(seen.prev, block)?;
        let mut target = index.write(block)?;
        let node = index.node(block, &target)?;
        let opaque = node.opaque;
        let left_block = left.as_ref().map_or(NONE, |(block, _)| *block);
        if opaque.prev != left_block {
            let what = format!("its left link is {}, and not {left_block}", opaque.prev);
            return Err(index.structure(block, what));
        }
        if opaque.is_rightmost() || opaque.flags.contains(NodeFlags::ROOT) {
            return Err(index.structure(block, "it is to be deleted, and the last of its level"));
        }
        let first = opaque.first_data();
        let (is_as_it_was, next_top) = match is_leaf {
            true => (node.last() < first && opaque.flags.contains(NodeFlags::HALF_DEAD), NO_BLOCK),
            false => {
                let below = node.entry(first).map_err(index.node_error(block))?.downlink();
                (node.last() == first, if below == leaf_block { NO_BLOCK } else { below })
            }
        };
        if !is_as_it_was {
            return Err(index.structure(block, "it is to be deleted, and leads to other pages"));
        }
        let right_block = opaque.next;
        let mut right = index.write(right_block)?;
        let right_node = index.node(right_block, &right)?;
        if right_node.opaque.prev != block {
            let found = right_node.opaque.prev;
            let what = format!("its left link is {found}, and not {block}");
            return Err(index.structure(right_block, what));
        }
        let right_is_empty = right_node.last() < right_node.opaque.first_data();
        let mut metapage = None;
        if left_block == NONE && right_node.opaque.is_rightmost() {
            // The right sibling will be alone on its level.
            let held = index.write(METAPAGE)?;
            let mut meta = MetaPage::read(&held).map_err(index.node_error(METAPAGE))?;
            if meta.metadata.fast_level <= level + 1 {
                (meta.metadata.fast_root, meta.metadata.fast_level) = (right_block, level);
                metapage = Some((held, meta));
            }
        }

        if let Some(leaf) = &mut leaf
            && !to_change(leaf).overwrite_item(HIGH_KEY, &tuple::bare_pivot(next_top))
        {
            return Err(index.structure(leaf_block, "it has lost its high key"));
        }
        // With the links changed: whoever comes from here on finds none to this page.
        if let Some((_, left)) = &mut left {
            Opaque::change(&mut to_change(left), |left| left.next = right_block);
        }
        Opaque::change(&mut to_change(&mut right), |right| right.prev = left_block);
        let deletion = readers.deletion();
        page::init_deleted(
            target.bytes_mut(),
            &Opaque { cycle_id: 0, ..opaque },
            deletion.safe_xid,
        );
        let metadata = metapage.as_mut().map(|(held, meta)| {
            meta.write(held.bytes_mut());
            meta.metadata
        });
        let unlink = UnlinkPage {
            left: left_block,
            right: right_block,
            level,
            safe_xid: deletion.safe_xid,
            leaf_left: of_leaf.prev,
            leaf_right: of_leaf.next,
            leaf_top_parent: next_top,
            metadata,
        };
        let mut parts: Vec<Part<'_, 's>> = vec![(0, true, &mut target)];
        parts.extend(left.as_mut().map(|(_, left)| (1, false, left)));
        parts.push((2, false, &mut right));
        parts.extend(leaf.as_mut().map(|leaf| (3, true, leaf)));
        parts.extend(metapage.as_mut().map(|(held, _)| (4, true, held)));
        let info = if metadata.is_some() { UNLINK_PAGE_META } else { UNLINK_PAGE };
        self.log(info, &Btree::UnlinkPage(unlink), &mut parts)?;
        if metadata.is_some() {
            index.of.fast_root.store(0, Relaxed);
        }
        index.note_deleted(block, deletion);
        on_deleted(block);
        Ok(Unlinked { is_leaf, right: right_block, right_is_empty })
    }

    /// The left sibling of a page, locked; it was `from` a moment ago, and may have been split since.
    fn left_sibling(
        &self,
        from: BlockNumber,
        of: BlockNumber,
    ) -> Result<Option<(BlockNumber, HeldPage<'s>)>, IndexError> {
        let (index, mut block) = (self.index, from);
        while block != NONE {
            let page = index.write(block)?;
            let opaque = Opaque::of(&page).map_err(index.node_error(block))?;
            let is_deleted = opaque.flags.contains(NodeFlags::DELETED);
            if !is_deleted && opaque.next == of {
                return Ok(Some((block, page)));
            }
            if is_deleted || opaque.is_rightmost() || opaque.next == block {
                let what = format!("no page to its left leads to it from {from}");
                return Err(index.structure(of, what));
            }
            block = opaque.next;
        }
        Ok(None)
    }
}
