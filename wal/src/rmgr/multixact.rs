//! Resource manager 6, MultiXact: sets of transactions that hold a row together.

use base::{Oid, Xid};
use serde::{Serialize, Serializer};

use super::{Array, Cursor, Element, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const ZERO_OFF_PAGE: u8 = 0x00;
const ZERO_MEM_PAGE: u8 = 0x10;
const CREATE_ID: u8 = 0x20;
const TRUNCATE_ID: u8 = 0x30;

/// The payload of a MultiXact record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Multixact<'a> {
    /// A page of offsets is made, of zeros.
    ZeroOffsetsPage {
        /// Its number.
        page: i64,
    },
    /// A page of members is made, of zeros.
    ZeroMembersPage {
        /// Its number.
        page: i64,
    },
    /// A multixact is made.
    Create(Create<'a>),
    /// Old multixacts are cut off.
    Truncate(Truncate),
}

/// `xl_multixact_create`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Create<'a> {
    /// The new multixact.
    pub multixact: u32,
    /// Where its members begin in the members' log.
    pub offset: u32,
    /// Its members.
    pub members: Array<'a, Member>,
}

/// `MultiXactMember`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The transaction.
    pub xid: Xid,
    /// What it does to the row.
    pub status: MemberStatus,
}

impl Element for Member {
    const SIZE: usize = 8;
    #[inline]
    fn read(bytes: &[u8]) -> Member {
        Member { xid: Xid::read(&bytes[..4]), status: MemberStatus(u32::read(&bytes[4..8])) }
    }
}

/// `MultiXactStatus`, by number, not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberStatus(pub u32);

impl MemberStatus {
    /// As `pg_waldump` prints it.
    pub const fn abbreviation(self) -> &'static str {
        match self.0 {
            0 => "keysh",
            1 => "sh",
            2 => "fornokeyupd",
            3 => "forupd",
            4 => "nokeyupd",
            5 => "upd",
            _ => "unk",
        }
    }

    /// The lock or change in words; `None` for a number that PostgreSQL does not use.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "for_key_share",
            1 => "for_share",
            2 => "for_no_key_update",
            3 => "for_update",
            4 => "no_key_update",
            5 => "update",
            _ => return None,
        })
    }
}

/// Serialized as its name, or as its number where it has none.
impl Serialize for MemberStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_u32(self.0),
        }
    }
}

/// `xl_multixact_truncate`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Truncate {
    /// The database that needs the oldest multixact that stays.
    pub oldest_multi_database: Oid,
    /// The first multixact that goes.
    pub start_offset: u32,
    /// The first that stays.
    pub end_offset: u32,
    /// The first position among members that goes.
    pub start_member: u32,
    /// The first that stays.
    pub end_member: u32,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    match info & 0xF0 {
        ZERO_OFF_PAGE => Some("ZERO_OFF_PAGE"),
        ZERO_MEM_PAGE => Some("ZERO_MEM_PAGE"),
        CREATE_ID => Some("CREATE_ID"),
        TRUNCATE_ID => Some("TRUNCATE_ID"),
        _ => None,
    }
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let cursor = |what| Cursor::new(what, record.main_data());
    let version = record.version();
    let payload = match record.info() {
        ZERO_OFF_PAGE => {
            let page = cursor("XLOG_MULTIXACT_ZERO_OFF_PAGE").slru_page(version)?;
            Multixact::ZeroOffsetsPage { page }
        }
        ZERO_MEM_PAGE => {
            let page = cursor("XLOG_MULTIXACT_ZERO_MEM_PAGE").slru_page(version)?;
            Multixact::ZeroMembersPage { page }
        }
        CREATE_ID => {
            let mut cursor = cursor("xl_multixact_create");
            let (multixact, offset) = (cursor.u32()?, cursor.u32()?);
            Multixact::Create(Create { multixact, offset, members: cursor.counted_array()? })
        }
        TRUNCATE_ID => {
            let mut cursor = cursor("xl_multixact_truncate");
            Multixact::Truncate(Truncate {
                oldest_multi_database: cursor.u32()?,
                start_offset: cursor.u32()?,
                end_offset: cursor.u32()?,
                start_member: cursor.u32()?,
                end_member: cursor.u32()?,
            })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Multixact(payload))
}

impl Multixact<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match self {
            Multixact::ZeroOffsetsPage { page } | Multixact::ZeroMembersPage { page } => {
                out.int(*page);
            }
            Multixact::Create(Create { multixact, offset, members }) => {
                out.int(*multixact).str(" offset ").int(*offset);
                out.str(" nmembers ").int(members.len()).str(": ");
                for Member { xid, status } in members.iter() {
                    out.xid(xid).str(" (").str(status.abbreviation()).str(") ");
                }
            }
            Multixact::Truncate(truncate) => {
                out.str("offsets [").int(truncate.start_offset).str(", ").int(truncate.end_offset);
                out.str("), members [").int(truncate.start_member);
                out.str(", ").int(truncate.end_member).str(")");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    fn record(version: Version, info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(version, 6, info).main(main)
    }

    #[test]
    fn members_print_with_their_status() {
        let members = (0..7).flat_map(|status| [740 + status, status]).collect::<Vec<_>>();
        let main = Bytes::default().u32s(&[9, 17]).i32(7).u32s(&members);
        let create = record(Version::V15, CREATE_ID, main);
        assert_eq!(
            create.text(),
            "CREATE_ID 9 offset 17 nmembers 7: 740 (keysh) 741 (sh) 742 (fornokeyupd) \
             743 (forupd) 744 (nokeyupd) 745 (upd) 746 (unk) "
        );
        assert_eq!(create.json()["members"][3]["status"], "for_update");
        assert_eq!(create.json()["members"][6]["status"], 6);
        create.truncated_anywhere();
        create.overwritten_anywhere();
    }

    #[test]
    fn page_numbers_have_64_bits_from_17_on() {
        let old = record(Version::V16, ZERO_OFF_PAGE, Bytes::default().i32(3));
        assert_eq!(old.text(), "ZERO_OFF_PAGE 3");
        let new = record(Version::V17, ZERO_MEM_PAGE, Bytes::default().i64(1 << 33));
        assert_eq!(new.text(), "ZERO_MEM_PAGE 8589934592");
        new.truncated_anywhere();
    }

    #[test]
    fn truncation_prints_half_open_ranges() {
        let main = Bytes::default().u32s(&[5, 1, 9, 2, 33]);
        let truncate = record(Version::V18, TRUNCATE_ID, main);
        assert_eq!(truncate.text(), "TRUNCATE_ID offsets [1, 9), members [2, 33)");
        truncate.truncated_anywhere();
    }
}
