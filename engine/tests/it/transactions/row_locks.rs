//! Row locks: which go together, who waits for whom, and what becomes of rows that are updated meanwhile. As PostgreSQL's
//! isolation specs of that name, where one is named.

use super::locks::{FOREVER, begin, sessions, until_waiting};
use super::recovered::{quiet, reopen};
use super::*;
use RowLock::{KeyShare, NoKeyUpdate, Share, Update};
use WaitPolicy::{NoWait, SkipLocked, Wait};
use base::sync::thread;
use engine::{Error, RowLock, RowLocked, WaitPolicy};

const STRENGTHS: [RowLock; 4] = [KeyShare, Share, NoKeyUpdate, Update];

/// A table of accounts whose identifier is a key.
fn with_keys(engine: &Engine, count: i32) -> (Table, Vec<Tid>) {
    let [mut session] = sessions(engine);
    let mut transaction = begin(&mut session);
    let table = transaction.create_table("account", &account_columns()).expect("made");
    make_key(&table, &mut transaction);
    let rows: Vec<_> = (0..count).map(|id| account(id, 100).to_vec()).collect();
    let tids = table.insert_many(&mut transaction, &rows).expect("inserted");
    transaction.commit().expect("committed");
    (table, tids)
}

/// Locks a row that is there.
fn lock(
    table: &Table,
    transaction: &mut Transaction<'_, '_>,
    tid: Tid,
    strength: RowLock,
) -> (i32, i64) {
    match table.lock_row(transaction, tid, strength, Wait).expect("locked") {
        RowLocked::Locked(row) | RowLocked::Updated(row) => read(&row),
        other => panic!("{other:?}"),
    }
}

/// Whether another session would get a lock at once.
fn is_free(engine: &Engine, table: &Table, tid: Tid, strength: RowLock) -> bool {
    let [mut session] = sessions(engine);
    let mut transaction = begin(&mut session);
    match table.lock_row(&mut transaction, tid, strength, SkipLocked).expect("asked") {
        RowLocked::Locked(_) | RowLocked::Updated(_) => true,
        RowLocked::Skipped => {
            let refused = table.lock_row(&mut transaction, tid, strength, NoWait);
            let error = refused.expect_err("held");
            assert!(matches!(error, Error::RowLockNotAvailable { .. }), "{error}");
            assert_eq!(error.sqlstate(), "55P03");
            false
        }
        RowLocked::Gone | RowLocked::Moved => panic!("the row is there"),
    }
}

#[test]
fn locks_go_together_as_the_table_says() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_keys(&engine, 1);
        for held in STRENGTHS {
            let [mut session] = sessions(&engine);
            let mut holder = begin(&mut session);
            assert_eq!(lock(&table, &mut holder, tids[0], held), (0, 100));
            for wanted in STRENGTHS {
                assert_eq!(
                    is_free(&engine, &table, tids[0], wanted),
                    !held.excludes(wanted),
                    "{held:?}, {wanted:?}"
                );
            }
            // Its own are in nobody's way, and the strongest counts.
            for again in STRENGTHS {
                lock(&table, &mut holder, tids[0], again);
            }
            assert!(STRENGTHS.iter().all(|wanted| !is_free(&engine, &table, tids[0], *wanted)));
            holder.rollback().expect("rolled back");
            assert!(is_free(&engine, &table, tids[0], Update));
        }
    }
}

/// What an update locks depends on whether it changes the key.
#[test]
fn updates_that_leave_the_key_alone_go_together_with_key_share() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_keys(&engine, 3);
        let [mut one, mut other] = sessions(&engine);
        let mut one = begin(&mut one);
        table.update(&mut one, tids[0], &account(0, 1)).expect("free").expect("there");
        table.update(&mut one, tids[1], &account(11, 1)).expect("free").expect("there");
        assert!(table.delete(&mut one, tids[2]).expect("free"));
        for (tid, is_weak) in [(tids[0], true), (tids[1], false), (tids[2], false)] {
            for wanted in STRENGTHS {
                assert_eq!(is_free(&engine, &table, tid, wanted), is_weak && wanted == KeyShare);
            }
        }
        // The other way round; the lock goes over to the new version, and keeps others from changing the key of that.
        let mut other = begin(&mut other);
        assert_eq!(lock(&table, &mut other, tids[0], KeyShare), (0, 100));
        one.commit().expect("committed");
        assert!(is_free(&engine, &table, tids[0], NoKeyUpdate));
        assert!(!is_free(&engine, &table, tids[0], Update));
        assert_eq!(committed(&engine), [(0, 1), (11, 1)]);
        other.rollback().expect("rolled back");
        assert!(is_free(&engine, &table, tids[0], Update));
    }
}

/// Several share a row; the set that they make is taken apart as they end, also one by one within savepoints.
#[test]
fn many_share_a_row() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let (table, tids) = with_keys(&engine, 2);
        let mut sharing: [_; 6] = sessions(&engine);
        let mut sharers: Vec<_> = sharing.iter_mut().map(begin).collect();
        let mut savepoints = Vec::new();
        for sharer in &mut sharers {
            savepoints.push(sharer.savepoint().expect("begun"));
            lock(&table, sharer, tids[0], Share);
            lock(&table, sharer, tids[1], KeyShare);
        }
        engine.checkpoint().expect("made");
        // Beside those who share its key, a row is updated; not beside who shares all of it.
        let [mut session] = sessions(&engine);
        let mut updater = begin(&mut session);
        assert!(!is_free(&engine, &table, tids[0], NoKeyUpdate));
        table.update(&mut updater, tids[1], &account(1, 5)).expect("beside them").expect("there");
        updater.commit().expect("committed");
        assert!(!is_free(&engine, &table, tids[1], Update));
        assert_eq!(committed(&engine), [(0, 100), (1, 5)]);
        let last = sharers.len() - 1;
        for (at, (mut sharer, savepoint)) in sharers.into_iter().zip(savepoints).enumerate() {
            assert!(!is_free(&engine, &table, tids[0], Update));
            if at % 2 == 0 {
                sharer.rollback_to(savepoint).expect("rolled back");
                assert_eq!(is_free(&engine, &table, tids[0], Update), at == last);
            }
            sharer.commit().expect("committed");
        }
        assert!(
            is_free(&engine, &table, tids[0], Update) && is_free(&engine, &table, tids[1], Update)
        );
        drop((session, sharing));
        engine.close().expect("closed");
        assert_eq!(committed(&open(&disk, mode)), [(0, 100), (1, 5)]);
    }
}

/// The specs lock-committed-update and lock-committed-keyupdate, at both isolation levels.
#[test]
fn who_waited_gets_the_newest_version() {
    for mode in MODES {
        for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
            for (id, amount) in [(0, 1), (7, 100)] {
                let (engine, _) = engine(mode);
                let (table, tids) = with_keys(&engine, 1);
                let [mut updating] = sessions(&engine);
                let mut updater = begin(&mut updating);
                table
                    .update(&mut updater, tids[0], &account(id, amount))
                    .expect("free")
                    .expect("there");
                thread::scope(|scope| {
                    let (engine, table, tids) = (&engine, &table, &tids);
                    let locker = scope.spawn(move || {
                        let [mut session] = sessions(engine);
                        let mut transaction = session.begin(isolation).expect("begun");
                        assert_eq!(accounts(table, &mut transaction), [(0, 100)]);
                        let locked = table.lock_row(&mut transaction, tids[0], NoKeyUpdate, Wait);
                        match isolation {
                            Isolation::ReadCommitted => {
                                let RowLocked::Updated(row) = locked.expect("waited") else {
                                    panic!("updated")
                                };
                                assert_eq!(read(&row), (id, amount));
                                assert!(!is_free(engine, table, row.tid(), Share));
                            }
                            Isolation::RepeatableRead => {
                                let error = locked.expect_err("changed since");
                                assert!(matches!(error, Error::Serialization { .. }), "{error}");
                            }
                        }
                    });
                    until_waiting(engine, 1);
                    updater.commit().expect("committed");
                    locker.join().expect("no panic");
                });
            }
        }
    }
}

/// The spec propagate-lock-delete, and lock-update-traversal: a key-share lock reaches the versions that running
/// transactions make.
#[test]
fn a_key_share_lock_follows_the_row() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_keys(&engine, 1);
        let [mut updating, mut locking, mut later] = sessions(&engine);
        let mut updater = begin(&mut updating);
        table.update(&mut updater, tids[0], &account(0, 1)).expect("free").expect("there");
        let mut locker = begin(&mut locking);
        assert_eq!(lock(&table, &mut locker, tids[0], KeyShare), (0, 100));
        updater.commit().expect("committed");
        let mut deleter = begin(&mut later);
        deleter.set_lock_timeout(Some(Duration::from_millis(1)));
        let error = table.delete(&mut deleter, tids[0]).expect_err("its key is shared");
        assert!(matches!(error, Error::LockTimeout), "{error}");
        deleter.rollback().expect("rolled back");
        locker.commit().expect("committed");
        let mut deleter = begin(&mut later);
        assert!(table.delete(&mut deleter, tids[0]).expect("free"));
        deleter.commit().expect("committed");
        assert!(committed(&engine).is_empty());
    }
}

/// The spec delete-abort-savept: what a subtransaction did to a row is undone, the lock that it was made under stays.
#[test]
fn a_lock_outlives_the_subtransaction_that_deleted_the_row() {
    for mode in MODES {
        for lock_first in [KeyShare, NoKeyUpdate, Update] {
            let (engine, _) = engine(mode);
            let (table, tids) = with_keys(&engine, 1);
            let [mut session] = sessions(&engine);
            let mut transaction = begin(&mut session);
            lock(&table, &mut transaction, tids[0], lock_first);
            let savepoint = transaction.savepoint().expect("begun");
            if lock_first == NoKeyUpdate {
                table
                    .update(&mut transaction, tids[0], &account(5, 1))
                    .expect("its own")
                    .expect("there");
            } else {
                assert!(table.delete(&mut transaction, tids[0]).expect("its own"));
            }
            assert!(!is_free(&engine, &table, tids[0], KeyShare));
            transaction.rollback_to(savepoint).expect("rolled back");
            for wanted in STRENGTHS {
                assert_eq!(
                    is_free(&engine, &table, tids[0], wanted),
                    !lock_first.excludes(wanted),
                    "{wanted:?}"
                );
            }
            transaction.commit().expect("committed");
            assert_eq!(committed(&engine), [(0, 100)]);
        }
    }
}

/// The spec multixact-no-deadlock: who shares a row and wants more of it does not wait for himself.
#[test]
fn who_shares_a_row_gets_more_of_it_when_the_others_end() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_keys(&engine, 1);
        let [mut one, mut two] = sessions(&engine);
        let (mut one, mut two) = (begin(&mut one), begin(&mut two));
        for transaction in [&mut one, &mut two] {
            transaction.set_deadlock_timeout(FOREVER);
            lock(&table, transaction, tids[0], KeyShare);
        }
        one.savepoint().expect("begun");
        lock(&table, &mut one, tids[0], NoKeyUpdate);
        thread::scope(|scope| {
            let (engine, table, tids) = (&engine, &table, &tids);
            let waiter = scope.spawn(move || {
                lock(table, &mut one, tids[0], Update);
                one.commit().expect("committed");
            });
            until_waiting(engine, 1);
            // In the same queue behind him, who shares the row already: does not enter it.
            two.commit().expect("committed");
            waiter.join().expect("no panic");
        });
        assert!(is_free(&engine, &table, tids[0], Update));
    }
}

/// The spec tuplelock-conflict's kind: those who wait for a row get it in the order in which they came.
#[test]
fn those_who_wait_for_a_row_are_served_in_turn() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_keys(&engine, 1);
        let [mut session] = sessions(&engine);
        let mut holder = begin(&mut session);
        lock(&table, &mut holder, tids[0], Update);
        let order = base::sync::Mutex::new(Vec::new());
        thread::scope(|scope| {
            let (engine, table, tids, order) = (&engine, &table, &tids, &order);
            for number in 0..4 {
                scope.spawn(move || {
                    let [mut session] = sessions(engine);
                    let mut transaction = begin(&mut session);
                    transaction.set_deadlock_timeout(FOREVER);
                    lock(table, &mut transaction, tids[0], Update);
                    order.lock().expect("lock").push(number);
                    transaction.commit().expect("committed");
                });
                until_waiting(engine, number + 1);
            }
            holder.commit().expect("committed");
        });
        assert_eq!(*order.lock().expect("lock"), [0, 1, 2, 3]);
    }
}

/// Locks of several are found by recovery: those who held them are gone, and the rows free.
#[test]
fn locks_end_with_a_crash() {
    for mode in MODES {
        let (disk, _) = initialized();
        let engine = reopen(disk.clone(), quiet(mode));
        let (table, tids) = with_keys(&engine, 3);
        let mut sharing: [_; 3] = sessions(&engine);
        let mut sharers: Vec<_> = sharing.iter_mut().map(begin).collect();
        for sharer in &mut sharers {
            for tid in &tids {
                lock(&table, sharer, *tid, KeyShare);
            }
        }
        let [mut session] = sessions(&engine);
        let mut updater = begin(&mut session);
        for (id, tid) in tids.iter().enumerate() {
            table
                .update(&mut updater, *tid, &account(id as i32, 7))
                .expect("beside them")
                .expect("there");
        }
        updater.commit().expect("committed");
        for seed in 0..4 {
            let engine = reopen(disk.after_crash(seed), quiet(mode));
            assert_eq!(committed(&engine), [(0, 7), (1, 7), (2, 7)]);
            let [mut session] = sessions(&engine);
            let mut transaction = begin(&mut session);
            let table = transaction.table("account").expect("there");
            let rows: Vec<Row> = table
                .scan(&mut transaction)
                .expect("a scan")
                .collect::<Result<_, _>>()
                .expect("rows");
            for row in rows {
                lock(&table, &mut transaction, row.tid(), Update);
                let deleted = table.delete(&mut transaction, row.tid()).expect("free");
                assert!(deleted);
            }
            transaction.commit().expect("committed");
            drop(session);
            assert!(committed(&engine).is_empty());
            engine.close().expect("closed");
        }
    }
}

/// What is unique is looked for among what others have not committed, too.
#[test]
fn rows_of_running_transactions_are_told_with_who_makes_them() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_keys(&engine, 2);
        let [mut one, mut other] = sessions(&engine);
        let mut one = begin(&mut one);
        table.insert(&mut one, &account(5, 5)).expect("inserted");
        assert!(table.delete(&mut one, tids[0]).expect("free"));
        lock(&table, &mut one, tids[1], Update);
        let xid = one.xid().map(base::FullXid::xid);
        let mut other = begin(&mut other);
        let rows = table.scan_dirty(&mut other).expect("a scan");
        let mut found: Vec<_> =
            rows.iter().map(|dirty| (read(&dirty.row).0, dirty.inserting, dirty.ending)).collect();
        found.sort_by_key(|(id, ..)| *id);
        assert_eq!(found, [(0, None, xid), (1, None, None), (5, xid, None)]);
        thread::scope(|scope| {
            let engine = &engine;
            scope.spawn(move || other.wait_for_end(xid.expect("it has one")).expect("waited"));
            until_waiting(engine, 1);
            one.commit().expect("committed");
        });
        assert_eq!(committed(&engine), [(1, 100), (5, 5)]);
    }
}
