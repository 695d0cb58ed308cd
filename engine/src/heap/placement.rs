//! Where a new row goes: how much room each page of a table has, as far as is known.
//!
//! One byte a page, of 32 bytes of room each, as in PostgreSQL's free space map; in memory alone. After a start nothing
//! is known but that the last page may have room; what scans and changes see is noted.
//!
//! Invariants: what is noted is advice: a page may have less room, and who comes to it looks. A page that was handed out
//! counts as full until its room is noted again, so that sessions spread over pages.

use base::sync::{Mutex, MutexGuard, PoisonError};
use base::{BlockNumber, PAGE_SIZE};

/// Bytes of room that one step of a byte stands for (`FSM_CAT_STEP`).
const STEP: usize = PAGE_SIZE / 256;
/// Pages that share a note of the highest among them.
const GROUP: usize = 256;

/// The room of a table's pages.
#[derive(Debug, Default)]
pub struct Placement(Mutex<Rooms>);

#[derive(Debug, Default)]
struct Rooms {
    pages: Vec<u8>,
    /// At least the highest of each group.
    groups: Vec<u8>,
    /// The group that is searched first.
    next: usize,
}

impl Placement {
    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a page has so many bytes of room.
    pub fn note(&self, block: BlockNumber, room: usize) {
        let step = (room / STEP).min(255) as u8;
        let mut rooms = self.lock();
        let at = block as usize;
        if at >= rooms.pages.len() {
            rooms.pages.resize(at + 1, 0);
            rooms.groups.resize(at / GROUP + 1, 0);
        }
        rooms.pages[at] = step;
        let group = &mut rooms.groups[at / GROUP];
        *group = step.max(*group);
    }

    /// Whether nothing was noted of a page or any behind it.
    pub fn is_unknown(&self, block: BlockNumber) -> bool {
        self.lock().pages.len() <= block as usize
    }

    /// A page that should have so many bytes of room; it counts as full from here on.
    pub fn take(&self, needed: usize) -> Option<BlockNumber> {
        let step = needed.div_ceil(STEP).clamp(1, 255) as u8;
        let mut rooms = self.lock();
        let groups = rooms.groups.len();
        for ahead in 0..groups {
            let group = (rooms.next + ahead) % groups;
            if rooms.groups[group] < step {
                continue;
            }
            let start = group * GROUP;
            let end = (start + GROUP).min(rooms.pages.len());
            let found = rooms.pages[start..end].iter().position(|page| *page >= step);
            if let Some(found) = found {
                rooms.pages[start + found] = 0;
                rooms.next = group;
                return Some((start + found) as BlockNumber);
            }
            // The note was of a page that has been taken since.
            rooms.groups[group] = rooms.pages[start..end].iter().copied().max().unwrap_or(0);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_page_with_room_is_found_exactly_if_there_is_one(
            notes in proptest::collection::vec((0_u32..1500, 0_usize..8192), 0..60),
            needs in proptest::collection::vec(1_usize..8160, 1..80),
        ) {
            let placement = Placement::default();
            let mut model = std::collections::BTreeMap::new();
            for (block, room) in notes {
                placement.note(block, room);
                model.insert(block, room / STEP);
            }
            for needed in needs {
                let fits = |room: &usize| *room >= needed.div_ceil(STEP);
                match placement.take(needed) {
                    Some(block) => {
                        let room = model.insert(block, 0).unwrap_or(0);
                        prop_assert!(fits(&room), "block {block} has {room} steps for {needed} bytes");
                    }
                    None => prop_assert!(!model.values().any(fits), "{needed} bytes"),
                }
            }
        }
    }
}
