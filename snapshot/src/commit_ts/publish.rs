//! How a commit becomes visible, all of it at one point of time.
//!
//! By marker ([`ByMarker`]): for timestamps whose order is not the log's.
//!
//! ```text
//! committer   slot = committing(lower bound) ─► ts = draw ─► log flushed ─► children, slot = committed(ts)
//! reader      start = latest drawn + 1       ─► slot
//! ```
//!
//! A reader that finds the slot in progress has `start <= ts`: had it seen the draw, it would see the
//! marker in front of it. One that finds the marker with a lower bound at or above its start need not
//! wait either; any other waits for the stamp.
//!
//! In order ([`InOrder`]): timestamps are drawn in the order of the commit records, and a snapshot starts
//! behind the highest one below which everything is stamped, so that readers never wait. A commit that is
//! stamped while an earlier one is not becomes visible together with it: a session that must see its own
//! commit asks [`Publication::is_visible`], and stays among the running until the answer is yes.

use std::collections::VecDeque;

use base::sync::atomic::AtomicI64;
use base::sync::{Mutex, MutexGuard, PoisonError};
use base::{FullXid, TimestampTz, ordering, variant};

use super::clock::{HybridClock, WallClock};
use super::slot::Slot;
use super::table::CommitTimestamps;

/// A way of publishing commits.
pub trait Publication: Send + Sync {
    /// Where a snapshot taken now starts: it sees all commit timestamps below.
    fn start_ts(&self) -> TimestampTz;

    /// Draws the timestamp of a commit whose record is about to be written. [`InOrder`] asks for calls in
    /// the order of the records.
    fn draw(&self, table: &CommitTimestamps, xid: FullXid) -> TimestampTz;

    /// Publishes a drawn commit, once its record is flushed. `children`: the subtransactions that
    /// commit with it, in ascending order.
    fn publish(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    );

    /// Gives a drawn commit up, before its record is written: it aborts, with its subtransactions.
    fn abandon(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    );

    /// Whether a snapshot taken now would see a commit of this timestamp that has been published.
    fn is_visible(&self, timestamp: TimestampTz) -> bool {
        timestamp < self.start_ts()
    }
}

/// By marker.
#[derive(Debug)]
pub struct ByMarker<W> {
    clock: HybridClock<W>,
}

impl<W: WallClock> ByMarker<W> {
    /// With this clock.
    pub fn new(clock: HybridClock<W>) -> ByMarker<W> {
        ByMarker { clock }
    }
}

fn after(timestamp: TimestampTz) -> TimestampTz {
    TimestampTz(timestamp.0 + 1)
}

impl<W: WallClock> Publication for ByMarker<W> {
    #[inline]
    fn start_ts(&self) -> TimestampTz {
        after(self.clock.latest())
    }

    fn draw(&self, table: &CommitTimestamps, xid: FullXid) -> TimestampTz {
        if variant!("commit-ts.marker-after-draw") {
            let timestamp = self.clock.draw();
            table.set(xid, Slot::Committing(timestamp));
            return timestamp;
        }
        // The marker stands before the draw, and what is drawn later is above all drawn by now.
        let mut bound = after(self.clock.latest());
        if variant!("commit-ts.bound-above") {
            bound = after(bound);
        }
        table.set(xid, Slot::Committing(bound));
        self.clock.draw()
    }

    fn publish(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    ) {
        table.settle(xid, children, Slot::Committed(timestamp));
    }

    fn abandon(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        _timestamp: TimestampTz,
    ) {
        table.abort(xid, children);
    }
}

/// In order.
#[derive(Debug)]
pub struct InOrder<W> {
    clock: HybridClock<W>,
    /// Everything up to here is stamped.
    published: AtomicI64,
    /// Drawn and not published, oldest first; whether each is stamped.
    drawn: Mutex<VecDeque<(TimestampTz, bool)>>,
}

impl<W: WallClock> InOrder<W> {
    /// With this clock; all that it drew in an earlier life counts as published.
    pub fn new(clock: HybridClock<W>) -> InOrder<W> {
        let published = AtomicI64::new(clock.latest().0);
        InOrder { clock, published, drawn: Mutex::new(VecDeque::new()) }
    }

    fn drawn(&self) -> MutexGuard<'_, VecDeque<(TimestampTz, bool)>> {
        // Entries are pushed, flagged and popped whole: a panic elsewhere leaves none half made.
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A drawn timestamp is stamped, or given up: publishes all up to the first that is neither.
    fn done(&self, timestamp: TimestampTz) {
        let mut drawn = self.drawn();
        let entry = drawn.binary_search_by_key(&timestamp, |(drawn, _)| *drawn);
        let Ok(index) = entry else { panic!("{timestamp:?} was not drawn, or published twice") };
        drawn[index].1 = true;
        let mut published = None;
        while let Some((timestamp, true)) = drawn.front().copied() {
            published = Some(timestamp);
            drawn.pop_front();
        }
        if variant!("commit-ts.publish-own") {
            published = published.max(Some(timestamp));
        }
        if let Some(published) = published {
            // Still under the lock: published only rises.
            self.published.store(published.0, ordering!("commit-ts.published", Release));
        }
    }
}

impl<W: WallClock> Publication for InOrder<W> {
    #[inline]
    fn start_ts(&self) -> TimestampTz {
        // Pairs with the store in `publish`: what is at or below it is stamped already.
        after(TimestampTz(self.published.load(ordering!("commit-ts.published-seen", Acquire))))
    }

    fn draw(&self, _table: &CommitTimestamps, _xid: FullXid) -> TimestampTz {
        let mut drawn = self.drawn();
        let timestamp = self.clock.draw();
        drawn.push_back((timestamp, false));
        timestamp
    }

    fn publish(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    ) {
        if variant!("commit-ts.publish-before-stamp") {
            self.done(timestamp);
            table.settle(xid, children, Slot::Committed(timestamp));
            return;
        }
        table.settle(xid, children, Slot::Committed(timestamp));
        self.done(timestamp);
    }

    fn abandon(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    ) {
        table.abort(xid, children);
        self.done(timestamp);
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::TestClock;
    use super::super::table::Lookup;
    use super::*;

    fn clock() -> HybridClock<TestClock> {
        HybridClock::new(TestClock::default(), TimestampTz(100))
    }

    #[test]
    fn in_order_a_commit_waits_for_those_before_it() {
        let table = CommitTimestamps::new(1024, FullXid(0));
        let order = InOrder::new(clock());
        let first = order.draw(&table, FullXid(10));
        let second = order.draw(&table, FullXid(11));
        assert_eq!(order.start_ts(), TimestampTz(101));
        order.publish(&table, FullXid(11), &[], second);
        assert!(!order.is_visible(second), "the first is not stamped yet");
        order.publish(&table, FullXid(10), &[], first);
        assert!(order.is_visible(second));
        assert_eq!(order.start_ts(), after(second));
        let given_up = order.draw(&table, FullXid(12));
        let last = order.draw(&table, FullXid(13));
        order.publish(&table, FullXid(13), &[], last);
        order.abandon(&table, FullXid(12), &[], given_up);
        assert!(order.is_visible(last));
        assert_eq!(table.lookup(base::Xid(12)), Lookup::Found(Slot::Aborted));
    }

    #[test]
    fn by_marker_a_commit_stands_marked_before_it_can_be_seen() {
        let table = CommitTimestamps::new(1024, FullXid(0));
        let marker = ByMarker::new(clock());
        let before = marker.start_ts();
        let timestamp = marker.draw(&table, FullXid(10));
        let Lookup::Found(Slot::Committing(bound)) = table.lookup(base::Xid(10)) else {
            panic!("a marker");
        };
        assert!(before <= bound && bound <= timestamp, "older readers need not wait");
        assert!(marker.start_ts() > timestamp, "newer ones must");
        marker.publish(&table, FullXid(10), &[], timestamp);
        assert_eq!(table.lookup(base::Xid(10)), Lookup::Found(Slot::Committed(timestamp)));
    }
}
