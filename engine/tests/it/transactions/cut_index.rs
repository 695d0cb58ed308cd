//! The log cut behind records of structure changes of an index: recovery leaves a split without its downlink or a leaf
//! half-dead, which is asserted of each such cut, and who inserts next or the next vacuum completes it.
//!
//! `btree::unfinished` and `btree::deleted_pages` look at every record and at the pages alone; here the engine recovers, with
//! a table and transactions of which the cut made some never commit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base::Lsn;
use base::disk::Opening;
use engine::btree::Direction;
use engine::btree::redo::RM_BTREE;
use engine::vacuum::VacuumOptions;
use engine::{CheckedIndex, EngineOptions, IndexDefinition};
use fastrand::Rng;
use wal::read::RecordReader;
use wal::segment::SegmentSize;
use wal::source::{Log, Options};

use super::recovered::{quiet, reopen};
use super::*;
use crate::vacuum::vacuum;

const INSERT_UPPER: u8 = 0x10;
const SPLIT_L: u8 = 0x30;
const SPLIT_R: u8 = 0x40;
const UNLINK_PAGE: u8 = 0x80;
const UNLINK_PAGE_META: u8 = 0x90;
const NEWROOT: u8 = 0xA0;
const MARK_PAGE_HALFDEAD: u8 = 0xB0;
/// The records that structure changes are made of.
const KINDS: [u8; 7] =
    [INSERT_UPPER, SPLIT_L, SPLIT_R, UNLINK_PAGE, UNLINK_PAGE_META, NEWROOT, MARK_PAGE_HALFDEAD];

const ROWS: i32 = 240;

/// What the index is ordered by: long, so that few fit on a page, and told apart by the end alone.
fn note(number: i32) -> String {
    format!("{}{number:06}", "k".repeat(900))
}

fn row(id: i32, note: &str) -> [Value<'_>; 3] {
    [Value::Int4(id), Value::Int8(1), Value::Text(note)]
}

/// Where a transaction's end is in the log, and the rows that are there then.
type Commits = BTreeMap<Lsn, BTreeSet<i32>>;

/// Grows an index by splits and has a vacuum delete most of its leaves; the first position that may be cut, and what was
/// committed when.
fn worked(disk: &FaultyDisk) -> (Lsn, Commits) {
    // No page is written before its turn, so that pages are no newer than the log that is left.
    let options = EngineOptions { buffers: 2000, ..quiet(SnapshotMode::Classic) };
    let engine = reopen(disk.clone(), options);
    let (table, _) = with_accounts(&engine, 0, 0);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let definition = IndexDefinition::new("account_note", &[2]).unique();
    transaction.create_index(&table, &definition).expect("made");
    transaction.commit().expect("committed");
    engine.checkpoint().expect("made");
    let (start, mut there) = (engine.log_end(), BTreeSet::new());
    let mut commits = Commits::from([(start, there.clone())]);
    let mut ids: Vec<i32> = (0..ROWS).collect();
    Rng::with_seed(5).shuffle(&mut ids);
    for ids in ids.chunks(30) {
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        for id in ids {
            table.insert(&mut transaction, &row(*id, &note(2 * id))).expect("inserted");
        }
        transaction.commit().expect("committed");
        there.extend(ids);
        commits.insert(engine.log_end(), there.clone());
    }
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let rows: Vec<_> = table.scan(&mut transaction).expect("a scan").collect();
    for row in rows.into_iter().map(|row| row.expect("a row")) {
        let Value::Int4(id) = row.values().expect("values")[0] else { panic!("{row:?}") };
        if (10..ROWS - 10).contains(&id) {
            assert!(table.delete(&mut transaction, row.tid()).expect("deleted"));
            there.remove(&id);
        }
    }
    transaction.commit().expect("committed");
    commits.insert(engine.log_end(), there);
    vacuum(&mut session, "account", &VacuumOptions::default());
    engine.restore_point("end").expect("durable");
    (start, commits)
}

/// The positions behind records of structure changes, with their kinds: of each the first ones, then ever fewer, and what
/// follows each of them in the log.
fn cuts(disk: &FaultyDisk, start: Lsn) -> Vec<(Lsn, u8)> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options { start: Some(start), ..Options::default() };
    let log = Log::open(disk, &Path::new(DATA).join("pg_wal"), options).expect("a log");
    let mut reader = RecordReader::new(Arc::new(log));
    reader.find_first(start).expect("a record");
    let (mut cuts, mut seen) = (Vec::new(), BTreeMap::new());
    let mut is_wanted = false;
    while let Ok(record) = reader.next_record() {
        let kind = record.info() & 0xF0;
        if record.rmid() != RM_BTREE || !KINDS.contains(&kind) {
            continue;
        }
        let times: &mut u32 = seen.entry(kind).or_default();
        *times += 1;
        // Behind a cut that leaves something half done comes one behind what completes it.
        is_wanted = times.is_power_of_two() || kind == NEWROOT || is_wanted;
        if is_wanted {
            cuts.push((record.end(), kind));
        }
        is_wanted = is_wanted && [SPLIT_L, SPLIT_R, MARK_PAGE_HALFDEAD].contains(&kind);
    }
    println!("{} cuts; records by kind: {seen:x?}", cuts.len());
    assert!(
        [INSERT_UPPER, NEWROOT, UNLINK_PAGE, MARK_PAGE_HALFDEAD]
            .iter()
            .all(|kind| seen.contains_key(kind))
    );
    assert!(seen.contains_key(&SPLIT_L) && seen.contains_key(&SPLIT_R));
    cuts
}

/// What is left when the power fails and the log is durable up to a position: of the pages, what the checkpoint wrote.
fn cut_at(disk: &FaultyDisk, end: Lsn) -> FaultyDisk {
    let left = disk.after_crash(0);
    let (size, directory) =
        (SegmentSize::from_bytes(1 << 20).expect("legal"), Path::new(DATA).join("pg_wal"));
    for entry in left.list(&directory).expect("listed") {
        let name = entry.name.to_str().expect("plain");
        let Some((_, number)) = size.parse_file_name(name) else { continue };
        let from = match number.cmp(&size.number_of(end)) {
            std::cmp::Ordering::Less => continue,
            std::cmp::Ordering::Equal => size.offset_of(end),
            std::cmp::Ordering::Greater => 0,
        };
        let file = left.open_for_writing(&directory.join(name), Opening::EXISTING).expect("there");
        file.write_zeros(from, size.bytes() - from).expect("room");
    }
    left
}

/// What a check of the index finds.
fn checked(engine: &Engine) -> CheckedIndex {
    let mut found = None;
    let see = &mut |check: engine::IndexCheck| {
        found = Some(check.outcome.unwrap_or_else(|error| panic!("{error}")));
        ControlFlow::Continue(())
    };
    engine.check_indexes(&["account_note".to_owned()], see).expect("checked");
    found.expect("an index")
}

/// The rows that the table has, which are those that the index has, in its order.
fn ids(engine: &Engine) -> BTreeSet<i32> {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
    let (index, table) = transaction.index("account_note").expect("there");
    let id = |row: &Row| match row.values().expect("values")[0] {
        Value::Int4(id) => id,
        ref other => panic!("{other:?}"),
    };
    let rows = table.scan(&mut transaction).expect("a scan");
    let by_table: BTreeSet<i32> = rows.map(|row| id(&row.expect("a row"))).collect();
    let (lower, upper) = (Bound::Unbounded, Bound::Unbounded);
    let scan = table.scan_index(&mut transaction, &index, lower, upper, Direction::Forward);
    let (mut scan, mut by_index) = (scan.expect("a scan"), Vec::new());
    while let Some(row) = scan.next_row(&mut transaction).expect("read") {
        let [Value::Int4(id), _, Value::Text(note)] = row.values().expect("values")[..] else {
            panic!("{row:?}")
        };
        by_index.push((note.to_owned(), id));
    }
    assert!(by_index.is_sorted());
    assert_eq!(by_index.iter().map(|row| row.1).collect::<BTreeSet<_>>(), by_table);
    by_table
}

#[test]
fn a_structure_change_that_a_crash_cut_is_completed() {
    let (disk, _) = initialized();
    let (start, commits) = worked(&disk);
    let (mut unfinished, mut half_dead) = (0, 0);
    for (end, kind) in cuts(&disk, start) {
        let engine = reopen(cut_at(&disk, end), quiet(SnapshotMode::Classic));
        assert!(engine.recovered().checkpoint_is_due, "{end}");
        let cut = checked(&engine);
        let expected = match kind {
            SPLIT_L | SPLIT_R => (1, 0),
            MARK_PAGE_HALFDEAD => (0, 1),
            // Of a leaf that is deleted with pages above it, it goes last.
            UNLINK_PAGE | UNLINK_PAGE_META => (0, cut.half_dead.min(1)),
            _ => (0, 0),
        };
        assert_eq!((cut.unfinished_splits, cut.half_dead), expected, "{end} {kind:x}: {cut:?}");
        unfinished += cut.unfinished_splits;
        half_dead += cut.half_dead;
        let (_, there) = commits.range(..=end).next_back().expect("the first is before");
        assert_eq!(&ids(&engine), there, "{end} {kind:x}");
        // Who inserts next, into the range of every leaf.
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let table = transaction.table("account").expect("there");
        let new = 1000..1000 + ROWS;
        for id in new.clone() {
            let note = note(2 * (id - 1000) + 1);
            table.insert(&mut transaction, &row(id, &note)).expect("inserted");
        }
        transaction.commit().expect("committed");
        let grown = checked(&engine);
        assert_eq!(grown.unfinished_splits, 0, "{end} {kind:x}: {grown:?}");
        // And the next vacuum.
        vacuum(&mut session, "account", &VacuumOptions::default());
        let vacuumed = checked(&engine);
        assert_eq!((vacuumed.unfinished_splits, vacuumed.half_dead), (0, 0), "{end} {kind:x}");
        assert_eq!(ids(&engine), there.iter().copied().chain(new).collect(), "{end} {kind:x}");
    }
    assert!(unfinished > 4 && half_dead > 2, "{unfinished} {half_dead}");
}
