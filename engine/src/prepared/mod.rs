//! Prepared transactions: what two-phase commit leaves behind of a session's transaction, until somebody says how it ends.
//!
//! ```text
//! PREPARE     gid reserved ─► state gathered ─► [gate: record logged ─► flushed ─► state valid] ─► slot of its own
//!                 ─► locks and claims of names handed over ─► session free ─► state idle
//! checkpoint  states whose record lies before the redo point ─► files of pg_twophase
//! outcome     state busy ─► read back ─► COMMIT_PREPARED or ABORT_PREPARED flushed ─► pg_xact ─► slot, files, names, locks
//!                 ─► state and file gone
//! restart     pg_twophase ─► records redone ─► subtransactions' parents ─► slots, locks, claims of names
//! ```
//!
//! | part | is |
//! |---|---|
//! | [`states`] | who is prepared, and where the state lies |
//! | [`files`] | the files of `pg_twophase`, and states read back from the log |
//! | [`payload`] | the state itself, as bytes |
//! | [`detached`] | what one has in memory: slot, locks, names |
//! | [`prepare`], [`finish`] | the two phases |
//! | [`restore`] | what an opening engine does |
//!
//! Invariants: a state is valid before its session lets go of the transaction, and durable before anybody is told so. Its
//! file is whole or not there: it is written under another name first. A state goes when its outcome is durable. Source:
//! `twophase.c` of PostgreSQL 15, which writes its files in place.

pub(crate) mod detached;
mod error;
mod files;
mod finish;
pub(crate) mod payload;
mod prepare;
pub(crate) mod restore;
mod states;

pub use error::PreparedError;
pub(crate) use files::{end_redone, load, redone, remove as remove_file, write_due};
pub use states::PreparedTransaction;
pub(crate) use states::TwoPhaseStates;
