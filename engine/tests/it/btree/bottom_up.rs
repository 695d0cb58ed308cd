//! Versions of rows whose key stays: entries of the old ones go before they split a leaf.

use std::collections::BTreeSet;

use base::Tid;
use engine::heap::Value;
use fastrand::Rng;

use super::model::{Model, compare, redone};
use super::removal::Table;
use super::{Rows, XID, created, opened, pages};

/// The place of a row's version: those of one row lie on pages near each other, as those of a table do that others update, too.
fn place(number: u32, version: u32) -> Tid {
    let at = version * 400 + number;
    Tid { block: at / 60, offset: (at % 60) as u16 + 1 }
}

/// Pages of an index after so many versions of each of 400 rows, of which all but the last `kept` are dead.
fn churned(rows: Rows, versions: u32, kept: u32, is_hinted: bool) -> (u64, u64) {
    let (disk, storage) = opened();
    let mut random = Rng::with_seed(41);
    let (mut keys, mut model) = (Vec::new(), Model::new());
    let mut table = Table(BTreeSet::new());
    let (first, last, before) = {
        let index = created(&storage, rows.shape());
        let mut inserter = storage.log.log().inserter();
        let mut writer = index.writer(&mut inserter, XID);
        let mut first = 0;
        for version in 0..versions {
            for number in 0..400 {
                if version == 0 {
                    keys.push(rows.key(number, &mut random));
                }
                let (key, tid) = (keys[number as usize], place(number, version));
                let is_unchanged = is_hinted && version > 0;
                let put = |values: &[Value<'_>]| {
                    writer.insert_with(values, tid, is_unchanged, &mut table)
                };
                rows.values(key, put).expect("put in");
                model.insert((key, tid));
                if let Some(gone) = version.checked_sub(kept) {
                    table.0.insert(place(number, gone));
                }
            }
            if version == kept {
                first = index.verify(false).expect("a sound index").pages;
            }
        }
        let verified = index.verify(false).expect("a sound index");
        let there: BTreeSet<Tid> = verified.tids.iter().copied().collect();
        // Nothing went that somebody sees.
        model.retain(|row| there.contains(&row.1) || !table.0.contains(&row.1));
        assert!(model.iter().map(|row| &row.1).eq(&verified.tids), "{rows:?}");
        compare(&index, rows, &model, &mut random);
        (first, verified.pages, pages(&storage))
    };
    redone(rows, &disk, storage, &before, &model);
    (first, last)
}

#[test]
fn old_versions_do_not_make_an_index_larger() {
    for rows in [Rows::Ascending, Rows::Scattered, Rows::Few, Rows::Long, Rows::Groups] {
        for kept in [1, 2] {
            let (first, last) = churned(rows, 30, kept, true);
            let (_, unhinted) = churned(rows, 30, kept, false);
            println!("{rows:?}, {kept} kept: {first} to {last} pages, without the hint {unhinted}");
            // Long keys are shared by the versions of a row in any case.
            let most = if rows == Rows::Long { unhinted } else { unhinted * 2 / 3 };
            assert!(last < most, "{rows:?}: {first} to {last}, {unhinted}");
        }
    }
}

/// A snapshot that sees all versions has them all stay.
#[test]
fn versions_that_somebody_sees_stay() {
    for rows in [Rows::Ascending, Rows::Few] {
        let (_, hinted) = churned(rows, 10, 10, true);
        let (_, unhinted) = churned(rows, 10, 10, false);
        assert!(hinted.abs_diff(unhinted) <= unhinted / 3, "{rows:?}: {hinted}, {unhinted}");
    }
}
