//! A checkpoint, as its record and `pg_control` carry it, and the WAL level.
//!
//! ```text
//! offset  size  CheckPoint, 88 bytes in 15 to 18
//!      0     8  redo
//!      8     4  ThisTimeLineID
//!     12     4  PrevTimeLineID
//!     16     1  fullPageWrites
//!     20     4  wal_level            17 and later; padding before
//!     24     8  nextXid
//!     32     4  nextOid
//!     36     4  nextMulti
//!     40     4  nextMultiOffset
//!     44     4  oldestXid
//!     48     4  oldestXidDB
//!     52     4  oldestMulti
//!     56     4  oldestMultiDB
//!     64     8  time
//!     72     4  oldestCommitTsXid
//!     76     4  newestCommitTsXid
//!     80     4  oldestActiveXid      then 4 bytes of padding
//! ```
//!
//! Source: `catalog/pg_control.h`. Invariant: values are as read, nothing is checked but the length.

use std::fmt;
use std::mem::offset_of;

use base::{FullXid, Lsn, Oid, UnixTime, Xid};
use serde::{Serialize, Serializer};

use crate::codec::{Codec, Field, Reader, Writer, fields};
use crate::rmgr::{Cursor, PayloadError};
use crate::segment::Timeline;
use crate::version::Version;

/// Size of a checkpoint in bytes, padding at its end included.
pub const CHECKPOINT_SIZE: usize = 88;
/// The same without that padding.
const FIELDS_SIZE: usize = 84;

/// `CheckPoint`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CheckPoint {
    /// Where redo starts.
    pub redo: Lsn,
    /// The timeline.
    pub timeline: Timeline,
    /// The timeline before, if this checkpoint begins a new one; else the same.
    pub previous_timeline: Timeline,
    /// `full_page_writes`
    pub full_page_writes: bool,
    /// `wal_level`; 15 and 16 do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_level: Option<WalLevel>,
    /// The next transaction id.
    pub next_xid: FullXid,
    /// The next object id.
    pub next_oid: Oid,
    /// The next multixact id.
    pub next_multi: u32,
    /// The next position among multixact members.
    pub next_multi_offset: u32,
    /// The oldest `datfrozenxid`.
    pub oldest_xid: Xid,
    /// Its database.
    pub oldest_xid_database: Oid,
    /// The oldest `datminmxid`.
    pub oldest_multi: u32,
    /// Its database.
    pub oldest_multi_database: Oid,
    /// When it was made.
    pub time: UnixTime,
    /// The oldest transaction with a commit timestamp.
    pub oldest_commit_timestamp_xid: Xid,
    /// The newest one.
    pub newest_commit_timestamp_xid: Xid,
    /// The oldest running transaction; of an online checkpoint at `wal_level` replica or logical only.
    pub oldest_active_xid: Xid,
}

#[repr(C)]
struct Layout {
    redo: u64,
    timeline: u32,
    previous_timeline: u32,
    full_page_writes: u8,
    wal_level: i32,
    next_xid: u64,
    next_oid: u32,
    next_multi: u32,
    next_multi_offset: u32,
    oldest_xid: u32,
    oldest_xid_database: u32,
    oldest_multi: u32,
    oldest_multi_database: u32,
    time: i64,
    oldest_commit_timestamp_xid: u32,
    newest_commit_timestamp_xid: u32,
    oldest_active_xid: u32,
}

const _: () = {
    assert!(size_of::<Layout>() == CHECKPOINT_SIZE);
    assert!(offset_of!(Layout, redo) == 0);
    assert!(offset_of!(Layout, timeline) == 8);
    assert!(offset_of!(Layout, previous_timeline) == 12);
    assert!(offset_of!(Layout, full_page_writes) == 16);
    assert!(offset_of!(Layout, wal_level) == 20);
    assert!(offset_of!(Layout, next_xid) == 24);
    assert!(offset_of!(Layout, next_oid) == 32);
    assert!(offset_of!(Layout, next_multi) == 36);
    assert!(offset_of!(Layout, next_multi_offset) == 40);
    assert!(offset_of!(Layout, oldest_xid) == 44);
    assert!(offset_of!(Layout, oldest_xid_database) == 48);
    assert!(offset_of!(Layout, oldest_multi) == 52);
    assert!(offset_of!(Layout, oldest_multi_database) == 56);
    assert!(offset_of!(Layout, time) == 64);
    assert!(offset_of!(Layout, oldest_commit_timestamp_xid) == 72);
    assert!(offset_of!(Layout, newest_commit_timestamp_xid) == 76);
    assert!(offset_of!(Layout, oldest_active_xid) == 80);
    assert!(offset_of!(Layout, oldest_active_xid) + size_of::<u32>() == FIELDS_SIZE);
};

impl CheckPoint {
    /// Reads one, without the padding at its end.
    ///
    /// # Errors
    /// Where fewer than 84 bytes are left.
    pub fn read(version: Version, cursor: &mut Cursor<'_>) -> Result<CheckPoint, PayloadError> {
        let bytes = cursor.bytes(FIELDS_SIZE)?;
        Ok(CheckPoint::from_bytes(version, &Field::read(bytes)))
    }

    /// From its bytes without that padding.
    pub(crate) fn from_bytes(version: Version, bytes: &[u8; FIELDS_SIZE]) -> CheckPoint {
        let mut checkpoint = CheckPoint::default();
        checkpoint.visit(&mut Reader(bytes));
        if version >= Version::V17 {
            checkpoint.wal_level = Some(Field::read(&bytes[offset_of!(Layout, wal_level)..]));
        }
        checkpoint
    }

    /// Its bytes; padding is zero.
    pub fn encode(&self) -> [u8; CHECKPOINT_SIZE] {
        let mut bytes = [0; CHECKPOINT_SIZE];
        let mut checkpoint = *self;
        checkpoint.visit(&mut Writer(&mut bytes));
        if let Some(wal_level) = self.wal_level {
            wal_level.write(&mut bytes[offset_of!(Layout, wal_level)..]);
        }
        bytes
    }

    /// All fields but the one that 15 and 16 lack.
    fn visit(&mut self, codec: &mut impl Codec) {
        fields!(codec, self, Layout:
            redo, timeline, previous_timeline, full_page_writes, next_xid, next_oid, next_multi,
            next_multi_offset, oldest_xid, oldest_xid_database, oldest_multi, oldest_multi_database,
            time, oldest_commit_timestamp_xid, newest_commit_timestamp_xid, oldest_active_xid,
        );
    }
}

/// The parameter `wal_level`, by number, not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalLevel(pub i32);

impl WalLevel {
    /// `minimal`, `replica` or `logical`; `?` for another number, as PostgreSQL prints it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "minimal",
            1 => "replica",
            2 => "logical",
            _ => "?",
        }
    }

    /// Whether this is one of the three.
    pub const fn is_known(self) -> bool {
        matches!(self.0, 0..=2)
    }
}

impl Field for WalLevel {
    fn read(bytes: &[u8]) -> WalLevel {
        WalLevel(Field::read(bytes))
    }

    fn write(self, bytes: &mut [u8]) {
        self.0.write(bytes);
    }
}

impl fmt::Display for WalLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Serialized as its name, or as its number where it has none.
impl Serialize for WalLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            "?" => serializer.serialize_i32(self.0),
            name => serializer.serialize_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), CHECKPOINT_SIZE)) {
            for version in Version::ALL {
                let mut cursor = Cursor::new("CheckPoint", &bytes);
                let checkpoint = CheckPoint::read(version, &mut cursor).expect("long enough");
                // Padding, and what is no bool, is not kept.
                let mut expected = bytes.clone();
                expected[16] = u8::from(bytes[16] != 0);
                for padding in [17..20, 60..64, 84..88] {
                    expected[padding].fill(0);
                }
                if version < Version::V17 {
                    expected[20..24].fill(0);
                }
                prop_assert_eq!(checkpoint.encode().to_vec(), expected);
            }
        }
    }
}
