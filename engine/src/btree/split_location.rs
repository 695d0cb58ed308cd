//! Where a page is split: so that both halves have room, and the high key is short.
//!
//! Every place between two entries at which both halves fit is a candidate, weighed by how evenly it shares the space:
//! in half, or, of the rightmost page, by the fill factor, since entries are expected to come in order. Among those that
//! are nearly as good as the best, the one that tells left from right by the fewest columns is taken (above the leaves,
//! the one with the shortest key). Leaves with many equal keys are split where no tid is needed, if that is anywhere;
//! full of one key, near their end, so that the left half stays full. Where entries come in order between others (two
//! columns, the second ascending), it is split behind the new one. Which of several that are as good as each other is found
//! first is up to the sorting, which is the server's ([`quicksort`]).
//!
//! Source: `nbtsplitloc.c` of PostgreSQL 15. Invariant: nothing is changed here.

use base::{OffsetNumber, Tid, max_align};

use super::key::{KeyError, Shape};
use super::page::{HIGH_KEY, ITEM_SPACE, Opaque};
use super::quicksort;
use super::tuple::{HEADER_SIZE, IndexTuple};

/// Bytes of a line pointer.
const POINTER: i32 = 4;
/// Fill factor above the leaves, in percent (`BTREE_NONLEAF_FILLFACTOR`).
pub(super) const INNER_FILL_FACTOR: u8 = 70;
/// Of a leaf full of one key (`BTREE_SINGLEVAL_FILLFACTOR`).
pub(super) const SINGLE_VALUE_FILL_FACTOR: u8 = 96;
/// How much less evenly space may be shared for a shorter key, as a share of the entries (`LEAF_SPLIT_DISTANCE`,
/// `INTERNAL_SPLIT_DISTANCE`).
const LEAF_TOLERANCE: f64 = 0.050;
const INNER_TOLERANCE: f64 = 0.075;

/// A page that is to be split, and the entry that it is split for.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) shape: &'a Shape,
    /// Of leaves, in percent.
    pub(super) fill_factor: u8,
    pub(super) opaque: Opaque,
    /// All entries, the high key among them.
    pub(super) entries: Vec<IndexTuple<'a>>,
    pub(super) new: IndexTuple<'a>,
    /// The line pointer that the new one would get.
    pub(super) new_offset: OffsetNumber,
    /// Bytes between line pointers and entries.
    pub(super) free: usize,
}

/// A place between two entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SplitPoint {
    /// The first of the old entries that goes right.
    pub(super) first_right: OffsetNumber,
    /// Whether the new one goes left.
    pub(super) new_is_left: bool,
}

/// A place where both halves have room.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    point: SplitPoint,
    /// Bytes that are left free.
    left_free: i32,
    right_free: i32,
    /// How far it is from sharing the space as it should be.
    delta: i32,
}

/// How it is chosen among candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Default,
    ManyDuplicates,
    SingleValue,
}

fn size(entry: IndexTuple<'_>) -> i32 {
    entry.size() as i32 + POINTER
}

impl Page<'_> {
    /// Where to split; `None` if nowhere is room, which cannot be of a sound page.
    ///
    /// # Errors
    /// Where an entry is damaged.
    pub(super) fn split_point(&self) -> Result<Option<SplitPoint>, KeyError> {
        let mut candidates = self.candidates();
        let (Some(leftmost), Some(rightmost)) =
            (candidates.first().copied(), candidates.last().copied())
        else {
            return Ok(None);
        };
        let of_leaves = f64::from(self.fill_factor) / 100.0;
        let mut multiplier = match () {
            () if !self.opaque.is_leaf() => {
                let inner = f64::from(INNER_FILL_FACTOR) / 100.0;
                self.opaque.is_rightmost().then_some(inner)
            }
            () if self.opaque.is_rightmost() => Some(of_leaves),
            () => None,
        };
        if self.opaque.is_leaf()
            && !self.opaque.is_rightmost()
            && let Some(is_late) = self.is_after_new_item()?
        {
            // Split behind the new one, unless that is further right than the fill factor would be.
            if is_late {
                multiplier = Some(of_leaves);
            } else {
                let behind = SplitPoint { first_right: self.new_offset, new_is_left: true };
                if candidates.iter().any(|candidate| candidate.point == behind) {
                    return Ok(Some(behind));
                }
            }
        }
        sort_by_delta(&mut candidates, multiplier);
        let mut interval = self.interval(&candidates);
        let (strategy, perfect) = self.strategy(&candidates, interval, leftmost, rightmost)?;
        match strategy {
            Strategy::Default => {}
            Strategy::ManyDuplicates => interval = candidates.len(),
            Strategy::SingleValue => {
                let of_single_value = f64::from(SINGLE_VALUE_FILL_FACTOR) / 100.0;
                sort_by_delta(&mut candidates, Some(of_single_value));
                interval = 1;
            }
        }
        self.best(&candidates[..interval], perfect, strategy).map(Some)
    }

    fn entry(&self, offset: OffsetNumber) -> IndexTuple<'_> {
        self.entries.get(usize::from(offset) - 1).copied().unwrap_or(self.new)
    }

    fn last(&self) -> OffsetNumber {
        self.entries.len() as OffsetNumber
    }

    /// Bytes of all old entries but the high key, with their line pointers.
    fn old_size(&self) -> i32 {
        let data = self.opaque.first_data()..=self.last();
        data.map(|offset| size(self.entry(offset))).sum()
    }

    /// All places with room at both sides, from left to right (`_bt_recsplitloc`).
    fn candidates(&self) -> Vec<Candidate> {
        let whole = ITEM_SPACE as i32;
        let high_key = if self.opaque.is_rightmost() { 0 } else { size(self.entry(HIGH_KEY)) };
        let right_space = whole - high_key;
        let old = self.old_size();
        debug_assert_eq!(old, right_space - self.free as i32);
        let new = size(self.new);
        let mut to_left = 0;
        let mut candidates = Vec::new();
        let mut weigh = |first_right, new_is_left: bool, to_left: i32| {
            let new_is_first = first_right == self.new_offset && !new_is_left;
            let first = if new_is_first { self.new } else { self.entry(first_right) };
            let first_size = size(first);
            let (mut left_free, mut right_free) = (whole - to_left, right_space - (old - to_left));
            if self.opaque.is_leaf() {
                // The high key is at most the first entry at the right, without its posting list, and a tid.
                let of_list = if first.is_posting() { first.size() - first.data_end() } else { 0 };
                left_free -= first_size + max_align(Tid::SIZE as u64) as i32 - of_list as i32;
            } else {
                left_free -= first_size;
                right_free += first_size - (HEADER_SIZE as i32 + POINTER);
            }
            if new_is_left {
                left_free -= new;
            } else {
                right_free -= new;
            }
            if left_free >= 0 && right_free >= 0 {
                let point = SplitPoint { first_right, new_is_left };
                candidates.push(Candidate { point, left_free, right_free, delta: 0 });
            }
        };
        for offset in self.opaque.first_data()..=self.last() {
            if offset <= self.new_offset {
                weigh(offset, false, to_left);
            }
            if offset >= self.new_offset {
                weigh(offset, true, to_left);
            }
            to_left += size(self.entry(offset));
        }
        if self.new_offset > self.last() {
            weigh(self.new_offset, false, to_left);
        }
        // To the left of the first entry there must be one.
        let first = self.opaque.first_data();
        candidates.retain(|candidate| {
            let SplitPoint { first_right, new_is_left } = candidate.point;
            first_right > first || new_is_left && self.new_offset == first
        });
        candidates
    }

    /// Whether entries come in order before others, the new one behind the last of those; and if so, whether it is that
    /// far right that the fill factor should decide (`_bt_afternewitemoff`).
    fn is_after_new_item(&self) -> Result<Option<bool>, KeyError> {
        /// Two columns of 8 bytes.
        const MOST: i32 = 24 + POINTER;
        let key = self.shape.key().len();
        let new = size(self.new);
        let data = self.opaque.first_data()..=self.last();
        let all_alike = data.clone().all(|offset| size(self.entry(offset)) == new);
        if key == 1 || self.new_offset == HIGH_KEY + 1 || !all_alike || new > MOST {
            return Ok(None);
        }
        let tells = |before: IndexTuple<'_>| -> Result<bool, KeyError> {
            Ok((2..=key).contains(&self.shape.columns_to_keep(before, self.new)?))
        };
        if self.new_offset > self.last() {
            return Ok(tells(self.entry(self.last()))?.then_some(true));
        }
        let before = self.entry(self.new_offset - 1);
        let (Some(low), Some(high)) = (before.heap_tid(), self.new.heap_tid()) else {
            return Ok(None);
        };
        let is_adjacent = low.block == high.block
            || low.block.checked_add(1) == Some(high.block) && high.offset == 1;
        if before.is_posting() || !is_adjacent || !tells(before)? {
            return Ok(None);
        }
        let share = f64::from(self.new_offset) / (f64::from(self.last()) + 1.0);
        Ok(Some(share > f64::from(self.fill_factor) / 100.0))
    }

    /// How many of the best share the space nearly as the best does (`_bt_defaultinterval`).
    fn interval(&self, candidates: &[Candidate]) -> usize {
        let share = if self.opaque.is_leaf() { LEAF_TOLERANCE } else { INNER_TOLERANCE };
        let tolerance = (f64::from(self.old_size()) * share) as i32;
        let best = candidates[0];
        let is_far = |candidate: &Candidate| {
            (candidate.left_free - best.left_free).abs() > tolerance
                || (candidate.right_free - best.right_free).abs() > tolerance
        };
        candidates.iter().position(is_far).unwrap_or(candidates.len())
    }

    /// What is aimed at, and the least that a candidate can cost (`_bt_strategy`).
    fn strategy(
        &self,
        candidates: &[Candidate],
        interval: usize,
        leftmost: Candidate,
        rightmost: Candidate,
    ) -> Result<(Strategy, usize), KeyError> {
        if !self.opaque.is_leaf() {
            let sizes = candidates.iter().map(|candidate| size(self.right_of(candidate.point)));
            return Ok((Strategy::Default, sizes.min().unwrap_or(0) as usize));
        }
        let key = self.shape.key().len();
        let keep = |left: SplitPoint, right: SplitPoint| {
            self.shape.columns_to_keep(self.left_of(left), self.right_of(right))
        };
        let place =
            |candidate: &&Candidate| (candidate.point.first_right, candidate.point.new_is_left);
        let near = &candidates[..interval];
        let (first, last) = (near.iter().min_by_key(place), near.iter().max_by_key(place));
        let (first, last) = (first.unwrap_or(&leftmost).point, last.unwrap_or(&rightmost).point);
        let perfect = keep(first, last)?;
        if perfect <= key {
            return Ok((Strategy::Default, perfect));
        }
        let perfect = keep(leftmost.point, rightmost.point)?;
        if perfect <= key {
            return Ok((Strategy::ManyDuplicates, key));
        }
        if self.opaque.is_rightmost() {
            return Ok((Strategy::SingleValue, perfect));
        }
        // Of the same key as the page's bound, it is followed by more of it.
        let perfect = self.shape.columns_to_keep(self.entry(HIGH_KEY), self.new)?;
        let strategy = if perfect <= key { Strategy::SingleValue } else { Strategy::Default };
        Ok((strategy, perfect))
    }

    /// The cheapest of these (`_bt_bestsplitloc`).
    fn best(
        &self,
        candidates: &[Candidate],
        perfect: usize,
        strategy: Strategy,
    ) -> Result<SplitPoint, KeyError> {
        let (mut best, mut least) = (candidates[0].point, usize::MAX);
        for candidate in candidates {
            let point = candidate.point;
            let cost = match self.opaque.is_leaf() {
                true => self.shape.columns_to_keep(self.left_of(point), self.right_of(point))?,
                false => size(self.right_of(point)) as usize,
            };
            if cost < least {
                (best, least) = (point, cost);
            }
            if cost <= perfect {
                break;
            }
        }
        // Not ever again to the left of the same place, as entries come in order.
        let is_near = |point: SplitPoint| {
            !point.new_is_left
                && (self.new_offset..self.new_offset.saturating_add(9)).contains(&point.first_right)
        };
        let is_many = strategy == Strategy::ManyDuplicates && !self.opaque.is_rightmost();
        Ok(if is_many && is_near(best) { candidates[0].point } else { best })
    }

    /// The last entry of the left half.
    fn left_of(&self, point: SplitPoint) -> IndexTuple<'_> {
        match point.new_is_left && point.first_right == self.new_offset {
            true => self.new,
            false => self.entry(point.first_right - 1),
        }
    }

    /// The first of the right half.
    fn right_of(&self, point: SplitPoint) -> IndexTuple<'_> {
        match !point.new_is_left && point.first_right == self.new_offset {
            true => self.new,
            false => self.entry(point.first_right),
        }
    }
}

/// Those first that come nearest to leaving free as they should: as much at the left as at the right, or in the
/// proportion that a fill factor asks for.
fn sort_by_delta(candidates: &mut [Candidate], multiplier: Option<f64>) {
    for candidate in candidates.iter_mut() {
        let (left, right) = (candidate.left_free, candidate.right_free);
        let delta = match multiplier {
            Some(share) => (share * f64::from(left) - (1.0 - share) * f64::from(right)) as i32,
            None => left - right,
        };
        candidate.delta = delta.abs();
    }
    quicksort::sort_by_key(candidates, &|candidate| candidate.delta);
}
