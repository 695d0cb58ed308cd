//! Records redone: what each resource manager's records change, changed again.
//!
//! ```text
//! Record ─► counters moved past its xid ─► its manager's file here ─► round ─► crew ─► pages (LSN guard, images) ─► pool
//!                                                                  └► clog, commit_ts, multixact, relation files
//! ```
//!
//! Changes of pages are not made at once. They are gathered in a [`round`], by page, and made page by page by a
//! [`crew`] of threads, while the next records are read. All else is done at once, in log order.
//!
//! | file | records |
//! |---|---|
//! | `xlog` | checkpoints, object ids, images, parameters, and what needs no redo |
//! | `xact` | commits and aborts: their status, their time, the relations whose files go |
//! | `smgr` | relation files made and cut |
//! | `clog`, `commit_ts`, `multixact` | pages of these logs made and cut off, sets of lockers |
//! | `heap` | heap and heap2, by [`crate::heap::redo`]; the visibility map's bits, and what the free space map says |
//! | `btree` | btrees, by [`crate::btree::redo`] |
//!
//! Where page changes and the rest meet, the pages come first: before a relation's files are cut or removed, before a
//! manager that the engine does not know redoes a record, and at the end, all changes are [made](Redo::settle).
//!
//! Invariants:
//!
//! 1. Redo is idempotent: a record that has left its mark already changes nothing, or changes to the same again. A page
//!    whose LSN is not before the record's end is left alone; an image replaces whatever is there.
//! 2. A record that cannot be redone is an error with its position, never passed over.
//! 3. A page that the log changes and that is not there must be of a relation that is dropped or cut off later in the
//!    log: [`MissingPages`] remembers it until then.
//! 4. Nothing else runs meanwhile; no log is open. What comes out, the error too, is the same with any number of threads.
//!
//! Source: the `_redo` functions of PostgreSQL 15, `xlogutils.c`.

mod btree;
mod clog;
mod commit_ts;
mod crew;
mod error;
mod heap;
mod missing_pages;
mod multixact;
mod pages;
mod round;
mod smgr;
mod visibility_map;
mod xact;
mod xlog;

use std::collections::BTreeMap;
use std::fmt::Debug;

use base::{FullXid, Lsn, RelFileLocator, Xid};
use wal::record::Record;
use wal::rmgr::Payload;
use wal::segment::Timeline;

pub(crate) use crew::Crew;
pub use error::{RedoCause, RedoError};
pub use missing_pages::{Missing, MissingPages};
pub use pages::{Redone, Wanted};

use crate::Error;
use crate::buffer::PageName;
use crate::storage::Storage;
use pages::Tally;
use round::{PageChange, Round};

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
    crew: &'s Crew,
    /// Changes of pages that are gathered.
    round: Round,
    /// What was done to pages in rounds that are finished.
    tally: Tally,
    /// A page's change could not be made.
    has_failed: bool,
    /// Counts of all that is not about pages.
    counts: RedoCounts,
    /// The last transaction id that the counters were moved past.
    last_xid: Xid,
    timeline: Timeline,
    tracks_commit_timestamps: bool,
    full_page_writes: bool,
}

impl<'s> Redo<'s> {
    /// Redo of records on a timeline, from a checkpoint whose counters are the storage's. The transaction logs give zeros
    /// for missing pages from here on.
    pub(crate) fn new(
        storage: &'s Storage,
        managers: &'s RedoManagers,
        crew: &'s Crew,
        timeline: Timeline,
    ) -> Redo<'s> {
        let (tracks_commit_timestamps, full_page_writes) = {
            let control = storage.directory.control();
            let data = control.data();
            (data.track_commit_timestamp, data.checkpoint_copy.full_page_writes)
        };
        let redo = Redo {
            storage,
            managers,
            crew,
            round: Round::default(),
            tally: Tally::default(),
            has_failed: false,
            counts: RedoCounts::default(),
            last_xid: Xid::INVALID,
            timeline,
            tracks_commit_timestamps,
            full_page_writes,
        };
        redo.set_in_recovery(true);
        redo
    }

    /// Ends redo: the transaction logs no longer give zeros for missing pages. All changes [are made](Redo::settle).
    pub fn finish(self) -> RedoCounts {
        self.set_in_recovery(false);
        self.counts()
    }

    /// Makes all changes of pages that are gathered, and comes back when they are made.
    ///
    /// # Errors
    /// That of the first record that cannot be redone.
    pub fn settle(&mut self) -> Result<(), RedoError> {
        // The one that is being made, then the one that is gathered.
        for _ in 0..2 {
            self.next_round()?;
        }
        Ok(())
    }

    /// Has the crew begin what is gathered, once it is done with what it does. Nothing behind an error is made.
    fn next_round(&mut self) -> Result<(), RedoError> {
        if self.has_failed {
            return Ok(());
        }
        let (tally, empty) =
            self.crew.finish(self.storage).inspect_err(|_| self.has_failed = true)?;
        self.tally.add(tally);
        self.crew.begin(std::mem::replace(&mut self.round, empty));
        Ok(())
    }

    /// Adds a change of a page to those that are gathered.
    fn later(&mut self, record: &Record<'_>, name: PageName, change: PageChange) {
        self.round.add(record, name, change);
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

    /// What has been done; of pages, in rounds that are finished.
    pub fn counts(&self) -> RedoCounts {
        let Tally { changed, images, already, missing_pages: missing, .. } = self.tally;
        RedoCounts { changed, images, already, missing, ..self.counts }
    }

    /// How many records were redone.
    pub(crate) fn records(&self) -> u64 {
        self.counts.records
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
        &self.tally.missing
    }

    /// The highest LSN that was found on a page: up to there at least the log was durable once.
    pub fn highest_page_lsn(&self) -> Lsn {
        self.tally.highest_page_lsn
    }

    /// The transaction id behind all that were seen.
    pub fn next_xid(&self) -> FullXid {
        self.storage.ids.lock().next_xid
    }

    /// Redoes one record; what it changes of pages, later.
    ///
    /// # Errors
    /// [`RedoError`], of this record or one before whose pages were left for later: it is damaged, contradicts what is
    /// there, cannot be redone by this engine, or the disk fails.
    #[inline]
    pub fn redo(&mut self, record: &Record<'_>) -> Result<(), RedoError> {
        if let Err(cause) = self.redo_record(record) {
            let error = RedoError::new(record, cause);
            // Who comes first in the log is told.
            return Err(self.settle().err().unwrap_or(error));
        }
        match self.round.is_full() {
            false => Ok(()),
            true if self.crew.has_helpers() => self.next_round(),
            true => self.settle(),
        }
    }

    fn redo_record(&mut self, record: &Record<'_>) -> Result<(), RedoCause> {
        if record.xid() != self.last_xid && record.xid().is_normal() {
            self.storage.ids.lock().xid_seen(record.xid());
            self.last_xid = record.xid();
        }
        self.counts.records += 1;
        if let Some(manager) = self.managers.get(&record.rmid()) {
            self.settle()?;
            return manager.redo(self, record);
        }
        match record.payload()? {
            Payload::Heap(payload) => heap::redo_heap(self, record, &payload),
            Payload::Heap2(payload) => heap::redo_heap2(self, record, &payload),
            Payload::Xact(payload) => xact::redo(self, record, &payload),
            Payload::Xlog(payload) => xlog::redo(self, record, &payload),
            Payload::Smgr(payload) => smgr::redo(self, record, &payload),
            Payload::Btree(payload) => btree::redo(self, record, &payload),
            Payload::Clog(payload) => clog::redo(self, record, &payload),
            Payload::CommitTs(payload) => commit_ts::redo(self, record, &payload),
            Payload::Multixact(payload) => multixact::redo(self, record, &payload),
            // Locks and snapshots of a standby, which this is not.
            Payload::Standby(_) => Ok(()),
            // Read by logical decoding alone.
            Payload::Logicalmsg(_) => Ok(()),
            Payload::Unknown => Err(RedoCause::UnknownType),
            Payload::Dbase(_)
            | Payload::Tblspc(_)
            | Payload::Relmap(_)
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
        debug_assert_eq!(self.round.pages(), 0, "changes of its pages are made");
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
        self.tally.missing.relation_removed(locator);
        Ok(())
    }
}
