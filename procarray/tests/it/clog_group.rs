//! The group update of commit status alone, and a leader that dies. Under threads: `loom-tests`.

use std::collections::BTreeMap;

use base::Xid;
use base::sync::{Arc, Mutex, MutexGuard, PoisonError, thread};
use procarray::{
    Backend, ClogGroup, GroupClear, MAX_GROUPED_SUBXIDS, StatusLog, StatusUpdate, Written,
    XidStatus,
};

use crate::array;

#[derive(Default)]
struct Log {
    statuses: Mutex<BTreeMap<u32, (u64, XidStatus)>>,
    /// Writing this xid panics.
    deadly: Option<u32>,
}

impl StatusLog for Log {
    type Locked<'a> = MutexGuard<'a, BTreeMap<u32, (u64, XidStatus)>>;

    fn lock(&self) -> Self::Locked<'_> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<Self::Locked<'_>> {
        self.statuses.try_lock().ok()
    }

    fn write(&self, locked: &mut Self::Locked<'_>, update: &StatusUpdate) {
        assert!(self.deadly != Some(update.xid.0), "the disk is on fire");
        for xid in update.subxids().iter().chain([&update.xid]) {
            let old = locked.insert(xid.0, (update.page, update.status));
            assert_eq!(old, None, "{xid} is written once");
        }
    }
}

#[test]
fn who_finds_the_lock_free_writes_alone() {
    let array = array(1, 0, 3, GroupClear::WhenContended);
    let group = ClogGroup::new(&array);
    let log = Log::default();
    let mut backend = Backend::connect(&array, 1).expect("a free slot");
    let update =
        |xid| StatusUpdate::new(Xid(xid), &[], XidStatus::Committed, None, 0).expect("few");
    assert_eq!(group.update(&mut backend, &log, update(3)), Written::Alone);
    assert_eq!(group.update_grouped(&mut backend, &log, update(4)), Written::AsLeader(1));
    let many = [Xid(9); MAX_GROUPED_SUBXIDS + 1];
    assert_eq!(StatusUpdate::new(Xid(8), &many, XidStatus::Aborted, None, 0), None);
    assert_eq!(
        StatusUpdate::new(Xid(8), &many[1..], XidStatus::Aborted, None, 0)
            .map(|update| update.subxids().len()),
        Some(MAX_GROUPED_SUBXIDS)
    );
}

/// Nobody sleeps for ever behind a leader that died; the group goes on without the dead.
#[test]
fn followers_of_a_dead_leader_are_told() {
    let array = array(4, 0, 3, GroupClear::WhenContended);
    let group = Arc::new(ClogGroup::new(&array));
    let log = Arc::new(Log { deadly: Some(3), ..Log::default() });
    let held = log.lock();
    let members: Vec<_> = (3..6)
        .map(|xid| {
            let (array, group, log) = (Arc::clone(&array), Arc::clone(&group), Arc::clone(&log));
            thread::spawn(move || {
                let mut backend = Backend::connect(&array, 1).expect("a free slot");
                let update = StatusUpdate::new(Xid(xid), &[], XidStatus::Committed, None, 0)
                    .expect("few subtransactions");
                group.update_grouped(&mut backend, &*log, update);
            })
        })
        .collect();
    while group.waiting() < 3 {
        thread::yield_now();
    }
    drop(held);
    let died = members.into_iter().map(|member| member.join().is_err()).filter(|&died| died);
    assert!(died.count() >= 1, "the leader at least");
    assert_eq!(group.waiting(), 0);
    assert!(array.list().is_empty(), "their sessions have gone");
    let mut backend = Backend::connect(&array, 1).expect("a free slot");
    let update = StatusUpdate::new(Xid(7), &[], XidStatus::Aborted, None, 0).expect("few");
    assert_eq!(group.update_grouped(&mut backend, &*log, update), Written::AsLeader(1));
}
