//! The snapshot itself: a point of time, and bounds that spare look-ups.
//!
//! Invariants:
//!
//! - Everything below `xmin` had ended, and everything from `xmax` on had not begun, when it was taken.
//! - An answer, once given for an id, stays the same for the snapshot's life; so it is cached.

use std::cell::Cell;

use base::{CommandId, TimestampTz, Xid};

use super::publish::Publication;
use super::slot::Slot;
use super::table::{CommitTimestamps, Lookup};
use crate::satisfies::{MvccSnapshot, Outcome, RemovalHorizon};
use crate::status::TransactionStatus;

/// Answers that a snapshot keeps.
const CACHED: usize = 16;

/// A point of time.
#[derive(Clone, Debug)]
pub struct CommitTsSnapshot<'t> {
    table: &'t CommitTimestamps,
    start_ts: TimestampTz,
    xmin: Xid,
    xmax: Xid,
    curcid: CommandId,
    /// Ids looked up, 0 where none, and what came out of it.
    cached_xids: [Cell<u32>; CACHED],
    cached_outcomes: [Cell<Outcome>; CACHED],
}

impl<'t> CommitTsSnapshot<'t> {
    /// Takes a snapshot now. `xmin` and `xmax` may be as rough as they are cheap. `xmin`: everything older
    /// had ended and become visible before the call. `xmax` is asked for after the start is fixed: from
    /// there on nothing had begun.
    #[inline]
    pub fn take(
        table: &'t CommitTimestamps,
        publication: &impl Publication,
        xmin: Xid,
        xmax: impl FnOnce() -> Xid,
        curcid: CommandId,
    ) -> CommitTsSnapshot<'t> {
        let start_ts = publication.start_ts();
        CommitTsSnapshot::as_of(table, start_ts, xmin, xmax(), curcid)
    }

    /// The snapshot of a point of time.
    #[inline]
    pub fn as_of(
        table: &'t CommitTimestamps,
        start_ts: TimestampTz,
        xmin: Xid,
        xmax: Xid,
        curcid: CommandId,
    ) -> CommitTsSnapshot<'t> {
        CommitTsSnapshot {
            table,
            start_ts,
            xmin,
            xmax,
            curcid,
            cached_xids: [const { Cell::new(0) }; CACHED],
            cached_outcomes: [const { Cell::new(Outcome::Running) }; CACHED],
        }
    }

    /// It sees the commits of timestamps below this.
    pub fn start_ts(&self) -> TimestampTz {
        self.start_ts
    }

    /// From here on everything counts as running.
    pub fn xmax(&self) -> Xid {
        self.xmax
    }

    /// The table that it looks timestamps up in.
    pub fn table(&self) -> &'t CommitTimestamps {
        self.table
    }

    /// The same snapshot at another command of its transaction.
    pub fn set_curcid(&mut self, curcid: CommandId) {
        self.curcid = curcid;
    }

    /// Looks an id between the bounds up.
    fn look_up<S: TransactionStatus>(&self, xid: Xid, status: &S) -> Result<Outcome, S::Error> {
        let place = xid.0 as usize % CACHED;
        if self.cached_xids[place].get() == xid.0 {
            return Ok(self.cached_outcomes[place].get());
        }
        let mut found = self.table.lookup(xid);
        if let Lookup::Found(Slot::Committing(bound)) = found
            && bound < self.start_ts
        {
            found = self.table.wait_settled(xid, || status.check_interrupts())?;
        }
        let outcome = match found {
            Lookup::Found(Slot::Committed(timestamp)) if timestamp < self.start_ts => {
                Outcome::Committed
            }
            Lookup::Found(Slot::Aborted) => Outcome::Aborted,
            // A prepared transaction draws its timestamp when it commits, and a running one, too: after
            // this snapshot started.
            Lookup::Found(_) => Outcome::Running,
            // Ended before every snapshot in use.
            Lookup::Truncated if status.did_commit(xid)? => Outcome::Committed,
            Lookup::Truncated => Outcome::Aborted,
        };
        self.cached_xids[place].set(xid.0);
        self.cached_outcomes[place].set(outcome);
        Ok(outcome)
    }
}

impl<S: TransactionStatus> MvccSnapshot<S> for CommitTsSnapshot<'_> {
    #[inline]
    fn curcid(&self) -> CommandId {
        self.curcid
    }

    #[inline]
    fn outcome(&self, xid: Xid, known_committed: bool, status: &S) -> Result<Outcome, S::Error> {
        if !xid.precedes(self.xmax) {
            return Ok(Outcome::Running);
        }
        if xid.precedes(self.xmin) {
            // It had ended: only how is open, and where a bit says it no log is asked.
            let committed = known_committed || status.did_commit(xid)?;
            return Ok(if committed { Outcome::Committed } else { Outcome::Aborted });
        }
        if known_committed && self.table.page_is_older_than(xid, self.start_ts) {
            return Ok(Outcome::Committed);
        }
        match self.look_up(xid, status)? {
            Outcome::Aborted if known_committed => Ok(Outcome::Committed),
            outcome => Ok(outcome),
        }
    }
}

/// The oldest start that a snapshot in use has: what committed an end before it is seen as ended by all.
#[derive(Clone, Copy, Debug)]
pub struct CommitTsHorizon<'t> {
    /// Where timestamps are looked up.
    pub table: &'t CommitTimestamps,
    /// The oldest `start_ts` in use.
    pub oldest_start_ts: TimestampTz,
}

impl RemovalHorizon for CommitTsHorizon<'_> {
    #[inline]
    fn is_removable(&self, ender: Xid) -> bool {
        !ender.is_normal()
            || match self.table.lookup(ender) {
                Lookup::Truncated => true,
                Lookup::Found(Slot::Committed(timestamp)) => timestamp < self.oldest_start_ts,
                Lookup::Found(_) => false,
            }
    }
}
