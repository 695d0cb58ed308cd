//! What one session holds: how often, since when, and for how long.
//!
//! ```text
//! transaction's   in the order in which they were taken   [a b | c | d e]     a savepoint is a length of that list
//! session's       counted, until they are given back       f: 2
//! ```
//!
//! Invariants: in the table of locks a session holds each lock in a mode once, however often and for whatever it has it. A
//! lock that the transaction holds already is not listed again, so that rolling back to a savepoint gives back what was taken
//! since and nothing else. Source: `LOCALLOCK`, resource owners.

use rustc_hash::FxHashMap;

use super::mode::{Modes, TableLockMode};
use super::tag::LockTag;

/// The locks of one session.
#[derive(Debug, Default)]
pub(crate) struct HeldLocks {
    /// What the transaction holds.
    modes: FxHashMap<LockTag, Modes>,
    /// The same, in the order in which it was taken.
    taken: Vec<(LockTag, TableLockMode)>,
    /// What the session holds beyond its transactions, and how often.
    session: FxHashMap<(LockTag, TableLockMode), u32>,
}

impl HeldLocks {
    /// Whether the transaction holds a lock in a mode.
    #[inline]
    pub(crate) fn has(&self, tag: LockTag, mode: TableLockMode) -> bool {
        self.modes.get(&tag).is_some_and(|modes| modes.contains(mode))
    }

    /// Whether the session does, for whatever it has it.
    pub(crate) fn is_held(&self, tag: LockTag, mode: TableLockMode) -> bool {
        self.has(tag, mode) || self.session.contains_key(&(tag, mode))
    }

    /// Notes that the transaction has taken one.
    pub(crate) fn take(&mut self, tag: LockTag, mode: TableLockMode) {
        let modes = self.modes.entry(tag).or_default();
        *modes = modes.with(mode);
        self.taken.push((tag, mode));
    }

    /// Notes that the transaction gives one back; whether the session holds it no more.
    pub(crate) fn give_back(&mut self, tag: LockTag, mode: TableLockMode) -> bool {
        let at = self.taken.iter().rposition(|taken| *taken == (tag, mode));
        let Some(at) = at else { return false };
        self.taken.remove(at);
        self.forget(tag, mode)
    }

    fn forget(&mut self, tag: LockTag, mode: TableLockMode) -> bool {
        if let Some(modes) = self.modes.get_mut(&tag) {
            *modes = modes.less(mode);
            if modes.is_empty() {
                self.modes.remove(&tag);
            }
        }
        !self.session.contains_key(&(tag, mode))
    }

    /// What the transaction has taken, in that order.
    pub(crate) fn taken(&self) -> &[(LockTag, TableLockMode)] {
        &self.taken
    }

    /// Whether anything is locked by the transaction and by the session beyond it, in whatever modes.
    pub(crate) fn are_of_both_kinds(&self) -> bool {
        self.session.keys().any(|(tag, _)| self.modes.contains_key(tag))
    }

    /// How many the transaction has taken: a point to come back to.
    pub(crate) fn length(&self) -> usize {
        self.taken.len()
    }

    /// Notes that what the transaction has taken since a point goes. Gives what the session holds no more, the last first.
    pub(crate) fn cut(&mut self, length: usize) -> Vec<(LockTag, TableLockMode)> {
        let mut cut = self.taken.split_off(length.min(self.taken.len()));
        cut.reverse();
        cut.retain(|(tag, mode)| self.forget(*tag, *mode));
        cut
    }

    /// Notes that the session has taken one, once more.
    pub(crate) fn take_for_session(&mut self, tag: LockTag, mode: TableLockMode) {
        *self.session.entry((tag, mode)).or_default() += 1;
    }

    /// Notes that the session gives one back. `None` if it has none; whether it holds it no more.
    pub(crate) fn give_back_for_session(
        &mut self,
        tag: LockTag,
        mode: TableLockMode,
    ) -> Option<bool> {
        let count = self.session.get_mut(&(tag, mode))?;
        *count -= 1;
        if *count > 0 {
            return Some(false);
        }
        self.session.remove(&(tag, mode));
        Some(!self.has(tag, mode))
    }

    /// Notes that the session gives all back. Gives what it holds no more.
    pub(crate) fn give_back_all_for_session(&mut self) -> Vec<(LockTag, TableLockMode)> {
        let held: Vec<_> = self.session.drain().map(|(lock, _)| lock).collect();
        held.into_iter().filter(|(tag, mode)| !self.has(*tag, *mode)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::TableLockMode::{Exclusive, Share};
    use super::*;

    #[test]
    fn a_savepoint_gives_back_what_was_taken_since() {
        let tag = LockTag::Relation;
        let mut held = HeldLocks::default();
        held.take(tag(1), Share);
        let savepoint = held.length();
        held.take(tag(2), Share);
        held.take(tag(1), Exclusive);
        held.take_for_session(tag(2), Share);
        assert_eq!(held.cut(savepoint), [(tag(1), Exclusive)]);
        assert!(held.has(tag(1), Share) && !held.has(tag(2), Share) && held.is_held(tag(2), Share));
        held.take_for_session(tag(2), Share);
        assert_eq!(held.give_back_for_session(tag(2), Share), Some(false));
        assert_eq!(held.give_back_for_session(tag(2), Share), Some(true));
        assert_eq!(held.give_back_for_session(tag(2), Share), None);
        assert!(!held.are_of_both_kinds());
        held.take_for_session(tag(1), Exclusive);
        assert!(held.are_of_both_kinds());
        held.give_back_for_session(tag(1), Exclusive);
        held.take_for_session(tag(1), Share);
        assert_eq!(held.taken(), [(tag(1), Share)]);
        assert_eq!(held.give_back_all_for_session(), []);
        assert!(held.give_back(tag(1), Share));
        assert_eq!(held.length(), 0);
    }
}
