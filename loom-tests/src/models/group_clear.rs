//! Group clear: each xid is cleared once, `latest_completed` is the highest that ended, nobody comes back
//! early, nobody sleeps for ever.

use base::FullXid;
use base::sync::{Arc, thread};
use procarray::{Backend, GroupClear};

use crate::Model;

use super::arrays::{FIRST, array, connect};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "group_clear::committers",
        property: "each xid is cleared once, nobody comes back early or sleeps for ever; members join again at once",
        preemptions: None,
        variants: &["group.push", "group.take", "group.pop-one"],
        run: committers,
    },
    Model {
        name: "group_clear::three_committers_when_contended",
        property: "the same, with the uncontended path",
        preemptions: None,
        variants: &[],
        run: three_committers_when_contended,
    },
    Model {
        name: "group_clear::stray_wakeup",
        property: "the same, while somebody else wakes a follower, who gets that wakeup afterwards",
        preemptions: None,
        variants: &[
            "group.done",
            "group.done-seen",
            "group.done-before-next",
            "group.reset-after-done",
            "group.absorbed-wakeup-kept",
        ],
        run: stray_wakeup,
    },
];

/// Ends the transaction and looks whether it came back early.
fn end(backend: &mut Backend) {
    let xid = backend.xid().expect("a running transaction");
    backend.end_transaction();
    assert_eq!(backend.xid(), None, "the own slot is clear");
    assert!(backend.array().latest_completed() >= xid, "the own end counts");
}

/// Two committers in groups, one of them with a second transaction: it joins again while the leader of
/// before may still be waking its followers.
fn committers() {
    let array = array(2, 0, GroupClear::Always);
    let mut first = connect(&array);
    let mut second = connect(&array);
    first.assign_xid();
    second.assign_xid();
    let first = thread::spawn(move || {
        end(&mut first);
        first
    });
    let second = thread::spawn(move || {
        end(&mut second);
        second.assign_xid();
        end(&mut second);
        second
    });
    let first = first.join().expect("the first ends");
    let second = second.join().expect("the second ends");
    assert_eq!(array.latest_completed(), FullXid(FIRST + 2));
    assert_eq!(array.completion_count(), 4, "three were cleared, each once");
    array.check();
    drop((first, second));
}

/// Three committers, of whom the first has the lock for itself if it comes first.
fn three_committers_when_contended() {
    let array = array(3, 0, GroupClear::WhenContended);
    let mut backends: Vec<Backend> = (0..3).map(|_| connect(&array)).collect();
    for backend in &mut backends {
        backend.assign_xid();
    }
    let mut own = backends.pop().expect("three");
    let others: Vec<_> = backends
        .into_iter()
        .map(|mut backend| {
            thread::spawn(move || {
                end(&mut backend);
                backend
            })
        })
        .collect();
    end(&mut own);
    let others: Vec<Backend> =
        others.into_iter().map(|other| other.join().expect("it ends")).collect();
    assert_eq!(array.latest_completed(), FullXid(FIRST + 2));
    assert_eq!(array.completion_count(), 4, "three were cleared, each once");
    drop((own, others));
}

/// A wakeup that was meant for another protocol comes while a follower sleeps: it ends the sleep early and
/// is there again afterwards.
fn stray_wakeup() {
    let array = array(2, 0, GroupClear::Always);
    let mut first = connect(&array);
    let mut second = connect(&array);
    first.assign_xid();
    second.assign_xid();
    let array_of_waker = Arc::clone(&array);
    let woken = first.number();
    let first = thread::spawn(move || {
        end(&mut first);
        // The wait that the wakeup was meant for.
        first.semaphore().wait();
        first
    });
    let second = thread::spawn(move || {
        end(&mut second);
        second
    });
    array_of_waker.wake(woken);
    let first = first.join().expect("the first ends");
    let second = second.join().expect("the second ends");
    drop((first, second));
}
