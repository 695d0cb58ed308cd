//! Where in a free space map a table's block is: three levels of pages, each with a slot for each page below it.
//!
//! ```text
//! level 2          page 0
//! level 1          pages 0, 1, 2, ...       page n of a level has a slot for each of the pages
//! level 0          pages 0, 1, 2, ...       4069 n to 4069 n + 4068 below it, or for such blocks
//!
//! in the file      2:0  1:0  0:0  0:1 ... 0:4068  1:1  0:4069 ...        each page before those below it
//! ```
//!
//! Invariant: every block of a table has a slot, since 4069^3 > 2^32. Source: `freespace.c`.

use base::BlockNumber;

use super::node_tree::SLOTS;

/// Slots, to be counted with blocks.
const FANOUT: u32 = SLOTS as u32;
/// The root's level (`FSM_ROOT_LEVEL`).
pub(super) const ROOT_LEVEL: u32 = 2;
const _: () = assert!((SLOTS as u64).pow(3) > 1 << 32);

/// A page of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// 0 for those that tell of blocks.
    pub(super) level: u32,
    /// Its number among those of its level.
    pub(super) number: u32,
}

/// The page on top.
pub(super) const ROOT: Place = Place { level: ROOT_LEVEL, number: 0 };

impl Place {
    /// The page and the slot that tell of a block.
    pub(super) fn of(block: BlockNumber) -> (Place, usize) {
        (Place { level: 0, number: block / FANOUT }, (block % FANOUT) as usize)
    }

    /// The page above, and the slot there that tells of this one; of the root, itself.
    pub(super) fn above(self) -> (Place, usize) {
        if self == ROOT {
            return (ROOT, 0);
        }
        let place = Place { level: self.level + 1, number: self.number / FANOUT };
        (place, (self.number % FANOUT) as usize)
    }

    /// The page that a slot tells of; `None` where that is a block, or where there can be none.
    pub(super) fn below(self, slot: usize) -> Option<Place> {
        let number = u64::from(self.number) * u64::from(FANOUT) + slot as u64;
        let level = self.level.checked_sub(1)?;
        let first = number * u64::from(FANOUT).pow(level + 1);
        let fits = first <= u64::from(BlockNumber::MAX);
        fits.then_some(Place { level, number: number as u32 })
    }

    /// The block that a slot of a page of level 0 tells of; `None` if there can be none such.
    pub(super) fn heap_block(self, slot: usize) -> Option<BlockNumber> {
        let block = u64::from(self.number) * u64::from(FANOUT) + slot as u64;
        BlockNumber::try_from(block).ok().filter(|block| *block != BlockNumber::MAX)
    }

    /// Which page of the file it is.
    pub(super) fn block(self) -> BlockNumber {
        // The first page of level 0 below it lies this many levels behind it.
        let mut leaf = u64::from(self.number) * u64::from(FANOUT).pow(self.level);
        let mut pages = 0;
        for _ in 0..=ROOT_LEVEL {
            pages += leaf + 1;
            leaf /= u64::from(FANOUT);
        }
        (pages - u64::from(self.level) - 1) as BlockNumber
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_one_after_the_other() {
        // In the order in which a walk comes by them: down before to the right.
        let mut next = 0;
        let mut see = |place: Place| {
            assert_eq!(place.block(), next, "{place:?}");
            next += 1;
        };
        see(ROOT);
        for middle in 0..3 {
            let middle = ROOT.below(middle).expect("there");
            see(middle);
            for slot in 0..SLOTS {
                let leaf = middle.below(slot).expect("there");
                assert_eq!(leaf.above(), (middle, slot));
                assert_eq!(leaf.below(0), None);
                see(leaf);
            }
            assert_eq!(middle.above().0, ROOT);
        }
    }

    #[test]
    fn every_block_has_a_slot_and_every_slot_at_most_one_block() {
        for block in [0, 1, 4068, 4069, 16_556_760, 16_556_761, 16_556_762, u32::MAX - 1] {
            let (place, slot) = Place::of(block);
            assert_eq!((place.heap_block(slot), place.level), (Some(block), 0));
            let (above, _) = place.above();
            assert_eq!(above.above().0, ROOT, "{block}");
        }
        let (last, slot) = Place::of(u32::MAX - 1);
        assert_eq!(last.heap_block(slot + 1), None);
        let (middle, slot) = last.above();
        assert_eq!(middle.below(slot), Some(last));
        assert_eq!(middle.below(slot + 1), None);
        assert_eq!(ROOT.below(4000), None);
    }
}
