//! The logs of transactions cut off behind the oldest table, and the visibility map kept true.

use base::disk::Disk;
use base::page::PageFlags;
use base::{RawPage, Xid};
use engine::SnapshotMode;
use engine::vacuum::VacuumOptions;
use engine::{RowLock, WaitPolicy};
use std::path::Path;

use super::*;
use crate::DATA;
use crate::transactions::{MODES, committed, engine, open, with_accounts};

fn names(disk: &impl Disk, directory: &str) -> Vec<String> {
    let entries = disk.list(&Path::new(DATA).join(directory)).expect("a directory");
    let mut names: Vec<_> =
        entries.iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_go_that_only_frozen_rows_named() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let _ = with_accounts(&engine, 10, 100);
        let mut session = engine.session().expect("a session");
        // A file of pg_commit_ts is of 26208 ids.
        session.burn_xids(26_300).expect("burned");
        engine.checkpoint().expect("made");
        let before = names(&disk, "pg_commit_ts");
        assert_eq!(before, ["0000", "0001"], "{mode:?}");
        // One table does not make the database younger.
        vacuum(&mut session, "account", &VacuumOptions::freeze());
        assert_eq!(names(&disk, "pg_commit_ts"), before, "{mode:?}");
        let oldest = engine.frozen();
        vacuum_all(&mut session, &VacuumOptions::freeze());
        assert!(oldest.xid.precedes(engine.frozen().xid), "{mode:?}");
        assert!(Xid(26_300).precedes(engine.frozen().xid), "{mode:?}");
        assert_eq!(names(&disk, "pg_commit_ts"), ["0001"], "{mode:?}");
        drop(session);
        let rows = committed(&engine);
        // Once from the log, once after a shutdown.
        drop(engine);
        let engine = open(&disk, mode);
        assert_eq!(
            (committed(&engine), names(&disk, "pg_commit_ts")),
            (rows.clone(), vec!["0001".into()])
        );
        engine.close().expect("closed");
        let engine = open(&disk, mode);
        assert_eq!(committed(&engine), rows, "{mode:?}");
    }
}

#[test]
fn sets_go_that_no_row_names() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let (table, tids) = with_accounts(&engine, 10, 100);
    let mut sessions = [(); 2].map(|()| engine.session().expect("a session"));
    // A file of offsets is of 65536 sets, one of members of 52352 members: 3 a set of these.
    for _ in 0..26_500 {
        let [one, other] = &mut sessions;
        let mut first = one.begin(Isolation::ReadCommitted).expect("begun");
        let mut second = other.begin(Isolation::ReadCommitted).expect("begun");
        for transaction in [&mut first, &mut second] {
            let (strength, policy) = (RowLock::KeyShare, WaitPolicy::Wait);
            table.lock_row(transaction, tids[0], strength, policy).expect("locked");
        }
        first.rollback().expect("rolled back");
        second.rollback().expect("rolled back");
    }
    engine.checkpoint().expect("made");
    assert_eq!(names(&disk, "pg_multixact/members"), ["0000", "0001"]);
    vacuum_all(&mut sessions[0], &VacuumOptions::freeze());
    assert_eq!(engine.frozen().multi, 26_501);
    assert_eq!(names(&disk, "pg_multixact/members"), ["0001"]);
    drop(sessions);
    drop(engine);
    let engine = open(&disk, SnapshotMode::Classic);
    assert_eq!(engine.frozen().multi, 26_501);
    assert_eq!(names(&disk, "pg_multixact/members"), ["0001"]);
    assert_eq!(committed(&engine).len(), 10);
}

/// What the map says of the table's pages, and the flag of each page, as they are in the files.
fn map(disk: &impl Disk, table: &Table) -> Vec<(u8, bool)> {
    let file = |suffix: &str| {
        let path = Path::new(DATA).join(format!("base/5/{}{suffix}", table.locator().relation));
        crate::content(disk, &path).unwrap_or_default()
    };
    let (map, pages) = (file("_vm"), file(""));
    let bits = |block: usize| map.get(24 + block / 4).map_or(0, |byte| byte >> (block % 4 * 2) & 3);
    let flag = |page: &[u8]| {
        let page = page.try_into().expect("a page");
        RawPage::new(page).header().flags.contains(PageFlags::ALL_VISIBLE)
    };
    pages.chunks(8192).enumerate().map(|(block, page)| (bits(block), flag(page))).collect()
}

#[test]
fn every_change_of_a_page_clears_what_the_map_says_of_it() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 1000, 100);
        let mut session = engine.session().expect("a session");
        let look = |engine: &Engine| {
            engine.checkpoint().expect("made");
            let map = map(&disk, &table);
            let mut session = engine.session().expect("a session");
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let counted = table.all_visible_pages(&mut transaction).expect("counted");
            let visible = map.iter().filter(|(bits, _)| bits & 1 != 0).count();
            assert_eq!(counted as usize, visible, "{mode:?}");
            map
        };
        let report = vacuum(&mut session, "account", &VacuumOptions::default());
        assert_eq!((report.set_all_visible, report.set_all_frozen), (u64::from(report.pages), 0));
        assert_eq!(look(&engine), vec![(1, true); report.pages as usize], "{mode:?}");
        let report = vacuum(&mut session, "account", &VacuumOptions::freeze());
        assert_eq!((report.set_all_visible, report.set_all_frozen), (0, u64::from(report.pages)));
        assert_eq!(look(&engine), vec![(3, true); report.pages as usize], "{mode:?}");
        // All frozen: nothing is looked at but the last page, where there are many.
        let mut expected = vec![(3, true); report.pages as usize];
        // A row that is locked stays visible.
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let rows = places(&table, &mut transaction);
        let of_block = |block| rows.iter().find(|(tid, _)| tid.block == block).expect("a row").0;
        let (strength, policy) = (RowLock::Share, WaitPolicy::Wait);
        table.lock_row(&mut transaction, of_block(0), strength, policy).expect("locked");
        expected[0] = (1, true);
        assert!(table.delete(&mut transaction, of_block(1)).expect("deleted"));
        expected[1] = (0, false);
        let row = crate::transactions::account(1, 1);
        let moved = table.update(&mut transaction, of_block(2), &row).expect("updated");
        expected[2] = (0, false);
        // To a page that has room, or to a new one.
        let to = moved.expect("there").block as usize;
        if to >= expected.len() {
            expected.push((0, false));
        }
        expected[to] = (0, false);
        transaction.commit().expect("committed");
        assert_eq!(look(&engine), expected, "{mode:?}");
        drop(session);
        // Redo says the same, from the log alone.
        let rows = committed(&engine);
        drop(engine);
        let engine = open(&disk, mode);
        assert_eq!((look(&engine), committed(&engine)), (expected, rows), "{mode:?}");
        let mut session = engine.session().expect("a session");
        let report = vacuum(&mut session, "account", &VacuumOptions::freeze());
        assert_eq!(look(&engine), vec![(3, true); report.pages as usize], "{mode:?}");
    }
}

#[test]
fn pages_that_the_map_vouches_for_are_left_out() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let (table, _) = with_accounts(&engine, 9000, 100);
    let mut session = engine.session().expect("a session");
    let first = vacuum(&mut session, "account", &VacuumOptions::default());
    assert!(first.pages > 40 && first.scanned == first.pages, "{first:?}");
    assert_eq!(first.frozen_to.expect("known").xid, Xid(first.removable_cutoff.0 - 1));
    let again = vacuum(&mut session, "account", &VacuumOptions::default());
    assert_eq!(again.scanned, 1, "{again:?}");
    // Left out are rows that are not frozen: the table's age stays.
    update(&engine, &table, 5, |id| id == 8999);
    let again = vacuum(&mut session, "account", &VacuumOptions::default());
    assert!(again.scanned < 4 && again.removed == 1, "{again:?}");
    assert_eq!(again.frozen_to, first.frozen_to);
    let all = vacuum(&mut session, "account", &VacuumOptions::freeze());
    assert_eq!((all.scanned, all.is_aggressive), (all.pages, true));
    let none = vacuum(&mut session, "account", &VacuumOptions::freeze());
    assert_eq!(none.scanned, 1, "{none:?}");
    let forced = VacuumOptions { skips_pages: false, ..VacuumOptions::default() };
    let forced = vacuum(&mut session, "account", &forced);
    assert_eq!((forced.scanned, forced.is_aggressive), (forced.pages, true));
}
