//! Empty pages at a table's end given back: when, to whom not, and what is then there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::PAGE_SIZE;
use base::disk::faulty::FaultyDisk;
use base::sync::thread;
use engine::vacuum::VacuumPhase;
use engine::{IndexDefinition, SnapshotMode, TableLockMode};

use super::*;
use crate::transactions::{MODES, account_columns, committed, engine, open};
use crate::waldump::compared;
use crate::{DATA, content};

/// Does not wait for who has the table.
fn at_once() -> VacuumOptions {
    VacuumOptions { truncation_wait: Duration::ZERO, ..VacuumOptions::default() }
}

/// A table of rows of which 15 fit a page, with an index on their identifiers.
fn long_accounts(engine: &Engine, count: i32) -> Table {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.create_table("account", &account_columns()).expect("made");
    let note = "n".repeat(480);
    let row = |id| vec![Value::Int4(id), Value::Int8(1), Value::Text(&note)];
    let rows: Vec<_> = (0..count).map(row).collect();
    table.insert_many(&mut transaction, &rows).expect("inserted");
    let definition = IndexDefinition::new("account_id", &[0]).unique();
    transaction.create_index(&table, &definition).expect("made");
    transaction.commit().expect("committed");
    table
}

fn pages(disk: &FaultyDisk, table: &Table, suffix: &str) -> usize {
    let path: PathBuf =
        Path::new(DATA).join(format!("base/5/{}{suffix}", table.locator().relation));
    content(disk, &path).expect("a file").len() / PAGE_SIZE
}

fn put_in(table: &Table, session: &mut Session<'_>, id: i32) -> Tid {
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let note = "n".repeat(480);
    let row = [Value::Int4(id), Value::Int8(2), Value::Text(&note)];
    let tid = table.insert(&mut transaction, &row).expect("inserted");
    transaction.commit().expect("committed");
    tid
}

#[test]
fn empty_pages_at_the_end_are_given_back() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let table = long_accounts(&engine, 1500);
        // Its rows go to the last page, as long as that is there.
        let mut old = engine.session().expect("a session");
        let last = put_in(&table, &mut old, 5000).block;
        assert_eq!((last, pages(&disk, &table, "")), (100, 101), "{mode:?}");
        // One row keeps a page in the midst.
        delete(&engine, &table, |id| id >= 300 && id != 600);
        let start = engine.log_end();
        let mut session = engine.session().expect("a session");
        let report = vacuum(&mut session, "account", &VacuumOptions::default());
        assert_eq!((report.pages, report.truncated), (41, 60), "{mode:?}: {report:?}");
        assert_eq!(pages(&disk, &table, ""), 41, "{mode:?}");
        assert_eq!(committed(&engine).len(), 301);
        // The page that this session put its last row into is gone; there is room on those that stay.
        let tid = put_in(&table, &mut old, 6000);
        assert!((20..=40).contains(&tid.block), "{mode:?}: {tid}");
        engine
            .check_indexes(&[], &mut |check| {
                assert!(check.outcome.is_ok(), "{check:?}");
                ControlFlow::Continue(())
            })
            .expect("checked");
        let log = compared(&disk, start);
        let path = format!("base/5/{}", table.locator().relation);
        assert!(log.contains(&format!("desc: TRUNCATE {path} to 41 blocks flags 7")), "{log}");
        // All of it: nothing is left but the maps' first pages.
        delete(&engine, &table, |_| true);
        let report = vacuum(&mut session, "account", &VacuumOptions::default());
        assert_eq!((report.pages, report.truncated), (0, 41), "{mode:?}: {report:?}");
        assert_eq!(["", "_fsm", "_vm"].map(|suffix| pages(&disk, &table, suffix)), [0, 2, 0]);
        assert_eq!(put_in(&table, &mut old, 7000).block, 0);
        // And after a crash the same.
        let left = disk.after_crash(3);
        drop((session, old));
        drop(engine);
        let engine = open(&left, mode);
        assert_eq!(committed(&engine), [(7000, 2)]);
        assert_eq!(pages(&left, &table, ""), 1);
        engine.close().expect("closed");
    }
}

#[test]
fn who_uses_the_table_keeps_its_end() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let table = long_accounts(&engine, 300);
    delete(&engine, &table, |id| id >= 100);
    let [mut session, mut other] = [(); 2].map(|()| engine.session().expect("a session"));
    let mut reader = other.begin(Isolation::ReadCommitted).expect("begun");
    let reading = reader.table("account").expect("there");
    reader
        .lock_table(&reading, TableLockMode::AccessShare, engine::WaitPolicy::Wait)
        .expect("free");
    let report = vacuum(&mut session, "account", &at_once());
    assert_eq!((report.removed, report.pages, report.truncated), (200, 20, 0), "{report:?}");
    reader.rollback().expect("rolled back");
    let not = VacuumOptions { truncates: false, ..at_once() };
    assert_eq!(vacuum(&mut session, "account", &not).truncated, 0);
    let report = vacuum(&mut session, "account", &at_once());
    assert_eq!((report.pages, report.truncated), (7, 13), "{report:?}");
    // One page in more than sixteen is not worth it.
    delete(&engine, &table, |id| id >= 95);
    long_rows(&engine, &table, 1000..1300);
    delete(&engine, &table, |id| id >= 1295);
    let report = vacuum(&mut session, "account", &at_once());
    assert_eq!((report.truncated, pages(&disk, &table, "")), (0, report.pages as usize));
}

fn long_rows(engine: &Engine, table: &Table, ids: std::ops::Range<i32>) {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let note = "n".repeat(480);
    for id in ids {
        let row = [Value::Int4(id), Value::Int8(1), Value::Text(&note)];
        table.insert(&mut transaction, &row).expect("inserted");
    }
    transaction.commit().expect("committed");
}

/// Somebody comes to wait while the end is looked at: he gets the table, and the rest goes afterwards.
#[test]
fn who_waits_for_the_table_gets_it() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let table = long_accounts(&engine, 1500);
    delete(&engine, &table, |id| id >= 30);
    let options = VacuumOptions { truncation_look: Duration::ZERO, ..VacuumOptions::default() };
    let mut session = engine.session().expect("a session");
    let seen = thread::scope(|scope| {
        let (engine, table) = (&engine, &table);
        let mut looks = 0;
        let mut waiter = None;
        let report = session.vacuum(Some("account"), &options, &mut |progress| {
            looks += i32::from(progress.phase == VacuumPhase::Truncating);
            // The first is before the lock, the second at the last pages.
            if looks == 3 && waiter.is_none() {
                waiter = Some(scope.spawn(move || {
                    let mut session = engine.session().expect("a session");
                    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
                    let rows = table.scan(&mut transaction).expect("a scan").count();
                    transaction.commit().expect("committed");
                    rows
                }));
                while engine.waiting() == 0 {
                    thread::yield_now();
                }
            }
            ControlFlow::Continue(())
        });
        let report = report.expect("vacuumed").remove(0);
        assert_eq!((report.pages, report.truncated), (2, 98), "{report:?}");
        waiter.expect("there was time for it").join().expect("no panic")
    });
    assert_eq!(seen, 30);
}
