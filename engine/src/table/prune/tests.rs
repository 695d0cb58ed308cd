//! Pages noted by updates are pruned in waits, if nobody sees what the update left, and only while the transaction has their table
//! locked and keeps it. `wait` stands for the wait of a commit.

use std::ops::ControlFlow;

use base::disk::RealDisk;
use base::page::LinePointerState;
use base::{BlockNumber, ForkNumber};
use tempfile::TempDir;

use super::*;
use crate::data_directory::{Birth, InitOptions, init};
use crate::heap::{ColumnType, Value};
use crate::vacuum::{VacuumOptions, VacuumProgress};
use crate::{Column, Engine, EngineOptions, Isolation, SnapshotMode, Table, Transaction};

/// Rows of the tables, those of each page one behind the other.
const ROWS: i32 = 112;
/// How many of them fill the first page.
const ON_FIRST: u16 = 58;

fn engine(mode: SnapshotMode) -> (TempDir, Engine) {
    let directory = tempfile::tempdir().expect("a directory");
    let birth = Birth::now().expect("random bytes");
    init(&RealDisk, directory.path(), &InitOptions::default(), &birth).expect("a new cluster");
    let options = EngineOptions { mode, buffers: 256, ..EngineOptions::default() };
    let engine = Engine::open(directory.path(), options).expect("opens");
    (directory, engine)
}

fn filler() -> String {
    "x".repeat(100)
}

/// A table of two pages, with room for four more rows on each: which is to be short of it.
fn table(session: &mut Session<'_>, name: &str) -> Table {
    let columns = [Column::new("id", ColumnType::Int4), Column::new("filler", ColumnType::Text)];
    let mut transaction = begin(session);
    let table = transaction.create_table(name, &columns).expect("made");
    let filler = filler();
    let rows: Vec<_> = (0..ROWS).map(|id| vec![Value::Int4(id), Value::Text(&filler)]).collect();
    let tids = table.insert_many(&mut transaction, &rows).expect("put in");
    assert_eq!(tids[usize::from(ON_FIRST)], Tid { block: 1, offset: 1 }, "the first page is full");
    transaction.commit().expect("commits");
    let mut transaction = begin(session);
    for offset in ON_FIRST - 3..=ON_FIRST {
        table.delete(&mut transaction, Tid { block: 0, offset }).expect("deleted");
    }
    transaction.commit().expect("commits");
    let nobody = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
    session.vacuum(Some(name), &VacuumOptions::default(), nobody).expect("vacuumed");
    table
}

fn begin<'s, 'e>(session: &'s mut Session<'e>) -> Transaction<'s, 'e> {
    session.begin(Isolation::RepeatableRead).expect("begins")
}

/// Updates the first row of a page.
fn update(transaction: &mut Transaction<'_, '_>, table: &Table, block: BlockNumber) {
    let filler = filler();
    let values = [Value::Int4(-1), Value::Text(&filler)];
    let updated = table.update(transaction, Tid { block, offset: 1 }, &values).expect("updates");
    assert_eq!(updated.map(|tid| tid.block), Some(block), "there is room");
}

fn update_alone(session: &mut Session<'_>, table: &Table, block: BlockNumber) {
    let mut transaction = begin(session);
    update(&mut transaction, table, block);
    transaction.commit().expect("commits");
}

/// What a commit does while it waits; how many pages it looked at.
fn wait(transaction: &mut Transaction<'_, '_>) -> usize {
    let session = &mut *transaction.session;
    if !session.to_prune.is_wanted() {
        return 0;
    }
    let horizon = session.horizon();
    let (ToEnd { inserter, to_prune, .. }, mut pruner) = session.split();
    std::iter::repeat_with(|| pruner.prune_noted(horizon, inserter, to_prune))
        .take_while(|did| *did)
        .count()
}

/// Whether a page's first row has had its old version taken away.
fn is_pruned(engine: &Engine, table: &Table, block: BlockNumber) -> bool {
    let name = PageName { locator: table.locator(), fork: ForkNumber::Main, block };
    let pinned = engine.shared().storage.pool.get(name).expect("there");
    let guard = pinned.read();
    let first = Page::assume_valid(&guard).line_pointer(1).expect("there");
    first.state() == LinePointerState::Redirect
}

const MODES: [SnapshotMode; 2] = [SnapshotMode::Classic, SnapshotMode::CommitTs];

#[test]
fn prunes_what_nobody_sees() {
    for mode in MODES {
        let (_directory, engine) = engine(mode);
        let mut session = engine.session().expect("a session");
        let table = table(&mut session, "t");
        update_alone(&mut session, &table, 0);
        let mut transaction = begin(&mut session);
        assert_eq!(wait(&mut transaction), 0, "without a lock of the table");
        update(&mut transaction, &table, 1);
        assert!(!is_pruned(&engine, &table, 0), "nobody has waited");
        assert_eq!(wait(&mut transaction), 1);
        assert!(is_pruned(&engine, &table, 0), "{mode:?}");
        assert_eq!(wait(&mut transaction), 0, "once");
        transaction.commit().expect("commits");
        assert!(!is_pruned(&engine, &table, 1), "its own was not over");
    }
}

#[test]
fn comes_back_to_what_a_snapshot_saw() {
    for mode in MODES {
        let (_directory, engine) = engine(mode);
        let (mut session, mut other) = (engine.session().unwrap(), engine.session().unwrap());
        let table = table(&mut session, "t");
        let mut reader = begin(&mut other);
        let first = Tid { block: 0, offset: 1 };
        assert!(table.get(&mut reader, first).expect("read").is_some());
        update_alone(&mut session, &table, 0);
        let mut transaction = begin(&mut session);
        update(&mut transaction, &table, 1);
        assert_eq!(wait(&mut transaction), 0, "{mode:?}");
        assert!(!is_pruned(&engine, &table, 0));
        assert!(table.get(&mut reader, first).expect("read").is_some());
        transaction.commit().expect("commits");
        reader.commit().expect("commits");
        let mut transaction = begin(&mut session);
        update(&mut transaction, &table, 1);
        assert!(!is_pruned(&engine, &table, 0));
        assert_eq!(wait(&mut transaction), 2, "{mode:?}");
        assert!(is_pruned(&engine, &table, 0));
        transaction.commit().expect("commits");
    }
}

#[test]
fn looks_at_no_table_that_is_not_locked_any_more() {
    let (_directory, engine) = engine(SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let (table, another) = (table(&mut session, "t"), self::table(&mut session, "another"));
    update_alone(&mut session, &table, 0);
    let mut transaction = begin(&mut session);
    update(&mut transaction, &another, 0);
    assert_eq!(wait(&mut transaction), 0, "another table");
    let savepoint = transaction.savepoint().expect("set");
    update(&mut transaction, &table, 1);
    transaction.rollback_to(savepoint).expect("rolled back");
    assert_eq!(wait(&mut transaction), 0, "the lock was given back");
    update(&mut transaction, &table, 1);
    transaction.rollback().expect("rolled back");
    let mut transaction = begin(&mut session);
    assert_eq!(wait(&mut transaction), 0, "the transaction is over");
    update(&mut transaction, &table, 1);
    assert_eq!(
        wait(&mut transaction),
        1,
        "what was rolled back is not noted, what was committed is"
    );
    transaction.commit().expect("commits");
}

#[test]
fn leaves_a_table_alone_that_the_transaction_drops() {
    let (_directory, engine) = engine(SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let table = table(&mut session, "t");
    update_alone(&mut session, &table, 0);
    let mut transaction = begin(&mut session);
    update(&mut transaction, &table, 1);
    let savepoint = transaction.savepoint().expect("set");
    transaction.drop_table("t").expect("dropped");
    assert_eq!(wait(&mut transaction), 0, "recovery has no such file any more behind the commit");
    assert!(!is_pruned(&engine, &table, 0));
    transaction.rollback_to(savepoint).expect("rolled back");
    update(&mut transaction, &table, 1);
    transaction.commit().expect("commits");
    let mut transaction = begin(&mut session);
    update(&mut transaction, &table, 1);
    assert_eq!(wait(&mut transaction), 2, "it is there again");
    assert!(is_pruned(&engine, &table, 0));
    transaction.commit().expect("commits");
}

#[test]
fn leaves_a_page_alone_that_others_have_changed_since() {
    let (_directory, engine) = engine(SnapshotMode::Classic);
    let sessions =
        (engine.session().unwrap(), engine.session().unwrap(), engine.session().unwrap());
    let (mut session, mut other, mut third) = sessions;
    let (table, another) = (table(&mut session, "t"), self::table(&mut session, "another"));
    // As long as it reads, nobody who comes to the page prunes it.
    let mut reader = begin(&mut third);
    assert!(table.get(&mut reader, Tid { block: 0, offset: 1 }).expect("read").is_some());
    update_alone(&mut session, &table, 0);
    update_alone(&mut other, &table, 0);
    reader.commit().expect("commits");
    update_alone(&mut other, &another, 0);
    let mut transaction = begin(&mut session);
    update(&mut transaction, &table, 1);
    assert_eq!(wait(&mut transaction), 1);
    assert!(!is_pruned(&engine, &table, 0));
    transaction.commit().expect("commits");
}
