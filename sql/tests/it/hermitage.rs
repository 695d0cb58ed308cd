//! The Hermitage cases on the engine, in every mode and at both levels, held against what PostgreSQL 15 prints
//! (`hermitage/*.out`, written by `cargo xtask isolation --write`).

use std::fs;
use std::path::Path;
use std::time::Duration;

use engine::SnapshotMode;
use sql::Database;
use sql::isolation::{Spec, run};

const MODES: [SnapshotMode; 3] =
    [SnapshotMode::Classic, SnapshotMode::CommitTs, SnapshotMode::Mirror];

/// What the engine prints of all cases, each under its name.
fn printed(level: &str, mode: SnapshotMode) -> String {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hermitage");
    let mut names: Vec<String> = fs::read_dir(&cases)
        .expect("the cases")
        .map(|entry| entry.expect("a case").file_name().into_string().expect("a name"))
        .filter_map(|name| name.strip_suffix(".spec").map(str::to_owned))
        .collect();
    names.sort();
    let (_place, engine) = super::engine(mode);
    let database = Database::new(&engine);
    let mut out = Vec::new();
    for name in names {
        let text = fs::read_to_string(cases.join(format!("{name}.spec"))).expect("a case");
        let spec = Spec::parse(&text.replace("REPEATABLE READ", level)).expect("a spec");
        out.extend_from_slice(format!("==== {name}\n").as_bytes());
        run(&spec, &database, Duration::from_secs(300), &|| false, &mut out).expect(&name);
    }
    String::from_utf8(out).expect("text")
}

#[track_caller]
fn holds(level: &str, expected: &str) {
    for mode in MODES {
        let printed = printed(level, mode);
        let lines = || printed.lines().zip(expected.lines()).enumerate();
        let first = lines().find(|(_, (printed, expected))| printed != expected);
        assert_eq!(first, None, "{mode:?}: the first line that differs");
        assert_eq!(printed.lines().count(), expected.lines().count(), "{mode:?}");
    }
}

#[test]
fn read_committed_is_postgresqls() {
    holds("READ COMMITTED", include_str!("../hermitage/read-committed.out"));
}

#[test]
fn repeatable_read_is_postgresqls() {
    holds("REPEATABLE READ", include_str!("../hermitage/repeatable-read.out"));
}
