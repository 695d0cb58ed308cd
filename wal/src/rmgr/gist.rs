//! Resource manager 14, Gist: generalized search trees.
//!
//! 16 renamed what a standby's queries may conflict with and says whether the relation is a catalog; its
//! text says so from 17 on. In 16 and later the struct of DELETE has a byte of padding before its array.

use base::{BlockNumber, FullXid, Lsn, OffsetNumber, RelFileLocator, Xid};
use serde::Serialize;

use super::{Array, Cursor, Payload, PayloadError};
use crate::record::{MAX_BLOCK_ID, Record};
use crate::text::Text;
use crate::version::Version;

const PAGE_UPDATE: u8 = 0x00;
const DELETE: u8 = 0x10;
const PAGE_REUSE: u8 = 0x20;
const PAGE_SPLIT: u8 = 0x30;
const PAGE_DELETE: u8 = 0x60;
const ASSIGN_LSN: u8 = 0x70;

/// The payload of a Gist record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Gist<'a> {
    /// Tuples are taken off block 0 and put on it; block 1, if there, is the left half of a split that
    /// this completes.
    PageUpdate(PageUpdate<'a>),
    /// Dead tuples are taken off the leaf that is block 0.
    Delete(Delete<'a>),
    /// A deleted page is used again: something for a standby's queries to conflict with, no block.
    PageReuse(PageReuse),
    /// Block 1 is split into blocks 1 to n; block 0, if there, is the left half of a split below.
    PageSplit(PageSplit),
    /// Block 0 is deleted, its downlink in block 1 too.
    PageDelete(PageDelete),
    /// Nothing but the position of a record.
    AssignLsn(AssignLsn),
}

/// `gistxlogPageUpdate`, and the data of block 0.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PageUpdate<'a> {
    /// Tuples taken off.
    pub deleted_count: u16,
    /// Tuples put on.
    pub inserted_count: u16,
    /// Which tuples are taken off, unless an image of block 0 says it.
    pub deleted: Option<Array<'a, OffsetNumber>>,
    /// The new tuples (`IndexTuple`), one behind the other, unless an image of block 0 holds them.
    #[serde(skip)]
    pub tuples: Option<&'a [u8]>,
}

/// `gistxlogDelete`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Delete<'a> {
    /// Newest transaction whose deletions are cleaned up; `latestRemovedXid` in 15.
    pub snapshot_conflict_horizon: Xid,
    /// Tuples taken off.
    pub deleted_count: u16,
    /// Whether a catalog's index is concerned; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
    /// Which tuples are taken off.
    pub deleted: Array<'a, OffsetNumber>,
}

/// `gistxlogPageReuse`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PageReuse {
    /// The index.
    pub locator: RelFileLocator,
    /// The page.
    pub block: BlockNumber,
    /// Newest transaction that may have seen the page; `latestRemovedFullXid` in 15.
    pub snapshot_conflict_horizon: FullXid,
    /// Whether a catalog's index is concerned; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
}

/// `gistxlogPageSplit`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PageSplit {
    /// Right link of the page before the split.
    pub original_right_link: BlockNumber,
    /// Node sequence number of the page before the split.
    pub original_sequence_number: Lsn,
    /// Whether the page was a leaf.
    pub original_is_leaf: bool,
    /// Pages that it became.
    pub page_count: u16,
    /// Whether all but the last are marked: the one to the right has no downlink yet.
    pub mark_follow_right: bool,
    /// Tuples on the new pages together, where the record says it for each page.
    pub tuple_count: Option<u64>,
}

/// `gistxlogPageDelete`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PageDelete {
    /// Newest transaction that may still see the page.
    pub delete_xid: FullXid,
    /// Which tuple of block 1 is the downlink.
    pub downlink_offset: OffsetNumber,
}

/// An ASSIGN_LSN record has a word of zeros, since no record may be without content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AssignLsn {}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    Some(match info & 0xF0 {
        PAGE_UPDATE => "PAGE_UPDATE",
        DELETE => "DELETE",
        PAGE_REUSE => "PAGE_REUSE",
        PAGE_SPLIT => "PAGE_SPLIT",
        PAGE_DELETE => "PAGE_DELETE",
        ASSIGN_LSN => "ASSIGN_LSN",
        _ => return None,
    })
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let payload = match record.info() {
        PAGE_UPDATE => Gist::PageUpdate(page_update(record)?),
        DELETE => Gist::Delete(delete(record)?),
        PAGE_REUSE => {
            let mut cursor = Cursor::new("gistxlogPageReuse", record.main_data());
            Gist::PageReuse(PageReuse {
                locator: cursor.locator()?,
                block: cursor.u32()?,
                snapshot_conflict_horizon: FullXid(cursor.u64()?),
                is_catalog_relation: is_catalog_relation(record, &mut cursor)?,
            })
        }
        PAGE_SPLIT => Gist::PageSplit(page_split(record)?),
        PAGE_DELETE => {
            let mut cursor = Cursor::new("gistxlogPageDelete", record.main_data());
            let delete_xid = FullXid(cursor.u64()?);
            Gist::PageDelete(PageDelete { delete_xid, downlink_offset: cursor.u16()? })
        }
        ASSIGN_LSN => Gist::AssignLsn(AssignLsn {}),
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Gist(payload))
}

/// The byte that 16 added.
fn is_catalog_relation(
    record: &Record<'_>,
    cursor: &mut Cursor<'_>,
) -> Result<Option<bool>, PayloadError> {
    if record.version() >= Version::V16 { cursor.bool().map(Some) } else { Ok(None) }
}

fn page_update<'a>(record: &Record<'a>) -> Result<PageUpdate<'a>, PayloadError> {
    let mut cursor = Cursor::new("gistxlogPageUpdate", record.main_data());
    let (deleted_count, inserted_count) = (cursor.u16()?, cursor.u16()?);
    let block = record.block(0);
    let data = block.map_or(&[][..], |block| record.block_data(block));
    let (mut deleted, mut tuples) = (None, None);
    // An image of the page stands for its data, unless it is there for verification only.
    if !data.is_empty() || block.is_some_and(|block| !block.has_image()) {
        let mut cursor = Cursor::new("data of gistxlogPageUpdate", data);
        deleted = Some(cursor.array(usize::from(deleted_count))?);
        tuples = Some(cursor.rest());
    }
    Ok(PageUpdate { deleted_count, inserted_count, deleted, tuples })
}

/// ```text
/// offset  15                       16 and later
///      0  latestRemovedXid         snapshotConflictHorizon
///      4  ntodelete                ntodelete
///      6  offsets                  isCatalogRel, padding
///      8                           offsets
/// ```
fn delete<'a>(record: &Record<'a>) -> Result<Delete<'a>, PayloadError> {
    let mut cursor = Cursor::new("gistxlogDelete", record.main_data());
    let snapshot_conflict_horizon = cursor.xid()?;
    let deleted_count = cursor.u16()?;
    let is_catalog_relation = is_catalog_relation(record, &mut cursor)?;
    cursor.align(2)?;
    let deleted = cursor.array(usize::from(deleted_count))?;
    Ok(Delete { snapshot_conflict_horizon, deleted_count, is_catalog_relation, deleted })
}

fn page_split(record: &Record<'_>) -> Result<PageSplit, PayloadError> {
    let mut cursor = Cursor::new("gistxlogPageSplit", record.main_data());
    let original_right_link = cursor.u32()?;
    cursor.align(8)?;
    let original_sequence_number = cursor.lsn()?;
    let original_is_leaf = cursor.bool()?;
    cursor.align(2)?;
    let page_count = cursor.u16()?;
    let mark_follow_right = cursor.bool()?;
    // The data of each new page begins with the number of its tuples.
    let pages = (1..=MAX_BLOCK_ID).take(usize::from(page_count));
    let counts = pages.map(|id| {
        let data = record.block_data(record.block(id)?);
        Some(u64::from(u32::from_le_bytes(*data.first_chunk()?)))
    });
    let tuple_count = counts.sum::<Option<u64>>().filter(|_| page_count <= MAX_BLOCK_ID.into());
    Ok(PageSplit {
        original_right_link,
        original_sequence_number,
        original_is_leaf,
        page_count,
        mark_follow_right,
        tuple_count,
    })
}

impl Gist<'_> {
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        let horizon = match record.version() {
            Version::V15 => "latestRemovedXid ",
            _ => "snapshotConflictHorizon ",
        };
        // 16 has the flag in its records, but not in its text.
        let catalog = |flag: Option<bool>| match flag.filter(|_| record.version() >= Version::V17) {
            Some(true) => ", isCatalogRel T",
            Some(false) => ", isCatalogRel F",
            None => "",
        };
        match self {
            Gist::PageUpdate(_) | Gist::AssignLsn(_) => {}
            Gist::Delete(delete) => {
                out.str("delete: ").str(horizon).xid(delete.snapshot_conflict_horizon);
                out.str(", nitems: ").int(delete.deleted_count);
                out.str(catalog(delete.is_catalog_relation));
            }
            Gist::PageReuse(reuse) => {
                out.str("rel ").locator(reuse.locator).str("; blk ").int(reuse.block);
                out.str("; ").str(horizon);
                full_xid(reuse.snapshot_conflict_horizon, out);
                out.str(catalog(reuse.is_catalog_relation));
            }
            Gist::PageSplit(split) => {
                out.str("page_split: splits to ").int(split.page_count).str(" pages");
            }
            Gist::PageDelete(delete) => {
                out.str("deleteXid ");
                full_xid(delete.delete_xid, out);
                out.str("; downlink ").int(delete.downlink_offset);
            }
        }
    }
}

/// `epoch:xid`
fn full_xid(xid: FullXid, out: &mut Text) {
    out.int(xid.epoch()).str(":").xid(xid.xid());
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, LOCATOR, TestRecord};
    use super::*;
    use serde_json::json;

    const RMID: u8 = 14;

    fn record(version: Version, info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(version, RMID, info).main(main)
    }

    fn delete_record(version: Version) -> TestRecord {
        let main = Bytes::default().u32(740).u16(2);
        let main = if version == Version::V15 { main } else { main.u8(1).align(2) };
        record(version, DELETE, main.u16s(&[3, 8])).block(0, Bytes::default())
    }

    fn reuse_record(version: Version) -> TestRecord {
        let main = Bytes::default().locator(LOCATOR).u32(12).u64(1 << 32 | 740);
        record(version, PAGE_REUSE, if version == Version::V15 { main } else { main.u8(0) })
    }

    fn split_record() -> TestRecord {
        let main = Bytes::default().u32(7).align(8).u64(0x0123_4567).u8(1).align(2).u16(2).u8(1);
        record(Version::V17, PAGE_SPLIT, main.align(8))
            .block(1, Bytes::default().u32(2).bytes(b"tuples"))
            .block(2, Bytes::default().u32(3).bytes(b"tuples"))
    }

    #[test]
    fn names_of_the_conflict_horizon_change_with_the_version() {
        let expected = [
            (Version::V15, "latestRemovedXid 740, nitems: 2", "latestRemovedXid 1:740"),
            (
                Version::V16,
                "snapshotConflictHorizon 740, nitems: 2",
                "snapshotConflictHorizon 1:740",
            ),
            (
                Version::V17,
                "snapshotConflictHorizon 740, nitems: 2, isCatalogRel T",
                "snapshotConflictHorizon 1:740, isCatalogRel F",
            ),
            (
                Version::V18,
                "snapshotConflictHorizon 740, nitems: 2, isCatalogRel T",
                "snapshotConflictHorizon 1:740, isCatalogRel F",
            ),
        ];
        for (version, delete, reuse) in expected {
            assert_eq!(delete_record(version).describe(), format!("delete: {delete}"));
            assert_eq!(
                reuse_record(version).describe(),
                format!("rel 1663/5/16384; blk 12; {reuse}")
            );
            assert_eq!(delete_record(version).json()["deleted"], json!([3, 8]));
        }
    }

    #[test]
    fn pages_are_split_and_deleted() {
        assert_eq!(split_record().describe(), "page_split: splits to 2 pages");
        assert_eq!(
            split_record().json(),
            json!({
                "original_right_link": 7, "original_sequence_number": "0/1234567",
                "original_is_leaf": true, "page_count": 2, "mark_follow_right": true,
                "tuple_count": 5,
            })
        );
        let main = Bytes::default().u64(2 << 32 | 9).u16(4);
        let deleted = record(Version::V15, PAGE_DELETE, main);
        assert_eq!(deleted.describe(), "deleteXid 2:9; downlink 4");
        deleted.truncated_anywhere();
    }

    #[test]
    fn a_page_update_has_its_offsets_unless_an_image_replaces_them() {
        let main = Bytes::default().u16(2).u16(1);
        let with_data = record(Version::V16, PAGE_UPDATE, main.clone())
            .block(0, Bytes::default().u16s(&[5, 6]).bytes(b"tuple"));
        assert_eq!(with_data.describe(), "");
        assert_eq!(
            with_data.json(),
            json!({"deleted_count": 2, "inserted_count": 1, "deleted": [5, 6]})
        );
        with_data.truncated_anywhere();
        let with_image = record(Version::V16, PAGE_UPDATE, main).image(0);
        assert_eq!(with_image.json()["deleted"], json!(null));
    }

    #[test]
    fn truncated_payloads_are_errors() {
        for version in Version::ALL {
            delete_record(version).truncated_anywhere();
            reuse_record(version).truncated_anywhere();
        }
        split_record().truncated_anywhere();
        let mut cut = delete_record(Version::V15);
        cut.main.truncate(8);
        assert!(cut.describe().starts_with("malformed payload: gistxlogDelete"));
    }

    #[test]
    fn a_position_alone_has_no_text() {
        let assigned = record(Version::V18, ASSIGN_LSN, Bytes::default().u32(0));
        assert_eq!((assigned.describe(), assigned.json()), (String::new(), json!({})));
        assert_eq!(identify(Version::V18, 0x40), None);
    }
}
