//! Two transactions and one row: who waits, who goes on, who is refused.

use super::locks::FOREVER;
use super::*;
use base::sync::thread;
use engine::Error;

/// Changes the first account in a transaction of its own, beside another one that holds it. `hold` ends the other
/// transaction once this one waits.
fn beside<T: Send>(
    engine: &Engine,
    isolation: Isolation,
    held: impl FnOnce(&mut Transaction<'_, '_>),
    commits: bool,
    change: impl FnOnce(&mut Transaction<'_, '_>) -> T + Send,
) -> T {
    let mut session = engine.session().expect("a session");
    let mut holder = session.begin(Isolation::ReadCommitted).expect("begun");
    held(&mut holder);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut session = engine.session().expect("a session");
            let mut transaction = session.begin(isolation).expect("begun");
            // Its snapshot is of now.
            let table = transaction.table("account").expect("there");
            accounts(&table, &mut transaction);
            let changed = change(&mut transaction);
            let _ = transaction.commit();
            changed
        });
        while engine.waiting() == 0 && !waiter.is_finished() {
            thread::yield_now();
        }
        if commits {
            holder.commit().expect("committed");
        } else {
            holder.rollback().expect("ok");
        }
        waiter.join().expect("no panic")
    })
}

/// Adds to the amount of a row.
fn add(
    table: &Table,
    transaction: &mut Transaction<'_, '_>,
    tid: Tid,
    more: i64,
) -> Result<Option<Tid>, Error> {
    table.update_with(transaction, tid, |values| {
        let [Value::Int4(id), Value::Int8(amount), note] = values[..] else { panic!("{values:?}") };
        Some(vec![Value::Int4(id), Value::Int8(amount + more), note])
    })
}

#[test]
fn read_committed_goes_on_from_what_the_other_left() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 100);
        let first = tids[0];
        let changed = beside(
            &engine,
            Isolation::ReadCommitted,
            |holder| assert!(add(&table, holder, first, 10).expect("free").is_some()),
            true,
            |waiter| add(&table, waiter, first, 1).expect("waited"),
        );
        assert!(changed.is_some());
        assert_eq!(committed(&engine), [(0, 111)]);
        // Rolled back, it was never there.
        let changed = beside(
            &engine,
            Isolation::ReadCommitted,
            |holder| assert!(add(&table, holder, first, 10).expect("free").is_some()),
            false,
            |waiter| add(&table, waiter, first, 1).expect("waited"),
        );
        assert!(changed.is_some());
        assert_eq!(committed(&engine), [(0, 112)]);
        // Deleted, it is gone.
        let changed = beside(
            &engine,
            Isolation::ReadCommitted,
            |holder| assert!(table.delete(holder, first).expect("free")),
            true,
            |waiter| add(&table, waiter, first, 1).expect("waited"),
        );
        assert_eq!(changed, None);
        assert_eq!(committed(&engine), []);
    }
}

/// The root leads to versions that are older than the snapshot; they are nobody's conflict.
#[test]
fn repeatable_read_changes_the_version_that_it_sees() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 100);
        let mut session = engine.session().expect("a session");
        for round in 1..=5 {
            let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
            let place = add(&table, &mut transaction, tids[0], 1).expect("nobody else");
            assert_eq!(place, Some(tids[0]), "its root is what it was");
            add(&table, &mut transaction, tids[0], 1).expect("its own").expect("there");
            transaction.commit().expect("committed");
            let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
            let rows = table.scan(&mut transaction).expect("a scan");
            let rows: Vec<Row> = rows.collect::<Result<_, _>>().expect("rows");
            assert_eq!((read(&rows[0]), rows[0].root()), ((0, 100 + 2 * round), tids[0]));
            assert_ne!(rows[0].tid(), tids[0]);
        }
    }
}

#[test]
fn repeatable_read_is_refused() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 2, 100);
        for (tid, deletes) in [(tids[0], false), (tids[1], true)] {
            let error = beside(
                &engine,
                Isolation::RepeatableRead,
                |holder| {
                    if deletes {
                        assert!(table.delete(holder, tid).expect("free"));
                    } else {
                        add(&table, holder, tid, 10).expect("free").expect("there");
                    }
                },
                true,
                |waiter| add(&table, waiter, tid, 1).expect_err("changed meanwhile"),
            );
            let how = if deletes { "delete" } else { "update" };
            assert!(error.to_string().contains(&format!("concurrent {how}")), "{error}");
            // What was rolled back is in nobody's way.
        }
        let tid = tids[0];
        let changed = beside(
            &engine,
            Isolation::RepeatableRead,
            |holder| assert!(add(&table, holder, tid, 10).expect("free").is_some()),
            false,
            |waiter| {
                let rows: Vec<_> =
                    table.scan(waiter).expect("scan").map(|row| row.expect("row").tid()).collect();
                add(&table, waiter, rows[0], 1).expect("waited")
            },
        );
        assert!(changed.is_some());
        assert_eq!(committed(&engine), [(0, 111)]);
    }
}

#[test]
fn a_waiting_session_can_be_cancelled() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let (table, tids) = with_accounts(&engine, 1, 100);
    let mut session = engine.session().expect("a session");
    let mut holder = session.begin(Isolation::ReadCommitted).expect("begun");
    add(&table, &mut holder, tids[0], 1).expect("free");
    let mut waiting = engine.session().expect("a session");
    let cancel = waiting.cancel_handle();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut transaction = waiting.begin(Isolation::ReadCommitted).expect("begun");
            add(&table, &mut transaction, tids[0], 1).expect_err("cancelled")
        });
        while engine.waiting() == 0 {
            thread::yield_now();
        }
        cancel.cancel();
        assert!(matches!(waiter.join().expect("no panic"), Error::Cancelled));
    });
    // The next transaction of the session is not cancelled.
    holder.commit().expect("committed");
    let mut transaction = waiting.begin(Isolation::ReadCommitted).expect("begun");
    add(&table, &mut transaction, tids[0], 1).expect("free").expect("there");
    transaction.commit().expect("committed");
    assert_eq!(committed(&engine), [(0, 102)]);
}

#[test]
fn of_two_who_wait_for_each_other_one_is_refused() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 2, 100);
        let mut sessions = [(); 2].map(|()| engine.session().expect("a session"));
        let [one, other] = &mut sessions;
        let mut one = one.begin(Isolation::ReadCommitted).expect("begun");
        let mut other = other.begin(Isolation::ReadCommitted).expect("begun");
        // The other one looks for the ring.
        one.set_deadlock_timeout(FOREVER);
        add(&table, &mut one, tids[0], 1).expect("free");
        add(&table, &mut other, tids[1], 1).expect("free");
        thread::scope(|scope| {
            let (table, tids, engine) = (&table, &tids, &engine);
            let waiter = scope.spawn(move || {
                add(table, &mut one, tids[1], 10).expect("the other is rolled back");
                one.commit().expect("committed");
            });
            while engine.waiting() == 0 {
                thread::yield_now();
            }
            let error = add(table, &mut other, tids[0], 10).expect_err("a ring");
            assert!(matches!(error, Error::Deadlock { .. }), "{error}");
            other.rollback().expect("rolled back");
            waiter.join().expect("no panic");
        });
        assert_eq!(committed(&engine), [(0, 101), (1, 110)]);
    }
}
