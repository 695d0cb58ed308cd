//! Resource manager 19, ReplicationOrigin: how far replication from an origin has come.

use base::Lsn;
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const SET: u8 = 0x00;
const DROP: u8 = 0x10;

/// The payload of a ReplicationOrigin record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Replorigin {
    /// `xl_replorigin_set`
    Set {
        /// Position at the origin up to which all is here.
        remote_lsn: Lsn,
        /// The origin's id.
        node: u16,
        /// Whether it may go back too.
        force: bool,
    },
    /// `xl_replorigin_drop`
    Drop {
        /// The origin's id.
        node: u16,
    },
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    match info & 0xF0 {
        SET => Some("SET"),
        DROP => Some("DROP"),
        _ => None,
    }
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let payload = match record.info() {
        SET => {
            let mut cursor = Cursor::new("xl_replorigin_set", record.main_data());
            Replorigin::Set {
                remote_lsn: cursor.lsn()?,
                node: cursor.u16()?,
                force: cursor.bool()?,
            }
        }
        DROP => {
            let mut cursor = Cursor::new("xl_replorigin_drop", record.main_data());
            Replorigin::Drop { node: cursor.u16()? }
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Replorigin(payload))
}

impl Replorigin {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match *self {
            Replorigin::Set { remote_lsn, node, force } => {
                out.str("set ").int(node).str("; lsn ").lsn(remote_lsn);
                out.str("; force: ").int(u8::from(force))
            }
            Replorigin::Drop { node } => out.str("drop ").int(node),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    #[test]
    fn both_types_print_as_pg_waldump_prints_them() {
        let set = TestRecord::new(Version::V15, 19, SET)
            .main(Bytes::default().u64(0x1_0000_00FF).u16(7).u8(1).zeros(5));
        assert_eq!(set.text(), "SET set 7; lsn 1/FF; force: 1");
        let drop = TestRecord::new(Version::V15, 19, DROP).main(Bytes::default().u16(7));
        assert_eq!(drop.text(), "DROP drop 7");
        set.truncated_anywhere();
        drop.truncated_anywhere();
    }
}
