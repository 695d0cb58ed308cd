//! Random changes of rows with long values, against a map: lengths around every threshold, savepoints, rollbacks, vacuums and
//! crashes, in every snapshot mode.

use std::collections::BTreeMap;

use engine::heap::Compression;
use engine::vacuum::VacuumOptions;
use engine::{ColumnStorage, SnapshotMode};
use fastrand::Rng;

use super::*;
use crate::transactions::{MODES, engine, open_with, options};
use crate::vacuum::vacuum;

/// Lengths between which something changes: short headers, compression, the row's target, chunks, pages.
const LENGTHS: [usize; 9] = [0, 31, 127, 510, 1996, 2032, 3992, 8160, 30_000];

fn length(random: &mut Rng) -> usize {
    let near = LENGTHS[random.usize(..LENGTHS.len())];
    (near + random.usize(..60)).saturating_sub(30)
}

fn chosen(random: &mut Rng, id: i32) -> Document {
    let body = (random.u8(..6) > 0).then(|| text(length(random), random.usize(..)));
    let raw = (random.u8(..6) > 0).then(|| noise(length(random), random.usize(..)));
    Document { id, body, raw }
}

fn columns(random: &mut Rng) -> [Column; 3] {
    let kinds = [ColumnStorage::External, ColumnStorage::Extended, ColumnStorage::Main];
    let methods = [Compression::Pglz, Compression::Lz4];
    let [id, body, raw] = document_columns();
    let mut varied = |column: Column| {
        let column = column.stored(kinds[random.usize(..kinds.len())]);
        if random.bool() { column.compressed(methods[random.usize(..2)]) } else { column }
    };
    let (body, raw) = (varied(body), varied(raw));
    [id, body, raw]
}

/// Rows by identifier, with their places.
type Rows = BTreeMap<i32, (Document, Tid)>;

/// Changes some rows as chance has it; what they then are.
fn change(
    table: &Table,
    transaction: &mut Transaction<'_, '_>,
    rows: &Rows,
    random: &mut Rng,
) -> Rows {
    let mut rows = rows.clone();
    for _ in 0..random.usize(1..6) {
        let id = random.i32(..12);
        match rows.get(&id).cloned() {
            None => {
                let new = chosen(random, id);
                let tid = table.insert(transaction, &new.values()).expect("inserted");
                rows.insert(id, (new, tid));
            }
            Some((_, tid)) if random.u8(..4) == 0 => {
                assert!(table.delete(transaction, tid).expect("deleted"), "{id}");
                rows.remove(&id);
            }
            Some((old, tid)) => {
                let mut new = chosen(random, id);
                match random.u8(..4) {
                    0 => new.body = old.body,
                    1 => new.raw = old.raw,
                    2 => new = old,
                    _ => {}
                }
                let root = table.update(transaction, tid, &new.values()).expect("updated");
                rows.insert(id, (new, root.expect("there")));
            }
        }
    }
    rows
}

fn assert_same(table: &Table, transaction: &mut Transaction<'_, '_>, rows: &Rows, what: &str) {
    let found: Vec<_> = documents(table, transaction).into_iter().map(|found| found.0).collect();
    let wanted: Vec<_> = rows.values().map(|row| row.0.clone()).collect();
    assert!(found == wanted, "{what}: other documents");
}

fn run(mode: SnapshotMode, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let what = format!("{mode:?}, seed {seed}");
    let (mut engine, disk) = engine(mode);
    with_documents(&engine, &columns(&mut random));
    let mut committed = Rows::new();
    for _ in 0..12 {
        {
            let mut session = engine.session().expect("a session");
            session.set_compression([Compression::Pglz, Compression::Lz4][random.usize(..2)]);
            for _ in 0..random.usize(1..5) {
                let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
                let table = transaction.table("doc").expect("there");
                let mut rows = change(&table, &mut transaction, &committed, &mut random);
                if random.bool() {
                    let savepoint = transaction.savepoint().expect("begun");
                    let changed = change(&table, &mut transaction, &rows, &mut random);
                    assert_same(&table, &mut transaction, &changed, &what);
                    match random.bool() {
                        true => transaction.rollback_to(savepoint).expect("rolled back"),
                        false => rows = changed,
                    }
                }
                assert_same(&table, &mut transaction, &rows, &what);
                if random.u8(..3) == 0 {
                    transaction.rollback().expect("rolled back");
                } else {
                    transaction.commit().expect("committed");
                    committed = rows;
                }
            }
            if random.bool() {
                vacuum(&mut session, "doc", &VacuumOptions::freeze());
            }
            let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
            let table = transaction.table("doc").expect("there");
            assert_same(&table, &mut transaction, &committed, &what);
            let index = format!("{}_index", table.toast_table().expect("a TOAST table").name());
            transaction.check_index(&index).expect("sound");
        }
        if random.u8(..4) == 0 {
            // What was not written is lost, and recovered from the log.
            drop(engine);
            engine = open_with(&disk, options(mode));
        }
    }
    // Nothing is left over when the last row is gone.
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("doc").expect("there");
    for (_, tid) in committed.values() {
        assert!(table.delete(&mut transaction, *tid).expect("deleted"));
    }
    assert_eq!(chunks(&table, &mut transaction), 0, "{what}");
    transaction.commit().expect("committed");
    let go_on = &mut |_: &engine::vacuum::VacuumProgress<'_>| std::ops::ControlFlow::Continue(());
    let reports = session.vacuum(Some("doc"), &VacuumOptions::freeze(), go_on).expect("vacuumed");
    assert!(reports.iter().all(|report| report.pages == 0), "{what}: {reports:?}");
}

#[test]
fn random_changes_of_long_values_are_those_of_a_map() {
    let seeds =
        std::env::var("PGSTRATA_TOAST_SEEDS").map_or(4, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        for mode in MODES {
            run(mode, seed);
        }
    }
}
