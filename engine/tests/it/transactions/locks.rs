//! Locks of tables and advisory locks: who waits for whom, in which order, and what ends the waiting.

use super::*;
use base::sync::atomic::AtomicUsize;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::thread;
use engine::{AdvisoryKey, AdvisoryMode, Error, LockTag, Session, TableLockMode, WaitPolicy};

use TableLockMode::{AccessExclusive, AccessShare, Exclusive, RowExclusive, Share};
use WaitPolicy::{NoWait, Wait};

pub(super) const FOREVER: Duration = Duration::from_secs(1 << 20);

pub(super) fn begin<'s, 'e>(session: &'s mut Session<'e>) -> Transaction<'s, 'e> {
    session.begin(Isolation::ReadCommitted).expect("begun")
}

pub(super) fn sessions<const COUNT: usize>(engine: &Engine) -> [Session<'_>; COUNT] {
    [(); COUNT].map(|()| engine.session().expect("a session"))
}

pub(super) fn until_waiting(engine: &Engine, count: usize) {
    while engine.waiting() < count {
        thread::yield_now();
    }
}

#[test]
fn tables_are_locked_in_the_modes_of_what_is_done_with_them() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 1);
        let [mut one, mut other] = sessions(&engine);
        let mut one = begin(&mut one);
        table.update(&mut one, tids[0], &account(0, 2)).expect("updated").expect("there");
        for mode in TableLockMode::ALL {
            let mut other = begin(&mut other);
            let locked = other.lock_table(&table, mode, NoWait);
            if mode.excludes(RowExclusive) {
                assert!(
                    matches!(&locked, Err(Error::LockNotAvailable(name)) if name == "account"),
                    "{locked:?}"
                );
                assert_eq!(locked.expect_err("refused").sqlstate(), "55P03");
            } else {
                locked.expect("free");
                // A reader is in nobody's way but that of who wants it all.
                assert_eq!(accounts(&table, &mut other), [(0, 1)]);
            }
            other.rollback().expect("rolled back");
        }
        // With a savepoint go the locks that were taken since.
        let savepoint = one.savepoint().expect("begun");
        one.lock_table(&table, AccessExclusive, NoWait).expect("alone");
        let mut reader = begin(&mut other);
        assert!(matches!(
            reader.open_table("account", AccessShare, NoWait),
            Err(Error::LockNotAvailable(_))
        ));
        one.rollback_to(savepoint).expect("rolled back");
        reader.open_table("account", AccessShare, NoWait).expect("free again");
        assert!(
            reader.open_table("account", Share, NoWait).is_err(),
            "what was there before is kept"
        );
    }
}

#[test]
fn a_table_is_dropped_when_nobody_uses_it() {
    for commits in [true, false] {
        let (engine, _) = engine(SnapshotMode::Classic);
        let (table, _) = with_accounts(&engine, 1, 1);
        let [mut reader, mut later] = sessions(&engine);
        let mut reader = begin(&mut reader);
        assert_eq!(accounts(&table, &mut reader), [(0, 1)]);
        thread::scope(|scope| {
            let (engine, table) = (&engine, &table);
            let dropper = scope.spawn(move || {
                let [mut session] = sessions(engine);
                let mut transaction = begin(&mut session);
                transaction.drop_table("account").expect("waited");
                if commits { transaction.commit() } else { transaction.rollback() }.expect("ended");
            });
            until_waiting(engine, 1);
            let user = scope.spawn(move || {
                // Behind who waits, though it would go together with who reads.
                let mut transaction = begin(&mut later);
                let found = transaction.table("account");
                assert_eq!(found.is_ok(), !commits, "{found:?}");
                let read = table.scan(&mut transaction);
                assert!(read.is_ok() != commits);
            });
            until_waiting(engine, 2);
            reader.commit().expect("committed");
            dropper.join().expect("no panic");
            user.join().expect("no panic");
        });
    }
}

#[test]
fn of_two_who_make_a_table_the_second_waits() {
    for commits in [true, false] {
        let (engine, _) = engine(SnapshotMode::Classic);
        let [mut first] = sessions(&engine);
        let mut first = begin(&mut first);
        let savepoint = first.savepoint().expect("begun");
        first.create_table("t", &account_columns()).expect("made");
        thread::scope(|scope| {
            let engine = &engine;
            let second = scope.spawn(move || {
                let [mut session] = sessions(engine);
                let mut transaction = begin(&mut session);
                let made = transaction.create_table("t", &account_columns());
                assert_eq!(made.is_ok(), !commits, "{made:?}");
                assert!(transaction.commit().is_ok() != commits);
            });
            until_waiting(engine, 1);
            if commits {
                first.release(savepoint).expect("released");
                first.commit().expect("committed");
            } else {
                first.rollback_to(savepoint).expect("rolled back");
            }
            second.join().expect("no panic");
        });
        assert_eq!(engine.table_names(), ["t"]);
    }
}

/// The isolation spec deadlock-hard: a ring of eight, of which only the last looks for it.
#[test]
fn a_ring_of_eight_is_broken_by_who_looks() {
    let (engine, _) = engine(SnapshotMode::Classic);
    const COUNT: usize = 8;
    let key = |number: usize| AdvisoryKey::One((number % COUNT) as i64);
    let victims = AtomicUsize::new(0);
    let held = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..COUNT {
            let (engine, victims, held) = (&engine, &victims, &held);
            scope.spawn(move || {
                let [mut session] = sessions(engine);
                let looks = number == COUNT - 1;
                session.set_deadlock_timeout(if looks {
                    Duration::from_millis(1)
                } else {
                    FOREVER
                });
                let mut transaction = begin(&mut session);
                assert!(
                    transaction
                        .advisory_lock(key(number), AdvisoryMode::Exclusive, Wait)
                        .expect("free")
                );
                held.fetch_add(1, Relaxed);
                while held.load(Relaxed) < COUNT || looks && engine.waiting() < COUNT - 1 {
                    thread::yield_now();
                }
                match transaction.advisory_lock(key(number + 1), AdvisoryMode::Exclusive, Wait) {
                    Ok(granted) => assert!(granted && !looks),
                    Err(Error::Deadlock { ring }) => {
                        assert!(looks && ring.len() == COUNT);
                        assert!(ring.iter().all(|link| link.mode == Exclusive));
                        assert_eq!(ring[0].tag, LockTag::Advisory(key(0)));
                        victims.fetch_add(1, Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
            });
        }
    });
    assert_eq!((victims.load(Relaxed), engine.waiting()), (1, 0));
}

/// The isolation spec deadlock-soft: nobody is refused, since who waits can change places.
#[test]
fn a_ring_through_queues_needs_no_victim() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let [mut making] = sessions(&engine);
    let mut transaction = begin(&mut making);
    for name in ["a1", "a2"] {
        transaction.create_table(name, &account_columns()).expect("made");
    }
    transaction.commit().expect("committed");
    let [mut d1, mut d2] = sessions(&engine);
    let (mut d1, mut d2) = (begin(&mut d1), begin(&mut d2));
    d1.set_deadlock_timeout(FOREVER);
    d2.set_deadlock_timeout(Duration::from_millis(1));
    d1.open_table("a1", AccessShare, Wait).expect("free");
    d2.open_table("a2", AccessShare, Wait).expect("free");
    thread::scope(|scope| {
        let engine = &engine;
        for (at, name) in ["a1", "a2"].into_iter().enumerate() {
            scope.spawn(move || {
                let [mut session] = sessions(engine);
                session.set_deadlock_timeout(FOREVER);
                let mut transaction = begin(&mut session);
                transaction.open_table(name, AccessExclusive, Wait).expect("at last");
            });
            until_waiting(engine, at + 1);
        }
        let first = scope.spawn(move || {
            d1.open_table("a2", AccessShare, Wait).expect("granted");
            d1.commit().expect("committed");
        });
        until_waiting(engine, 3);
        d2.open_table("a1", AccessShare, Wait).expect("granted");
        d2.commit().expect("committed");
        first.join().expect("no panic");
    });
}

#[test]
fn advisory_locks_of_sessions_and_of_transactions() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let [mut one, mut other] = sessions(&engine);
    let (key, pair) = (AdvisoryKey::One(1), AdvisoryKey::Two(0, 1));
    let exclusive = AdvisoryMode::Exclusive;
    assert!(one.advisory_lock(key, exclusive, Wait).expect("free"));
    assert!(one.advisory_lock(key, exclusive, Wait).expect("its own"));
    assert!(!other.advisory_lock(key, AdvisoryMode::Shared, NoWait).expect("refused"));
    assert!(other.advisory_lock(pair, exclusive, NoWait).expect("another name"));
    assert!(one.advisory_unlock(key, exclusive));
    // The session keeps what it took outside, and the transaction what it took within.
    let mut transaction = begin(&mut one);
    let savepoint = transaction.savepoint().expect("begun");
    assert!(transaction.advisory_lock(key, exclusive, Wait).expect("its own"));
    assert!(transaction.advisory_unlock(key, exclusive));
    assert!(!transaction.advisory_unlock(key, exclusive), "that is the transaction's");
    assert!(!other.advisory_lock(key, exclusive, NoWait).expect("refused"));
    transaction.rollback_to(savepoint).expect("rolled back");
    assert!(other.advisory_lock(key, AdvisoryMode::Shared, NoWait).expect("free"));
    assert!(transaction.advisory_lock(key, AdvisoryMode::Shared, NoWait).expect("shared"));
    assert!(
        transaction.advisory_lock_for_session(key, AdvisoryMode::Shared, Wait).expect("shared")
    );
    transaction.rollback().expect("rolled back");
    other.advisory_unlock_all();
    assert!(!other.advisory_lock(key, exclusive, NoWait).expect("still the session's"));
    drop(one);
    assert!(other.advisory_lock(key, exclusive, NoWait).expect("it has gone"));
}

#[test]
fn waiting_for_a_row_ends_with_time() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 1);
        let [mut one, mut other] = sessions(&engine);
        let holder = one.number();
        let mut one = begin(&mut one);
        table.update(&mut one, tids[0], &account(0, 2)).expect("updated").expect("there");
        other.set_lock_timeout(Some(Duration::from_millis(1)));
        let mut transaction = begin(&mut other);
        let error = table.delete(&mut transaction, tids[0]).expect_err("held");
        assert!(matches!(error, Error::LockTimeout), "{error}");
        drop(transaction);
        other.set_lock_timeout(Some(FOREVER));
        other.set_statement_timeout(Some(Duration::from_millis(1)));
        let mut transaction = begin(&mut other);
        let error = table.delete(&mut transaction, tids[0]).expect_err("held");
        assert!(matches!(error, Error::StatementTimeout), "{error}");
        assert_eq!(error.sqlstate(), "57014");
        drop(transaction);
        other.set_statement_timeout(None);
        let waiter = other.number();
        thread::scope(|scope| {
            let (table, tids) = (&table, &tids);
            let waits = scope.spawn(move || {
                let mut transaction = begin(&mut other);
                assert!(table.delete(&mut transaction, tids[0]).expect("waited"));
                transaction.commit().expect("committed");
            });
            until_waiting(&engine, 1);
            assert_eq!(engine.blocked_by(waiter), [holder]);
            assert!(engine.blocked_by(holder).is_empty());
            one.rollback().expect("rolled back");
            waits.join().expect("no panic");
        });
        assert_eq!(committed(&engine), []);
    }
}

/// The isolation spec deadlock-simple: who is refused lets the other go on at once, before its caller rolls it back.
#[test]
fn a_transaction_that_gives_up_holds_nothing() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 2, 1);
        let [mut one, mut other] = sessions(&engine);
        let mut one = begin(&mut one);
        one.set_deadlock_timeout(FOREVER);
        one.lock_table(&table, AccessShare, Wait).expect("free");
        let mut failing = begin(&mut other);
        table.update(&mut failing, tids[1], &account(1, 9)).expect("free").expect("there");
        let savepoint = failing.savepoint().expect("begun");
        table.update(&mut failing, tids[0], &account(0, 9)).expect("free").expect("there");
        failing.give_up().expect("given up");
        assert!(matches!(failing.savepoint(), Err(Error::TransactionFailed)));
        failing.rollback_to(savepoint).expect("rolled back");
        assert_eq!(accounts(&table, &mut failing), [(0, 1), (1, 9)]);
        failing.release(savepoint).expect("released");
        thread::scope(|scope| {
            let (engine, table) = (&engine, &table);
            let waiter = scope.spawn(move || {
                one.lock_table(table, AccessExclusive, Wait).expect("granted");
                one.commit().expect("committed");
            });
            until_waiting(engine, 1);
            let error = failing.lock_table(table, AccessExclusive, Wait).expect_err("a ring");
            assert!(matches!(&error, Error::Deadlock { ring } if ring.len() == 2), "{error}");
            failing.give_up().expect("given up");
            waiter.join().expect("no panic");
        });
        assert!(matches!(failing.table("account"), Err(Error::TransactionFailed)));
        failing.give_up().expect("once is enough");
        assert!(matches!(failing.commit(), Err(Error::TransactionFailed)));
        begin(&mut other).rollback().expect("the session goes on");
        assert_eq!(committed(&engine), [(0, 1), (1, 1)]);
    }
}

#[test]
fn sleeping_is_interrupted() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let [mut session] = sessions(&engine);
    let cancel = session.cancel_handle();
    thread::scope(|scope| {
        let sleeper = scope.spawn(move || begin(&mut session).sleep(FOREVER));
        cancel.cancel();
        // It may have been cancelled before it began.
        while !sleeper.is_finished() {
            cancel.cancel();
            thread::yield_now();
        }
        assert!(matches!(sleeper.join().expect("no panic"), Err(Error::Cancelled)));
    });
}
