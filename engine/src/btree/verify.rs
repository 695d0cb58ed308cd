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

use base::{BlockNumber, OffsetNumber, Tid};

use super::error::IndexError;
use super::index::Index;
use super::page::{HIGH_KEY, METAPAGE, NONE, Node, NodeFlags, Opaque};
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
    /// The rows, in order, as [`Index::verify`] gives them.
    pub tids: Vec<Tid>,
}

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The page.
    pub block: BlockNumber,
    /// The line pointer.
    pub offset: OffsetNumber,
}

/// A page that a level above leads to, and the key behind which everything on it lies; `None` of a first page.
struct Link {
    to: BlockNumber,
    key: Option<Vec<u8>>,
    /// Where it was read.
    from: Place,
}

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

    /// The line pointer of the entry at this place among its entries.
    fn offset(&self, at: usize) -> OffsetNumber {
        self.opaque.first_data() + at as OffsetNumber
    }
}

impl Index<'_> {
    /// Verifies the index; of a `unique` one also that no two entries have the same key without a null.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn verify(&self, unique: bool) -> Result<Verified, IndexError> {
        let mut tids = Vec::new();
        let verified = self.verify_with(unique, &mut |_, entry| {
            tids.extend(entry.tids());
            Ok::<(), IndexError>(())
        })?;
        Ok(Verified { tids, ..verified })
    }

    /// The same; shows each entry of the leaves, in order, and keeps no list of the rows.
    ///
    /// # Errors
    /// As [`Index::verify`], and those of `see`.
    pub fn verify_with<E: From<IndexError>>(
        &self,
        unique: bool,
        see: &mut dyn FnMut(Place, IndexTuple<'_>) -> Result<(), E>,
    ) -> Result<Verified, E> {
        let metadata = self.metapage()?.metadata;
        let mut verified = Verified::default();
        if metadata.root == NONE {
            return Ok(verified);
        }
        let (says, is) = (metadata.all_equal_image, self.shape().all_equal_image());
        if says != is {
            let what = format!("whether equal columns are of equal bytes is said to be {says}");
            return Err(self.unsound(METAPAGE, None, what, is.to_string()).into());
        }
        let from = Place { block: METAPAGE, offset: 0 };
        let mut links = vec![Link { to: metadata.root, key: None, from }];
        let mut level = metadata.level;
        let mut fast_root = None;
        loop {
            let pages = self.level(self.leftmost(links[0].to)?, level)?;
            let is_root = level == metadata.level;
            if pages.len() == 1 {
                fast_root = Some(level);
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
                self.check_leaves(&pages, unique, &mut verified, see)?;
                break;
            }
            level -= 1;
        }
        // The lowest page that was alone when it came; what waits to be finished may have left it behind.
        let level = metadata.fast_level;
        let is_whole = verified.unfinished == 0 && verified.half_dead == 0;
        if let Some(lowest) = fast_root.filter(|lowest| level < *lowest && is_whole) {
            let what = format!("the fast root is of level {level}, and not alone there");
            return Err(self.unsound(METAPAGE, None, what, format!("level {lowest}")).into());
        }
        Ok(verified)
    }

    /// The leftmost page of a level, of which one is known: those before it have no entry above.
    fn leftmost(&self, from: BlockNumber) -> Result<BlockNumber, IndexError> {
        let mut block = from;
        for _ in 0..self.blocks()? {
            let prev = self.opaque(block)?.prev;
            if prev == NONE {
                return Ok(block);
            }
            block = prev;
        }
        Err(self.unsound(from, None, "left links run in a circle", "an end on the left"))
    }

    /// All pages of a level, from the leftmost.
    fn level(
        &self,
        first: BlockNumber,
        level: u32,
    ) -> Result<Vec<(BlockNumber, Seen)>, IndexError> {
        let (mut pages, mut block, mut before) = (Vec::new(), first, NONE);
        loop {
            let seen = self.see(block)?;
            let Opaque { prev, next, level: says, .. } = seen.opaque;
            if prev != before {
                let what = format!("its left link is {prev}");
                return Err(self.unsound(block, None, what, before.to_string()));
            }
            if says != level || (level == 0) != seen.opaque.is_leaf() {
                let kind = if seen.opaque.is_leaf() { "a leaf" } else { "no leaf" };
                let what = format!("it is of level {says}, and {kind}");
                return Err(self.unsound(block, None, what, format!("level {level}")));
            }
            pages.push((block, seen));
            if next == NONE {
                return Ok(pages);
            }
            (before, block) = (block, next);
        }
    }

    fn see(&self, block: BlockNumber) -> Result<Seen, IndexError> {
        self.read(block, |opaque, node| {
            let Some(node) = node else {
                return Err(self.unsound(block, None, "it is deleted", "a page of the tree"));
            };
            let bytes = |entry: IndexTuple<'_>| entry.bytes().to_vec();
            let entry =
                |offset| Node::entry(node, offset).map(bytes).map_err(self.node_error(block));
            let entries = (opaque.first_data()..=node.last()).map(entry);
            let entries = entries.collect::<Result<_, _>>()?;
            let high_key = node.high_key().map_err(self.node_error(block))?.map(bytes);
            Ok(Seen { opaque: *opaque, entries, high_key })
        })
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
                if let Some(link) = above.peek().filter(|link| link.to == block) {
                    let what =
                        format!("it leads to {block}, whose split is said not to be finished");
                    let Place { block, offset } = link.from;
                    return Err(self.unsound(block, Some(offset), what, "no entry for it"));
                }
            } else if above.peek().is_none_or(|link| link.to != block)
                && self.goes_with_a_half_dead_leaf(block, seen)?
            {
                going.insert(block);
                continue;
            } else {
                match above.next() {
                    Some(link) if link.to == block => {}
                    Some(Link { to, from: Place { block: above, offset }, .. }) => {
                        let what = format!("it leads to {to}");
                        return Err(self.unsound(*above, Some(*offset), what, block.to_string()));
                    }
                    None => {
                        let what = "no entry above leads to it";
                        return Err(self.unsound(block, None, what, "one that does"));
                    }
                }
            }
            is_half = seen.opaque.flags.contains(NodeFlags::INCOMPLETE_SPLIT);
            let (is_whole_root, says) =
                (is_root && pages.len() == 1, seen.opaque.flags.contains(NodeFlags::ROOT));
            if is_whole_root != says {
                let what = format!("whether it is the root is said to be {says}");
                return Err(self.unsound(block, None, what, is_whole_root.to_string()));
            }
            if let (false, Some(high_key), Some(Link { key: Some(next), from, .. })) =
                (is_half || seen.is_half_dead(), &seen.high_key, above.peek())
                && self.order((block, HIGH_KEY), high_key, next)?.is_ne()
            {
                let expected =
                    format!("the key of block {}, line pointer {}", from.block, from.offset);
                let what = "its high key is not that of the next entry above";
                return Err(self.unsound(block, Some(HIGH_KEY), what, expected));
            }
        }
        match above.next() {
            Some(Link { to, from: Place { block, offset }, .. }) => {
                let what = format!("it leads to {to}, which is not on its level");
                Err(self.unsound(*block, Some(*offset), what, "a page of the level"))
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
            let page = self.see(block)?;
            if page.opaque.level >= level {
                let what = format!("it is of level {}", page.opaque.level);
                return Err(self.unsound(block, None, what, format!("a level below {level}")));
            }
            level = page.opaque.level;
            (is_half_dead, below) = (page.is_half_dead(), only(&page.entries));
        }
        if level == 0 && is_half_dead && seen.opaque.is_rightmost() {
            let what = "it is to be deleted, and the last of its level";
            return Err(self.unsound(block, None, what, "a page to its right"));
        }
        Ok(level == 0 && is_half_dead)
    }

    /// Where two entries stand to each other, pivots among them: what those lack is minus infinity. `at` is where the
    /// first one is.
    fn order(
        &self,
        at: (BlockNumber, OffsetNumber),
        one: &[u8],
        other: &[u8],
    ) -> Result<Ordering, IndexError> {
        let (one, other) = (self.entry_at(at, one)?, self.entry_at(at, other)?);
        let (shape, error) = (self.shape(), self.entry_error(at.0, at.1));
        let mut key = shape.search_key(one, usize::MAX).map_err(&error)?;
        key.is_pivot = one.is_pivot();
        // The last of a posting list's rows is the one that must lie before what follows.
        key.tid = one.max_heap_tid().filter(|_| key.tid.is_some());
        let order = shape.compare(&key, other).map_err(&error)?;
        if order.is_ne() {
            return Ok(order);
        }
        let columns = |entry: IndexTuple<'_>| {
            (entry.pivot_columns().unwrap_or(shape.key().len()), entry.heap_tid().is_some())
        };
        Ok(columns(one).cmp(&columns(other)))
    }

    fn entry_at<'e>(
        &self,
        (block, offset): (BlockNumber, OffsetNumber),
        bytes: &'e [u8],
    ) -> Result<IndexTuple<'e>, IndexError> {
        IndexTuple::read(bytes).map_err(self.posting_error(block, offset))
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
                (false, ..) => {
                    Err(self.unsound(block, None, "it is half-dead, with entries", "none"))
                }
                (true, ..) => {
                    Err(self.unsound(block, None, "it is half-dead", "leaves alone to be that"))
                }
            };
        }
        // The first one above the leaves has no key.
        let skipped = usize::from(is_inner);
        let with_key = seen.entries.get(skipped..).unwrap_or_default();
        for (at, pair) in with_key.windows(2).enumerate() {
            let offset = seen.offset(at + skipped);
            if self.order((block, offset), &pair[0], &pair[1])?.is_ge() {
                let expected = format!("one behind that of line pointer {offset}");
                let what = "its key does not ascend";
                return Err(self.unsound(block, Some(offset + 1), what, expected));
            }
        }
        if let (Some(last), Some(high_key)) = (with_key.last(), &seen.high_key) {
            let offset = seen.offset(seen.entries.len() - 1);
            let order = self.order((block, offset), last, high_key)?;
            if order.is_gt() || is_inner && order.is_eq() {
                let what = "it lies behind the page's high key";
                return Err(self.unsound(block, Some(offset), what, "a key before that"));
            }
        }
        for (at, bytes) in seen.entries.iter().enumerate() {
            let from = Place { block, offset: seen.offset(at) };
            let entry = self.entry_at((block, from.offset), bytes)?;
            if entry.is_pivot() != is_inner {
                let kind = |is_pivot| if is_pivot { "a pivot" } else { "an entry of a leaf" };
                let (what, expected) = (kind(entry.is_pivot()), kind(is_inner));
                return Err(self.unsound(block, Some(from.offset), what, expected));
            }
            if !entry.tids().is_sorted_by(|one, other| one < other) {
                let what = "the rows of its posting list do not ascend";
                return Err(self.unsound(block, Some(from.offset), what, "each behind the last"));
            }
            if is_inner {
                // The first of a page is bounded by what bounds the page.
                let key = (at > 0).then(|| bytes.clone());
                links.push(Link { to: entry.downlink(), key, from });
            }
        }
        match is_inner && seen.entries.is_empty() {
            true => Err(self.unsound(block, None, "it leads nowhere", "an entry")),
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
            let [(left, seen), (right, next)] = pair else { continue };
            let skipped = usize::from(!seen.opaque.is_leaf());
            let (Some(high_key), Some(first)) = (&seen.high_key, next.entries.get(skipped)) else {
                continue;
            };
            let offset = next.offset(skipped);
            if self.order((*right, offset), first, high_key)?.is_le() {
                let expected = format!("a key behind the high key of block {left}, to the left");
                let what = "it does not lie behind the page to the left";
                return Err(self.unsound(*right, Some(offset), what, expected));
            }
        }
        Ok(())
    }

    /// The rows, and that keys are unique if they should be.
    fn check_leaves<E: From<IndexError>>(
        &self,
        pages: &[(BlockNumber, Seen)],
        unique: bool,
        verified: &mut Verified,
        see: &mut dyn FnMut(Place, IndexTuple<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut before: Option<IndexTuple<'_>> = None;
        let shape = self.shape();
        for (block, seen) in pages {
            let block = *block;
            verified.half_dead += u64::from(seen.is_half_dead());
            for (at, bytes) in seen.entries.iter().enumerate() {
                let offset = seen.offset(at);
                let entry = self.entry_at((block, offset), bytes)?;
                let error = self.entry_error(block, offset);
                if unique && !shape.has_null_key(entry).map_err(&error)? {
                    let same = before.map(|before| shape.same_key(before, entry)).transpose();
                    if same.map_err(&error)?.unwrap_or(false) || entry.is_posting() {
                        let what = "its key is there twice";
                        return Err(self.unsound(block, Some(offset), what, "each once").into());
                    }
                }
                verified.entries += 1;
                verified.posting_lists += u64::from(entry.is_posting());
                see(Place { block, offset }, entry)?;
                before = Some(entry);
            }
        }
        Ok(())
    }
}
