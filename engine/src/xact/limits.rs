//! How near ids are to where their order would break: warnings, refusal.
//!
//! ```text
//! oldest ──────────────────── 40 million before ──── 3 million before ──── half a circle
//!                           │ warnings            │ refused             │ order breaks
//! ```
//!
//! Of members of sets, positions are refused that come into the file before that of the oldest set's, and warned of 20 files
//! before that. Invariant: whoever is refused has changed nothing. Source: `SetTransactionIdLimit`, `GetNewTransactionId`,
//! `SetMultiXactIdLimit`, `GetNewMultiXactId`, `SetOffsetVacuumLimit`.

use std::fmt;
use std::time::Duration;

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Condvar, Mutex, PoisonError};
use base::{MultiXactId, Xid};

use crate::Error;
use crate::slru::core::PAGES_PER_SEGMENT;
use crate::slru::multixact::{MEMBERS_PER_PAGE, precedes};
use crate::transaction::Transaction;

/// Half a circle of ids: nothing in use is farther apart.
const HALF: u32 = u32::MAX >> 1;
/// Ids before that point which are not given out, for an administrator to repair with.
const STOP_BEFORE: u32 = 3_000_000;
/// Ids before it at which warnings begin.
const WARN_BEFORE: u32 = 40_000_000;
/// Members of a file.
const MEMBERS_PER_FILE: u32 = MEMBERS_PER_PAGE * PAGES_PER_SEGMENT as u32;
/// Files before the last position at which warnings begin (`OFFSET_WARN_SEGMENTS`).
const WARN_FILES: u32 = 20;

/// The name of the database that all tables are in.
const DATABASE: &str = "postgres";

/// Ids are running out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitWarning {
    /// Of transactions: so many are left before their order breaks.
    Xids {
        /// How many.
        left: u32,
    },
    /// Of sets of transactions.
    MultiXacts {
        /// How many.
        left: u32,
    },
    /// Of their members, before they are refused.
    Members {
        /// How many.
        left: u32,
    },
}

/// PostgreSQL's words.
impl fmt::Display for LimitWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |left: u32, one, many| if left == 1 { one } else { many };
        match *self {
            LimitWarning::Xids { left } => {
                write!(f, "database \"{DATABASE}\" must be vacuumed within {left} transactions")
            }
            LimitWarning::MultiXacts { left } => {
                let what = plural(left, "MultiXactId is", "MultiXactIds are");
                write!(f, "database \"{DATABASE}\" must be vacuumed before {left} more {what} used")
            }
            LimitWarning::Members { left } => {
                let what = plural(left, "member is", "members are");
                write!(
                    f,
                    "database with OID {} must be vacuumed before {left} more multixact {what} used",
                    crate::data_directory::DEFAULT_DATABASE
                )
            }
        }
    }
}

const PREPARED: &str = "You might also need to commit or roll back old prepared transactions, \
                        or drop stale replication slots.";

impl LimitWarning {
    /// What to do, in PostgreSQL's words.
    pub fn hint(&self) -> String {
        match self {
            LimitWarning::Xids { .. } => format!(
                "To avoid a database shutdown, execute a database-wide VACUUM in that database.\n{PREPARED}"
            ),
            LimitWarning::MultiXacts { .. } => multixact_hint(),
            LimitWarning::Members { .. } => {
                "Execute a database-wide VACUUM in that database with reduced \
                 vacuum_multixact_freeze_min_age and vacuum_multixact_freeze_table_age settings."
                    .to_owned()
            }
        }
    }
}

fn multixact_hint() -> String {
    format!("Execute a database-wide VACUUM in that database.\n{PREPARED}")
}

/// What to do about ids that are refused.
pub(crate) fn hint_of(error: &Error) -> Option<String> {
    match error {
        Error::XidsExhausted { .. } => Some(format!(
            "Stop the postmaster and vacuum that database in single-user mode.\n{PREPARED}"
        )),
        Error::MultiXactsExhausted { .. } => Some(multixact_hint()),
        Error::MembersExhausted { .. } => Some(format!(
            "Execute a database-wide VACUUM in database with OID {} with reduced \
             vacuum_multixact_freeze_min_age and vacuum_multixact_freeze_table_age settings.",
            crate::data_directory::DEFAULT_DATABASE
        )),
        _ => None,
    }
}

/// Before the special ids, if it would be one of them.
fn no_special(xid: u32) -> Xid {
    if xid < Xid::FIRST_NORMAL.0 { Xid(xid.wrapping_sub(Xid::FIRST_NORMAL.0)) } else { Xid(xid) }
}

/// Where the order of transactions breaks, as long as this is the oldest.
fn xid_wrap(oldest: Xid) -> u32 {
    let wrap = oldest.0.wrapping_add(HALF);
    if wrap < Xid::FIRST_NORMAL.0 { wrap + Xid::FIRST_NORMAL.0 } else { wrap }
}

/// Whether an id can be given out.
///
/// # Errors
/// [`Error::XidsExhausted`].
pub(crate) fn check_xid(next: Xid, oldest: Xid) -> Result<(), Error> {
    let stop = no_special(xid_wrap(oldest).wrapping_sub(STOP_BEFORE));
    if next.precedes(stop) { Ok(()) } else { Err(Error::XidsExhausted { next, oldest }) }
}

/// What giving an id out warns of.
pub(crate) fn warn_of_xid(xid: Xid, oldest: Xid) -> Option<LimitWarning> {
    let wrap = xid_wrap(oldest);
    let is_far = xid.precedes(no_special(wrap.wrapping_sub(WARN_BEFORE)));
    (!is_far).then(|| LimitWarning::Xids { left: wrap.wrapping_sub(xid.0) })
}

fn no_zero(multi: MultiXactId) -> MultiXactId {
    if multi == 0 { multi.wrapping_sub(1) } else { multi }
}

/// Where the order of sets breaks.
fn multi_wrap(oldest: MultiXactId) -> MultiXactId {
    oldest.wrapping_add(HALF).max(1)
}

/// Whether a set's id can be given out.
///
/// # Errors
/// [`Error::MultiXactsExhausted`].
pub(crate) fn check_multi(next: MultiXactId, oldest: MultiXactId) -> Result<(), Error> {
    let stop = no_zero(multi_wrap(oldest).wrapping_sub(STOP_BEFORE));
    if precedes(next, stop) { Ok(()) } else { Err(Error::MultiXactsExhausted { next, oldest }) }
}

/// What giving a set's id out warns of.
pub(crate) fn warn_of_multi(multi: MultiXactId, oldest: MultiXactId) -> Option<LimitWarning> {
    let wrap = multi_wrap(oldest);
    let is_far = precedes(multi, no_zero(wrap.wrapping_sub(WARN_BEFORE)));
    (!is_far).then(|| LimitWarning::MultiXacts { left: wrap.wrapping_sub(multi) })
}

/// The position that is not given out any more, where the oldest set's members begin here.
fn member_stop(oldest: u32) -> u32 {
    (oldest - oldest % MEMBERS_PER_FILE).wrapping_sub(MEMBERS_PER_FILE)
}

/// Whether so many positions from one on pass a boundary (`MultiXactOffsetWouldWrap`).
fn passes(boundary: u32, start: u32, distance: u32) -> bool {
    // Position 0 is passed over.
    let end = start.wrapping_add(distance);
    let end = if end < start { end.wrapping_add(1) } else { end };
    match start < boundary {
        true => end >= boundary || end < start,
        false => end >= boundary && end < start,
    }
}

/// Whether there is room for the members of a set; `oldest` is where those of the oldest begin, if that is known.
///
/// # Errors
/// [`Error::MembersExhausted`].
pub(crate) fn check_members(next: u32, count: u32, oldest: Option<u32>) -> Result<(), Error> {
    let Some(oldest) = oldest else { return Ok(()) };
    let stop = member_stop(oldest);
    match passes(stop, next, count) {
        true => {
            let room = stop.wrapping_sub(next).wrapping_sub(1);
            Err(Error::MembersExhausted { members: count, room })
        }
        false => Ok(()),
    }
}

/// What the next position warns of.
pub(crate) fn warn_of_members(next: u32, oldest: Option<u32>) -> Option<LimitWarning> {
    let stop = member_stop(oldest?);
    let is_near = passes(stop, next, MEMBERS_PER_FILE * WARN_FILES);
    is_near.then(|| LimitWarning::Members { left: stop.wrapping_sub(next) })
}

impl Transaction<'_, '_> {
    /// What the ids that it was given warn of: nothing, as long as there are enough of them.
    pub fn limit_warnings(&self) -> Vec<LimitWarning> {
        let session = &*self.session;
        if session.ids.top.is_none() && session.made_sets.newest().is_none() {
            return Vec::new();
        }
        let ids = *session.shared.storage.ids.lock();
        let xid = session.ids.top.and_then(|top| {
            let newest = session.ids.children.last().copied().unwrap_or(top);
            warn_of_xid(newest.xid(), ids.oldest_xid)
        });
        let multi = session.made_sets.newest().and_then(|multi| {
            let of_members = || warn_of_members(ids.next_multi_offset, ids.oldest_multi_offset);
            warn_of_multi(multi, ids.oldest_multi).or_else(of_members)
        });
        xid.into_iter().chain(multi).collect()
    }
}

/// Whether an id has come so far from the oldest that vacuum is forced.
fn forces_vacuum(xid: Xid, oldest: Xid, max_age: u32) -> bool {
    let limit = oldest.0.wrapping_add(max_age);
    let limit = if limit < Xid::FIRST_NORMAL.0 { limit + Xid::FIRST_NORMAL.0 } else { limit };
    !xid.precedes(Xid(limit))
}

/// Once for so many ids, so that it is not woken at each.
const WAKE_EVERY: u32 = 65_536;

/// Wakes the autovacuum where ids force it (`PMSIGNAL_START_AUTOVAC_LAUNCHER`).
#[derive(Debug, Default)]
pub(crate) struct VacuumWanted {
    max_age: AtomicU32,
    is_wanted: Mutex<bool>,
    changed: Condvar,
}

impl VacuumWanted {
    /// The age of the oldest row that forces it.
    pub(crate) fn set_max_age(&self, max_age: u32) {
        self.max_age.store(max_age, Relaxed);
    }

    /// An id is given out.
    #[inline]
    pub(crate) fn xid_given(&self, xid: Xid, oldest: Xid) {
        let is_due = xid.0.is_multiple_of(WAKE_EVERY);
        if is_due && forces_vacuum(xid, oldest, self.max_age.load(Relaxed)) {
            self.wake();
        }
    }

    /// Wakes it.
    pub(crate) fn wake(&self) {
        *self.is_wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Comes back when it is wanted, or after that time.
    pub(crate) fn wait(&self, nap: Duration) {
        let mut is_wanted = self.is_wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_wanted {
            is_wanted = match self.changed.wait_timeout(is_wanted, nap) {
                Ok((is_wanted, _)) => is_wanted,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        *is_wanted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_warned_of_and_stop_at_postgresqls_distances() {
        for oldest in [3, 1000, 1 << 31, u32::MAX - 5, 2_150_000_000] {
            let oldest = Xid(oldest);
            let wrap = xid_wrap(oldest);
            let at = |before: u32| no_special(wrap.wrapping_sub(before));
            assert!(check_xid(oldest, oldest).is_ok());
            assert!(check_xid(at(STOP_BEFORE + 1), oldest).is_ok());
            let error = check_xid(at(STOP_BEFORE), oldest).expect_err("too far");
            assert_eq!(
                error.to_string(),
                "database is not accepting commands to avoid wraparound data loss in database \"postgres\""
            );
            assert_eq!(error.sqlstate(), "54000");
            assert!(!forces_vacuum(Xid(oldest.0.wrapping_add(50)), oldest, 200));
            assert!(forces_vacuum(Xid(oldest.0.wrapping_add(204)), oldest, 200));
            assert_eq!(warn_of_xid(at(WARN_BEFORE + 1), oldest), None);
            let warning = warn_of_xid(at(WARN_BEFORE), oldest).expect("near");
            let LimitWarning::Xids { left } = warning else { panic!("{warning:?}") };
            assert!(left.abs_diff(WARN_BEFORE) <= 3, "{left}");
            assert!(warning.to_string().contains("must be vacuumed within 40000"), "{warning}");
        }
    }

    #[test]
    fn sets_are_warned_of_and_stop_at_postgresqls_distances() {
        for oldest in [1, 77, 1 << 31, u32::MAX - 5] {
            let wrap = multi_wrap(oldest);
            let at = |before: u32| no_zero(wrap.wrapping_sub(before));
            assert!(check_multi(oldest, oldest).is_ok());
            assert!(check_multi(at(STOP_BEFORE + 1), oldest).is_ok());
            let error = check_multi(at(STOP_BEFORE), oldest).expect_err("too far");
            assert!(error.to_string().contains("generate new MultiXactIds"), "{error}");
            assert_eq!(warn_of_multi(at(WARN_BEFORE + 1), oldest), None);
            assert!(warn_of_multi(at(WARN_BEFORE), oldest).is_some());
        }
    }

    #[test]
    fn members_stop_a_file_before_the_oldest() {
        assert_eq!(MEMBERS_PER_FILE, 52_352);
        let oldest = 10 * MEMBERS_PER_FILE + 7;
        let stop = 9 * MEMBERS_PER_FILE;
        assert_eq!(member_stop(oldest), stop);
        assert!(check_members(oldest, 5, Some(oldest)).is_ok());
        assert!(check_members(stop - 10, 9, Some(oldest)).is_ok());
        let error = check_members(stop - 10, 10, Some(oldest)).expect_err("no room");
        assert_eq!(error.to_string(), "multixact \"members\" limit exceeded");
        assert!(matches!(error, Error::MembersExhausted { members: 10, room: 9 }));
        // Over the end of the positions.
        assert!(check_members(u32::MAX - 2, 10, Some(oldest)).is_ok());
        assert!(check_members(u32::MAX - 2, 10, Some(MEMBERS_PER_FILE + 1)).is_err());
        assert_eq!(warn_of_members(stop.wrapping_sub(21 * MEMBERS_PER_FILE), Some(oldest)), None);
        let left = MEMBERS_PER_FILE;
        let warning = warn_of_members(stop - left, Some(oldest));
        assert_eq!(warning, Some(LimitWarning::Members { left }));
        assert_eq!(check_members(5, 100, None).ok(), Some(()));
    }
}
