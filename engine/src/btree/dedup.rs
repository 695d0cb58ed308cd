//! Entries of a leaf with equal keys made posting lists, so that the page need not be split.
//!
//! Source: `_bt_dedup_pass` of PostgreSQL 15. Invariant: the page stands for the same rows in the same order.

use base::page::Placement;
use base::{BlockNumber, OffsetNumber, PAGE_SIZE, PageMut, Tid};
use wal::rmgr::Array;
use wal::rmgr::btree::{Btree, Dedup};

use super::error::IndexError;
use super::index::{HeldPage, Writer, to_change};
use super::page::{self, ITEM_SPACE, NodeFlags, Opaque};
use super::posting::Pending;
use super::split_location::SINGLE_VALUE_FILL_FACTOR;
use super::tuple::{IndexTuple, MAX_ITEM_SIZE};

const DEDUP: u8 = 0x60;
/// How many posting lists of full length a page full of one key gets, before the rest is left for the split to come.
const FULL_LISTS: u32 = 5;

impl<'s> Writer<'_, 's> {
    /// Makes posting lists of a leaf's entries, if there are equal ones. `new` is the entry that room is wanted for;
    /// `is_churn` says that its equals are versions of its row, which will not be many.
    pub(super) fn deduplicate(
        &mut self,
        block: BlockNumber,
        leaf: &mut HeldPage<'s>,
        new: IndexTuple<'_>,
        is_churn: bool,
    ) -> Result<(), IndexError> {
        let index = self.index;
        let shape = &index.of.shape;
        let node = index.node(block, leaf)?;
        let (opaque, last) = (node.opaque, node.last());
        let entry = |offset| node.entry(offset).map_err(index.node_error(block));
        let are_equal = |one, other, offset| -> Result<bool, IndexError> {
            shape.same_key(one, other).map_err(index.entry_error(block, offset))
        };
        let first = opaque.first_data();
        if last < first {
            return Ok(());
        }
        let mut is_one_key = !is_churn
            && are_equal(new, entry(first)?, first)?
            && are_equal(new, entry(last)?, last)?;

        let mut made_bytes = Box::new([0; PAGE_SIZE]);
        let without_garbage = Opaque { flags: opaque.flags - NodeFlags::HAS_GARBAGE, ..opaque };
        let mut made = page::init(&mut made_bytes, &without_garbage);
        let add = |made: &mut PageMut<'_>, item: &[u8]| {
            let added = made.add_item(item, Placement::Free);
            added.map(|_| ()).map_err(|error| index.node_error(block)(error.into()))
        };
        if let Some(high_key) = node.high_key().map_err(index.node_error(block))? {
            add(&mut made, high_key.bytes())?;
        }
        let of_entry = |offset| index.posting_error(block, offset);
        let mut pending = Pending::new(MAX_ITEM_SIZE / 2);
        let (mut goes_on, mut full_lists) = (true, 0);
        let (mut from, mut intervals, mut count) = (first, Vec::new(), 0u16);
        let mut finish = |pending: &mut Pending<'_>, from: OffsetNumber, made: &mut PageMut<'_>| {
            if pending.items() > 1 {
                intervals.extend_from_slice(&from.to_le_bytes());
                intervals.extend_from_slice(&pending.items().to_le_bytes());
                count += 1;
            }
            pending.finish().map_or(Ok(()), |item| add(made, &item))
        };
        pending.start(entry(first)?).map_err(of_entry(first))?;
        for offset in first + 1..=last {
            let item = entry(offset)?;
            if goes_on
                && let Some(base) = pending.base()
                && are_equal(base, item, offset)?
            {
                if pending.save(item).map_err(of_entry(offset))? {
                    continue;
                }
                full_lists += u32::from(pending.rows() > 50);
            }
            finish(&mut pending, from, &mut made)?;
            if is_one_key && full_lists == FULL_LISTS {
                pending.shorten(single_value_reserve(new));
            } else if is_one_key && full_lists > FULL_LISTS {
                (goes_on, is_one_key) = (false, false);
            }
            pending.start(item).map_err(of_entry(offset))?;
            from = offset;
        }
        finish(&mut pending, from, &mut made)?;
        if count == 0 {
            return Ok(());
        }
        to_change(leaf).copy_from(made.as_page());
        let dedup = Dedup { count, intervals: Array::of(&intervals) };
        self.log(DEDUP, &Btree::Dedup(dedup), &mut [(0, false, leaf)])
    }
}

/// How much shorter the last posting list of a page full of one key is, so that the split to come finds its place
/// (`_bt_singleval_fillfactor`).
fn single_value_reserve(new: IndexTuple<'_>) -> usize {
    let left = ITEM_SPACE - (new.size() + 4 + Tid::SIZE.next_multiple_of(8));
    left * usize::from(100 - SINGLE_VALUE_FILL_FACTOR) / 100
}
