//! The harness of `cargo xtask bench growth`: each subject does something in each snapshot mode, and the report says what was
//! measured.

use std::path::Path;
use std::time::Duration;

use bench::engine::{Measured, Workload};
use bench::growth::{Idle, Mode, beside_idle, beside_reader, load, report};

const ROWS: u32 = 500;
const TIME: Duration = Duration::from_millis(50);

/// A directory with the tables.
fn with_tables(mode: Mode, works: impl FnOnce(&Path)) {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("store");
    let loaded = load(&directory, mode, ROWS).expect("loaded");
    assert!(matches!(loaded, Measured::Loaded { index_seconds: Some(_), .. }));
    works(&directory);
}

#[test]
fn work_goes_on_beside_more_idle_sessions_than_there_are_by_default() {
    for mode in [Mode::Classic, Mode::CommitTs] {
        with_tables(mode, |directory| {
            let parts = [(Workload::Transfer, 2), (Workload::Read, 1)];
            for idle in [(Idle::Connected, 0), (Idle::Connected, 150), (Idle::InTransaction, 150)] {
                let rates = beside_idle(directory, mode, ROWS, idle, &parts, TIME).expect("rates");
                assert!(rates.len() == 2 && rates[1] > 0.0, "{mode:?} {idle:?}: {rates:?}");
            }
        });
    }
}

#[test]
fn a_reader_that_stays_keeps_what_it_sees_and_so_the_dead() {
    for mode in [Mode::Classic, Mode::CommitTs] {
        for is_held in [false, true] {
            with_tables(mode, |directory| {
                let watched = beside_reader(directory, mode, ROWS, 2, (2 * TIME, 4), is_held);
                let watched = watched.unwrap_or_else(|error| panic!("{mode:?}: {error:#}"));
                let [first, .., last] = &watched.samples[..] else { panic!("few samples") };
                assert_eq!(watched.samples.len(), 5);
                assert!(last.seconds >= 0.1 && last.table_pages >= first.table_pages);
                // Two versions end by each transfer; nothing that the reader sees goes.
                let ended = 2 * last.transactions;
                assert!(!is_held || watched.dead_versions >= ended, "{mode:?}: {watched:?}");
            });
        }
    }
}

#[test]
fn the_report_says_where_the_server_is_ahead() {
    let place = tempfile::tempdir().expect("a directory");
    let output = place.path().join("growth.md");
    let beside = |sessions: u32, store: &str, per_second: f64| {
        format!(
            r#"{{"idle": "connected", "sessions": {sessions}, "is_mixed": false, "workload": "transfer", "store": "{store}",
                "per_second": {per_second}}}"#
        )
    };
    let watched = |last: u64| {
        format!(
            r#"{{"samples": [{{"seconds": 0.0, "transactions": 0, "table_pages": 10, "index_pages": 2}},
                            {{"seconds": 2.0, "transactions": {last}, "table_pages": 14, "index_pages": 4}}],
                "dead_versions": 7}}"#
        )
    };
    let measured = format!(
        r#"{{"conditions": [["machine", "one"]],
            "idle": [{}, {}, {}, {}],
            "loads": [{{"rows": 1000, "store": "classic", "load_seconds": 2.0, "index_seconds": 1.0}},
                      {{"rows": 1000, "store": "postgresql", "load_seconds": 4.0, "index_seconds": 0.5}}],
            "runs": [{{"rows": 1000, "workload": "read", "store": "commit_ts", "per_second": 30.0}},
                     {{"rows": 1000, "workload": "read", "store": "postgresql", "per_second": 20.0}}],
            "readers": [{{"store": "classic", "is_held": true, "watched": {}}},
                        {{"store": "postgresql", "is_held": true, "watched": {}}}]}}"#,
        beside(1, "classic", 100.0),
        beside(1000, "classic", 50.0),
        beside(1, "postgresql", 80.0),
        beside(1000, "postgresql", 80.0),
        watched(2000),
        watched(4000),
    );
    let write = || {
        let figures = serde_json::from_str(&measured).expect("figures");
        report::write(&figures, &output).expect("written");
        std::fs::read_to_string(&output).expect("a report")
    };
    let first = write();
    for expected in [
        "| transfers | 1 | 100 | - | 80 | **1.25** | - |",
        "| transfers | 1000 | 50 | - | 80 | **0.62** | - |",
        "| idle, without a transaction | transfers | 0.50 | - | 1.00 |",
        "| 1000 | - | 30 | 20 | - | **1.50** |",
        "| 1000 | 500 | - | 250 | **2.00** | - |",
        "| classic | held | 1000 | 1000 | 10 | 14 | 2 | 4 | 3.0 | 7 |",
        "- transfers, beside 1000 sessions idle, without a transaction: classic has 0.62 of its rate",
        "- Making an index on a column without order, 1000 rows: classic has 0.50 of its rate",
        "- transfers beside a reader that stays, at last: classic has 0.50 of its rate",
    ] {
        assert!(first.contains(expected), "{expected} is not in\n{first}");
    }
    assert_eq!(first.matches(" of its rate").count(), 3);
    for plot in ["growth-sessions.svg", "growth-rows.svg", "growth-reader.svg"] {
        assert!(place.path().join(plot).exists(), "{plot}");
    }
    std::fs::write(&output, format!("{first}\n## What was seen\n\nThis.\n")).expect("written");
    assert!(write().ends_with("\n## What was seen\n\nThis.\n"));
}
