//! A disk that fails under transactions: what the caller is told, and what goes on.

use base::disk::faulty::{Fault, FaultKind, Lasting, Operation, Site};
use engine::Error;

use super::*;

/// Makes the next call of this kind fail.
fn fail(disk: &FaultyDisk, operation: Operation, path: &str, kind: FaultKind) {
    let site = Site::new(operation, &Path::new(DATA).join(path));
    let at = disk.sites().get(&site).map_or(1, |calls| calls + 1);
    disk.inject(Fault { site, at, lasting: Lasting::Once, kind });
}

/// Makes the next write of a file of the data directory find no room.
pub(super) fn fail_write_for_want_of_space(disk: &FaultyDisk, path: &str) {
    fail(disk, Operation::Write, path, FaultKind::NoSpace);
}

/// A row of half a page.
fn wide(id: i32, text: &str) -> [Value<'_>; 3] {
    [Value::Int4(id), Value::Int8(1), Value::Text(text)]
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let (table, _) = with_accounts(&engine, 3, 1);
    let text = "x".repeat(4000);
    let mut session = engine.session().expect("a session");
    let file = format!("base/5/{}", table.locator().relation);
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    table.insert(&mut transaction, &wide(3, &text)).expect("room on the first page");
    fail_write_for_want_of_space(&disk, &file);
    let error = table.insert(&mut transaction, &wide(4, &text)).expect_err("the disk is full");
    assert!(error.to_string().contains("check free disk space"), "{error}");
    assert!(matches!(
        table.get(&mut transaction, Tid { block: 0, offset: 1 }),
        Err(Error::TransactionFailed)
    ));
    transaction.rollback().expect("rolled back");

    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    for id in 3..9 {
        table.insert(&mut transaction, &wide(id, &text)).expect("there is room again");
    }
    transaction.commit().expect("committed");
    drop(session);
    let expected: Vec<_> = (0..9).map(|id| (id, 1)).collect();
    assert_eq!(committed(&engine), expected);
    engine.close().expect("closed");
    assert_eq!(committed(&open(&disk, SnapshotMode::Classic)), expected);
}

/// The commit is not told, nobody sees it, and nothing goes on: what is on the disk is not known.
#[test]
fn a_log_that_cannot_be_synced_stops_the_engine() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 1);
        let mut session = engine.session().expect("a session");
        let mut reading = engine.session().expect("a session");
        let mut reader = reading.begin(Isolation::ReadCommitted).expect("begun");
        assert_eq!(accounts(&table, &mut reader), [(0, 1)]);
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.update(&mut transaction, tids[0], &account(0, 2)).expect("updated");
        let segment = "pg_wal/000000010000000000000001";
        fail(&disk, Operation::SyncData, segment, FaultKind::FailedSync);
        let first = transaction.commit().expect_err("not durable").to_string();
        assert!(first.contains("could not sync"), "{first}");
        let error = table.scan(&mut reader).expect_err("stopped").to_string();
        assert!(
            error.contains("the engine has stopped") && error.contains("could not sync"),
            "{error}"
        );
        assert!(session.begin(Isolation::ReadCommitted).is_err());
        assert!(engine.session().is_err());
        drop(reader);
        drop((session, reading));
        let changes = disk.changing_calls();
        assert!(engine.close().is_err());
        // But for the lock file, which is given back.
        assert!(disk.changing_calls() <= changes + 2, "nothing is written any more");
    }
}

#[test]
fn a_file_that_cannot_be_made_is_told() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    with_accounts(&engine, 1, 1);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let made = transaction.create_table("first", &account_columns()).expect("made");
    drop(transaction);
    let next = made.locator().relation + 1;
    fail(&disk, Operation::OpenForWriting, &format!("base/5/{next}"), FaultKind::NoSpace);
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let error = transaction.create_table("second", &account_columns()).expect_err("full");
    assert!(error.to_string().contains("could not create"), "{error}");
    drop(transaction);
    // The name is free again.
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    transaction.create_table("second", &account_columns()).expect("made");
    transaction.commit().expect("committed");
    assert_eq!(engine.table_names(), ["account", "second"]);
}
