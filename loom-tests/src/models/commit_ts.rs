//! Commit timestamps against start timestamps: of a transaction that commits, all or nothing is visible to a
//! snapshot, and what was visible once stays so. Both ways of publishing.

use base::sync::{Arc, thread};
use base::{FullXid, TimestampTz, Xid};
use snapshot::commit_ts::clock::{HybridClock, WallClock};
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};
use snapshot::commit_ts::slot::Slot;
use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot, Lookup};
use snapshot::satisfies::{MvccSnapshot, Outcome};

use crate::Model;

use super::arrays::{Gate, NoStatus};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "commit_ts::by_marker",
        property: "a transaction, its subtransaction and what it read are visible together or not at all; a second \
                   look sees what the first saw",
        preemptions: None,
        variants: &[
            "commit-ts.marker-after-draw",
            "commit-ts.draw",
            "commit-ts.start",
            "commit-ts.slot",
            "commit-ts.slot-seen",
            "commit-ts.parent-first",
            "commit-ts.bound-above",
        ],
        run: by_marker,
    },
    Model {
        name: "commit_ts::in_order",
        property: "the same where commits are published in their order, and no reader waits",
        preemptions: None,
        variants: &["commit-ts.published-seen", "commit-ts.publish-before-stamp"],
        run: in_order,
    },
    Model {
        name: "commit_ts::two_by_marker",
        property: "of two that commit one after the other, who sees the second sees the first",
        preemptions: None,
        variants: &["commit-ts.marker-after-draw"],
        run: two_by_marker,
    },
    Model {
        name: "commit_ts::two_in_order",
        property: "the same in order, whichever is stamped first",
        preemptions: None,
        variants: &["commit-ts.publish-own", "commit-ts.published", "commit-ts.published-seen"],
        run: two_in_order,
    },
    Model {
        name: "commit_ts::nested",
        property: "a subtransaction of a subtransaction never looks aborted while the transaction commits",
        preemptions: None,
        variants: &["commit-ts.outer-first", "commit-ts.slot", "commit-ts.slot-seen"],
        run: nested,
    },
    Model {
        name: "commit_ts::prepared",
        property: "the same of a prepared transaction, which nobody waits for until it is committed",
        preemptions: None,
        variants: &[
            "commit-ts.marker-after-draw",
            "commit-ts.draw",
            "commit-ts.start",
            "commit-ts.slot",
            "commit-ts.slot-seen",
            "commit-ts.parent-first",
        ],
        run: prepared,
    },
    Model {
        name: "commit_ts::bound_by_marker",
        property: "a snapshot too old for a commit does not see it by the page's bound and a hint",
        preemptions: None,
        variants: &["commit-ts.bound-after-stamp", "commit-ts.slot", "commit-ts.slot-seen"],
        run: bound_by_marker,
    },
];

/// A wall clock that stands still: timestamps count on from each other.
pub(super) struct Still;

impl WallClock for Still {
    fn now(&self) -> TimestampTz {
        TimestampTz(0)
    }
}

pub(super) fn clock() -> HybridClock<Still> {
    HybridClock::new(Still, TimestampTz(10))
}

pub(super) const PARENT: FullXid = FullXid(4);
pub(super) const CHILD: FullXid = FullXid(5);
pub(super) const OTHER: FullXid = FullXid(6);

pub(super) fn table() -> CommitTimestamps {
    CommitTimestamps::new(4, FullXid(4))
}

pub(super) fn commit<P: Publication>(
    publication: &P,
    table: &CommitTimestamps,
    xid: FullXid,
    children: &[FullXid],
) -> TimestampTz {
    let timestamp = publication.draw(table, xid);
    publication.publish(table, xid, children, timestamp);
    timestamp
}

/// Each look is a snapshot's first, which has nothing cached.
pub(super) fn sees(
    table: &CommitTimestamps,
    start: TimestampTz,
    xid: FullXid,
    hinted: bool,
) -> bool {
    let snapshot = CommitTsSnapshot::as_of(table, start, Xid(3), Xid(1000), 0);
    let Ok(outcome) = snapshot.outcome(xid.xid(), hinted, &NoStatus);
    outcome == Outcome::Committed
}

/// Commits [`PARENT`] with these subtransactions on another thread, which passes the gate between drawing and publishing.
fn commit_past<P: Publication + 'static>(
    drawn: &Arc<Gate>,
    publication: &Arc<P>,
    table: &Arc<CommitTimestamps>,
    children: &'static [FullXid],
) -> thread::JoinHandle<()> {
    let (drawn, publication, table) =
        (Arc::clone(drawn), Arc::clone(publication), Arc::clone(table));
    thread::spawn(move || {
        let timestamp = publication.draw(&table, PARENT);
        drawn.pass();
        publication.publish(&table, PARENT, children, timestamp);
    })
}

/// A transaction with a subtransaction commits while a reader begins.
fn all_or_none<P: Publication + 'static>(publication: P) {
    let publication = Arc::new(publication);
    let table = Arc::new(table());
    let drawn = Gate::new();
    table.begin_child(CHILD, PARENT).expect("a slot");
    let committer = commit_past(&drawn, &publication, &table, &[CHILD]);
    drawn.look();
    let start = publication.start_ts();
    let child = sees(&table, start, CHILD, false);
    let parent = sees(&table, start, PARENT, false);
    assert_eq!(child, parent, "parent and child together");
    assert_eq!(child, sees(&table, start, CHILD, false), "the same at a second look");
    committer.join().expect("the committer ends");
    assert_eq!(parent, sees(&table, start, PARENT, false), "and at the end");
    let later = publication.start_ts();
    assert!(sees(&table, later, PARENT, false) && sees(&table, later, CHILD, false));
}

fn by_marker() {
    all_or_none(ByMarker::new(clock()));
}

fn in_order() {
    all_or_none(InOrder::new(clock()));
}

/// One transaction commits, and then another that saw it.
fn two_by_marker() {
    let publication = Arc::new(ByMarker::new(clock()));
    let table = Arc::new(table());
    let drawn = Gate::new();
    let committer = {
        let (publication, table) = (Arc::clone(&publication), Arc::clone(&table));
        let drawn = Arc::clone(&drawn);
        thread::spawn(move || {
            commit(&*publication, &table, PARENT, &[]);
            let timestamp = publication.draw(&table, OTHER);
            drawn.pass();
            publication.publish(&table, OTHER, &[], timestamp);
        })
    };
    drawn.look();
    let start = publication.start_ts();
    let second = sees(&table, start, OTHER, false);
    let first = sees(&table, start, PARENT, false);
    assert!(first || !second, "who sees the second sees the first");
    committer.join().expect("the committer ends");
    assert_eq!(first, sees(&table, start, PARENT, false), "the same at the end");
    assert_eq!(second, sees(&table, start, OTHER, false), "the same at the end");
}

/// Two have drawn their timestamps and are stamped in any order.
fn two_in_order() {
    let publication = Arc::new(InOrder::new(clock()));
    let table = Arc::new(table());
    let drawn = [PARENT, OTHER].map(|xid| (xid, publication.draw(&table, xid)));
    let committers = drawn.map(|(xid, timestamp)| {
        let (publication, table) = (Arc::clone(&publication), Arc::clone(&table));
        thread::spawn(move || publication.publish(&table, xid, &[], timestamp))
    });
    let start = publication.start_ts();
    let second = sees(&table, start, OTHER, false);
    let first = sees(&table, start, PARENT, false);
    assert!(first || !second, "who sees the second sees the first");
    for committer in committers {
        committer.join().expect("a committer ends");
    }
    assert_eq!(first, sees(&table, start, PARENT, false), "the same at the end");
    assert_eq!(second, sees(&table, start, OTHER, false), "the same at the end");
    assert!(sees(&table, publication.start_ts(), OTHER, false));
}

/// A transaction commits with a subtransaction and one within that, while a reader looks.
fn nested() {
    let publication = Arc::new(InOrder::new(clock()));
    let table = Arc::new(table());
    let inner = OTHER;
    table.begin_child(CHILD, PARENT).expect("a slot");
    table.begin_child(inner, CHILD).expect("a slot");
    let committer = {
        let (publication, table) = (Arc::clone(&publication), Arc::clone(&table));
        thread::spawn(move || commit(&*publication, &table, PARENT, &[CHILD, inner]))
    };
    let found = table.lookup(inner.xid());
    assert_ne!(found, Lookup::Found(Slot::Aborted), "it runs, or it has committed");
    let timestamp = committer.join().expect("the committer ends");
    assert_eq!(table.lookup(inner.xid()), Lookup::Found(Slot::Committed(timestamp)));
}

/// What is prepared commits while a reader begins: until then nobody waits for it.
fn prepared() {
    let publication = Arc::new(ByMarker::new(clock()));
    let table = Arc::new(table());
    let drawn = Gate::new();
    table.begin_child(CHILD, PARENT).expect("a slot");
    table.prepare(PARENT, TimestampTz(9));
    let before = publication.start_ts();
    let committer = commit_past(&drawn, &publication, &table, &[CHILD]);
    drawn.look();
    let start = publication.start_ts();
    assert!(!sees(&table, before, CHILD, false), "it was prepared at the start");
    let child = sees(&table, start, CHILD, false);
    let parent = sees(&table, start, PARENT, false);
    assert_eq!(child, parent, "parent and child together");
    committer.join().expect("the committer ends");
    assert_eq!(child, sees(&table, start, CHILD, false), "and at the end");
    assert!(!sees(&table, before, PARENT, false), "it was prepared at the start");
}

/// A reader that began before a commit finds it stamped, and asks with the hint that it could now set.
fn bound_by_marker() {
    let publication = Arc::new(ByMarker::new(clock()));
    let table = Arc::new(table());
    let drawn = Gate::new();
    // Another commit on the same page, which the reader sees.
    commit(&*publication, &table, CHILD, &[]);
    let start = publication.start_ts();
    let committer = commit_past(&drawn, &publication, &table, &[]);
    drawn.look();
    let later = publication.start_ts();
    if sees(&table, later, PARENT, false) {
        assert!(!sees(&table, start, PARENT, true), "it committed after the start");
    }
    assert!(sees(&table, start, CHILD, true));
    committer.join().expect("the committer ends");
}
