//! Rows that an update takes to another partition: whoever wants them is told where they are not.

use super::locks::{begin, sessions, until_waiting};
use super::recovered::{quiet, reopen};
use super::*;
use base::sync::thread;
use engine::{Error, RowLock, RowLocked, VersionChange, WaitPolicy};

/// What another session makes of a row.
#[derive(Debug, Clone, Copy)]
enum Wants {
    Update,
    Delete,
    Lock,
}

fn try_to(
    wants: Wants,
    table: &Table,
    transaction: &mut Transaction<'_, '_>,
    tid: Tid,
) -> Result<bool, Error> {
    Ok(match wants {
        Wants::Update => {
            let changed = table.update_version(transaction, tid, &account(0, 5), &[])?;
            matches!(changed, VersionChange::Changed { .. })
        }
        Wants::Delete => {
            matches!(table.delete_version(transaction, tid)?, VersionChange::Changed { .. })
        }
        Wants::Lock => {
            let locked = table.lock_row(transaction, tid, RowLock::Update, WaitPolicy::Wait)?;
            if matches!(locked, RowLocked::Moved) {
                return Err(Error::Moved { table: table.name().to_owned() });
            }
            matches!(locked, RowLocked::Locked(_))
        }
    })
}

#[test]
fn whoever_waits_for_a_row_that_moves_is_told() {
    for mode in MODES {
        for (wants, commits) in [Wants::Update, Wants::Delete, Wants::Lock]
            .into_iter()
            .flat_map(|wants| [(wants, true), (wants, false)])
        {
            for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
                let (engine, _) = engine(mode);
                let (table, tids) = with_accounts(&engine, 1, 100);
                let [mut moving] = sessions(&engine);
                let mut mover = begin(&mut moving);
                let moved = table.move_version(&mut mover, tids[0]).expect("free");
                assert!(matches!(moved, VersionChange::Changed { .. }), "{moved:?}");
                assert!(accounts(&table, &mut mover).is_empty());
                thread::scope(|scope| {
                    let (engine, table, tids) = (&engine, &table, &tids);
                    let other = scope.spawn(move || {
                        let [mut session] = sessions(engine);
                        let mut transaction = session.begin(isolation).expect("begun");
                        assert_eq!(accounts(table, &mut transaction), [(0, 100)]);
                        try_to(wants, table, &mut transaction, tids[0])
                    });
                    until_waiting(engine, 1);
                    if commits {
                        mover.commit().expect("committed");
                    } else {
                        mover.rollback().expect("rolled back");
                    }
                    let came_to = other.join().expect("no panic");
                    match (commits, isolation) {
                        (false, _) => assert!(came_to.expect("waited"), "{wants:?}"),
                        (true, Isolation::ReadCommitted) => {
                            let error = came_to.expect_err("it has moved");
                            assert!(matches!(error, Error::Moved { .. }), "{error}");
                            assert_eq!(error.sqlstate(), "40001");
                        }
                        (true, Isolation::RepeatableRead) => {
                            let error = came_to.expect_err("changed since");
                            assert!(matches!(error, Error::Serialization { .. }), "{error}");
                        }
                    }
                });
            }
        }
    }
}

/// Where it was updated before it moved, the way to it leads over the versions between.
#[test]
fn a_row_that_was_updated_and_moved_is_not_found_at_the_end_of_its_versions() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 100);
        let [mut moving, mut waiting] = sessions(&engine);
        let mut old = begin(&mut waiting);
        old.begin_command().expect("begun");
        assert_eq!(accounts(&table, &mut old), [(0, 100)]);
        let mut mover = begin(&mut moving);
        let changed = table.update_version(&mut mover, tids[0], &account(0, 1), &[]).expect("free");
        assert!(matches!(changed, VersionChange::Changed { .. }), "{changed:?}");
        let moved = table.move_version(&mut mover, tids[0]).expect("its own");
        let VersionChange::Newer(newest) = moved else { panic!("an old place: {moved:?}") };
        let moved = table.move_version(&mut mover, newest.tid()).expect("its own");
        assert!(matches!(moved, VersionChange::Changed { .. }), "{moved:?}");
        mover.commit().expect("committed");
        let error = table.delete_version(&mut old, tids[0]).expect_err("it has moved");
        assert!(matches!(error, Error::Moved { .. }), "{error}");
    }
}

/// What it left is recovered, and vacuum takes the version as it takes any. Its mark in the log: `heap_redo`.
#[test]
fn a_moved_row_is_recovered_and_vacuumed() {
    for mode in MODES {
        let (disk, _) = initialized();
        let engine = reopen(disk.clone(), quiet(mode));
        let (table, tids) = with_accounts(&engine, 2, 100);
        let [mut moving] = sessions(&engine);
        let mut mover = begin(&mut moving);
        table.move_version(&mut mover, tids[0]).expect("free");
        mover.commit().expect("committed");
        drop(moving);
        drop(engine);
        let engine = reopen(disk, quiet(mode));
        assert_eq!(committed(&engine), [(1, 100)]);
        let [mut session] = sessions(&engine);
        let nobody = &mut |_: &engine::vacuum::VacuumProgress<'_>| ControlFlow::Continue(());
        let reports = session.vacuum(None, &engine::vacuum::VacuumOptions::default(), nobody);
        reports.expect("vacuumed");
        assert_eq!(committed(&engine), [(1, 100)]);
    }
}
