//! Damage to a log, of the kinds that a disk does.
//!
//! Invariant: half of it is near the seams of stretches, where reading on threads has most to get wrong.

use base::{Lsn, PAGE_SIZE};
use proptest::prelude::*;

use crate::reader_ways::STRETCH;
use crate::synthetic::MemoryLog;

/// A damage to a log.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Flip { at: u64, bits: u8 },
    ZeroPage { at: u64 },
    SwapPages { one: u64, other: u64 },
    Truncate { at: u64 },
    Remove { at: u64 },
}

pub(crate) fn any_damage(length: u64) -> impl Strategy<Value = Damage> {
    // Half of them near the seams of stretches, where reading on threads has most to get wrong.
    let near_seam = (1..=length / STRETCH, -40_000i64..40_000)
        .prop_map(|(seam, offset)| (seam * STRETCH).saturating_add_signed(offset));
    let header = (0..length / PAGE_SIZE as u64, 0..40u64)
        .prop_map(|(page, offset)| page * PAGE_SIZE as u64 + offset);
    let seam_header = (0..=length / STRETCH, 0..4u64, 0..40u64)
        .prop_map(|(seam, page, offset)| seam * STRETCH + page * PAGE_SIZE as u64 + offset);
    let place = prop_oneof![0..length, near_seam, header, seam_header].boxed();
    prop_oneof![
        6 => (place.clone(), 0u32..8).prop_map(|(at, bit)| Damage::Flip { at, bits: 1 << bit }),
        1 => place.clone().prop_map(|at| Damage::ZeroPage { at }),
        1 => (place.clone(), place.clone()).prop_map(|(one, other)| Damage::SwapPages { one, other }),
        1 => place.clone().prop_map(|at| Damage::Truncate { at }),
        1 => place.prop_map(|at| Damage::Remove { at }),
    ]
}

pub(crate) fn inflict(log: &mut MemoryLog, start: Lsn, damage: &Damage) {
    let size = log.size();
    match *damage {
        Damage::Flip { at, bits } => log.flip(start + at, bits),
        Damage::ZeroPage { at } => log.zero_page(start + at),
        Damage::SwapPages { one, other } => log.swap_pages(start + one, start + other),
        Damage::Truncate { at } => {
            log.truncate_segment(size.number_of(start + at), size.offset_of(start + at));
        }
        Damage::Remove { at } => log.remove_segment(size.number_of(start + at)),
    }
}
