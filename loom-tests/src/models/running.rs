//! A snapshot against commits: it never sees a transaction without one that this one saw, and it lists
//! whoever runs.

use base::sync::thread;
use base::{FullXid, Xid};
use procarray::{Backend, GroupClear, ProcArray, RunningSet};

use crate::Model;

use super::arrays::{FIRST, array, connect};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "running::predecessor",
        property: "who sees T2 sees T1, which ended before T2",
        preemptions: None,
        variants: &["end.clear-outside-lock"],
        run: predecessor,
    },
    Model {
        name: "running::running_is_listed",
        property: "a running xid below xmax is listed",
        preemptions: None,
        variants: &["end.latest-first"],
        run: running_is_listed,
    },
    Model {
        name: "running::ended_is_ended",
        property: "who came back has ended to a later snapshot",
        preemptions: None,
        variants: &["end.latest-after-lock"],
        run: ended_is_ended,
    },
    Model {
        name: "running::subtransactions",
        property: "a subtransaction's id that counts is there",
        preemptions: None,
        variants: &["subxids.count", "subxids.count-seen", "subxids.count-after-ids"],
        run: subtransactions,
    },
    Model {
        name: "running::predecessor_with_groups",
        property: "the same, ended by a group's leader",
        preemptions: None,
        variants: &[],
        run: predecessor_with_groups,
    },
];

fn take(backend: &mut Backend) -> RunningSet {
    let mut set = RunningSet::default();
    backend.take_running(&mut set);
    assert!(set.xmin <= set.xmax);
    set
}

/// T1 ends, then T2, which saw T1. A third, newer than both, ended before: only the array tells.
fn predecessor() {
    one_after_the_other(GroupClear::WhenContended);
}

fn one_after_the_other(group_clear: GroupClear) {
    let array = array(4, 0, group_clear);
    let mut reader = connect(&array);
    let mut first = connect(&array);
    let mut second = connect(&array);
    let mut newest = connect(&array);
    let t1 = first.assign_xid();
    let t2 = second.assign_xid();
    newest.assign_xid();
    newest.end_transaction();
    let committer = thread::spawn(move || {
        first.end_transaction();
        second.end_transaction();
        (first, second)
    });
    let set = take(&mut reader);
    assert!(set.is_running(t1) <= set.is_running(t2), "who sees T2 sees T1: {set:?}");
    let ended = committer.join().expect("the committer ends");
    drop((ended, newest));
}

/// T1 goes on while T2, newer, ends: a snapshot that counts T2 as ended lists T1, whose slot it has only
/// the counters' word for.
fn running_is_listed() {
    let array = array(3, 0, GroupClear::WhenContended);
    let mut reader = connect(&array);
    let mut first = connect(&array);
    let mut second = connect(&array);
    let runner = thread::spawn(move || {
        let t1 = first.assign_xid();
        assert!(t1.0 <= FIRST + 1);
        first
    });
    let committer = thread::spawn(move || {
        let t2 = second.assign_xid();
        second.end_transaction();
        (second, t2)
    });
    let set = take(&mut reader);
    let listed = listed(&array, &set);
    let first = runner.join().expect("the runner ends");
    let (second, t2) = committer.join().expect("the committer ends");
    let t1 = first.xid().expect("it runs");
    assert!(set.is_running(t1), "T1 runs: {set:?} {listed:?}");
    assert!(set.xmax <= t2.max(t1).next());
    drop((first, second));
}

fn listed(array: &ProcArray, set: &RunningSet) -> (FullXid, Vec<Xid>) {
    (array.latest_completed(), set.xids.clone())
}

/// Two end at once; whoever has come back is ended to a snapshot taken afterwards.
fn ended_is_ended() {
    let array = array(3, 0, GroupClear::WhenContended);
    let mut reader = connect(&array);
    let mut first = connect(&array);
    let mut second = connect(&array);
    let t1 = first.assign_xid();
    let t2 = second.assign_xid();
    let other = thread::spawn(move || {
        first.end_transaction();
        first
    });
    second.end_transaction();
    let first = other.join().expect("the other ends");
    let set = take(&mut reader);
    assert!(!set.is_running(t1), "T1 has ended: {set:?}");
    assert!(!set.is_running(t2), "T2 has ended: {set:?}");
    drop((first, second));
}

/// A subtransaction's id that counts is there, however the owner's stores reach the reader. The reader
/// looks with the shared lock, in which the owner takes no part.
fn subtransactions() {
    let array = array(2, 0, GroupClear::WhenContended);
    let reader = connect(&array);
    let mut owner = connect(&array);
    owner.assign_xid();
    let position = 1;
    let owner = thread::spawn(move || {
        owner.assign_subxid();
        owner.assign_subxid();
        owner
    });
    let mut subxids = Vec::new();
    let state = array.shared().subxids(position, &mut subxids);
    let there = [Xid(FIRST as u32 + 1), Xid(FIRST as u32 + 2)];
    assert_eq!(subxids, there[..usize::from(state.count)], "each id that counts is there");
    let owner = owner.join().expect("the owner ends");
    drop((reader, owner));
}

/// A group's leader clears in the same way.
fn predecessor_with_groups() {
    one_after_the_other(GroupClear::Always);
}
