//! `pg_xact`: whether a transaction committed.
//!
//! ```text
//! page     0 ............ 32767   32768 ...       xid / 32768
//! byte     3 2 1 0 | 7 6 5 4 | ...               four xids, the lowest in the lowest bits
//! bits     00 in progress   01 committed   10 aborted   11 committed as part of a parent
//! ```
//!
//! Invariants: a status is set once, from in progress; a child may pass through "committed as part of a parent" on its
//! way. A tree whose ids lie on several pages commits by its top id's bit: children elsewhere are marked as parts
//! before, and committed after. For an asynchronous commit the page remembers the commit record's LSN, one for each
//! 32 xids, and is not written before the log is flushed up to it; hint bits wait for the same LSN.
//! Source: `access/transam/clog.c`.

use std::path::Path;

use base::disk::Disk;
use base::sync::Arc;
use base::{Lsn, PAGE_SIZE, Xid};
use procarray::{Backend, ClogGroup, MAX_GROUPED_SUBXIDS, StatusLog, StatusUpdate, XidStatus};

use super::core::{self, FlushLog, Kind, Locked, Slru};
use crate::Error;

/// Ids of a page (`CLOG_XACTS_PER_PAGE`).
pub const XIDS_PER_PAGE: u32 = (PAGE_SIZE * XIDS_PER_BYTE as usize) as u32;
const XIDS_PER_BYTE: u32 = 4;
/// Ids that share an LSN (`CLOG_XACTS_PER_LSN_GROUP`).
const XIDS_PER_LSN: u32 = 32;

/// What the log says of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It runs, or ended in a crash.
    InProgress = 0,
    /// It committed.
    Committed = 1,
    /// It aborted.
    Aborted = 2,
    /// Its fate is its parent's.
    SubCommitted = 3,
}

impl Status {
    fn of_bits(bits: u8) -> Status {
        match bits & 3 {
            0 => Status::InProgress,
            1 => Status::Committed,
            2 => Status::Aborted,
            _ => Status::SubCommitted,
        }
    }
}

/// The commit log.
#[derive(Debug)]
pub struct Clog {
    slru: Slru,
}

/// The page that an id's status is on.
pub fn page_of(xid: Xid) -> u64 {
    u64::from(xid.0 / XIDS_PER_PAGE)
}

fn byte_and_shift(xid: Xid) -> (usize, u32) {
    let within = xid.0 % XIDS_PER_PAGE;
    ((within / XIDS_PER_BYTE) as usize, within % XIDS_PER_BYTE * 2)
}

fn lsn_index(xid: Xid) -> usize {
    (xid.0 % XIDS_PER_PAGE / XIDS_PER_LSN) as usize
}

fn precedes(one: u64, other: u64) -> bool {
    core::page_precedes(one, other, u64::from(XIDS_PER_PAGE), 3)
}

impl Clog {
    /// The log of a data directory, with so many buffers.
    pub fn new(
        disk: Arc<dyn Disk>,
        data_directory: &Path,
        buffers: usize,
        log: Arc<dyn FlushLog>,
    ) -> Clog {
        let kind = Kind {
            directory: core::directory(data_directory, "pg_xact"),
            buffers,
            lsns_per_page: (XIDS_PER_PAGE / XIDS_PER_LSN) as usize,
            precedes,
            is_volatile: false,
        };
        Clog { slru: Slru::new(disk, kind, log) }
    }

    /// Its pages, for checkpoints.
    pub fn slru(&self) -> &Slru {
        &self.slru
    }

    /// An id's status, and the LSN up to which the log must be flushed before anybody else may rely on it
    /// (0 for none).
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub fn status(&self, xid: Xid) -> Result<(Status, Lsn), Error> {
        self.slru.read(page_of(xid), xid, |page, lsns| {
            let (byte, shift) = byte_and_shift(xid);
            (Status::of_bits(page[byte] >> shift), lsns[lsn_index(xid)])
        })
    }

    /// Sets how a transaction and its subtransactions ended. `lsn` is that of an asynchronous commit's record. With a
    /// `group`, sessions that come at once are served by the first of them.
    ///
    /// # Errors
    /// Where a page cannot be read or another cannot be written to make room. A commit that is in the log
    /// already must then end the engine.
    ///
    /// # Panics
    /// As above, where another session does the writing; and if a status would be changed that is final.
    pub fn set_tree(
        &self,
        group: Option<(&ClogGroup, &mut Backend)>,
        xid: Xid,
        subxids: &[Xid],
        status: XidStatus,
        lsn: Option<Lsn>,
    ) -> Result<(), Error> {
        let page = page_of(xid);
        if subxids.iter().all(|subxid| page_of(*subxid) == page) {
            if let Some((group, backend)) = group
                && subxids.len() <= MAX_GROUPED_SUBXIDS
                && let Some(update) = StatusUpdate::new(xid, subxids, status, lsn, page)
            {
                group.update(backend, self, update);
                return Ok(());
            }
            return set_on_page(
                &mut self.slru.lock(),
                page,
                Some(xid),
                subxids,
                status.into(),
                lsn,
            );
        }
        let elsewhere = || {
            let mut pages: Vec<u64> = subxids.iter().map(|subxid| page_of(*subxid)).collect();
            pages.sort_unstable();
            pages.dedup();
            pages.into_iter().filter(move |other| *other != page)
        };
        let on = |page: u64| -> Vec<Xid> {
            subxids.iter().copied().filter(|subxid| page_of(*subxid) == page).collect()
        };
        if status == XidStatus::Committed {
            for other in elsewhere() {
                let parts = on(other);
                let locked = &mut self.slru.lock();
                set_on_page(locked, other, None, &parts, Status::SubCommitted, lsn)?;
            }
        }
        set_on_page(&mut self.slru.lock(), page, Some(xid), &on(page), status.into(), lsn)?;
        for other in elsewhere() {
            set_on_page(&mut self.slru.lock(), other, None, &on(other), status.into(), lsn)?;
        }
        Ok(())
    }

    /// Makes the page of an id that is about to be given out, if it is the first one on it. Returns the page's
    /// number if it did: that is to be logged (`CLOG_ZEROPAGE`).
    ///
    /// # Errors
    /// Where another page cannot be written to make room.
    pub fn extend(&self, newest: Xid) -> Result<Option<u64>, Error> {
        // The first normal id is the first one after a wraparound.
        if !newest.0.is_multiple_of(XIDS_PER_PAGE) && newest.0 != 3 {
            return Ok(None);
        }
        let page = page_of(newest);
        self.slru.lock().zero(page)?;
        Ok(Some(page))
    }

    /// Makes a page again that the log says was made.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn redo_zero_page(&self, page: u64) -> Result<(), Error> {
        let mut locked = self.slru.lock();
        locked.zero(page)?;
        locked.write_page(page)
    }

    /// Says, before a log is replayed, that this was the next id at its beginning (`StartupCLOG`).
    pub fn set_next(&self, next: Xid) {
        self.slru.lock().set_latest(page_of(next));
    }

    /// Sets the log up when `next` is the next id: what lies behind it on its page may be of transactions that a crash
    /// undid, and is cleared (`TrimCLOG`).
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub fn start(&self, next: Xid) -> Result<(), Error> {
        let page = page_of(next);
        let mut locked = self.slru.lock();
        locked.set_latest(page);
        if next.0.is_multiple_of(XIDS_PER_PAGE) {
            // The page is not there before the id is given out.
            return Ok(());
        }
        let (byte, shift) = byte_and_shift(next);
        let (bytes, _) = locked.page_mut(page, next)?;
        bytes[byte] &= (1 << shift) - 1;
        bytes[byte + 1..].fill(0);
        Ok(())
    }

    /// Removes the files that have only ids before `oldest`. Returns how many. Before that it is to be logged
    /// (`CLOG_TRUNCATE`).
    ///
    /// # Errors
    /// As the operating system says.
    pub fn truncate(&self, oldest: Xid) -> Result<usize, Error> {
        self.slru.truncate(page_of(oldest))
    }
}

impl From<XidStatus> for Status {
    fn from(status: XidStatus) -> Status {
        match status {
            XidStatus::Committed => Status::Committed,
            XidStatus::Aborted => Status::Aborted,
        }
    }
}

/// Sets statuses that are all on one page. Children are committed as parts first, so that who looks without a lock,
/// as PostgreSQL allows, sees no child committed whose parent is not.
fn set_on_page(
    locked: &mut Locked<'_>,
    page: u64,
    xid: Option<Xid>,
    subxids: &[Xid],
    status: Status,
    lsn: Option<Lsn>,
) -> Result<(), Error> {
    let Some(first) = xid.or(subxids.first().copied()) else { return Ok(()) };
    let (bytes, lsns) = locked.page_mut(page, first)?;
    for one in xid.iter().chain(subxids) {
        debug_assert_eq!(page_of(*one), page);
        let (byte, shift) = byte_and_shift(*one);
        let before = Status::of_bits(bytes[byte] >> shift);
        let is_open = matches!(before, Status::InProgress | Status::SubCommitted);
        // A log that is replayed again says the same again.
        assert!(
            is_open || before == status || status == Status::SubCommitted,
            "transaction {one} is {before:?}, which is final, and shall become {status:?}"
        );
        if !is_open {
            continue;
        }
        bytes[byte] = bytes[byte] & !(3 << shift) | (status as u8) << shift;
        if let Some(lsn) = lsn {
            let kept = &mut lsns[lsn_index(*one)];
            *kept = lsn.max(*kept);
        }
    }
    Ok(())
}

impl StatusLog for Clog {
    type Locked<'a> = Locked<'a>;

    fn lock(&self) -> Locked<'_> {
        self.slru.lock()
    }

    fn try_lock(&self) -> Option<Locked<'_>> {
        self.slru.try_lock()
    }

    /// # Panics
    /// Where the page cannot be read: the transaction's end is in the log, and there is no way back.
    fn write(&self, locked: &mut Locked<'_>, update: &StatusUpdate) {
        let status = update.status.into();
        let set = set_on_page(
            locked,
            update.page,
            Some(update.xid),
            update.subxids(),
            status,
            update.lsn,
        );
        set.unwrap_or_else(|error| {
            panic!("the end of transaction {} is logged: {error}", update.xid)
        });
    }
}
