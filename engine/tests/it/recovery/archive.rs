//! Recovery from an archive to each kind of target: what was committed by then is there, what came later is not, and a new
//! timeline goes on from there, which a crash finds again.

use std::path::Path;

use base::disk::faulty::FaultyDisk;
use base::disk::{Disk, Opening};
use base::{Lsn, TimestampTz, Xid};
use engine::Error;
use engine::checkpoint::CheckpointKind;
use engine::recovery::{
    ArchiveRecovery, Recovered, RecoveryError, RecoveryOptions, Target, recover, start,
};
use engine::slru::Status;
use engine::storage::Storage;
use wal::rmgr::xlog::{self, RestorePoint};
use wal::segment::Timeline;
use wal::write::NewRecord;

use super::writer::{Model, Writer};
use super::{NobodyRuns, checkpoints, log_options, open, options, storage};
use crate::{DATA, content, initialized};

const ARCHIVE: &str = "archive";
/// Transactions behind the copy of the directory.
const TRANSACTIONS: usize = 40;

/// A transaction that ended.
struct Mark {
    xid: Xid,
    time: TimestampTz,
    /// Where the log ended behind it.
    end: Lsn,
    /// What was there then.
    model: Model,
}

/// A directory that was shut down, with the log of what happened later in an archive; and what that was. Behind half of it
/// lies a restore point.
fn archived() -> (FaultyDisk, Vec<Mark>) {
    let (disk, _) = initialized();
    let (first, _) = open(&disk, &options()).expect("opened");
    let mut writer = Writer::new(&first, 31);
    for _ in 0..10 {
        writer.step(None).expect("room");
    }
    let (model, relations) = writer.into_parts();
    checkpoints().at_once(&first, &NobodyRuns(&first), CheckpointKind::Shutdown).expect("room");
    drop(first);
    let copy = disk.after_crash(1);

    let (storage, _) = open(&disk, &options()).expect("opened");
    let mut writer = Writer::of_parts(&storage, 32, model, relations);
    let mut marks = Vec::new();
    let log = storage.log.log();
    for number in 0..TRANSACTIONS {
        writer.step((number == 25).then_some(&checkpoints())).expect("room");
        if number == TRANSACTIONS / 2 {
            let point = RestorePoint { time: writer.time(), name: b"half of it" }.encode();
            let record = NewRecord { main: &[&point], ..NewRecord::new(0, xlog::RESTORE_POINT) };
            log.insert(&mut log.inserter(), &record).expect("room");
        }
        let (xid, _) = *writer.model.ended.last().expect("one ended");
        let (time, model) = (writer.time(), writer.model.clone());
        marks.push(Mark { xid, time, end: log.end(), model });
    }
    log.flush(log.end()).expect("room");
    drop(storage);
    copy.create_directory(Path::new(ARCHIVE)).expect("room");
    let pg_wal = Path::new(DATA).join("pg_wal");
    for entry in disk.list(&pg_wal).expect("a directory") {
        if entry.is_directory {
            continue;
        }
        let bytes = content(&disk, &pg_wal.join(&entry.name)).expect("a segment");
        let path = Path::new(ARCHIVE).join(&entry.name);
        let file = copy.open_for_writing(&path, Opening::CREATE_NEW).expect("room");
        file.write_at(&bytes, 0).expect("room");
        file.sync_all().expect("synced");
    }
    copy.sync_directory(Path::new(ARCHIVE)).expect("synced");
    copy.sync_directory(Path::new("")).expect("synced");
    (copy, marks)
}

fn to(target: Target, is_exclusive: bool) -> RecoveryOptions {
    let archive = Some(ARCHIVE.into());
    let archive = ArchiveRecovery { archive, target, is_exclusive, ..ArchiveRecovery::default() };
    RecoveryOptions { archive: Some(archive), ..options() }
}

fn recovered(disk: &FaultyDisk, options: &RecoveryOptions) -> Result<(Storage, Recovered), Error> {
    let storage = storage(disk)?;
    let recovered = recover(&storage, options, &mut |_| std::ops::ControlFlow::Continue(()))?;
    start(&storage, &recovered, log_options())?;
    checkpoints().end_recovery(&storage, &recovered)?;
    checkpoints().in_production(&storage)?;
    Ok((storage, recovered))
}

/// Demands that the marked transactions up to `count` are there, and no later one.
fn check(disk: &FaultyDisk, options: &RecoveryOptions, marks: &[Mark], count: usize, reason: &str) {
    let disk = disk.after_crash(1);
    let (storage, recovered) =
        recovered(&disk, options).unwrap_or_else(|error| panic!("{options:?}: {error}"));
    let what = format!("{:?}", options.archive);
    marks[count - 1].model.check(&storage, &what);
    for mark in &marks[count..] {
        let (status, _) = storage.clog.status(mark.xid).expect("a page of pg_xact");
        assert_eq!(status, Status::InProgress, "{what}: {}", mark.xid);
    }
    assert_eq!(recovered.timeline, Timeline(2));
    assert_eq!(recovered.reason.as_deref(), Some(reason), "{what}");
    let history = content(&disk, Path::new("data/pg_wal/00000002.history")).expect("a history");
    let line = format!("1\t{}\t{reason}\n", recovered.end.end);
    assert_eq!(String::from_utf8_lossy(&history), line);
    let control = *storage.directory.control().data();
    assert_eq!(control.checkpoint_copy.timeline, Timeline(2));
    assert_eq!(control.checkpoint_copy.previous_timeline, Timeline(1));
    assert_eq!(control.minimum_recovery_point, Lsn::INVALID);
    // The new timeline goes on, and a crash finds it.
    let mut writer = Writer::new(&storage, 33);
    for _ in 0..6 {
        writer.step(None).expect("room");
    }
    let later = writer.model.clone();
    drop(storage);
    let left = disk.after_crash(0);
    let (storage, again) = open(&left, &super::options()).expect("recovered");
    assert_eq!(again.timeline, Timeline(2));
    marks[count - 1].model.check(&storage, "after a crash");
    later.check(&storage, "after a crash on the new timeline");
}

#[test]
fn each_target_is_where_recovery_stops() {
    let (disk, marks) = archived();
    let at = 12;
    let Mark { xid, time, end, .. } = &marks[at];
    let shown = |time: TimestampTz| {
        let mut text = Vec::new();
        time.push_server_text(&mut text);
        String::from_utf8(text).expect("ASCII")
    };
    let check = |target, is_exclusive, count, reason: &str| {
        check(&disk, &to(target, is_exclusive), &marks, count, reason);
    };
    check(Target::Xid(*xid), false, at + 1, &format!("after transaction {xid}"));
    check(Target::Xid(*xid), true, at, &format!("before transaction {xid}"));
    let next = shown(marks[at + 1].time);
    check(Target::Time(*time), false, at + 1, &format!("before {next}"));
    check(Target::Time(*time), true, at, &format!("before {}", shown(*time)));
    check(Target::Lsn(*end), true, at + 1, &format!("before LSN {end}"));
    let half = "at restore point \"half of it\"";
    check(Target::Name("half of it".to_owned()), false, TRANSACTIONS / 2 + 1, half);
    check(Target::End, false, TRANSACTIONS, "no recovery target specified");
}

/// A crash may leave the first segment of a timeline that was being begun, whose history comes after it.
#[test]
fn a_timeline_without_a_history_is_none_to_follow() {
    let (disk, marks) = archived();
    let segment = content(&disk, Path::new("data/pg_wal/000000010000000000000001"));
    let path = Path::new("data/pg_wal/000000020000000000000002");
    let file = disk.open_for_writing(path, Opening::CREATE_NEW).expect("room");
    file.write_at(&segment.expect("there"), 0).expect("room");
    let (storage, recovered) =
        recovered(&disk, &to(Target::Xid(marks[30].xid), false)).expect("recovered");
    assert_eq!((recovered.previous_timeline, recovered.timeline), (Timeline(1), Timeline(3)));
    marks[30].model.check(&storage, "a segment left");
}

#[test]
fn a_target_that_cannot_be_reached_is_an_error() {
    let (disk, marks) = archived();
    let failing = |target| {
        let result = recovered(&disk.after_crash(1), &to(target, false));
        match result {
            Err(Error::Recovery(error)) => error,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was reached"),
        }
    };
    let unknown = failing(Target::Name("no such point".to_owned()));
    assert!(matches!(unknown, RecoveryError::TargetNotReached { .. }), "{unknown}");
    let later = failing(Target::Xid(Xid(4_000_000)));
    assert!(matches!(later, RecoveryError::TargetNotReached { .. }), "{later}");
    // A directory that has pages of later cannot be brought back to earlier.
    let crashed = disk.after_crash(1);
    drop(recovered(&crashed, &to(Target::End, false)).expect("recovered"));
    let early = recovered(&crashed, &to(Target::Xid(marks[3].xid), false)).map(drop);
    assert!(early.is_err());
}

#[test]
fn recovery_to_a_target_that_crashes_in_any_call_comes_to_the_same_rows() {
    let (disk, marks) = archived();
    let target = || to(Target::Xid(marks[30].xid), false);
    let whole = disk.after_crash(1);
    let (storage, _) = recovered(&whole, &target()).expect("recovered");
    let calls = whole.changing_calls();
    drop(storage);
    for call in 1..=calls {
        let crashed = disk.after_crash(1);
        crashed.crash_at(call);
        assert!(recovered(&crashed, &target()).is_err(), "call {call}");
        let left = crate::crash::left(&crashed, call);
        let what = format!("call {call} of {calls}");
        // Where the checkpoint is complete, the directory is one of the new timeline.
        let is_over = {
            let control = wal::control::load(&left, Path::new(DATA)).expect("pg_control");
            control.data.checkpoint_copy.timeline != Timeline(1)
        };
        let (storage, _) = match is_over {
            true => open(&left, &options()),
            false => recovered(&left, &target()),
        }
        .unwrap_or_else(|error| panic!("{what}: {error}"));
        marks[30].model.check(&storage, &what);
        for mark in &marks[31..] {
            let (status, _) = storage.clog.status(mark.xid).expect("a page of pg_xact");
            assert_eq!(status, Status::InProgress, "{what}: {}", mark.xid);
        }
    }
}
