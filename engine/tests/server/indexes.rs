//! Indexes put together by the engine from the server's rows, for the server to judge: `cargo xtask heap` puts the files in
//! the place of its own, and has `bt_index_parent_check` look at them.

use std::ops::ControlFlow;
use std::path::Path;

use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use base::page::PageBytes;
use base::sync::Arc;
use base::{ForkNumber, FullXid, Lsn, PageMut, RelFileLocator, Tid, TimestampTz, UnixTime, Xid};
use engine::btree::index::DEFAULT_FILL_FACTOR;
use engine::btree::{Build, Deletion, Duplicate, Heap, IndexError, Readers, Shape, Vacuumed, mask};
use engine::buffer::{PageName, PageStore};
use engine::data_directory::{Birth, DataDirectory, InitOptions, SystemProcesses, init};
use engine::heap::Value;
use engine::recovery::{RecoveryOptions, recover, start};
use engine::storage::{Storage, StorageOptions};
use fastrand::Rng;
use wal::write::LogOptions;

use crate::btree::{built, index_pages};
use crate::evidence::{columns, number, place, received, rows, values};

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

/// A new data directory on a disk in memory, open.
fn opened() -> Storage {
    let (disk, data) = (FaultyDisk::new(1), Path::new("data"));
    let time = UnixTime(1_795_169_240);
    let birth = Birth { system_identifier: 7_710_223_734_547_663_541, time, nonce: [7; 32] };
    init(&disk, data, &InitOptions::default(), &birth).expect("a data directory");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let directory = DataDirectory::open(disk, data, &SystemProcesses, time).expect("opened");
    let options = StorageOptions { buffers: 1000, slru_buffers: 2, committers: 1 };
    let storage = Storage::new(directory, options);
    let recovered =
        recover(&storage, &RecoveryOptions::default(), &mut |_| ControlFlow::Continue(()));
    start(&storage, &recovered.expect("recovered"), LogOptions::default()).expect("a log");
    storage
}

/// From this block of the table on there are versions that nobody sees.
const OLD: u32 = 1 << 20;

/// A table with such versions, of which it has told an index so many. Nobody reads.
struct Old(usize);

impl Heap<IndexError> for Old {
    fn judge(&mut self, _: Tid) -> Result<Duplicate, IndexError> {
        Ok(Duplicate::There)
    }

    fn find_dead(
        &mut self,
        rows: &[(Tid, bool)],
        newest: &mut Xid,
        dead: &mut Vec<Tid>,
    ) -> Result<(), IndexError> {
        *newest = Xid(700);
        let before = dead.len();
        dead.extend(rows.iter().map(|row| row.0).filter(|tid| tid.block >= OLD));
        self.0 += dead.len() - before;
        Ok(())
    }
}

impl Readers for Old {
    fn deletion(&self) -> Deletion {
        Deletion { safe_xid: FullXid(1000), moment: TimestampTz(0) }
    }

    fn look(&mut self) {}

    fn are_gone(&self, _: Deletion) -> bool {
        true
    }
}

/// Calls `see` with the values and the tid of each row of `types_a`, of the columns at these places, in no order.
fn each_row(at: &[usize], mut see: impl FnMut(&[Value<'_>], Tid)) -> usize {
    let columns = columns("types_a");
    let mut rows = rows("rows.tsv");
    rows.retain(|row| row[0] == "types_a");
    Rng::with_seed(15).shuffle(&mut rows);
    for row in &rows {
        let received = received(&row[3..]);
        let all = values(columns, &received);
        let values: Vec<_> = at.iter().map(|at| all[*at]).collect();
        see(&values, Tid { block: number(&row[1]), offset: number(&row[2]) });
    }
    rows.len()
}

fn page(storage: &Storage, block: u32) -> Box<PageBytes> {
    let name = PageName { locator: RELATION, fork: ForkNumber::Main, block };
    let pinned = storage.pool.get(name).expect("a page");
    Box::new(*pinned.read())
}

/// The file of an index of these rows, put in one by one; and how many entries of old versions were taken off to make room.
fn file(shape: Shape, at: &[usize]) -> (Vec<u8>, usize) {
    let storage = opened();
    storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
    let mut inserter = storage.log.log().inserter();
    let empty = Build::new(&storage, RELATION, shape, DEFAULT_FILL_FACTOR, Xid(700));
    let index = empty.finish(&mut inserter, &mut || Ok::<_, IndexError>(())).expect("created");
    let mut writer = index.writer(&mut inserter, Xid(700));
    // Each row has had versions, which are dead: entries of them go where they would split a leaf.
    let mut old = Old(0);
    let count = each_row(at, |values, tid| {
        for version in [OLD, 2 * OLD] {
            let version = Tid { block: tid.block + version, ..tid };
            writer.insert_with(values, version, true, &mut old).expect("put in");
        }
        writer.insert_with(values, tid, true, &mut old).expect("put in");
    });
    let taken_off = old.0;
    let mut vacuumed = Vacuumed::default();
    let on_page = &mut |_| Ok::<_, IndexError>(());
    writer
        .bulk_delete(&|tid| tid.block >= OLD, &mut old, on_page, &mut vacuumed)
        .expect("vacuumed");
    let verified = index.verify(false).expect("a sound index");
    assert_eq!(verified.tids.len(), count);
    println!("{} levels, {} pages, {} entries", verified.levels, verified.pages, verified.entries);
    let blocks = storage.pool.store().blocks(RELATION, ForkNumber::Main).expect("there");
    let mut file = Vec::new();
    for block in 0..blocks {
        let mut page = page(&storage, block);
        // The server's log is another.
        let mut change = PageMut::assume_valid(&mut page);
        change.set_lsn(Lsn(8));
        change.set_checksum(block);
        file.extend_from_slice(&page[..]);
    }
    (file, taken_off)
}

#[test]
fn index_files_are_written() {
    let mut taken_off = 0;
    for (name, at, shape) in built() {
        let (bytes, of_index) = file(shape, &at);
        taken_off += of_index;
        let name = name.replace("built", "ours");
        std::fs::write(place("PGSTRATA_HEAP_WRITTEN").join(name), bytes).expect("written");
    }
    assert!(taken_off > 0, "no entry was taken off to make room");
}

#[test]
fn indexes_built_at_once_are_the_servers_page_by_page() {
    let theirs = index_pages();
    for (name, at, shape) in built() {
        let storage = opened();
        storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
        let mut inserter = storage.log.log().inserter();
        let fill_factor = if name == "built_a" { 70 } else { DEFAULT_FILL_FACTOR };
        let mut build = Build::new(&storage, RELATION, shape, fill_factor, Xid(700));
        let count = each_row(&at, |values, tid| build.add(values, tid, true).expect("a row"));
        let index = build.finish(&mut inserter, &mut || Ok::<_, IndexError>(())).expect("built");
        assert_eq!(index.verify(false).expect("a sound index").tids.len(), count);
        let blocks = storage.pool.store().blocks(RELATION, ForkNumber::Main).expect("there");
        let last = theirs.keys().filter(|key| key.0 == name).map(|key| key.1).max();
        assert_eq!(Some(blocks - 1), last, "{name}: as many pages");
        for block in 0..blocks {
            let [mut ours, mut theirs] =
                [page(&storage, block), theirs[&(name.to_owned(), block)].clone()];
            for page in [&mut ours, &mut theirs] {
                mask::mask(page).expect("a page of a btree");
            }
            let differs = (0..base::PAGE_SIZE).find(|at| ours[*at] != theirs[*at]);
            assert_eq!(differs, None, "{name}: block {block}");
        }
        println!("{name}: {blocks} pages as the server builds them");
    }
}
