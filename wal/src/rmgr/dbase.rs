//! Resource manager 4, Database: directories of databases made and removed.

use base::Oid;
use serde::Serialize;

use super::{Array, Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const CREATE_FILE_COPY: u8 = 0x00;
const CREATE_WAL_LOG: u8 = 0x10;
const DROP: u8 = 0x20;

/// The payload of a Database record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Dbase<'a> {
    /// A database's directory is copied from another's.
    CreateFileCopy(CreateFileCopy),
    /// An empty directory is made; what goes in is logged page by page.
    CreateWalLog(CreateWalLog),
    /// A database's directories are removed.
    Drop(Drop<'a>),
}

/// `xl_dbase_create_file_copy_rec`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CreateFileCopy {
    /// The new database.
    pub database: Oid,
    /// The tablespace of its directory.
    pub tablespace: Oid,
    /// The database that is copied.
    pub source_database: Oid,
    /// The tablespace of that directory.
    pub source_tablespace: Oid,
}

/// `xl_dbase_create_wal_log_rec`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CreateWalLog {
    /// The new database.
    pub database: Oid,
    /// The tablespace of its directory.
    pub tablespace: Oid,
}

/// `xl_dbase_drop_rec`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Drop<'a> {
    /// The database.
    pub database: Oid,
    /// The tablespaces in which it has a directory.
    pub tablespaces: Array<'a, Oid>,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    match info & 0xF0 {
        CREATE_FILE_COPY => Some("CREATE_FILE_COPY"),
        CREATE_WAL_LOG => Some("CREATE_WAL_LOG"),
        DROP => Some("DROP"),
        _ => None,
    }
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let cursor = |what| Cursor::new(what, record.main_data());
    let payload = match record.info() {
        CREATE_FILE_COPY => {
            let mut cursor = cursor("xl_dbase_create_file_copy_rec");
            Dbase::CreateFileCopy(CreateFileCopy {
                database: cursor.u32()?,
                tablespace: cursor.u32()?,
                source_database: cursor.u32()?,
                source_tablespace: cursor.u32()?,
            })
        }
        CREATE_WAL_LOG => {
            let mut cursor = cursor("xl_dbase_create_wal_log_rec");
            let (database, tablespace) = (cursor.u32()?, cursor.u32()?);
            Dbase::CreateWalLog(CreateWalLog { database, tablespace })
        }
        DROP => {
            let mut cursor = cursor("xl_dbase_drop_rec");
            let (database, tablespaces) = (cursor.u32()?, cursor.counted_array()?);
            Dbase::Drop(Drop { database, tablespaces })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Dbase(payload))
}

impl Dbase<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match self {
            Dbase::CreateFileCopy(copy) => {
                out.str("copy dir ").int(copy.source_tablespace).str("/").int(copy.source_database);
                out.str(" to ").int(copy.tablespace).str("/").int(copy.database);
            }
            Dbase::CreateWalLog(CreateWalLog { database, tablespace }) => {
                out.str("create dir ").int(*tablespace).str("/").int(*database);
            }
            Dbase::Drop(Drop { database, tablespaces }) => {
                out.str("dir");
                for tablespace in tablespaces.iter() {
                    out.str(" ").int(tablespace).str("/").int(*database);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    #[test]
    fn directories_are_named_tablespace_first() {
        let record = |info, main| TestRecord::new(Version::V16, 4, info).main(main);
        let copy = record(CREATE_FILE_COPY, Bytes::default().u32s(&[16384, 1663, 1, 1664]));
        assert_eq!(copy.text(), "CREATE_FILE_COPY copy dir 1664/1 to 1663/16384");
        let log = record(CREATE_WAL_LOG, Bytes::default().u32s(&[16384, 1663]));
        assert_eq!(log.text(), "CREATE_WAL_LOG create dir 1663/16384");
        let drop = record(DROP, Bytes::default().u32(16384).i32(2).u32s(&[1663, 16400]));
        assert_eq!(drop.text(), "DROP dir 1663/16384 16400/16384");
        assert_eq!(drop.json()["tablespaces"], serde_json::json!([1663, 16400]));
        for record in [copy, log, drop] {
            record.truncated_anywhere();
            record.overwritten_anywhere();
        }
    }
}
