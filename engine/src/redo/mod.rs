//! Records redone: what each resource manager's records change, changed again.
//!
//! ```text
//! Record ─► counters moved past its xid ─► its manager's file here ─► pages (LSN guard, images) ─► pool
//!                                                                  └► clog, commit_ts, multixact, relation files
//! ```
//!
//! | file | records |
//! |---|---|
//! | `xlog` | checkpoints, object ids, images, parameters, and what needs no redo |
//! | `xact` | commits and aborts: their status, their time, the relations whose files go |
//! | `smgr` | relation files made and cut |
//! | `clog`, `commit_ts`, `multixact` | pages of these logs made and cut off, sets of lockers |
//! | `heap` | heap and heap2, by [`crate::heap::redo`]; the visibility map's bits |
//!
//! Invariants:
//!
//! 1. Redo is idempotent: a record that has left its mark already changes nothing, or changes to the same again. A page
//!    whose LSN is not before the record's end is left alone; an image replaces whatever is there.
//! 2. A record that cannot be redone is an error with its position, never passed over.
//! 3. A page that the log changes and that is not there must be of a relation that is dropped or cut off later in the
//!    log: [`MissingPages`] remembers it until then.
//! 4. One thread redoes, before any transaction runs; no log is open meanwhile.
//!
//! Source: the `_redo` functions of PostgreSQL 15, `xlogutils.c`.

mod clog;
mod commit_ts;
mod error;
mod heap;
mod missing_pages;
mod multixact;
mod pages;
mod smgr;
mod visibility_map;
mod xact;
mod xlog;

use std::collections::BTreeMap;
use std::fmt::Debug;

use base::{FullXid, Lsn, RelFileLocator};
use wal::record::Record;
use wal::rmgr::Payload;
use wal::segment::Timeline;

pub use error::{RedoCause, RedoError};
pub use missing_pages::{Missing, MissingPages};
pub use pages::{Redone, Wanted};

use crate::Error;
use crate::storage::Storage;

/// Redo of a resource manager that the engine itself does not know: one of 128 to 255, or a built-in one whose relations
/// the engine does not have.
pub trait RedoManager: Debug + Send + Sync {
    /// Changes again what the record changed; through [`Redo::page`], so that the page's LSN is heeded and moved.
    ///
    /// # Errors
    /// Where the record cannot be redone.
    fn redo(&self, redo: &mut Redo<'_>, record: &Record<'_>) -> Result<(), RedoCause>;
}

/// Further resource managers by their ids.
pub type RedoManagers = BTreeMap<u8, Box<dyn RedoManager>>;

/// What redo has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RedoCounts {
    /// Records.
    pub records: u64,
    /// Pages that were changed by what a record says.
    pub changed: u64,
    /// Pages that were restored from images.
    pub images: u64,
    /// Pages that had a change already.
    pub already: u64,
    /// Pages that were not there.
    pub missing: u64,
    /// Transactions that committed.
    pub commits: u64,
    /// Transactions that aborted.
    pub aborts: u64,
}

/// Redo over a data directory.
#[derive(Debug)]
pub struct Redo<'s> {
    storage: &'s Storage,
    managers: &'s RedoManagers,
    missing: MissingPages,
    counts: RedoCounts,
    timeline: Timeline,
    tracks_commit_timestamps: bool,
    full_page_writes: bool,
    highest_page_lsn: Lsn,
}

impl<'s> Redo<'s> {
    /// Redo of records on a timeline, from a checkpoint whose counters are the storage's. The transaction logs give zeros
    /// for missing pages from here on.
    pub fn new(storage: &'s Storage, managers: &'s RedoManagers, timeline: Timeline) -> Redo<'s> {
        let (tracks_commit_timestamps, full_page_writes) = {
            let control = storage.directory.control();
            let data = control.data();
            (data.track_commit_timestamp, data.checkpoint_copy.full_page_writes)
        };
        let redo = Redo {
            storage,
            managers,
            missing: MissingPages::default(),
            counts: RedoCounts::default(),
            timeline,
            tracks_commit_timestamps,
            full_page_writes,
            highest_page_lsn: Lsn::INVALID,
        };
        redo.set_in_recovery(true);
        redo
    }

    /// Ends redo: the transaction logs no longer give zeros for missing pages.
    pub fn finish(self) -> RedoCounts {
        self.set_in_recovery(false);
        self.counts
    }

    fn set_in_recovery(&self, in_recovery: bool) {
        let Storage { clog, commit_ts, subtrans, multixact, .. } = self.storage;
        let slrus = [clog.slru(), commit_ts.slru(), subtrans.slru()];
        for slru in slrus.into_iter().chain(multixact.slrus()) {
            slru.set_in_recovery(in_recovery);
        }
    }

    /// What it redoes in.
    pub fn storage(&self) -> &'s Storage {
        self.storage
    }

    /// What has been done.
    pub fn counts(&self) -> RedoCounts {
        self.counts
    }

    /// The timeline of the records that come now.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// The records that come now are another timeline's.
    pub fn set_timeline(&mut self, timeline: Timeline) {
        self.timeline = timeline;
    }

    /// Whether full-page images are taken, as the log says so far.
    pub fn full_page_writes(&self) -> bool {
        self.full_page_writes
    }

    /// Pages that were not there and should have been.
    pub fn missing(&self) -> &MissingPages {
        &self.missing
    }

    /// The highest LSN that was found on a page: up to there at least the log was durable once.
    pub fn highest_page_lsn(&self) -> Lsn {
        self.highest_page_lsn
    }

    /// The transaction id behind all that were seen.
    pub fn next_xid(&self) -> FullXid {
        self.storage.ids.lock().next_xid
    }

    /// Redoes one record.
    ///
    /// # Errors
    /// [`RedoError`]: it is damaged, contradicts what is there, cannot be redone by this engine, or the disk fails.
    #[inline]
    pub fn redo(&mut self, record: &Record<'_>) -> Result<(), RedoError> {
        self.redo_record(record).map_err(|cause| RedoError::new(record, cause))
    }

    fn redo_record(&mut self, record: &Record<'_>) -> Result<(), RedoCause> {
        if record.xid().is_normal() {
            self.storage.ids.lock().xid_seen(record.xid());
        }
        self.counts.records += 1;
        if let Some(manager) = self.managers.get(&record.rmid()) {
            return manager.redo(self, record);
        }
        match record.payload()? {
            Payload::Heap(payload) => heap::redo_heap(self, record, &payload),
            Payload::Heap2(payload) => heap::redo_heap2(self, record, &payload),
            Payload::Xact(payload) => xact::redo(self, record, &payload),
            Payload::Xlog(payload) => xlog::redo(self, record, &payload),
            Payload::Smgr(payload) => smgr::redo(self, record, &payload),
            Payload::Clog(payload) => clog::redo(self, &payload),
            Payload::CommitTs(payload) => commit_ts::redo(self, &payload),
            Payload::Multixact(payload) => multixact::redo(self, record, &payload),
            // Locks and snapshots of a standby, which this is not.
            Payload::Standby(_) => Ok(()),
            // Read by logical decoding alone.
            Payload::Logicalmsg(_) => Ok(()),
            Payload::Unknown => Err(RedoCause::UnknownType),
            Payload::Dbase(_)
            | Payload::Tblspc(_)
            | Payload::Relmap(_)
            | Payload::Btree(_)
            | Payload::Hash(_)
            | Payload::Gin(_)
            | Payload::Gist(_)
            | Payload::Seq(_)
            | Payload::Spgist(_)
            | Payload::Brin(_)
            | Payload::Replorigin(_)
            | Payload::Generic(_)
            | Payload::Custom(_) => Err(RedoCause::NoManager),
        }
    }

    /// Removes a relation that a transaction dropped, or made in vain.
    ///
    /// # Errors
    /// As the disk says.
    pub fn remove_relation(&mut self, locator: RelFileLocator) -> Result<(), Error> {
        let pool = &self.storage.pool;
        // The main fork last: as long as it is there, so is the relation.
        for fork in pages::FORKS.into_iter().rev() {
            pool.forget(locator, fork, 0)?;
            pool.store().remove(locator, fork).map_err(|error| Error::Fork {
                action: "remove",
                locator,
                fork,
                error,
            })?;
        }
        self.missing.relation_removed(locator);
        Ok(())
    }
}
