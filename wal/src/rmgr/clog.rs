//! Resource manager 3, CLOG: pages of the transaction status log made and cut off.

use base::{Oid, Xid};
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const ZEROPAGE: u8 = 0x00;
const TRUNCATE: u8 = 0x10;

/// The payload of a CLOG record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Clog {
    /// A page is made, of zeros.
    ZeroPage {
        /// Its number.
        page: i64,
    },
    /// Pages are cut off.
    Truncate(Truncate),
}

/// `xl_clog_truncate`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Truncate {
    /// The first page that stays.
    pub page: i64,
    /// The oldest transaction whose status is kept.
    pub oldest_xid: Xid,
    /// The database that needs it.
    pub oldest_xid_database: Oid,
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
            let mut cursor = Cursor::new("CLOG_ZEROPAGE", record.main_data());
            Clog::ZeroPage { page: cursor.slru_page(version)? }
        }
        TRUNCATE => {
            let mut cursor = Cursor::new("xl_clog_truncate", record.main_data());
            Clog::Truncate(Truncate {
                page: cursor.slru_page(version)?,
                oldest_xid: cursor.xid()?,
                oldest_xid_database: cursor.u32()?,
            })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Clog(payload))
}

impl Clog {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match *self {
            Clog::ZeroPage { page } => out.str("page ").int(page),
            Clog::Truncate(Truncate { page, oldest_xid, .. }) => {
                out.str("page ").int(page).str("; oldestXact ").xid(oldest_xid)
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
        let record = |version, info, main| TestRecord::new(version, 3, info).main(main);
        let after = |page: Bytes| page.u32s(&[740, 5]);
        for version in [Version::V15, Version::V16] {
            let page = || Bytes::default().i32(-2);
            assert_eq!(record(version, ZEROPAGE, page()).text(), "ZEROPAGE page -2");
            let truncate = record(version, TRUNCATE, after(page()));
            assert_eq!(truncate.text(), "TRUNCATE page -2; oldestXact 740");
            truncate.truncated_anywhere();
        }
        for version in [Version::V17, Version::V18] {
            let page = || Bytes::default().i64(1 << 33);
            assert_eq!(record(version, ZEROPAGE, page()).text(), "ZEROPAGE page 8589934592");
            let truncate = record(version, TRUNCATE, after(page()));
            assert_eq!(truncate.text(), "TRUNCATE page 8589934592; oldestXact 740");
            assert_eq!(truncate.json()["oldest_xid_database"], 5);
            truncate.truncated_anywhere();
        }
    }
}
