//! Entries of versions that nobody sees any more taken off a leaf before they split it: bottom-up deletion.
//!
//! ```text
//! an update leaves an index's key as it was, and the leaf has no room for the new version's entry
//!   ─► entries with equal keys are promising: most of them lead to versions of one row
//!   ─► the table's pages with the most of those are looked at, a few of them, as long as each look frees something
//!   ─► DELETE; the leaf is split, or its entries are shared, only if that was too little
//! ```
//!
//! So an index whose key no update changes stays as large as its rows make it, however many versions they have, without
//! any vacuum.
//!
//! Source: `_bt_bottomupdel_pass`, `_bt_bottomupdel_finish_pending`, `bottomup_sort_and_shrink`,
//! `bottomup_nblocksfavorable`, `heap_index_delete_tuples` of PostgreSQL 15. Invariant: what is promising decides where to
//! look and nothing else; a row goes only if the table says that nobody sees it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use base::page::LINE_POINTER_SIZE;
use base::{BlockNumber, OffsetNumber, PAGE_SIZE, Tid, Xid};

use super::error::IndexError;
use super::index::{HeldPage, Index, Writer};
use super::page::Node;
use super::remove::By;
use super::simple_deletion::Heap;

/// Pages of the table that are looked at, at most (`BOTTOMUP_MAX_NBLOCKS`).
const MOST_BLOCKS: usize = 6;
/// How far a page may lie from the one before, in pages, to count as beside it (`BOTTOMUP_TOLERANCE_NBLOCKS`).
const TOLERANCE: u32 = 3;
/// Groups with fewer promising rows are taken for groups with so many.
const FEW: usize = 4;

/// A row that an entry of the leaf leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    tid: Tid,
    is_promising: bool,
    /// Bytes that the leaf has more without it, at least.
    space: usize,
}

/// The candidates of one leaf.
#[derive(Debug, Default, PartialEq, Eq)]
struct Candidates {
    rows: Vec<Candidate>,
    /// Whether two entries have equal keys.
    has_duplicates: bool,
}

impl<'s> Writer<'_, 's> {
    /// Takes entries off a leaf that has no room for one of this size, if the table says that nobody needs them. Whether
    /// that was enough for the leaf to be left as it is otherwise.
    pub(super) fn delete_bottom_up<E: From<IndexError>>(
        &mut self,
        block: BlockNumber,
        leaf: &mut HeldPage<'s>,
        size: usize,
        heap: &mut dyn Heap<E>,
    ) -> Result<bool, E> {
        let index = self.index;
        let wanted = size + LINE_POINTER_SIZE;
        let node = index.node(block, leaf)?;
        let Candidates { rows, has_duplicates } = index.candidates(block, &node)?;
        let (dead, newest) = dead_of(rows, wanted.max(PAGE_SIZE / 16), heap)?;
        if !dead.is_empty() {
            let removal = index.removal(block, &node, |tid| dead.contains(&tid))?;
            self.remove(block, leaf, &removal, By::Deletion(newest))?;
        }
        let free = index.node(block, leaf)?.page().exact_free_space();
        // Entries without equals cannot be shared; little room would be wanted again soon.
        Ok(!has_duplicates || free >= wanted.max(PAGE_SIZE / 24))
    }
}

impl Index<'_> {
    /// The rows of a leaf, and which of them are likely to be versions of one.
    fn candidates(&self, block: BlockNumber, node: &Node<'_>) -> Result<Candidates, IndexError> {
        let mut found = Candidates::default();
        let (mut from, last) = (node.opaque.first_data(), node.last());
        while from <= last {
            let end = self.end_of_equals(block, node, from)?;
            let is_interval = end > from + 1;
            found.has_duplicates |= is_interval;
            for offset in from..end {
                let entry = node.entry(offset).map_err(self.node_error(block))?;
                if !entry.is_posting() {
                    let space = entry.bytes().len() + LINE_POINTER_SIZE;
                    let tids = entry.tids();
                    let row = |tid| Candidate { tid, is_promising: is_interval, space };
                    found.rows.extend(tids.map(row));
                    continue;
                }
                let tids: Vec<Tid> = entry.tids().collect();
                let promising = if is_interval { promising_of(&tids) } else { None };
                found.rows.extend(tids.iter().enumerate().map(|(place, tid)| Candidate {
                    tid: *tid,
                    is_promising: promising == Some(place),
                    space: Tid::SIZE,
                }));
            }
            from = end;
        }
        Ok(found)
    }

    /// Where entries end that have the key of this one: of one posting list's worth at most.
    fn end_of_equals(
        &self,
        block: BlockNumber,
        node: &Node<'_>,
        first: OffsetNumber,
    ) -> Result<OffsetNumber, IndexError> {
        let entry = |offset| node.entry(offset).map_err(self.node_error(block));
        let base = entry(first)?;
        let mut rows = base.tid_count();
        for offset in first + 1..=node.last() {
            let item = entry(offset)?;
            let same = self.of.shape.same_key(base, item);
            rows += item.tid_count();
            let length = base.key_part().len() + rows * Tid::SIZE;
            if !same.map_err(self.entry_error(block, offset))?
                || length.next_multiple_of(8) > PAGE_SIZE
            {
                return Ok(offset);
            }
        }
        Ok(node.last() + 1)
    }
}

/// The one of a posting list's rows that is likely to be a version of another: at the end that has most of them on its page
/// of the table.
fn promising_of(tids: &[Tid]) -> Option<usize> {
    let last = tids.len().checked_sub(1)?;
    let [low, middle, high] = [0, tids.len() / 2, last].map(|place| tids[place].block);
    match middle {
        _ if low == middle => Some(0),
        _ if middle == high => Some(last),
        _ => None,
    }
}

/// Candidates on one page of the table.
struct Group<'c> {
    block: BlockNumber,
    rows: &'c [Candidate],
    /// A power of two: small differences mean nothing.
    promising: usize,
}

/// The candidates by page of the table, those first where most is to be found, a few pages of them.
fn most_promising(rows: &[Candidate]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = rows
        .chunk_by(|one, other| one.tid.block == other.tid.block)
        .map(|rows| {
            let promising = rows.iter().filter(|row| row.is_promising).count();
            let promising = promising.max(FEW).next_power_of_two();
            Group { block: rows[0].tid.block, rows, promising }
        })
        .collect();
    groups.sort_by_key(|group| {
        (Reverse(group.promising), Reverse(group.rows.len().next_power_of_two()), group.block)
    });
    groups.truncate(MOST_BLOCKS);
    groups
}

/// How many of the first groups lie beside each other in the table, so that a look at them costs little.
fn favorable(groups: &[Group<'_>]) -> usize {
    let is_beside = |pair: &&[Group<'_>]| pair[0].block.abs_diff(pair[1].block) <= TOLERANCE;
    groups.windows(2).take_while(is_beside).count() + 1
}

/// The rows that nobody sees, as far as they were looked for, and the newest transaction that had to do with that. It ends
/// when so many bytes are free.
fn dead_of<E>(
    mut rows: Vec<Candidate>,
    mut wanted: usize,
    heap: &mut dyn Heap<E>,
) -> Result<(BTreeSet<Tid>, Xid), E> {
    rows.sort_unstable();
    let groups = most_promising(&rows);
    let mut favorable = favorable(&groups);
    let (mut dead, mut newest) = (Vec::new(), Xid::INVALID);
    let mut free = 0;
    for group in groups {
        match favorable.checked_sub(1) {
            Some(left) => favorable = left,
            None => wanted /= 2,
        }
        let asked: Vec<(Tid, bool)> = group.rows.iter().map(|row| (row.tid, false)).collect();
        let before = dead.len();
        heap.find_dead(&asked, &mut newest, &mut dead)?;
        if dead.len() == before {
            // The first page is always looked at; another only if the one before was worth it.
            break;
        }
        let is_dead = |row: &&Candidate| dead[before..].binary_search(&row.tid).is_ok();
        free += group.rows.iter().filter(is_dead).map(|row| row.space).sum::<usize>();
        if free >= wanted {
            break;
        }
    }
    Ok((dead.into_iter().collect(), newest))
}
