//! Damage in the log is told from its end, by what shows that the log had been durable further.

use std::path::{Path, PathBuf};

use base::Lsn;
use base::disk::faulty::FaultyDisk;
use base::disk::{Disk, Opening};
use base::sync::Arc;
use engine::Error;
use engine::recovery::{
    Damage, Evidence, OnDamage, RecoveryError, RecoveryOptions, durability_marker,
};
use wal::read::RecordReader;
use wal::source::{self, Segments};
use wal::write::NewRecord;

use super::writer::Writer;
use super::{checkpoints, open, options};
use crate::{DATA, initialized};

/// A log of so many transactions behind a checkpoint, with a marker behind each tenth if asked for.
fn logged(transactions: u64, with_markers: bool) -> (FaultyDisk, Vec<(Lsn, u8)>) {
    let (disk, _) = initialized();
    let (storage, _) = open(&disk, &options()).expect("opened");
    let mut writer = Writer::new(&storage, 9);
    let checkpoints = checkpoints();
    let log = storage.log.log();
    let mut inserter = log.inserter();
    for number in 0..transactions {
        writer.step(Some(&checkpoints)).expect("room");
        if with_markers && number % 10 == 9 {
            let marker = durability_marker(log.flushed());
            let record =
                NewRecord { main: &[&marker], is_important: false, ..NewRecord::new(0, 0x20) };
            let end = log.insert(&mut inserter, &record).expect("room").end;
            log.flush(end).expect("room");
        }
    }
    let redo = log.page_writes().redo;
    drop(storage);
    let disk = disk.after_crash(1);
    let records = records(&disk, redo);
    (disk, records)
}

fn pg_wal() -> PathBuf {
    Path::new(DATA).join("pg_wal")
}

/// Every record from there on: where it starts, and its resource manager.
fn records(disk: &FaultyDisk, from: Lsn) -> Vec<(Lsn, u8)> {
    let log = source::Log::open(Arc::new(disk.clone()), &pg_wal(), source::Options::default());
    let mut reader = RecordReader::new(Arc::new(log.expect("a log")));
    reader.find_first(from).expect("a record");
    let mut records = Vec::new();
    while let Ok(record) = reader.next_record() {
        records.push((record.start(), record.rmid()));
    }
    records
}

/// Changes a byte of the log.
fn flip(disk: &FaultyDisk, at: Lsn) {
    let log = source::Log::open(Arc::new(disk.clone()), &pg_wal(), source::Options::default());
    let log = log.expect("a log");
    let size = log.segment_size();
    let path = pg_wal().join(size.file_name(wal::segment::Timeline(1), size.number_of(at)));
    let file = disk.open_for_writing(&path, Opening::EXISTING).expect("there");
    let mut byte = [0];
    file.read_at(&mut byte, size.offset_of(at)).expect("read");
    file.write_at(&[byte[0] ^ 0x55], size.offset_of(at)).expect("room");
    file.sync_data().expect("synced");
}

fn damage(result: Result<impl Sized, Error>) -> Damage {
    match result {
        Err(Error::Recovery(RecoveryError::Damaged(damage))) => *damage,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was taken for the end"),
    }
}

fn with(on_damage: OnDamage) -> RecoveryOptions {
    RecoveryOptions { on_damage, ..options() }
}

#[test]
fn a_marker_behind_shows_what_would_be_lost() {
    let (disk, records) = logged(60, true);
    let at = records[records.len() / 2].0;
    flip(&disk, at + 20);
    let found = damage(open(&disk.after_crash(1), &options()));
    assert_eq!(found.at, at);
    assert!(matches!(found.evidence, Evidence::Marker { flushed, .. } if flushed > at), "{found}");
    let behind = records.iter().filter(|(start, _)| *start > at).count() as u64;
    let commits_at_most = records.iter().filter(|(start, rmid)| *start > at && *rmid == 1).count();
    assert_eq!(found.records, behind);
    assert!(found.commits > 0 && found.commits <= commits_at_most as u64);
    assert!(found.to_string().contains("000000010000000000000001"), "{found}");
    // Whoever says so goes on without.
    let (_, recovered) = open(&disk.after_crash(1), &with(OnDamage::EndThere)).expect("opened");
    assert_eq!(recovered.end.end, at);
    assert_eq!(recovered.left_behind.map(|left| left.records), Some(behind));
}

#[test]
fn without_evidence_a_gap_is_what_a_power_failure_leaves() {
    let (disk, records) = logged(12, false);
    // The last checkpoint is durable for pg_control names it: behind it.
    let at = records[records.len() - 4].0;
    flip(&disk, at + 20);
    let (_, recovered) = open(&disk.after_crash(1), &options()).expect("opened");
    assert_eq!(recovered.end.end, at);
    assert_eq!(recovered.left_behind.map(|left| left.records), Some(3));
    let found = damage(open(&disk.after_crash(1), &with(OnDamage::Refuse)));
    assert_eq!((found.evidence, found.records), (Evidence::None, 3));
}

#[test]
fn records_of_a_later_segment_are_evidence() {
    let (disk, _) = initialized();
    let (storage, _) = open(&disk, &options()).expect("opened");
    let mut writer = Writer::new(&storage, 21);
    let log = storage.log.log();
    let size = 1 << 20;
    let redo = log.page_writes().redo;
    while log.flushed().0 / size < redo.0 / size + 2 {
        writer.step(None).expect("room");
    }
    drop(storage);
    let disk = disk.after_crash(1);
    let second = (redo.0 / size + 1) * size;
    let records = records(&disk, redo);
    let at = records.iter().map(|(start, _)| *start).rfind(|start| start.0 < second - 4096);
    let at = at.expect("a record in the first segment");
    flip(&disk, at + 20);
    let found = damage(open(&disk, &options()));
    assert_eq!(found.at, at);
    assert!(found.records > 100 && found.commits > 10, "{found}");
    // Pages of later records are on the disk, too, since the pool is small.
    match found.evidence {
        Evidence::LaterSegment(first) => assert!(first.0 >= second, "{found}"),
        Evidence::PageLsn(lsn) => assert!(lsn > at, "{found}"),
        other => panic!("{other}"),
    }
}

/// Its end and the records behind it are in a segment that was not durable yet: a power failure may leave that torn.
#[test]
fn a_record_that_is_torn_in_a_later_segment_is_an_end_whatever_lies_behind_it_there() {
    let (disk, _) = initialized();
    let (storage, _) = open(&disk, &options()).expect("opened");
    let log = storage.log.log();
    let noop = |main: &[u8]| {
        let main: [&[u8]; 1] = [main];
        log.insert(&mut log.inserter(), &NewRecord { main: &main, ..NewRecord::new(0, 0x20) })
    };
    let end = Lsn(2 << 20);
    while end.bytes_since(noop(&[7; 4000]).expect("room").end) > 4500 {}
    let torn = noop(&[8; 30_000]).expect("room");
    assert!(torn.start < end && torn.end > end, "{torn:?}");
    for _ in 0..5 {
        noop(&[9; 100]).expect("room");
    }
    log.flush(log.end()).expect("room");
    drop(storage);
    let disk = disk.after_crash(1);
    flip(&disk, end + 5000);
    let (_, recovered) = open(&disk.after_crash(1), &options()).expect("an end");
    assert_eq!(recovered.end.end, torn.start);
    assert_eq!(recovered.left_behind.map(|left| left.records), Some(5));
    // Torn in the segment that was durable it is damage.
    flip(&disk, end + 5000);
    flip(&disk, torn.start + 8);
    let found = damage(open(&disk, &options()));
    assert!(matches!(found.evidence, Evidence::LaterSegment(_)), "{found}");
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_named() {
    let (disk, _) = logged(30, false);
    let control = wal::control::load(&disk, Path::new(DATA)).expect("pg_control").data;
    flip(&disk, control.checkpoint + 30);
    let error = open(&disk, &options()).map(drop).expect_err("no checkpoint");
    let text = error.to_string();
    assert!(text.contains(&control.checkpoint.to_string()) && text.contains("backup"), "{text}");
}
