//! Prepared transactions: neither ended nor anybody's, over restarts and crashes, until somebody says how they end.

use super::locks::{FOREVER, until_waiting};
use super::*;
use crate::slru_server::NoLog;
use base::sync::thread;
use engine::slru::CommitTsLog;
use engine::{
    AdvisoryKey, AdvisoryMode, Error, IndexDefinition, PreparedError, TableLockMode, WaitPolicy,
};

fn gids(engine: &Engine) -> Vec<String> {
    engine.prepared().into_iter().map(|prepared| prepared.gid).collect()
}

fn refused(result: Result<(), Error>) -> (String, &'static str) {
    let error = result.expect_err("refused");
    (error.to_string(), error.sqlstate())
}

/// The account with this number gets an amount, in a transaction that is prepared.
fn prepare_update(engine: &Engine, table: &Table, tid: Tid, row: (i32, i64), gid: &str) {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    table.update(&mut transaction, tid, &account(row.0, row.1)).expect("updated").expect("there");
    transaction.prepare(gid).expect("prepared");
}

#[test]
fn any_session_ends_what_another_prepared() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 2, 100);
        let mut session = engine.session().expect("a session");
        let mut reading = engine.session().expect("a session");
        let mut reader = reading.begin(Isolation::RepeatableRead).expect("begun");
        assert_eq!(accounts(&table, &mut reader), [(0, 100), (1, 100)]);
        prepare_update(&engine, &table, tids[0], (0, 70), "a");
        prepare_update(&engine, &table, tids[1], (1, 30), "b");
        assert_eq!(gids(&engine), ["a", "b"]);
        assert!(engine.prepared()[0].xid.precedes(engine.prepared()[1].xid));
        assert_eq!(committed(&engine), [(0, 100), (1, 100)]);
        session.commit_prepared("a").expect("committed");
        assert_eq!(committed(&engine), [(0, 70), (1, 100)]);
        session.rollback_prepared("b").expect("rolled back");
        assert_eq!(committed(&engine), [(0, 70), (1, 100)]);
        assert_eq!(accounts(&table, &mut reader), [(0, 100), (1, 100)]);
        drop(reader);
        assert!(gids(&engine).is_empty());
        // The row is free again, and the identifiers are.
        prepare_update(&engine, &table, tids[1], (1, 31), "b");
        session.commit_prepared("b").expect("committed");
        assert_eq!(committed(&engine), [(0, 70), (1, 31)]);
    }
}

#[test]
fn what_cannot_be_prepared_is_rolled_back() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let (table, tids) = with_accounts(&engine, 1, 100);
    let mut session = engine.session().expect("a session");
    let attempt = |gid: &str| {
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.update(&mut transaction, tids[0], &account(0, 1)).expect("updated").expect("there");
        transaction.prepare(gid)
    };
    let long = "x".repeat(200);
    assert_eq!(
        refused(attempt(&long)),
        (format!("transaction identifier \"{long}\" is too long"), "22023")
    );
    // One that has changed nothing can be prepared, too.
    session.begin(Isolation::ReadCommitted).expect("begun").prepare("empty").expect("prepared");
    assert_eq!(
        refused(attempt("empty")),
        ("transaction identifier \"empty\" is already in use".to_owned(), "42710")
    );
    session.rollback_prepared("empty").expect("rolled back");
    assert_eq!(
        refused(session.commit_prepared("empty")),
        ("prepared transaction with identifier \"empty\" does not exist".to_owned(), "42704")
    );
    assert_eq!(committed(&engine), [(0, 100)]);
    attempt(&long[1..]).expect("prepared");
    session.commit_prepared(&long[1..]).expect("committed");
    assert_eq!(committed(&engine), [(0, 1)]);

    let (key, mode) = (AdvisoryKey::One(5), AdvisoryMode::Exclusive);
    assert!(session.advisory_lock(key, mode, WaitPolicy::Wait).expect("free"));
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    transaction.advisory_lock(key, mode, WaitPolicy::Wait).expect("had");
    let said = "cannot PREPARE while holding both session-level and transaction-level locks on the same object";
    assert_eq!(refused(transaction.prepare("both")), (said.to_owned(), "0A000"));
    // Beyond the transaction the session keeps what it has.
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let other = AdvisoryKey::Two(1, 2);
    transaction.advisory_lock(other, mode, WaitPolicy::Wait).expect("free");
    transaction.prepare("one").expect("prepared");
    let mut another = engine.session().expect("a session");
    assert!(!another.advisory_lock(key, mode, WaitPolicy::NoWait).expect("asked"));
    assert!(!another.advisory_lock(other, mode, WaitPolicy::NoWait).expect("asked"));
    session.commit_prepared("one").expect("committed");
    assert!(another.advisory_lock(other, mode, WaitPolicy::NoWait).expect("asked"));
    assert!(!another.advisory_lock(key, mode, WaitPolicy::NoWait).expect("asked"));
}

#[test]
fn there_are_as_many_as_the_option_says() {
    let (disk, _) = initialized();
    let with = |most| {
        let usual = options(SnapshotMode::Classic);
        open_with(&disk, EngineOptions { prepared_transactions: most, ..usual })
    };
    let attempt = |engine: &Engine, gid: &str| {
        let mut session = engine.session().expect("a session");
        session.begin(Isolation::ReadCommitted).expect("begun").prepare(gid)
    };
    let engine = with(2);
    attempt(&engine, "a").expect("prepared");
    attempt(&engine, "b").expect("prepared");
    assert_eq!(
        refused(attempt(&engine, "c")),
        ("maximum number of prepared transactions reached".to_owned(), "53200")
    );
    engine.close().expect("closed");
    // What is there is there, however few there may be.
    let engine = with(0);
    assert_eq!(gids(&engine), ["a", "b"]);
    assert_eq!(
        refused(attempt(&engine, "c")),
        ("prepared transactions are disabled".to_owned(), "55000")
    );
    engine.session().expect("a session").commit_prepared("b").expect("committed");
    assert!(matches!(attempt(&engine, "c"), Err(Error::Prepared(PreparedError::Disabled))));
    drop(engine);
    assert_eq!(gids(&with(1)), ["a"]);
}

/// Rows, row locks, table locks and advisory locks; subtransactions, more than a slot lists; over a restart or a crash, with
/// a checkpoint before and after, and without.
#[test]
fn it_outlives_its_engine() {
    for (mode, next_mode) in MODES.into_iter().zip(MODES.into_iter().cycle().skip(1)) {
        for (checkpoint, is_closed) in [(false, false), (true, false), (false, true)] {
            let (engine, disk) = engine(mode);
            let (table, tids) = with_accounts(&engine, 4, 100);
            let mut session = engine.session().expect("a session");
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            for id in 10..110 {
                let savepoint = transaction.savepoint().expect("begun");
                table.insert(&mut transaction, &account(id, 1)).expect("inserted");
                if id % 10 == 0 {
                    transaction.rollback_to(savepoint).expect("rolled back");
                }
                if id % 3 == 0 {
                    transaction.release(savepoint).expect("released");
                }
            }
            let newest = table.update(&mut transaction, tids[0], &account(0, 5));
            newest.expect("updated").expect("there");
            assert!(table.delete(&mut transaction, tids[1]).expect("deleted"));
            let locked = table
                .lock_row(&mut transaction, tids[2], engine::RowLock::Share, WaitPolicy::Wait)
                .expect("locked");
            assert!(matches!(locked, engine::RowLocked::Locked(_)), "{locked:?}");
            let key = AdvisoryKey::Two(7, 8);
            let advisory = AdvisoryMode::Exclusive;
            assert!(transaction.advisory_lock(key, advisory, WaitPolicy::Wait).expect("free"));
            let mode_of_table = TableLockMode::ShareUpdateExclusive;
            transaction.lock_table(&table, mode_of_table, WaitPolicy::Wait).expect("free");
            transaction.prepare("it").expect("prepared");
            if checkpoint {
                engine.checkpoint().expect("made");
                engine.checkpoint().expect("made");
            }
            drop((session, table));
            let before = engine.prepared();
            match is_closed {
                true => engine.close().expect("closed"),
                false => drop(engine),
            }

            let engine = open(&disk, next_mode);
            assert_eq!(engine.prepared(), before);
            assert_eq!(committed(&engine), [(0, 100), (1, 100), (2, 100), (3, 100)]);
            let mut session = engine.session().expect("a session");
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let table = transaction.table("account").expect("there");
            transaction.rollback().expect("rolled back");
            let no_wait = WaitPolicy::NoWait;
            for (tid, lock, is_free) in [
                (tids[0], engine::RowLock::KeyShare, true),
                (tids[0], engine::RowLock::Share, false),
                (tids[1], engine::RowLock::KeyShare, false),
                (tids[2], engine::RowLock::Share, true),
                (tids[2], engine::RowLock::NoKeyUpdate, false),
                (tids[3], engine::RowLock::Update, true),
            ] {
                let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
                let locked = table.lock_row(&mut transaction, tid, lock, no_wait);
                let had = matches!(locked, Ok(engine::RowLocked::Locked(_)));
                assert_eq!(had, is_free, "{lock:?} of {tid}: {locked:?}");
            }
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            assert!(!transaction.advisory_lock(key, advisory, no_wait).expect("asked"));
            let refused = transaction.lock_table(&table, mode_of_table, no_wait);
            assert!(matches!(refused, Err(Error::LockNotAvailable(_))), "{refused:?}");
            transaction.lock_table(&table, TableLockMode::RowExclusive, no_wait).expect("free");
            transaction.rollback().expect("rolled back");

            // Whoever waits for a row goes on when the transaction ends.
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let mut session = engine.session().expect("a session");
                    session.set_deadlock_timeout(FOREVER);
                    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
                    let deleted = table.delete(&mut transaction, tids[1]).expect("waited");
                    transaction.commit().expect("committed");
                    deleted
                });
                until_waiting(&engine, 1);
                session.commit_prepared("it").expect("committed");
                assert!(!waiter.join().expect("no panic"), "it was gone");
            });
            let mut expected = vec![(0, 5), (2, 100), (3, 100)];
            expected.extend((10..110).filter(|id| id % 10 != 0).map(|id| (id, 1)));
            assert_eq!(committed(&engine), expected);
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let exclusive = TableLockMode::AccessExclusive;
            transaction.lock_table(&table, exclusive, no_wait).expect("free");
            assert!(transaction.advisory_lock(key, advisory, no_wait).expect("asked"));
            transaction.rollback().expect("rolled back");
            drop(session);
            drop(engine);
            let engine = open(&disk, mode);
            assert!(engine.prepared().is_empty());
            assert_eq!(committed(&engine), expected);
            engine.close().expect("closed");
            let files = disk.list(&Path::new(DATA).join("pg_twophase")).expect("a directory");
            assert!(files.is_empty(), "{files:?}");
        }
    }
}

/// Tables made and dropped, one after the other by the same name; names and files as the outcome says, also where the engine
/// ran anew in between.
#[test]
fn tables_are_made_and_dropped_with_it() {
    for (restarts, commits) in [(false, true), (false, false), (true, true), (true, false)] {
        let (engine, disk) = engine(SnapshotMode::Mirror);
        let mut session = engine.session().expect("a session");
        for name in ["dropped", "replaced", "stays"] {
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            transaction.create_table(name, &account_columns()).expect("made");
            transaction.commit().expect("committed");
        }
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        transaction.drop_table("dropped").expect("dropped");
        let savepoint = transaction.savepoint().expect("begun");
        transaction.drop_table("replaced").expect("dropped");
        let replaced = transaction.create_table("replaced", &account_columns()[..2]).expect("made");
        transaction.release(savepoint).expect("released");
        let made = transaction.create_table("made", &account_columns()).expect("made");
        made.insert(&mut transaction, &account(1, 1)).expect("inserted");
        let stays = transaction.table("stays").expect("there");
        for (table, name) in [(&made, "made_id"), (&stays, "stays_id")] {
            let definition = IndexDefinition::new(name, &[0]).unique();
            transaction.create_index(table, &definition).expect("made");
        }
        let undone = transaction.savepoint().expect("begun");
        transaction.create_table("never", &account_columns()).expect("made");
        transaction.rollback_to(undone).expect("rolled back");
        let files = [made.locator().relation, replaced.locator().relation];
        transaction.prepare("tables").expect("prepared");
        drop((session, made, stays, replaced));
        let engine = if restarts {
            drop(engine);
            open(&disk, SnapshotMode::Mirror)
        } else {
            engine
        };

        assert_eq!(engine.table_names(), ["dropped", "replaced", "stays"]);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        for name in ["dropped", "replaced"] {
            let refused =
                transaction.open_table(name, TableLockMode::AccessShare, WaitPolicy::NoWait);
            assert!(matches!(refused, Err(Error::LockNotAvailable(_))), "{refused:?}");
        }
        transaction.rollback().expect("rolled back");
        // Another that would make a table by a name of its waits for it.
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut session = engine.session().expect("a session");
                let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
                let made = transaction.create_table("made", &account_columns()).map(drop);
                transaction.rollback().expect("rolled back");
                made
            });
            until_waiting(&engine, 1);
            match commits {
                true => session.commit_prepared("tables").expect("committed"),
                false => session.rollback_prepared("tables").expect("rolled back"),
            }
            let made = waiter.join().expect("no panic");
            assert_eq!(matches!(made, Err(Error::TableExists(_))), commits, "{made:?}");
        });
        let exists = |relation: u32| {
            disk.exists(&Path::new(DATA).join(format!("base/5/{relation}"))).expect("looked")
        };
        let check = |engine: &Engine| {
            let names: &[&str] = if commits {
                &["made", "replaced", "stays"]
            } else {
                &["dropped", "replaced", "stays"]
            };
            assert_eq!(engine.table_names(), names);
            assert_eq!(files.map(exists), [commits; 2]);
            let mut session = engine.session().expect("a session");
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let replaced = transaction.table("replaced").expect("there");
            assert_eq!(replaced.columns().len(), if commits { 2 } else { 3 });
            let mut indexes = |name: &str| {
                let table = transaction.table(name).expect("there");
                let indexes = table.indexes(&mut transaction).expect("read");
                indexes.iter().map(|index| index.name().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(indexes("stays"), if commits { vec!["stays_id"] } else { vec![] });
            let names = if commits { indexes("made") } else { Vec::new() };
            assert_eq!(names, if commits { vec!["made_id"] } else { vec![] });
            if commits {
                let made = transaction.table("made").expect("there");
                assert_eq!(accounts(&made, &mut transaction), [(1, 1)]);
            }
        };
        check(&engine);
        drop(session);
        drop(engine);
        check(&open(&disk, SnapshotMode::Mirror));
    }
}

#[test]
fn a_commit_has_the_time_of_its_second_phase() {
    let (engine, disk) = engine(SnapshotMode::CommitTs);
    let (table, tids) = with_accounts(&engine, 2, 100);
    prepare_update(&engine, &table, tids[0], (0, 1), "early");
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    table.update(&mut transaction, tids[1], &account(1, 1)).expect("updated").expect("there");
    let later = transaction.xid().expect("it has one").xid();
    transaction.commit().expect("committed");
    let early = engine.prepared()[0].clone();
    session.commit_prepared("early").expect("committed");
    drop((session, table));
    engine.close().expect("closed");
    let log = CommitTsLog::new(Arc::new(disk.clone()), Path::new(DATA), 4, Arc::new(NoLog));
    let time = |xid| log.get(xid).expect("read").expect("committed").time;
    assert!(time(early.xid) > time(later), "the second phase came later");
    assert!(time(early.xid) > early.prepared_at);
    assert_eq!(committed(&open(&disk, SnapshotMode::Mirror)), [(0, 1), (1, 1)]);
}
