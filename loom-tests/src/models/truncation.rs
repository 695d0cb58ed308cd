//! Truncating the table of commit timestamps: who asks about an old id gets its fate or hears that it is old,
//! never what became of the new owner of its slot.

use base::sync::{Arc, thread};
use base::{FullXid, TimestampTz};
use procarray::Advertised;
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};
use snapshot::commit_ts::slot::Slot;
use snapshot::commit_ts::{CommitTimestamps, Lookup};
use snapshot::source::oldest_start_ts;

use crate::Model;

use super::commit_ts::{clock, commit};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "truncation::slot_reuse",
        property: "a look-up of an old id never answers with the fate of the id that has its slot now",
        preemptions: None,
        variants: &[
            "commit-ts.clear-slot",
            "commit-ts.cleared",
            "commit-ts.cleared-seen",
            "commit-ts.window-first",
            "commit-ts.clear-before-window",
            "commit-ts.cleared-first",
        ],
        run: slot_reuse,
    },
    Model {
        name: "truncation::reader_by_marker",
        property: "what a reader must look up is not truncated under it: its start is shown before it is used",
        preemptions: None,
        variants: &["advertise.reader", "advertise.no-second-look"],
        run: reader_by_marker,
    },
    Model {
        name: "truncation::reader_in_order",
        property: "the same where commits are published in their order",
        preemptions: None,
        variants: &["advertise.reader", "advertise.horizon", "advertise.no-second-look"],
        run: reader_in_order,
    },
];

const OLD: FullXid = FullXid(4);
const NEW: FullXid = FullXid(8);

/// The old id committed long ago. One truncates, one gives the slot to a new id that commits, one asks.
fn slot_reuse() {
    let table = Arc::new(CommitTimestamps::new(4, FullXid(4)));
    let marker = Arc::new(ByMarker::new(clock()));
    let timestamp = commit(&*marker, &table, OLD, &[]);
    table.abort(FullXid(5), &[]);
    let truncator = {
        let table = Arc::clone(&table);
        thread::spawn(move || table.truncate(FullXid(6)))
    };
    let owner = {
        let (table, marker) = (Arc::clone(&table), Arc::clone(&marker));
        thread::spawn(move || {
            // Who does not get the slot yet comes again later.
            if table.check(NEW).is_ok() {
                commit(&*marker, &table, NEW, &[]);
                return true;
            }
            false
        })
    };
    let found = table.lookup(OLD.xid());
    let old = [Lookup::Truncated, Lookup::Found(Slot::Committed(timestamp))];
    assert!(old.contains(&found), "{found:?} is not the old id's");
    truncator.join().expect("the truncator ends");
    if owner.join().expect("the owner ends") {
        let found = table.lookup(NEW.xid());
        assert!(
            matches!(found, Lookup::Found(Slot::Committed(_))),
            "the new id's commit stands: {found:?}"
        );
    }
}

/// A reader begins while a transaction commits and the table is truncated up to the horizon.
fn reader<P: Publication + 'static>(publication: P) {
    let publication = Arc::new(publication);
    let table = Arc::new(CommitTimestamps::new(4, FullXid(4)));
    let advertised = Arc::new(Advertised::new(1));
    table.abort(FullXid(5), &[]);
    let remover = {
        let (publication, table) = (Arc::clone(&publication), Arc::clone(&table));
        let advertised = Arc::clone(&advertised);
        thread::spawn(move || {
            let timestamp = commit(&*publication, &table, OLD, &[]);
            let oldest = oldest_start_ts(&advertised, &*publication);
            table.truncate(table.truncation_horizon(oldest, FullXid(6)));
            timestamp
        })
    };
    let clock = || publication.start_ts().0 as u64;
    let start = TimestampTz(advertised.acquire(0, clock) as i64);
    let found = table.lookup(OLD.xid());
    let timestamp = remover.join().expect("the remover ends");
    if start <= timestamp {
        assert_ne!(found, Lookup::Truncated, "a reader at {start:?} must hear of {timestamp:?}");
        assert_ne!(table.lookup(OLD.xid()), Lookup::Truncated);
    }
    advertised.release(0);
}

fn reader_by_marker() {
    reader(ByMarker::new(clock()));
}

fn reader_in_order() {
    reader(InOrder::new(clock()));
}
