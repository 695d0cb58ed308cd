//! What can be locked.
//!
//! Invariant: two things have equal tags only if they are the same thing. Source: `LOCKTAG`, `DescribeLockTag`.

use std::fmt;

use base::{Oid, Tid, Xid};

use crate::data_directory::DEFAULT_DATABASE;

/// A thing that can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockTag {
    /// A table.
    Relation(Oid),
    /// A version of a row: the place in the queue of those who want to change or lock it.
    Tuple {
        /// The table.
        relation: Oid,
        /// The version.
        tid: Tid,
    },
    /// A transaction or subtransaction; it holds itself until it ends.
    Transaction(Xid),
    /// Whatever its users agree on.
    Advisory(AdvisoryKey),
}

/// The name of an advisory lock: of one number or of two, which are different names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdvisoryKey {
    /// `pg_advisory_lock(bigint)`
    One(i64),
    /// `pg_advisory_lock(int, int)`
    Two(i32, i32),
}

impl fmt::Display for LockTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = DEFAULT_DATABASE;
        match *self {
            LockTag::Relation(relation) => write!(f, "relation {relation} of database {database}"),
            LockTag::Tuple { relation, tid } => {
                write!(f, "tuple {tid} of relation {relation} of database {database}")
            }
            LockTag::Transaction(xid) => write!(f, "transaction {xid}"),
            LockTag::Advisory(AdvisoryKey::One(key)) => {
                write!(f, "advisory lock [{database},{},{},1]", (key >> 32) as u32, key as u32)
            }
            LockTag::Advisory(AdvisoryKey::Two(first, second)) => {
                write!(f, "advisory lock [{database},{},{},2]", first as u32, second as u32)
            }
        }
    }
}
