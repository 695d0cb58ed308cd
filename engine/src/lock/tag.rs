//! What can be locked.
//!
//! Invariant: two things have equal tags only if they are the same thing. Source: `LOCKTAG`, `DescribeLockTag`.

use std::fmt;

use base::{Oid, Tid, Xid};
use wal::rmgr::xact::two_phase::LockTagFields;

use crate::data_directory::DEFAULT_DATABASE;

/// `LOCKTAG_RELATION` and its kin.
const RELATION: u8 = 0;
const TUPLE: u8 = 4;
const TRANSACTION: u8 = 5;
const ADVISORY: u8 = 10;
/// `DEFAULT_LOCKMETHOD`, `USER_LOCKMETHOD`
const BY_DEFAULT: u8 = 1;
const BY_USERS: u8 = 2;

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

impl LockTag {
    /// As PostgreSQL writes it down (`SET_LOCKTAG_RELATION` and its kin).
    pub(crate) fn fields(self) -> LockTagFields {
        let database = DEFAULT_DATABASE;
        let (fields, field4, kind, method) = match self {
            LockTag::Relation(relation) => ([database, relation, 0], 0, RELATION, BY_DEFAULT),
            LockTag::Tuple { relation, tid } => {
                ([database, relation, tid.block], tid.offset, TUPLE, BY_DEFAULT)
            }
            LockTag::Transaction(xid) => ([xid.0, 0, 0], 0, TRANSACTION, BY_DEFAULT),
            LockTag::Advisory(AdvisoryKey::One(key)) => {
                ([database, (key >> 32) as u32, key as u32], 1, ADVISORY, BY_USERS)
            }
            LockTag::Advisory(AdvisoryKey::Two(first, second)) => {
                ([database, first as u32, second as u32], 2, ADVISORY, BY_USERS)
            }
        };
        LockTagFields { fields, field4, kind, method }
    }

    /// What PostgreSQL has written down so; `None` for what the engine does not lock.
    pub(crate) fn of_fields(written: LockTagFields) -> Option<LockTag> {
        let LockTagFields { fields: [first, second, third], field4, kind, .. } = written;
        let tag = match (kind, field4) {
            (RELATION, _) => LockTag::Relation(second),
            (TUPLE, offset) => {
                LockTag::Tuple { relation: second, tid: Tid { block: third, offset } }
            }
            (TRANSACTION, _) => LockTag::Transaction(Xid(first)),
            (ADVISORY, 1) => {
                let key = u64::from(second) << 32 | u64::from(third);
                LockTag::Advisory(AdvisoryKey::One(key as i64))
            }
            (ADVISORY, 2) => LockTag::Advisory(AdvisoryKey::Two(second as i32, third as i32)),
            _ => return None,
        };
        (tag.fields() == written).then_some(tag)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        let tid = Tid { block: 70_000, offset: 9 };
        let tags = [
            LockTag::Relation(16384),
            LockTag::Tuple { relation: 16384, tid },
            LockTag::Transaction(Xid(700)),
            LockTag::Advisory(AdvisoryKey::One(i64::MIN + 5)),
            LockTag::Advisory(AdvisoryKey::Two(-1, 7)),
        ];
        for tag in tags {
            assert_eq!(LockTag::of_fields(tag.fields()), Some(tag));
            let other = LockTagFields { kind: 8, ..tag.fields() };
            assert_eq!(LockTag::of_fields(other), None);
        }
        let elsewhere = LockTagFields { fields: [1, 16384, 0], ..tags[0].fields() };
        assert_eq!(LockTag::of_fields(elsewhere), None, "another database's table");
    }
}
