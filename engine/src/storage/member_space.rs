//! How much of the room for members of sets is taken, and how urgent that makes the freezing of sets.
//!
//! ```text
//! positions    oldest ─────── taken ─────── next ······ free ······ one file before the oldest's
//! ```
//!
//! Positions of members wrap around as ids do, and can run out before ids of sets do. Invariant: where the position of the
//! oldest set is not known, the worst is assumed. Source: `SetOffsetVacuumLimit`, `MultiXactMemberFreezeThreshold`.

use super::{IdState, Storage};
use crate::Error;

/// Up to here nothing is urgent (`MULTIXACT_MEMBER_SAFE_THRESHOLD`).
const SAFE: u32 = u32::MAX / 2;
/// From here on everything is frozen (`MULTIXACT_MEMBER_DANGER_THRESHOLD`).
const DANGER: u32 = u32::MAX - u32::MAX / 4;

impl Storage {
    /// Finds out where the members of the oldest set begin, after a start and where the oldest set is another one.
    ///
    /// # Errors
    /// Where a page of `pg_multixact` cannot be read, other than that it is not there.
    pub fn find_oldest_member(&self) -> Result<(), Error> {
        let IdState { oldest_multi, next_multi, next_multi_offset, .. } = *self.ids.lock();
        let position = if oldest_multi == next_multi.max(1) {
            Some(next_multi_offset)
        } else {
            self.multixact.start_of(oldest_multi)?
        };
        self.ids.lock().oldest_multi_offset = position;
        Ok(())
    }

    /// The age at which freezing a table's sets is urgent: `most`, or less where members take much room.
    pub(crate) fn multixact_freeze_threshold(&self, most: u32) -> u32 {
        let ids = *self.ids.lock();
        let Some(oldest) = ids.oldest_multi_offset else { return 0 };
        let sets = ids.next_multi.wrapping_sub(ids.oldest_multi);
        threshold(sets, ids.next_multi_offset.wrapping_sub(oldest), most)
    }
}

fn threshold(sets: u32, members: u32, most: u32) -> u32 {
    if members <= SAFE {
        return most;
    }
    let fraction = f64::from(members - SAFE) / f64::from(DANGER - SAFE);
    let victims = f64::from(sets) * fraction;
    // Where the fraction is above one, all of them.
    let stay = (f64::from(sets) - victims.floor()).max(0.0);
    (stay as u32).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_the_younger() {
        assert_eq!(threshold(1000, SAFE, 400), 400);
        assert_eq!(threshold(1000, SAFE + (DANGER - SAFE) / 2, 900), 501);
        assert_eq!(threshold(1000, SAFE + (DANGER - SAFE) / 2, 400), 400);
        assert_eq!(threshold(1000, DANGER, 400), 0);
        assert_eq!(threshold(1000, u32::MAX, 400), 0);
    }
}
