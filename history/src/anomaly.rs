//! The names of what can be wrong, and which level forbids it.
//!
//! | anomaly | what it is | read committed | repeatable read |
//! |---|---|---|---|
//! | internal | a transaction does not see what it wrote itself, or sees what it writes later | forbidden | forbidden |
//! | garbage-read | a value that nobody wrote | forbidden | forbidden |
//! | duplicate-elements | a list holds a value twice | forbidden | forbidden |
//! | incompatible-order | two reads of a list, neither of which continues the other | forbidden | forbidden |
//! | lost-write | two transactions replaced the same version | forbidden | forbidden |
//! | dirty-update | a committed version upon one of a transaction that failed | forbidden | forbidden |
//! | G1a | a value of a transaction that failed was read | forbidden | forbidden |
//! | G1b | a value was read that its own transaction replaced later | forbidden | forbidden |
//! | G0 | a cycle of writes upon writes | forbidden | forbidden |
//! | G1c | a cycle of writes upon writes, and reads of what was written | forbidden | forbidden |
//! | OTV | a statement misses a transaction that an earlier one has seen (observed transaction vanishes) | forbidden | forbidden |
//! | lost-update | a transaction read a version, another replaced it, and the first wrote all the same | allowed | forbidden |
//! | G-single | a cycle with one read of what was then overwritten | allowed | forbidden |
//! | long-fork | two readers who saw two writes in different orders | allowed | forbidden |
//! | G-nonadjacent | a cycle with such reads, no two of them one after the other | allowed | forbidden |
//! | G2-item | any other cycle, such as write skew | allowed | allowed |
//!
//! With `-realtime` behind it, a cycle needs that one transaction had ended before another began; what PostgreSQL's
//! levels promise holds for these, too.
//!
//! At read committed a cycle is forbidden if it contradicts the order of statements, which is what OTV is
//! ([`instants`](crate::instants)); the same shape may be allowed elsewhere. At serializable everything is forbidden.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::model::Level;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table above says what each is")]
pub enum Anomaly {
    Internal,
    GarbageRead,
    DuplicateElements,
    IncompatibleOrder,
    LostWrite,
    DirtyUpdate,
    G1a,
    G1b,
    G0,
    G1c,
    Otv,
    LostUpdate,
    GSingle,
    LongFork,
    GNonadjacent,
    G2Item,
}

impl Anomaly {
    /// Whether a level forbids it wherever it is found. Read committed forbids cycles of all kinds that contradict the
    /// order of statements; those are found as such.
    pub fn is_forbidden_at(self, level: Level) -> bool {
        match level {
            Level::ReadCommitted => self < Anomaly::LostUpdate,
            Level::RepeatableRead => self < Anomaly::G2Item,
            Level::Serializable => true,
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Anomaly::Internal => "internal",
            Anomaly::GarbageRead => "garbage-read",
            Anomaly::DuplicateElements => "duplicate-elements",
            Anomaly::IncompatibleOrder => "incompatible-order",
            Anomaly::LostWrite => "lost-write",
            Anomaly::DirtyUpdate => "dirty-update",
            Anomaly::G1a => "G1a",
            Anomaly::G1b => "G1b",
            Anomaly::G0 => "G0",
            Anomaly::G1c => "G1c",
            Anomaly::Otv => "OTV",
            Anomaly::LostUpdate => "lost-update",
            Anomaly::GSingle => "G-single",
            Anomaly::LongFork => "long-fork",
            Anomaly::GNonadjacent => "G-nonadjacent",
            Anomaly::G2Item => "G2-item",
        })
    }
}

impl Serialize for Anomaly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
