//! Faults planted on purpose, to show that recorded histories find them.
//!
//! A normal build has none of this: where the feature `planted` is off, [`has`] is `false` for the compiler, and what
//! stands behind it goes.
//!
//! Invariant: at most one is planted, for the whole process.

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "public with the feature"))]
pub enum Bug {
    /// Snapshots see who still runs.
    DirtyRead = 1,
    /// Snapshots see who rolled back.
    AbortedIsSeen,
    /// Snapshots see a version though whoever ended it had committed before.
    EndedIsSeen,
    /// A statement at read committed uses the snapshot of the first.
    StaleSnapshot,
    /// A statement at repeatable read takes a snapshot of its own.
    SnapshotForEachStatement,
    /// At repeatable read a row can be changed that another has changed since the snapshot.
    FirstUpdaterDoesNotWin,
    /// At read committed a newer version is overwritten with what was made of the old one.
    NoRecheck,
    /// Who wants to change a row does not wait for whoever changes it.
    NoWait,
    /// A savepoint that is rolled back keeps what was done in it.
    SavepointIsKept,
    /// Snapshots at an end leave who runs before what becomes of it is written down.
    EndsBeforeItIsLogged,
    /// A commit is published under a timestamp that snapshots taken before it have passed.
    TimestampFromThePast,
    /// Versions are removed though a snapshot in use sees them.
    RemovedTooEarly,
}

#[cfg(feature = "planted")]
mod chosen {
    use base::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a fault, in place of the one before.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
    }

    /// Whether this is the fault.
    pub(crate) fn has(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(feature = "planted")]
pub(crate) use chosen::has;
#[cfg(feature = "planted")]
pub use chosen::plant;

/// Whether this is the fault: none is.
#[cfg(not(feature = "planted"))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
