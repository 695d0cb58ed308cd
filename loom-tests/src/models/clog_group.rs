//! The group update of commit status: every status is written, on its own page.

use base::Xid;
use base::sync::{Arc, Mutex, MutexGuard, PoisonError, thread};
use procarray::{Backend, ClogGroup, GroupClear, StatusLog, StatusUpdate, XidStatus};

use crate::Model;

use super::arrays::{array, connect};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "clog_group::two_pages",
        property: "each status is written once, on its own page, also in a group of two pages",
        preemptions: None,
        variants: &["clog.page-of-the-first"],
        run: two_pages,
    },
    Model {
        name: "clog_group::stray_wakeup",
        property: "the same, while somebody else wakes a follower",
        preemptions: None,
        variants: &[
            "group.reset-after-done",
            "group.done-before-next",
            "group.done",
            "group.done-seen",
        ],
        run: stray_wakeup,
    },
];

/// A log that remembers what was written where.
struct Log(Mutex<Vec<(u64, Xid)>>);

impl StatusLog for Log {
    type Locked<'a> = MutexGuard<'a, Vec<(u64, Xid)>>;

    fn lock(&self) -> Self::Locked<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<Self::Locked<'_>> {
        self.0.try_lock().ok()
    }

    fn write(&self, locked: &mut Self::Locked<'_>, update: &StatusUpdate) {
        locked.push((update.page, update.xid));
    }
}

fn update(group: &ClogGroup, backend: &mut Backend, log: &Log, page: u64, xid: u32) {
    let update = StatusUpdate::new(Xid(xid), &[], XidStatus::Committed, None, page)
        .expect("no subtransaction");
    group.update_grouped(backend, log, update);
    let written = log.lock();
    assert!(written.contains(&(page, Xid(xid))), "{xid} is written on {page}: {written:?}");
}

/// The first writes on page 1 and then on page 2, the second on page 1 meanwhile: it may look at the
/// first's page before, and join it after, the first has come again.
fn two_pages() {
    let array = array(2, 0, GroupClear::WhenContended);
    let log = Arc::new(Log(Mutex::new(Vec::new())));
    let group = Arc::new(ClogGroup::new(&array));
    let mut first = connect(&array);
    let mut second = connect(&array);
    let other = {
        let (group, log) = (Arc::clone(&group), Arc::clone(&log));
        thread::spawn(move || {
            update(&group, &mut second, &log, 1, 21);
            second
        })
    };
    update(&group, &mut first, &log, 1, 11);
    update(&group, &mut first, &log, 2, 12);
    let second = other.join().expect("the other ends");
    let mut written = log.lock().clone();
    written.sort_by_key(|&(_, xid)| xid.0);
    assert_eq!(written, [(1, Xid(11)), (2, Xid(12)), (1, Xid(21))], "each is written once");
    drop((first, second));
}

/// A wakeup for another reason comes while a follower sleeps, and the follower updates again at once.
fn stray_wakeup() {
    let array = array(2, 0, GroupClear::WhenContended);
    let log = Arc::new(Log(Mutex::new(Vec::new())));
    let group = Arc::new(ClogGroup::new(&array));
    let mut first = connect(&array);
    let mut second = connect(&array);
    let woken = second.number();
    let other = {
        let (group, log) = (Arc::clone(&group), Arc::clone(&log));
        thread::spawn(move || {
            update(&group, &mut second, &log, 1, 21);
            update(&group, &mut second, &log, 1, 22);
            second
        })
    };
    array.wake(woken);
    update(&group, &mut first, &log, 1, 11);
    let second = other.join().expect("the other ends");
    assert_eq!(log.lock().len(), 3, "each is written once");
    drop((first, second));
}
