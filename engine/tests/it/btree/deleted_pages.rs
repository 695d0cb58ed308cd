//! Leaves that become empty taken out of the tree, and used again: against a map, with threads, cut by crashes.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use base::sync::Arc;
use base::{FullXid, Tid, TimestampTz};
use engine::btree::{Deletion, Direction, Index, NodeFlags, Readers};
use engine::heap::Value;
use fastrand::Rng;

use super::model::{Model, compare, redone, tids};
use super::removal::{Alone, vacuum_among};
use super::unfinished::{cuts, has_flags, put};
use super::{Rows, XID, created, opened, pages, tid};

/// The rows of the model whose keys are within one of a few ranges.
fn in_ranges(model: &Model, random: &mut Rng) -> BTreeSet<Tid> {
    let all: Vec<_> = model.iter().collect();
    let mut dead = BTreeSet::new();
    for _ in 0..3 {
        let from = random.usize(..all.len());
        let to = all.len().min(from + random.usize(..=all.len() / 2));
        dead.extend(all[from..to].iter().map(|row| row.1));
    }
    dead
}

#[test]
fn empty_leaves_go_and_their_pages_come_back() {
    for rows in Rows::ALL {
        let (disk, storage) = opened();
        let mut random = Rng::with_seed(23);
        let (mut model, mut next) = (Model::new(), 0);
        let (mut deleted, mut lower_roots, mut blocks) = (0, 0, Vec::new());
        let most = if matches!(rows, Rows::Few | Rows::One) { 4000 } else { 1200 };
        let before = {
            let index = created(&storage, rows.shape());
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            let mut alone = Alone::default();
            for round in 0..10 {
                while model.len() < most {
                    let key = rows.key(next, &mut random);
                    rows.values(key, |values| writer.insert(values, tid(next))).expect("put in");
                    model.insert((key, tid(next)));
                    next += 1;
                }
                let verified = index.verify(false).expect("a sound index");
                assert!(model.iter().map(|row| &row.1).eq(&verified.tids));
                // Now and then all, or all but the end.
                let dead: BTreeSet<Tid> = match round % 5 {
                    3 => model.iter().map(|row| row.1).collect(),
                    4 => model.iter().take(model.len() - 2).map(|row| row.1).collect(),
                    _ => in_ranges(&model, &mut random),
                };
                let vacuumed = vacuum_among(&mut writer, &dead, &mut alone);
                model.retain(|row| !dead.contains(&row.1));
                assert_eq!(vacuumed.rows, model.len() as u64, "{rows:?} round {round}");
                assert_eq!(vacuumed.deleted, vacuumed.free, "nobody reads");
                let metadata = index.metapage().expect("a metapage").metadata;
                assert_eq!(metadata.last_cleanup_deleted_pages, 0);
                deleted += vacuumed.newly_deleted;
                blocks.push(vacuumed.pages);
                let after = index.verify(false).unwrap_or_else(|error| {
                    panic!("{rows:?} round {round}, after {vacuumed:?}: {error}")
                });
                assert_eq!(after.half_dead, 0);
                assert_eq!(
                    after.pages + 1 + u64::from(vacuumed.deleted),
                    u64::from(vacuumed.pages)
                );
                lower_roots += u64::from(metadata.fast_level < metadata.level);
                compare(&index, rows, &model, &mut random);
            }
            pages(&storage)
        };
        println!("{rows:?}: {deleted} pages deleted, {lower_roots} lower fast roots, {blocks:?}");
        assert!(deleted > 10 && lower_roots > 1, "{rows:?}");
        assert!(blocks[9] < blocks[2] * 2, "{rows:?}: pages come back: {blocks:?}");
        redone(rows, &disk, storage, &before, &model);
    }
}

#[test]
fn a_deletion_that_a_crash_cut_is_completed_by_the_next_vacuum() {
    for rows in [Rows::Long, Rows::Groups] {
        let (disk, storage) = opened();
        let (mut random, mut alone) = (Rng::with_seed(29), Alone::default());
        let mut model = Model::new();
        let start = storage.log.log().end();
        let dead = {
            let index = created(&storage, rows.shape());
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            for number in 0..if rows == Rows::Long { 400 } else { 2600 } {
                let key = rows.key(number, &mut random);
                rows.values(key, |values| writer.insert(values, tid(number))).expect("put in");
                model.insert((key, tid(number)));
            }
            let dead = model.iter().skip(9).take(model.len() - 20).map(|row| row.1).collect();
            assert!(vacuum_among(&mut writer, &dead, &mut alone).newly_deleted > 5);
            dead
        };
        let log = storage.log.log();
        log.flush(log.end()).expect("durable");
        let (cuts, records) =
            cuts(Arc::new(disk.clone()), start, |pages, _| has_flags(pages, NodeFlags::HALF_DEAD));
        drop(storage);
        println!("{rows:?}: {} of {records} records leave a leaf half-dead", cuts.len());
        assert!(cuts.len() > 5);
        let (mut inserted_first, mut taller) = (0, 0);
        for (at, pages) in cuts.iter().enumerate() {
            let (_disk, storage) = opened();
            put(&storage, pages);
            let index = Index::open(&storage, super::RELATION, rows.shape());
            let cut = index.verify(false).unwrap_or_else(|error| panic!("{rows:?}: {error}"));
            assert_eq!((cut.half_dead, cut.unfinished), (1, 0));
            let there: BTreeSet<Tid> = cut.tids.iter().copied().collect();
            let mut left = model.clone();
            left.retain(|row| there.contains(&row.1));
            compare(&index, rows, &left, &mut random);
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            // Others come before the vacuum, into the range of the half-dead leaf, too.
            if at % 2 == 1 {
                for (number, (key, _)) in (1..).zip(model.iter().step_by(3)) {
                    let place = Tid { block: 5000, offset: number };
                    rows.values(*key, |values: &[Value<'_>]| writer.insert(values, place))
                        .expect("put in");
                    left.insert((*key, place));
                }
                inserted_first += 1;
                index.verify(false).unwrap_or_else(|error| panic!("{rows:?}: {error}"));
                compare(&index, rows, &left, &mut random);
            }
            let vacuumed = vacuum_among(&mut writer, &dead, &mut Alone::default());
            taller += u64::from(vacuumed.newly_deleted > 0);
            left.retain(|row| !dead.contains(&row.1));
            let verified = index.verify(false).unwrap_or_else(|error| panic!("{rows:?}: {error}"));
            assert_eq!((verified.half_dead, verified.unfinished), (0, 0), "{rows:?}");
            assert!(left.iter().map(|row| &row.1).eq(&verified.tids));
            compare(&index, rows, &left, &mut random);
        }
        assert!(inserted_first > 2 && taller > 5);
    }
}

/// Threads that read or write, each with the number that was the next one when it began what it does.
#[derive(Debug)]
struct Crowd {
    next: AtomicU64,
    began: Vec<AtomicU64>,
}

const NOTHING: u64 = u64::MAX;

impl Crowd {
    fn of(threads: usize) -> Crowd {
        let began = (0..threads).map(|_| AtomicU64::new(NOTHING)).collect();
        Crowd { next: AtomicU64::new(1000), began }
    }

    /// One thread does something with links of its own.
    fn doing<R>(&self, thread: usize, does: impl FnOnce() -> R) -> R {
        let began = &self.began[thread];
        // A number that was the next one a moment ago holds back as much and more.
        began.store(0, Ordering::SeqCst);
        began.store(self.next.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
        let done = does();
        began.store(NOTHING, Ordering::SeqCst);
        done
    }
}

struct Watched<'c> {
    crowd: &'c Crowd,
    oldest: u64,
}

impl Readers for Watched<'_> {
    fn deletion(&self) -> Deletion {
        let safe_xid = FullXid(self.crowd.next.load(Ordering::SeqCst));
        Deletion { safe_xid, moment: TimestampTz(0) }
    }

    fn look(&mut self) {
        let next = self.crowd.next.load(Ordering::SeqCst);
        let began = self.crowd.began.iter().map(|began| began.load(Ordering::SeqCst));
        self.oldest = began.fold(next, u64::min);
    }

    fn are_gone(&self, since: Deletion) -> bool {
        since.safe_xid < FullXid(self.oldest)
    }
}

#[test]
fn threads_that_read_and_write_find_their_rows_while_leaves_go() {
    const WRITERS: u32 = 4;
    const ROUNDS: u32 = 12;
    const READERS: usize = 2;
    for rows in [Rows::Ascending, Rows::Long, Rows::Groups] {
        let (_disk, storage) = opened();
        let index = created(&storage, rows.shape());
        // Rows that stay, a few in each range of keys.
        let mut stay = Model::new();
        let mut random = Rng::with_seed(31);
        {
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            for number in 0..40 {
                let key = rows.key(number * 500, &mut random);
                rows.values(key, |values| writer.insert(values, tid(number))).expect("put in");
                stay.insert((key, tid(number)));
            }
        }
        let stay_in_order: Vec<Tid> = stay.iter().map(|row| row.1).collect();
        let crowd = Crowd::of(WRITERS as usize + READERS);
        let running = AtomicU64::new(u64::from(WRITERS));
        let gone = base::sync::Mutex::new(Vec::<Tid>::new());
        let (deleted, free) = thread::scope(|scope| {
            let (index, storage, crowd, running) = (&index, &storage, &crowd, &running);
            let (gone, stay_in_order) = (&gone, &stay_in_order);
            for writer in 0..WRITERS {
                scope.spawn(move || {
                    let mut random = Rng::with_seed(u64::from(writer));
                    let mut inserter = storage.log.log().inserter();
                    let mut of_index = index.writer(&mut inserter, XID);
                    for round in 0..ROUNDS {
                        let numbers = 100 + (round * WRITERS + writer) * 120;
                        let mut mine = Vec::new();
                        for number in numbers..numbers + 120 {
                            let key = rows.key(number, &mut random);
                            crowd.doing(writer as usize, || {
                                rows.values(key, |values| of_index.insert(values, tid(number)))
                                    .expect("put in");
                            });
                            mine.push(tid(number));
                        }
                        gone.lock().expect("no panic").extend(mine);
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            for (reader, direction) in
                [Direction::Forward, Direction::Backward].into_iter().enumerate()
            {
                scope.spawn(move || {
                    while running.load(Ordering::SeqCst) > 0 {
                        let mut found = crowd.doing(WRITERS as usize + reader, || {
                            tids(index, Bound::Unbounded, Bound::Unbounded, direction)
                        });
                        if direction == Direction::Backward {
                            found.reverse();
                        }
                        found.retain(|tid| stay_in_order.contains(tid));
                        assert_eq!(&found, stay_in_order, "{rows:?} {direction:?}");
                    }
                });
            }
            let vacuums = scope.spawn(move || {
                let mut inserter = storage.log.log().inserter();
                let mut of_index = index.writer(&mut inserter, XID);
                let (mut deleted, mut free) = (0, 0);
                loop {
                    let is_last = running.load(Ordering::SeqCst) == 0;
                    let dead: BTreeSet<Tid> =
                        std::mem::take(&mut *gone.lock().expect("no panic")).into_iter().collect();
                    let mut watched = Watched { crowd, oldest: 0 };
                    watched.look();
                    let vacuumed = vacuum_among(&mut of_index, &dead, &mut watched);
                    deleted += vacuumed.newly_deleted;
                    free = vacuumed.free.max(free);
                    if is_last {
                        return (deleted, free);
                    }
                }
            });
            vacuums.join().expect("no panic")
        });
        println!("{rows:?}: {deleted} pages deleted meanwhile, {free} free at once");
        // However little of that there was: leaves on which no row stays, gone at once.
        let mut inserter = storage.log.log().inserter();
        let mut writer = index.writer(&mut inserter, XID);
        let late = 40_000..43_000;
        for number in late.clone() {
            let key = rows.key(number, &mut random);
            rows.values(key, |values| writer.insert(values, tid(number))).expect("put in");
        }
        let vacuumed = vacuum_among(&mut writer, &late.map(tid).collect(), &mut Alone::default());
        assert!(vacuumed.newly_deleted > 0, "{rows:?}: {vacuumed:?}");
        let verified = index.verify(false).unwrap_or_else(|error| panic!("{rows:?}: {error}"));
        assert_eq!(verified.tids, stay_in_order, "{rows:?}");
        assert_eq!((verified.unfinished, verified.half_dead), (0, 0));
        compare(&index, rows, &stay, &mut random);
    }
}
