//! Resource manager 18, CommitTs: pages of the commit timestamp log made and cut off.

use base::Xid;
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const ZEROPAGE: u8 = 0x00;
const TRUNCATE: u8 = 0x10;

/// The payload of a CommitTs record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum CommitTs {
    /// A page is made, of zeros.
    ZeroPage {
        /// Its number.
        page: i64,
    },
    /// Pages are cut off.
    Truncate(Truncate),
}

/// `xl_commit_ts_truncate`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Truncate {
    /// The first page that stays.
    pub page: i64,
    /// The oldest transaction whose timestamp is kept.
    pub oldest_xid: Xid,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    match info & 0xF0 {
        ZEROPAGE => Some("ZEROPAGE"),
        TRUNCATE => Some("TRUNCATE"),
        _ => None,
    }
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let version = record.version();
    let payload = match record.info() {
        ZEROPAGE => {
            let mut cursor = Cursor::new("COMMIT_TS_ZEROPAGE", record.main_data());
            CommitTs::ZeroPage { page: cursor.slru_page(version)? }
        }
        TRUNCATE => {
            let mut cursor = Cursor::new("xl_commit_ts_truncate", record.main_data());
            let (page, oldest_xid) = (cursor.slru_page(version)?, cursor.xid()?);
            CommitTs::Truncate(Truncate { page, oldest_xid })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::CommitTs(payload))
}

impl CommitTs {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match *self {
            CommitTs::ZeroPage { page } => out.int(page),
            CommitTs::Truncate(Truncate { page, oldest_xid }) => {
                out.str("pageno ").int(page).str(", oldestXid ").xid(oldest_xid)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    #[test]
    fn page_numbers_have_64_bits_from_17_on() {
        let record = |version, info, main| TestRecord::new(version, 18, info).main(main);
        let narrow = || Bytes::default().i32(7);
        let wide = || Bytes::default().i64(1 << 33);
        assert_eq!(record(Version::V16, ZEROPAGE, narrow()).text(), "ZEROPAGE 7");
        assert_eq!(record(Version::V18, ZEROPAGE, wide()).text(), "ZEROPAGE 8589934592");
        let old = record(Version::V15, TRUNCATE, narrow().u32(740));
        assert_eq!(old.text(), "TRUNCATE pageno 7, oldestXid 740");
        let new = record(Version::V17, TRUNCATE, wide().u32(740).zeros(4));
        assert_eq!(new.text(), "TRUNCATE pageno 8589934592, oldestXid 740");
        old.truncated_anywhere();
        new.truncated_anywhere();
    }
}
