//! Each planted fault is found by a recorded history, and the same run without it is clean.
//!
//! A fault shows itself when transactions meet in the right moment. So each is given several short runs, by seed, and must
//! be found in one of them; without a fault every run must be clean. One test: what is planted is planted for all.

use base::disk::RealDisk;
use engine::data_directory::{Birth, InitOptions, init};
use engine::planted::{Bug, plant};
use engine::workload::{
    self, Checked, Kind, Load, LoadError, Outcome, Plan, PreparedMix, RecordPlan, Watch, record,
};
use engine::{Durability, Engine, EngineOptions, Isolation, SnapshotMode};
use history::{Observed, Options, Reader, Report, Workload, Writer};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;
use wal::write::{LogOptions, SyncMethod};

/// Runs that a fault may need.
const SEEDS: u64 = 40;

struct Nobody;

impl Watch for Nobody {
    fn committed(&self, _: u32, _: i64) {}

    fn progress(&self, _: u64, _: Duration) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Where a fault is looked for.
#[derive(Debug, Clone, Copy)]
struct Place {
    mode: SnapshotMode,
    isolation: Isolation,
    workload: Workload,
}

fn engine(data: &Path, mode: SnapshotMode) -> Engine {
    init(&RealDisk, data, &InitOptions::default(), &Birth::now().expect("a time")).expect("made");
    let options = EngineOptions {
        mode,
        log: LogOptions { sync_method: SyncMethod::None, ..LogOptions::default() },
        ..EngineOptions::default()
    };
    Engine::open(data, options).expect("an engine")
}

/// A short run, and what the check says of it; or why the engine could not go on.
fn run(place: Place, seed: u64) -> Result<Report, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(&directory.path().join("data"), place.mode);
    let plan = RecordPlan {
        workload: place.workload,
        sessions: 8,
        time: Duration::from_secs(60),
        transactions: Some(2000),
        isolation: place.isolation,
        durability: Durability::Asynchronous,
        seed,
        keys: 4,
        writes: 32,
        operations: 4,
        savepoints: 10,
    };
    let writer = Writer::new(Vec::new(), &plan.header("planted")).expect("memory");
    // What panics in a session goes on here.
    let recorded = catch_unwind(AssertUnwindSafe(|| record(&engine, &plan, writer, &Nobody)));
    let (_, bytes) =
        recorded.map_err(|_| "a session panicked")?.map_err(|error| error.to_string())?;
    let reader = Reader::new(&bytes[..]).expect("a history");
    let mut observed = Observed::new(reader.header().clone());
    for transaction in reader {
        let transaction = transaction.expect("a transaction");
        observed.add(&transaction).map_err(|error| error.to_string())?;
    }
    Ok(history::check(observed, &Options::default()))
}

fn place(mode: SnapshotMode, isolation: Isolation, workload: Workload) -> Place {
    Place { mode, isolation, workload }
}

/// Money moved between accounts, with a long reader who looks twice: until what it sees is wrong, or not.
fn sums() -> Result<Outcome, LoadError> {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(&directory.path().join("data"), SnapshotMode::Classic);
    let load = Load::open(&engine, Kind::Bank, 1).expect("tables");
    let plan = Plan {
        sessions: 4,
        time: Duration::from_secs(60),
        isolation: Isolation::ReadCommitted,
        durability: Durability::Asynchronous,
        seed: 1,
        hot_rows: None,
        subtransactions: 0,
        long_readers: 1,
        hold: Duration::ZERO,
        prepared: PreparedMix::default(),
    };
    workload::run(&engine, &load, &plan, &Checked::default(), &Nobody)
}

#[test]
fn each_fault_is_found_and_without_one_nothing_is() {
    use Isolation::{ReadCommitted, RepeatableRead};
    use SnapshotMode::{Classic, CommitTs};
    use Workload::{ListAppend, Register};
    plant(None);
    for mode in [Classic, CommitTs] {
        for isolation in [ReadCommitted, RepeatableRead] {
            for workload in [ListAppend, Register] {
                let report = run(place(mode, isolation, workload), 1).expect("a run");
                assert!(report.is_clean(), "{mode:?}\n{}", report.text());
            }
        }
    }
    let mut missed = Vec::new();
    for (bug, place) in [
        (Bug::DirtyRead, place(Classic, ReadCommitted, ListAppend)),
        (Bug::DirtyRead, place(CommitTs, RepeatableRead, Register)),
        (Bug::AbortedIsSeen, place(Classic, ReadCommitted, ListAppend)),
        (Bug::AbortedIsSeen, place(CommitTs, ReadCommitted, Register)),
        (Bug::EndedIsSeen, place(Classic, ReadCommitted, ListAppend)),
        (Bug::EndedIsSeen, place(CommitTs, RepeatableRead, ListAppend)),
        (Bug::StaleSnapshot, place(Classic, ReadCommitted, ListAppend)),
        (Bug::StaleSnapshot, place(CommitTs, ReadCommitted, Register)),
        (Bug::SnapshotForEachStatement, place(Classic, RepeatableRead, ListAppend)),
        (Bug::SnapshotForEachStatement, place(CommitTs, RepeatableRead, Register)),
        (Bug::FirstUpdaterDoesNotWin, place(Classic, RepeatableRead, ListAppend)),
        (Bug::FirstUpdaterDoesNotWin, place(CommitTs, RepeatableRead, Register)),
        (Bug::NoRecheck, place(Classic, ReadCommitted, ListAppend)),
        (Bug::NoRecheck, place(CommitTs, ReadCommitted, Register)),
        (Bug::NoWait, place(Classic, ReadCommitted, ListAppend)),
        (Bug::NoWait, place(CommitTs, RepeatableRead, Register)),
        (Bug::SavepointIsKept, place(Classic, ReadCommitted, ListAppend)),
        (Bug::SavepointIsKept, place(CommitTs, RepeatableRead, Register)),
        (Bug::EndsBeforeItIsLogged, place(Classic, ReadCommitted, ListAppend)),
        (Bug::TimestampFromThePast, place(CommitTs, RepeatableRead, ListAppend)),
        (Bug::RemovedTooEarly, place(Classic, RepeatableRead, ListAppend)),
    ] {
        plant(Some(bug));
        let found = (1..=SEEDS).find_map(|seed| match run(place, seed) {
            Ok(report) if report.is_clean() => None,
            Ok(report) => {
                let forbidden = report.anomalies.iter().filter(|found| found.is_forbidden);
                let named = forbidden.map(|found| {
                    let suffix = if found.is_realtime { "-realtime" } else { "" };
                    format!("{}{suffix} {}", found.anomaly, found.count)
                });
                Some((seed, named.collect::<Vec<_>>().join(", ")))
            }
            // It kept the engine from going on, or what was recorded from being checked.
            Err(why) => Some((seed, why)),
        });
        plant(None);
        match found {
            Some((seed, what)) => println!("{bug:?} by {place:?}: {what} (seed {seed})"),
            None => missed.push((bug, place)),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
    // A long reader whose second look is by another snapshot.
    plant(Some(Bug::SnapshotForEachStatement));
    let broken = sums();
    plant(None);
    assert!(matches!(broken, Err(LoadError::Broken(_))), "{broken:?}");
}
