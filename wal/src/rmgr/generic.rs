//! Resource manager 20, Generic: pages changed byte by byte, for index types of extensions.
//!
//! A change is a list of regions: offset in the page (2 bytes), length (2 bytes), the new bytes. The list
//! is the data of a block reference; PostgreSQL's description looks for it in the main data, which is
//! always empty, and so prints nothing.

use base::OffsetNumber;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

/// The payload of a Generic record.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Generic<'a> {
    /// Regions in the main data: none that PostgreSQL writes.
    #[serde(skip)]
    pub main: Regions<'a>,
    /// The changed pages.
    #[serde(serialize_with = "serialize_blocks")]
    pub blocks: Record<'a>,
}

/// A list of regions; all its bytes are known to be there.
#[derive(Debug, Clone, Copy)]
pub struct Regions<'a> {
    bytes: &'a [u8],
}

/// Bytes to be written into a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Region<'a> {
    /// Where in the page, in bytes.
    pub offset: OffsetNumber,
    /// How many bytes.
    pub length: u16,
    /// The bytes.
    #[serde(skip)]
    pub bytes: &'a [u8],
}

fn next_region<'a>(cursor: &mut Cursor<'a>) -> Result<Region<'a>, PayloadError> {
    let (offset, length) = (cursor.u16()?, cursor.u16()?);
    Ok(Region { offset, length, bytes: cursor.bytes(usize::from(length))? })
}

impl<'a> Regions<'a> {
    fn read(what: &'static str, bytes: &'a [u8]) -> Result<Regions<'a>, PayloadError> {
        let mut cursor = Cursor::new(what, bytes);
        while cursor.remaining() > 0 {
            next_region(&mut cursor)?;
        }
        Ok(Regions { bytes })
    }

    /// The regions in order.
    pub fn iter(&self) -> impl Iterator<Item = Region<'a>> + use<'a> {
        let mut cursor = Cursor::new("regions", self.bytes);
        // At the end there is no region; before it, each has been read once.
        std::iter::from_fn(move || next_region(&mut cursor).ok())
    }
}

impl Serialize for Regions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'a> Generic<'a> {
    /// The changed regions of the page of block reference `id`; `None` without such a reference.
    pub fn regions(&self, id: u8) -> Option<Regions<'a>> {
        let block = self.blocks.block(id)?;
        Some(Regions { bytes: self.blocks.block_data(block) })
    }

    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        for (index, Region { offset, length, .. }) in self.main.iter().enumerate() {
            out.str(if index == 0 { "" } else { "; " });
            out.str("offset ").int(offset).str(", length ").int(length);
        }
    }
}

/// `[{"id":0,"regions":[{"offset":24,"length":8}]}]`
fn serialize_blocks<S: Serializer>(record: &Record<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Block<'a> {
        id: u8,
        regions: Regions<'a>,
    }
    let mut blocks = serializer.serialize_seq(Some(record.blocks().len()))?;
    for block in record.blocks() {
        let regions = Regions { bytes: record.block_data(block) };
        blocks.serialize_element(&Block { id: block.id, regions })?;
    }
    blocks.end()
}

pub(super) fn identify(_: Version, _: u8) -> Option<&'static str> {
    Some("Generic")
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = Regions::read("generic regions", record.main_data())?;
    for block in record.blocks() {
        Regions::read("generic regions of a block", record.block_data(block))?;
    }
    Ok(Payload::Generic(Generic { main, blocks: *record }))
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    fn two_regions() -> Bytes {
        Bytes::default().u16(24).u16(2).bytes(b"ab").u16(8000).u16(0)
    }

    #[test]
    fn regions_of_blocks_are_typed_and_not_printed() {
        let record = TestRecord::new(Version::V15, 20, 0).block(0, two_regions()).image(2);
        assert_eq!(record.text(), "Generic ");
        assert_eq!(
            record.json(),
            serde_json::json!({"blocks": [
                {"id": 0, "regions": [{"offset": 24, "length": 2}, {"offset": 8000, "length": 0}]},
                {"id": 2, "regions": []},
            ]})
        );
        record.truncated_anywhere();
    }

    #[test]
    fn regions_in_the_main_data_are_printed() {
        let record = TestRecord::new(Version::V15, 20, 0xF0).main(two_regions());
        assert_eq!(record.text(), "Generic offset 24, length 2; offset 8000, length 0");
        record.truncated_anywhere();
        record.overwritten_anywhere();
    }
}
