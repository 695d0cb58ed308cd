//! Indexes that compute something of a row: kept over restarts, maintained with what is handed over, and refused without
//! it; rows that are put in unless somebody has their key.

use std::ops::Bound;

use super::locks::{begin, sessions};
use super::recovered::{quiet, reopen};
use super::*;
use engine::btree::Direction;
use engine::{
    Computed, EngineOptions, Error, IndexColumn, IndexDefinition, InsertOutcome, TableIndex,
    VersionChange,
};

/// `(abs(amount) desc)`, unique.
fn definition() -> IndexDefinition {
    IndexDefinition {
        key: vec![IndexColumn::descending(3)],
        computed: vec![Computed { of: engine::heap::ColumnType::Int8, reads: vec![1] }],
        text: "abs(amount)".to_owned(),
        ..IndexDefinition::new("account_abs", &[]).unique()
    }
}

fn make(transaction: &mut Transaction<'_, '_>, table: &Table) -> Result<TableIndex, Error> {
    transaction.create_computed_index(table, &definition(), &mut |_, row, give| {
        let Value::Int8(amount) = row[1] else { panic!("{row:?}") };
        give(&[Value::Int8(amount.abs())])
    })
}

fn put(
    transaction: &mut Transaction<'_, '_>,
    table: &Table,
    index: &TableIndex,
    (id, amount): (i32, i64),
    is_arbiter: bool,
) -> Result<InsertOutcome, Error> {
    let computed = [(index.oid(), vec![Value::Int8(amount.abs())])];
    let oids = [index.oid()];
    let arbiters = if is_arbiter { &oids[..] } else { &[] };
    table.insert_unless(transaction, &account(id, amount), &computed, arbiters)
}

/// The accounts of this computed key.
fn with_key(
    transaction: &mut Transaction<'_, '_>,
    table: &Table,
    index: &TableIndex,
    key: i64,
) -> Vec<(i32, i64)> {
    let key: &[Value<'_>] = &[Value::Int8(key)];
    let bound = Bound::Included(key);
    let scan = table.scan_index(transaction, index, bound, bound, Direction::Forward);
    let mut scan = scan.expect("a scan");
    let mut found = Vec::new();
    while let Some(row) = scan.next_row(transaction).expect("a row") {
        found.push(read(&row));
    }
    found
}

#[test]
fn what_is_computed_is_kept_and_found() {
    for mode in MODES {
        let (disk, _) = initialized();
        let engine = reopen(disk.clone(), quiet(mode));
        let (table, _) = with_accounts(&engine, 0, 0);
        let [mut session] = sessions(&engine);
        let mut transaction = begin(&mut session);
        for (id, amount) in [(1, 10), (2, -20)] {
            table.insert(&mut transaction, &account(id, amount)).expect("inserted");
        }
        let index = make(&mut transaction, &table).expect("made");
        assert!(matches!(
            put(&mut transaction, &table, &index, (3, 30), false),
            Ok(InsertOutcome::Inserted(_))
        ));
        transaction.commit().expect("committed");

        let mut transaction = begin(&mut session);
        // Taken back: nobody sees it, whoever looks.
        for amount in [10, -30] {
            let taken = put(&mut transaction, &table, &index, (4, amount), true);
            assert_eq!(taken.expect("asked"), InsertOutcome::Taken(index.oid()));
        }
        assert_eq!(accounts(&table, &mut transaction), [(1, 10), (2, -20), (3, 30)]);
        // One that changes nothing of what is computed needs nothing.
        let row = table.scan(&mut transaction).expect("a scan").next().expect("a row");
        let tid = row.expect("a row").tid();
        let values = [Value::Int4(1), Value::Int8(10), Value::Text("kept")];
        let changed = table.update_version(&mut transaction, tid, &values, &[]);
        assert!(matches!(changed, Ok(VersionChange::Changed { .. })), "{changed:?}");
        transaction.commit().expect("committed");

        let mut transaction = begin(&mut session);
        let row = table.scan(&mut transaction).expect("a scan").last().expect("a row");
        let row = row.expect("a row");
        let (id, _) = read(&row);
        let computed = [(index.oid(), vec![Value::Int8(77)])];
        let changed =
            table.update_version(&mut transaction, row.tid(), &account(id, -77), &computed);
        assert!(matches!(changed, Ok(VersionChange::Changed { .. })), "{changed:?}");
        transaction.commit().expect("committed");
        drop(session);

        let engine = reopen(disk.after_crash(3), quiet(mode));
        let [mut session] = sessions(&engine);
        let mut transaction = begin(&mut session);
        let table = transaction.table("account").expect("there");
        let [index] = &table.all_indexes(&transaction)[..] else { panic!("one index") };
        assert_eq!(index.definition(), &definition());
        assert_eq!(with_key(&mut transaction, &table, index, 77), [(id, -77)]);
        let mut expected = vec![(1, 10), (2, -20), (3, 30)];
        expected.iter_mut().filter(|account| account.0 == id).for_each(|found| found.1 = -77);
        let mut found = accounts(&table, &mut transaction);
        found.sort_unstable();
        assert_eq!(found, expected);
        let checked = transaction.check_index("account_abs").expect("sound");
        assert_eq!(checked.entries, 4, "that of the version before the last, too: {checked:?}");
    }
}

#[test]
fn what_is_not_computed_is_refused() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, _) = with_accounts(&engine, 0, 0);
        let [mut session] = sessions(&engine);
        let mut transaction = begin(&mut session);
        let index = make(&mut transaction, &table).expect("made");
        put(&mut transaction, &table, &index, (1, 10), false).expect("inserted");
        transaction.commit().expect("committed");

        let mut transaction = begin(&mut session);
        let refused = put(&mut transaction, &table, &index, (2, -10), false).expect_err("there");
        assert!(matches!(refused, Error::Unique { .. }), "{refused}");
        drop(transaction);
        let mut transaction = begin(&mut session);
        let refused = table.insert(&mut transaction, &account(2, 5)).expect_err("not computed");
        assert!(matches!(refused, Error::NotComputed { .. }), "{refused}");
        drop(transaction);
        // Two rows that have the same of it.
        let mut transaction = begin(&mut session);
        transaction.drop_index("account_abs").expect("dropped");
        table.insert(&mut transaction, &account(2, -10)).expect("inserted");
        let Err(Error::NotUnique { key, .. }) = make(&mut transaction, &table) else {
            panic!("made")
        };
        assert_eq!(key, ["10"]);
    }
}

/// Made with as little memory as there can be: found in order, refused, and cancelled as with all that is needed.
#[test]
fn what_is_computed_need_not_fit_into_memory() {
    const ROWS: i64 = 5000;
    let little = |memory: usize| {
        let (disk, _) = initialized();
        let options = EngineOptions { maintenance_memory: memory, ..quiet(SnapshotMode::Classic) };
        let engine = reopen(disk.clone(), options);
        let (table, _) = with_accounts(&engine, 0, 0);
        let [mut session] = sessions(&engine);
        let cancel = session.cancel_handle();
        let mut transaction = begin(&mut session);
        let sign = |id: i64| if id % 2 == 0 { 1 } else { -1 };
        let rows =
            (0..ROWS).map(|id| account(id as i32, sign(id) * (id * 7919 % 5003 + 1)).to_vec());
        let mut rows: Vec<_> = rows.collect();
        // The keys of two others.
        rows.push(account(9000, -2000).to_vec());
        rows.push(account(9001, 3000).to_vec());
        let tids = table.insert_many(&mut transaction, &rows).expect("inserted");
        transaction.commit().expect("committed");
        let temporary = Path::new(DATA).join("base/pgsql_tmp");
        let left = || {
            let is_there = disk.is_directory(&temporary);
            is_there.then(|| disk.list(&temporary).expect("listed").len())
        };
        let mut transaction = begin(&mut session);
        let refused = make(&mut transaction, &table).expect_err("two rows have the same key");
        transaction.rollback().expect("rolled back");
        assert_eq!(left(), (memory == 0).then_some(0));
        let mut transaction = begin(&mut session);
        for tid in &tids[ROWS as usize..] {
            assert!(table.delete(&mut transaction, *tid).expect("deleted"));
        }
        transaction.commit().expect("committed");
        let mut transaction = begin(&mut session);
        let mut seen = 0;
        let compute =
            &mut |_: &mut Transaction<'_, '_>,
                  row: &[Value<'_>],
                  give: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>| {
                seen += 1;
                if seen == ROWS {
                    cancel.cancel();
                }
                let Value::Int8(amount) = row[1] else { panic!("{row:?}") };
                give(&[Value::Int8(amount.abs())])
            };
        let cancelled = transaction.create_computed_index(&table, &definition(), compute);
        assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
        transaction.rollback().expect("rolled back");
        assert_eq!((seen, left()), (ROWS, (memory == 0).then_some(0)));
        let mut transaction = begin(&mut session);
        let index = make(&mut transaction, &table).expect("made");
        let (lower, upper) = (Bound::Unbounded, Bound::Unbounded);
        let scan = table.scan_index(&mut transaction, &index, lower, upper, Direction::Forward);
        let (mut scan, mut keys) = (scan.expect("a scan"), Vec::new());
        while let Some(row) = scan.next_row(&mut transaction).expect("a row") {
            keys.push(read(&row).1.abs());
        }
        assert!(keys.len() == ROWS as usize && keys.is_sorted_by(|one, other| one > other));
        transaction.commit().expect("committed");
        assert_eq!(left(), (memory == 0).then_some(0));
        refused.to_string()
    };
    assert_eq!(little(0), little(1 << 26));
}
