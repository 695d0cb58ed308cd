//! The fates of transactions as the running server knows them, behind the `snapshot` crate's trait; and their commit times.
//!
//! Invariants: the answers are those of the server's own functions. An id outside of what its logs hold is not asked for,
//! as that would end the query: it is an [`Unknown`], which an inspector shows and goes on.

use std::borrow::Cow;
use std::fmt;

use base::{CommandId, FullXid, Infomask, MultiXactId, TimestampTz, Xid};
use pgrx::pg_sys;
use snapshot::{
    ClassicSnapshot, CommandIdPair, Contents, LoggedStatus, MultiXactMember, MultiXactStatus,
    TransactionStatus,
};

use crate::server::check_for_interrupts;

#[expect(unsafe_code)]
// SAFETY: functions of every server of these majors (combocid.h, subtrans.h), with these arguments.
unsafe extern "C" {
    /// Bytes that a copy of this transaction's combo command ids takes.
    fn EstimateComboCIDStateSpace() -> usize;
}

/// What the server's logs do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The commit log does not go back to this transaction.
    TruncatedXid(Xid),
    /// Nobody has been given this id.
    FutureXid(Xid),
    /// The members of this multixact are gone.
    TruncatedMultiXact(MultiXactId),
    /// Nobody has been given this multixact id.
    FutureMultiXact(MultiXactId),
    /// A member holds the row in a way that no server knows.
    MemberStatus(MultiXactId),
    /// This transaction has not given out this combo command id.
    ComboCommandId(CommandId),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::TruncatedXid(xid) => {
                write!(f, "not known: the commit log does not go back to transaction {xid}")
            }
            Unknown::FutureXid(xid) => {
                write!(f, "not known: there has been no transaction {xid} yet")
            }
            Unknown::TruncatedMultiXact(multi) => {
                write!(f, "not known: the members of multixact {multi} are gone")
            }
            Unknown::FutureMultiXact(multi) => {
                write!(f, "not known: there has been no multixact {multi} yet")
            }
            Unknown::MemberStatus(multi) => {
                write!(f, "not known: multixact {multi} has a member of an unknown kind")
            }
            Unknown::ComboCommandId(combo) => {
                write!(f, "not known: this transaction has no combo command id {combo}")
            }
        }
    }
}

/// The server, asked from this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerStatus;

impl ServerStatus {
    /// Whether the commit log holds a normal id.
    #[expect(unsafe_code)]
    fn check(xid: Xid) -> Result<(), Unknown> {
        // SAFETY: words in shared memory, each read at once. The next id is read after the id was given out, so that it
        // is above; the oldest may move on later, and then the server raises an error.
        let (oldest, next) = unsafe {
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            let variables = pg_sys::ShmemVariableCache;
            #[cfg(not(any(feature = "pg15", feature = "pg16")))]
            let variables = pg_sys::TransamVariables;
            let oldest = (&raw const (*variables).oldestClogXid).read_volatile();
            let next = (&raw const (*variables).nextXid).read_volatile();
            (Xid(oldest.into_inner()), Xid(next.value as u32))
        };
        if !xid.precedes(next) {
            Err(Unknown::FutureXid(xid))
        } else if xid.precedes(oldest) {
            Err(Unknown::TruncatedXid(xid))
        } else {
            Ok(())
        }
    }

    /// The oldest xmin of this transaction's snapshots: parents are known from there on.
    #[expect(unsafe_code)]
    fn knows_parent(xid: Xid) -> bool {
        // SAFETY: this backend's own variable.
        let oldest = Xid(unsafe { pg_sys::TransactionXmin }.into_inner());
        xid.is_normal() && !xid.precedes(oldest)
    }

    /// The number of combo command ids that this transaction has given out.
    #[expect(unsafe_code)]
    fn combo_count() -> usize {
        // SAFETY: it reads this backend's own variable: a count and a pair of command ids each.
        let bytes = unsafe { EstimateComboCIDStateSpace() };
        bytes.saturating_sub(size_of::<i32>()) / (2 * size_of::<CommandId>())
    }
}

impl TransactionStatus for ServerStatus {
    type Error = Unknown;

    #[expect(unsafe_code)]
    fn own(&self, xid: Xid) -> bool {
        // SAFETY: it reads this backend's own transaction state.
        unsafe { pg_sys::TransactionIdIsCurrentTransactionId(pg_sys::TransactionId::from(xid.0)) }
    }

    #[expect(unsafe_code)]
    fn running(&self, xid: Xid) -> Result<bool, Unknown> {
        ServerStatus::check(xid)?;
        // SAFETY: it reads shared memory under its lock.
        Ok(unsafe { pg_sys::TransactionIdIsInProgress(pg_sys::TransactionId::from(xid.0)) })
    }

    #[expect(unsafe_code)]
    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Unknown> {
        ServerStatus::check(xid)?;
        let mut lsn = 0;
        // SAFETY: `lsn` is a local of the right type; the id is in the log.
        let status = unsafe {
            pg_sys::TransactionIdGetStatus(pg_sys::TransactionId::from(xid.0), &raw mut lsn)
        };
        // Two bits (clog.h).
        Ok(match status {
            1 => LoggedStatus::Committed,
            2 => LoggedStatus::Aborted,
            3 => LoggedStatus::SubCommitted,
            _ => LoggedStatus::InProgress,
        })
    }

    #[expect(unsafe_code)]
    fn did_commit(&self, xid: Xid) -> Result<bool, Unknown> {
        if !xid.is_normal() {
            return Ok(!xid.is_invalid());
        }
        ServerStatus::check(xid)?;
        // SAFETY: the id is in the log.
        Ok(unsafe { pg_sys::TransactionIdDidCommit(pg_sys::TransactionId::from(xid.0)) })
    }

    #[expect(unsafe_code)]
    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Unknown> {
        if !ServerStatus::knows_parent(xid) {
            return Ok(None);
        }
        ServerStatus::check(xid)?;
        // SAFETY: the id is not older than this transaction's snapshots, whose parents are kept.
        let parent = unsafe { pg_sys::SubTransGetParent(pg_sys::TransactionId::from(xid.0)) };
        let parent = Xid(parent.into_inner());
        Ok((!parent.is_invalid()).then_some(parent))
    }

    #[expect(unsafe_code)]
    fn topmost(&self, xid: Xid) -> Result<Xid, Unknown> {
        if !ServerStatus::knows_parent(xid) {
            return Ok(xid);
        }
        ServerStatus::check(xid)?;
        // SAFETY: as in `parent`.
        let top =
            unsafe { pg_sys::SubTransGetTopmostTransaction(pg_sys::TransactionId::from(xid.0)) };
        Ok(Xid(top.into_inner()))
    }

    #[expect(unsafe_code)]
    fn members(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Unknown> {
        let (mut oldest, mut next) = (pg_sys::MultiXactId::from(0), pg_sys::MultiXactId::from(0));
        let mut members = std::ptr::null_mut();
        let precedes = |one: MultiXactId, other: MultiXactId| (one.wrapping_sub(other) as i32) < 0;
        // SAFETY: the pointers are to locals of the right types; the id is between those that are there; what the server
        // allocates is as long as it says, and is given back.
        unsafe {
            pg_sys::ReadMultiXactIdRange(&raw mut oldest, &raw mut next);
            if !precedes(multi, next.into_inner()) {
                return Err(Unknown::FutureMultiXact(multi));
            }
            if precedes(multi, oldest.into_inner()) {
                // Lockers so old are gone.
                let gone = Cow::Borrowed([].as_slice());
                return if only_lockers {
                    Ok(gone)
                } else {
                    Err(Unknown::TruncatedMultiXact(multi))
                };
            }
            let count = pg_sys::GetMultiXactIdMembers(
                pg_sys::MultiXactId::from(multi),
                &raw mut members,
                false,
                only_lockers,
            );
            let Ok(count) = usize::try_from(count) else { return Ok(Cow::Borrowed(&[])) };
            let found: Option<Vec<MultiXactMember>> = (0..count)
                .map(|place| {
                    let member = *members.add(place);
                    let status = MultiXactStatus::from_number(member.status as u8)?;
                    Some(MultiXactMember { xid: Xid(member.xid.into_inner()), status })
                })
                .collect();
            if count > 0 {
                pg_sys::pfree(members.cast());
            }
            found.map(Cow::Owned).ok_or(Unknown::MemberStatus(multi))
        }
    }

    #[expect(unsafe_code)]
    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Unknown> {
        if combo as usize >= ServerStatus::combo_count() {
            return Err(Unknown::ComboCommandId(combo));
        }
        let mut header = pg_sys::HeapTupleHeaderData {
            t_infomask: Infomask::COMBOCID.bits(),
            ..Default::default()
        };
        header.t_choice.t_heap.t_field3.t_cid = combo;
        // SAFETY: a header of our own, of which the two functions read the bits and the combo command id; that one has
        // been given out.
        Ok(unsafe {
            CommandIdPair {
                cmin: pg_sys::HeapTupleHeaderGetCmin(&raw mut header),
                cmax: pg_sys::HeapTupleHeaderGetCmax(&raw mut header),
            }
        })
    }
}

/// When a transaction committed; `None` if it did not, or the time is not known. Raises an error where the server keeps
/// none.
#[expect(unsafe_code)]
pub(crate) fn commit_time(xid: Xid) -> Option<TimestampTz> {
    if !xid.is_normal() {
        return None;
    }
    let (mut time, mut origin) = (0, 0);
    // SAFETY: the pointers are to locals of the right types.
    let known = unsafe {
        pg_sys::TransactionIdGetCommitTsData(
            pg_sys::TransactionId::from(xid.0),
            &raw mut time,
            &raw mut origin,
        )
    };
    known.then_some(TimestampTz(time))
}

/// From where on commit times are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitTimes {
    /// They are kept, but nobody has committed since.
    None,
    /// The first transaction that has one, and when it committed.
    From(Xid, TimestampTz),
}

/// From where on commit times are known; `None` where the server keeps none (on a standby: its primary).
pub(crate) fn commit_times() -> Option<CommitTimes> {
    let (oldest, newest) = commit_time_range()?;
    let mut xid = oldest;
    // The first few may have aborted.
    while !newest.precedes(xid) {
        if let Some(time) = commit_time(xid) {
            return Some(CommitTimes::From(xid, time));
        }
        if xid == newest {
            break;
        }
        check_for_interrupts();
        xid = FullXid::new(1, xid).next().xid();
    }
    Some(CommitTimes::None)
}

/// Whether the server keeps commit times (a standby: whether its primary does).
pub(crate) fn keeps_commit_times() -> bool {
    commit_time_range().is_some()
}

/// The oldest transaction and the newest whose commit times can be known; `None` where none are kept.
#[expect(unsafe_code)]
fn commit_time_range() -> Option<(Xid, Xid)> {
    // SAFETY: words in shared memory, each read at once; both only move on. The oldest is 0 where none are kept.
    let (oldest, newest) = unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        let variables = pg_sys::ShmemVariableCache;
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        let variables = pg_sys::TransamVariables;
        (
            (&raw const (*variables).oldestCommitTsXid).read_volatile().into_inner(),
            (&raw const (*variables).newestCommitTsXid).read_volatile().into_inner(),
        )
    };
    (oldest != 0).then_some((Xid(oldest), Xid(newest)))
}

/// The time now, of the clock that commit times come from.
#[expect(unsafe_code)]
pub(crate) fn now() -> TimestampTz {
    // SAFETY: it reads the clock.
    TimestampTz(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// The statement's snapshot; `None` where it has none.
#[expect(unsafe_code)]
pub(crate) fn active_snapshot() -> Option<ClassicSnapshot> {
    // SAFETY: the snapshot stays while the statement runs.
    unsafe { pg_sys::ActiveSnapshotSet().then(|| classic(pg_sys::GetActiveSnapshot())) }
}

/// A copy of a snapshot of the server's.
///
/// # Safety
/// It is valid, and lists what its type says.
#[expect(unsafe_code)]
pub(crate) unsafe fn classic(snapshot: pg_sys::Snapshot) -> ClassicSnapshot {
    // SAFETY: as the caller's.
    unsafe {
        let snapshot = &*snapshot;
        let list = |xids: *const pg_sys::TransactionId, count: usize| -> Vec<Xid> {
            (0..count).map(|place| Xid((*xids.add(place)).into_inner())).collect()
        };
        // What overflowed is not kept up, but in recovery, where it is all there is.
        let has_subxids = !snapshot.suboverflowed || snapshot.takenDuringRecovery;
        let subxids = if has_subxids { usize::try_from(snapshot.subxcnt).unwrap_or(0) } else { 0 };
        let contents = Contents {
            xmin: Xid(snapshot.xmin.into_inner()),
            xmax: Xid(snapshot.xmax.into_inner()),
            xip: list(snapshot.xip, snapshot.xcnt as usize),
            subxip: list(snapshot.subxip, subxids),
            suboverflowed: snapshot.suboverflowed,
            taken_during_recovery: snapshot.takenDuringRecovery,
        };
        ClassicSnapshot::new(contents, snapshot.curcid)
    }
}
