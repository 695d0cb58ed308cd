//! Resource manager 5, Tablespace: tablespaces made and dropped.

use base::Oid;
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const CREATE: u8 = 0x00;
const DROP: u8 = 0x10;

/// The payload of a Tablespace record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Tblspc<'a> {
    /// `xl_tblspc_create_rec`
    Create {
        /// The tablespace.
        tablespace: Oid,
        /// The directory that it stands for; empty for one within the data directory.
        #[serde(serialize_with = "super::custom::lossy_text")]
        path: &'a [u8],
    },
    /// `xl_tblspc_drop_rec`
    Drop {
        /// The tablespace.
        tablespace: Oid,
    },
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    match info & 0xF0 {
        CREATE => Some("CREATE"),
        DROP => Some("DROP"),
        _ => None,
    }
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let payload = match record.info() {
        CREATE => {
            let mut cursor = Cursor::new("xl_tblspc_create_rec", record.main_data());
            Tblspc::Create { tablespace: cursor.u32()?, path: cursor.c_string()? }
        }
        DROP => {
            let mut cursor = Cursor::new("xl_tblspc_drop_rec", record.main_data());
            Tblspc::Drop { tablespace: cursor.u32()? }
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Tblspc(payload))
}

impl Tblspc<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match *self {
            Tblspc::Create { tablespace, path } => {
                out.int(tablespace).str(" \"").bytes(path).str("\"")
            }
            Tblspc::Drop { tablespace } => out.int(tablespace),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    #[test]
    fn the_path_ends_at_its_zero() {
        let create = TestRecord::new(Version::V15, 5, CREATE)
            .main(Bytes::default().u32(16400).bytes(b"/srv/fast\0\0"));
        assert_eq!(create.text(), "CREATE 16400 \"/srv/fast\"");
        assert_eq!(create.json()["path"], "/srv/fast");
        create.truncated_anywhere();
        let drop = TestRecord::new(Version::V15, 5, DROP).main(Bytes::default().u32(16400));
        assert_eq!(drop.text(), "DROP 16400");
        drop.truncated_anywhere();
    }
}
