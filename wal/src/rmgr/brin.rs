//! Resource manager 17, BRIN: block-range indexes.
//!
//! The type is in bits 0x70 of the info byte; bit 0x80 says that the page is made anew. Format and text
//! are the same in 15 to 18.

use base::{BlockNumber, OffsetNumber};
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const CREATE_INDEX: u8 = 0x00;
const INSERT: u8 = 0x10;
const UPDATE: u8 = 0x20;
const SAMEPAGE_UPDATE: u8 = 0x30;
const REVMAP_EXTEND: u8 = 0x40;
const DESUMMARIZE: u8 = 0x50;
/// `XLOG_BRIN_OPMASK`
const TYPE_MASK: u8 = 0x70;
/// `XLOG_BRIN_INIT_PAGE`
const INIT_PAGE: u8 = 0x80;

/// The payload of a BRIN record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Brin<'a> {
    /// An index is made; block 0 is its metapage.
    CreateIndex(CreateIndex),
    /// A range gets its first summary; block 0 is the page, block 1 the range map.
    Insert(Insert<'a>),
    /// A summary moves to another page; block 0 is the new page, 1 the range map, 2 the old page.
    Update(Update<'a>),
    /// A summary is replaced where it is, in block 0.
    SamepageUpdate(SamepageUpdate<'a>),
    /// The range map grows; block 0 is the metapage, block 1 the new page of the map.
    RevmapExtend(RevmapExtend),
    /// A range loses its summary; block 0 is the range map, block 1 the page.
    Desummarize(Desummarize),
}

/// `xl_brin_createidx`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CreateIndex {
    /// Heap blocks that one summary covers.
    pub pages_per_range: BlockNumber,
    /// Version of the index's format.
    pub version: u16,
}

/// `xl_brin_insert`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Insert<'a> {
    /// First heap block of the range.
    pub heap_block: BlockNumber,
    /// Heap blocks that one summary covers.
    pub pages_per_range: BlockNumber,
    /// Where the summary goes in block 0.
    pub offset: OffsetNumber,
    /// The summary (`BrinTuple`), unless an image of block 0 holds it.
    #[serde(skip)]
    pub tuple: Option<&'a [u8]>,
}

/// `xl_brin_update`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Update<'a> {
    /// Where the summary was in block 2.
    pub old_offset: OffsetNumber,
    /// The new one.
    #[serde(flatten)]
    pub insert: Insert<'a>,
}

/// `xl_brin_samepage_update`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SamepageUpdate<'a> {
    /// Where the summary is in block 0.
    pub offset: OffsetNumber,
    /// The new summary (`BrinTuple`), unless an image of block 0 holds it.
    #[serde(skip)]
    pub tuple: Option<&'a [u8]>,
}

/// `xl_brin_revmap_extend`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RevmapExtend {
    /// Block that becomes part of the range map.
    pub target_block: BlockNumber,
}

/// `xl_brin_desummarize`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Desummarize {
    /// Heap blocks that one summary covers.
    pub pages_per_range: BlockNumber,
    /// First heap block of the range.
    pub heap_block: BlockNumber,
    /// Where the summary was in block 1.
    pub page_offset: OffsetNumber,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    const INSERT_INIT: u8 = INSERT | INIT_PAGE;
    const UPDATE_INIT: u8 = UPDATE | INIT_PAGE;
    Some(match info & 0xF0 {
        CREATE_INDEX => "CREATE_INDEX",
        INSERT => "INSERT",
        INSERT_INIT => "INSERT+INIT",
        UPDATE => "UPDATE",
        UPDATE_INIT => "UPDATE+INIT",
        SAMEPAGE_UPDATE => "SAMEPAGE_UPDATE",
        REVMAP_EXTEND => "REVMAP_EXTEND",
        DESUMMARIZE => "DESUMMARIZE",
        _ => return None,
    })
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = record.main_data();
    let tuple = || {
        let data = record.block(0).map(|block| record.block_data(block));
        data.filter(|data| !data.is_empty())
    };
    // As PostgreSQL describes them: also types that do not go with INIT_PAGE, which have no name.
    let payload = match record.info() & TYPE_MASK {
        CREATE_INDEX => {
            let mut cursor = Cursor::new("xl_brin_createidx", main);
            let pages_per_range = cursor.u32()?;
            Brin::CreateIndex(CreateIndex { pages_per_range, version: cursor.u16()? })
        }
        INSERT => Brin::Insert(insert(&mut Cursor::new("xl_brin_insert", main), tuple())?),
        UPDATE => {
            let mut cursor = Cursor::new("xl_brin_update", main);
            let old_offset = cursor.u16()?;
            cursor.align(4)?;
            Brin::Update(Update { old_offset, insert: insert(&mut cursor, tuple())? })
        }
        SAMEPAGE_UPDATE => {
            let offset = Cursor::new("xl_brin_samepage_update", main).u16()?;
            Brin::SamepageUpdate(SamepageUpdate { offset, tuple: tuple() })
        }
        REVMAP_EXTEND => {
            let target_block = Cursor::new("xl_brin_revmap_extend", main).u32()?;
            Brin::RevmapExtend(RevmapExtend { target_block })
        }
        DESUMMARIZE => {
            let mut cursor = Cursor::new("xl_brin_desummarize", main);
            Brin::Desummarize(Desummarize {
                pages_per_range: cursor.u32()?,
                heap_block: cursor.u32()?,
                page_offset: cursor.u16()?,
            })
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Brin(payload))
}

fn insert<'a>(
    cursor: &mut Cursor<'_>,
    tuple: Option<&'a [u8]>,
) -> Result<Insert<'a>, PayloadError> {
    Ok(Insert {
        heap_block: cursor.u32()?,
        pages_per_range: cursor.u32()?,
        offset: cursor.u16()?,
        tuple,
    })
}

impl Brin<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match *self {
            Brin::CreateIndex(CreateIndex { pages_per_range, version }) => {
                out.str("v").int(version).str(" pagesPerRange ").int(pages_per_range)
            }
            Brin::Insert(Insert { heap_block, pages_per_range, offset, .. }) => {
                out.str("heapBlk ").int(heap_block).str(" pagesPerRange ").int(pages_per_range);
                out.str(" offnum ").int(offset)
            }
            Brin::Update(Update { old_offset, insert }) => {
                out.str("heapBlk ").int(insert.heap_block);
                out.str(" pagesPerRange ").int(insert.pages_per_range);
                out.str(" old offnum ").int(old_offset).str(", new offnum ").int(insert.offset)
            }
            Brin::SamepageUpdate(SamepageUpdate { offset, .. }) => out.str("offnum ").int(offset),
            Brin::RevmapExtend(RevmapExtend { target_block }) => {
                out.str("targetBlk ").int(target_block)
            }
            Brin::Desummarize(Desummarize { pages_per_range, heap_block, page_offset }) => {
                out.str("pagesPerRange ").int(pages_per_range).str(", heapBlk ").int(heap_block);
                out.str(", page offset ").int(page_offset)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;
    use serde_json::json;

    const RMID: u8 = 17;

    fn record(info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(Version::V15, RMID, info).main(main)
    }

    fn samples() -> Vec<(TestRecord, &'static str)> {
        let data = Bytes::default();
        let insert = data.clone().u32(256).u32(128).u16(3);
        let update = data.clone().u16(9).align(4).u32(256).u32(128).u16(3);
        let tuple = data.clone().bytes(b"summary");
        vec![
            (record(0x00, data.clone().u32(128).u16(1)), "v1 pagesPerRange 128"),
            (
                record(0x10, insert.clone()).block(0, tuple.clone()),
                "heapBlk 256 pagesPerRange 128 offnum 3",
            ),
            (record(0x90, insert).image(0), "heapBlk 256 pagesPerRange 128 offnum 3"),
            (
                record(0x20, update).block(0, tuple.clone()),
                "heapBlk 256 pagesPerRange 128 old offnum 9, new offnum 3",
            ),
            (record(0x30, data.clone().u16(4)).block(0, tuple), "offnum 4"),
            (record(0x40, data.clone().u32(2)), "targetBlk 2"),
            (
                record(0x50, data.u32(128).u32(256).u16(3)),
                "pagesPerRange 128, heapBlk 256, page offset 3",
            ),
        ]
    }

    #[test]
    fn texts_are_postgresqls() {
        for (record, text) in samples() {
            assert_eq!(record.describe(), text);
        }
    }

    #[test]
    fn truncated_payloads_are_errors() {
        for (record, _) in samples() {
            record.truncated_anywhere();
        }
        assert_eq!(
            record(0x40, Bytes::default().u16(2)).describe(),
            "malformed payload: xl_brin_revmap_extend is too short: 4 bytes wanted at offset 0, 2 there"
        );
    }

    #[test]
    fn a_type_with_a_stray_init_bit_has_a_description_and_no_name() {
        let record = record(0xC0, Bytes::default().u32(2));
        assert_eq!(identify(record.version, record.info), None);
        assert_eq!(record.describe(), "targetBlk 2");
    }

    #[test]
    fn fields_have_whole_names_in_json() {
        let main = Bytes::default().u16(9).align(4).u32(256).u32(128).u16(3);
        assert_eq!(
            record(0xA0, main).json(),
            json!({"old_offset": 9, "heap_block": 256, "pages_per_range": 128, "offset": 3})
        );
    }
}
