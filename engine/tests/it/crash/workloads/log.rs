//! The log's files, how they are synced, recoveries and timelines.

use std::path::{Path, PathBuf};

use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use engine::{At, Durability, EngineOptions, Error, Isolation};
use wal::control::ClusterState;
use wal::write::{ArchiveTo, LogOptions, SyncMethod};

use super::super::images::{self, ARCHIVE};
use super::super::run::Run;
use super::{Workload, classic, workload};
use crate::DATA;

/// Segments filled, switched, archived, kept, removed and used again.
pub(in crate::crash) fn segments() -> Workload {
    let options = || {
        let log = LogOptions {
            archive: Some(ArchiveTo::Directory(PathBuf::from(ARCHIVE))),
            keep_size: 1 << 20,
            minimum_size: 3 << 20,
            ..classic().log
        };
        EngineOptions { log, ..classic() }
    };
    let work = |run: &mut Run| {
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| {
            work.create("wide")?;
            work.load("wide", 0..2, 3600)
        })?;
        for round in 0..5 {
            let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
            work.update("wide", 0, round, 3600)?;
            work.update("one", 2, round, 60)?;
            run.commit(work, Durability::Asynchronous)?;
            run.engine().switch_log()?;
            run.engine().archive_log()?;
            if round == 2 {
                // As if it had been killed before the mark changed: the archive has the file.
                unmark_one(&run.disk)?;
                run.engine().archive_log()?;
            }
            if round % 2 == 1 {
                run.engine().checkpoint()?;
            }
        }
        // Over the end of a segment in the midst of a transaction's records.
        for number in 0..330 {
            let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
            work.update("wide", number % 2, i64::from(number), 3600)?;
            run.commit(work, Durability::Asynchronous)?;
        }
        run.transact(&mut session, |work| work.update("one", 3, 9, 60))?;
        run.engine().checkpoint()?;
        run.engine().archive_log()?;
        run.engine().checkpoint()?;
        run.check()
    };
    let reopening = |_: &FaultyDisk| EngineOptions {
        log: LogOptions {
            archive: Some(ArchiveTo::Directory(PathBuf::from(ARCHIVE))),
            ..classic().log
        },
        ..classic()
    };
    Workload { image: images::without_marks, options, reopening, ..workload("segments", work) }
}

/// Killed three times, each time with a transaction under way, and opened again on what the kernel has: crashes in these
/// calls cut recoveries.
pub(in crate::crash) fn killed_again_and_again() -> Workload {
    workload("killed_again_and_again", |run| {
        for round in 0..3 {
            {
                let mut session = run.engine().session()?;
                let mut other = run.engine().session()?;
                let mut open = run.begin(&mut other, Isolation::ReadCommitted)?;
                open.create("never")?;
                open.load("never", 0..40, 900)?;
                for number in 0..4 {
                    run.transact(&mut session, |work| {
                        work.update("one", number, round, 60)?;
                        work.update("other", number * 7, round, 640)
                    })?;
                }
                let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
                work.insert("one", 200 + round as i32, 1, 500)?;
                run.commit(work, Durability::Asynchronous)?;
            }
            run.open()?;
        }
        Ok(())
    })
}

/// Has the archiver find a file that it has archived unmarked.
fn unmark_one(disk: &FaultyDisk) -> Result<(), Error> {
    let marks = Path::new(DATA).join("pg_wal/archive_status");
    let entries = disk.list(&marks).at("list", &marks)?;
    let names = entries.iter().filter_map(|entry| entry.name.to_str());
    let done = names.filter(|name| name.ends_with(".done")).max().expect("one was archived");
    let ready = marks.join(done.replace(".done", ".ready"));
    disk.rename(&marks.join(done), &ready).at("rename a mark to", &ready)
}

/// Recovery from an archive to a transaction, onto a new timeline, which goes on; and from there onto another one.
pub(in crate::crash) fn new_timeline() -> Workload {
    let work = |run: &mut Run| {
        for next in [images::recovery_to_a_timeline(classic()), classic()] {
            {
                let mut session = run.engine().session()?;
                for number in 0..3 {
                    run.transact(&mut session, |work| work.update("one", number, 8, 60))?;
                }
                run.engine().checkpoint()?;
                run.transact(&mut session, |work| work.update("one", 7, 8, 60))?;
            }
            run.check()?;
            run.close()?;
            *run.options_mut() = next;
            run.open()?;
        }
        run.close()
    };
    Workload {
        image: images::with_archived_log,
        options: || images::recovery_to_target(classic()),
        reopening: |disk| {
            let control = wal::control::load(disk, Path::new(DATA)).expect("pg_control").data;
            let is_recovering = control.state.state() == Some(ClusterState::InArchiveRecovery);
            // Where the checkpoint that ends recovery is complete, the directory is one of the new timeline.
            match control.checkpoint_copy.timeline.0 {
                1 => images::recovery_to_target(classic()),
                _ if is_recovering => images::recovery_to_a_timeline(classic()),
                _ => classic(),
            }
        },
        ..workload("new_timeline", work)
    }
}

/// Transaction ids over the end of a file of `pg_commit_ts`.
pub(in crate::crash) fn new_log_files() -> Workload {
    let work = |run: &mut Run| {
        let mut session = run.engine().session()?;
        for number in 0..12 {
            run.transact(&mut session, |work| work.insert("one", number, 1, 10))?;
        }
        run.engine().checkpoint()?;
        run.transact(&mut session, |work| work.insert("one", 100, 1, 10))?;
        run.check()
    };
    Workload { image: images::at_the_end_of_a_file, ..workload("new_log_files", work) }
}

/// What a power failure left is recovered, and goes on.
pub(in crate::crash) fn recovery_of_a_crash() -> Workload {
    let work = |run: &mut Run| {
        {
            let mut session = run.engine().session()?;
            run.transact(&mut session, |work| {
                work.update("one", 1, 2, 60)?;
                work.load("one", 50..60, 1000)
            })?;
            run.check()?;
        }
        run.close()
    };
    Workload { image: images::crashed, ..workload("recovery_of_a_crash", work) }
}

fn synced_by(method: SyncMethod) -> EngineOptions {
    EngineOptions { log: LogOptions { sync_method: method, ..classic().log }, ..classic() }
}

fn a_little_of_everything(run: &mut Run) -> Result<(), Error> {
    let mut session = run.engine().session()?;
    for round in 0..6 {
        run.transact(&mut session, |work| {
            work.insert("one", 100 + round, 1, 60)?;
            work.update("other", round, 1, 700)
        })?;
        run.in_vain(&mut session, |work| work.delete("one", 3))?;
        let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
        work.load("other", 100 + round * 30..130 + round * 30, 1000)?;
        run.commit(work, Durability::Asynchronous)?;
        if round % 3 == 1 {
            run.engine().checkpoint()?;
            run.engine().switch_log()?;
        }
    }
    run.check()
}

/// The log synced by `fsync`.
pub(in crate::crash) fn by_fsync() -> Workload {
    let options = || synced_by(SyncMethod::Fsync);
    Workload { options, ..workload("by_fsync", a_little_of_everything) }
}

/// The log written synchronously.
pub(in crate::crash) fn by_open_datasync() -> Workload {
    let options = || synced_by(SyncMethod::OpenDatasync);
    Workload { options, ..workload("by_open_datasync", a_little_of_everything) }
}
