//! Data directories that workloads begin with, each made once and then copied: all that is in them is durable.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base::disk::faulty::FaultyDisk;
use base::disk::{Disk, Opening};
use engine::recovery::{ArchiveRecovery, Target};
use engine::{ColumnStorage, EngineOptions, Error, Isolation, SnapshotMode};
use wal::write::ArchiveTo;

use super::oracle::State;
use super::run::{Run, options};
use crate::{DATA, content, initialized};

/// Where full segments are archived.
pub(super) const ARCHIVE: &str = "archive";

/// A data directory that was shut down, and the rows in it.
#[derive(Debug, Clone)]
pub(super) struct Image {
    disk: FaultyDisk,
    pub(super) state: State,
}

impl Image {
    /// A copy to work on.
    pub(super) fn disk(&self) -> FaultyDisk {
        self.disk.after_crash(1)
    }

    /// Made by what `prepare` does in a new data directory.
    pub(super) fn made_by(prepare: impl FnOnce(&mut Run) -> Result<(), Error>) -> Image {
        let (disk, _) = initialized();
        let mut run = Run::new(disk.clone(), options(SnapshotMode::Classic), State::new());
        let made = run.open().and_then(|()| prepare(&mut run)).and_then(|()| run.close());
        made.expect("there is room");
        // The lock file's removal is all that a crash could undo.
        Image { disk: disk.after_crash(1), state: run.oracle().state() }
    }
}

/// What `strata init` makes.
pub(super) fn new() -> Image {
    let (disk, _) = initialized();
    Image { disk, state: State::new() }
}

/// Two tables of a few rows each.
pub(super) fn with_rows() -> Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| with_rows_stored(ColumnStorage::Plain)).clone()
}

/// The same, whose long texts go out of line.
pub(super) fn with_rows_out_of_line() -> Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| with_rows_stored(ColumnStorage::External)).clone()
}

fn with_rows_stored(storage: ColumnStorage) -> Image {
    Image::made_by(|run| {
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| {
            work.create_stored("one", storage)?;
            work.load("one", 0..12, 40)?;
            work.create_stored("other", storage)?;
            work.load("other", 0..60, 600)
        })
    })
}

/// The next transaction ids are the last of a page of `pg_xact` and of `pg_subtrans`; a page of `pg_commit_ts` ends a few
/// ids before that.
pub(super) fn at_the_end_of_pages() -> Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| with_xids_up_to(32_768 - 14)).clone()
}

/// The next transaction ids are the last of a file of `pg_commit_ts`.
pub(super) fn at_the_end_of_a_file() -> Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| with_xids_up_to(32 * 819 - 5)).clone()
}

fn with_xids_up_to(last: u64) -> Image {
    Image::made_by(|run| {
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| work.create("one"))?;
        loop {
            let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
            work.insert("one", 0, 0, 1)?;
            let xid = work.xid().expect("it has changed something");
            work.rollback()?;
            if xid.0 >= last {
                return Ok(());
            }
        }
    })
}

/// What a power failure left of a directory in use: its lock file, a segment that was being made, and pages of the log behind
/// the place where it ends, since those before them were lost.
pub(super) fn crashed() -> Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    let make = || -> Result<Image, Error> {
        let image = with_rows();
        let disk = image.disk();
        // No page has to make room, which would have the log flushed.
        let options = EngineOptions { buffers: 256, ..options(SnapshotMode::Classic) };
        let mut run = Run::new(disk.clone(), options, image.state);
        run.open()?;
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| work.update("one", 1, 1, 60))?;
        let (durable, state) = (run.engine().log_end(), run.oracle().state());
        // More than the log's buffers hold: their pages are written, and not synced.
        let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
        (0..80).try_for_each(|id| work.insert("one", 1000 + id, 1, 4000))?;
        let made =
            disk.open_for_writing(&Path::new(DATA).join("pg_wal/xlogtemp.7"), Opening::CREATE);
        made.expect("room").write_at(&[7; 100], 0).expect("room");
        disk.crash();
        drop(work);
        // The page that the log ends on stays, the next is lost, and those behind that stay.
        let left = disk.after_crash(1);
        let segment = Path::new(DATA).join("pg_wal/000000010000000000000001");
        let file = left.open_for_writing(&segment, Opening::EXISTING).expect("there");
        let next_page = (durable.0 % (1 << 20)).next_multiple_of(8192);
        file.write_zeros(next_page, 8192).expect("room");
        Ok(Image { disk: left.after_crash(1), state })
    };
    IMAGE.get_or_init(|| make().expect("there is room")).clone()
}

/// [`with_archive`], without the directory of the archiver's marks.
pub(super) fn without_marks() -> Image {
    let image = with_archive();
    let disk = image.disk();
    disk.remove_directory(&Path::new(DATA).join("pg_wal/archive_status")).expect("empty");
    Image { disk: disk.after_crash(1), ..image }
}

/// [`with_rows`], and an empty archive beside it.
pub(super) fn with_archive() -> Image {
    let image = with_rows();
    let disk = image.disk();
    make_archive(&disk);
    Image { disk, ..image }
}

/// Transactions in the archived log, and how many of them come before the target.
const ARCHIVED: i32 = 14;
const BEFORE_TARGET: i32 = 9;

/// A directory that was shut down, an archive with its log of later, the rows as of the target that lies in that log,
/// and the target.
fn log_archived() -> &'static (Image, Target) {
    static MADE: OnceLock<(Image, Target)> = OnceLock::new();
    let make = || -> Result<(Image, Target), Error> {
        let copy = with_archive();
        let disk = copy.disk();
        let mut options = options(SnapshotMode::Classic);
        options.log.archive = Some(ArchiveTo::Directory(PathBuf::from(ARCHIVE)));
        let mut run = Run::new(disk.clone(), options, copy.state.clone());
        run.open()?;
        let mut target = None;
        let mut session = run.engine().session()?;
        for number in 0..ARCHIVED {
            let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
            work.update("one", number % 12, i64::from(number), 80)?;
            work.insert("other", 100 + number, 1, 900)?;
            let xid = work.xid().expect("it has changed something");
            run.commit(work, engine::Durability::Synchronous)?;
            if number + 1 == BEFORE_TARGET {
                target = Some((Target::Xid(xid.xid()), run.oracle().state()));
            }
            if number % 6 == 4 {
                run.engine().switch_log()?;
            }
        }
        run.engine().switch_log()?;
        run.engine().archive_log()?;
        let archived = copy.disk();
        for entry in disk.list(Path::new(ARCHIVE)).expect("a directory") {
            let path = Path::new(ARCHIVE).join(&entry.name);
            let bytes = content(&disk, &path).expect("a segment");
            let file = archived.open_for_writing(&path, Opening::CREATE_NEW).expect("room");
            file.write_at(&bytes, 0).expect("room");
        }
        let (target, state) = target.expect("it is one of them");
        Ok((Image { disk: archived.after_crash(1), state }, target))
    };
    MADE.get_or_init(|| make().expect("there is room"))
}

/// See [`recovery_to_target`].
pub(super) fn with_archived_log() -> Image {
    log_archived().0.clone()
}

/// The options with a recovery that begins a timeline at the end of the log.
pub(super) fn recovery_to_a_timeline(options: EngineOptions) -> EngineOptions {
    EngineOptions { archive_recovery: Some(ArchiveRecovery::default()), ..options }
}

/// The options with recovery from the archive of [`with_archived_log`], to a transaction in the midst of it.
pub(super) fn recovery_to_target(options: EngineOptions) -> EngineOptions {
    let target = log_archived().1.clone();
    let archive = Some(PathBuf::from(ARCHIVE));
    let recovery = ArchiveRecovery { archive, target, ..ArchiveRecovery::default() };
    EngineOptions { archive_recovery: Some(recovery), ..options }
}

fn make_archive(disk: &FaultyDisk) {
    disk.create_directory(Path::new(ARCHIVE)).expect("room");
    disk.sync_directory(Path::new("")).expect("synced");
}

/// [`with_rows`], with the checkpoint that it ends with saying that no full-page images are taken.
pub(super) fn without_page_images() -> Image {
    use crate::recovery::{checkpoints, open, options};
    let image = with_rows();
    let disk = image.disk();
    let (storage, _) = open(&disk, &options()).expect("opened");
    let log = storage.log.log();
    log.set_full_page_writes(&mut log.inserter(), false).expect("room");
    let kind = engine::checkpoint::CheckpointKind::Shutdown;
    let nobody = engine::checkpoint::NobodyRuns(&storage);
    checkpoints().at_once(&storage, &nobody, kind).expect("room");
    drop(storage);
    Image { disk: disk.after_crash(1), ..image }
}
