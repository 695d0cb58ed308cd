//! Locks: of tables, transactions, rows' versions, and of whatever users agree on.
//!
//! | part | is |
//! |---|---|
//! | [`mode`] | the eight modes, and which exclude each other |
//! | [`tag`] | what can be locked |
//! | [`table`] | who holds what and who waits, in which order |
//! | [`deadlock`] | rings of waiting: found, broken by another order, or told |
//! | [`manager`] | sessions that sleep until they have what they want |
//! | [`held`] | what one session holds |
//!
//! A transaction holds a lock of its own id, exclusively, from when it has one to its end; waiting for its end is asking
//! for the same lock. So whatever a session waits for, it waits here, and deadlocks of all kinds are found.
//!
//! Source: `storage/lmgr` of PostgreSQL 15.

mod deadlock;
pub(crate) mod held;
pub(crate) mod manager;
pub(crate) mod mode;
mod table;
pub(crate) mod tag;

pub use manager::DeadlockLink;
pub use mode::{TableLockMode, WaitPolicy};
pub use tag::{AdvisoryKey, LockTag};

pub(crate) use held::HeldLocks;
pub(crate) use manager::{Interrupts, LockManager};
