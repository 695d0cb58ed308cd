//! Indexes whose entries do not fit into memory while they are sorted: the same pages, and nothing left of the files.

use std::path::{Path, PathBuf};

use base::disk::faulty::{Fault, FaultKind, FaultyDisk, Lasting, Operation, Site};
use base::disk::{Disk, Opening};
use engine::Error;

use super::*;
use crate::DATA;

/// As much as a few pages, so that runs are merged several times.
const LITTLE: usize = 1 << 15;

/// An index of so many rows, some of which are not alive, sorted in this memory.
fn build(storage: &Storage, rows: Rows, count: u32, memory: usize) -> Build<'_> {
    storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
    let build = Build::new(storage, RELATION, rows.shape(), DEFAULT_FILL_FACTOR, XID);
    let mut build = build.with_memory(memory);
    let mut random = Rng::with_seed(17);
    for number in 0..count {
        let key = rows.key(number, &mut random);
        rows.values(key, |values| build.add(values, tid(number), number % 5 > 0)).expect("a row");
    }
    build
}

fn go_on() -> Result<(), IndexError> {
    Ok(())
}

fn directory() -> PathBuf {
    Path::new(DATA).join("base/pgsql_tmp")
}

/// How many temporary files there are; `None` if there never was one.
fn temporary_files(disk: &FaultyDisk) -> Option<usize> {
    let directory = directory();
    disk.is_directory(&directory).then(|| disk.list(&directory).expect("listed").len())
}

#[test]
fn what_does_not_fit_into_memory_becomes_the_same_index() {
    for rows in Rows::ALL {
        let count = if rows == Rows::Long { 1500 } else { 25_000 };
        let made = [1 << 26, LITTLE].map(|memory| {
            let (disk, storage) = opened();
            let build = build(&storage, rows, count, memory);
            let is_little = memory == LITTLE;
            assert_eq!(temporary_files(&disk), is_little.then_some(1), "{rows:?}");
            let mut inserter = storage.log.log().inserter();
            let index = build.finish(&mut inserter, &mut go_on).expect("built");
            let verified = index.verify(false).expect("a sound index");
            assert_eq!(verified.tids.len(), count as usize, "{rows:?}");
            assert_eq!(temporary_files(&disk), is_little.then_some(0), "{rows:?}");
            pages(&storage)
        });
        assert!(made[0].len() > 10 && made[0] == made[1], "{rows:?}");
    }
}

/// Entries of one whole number are kept in memory as numbers, and made again.
#[test]
fn an_index_of_whole_numbers_and_nulls_is_the_same_as_one_put_in_row_by_row() {
    for (descending, nulls_first) in [(false, false), (false, true), (true, false), (true, true)] {
        for column in [ColumnType::Int2, ColumnType::Int4, ColumnType::Int8, ColumnType::Oid] {
            let key = KeyColumn { column, descending, nulls_first };
            let shape = Shape::new(&[key], &[]).expect("a shape");
            let mut random = Rng::with_seed(3);
            let rows: Vec<_> =
                (0..5000).map(|number| (value(column, &mut random), tid(number))).collect();
            let made = [1 << 26, LITTLE].map(|memory| {
                let (_, storage) = opened();
                storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
                let build = Build::new(&storage, RELATION, shape.clone(), DEFAULT_FILL_FACTOR, XID);
                let mut build = build.with_memory(memory);
                for (value, tid) in &rows {
                    build.add(&[*value], *tid, true).expect("a row");
                }
                let index = build.finish(&mut storage.log.log().inserter(), &mut go_on);
                let index = index.expect("built");
                assert_eq!(index.verify(false).expect("a sound index").tids.len(), rows.len());
                (pages(&storage), entries(&index))
            });
            assert!(made[0] == made[1], "{key:?}");
            let (_, storage) = opened();
            let index = created(&storage, shape.clone());
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            for (value, tid) in &rows {
                writer.insert(&[*value], *tid).expect("put in");
            }
            assert!(made[0].1 == entries(&index), "{key:?}");
        }
    }
}

/// A null, or a number that others may have, too, or one at an end of its type.
fn value(column: ColumnType, random: &mut Rng) -> Value<'static> {
    let number = match random.u8(..10) {
        0 => return Value::Null,
        1 => i64::MIN,
        2 => i64::MAX,
        3 => -1,
        _ => random.i64(-900..900),
    };
    match column {
        ColumnType::Int2 => Value::Int2(number as i16),
        ColumnType::Int4 => Value::Int4(number as i32),
        ColumnType::Oid => Value::Oid(number as u32),
        _ => Value::Int8(number),
    }
}

/// The key and the row of each entry, in the index's order.
fn entries(index: &Index<'_>) -> Vec<(String, Tid)> {
    let mut entries = Vec::new();
    let see = &mut |_, entry: engine::btree::IndexTuple<'_>| {
        let values = index.shape().decompressed(entry).expect("values");
        let mut read = index.shape().values_in(&values);
        let key = format!("{:?}", read.next().expect("a column").expect("a value"));
        entries.extend(entry.tids().map(|tid| (key.clone(), tid)));
        Ok::<_, IndexError>(())
    };
    index.verify_with(false, see).expect("a sound index");
    entries
}

#[test]
fn a_sort_that_is_ended_or_fails_leaves_no_file() {
    let mut ends = 0;
    for after in (0_u32..).step_by(7) {
        let (disk, storage) = opened();
        let build = build(&storage, Rows::Scattered, 25_000, LITTLE);
        let mut looks = 0;
        let built = build.finish(&mut storage.log.log().inserter(), &mut || {
            looks += 1;
            if looks > after { Err(Error::Cancelled) } else { Ok(()) }
        });
        assert_eq!(temporary_files(&disk), Some(0));
        match built {
            Err(error) => assert!(matches!(error, Error::Cancelled), "{error}"),
            Ok(_) => break,
        }
        ends += 1;
    }
    assert!(ends > 5, "{ends}");
    let file = directory().join(format!("pgsql_tmp{}.1", std::process::id()));
    for (operation, path, at, action) in [
        (Operation::CreateDirectory, &directory(), 1, "create"),
        (Operation::OpenForWriting, &file, 1, "create"),
        (Operation::OpenForWriting, &file, 3, "create"),
        (Operation::Write, &file, 2, "write"),
        (Operation::Read, &file, 9, "read"),
    ] {
        let (disk, storage) = opened();
        storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
        let sorted = Build::new(&storage, RELATION, Rows::One.shape(), DEFAULT_FILL_FACTOR, XID);
        let mut sorted = sorted.with_memory(LITTLE);
        let site = Site::new(operation, path);
        disk.inject(Fault { site, at, lasting: Lasting::Once, kind: FaultKind::InputOutput });
        let mut added = Ok(());
        for number in 0..60_000 {
            let row = |values: &[Value<'_>]| sorted.add(values, tid(number), true);
            added = added.and_then(|()| Rows::One.values((4, 0), row));
        }
        let built = added
            .and_then(|()| sorted.finish(&mut storage.log.log().inserter(), &mut go_on).map(drop));
        assert_eq!(disk.faults_made(), 1, "{operation:?}");
        match built {
            Err(IndexError::Sort(error)) => assert_eq!(error.action, action, "{error}"),
            other => panic!("{operation:?}: {other:?}"),
        }
        assert!(matches!(temporary_files(&disk), None | Some(0)), "{operation:?}");
    }
}

#[test]
fn files_that_a_crash_left_go_when_the_engine_opens() {
    let (disk, _) = crate::initialized();
    let directory = directory();
    disk.create_directory(&directory).expect("made");
    for name in ["pgsql_tmp4711.0", "pgsql_tmp4711.1", "other"] {
        let file = disk.open_for_writing(&directory.join(name), Opening::CREATE_NEW);
        file.expect("made").write_at(b"left", 0).expect("written");
    }
    let engine = crate::transactions::open(&disk, engine::SnapshotMode::Classic);
    let left = disk.list(&directory).expect("listed");
    assert_eq!(left.iter().map(|entry| &entry.name).collect::<Vec<_>>(), ["other"]);
    engine.close().expect("closed");
}
