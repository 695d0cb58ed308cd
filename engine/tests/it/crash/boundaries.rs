//! A crash in each call of each workload that changes the disk, and several disks that it may leave.
//!
//! `cargo test` takes a part of the calls, spread evenly; `PGSTRATA_CRASH_BOUNDARIES=all` (`cargo xtask crash --boundaries`)
//! takes all of them.

use base::disk::faulty::Site;
use base::sync::{Arc, Mutex};

use super::images::Image;
use super::judge::{Demands, judge, left};
use super::workloads::{self, Workload};

/// Calls of a workload that `cargo test` has the power fail in, at most.
const AT_MOST: u64 = 40;

/// Has the power fail in every call, or evenly spread in at most [`AT_MOST`].
fn crash_in_every_call(workload: &Workload) {
    let name = workload.name;
    let image = (workload.image)();
    let whole = workload.run(&image, image.disk());
    whole.outcome.unwrap_or_else(|error| panic!("{name} without a crash: {error}"));
    let calls = whole.run.disk.changing_calls();
    let again = workload.run(&image, image.disk());
    assert_eq!(
        whole.run.disk.sites(),
        again.run.disk.sites(),
        "{name} makes the same calls in every run"
    );
    let is_all = std::env::var_os("PGSTRATA_CRASH_BOUNDARIES").is_some();
    let step = if is_all { 1 } else { calls.div_ceil(AT_MOST - 2) };
    let (mut crashes, mut disks) = (0, 0);
    // The first call, the last one, and what lies between them in steps; one more, when all is done.
    let is_taken = |call: &u64| *call == 1 || *call > calls || call % step == calls % step;
    for call in (1..=calls + 1).filter(is_taken) {
        let disk = image.disk();
        disk.crash_at(call);
        let crashed = workload.run(&image, disk.clone());
        assert_eq!(disk.has_crashed(), call <= calls, "{name}, call {call} of {calls}");
        let oracle = crashed.run.oracle();
        // Its engine goes before the disk is looked at, as a process would.
        drop(crashed);
        crashes += 1;
        for survival in [0, 1, 2 + call, 1_000_003 * call] {
            let demands = if survival == 2 + call { Demands::All(call) } else { Demands::Rows };
            let judged = judge(&left(&disk, survival), &oracle, &workload.reopening, demands);
            if let Err(why) = judged {
                let site = site_of(workload, &image, call);
                panic!(
                    "{name}, crash in call {call} of {calls} ({site}), survival {survival}: {why}"
                );
            }
            disks += 1;
        }
    }
    println!("{name:<28} {calls:>5} calls, crashes in {crashes:>5}, {disks:>6} disks judged");
}

/// What the call of this number is, for who looks into a failure.
fn site_of(workload: &Workload, image: &Image, call: u64) -> String {
    let disk = image.disk();
    let last: Arc<Mutex<Option<Site>>> = Arc::default();
    let seen = Arc::clone(&last);
    disk.observe(move |site, _| *seen.lock().expect("no panic") = Some(site.clone()));
    disk.crash_at(call);
    drop(workload.run(image, disk));
    let last = last.lock().expect("no panic");
    last.as_ref().map_or_else(|| "the end".to_owned(), Site::to_string)
}

/// A test for each workload, so that they run side by side.
macro_rules! each_workload {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            crash_in_every_call(&workloads::$name());
        })*

        #[test]
        fn every_workload_has_its_test() {
            let tested = [$(stringify!($name)),*];
            let named: Vec<_> = workloads::all().iter().map(|workload| workload.name).collect();
            assert_eq!(named, tested);
        }
    };
}

each_workload! {
    small_inserts
    hot_updates
    updates_across_pages
    deletes
    bulk_load
    tables_made_and_dropped
    open_transactions
    many_xids
    checkpoints
    segments
    asynchronous_commits
    hint_bits
    commit_timestamps
    shutdowns
    background_rounds
    killed_again_and_again
    new_timeline
    subtransactions
    prepared
    exported
    new_log_files
    recovery_of_a_crash
    by_fsync
    by_open_datasync
    vacuums
    indexes
    long_values
}
