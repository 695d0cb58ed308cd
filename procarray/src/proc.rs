//! One slot of the process array: what a running transaction shows to the others (`PGPROC`).
//!
//! Who may touch what, when:
//!
//! | field | written by | under | read by |
//! |---|---|---|---|
//! | `xid`, `subxids`, `subxid_state` growing | the owner | the xid generator's lock | anyone under the array's lock, see [`crate::subxids`] |
//! | `xid`, `subxids`, `subxid_state` shrinking | the owner, or a group's leader for it | the array's lock, exclusively | the same |
//! | `xmin` | the owner, or a group's leader for it | shared to set it from a snapshot; none to clear it | horizons, under the shared lock |
//! | `status` | the owner, or a group's leader for it | the array's lock, exclusively | anyone under the array's lock |
//! | `offset` | whoever adds or removes a slot | both locks | anyone under either lock |
//! | `database`, `prepared_at` | who fills the slot | before it is added | anyone under the array's lock |
//!
//! `xid`, `subxid_state` and `status` are mirrored in the dense arrays at `offset` while the slot is in
//! the array; both copies change together.
//!
//! Invariant: a slot that is not in the array has no xid, unless it is a prepared transaction's about to
//! be added.

use std::fmt;

use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64};
use base::{FullXid, Oid, TimestampTz};

/// How many subtransaction ids a slot holds before it overflows (`PGPROC_MAX_CACHED_SUBXIDS`).
#[cfg(not(any(loom, shuttle)))]
pub const MAX_CACHED_SUBXIDS: usize = 64;
/// How many subtransaction ids a slot holds: few, for the model checker's sake.
#[cfg(any(loom, shuttle))]
pub const MAX_CACHED_SUBXIDS: usize = 2;

/// The number of a slot (`pgprocno`): fixed as long as the array lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcNumber(pub u32);

impl ProcNumber {
    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ProcNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ProcNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcNumber({})", self.0)
    }
}

/// What a session is doing that changes how others count it (`PROC_*` in PostgreSQL's `proc.h`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StatusFlags(pub u8);

impl StatusFlags {
    /// An autovacuum worker.
    pub const IS_AUTOVACUUM: StatusFlags = StatusFlags(0x01);
    /// A lazy vacuum: sees no row by its xid, so that its xmin holds back the subtransaction log alone.
    pub const IN_VACUUM: StatusFlags = StatusFlags(0x02);
    /// A concurrent index build without an expression or a predicate.
    pub const IN_SAFE_INDEX_BUILD: StatusFlags = StatusFlags(0x04);
    /// A vacuum against wraparound.
    pub const VACUUM_FOR_WRAPAROUND: StatusFlags = StatusFlags(0x08);
    /// Logical decoding: its replication slot holds the horizons back, its xmin does not.
    pub const IN_LOGICAL_DECODING: StatusFlags = StatusFlags(0x10);
    /// Standby feedback: its xmin counts in every database.
    pub const AFFECTS_ALL_HORIZONS: StatusFlags = StatusFlags(0x20);
    /// What ends with a transaction (`PROC_VACUUM_STATE_MASK`).
    pub const ENDS_WITH_TRANSACTION: StatusFlags = StatusFlags(0x02 | 0x04 | 0x08);
    /// Whom neither a snapshot nor a horizon for rows takes into account.
    pub const NOT_IN_SNAPSHOTS: StatusFlags = StatusFlags(0x02 | 0x10);

    /// Whether any flag of `flags` is set.
    #[inline]
    pub const fn any_of(self, flags: StatusFlags) -> bool {
        self.0 & flags.0 != 0
    }

    /// These flags and those.
    #[inline]
    #[must_use]
    pub const fn with(self, flags: StatusFlags) -> StatusFlags {
        StatusFlags(self.0 | flags.0)
    }

    /// These flags without those.
    #[inline]
    #[must_use]
    pub const fn without(self, flags: StatusFlags) -> StatusFlags {
        StatusFlags(self.0 & !flags.0)
    }
}

/// What [`Proc::offset`] holds while the slot is not in the array.
pub(crate) const NOT_IN_ARRAY: u32 = u32::MAX;

const NOT_PREPARED: i64 = i64::MIN;

#[derive(Debug)]
pub(crate) struct Proc {
    xid: AtomicU64,
    xmin: AtomicU64,
    offset: AtomicU32,
    database: AtomicU32,
    prepared_at: AtomicI64,
    status: AtomicU8,
    /// [`crate::subxids::SubxidState`] as one word.
    pub(crate) subxid_state: AtomicU32,
    pub(crate) subxids: Box<[AtomicU32]>,
}

impl Proc {
    pub(crate) fn new() -> Proc {
        Proc {
            xid: AtomicU64::new(0),
            xmin: AtomicU64::new(0),
            offset: AtomicU32::new(NOT_IN_ARRAY),
            database: AtomicU32::new(0),
            prepared_at: AtomicI64::new(NOT_PREPARED),
            status: AtomicU8::new(0),
            subxid_state: AtomicU32::new(0),
            subxids: (0..MAX_CACHED_SUBXIDS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    #[inline]
    pub(crate) fn xid(&self) -> Option<FullXid> {
        some(self.xid.load(Relaxed))
    }

    #[inline]
    pub(crate) fn set_xid(&self, xid: Option<FullXid>) {
        self.xid.store(xid.map_or(0, |xid| xid.0), Relaxed);
    }

    #[inline]
    pub(crate) fn xmin(&self) -> Option<FullXid> {
        some(self.xmin.load(Relaxed))
    }

    #[inline]
    pub(crate) fn set_xmin(&self, xmin: Option<FullXid>) {
        self.xmin.store(xmin.map_or(0, |xmin| xmin.0), Relaxed);
    }

    #[inline]
    pub(crate) fn offset(&self) -> Option<usize> {
        match self.offset.load(Relaxed) {
            NOT_IN_ARRAY => None,
            offset => Some(offset as usize),
        }
    }

    #[inline]
    pub(crate) fn set_offset(&self, offset: Option<usize>) {
        self.offset.store(offset.map_or(NOT_IN_ARRAY, |offset| offset as u32), Relaxed);
    }

    #[inline]
    pub(crate) fn status(&self) -> StatusFlags {
        StatusFlags(self.status.load(Relaxed))
    }

    #[inline]
    pub(crate) fn set_status(&self, status: StatusFlags) {
        self.status.store(status.0, Relaxed);
    }

    #[inline]
    pub(crate) fn database(&self) -> Oid {
        self.database.load(Relaxed)
    }

    pub(crate) fn set_database(&self, database: Oid) {
        self.database.store(database, Relaxed);
    }

    /// When the transaction was prepared; `None` for a session's slot.
    #[inline]
    pub(crate) fn prepared_at(&self) -> Option<TimestampTz> {
        match self.prepared_at.load(Relaxed) {
            NOT_PREPARED => None,
            at => Some(TimestampTz(at)),
        }
    }

    pub(crate) fn set_prepared_at(&self, at: Option<TimestampTz>) {
        self.prepared_at.store(at.map_or(NOT_PREPARED, |at| at.0), Relaxed);
    }
}

#[inline]
fn some(xid: u64) -> Option<FullXid> {
    (xid != 0).then_some(FullXid(xid))
}
