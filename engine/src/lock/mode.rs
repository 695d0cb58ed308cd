//! The eight modes of a lock, and which of them exclude each other.
//!
//! ```text
//!                        1  2  3  4  5  6  7  8
//! 1 AccessShare          .  .  .  .  .  .  .  x     SELECT
//! 2 RowShare             .  .  .  .  .  .  x  x     SELECT FOR UPDATE and its kin
//! 3 RowExclusive         .  .  .  .  x  x  x  x     INSERT, UPDATE, DELETE
//! 4 ShareUpdateExclusive .  .  .  x  x  x  x  x     VACUUM
//! 5 Share                .  .  x  x  .  x  x  x     CREATE INDEX; who waits for a transaction's end
//! 6 ShareRowExclusive    .  .  x  x  x  x  x  x
//! 7 Exclusive            .  x  x  x  x  x  x  x     a transaction, of its own id
//! 8 AccessExclusive      x  x  x  x  x  x  x  x     DROP TABLE
//! ```
//!
//! Invariant: the table is symmetric. Source: `LockConflicts` of `lock.c`.

use std::fmt;

/// How something is locked (`LOCKMODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TableLockMode {
    /// `ACCESS SHARE`
    AccessShare = 1,
    /// `ROW SHARE`
    RowShare,
    /// `ROW EXCLUSIVE`
    RowExclusive,
    /// `SHARE UPDATE EXCLUSIVE`
    ShareUpdateExclusive,
    /// `SHARE`
    Share,
    /// `SHARE ROW EXCLUSIVE`
    ShareRowExclusive,
    /// `EXCLUSIVE`
    Exclusive,
    /// `ACCESS EXCLUSIVE`
    AccessExclusive,
}

use TableLockMode::{
    AccessExclusive, AccessShare, Exclusive, RowExclusive, RowShare, Share, ShareRowExclusive,
    ShareUpdateExclusive,
};

impl TableLockMode {
    /// All of them, the weakest first.
    pub const ALL: [TableLockMode; 8] = [
        AccessShare,
        RowShare,
        RowExclusive,
        ShareUpdateExclusive,
        Share,
        ShareRowExclusive,
        Exclusive,
        AccessExclusive,
    ];

    /// That of a number, 1 to 8.
    pub(crate) fn of_number(number: u32) -> Option<TableLockMode> {
        TableLockMode::ALL.into_iter().find(|mode| *mode as u32 == number)
    }

    /// The modes that this one excludes.
    pub(crate) const fn conflicts(self) -> Modes {
        let all = Modes(0b1_1111_1110);
        match self {
            AccessShare => Modes::of(&[AccessExclusive]),
            RowShare => Modes::of(&[Exclusive, AccessExclusive]),
            RowExclusive => Modes::of(&[Share, ShareRowExclusive, Exclusive, AccessExclusive]),
            ShareUpdateExclusive => all.without(Modes::of(&[AccessShare, RowShare, RowExclusive])),
            Share => all.without(Modes::of(&[AccessShare, RowShare, Share])),
            ShareRowExclusive => all.without(Modes::of(&[AccessShare, RowShare])),
            Exclusive => all.without(Modes::of(&[AccessShare])),
            AccessExclusive => all,
        }
    }

    /// Whether two holders cannot have these modes at once.
    pub fn excludes(self, other: TableLockMode) -> bool {
        self.conflicts().contains(other)
    }
}

/// PostgreSQL's name of it: `AccessShareLock`.
impl fmt::Display for TableLockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}Lock")
    }
}

/// A set of modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Modes(u16);

impl Modes {
    const fn of(modes: &[TableLockMode]) -> Modes {
        let (mut set, mut at) = (Modes(0), 0);
        while at < modes.len() {
            set = set.with(modes[at]);
            at += 1;
        }
        set
    }

    pub(crate) const fn with(self, mode: TableLockMode) -> Modes {
        Modes(self.0 | 1 << mode as u8)
    }

    const fn without(self, modes: Modes) -> Modes {
        Modes(self.0 & !modes.0)
    }

    pub(crate) const fn less(self, mode: TableLockMode) -> Modes {
        Modes(self.0 & !(1 << mode as u8))
    }

    pub(crate) const fn contains(self, mode: TableLockMode) -> bool {
        self.0 & 1 << mode as u8 != 0
    }

    pub(crate) const fn intersects(self, other: Modes) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What becomes of a request that cannot be granted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WaitPolicy {
    /// It waits.
    #[default]
    Wait,
    /// It is refused (`NOWAIT`).
    NoWait,
    /// The row is left out (`SKIP LOCKED`); where there are no rows, as [`WaitPolicy::NoWait`].
    SkipLocked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_the_opening_draws_it() {
        let drawn = [
            ".......x", "......xx", "....xxxx", "...xxxxx", "..xx.xxx", "..xxxxxx", ".xxxxxxx",
            "xxxxxxxx",
        ];
        for (one, line) in TableLockMode::ALL.into_iter().zip(drawn) {
            for (other, drawn) in TableLockMode::ALL.into_iter().zip(line.chars()) {
                assert_eq!(one.excludes(other), drawn == 'x', "{one} and {other}");
                assert_eq!(one.excludes(other), other.excludes(one));
            }
        }
        assert_eq!(Share.to_string(), "ShareLock");
    }
}
