//! Whether an index is sound: what `bt_index_parent_check` of amcheck asks, on the engine's own terms.
//!
//! Level by level, from the root down and from left to right: links to both sides agree, levels and flags fit, entries
//! ascend and lie between the bounds that the page above gives and the page's own high key; every page but the right
//! half of a split that was not finished has an entry above, and each of those leads to a page. A leaf that a vacuum was
//! about to delete, and the pages that go with it, have none.
//!
//! Nobody changes the index meanwhile: each page is locked for itself, and the picture is put together.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use base::{BlockNumber, Tid};

use super::error::IndexError;
use super::index::Index;
use super::page::{METAPAGE, NONE, Node, NodeFlags, Opaque};
use super::tuple::IndexTuple;

/// What was found in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Levels, 1 for a root that is a leaf, 0 for an empty index.
    pub levels: u32,
    /// Pages of the tree.
    pub pages: u64,
    /// Splits that wait to be finished.
    pub unfinished: u64,
    /// Leaves that wait to be deleted.
    pub half_dead: u64,
    /// Entries of leaves.
    pub entries: u64,
    /// How many of them are posting lists.
    pub posting_lists: u64,
    /// The rows, in order.
    pub tids: Vec<Tid>,
}

/// A page that a level above leads to, and the key behind which everything on it lies; `None` of a first page.
type Link = (BlockNumber, Option<Vec<u8>>);

/// What was read of a page.
struct Seen {
    opaque: Opaque,
    entries: Vec<Vec<u8>>,
    high_key: Option<Vec<u8>>,
}

impl Seen {
    fn is_half_dead(&self) -> bool {
        self.opaque.flags.contains(NodeFlags::HALF_DEAD)
    }
}

impl Index<'_> {
    /// Verifies the index; of a `unique` one also that no two entries have the same key without a null.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn verify(&self, unique: bool) -> Result<Verified, IndexError> {
        let metadata = self.metapage()?.metadata;
        let mut verified = Verified::default();
        if metadata.root == NONE {
            return Ok(verified);
        }
        if metadata.all_equal_image != self.shape().all_equal_image() {
            return Err(self.structure(METAPAGE, "it does not say of its columns what they are"));
        }
        let mut links: Vec<Link> = vec![(metadata.root, None)];
        let mut level = metadata.level;
        let mut fast_root = None;
        loop {
            let pages = self.level(self.leftmost(links[0].0)?, level)?;
            let is_root = level == metadata.level;
            if let [(block, _)] = pages[..] {
                fast_root = Some((block, level));
            }
            let going = self.check_links(&links, &pages, is_root, &mut verified)?;
            links.clear();
            for (block, seen) in &pages {
                self.check_page(*block, seen, level, &mut links)?;
            }
            self.check_neighbours(pages.iter().filter(|(block, _)| !going.contains(block)))?;
            verified.levels += 1;
            verified.pages += pages.len() as u64;
            if level == 0 {
                self.check_leaves(&pages, unique, &mut verified)?;
                break;
            }
            level -= 1;
        }
        // The lowest page that was alone when it came; splits that wait to be finished may have left it behind.
        let (block, level) = (metadata.fast_root, metadata.fast_level);
        let is_whole = verified.unfinished == 0 && verified.half_dead == 0;
        if fast_root.is_some_and(|(_, lowest)| level < lowest) && is_whole {
            return Err(
                self.structure(block, format!("the fast root of level {level} is not alone"))
            );
        }
        Ok(verified)
    }

    /// The leftmost page of a level, of which one is known: those before it have no entry above.
    fn leftmost(&self, mut block: BlockNumber) -> Result<BlockNumber, IndexError> {
        for _ in 0..self.blocks()? {
            let prev = self.read(block, |opaque, _| Ok(opaque.prev))?;
            if prev == NONE {
                return Ok(block);
            }
            block = prev;
        }
        Err(self.structure(block, "left links run in a circle"))
    }

    /// All pages of a level, from the leftmost.
    fn level(
        &self,
        first: BlockNumber,
        level: u32,
    ) -> Result<Vec<(BlockNumber, Seen)>, IndexError> {
        let (mut pages, mut block, mut before) = (Vec::new(), first, NONE);
        loop {
            let seen = self.read(block, |opaque, node| {
                let Some(node) = node else {
                    return Err(self.structure(block, "a page of the tree is deleted"));
                };
                self.see(block, opaque, node)
            })?;
            let Opaque { prev, next, level: says, .. } = seen.opaque;
            if prev != before {
                return Err(
                    self.structure(block, format!("its left link is {prev}, and not {before}"))
                );
            }
            if says != level || (level == 0) != seen.opaque.is_leaf() {
                return Err(
                    self.structure(block, format!("it is of level {says}, and not {level}"))
                );
            }
            pages.push((block, seen));
            if next == NONE {
                return Ok(pages);
            }
            (before, block) = (block, next);
        }
    }

    fn see(
        &self,
        block: BlockNumber,
        opaque: &Opaque,
        node: &Node<'_>,
    ) -> Result<Seen, IndexError> {
        let bytes = |entry: IndexTuple<'_>| entry.bytes().to_vec();
        let entry = |offset| node.entry(offset).map(bytes).map_err(self.node_error(block));
        let entries = (opaque.first_data()..=node.last()).map(entry).collect::<Result<_, _>>()?;
        let high_key = node.high_key().map_err(self.node_error(block))?.map(bytes);
        Ok(Seen { opaque: *opaque, entries, high_key })
    }

    /// Pages of a level are those that the level above leads to, but for right halves of unfinished splits; the high key
    /// of each is the key of the next one's entry above. Gives those that are to be deleted, whose range is another's.
    fn check_links(
        &self,
        links: &[Link],
        pages: &[(BlockNumber, Seen)],
        is_root: bool,
        verified: &mut Verified,
    ) -> Result<BTreeSet<BlockNumber>, IndexError> {
        let mut above = links.iter().peekable();
        let (mut is_half, mut going) = (false, BTreeSet::new());
        for (block, seen) in pages {
            let block = *block;
            if seen.is_half_dead() {
                going.insert(block);
            }
            if is_half {
                verified.unfinished += 1;
                if above.peek().is_some_and(|link| link.0 == block) {
                    return Err(self.structure(
                        block,
                        "a page above leads to it, and its sibling denies that",
                    ));
                }
            } else if above.peek().is_none_or(|link| link.0 != block)
                && self.goes_with_a_half_dead_leaf(block, seen)?
            {
                going.insert(block);
                continue;
            } else {
                match above.next() {
                    Some((link, _)) if *link == block => {}
                    Some((link, _)) => {
                        let what = format!("the level above leads to {link} in its place");
                        return Err(self.structure(block, what));
                    }
                    None => return Err(self.structure(block, "no page above leads to it")),
                }
            }
            is_half = seen.opaque.flags.contains(NodeFlags::INCOMPLETE_SPLIT);
            let is_whole_root = is_root && pages.len() == 1;
            if is_whole_root != seen.opaque.flags.contains(NodeFlags::ROOT) {
                return Err(self.structure(block, "whether it is the root is not what it says"));
            }
            if let (false, Some(high_key), Some((_, Some(next)))) =
                (is_half || seen.is_half_dead(), &seen.high_key, above.peek())
                && self.order(block, high_key, next)?.is_ne()
            {
                return Err(self.structure(
                    block,
                    "its high key is not the key of the next page's entry above",
                ));
            }
        }
        match above.next() {
            Some((link, _)) => {
                Err(self.structure(*link, "the level above leads to it, and its level does not"))
            }
            None => Ok(going),
        }
    }

    /// Whether a page is to be deleted: a half-dead leaf, or one above it that leads to nothing else.
    fn goes_with_a_half_dead_leaf(
        &self,
        block: BlockNumber,
        seen: &Seen,
    ) -> Result<bool, IndexError> {
        let only = |entries: &[Vec<u8>]| match entries {
            [only] => IndexTuple::read(only).ok().map(|entry| entry.downlink()),
            _ => None,
        };
        let mut level = seen.opaque.level;
        let (mut is_half_dead, mut below) = (seen.is_half_dead(), only(&seen.entries));
        while let Some(block) = below.filter(|_| level > 0) {
            let page = self.read(block, |opaque, node| {
                let node = node.map(|node| self.see(block, opaque, node));
                node.unwrap_or_else(|| Err(self.structure(block, "a page of the tree is deleted")))
            })?;
            if page.opaque.level >= level {
                let what =
                    format!("it is of level {}, and so is what leads to it", page.opaque.level);
                return Err(self.structure(block, what));
            }
            level = page.opaque.level;
            (is_half_dead, below) = (page.is_half_dead(), only(&page.entries));
        }
        if level == 0 && is_half_dead && seen.opaque.is_rightmost() {
            return Err(self.structure(block, "the last page of its level is to be deleted"));
        }
        Ok(level == 0 && is_half_dead)
    }

    /// Where two entries stand to each other, pivots among them: what those lack is minus infinity.
    fn order(&self, block: BlockNumber, one: &[u8], other: &[u8]) -> Result<Ordering, IndexError> {
        let read = |bytes| {
            IndexTuple::read(bytes).map_err(|error| IndexError::Posting {
                page: self.name(block),
                offset: 0,
                error,
            })
        };
        let (one, other) = (read(one)?, read(other)?);
        let shape = self.shape();
        let mut key = shape.search_key(one, usize::MAX).map_err(self.entry_error(block, 0))?;
        key.is_pivot = one.is_pivot();
        // The last of a posting list's rows is the one that must lie before what follows.
        key.tid = one.max_heap_tid().filter(|_| key.tid.is_some());
        let order = shape.compare(&key, other).map_err(self.entry_error(block, 0))?;
        if order.is_ne() {
            return Ok(order);
        }
        let columns = |entry: IndexTuple<'_>| {
            (entry.pivot_columns().unwrap_or(shape.key().len()), entry.heap_tid().is_some())
        };
        Ok(columns(one).cmp(&columns(other)))
    }

    /// A page's own entries ascend up to its high key; above the leaves, where they lead.
    fn check_page(
        &self,
        block: BlockNumber,
        seen: &Seen,
        level: u32,
        links: &mut Vec<Link>,
    ) -> Result<(), IndexError> {
        let is_inner = level > 0;
        if seen.is_half_dead() {
            return match (is_inner, &seen.entries[..], &seen.high_key) {
                (false, [], Some(_)) => Ok(()),
                _ => Err(self.structure(block, "a half-dead page has entries")),
            };
        }
        // The first one above the leaves has no key.
        let with_key =
            if is_inner { seen.entries.get(1..).unwrap_or_default() } else { &seen.entries };
        for pair in with_key.windows(2) {
            if self.order(block, &pair[0], &pair[1])?.is_ge() {
                return Err(self.structure(block, "its entries do not ascend"));
            }
        }
        if let (Some(last), Some(high_key)) = (with_key.last(), &seen.high_key) {
            let order = self.order(block, last, high_key)?;
            if order.is_gt() || is_inner && order.is_eq() {
                return Err(self.structure(block, "its last entry lies behind its high key"));
            }
        }
        let read = |entry: &[u8]| {
            IndexTuple::read(entry).map(|entry| (entry.is_pivot(), entry.downlink()))
        };
        for (at, entry) in seen.entries.iter().enumerate() {
            let (is_pivot, downlink) = read(entry).map_err(|error| IndexError::Posting {
                page: self.name(block),
                offset: 0,
                error,
            })?;
            if is_pivot != is_inner {
                return Err(self.structure(block, "an entry is of the wrong kind for its level"));
            }
            if is_inner {
                // The first of a page is bounded by what bounds the page.
                links.push((downlink, (at > 0).then(|| entry.clone())));
            }
        }
        match is_inner && seen.entries.is_empty() {
            true => Err(self.structure(block, "it leads nowhere")),
            false => Ok(()),
        }
    }

    /// A page's high key lies before the next page's first entry.
    fn check_neighbours<'p>(
        &self,
        pages: impl Iterator<Item = &'p (BlockNumber, Seen)>,
    ) -> Result<(), IndexError> {
        let pages: Vec<_> = pages.collect();
        for pair in pages.windows(2) {
            let [(block, seen), (_, next)] = pair else { continue };
            let skipped = usize::from(!seen.opaque.is_leaf());
            let (Some(high_key), Some(first)) = (&seen.high_key, next.entries.get(skipped)) else {
                continue;
            };
            if self.order(*block, first, high_key)?.is_le() {
                return Err(
                    self.structure(*block, "the page to its right begins before its high key")
                );
            }
        }
        Ok(())
    }

    /// The rows, and that keys are unique if they should be.
    fn check_leaves(
        &self,
        pages: &[(BlockNumber, Seen)],
        unique: bool,
        verified: &mut Verified,
    ) -> Result<(), IndexError> {
        let mut before: Option<IndexTuple<'_>> = None;
        let shape = self.shape();
        for (block, seen) in pages {
            verified.half_dead += u64::from(seen.is_half_dead());
            for bytes in &seen.entries {
                let entry = IndexTuple::read(bytes).map_err(|error| IndexError::Posting {
                    page: self.name(*block),
                    offset: 0,
                    error,
                })?;
                if unique {
                    let error = self.entry_error(*block, 0);
                    let keep =
                        before.map(|before| shape.columns_to_keep(before, entry)).transpose();
                    let key = shape.search_key(entry, usize::MAX).map_err(&error)?;
                    let is_same =
                        keep.map_err(&error)?.is_some_and(|keep| keep > shape.key().len());
                    let has_nulls = key.values.iter().any(Option::is_none);
                    if !has_nulls && (is_same || entry.is_posting()) {
                        return Err(self.structure(*block, "two entries have the same key"));
                    }
                }
                verified.entries += 1;
                verified.posting_lists += u64::from(entry.is_posting());
                verified.tids.extend(entry.tids());
                before = Some(entry);
            }
        }
        Ok(())
    }
}
