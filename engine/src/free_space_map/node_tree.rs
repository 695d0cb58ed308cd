//! One page of a free space map: a binary tree over its slots, each inner node the higher of the two below.
//!
//! ```text
//! byte 0        24                28                 4123                 8192
//!      | header | slot to look at | 4095 inner nodes | 4069 slots, a byte each |
//!                 first, int4       root first, level by level; those below node n: 2n + 1 and 2n + 2
//! ```
//!
//! Invariants: nothing on the page is believed. Where an inner node promises more than is below it, as on a page that a crash
//! tore, the inner nodes are made anew from the slots. No bytes make these functions panic or go on for ever. Source: `fsmpage.c`,
//! `fsm_internals.h`.

use base::PAGE_SIZE;
use base::page::{PAGE_HEADER_SIZE, PageBytes};

/// Where the slot is that a search begins with (`fp_next_slot`), and the nodes behind it.
const NEXT: usize = PAGE_HEADER_SIZE;
const FIRST_NODE: usize = NEXT + 4;
/// All nodes (`NodesPerPage`), and of these the inner ones (`NonLeafNodesPerPage`).
const NODES: usize = PAGE_SIZE - FIRST_NODE;
const INNER: usize = PAGE_SIZE / 2 - 1;
/// Slots of a page (`SlotsPerFSMPage`).
pub(super) const SLOTS: usize = NODES - INNER;
const _: () = assert!(SLOTS == 4069 && FIRST_NODE + INNER == 4123);

/// What a search comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A slot with that much.
    Slot(usize),
    /// There is none.
    Nothing,
    /// An inner node promised one in vain.
    Torn,
}

/// The slots, from the first on.
pub(super) fn slots(page: &PageBytes) -> &[u8] {
    &page[FIRST_NODE + INNER..]
}

/// The highest slot, as the root says.
pub(super) fn highest(page: &PageBytes) -> u8 {
    page[FIRST_NODE]
}

/// The slot that a search begins with; the first where what is there is none.
pub(super) fn next_slot(page: &PageBytes) -> usize {
    let next = page[NEXT..FIRST_NODE].try_into().map_or(-1, i32::from_le_bytes);
    usize::try_from(next).ok().filter(|next| *next < SLOTS).unwrap_or(0)
}

/// Has searches begin with this slot; with the first, if there is none such.
pub(super) fn set_next_slot(page: &mut PageBytes, slot: usize) {
    page[NEXT..FIRST_NODE].copy_from_slice(&(slot as u32).to_le_bytes());
}

/// What an inner node is to be: the higher of those below it, of which the last ones have one or none.
fn above(nodes: &[u8], node: usize) -> u8 {
    let below = |node: usize| nodes.get(node).copied().unwrap_or(0);
    below(2 * node + 1).max(below(2 * node + 2))
}

/// Whether a slot is what [`set`] would make it.
///
/// # Panics
/// If there is no such slot.
pub(super) fn is_set(page: &PageBytes, slot: usize, value: u8) -> bool {
    slots(page)[slot] == value && value <= highest(page)
}

/// Sets a slot.
///
/// # Panics
/// If there is no such slot.
pub(super) fn set(page: &mut PageBytes, slot: usize, value: u8) {
    let nodes = &mut page[FIRST_NODE..];
    let mut node = INNER + slot;
    nodes[node] = value;
    while node > 0 {
        node = (node - 1) / 2;
        let new = above(nodes, node);
        if nodes[node] == new {
            break;
        }
        nodes[node] = new;
    }
    if nodes[0] < value {
        // Something between was wrong.
        rebuild(page);
    }
}

/// Makes the inner nodes anew.
pub(super) fn rebuild(page: &mut PageBytes) {
    let nodes = &mut page[FIRST_NODE..];
    for node in (0..INNER).rev() {
        nodes[node] = above(nodes, node);
    }
}

/// Sets all slots from one on to 0; whether that changed the page.
pub(super) fn cut_off(page: &mut PageBytes, from: usize) -> bool {
    let rest = &mut page[FIRST_NODE + INNER + from..];
    if rest.iter().all(|slot| *slot == 0) {
        return false;
    }
    rest.fill(0);
    rebuild(page);
    true
}

/// The node to the right on the same level, its first one behind the last.
fn right_neighbour(node: usize) -> usize {
    let right = node + 1;
    // The first one of each level is 2^level - 1.
    if (right + 1).is_power_of_two() { (right - 1) / 2 } else { right }
}

/// The first slot that has at least that much, from the one on that searches begin with, and around.
pub(super) fn search(page: &PageBytes, at_least: u8) -> Found {
    let nodes = &page[FIRST_NODE..];
    if nodes[0] < at_least {
        return Found::Nothing;
    }
    // To the right and then up: what a node is above grows to the right alone, until it has something.
    let mut node = INNER + next_slot(page);
    while node > 0 && nodes[node] < at_least {
        node = (right_neighbour(node) - 1) / 2;
    }
    while node < INNER {
        let below = [2 * node + 1, 2 * node + 2];
        let has = |node: &usize| nodes.get(*node).is_some_and(|value| *value >= at_least);
        match below.into_iter().find(has) {
            Some(found) => node = found,
            None => return Found::Torn,
        }
    }
    Found::Slot(node - INNER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proptest::prelude::*;

    fn empty() -> Box<PageBytes> {
        Box::new([0; PAGE_SIZE])
    }

    /// What the tree is to find: a plain list.
    fn first_from(slots: &[u8], next: usize, at_least: u8) -> Found {
        let around = (next..SLOTS).chain(0..next);
        around.into_iter().find(|slot| slots[*slot] >= at_least).map_or(Found::Nothing, Found::Slot)
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_list_has(seed: u64, count in 0_usize..300) {
            let mut random = Rng::with_seed(seed);
            let (mut page, mut list) = (empty(), vec![0; SLOTS]);
            for _ in 0..count {
                // Often the same ones, and often the last.
                let slot = match random.u8(..3) {
                    0 => random.usize(..SLOTS),
                    1 => random.usize(..20),
                    _ => SLOTS - 1 - random.usize(..20),
                };
                let value = if random.bool() { 0 } else { random.u8(..) };
                prop_assert_eq!(is_set(&page, slot, value), list[slot] == value);
                set(&mut page, slot, value);
                list[slot] = value;
                let at_least = random.u8(1..);
                let next = next_slot(&page);
                let found = search(&page, at_least);
                prop_assert_eq!(found, first_from(&list, next, at_least));
                if let Found::Slot(slot) = found {
                    set_next_slot(&mut page, slot + 1);
                    prop_assert_eq!(next_slot(&page), (slot + 1) % SLOTS);
                }
                if random.u8(..50) == 0 {
                    let from = random.usize(..SLOTS);
                    let changes = list[from..].iter().any(|value| *value != 0);
                    prop_assert_eq!(cut_off(&mut page, from), changes);
                    list[from..].fill(0);
                }
            }
            prop_assert_eq!(slots(&page), &list[..]);
            prop_assert_eq!(highest(&page), list.iter().copied().max().unwrap_or(0));
            let before = page.clone();
            rebuild(&mut page);
            prop_assert!(page == before, "the inner nodes are as they should be");
        }

        /// Whatever is there: nothing panics or goes on for ever, and a page that was made anew tells what its slots have.
        #[test]
        fn any_bytes_are_mended(seed: u64, spares: bool, at_least in 1_u8..) {
            let mut random = Rng::with_seed(seed);
            let mut page = empty();
            random.fill(&mut page[..]);
            if spares {
                // High promises, nothing kept.
                page[FIRST_NODE + INNER..].fill(0);
            }
            if search(&page, at_least) == Found::Torn {
                rebuild(&mut page);
                prop_assert_ne!(search(&page, at_least), Found::Torn);
            }
            let slot = random.usize(..SLOTS);
            set(&mut page, slot, 255);
            prop_assert_eq!(highest(&page), 255);
            set_next_slot(&mut page, slot);
            rebuild(&mut page);
            prop_assert_eq!(search(&page, 255), Found::Slot(slot));
        }
    }
}
