//! What is given out next: all the counters and bounds that a checkpoint carries.
//!
//! Invariants: what was given out is never given out again, after a crash neither. Xids and multixacts are found again
//! in the records that use them; object ids are logged ahead, [`OIDS_LOGGED_AHEAD`] at a time, and after a crash those
//! that were left of them are skipped. The order of locks: the process array's generator of xids, then this.
//! Source: `varsup.c`, `multixact.c`.

use base::sync::{Mutex, MutexGuard, PoisonError};
use base::{FullXid, Oid, Xid};
use wal::checkpoint::CheckPoint;

use crate::data_directory::FIRST_NORMAL_OID;

/// How many object ids one record reserves (`VAR_OID_PREFETCH`).
pub const OIDS_LOGGED_AHEAD: u32 = 8192;

/// The counters, under their lock.
#[derive(Debug)]
pub struct Ids(Mutex<IdState>);

/// The counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdState {
    /// The next transaction id: while transactions run, the same as the process array's.
    pub next_xid: FullXid,
    /// The next object id.
    pub next_oid: Oid,
    /// How many from there on are logged.
    pub oids_left: u32,
    /// The next multixact id.
    pub next_multi: u32,
    /// The next position among multixact members.
    pub next_multi_offset: u32,
    /// The oldest transaction id that a row may have unfrozen.
    pub oldest_xid: Xid,
    /// The database that it is from.
    pub oldest_xid_database: Oid,
    /// The oldest multixact id that a row may have.
    pub oldest_multi: u32,
    /// The database that it is from.
    pub oldest_multi_database: Oid,
    /// Where the members of the oldest multixact begin; `None` where that is not known.
    pub oldest_multi_offset: Option<u32>,
    /// The oldest transaction that has a commit timestamp; invalid for none.
    pub oldest_commit_timestamp_xid: Xid,
    /// The newest one.
    pub newest_commit_timestamp_xid: Xid,
}

impl Ids {
    /// As a checkpoint has them.
    pub fn new(checkpoint: &CheckPoint) -> Ids {
        Ids(Mutex::new(IdState::new(checkpoint)))
    }

    /// The counters, locked.
    pub fn lock(&self) -> MutexGuard<'_, IdState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdState {
    /// As a checkpoint has them.
    pub fn new(checkpoint: &CheckPoint) -> IdState {
        IdState {
            next_xid: checkpoint.next_xid,
            next_oid: checkpoint.next_oid,
            oids_left: 0,
            next_multi: checkpoint.next_multi,
            next_multi_offset: checkpoint.next_multi_offset,
            oldest_xid: checkpoint.oldest_xid,
            oldest_xid_database: checkpoint.oldest_xid_database,
            oldest_multi: checkpoint.oldest_multi,
            oldest_multi_database: checkpoint.oldest_multi_database,
            oldest_multi_offset: None,
            oldest_commit_timestamp_xid: checkpoint.oldest_commit_timestamp_xid,
            newest_commit_timestamp_xid: checkpoint.newest_commit_timestamp_xid,
        }
    }

    /// Puts the counters into a checkpoint. One of a running engine counts the object ids that are logged ahead as given
    /// out; at a shutdown they are given back.
    pub fn put_into(&self, checkpoint: &mut CheckPoint, is_shutdown: bool) {
        let ahead = if is_shutdown { 0 } else { self.oids_left };
        checkpoint.next_xid = self.next_xid;
        checkpoint.next_oid = self.next_oid.wrapping_add(ahead);
        checkpoint.next_multi = self.next_multi;
        checkpoint.next_multi_offset = self.next_multi_offset;
        checkpoint.oldest_xid = self.oldest_xid;
        checkpoint.oldest_xid_database = self.oldest_xid_database;
        checkpoint.oldest_multi = self.oldest_multi;
        checkpoint.oldest_multi_database = self.oldest_multi_database;
        checkpoint.oldest_commit_timestamp_xid = self.oldest_commit_timestamp_xid;
        checkpoint.newest_commit_timestamp_xid = self.newest_commit_timestamp_xid;
    }

    /// Gives an object id out. Before the first of a new lot, `log` is given the id up to which they are reserved
    /// (`XLOG_NEXTOID`).
    ///
    /// # Errors
    /// Those of `log`; no id is then given out.
    pub fn new_oid<E>(&mut self, log: impl FnOnce(Oid) -> Result<(), E>) -> Result<Oid, E> {
        // Below it are PostgreSQL's own, also after a wraparound.
        if self.next_oid < FIRST_NORMAL_OID {
            (self.next_oid, self.oids_left) = (FIRST_NORMAL_OID, 0);
        }
        if self.oids_left == 0 {
            log(self.next_oid.wrapping_add(OIDS_LOGGED_AHEAD))?;
            self.oids_left = OIDS_LOGGED_AHEAD;
        }
        let oid = self.next_oid;
        self.next_oid = oid.wrapping_add(1);
        self.oids_left -= 1;
        Ok(oid)
    }

    /// Takes an xid in that a record has: the next one is behind it.
    pub fn xid_seen(&mut self, xid: Xid) {
        if !xid.is_normal() {
            return;
        }
        let next = self.next_xid;
        if !xid.precedes(next.xid()) {
            // Ids on the disk are within half a circle of the next one.
            let ahead = u64::from(xid.0.wrapping_sub(next.xid().0));
            let mut after = FullXid(next.0 + ahead + 1);
            if !after.xid().is_normal() {
                after = FullXid(after.0 + 3);
            }
            self.next_xid = after;
        }
    }

    /// Notes that a transaction has a commit timestamp.
    pub fn commit_timestamp_set(&mut self, xid: Xid) {
        if self.oldest_commit_timestamp_xid.is_invalid() {
            self.oldest_commit_timestamp_xid = xid;
        }
        let newest = &mut self.newest_commit_timestamp_xid;
        if newest.is_invalid() || newest.precedes(xid) {
            *newest = xid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn ids() -> IdState {
        let next_xid = FullXid(700);
        IdState::new(&CheckPoint { next_xid, next_oid: FIRST_NORMAL_OID, ..CheckPoint::default() })
    }

    fn oid(ids: &mut IdState, logged: &mut Vec<Oid>) -> Oid {
        let Ok(oid) = ids.new_oid(|upto| {
            logged.push(upto);
            Ok::<(), Infallible>(())
        });
        oid
    }

    #[test]
    fn object_ids_are_logged_ahead() {
        let (mut ids, mut logged) = (ids(), Vec::new());
        for expected in 0..OIDS_LOGGED_AHEAD + 1 {
            assert_eq!(oid(&mut ids, &mut logged), FIRST_NORMAL_OID + expected);
        }
        let first = FIRST_NORMAL_OID + OIDS_LOGGED_AHEAD;
        assert_eq!(logged, [first, first + OIDS_LOGGED_AHEAD]);
        let mut checkpoint = CheckPoint::default();
        ids.put_into(&mut checkpoint, false);
        assert_eq!(checkpoint.next_oid, first + OIDS_LOGGED_AHEAD);
        ids.put_into(&mut checkpoint, true);
        assert_eq!(checkpoint.next_oid, first + 1);
    }

    #[test]
    fn object_ids_below_the_first_are_not_given_out_after_a_wraparound() {
        let (mut ids, mut logged) = (ids(), Vec::new());
        (ids.next_oid, ids.oids_left) = (u32::MAX, 5);
        assert_eq!(oid(&mut ids, &mut logged), u32::MAX);
        assert_eq!(oid(&mut ids, &mut logged), FIRST_NORMAL_OID);
        assert_eq!(logged, [FIRST_NORMAL_OID + OIDS_LOGGED_AHEAD]);
    }

    #[test]
    fn an_object_id_that_cannot_be_logged_is_not_given_out() {
        let mut ids = ids();
        let before = ids;
        assert_eq!(ids.new_oid(|_| Err("full")), Err("full"));
        assert_eq!(ids, before);
    }

    #[test]
    fn ids_in_records_move_the_next_one_on() {
        let mut ids = ids();
        for (seen, next) in [(699, 700), (700, 701), (0, 701), (2, 701), (800, 801)] {
            ids.xid_seen(Xid(seen));
            assert_eq!(ids.next_xid, FullXid(next));
        }
        ids.next_xid = FullXid(u64::from(u32::MAX));
        ids.xid_seen(Xid(u32::MAX));
        assert_eq!(ids.next_xid, FullXid((1 << 32) + 3));
    }

    #[test]
    fn commit_timestamps_have_a_first_and_a_last() {
        let mut ids = ids();
        for xid in [705, 703, 709] {
            ids.commit_timestamp_set(Xid(xid));
        }
        let bounds = (ids.oldest_commit_timestamp_xid, ids.newest_commit_timestamp_xid);
        assert_eq!(bounds, (Xid(705), Xid(709)));
    }
}
