//! Checkpoints: everything written, so that recovery begins later and the log before can go.
//!
//! ```text
//! redo point moved ─► who commits now has left the gate ─► transaction logs and pages written ─► files synced
//!     ─► running transactions logged ─► checkpoint logged and flushed ─► pg_control ─► old log removed or recycled
//! ```
//!
//! | file | says |
//! |---|---|
//! | `perform` | one checkpoint, in that order |
//! | `report` | what it did, in the words of `log_checkpoints` |
//! | `running_xacts` | the record of who runs |
//! | `schedule` | when one is due, and whether a running one is ahead of its time |
//! | `checkpointer` | the thread that makes them |
//!
//! Invariants:
//!
//! 1. A change whose record lies before the redo point is on the disk before pg_control names the checkpoint: in its page
//!    or transaction log, which were dirty when the sweep began, since a change makes its page dirty before it is logged,
//!    and a commit is in the gate until pg_xact says so.
//! 2. pg_control is written last, as a whole; a crash before that leaves the checkpoint before.
//! 3. One checkpoint is made at a time. One that fails is none; pages that were written are the fewer for the next one.
//!    A sync that failed stops the engine.
//!
//! Source: `CreateCheckPoint`, `checkpointer.c`.

mod checkpointer;
mod perform;
mod report;
mod running_xacts;
mod schedule;

pub use checkpointer::{Checkpointed, Checkpointer};
pub use perform::{CheckpointKind, CheckpointRequest, Checkpoints, Outcome};
pub use report::{CheckpointCause, CheckpointReport};
pub(crate) use running_xacts::running_xacts_are_logged;
pub use running_xacts::{NobodyRuns, log_running_xacts};
pub use schedule::CheckpointOptions;
