//! Dead versions go, whatever a snapshot in use may need stays, and old ids are frozen.

use std::path::Path;

use base::disk::faulty::FaultyDisk;
use base::tuple::{HeapTupleHeader, Infomask};
use base::{RawPage, Tid, Xid};
use engine::vacuum::{FreezeAges, VacuumOptions, VacuumPhase};
use engine::{Error, RowLock, SnapshotMode, WaitPolicy};

use super::*;
use crate::DATA;
use crate::transactions::{MODES, account, accounts, committed, engine, with_accounts};

#[test]
fn what_a_reader_may_need_stays_until_he_has_ended() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 300, 100);
        let mut reading = engine.session().expect("a session");
        let mut reader = reading.begin(Isolation::RepeatableRead).expect("begun");
        let seen = accounts(&table, &mut reader);
        update(&engine, &table, 7, |id| id % 3 == 0);
        delete(&engine, &table, |id| id % 5 == 1);
        let mut session = engine.session().expect("a session");
        let report = vacuum(&mut session, "account", &VacuumOptions::freeze());
        assert_eq!((report.removed, report.freed), (0, 0), "{mode:?}");
        assert_eq!(report.recently_dead, 160, "{mode:?}");
        assert_eq!(accounts(&table, &mut reader), seen, "{mode:?}");
        reader.rollback().expect("rolled back");
        let report = vacuum(&mut session, "account", &VacuumOptions::freeze());
        // The pages were full: new versions went to others, and each old one leaves a dead line pointer, which goes, too.
        assert_eq!((report.removed, report.recently_dead), (160, 0), "{mode:?}: {report:?}");
        assert_eq!((report.freed, report.live), (160, 240), "{mode:?}: {report:?}");
        assert_eq!(committed(&engine).len(), 240);
        let report = vacuum(&mut session, "account", &VacuumOptions::freeze());
        assert_eq!((report.removed, report.freed, report.frozen), (0, 0, 0), "{mode:?}");
    }
}

#[test]
fn a_command_that_failed_under_a_savepoint_holds_nothing_back() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 300, 100);
        let mut failing = engine.session().expect("a session");
        let mut failed = failing.begin(Isolation::ReadCommitted).expect("begun");
        let savepoint = failed.savepoint().expect("begun");
        failed.begin_command().expect("begun");
        assert_eq!(accounts(&table, &mut failed).len(), 300);
        failed.give_up().expect("undone");
        delete(&engine, &table, |id| id % 2 == 0);
        let mut session = engine.session().expect("a session");
        let report = vacuum(&mut session, "account", &VacuumOptions::default());
        assert_eq!((report.removed, report.recently_dead), (150, 0), "{mode:?}");
        failed.rollback_to(savepoint).expect("rolled back");
        assert_eq!(accounts(&table, &mut failed).len(), 150);
    }
}

/// Versions that no chain leads to any more, one of which leads to another.
#[test]
fn what_an_aborted_transaction_updated_twice_goes() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let (table, tids) = with_accounts(&engine, 3, 100);
        let mut session = engine.session().expect("a session");
        for (amounts, commits) in [(1..4, false), (4..5, true)] {
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            for amount in amounts {
                let new = account(0, amount);
                table.update(&mut transaction, tids[0], &new).expect("updated").expect("there");
            }
            if commits { transaction.commit() } else { transaction.rollback() }.expect("ended");
        }
        let report = vacuum(&mut session, "account", &VacuumOptions::default());
        assert_eq!((report.removed, report.live), (4, 3), "{mode:?}: {report:?}");
        assert_eq!(committed(&engine), [(0, 4), (1, 100), (2, 100)], "{mode:?}");
    }
}

#[test]
fn frozen_rows_name_no_transaction_that_counts() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 200, 100);
        update(&engine, &table, 7, |id| id < 50);
        let before = committed(&engine);
        let mut session = engine.session().expect("a session");
        let report = vacuum(&mut session, "account", &VacuumOptions::freeze());
        assert_eq!((report.frozen, report.live), (200, 200), "{mode:?}");
        let frozen = report.frozen_to.expect("known");
        assert_eq!((frozen.xid, frozen.multi), (report.removable_cutoff, 1));
        assert_eq!(table.frozen(), frozen);
        {
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            for row in table.scan(&mut transaction).expect("a scan") {
                let row = row.expect("a row");
                let (header, _) = HeapTupleHeader::read(row.tuple()).expect("a header");
                assert!(header.infomask.xmin_frozen() && header.xmax == Xid::INVALID, "{header:?}");
            }
        }
        drop(session);
        engine.close().expect("closed");
        let engine = crate::transactions::open(&disk, mode);
        assert_eq!(committed(&engine), before);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        assert_eq!(transaction.table("account").expect("there").frozen(), frozen, "it is kept");
    }
}

#[test]
fn rows_are_frozen_when_they_are_old_enough() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let (table, _) = with_accounts(&engine, 20, 100);
    for round in 0..10 {
        update(&engine, &table, round, |id| id == 5);
    }
    let mut session = engine.session().expect("a session");
    let ages = FreezeAges { xid_min: 5, ..FreezeAges::default() };
    let report =
        vacuum(&mut session, "account", &VacuumOptions { ages, ..VacuumOptions::default() });
    assert_eq!((report.removed, report.frozen, report.live), (10, 19, 20), "{report:?}");
    // The last update stays as it is, and so is the oldest that the table names.
    let newest = Xid(report.removable_cutoff.0 - 1);
    assert_eq!(report.frozen_to.expect("known").xid, newest);
}

/// The `xmax` of a version as it is on the disk, and whether it is a set.
fn xmax(engine: &Engine, disk: &FaultyDisk, table: &Table, tid: Tid) -> (Xid, bool) {
    engine.checkpoint().expect("made");
    let path = Path::new(DATA).join(format!("base/5/{}", table.locator().relation));
    let file = crate::content(disk, &path).expect("a file");
    let page = file.chunks(8192).nth(tid.block as usize).expect("its page");
    let page = RawPage::new(page.try_into().expect("a page"));
    let pointer = page.line_pointer(tid.offset).expect("a line pointer");
    let tuple = page.item(pointer).expect("a version");
    let (header, _) = HeapTupleHeader::read(tuple).expect("a header");
    (header.xmax, header.infomask.contains(Infomask::XMAX_IS_MULTI))
}

/// Sets of lockers: one whose members have ended goes, one whose lockers run is made anew without those who do not, and
/// one of which the updater alone runs shrinks to him.
#[test]
fn sets_are_taken_apart() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let (table, tids) = with_accounts(&engine, 3, 100);
        let mut sessions = [(); 4].map(|()| engine.session().expect("a session"));
        let [one, two, three, vacuuming] = &mut sessions;
        let lock = |transaction: &mut Transaction<'_, '_>, at: usize| {
            let (strength, policy) = (RowLock::KeyShare, WaitPolicy::Wait);
            table.lock_row(transaction, tids[at], strength, policy).expect("locked");
        };
        let mut first = one.begin(Isolation::ReadCommitted).expect("begun");
        let mut second = two.begin(Isolation::ReadCommitted).expect("begun");
        for at in [0, 1, 2] {
            lock(&mut first, at);
        }
        for at in [0, 1] {
            lock(&mut second, at);
        }
        let mut third = three.begin(Isolation::ReadCommitted).expect("begun");
        // Behind the command nothing is held back any more that it saw.
        third.begin_command().expect("begun");
        lock(&mut third, 1);
        table.update(&mut third, tids[2], &account(2, 7)).expect("updated").expect("there");
        third.end_command();
        let updater = third.xid().expect("it has changed something").xid();
        first.commit().expect("committed");
        second.commit().expect("committed");
        let before = [0, 1, 2].map(|at| xmax(&engine, &disk, &table, tids[at]));
        assert!(before.iter().all(|(_, is_set)| *is_set), "{mode:?}: {before:?}");
        vacuum(vacuuming, "account", &VacuumOptions::freeze());
        let after = [0, 1, 2].map(|at| xmax(&engine, &disk, &table, tids[at]));
        assert_eq!(after[0], (Xid::INVALID, false), "{mode:?}: {before:?}");
        assert!(after[1].1 && after[1].0 != before[1].0, "{mode:?}: {before:?}, {after:?}");
        assert_eq!(after[2], (updater, false), "{mode:?}: {before:?}");

        let mut other = one.begin(Isolation::ReadCommitted).expect("begun");
        let (strength, policy) = (RowLock::Update, WaitPolicy::NoWait);
        table.lock_row(&mut other, tids[0], strength, policy).expect("nobody holds it");
        for at in [1, 2] {
            let savepoint = other.savepoint().expect("begun");
            let held = table.lock_row(&mut other, tids[at], strength, policy);
            assert!(matches!(held, Err(Error::RowLockNotAvailable { .. })), "{mode:?} {at}");
            other.rollback_to(savepoint).expect("rolled back");
        }
        other.rollback().expect("rolled back");
        third.commit().expect("committed");
        let report = vacuum(vacuuming, "account", &VacuumOptions::freeze());
        let frozen = report.frozen_to.expect("known");
        assert_eq!(frozen.xid, report.removable_cutoff, "{mode:?}: {report:?}");
        let mut transaction = one.begin(Isolation::ReadCommitted).expect("begun");
        for row in table.scan(&mut transaction).expect("a scan") {
            let (header, _) = HeapTupleHeader::read(row.expect("a row").tuple()).expect("a header");
            assert_eq!(header.xmax, Xid::INVALID, "{mode:?}");
        }
    }
}

#[test]
fn it_says_how_far_it_has_come_and_can_be_stopped() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let (table, tids) = with_accounts(&engine, 2000, 100);
    delete(&engine, &table, |id| id % 2 == 0);
    let mut session = engine.session().expect("a session");
    let mut seen = Vec::new();
    let stopped = session.vacuum(Some("account"), &VacuumOptions::default(), &mut |progress| {
        seen.push((progress.phase, progress.scanned));
        match progress.scanned {
            4 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    let first = [(VacuumPhase::Initializing, 0)];
    let pages = [0, 1, 2, 3, 4].map(|page| (VacuumPhase::Scanning, page));
    assert_eq!(seen, [&first[..], &pages].concat());
    let options = VacuumOptions { dead_at_once: 300, ..VacuumOptions::default() };
    let mut phases = Vec::new();
    let reports = session.vacuum(Some("account"), &options, &mut |progress| {
        if phases.last() != Some(&progress.phase) {
            phases.push(progress.phase);
        }
        ControlFlow::Continue(())
    });
    let report = &reports.expect("vacuumed")[0];
    // Those of the first pages were freed before it was stopped.
    let left = tids.iter().step_by(2).filter(|tid| tid.block >= 4).count() as u64;
    assert_eq!((report.live, report.freed), (1000, left));
    // Without indexes one pass does it, however many are dead.
    let [first, last] = [VacuumPhase::CleaningUp, VacuumPhase::Finishing];
    assert_eq!(phases, [VacuumPhase::Initializing, VacuumPhase::Scanning, first, last]);
    assert_eq!(committed(&engine).len(), 1000);
}

#[test]
fn room_in_a_large_table_is_found_before_the_vacuum_has_ended() {
    // Where a row goes that is put in behind a vacuum that was stopped on a page.
    let block_after = |tells_every| {
        let (engine, _disk) = engine(SnapshotMode::Classic);
        let (table, _) = with_accounts(&engine, 5000, 100);
        delete(&engine, &table, |id| id % 2 == 0);
        let mut session = engine.session().expect("a session");
        let options = VacuumOptions { tells_every, ..VacuumOptions::default() };
        let stopped =
            session.vacuum(Some("account"), &options, &mut |progress| match progress.scanned {
                20 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.insert(&mut transaction, &account(5000, 100)).expect("inserted").block
    };
    let (told, untold) = (block_after(8), block_after(VacuumOptions::default().tells_every));
    assert!(told < 20 && untold >= 20, "{told}, {untold}");
}

#[test]
fn all_tables_are_vacuumed_the_catalogs_too() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let _ = with_accounts(&engine, 10, 100);
    let mut session = engine.session().expect("a session");
    let reports = vacuum_all(&mut session, &VacuumOptions::freeze());
    let names: Vec<&str> = reports.iter().map(|report| report.table.as_str()).collect();
    let own = [
        "strata_table",
        "strata_column",
        "strata_definition",
        "strata_index",
        "strata_frozen",
        "pg_class",
        "account",
    ];
    assert_eq!(names, own);
    let go_on = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
    let missing = session.vacuum(Some("nothing"), &VacuumOptions::default(), go_on);
    assert!(matches!(missing, Err(Error::NoTable(_))), "{missing:?}");
}
