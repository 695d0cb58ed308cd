//! The transaction logs on a disk that fails: what is in a buffer, what is written when, what survives.

use std::path::PathBuf;

use base::disk::faulty::fault::TABLE;
use base::disk::faulty::{Fault, FaultKind, Lasting, Operation, Site};
use base::sync::{Arc, Mutex, thread};
use base::{FullXid, Lsn, TimestampTz, Xid};
use engine::Error;
use engine::slru::clog::XIDS_PER_PAGE;
use engine::slru::{Clog, CommitTsLog, FlushLog, Member, MultiXactLog, Status, Subtrans};
use procarray::{Backend, ClogGroup, Config, GroupClear, ProcArray, XidStatus};
use snapshot::commit_ts::format::CommitTimestampEntry;

use super::*;

/// Notes up to where it was to flush.
#[derive(Debug, Default)]
struct Flushed(Mutex<Vec<Lsn>>);

impl FlushLog for Flushed {
    fn flush(&self, upto: Lsn) -> Result<(), Error> {
        self.0.lock().expect("lock").push(upto);
        Ok(())
    }
}

impl Flushed {
    fn so_far(&self) -> Vec<Lsn> {
        self.0.lock().expect("lock").clone()
    }
}

fn clog(disk: &FaultyDisk, buffers: usize) -> (Clog, Arc<Flushed>) {
    let flushed = Arc::new(Flushed::default());
    let log = Arc::clone(&flushed) as Arc<dyn FlushLog>;
    (Clog::new(Arc::new(disk.clone()), Path::new(DATA), buffers, log), flushed)
}

fn commit(clog: &Clog, xid: u32) -> Result<(), Error> {
    clog.set_tree(None, Xid(xid), &[], XidStatus::Committed, None)
}

fn status(clog: &Clog, xid: u32) -> Status {
    clog.status(Xid(xid)).expect("read").0
}

/// Makes so many pages behind the first.
fn extend(clog: &Clog, pages: u32) {
    for page in 1..=pages {
        let made = clog.extend(Xid(page * XIDS_PER_PAGE)).expect("room");
        assert_eq!(made, Some(u64::from(page)));
        assert_eq!(clog.extend(Xid(page * XIDS_PER_PAGE + 1)).expect("nothing to do"), None);
    }
}

#[test]
fn statuses_go_through_few_buffers_and_over_files() {
    let (disk, _) = initialized();
    let (log, _) = clog(&disk, 2);
    extend(&log, 70);
    let xids = (0..71).flat_map(|page| (0..40).map(move |at| page * XIDS_PER_PAGE + 4 + at * 801));
    let expected = |xid: u32| match xid % 3 {
        0 => Status::Committed,
        1 => Status::Aborted,
        _ => Status::InProgress,
    };
    for xid in xids.clone() {
        let how = match expected(xid) {
            Status::Committed => XidStatus::Committed,
            Status::Aborted => XidStatus::Aborted,
            _ => continue,
        };
        log.set_tree(None, Xid(xid), &[], how, None).expect("set");
    }
    for xid in xids.clone() {
        assert_eq!(status(&log, xid), expected(xid), "{xid}");
    }
    log.slru().write_all().expect("written");
    assert_eq!(log.slru().sync().expect("synced"), 3);
    assert_eq!(log.slru().sync().expect("nothing to do"), 0);
    assert!(disk.is_durable());
    let (again, _) = clog(&disk.after_crash(0), 4);
    for xid in xids {
        assert_eq!(status(&again, xid), expected(xid), "{xid}");
    }
    for name in ["0000", "0001", "0002"] {
        assert!(content(&disk, &Path::new("data/pg_xact").join(name)).is_some(), "{name}");
    }

    // Page 40 is in file 0001: file 0000 goes, and what is asked about it is an error with place and cause.
    assert_eq!(log.truncate(Xid(40 * XIDS_PER_PAGE + 5)).expect("removed"), 1);
    assert_eq!(log.truncate(Xid(40 * XIDS_PER_PAGE + 5)).expect("nothing to do"), 0);
    let error = log.status(Xid(4)).expect_err("gone").to_string();
    assert!(error.contains("data/pg_xact/0000"), "{error}");
    log.slru().set_in_recovery(true);
    assert_eq!(status(&log, 4), Status::InProgress, "replay takes what is missing for zero");
    assert_eq!(log.truncate(Xid(120 * XIDS_PER_PAGE)).expect("not so far"), 0);
}

#[test]
fn a_page_waits_for_the_commit_records_of_its_asynchronous_commits() {
    let (disk, _) = initialized();
    let (log, flushed) = clog(&disk, 4);
    for (xid, lsn) in [(100, 7000), (101, 9000), (140, 8000)] {
        let lsn = Some(Lsn(lsn));
        log.set_tree(None, Xid(xid), &[], XidStatus::Committed, lsn).expect("set");
    }
    commit(&log, 300).expect("set");
    let lsn = |xid| log.status(Xid(xid)).expect("read").1;
    assert_eq!((lsn(100), lsn(140), lsn(300)), (Lsn(9000), Lsn(8000), Lsn(0)));
    assert!(flushed.so_far().is_empty());
    log.slru().write_all().expect("written");
    assert_eq!(flushed.so_far(), [Lsn(9000)]);
    commit(&log, 301).expect("set");
    log.slru().write_all().expect("written");
    assert_eq!(flushed.so_far(), [Lsn(9000)], "nothing to wait for any more");
}

#[test]
fn a_tree_over_several_pages_commits_with_its_top() {
    let (disk, _) = initialized();
    let (log, _) = clog(&disk, 4);
    extend(&log, 2);
    let top = XIDS_PER_PAGE - 1;
    let children: Vec<Xid> =
        [XIDS_PER_PAGE - 1 + 1, XIDS_PER_PAGE + 1, 2 * XIDS_PER_PAGE + 7].map(Xid).into();
    log.set_tree(None, Xid(top), &children, XidStatus::Committed, Some(Lsn(5))).expect("set");
    for xid in children.iter().map(|xid| xid.0).chain([top]) {
        assert_eq!(status(&log, xid), Status::Committed);
        assert_eq!(log.status(Xid(xid)).expect("read").1, Lsn(5));
    }
    // Said again, as by a replay.
    log.set_tree(None, Xid(top), &children, XidStatus::Committed, None).expect("set");
    assert_eq!(status(&log, top), Status::Committed);
}

#[test]
#[should_panic(expected = "is Committed, which is final")]
fn a_status_is_final() {
    let (disk, _) = initialized();
    let (log, _) = clog(&disk, 2);
    commit(&log, 50).expect("set");
    let _ = log.set_tree(None, Xid(50), &[], XidStatus::Aborted, None);
}

#[test]
fn sessions_that_come_at_once_are_served_by_one() {
    let (disk, _) = initialized();
    let (log, _) = clog(&disk, 2);
    let config = Config {
        sessions: 8,
        prepared: 0,
        next_xid: FullXid(3),
        group_clear: GroupClear::WhenContended,
    };
    let array = Arc::new(ProcArray::new(config).expect("an array"));
    let group = ClogGroup::new(&array);
    thread::scope(|scope| {
        for session in 0..8u32 {
            let (log, group, array) = (&log, &group, &array);
            scope.spawn(move || {
                let mut backend = Backend::connect(array, 1).expect("a free slot");
                for at in 0..500 {
                    let xid = 10 + (at * 8 + session) * 3;
                    let children = [Xid(xid + 1), Xid(xid + 2)];
                    let together = Some((group, &mut backend));
                    log.set_tree(together, Xid(xid), &children, XidStatus::Committed, None)
                        .expect("set");
                    assert_eq!(status(log, xid + 1), Status::Committed);
                }
            });
        }
    });
    for xid in 10..10 + 8 * 500 * 3 {
        assert_eq!(status(&log, xid), Status::Committed, "{xid}");
    }
}

#[test]
fn what_a_crash_undid_is_cleared_at_the_start() {
    let (disk, _) = initialized();
    let (log, _) = clog(&disk, 2);
    for xid in 90..110 {
        commit(&log, xid).expect("set");
    }
    log.start(Xid(101)).expect("cleared");
    for xid in 90..110 {
        let expected = if xid < 101 { Status::Committed } else { Status::InProgress };
        assert_eq!(status(&log, xid), expected, "{xid}");
    }
}

/// Commits, and checkpoints after every few; returns the last id whose checkpoint was acknowledged.
fn workload(disk: &FaultyDisk) -> (u32, Result<(), Error>) {
    let (log, _) = clog(disk, 2);
    let (mut acknowledged, mut given_out) = (0, 9);
    let mut run = || -> Result<(), Error> {
        log.start(Xid(10))?;
        for round in 0..5u32 {
            for xid in [10, 11, 12].map(|at| at + round * XIDS_PER_PAGE / 2) {
                for newest in given_out + 1..=xid {
                    log.extend(Xid(newest))?;
                }
                given_out = xid;
                commit(&log, xid)?;
            }
            log.slru().write_all()?;
            log.slru().sync()?;
            acknowledged = 12 + round * XIDS_PER_PAGE / 2;
        }
        Ok(())
    };
    let outcome = run();
    (acknowledged, outcome)
}

fn committed() -> impl Iterator<Item = u32> {
    (0..5u32).flat_map(|round| [10, 11, 12].map(|at| at + round * XIDS_PER_PAGE / 2))
}

#[test]
fn what_a_checkpoint_acknowledged_survives_a_crash_in_any_call() {
    let (disk, _) = initialized();
    let before = disk.changing_calls();
    let (acknowledged, outcome) = workload(&disk);
    outcome.expect("no fault");
    assert_eq!(acknowledged, committed().last().expect("some"));
    for call in before + 1..=disk.changing_calls() {
        let (disk, _) = initialized();
        disk.crash_at(call);
        let (acknowledged, outcome) = workload(&disk);
        assert!(outcome.is_err() && disk.has_crashed());
        for seed in 0..20 {
            let (log, _) = clog(&disk.after_crash(seed), 2);
            for xid in committed().filter(|xid| *xid <= acknowledged) {
                assert_eq!(status(&log, xid), Status::Committed, "call {call}, seed {seed}: {xid}");
            }
        }
    }
}

#[test]
fn each_call_failing_is_told_and_loses_nothing_that_was_acknowledged() {
    let (whole, _) = initialized();
    let made = whole.sites();
    workload(&whole).1.expect("no fault");
    let mut told = 0;
    for (site, count) in whole.sites() {
        let first = made.get(&site).copied().unwrap_or(0) + 1;
        for (kind, _) in TABLE.iter().filter(|(_, operations)| operations.contains(&site.operation))
        {
            for lasting in [Lasting::Once, Lasting::ForEver] {
                for at in first..=count {
                    let (disk, _) = initialized();
                    disk.inject(Fault { site: site.clone(), at, lasting, kind: *kind });
                    let (acknowledged, outcome) = workload(&disk);
                    assert!(disk.faults_made() > 0, "{site} {at} {kind:?}");
                    if kind.is_told() {
                        let error = outcome.expect_err("told").to_string();
                        assert!(error.contains("data/pg_xact"), "{error}");
                        told += 1;
                    } else {
                        outcome.expect("nobody notices");
                    }
                    let (log, _) = clog(&disk.after_crash(0), 2);
                    for xid in committed().filter(|xid| *xid <= acknowledged) {
                        assert_eq!(
                            status(&log, xid),
                            Status::Committed,
                            "{site} {at} {kind:?}: {xid}"
                        );
                    }
                }
            }
        }
    }
    assert!(told > 20, "{told}");
}

#[test]
fn a_full_disk_loses_nothing_and_passes() {
    let (disk, _) = initialized();
    let (log, _) = clog(&disk, 2);
    let site = Site::new(Operation::Write, &PathBuf::from("data/pg_xact/0000"));
    let at = disk.sites()[&site] + 1;
    disk.inject(Fault { site, at, lasting: Lasting::ForEver, kind: FaultKind::NoSpace });
    commit(&log, 20).expect("in a buffer");
    assert!(log.slru().write_all().is_err());
    assert_eq!(status(&log, 20), Status::Committed);
    disk.clear_faults();
    assert_eq!(log.slru().write_all().expect("room again"), 1);
    log.slru().sync().expect("synced");
    assert_eq!(status(&clog(&disk.after_crash(0), 2).0, 20), Status::Committed);
}

#[test]
fn a_sync_that_failed_is_not_tried_again() {
    let (disk, _) = initialized();
    let (log, _) = clog(&disk, 2);
    let site = Site::new(Operation::SyncData, &PathBuf::from("data/pg_xact/0000"));
    disk.inject(Fault { site, at: 1, lasting: Lasting::Once, kind: FaultKind::FailedSync });
    commit(&log, 20).expect("in a buffer");
    log.slru().write_all().expect("written");
    assert!(log.slru().sync().is_err());
    for _ in 0..2 {
        assert!(matches!(log.slru().sync(), Err(Error::FailedBefore(_))));
    }
}

#[test]
fn parents_are_found_up_to_the_oldest_that_matters() {
    let (disk, _) = initialized();
    let log = Arc::new(Flushed::default()) as Arc<dyn FlushLog>;
    let subtrans = Subtrans::new(Arc::new(disk.clone()), Path::new(DATA), 2, log);
    subtrans.start(Xid(2000), Xid(5000)).expect("pages");
    for xid in 5001..=9000 {
        subtrans.extend(Xid(xid)).expect("pages");
    }
    for (child, parent) in [(2050, 2049), (4100, 2050), (8999, 4100)] {
        subtrans.set_parent(Xid(child), Xid(parent)).expect("set");
    }
    assert_eq!(subtrans.parent(Xid(8999)).expect("read"), Some(Xid(4100)));
    assert_eq!(subtrans.parent(Xid(2049)).expect("read"), None);
    let topmost = |oldest| subtrans.topmost(Xid(8999), Xid(oldest)).expect("read");
    assert_eq!(topmost(2000), Xid(2049));
    assert_eq!(topmost(2050), Xid(2050));
    assert_eq!(topmost(3000), Xid(4100));
    assert_eq!(subtrans.slru().sync().expect("nothing"), 0);
}

#[test]
fn commit_timestamps_come_back() {
    let (disk, _) = initialized();
    let log = Arc::new(Flushed::default()) as Arc<dyn FlushLog>;
    let make = |disk: &FaultyDisk| {
        let log = Arc::clone(&log);
        CommitTsLog::new(Arc::new(disk.clone()), Path::new(DATA), 2, log)
    };
    let times = make(&disk);
    times.start(Xid(3)).expect("activated");
    let entry =
        |xid: u32| CommitTimestampEntry { time: TimestampTz(i64::from(xid) * 10), origin: 3 };
    for xid in 3..30_000 {
        times.extend(Xid(xid)).expect("a page");
        if xid % 3 == 0 {
            times.set_tree(Xid(xid), &[Xid(xid - 1)], entry(xid)).expect("set");
        }
    }
    times.slru().write_all().expect("written");
    times.slru().sync().expect("synced");
    let again = make(&disk.after_crash(0));
    for xid in 3..29_998 {
        let expected = match xid % 3 {
            0 => Some(entry(xid)),
            2 => Some(entry(xid + 1)),
            _ => None,
        };
        assert_eq!(again.get(Xid(xid)).expect("read"), expected, "{xid}");
    }
    again.start(Xid(29_999)).expect("a page is there");
    assert_eq!(again.truncate(Xid(819 * 32 + 1)).expect("removed"), 1);
}

#[test]
fn sets_of_lockers_come_back() {
    let (disk, _) = initialized();
    let log = Arc::new(Flushed::default()) as Arc<dyn FlushLog>;
    let make = |disk: &FaultyDisk| {
        let log = Arc::clone(&log);
        MultiXactLog::new(Arc::new(disk.clone()), Path::new(DATA), 2, log)
    };
    let sets = make(&disk);
    let (mut multi, mut position) = (1, 1);
    let of = |multi: u32| -> Vec<Member> {
        let count = multi % 7 + 2;
        (0..count)
            .map(|at| Member { xid: Xid(1000 + multi + at), status: (at % 6) as u8 })
            .collect()
    };
    sets.start(multi, position).expect("set up");
    while multi <= 5000 {
        let members = of(multi);
        sets.extend_offsets(multi).expect("a page");
        sets.extend_members(position, members.len() as u32).expect("pages");
        assert_eq!(
            sets.members(multi, multi + 1, position).expect("read"),
            None,
            "not written yet"
        );
        sets.set(multi, position, &members).expect("set");
        position += members.len() as u32;
        multi += 1;
        assert_eq!(sets.members(multi - 1, multi, position).expect("read"), Some(members));
    }
    for slru in sets.slrus() {
        slru.write_all().expect("written");
        slru.sync().expect("synced");
    }
    let again = make(&disk.after_crash(0));
    for known in 1..multi {
        let members = again.members(known, multi, position).expect("read");
        assert_eq!(members, Some(of(known)), "{known}");
    }
    again.start(4000, position).expect("cleared");
    assert_eq!(again.members(4050, multi, position).expect("read"), None, "a crash undid it");
}
