//! Sixteen threads that put rows in and take them out, change them and read them by an index in both directions, beside a
//! vacuum that deletes pages of the index: each finds of its own rows what its map says, and of the others' what may be.
//!
//! A thread has a range of keys of its own, so that leaves of it become empty and go, and a remainder in a range of all, so that
//! threads meet on leaves. `PGSTRATA_INDEX_ROUNDS` gives the rounds of each thread, for a longer run.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};

use base::sync::thread;
use engine::btree::Direction;
use engine::vacuum::VacuumOptions;
use engine::{IndexDefinition, Session, TableIndex};
use fastrand::Rng;

use super::locks::{begin, sessions};
use super::*;

const THREADS: i32 = 16;
/// Keys of a thread's own range, and of the range of all.
const OWN: i32 = 1000;
const SHARED: i32 = 100;
const ROUNDS: u32 = 25;

/// A thread's key, by number: those from [`SHARED`] on lie together, the others between those of other threads.
fn key(thread: i32, number: i32) -> i32 {
    if number < SHARED { number * THREADS + thread } else { (thread + 2) * 10_000 + number }
}

/// Whose key it is.
fn owner(id: i32) -> i32 {
    if id < SHARED * THREADS { id % THREADS } else { id / 10_000 - 2 }
}

/// A thread that has not ended, by a panic or otherwise.
struct Running<'r>(&'r AtomicU32);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the index shows between two keys.
fn between(
    session: &mut Session<'_>,
    (table, index): (&Table, &TableIndex),
    range: (i32, i32),
    direction: Direction,
) -> Vec<(i32, i64)> {
    let mut transaction = begin(session);
    let (lower, upper) = ([Value::Int4(range.0)], [Value::Int4(range.1)]);
    let (lower, upper) = (Bound::Included(&lower[..]), Bound::Included(&upper[..]));
    let scan = table.scan_index(&mut transaction, index, lower, upper, direction);
    let (mut scan, mut rows) = (scan.expect("a scan"), Vec::new());
    while let Some(row) = scan.next_row(&mut transaction).expect("a row") {
        rows.push(read(&row));
    }
    transaction.commit().expect("committed");
    rows
}

/// Puts in, changes or deletes rows with successive numbers.
fn change(
    session: &mut Session<'_>,
    (table, index): (&Table, &TableIndex),
    thread: i32,
    map: &mut BTreeMap<i32, i64>,
    random: &mut Rng,
) {
    let deletes = random.u32(..3) == 0;
    let (first, count) = match random.u32(..4) {
        0 => (0, SHARED),
        _ if deletes => (SHARED, OWN),
        _ => (SHARED + random.i32(0..OWN), 150),
    };
    let before = map.clone();
    let mut transaction = begin(session);
    for number in first..first + count {
        let (id, amount) = (key(thread, number), random.i64(0..1000));
        match (map.get(&id), deletes) {
            (None, true) => continue,
            (None, false) => {
                table.insert(&mut transaction, &account(id, amount)).expect("inserted");
                map.insert(id, amount);
                continue;
            }
            (Some(_), _) => {}
        }
        let values = [Value::Int4(id)];
        let tid = if number % 2 == 0 {
            let row = table.find(&mut transaction, index, &values).expect("a search");
            row.expect("the row").tid()
        } else {
            let bound = Bound::Included(&values[..]);
            let scan = table.scan_index(&mut transaction, index, bound, bound, Direction::Forward);
            let row = scan.expect("a scan").next_row(&mut transaction).expect("a scan");
            row.expect("the row").tid()
        };
        if deletes {
            assert!(table.delete(&mut transaction, tid).expect("deleted"));
            map.remove(&id);
        } else if random.u32(..4) == 0 {
            table
                .update(&mut transaction, tid, &account(id, amount))
                .expect("updated")
                .expect("there");
            map.insert(id, amount);
        }
    }
    if random.u32(..8) == 0 {
        transaction.rollback().expect("rolled back");
        *map = before;
    } else {
        transaction.commit().expect("committed");
    }
}

/// What a thread sees is in order, and what it has itself.
fn compare(
    session: &mut Session<'_>,
    of: (&Table, &TableIndex),
    thread: i32,
    map: &BTreeMap<i32, i64>,
    random: &mut Rng,
) {
    let range = match random.u32(..3) {
        0 => (0, SHARED * THREADS),
        1 => (key(thread, SHARED), key(thread, SHARED + OWN)),
        _ => (0, i32::MAX),
    };
    for direction in [Direction::Forward, Direction::Backward] {
        let mut rows = between(session, of, range, direction);
        if direction == Direction::Backward {
            rows.reverse();
        }
        assert!(rows.is_sorted_by(|one, other| one.0 < other.0), "{direction:?}: not in order");
        rows.retain(|row| owner(row.0) == thread);
        let own = map.range(range.0..=range.1).map(|(id, amount)| (*id, *amount));
        assert!(rows.into_iter().eq(own), "{direction:?}: thread {thread} misses a row of its own");
    }
}

#[test]
fn threads_find_their_rows_while_others_change_the_index_and_pages_of_it_go() {
    let rounds = std::env::var("PGSTRATA_INDEX_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    for mode in [SnapshotMode::Classic, SnapshotMode::CommitTs] {
        let (engine, _disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 0, 0);
        let [mut session] = sessions(&engine);
        let mut transaction = begin(&mut session);
        let index = transaction
            .create_index(&table, &IndexDefinition::new("account_pkey", &[0]).unique())
            .expect("made");
        let by_amount = IndexDefinition::new("account_amount_idx", &[1]);
        transaction.create_index(&table, &by_amount).expect("made");
        transaction.commit().expect("committed");
        let running = AtomicU32::new(THREADS as u32);
        let (maps, deleted) = thread::scope(|scope| {
            let (engine, of, running) = (&engine, (&table, &index), &running);
            let workers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || {
                        let [mut session] = sessions(engine);
                        let mut random = Rng::with_seed(100 + thread as u64);
                        let mut map = BTreeMap::new();
                        let _running = Running(running);
                        for _ in 0..rounds {
                            change(&mut session, of, thread, &mut map, &mut random);
                            compare(&mut session, of, thread, &map, &mut random);
                        }
                        map
                    })
                })
                .collect();
            let vacuums = scope.spawn(move || {
                let [mut session] = sessions(engine);
                let mut deleted = 0;
                while running.load(Ordering::SeqCst) > 0 {
                    let report =
                        crate::vacuum::vacuum(&mut session, "account", &VacuumOptions::default());
                    deleted += report
                        .indexes
                        .iter()
                        .map(|index| index.vacuumed.newly_deleted)
                        .sum::<u32>();
                }
                deleted
            });
            let maps: Vec<_> =
                workers.into_iter().map(|worker| worker.join().expect("no panic")).collect();
            (maps, vacuums.join().expect("no panic"))
        });
        println!("{mode:?}: {deleted} pages deleted meanwhile");
        let expected: BTreeMap<i32, i64> = maps.into_iter().flatten().collect();
        let of = (&table, &index);
        let found = between(&mut session, of, (0, i32::MAX), Direction::Forward);
        assert!(found.iter().copied().eq(expected), "{mode:?}");
        let check = |session: &mut Session<'_>| {
            let mut transaction = begin(session);
            for name in ["account_pkey", "account_amount_idx"] {
                let checked = transaction.check_index(name).expect("sound");
                assert_eq!((checked.unfinished_splits, checked.rows), (0, found.len() as u64));
            }
        };
        check(&mut session);
        // However little of that there was meanwhile: with all rows gone leaves go.
        let mut transaction = begin(&mut session);
        let rows: Vec<_> = table
            .scan(&mut transaction)
            .expect("a scan")
            .map(|row| row.expect("a row").tid())
            .collect();
        for tid in rows {
            assert!(table.delete(&mut transaction, tid).expect("deleted"));
        }
        transaction.commit().expect("committed");
        let report = crate::vacuum::vacuum(&mut session, "account", &VacuumOptions::default());
        assert!(report.indexes.iter().all(|index| index.vacuumed.deleted > 0), "{report:?}");
    }
}
