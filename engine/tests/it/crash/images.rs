//! Data directories that workloads begin with, each made once and then copied: all that is in them is durable.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base::disk::faulty::FaultyDisk;
use base::disk::{Disk, Opening};
use engine::recovery::{ArchiveRecovery, Target};
use engine::{EngineOptions, Error, Isolation, SnapshotMode};
use wal::write::ArchiveTo;

use super::oracle::State;
use super::run::{Run, options};
use super::workloads::ARCHIVE;
use crate::{content, initialized};

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
    let made = || {
        Image::made_by(|run| {
            let mut session = run.engine().session()?;
            run.transact(&mut session, |work| {
                work.create("one")?;
                work.load("one", 0..12, 40)?;
                work.create("other")?;
                work.load("other", 0..60, 600)
            })
        })
    };
    IMAGE.get_or_init(made).clone()
}

/// The next transaction ids are the last of a page of `pg_xact` and of `pg_subtrans`; a page of `pg_commit_ts` ends a few
/// ids before that.
pub(super) fn at_the_end_of_pages() -> Image {
    /// Ids on a page of `pg_xact`.
    const PAGE: u64 = 32_768;
    static IMAGE: OnceLock<Image> = OnceLock::new();
    let made = || {
        Image::made_by(|run| {
            let mut session = run.engine().session()?;
            run.transact(&mut session, |work| work.create("one"))?;
            loop {
                let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
                work.insert("one", 0, 0, 1)?;
                let xid = work.xid().expect("it has changed something");
                work.rollback()?;
                if xid.0 >= PAGE - 14 {
                    return Ok(());
                }
            }
        })
    };
    IMAGE.get_or_init(made).clone()
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
