//! Rows read from an index alone: the same as with the table, in every snapshot mode, beside changes and vacuums.

use std::ops::Bound;

use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::thread;
use engine::btree::Direction;
use engine::vacuum::VacuumOptions;
use engine::{IndexDefinition, TableIndex};
use fastrand::Rng;

use super::check_index::change_bytes;
use super::recovered::{quiet, reopen};
use super::*;
use crate::vacuum::vacuum;

/// An index on amount and id that carries the note.
fn definition() -> IndexDefinition {
    let included = vec![2];
    IndexDefinition { included, ..IndexDefinition::new("account_amount", &[1, 0]) }
}

type Found = (Option<i64>, i32, Option<String>);

fn found(values: &[Value<'_>]) -> Found {
    let [Value::Int4(id), amount, note] = values else { panic!("{values:?}") };
    let amount = match amount {
        Value::Int8(amount) => Some(*amount),
        _ => None,
    };
    let note = match note {
        Value::Text(note) => Some((*note).to_owned()),
        _ => None,
    };
    (amount, *id, note)
}

/// What both ways of reading find, and how many rows the first had to look for in the table.
fn both(
    table: &Table,
    index: &TableIndex,
    transaction: &mut Transaction<'_, '_>,
    direction: Direction,
) -> (Vec<Found>, Vec<Found>, u64) {
    let all = || (Bound::Unbounded, Bound::Unbounded);
    let (lower, upper) = all();
    let scan = table.scan_index_only(transaction, index, lower, upper, direction);
    let (mut scan, mut only) = (scan.expect("a scan"), Vec::new());
    while let Some(row) = scan.next_row(transaction).expect("a row") {
        let values = row.values().expect("values").into_iter();
        only.push(found(&values.map(|value| value.expect("in the index")).collect::<Vec<_>>()));
    }
    let fetches = scan.heap_fetches();
    let (lower, upper) = all();
    let scan = table.scan_index(transaction, index, lower, upper, direction);
    let (mut scan, mut rows) = (scan.expect("a scan"), Vec::new());
    while let Some(row) = scan.next_row(transaction).expect("a row") {
        rows.push(found(&row.values().expect("values")));
    }
    (only, rows, fetches)
}

fn put_in(table: &Table, transaction: &mut Transaction<'_, '_>, id: i32, random: &mut Rng) {
    let note = "n".repeat(random.usize(..30));
    let amount = if id % 9 == 0 { Value::Null } else { Value::Int8(i64::from(id % 5)) };
    let note = if id % 7 == 0 { Value::Null } else { Value::Text(&note) };
    table.insert(transaction, &[Value::Int4(id), amount, note]).expect("inserted");
}

#[test]
fn an_index_alone_gives_what_the_table_gives() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 0, 0);
        let mut random = Rng::with_seed(11);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let index = transaction.create_index(&table, &definition()).expect("made");
        transaction.commit().expect("committed");
        let mut reading = engine.session().expect("a session");
        let mut next = 0;
        for round in 0..6 {
            // Somebody who sees it as it is now.
            let mut reader = reading.begin(Isolation::RepeatableRead).expect("begun");
            let (_, before, _) = both(&table, &index, &mut reader, Direction::Forward);
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            for _ in 0..400 {
                put_in(&table, &mut transaction, next, &mut random);
                next += 1;
            }
            let rows: Vec<_> = table
                .scan(&mut transaction)
                .expect("a scan")
                .collect::<Result<_, _>>()
                .expect("rows");
            for row in rows.iter().filter(|row| (row.tid().block + round).is_multiple_of(4)) {
                match random.u8(..3) {
                    0 => assert!(table.delete(&mut transaction, row.tid()).expect("deleted")),
                    1 => {
                        let new = [row.values().expect("values")[0], Value::Int8(7), Value::Null];
                        table
                            .update(&mut transaction, row.tid(), &new)
                            .expect("updated")
                            .expect("there");
                    }
                    _ => {}
                }
            }
            if round % 3 == 2 { transaction.rollback() } else { transaction.commit() }
                .expect("ended");
            for direction in [Direction::Forward, Direction::Backward] {
                let (only, rows, _) = both(&table, &index, &mut reader, direction);
                assert_eq!(only, rows, "{mode:?}, round {round}, seen from before");
                let mut other = engine.session().expect("a session");
                let mut other = other.begin(Isolation::ReadCommitted).expect("begun");
                let (only, rows, _) = both(&table, &index, &mut other, direction);
                assert_eq!(only, rows, "{mode:?}, round {round}");
                other.commit().expect("committed");
            }
            let (_, after, _) = both(&table, &index, &mut reader, Direction::Forward);
            assert_eq!(after, before, "{mode:?}");
            reader.commit().expect("committed");
            vacuum(&mut session, "account", &VacuumOptions::default());
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let (only, rows, fetches) = both(&table, &index, &mut transaction, Direction::Forward);
            assert_eq!((only, fetches), (rows, 0), "{mode:?}: everybody sees all that is left");
            // A change takes its page out of the map, and no other.
            let first =
                table.scan(&mut transaction).expect("a scan").next().expect("rows").expect("a row");
            assert!(table.delete(&mut transaction, first.tid()).expect("deleted"));
            let (only, rows, fetches) = both(&table, &index, &mut transaction, Direction::Forward);
            assert_eq!(only, rows, "{mode:?}");
            assert!(fetches > 0 && fetches < rows.len() as u64 / 2, "{mode:?}: {fetches}");
            transaction.commit().expect("committed");
        }
    }
}

#[test]
fn pages_that_everybody_sees_are_not_read() {
    let (disk, _) = initialized();
    let engine = reopen(disk.clone(), quiet(SnapshotMode::Classic));
    let (table, _) = with_accounts(&engine, 1000, 1);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let index = transaction.create_index(&table, &IndexDefinition::new("account_id", &[0]));
    index.expect("made");
    transaction.commit().expect("committed");
    let pages = vacuum(&mut session, "account", &VacuumOptions::default()).pages;
    drop(session);
    engine.close().expect("closed");
    assert!(pages > 3, "{pages}");
    for block in 0..pages {
        change_bytes(&disk, table.locator(), block, &|page| page.fill(0xA5));
    }
    let engine = reopen(disk, quiet(SnapshotMode::Classic));
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let (index, table) = transaction.index("account_id").expect("there");
    let (first, last) = ([Value::Int4(100)], [Value::Int4(199)]);
    let (lower, upper) = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    let scan = table.scan_index_only(&mut transaction, &index, lower, upper, Direction::Forward);
    let mut scan = scan.expect("a scan");
    for id in 100..200 {
        let row = scan.next_row(&mut transaction).expect("read").expect("a row");
        assert_eq!(row.values().expect("values"), [Some(Value::Int4(id)), None, None]);
    }
    assert!(scan.next_row(&mut transaction).expect("read").is_none());
    let scan = table.scan_index(&mut transaction, &index, lower, upper, Direction::Forward);
    let read = scan.expect("a scan").next_row(&mut transaction);
    assert!(read.is_err(), "the table is damaged, and was read: {read:?}");
}

/// Rows go and others take their places while the index is read: no snapshot sees one that it should not.
#[test]
fn vacuum_takes_no_row_from_under_a_reader_and_gives_him_no_other() {
    for mode in MODES {
        let (engine, _disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 600, 1);
        let index = {
            let mut session = engine.session().expect("a session");
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let index = transaction.create_index(&table, &definition()).expect("made");
            transaction.commit().expect("committed");
            index
        };
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            let (engine, table, ends) = (&engine, &table, &ends);
            scope.spawn(move || {
                let mut session = engine.session().expect("a session");
                while !ends.load(Relaxed) {
                    vacuum(
                        &mut session,
                        "account",
                        &VacuumOptions { truncates: false, ..VacuumOptions::default() },
                    );
                }
            });
            scope.spawn(move || {
                let (mut session, mut random) =
                    (engine.session().expect("a session"), Rng::with_seed(3));
                for next in (600..).take_while(|_| !ends.load(Relaxed)) {
                    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
                    let rows: Vec<_> = table
                        .scan(&mut transaction)
                        .expect("a scan")
                        .map(|row| row.expect("a row").tid())
                        .collect();
                    for _ in 0..3 {
                        let tid = rows[random.usize(..rows.len())];
                        if table.delete(&mut transaction, tid).expect("deleted") {
                            put_in(table, &mut transaction, next, &mut random);
                        }
                    }
                    transaction.commit().expect("committed");
                }
            });
            let over = Ends(ends);
            let mut session = engine.session().expect("a session");
            for round in 0..60 {
                let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
                let direction =
                    if round % 2 == 0 { Direction::Forward } else { Direction::Backward };
                let (only, rows, _) = both(table, &index, &mut transaction, direction);
                assert_eq!(only.len(), 600, "{mode:?}, round {round}");
                assert_eq!(only, rows, "{mode:?}, round {round}");
                transaction.commit().expect("committed");
            }
            drop(over);
        });
    }
}
