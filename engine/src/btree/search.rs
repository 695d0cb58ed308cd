//! Down from the root to a leaf: Lehman and Yao's search.
//!
//! ```text
//! root ──► binary search ──► page below ──► behind its high key? then to the right ──► ... ──► leaf
//! ```
//!
//! A page may be split between reading the link to it and reading it; its high key shows that, and its right link leads
//! to what is missing. So one lock is held at a time, a shared one but for the leaf of an insertion.
//!
//! Source: `_bt_search`, `_bt_moveright`, `_bt_binsrch` of PostgreSQL 15.

use std::cmp::Ordering;

use base::{BlockNumber, OffsetNumber, variant};

use super::error::IndexError;
use super::index::{HeldPage, Index, Writer};
use super::key::SearchKey;
use super::page::{HIGH_KEY, Node, NodeFlags, Opaque};
use super::root_copy::RootCopies;

/// A page that the way down led through, and the entry that it led on by (`BTStackData`). Both may have moved since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) block: BlockNumber,
    pub(super) offset: OffsetNumber,
}

/// Where a search goes from a page.
enum Next {
    /// It is not the root any more that it was.
    Root,
    Right(BlockNumber),
    /// Its right half has no downlink; who inserts sees to that first.
    Unfinished,
    Down(Step, BlockNumber),
    /// To a leaf, which is not read on the way.
    Last(Step, BlockNumber),
    /// It is the only page.
    Leaf,
}

/// Whether what is looked for lies behind an entry or page bound that it stands to like this.
fn lies_behind(key: &SearchKey<'_>, order: Ordering) -> bool {
    if key.next_key { order.is_ge() } else { order.is_gt() }
}

impl<'s> Index<'s> {
    /// Where a search key stands to an entry of a page: behind the first one above the leaves, whatever that holds.
    pub(super) fn compare(
        &self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        node: &Node<'_>,
        offset: OffsetNumber,
    ) -> Result<Ordering, IndexError> {
        if !node.opaque.is_leaf() && offset == node.opaque.first_data() {
            return Ok(Ordering::Greater);
        }
        if let Some((wanted, found)) = key.number.zip(self.of.shape.numbers(node).at(offset)) {
            let is_pivot = || !node.opaque.is_leaf() || offset < node.opaque.first_data();
            if wanted != found || key.is_its_number() && !is_pivot() {
                return Ok(wanted.cmp(&found));
            }
        }
        let entry = node.entry(offset).map_err(self.node_error(block))?;
        self.of.shape.compare(key, entry).map_err(self.entry_error(block, offset))
    }

    /// The first entry of a page that what is looked for does not lie behind, perhaps behind the last one.
    pub(super) fn first_not_before(
        &self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        node: &Node<'_>,
    ) -> Result<OffsetNumber, IndexError> {
        let (mut low, mut high) = self.narrow(key, block, node)?;
        while low < high {
            let middle = low.midpoint(high);
            let order = self.compare(key, block, node, middle)?;
            if lies_behind(key, order) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// Between which line pointers the one lies that [`Index::first_not_before`] looks for, the second included: all of a page's,
    /// or fewer where the key begins with a number. Keys often lie about evenly, so that a guess by proportion comes within a
    /// few entries of it, and each entry that need not be looked at is memory that need not be fetched. Where they do not,
    /// the guesses end soon.
    ///
    /// Source: interpolation search, as in Graefe, "B-tree indexes, interpolation search, and skew" (2006).
    fn narrow(
        &self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        node: &Node<'_>,
    ) -> Result<(OffsetNumber, OffsetNumber), IndexError> {
        /// As few entries are looked at one by one.
        const FEW: OffsetNumber = 4;
        const GUESSES: usize = 4;
        let mut high = node.last() + 1;
        let mut low = node.first_bounded().min(high);
        let Some(wanted) = key.number.filter(|_| high - low > FEW) else { return Ok((low, high)) };
        let (numbers, first) = (self.of.shape.numbers(node), low);
        // The high key was looked at already, the last entry was not: memory that need not be fetched.
        let (bound, behind_at) = match node.opaque.is_rightmost() {
            true => (high - 1, high - 1),
            false => (HIGH_KEY, high),
        };
        let (Some(least), Some(greatest)) = (numbers.at(low), numbers.at(bound)) else {
            return Ok((low, high));
        };
        if wanted < least {
            return Ok((low, low));
        }
        if wanted > greatest {
            return Ok((high, high));
        }
        let is_before = |offset: OffsetNumber, found: i64| -> Result<bool, IndexError> {
            Ok(match wanted.cmp(&found) {
                Ordering::Equal => lies_behind(key, self.compare(key, block, node, offset)?),
                order => order.is_gt(),
            })
        };
        // What is known of two places that it lies between.
        let (mut before, mut behind) = ((low, least), (behind_at, greatest));
        for _ in 0..GUESSES {
            if high - low <= FEW {
                break;
            }
            // Multiplied first, so that the guess is right, and not one less, where keys lie evenly.
            let distance = (wanted as f64 - before.1 as f64) * f64::from(behind.0 - before.0);
            let steps = distance / (behind.1 as f64 - before.1 as f64);
            let guess = (before.0 + steps as OffsetNumber).clamp(low, high - 1);
            numbers.fetch_if_in_order(first, guess);
            let Some(found) = numbers.at(guess) else { break };
            if is_before(guess, found)? {
                (low, before) = (guess + 1, (guess, found));
            } else {
                (high, behind) = (guess, (guess, found));
            }
        }
        // The few that are left lie beside each other.
        while low < high && high - low <= FEW {
            let Some(found) = numbers.at(low) else { break };
            if !is_before(low, found)? {
                return Ok((low, low));
            }
            low += 1;
        }
        Ok((low, high))
    }

    /// The page to the right, if what is looked for lies there.
    pub(super) fn to_the_right(
        &self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        opaque: &Opaque,
        node: Option<&Node<'_>>,
    ) -> Result<Option<BlockNumber>, IndexError> {
        if variant!("btree.stay-left") && !opaque.is_ignored() {
            return Ok(None);
        }
        if opaque.is_rightmost() {
            return match opaque.is_ignored() {
                true => Err(self.structure(block, "a deleted page is the last of its level")),
                false => Ok(None),
            };
        }
        let is_behind = match node.filter(|_| !opaque.is_ignored()) {
            Some(node) => lies_behind(key, self.compare(key, block, node, HIGH_KEY)?),
            None => true,
        };
        Ok(is_behind.then_some(opaque.next))
    }

    /// Down to the leaf where what is looked for begins; `None` of an empty index. The leaf is not locked any more: it may have
    /// been split. With `unfinished`, splits on the way are finished by it, and the way there is given, too. With `copies`, the root is
    /// read there.
    pub(super) fn descend(
        &self,
        key: &SearchKey<'_>,
        mut unfinished: Option<&mut Writer<'_, 's>>,
        copies: Option<&mut RootCopies>,
    ) -> Result<Option<(Vec<Step>, BlockNumber)>, IndexError> {
        let mut as_root = self.known_root();
        let mut block = match as_root {
            Some((root, _)) => root,
            None => match self.fast_root()? {
                Some(root) => root,
                None => return Ok(None),
            },
        };
        let mut way = Vec::new();
        let keeps_way = unfinished.is_some();
        let mut copies = copies.filter(|_| as_root.is_some_and(|(_, level)| level > 0));
        loop {
            let see = |opaque: &Opaque, node: Option<&Node<'_>>| {
                if as_root.is_some_and(|(_, level)| !opaque.is_root_of(level)) {
                    return Ok(Next::Root);
                }
                if unfinished.is_some() && opaque.is_unfinished() {
                    return Ok(Next::Unfinished);
                }
                if let Some(right) = self.to_the_right(key, block, opaque, node)? {
                    return Ok(Next::Right(right));
                }
                let Some(node) = node.filter(|node| !node.opaque.is_leaf()) else {
                    return Ok(Next::Leaf);
                };
                let offset = self.first_not_before(key, block, node)?.saturating_sub(1);
                let link = node.entry(offset).map_err(self.node_error(block))?;
                let (step, below) = (Step { block, offset }, link.downlink());
                let is_last = node.opaque.level == 1;
                Ok(if is_last { Next::Last(step, below) } else { Next::Down(step, below) })
            };
            let next = match copies.take() {
                Some(copies) => copies.read(self, block, see)?,
                None => self.read(block, see)?,
            };
            as_root = None;
            match next {
                Next::Root => match self.fast_root()? {
                    Some(root) => block = root,
                    None => return Ok(None),
                },
                Next::Right(right) => block = right,
                Next::Unfinished => {
                    if let Some(writer) = unfinished.as_deref_mut() {
                        writer.finish_if_split(block, &way)?;
                    }
                }
                Next::Down(step, below) => {
                    way.extend(keeps_way.then_some(step));
                    block = below;
                }
                Next::Last(step, leaf) => {
                    way.extend(keeps_way.then_some(step));
                    return Ok(Some((way, leaf)));
                }
                Next::Leaf => return Ok(Some((way, block))),
            }
        }
    }

    /// The first page of a level, or the last, from the root down (`_bt_get_endpoint`).
    pub(super) fn endpoint(&self, level: u32, is_last: bool) -> Result<BlockNumber, IndexError> {
        let mut block = self.metapage()?.metadata.root;
        loop {
            let below = self.read(block, |opaque, node| {
                if opaque.is_ignored() || is_last && !opaque.is_rightmost() {
                    return Ok(Some(opaque.next));
                }
                if opaque.level == level {
                    return Ok(None);
                }
                let Some(node) = node.filter(|node| node.opaque.level > level) else {
                    return Err(self.structure(block, format!("no page of level {level} is found")));
                };
                let offset = if is_last { node.last() } else { node.opaque.first_data() };
                let link = node.entry(offset).map_err(self.node_error(block))?;
                Ok(Some(link.downlink()))
            })?;
            match below {
                None => return Ok(block),
                Some(below) => block = below,
            }
        }
    }
}

impl<'s> Writer<'_, 's> {
    /// The leaf that a new entry belongs to, locked, and the way there.
    pub(super) fn leaf_for(
        &mut self,
        key: &SearchKey<'_>,
    ) -> Result<(Vec<Step>, BlockNumber, HeldPage<'s>), IndexError> {
        let index = self.index;
        let (way, mut block) = loop {
            match index.descend(key, Some(self), None)? {
                Some(found) => break found,
                None => self.make_root()?,
            }
        };
        loop {
            let page = index.write(block)?;
            let opaque = Opaque::of(&page).map_err(index.node_error(block))?;
            if opaque.is_unfinished() {
                self.finish_split(block, page, &way)?;
                continue;
            }
            let is_deleted = opaque.flags.contains(NodeFlags::DELETED);
            let node = if is_deleted { None } else { Some(index.node(block, &page)?) };
            match index.to_the_right(key, block, &opaque, node.as_ref())? {
                Some(right) => block = right,
                None => return Ok((way, block, page)),
            }
        }
    }
}
