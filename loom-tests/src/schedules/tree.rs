//! Btrees under threads that put entries in, scan both ways, and delete leaves that a vacuum has emptied: a scan finds what was
//! there before it began and was not to go, once and in order, a search by key finds that key; of a unique key one entry is put in, whoever tries. In the
//! end the tree is sound and has what was put in.
//!
//! All of it is the engine's own code: the tree over the buffer pool and the log, on a disk in memory. Keys are long and differ
//! at their ends, so that a page has few, and small histories make trees of three levels.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use base::sync::{Arc, thread};
use base::{ForkNumber, RelFileLocator, Tid, TimestampTz, UnixTime, Xid};
use engine::btree::index::DEFAULT_FILL_FACTOR;
use engine::btree::{
    Build, Deletion, Direction, Duplicate, Heap, Index, IndexError, Inserted, KeyColumn, KeyRoom,
    Readers, RootCopies, Shape, Vacuumed,
};
use engine::data_directory::{Birth, DataDirectory, InitOptions, SystemProcesses, init};
use engine::heap::{ColumnType, Value};
use engine::recovery::{RecoveryOptions, recover, start};
use engine::storage::{Storage, StorageOptions};
use fastrand::Rng;
use wal::segment::SegmentSize;
use wal::write::LogOptions;

use super::{Schedule, Setup};
use crate::by_schedules::{OF_ENTRIES, OF_UNIQUE};

pub(super) const ENTRIES: Schedule = Schedule {
    name: "tree::entries",
    property: "a scan of a btree finds what was there before it began, once and in order, and a search by key that key, \
               beside splits and deletions of pages",
    wrong: OF_ENTRIES,
    run: entries,
};

pub(super) const UNIQUE: Schedule = Schedule {
    name: "tree::unique",
    property: "of each key of a unique btree one entry is put in, whoever tries",
    wrong: OF_UNIQUE,
    run: unique,
};

const DATA: &str = "data";
const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };
const XID: Xid = Xid(700);
/// Seven or so to a page.
const KEY_LENGTH: usize = 1000;

/// A data directory on a disk in memory, open.
fn opened() -> Storage {
    let disk = FaultyDisk::new(1);
    let time = UnixTime(1_795_169_240);
    let birth = Birth { system_identifier: 7_710_223_734_547_663_541, time, nonce: [7; 32] };
    let segment_size = SegmentSize::from_bytes(1 << 20).expect("legal");
    let how = InitOptions { segment_size, ..InitOptions::default() };
    init(&disk, Path::new(DATA), &how, &birth).expect("a data directory");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let directory = DataDirectory::open(disk, Path::new(DATA), &SystemProcesses, time);
    let sizes = StorageOptions { buffers: 600, slru_buffers: 2, committers: 1 };
    let storage = Storage::new(directory.expect("opened"), sizes);
    let nobody = &mut |_: &_| ControlFlow::Continue(());
    let recovered = recover(&storage, &RecoveryOptions::default(), nobody).expect("shut down");
    let log = LogOptions {
        buffer_pages: 512,
        insertion_slots: 4,
        wal_writer_delay: None,
        minimum_size: 0,
        ..LogOptions::default()
    };
    start(&storage, &recovered, log).expect("started");
    storage
}

/// A new index of one column of text.
fn created(storage: &Storage) -> Index<'_> {
    storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
    let shape = Shape::new(&[KeyColumn::ascending(ColumnType::Text)], &[]).expect("a shape");
    let mut inserter = storage.log.log().inserter();
    let empty = Build::new(storage, RELATION, shape, DEFAULT_FILL_FACTOR, XID);
    empty.finish(&mut inserter, &mut || Ok::<_, IndexError>(())).expect("created")
}

/// A key: numbers are in order as it is. Its letters do not repeat, or it would be compressed, and a page have many.
fn key(number: u32) -> String {
    static LETTERS: LazyLock<String> = LazyLock::new(|| {
        let mut random = Rng::with_seed(0);
        (0..KEY_LENGTH).map(|_| random.alphanumeric()).collect()
    });
    format!("{}{number:06}", *LETTERS)
}

/// The row of a number, and the other way round.
fn row(number: u32) -> Tid {
    Tid { block: number, offset: 1 }
}

/// The books that a history is checked by; nothing is switched at while they are open.
fn open<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nobody has gone that may have a link to a deleted page: none is used again.
struct Everybody;

impl Readers for Everybody {
    fn deletion(&self) -> Deletion {
        Deletion { safe_xid: base::FullXid(u64::from(XID.0)), moment: TimestampTz(0) }
    }

    fn look(&mut self) {}

    fn are_gone(&self, _: Deletion) -> bool {
        false
    }
}

/// Who puts in so many numbers, about, each its own.
const OWN: u32 = 1000;
/// Numbers at each thread's beginning that are there at the start, and that a vacuum removes.
const REMOVED: u32 = 8;

/// Whether a number is of those that go.
fn goes(number: u32) -> bool {
    number % OWN < REMOVED
}

fn entries(setup: &Setup) {
    let storage = opened();
    let index = created(&storage);
    let insert = |index: &Index<'_>, number: u32| {
        let mut inserter = storage.log.log().inserter();
        let inserted =
            index.writer(&mut inserter, XID).insert(&[Value::Text(&key(number))], row(number));
        inserted.expect("put in");
    };
    let writers = (setup.threads / 2).max(2);
    for writer in 0..writers {
        (0..REMOVED).for_each(|number| insert(&index, writer * OWN + number));
    }
    let there = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        let (index, there, insert) = (&index, &there, &insert);
        for writer in 0..writers {
            let mut random = Rng::with_seed(setup.seed << 8 | u64::from(writer));
            scope.spawn(move || {
                let mut numbers: Vec<u32> = (REMOVED..REMOVED + setup.rounds as u32).collect();
                random.shuffle(&mut numbers);
                for number in numbers.into_iter().map(|number| writer * OWN + number) {
                    insert(index, number);
                    open(there).insert(number);
                }
            });
        }
        for reader in writers + 1..setup.threads {
            let mut random = Rng::with_seed(setup.seed << 8 | u64::from(reader));
            scope.spawn(move || {
                let mut roots = RootCopies::default();
                for _ in 0..1 + setup.rounds / 4 {
                    look(index, there, writers, &mut random);
                    find(index, there, &mut roots, &mut random);
                }
            });
        }
        scope.spawn(|| {
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            let mut vacuumed = Vacuumed::default();
            let is_dead = |tid: Tid| goes(tid.block);
            let done = writer.bulk_delete::<IndexError>(
                &is_dead,
                &mut Everybody,
                &mut |_| Ok(()),
                &mut vacuumed,
            );
            done.expect("vacuumed");
        });
    });
    let verified = index.verify(true).expect("a sound index");
    assert_eq!((verified.unfinished, verified.half_dead), (0, 0));
    let numbers: BTreeSet<u32> = verified.tids.iter().map(|tid| tid.block).collect();
    assert_eq!(numbers.len(), verified.tids.len());
    assert_eq!(numbers, *open(&there));
}

/// A scan of a range, in one of the directions.
fn look(index: &Index<'_>, there: &Mutex<BTreeSet<u32>>, writers: u32, random: &mut Rng) {
    let mut ends = [0; 2].map(|_| random.u32(..writers * OWN));
    ends.sort_unstable();
    let is_forward = random.bool();
    let direction = if is_forward { Direction::Forward } else { Direction::Backward };
    let [lower, upper] = ends.map(key);
    let (lower, upper) = ([Value::Text(&lower)], [Value::Text(&upper)]);
    let is_whole = random.bool();
    let (range, bounds) = match is_whole {
        true => (0..=u32::MAX, (Bound::Unbounded, Bound::Unbounded)),
        false => (ends[0]..=ends[1], (Bound::Included(&lower[..]), Bound::Included(&upper[..]))),
    };
    let before: Vec<u32> = open(there).range(range.clone()).copied().collect();
    let scan = index.scan(bounds.0, bounds.1, direction).expect("a range");
    let mut found: Vec<u32> = scan.map(|tid| tid.expect("a row").block).collect();
    if !is_forward {
        found.reverse();
    }
    // The range of a deleted page goes to its right sibling: what is put in meanwhile may come behind what is greater.
    let was_there = |number: &u32| goes(*number) || before.binary_search(number).is_ok();
    let in_order: Vec<u32> = found.iter().copied().filter(was_there).collect();
    assert!(in_order.is_sorted_by(|one, other| one < other), "{direction:?}: {found:?}");
    found.sort_unstable();
    assert!(found.is_sorted_by(|one, other| one < other), "{direction:?}, twice: {found:?}");
    assert!(found.iter().all(|number| range.contains(number)), "{range:?}: {found:?}");
    let missing = before.iter().find(|number| found.binary_search(number).is_err());
    assert_eq!(missing, None, "{direction:?} {range:?}: {found:?}");
}

/// Of the keys that are there one is found, from a copy of the root on that may be of any time before.
fn find(index: &Index<'_>, there: &Mutex<BTreeSet<u32>>, roots: &mut RootCopies, random: &mut Rng) {
    let Some(number) = random.choice(open(there).iter().copied()) else { return };
    let (key, mut room, mut found) = (key(number), KeyRoom::default(), Vec::new());
    let mut rows = index.find(&[Value::Text(&key)], &mut room, roots).expect("a search");
    while rows.next_leaf(&mut found).expect("a leaf").is_some() {}
    assert_eq!(found, [row(number)]);
}

/// Every row that has an entry is there.
struct AllThere;

impl Heap<IndexError> for AllThere {
    fn judge(&mut self, _: Tid) -> Result<Duplicate, IndexError> {
        Ok(Duplicate::There)
    }

    fn find_dead(
        &mut self,
        _: &[(Tid, bool)],
        _: &mut Xid,
        _: &mut Vec<Tid>,
    ) -> Result<(), IndexError> {
        Ok(())
    }
}

fn unique(setup: &Setup) {
    let storage = opened();
    let index = created(&storage);
    let put_in = Mutex::new(BTreeSet::new());
    // Each number is tried by several threads.
    let numbers = setup.rounds as u32 * setup.threads / 4;
    thread::scope(|scope| {
        for thread in 0..setup.threads {
            let (storage, index, put_in) = (&storage, &index, &put_in);
            let mut random = Rng::with_seed(setup.seed << 8 | u64::from(thread));
            scope.spawn(move || {
                let mut inserter = storage.log.log().inserter();
                let mut writer = index.writer(&mut inserter, XID);
                for _ in 0..setup.rounds {
                    let number = random.u32(..numbers);
                    let tid = Tid { block: number, offset: thread as u16 + 1 };
                    let key = key(number);
                    let values = [Value::Text(&key)];
                    match writer.insert_unique(&values, tid, false, &mut AllThere) {
                        Ok(Inserted::Done) => {
                            assert!(open(put_in).insert(number), "{number} is there twice");
                        }
                        Ok(Inserted::Conflict(other)) => assert_eq!(other.block, number),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let verified = index.verify(true).expect("a sound index");
    let numbers: Vec<u32> = verified.tids.iter().map(|tid| tid.block).collect();
    assert!(numbers.iter().eq(open(&put_in).iter()), "{numbers:?}");
}
