//! Locking rows.
//!
//! ```text
//! look      someone's hold excludes it ─► stand in the version's queue, wait for his end, look again
//!           someone has updated it      ─► read committed: on to his version, and lock that
//! follow    the versions after it that a key-share lock is compatible with are locked as well
//! lock      under the exclusive lock: if the version is still as it was looked at, its xmax is changed; else look again
//! ```
//!
//! The queue of a version is a lock of the lock manager's that is held while somebody waits for the version's holders, so
//! that those who come first go first. Source: `heap_lock_tuple`, `heap_lock_updated_tuple_rec`, `heapam_tuple_lock`.
//!
//! Invariants: a version is locked by its `xmax`, and for as long as that transaction runs; nobody holds its queue after he
//! has what he waited for. No page is locked, and none pinned, while anybody is waited for; what a version names is looked up as
//! long as its page is pinned, so that vacuum does not cut it off meanwhile.

use base::page::LinePointer;
use base::sync::Arc;
use base::{HeapTupleHeader, Infomask, Infomask2, Tid, Xid};
use snapshot::satisfies::{UpdateVerdict, satisfies_dirty, satisfies_update};
use snapshot::{MultiXactMember, TransactionStatus, TupleStamp};

use super::Row;
use super::attempt::is_as_seen;
use super::modify::leads_to;
use super::page::{PinnedPage, heap_error, log_change, page_of, page_to_fill, read_header};
use super::row_xmax::{holders, is_only_locked, set_conflict, updater};
use crate::Error;
use crate::catalog::TableEntry;
use crate::heap::{RowLock, lock};
use crate::lock::{LockTag, WaitPolicy};
use crate::session::{Isolation, Session};
use crate::transaction::Transaction;
use crate::visibility_map::{ALL_FROZEN, MapPage};
use crate::xact::multixact::strength_of;

/// What locking a row came to.
#[derive(Debug, Clone)]
pub enum RowLocked {
    /// The version at that place is locked.
    Locked(Row),
    /// Somebody has updated the row and committed: its newest version is locked, and whether it is still wanted is to be
    /// looked at again.
    Updated(Row),
    /// Somebody holds it, and it was to be skipped then.
    Skipped,
    /// Somebody has taken it to another partition, and committed.
    Moved,
    /// Somebody has deleted it, or the command itself has changed it.
    Gone,
}

/// What locking one version came to.
pub(super) enum VersionLocked {
    Locked(Row),
    WouldBlock,
    /// It has a successor, there and by this transaction.
    Updated {
        header: HeapTupleHeader,
        by: Xid,
    },
    Deleted,
    /// It does not exist yet, or the command has changed it.
    NotThere,
}

/// The newest version of a row.
pub(super) enum Newest {
    /// Its place, and the line pointer that it hangs from, if that is not the one that the version before hangs from.
    At {
        tid: Tid,
        root: Option<Tid>,
    },
    /// Somebody is about to end it, and is not to be waited for.
    Held,
    /// It is another partition's.
    Moved,
    Gone,
}

/// A place in the queue of a version, given back when it is dropped by [`Session::leave_queue`].
#[derive(Debug, Default)]
pub(super) struct Queued(Option<(LockTag, RowLock)>);

/// A version as it was looked at.
pub(super) struct Version {
    pub(super) header: HeapTupleHeader,
    pub(super) row: Row,
}

impl<'e> Session<'e> {
    /// Stands in the queue of a version until it is at its head. `false` if it would have to wait, and is not to.
    pub(super) fn enter_queue(
        &mut self,
        queued: &mut Queued,
        table: &TableEntry,
        tid: Tid,
        strength: RowLock,
        policy: WaitPolicy,
    ) -> Result<bool, Error> {
        let tag = LockTag::Tuple { relation: table.oid, tid };
        if queued.0.is_some_and(|(held, _)| held == tag) {
            return Ok(true);
        }
        self.leave_queue(queued);
        let granted = self.lock(tag, strength.queue_mode(), policy)?;
        if granted {
            queued.0 = Some((tag, strength));
        }
        Ok(granted)
    }

    pub(super) fn leave_queue(&mut self, queued: &mut Queued) {
        if let Some((tag, strength)) = queued.0.take() {
            self.unlock(tag, strength.queue_mode());
        }
    }

    /// A version that is there, whoever sees it, on its page. A line pointer that redirects leads to it.
    pub(super) fn version(
        &self,
        table: &Arc<TableEntry>,
        tid: Tid,
    ) -> Result<Option<(PinnedPage<'e>, Version)>, Error> {
        if tid.block >= table.blocks(self.shared)? {
            return Ok(None);
        }
        let name = table.page_name(tid.block);
        let pinned = self.shared.storage.pool.get(name)?;
        let version = {
            let guard = pinned.read();
            let Some(page) = page_of(name, &guard)? else { return Ok(None) };
            let target = page.line_pointer(tid.offset).and_then(LinePointer::target);
            let tid = Tid { offset: target.unwrap_or(tid.offset), ..tid };
            let Some(tuple) = page.item(tid.offset) else { return Ok(None) };
            let header = read_header(name, tid.offset, tuple)?;
            Version { header, row: Row::new(tid, tuple, table) }
        };
        Ok(Some((pinned, version)))
    }
}

/// Whether the transaction holds the version strongly enough already; or a weaker one, as one of a set.
fn own_hold(
    header: &HeapTupleHeader,
    members: &[MultiXactMember],
    wanted: RowLock,
    status: &impl TransactionStatus<Error = Error>,
) -> (bool, bool) {
    let own = members.iter().filter(|member| status.own(member.xid));
    let is_set = header.infomask.contains(Infomask::XMAX_IS_MULTI);
    // A single xmax that ends the version holds it as one that locks it does not.
    let strongest = own.map(|member| strength_of(member.status)).max();
    match strongest {
        None => (false, false),
        Some(strongest) if strongest >= wanted => (true, false),
        Some(_) => (false, is_set),
    }
}

impl Transaction<'_, '_> {
    /// Locks a row, following it to its newest version under read committed.
    pub(crate) fn lock_row(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        strength: RowLock,
        policy: WaitPolicy,
    ) -> Result<RowLocked, Error> {
        let mut place = tid;
        loop {
            let mut queued = Queued::default();
            let locked = self.lock_version(table, place, strength, policy, true, &mut queued);
            self.session.leave_queue(&mut queued);
            match locked? {
                VersionLocked::Locked(row) if place == tid => return Ok(RowLocked::Locked(row)),
                VersionLocked::Locked(row) => return Ok(RowLocked::Updated(row)),
                VersionLocked::NotThere => return Ok(RowLocked::Gone),
                VersionLocked::WouldBlock if policy == WaitPolicy::NoWait => {
                    return Err(Error::RowLockNotAvailable { table: table.name.clone() });
                }
                VersionLocked::WouldBlock => return Ok(RowLocked::Skipped),
                VersionLocked::Updated { .. } | VersionLocked::Deleted
                    if self.isolation == Isolation::RepeatableRead =>
                {
                    let table = table.name.clone();
                    return Err(Error::Serialization { table, tid, how: "update" });
                }
                VersionLocked::Updated { header, .. } if header.moved_to_another_partition() => {
                    return Ok(RowLocked::Moved);
                }
                VersionLocked::Updated { header, by } => {
                    match self.newest(table, &header, by, policy)? {
                        Newest::At { tid: newest, .. } => place = newest,
                        Newest::Held => return Ok(RowLocked::Skipped),
                        Newest::Moved => return Ok(RowLocked::Moved),
                        Newest::Gone => return Ok(RowLocked::Gone),
                    }
                }
                VersionLocked::Deleted => return Ok(RowLocked::Gone),
            }
        }
    }

    /// The newest version of a row, one of whose versions was updated; whoever is about to end it is waited for.
    pub(super) fn newest(
        &mut self,
        table: &Arc<TableEntry>,
        before: &HeapTupleHeader,
        by: Xid,
        policy: WaitPolicy,
    ) -> Result<Newest, Error> {
        let (mut tid, mut prior, mut root) = (before.ctid, by, leads_to(before));
        loop {
            self.session.check_cancelled()?;
            let Some((pinned, Version { header, .. })) = self.session.version(table, tid)? else {
                return Ok(Newest::Gone);
            };
            if header.xmin != prior {
                return Ok(Newest::Gone);
            }
            let (dirty, ender) = {
                let status = self.session.status();
                let stamp = TupleStamp::new(&header, tid);
                (satisfies_dirty(&stamp, &status)?.verdict, updater(&header, &status)?)
            };
            drop(pinned);
            if dirty.visible && !dirty.xmax.is_normal() {
                return Ok(Newest::At { tid, root });
            }
            if dirty.visible {
                if self.session.wait_for(dirty.xmax, policy)? {
                    continue;
                }
                return match policy {
                    WaitPolicy::NoWait => {
                        Err(Error::RowLockNotAvailable { table: table.name.clone() })
                    }
                    WaitPolicy::Wait | WaitPolicy::SkipLocked => Ok(Newest::Held),
                };
            }
            if header.ctid == tid || header.infomask.contains(Infomask::XMAX_INVALID) {
                return Ok(Newest::Gone);
            }
            if header.moved_to_another_partition() {
                return Ok(Newest::Moved);
            }
            (tid, prior, root) = (header.ctid, ender, leads_to(&header).or(root));
        }
    }

    /// Locks the version at a place. `follows` says that versions after it, by those who still run, are locked as well.
    pub(super) fn lock_version(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        strength: RowLock,
        policy: WaitPolicy,
        follows: bool,
        queued: &mut Queued,
    ) -> Result<VersionLocked, Error> {
        let xid = self.assign_xid()?;
        let (mut is_first, mut skips_queue) = (true, false);
        // What was waited for, if it is to be looked at once more before all else.
        let mut waited: Option<HeapTupleHeader> = None;
        loop {
            self.session.check_cancelled()?;
            let Some((pinned, Version { header, row })) = self.session.version(table, tid)? else {
                return Ok(VersionLocked::NotThere);
            };
            let tid = row.tid();
            let (verdict, members) = {
                let status = self.session.status();
                let judged =
                    satisfies_update(&TupleStamp::new(&header, tid), self.command, &status)?;
                (judged.verdict, holders(&header, &status)?)
            };
            let bits = header.infomask;
            let only_locks = bits.xmax_locked_only();
            let is_set = bits.contains(Infomask::XMAX_IS_MULTI);
            let mut seen = header;
            match verdict {
                UpdateVerdict::Invisible | UpdateVerdict::SelfModified => {
                    return Ok(VersionLocked::NotThere);
                }
                UpdateVerdict::Ok => seen.infomask |= Infomask::XMAX_INVALID,
                _ if waited.is_some_and(|waited| has_same_xmax(&waited, &header)) => {
                    // Whoever was in the way has ended: what is left decides.
                    if !is_only_locked(&header, &self.session.status())? {
                        return self.ended(&header, tid);
                    }
                }
                verdict => {
                    let changed = verdict != UpdateVerdict::BeingModified;
                    if std::mem::take(&mut is_first) {
                        let status = self.session.status();
                        let (holds, is_member) = own_hold(&header, &members, strength, &status);
                        if holds {
                            return Ok(VersionLocked::Locked(row));
                        }
                        skips_queue = is_member;
                    }
                    let goes_together = match strength {
                        RowLock::KeyShare => !header.infomask2.contains(Infomask2::KEYS_UPDATED),
                        RowLock::Share => {
                            only_locks
                                && members.iter().all(|member| {
                                    !strength_of(member.status).excludes(RowLock::Share)
                                })
                        }
                        RowLock::NoKeyUpdate if is_set => {
                            !set_conflict(&members, strength, &self.session.status())?.excludes
                        }
                        RowLock::NoKeyUpdate => {
                            bits.intersection(Infomask::LOCK_MASK) == Infomask::XMAX_KEYSHR_LOCK
                        }
                        RowLock::Update => false,
                    };
                    let is_own = !is_set && self.session.ids.contains(header.xmax);
                    let leads_on = follows && !only_locks && header.ctid != tid;
                    if goes_together && strength == RowLock::KeyShare && leads_on {
                        let by = updater(&header, &self.session.status())?;
                        drop(pinned);
                        if let Some(stopped) = self.lock_later(table, header.ctid, by, strength)? {
                            return Ok(stopped);
                        }
                    } else if !goes_together && !is_own {
                        if changed {
                            return self.ended(&header, tid);
                        }
                        let by = updater(&header, &self.session.status())?;
                        drop(pinned);
                        let session = &mut *self.session;
                        if !skips_queue
                            && !session.enter_queue(queued, table, tid, strength, policy)?
                        {
                            return Ok(VersionLocked::WouldBlock);
                        }
                        let ended = if is_set {
                            session.wait_for_members(&members, strength, policy)?
                        } else {
                            session.wait_for(header.xmax, policy)?
                        };
                        if !ended {
                            return Ok(VersionLocked::WouldBlock);
                        }
                        if leads_on {
                            let stopped = self.lock_later(table, header.ctid, by, strength)?;
                            if let Some(stopped) = stopped {
                                return Ok(stopped);
                            }
                        }
                        waited = Some(header);
                        continue;
                    }
                }
            }
            waited = None;
            if self.put_lock(table, tid, &header, &seen, xid, strength, false)? {
                return Ok(VersionLocked::Locked(row));
            }
        }
    }

    fn ended(&self, header: &HeapTupleHeader, tid: Tid) -> Result<VersionLocked, Error> {
        if header.ctid == tid {
            return Ok(VersionLocked::Deleted);
        }
        let by = updater(header, &self.session.status())?;
        Ok(VersionLocked::Updated { header: *header, by })
    }

    /// Locks the versions of a row from one on, as far as they go together with the lock; those that do not are waited for.
    /// What ends the way, if it is not the last version.
    fn lock_later(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        by: Xid,
        strength: RowLock,
    ) -> Result<Option<VersionLocked>, Error> {
        let xid = self.assign_xid()?;
        let (mut tid, mut prior) = (tid, by);
        loop {
            self.session.check_cancelled()?;
            let Some((pinned, Version { header, .. })) = self.session.version(table, tid)? else {
                return Ok(None);
            };
            let status = self.session.status();
            let is_aborted = !header.infomask.xmin_committed()
                && !status.is_in_progress(header.xmin)?
                && !status.did_commit(header.xmin)?;
            if header.xmin != prior || is_aborted {
                return Ok(None);
            }
            let mut is_own = false;
            let mut in_the_way = None;
            for member in holders(&header, &status)? {
                let excludes = strength_of(member.status).excludes(strength);
                if status.own(member.xid) {
                    is_own = true;
                    break;
                }
                if excludes && status.is_in_progress(member.xid)? {
                    in_the_way = Some(member.xid);
                    break;
                }
                if excludes && member.status.is_update() && status.did_commit(member.xid)? {
                    return self.ended(&header, tid).map(Some);
                }
            }
            if let Some(holder) = in_the_way {
                drop(pinned);
                self.session.wait_for(holder, WaitPolicy::Wait)?;
                continue;
            }
            if !is_own && !self.put_lock(table, tid, &header, &header, xid, strength, true)? {
                continue;
            }
            let status = self.session.status();
            if header.ctid == tid || is_only_locked(&header, &status)? {
                return Ok(None);
            }
            (prior, tid) = (updater(&header, &status)?, header.ctid);
        }
    }

    /// Changes a version's `xmax`, if it is still what was looked at; whether it was. `seen` is the same with what has been
    /// found out about it.
    #[expect(clippy::too_many_arguments, reason = "what one change is made of")]
    fn put_lock(
        &mut self,
        table: &TableEntry,
        tid: Tid,
        header: &HeapTupleHeader,
        seen: &HeapTupleHeader,
        xid: Xid,
        strength: RowLock,
        is_later: bool,
    ) -> Result<bool, Error> {
        let session = &mut *self.session;
        let name = table.page_name(tid.block);
        let pinned = session.shared.storage.pool.get(name)?;
        // What it names is there as long as it is what was looked at, and the page is pinned.
        if !is_as_seen(name, pinned.read().page(), tid, header)? {
            return Ok(false);
        }
        let new = session.new_xmax(seen, xid, strength, false)?;
        let mut guard = pinned.write();
        if !is_as_seen(name, guard.page(), tid, header)? {
            return Ok(false);
        }
        let map = MapPage::to_clear(session.shared, name, &guard)?;
        let (inserter, change) = (&mut session.inserter, &mut session.change);
        let mut page = page_to_fill(name, &mut guard)?;
        // The page stays visible to all, but has something to be frozen.
        let clears = map.is_some_and(|map| map.clear(name.block, ALL_FROZEN));
        let locked = match is_later {
            true => lock::lock_updated(&mut page, tid, new, clears, change),
            false => lock::lock(&mut page, tid, new, clears, change),
        };
        locked.map_err(heap_error(name))?;
        log_change(session.shared, inserter, xid, change, &mut [(name, &mut guard)])?;
        Ok(true)
    }
}

/// Whether two looks at a version found the same holder (`xmax_infomask_changed`).
pub(super) fn has_same_xmax(one: &HeapTupleHeader, other: &HeapTupleHeader) -> bool {
    let mask = Infomask::XMAX_IS_MULTI | Infomask::XMAX_LOCK_ONLY | Infomask::LOCK_MASK;
    one.xmax == other.xmax && one.infomask & mask == other.infomask & mask
}
