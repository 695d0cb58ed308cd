//! Waiting for a commit under way: it ends, with the final timestamp, or with the interrupt.

use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Arc, thread};
use snapshot::commit_ts::Lookup;
use snapshot::commit_ts::publish::{ByMarker, Publication};
use snapshot::commit_ts::slot::Slot;

use crate::Model;

use super::commit_ts::{PARENT, clock, sees, table};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "in_doubt::waiting",
        property: "a reader that began while a transaction was committing waits for its stamp, and sees it then",
        preemptions: None,
        variants: &["commit-ts.settle", "commit-ts.wait", "commit-ts.wake-before-stamp"],
        run: waiting,
    },
    Model {
        name: "in_doubt::bound",
        property: "a reader that began before the marker stood does not wait, a later one does",
        preemptions: None,
        variants: &["commit-ts.bound-above"],
        run: bound,
    },
    Model {
        name: "in_doubt::interrupt",
        property: "a reader that waits for a commit that does not come ends when it is interrupted",
        preemptions: None,
        variants: &["commit-ts.wake-without-lock"],
        run: interrupt,
    },
];

/// The commit's timestamp is drawn before the reader begins, so that it has to see the commit.
fn waiting() {
    let publication = Arc::new(ByMarker::new(clock()));
    let table = Arc::new(table());
    let timestamp = publication.draw(&table, PARENT);
    let committer = {
        let (publication, table) = (Arc::clone(&publication), Arc::clone(&table));
        thread::spawn(move || publication.publish(&table, PARENT, &[], timestamp))
    };
    let settled = table.wait_settled(PARENT.xid(), || Ok::<_, ()>(()));
    assert_eq!(settled, Ok(Lookup::Found(Slot::Committed(timestamp))));
    committer.join().expect("the committer ends");
}

/// One reader begins before the marker and one after the draw. Nobody stamps while the first looks: if it
/// waited, it would wait for ever.
fn bound() {
    let publication = Arc::new(ByMarker::new(clock()));
    let table = Arc::new(table());
    let before = publication.start_ts();
    let committer = {
        let (publication, table) = (Arc::clone(&publication), Arc::clone(&table));
        thread::spawn(move || publication.draw(&table, PARENT))
    };
    assert!(!sees(&table, before, PARENT, false), "it had not begun to commit");
    let timestamp = committer.join().expect("the committer ends");
    let after = publication.start_ts();
    let stamper = {
        let (publication, table) = (Arc::clone(&publication), Arc::clone(&table));
        thread::spawn(move || publication.publish(&table, PARENT, &[], timestamp))
    };
    assert!(sees(&table, after, PARENT, false), "it had drawn its timestamp");
    assert!(!sees(&table, before, PARENT, false));
    stamper.join().expect("the stamper ends");
}

/// The committer never comes; somebody interrupts the reader.
fn interrupt() {
    let publication = ByMarker::new(clock());
    let table = Arc::new(table());
    publication.draw(&table, PARENT);
    let cancelled = Arc::new(AtomicBool::new(false));
    let canceller = {
        let (table, cancelled) = (Arc::clone(&table), Arc::clone(&cancelled));
        thread::spawn(move || {
            cancelled.store(true, Relaxed);
            table.wake_waiting();
        })
    };
    let check = || if cancelled.load(Relaxed) { Err("cancelled") } else { Ok(()) };
    assert_eq!(table.wait_settled(PARENT.xid(), check), Err("cancelled"));
    canceller.join().expect("the canceller ends");
}
