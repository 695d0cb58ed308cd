//! The record that prepares a transaction for a later commit: the image of its two-phase state.
//!
//! ```text
//! offset  size  xl_xact_prepare, 72 bytes
//!      0     4  magic
//!      4     4  total_len
//!      8     4  xid
//!     12     4  database
//!     16     8  prepared_at
//!     24     4  owner
//!     28     4  nsubxacts
//!     32     4  ncommitrels
//!     36     4  nabortrels
//!     40     4  ncommitstats
//!     44     4  nabortstats
//!     48     4  ninvalmsgs
//!     52     1  initfileinval
//!     54     2  gidlen, the closing 0 included
//!     56     8  origin_lsn
//!     64     8  origin_timestamp
//! ```
//!
//! The identifier and the six arrays follow, in the order of their counts, each padded to 8 bytes; then
//! the state of the subsystems that take part, which is not taken apart here.
//! Source: `access/xact.h`, `ParsePrepareRecord`.

use base::{Oid, RelFileLocator, TimestampTz, Xid};
use serde::Serialize;

use super::completion::OriginPosition;
use super::{DroppedStats, push_relations, push_subxids};
use crate::record::Record;
use crate::rmgr::invalidation::{Invalidation, Invalidations};
use crate::rmgr::{Array, Cursor, PayloadError};
use crate::text::Text;

/// `xl_xact_prepare` with what follows it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Prepare<'a> {
    /// Format of the state: 0x57F94534.
    pub magic: u32,
    /// Length of the state file in bytes, its checksum included.
    pub total_length: u32,
    /// The transaction.
    pub prepared_xid: Xid,
    /// Its database.
    pub database: Oid,
    /// When it was prepared.
    pub time: TimestampTz,
    /// The role that runs it.
    pub owner: Oid,
    /// Its global identifier.
    #[serde(serialize_with = "crate::rmgr::custom::lossy_text")]
    pub gid: &'a [u8],
    /// Its subtransactions.
    pub subxids: Array<'a, Xid>,
    /// Relations whose files go if it commits.
    pub commit_relations: Array<'a, RelFileLocator>,
    /// Relations whose files go if it aborts.
    pub abort_relations: Array<'a, RelFileLocator>,
    /// Statistics that go if it commits.
    pub commit_stats: DroppedStats<'a>,
    /// Statistics that go if it aborts.
    pub abort_stats: DroppedStats<'a>,
    /// Invalidation messages, sent if it commits.
    pub invalidations: Array<'a, Invalidation>,
    /// Whether the relation cache's init files go if it commits.
    pub relcache_init_file: bool,
    /// Where it came from; without meaning unless the record says an origin.
    pub origin: OriginPosition,
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Prepare<'a>, PayloadError> {
    let version = record.version();
    let mut cursor = Cursor::new("xl_xact_prepare", record.main_data());
    let (magic, total_length) = (cursor.u32()?, cursor.u32()?);
    let (prepared_xid, database) = (cursor.xid()?, cursor.u32()?);
    let (time, owner) = (cursor.time()?, cursor.u32()?);
    let mut counts = [0; 6];
    for count in &mut counts {
        *count = cursor.count()?;
    }
    let relcache_init_file = cursor.bool()?;
    cursor.align(2)?;
    let gid_length = cursor.u16()?;
    let origin = OriginPosition { lsn: cursor.lsn()?, time: cursor.time()? };
    let gid = cursor.bytes(usize::from(gid_length))?;
    let gid = gid.split(|&byte| byte == 0).next().unwrap_or_default();
    let [subxids, commit_relations, abort_relations, commit_stats, abort_stats, invalidations] =
        counts;
    cursor.align(8)?;
    let subxids = cursor.array(subxids)?;
    cursor.align(8)?;
    let commit_relations = cursor.array(commit_relations)?;
    cursor.align(8)?;
    let abort_relations = cursor.array(abort_relations)?;
    cursor.align(8)?;
    let commit_stats = DroppedStats::read(version, commit_stats, &mut cursor)?;
    cursor.align(8)?;
    let abort_stats = DroppedStats::read(version, abort_stats, &mut cursor)?;
    cursor.align(8)?;
    let invalidations = cursor.array(invalidations)?;
    Ok(Prepare {
        magic,
        total_length,
        prepared_xid,
        database,
        time,
        owner,
        gid,
        subxids,
        commit_relations,
        abort_relations,
        commit_stats,
        abort_stats,
        invalidations,
        relcache_init_file,
        origin,
    })
}

impl Prepare<'_> {
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        out.str("gid ").bytes(self.gid).str(": ").time(self.time);
        push_relations(record.version(), "rels(commit)", self.commit_relations, out);
        push_relations(record.version(), "rels(abort)", self.abort_relations, out);
        self.commit_stats.describe("commit ", out);
        self.abort_stats.describe("abort ", out);
        push_subxids(self.subxids, out);
        let invalidations = Invalidations {
            database: self.database,
            tablespace: 0,
            relcache_init_file: self.relcache_init_file,
            messages: self.invalidations,
        };
        invalidations.describe(record.version(), out);
        if record.origin().is_some() {
            self.origin.describe(record, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};
    use crate::version::Version;

    const TIME: TimestampTz = TimestampTz(848_484_173_000_000);

    fn with_all(version: Version) -> TestRecord {
        let item = |bytes: Bytes, object| {
            let bytes = bytes.i32(2).u32s(&[5, object]);
            if version >= Version::V18 { bytes.u32(0) } else { bytes }
        };
        let bytes = Bytes::default().u32s(&[0x57F9_4534, 500, 740, 5]).i64(TIME.0).u32(10);
        let bytes = bytes.i32(1).i32(1).i32(2).i32(1).i32(1).i32(1).u8(1).align(2).u16(3);
        let bytes = bytes.u64(0x16B_3748).i64(TIME.0).bytes(b"g1\0").align(8);
        let bytes = bytes.u32(741).align(8).locator(LOCATOR).align(8);
        let bytes = bytes.locator(LOCATOR).locator(LOCATOR).align(8);
        let bytes = item(item(bytes, 16384).align(8), 16387).align(8);
        let bytes = bytes.i8(5).zeros(3).u32s(&[5, 77, 0]).bytes(&[9; 8]);
        let mut record = TestRecord::new(version, 1, 0x10).main(bytes);
        record.origin = 3;
        record
    }

    #[test]
    fn every_part_is_printed() {
        let mut time = Text::default();
        time.time(TIME);
        let time = String::from_utf8_lossy(time.as_bytes());
        for version in Version::ALL {
            let expected = format!(
                "PREPARE gid g1: {time}; rels(commit): base/5/16384; \
                 rels(abort): base/5/16384 base/5/16384; commit dropped stats: 2/5/16384; \
                 abort dropped stats: 2/5/16387; subxacts: 741; \
                 relcache init file inval dbid 5 tsid 0; inval msgs: catcache 5; \
                 origin: node 3, lsn 0/16B3748, at {time}"
            );
            assert_eq!(with_all(version).text(), expected);
        }
        let json = with_all(Version::V18).json();
        assert_eq!(json["gid"], "g1");
        assert_eq!(json["abort_stats"][0]["object"], 16387);
    }

    #[test]
    fn damage_is_no_panic() {
        for version in [Version::V17, Version::V18] {
            with_all(version).truncated_anywhere();
            with_all(version).overwritten_anywhere();
        }
    }
}
