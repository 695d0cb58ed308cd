//! Vacuum by thresholds, and by age.

use base::sync::thread;
use engine::vacuum::{AutovacuumOptions, FreezeAges, VacuumOptions};
use engine::{EngineOptions, Error, IndexDefinition, SnapshotMode};
use std::time::Duration;

use super::*;
use crate::transactions::{MODES, account, committed, engine, open_with, options, with_accounts};

fn vacuumed(engine: &Engine, options: &AutovacuumOptions) -> Vec<String> {
    let reports = engine.autovacuum(options).expect("a round");
    reports.into_iter().map(|report| report.table).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn tables_are_vacuumed_when_they_have_changed_enough() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let usual = AutovacuumOptions::default();
        let (table, _) = with_accounts(&engine, 1000, 100);
        assert_eq!(vacuumed(&engine, &usual), NOTHING, "{mode:?}: as many as may be inserted");
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.insert(&mut transaction, &account(1000, 1)).expect("inserted");
        transaction.commit().expect("committed");
        assert_eq!(vacuumed(&engine, &usual), ["account"], "{mode:?}");
        // 50 and a fifth of 1001.
        delete(&engine, &table, |id| id < 250);
        assert_eq!(vacuumed(&engine, &usual), NOTHING, "{mode:?}");
        update(&engine, &table, 5, |id| id == 250);
        assert_eq!(vacuumed(&engine, &usual), ["account"], "{mode:?}");
        assert_eq!(vacuumed(&engine, &usual), NOTHING, "{mode:?}");
        // What was inserted in vain is dead.
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let rows: Vec<_> = (0..300).map(|id| account(id, 1).to_vec()).collect();
        table.insert_many(&mut transaction, &rows).expect("inserted");
        transaction.rollback().expect("rolled back");
        let off = AutovacuumOptions { is_on: false, ..usual };
        assert_eq!(vacuumed(&engine, &off), NOTHING, "{mode:?}");
        assert_eq!(vacuumed(&engine, &usual), ["account"], "{mode:?}");
        assert_eq!(committed(&engine).len(), 751, "{mode:?}");
    }
}

#[test]
fn a_row_that_a_unique_index_refuses_counts_as_dead() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let usual = AutovacuumOptions::default();
        let (table, _) = with_accounts(&engine, 200, 100);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let key = IndexDefinition::new("account_pkey", &[0]).unique();
        transaction.create_index(&table, &key).expect("made");
        transaction.commit().expect("committed");
        let mut refuse = || {
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let refused = table.insert(&mut transaction, &account(7, 1));
            assert!(matches!(refused, Err(Error::Unique { .. })), "{refused:?}");
            transaction.rollback().expect("rolled back");
        };
        // 50 may be, of a table that was never vacuumed.
        (0..50).for_each(|_| refuse());
        assert_eq!(vacuumed(&engine, &usual), NOTHING, "{mode:?}");
        refuse();
        assert_eq!(vacuumed(&engine, &usual), ["account"], "{mode:?}");
    }
}

#[test]
fn what_a_prepared_transaction_did_counts_as_it_ends() {
    for mode in MODES {
        let (_, disk) = engine(mode);
        let engine = open_with(&disk, EngineOptions { prepared_transactions: 1, ..options(mode) });
        let usual = AutovacuumOptions::default();
        let (table, _) = with_accounts(&engine, 0, 0);
        let mut session = engine.session().expect("a session");
        let rows: Vec<_> = (0..900).map(|id| account(id, 1).to_vec()).collect();
        for (commits, due) in [(true, &NOTHING[..]), (false, &["account"])] {
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            table.insert_many(&mut transaction, &rows).expect("inserted");
            transaction.prepare("two phases").expect("prepared");
            // It is not for the session's next transaction to say.
            let mut other = session.begin(Isolation::ReadCommitted).expect("begun");
            other.assigned_xid().expect("an id");
            if commits { other.rollback() } else { other.commit() }.expect("ended");
            assert_eq!(vacuumed(&engine, &usual), NOTHING, "{mode:?}: {commits}");
            match commits {
                true => session.commit_prepared("two phases"),
                false => session.rollback_prepared("two phases"),
            }
            .expect("ended");
            assert_eq!(vacuumed(&engine, &usual), due, "{mode:?}: {commits}");
        }
    }
}

/// Everything is frozen that is older than a few transactions.
fn impatient() -> VacuumOptions {
    let ages = FreezeAges { xid_min: 0, xid_table: 0, xid_max: 100_000, ..FreezeAges::default() };
    VacuumOptions { ages, ..VacuumOptions::default() }
}

#[test]
fn age_forces_it_where_it_is_switched_off() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let _ = with_accounts(&engine, 10, 100);
    let options =
        AutovacuumOptions { is_on: false, vacuum: impatient(), ..AutovacuumOptions::default() };
    assert_eq!(vacuumed(&engine, &options), NOTHING);
    let before = engine.frozen();
    engine.session().expect("a session").burn_xids(150_000).expect("burned");
    assert_eq!(vacuumed(&engine, &options).len(), 7);
    assert!(before.xid.precedes(engine.frozen().xid));
    assert_eq!(vacuumed(&engine, &options), NOTHING);
    assert_eq!(committed(&engine).len(), 10);
}

#[test]
fn the_thread_vacuums_and_ends_with_the_engine() {
    let nap = Duration::from_micros(200);
    let autovacuum = AutovacuumOptions { nap, ..AutovacuumOptions::default() };
    let (disk, _) = crate::initialized();
    let how = EngineOptions { autovacuum, ..options(SnapshotMode::CommitTs) };
    let engine = open_with(&disk, how);
    let (table, _) = with_accounts(&engine, 500, 100);
    delete(&engine, &table, |id| id % 2 == 0);
    loop {
        let status = engine.autovacuum_status().expect("it runs");
        assert_eq!(status.last_error, None);
        if status.vacuumed > 0 {
            break;
        }
        assert!(status.rounds < 100_000, "{status:?}");
        thread::yield_now();
    }
    assert_eq!(committed(&engine).len(), 250);
    engine.close().expect("closed");
}

#[test]
fn ids_wake_the_thread_when_they_are_many() {
    let nap = Duration::from_secs(3600);
    let autovacuum =
        AutovacuumOptions { nap, is_on: false, vacuum: impatient(), ..Default::default() };
    let (disk, _) = crate::initialized();
    let engine = open_with(&disk, EngineOptions { autovacuum, ..options(SnapshotMode::Classic) });
    let _ = with_accounts(&engine, 10, 100);
    let mut session = engine.session().expect("a session");
    let mut burned = 0_u64;
    while engine.autovacuum_status().expect("it runs").vacuumed < 6 {
        // So many that the ids would come to their end if nobody woke it.
        burned += 1 << 16;
        session.burn_xids(1 << 16).expect("burned");
        (0..2000).for_each(|_| thread::yield_now());
        assert!(burned < 1 << 26, "{:?}", engine.autovacuum_status());
    }
    drop(session);
    engine.close().expect("closed");
}
