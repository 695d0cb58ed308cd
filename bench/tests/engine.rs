//! The harness of `cargo xtask bench engine`: each workload does something with each store that the program was built with,
//! and leaves sums that are equal; the report says what was measured.

use std::path::Path;
use std::time::Duration;

use bench::engine::{Measured, Peer, Workload, check, load, open, report, run};

const ACCOUNTS: u32 = 500;

fn works(peer: Peer) {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("store");
    let loaded = load(peer, &directory, ACCOUNTS).expect("loaded");
    assert!(matches!(loaded, Measured::Loaded { load_seconds, .. } if load_seconds > 0.0));
    for workload in [Workload::Transfer, Workload::Tpcb, Workload::Read, Workload::Range] {
        let store = open(peer, &directory).expect("opened");
        for threads in [1, 4] {
            let time = Duration::from_millis(50);
            let rate = run(&*store, workload, threads, time, ACCOUNTS);
            let rate = rate.unwrap_or_else(|error| panic!("{peer:?} {workload:?}: {error:#}"));
            println!("{peer:?} {workload:?} {threads}: {rate:.0} a second");
        }
        check(&*store).expect("equal sums");
        let history = store.sums().expect("sums")[3];
        assert_eq!(history != 0, workload != Workload::Transfer, "{peer:?} {workload:?}");
        store.close().expect("closed");
    }
}

#[test]
fn the_engine_works() {
    works(Peer::Engine);
    works(Peer::EngineAsleep);
}

#[cfg(feature = "peers")]
#[test]
fn sqlite_works() {
    works(Peer::Sqlite);
}

#[cfg(feature = "peers")]
#[test]
fn redb_works() {
    works(Peer::Redb);
}

#[cfg(feature = "peers")]
#[test]
fn fjall_works() {
    works(Peer::Fjall);
}

#[test]
fn the_report_keeps_what_is_written_by_hand() {
    let place = tempfile::tempdir().expect("a directory");
    let output = place.path().join("engine.md");
    let measured = r#"{"conditions": [["machine", "one"]], "accounts": 500,
        "loads": [{"store": "engine", "load_seconds": [2.0], "index_seconds": [1.0]},
                  {"store": "postgresql", "load_seconds": [4.0], "index_seconds": [0.5]}],
        "runs": [{"workload": "transfer", "threads": 1, "store": "engine", "per_second": [950.0], "fdatasync_per_second": [1000.0]},
                 {"workload": "transfer", "threads": 1, "store": "engine_asleep", "per_second": [850.0], "fdatasync_per_second": [1000.0]},
                 {"workload": "transfer", "threads": 8, "store": "engine", "per_second": [5000.0, 9000.0, 4000.0], "fdatasync_per_second": [1000.0, 2000.0, 1000.0]},
                 {"workload": "transfer", "threads": 8, "store": "postgresql", "per_second": [2500.0, 3000.0, 4000.0], "fdatasync_per_second": [1000.0, 2000.0, 1000.0]}]}"#;
    let write = |output: &Path| {
        let figures = serde_json::from_str(measured).expect("figures");
        report::write(&figures, output).expect("written");
        std::fs::read_to_string(output).expect("a report")
    };
    let first = write(&output);
    for expected in [
        "| transfer, 1 thread: at least 0.9 of the disk's own rate | yes | 0.95 | 0.95 to 0.95 |",
        // Within rounds, and not of the medians, which are 5000 and 3000.
        "| transfer, 8 threads: at least 2.5 times PostgreSQL | **no** | 2.00 | 1.00 to 3.00 |",
        "| load: at least PostgreSQL's speed | yes | 2.00 | 2.00 to 2.00 |",
        "| index build: at least PostgreSQL's speed | **no** | 0.50 | 0.50 to 0.50 |",
        "| 1 | 950 | 850 | - | - | - | - | - | - | 1000 | 0.95 | 0.85 |",
        "| 8 | 5000 | - | 3000 | - | - | - | **2.00** | - | 1000 | 4.50 | - |",
    ] {
        assert!(first.contains(expected), "{expected} is not in\n{first}");
    }
    assert!(place.path().join("engine.svg").exists());
    std::fs::write(&output, format!("{first}\n## What was tried\n\nThis.\n")).expect("written");
    assert!(write(&output).ends_with("\n## What was tried\n\nThis.\n"));
}
