//! A transaction's fate in one word.
//!
//! ```text
//! bit 63..61  tag    60..0
//!     0  in progress        0
//!     1  committing         no commit timestamp below this is to come
//!     2  committed          commit timestamp
//!     3  aborted            0
//!     4  prepared           timestamp of the PREPARE
//!     5  child of           xid of the parent, 32 bits
//! ```
//!
//! Invariant: timestamps are 0 to 2^61 - 1, as the clock draws them; the zero word is in progress, so
//! that fresh memory is a table of transactions that have not ended.

use base::{TimestampTz, Xid};

use super::clock::HIGHEST;

/// A transaction's fate, with what is known of its time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    /// It runs, or has not begun.
    InProgress,
    /// Its commit timestamp is being drawn, and will not be below this.
    Committing(TimestampTz),
    /// It committed then.
    Committed(TimestampTz),
    /// It aborted.
    Aborted,
    /// It was prepared then, and waits for the word to commit or abort.
    Prepared(TimestampTz),
    /// A subtransaction that has not ended otherwise than with its parent.
    ChildOf(Xid),
}

const TAG_SHIFT: u32 = 61;

impl Slot {
    /// The word. Timestamps beyond what fits are taken as the nearest that does.
    #[inline]
    pub const fn to_word(self) -> u64 {
        const fn tagged(tag: u64, timestamp: TimestampTz) -> u64 {
            let micros = timestamp.0;
            let kept = if micros < 0 {
                0
            } else if micros > HIGHEST {
                HIGHEST
            } else {
                micros
            };
            tag << TAG_SHIFT | kept as u64
        }
        match self {
            Slot::InProgress => 0,
            Slot::Committing(bound) => tagged(1, bound),
            Slot::Committed(timestamp) => tagged(2, timestamp),
            Slot::Aborted => 3 << TAG_SHIFT,
            Slot::Prepared(timestamp) => tagged(4, timestamp),
            Slot::ChildOf(parent) => 5 << TAG_SHIFT | parent.0 as u64,
        }
    }

    /// The fate that a word of [`Slot::to_word`] stands for.
    ///
    /// # Panics
    /// On a tag that is never written.
    #[inline]
    pub fn from_word(word: u64) -> Slot {
        let rest = word & ((1 << TAG_SHIFT) - 1);
        let timestamp = TimestampTz(rest as i64);
        match word >> TAG_SHIFT {
            0 => Slot::InProgress,
            1 => Slot::Committing(timestamp),
            2 => Slot::Committed(timestamp),
            3 => Slot::Aborted,
            4 => Slot::Prepared(timestamp),
            5 => Slot::ChildOf(Xid(rest as u32)),
            tag => unreachable!("no slot has tag {tag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        let mut slots = vec![Slot::InProgress, Slot::Aborted, Slot::ChildOf(Xid(u32::MAX))];
        for micros in [0, 1, i64::from(u32::MAX) + 1, HIGHEST] {
            let timestamp = TimestampTz(micros);
            slots.extend([
                Slot::Committing(timestamp),
                Slot::Committed(timestamp),
                Slot::Prepared(timestamp),
            ]);
        }
        for slot in &slots {
            assert_eq!(Slot::from_word(slot.to_word()), *slot);
        }
        assert_eq!(Slot::InProgress.to_word(), 0);
        assert_eq!(
            Slot::from_word(Slot::Committed(TimestampTz(-1)).to_word()),
            Slot::Committed(TimestampTz(0))
        );
    }
}
