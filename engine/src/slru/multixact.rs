//! `pg_multixact`: the transactions that hold one row together.
//!
//! ```text
//! offsets   multixact id ─► position of its first member     4 bytes, 2048 a page
//! members   position ─► one byte of status, one xid          in groups of four:
//!
//!           | s0 s1 s2 s3 | xid0 | xid1 | xid2 | xid3 |      20 bytes, 409 groups a page, 12 bytes unused
//! ```
//!
//! Invariants: ids and positions are given out in order, so a set ends where the next one begins; the newest one
//! ends at the next position. Position 0 stands for "not written yet" and no set begins there. Positions wrap around
//! over 0. Source: `access/transam/multixact.c`.

use std::io;
use std::path::Path;

use base::disk::Disk;
use base::sync::Arc;
use base::{MultiXactId, PAGE_SIZE, Xid};

use super::core::{self, FlushLog, Kind, Slru};
use crate::Error;

const OFFSETS_PER_PAGE: u32 = (PAGE_SIZE / 4) as u32;
const MEMBERS_PER_GROUP: u32 = 4;
const GROUP_SIZE: usize = 20;
const GROUPS_PER_PAGE: u32 = (PAGE_SIZE / GROUP_SIZE) as u32;
/// Members of a page (`MULTIXACT_MEMBERS_PER_PAGE`).
pub const MEMBERS_PER_PAGE: u32 = GROUPS_PER_PAGE * MEMBERS_PER_GROUP;
const _: () = assert!(MEMBERS_PER_PAGE == 1636);

/// A member of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The transaction.
    pub xid: Xid,
    /// How it holds the row (`MultiXactStatus`, 0 to 5).
    pub status: u8,
}

/// The sets and their members.
#[derive(Debug)]
pub struct MultiXactLog {
    offsets: Slru,
    members: Slru,
}

/// Whether a set is older than another: their ids wrap around (`MultiXactIdPrecedes`).
pub fn precedes(one: MultiXactId, other: MultiXactId) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}

fn offsets_precede(one: u64, other: u64) -> bool {
    core::page_precedes(one, other, u64::from(OFFSETS_PER_PAGE), 1)
}

/// Positions are all given out: the first one is on page 0.
fn members_precede(one: u64, other: u64) -> bool {
    let start = |page: u64| (page * u64::from(MEMBERS_PER_PAGE)) as u32;
    let is_before = |one: u32, other: u32| (one.wrapping_sub(other) as i32) < 0;
    is_before(start(one), start(other))
        && is_before(start(one), start(other).wrapping_add(MEMBERS_PER_PAGE - 1))
}

fn offset_page(multi: MultiXactId) -> u64 {
    u64::from(multi / OFFSETS_PER_PAGE)
}

fn offset_entry(multi: MultiXactId) -> usize {
    (multi % OFFSETS_PER_PAGE) as usize
}

fn member_page(position: u32) -> u64 {
    u64::from(position / MEMBERS_PER_PAGE)
}

/// Where a member's status and xid lie on its page.
fn member_places(position: u32) -> (usize, usize) {
    let group = (position / MEMBERS_PER_GROUP % GROUPS_PER_PAGE) as usize * GROUP_SIZE;
    let within = (position % MEMBERS_PER_GROUP) as usize;
    (group + within, group + MEMBERS_PER_GROUP as usize + within * 4)
}

impl MultiXactLog {
    /// The log of a data directory, with so many buffers for each half.
    pub fn new(
        disk: Arc<dyn Disk>,
        data_directory: &Path,
        buffers: usize,
        log: Arc<dyn FlushLog>,
    ) -> MultiXactLog {
        let half = |name: &str, precedes| {
            let directory = core::directory(data_directory, "pg_multixact").join(name);
            let kind = Kind { directory, buffers, lsns_per_page: 0, precedes, is_volatile: false };
            Slru::new(Arc::clone(&disk), kind, Arc::clone(&log))
        };
        MultiXactLog {
            offsets: half("offsets", offsets_precede),
            members: half("members", members_precede),
        }
    }

    /// Both halves, for checkpoints.
    pub fn slrus(&self) -> [&Slru; 2] {
        [&self.offsets, &self.members]
    }

    /// Says, before a log is replayed, that these were the next id and position at its beginning
    /// (`StartupMultiXact`).
    pub fn set_next(&self, next_multi: MultiXactId, next_position: u32) {
        self.offsets.lock().set_latest(offset_page(next_multi));
        self.members.lock().set_latest(member_page(next_position));
    }

    /// Sets the log up when these are the next id and position: what lies behind them on their pages may be of sets
    /// that a crash undid, and is cleared (`TrimMultiXact`).
    ///
    /// # Errors
    /// Where a page cannot be read.
    pub fn start(&self, next_multi: MultiXactId, next_position: u32) -> Result<(), Error> {
        let mut offsets = self.offsets.lock();
        offsets.set_latest(offset_page(next_multi));
        if offset_entry(next_multi) != 0 {
            let (bytes, _) = offsets.page_mut(offset_page(next_multi), Xid(next_multi))?;
            bytes[offset_entry(next_multi) * 4..].fill(0);
        }
        drop(offsets);
        let mut members = self.members.lock();
        members.set_latest(member_page(next_position));
        if !next_position.is_multiple_of(MEMBERS_PER_PAGE) {
            let (bytes, _) = members.page_mut(member_page(next_position), Xid::INVALID)?;
            let (_, xid) = member_places(next_position);
            // As PostgreSQL: xids alone, of this group and all behind it; a status without an xid means nothing.
            bytes[xid..].fill(0);
        }
        Ok(())
    }

    /// Makes the page of offsets of an id that is about to be given out, if it is the first one on it. Returns the
    /// page's number if it did: that is to be logged (`MULTIXACT_ZERO_OFF_PAGE`).
    ///
    /// # Errors
    /// Where another page cannot be written to make room.
    pub fn extend_offsets(&self, multi: MultiXactId) -> Result<Option<u64>, Error> {
        if offset_entry(multi) != 0 && multi != 1 {
            return Ok(None);
        }
        self.offsets.lock().zero(offset_page(multi))?;
        Ok(Some(offset_page(multi)))
    }

    /// Makes the pages of members that begin within these positions. Returns their numbers: they are to be logged
    /// (`MULTIXACT_ZERO_MEM_PAGE`).
    ///
    /// # Errors
    /// Where another page cannot be written to make room.
    pub fn extend_members(&self, first: u32, count: u32) -> Result<Vec<u64>, Error> {
        let mut made = Vec::new();
        let mut done = 0;
        while done < count {
            let position = first.wrapping_add(done);
            let within = position % MEMBERS_PER_PAGE;
            if within == 0 {
                self.members.lock().zero(member_page(position))?;
                made.push(member_page(position));
            }
            // The last page of the address space is a short one.
            let left_on_page =
                (MEMBERS_PER_PAGE - within).min((u32::MAX - position).saturating_add(1).max(1));
            done = done.saturating_add(left_on_page);
        }
        Ok(made)
    }

    /// Makes a page again that the log says was made: of offsets or of members.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn redo_zero_page(&self, of_members: bool, page: u64) -> Result<(), Error> {
        let slru = if of_members { &self.members } else { &self.offsets };
        let mut locked = slru.lock();
        locked.zero(page)?;
        locked.write_page(page)
    }

    /// Writes a set: its members first, then where they begin (`RecordNewMultiXact`).
    ///
    /// # Errors
    /// Where a page cannot be read.
    ///
    /// # Panics
    /// If the set begins at position 0, or a status is none.
    pub fn set(&self, multi: MultiXactId, first: u32, members: &[Member]) -> Result<(), Error> {
        assert!(first != 0, "no set begins at position 0");
        let mut locked = self.members.lock();
        for (at, member) in members.iter().enumerate() {
            assert!(member.status <= 5, "status {} of a member", member.status);
            let position = first.wrapping_add(at as u32);
            let (bytes, _) = locked.page_mut(member_page(position), member.xid)?;
            let (status, xid) = member_places(position);
            bytes[status] = member.status;
            bytes[xid..xid + 4].copy_from_slice(&member.xid.0.to_le_bytes());
        }
        drop(locked);
        let mut locked = self.offsets.lock();
        let (bytes, _) = locked.page_mut(offset_page(multi), Xid(multi))?;
        bytes.as_chunks_mut::<4>().0[offset_entry(multi)] = first.to_le_bytes();
        Ok(())
    }

    /// The members of a set; `next_multi` and `next_position` are what will be given out next. `None` if the set,
    /// or the one behind it, is being written at the moment: ask again.
    ///
    /// # Errors
    /// Where a page cannot be read.
    pub fn members(
        &self,
        multi: MultiXactId,
        next_multi: MultiXactId,
        next_position: u32,
    ) -> Result<Option<Vec<Member>>, Error> {
        let first = self.offset(multi)?;
        // Id 0 is none: 1 follows the last one.
        let following = multi.wrapping_add(1).max(1);
        let end = if following == next_multi { next_position } else { self.offset(following)? };
        if first == 0 || end == 0 {
            return Ok(None);
        }
        let mut members = Vec::new();
        for at in 0..end.wrapping_sub(first) {
            let position = first.wrapping_add(at);
            let member = self.members.read(member_page(position), Xid(multi), |page, _| {
                let (status, xid) = member_places(position);
                let xid = [page[xid], page[xid + 1], page[xid + 2], page[xid + 3]];
                Member { xid: Xid(u32::from_le_bytes(xid)), status: page[status] }
            })?;
            // Position 0 is skipped where positions wrap around, and has no member.
            if member.xid != Xid::INVALID {
                members.push(member);
            }
        }
        Ok(Some(members))
    }

    /// Where the members of a set begin; `None` if it is not there (`find_multixact_start`).
    ///
    /// # Errors
    /// Where its page cannot be read.
    pub fn start_of(&self, multi: MultiXactId) -> Result<Option<u32>, Error> {
        match self.offset(multi) {
            Ok(position) => Ok((position != 0).then_some(position)),
            Err(Error::MissingPage { .. }) => Ok(None),
            Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn offset(&self, multi: MultiXactId) -> Result<u32, Error> {
        self.offsets.read(offset_page(multi), Xid(multi), |page, _| {
            u32::from_le_bytes(page.as_chunks::<4>().0[offset_entry(multi)])
        })
    }

    /// Removes the files that have only sets before `oldest`, and only members from position `first` up to `end`, where those
    /// of `oldest` begin. Returns how many. Before that it is to be logged (`MULTIXACT_TRUNCATE_ID`).
    ///
    /// # Errors
    /// As the operating system says.
    pub fn truncate(&self, oldest: MultiXactId, first: u32, end: u32) -> Result<usize, Error> {
        // Members that are in use may be more than half of all positions: they have no order.
        let pages = [first, end, u32::MAX].map(member_page);
        let members = self.members.remove_range(pages[0], pages[1], pages[2])?;
        // The page of the last one that is before it: `oldest` may be the next one, without a page.
        let last = oldest.wrapping_sub(1);
        Ok(members + self.offsets.truncate(offset_page(if last == 0 { oldest } else { last }))?)
    }
}
