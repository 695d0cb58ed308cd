//! Savepoints: what is rolled back was never there, what is released is the transaction's, at any depth, in every mode,
//! for the transaction itself, for others, and after a crash.

use super::locks::FOREVER;
use super::recovered::{quiet, reopen};
use super::*;
use base::sync::thread;
use engine::{Error, SavepointId};
use fastrand::Rng;

/// A row by its identifier; a scan, since there is no index.
fn find(table: &Table, transaction: &mut Transaction<'_, '_>, wanted: i32) -> Option<Tid> {
    let rows = table.scan(transaction).expect("a scan").map(|row| row.expect("a row"));
    rows.filter(|row| read(row).0 == wanted).map(|row| row.tid()).next()
}

#[test]
fn what_is_rolled_back_was_never_there() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 3, 100);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let outer = transaction.savepoint().expect("begun");
        table.update(&mut transaction, tids[0], &account(0, 1)).expect("updated").expect("there");
        let inner = transaction.savepoint().expect("begun");
        let newest = find(&table, &mut transaction, 0).expect("there");
        table.update(&mut transaction, newest, &account(0, 2)).expect("updated").expect("there");
        assert!(table.delete(&mut transaction, tids[1]).expect("deleted"));
        table.insert(&mut transaction, &account(7, 7)).expect("inserted");
        assert_eq!(accounts(&table, &mut transaction), [(0, 2), (2, 100), (7, 7)]);
        transaction.rollback_to(inner).expect("rolled back");
        assert_eq!(accounts(&table, &mut transaction), [(0, 1), (1, 100), (2, 100)]);
        // The same versions again, by a subtransaction that came after the one that was rolled back.
        table.update(&mut transaction, newest, &account(0, 3)).expect("updated").expect("there");
        assert!(table.delete(&mut transaction, tids[1]).expect("deleted"));
        transaction.release(inner).expect("released");
        assert!(matches!(transaction.rollback_to(inner), Err(Error::NoSavepoint)));
        assert_eq!(committed(&engine), [(0, 100), (1, 100), (2, 100)]);
        assert_eq!(accounts(&table, &mut transaction), [(0, 3), (2, 100)]);
        let last = transaction.savepoint().expect("begun");
        transaction.rollback_to(outer).expect("rolled back");
        assert!(matches!(transaction.release(last), Err(Error::NoSavepoint)));
        assert_eq!(accounts(&table, &mut transaction), [(0, 100), (1, 100), (2, 100)]);
        table.update(&mut transaction, tids[2], &account(2, 5)).expect("updated").expect("there");
        transaction.commit().expect("committed");
        assert_eq!(committed(&engine), [(0, 100), (1, 100), (2, 5)]);
    }
}

#[test]
fn a_failed_statement_is_repaired() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let (table, _) = with_accounts(&engine, 1, 1);
    let text = "x".repeat(4000);
    let wide = [Value::Int4(1), Value::Int8(1), Value::Text(&text)];
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let savepoint = transaction.savepoint().expect("begun");
    for _ in 0..2 {
        table.insert(&mut transaction, &wide).expect("room on the first page");
    }
    let file = format!("base/5/{}", table.locator().relation);
    super::failures::fail_write_for_want_of_space(&disk, &file);
    table.insert(&mut transaction, &wide).expect_err("the disk is full");
    assert!(matches!(transaction.savepoint(), Err(Error::TransactionFailed)));
    assert!(matches!(transaction.release(savepoint), Err(Error::TransactionFailed)));
    transaction.rollback_to(savepoint).expect("rolled back");
    assert_eq!(accounts(&table, &mut transaction), [(0, 1)]);
    table.insert(&mut transaction, &wide).expect("there is room again");
    transaction.commit().expect("committed");
    assert_eq!(committed(&engine), [(0, 1), (1, 1)]);
}

/// More than a slot of the process array can hold, side by side and within each other, while others look.
#[test]
fn subtransactions_beyond_what_is_listed() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 1, 0);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let mut within = Vec::new();
        for id in 1..=100 {
            let side_by_side = transaction.savepoint().expect("begun");
            table.insert(&mut transaction, &account(id, 1)).expect("inserted");
            transaction.release(side_by_side).expect("released");
            assert_eq!(committed(&engine), [(0, 0)]);
        }
        for id in 101..=200 {
            within.push(transaction.savepoint().expect("begun"));
            table.insert(&mut transaction, &account(id, 1)).expect("inserted");
            assert_eq!(committed(&engine), [(0, 0)]);
        }
        // A snapshot of now, before which some of them end.
        let mut reading = engine.session().expect("a session");
        let mut reader = reading.begin(Isolation::RepeatableRead).expect("begun");
        assert_eq!(accounts(&table, &mut reader), [(0, 0)]);
        transaction.rollback_to(within[50]).expect("rolled back");
        assert_eq!(accounts(&table, &mut transaction).len(), 1 + 150);
        assert_eq!(committed(&engine), [(0, 0)]);
        engine.checkpoint().expect("made");
        transaction.commit().expect("committed");
        assert_eq!(accounts(&table, &mut reader), [(0, 0)]);
        let expected: Vec<_> = (0..=150).map(|id| (id, i64::from(id > 0))).collect();
        assert_eq!(committed(&engine), expected);
        drop(reader);
        drop((reading, session));
        engine.close().expect("closed");
        assert_eq!(committed(&open(&disk, mode)), expected);
    }
}

#[test]
fn who_waits_for_a_subtransaction_goes_on_when_it_is_rolled_back() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 100);
        let mut session = engine.session().expect("a session");
        let mut holder = session.begin(Isolation::ReadCommitted).expect("begun");
        table.insert(&mut holder, &account(1, 1)).expect("inserted");
        let savepoint = holder.savepoint().expect("begun");
        table.update(&mut holder, tids[0], &account(0, 1)).expect("updated").expect("there");
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut session = engine.session().expect("a session");
                let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
                table.update(&mut transaction, tids[0], &account(0, 2)).expect("waited");
                transaction.commit().expect("committed");
            });
            while engine.waiting() == 0 {
                thread::yield_now();
            }
            holder.rollback_to(savepoint).expect("rolled back");
            waiter.join().expect("no panic");
        });
        holder.commit().expect("committed");
        assert_eq!(committed(&engine), [(0, 2), (1, 1)]);
    }
}

/// Two transactions wait for each other's subtransactions.
#[test]
fn a_ring_of_subtransactions_is_found() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let (table, tids) = with_accounts(&engine, 2, 100);
    let mut sessions = [(); 2].map(|()| engine.session().expect("a session"));
    let [one, other] = &mut sessions;
    let mut one = one.begin(Isolation::ReadCommitted).expect("begun");
    let mut other = other.begin(Isolation::ReadCommitted).expect("begun");
    one.set_deadlock_timeout(FOREVER);
    one.savepoint().expect("begun");
    table.update(&mut one, tids[0], &account(0, 1)).expect("free");
    let savepoint = other.savepoint().expect("begun");
    table.update(&mut other, tids[1], &account(1, 2)).expect("free");
    thread::scope(|scope| {
        let (table, tids, engine) = (&table, &tids, &engine);
        let waiter = scope.spawn(move || {
            table.update(&mut one, tids[1], &account(1, 1)).expect("the other is rolled back");
            one.commit().expect("committed");
        });
        while engine.waiting() == 0 {
            thread::yield_now();
        }
        let error = table.update(&mut other, tids[0], &account(0, 2)).expect_err("a ring");
        assert!(matches!(error, Error::Deadlock { .. }), "{error}");
        other.rollback_to(savepoint).expect("rolled back");
        waiter.join().expect("no panic");
        other.commit().expect("committed");
    });
    assert_eq!(committed(&engine), [(0, 1), (1, 1)]);
}

#[test]
fn tables_are_made_and_dropped_within() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        with_accounts(&engine, 1, 1);
        let exists = |number: u32| {
            disk.exists(&Path::new(DATA).join(format!("base/5/{number}"))).expect("looked")
        };
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let outer = transaction.savepoint().expect("begun");
        let first = transaction.create_table("t", &account_columns()).expect("made");
        let inner = transaction.savepoint().expect("begun");
        transaction.drop_table("t").expect("dropped");
        transaction.drop_table("account").expect("dropped");
        let second = transaction.create_table("t", &[Column::new("a", ColumnType::Bool)]);
        let second = second.expect("made");
        transaction.rollback_to(inner).expect("rolled back");
        assert!(exists(first.locator().relation) && !exists(second.locator().relation));
        assert!(second.scan(&mut transaction).is_err());
        assert_eq!(transaction.table("t").expect("there").columns().len(), 3);
        let kept = transaction.table("account").expect("there");
        assert_eq!(accounts(&kept, &mut transaction), [(0, 1)]);
        first.insert(&mut transaction, &account(1, 1)).expect("inserted");
        transaction.rollback_to(outer).expect("rolled back");
        assert!(!exists(first.locator().relation));
        assert!(matches!(transaction.table("t"), Err(Error::NoTable(_))));
        let third = transaction.create_table("t", &account_columns()).expect("made");
        transaction.release(outer).expect("released");
        transaction.commit().expect("committed");
        assert_eq!(engine.table_names(), ["account", "t"]);
        drop(session);
        engine.close().expect("closed");
        assert!(exists(third.locator().relation));
        assert_eq!(open(&disk, mode).table_names(), ["account", "t"]);
    }
}

/// What a transaction and its savepoints should have made of the accounts.
#[derive(Debug, Clone, Default)]
struct Model {
    rows: Vec<(i32, i64)>,
    savepoints: Vec<(SavepointId, Vec<(i32, i64)>)>,
}

/// One step of a transaction, here and in the model.
fn step(table: &Table, transaction: &mut Transaction<'_, '_>, model: &mut Model, random: &mut Rng) {
    match random.u32(..10) {
        0..=1 => {
            let savepoint = transaction.savepoint().expect("begun");
            model.savepoints.push((savepoint, model.rows.clone()));
        }
        2 if !model.savepoints.is_empty() => {
            let at = random.usize(..model.savepoints.len());
            transaction.rollback_to(model.savepoints[at].0).expect("rolled back");
            model.savepoints.truncate(at + 1);
            model.rows.clone_from(&model.savepoints[at].1);
        }
        3 if !model.savepoints.is_empty() => {
            let at = random.usize(..model.savepoints.len());
            transaction.release(model.savepoints[at].0).expect("released");
            model.savepoints.truncate(at);
        }
        4..=5 => {
            let id = random.i32(..1000);
            if !model.rows.iter().any(|row| row.0 == id) {
                table.insert(transaction, &account(id, 0)).expect("inserted");
                model.rows.push((id, 0));
            }
        }
        kind if !model.rows.is_empty() => {
            let at = random.usize(..model.rows.len());
            let (id, amount) = model.rows[at];
            let tid = find(table, transaction, id).expect("there");
            if kind == 6 {
                assert!(table.delete(transaction, tid).expect("deleted"));
                model.rows.swap_remove(at);
            } else {
                let changed = table.update(transaction, tid, &account(id, amount + 1));
                changed.expect("updated").expect("there");
                model.rows[at].1 += 1;
            }
        }
        _ => {}
    }
    model.rows.sort_unstable();
    assert_eq!(accounts(table, transaction), model.rows);
}

#[test]
fn any_order_of_savepoints_comes_to_what_a_model_says() {
    for mode in MODES {
        for seed in 0..4 {
            let (disk, _) = initialized();
            let mut engine = reopen(disk.clone(), quiet(mode));
            with_accounts(&engine, 5, 0);
            let mut random = Rng::with_seed(seed);
            let mut rows = committed(&engine);
            for round in 0..6 {
                let mut session = engine.session().expect("a session");
                let isolation = [Isolation::ReadCommitted, Isolation::RepeatableRead][round % 2];
                let mut transaction = session.begin(isolation).expect("begun");
                let table = transaction.table("account").expect("there");
                let mut model = Model { rows: rows.clone(), ..Model::default() };
                for _ in 0..40 {
                    step(&table, &mut transaction, &mut model, &mut random);
                    assert_eq!(committed(&engine), rows, "nobody sees it yet");
                }
                if random.u32(..3) > 0 {
                    transaction.commit().expect("committed");
                    rows = model.rows;
                } else {
                    drop(transaction);
                }
                assert_eq!(committed(&engine), rows);
                drop(session);
                if round == 3 {
                    // The power fails.
                    engine = reopen(disk.after_crash(seed), quiet(mode));
                    assert_eq!(committed(&engine), rows);
                }
            }
        }
    }
}
