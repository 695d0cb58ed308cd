//! Recovery: a data directory brought to where its log ends, from wherever a crash left it; or to a target in an archive.
//!
//! ```text
//! pg_control ─► files synced ─► checkpoint's record ─► redo point ─► records redone ─► the log's end
//!                                                                                        │ damage? (`ending`)
//!      Recovered ◄── relations of nobody removed ◄── no page is missing ◄────────────────┘
//!          └─► `start`: the log opened there, transaction logs set up ─► checkpoint (end of recovery)
//! ```
//!
//! | file | says |
//! |---|---|
//! | `options`, `error` | what is asked, and why it cannot be |
//! | `driver` | the loop over records |
//! | `ending` | whether the log ends there, or is damaged |
//! | `evidence` | what shows that the log was durable further than it can be read |
//! | `target`, `timeline` | where recovery from an archive stops, and what it goes on with |
//! | `minimum` | how far a recovery that is begun again must come |
//! | `sync` | the directory's files made durable before anything relies on them |
//! | `start` | what follows when the log is open |
//!
//! Invariants:
//!
//! 1. Recovery starts from pg_control's checkpoint, which only a completed later one replaces. So it can be killed at any
//!    moment and begun again, and comes to the same end.
//! 2. Nothing is redone before the files are synced: what was read from the kernel's memory could be lost by a second
//!    crash, when pages that depend on it are on the disk already.
//! 3. The log's end is an error, not an end, where something shows that more of it had been durable.
//! 4. Relations made by transactions that never ended are removed when their making was seen: nobody can see them.
//!    PostgreSQL leaves their files.
//!
//! Source: `xlogrecovery.c`, `StartupXLOG`.

mod driver;
mod ending;
mod error;
mod evidence;
mod minimum;
mod options;
mod start;
mod sync;
mod target;
mod timeline;

pub use driver::{Recovered, RecoveryProgress, recover};
pub use ending::LeftBehind;
pub use error::{Damage, RecoveryError};
pub(crate) use evidence::marker_record;
pub use evidence::{Evidence, durability_marker};
pub use options::{OnDamage, RecoveryOptions};
pub use start::start;
pub use target::{ArchiveRecovery, Target};
