//! Groups of ending transactions under threads. What such threads see of each other is `loom-tests`' part.

use base::FullXid;
use base::sync::{Arc, thread};
use procarray::{Backend, GroupClear};

use crate::array;

/// 64 committers and nothing else: each is cleared once, and the last id counts.
#[test]
fn groups_clear_everyone_once() {
    let array = array(64, 0, 3, GroupClear::Always);
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let array = Arc::clone(&array);
            thread::spawn(move || {
                let mut backend = Backend::connect(&array, 1).expect("a free slot");
                for _ in 0..200 {
                    let xid = backend.assign_xid();
                    backend.end_transaction();
                    assert!(array.latest_completed() >= xid);
                    assert_eq!(backend.xid(), None);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a committer comes back");
    }
    assert_eq!(array.completion_count(), 1 + 64 * 200);
    assert_eq!(array.latest_completed(), FullXid(2 + 64 * 200));
}
