//! The log that the engine leaves: `strata waldump` prints of it what `pg_waldump` prints, every record, none unknown.

use std::ops::ControlFlow;
use std::path::Path;

use engine::heap::{ColumnType, Value};
use engine::vacuum::{VacuumOptions, VacuumProgress};
use engine::{
    Column, Engine, EngineOptions, IndexDefinition, Isolation, RowLock, Session, WaitPolicy,
};
use wal::write::LogOptions;

use super::programs::{give, place, printed, program, take_back};
use super::strata;

/// Of a data directory that keeps all of its log.
const FIRST_SEGMENT: &str = "000000010000000000000001";

fn run(arguments: &[&str]) -> std::process::Output {
    strata(arguments).output().expect("strata starts")
}

/// Ids of transactions that fill a file of `pg_xact`.
const XIDS: u64 = 1 << 20;
/// Sets of two lockers, of which each has one of three before: their members fill a file.
const SETS: usize = 26_500;

fn open(data: &Path) -> Engine {
    let log = LogOptions { keep_size: 1000 << 20, ..LogOptions::default() };
    let options = EngineOptions {
        sessions: 20,
        prepared_transactions: 3,
        has_background_threads: false,
        log,
        ..EngineOptions::default()
    };
    Engine::open(data, options).expect("opened")
}

fn vacuum(session: &mut Session<'_>) {
    let on = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
    session.vacuum(None, &VacuumOptions::default(), on).expect("vacuumed");
    session.vacuum(None, &VacuumOptions::freeze(), on).expect("vacuumed");
}

/// Rows deleted from tables with and without an index, vacuumed, frozen; logs of transactions long enough to be cut off.
fn vacuums(data: &Path) {
    let engine = open(data);
    let mut sessions = [(); 2].map(|()| engine.session().expect("a session"));
    vacuum(&mut sessions[0]);
    for (name, indexed) in [("bare", false), ("indexed", true)] {
        let mut transaction = sessions[0].begin(Isolation::ReadCommitted).expect("begun");
        let columns = [Column::new("id", ColumnType::Int4)];
        let table = transaction.create_table(name, &columns).expect("made");
        if indexed {
            let definition = IndexDefinition::new("of_indexed", &[0]);
            transaction.create_index(&table, &definition).expect("made");
        }
        let rows: Vec<_> = (0..2000).map(|id| vec![Value::Int4(id)]).collect();
        let tids = table.insert_many(&mut transaction, &rows).expect("inserted");
        transaction.commit().expect("committed");
        let mut transaction = sessions[0].begin(Isolation::ReadCommitted).expect("begun");
        for tid in &tids[200..1900] {
            assert!(table.delete(&mut transaction, *tid).expect("deleted"));
        }
        transaction.prepare("deletes").expect("prepared");
        sessions[1].commit_prepared("deletes").expect("committed");
        vacuum(&mut sessions[0]);
        if !indexed {
            for _ in 0..SETS {
                let [one, other] = &mut sessions;
                let mut first = one.begin(Isolation::ReadCommitted).expect("begun");
                let mut second = other.begin(Isolation::ReadCommitted).expect("begun");
                for transaction in [&mut first, &mut second] {
                    let (strength, policy) = (RowLock::KeyShare, WaitPolicy::Wait);
                    table.lock_row(transaction, tids[0], strength, policy).expect("locked");
                }
                first.rollback().expect("rolled back");
                second.rollback().expect("rolled back");
            }
        }
    }
    sessions[0].burn_xids(XIDS).expect("burned");
    engine.checkpoint().expect("made");
    vacuum(&mut sessions[0]);
    drop(sessions);
    engine.close().expect("closed");
}

#[test]
fn both_programs_print_the_same_of_every_record() {
    let place = place();
    let data = place.path().join("data");
    let path = data.to_str().expect("a plain name");
    let load = |more: &[&str]| {
        let fixed = ["run", "tpcb", "-D", path, "-c", "2", "-s", "1", "-T", "1"];
        run(&[&fixed[..], &["--wal-keep-size", "1000"], more].concat())
    };
    assert!(run(&["init", "-D", path, "--wal-segsize", "1"]).status.success());
    for more in [
        &["--checkpoint-timeout", "1", "--wal-compression", "pglz", "--wait-asleep"][..],
        &["--mode", "commit-ts", "--wal-compression", "lz4", "--crash"],
        &["--asynchronous", "--wal-compression", "zstd", "--repeatable-read"],
        &[
            "--prepared",
            "50",
            "--prepared-pause",
            "0.01",
            "--subtransactions",
            "5",
            "--leave-prepared",
        ],
        &["--hot-rows", "20", "--subtransactions", "70"],
        &["--restore-point", "the end"],
    ] {
        let output = load(more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), !more.contains(&"--crash"), "{more:?}: {said}");
    }
    vacuums(&data);
    give(&data);
    let control = printed(program("pg_controldata").arg(path));
    let value = |label: &str| {
        let line = control.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("{label} {control}")).trim().to_owned()
    };
    assert_eq!(value("Database cluster state:"), "shut down");
    // The checkpoint of the shutdown is the last record; the end is where it starts, so that neither looks for more.
    let end = value("Latest checkpoint location:");
    let last = value("Latest checkpoint's REDO WAL file:");
    let pg_wal = data.join("pg_wal");
    let pg_wal = pg_wal.to_str().expect("a plain name");
    let arguments = ["-p", pg_wal, "-e", &end, FIRST_SEGMENT, &last];
    let theirs = printed(program("pg_waldump").args(arguments));
    take_back(&data);
    let ours = run(&[&["waldump"], &arguments[..]].concat());
    let said = String::from_utf8_lossy(&ours.stderr);
    assert!(ours.status.success() && said.is_empty(), "{said}");
    let ours = String::from_utf8(ours.stdout).expect("text");
    for (line, (theirs, ours)) in theirs.lines().zip(ours.lines()).enumerate() {
        assert_eq!(theirs, ours, "record {line}");
    }
    assert!(theirs == ours, "{} and {} bytes", theirs.len(), ours.len());
    assert!(theirs.lines().count() > 1000 && !theirs.contains("UNKNOWN"), "{}", theirs.len());
    for kind in [
        "CHECKPOINT_ONLINE",
        "PARAMETER_CHANGE",
        "FPW",
        "HOT_UPDATE",
        "COMMIT ",
        "RESTORE_POINT the end",
        "PREPARE ",
        "COMMIT_PREPARED",
        "ABORT_PREPARED",
        "ASSIGNMENT",
        "PRUNE",
        "desc: VACUUM",
        "FREEZE_PAGE",
        "VISIBLE",
        "CREATE_ID",
        "TRUNCATE_ID",
    ] {
        assert!(theirs.contains(kind), "no {kind}");
    }
    for manager in ["CLOG ", "CommitTs ", "Btree "] {
        let kind = if manager == "Btree " { "desc: VACUUM" } else { "desc: TRUNCATE" };
        let is_one =
            |line: &str| line.starts_with(&format!("rmgr: {manager}")) && line.contains(kind);
        assert!(theirs.lines().any(is_one), "no {kind} of {manager}");
    }
}
