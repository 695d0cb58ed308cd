//! Dead versions go, whatever a snapshot in use may need stays, and old ids are frozen.

use base::Xid;
use base::tuple::HeapTupleHeader;
use engine::vacuum::{FreezeAges, VacuumOptions, VacuumPhase};
use engine::{Error, RowLock, SnapshotMode, WaitPolicy};

use super::*;
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

/// Sets of lockers: one whose members have ended goes, one whose updater counts shrinks to him, and one whose lockers run is
/// made anew without those who do not.
#[test]
fn sets_are_taken_apart() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let (table, tids) = with_accounts(&engine, 3, 100);
        let mut sessions = [(); 4].map(|()| engine.session().expect("a session"));
        let [one, two, three, vacuuming] = &mut sessions;
        let lock = |transaction: &mut engine::Transaction<'_, '_>, at: usize| {
            let (strength, policy) = (RowLock::KeyShare, WaitPolicy::Wait);
            table.lock_row(transaction, tids[at], strength, policy).expect("locked");
        };
        let mut first = one.begin(Isolation::ReadCommitted).expect("begun");
        let mut second = two.begin(Isolation::ReadCommitted).expect("begun");
        let mut third = three.begin(Isolation::ReadCommitted).expect("begun");
        for at in [0, 1] {
            lock(&mut first, at);
            lock(&mut second, at);
        }
        lock(&mut third, 1);
        lock(&mut third, 2);
        first.commit().expect("committed");
        second.commit().expect("committed");
        // The third one goes on: everything before it can be frozen, the sets that it is in cannot.
        let report = vacuum(vacuuming, "account", &VacuumOptions::freeze());
        assert!(report.frozen >= 1, "{report:?}");
        let mut other = one.begin(Isolation::ReadCommitted).expect("begun");
        let (strength, policy) = (RowLock::Update, WaitPolicy::NoWait);
        table.lock_row(&mut other, tids[0], strength, policy).expect("nobody holds it");
        for at in [1, 2] {
            let mut savepoint = None;
            savepoint.get_or_insert(other.savepoint().expect("begun"));
            let held = table.lock_row(&mut other, tids[at], strength, policy);
            assert!(matches!(held, Err(Error::RowLockNotAvailable { .. })), "{mode:?} {at}");
            other.rollback_to(savepoint.expect("begun")).expect("rolled back");
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
    let (table, _) = with_accounts(&engine, 2000, 100);
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
    assert_eq!(seen, [0, 1, 2, 3, 4].map(|page| (VacuumPhase::Scanning, page)));
    // Dead line pointers of a few pages at a time.
    let options = VacuumOptions { dead_at_once: 300, ..VacuumOptions::default() };
    let mut phases = Vec::new();
    let reports = session.vacuum(Some("account"), &options, &mut |progress| {
        if phases.last() != Some(&progress.phase) {
            phases.push(progress.phase);
        }
        ControlFlow::Continue(())
    });
    let report = &reports.expect("vacuumed")[0];
    assert_eq!((report.live, report.freed), (1000, 1000));
    assert!(
        phases.iter().filter(|phase| **phase == VacuumPhase::Freeing).count() > 2,
        "{phases:?}"
    );
    assert_eq!(committed(&engine).len(), 1000);
}

#[test]
fn all_tables_are_vacuumed_the_catalogs_too() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let _ = with_accounts(&engine, 10, 100);
    let mut session = engine.session().expect("a session");
    let go_on = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
    let reports = session.vacuum(None, &VacuumOptions::freeze(), go_on).expect("vacuumed");
    let names: Vec<&str> = reports.iter().map(|report| report.table.as_str()).collect();
    let own = [
        "strata_table",
        "strata_column",
        "strata_definition",
        "strata_index",
        "strata_frozen",
        "account",
    ];
    assert_eq!(names, own);
    let missing = session.vacuum(Some("nothing"), &VacuumOptions::default(), go_on);
    assert!(matches!(missing, Err(Error::NoTable(_))), "{missing:?}");
}
