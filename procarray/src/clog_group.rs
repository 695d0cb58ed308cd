//! The group update of commit status: who finds the commit log's lock taken has its status written by the
//! first of those who wait (`TransactionGroupUpdateXidStatus`). A component: the log itself is the
//! caller's, behind [`StatusLog`].
//!
//! The protocol and its fences are [`crate::group`]'s, its key is the page of the log. A transaction takes
//! part only with few subtransactions, all on its own page: what a leader does for others must be
//! short. Whoever finds another page's group waiting takes the lock alone, which is rare.
//!
//! A group can hold several pages all the same: the member whose page was looked at may have been released
//! and have joined again for another. So each update is written to its own page.
//!
//! Invariants: when [`ClogGroup::update`] comes back, the status is written, once; the lock is held
//! during each write and never while sleeping.

use base::{Lsn, Xid, variant};

use crate::array::ProcArray;
use crate::backend::Backend;
use crate::group::{Group, Joined};

/// The most subtransactions of a member (`THRESHOLD_SUBTRANS_CLOG_OPT`).
pub const MAX_GROUPED_SUBXIDS: usize = 5;

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XidStatus {
    /// It committed.
    Committed,
    /// It aborted.
    Aborted,
}

/// One transaction's status, with its subtransactions', all on one page of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusUpdate {
    /// The transaction.
    pub xid: Xid,
    /// How it ended.
    pub status: XidStatus,
    /// The commit record of an asynchronous commit, which the page must not reach the disk before.
    pub lsn: Option<Lsn>,
    /// The page of the log that it is on.
    pub page: u64,
    subxids: [Xid; MAX_GROUPED_SUBXIDS],
    subxid_count: u8,
}

impl StatusUpdate {
    /// An update, unless there are more than [`MAX_GROUPED_SUBXIDS`] subtransactions. All ids are on
    /// `page`.
    pub fn new(
        xid: Xid,
        subxids: &[Xid],
        status: XidStatus,
        lsn: Option<Lsn>,
        page: u64,
    ) -> Option<StatusUpdate> {
        let mut held = [Xid::INVALID; MAX_GROUPED_SUBXIDS];
        held.get_mut(..subxids.len())?.copy_from_slice(subxids);
        Some(StatusUpdate {
            xid,
            status,
            lsn,
            page,
            subxids: held,
            subxid_count: subxids.len() as u8,
        })
    }

    /// The subtransactions.
    pub fn subxids(&self) -> &[Xid] {
        &self.subxids[..usize::from(self.subxid_count)]
    }
}

/// The commit log, as far as a group needs it.
pub trait StatusLog {
    /// The log under its lock.
    type Locked<'a>
    where
        Self: 'a;

    /// Takes the lock.
    fn lock(&self) -> Self::Locked<'_>;

    /// Takes the lock if it is free at once.
    fn try_lock(&self) -> Option<Self::Locked<'_>>;

    /// Writes one update.
    fn write(&self, locked: &mut Self::Locked<'_>, update: &StatusUpdate);
}

/// Who did the writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// The caller, who had the lock to itself.
    Alone,
    /// The caller, as the leader of so many, itself included.
    AsLeader(u32),
    /// Another, the caller's leader.
    ByLeader,
}

/// Groups of status updates among the sessions of one process array.
pub struct ClogGroup {
    group: Group<StatusUpdate>,
}

impl ClogGroup {
    /// For the sessions of this array.
    pub fn new(array: &ProcArray) -> ClogGroup {
        ClogGroup { group: Group::new(array.clear_group.semaphores().clone()) }
    }

    /// How many sessions wait for a leader at the moment, or lead.
    pub fn waiting(&self) -> usize {
        self.group.waiting()
    }

    /// Writes a status, or has it written.
    ///
    /// # Panics
    ///
    /// If the session is of another array, or the group's leader died.
    pub fn update<L: StatusLog>(
        &self,
        backend: &mut Backend,
        log: &L,
        update: StatusUpdate,
    ) -> Written {
        if let Some(mut locked) = log.try_lock() {
            log.write(&mut locked, &update);
            return Written::Alone;
        }
        self.update_grouped(backend, log, update)
    }

    /// The same for who knows that the lock is taken.
    pub fn update_grouped<L: StatusLog>(
        &self,
        backend: &mut Backend,
        log: &L,
        update: StatusUpdate,
    ) -> Written {
        let (array, seat) = backend.seat();
        assert!(
            base::sync::Arc::ptr_eq(array.clear_group.semaphores(), self.group.semaphores()),
            "a session of the array that the group is for"
        );
        let mut page_of_first = None;
        let joined = self.group.join(
            seat,
            Some(update.page),
            update,
            || log.lock(),
            |locked, _, update| {
                let page = *page_of_first.get_or_insert(update.page);
                if variant!("clog.page-of-the-first") {
                    log.write(locked, &StatusUpdate { page, ..*update });
                } else {
                    log.write(locked, update);
                }
            },
        );
        match joined {
            Joined::Led { members } => Written::AsLeader(members),
            Joined::Followed => Written::ByLeader,
            Joined::Refused => {
                log.write(&mut log.lock(), &update);
                Written::Alone
            }
        }
    }
}
