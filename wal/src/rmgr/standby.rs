//! Resource manager 8, Standby: what a hot standby needs to know of the primary's transactions and locks.

use base::{Oid, Xid};
use serde::Serialize;

use super::encode::Bytes as _;
use super::invalidation::Invalidations;
use super::{Array, Cursor, Element, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const LOCK: u8 = 0x00;
/// Info byte of a snapshot of the running transactions.
pub const RUNNING_XACTS: u8 = 0x10;
const INVALIDATIONS: u8 = 0x20;

/// The payload of a Standby record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Standby<'a> {
    /// Access exclusive locks that are held.
    Lock(Lock<'a>),
    /// A snapshot of the running transactions.
    RunningXacts(RunningXacts<'a>),
    /// Invalidations of a transaction that had no id.
    Invalidations(Invalidations<'a>),
}

/// `xl_standby_locks`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Lock<'a> {
    /// The locks, all of them access exclusive.
    pub locks: Array<'a, HeldLock>,
}

/// `xl_standby_lock`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldLock {
    /// The holder.
    pub xid: Xid,
    /// Database of the table.
    pub database: Oid,
    /// The table.
    pub relation: Oid,
}

impl Element for HeldLock {
    const SIZE: usize = 12;
    #[inline]
    fn read(bytes: &[u8]) -> HeldLock {
        HeldLock {
            xid: Xid::read(&bytes[..4]),
            database: u32::read(&bytes[4..8]),
            relation: u32::read(&bytes[8..12]),
        }
    }
}

/// `xl_running_xacts`
///
/// ```text
/// offset  size
///      0     4  xcnt
///      4     4  subxcnt
///      8     1  subxid_overflow (3 bytes of padding)
///     12     4  nextXid
///     16     4  oldestRunningXid
///     20     4  latestCompletedXid
///     24        xids[xcnt + subxcnt]: top-level ones first
/// ```
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RunningXacts<'a> {
    /// The next id to be assigned.
    pub next_xid: Xid,
    /// The newest id whose transaction had ended.
    pub latest_completed_xid: Xid,
    /// The oldest running one.
    pub oldest_running_xid: Xid,
    /// Whether subtransactions are missing, since a backend had more than it remembers.
    pub subxid_overflow: bool,
    /// Running top-level transactions.
    pub xids: Array<'a, Xid>,
    /// Running subtransactions; 15 carries them too but does not print them.
    pub subxids: Array<'a, Xid>,
}

/// Appends the payload of a record of running transactions.
pub fn encode_running_xacts(
    next_xid: Xid,
    oldest_running: Xid,
    latest_completed: Xid,
    xids: &[Xid],
    subxids: &[Xid],
    subxid_overflow: bool,
    out: &mut Vec<u8>,
) {
    out.u32(xids.len() as u32);
    out.u32(subxids.len() as u32);
    out.u32(u32::from(subxid_overflow));
    for xid in [next_xid, oldest_running, latest_completed].iter().chain(xids).chain(subxids) {
        out.xid(*xid);
    }
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    match info & 0xF0 {
        LOCK => Some("LOCK"),
        RUNNING_XACTS => Some("RUNNING_XACTS"),
        INVALIDATIONS => Some("INVALIDATIONS"),
        _ => None,
    }
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let data = record.main_data();
    let payload = match record.info() {
        LOCK => {
            let mut cursor = Cursor::new("xl_standby_locks", data);
            Standby::Lock(Lock { locks: cursor.counted_array()? })
        }
        RUNNING_XACTS => Standby::RunningXacts(running_xacts(data)?),
        INVALIDATIONS => {
            let mut cursor = Cursor::new("xl_invalidations", data);
            let (database, tablespace) = (cursor.u32()?, cursor.u32()?);
            let relcache_init_file = cursor.bool()?;
            cursor.align(4)?;
            let messages = cursor.counted_array()?;
            Standby::Invalidations(Invalidations {
                database,
                tablespace,
                relcache_init_file,
                messages,
            })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Standby(payload))
}

fn running_xacts(data: &[u8]) -> Result<RunningXacts<'_>, PayloadError> {
    let mut cursor = Cursor::new("xl_running_xacts", data);
    let (count, subxid_count) = (cursor.count()?, cursor.count()?);
    let subxid_overflow = cursor.bool()?;
    cursor.align(4)?;
    Ok(RunningXacts {
        subxid_overflow,
        next_xid: cursor.xid()?,
        oldest_running_xid: cursor.xid()?,
        latest_completed_xid: cursor.xid()?,
        xids: cursor.array(count)?,
        subxids: cursor.array(subxid_count)?,
    })
}

impl Standby<'_> {
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        match self {
            Standby::Lock(Lock { locks }) => {
                for lock in locks.iter() {
                    out.str("xid ").xid(lock.xid).str(" db ").int(lock.database);
                    out.str(" rel ").int(lock.relation).str(" ");
                }
            }
            Standby::RunningXacts(running) => running.describe(record.version(), out),
            Standby::Invalidations(invalidations) => {
                invalidations.describe(record.version(), out);
            }
        }
    }
}

impl RunningXacts<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        out.str("nextXid ").xid(self.next_xid);
        out.str(" latestCompletedXid ").xid(self.latest_completed_xid);
        out.str(" oldestRunningXid ").xid(self.oldest_running_xid);
        push_xids(out, " xacts:", self.xids);
        if self.subxid_overflow {
            let spelled_out = version >= Version::V16;
            out.str(if spelled_out { "; subxid overflowed" } else { "; subxid ovf" });
        }
        if version >= Version::V16 {
            push_xids(out, " subxacts:", self.subxids);
        }
    }
}

fn push_xids(out: &mut Text, label: &str, xids: Array<'_, Xid>) {
    if xids.is_empty() {
        return;
    }
    out.str("; ").int(xids.len()).str(label);
    for xid in xids.iter() {
        out.str(" ").xid(xid);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    const RMID: u8 = 8;

    fn running(version: Version, overflow: u8) -> TestRecord {
        TestRecord::new(version, RMID, RUNNING_XACTS).main(
            Bytes::default()
                .i32(2)
                .i32(1)
                .u8(overflow)
                .align(4)
                .u32(740)
                .u32(735)
                .u32(739)
                .u32(735)
                .u32(737)
                .u32(738),
        )
    }

    #[test]
    fn running_transactions_are_listed_and_subtransactions_from_16_on() {
        const START: &str = "RUNNING_XACTS nextXid 740 latestCompletedXid 739 \
                             oldestRunningXid 735; 2 xacts: 735 737";
        assert_eq!(running(Version::V15, 0).text(), START);
        assert_eq!(running(Version::V15, 1).text(), format!("{START}; subxid ovf"));
        for version in [Version::V16, Version::V17, Version::V18] {
            let expected = format!("{START}; subxid overflowed; 1 subxacts: 738");
            assert_eq!(running(version, 1).text(), expected);
        }
        assert_eq!(running(Version::V15, 0).json()["subxids"], serde_json::json!([738]));
    }

    #[test]
    fn nothing_running_prints_no_list() {
        let idle = TestRecord::new(Version::V17, RMID, RUNNING_XACTS)
            .main(Bytes::default().zeros(12).u32(740).u32(740).u32(739));
        assert_eq!(
            idle.text(),
            "RUNNING_XACTS nextXid 740 latestCompletedXid 739 oldestRunningXid 740"
        );
    }

    fn locks() -> TestRecord {
        TestRecord::new(Version::V15, RMID, LOCK)
            .main(Bytes::default().i32(2).u32(735).u32(5).u32(16384).u32(736).u32(5).u32(16387))
    }

    fn invalidations() -> TestRecord {
        TestRecord::new(Version::V15, RMID, INVALIDATIONS).main(
            Bytes::default()
                .u32(5)
                .u32(1663)
                .u8(1)
                .align(4)
                .i32(2)
                .u8(7)
                .align(4)
                .u32(5)
                .u32(0xABCD)
                .zeros(4)
                .u8(0xFE)
                .zeros(3)
                .u32(5)
                .u32(1259)
                .zeros(4),
        )
    }

    #[test]
    fn locks_end_in_a_space() {
        assert_eq!(locks().text(), "LOCK xid 735 db 5 rel 16384 xid 736 db 5 rel 16387 ");
        assert_eq!(locks().json()["locks"][1]["relation"], 16387);
    }

    #[test]
    fn invalidations_have_their_shared_text() {
        assert_eq!(
            invalidations().text(),
            "INVALIDATIONS ; relcache init file inval dbid 5 tsid 1663; \
             inval msgs: catcache 7 relcache 1259"
        );
        assert_eq!(invalidations().json()["messages"][0]["kind"], "catcache");
    }

    #[test]
    fn damage_is_no_panic() {
        for record in [running(Version::V18, 1), locks(), invalidations()] {
            record.truncated_anywhere();
            record.overwritten_anywhere();
        }
        assert_eq!(TestRecord::new(Version::V15, RMID, 0x30).text(), "UNKNOWN (30) ");
        assert!(TestRecord::new(Version::V15, RMID, LOCK).text().contains("malformed payload"));
    }
}
