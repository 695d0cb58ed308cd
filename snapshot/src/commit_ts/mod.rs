//! Snapshots by commit timestamp: a point of time instead of a list.
//!
//! A version's time is looked up by transaction id. Each id has a [`slot`], an atomic word in a
//! [`table`](CommitTimestamps), which is read without a lock:
//!
//! ```text
//!                      ┌──────────────► aborted
//!     in progress ─────┼──► committing(lower bound) ──► committed(ts)
//!         │  ▲         │              ▲
//!         │  └ child   └► prepared(ts)┘
//!         │    of
//! ```
//!
//! The boundary, the same everywhere: a snapshot sees a commit exactly if `commit_ts < start_ts`. Taking
//! a snapshot is one atomic load, whatever the number of sessions.
//!
//! Two ways of publishing a commit stand behind [`Publication`](publish::Publication): by marker, where a
//! reader may have to wait for a commit that began before its snapshot and has not got its timestamp, and
//! in order, where no reader ever waits.

pub mod clock;
pub mod format;
pub mod publish;
pub mod slot;
mod snapshot;
mod status;
mod table;

pub use snapshot::{CommitTsHorizon, CommitTsSnapshot};
pub use status::CommitTsStatus;
pub use table::{CommitTimestamps, Lookup, OutOfWindow};
