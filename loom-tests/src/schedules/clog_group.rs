//! Many sessions that write commit status, alone and in groups: each status is written once, on its own page.

use std::collections::BTreeMap;

use base::Xid;
use base::sync::{Arc, Mutex, MutexGuard, PoisonError, thread};
use fastrand::Rng;
use procarray::{
    Backend, ClogGroup, Config, GroupClear, ProcArray, StatusLog, StatusUpdate, XidStatus,
};

use super::{Schedule, Setup};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "clog_group",
    property: "each status is written once, on its own page, by the time that its session goes on",
    wrong: &["clog.page-of-the-first", "group.pop-one"],
    run,
};

#[derive(Default)]
struct Log(Mutex<BTreeMap<u32, (u64, XidStatus)>>);

impl StatusLog for Log {
    type Locked<'a> = MutexGuard<'a, BTreeMap<u32, (u64, XidStatus)>>;

    fn lock(&self) -> Self::Locked<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<Self::Locked<'_>> {
        self.0.try_lock().ok()
    }

    fn write(&self, locked: &mut Self::Locked<'_>, update: &StatusUpdate) {
        for xid in update.subxids().iter().chain([&update.xid]) {
            let old = locked.insert(xid.0, (update.page, update.status));
            assert_eq!(old, None, "{xid} is written once");
        }
    }
}

fn run(setup: &Setup) {
    let config = Config {
        sessions: setup.threads,
        prepared: 0,
        next_xid: base::FullXid(3),
        group_clear: GroupClear::WhenContended,
    };
    let array = Arc::new(ProcArray::new(config).expect("a legal size"));
    let group = ClogGroup::new(&array);
    let log = Log::default();
    thread::scope(|scope| {
        for thread in 0..setup.threads {
            let (array, group, log) = (&array, &group, &log);
            scope.spawn(move || {
                let mut random = Rng::with_seed(setup.seed << 8 | u64::from(thread));
                let mut backend = Backend::connect(array, 1).expect("a free slot");
                for round in 0..setup.rounds as u32 {
                    let xid = 3 + (round * setup.threads + thread) * 2;
                    let page = u64::from(xid / 20);
                    let status = [XidStatus::Committed, XidStatus::Aborted][random.usize(..2)];
                    let update = StatusUpdate::new(Xid(xid), &[Xid(xid + 1)], status, None, page)
                        .expect("few subtransactions");
                    if random.usize(..2) == 0 {
                        group.update(&mut backend, log, update);
                    } else {
                        group.update_grouped(&mut backend, log, update);
                    }
                    let written = log.lock();
                    assert_eq!(written.get(&xid), Some(&(page, status)));
                    assert_eq!(written.get(&(xid + 1)), Some(&(page, status)));
                }
            });
        }
    });
    assert_eq!(log.lock().len(), 2 * setup.threads as usize * setup.rounds);
    assert_eq!(group.waiting(), 0);
}
