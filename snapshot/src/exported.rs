//! The text of an exported snapshot, as PostgreSQL 15 puts it into a file of `pg_snapshots`.
//!
//! ```text
//! vxid:3/27          the exporter's session, from 1 on, and its transaction
//! pid:4711           its process
//! dbid:5             its database
//! iso:2              its level: 0 read uncommitted, 1 read committed, 2 repeatable read, 3 serializable
//! ro:0               whether it only reads
//! xmin:740
//! xmax:746
//! xcnt:2             so many lines of running transactions follow
//! xip:740
//! xip:743
//! sof:0              1: running subtransactions are missing in what follows
//! sxcnt:1            so many lines of them follow
//! sxp:744
//! rec:0              whether it was taken during recovery
//! start_ts:8471...   of a snapshot by commit timestamp, in microseconds since 2000; no server reads so far
//! ```
//!
//! Invariants: what is read has its bounds in order, lists no more ids than the reader has room for, and none outside of
//! the bounds but for subtransactions, which may have begun while the list was made; what was written is read as it was.
//! Where `sof` is 1, servers up to 15.18 leave `sxcnt` out, and later ones (15.20) write and want it; here it is written,
//! and not missed. Source: `ExportSnapshot` and `ImportSnapshot` of `utils/time/snapmgr.c`.

use std::fmt;
use std::str::FromStr;

use base::{Oid, TimestampTz, Xid};

use crate::classic::Contents;

/// A level as the file has it: `XACT_READ_COMMITTED`.
pub const READ_COMMITTED: u32 = 1;
/// `XACT_REPEATABLE_READ`
pub const REPEATABLE_READ: u32 = 2;

/// A snapshot that one transaction hands to others, with what they must know of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportedSnapshot {
    /// The exporter's session, from 1 on.
    pub session: u32,
    /// Which of its transactions, from 1 on.
    pub transaction: u32,
    /// Its process.
    pub process: u32,
    /// Its database.
    pub database: Oid,
    /// Its level: [`READ_COMMITTED`], [`REPEATABLE_READ`], or another one of a server's.
    pub isolation: u32,
    /// Whether it only reads.
    pub is_read_only: bool,
    /// Who counts as running, the exporter and its subtransactions among them.
    pub contents: Contents,
    /// The start of a snapshot by commit timestamp.
    pub start_ts: Option<TimestampTz>,
}

/// A text that is no exported snapshot.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct ParseExportedError {
    /// The line, from 1 on.
    pub line: usize,
    /// What should stand there.
    pub expected: String,
}

impl fmt::Display for ExportedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { xmin, xmax, xip, subxip, suboverflowed, taken_during_recovery } =
            &self.contents;
        writeln!(f, "vxid:{}/{}", self.session, self.transaction)?;
        writeln!(f, "pid:{}", self.process)?;
        writeln!(f, "dbid:{}", self.database)?;
        writeln!(f, "iso:{}", self.isolation)?;
        writeln!(f, "ro:{}", u8::from(self.is_read_only))?;
        writeln!(f, "xmin:{xmin}")?;
        writeln!(f, "xmax:{xmax}")?;
        writeln!(f, "xcnt:{}", xip.len())?;
        xip.iter().try_for_each(|xid| writeln!(f, "xip:{xid}"))?;
        writeln!(f, "sof:{}", u8::from(*suboverflowed))?;
        writeln!(f, "sxcnt:{}", subxip.len())?;
        subxip.iter().try_for_each(|xid| writeln!(f, "sxp:{xid}"))?;
        writeln!(f, "rec:{}", u8::from(*taken_during_recovery))?;
        self.start_ts.iter().try_for_each(|start| writeln!(f, "start_ts:{}", start.0))
    }
}

impl ExportedSnapshot {
    /// Reads the text of a file. It may list so many transactions, and so many subtransactions.
    ///
    /// # Errors
    /// [`ParseExportedError`] where a line is not what it must be.
    pub fn read(
        text: &str,
        most_xids: usize,
        most_subxids: usize,
    ) -> Result<ExportedSnapshot, ParseExportedError> {
        let mut lines = Lines { lines: text.split_inclusive('\n'), line: 0 };
        let (session, transaction) =
            lines.next("vxid", "a session, a slash, a transaction", |value| {
                let (session, transaction) = value.split_once('/')?;
                let (session, transaction) = (number(session)?, number(transaction)?);
                (session > 0 && transaction > 0).then_some((session, transaction))
            })?;
        let process = lines.number("pid")?;
        let database =
            lines.next("dbid", "a database", |value| number(value).filter(|&id| id > 0))?;
        let isolation =
            lines.next("iso", "0 to 3", |value| number(value).filter(|&level| level < 4))?;
        let is_read_only = lines.flag("ro")?;
        let xid = |value: &str| number(value).map(Xid).filter(|xid| xid.is_normal());
        let xmin = lines.next("xmin", "a transaction's id", xid)?;
        let xmax = lines.next("xmax", "an id that is not before xmin", |value| {
            xid(value).filter(|xmax| !xmax.precedes(xmin))
        })?;
        let xip =
            lines.list("xcnt", most_xids, "xip", "an id from xmin to below xmax", |value| {
                xid(value).filter(|xid| !xid.precedes(xmin) && xid.precedes(xmax))
            })?;
        let suboverflowed = lines.flag("sof")?;
        let subxip = match suboverflowed && !lines.is_next("sxcnt") {
            true => Vec::new(),
            false => lines.list(
                "sxcnt",
                most_subxids,
                "sxp",
                "an id that is not before xmin",
                |value| xid(value).filter(|xid| !xid.precedes(xmin)),
            )?,
        };
        let taken_during_recovery = lines.flag("rec")?;
        let start_ts = match lines.is_over() {
            true => None,
            false => Some(TimestampTz(lines.number("start_ts")?)),
        };
        lines.end()?;
        let contents = Contents { xmin, xmax, xip, subxip, suboverflowed, taken_during_recovery };
        Ok(ExportedSnapshot {
            session,
            transaction,
            process,
            database,
            isolation,
            is_read_only,
            contents,
            start_ts,
        })
    }
}

/// Digits alone, without a sign or a leading zero, as they are printed.
fn number<T: FromStr>(value: &str) -> Option<T> {
    let is_printed = value.bytes().all(|byte| byte.is_ascii_digit())
        && (value == "0" || !value.starts_with('0'));
    value.parse().ok().filter(|_| is_printed)
}

struct Lines<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    /// How many were read.
    line: usize,
}

impl<'a> Lines<'a> {
    /// The value of the next line, which has this name.
    fn next<T>(
        &mut self,
        name: &str,
        expected: &str,
        value: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, ParseExportedError> {
        self.line += 1;
        let line = self.lines.next().and_then(|line| line.strip_suffix('\n'));
        let named = line.and_then(|line| line.strip_prefix(name)?.strip_prefix(':'));
        named.and_then(value).ok_or_else(|| self.error(&format!("\"{name}:\" and {expected}")))
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Result<T, ParseExportedError> {
        self.next(name, "a number", number)
    }

    fn flag(&mut self, name: &str) -> Result<bool, ParseExportedError> {
        self.next(name, "0 or 1", |value| match value {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        })
    }

    /// A count of at most so many, and so many lines.
    fn list<T>(
        &mut self,
        count: &str,
        most: usize,
        name: &str,
        expected: &str,
        value: impl Fn(&'a str) -> Option<T>,
    ) -> Result<Vec<T>, ParseExportedError> {
        let in_words = format!("a count of at most {most}");
        let length =
            self.next(count, &in_words, |value| number(value).filter(|&it: &usize| it <= most))?;
        (0..length).map(|_| self.next(name, expected, &value)).collect()
    }

    fn is_next(&self, name: &str) -> bool {
        let next = self.lines.clone().next();
        next.and_then(|line| line.strip_prefix(name)).is_some_and(|rest| rest.starts_with(':'))
    }

    fn is_over(&self) -> bool {
        self.lines.clone().next().is_none()
    }

    fn end(&mut self) -> Result<(), ParseExportedError> {
        self.line += 1;
        if self.is_over() { Ok(()) } else { Err(self.error("the end")) }
    }

    fn error(&self, expected: &str) -> ParseExportedError {
        ParseExportedError { line: self.line, expected: expected.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "vxid:3/27\npid:4711\ndbid:5\niso:2\nro:0\nxmin:740\nxmax:746\nxcnt:2\nxip:740\nxip:743\nsof:0\n\
                        sxcnt:1\nsxp:744\nrec:0\n";

    fn read(text: &str) -> Result<ExportedSnapshot, ParseExportedError> {
        ExportedSnapshot::read(text, 2, 3)
    }

    #[test]
    fn what_is_written_is_read() {
        let read_back = read(TEXT).expect("sound");
        assert_eq!(read_back.contents.xip, [Xid(740), Xid(743)]);
        assert_eq!(read_back.contents.subxip, [Xid(744)]);
        assert_eq!(read_back.to_string(), TEXT);
        let by_time = format!("{TEXT}start_ts:847123456789012\n");
        let read_back = read(&by_time).expect("sound");
        assert_eq!(read_back.start_ts, Some(TimestampTz(847_123_456_789_012)));
        assert_eq!(read_back.to_string(), by_time);
        let overflowed = TEXT.replace("sof:0\nsxcnt:1\nsxp:744\n", "sof:1\nsxcnt:0\n");
        assert_eq!(read(&overflowed).expect("sound").to_string(), overflowed);
        let without = overflowed.replace("sxcnt:0\n", "");
        assert_eq!(read(&without).expect("sound").to_string(), overflowed);
        // Across the end of the ids.
        let wrapped = TEXT.replace("xmax:746", "xmax:5").replace("740", "4294967290");
        let wrapped = wrapped.replace("xip:743", "xip:3").replace("sxp:744", "sxp:4");
        assert_eq!(read(&wrapped).expect("sound").to_string(), wrapped);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let error = |from: &str, to: &str| {
            assert!(TEXT.contains(from), "{from}");
            read(&TEXT.replace(from, to)).expect_err("refused").to_string()
        };
        let vxid = "line 1: expected \"vxid:\" and a session, a slash, a transaction";
        assert_eq!(error("3/27", "0/27"), vxid);
        assert_eq!(error("3/27", "3/0"), vxid);
        assert_eq!(error("3/27", "3"), vxid);
        assert_eq!(error("dbid:5", "dbid:0"), "line 3: expected \"dbid:\" and a database");
        assert_eq!(error("ro:0", "ro:2"), "line 5: expected \"ro:\" and 0 or 1");
        assert_eq!(
            error("xmin:740", "xmin:2"),
            "line 6: expected \"xmin:\" and a transaction's id"
        );
        assert_eq!(
            error("xmax:746", "xmax:739"),
            "line 7: expected \"xmax:\" and an id that is not before xmin"
        );
        assert_eq!(
            error("xcnt:2", "xcnt:3"),
            "line 8: expected \"xcnt:\" and a count of at most 2"
        );
        assert_eq!(error("xcnt:2", "xcnt:1"), "line 10: expected \"sof:\" and 0 or 1");
        assert_eq!(
            error("xip:743", "xip:746"),
            "line 10: expected \"xip:\" and an id from xmin to below xmax"
        );
        for other in ["xip:+743", "xip:0743", "xip: 743", "xip:"] {
            assert!(error("xip:743", other).starts_with("line 10: expected \"xip:\""), "{other}");
        }
        assert_eq!(error("rec:0\n", "rec:0"), "line 14: expected \"rec:\" and 0 or 1");
        assert_eq!(
            error("rec:0\n", "rec:0\nmore\n"),
            "line 15: expected \"start_ts:\" and a number"
        );
        assert_eq!(error("rec:0\n", "rec:0\nstart_ts:1\n\n"), "line 16: expected the end");
    }

    #[test]
    fn no_change_of_a_byte_makes_it_panic() {
        for at in 0..TEXT.len() {
            for byte in [b'0', b'9', b'\n', b':', b'-', b'/'] {
                let mut changed = TEXT.as_bytes().to_vec();
                changed[at] = byte;
                let changed = String::from_utf8(changed).expect("ASCII");
                // Whatever is taken is printed as it was.
                if let Ok(read_back) = read(&changed) {
                    assert_eq!(read_back.to_string(), changed);
                }
            }
            assert!(read(&TEXT[..at]).is_err(), "cut off at {at}");
        }
    }
}
