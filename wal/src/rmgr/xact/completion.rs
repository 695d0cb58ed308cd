//! The records that end a transaction: commit and abort, of prepared ones too.
//!
//! ```text
//! size                  part of xl_xact_commit, xl_xact_abort       present where
//!    8                  xact_time                                   always
//!    4                  xinfo                                       info bit 0x80
//!    8                  database, tablespace                        HAS_DBINFO
//!    4 + 4n             subtransactions                             HAS_SUBXACTS
//!    4 + 12n            relations whose files go                    HAS_RELFILELOCATORS
//!    4 + 12n or 16n     statistics that go                          HAS_DROPPED_STATS
//!    4 + 16n            invalidation messages                       HAS_INVALS, of a commit only
//!    4                  xid of the prepared transaction             HAS_TWOPHASE
//!    string             its global identifier, closed by 0          HAS_TWOPHASE and HAS_GID
//!   16                  position and time at the origin, unaligned  HAS_ORIGIN
//! ```
//!
//! Source: `access/xact.h`, `ParseCommitRecord`, `ParseAbortRecord`.

use base::{Lsn, Oid, RelFileLocator, TimestampTz, Xid};
use serde::Serialize;

use super::{DroppedStats, push_relations, push_subxids};
use crate::record::Record;
use crate::rmgr::flags::flags;
use crate::rmgr::invalidation::{Invalidation, Invalidations};
use crate::rmgr::{Array, Cursor, PayloadError};
use crate::text::Text;

/// `XLOG_XACT_HAS_INFO`
const HAS_INFO: u8 = 0x80;

flags! {
    /// `xinfo`: which parts follow, and what else ends with the transaction.
    pub struct CompletionFlags: u32 {
        /// The database and its tablespace follow.
        const HAS_DBINFO = 1 << 0;
        /// Subtransactions follow.
        const HAS_SUBXACTS = 1 << 1;
        /// Relations follow whose files go.
        const HAS_RELFILELOCATORS = 1 << 2;
        /// Invalidation messages follow.
        const HAS_INVALS = 1 << 3;
        /// The transaction had been prepared.
        const HAS_TWOPHASE = 1 << 4;
        /// Position and time at the origin follow.
        const HAS_ORIGIN = 1 << 5;
        /// The transaction held access exclusive locks.
        const HAS_AE_LOCKS = 1 << 6;
        /// A prepared transaction's global identifier follows.
        const HAS_GID = 1 << 7;
        /// Statistics follow that go.
        const HAS_DROPPED_STATS = 1 << 8;
        /// The committer waits until a standby has applied it.
        const APPLY_FEEDBACK = 1 << 29;
        /// The relation cache's init files go.
        const UPDATE_RELCACHE_FILE = 1 << 30;
        /// Replay must flush before it goes on.
        const FORCE_SYNC_COMMIT = 1 << 31;
    }
}

/// `xl_xact_commit` or `xl_xact_abort` with all that follows it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Completion<'a> {
    /// When it ended.
    pub time: TimestampTz,
    /// `xinfo`; none where the record does not carry it.
    #[serde(skip_serializing_if = "CompletionFlags::is_empty")]
    pub flags: CompletionFlags,
    /// The transaction's database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Oid>,
    /// That database's tablespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<Oid>,
    /// Subtransactions that end with it.
    #[serde(skip_serializing_if = "Array::is_empty")]
    pub subxids: Array<'a, Xid>,
    /// Relations whose files go.
    #[serde(skip_serializing_if = "Array::is_empty")]
    pub dropped_relations: Array<'a, RelFileLocator>,
    /// Statistics that go.
    #[serde(skip_serializing_if = "DroppedStats::is_empty")]
    pub dropped_stats: DroppedStats<'a>,
    /// Invalidation messages; an abort has none.
    #[serde(skip_serializing_if = "Array::is_empty")]
    pub invalidations: Array<'a, Invalidation>,
    /// Id of the prepared transaction that ended; the record itself has another or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepared_xid: Option<Xid>,
    /// The prepared transaction's global identifier.
    #[serde(serialize_with = "serialize_gid", skip_serializing_if = "Option::is_none")]
    pub gid: Option<&'a [u8]>,
    /// Where it came from; the record says the origin's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginPosition>,
}

/// `xl_xact_origin`: where a replicated transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OriginPosition {
    /// Position at the origin.
    pub lsn: Lsn,
    /// Time at the origin.
    pub time: TimestampTz,
}

fn serialize_gid<S: serde::Serializer>(
    gid: &Option<&[u8]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    crate::rmgr::custom::lossy_text(gid.unwrap_or_default(), serializer)
}

pub(super) fn decode_commit<'a>(record: &Record<'a>) -> Result<Completion<'a>, PayloadError> {
    decode(record, "xl_xact_commit", true)
}

pub(super) fn decode_abort<'a>(record: &Record<'a>) -> Result<Completion<'a>, PayloadError> {
    decode(record, "xl_xact_abort", false)
}

#[inline]
fn decode<'a>(
    record: &Record<'a>,
    what: &'static str,
    may_invalidate: bool,
) -> Result<Completion<'a>, PayloadError> {
    let mut cursor = Cursor::new(what, record.main_data());
    let mut completion = Completion {
        time: cursor.time()?,
        flags: CompletionFlags::empty(),
        database: None,
        tablespace: None,
        subxids: Array::EMPTY,
        dropped_relations: Array::EMPTY,
        dropped_stats: DroppedStats::EMPTY,
        invalidations: Array::EMPTY,
        prepared_xid: None,
        gid: None,
        origin: None,
    };
    if record.info() & HAS_INFO != 0 {
        decode_parts(record, &mut cursor, may_invalidate, &mut completion)?;
    }
    Ok(completion)
}

fn decode_parts<'a>(
    record: &Record<'a>,
    cursor: &mut Cursor<'a>,
    may_invalidate: bool,
    completion: &mut Completion<'a>,
) -> Result<(), PayloadError> {
    let flags = CompletionFlags::from_bits_retain(cursor.u32()?);
    completion.flags = flags;
    if flags.contains(CompletionFlags::HAS_DBINFO) {
        completion.database = Some(cursor.u32()?);
        completion.tablespace = Some(cursor.u32()?);
    }
    if flags.contains(CompletionFlags::HAS_SUBXACTS) {
        completion.subxids = cursor.counted_array()?;
    }
    if flags.contains(CompletionFlags::HAS_RELFILELOCATORS) {
        completion.dropped_relations = cursor.counted_array()?;
    }
    if flags.contains(CompletionFlags::HAS_DROPPED_STATS) {
        let count = cursor.count()?;
        completion.dropped_stats = DroppedStats::read(record.version(), count, cursor)?;
    }
    if may_invalidate && flags.contains(CompletionFlags::HAS_INVALS) {
        completion.invalidations = cursor.counted_array()?;
    }
    if flags.contains(CompletionFlags::HAS_TWOPHASE) {
        completion.prepared_xid = Some(cursor.xid()?);
        if flags.contains(CompletionFlags::HAS_GID) {
            completion.gid = Some(cursor.c_string()?);
        }
    }
    if flags.contains(CompletionFlags::HAS_ORIGIN) {
        completion.origin = Some(OriginPosition { lsn: cursor.lsn()?, time: cursor.time()? });
    }
    Ok(())
}

impl Completion<'_> {
    #[inline]
    pub(super) fn describe_commit(&self, record: &Record<'_>, out: &mut Text) {
        self.describe_start(record, out);
        if self.flags.is_empty() {
            return;
        }
        self.dropped_stats.describe("", out);
        let invalidations = Invalidations {
            database: self.database.unwrap_or(0),
            tablespace: self.tablespace.unwrap_or(0),
            relcache_init_file: self.flags.contains(CompletionFlags::UPDATE_RELCACHE_FILE),
            messages: self.invalidations,
        };
        invalidations.describe(record.version(), out);
        if self.flags.contains(CompletionFlags::APPLY_FEEDBACK) {
            out.str("; apply_feedback");
        }
        if self.flags.contains(CompletionFlags::FORCE_SYNC_COMMIT) {
            out.str("; sync");
        }
        self.describe_origin(record, out);
    }

    /// As a commit's, but in another order and without what an abort does not have.
    pub(super) fn describe_abort(&self, record: &Record<'_>, out: &mut Text) {
        self.describe_start(record, out);
        self.describe_origin(record, out);
        self.dropped_stats.describe("", out);
    }

    #[inline]
    fn describe_start(&self, record: &Record<'_>, out: &mut Text) {
        if let Some(xid) = self.prepared_xid.filter(|xid| !xid.is_invalid()) {
            out.xid(xid).str(": ");
        }
        out.time(self.time);
        push_relations(record.version(), "rels", self.dropped_relations, out);
        push_subxids(self.subxids, out);
    }

    fn describe_origin(&self, record: &Record<'_>, out: &mut Text) {
        if let Some(origin) = self.origin {
            origin.describe(record, out);
        }
    }
}

impl OriginPosition {
    /// `; origin: node 1, lsn 0/16B3748, at 2026-11-20 10:02:53.123456 UTC`
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        out.str("; origin: node ").int(record.origin().unwrap_or(0));
        out.str(", lsn ").lsn(self.lsn).str(", at ").time(self.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};
    use crate::text::Dialect;
    use crate::version::Version;

    const COMMIT: u8 = 0x00;
    const ABORT: u8 = 0x20;
    const COMMIT_PREPARED: u8 = 0x30;
    const ABORT_PREPARED: u8 = 0x40;
    const TIME: TimestampTz = TimestampTz(848_484_173_000_000);

    /// As the time prints here, whatever the zone.
    fn time() -> String {
        let mut text = Text::default();
        text.time(TIME);
        String::from_utf8_lossy(text.as_bytes()).into_owned()
    }

    fn record(version: Version, info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(version, 1, info).main(main)
    }

    /// All flags but `HAS_AE_LOCKS`.
    const ALL_PARTS: u32 = 0xE000_01BF;

    /// With every part that there is.
    fn with_all(version: Version, kind: u8) -> TestRecord {
        let bytes = Bytes::default().i64(TIME.0);
        let bytes = bytes.u32(ALL_PARTS);
        let mut bytes = bytes.u32s(&[5, 1663]).i32(2).u32s(&[741, 742]);
        bytes = bytes.i32(1).locator(LOCATOR).i32(1).i32(2).u32s(&[5, 16384]);
        if version >= Version::V18 {
            bytes = bytes.u32(1);
        }
        if kind == COMMIT || kind == COMMIT_PREPARED {
            bytes = bytes.i32(1).i8(-2).zeros(3).u32s(&[5, 16384, 0]);
        }
        bytes = bytes.u32(740).bytes(b"global 1\0").u64(0x16B_3748).i64(TIME.0);
        let mut record = record(version, HAS_INFO | kind, bytes);
        record.origin = 3;
        record
    }

    #[test]
    fn a_plain_end_is_its_time() {
        for (info, name) in [(COMMIT, "COMMIT"), (ABORT, "ABORT")] {
            let plain = record(Version::V15, info, Bytes::default().i64(TIME.0));
            assert_eq!(plain.text(), format!("{name} {}", time()));
            assert_eq!(plain.json(), serde_json::json!({"time": "2026-11-20T10:02:53.000000Z"}));
        }
    }

    #[test]
    fn a_commit_prints_all_its_parts() {
        let stats = [(Version::V17, "2/5/16384"), (Version::V18, "2/5/4294983680")];
        for (version, stats) in stats {
            assert_eq!(
                with_all(version, COMMIT_PREPARED).text(),
                format!(
                    "COMMIT_PREPARED 740: {0}; rels: base/5/16384; subxacts: 741 742; \
                     dropped stats: {stats}; relcache init file inval dbid 5 tsid 1663; \
                     inval msgs: relcache 16384; apply_feedback; sync; \
                     origin: node 3, lsn 0/16B3748, at {0}",
                    time()
                )
            );
        }
        assert!(with_all(Version::V16, COMMIT).text().starts_with("COMMIT 740: "));
    }

    #[test]
    fn an_abort_prints_its_origin_before_its_statistics() {
        assert_eq!(
            with_all(Version::V15, ABORT_PREPARED).text(),
            format!(
                "ABORT_PREPARED 740: {0}; rels: base/5/16384; subxacts: 741 742; \
                 origin: node 3, lsn 0/16B3748, at {0}; dropped stats: 2/5/16384",
                time()
            )
        );
    }

    #[test]
    fn flags_without_parts_are_printed_too() {
        let flags = CompletionFlags::FORCE_SYNC_COMMIT | CompletionFlags::HAS_AE_LOCKS;
        let main = Bytes::default().i64(TIME.0).u32(flags.bits());
        let commit = record(Version::V15, HAS_INFO | COMMIT, main);
        assert_eq!(commit.text(), format!("COMMIT {}; sync", time()));
        assert_eq!(
            commit.json()["flags"],
            serde_json::json!(["HAS_AE_LOCKS", "FORCE_SYNC_COMMIT"])
        );
    }

    #[test]
    fn all_parts_are_typed() {
        let json = with_all(Version::V18, COMMIT_PREPARED).json();
        insta::assert_json_snapshot!(json, @r#"
        {
          "database": 5,
          "dropped_relations": [
            {
              "database": 5,
              "relation": 16384,
              "tablespace": 1663
            }
          ],
          "dropped_stats": [
            {
              "database": 5,
              "kind": 2,
              "object": 4294983680
            }
          ],
          "flags": [
            "HAS_DBINFO",
            "HAS_SUBXACTS",
            "HAS_RELFILELOCATORS",
            "HAS_INVALS",
            "HAS_TWOPHASE",
            "HAS_ORIGIN",
            "HAS_GID",
            "HAS_DROPPED_STATS",
            "APPLY_FEEDBACK",
            "UPDATE_RELCACHE_FILE",
            "FORCE_SYNC_COMMIT"
          ],
          "gid": "global 1",
          "invalidations": [
            {
              "database": 5,
              "kind": "relcache",
              "relation": 16384
            }
          ],
          "origin": {
            "lsn": "0/16B3748",
            "time": "2026-11-20T10:02:53.000000Z"
          },
          "prepared_xid": 740,
          "subxids": [
            741,
            742
          ],
          "tablespace": 1663,
          "time": "2026-11-20T10:02:53.000000Z"
        }
        "#);
    }

    #[test]
    fn damage_is_no_panic() {
        for version in [Version::V15, Version::V18] {
            for kind in [COMMIT, ABORT_PREPARED] {
                let record = with_all(version, kind);
                record.truncated_anywhere();
                record.overwritten_anywhere();
            }
        }
        let cut = record(Version::V15, HAS_INFO | COMMIT, Bytes::default().i64(TIME.0));
        assert_eq!(
            cut.describe_as(Dialect::Server),
            "malformed payload: xl_xact_commit is too short: 4 bytes wanted at offset 8, 0 there"
        );
    }
}
