//! The text of Hash records (`hash_desc`), the same in all versions but for VACUUM_ONE_PAGE.

use std::fmt::Write as _;

use super::general_number::GeneralNumber;
use super::{AddOverflowPage, Delete, Hash, InitMetaPage, SplitAllocatePage, SplitComplete};
use super::{SplitFlags, UpdateMetaPage, VacuumOnePage};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

fn letter(condition: bool) -> &'static str {
    if condition { "T" } else { "F" }
}

fn push_number(number: f64, out: &mut Text) {
    // Writing into memory does not fail.
    let _ = write!(out, "{}", GeneralNumber(number));
}

impl Hash<'_> {
    pub(in crate::rmgr) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        match self {
            Hash::InitMetaPage(InitMetaPage { tuple_count, fill_factor, .. }) => {
                push_number(*tuple_count, out.str("num_tuples "));
                out.str(", fillfactor ").int(*fill_factor);
            }
            Hash::InitBitmapPage(init) => {
                out.str("bmsize ").int(init.bitmap_size);
            }
            Hash::Insert(insert) => {
                out.str("off ").int(insert.offset);
            }
            Hash::AddOverflowPage(AddOverflowPage { bitmap_size, page_was_free, .. }) => {
                out.str("bmsize ").int(*bitmap_size);
                out.str(", bmpage_found ").str(letter(*page_was_free));
            }
            Hash::SplitAllocatePage(SplitAllocatePage { new_bucket, flags, .. }) => {
                let changes = |flag| letter(flags.contains(flag));
                out.str("new_bucket ").int(*new_bucket).str(", meta_page_masks_updated ");
                out.str(changes(SplitFlags::META_UPDATE_MASKS)).str(", issplitpoint_changed ");
                out.str(changes(SplitFlags::META_UPDATE_SPLITPOINT));
            }
            Hash::SplitComplete(SplitComplete { old_bucket_flag, new_bucket_flag }) => {
                out.str("old_bucket_flag ").int(*old_bucket_flag);
                out.str(", new_bucket_flag ").int(*new_bucket_flag);
            }
            Hash::MovePageContents(moved) => {
                out.str("ntups ")
                    .int(moved.count)
                    .str(", is_primary ")
                    .str(letter(moved.is_primary));
            }
            Hash::SqueezePage(squeeze) => {
                out.str("prevblkno ").int(squeeze.previous);
                out.str(", nextblkno ").int(squeeze.next).str(", ntups ").int(squeeze.count);
                out.str(", is_primary ").str(letter(squeeze.is_primary));
            }
            Hash::Delete(Delete { clears_dead_marking, is_primary, .. }) => {
                out.str("clear_dead_marking ").str(letter(*clears_dead_marking));
                out.str(", is_primary ").str(letter(*is_primary));
            }
            Hash::UpdateMetaPage(UpdateMetaPage { tuple_count }) => {
                push_number(*tuple_count, out.str("ntuples "));
            }
            Hash::VacuumOnePage(vacuum) => vacuum.describe(record.version(), out),
            Hash::SplitPage(_) | Hash::SplitCleanup(_) => {}
        }
    }
}

impl VacuumOnePage<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        out.str("ntuples ").int(self.removed.len());
        out.str(match version {
            Version::V15 => ", latestRemovedXid ",
            _ => ", snapshotConflictHorizon ",
        });
        out.xid(self.snapshot_conflict_horizon);
        if version >= Version::V17 {
            let is_catalog_relation = self.is_catalog_relation.unwrap_or_default();
            out.str(", isCatalogRel ").str(letter(is_catalog_relation));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::identify;
    use crate::rmgr::test_record::{Bytes, TestRecord};
    use crate::version::Version::{self, V15, V16, V17, V18};
    use serde_json::json;

    fn hash(version: Version, info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(version, 12, info).main(main)
    }

    fn double(number: f64) -> Bytes {
        Bytes::default().u64(number.to_bits())
    }

    #[test]
    fn record_types_have_names() {
        let names: Vec<_> = (0..13).filter_map(|info| identify(V15, info << 4)).collect();
        assert_eq!(
            names.join(" "),
            "INIT_META_PAGE INIT_BITMAP_PAGE INSERT ADD_OVFL_PAGE SPLIT_ALLOCATE_PAGE SPLIT_PAGE \
             SPLIT_COMPLETE MOVE_PAGE_CONTENTS SQUEEZE_PAGE DELETE SPLIT_CLEANUP UPDATE_META_PAGE \
             VACUUM_ONE_PAGE"
        );
        for info in [0xD0, 0xE0, 0xF0] {
            assert_eq!(identify(V18, info), None);
            assert_eq!(hash(V18, info, Bytes::default()).describe(), "");
        }
    }

    #[test]
    fn pages_made_anew() {
        let meta = hash(V15, 0x00, double(1e6).u32(400).u16(307));
        assert_eq!(meta.describe(), "num_tuples 1e+06, fillfactor 307");
        assert_eq!(meta.json(), json!({"tuple_count": 1e6, "procedure": 400, "fill_factor": 307}));
        meta.truncated_anywhere();
        let bitmap = hash(V18, 0x10, Bytes::default().u16(4096));
        assert_eq!(bitmap.describe(), "bmsize 4096");
        bitmap.truncated_anywhere();
    }

    #[test]
    fn insert() {
        let record = hash(V16, 0x20, Bytes::default().u16(11)).block(0, Bytes::default().u8(1));
        assert_eq!(record.describe(), "off 11");
        assert_eq!(record.json(), json!({"offset": 11}));
        record.truncated_anywhere();
    }

    #[test]
    fn add_overflow_page() {
        let number = |number| Bytes::default().u32(number);
        let record = hash(V17, 0x30, Bytes::default().u16(4096).u8(1)).block(0, number(3));
        let record = record.block(1, Bytes::default()).block(2, number(5)).block(4, number(6));
        assert_eq!(record.describe(), "bmsize 4096, bmpage_found T");
        assert_eq!(
            record.json(),
            json!({
                "bitmap_size": 4096, "page_was_free": true, "bucket": 3, "bitmap_bit": 5,
                "first_free": 6,
            })
        );
        record.truncated_anywhere();
    }

    #[test]
    fn split() {
        let record = |flags, metapage: &[u32]| {
            let main = Bytes::default().u32(2).u16(0x12).u16(0x22).u8(flags);
            hash(V17, 0x40, main).block(2, Bytes::default().u32s(metapage))
        };
        assert_eq!(
            record(3, &[1, 3, 2, 4]).describe(),
            "new_bucket 2, meta_page_masks_updated T, issplitpoint_changed T"
        );
        assert_eq!(
            record(2, &[2, 4]).json(),
            json!({
                "new_bucket": 2, "old_bucket_flag": 0x12, "new_bucket_flag": 0x22,
                "flags": ["META_UPDATE_SPLITPOINT"], "split_point": [2, 4],
            })
        );
        assert_eq!(record(1, &[1, 3]).json()["masks"], json!([1, 3]));
        record(3, &[1, 3, 2, 4]).truncated_anywhere();
        let page = hash(V17, 0x50, Bytes::default()).image(0);
        assert_eq!((page.describe(), page.json()), (String::new(), json!({})));
        let complete = hash(V17, 0x60, Bytes::default().u16(2).u16(2));
        assert_eq!(complete.describe(), "old_bucket_flag 2, new_bucket_flag 2");
        complete.truncated_anywhere();
        let cleanup = hash(V17, 0xA0, Bytes::default()).block(0, Bytes::default());
        assert_eq!(cleanup.describe(), "");
    }

    #[test]
    fn move_page_contents() {
        let record = hash(V15, 0x70, Bytes::default().u16(2).u8(1)).block(0, Bytes::default());
        let record = record.block(1, Bytes::default().u16s(&[1, 2]).u64(0).u64(1));
        let record = record.block(2, Bytes::default().u16s(&[7, 8]));
        assert_eq!(record.describe(), "ntups 2, is_primary T");
        assert_eq!(
            record.json(),
            json!({
                "count": 2, "is_primary": true, "moved": {"offsets": [1, 2]}, "removed": [7, 8],
            })
        );
        record.truncated_anywhere();
    }

    #[test]
    fn squeeze_page() {
        let main = Bytes::default().u32(1).u32(u32::MAX).u16(1).u8(0).u8(1);
        let number = |number| Bytes::default().u32(number);
        let record = hash(V18, 0x80, main).block(1, Bytes::default().u16(4).u64(0));
        let record = record.block(5, number(9)).block(6, number(2));
        let text = "prevblkno 1, nextblkno 4294967295, ntups 1, is_primary F";
        assert_eq!(record.describe(), text);
        let json = record.json();
        assert_eq!([&json["bitmap_bit"], &json["first_free"]], [&json!(9), &json!(2)]);
        record.truncated_anywhere();
    }

    #[test]
    fn delete() {
        let record = hash(V18, 0x90, Bytes::default().u8(0).u8(1));
        let record = record.block(1, Bytes::default().u16s(&[3, 5]));
        assert_eq!(record.describe(), "clear_dead_marking F, is_primary T");
        assert_eq!(record.json()["removed"], json!([3, 5]));
        record.truncated_anywhere();
    }

    #[test]
    fn update_meta_page() {
        let record = hash(V15, 0xB0, double(12_345_678.0));
        assert_eq!(record.describe(), "ntuples 1.23457e+07");
        record.truncated_anywhere();
    }

    #[test]
    fn vacuum_one_page() {
        let old = hash(V15, 0xC0, Bytes::default().u32(740).i32(2).u16s(&[3, 5]));
        assert_eq!(old.describe(), "ntuples 2, latestRemovedXid 740");
        old.truncated_anywhere();
        let new = |version| {
            let main = Bytes::default().u32(740).u16(2).u8(1).u8(0xEE).u16s(&[3, 5]);
            hash(version, 0xC0, main)
        };
        let text = "ntuples 2, snapshotConflictHorizon 740";
        assert_eq!(new(V16).describe(), text);
        assert_eq!(new(V17).describe(), format!("{text}, isCatalogRel T"));
        assert_eq!(new(V18).json()["removed"], json!([3, 5]));
        new(V18).truncated_anywhere();
        let negative = hash(V15, 0xC0, Bytes::default().u32(740).i32(-1));
        assert!(negative.describe().starts_with("malformed payload"));
    }
}
