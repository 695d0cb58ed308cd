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
//! the records of the subsystems that take part ([`super::two_phase`]). The same bytes, with a checksum behind them, are
//! a file of `pg_twophase`.
//! Source: `access/xact.h`, `ParsePrepareRecord`, `StartPrepare`.

use base::{Oid, RelFileLocator, TimestampTz, Xid};
use serde::Serialize;

use super::completion::OriginPosition;
use super::two_phase::TwoPhaseRecord;
use super::{DroppedStats, push_relations, push_subxids};
use crate::record::Record;
use crate::rmgr::encode::Bytes as _;
use crate::rmgr::invalidation::{Invalidation, Invalidations};
use crate::rmgr::{Array, Cursor, PayloadError};
use crate::text::Text;
use crate::version::Version;

/// Format of the state: `TWOPHASE_MAGIC`.
pub const MAGIC: u32 = 0x57F9_4534;
/// Where the total length stands.
const TOTAL_LENGTH_AT: usize = 4;

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
    /// What the subsystems keep of it, not taken apart; see [`Prepare::records`].
    #[serde(skip)]
    pub state: &'a [u8],
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Prepare<'a>, PayloadError> {
    Prepare::read(record.version(), record.main_data())
}

fn read<'a>(version: Version, bytes: &'a [u8]) -> Result<Prepare<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_xact_prepare", bytes);
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
    // Nothing follows where the record is cut short.
    let state = cursor.align(8).map_or(&[][..], |()| cursor.rest());
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
        state,
    })
}

impl<'a> Prepare<'a> {
    /// Reads the payload of a record, or a state file without its checksum, as a version writes it.
    ///
    /// # Errors
    /// Where the bytes do not hold what their counts say.
    pub fn read(version: Version, bytes: &'a [u8]) -> Result<Prepare<'a>, PayloadError> {
        read(version, bytes)
    }

    /// What each subsystem keeps of the transaction, in the order in which it was written.
    ///
    /// # Errors
    /// Where one is cut short, or no last one says that it is the last.
    pub fn records(&self) -> Result<Vec<TwoPhaseRecord<'a>>, PayloadError> {
        TwoPhaseRecord::read_all(self.state)
    }

    /// Appends the payload; `main` is empty. The total length is worked out and not taken from here, padding is zero, and
    /// the state is taken as it is.
    pub fn encode(&self, main: &mut Vec<u8>) {
        debug_assert!(main.is_empty(), "padding is counted from the start");
        for word in [self.magic, 0, self.prepared_xid.0, self.database] {
            main.u32(word);
        }
        main.extend_from_slice(&self.time.0.to_le_bytes());
        main.u32(self.owner);
        let arrays = [
            (self.subxids.len(), self.subxids.raw()),
            (self.commit_relations.len(), self.commit_relations.raw()),
            (self.abort_relations.len(), self.abort_relations.raw()),
            (self.commit_stats.len(), self.commit_stats.raw()),
            (self.abort_stats.len(), self.abort_stats.raw()),
            (self.invalidations.len(), self.invalidations.raw()),
        ];
        arrays.iter().for_each(|(count, _)| main.u32(*count as u32));
        main.extend_from_slice(&[u8::from(self.relcache_init_file), 0]);
        main.u16(self.gid.len() as u16 + 1);
        main.u64(self.origin.lsn.0);
        main.extend_from_slice(&self.origin.time.0.to_le_bytes());
        main.extend_from_slice(self.gid);
        main.push(0);
        for (_, bytes) in arrays {
            pad(main);
            main.extend_from_slice(bytes);
        }
        pad(main);
        main.extend_from_slice(self.state);
        let total = main.len() as u32 + size_of::<u32>() as u32;
        main[TOTAL_LENGTH_AT..TOTAL_LENGTH_AT + 4].copy_from_slice(&total.to_le_bytes());
    }

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

/// Pads to 8 bytes, as all parts of the state are.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};

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
    fn what_is_written_is_what_was_read() {
        for version in [Version::V15, Version::V18] {
            let (mut main, mut state) = (Vec::new(), Vec::new());
            TwoPhaseRecord { manager: 3, info: 7, data: &[1, 2, 3, 4] }.encode(&mut state);
            TwoPhaseRecord::encode_end(&mut state);
            with_all(version).with(|record| {
                let read = Prepare::read(version, record.main_data()).expect("whole");
                // All but the state.
                let bytes = &record.main_data()[..record.main_data().len() - 8];
                Prepare { state: &state, ..read }.encode(&mut main);
                let total = bytes.len() + state.len() + 4;
                assert_eq!(main[4..8], (total as u32).to_le_bytes());
                assert_eq!(main[8..bytes.len()], bytes[8..]);
            });
            let again = Prepare::read(version, &main).expect("whole");
            let records = again.records().expect("whole");
            assert_eq!(records, [TwoPhaseRecord { manager: 3, info: 7, data: &[1, 2, 3, 4] }]);
            let cut = Prepare { state: &state[..state.len() - 1], ..again };
            assert!(cut.records().is_err());
        }
    }

    #[test]
    fn damage_is_no_panic() {
        for version in [Version::V17, Version::V18] {
            with_all(version).truncated_anywhere();
            with_all(version).overwritten_anywhere();
        }
    }
}
