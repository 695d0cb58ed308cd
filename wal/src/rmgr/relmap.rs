//! Resource manager 7, RelMap: the file that maps catalogs to their relation files, written anew.
//!
//! ```text
//! offset  size  RelMapFile                       15       16 and later
//!      0     4  magic, 0x592717
//!      4     4  number of mappings               0..=62   0..=64
//!      8    8n  {oid, file number}               62       64
//!           4  CRC-32C of all before            504      520
//!           4  padding                          508      none: 524 bytes in all
//! ```

use base::Oid;
use serde::Serialize;

use super::{Array, Cursor, Element, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const UPDATE: u8 = 0x00;

/// `xl_relmap_update`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Relmap<'a> {
    /// The database; 0 for the shared map.
    pub database: Oid,
    /// The database's tablespace, or `pg_global`.
    pub tablespace: Oid,
    /// Size of the file in bytes.
    pub size: usize,
    /// The file, if it has the size and the count of mappings that the version's files have.
    pub map: Option<RelationMap<'a>>,
}

/// `RelMapFile`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RelationMap<'a> {
    /// `RELMAPPER_FILEMAGIC`, not checked.
    pub magic: u32,
    /// The mappings in use.
    pub mappings: Array<'a, Mapping>,
    /// The file's own checksum, not checked.
    pub crc: u32,
}

/// `RelMapping`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// A catalog's oid.
    pub oid: Oid,
    /// Number of its relation file.
    pub file_number: Oid,
}

impl Element for Mapping {
    const SIZE: usize = 8;
    #[inline]
    fn read(bytes: &[u8]) -> Mapping {
        Mapping { oid: u32::read(&bytes[..4]), file_number: u32::read(&bytes[4..8]) }
    }
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    (info & 0xF0 == UPDATE).then_some("UPDATE")
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    if record.info() != UPDATE {
        return Ok(Payload::Unknown);
    }
    let mut cursor = Cursor::new("xl_relmap_update", record.main_data());
    let (database, tablespace, size) = (cursor.u32()?, cursor.u32()?, cursor.count()?);
    let map = relation_map(record.version(), cursor.bytes(size)?);
    Ok(Payload::Relmap(Relmap { database, tablespace, size, map }))
}

fn relation_map(version: Version, file: &[u8]) -> Option<RelationMap<'_>> {
    let (max_mappings, file_size) = match version {
        Version::V15 => (62, 512),
        Version::V16 | Version::V17 | Version::V18 => (64, 524),
    };
    if file.len() != file_size {
        return None;
    }
    let mut cursor = Cursor::new("RelMapFile", file);
    let (magic, count) = (cursor.u32().ok()?, cursor.count().ok()?);
    let (mappings, _) = cursor.array(max_mappings).ok()?.split_at(count)?;
    Some(RelationMap { magic, mappings, crc: cursor.u32().ok()? })
}

impl Relmap<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        out.str("database ").int(self.database).str(" tablespace ").int(self.tablespace);
        out.str(" size ").int(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    fn update(version: Version, file: Bytes) -> TestRecord {
        let main = Bytes::default().u32s(&[5, 1663]).i32(file.0.len() as i32).bytes(&file.0);
        TestRecord::new(version, 7, UPDATE).main(main)
    }

    fn file(version: Version, count: i32) -> Bytes {
        let room = if version == Version::V15 { 62 * 8 } else { 64 * 8 };
        let file = Bytes::default().u32(0x59_2717).i32(count).u32s(&[1259, 16400, 1249, 16401]);
        let file = file.zeros(room - 16).u32(0xC0FF_EE00);
        if version == Version::V15 { file.zeros(4) } else { file }
    }

    #[test]
    fn the_map_is_typed_in_every_version() {
        for version in Version::ALL {
            let record = update(version, file(version, 2));
            let size = if version == Version::V15 { 512 } else { 524 };
            assert_eq!(record.text(), format!("UPDATE database 5 tablespace 1663 size {size}"));
            let map = &record.json()["map"];
            assert_eq!(map["mappings"].as_array().map(Vec::len), Some(2));
            assert_eq!(map["mappings"][1]["file_number"], 16401);
            assert_eq!(map["crc"], 0xC0FF_EE00_u32);
            record.truncated_anywhere();
        }
    }

    #[test]
    fn a_file_of_another_shape_is_described_without_its_mappings() {
        for file in [file(Version::V15, 63), file(Version::V15, -1), Bytes::default().zeros(8)] {
            let record = update(Version::V15, file);
            assert!(record.text().starts_with("UPDATE database 5 tablespace 1663 size "));
            assert!(record.json()["map"].is_null());
        }
    }
}
