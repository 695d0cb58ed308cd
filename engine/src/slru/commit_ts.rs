//! `pg_commit_ts`: when each transaction committed, and at which replication origin.
//!
//! Entries of 10 bytes, 819 a page, as [`snapshot::commit_ts::format`] has them; a time of 0 is none. The table in
//! memory answers for recent ids; this is what it is stored to and loaded from.
//!
//! Invariant: an entry is written when the commit record is in the log; the checkpoint that follows makes it
//! durable, and replay of the record writes it again. Source: `access/transam/commit_ts.c`.

use std::path::Path;

use base::disk::Disk;
use base::sync::Arc;
use base::{FullXid, Xid};
use snapshot::commit_ts::CommitTimestamps;
use snapshot::commit_ts::format::{CommitTimestampEntry, ENTRIES_PER_PAGE, ENTRY_SIZE};

use super::core::{self, FlushLog, Kind, Slru};
use crate::Error;

/// The log of commit timestamps.
#[derive(Debug)]
pub struct CommitTsLog {
    slru: Slru,
}

/// The page that an id's entry is on.
pub fn page_of(xid: Xid) -> u64 {
    u64::from(xid.0) / ENTRIES_PER_PAGE
}

fn entry_of(xid: Xid) -> usize {
    (u64::from(xid.0) % ENTRIES_PER_PAGE) as usize
}

fn precedes(one: u64, other: u64) -> bool {
    core::page_precedes(one, other, ENTRIES_PER_PAGE, 3)
}

impl CommitTsLog {
    /// The log of a data directory, with so many buffers.
    pub fn new(
        disk: Arc<dyn Disk>,
        data_directory: &Path,
        buffers: usize,
        log: Arc<dyn FlushLog>,
    ) -> CommitTsLog {
        let kind = Kind {
            directory: core::directory(data_directory, "pg_commit_ts"),
            buffers,
            lsns_per_page: 0,
            precedes,
            is_volatile: false,
        };
        CommitTsLog { slru: Slru::new(disk, kind, log) }
    }

    /// Its pages, for checkpoints.
    pub fn slru(&self) -> &Slru {
        &self.slru
    }

    /// Sets the log up when `next` is the next id. A page that was never made, because the log was off, is made now
    /// (`ActivateCommitTs`).
    ///
    /// # Errors
    /// As the operating system says.
    pub fn start(&self, next: Xid) -> Result<(), Error> {
        let page = page_of(next);
        if self.slru.exists(page)? {
            self.slru.lock().set_latest(page);
            return Ok(());
        }
        let mut locked = self.slru.lock();
        locked.zero(page)?;
        locked.write_page(page)
    }

    /// Makes the page of an id that is about to be given out, if it is the first one on it. Returns the page's
    /// number if it did: that is to be logged (`COMMIT_TS_ZEROPAGE`).
    ///
    /// # Errors
    /// Where another page cannot be written to make room.
    pub fn extend(&self, newest: Xid) -> Result<Option<u64>, Error> {
        if entry_of(newest) != 0 && newest.0 != 3 {
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

    /// Writes the entry of a transaction and of its subtransactions.
    ///
    /// # Errors
    /// Where a page cannot be read.
    pub fn set_tree(
        &self,
        xid: Xid,
        subxids: &[Xid],
        entry: CommitTimestampEntry,
    ) -> Result<(), Error> {
        let mut locked = self.slru.lock();
        for one in std::iter::once(xid).chain(subxids.iter().copied()) {
            let (bytes, _) = locked.page_mut(page_of(one), one)?;
            bytes.as_chunks_mut::<ENTRY_SIZE>().0[entry_of(one)] = entry.to_bytes();
        }
        Ok(())
    }

    /// A transaction's entry; `None` if it has not committed, or did so when the log was off.
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub fn get(&self, xid: Xid) -> Result<Option<CommitTimestampEntry>, Error> {
        let entry = self.slru.read(page_of(xid), xid, |page, _| {
            CommitTimestampEntry::from_bytes(page.as_chunks::<ENTRY_SIZE>().0[entry_of(xid)])
        })?;
        Ok((entry.time.0 != 0).then_some(entry))
    }

    /// Puts what a table in memory has of the page of `xid` into the log, over what is there.
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub fn store(&self, table: &CommitTimestamps, xid: FullXid) -> Result<(), Error> {
        let mut locked = self.slru.lock();
        let (bytes, _) = locked.page_mut(page_of(xid.xid()), xid.xid())?;
        table.store_page(xid, bytes);
        Ok(())
    }

    /// Removes the files that have only ids before `oldest`. Returns how many. Before that it is to be logged
    /// (`COMMIT_TS_TRUNCATE`).
    ///
    /// # Errors
    /// As the operating system says.
    pub fn truncate(&self, oldest: Xid) -> Result<usize, Error> {
        self.slru.truncate(page_of(oldest))
    }
}
