//! The text form of a snapshot: what `pg_current_snapshot` and `txid_current_snapshot` print, and what the
//! types `pg_snapshot` and `txid_snapshot` take.
//!
//! ```text
//! xmin ':' xmax ':' [ xip { ',' xip } ]        decimal ids of 64 bits
//! 738:742:738,740
//! ```
//!
//! Invariants: `0 < xmin <= xmax`; running ids lie in `xmin..xmax`, ascending, each once. They are those of
//! top-level transactions alone, so that this form does not tell a running subtransaction from an ended
//! one.
//!
//! Source: `utils/adt/xid8funcs.c`. It reads numbers with `strtoull`, and so takes blanks, signs and numbers
//! that do not fit, and a comma at the end; here these are errors. Ids that come twice are taken once, as
//! there.

use std::fmt;
use std::str::FromStr;

use base::FullXid;

/// A snapshot as the type `pg_snapshot` holds it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PgSnapshot {
    xmin: FullXid,
    xmax: FullXid,
    xip: Vec<FullXid>,
}

impl PgSnapshot {
    /// Of these running transactions, in any order.
    ///
    /// # Errors
    /// Where the bounds or an id break the invariants of the form.
    pub fn new(
        xmin: FullXid,
        xmax: FullXid,
        mut xip: Vec<FullXid>,
    ) -> Result<PgSnapshot, PgSnapshotError> {
        check_bounds(xmin, xmax)?;
        xip.sort_unstable();
        xip.dedup();
        for &xid in &xip {
            check_within(xid, xmin, xmax)?;
        }
        Ok(PgSnapshot { xmin, xmax, xip })
    }

    /// Everything older had ended.
    pub fn xmin(&self) -> FullXid {
        self.xmin
    }

    /// This and everything newer had not ended.
    pub fn xmax(&self) -> FullXid {
        self.xmax
    }

    /// Running transactions between them, ascending.
    pub fn xip(&self) -> &[FullXid] {
        &self.xip
    }

    /// Whether the snapshot sees what this transaction did, if it committed
    /// (`pg_visible_in_snapshot`).
    pub fn sees(&self, xid: FullXid) -> bool {
        xid < self.xmin || xid < self.xmax && self.xip.binary_search(&xid).is_err()
    }
}

impl fmt::Display for PgSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin.0, self.xmax.0)?;
        for (index, xid) in self.xip.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}", xid.0)?;
        }
        Ok(())
    }
}

/// What is wrong with a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PgSnapshotError {
    /// A bound is 0, which is no transaction's id.
    #[error("xmin and xmax are ids of transactions, from 1 on, not 0")]
    ZeroBound,
    /// The bounds are the wrong way round.
    #[error("xmax {xmax} is below xmin {xmin}")]
    BoundsReversed {
        /// The lower bound.
        xmin: u64,
        /// The upper bound.
        xmax: u64,
    },
    /// A running id is not between the bounds.
    #[error("running transaction {xid} is not from {xmin} up to, and without, {xmax}")]
    OutOfBounds {
        /// The id.
        xid: u64,
        /// The lower bound.
        xmin: u64,
        /// The upper bound.
        xmax: u64,
    },
    /// A running id comes after a higher one.
    #[error("running transaction {xid} comes after {previous}: they must ascend")]
    NotAscending {
        /// The id.
        xid: u64,
        /// The one before it.
        previous: u64,
    },
    /// A digit was expected.
    #[error("a transaction id is missing, in decimal digits")]
    NoNumber,
    /// A number beyond 64 bits.
    #[error("a transaction id has at most 64 bits")]
    NumberTooLarge,
    /// A colon was expected.
    #[error("xmin and xmax are each followed by a colon")]
    NoColon,
    /// Something else follows a running id.
    #[error("running transactions are separated by commas, and nothing else follows")]
    NoComma,
}

/// A text that is no snapshot: what is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid input syntax for type pg_snapshot: {text:?}, at byte {position}: {cause}")]
pub struct ParsePgSnapshotError {
    /// The text, its first 80 characters.
    pub text: String,
    /// Where in the text the wrong part begins, in bytes.
    pub position: usize,
    /// What is wrong with it.
    pub cause: PgSnapshotError,
}

impl FromStr for PgSnapshot {
    type Err = ParsePgSnapshotError;

    fn from_str(text: &str) -> Result<PgSnapshot, ParsePgSnapshotError> {
        let mut input = Input { text, position: 0 };
        input.snapshot().map_err(|(position, cause)| ParsePgSnapshotError {
            text: text.chars().take(80).collect(),
            position,
            cause,
        })
    }
}

fn check_bounds(xmin: FullXid, xmax: FullXid) -> Result<(), PgSnapshotError> {
    if xmin.0 == 0 || xmax.0 == 0 {
        Err(PgSnapshotError::ZeroBound)
    } else if xmax < xmin {
        Err(PgSnapshotError::BoundsReversed { xmin: xmin.0, xmax: xmax.0 })
    } else {
        Ok(())
    }
}

fn check_within(xid: FullXid, xmin: FullXid, xmax: FullXid) -> Result<(), PgSnapshotError> {
    if (xmin..xmax).contains(&xid) {
        Ok(())
    } else {
        Err(PgSnapshotError::OutOfBounds { xid: xid.0, xmin: xmin.0, xmax: xmax.0 })
    }
}

/// A text being read.
struct Input<'a> {
    text: &'a str,
    position: usize,
}

type Located<T> = Result<T, (usize, PgSnapshotError)>;

impl Input<'_> {
    fn snapshot(&mut self) -> Located<PgSnapshot> {
        let (_, xmin) = self.number()?;
        self.byte(b':', PgSnapshotError::NoColon)?;
        let (xmax_at, xmax) = self.number()?;
        self.byte(b':', PgSnapshotError::NoColon)?;
        check_bounds(xmin, xmax).map_err(|cause| {
            let at = if xmin.0 == 0 { 0 } else { xmax_at };
            (at, cause)
        })?;
        let mut xip: Vec<FullXid> = Vec::new();
        while self.position < self.text.len() {
            if !xip.is_empty() {
                self.byte(b',', PgSnapshotError::NoComma)?;
            }
            let (at, xid) = self.number()?;
            check_within(xid, xmin, xmax).map_err(|cause| (at, cause))?;
            match xip.last() {
                Some(&previous) if previous == xid => {}
                Some(&previous) if previous > xid => {
                    let (xid, previous) = (xid.0, previous.0);
                    return Err((at, PgSnapshotError::NotAscending { xid, previous }));
                }
                _ => xip.push(xid),
            }
        }
        Ok(PgSnapshot { xmin, xmax, xip })
    }

    /// A number, with where it begins.
    fn number(&mut self) -> Located<(usize, FullXid)> {
        let begin = self.position;
        let rest = &self.text.as_bytes()[begin..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err((begin, PgSnapshotError::NoNumber));
        }
        self.position += digits;
        let number = self.text[begin..self.position].parse();
        let number = number.map_err(|_| (begin, PgSnapshotError::NumberTooLarge))?;
        Ok((begin, FullXid(number)))
    }

    fn byte(&mut self, expected: u8, otherwise: PgSnapshotError) -> Located<()> {
        if self.text.as_bytes().get(self.position) != Some(&expected) {
            return Err((self.position, otherwise));
        }
        self.position += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<PgSnapshot, ParsePgSnapshotError> {
        text.parse()
    }

    /// What PostgreSQL 15.20 answers to `SELECT '...'::pg_snapshot`.
    #[test]
    fn texts_are_taken_as_by_a_server() {
        let taken = [
            ("1:1:", "1:1:"),
            ("738:742:738,740", "738:742:738,740"),
            ("10:20:10,14,15,19", "10:20:10,14,15,19"),
            ("10:20:10,10,14,14", "10:20:10,14"),
            ("1:9223372036854775807:3", "1:9223372036854775807:3"),
            (
                "18446744073709551615:18446744073709551615:",
                "18446744073709551615:18446744073709551615:",
            ),
            ("007:0010:8", "7:10:8"),
        ];
        for (text, printed) in taken {
            assert_eq!(parsed(text).map(|snapshot| snapshot.to_string()), Ok(printed.to_owned()));
        }
        let refused = [
            "",
            ":",
            "1",
            "1:",
            "1:2",
            "::",
            "0:1:",
            "1:0:",
            "31:12:",
            "12:13:0",
            "12:20:14,13",
            "12:20:20",
            "12:20:11",
            "12:20:13;14",
            "12:20:,13",
            "12:20:13,,14",
            "1:2:x",
            "a:b:c",
            "12:16:14,14,13",
            "1 :2:",
            "1: 2 :",
            "12:20:13 ,14",
        ];
        for text in refused {
            assert!(parsed(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_strtoull_would_take_is_refused() {
        for text in [
            "+1:2:",
            "-1:-1:",
            " 1:2:",
            "1: 2:",
            "12:20:13,",
            "12:20: 13",
            "1:18446744073709551616:",
        ] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        let said = |text| parsed(text).expect_err("no snapshot").to_string();
        let prefix = |text: &str, position| {
            format!("invalid input syntax for type pg_snapshot: {text:?}, at byte {position}: ")
        };
        let cases = [
            ("", 0, "a transaction id is missing, in decimal digits"),
            ("12;13:", 2, "xmin and xmax are each followed by a colon"),
            ("12:13", 5, "xmin and xmax are each followed by a colon"),
            ("12:x:", 3, "a transaction id is missing, in decimal digits"),
            ("0:13:", 0, "xmin and xmax are ids of transactions, from 1 on, not 0"),
            ("12:0:", 3, "xmin and xmax are ids of transactions, from 1 on, not 0"),
            ("31:12:", 3, "xmax 12 is below xmin 31"),
            ("12:20:13,20", 9, "running transaction 20 is not from 12 up to, and without, 20"),
            ("12:20:14,13", 9, "running transaction 13 comes after 14: they must ascend"),
            (
                "12:20:13é",
                8,
                "running transactions are separated by commas, and nothing else follows",
            ),
            ("12:20:13,", 9, "a transaction id is missing, in decimal digits"),
            ("1:99999999999999999999:", 2, "a transaction id has at most 64 bits"),
        ];
        for (text, position, cause) in cases {
            assert_eq!(said(text), prefix(text, position) + cause);
        }
    }

    #[test]
    fn bounds_decide_before_the_list() {
        let snapshot = PgSnapshot::new(FullXid(10), FullXid(20), vec![FullXid(15), FullXid(12)])
            .expect("a snapshot");
        let seen: Vec<u64> = (8..22).filter(|&xid| snapshot.sees(FullXid(xid))).collect();
        assert_eq!(seen, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
        let error = PgSnapshot::new(FullXid(10), FullXid(20), vec![FullXid(20)]);
        assert_eq!(error, Err(PgSnapshotError::OutOfBounds { xid: 20, xmin: 10, xmax: 20 }));
    }

    proptest! {
        #[test]
        fn texts_round_trip(xmin in 1..u64::MAX, span: u64, places in prop::collection::vec(any::<u64>(), 0..50)) {
            let xmax = xmin.saturating_add(span);
            let within = |place: u64| FullXid(xmin + place % (xmax - xmin));
            let xip = if xmin == xmax { vec![] } else { places.into_iter().map(within).collect() };
            let snapshot = PgSnapshot::new(FullXid(xmin), FullXid(xmax), xip).expect("in order");
            prop_assert_eq!(parsed(&snapshot.to_string()), Ok(snapshot));
        }

        #[test]
        fn any_text_has_an_answer(text in "[0-9:, +-]{0,40}|.{0,40}") {
            if let Ok(snapshot) = parsed(&text) {
                prop_assert_eq!(parsed(&snapshot.to_string()), Ok(snapshot));
            }
        }
    }
}
