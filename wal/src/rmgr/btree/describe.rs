//! The text of Btree records (`btree_desc`): bare words in 15, `key: value` from 16 on, and there which
//! entries are removed too; whether the table is a catalog is told from 17 on.

use base::FullXid;

use super::deletion::DeletedItems;
use super::{
    Btree, Delete, MarkPageHalfdead, MetaCleanup, NewRoot, ReusePage, Split, UnlinkPage, Vacuum,
};
use crate::record::Record;
use crate::rmgr::array_text::{push_array, push_offsets};
use crate::text::Text;
use crate::version::Version;

impl Btree<'_> {
    #[inline]
    pub(in crate::rmgr) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        let version = record.version();
        match self {
            Btree::Insert(insert) => {
                out.str(if version == Version::V15 { "off " } else { "off: " }).int(insert.offset);
            }
            Btree::Split(split) => split.describe(version, out),
            Btree::Dedup(dedup) => {
                let name = if version == Version::V15 { "nintervals " } else { "nintervals: " };
                out.str(name).int(dedup.count);
            }
            Btree::Delete(delete) => delete.describe(version, out),
            Btree::UnlinkPage(unlink) => unlink.describe(version, out),
            Btree::NewRoot(NewRoot { level, .. }) => {
                out.str(if version == Version::V15 { "lev " } else { "level: " }).int(*level);
            }
            Btree::MarkPageHalfdead(mark) => mark.describe(version, out),
            Btree::Vacuum(vacuum) => vacuum.describe(version, out),
            Btree::ReusePage(reuse) => reuse.describe(version, out),
            Btree::MetaCleanup(MetaCleanup { metadata }) => {
                out.str("last_cleanup_num_delpages");
                out.str(if version == Version::V15 { " " } else { ": " });
                out.int(metadata.last_cleanup_deleted_pages);
            }
        }
    }
}

/// Appends `, isCatalogRel: T`.
fn push_is_catalog_relation(is_catalog_relation: Option<bool>, out: &mut Text) {
    let is_catalog_relation = is_catalog_relation.unwrap_or_default();
    out.str(", isCatalogRel: ").str(if is_catalog_relation { "T" } else { "F" });
}

/// Appends `epoch:xid`.
fn push_full_xid(full_xid: FullXid, out: &mut Text) {
    out.int(full_xid.epoch()).str(":").xid(full_xid.xid());
}

impl Split<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        let [level, first_right, new_item, posting] = match version {
            Version::V15 => ["level ", ", firstrightoff ", ", newitemoff ", ", postingoff "],
            _ => ["level: ", ", firstrightoff: ", ", newitemoff: ", ", postingoff: "],
        };
        out.str(level).int(self.level).str(first_right).int(self.first_right_offset);
        out.str(new_item).int(self.new_item_offset).str(posting).int(self.posting_offset);
    }
}

impl DeletedItems<'_> {
    /// `delvacuum_desc`
    fn describe(&self, out: &mut Text) {
        out.str(", deleted:");
        push_offsets(self.deleted, out);
        out.str(", updated:");
        push_array(self.updated.iter(), out, |update, out| {
            out.str("{ off: ").int(update.offset);
            out.str(", nptids: ").int(update.deleted_tids.len()).str(", ptids:");
            push_offsets(update.deleted_tids, out);
            out.str(" }");
        });
    }
}

impl Vacuum<'_> {
    #[inline]
    fn describe(&self, version: Version, out: &mut Text) {
        if version == Version::V15 {
            out.str("ndeleted ").int(self.deleted_count);
            out.str("; nupdated ").int(self.updated_count);
            return;
        }
        out.str("ndeleted: ").int(self.deleted_count);
        out.str(", nupdated: ").int(self.updated_count);
        if let Some(items) = &self.items {
            items.describe(out);
        }
    }
}

impl Delete<'_> {
    #[inline]
    fn describe(&self, version: Version, out: &mut Text) {
        let [horizon, deleted, updated] = match version {
            Version::V15 => ["latestRemovedXid ", "; ndeleted ", "; nupdated "],
            _ => ["snapshotConflictHorizon: ", ", ndeleted: ", ", nupdated: "],
        };
        out.str(horizon).xid(self.snapshot_conflict_horizon);
        out.str(deleted).int(self.deleted_count).str(updated).int(self.updated_count);
        if version >= Version::V17 {
            push_is_catalog_relation(self.is_catalog_relation, out);
        }
        if version >= Version::V16
            && let Some(items) = &self.items
        {
            items.describe(out);
        }
    }
}

impl MarkPageHalfdead {
    fn describe(&self, version: Version, out: &mut Text) {
        let [top_parent, leaf, left, right] = match version {
            Version::V15 => ["topparent ", "; leaf ", "; left ", "; right "],
            _ => ["topparent: ", ", leaf: ", ", left: ", ", right: "],
        };
        out.str(top_parent).int(self.top_parent).str(leaf).int(self.leaf);
        out.str(left).int(self.left).str(right).int(self.right);
    }
}

impl UnlinkPage {
    fn describe(&self, version: Version, out: &mut Text) {
        let [left, right, level, safe_xid] = match version {
            Version::V15 => ["left ", "; right ", "; level ", "; safexid "],
            _ => ["left: ", ", right: ", ", level: ", ", safexid: "],
        };
        out.str(left).int(self.left).str(right).int(self.right).str(level).int(self.level);
        push_full_xid(self.safe_xid, out.str(safe_xid));
        let [left, right, top_parent] = match version {
            Version::V15 => ["; leafleft ", "; leafright ", "; leaftopparent "],
            _ => [", leafleft: ", ", leafright: ", ", leaftopparent: "],
        };
        out.str(left).int(self.leaf_left).str(right).int(self.leaf_right);
        out.str(top_parent).int(self.leaf_top_parent);
    }
}

impl ReusePage {
    fn describe(&self, version: Version, out: &mut Text) {
        let [relation, horizon] = match version {
            Version::V15 => ["rel ", "; latestRemovedXid "],
            _ => ["rel: ", ", snapshotConflictHorizon: "],
        };
        out.str(relation).locator(self.locator);
        push_full_xid(self.snapshot_conflict_horizon, out.str(horizon));
        if version >= Version::V17 {
            push_is_catalog_relation(self.is_catalog_relation, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::identify;
    use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};
    use crate::version::Version::{self, V15, V16, V17, V18};
    use serde_json::json;

    fn btree(version: Version, info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(version, 11, info).main(main)
    }

    fn metadata() -> Bytes {
        Bytes::default().u32s(&[4, 3, 1, 2, 0, 17]).u8(1).align(4)
    }

    #[test]
    fn record_types_have_names() {
        let names: Vec<_> = (0..15).filter_map(|info| identify(V15, info << 4)).collect();
        assert_eq!(
            names.join(" "),
            "INSERT_LEAF INSERT_UPPER INSERT_META SPLIT_L SPLIT_R INSERT_POST DEDUP DELETE \
             UNLINK_PAGE UNLINK_PAGE_META NEWROOT MARK_PAGE_HALFDEAD VACUUM REUSE_PAGE META_CLEANUP"
        );
        assert_eq!(identify(V18, 0xF0), None);
        assert_eq!(btree(V18, 0xF0, Bytes::default()).describe(), "");
    }

    #[test]
    fn insert() {
        let tuple = Bytes::default().u16(9).bytes(b"tuple");
        let record = |version, info| {
            let record = btree(version, info, Bytes::default().u16(5)).block(0, tuple.clone());
            record.block(1, Bytes::default()).block(2, metadata())
        };
        for info in [0x00, 0x10, 0x20, 0x50] {
            assert_eq!(record(V15, info).describe(), "off 5");
            assert_eq!(record(V16, info).describe(), "off: 5");
            record(V17, info).truncated_anywhere();
        }
        assert_eq!(record(V17, 0x00).json(), json!({"offset": 5}));
        assert_eq!(record(V17, 0x50).json(), json!({"offset": 5, "posting_offset": 9}));
        assert_eq!(
            record(V17, 0x20).json()["metadata"],
            json!({
                "version": 4, "root": 3, "level": 1, "fast_root": 2, "fast_level": 0,
                "last_cleanup_deleted_pages": 17, "all_equal_image": true,
            })
        );
    }

    #[test]
    fn split() {
        let record = |version| {
            let main = Bytes::default().u32(1).u16s(&[65535, 3, 0]);
            btree(version, 0x30, main).block(0, Bytes::default().u8(1))
        };
        assert_eq!(
            record(V15).describe(),
            "level 1, firstrightoff 65535, newitemoff 3, postingoff 0"
        );
        assert_eq!(
            record(V16).describe(),
            "level: 1, firstrightoff: 65535, newitemoff: 3, postingoff: 0"
        );
        assert_eq!(record(V16).json()["first_right_offset"], 65535);
        record(V16).truncated_anywhere();
    }

    #[test]
    fn dedup() {
        let record = |version| {
            let intervals = Bytes::default().u16s(&[2, 10, 4, 20]);
            btree(version, 0x60, Bytes::default().u16(2)).block(0, intervals)
        };
        assert_eq!(record(V15).describe(), "nintervals 2");
        assert_eq!(record(V17).describe(), "nintervals: 2");
        assert_eq!(record(V17).json()["intervals"][1], json!({"offset": 4, "count": 20}));
        record(V17).truncated_anywhere();
    }

    /// Two entries removed, two posting lists shortened.
    fn items() -> Bytes {
        Bytes::default().u16s(&[3, 4]).u16s(&[7, 8]).u16s(&[2, 0, 1]).u16s(&[1, 5])
    }

    const ITEMS: &str = ", deleted: [3, 4], updated: [{ off: 7, nptids: 2, ptids: [0, 1] }, \
                         { off: 8, nptids: 1, ptids: [5] }]";

    #[test]
    fn vacuum() {
        let main = || Bytes::default().u16(2).u16(2);
        let record = |version| btree(version, 0xC0, main()).block(0, items());
        assert_eq!(record(V15).describe(), "ndeleted 2; nupdated 2");
        let counts = "ndeleted: 2, nupdated: 2";
        assert_eq!(record(V16).describe(), format!("{counts}{ITEMS}"));
        assert_eq!(btree(V16, 0xC0, main()).image(0).describe(), counts);
        assert_eq!(
            record(V18).json()["updated"],
            json!([{"offset": 7, "deleted_tids": [0, 1]}, {"offset": 8, "deleted_tids": [5]}])
        );
        record(V18).truncated_anywhere();
        let only = btree(V18, 0xC0, Bytes::default().u16(1).u16(0));
        assert_eq!(
            only.block(0, Bytes::default().u16(3)).describe(),
            "ndeleted: 1, nupdated: 0, deleted: [3], updated: []"
        );
    }

    #[test]
    fn delete() {
        let old = Bytes::default().u32(740).u16(2).u16(2);
        let record = |version, main: Bytes| btree(version, 0x70, main).block(0, items());
        let text = "latestRemovedXid 740; ndeleted 2; nupdated 2";
        assert_eq!(record(V15, old.clone()).describe(), text);
        let new = old.u8(1);
        let text = "snapshotConflictHorizon: 740, ndeleted: 2, nupdated: 2";
        assert_eq!(record(V16, new.clone()).describe(), format!("{text}{ITEMS}"));
        let text = format!("{text}, isCatalogRel: T");
        assert_eq!(record(V17, new.clone()).describe(), format!("{text}{ITEMS}"));
        assert_eq!(btree(V18, 0x70, new.clone()).image(0).describe(), text);
        assert_eq!(record(V16, new.clone()).json()["is_catalog_relation"], true);
        record(V18, new).truncated_anywhere();
    }

    #[test]
    fn mark_page_halfdead() {
        let main = || Bytes::default().u16(9).align(4).u32s(&[1, 2, 3, 4]);
        let text = "topparent 4; leaf 1; left 2; right 3";
        assert_eq!(btree(V15, 0xB0, main()).describe(), text);
        let text = "topparent: 4, leaf: 1, left: 2, right: 3";
        assert_eq!(btree(V16, 0xB0, main()).describe(), text);
        assert_eq!(btree(V16, 0xB0, main()).json()["parent_offset"], 9);
        btree(V16, 0xB0, main()).truncated_anywhere();
    }

    #[test]
    fn unlink_page() {
        let main = Bytes::default().u32s(&[1, 2, 0]).align(8).u64(3 << 32 | 760);
        let main = main.u32s(&[4, 5, u32::MAX]);
        let record = |version, info| btree(version, info, main.clone()).block(4, metadata());
        assert_eq!(
            record(V15, 0x80).describe(),
            "left 1; right 2; level 0; safexid 3:760; leafleft 4; leafright 5; leaftopparent \
             4294967295"
        );
        assert_eq!(
            record(V16, 0x90).describe(),
            "left: 1, right: 2, level: 0, safexid: 3:760, leafleft: 4, leafright: 5, \
             leaftopparent: 4294967295"
        );
        assert!(record(V16, 0x80).json().get("metadata").is_none());
        assert_eq!(record(V16, 0x90).json()["metadata"]["root"], 3);
        record(V16, 0x90).truncated_anywhere();
    }

    #[test]
    fn new_root() {
        let record = |version| {
            let main = Bytes::default().u32(3).u32(2);
            btree(version, 0xA0, main).block(0, Bytes::default().u8(1)).block(2, metadata())
        };
        assert_eq!(record(V15).describe(), "lev 2");
        assert_eq!(record(V18).describe(), "level: 2");
        assert_eq!(record(V18).json()["root"], 3);
        record(V18).truncated_anywhere();
    }

    #[test]
    fn reuse_page() {
        let old = Bytes::default().locator(LOCATOR).u32(8).u64(1 << 32 | 700);
        let text = "rel 1663/5/16384; latestRemovedXid 1:700";
        assert_eq!(btree(V15, 0xD0, old.clone()).describe(), text);
        let new = old.u8(0);
        let text = "rel: 1663/5/16384, snapshotConflictHorizon: 1:700";
        assert_eq!(btree(V16, 0xD0, new.clone()).describe(), text);
        let text = format!("{text}, isCatalogRel: F");
        assert_eq!(btree(V17, 0xD0, new.clone()).describe(), text);
        btree(V18, 0xD0, new).truncated_anywhere();
    }

    #[test]
    fn meta_cleanup() {
        let record = |version| btree(version, 0xE0, Bytes::default()).block(0, metadata());
        assert_eq!(record(V15).describe(), "last_cleanup_num_delpages 17");
        assert_eq!(record(V16).describe(), "last_cleanup_num_delpages: 17");
        record(V16).truncated_anywhere();
        let without = btree(V18, 0xE0, Bytes::default());
        assert!(without.describe().starts_with("malformed payload: xl_btree_metadata"));
    }
}
