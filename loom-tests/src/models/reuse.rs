//! Keeping an old set of the running: it is what a new one would be, and its xmin holds every horizon back,
//! with the lock and without it.

use base::sync::thread;
use base::{FullXid, TimestampTz};
use procarray::{Backend, GroupClear, ReservedSlot, RunningSet, Taken};

use crate::Model;

use super::arrays::{array, connect};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "reuse::end",
        property: "an old set whose count stands equals a new one, while a transaction ends",
        preemptions: None,
        variants: &["end.count-after-lock"],
        run: end,
    },
    Model {
        name: "reuse::prepare",
        property: "the same, while a transaction is prepared",
        preemptions: None,
        variants: &["prepare.count-stands"],
        run: prepare,
    },
    Model {
        name: "reuse::subtransaction_abort",
        property: "the same, while a subtransaction aborts",
        preemptions: None,
        variants: &["subabort.count-stands"],
        run: subtransaction_abort,
    },
    Model {
        name: "reuse::without_the_lock",
        property: "an old set kept without the lock holds every horizon back",
        preemptions: None,
        variants: &[
            "running.advertise",
            "horizon.scan",
            "running.no-second-look",
            "running.check-before-advertise",
        ],
        run: without_the_lock,
    },
];

/// Takes a set under the lock and compares it with one made anew under the same hold of the lock.
fn same_as_rebuilt(backend: &mut Backend, old: &RunningSet) {
    let array = backend.array().clone();
    let shared = array.shared();
    let mut new = RunningSet::default();
    backend.rebuild(&shared, &mut new);
    if old.completion_count == shared.completion_count() {
        let old = (old.xmin, old.xmax, &old.xids, &old.subxids, old.overflowed);
        assert_eq!(old, (new.xmin, new.xmax, &new.xids, &new.subxids, new.overflowed));
    }
}

/// A transaction ends while a reader keeps its set.
fn end() {
    let array = array(2, 0, GroupClear::WhenContended);
    let mut reader = connect(&array);
    let mut writer = connect(&array);
    writer.assign_xid();
    let mut set = RunningSet::default();
    reader.take_running(&mut set);
    let writer = thread::spawn(move || {
        writer.end_transaction();
        writer
    });
    same_as_rebuilt(&mut reader, &set);
    let writer = writer.join().expect("the writer ends");
    assert_eq!(reader.take_running(&mut set), Taken::Rebuilt);
    drop(writer);
}

/// PREPARE changes what its own session's snapshot must list.
fn prepare() {
    let array = array(2, 1, GroupClear::WhenContended);
    let mut session = connect(&array);
    let mut newer = connect(&array);
    let xid = session.assign_xid();
    // So that xmax is above the session's own xid.
    newer.assign_xid();
    newer.end_transaction();
    let mut set = RunningSet::default();
    session.take_running(&mut set);
    let reserved = ReservedSlot::take(&array).expect("a free slot");
    let prepared = session.prepare(reserved, TimestampTz(1));
    same_as_rebuilt(&mut session, &set);
    session.take_running(&mut set);
    assert!(set.is_running(xid));
    prepared.finish();
    session.take_running(&mut set);
    assert!(!set.is_running(xid));
}

/// A subtransaction's abort takes its id away.
fn subtransaction_abort() {
    let array = array(2, 0, GroupClear::WhenContended);
    let mut reader = connect(&array);
    let mut writer = connect(&array);
    writer.assign_xid();
    let subxid = writer.assign_subxid();
    let mut set = RunningSet::default();
    reader.take_running(&mut set);
    let writer = thread::spawn(move || {
        writer.abort_subtransactions(&[subxid]);
        writer
    });
    same_as_rebuilt(&mut reader, &set);
    let writer = writer.join().expect("the writer ends");
    same_as_rebuilt(&mut reader, &set);
    drop(writer);
}

/// A reader keeps its set without the lock while a writer ends and computes a horizon: nothing that the
/// set sees as running is given up.
fn without_the_lock() {
    let array = array(2, 0, GroupClear::WhenContended);
    let mut reader = connect(&array);
    let mut writer = connect(&array);
    let xid = writer.assign_xid();
    let mut set = RunningSet::default();
    reader.take_running(&mut set);
    reader.clear_xmin();
    let remover = thread::spawn(move || {
        writer.end_transaction();
        let horizon = writer.horizons().data.xid;
        (writer, horizon)
    });
    let kept = reader.advertise_unlocked(&set);
    let (writer, horizon) = remover.join().expect("the remover ends");
    assert_eq!(set.xmin, xid);
    assert!(!kept || horizon <= set.xmin, "{horizon:?} passed a set that is in use: {set:?}");
    assert_eq!(reader.xmin(), kept.then_some(FullXid(xid.0)));
    drop(writer);
}
