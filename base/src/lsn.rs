//! The log sequence number: a byte position in the write-ahead log.
//!
//! Invariant: none but the width. 0 is PostgreSQL's `InvalidXLogRecPtr`; every other value may be the
//! position of something. The text form is two hexadecimal halves, `16/B374D848`, without padding.

use std::fmt;
use std::num::ParseIntError;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A byte position in the write-ahead log (`XLogRecPtr`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// `InvalidXLogRecPtr`: no position.
    pub const INVALID: Lsn = Lsn(0);

    /// Whether this is [`Lsn::INVALID`].
    #[inline]
    pub const fn is_invalid(self) -> bool {
        self.0 == 0
    }

    /// The position of the log page that this position lies in.
    #[inline]
    pub const fn page_start(self) -> Lsn {
        Lsn(self.0 & !(crate::PAGE_SIZE as u64 - 1))
    }

    /// Offset in bytes from the start of its log page, below [`crate::PAGE_SIZE`].
    #[inline]
    pub const fn page_offset(self) -> usize {
        (self.0 & (crate::PAGE_SIZE as u64 - 1)) as usize
    }

    /// `self + bytes`, or `None` past the end of the address space.
    #[inline]
    pub const fn checked_add(self, bytes: u64) -> Option<Lsn> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Lsn(sum)),
            None => None,
        }
    }

    /// Bytes from `earlier` to `self`; 0 if `earlier` is the later one.
    #[inline]
    pub const fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Lsn {
    type Output = Lsn;
    /// Wraps at the end of the address space, which no log reaches; positions from outside are
    /// added with [`Lsn::checked_add`].
    #[inline]
    fn add(self, bytes: u64) -> Lsn {
        Lsn(self.0.wrapping_add(bytes))
    }
}

impl Sub<Lsn> for Lsn {
    type Output = i128;
    /// The signed distance in bytes, as `pg_lsn - pg_lsn`.
    #[inline]
    fn sub(self, other: Lsn) -> i128 {
        i128::from(self.0) - i128::from(other.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 as u32)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Serialized as its text form.
impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseLsnError {
    /// No slash between the halves.
    #[error("an LSN is two hexadecimal numbers with a slash between them, as in 0/16B3748")]
    NoSlash,
    /// A half is empty, longer than 8 digits, or has another character.
    #[error("\"{half}\" is not a hexadecimal number of 1 to 8 digits")]
    BadHalf {
        /// The half as given.
        half: String,
    },
}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    /// Accepts what `pg_lsn` accepts: 1 to 8 hexadecimal digits, a slash, 1 to 8 hexadecimal digits.
    fn from_str(text: &str) -> Result<Lsn, ParseLsnError> {
        let half = |half: &str| -> Result<u64, ParseLsnError> {
            let bad = || ParseLsnError::BadHalf { half: half.to_owned() };
            if half.is_empty() || half.len() > 8 || !half.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            u64::from_str_radix(half, 16).map_err(|_: ParseIntError| bad())
        };
        let (high, low) = text.split_once('/').ok_or(ParseLsnError::NoSlash)?;
        Ok(Lsn(half(high)? << 32 | half(low)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_form_is_postgresqls() {
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(Lsn(0).to_string(), "0/0");
        assert_eq!("ffffffff/FFFFFFFF".parse(), Ok(Lsn(u64::MAX)));
    }

    #[test]
    fn bad_texts_are_refused_with_the_reason() {
        assert_eq!("16B374D848".parse::<Lsn>(), Err(ParseLsnError::NoSlash));
        for text in ["/1", "1/", "+1/2", "1/123456789", "g/1", "1/2/3", " 1/2"] {
            assert!(matches!(text.parse::<Lsn>(), Err(ParseLsnError::BadHalf { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(position: u64) {
            prop_assert_eq!(Lsn(position).to_string().parse::<Lsn>(), Ok(Lsn(position)));
        }

        #[test]
        fn page_start_and_offset_add_up(position: u64) {
            let lsn = Lsn(position);
            prop_assert_eq!(lsn.page_start().0 + lsn.page_offset() as u64, position);
            prop_assert_eq!(lsn.page_start().page_offset(), 0);
        }
    }
}
