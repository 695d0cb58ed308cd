//! `pg_subtrans`: the parent of each subtransaction, while it may run.
//!
//! Four bytes an xid, 2048 xids a page; 0 is no parent. Invariants: a parent's id is lower than its child's.
//! Nothing survives a crash, since nothing that runs does: pages are made again at a start, and no file is synced.
//! Source: `access/transam/subtrans.c`.

use std::path::Path;

use base::disk::Disk;
use base::sync::Arc;
use base::{PAGE_SIZE, Xid};

use super::core::{self, FlushLog, Kind, Slru};
use crate::Error;

/// Ids of a page (`SUBTRANS_XACTS_PER_PAGE`).
pub const XIDS_PER_PAGE: u32 = (PAGE_SIZE / ENTRY_SIZE) as u32;
const ENTRY_SIZE: usize = 4;

/// The parents of subtransactions.
#[derive(Debug)]
pub struct Subtrans {
    slru: Slru,
}

fn page_of(xid: Xid) -> u64 {
    u64::from(xid.0 / XIDS_PER_PAGE)
}

fn entry_of(xid: Xid) -> usize {
    (xid.0 % XIDS_PER_PAGE) as usize
}

fn precedes(one: u64, other: u64) -> bool {
    core::page_precedes(one, other, u64::from(XIDS_PER_PAGE), 3)
}

impl Subtrans {
    /// The log of a data directory, with so many buffers.
    pub fn new(
        disk: Arc<dyn Disk>,
        data_directory: &Path,
        buffers: usize,
        log: Arc<dyn FlushLog>,
    ) -> Subtrans {
        let kind = Kind {
            directory: core::directory(data_directory, "pg_subtrans"),
            buffers,
            lsns_per_page: 0,
            precedes,
            is_volatile: true,
        };
        Subtrans { slru: Slru::new(disk, kind, log) }
    }

    /// Its pages, for checkpoints.
    pub fn slru(&self) -> &Slru {
        &self.slru
    }

    /// Makes the pages of all that may run, from `oldest` on, when `next` is the next id (`StartupSUBTRANS`).
    ///
    /// # Errors
    /// Where a page cannot be written to make room.
    pub fn start(&self, oldest: Xid, next: Xid) -> Result<(), Error> {
        let pages = u64::from(u32::MAX / XIDS_PER_PAGE) + 1;
        let (mut page, last) = (page_of(oldest), page_of(next));
        let mut locked = self.slru.lock();
        loop {
            locked.zero(page)?;
            if page == last {
                return Ok(());
            }
            page = (page + 1) % pages;
        }
    }

    /// Makes the page of an id that is about to be given out, if it is the first one on it.
    ///
    /// # Errors
    /// Where another page cannot be written to make room.
    pub fn extend(&self, newest: Xid) -> Result<(), Error> {
        if !newest.0.is_multiple_of(XIDS_PER_PAGE) && newest.0 != 3 {
            return Ok(());
        }
        self.slru.lock().zero(page_of(newest))
    }

    /// Notes a child's parent.
    ///
    /// # Errors
    /// Where the page cannot be read.
    ///
    /// # Panics
    /// If the parent is not before the child, or the child has another parent.
    pub fn set_parent(&self, child: Xid, parent: Xid) -> Result<(), Error> {
        assert!(parent.precedes(child), "{parent} cannot be the parent of {child}");
        let mut locked = self.slru.lock();
        let (bytes, _) = locked.page_mut(page_of(child), child)?;
        let (entries, _) = bytes.as_chunks_mut::<ENTRY_SIZE>();
        let entry = &mut entries[entry_of(child)];
        let before = u32::from_le_bytes(*entry);
        assert!(
            before == 0 || before == parent.0,
            "the parent of {child} is {before}, not {parent}"
        );
        *entry = parent.0.to_le_bytes();
        Ok(())
    }

    /// A transaction's parent; `None` if it has none.
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub fn parent(&self, xid: Xid) -> Result<Option<Xid>, Error> {
        if !xid.is_normal() {
            return Ok(None);
        }
        let parent = self.slru.read(page_of(xid), xid, |page, _| {
            u32::from_le_bytes(page.as_chunks::<ENTRY_SIZE>().0[entry_of(xid)])
        })?;
        Ok((parent != 0).then_some(Xid(parent)))
    }

    /// The topmost ancestor that is not before `oldest`: nobody asks about older ones, and their pages may be
    /// gone (`SubTransGetTopmostTransaction`).
    ///
    /// # Errors
    /// Where a page cannot be read.
    ///
    /// # Panics
    /// If a parent is not before its child.
    pub fn topmost(&self, xid: Xid, oldest: Xid) -> Result<Xid, Error> {
        let mut topmost = xid;
        loop {
            if topmost.precedes(oldest) {
                return Ok(topmost);
            }
            let Some(parent) = self.parent(topmost)? else { return Ok(topmost) };
            assert!(parent.precedes(topmost), "{parent} is noted as the parent of {topmost}");
            if parent.precedes(oldest) {
                return Ok(topmost);
            }
            topmost = parent;
        }
    }

    /// Removes the files that have only ids before `oldest`. Returns how many.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn truncate(&self, oldest: Xid) -> Result<usize, Error> {
        // The page of the last id that is before it: `oldest` itself may be the next one, without a page.
        let last = Xid(oldest.0.wrapping_sub(1));
        self.slru.truncate(page_of(if last.is_normal() { last } else { oldest }))
    }
}
