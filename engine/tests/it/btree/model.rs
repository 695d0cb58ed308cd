//! An index against a sorted map, with threads that put in and read at once; its log redone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use base::disk::faulty::FaultyDisk;
use base::page::PageBytes;
use base::{ForkNumber, Tid};
use engine::btree::{Build, Direction, Index, IndexError};
use engine::heap::Value;
use engine::storage::Storage;
use fastrand::Rng;

use super::{RELATION, Rows, XID, created, masked, opened, pages, tid};
use crate::recovery::open_with;

/// Rows by key and tid.
pub(super) type Model = BTreeSet<((i64, i64), Tid)>;
/// Pages by block.
pub(super) type Pages = BTreeMap<u32, Box<PageBytes>>;

pub(super) fn tids(
    index: &Index<'_>,
    lower: Bound<&[Value<'_>]>,
    upper: Bound<&[Value<'_>]>,
    direction: Direction,
) -> Vec<Tid> {
    let scan = index.scan(lower, upper, direction).expect("a range");
    scan.map(|found| found.expect("a row")).collect()
}

/// Random ranges, both ways, and equality, are what the model says.
pub(super) fn compare(index: &Index<'_>, rows: Rows, model: &Model, random: &mut Rng) {
    let all: Vec<Tid> = model.iter().map(|row| row.1).collect();
    assert_eq!(
        tids(index, Bound::Unbounded, Bound::Unbounded, Direction::Forward),
        all,
        "{rows:?}"
    );
    let reversed: Vec<Tid> = all.iter().rev().copied().collect();
    assert_eq!(
        tids(index, Bound::Unbounded, Bound::Unbounded, Direction::Backward),
        reversed,
        "{rows:?}"
    );
    for _ in 0..30 {
        let mut keys = [0; 2].map(|_: i32| rows.key(random.u32(..3000), random));
        keys.sort_unstable();
        let (with_lower, with_upper) = (random.bool(), random.bool());
        let within = |key: &(i64, i64)| {
            (if with_lower { *key >= keys[0] } else { *key > keys[0] })
                && (if with_upper { *key <= keys[1] } else { *key < keys[1] })
        };
        let expected: Vec<Tid> =
            model.iter().filter(|row| within(&row.0)).map(|row| row.1).collect();
        rows.values(keys[0], |lower| {
            rows.values(keys[1], |upper| {
                let lower =
                    if with_lower { Bound::Included(lower) } else { Bound::Excluded(lower) };
                let upper =
                    if with_upper { Bound::Included(upper) } else { Bound::Excluded(upper) };
                assert_eq!(
                    tids(index, lower, upper, Direction::Forward),
                    expected,
                    "{rows:?} {keys:?}"
                );
                let mut found = tids(index, lower, upper, Direction::Backward);
                found.reverse();
                assert_eq!(found, expected, "{rows:?} {keys:?} backward");
            });
        });
        // Equal in the first column.
        let expected: Vec<Tid> =
            model.iter().filter(|row| row.0.0 == keys[0].0).map(|row| row.1).collect();
        let found = rows.values(keys[0], |values| {
            index.equal(&values[..1]).expect("a value").collect::<Vec<_>>()
        });
        let found: Vec<Tid> = found.into_iter().map(|found| found.expect("a row")).collect();
        assert_eq!(found, expected, "{rows:?} {keys:?}");
    }
}

#[test]
fn an_index_is_a_sorted_map_and_so_is_its_log() {
    for rows in Rows::ALL {
        let (disk, storage) = opened();
        let mut random = Rng::with_seed(7);
        let mut model = Model::new();
        let before = {
            let index = created(&storage, rows.shape());
            assert_eq!(tids(&index, Bound::Unbounded, Bound::Unbounded, Direction::Forward), []);
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            for number in 0..2500 {
                let key = rows.key(number, &mut random);
                rows.values(key, |values| writer.insert(values, tid(number))).expect("put in");
                model.insert((key, tid(number)));
                if number % 500 == 3 {
                    compare(&index, rows, &model, &mut random);
                    index.verify(false).expect("a sound index");
                }
            }
            let again = rows.values(rows.key(0, &mut Rng::with_seed(7)), |values| {
                writer.insert(values, tid(0))
            });
            assert!(again.expect_err("it is there").to_string().contains("the row"), "{rows:?}");
            compare(&index, rows, &model, &mut random);
            let verified = index.verify(false).expect("a sound index");
            println!(
                "{rows:?}: {} levels, {} pages, {} entries, {} posting lists",
                verified.levels, verified.pages, verified.entries, verified.posting_lists
            );
            assert!(model.iter().map(|row| &row.1).eq(&verified.tids));
            assert_eq!(verified.unfinished, 0);
            let has_lists = !matches!(rows, Rows::Ascending | Rows::Groups);
            assert_eq!(verified.posting_lists > 0, has_lists, "{rows:?}");
            assert!(index.verify(true).is_err() == has_lists);
            pages(&storage)
        };
        redone(rows, &disk, storage, &before, &model);
    }
}

/// What recovery makes of the log is, hints aside, what was there.
pub(super) fn redone(
    rows: Rows,
    disk: &FaultyDisk,
    storage: Storage,
    before: &Pages,
    model: &Model,
) {
    let log = storage.log.log();
    log.flush(log.end()).expect("durable");
    drop(storage);
    let after = disk.after_crash(3);
    let storage = open_with(&after, 400).expect("recovered");
    let redone = pages(&storage);
    assert_eq!(redone.len(), before.len());
    for (block, page) in before {
        assert!(masked(page) == masked(&redone[block]), "{rows:?}: block {block}");
    }
    let index = Index::open(&storage, RELATION, rows.shape());
    compare(&index, rows, model, &mut Rng::with_seed(2));
    index.verify(false).expect("a sound index");
}

#[test]
fn an_index_built_at_once_is_a_sorted_map_and_grows() {
    for rows in Rows::ALL {
        let (disk, storage) = opened();
        storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
        let mut random = Rng::with_seed(11);
        let mut model = Model::new();
        let before = {
            let mut inserter = storage.log.log().inserter();
            let mut build = Build::new(&storage, RELATION, rows.shape(), 90, XID);
            for number in 0..1500 {
                let key = rows.key(number, &mut random);
                rows.values(key, |values| build.add(values, tid(number), true)).expect("a row");
                model.insert((key, tid(number)));
            }
            let index =
                build.finish(&mut inserter, &mut || Ok::<_, IndexError>(())).expect("built");
            compare(&index, rows, &model, &mut random);
            index.verify(false).expect("a sound index");
            let mut writer = index.writer(&mut inserter, XID);
            for number in 1500..2200 {
                let key = rows.key(number, &mut random);
                rows.values(key, |values| writer.insert(values, tid(number))).expect("put in");
                model.insert((key, tid(number)));
            }
            compare(&index, rows, &model, &mut random);
            let verified = index.verify(false).expect("a sound index");
            assert!(model.iter().map(|row| &row.1).eq(&verified.tids));
            pages(&storage)
        };
        redone(rows, &disk, storage, &before, &model);
    }
    // Of no rows, as the server has it.
    let (_disk, storage) = opened();
    storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
    let build = Build::new(&storage, RELATION, Rows::Few.shape(), 90, XID);
    let mut inserter = storage.log.log().inserter();
    let index = build.finish(&mut inserter, &mut || Ok::<_, IndexError>(())).expect("built");
    assert_eq!(index.verify(true).expect("an empty index").levels, 0);
}

#[test]
fn threads_that_put_in_and_read_leave_a_sorted_map() {
    const WRITERS: u32 = 6;
    const EACH: u32 = 700;
    for rows in Rows::ALL {
        let (_disk, storage) = opened();
        let index = created(&storage, rows.shape());
        let done = AtomicU32::new(0);
        let parts: Vec<Vec<_>> = thread::scope(|scope| {
            let (index, done, storage) = (&index, &done, &storage);
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    scope.spawn(move || {
                        let mut random = Rng::with_seed(u64::from(writer));
                        let mut inserter = storage.log.log().inserter();
                        let mut of_index = index.writer(&mut inserter, XID);
                        let rows_of = (0..EACH).map(|at| {
                            let number = at * WRITERS + writer;
                            let key = rows.key(number, &mut random);
                            rows.values(key, |values| of_index.insert(values, tid(number)))
                                .expect("put in");
                            (key, tid(number))
                        });
                        let part = rows_of.collect();
                        done.fetch_add(1, Ordering::SeqCst);
                        part
                    })
                })
                .collect();
            for direction in [Direction::Forward, Direction::Backward] {
                scope.spawn(move || {
                    // What was there at the beginning of a scan is in the next one, too, in the same order.
                    let mut before: Vec<Tid> = Vec::new();
                    while done.load(Ordering::SeqCst) < WRITERS {
                        let now = tids(index, Bound::Unbounded, Bound::Unbounded, direction);
                        let mut found = now.iter();
                        for tid in &before {
                            assert!(found.any(|there| there == tid), "{rows:?}: {tid} was there");
                        }
                        assert_eq!(
                            now.iter().collect::<BTreeSet<_>>().len(),
                            now.len(),
                            "each once"
                        );
                        before = now;
                    }
                });
            }
            writers.into_iter().map(|writer| writer.join().expect("ended")).collect()
        });
        let model: Model = parts.into_iter().flatten().collect();
        let verified = index.verify(false).expect("a sound index");
        assert!(model.iter().map(|row| &row.1).eq(&verified.tids), "{rows:?}");
        assert_eq!(verified.unfinished, 0);
        compare(&index, rows, &model, &mut Rng::with_seed(1));
    }
}
