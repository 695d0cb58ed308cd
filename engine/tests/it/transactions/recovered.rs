//! Engines that were not closed: the next open finds all that was committed, and nothing else.

use super::*;
use base::sync::atomic::AtomicI64;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::thread;
use engine::EngineOptions;

/// Without threads of its own, so that a disk is called in the same order in every run.
pub(super) fn quiet(mode: SnapshotMode) -> EngineOptions {
    let log = LogOptions { buffer_pages: 64, wal_writer_delay: None, ..LogOptions::default() };
    EngineOptions { has_background_threads: false, log, ..options(mode) }
}

pub(super) fn reopen(disk: FaultyDisk, options: EngineOptions) -> Engine {
    let nobody = &mut |_: &RecoveryProgress| ControlFlow::Continue(());
    Engine::open_on(Arc::new(disk), Path::new(DATA), options, nobody).expect("recovered")
}

/// Adds one to an account in a transaction of its own.
fn add_one(engine: &Engine, table: &Table, tid: Tid) -> Result<(), engine::Error> {
    let mut session = engine.session()?;
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    table.update_with(&mut transaction, tid, |values| {
        let [Value::Int4(id), Value::Int8(amount), note] = values[..] else { panic!("{values:?}") };
        Some(vec![Value::Int4(id), Value::Int8(amount + 1), note])
    })?;
    transaction.commit()
}

#[test]
fn what_was_committed_is_there_and_nothing_else() {
    for mode in MODES {
        for checkpoints in [false, true] {
            let (disk, _) = initialized();
            let engine = reopen(disk.clone(), quiet(mode));
            assert!(!engine.recovered().checkpoint_is_due, "a new directory");
            let (table, tids) = with_accounts(&engine, 3, 0);
            for round in 0..20 {
                add_one(&engine, &table, tids[round % 2]).expect("committed");
                if checkpoints && round % 7 == 0 {
                    engine.checkpoint().expect("made");
                }
            }
            // One that never ends, with a table and a change; and one that was rolled back.
            let mut session = engine.session().expect("a session");
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            table.update(&mut transaction, tids[2], &account(2, 99)).expect("updated");
            transaction.rollback().expect("rolled back");
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            table.update(&mut transaction, tids[0], &account(0, 99)).expect("updated");
            let orphan = transaction.create_table("orphan", &account_columns()).expect("made");
            orphan.insert(&mut transaction, &account(1, 1)).expect("inserted");
            let expected = committed(&engine);
            assert_eq!(expected, [(0, 10), (1, 10), (2, 0)]);
            // The power fails: what was not synced may be there or not.
            for seed in 0..10 {
                let left = disk.after_crash(seed);
                let engine = reopen(left.clone(), quiet(mode));
                assert!(engine.recovered().checkpoint_is_due);
                assert_eq!(committed(&engine), expected, "seed {seed}");
                assert_eq!(engine.table_names(), ["account"]);
                // It goes on, and with ids that nobody had.
                add_one(&engine, &table_of(&engine), tids[2]).expect("committed");
                assert_eq!(committed(&engine), [(0, 10), (1, 10), (2, 1)]);
                engine.close().expect("closed");
                let engine = reopen(left, quiet(mode));
                assert!(!engine.recovered().checkpoint_is_due, "it was closed");
                assert_eq!(committed(&engine), [(0, 10), (1, 10), (2, 1)]);
            }
        }
    }
}

fn table_of(engine: &Engine) -> Table {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    transaction.table("account").expect("there")
}

/// Many threads, checkpoints beside them, and the power fails in the middle.
#[test]
fn commits_that_were_told_survive_a_crash_under_load() {
    for mode in MODES {
        for seed in 0..6 {
            let (disk, _) = initialized();
            let engine = reopen(disk.clone(), options(mode));
            let (table, tids) = with_accounts(&engine, 4, 0);
            let told: [AtomicI64; 4] = Default::default();
            disk.crash_at(disk.changing_calls() + 40 + seed * 37);
            thread::scope(|scope| {
                for worker in 0..4_usize {
                    let (engine, table, tids, told) = (&engine, &table, &tids, &told);
                    scope.spawn(move || {
                        for _ in 0..200 {
                            if add_one(engine, table, tids[worker]).is_err() {
                                return;
                            }
                            told[worker].fetch_add(1, Relaxed);
                            if worker == 0 && told[worker].load(Relaxed) % 20 == 0 {
                                // It fails when the disk does.
                                let _ = engine.checkpoint();
                            }
                        }
                    });
                }
            });
            assert!(disk.has_crashed(), "{mode:?}, seed {seed}");
            drop(engine);
            let left = disk.after_crash(seed);
            let engine = reopen(left, options(mode));
            let found = committed(&engine);
            for (worker, told) in told.iter().enumerate() {
                let (_, amount) = found[worker];
                let told = told.load(Relaxed);
                // One commit may have been on its way.
                assert!(
                    amount == told || amount == told + 1,
                    "{mode:?}, seed {seed}: {amount} of {told}"
                );
            }
        }
    }
}
