//! That the crashes notice an engine that is broken: the log's syncs left out, commits acknowledged before they are durable,
//! and a log without full-page images.
//!
//! A sync is left out by the disk, which says that it has been done: for the disk that is the same as an engine that does
//! not ask for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use base::disk::faulty::{Operation, Site};
use engine::{Durability, Isolation};

use super::judge::{Demands, judge, left};
use super::workloads;
use crate::DATA;

/// An asynchronous commit that the oracle is told is durable.
#[test]
fn commits_that_are_told_too_early_are_noticed() {
    let lying = workloads::small_inserts();
    let image = (lying.image)();
    let disk = image.disk();
    let mut run = super::run::Run::new(disk.clone(), (lying.options)(), image.state.clone());
    run.open().expect("opened");
    {
        let mut session = run.engine().session().expect("a session");
        run.transact(&mut session, |work| work.create("t")).expect("room");
        let mut work = run.begin(&mut session, Isolation::ReadCommitted).expect("begun");
        work.insert("t", 1, 1, 10).expect("room");
        run.commit(work, Durability::Asynchronous).expect("acknowledged");
    }
    let honest = run.oracle();
    let mut lie = run.oracle();
    lie.is_durable();
    disk.crash();
    drop(run);
    let judged = |oracle| judge(&left(&disk, 0), oracle, &lying.reopening, Demands::Rows);
    assert!(judged(&honest).is_ok());
    let why = judged(&lie).expect_err("it was not durable");
    assert!(why.contains("row 1 of \"t\" is nothing"), "{why}");
}

/// A page that a crash tears cannot be mended without its image.
#[test]
fn a_log_without_full_page_images_is_noticed() {
    let workload = workloads::checkpoints();
    let image = super::images::without_page_images();
    let calls = {
        let whole = workload.run(&image, image.disk());
        whole.outcome.expect("nothing fails");
        whole.run.disk.changing_calls()
    };
    let torn = (1..=calls).rev().find(|call| {
        let disk = image.disk();
        disk.crash_at(*call);
        let oracle = workload.run(&image, disk.clone()).run.oracle();
        (2..6).any(|survival| {
            let judged = catch_unwind(AssertUnwindSafe(|| {
                judge(&left(&disk, survival), &oracle, &workload.reopening, Demands::Rows)
            }));
            !matches!(judged, Ok(Ok(_)))
        })
    });
    let torn = torn.unwrap_or_else(|| panic!("no page was torn in {calls} calls"));
    // It is the tearing: the same crash with everything written is none.
    let disk = image.disk();
    disk.crash_at(torn);
    let oracle = workload.run(&image, disk.clone()).run.oracle();
    judge(&left(&disk, 1), &oracle, &workload.reopening, Demands::Rows).expect("nothing is torn");
}

#[test]
fn a_log_that_is_not_synced_is_noticed() {
    let workload = workloads::small_inserts();
    let image = (workload.image)();
    let disk = image.disk();
    disk.leave_out(Site::new(Operation::SyncData, &Path::new(DATA).join("pg_wal/1")));
    let ran = workload.run(&image, disk.clone());
    ran.outcome.expect("nobody tells it");
    disk.crash();
    let oracle = ran.run.oracle();
    drop(ran.run);
    assert!(judge(&left(&disk, 1), &oracle, &workload.reopening, Demands::Rows).is_ok());
    judge(&left(&disk, 0), &oracle, &workload.reopening, Demands::Rows).expect_err("it is lost");
}
