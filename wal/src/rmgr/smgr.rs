//! Resource manager 2, Storage: relation files made and cut.

use std::fmt::Write as _;

use base::{BlockNumber, ForkNumber, RelFileLocator};
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::relation_path::RelationPath;
use crate::text::Text;
use crate::version::Version;

const CREATE: u8 = 0x10;
const TRUNCATE: u8 = 0x20;

/// The payload of a Storage record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Smgr {
    /// A relation's file is made.
    Create(Create),
    /// A relation's files are cut.
    Truncate(Truncate),
}

/// `xl_smgr_create`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Create {
    /// The new file's relation.
    pub locator: RelFileLocator,
    /// Its fork, by number: 4 bytes on disk, not checked.
    pub fork: u32,
}

/// `xl_smgr_truncate`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Truncate {
    /// Blocks that stay.
    pub blocks: BlockNumber,
    /// The relation.
    pub locator: RelFileLocator,
    /// Which forks are cut: 1 heap, 2 visibility map, 4 free space map.
    pub flags: i32,
}

impl Truncate {
    /// Writes the payload.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let RelFileLocator { tablespace, database, relation } = self.locator;
        for word in [self.blocks, tablespace, database, relation, self.flags as u32] {
            into.extend_from_slice(&word.to_le_bytes());
        }
    }
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    match info & 0xF0 {
        CREATE => Some("CREATE"),
        TRUNCATE => Some("TRUNCATE"),
        _ => None,
    }
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let payload = match record.info() {
        CREATE => {
            let mut cursor = Cursor::new("xl_smgr_create", record.main_data());
            Smgr::Create(Create { locator: cursor.locator()?, fork: cursor.u32()? })
        }
        TRUNCATE => {
            let mut cursor = Cursor::new("xl_smgr_truncate", record.main_data());
            Smgr::Truncate(Truncate {
                blocks: cursor.u32()?,
                locator: cursor.locator()?,
                flags: cursor.i32()?,
            })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Smgr(payload))
}

impl Smgr {
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        let path = |locator, fork| RelationPath { version: record.version(), locator, fork };
        // Writing into memory does not fail.
        let _ = match *self {
            Smgr::Create(Create { locator, fork }) => {
                let fork = u8::try_from(fork).ok().and_then(ForkNumber::from_number);
                write!(out, "{}", path(locator, fork.unwrap_or(ForkNumber::Main)))
            }
            Smgr::Truncate(Truncate { blocks, locator, flags }) => {
                let path = path(locator, ForkNumber::Main);
                write!(out, "{path} to {blocks} blocks flags {flags}")
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, LOCATOR, TestRecord};
    use super::*;

    fn record(version: Version, info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(version, 2, info).main(main)
    }

    #[test]
    fn files_are_named_by_path() {
        let create =
            |fork| record(Version::V15, CREATE, Bytes::default().locator(LOCATOR).u32(fork));
        assert_eq!(create(0).text(), "CREATE base/5/16384");
        assert_eq!(create(1).text(), "CREATE base/5/16384_fsm");
        assert_eq!(create(3).text(), "CREATE base/5/16384_init");
        create(1).truncated_anywhere();
        create(1).overwritten_anywhere();
        let shared = Bytes::default().u32s(&[1664, 0, 1262, 2]);
        assert_eq!(record(Version::V15, CREATE, shared).text(), "CREATE global/1262_vm");
        let tablespace = Bytes::default().u32s(&[16400, 5, 16401, 0]);
        assert_eq!(
            record(Version::V18, CREATE, tablespace).text(),
            "CREATE pg_tblspc/16400/PG_18_202506291/5/16401"
        );
    }

    #[test]
    fn truncation_prints_blocks_and_flags() {
        let main = Bytes::default().u32(3).locator(LOCATOR).i32(7);
        let mut encoded = Vec::new();
        Truncate { blocks: 3, locator: LOCATOR, flags: 7 }.encode(&mut encoded);
        assert_eq!(encoded, main.0);
        let truncate = record(Version::V16, TRUNCATE, main);
        assert_eq!(truncate.text(), "TRUNCATE base/5/16384 to 3 blocks flags 7");
        truncate.truncated_anywhere();
    }
}
