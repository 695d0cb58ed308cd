//! Many threads that keep a reference whole by row locks alone, as foreign keys do: who makes a child shares its parent's key,
//! who deletes a parent locks it and looks for children. Parents are updated meanwhile, savepoints rolled back, transactions
//! too. No child is ever without its parent.

use super::locks::sessions;
use super::*;
use base::sync::thread;
use engine::{Error, RowLock, RowLocked, Session, WaitPolicy};
use fastrand::Rng;

const PARENTS: i32 = 6;
const TURNS: usize = 120;

fn parents_and_children(engine: &Engine) {
    let [mut session] = sessions(engine);
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let columns = account_columns();
    let parent = transaction.create_table("parent", &columns).expect("made");
    make_key(&parent, &mut transaction);
    transaction.create_table("child", &columns).expect("made");
    for id in 0..PARENTS {
        parent.insert(&mut transaction, &account(id, 0)).expect("inserted");
    }
    transaction.commit().expect("committed");
}

fn rows(transaction: &mut Transaction<'_, '_>, name: &str) -> Result<Vec<Row>, Error> {
    let table = transaction.table(name)?;
    table.scan(transaction)?.collect()
}

/// One of the things that are done with a parent, if it is there.
fn act(transaction: &mut Transaction<'_, '_>, random: &mut Rng) -> Result<(), Error> {
    let (parent, child) = (transaction.table("parent")?, transaction.table("child")?);
    let id = random.i32(..PARENTS);
    let found = rows(transaction, "parent")?.into_iter().find(|row| read(row).0 == id);
    let Some(row) = found else {
        return parent.insert(transaction, &account(id, 0)).map(drop);
    };
    let policy = [WaitPolicy::Wait, WaitPolicy::Wait, WaitPolicy::SkipLocked][random.usize(..3)];
    match random.u32(..4) {
        0..=1 => {
            let locked = parent.lock_row(transaction, row.tid(), RowLock::KeyShare, policy)?;
            if let RowLocked::Locked(row) | RowLocked::Updated(row) = locked {
                child.insert(transaction, &account(read(&row).0, 0))?;
            }
        }
        2 => {
            let amount = random.i64(..100);
            parent.update_with(transaction, row.tid(), |_| Some(account(id, amount).to_vec()))?;
        }
        _ => {
            let locked = parent.lock_row(transaction, row.tid(), RowLock::Update, policy)?;
            let (RowLocked::Locked(row) | RowLocked::Updated(row)) = locked else { return Ok(()) };
            let children = rows(transaction, "child")?;
            let (own, others) =
                children.into_iter().partition::<Vec<_>, _>(|child| read(child).0 == id);
            // Now and then with the children.
            if others.len() % 2 == 0 || own.is_empty() {
                for child_row in &own {
                    child.delete(transaction, child_row.tid())?;
                }
                assert!(parent.delete(transaction, row.tid())?, "it is locked");
            }
        }
    }
    Ok(())
}

fn turn(session: &mut Session<'_>, random: &mut Rng) -> Result<(), Error> {
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    for _ in 0..random.usize(1..4) {
        let savepoint = transaction.savepoint()?;
        act(&mut transaction, random)?;
        match random.u32(..6) {
            0 => transaction.rollback_to(savepoint)?,
            1 | 2 => transaction.release(savepoint)?,
            _ => {}
        }
    }
    if random.u32(..6) == 0 { transaction.rollback() } else { transaction.commit() }
}

/// Every child has a parent.
fn check(engine: &Engine) {
    let [mut session] = sessions(engine);
    let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
    let mut ids = |name| {
        let rows = rows(&mut transaction, name).expect("rows");
        rows.iter().map(|row| read(row).0).collect::<Vec<_>>()
    };
    let (parents, children) = (ids("parent"), ids("child"));
    for child in children {
        assert!(parents.contains(&child), "child of {child} among parents {parents:?}");
    }
}

#[test]
fn no_child_is_without_its_parent() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        parents_and_children(&engine);
        thread::scope(|scope| {
            for worker in 0..5 {
                let engine = &engine;
                scope.spawn(move || {
                    let mut random = Rng::with_seed(worker);
                    let [mut session] = sessions(engine);
                    for at in 0..TURNS {
                        match turn(&mut session, &mut random) {
                            // Two may put in the parent that both have missed.
                            Ok(()) | Err(Error::Deadlock { .. } | Error::Unique { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        if at % 10 == 0 {
                            check(engine);
                        }
                    }
                });
            }
        });
        check(&engine);
        engine.close().expect("closed");
        check(&open(&disk, mode));
    }
}
