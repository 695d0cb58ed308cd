//! The text of Heap2 records (`heap2_desc`): bare words in 15, `key: value` from 16 on, and there what is
//! done to the page too, unless its image is there instead.

use base::Tid;

use super::prune::{Freeze, FreezePage, FreezePlans, PageChanges, Prune, PruneFlags, PruneFreeze};
use super::{Heap2, MultiInsert, NewCid, Vacuum, Visible};
use crate::record::Record;
use crate::rmgr::Array;
use crate::rmgr::array_text::{push_array, push_offsets};
use crate::text::Text;
use crate::version::Version;

impl Heap2<'_> {
    #[inline]
    pub(in crate::rmgr) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        let version = record.version();
        match self {
            Heap2::Prune(prune) => prune.describe(version, out),
            Heap2::Vacuum(vacuum) => vacuum.describe(version, out),
            Heap2::FreezePage(freeze) => freeze.describe(version, out),
            Heap2::PruneFreeze(prune) => prune.describe(out),
            Heap2::Visible(visible) => visible.describe(version, out),
            Heap2::MultiInsert(insert) => insert.describe(version, out),
            Heap2::LockUpdated(lock) if version == Version::V15 => {
                out.str("off ").int(lock.offset).str(": xmax ").xid(lock.xmax);
                lock.describe_rest_15(out);
            }
            Heap2::LockUpdated(lock) => lock.describe(out),
            Heap2::NewCid(new_cid) => new_cid.describe(version, out),
            Heap2::Rewrite(_) => {}
        }
    }
}

impl Prune<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        let (horizon, redirected, dead) = match version {
            Version::V15 => ("latestRemovedXid ", " nredirected ", " ndead "),
            _ => ("snapshotConflictHorizon: ", ", nredirected: ", ", ndead: "),
        };
        out.str(horizon).xid(self.snapshot_conflict_horizon);
        out.str(redirected).int(self.redirected_count).str(dead).int(self.dead_count);
        if version == Version::V15 {
            return;
        }
        if let Some(items) = &self.items {
            out.str(", nunused: ").int(items.unused.len());
            out.str(", redirected:");
            push_array(items.redirected.iter(), out, |redirect, out| {
                out.int(redirect.from).str("->").int(redirect.to);
            });
            out.str(", dead:");
            push_offsets(items.dead, out);
            out.str(", unused:");
            push_offsets(items.unused, out);
        }
    }
}

impl Vacuum<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        if version == Version::V15 {
            out.str("nunused ").int(self.count);
            return;
        }
        out.str("nunused: ").int(self.count);
        if let Some(unused) = self.unused {
            out.str(", unused:");
            push_offsets(unused, out);
        }
    }
}

impl FreezePage<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        let (horizon, count) = match version {
            Version::V15 => ("cutoff xid ", " ntuples "),
            _ => ("snapshotConflictHorizon: ", ", nplans: "),
        };
        out.str(horizon).xid(self.snapshot_conflict_horizon).str(count).int(self.count);
        if let Some(Freeze::Plans(plans)) = &self.freeze {
            push_plans(plans, out);
        }
    }
}

/// Appends `, plans: [...]`.
fn push_plans(plans: &FreezePlans<'_>, out: &mut Text) {
    out.str(", plans:");
    push_array(plans.iter(), out, |(plan, offsets), out| {
        out.str("{ xmax: ").xid(plan.xmax);
        out.str(", infomask: ").int(plan.infomask).str(", infomask2: ").int(plan.infomask2);
        out.str(", ntuples: ").int(plan.count).str(", offsets:");
        push_offsets(offsets, out);
        out.str(" }");
    });
}

impl PruneFreeze<'_> {
    #[inline]
    fn describe(&self, out: &mut Text) {
        if let Some(horizon) = self.snapshot_conflict_horizon {
            out.str("snapshotConflictHorizon: ").xid(horizon);
        }
        let is_catalog = self.flags.contains(PruneFlags::IS_CATALOG_REL);
        out.str(if is_catalog { ", isCatalogRel: T" } else { ", isCatalogRel: F" });
        let Some(PageChanges { freeze_plans, items }) = &self.changes else {
            return;
        };
        out.str(", nplans: ").int(freeze_plans.len());
        out.str(", nredirected: ").int(items.redirected.len());
        out.str(", ndead: ").int(items.dead.len());
        out.str(", nunused: ").int(items.unused.len());
        if !freeze_plans.is_empty() {
            push_plans(freeze_plans, out);
        }
        if !items.redirected.is_empty() {
            out.str(", redirected:");
            push_array(items.redirected.iter(), out, |redirect, out| {
                out.int(redirect.from).str("->").int(redirect.to);
            });
        }
        push_named_offsets(", dead:", items.dead, out);
        push_named_offsets(", unused:", items.unused, out);
    }
}

/// Appends offsets behind their name, nothing if there are none.
fn push_named_offsets(name: &str, offsets: Array<'_, u16>, out: &mut Text) {
    if !offsets.is_empty() {
        out.str(name);
        push_offsets(offsets, out);
    }
}

impl Visible {
    #[inline]
    fn describe(&self, version: Version, out: &mut Text) {
        let (horizon, flags) = match version {
            Version::V15 => ("cutoff xid ", " flags 0x"),
            _ => ("snapshotConflictHorizon: ", ", flags: 0x"),
        };
        out.str(horizon).xid(self.snapshot_conflict_horizon);
        out.str(flags).hex_upper(u64::from(self.flags.bits()), 2);
    }
}

impl MultiInsert<'_> {
    #[inline]
    fn describe(&self, version: Version, out: &mut Text) {
        let flags = u64::from(self.flags.bits());
        if version == Version::V15 {
            out.int(self.count).str(" tuples flags 0x").hex_upper(flags, 2);
            return;
        }
        out.str("ntuples: ").int(self.count).str(", flags: 0x").hex_upper(flags, 2);
        if let (Some(offsets), Some(_)) = (self.offsets, self.data) {
            out.str(", offsets:");
            push_offsets(offsets, out);
        }
    }
}

impl NewCid {
    fn describe(&self, version: Version, out: &mut Text) {
        let Tid { block, offset } = self.tid;
        let [relation, tid, cmin] = match version {
            Version::V15 => ["rel ", "; tid ", "; cmin: "],
            _ => ["rel: ", ", tid: ", ", cmin: "],
        };
        out.str(relation).locator(self.locator).str(tid).int(block).str("/").int(offset);
        out.str(cmin).int(self.cmin).str(", cmax: ").int(self.cmax);
        out.str(", combo: ").int(self.combo_cid);
    }
}

#[cfg(test)]
mod tests {
    use super::super::identify;
    use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};
    use crate::version::Version::{self, V15, V16, V17, V18};
    use serde_json::json;

    fn heap2(version: Version, info: u8) -> TestRecord {
        TestRecord::new(version, 9, info)
    }

    #[test]
    fn record_types_have_names() {
        let names = |version| {
            let name = |operation: u8| identify(version, operation << 4).unwrap_or("");
            (0..8).map(name).collect::<Vec<_>>().join(" ")
        };
        let others = "VISIBLE MULTI_INSERT LOCK_UPDATED NEW_CID";
        assert_eq!(names(V15), format!("REWRITE PRUNE VACUUM FREEZE_PAGE {others}"));
        assert_eq!(names(V16), names(V15));
        let three = "PRUNE_ON_ACCESS PRUNE_VACUUM_SCAN PRUNE_VACUUM_CLEANUP";
        assert_eq!(names(V17), format!("REWRITE {three} {others}"));
        assert_eq!(names(V18), names(V17));
        let init = |info| Version::ALL.map(|version| identify(version, info));
        assert_eq!(init(0xD0), [Some("MULTI_INSERT+INIT"); 4]);
        for info in [0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xE0, 0xF0] {
            assert_eq!(init(info), [None; 4]);
        }
    }

    #[test]
    fn prune_of_15_and_16() {
        let items = Bytes::default().u16s(&[1, 2, 3, 4, 7, 8, 9]);
        let old = heap2(V15, 0x10).main(Bytes::default().u32(730).u16(2).u16(1));
        let old = old.block(0, items.clone());
        assert_eq!(old.describe(), "latestRemovedXid 730 nredirected 2 ndead 1");
        assert_eq!(old.json()["items"]["unused"], json!([8, 9]));
        old.truncated_anywhere();
        let main = |redirected, dead| Bytes::default().u32(730).u16(redirected).u16(dead).u8(1);
        let new = heap2(V16, 0x10).main(main(2, 1)).block(0, items);
        assert_eq!(
            new.describe(),
            "snapshotConflictHorizon: 730, nredirected: 2, ndead: 1, nunused: 2, redirected: \
             [1->2, 3->4], dead: [7], unused: [8, 9]"
        );
        assert_eq!(
            new.json(),
            json!({
                "snapshot_conflict_horizon": 730,
                "redirected_count": 2,
                "dead_count": 1,
                "is_catalog_relation": true,
                "items": {
                    "redirected": [{"from": 1, "to": 2}, {"from": 3, "to": 4}],
                    "dead": [7],
                    "unused": [8, 9],
                },
            })
        );
        new.truncated_anywhere();
        let only_dead = heap2(V16, 0x10).main(main(0, 1)).block(0, Bytes::default().u16(3));
        assert_eq!(
            only_dead.describe(),
            "snapshotConflictHorizon: 730, nredirected: 0, ndead: 1, nunused: 0, redirected: [], \
             dead: [3], unused: []"
        );
        let image = heap2(V16, 0x10).main(main(2, 1)).image(0);
        let text = "snapshotConflictHorizon: 730, nredirected: 2, ndead: 1";
        assert_eq!(image.describe(), text);
    }

    #[test]
    fn vacuum_of_15_and_16() {
        let record = |version| {
            let main = Bytes::default().u16(2);
            heap2(version, 0x20).main(main).block(0, Bytes::default().u16s(&[4, 5]))
        };
        assert_eq!(record(V15).describe(), "nunused 2");
        assert_eq!(record(V16).describe(), "nunused: 2, unused: [4, 5]");
        assert_eq!(record(V15).json(), json!({"count": 2, "unused": [4, 5]}));
        record(V16).truncated_anywhere();
        let image = heap2(V16, 0x20).main(Bytes::default().u16(2)).image(0);
        assert_eq!(image.describe(), "nunused: 2");
    }

    #[test]
    fn freeze_page_of_15_and_16() {
        let tuple =
            |bytes: Bytes, offset| bytes.u32(0).u16(offset).u16(2).u16(0x0B02).u8(4).align(4);
        let old = heap2(V15, 0x30).main(Bytes::default().u32(740).u16(2));
        let old = old.block(0, tuple(tuple(Bytes::default(), 1), 2));
        assert_eq!(old.describe(), "cutoff xid 740 ntuples 2");
        assert_eq!(
            old.json()["freeze"]["tuples"][1],
            json!({
                "xmax": 0, "offset": 2, "infomask2": 2, "infomask": 0x0B02,
                "flags": ["INVALID_XVAC"],
            })
        );
        old.truncated_anywhere();
        let new = heap2(V16, 0x30).main(Bytes::default().u32(740).u16(2).u8(0));
        let new = new.block(0, plans().u16s(&[1, 2, 5]));
        assert_eq!(
            new.describe(),
            "snapshotConflictHorizon: 740, nplans: 2, plans: [{ xmax: 0, infomask: 2818, \
             infomask2: 2, ntuples: 2, offsets: [1, 2] }, { xmax: 9, infomask: 10, infomask2: 11, \
             ntuples: 1, offsets: [5] }]"
        );
        assert_eq!(new.json()["is_catalog_relation"], false);
        assert_eq!(
            new.json()["freeze"]["plans"][1],
            json!({
                "xmax": 9, "infomask2": 11, "infomask": 10, "flags": [], "count": 1,
                "offsets": [5],
            })
        );
        new.truncated_anywhere();
    }

    /// Two plans, for two tuples and for one.
    fn plans() -> Bytes {
        let plans = Bytes::default().u32(0).u16(2).u16(0x0B02).u8(0).u8(0xEE).u16(2);
        plans.u32(9).u16(11).u16(10).u8(0).u8(0xEE).u16(1)
    }

    #[test]
    fn prune_and_freeze_since_17() {
        let main = |flags| Bytes::default().u8(0).u8(flags).u32(745);
        let data = Bytes::default().u16(2).align(4).bytes(&plans().0);
        let data = data.u16s(&[1, 10, 11, 2, 20, 21, 1, 30]).u16s(&[1, 2, 5]);
        let full = heap2(V17, 0x20).main(main(0xFE)).block(0, data);
        assert_eq!(
            full.describe(),
            "snapshotConflictHorizon: 745, isCatalogRel: T, nplans: 2, nredirected: 1, ndead: 2, \
             nunused: 1, plans: [{ xmax: 0, infomask: 2818, infomask2: 2, ntuples: 2, offsets: \
             [1, 2] }, { xmax: 9, infomask: 10, infomask2: 11, ntuples: 1, offsets: [5] }], \
             redirected: [10->11], dead: [20, 21], unused: [30]"
        );
        let json = full.json();
        assert_eq!(json["freeze_plans"][0]["offsets"], json!([1, 2]));
        assert_eq!(json["redirected"], json!([{"from": 10, "to": 11}]));
        assert_eq!(json["flags"][0], "IS_CATALOG_REL");
        full.truncated_anywhere();
        let unused = heap2(V18, 0x30).main(Bytes::default().u8(0).u8(0x80));
        let unused = unused.block(0, Bytes::default().u16s(&[2, 4, 5]));
        assert_eq!(
            unused.describe(),
            ", isCatalogRel: F, nplans: 0, nredirected: 0, ndead: 0, nunused: 2, unused: [4, 5]"
        );
        unused.truncated_anywhere();
        let image = heap2(V18, 0x10).main(main(0xFC)).image(0);
        assert_eq!(image.describe(), "snapshotConflictHorizon: 745, isCatalogRel: F");
    }

    #[test]
    fn visible() {
        let record = |version| heap2(version, 0x40).main(Bytes::default().u32(740).u8(7));
        assert_eq!(record(V15).describe(), "cutoff xid 740 flags 0x07");
        assert_eq!(record(V16).describe(), "snapshotConflictHorizon: 740, flags: 0x07");
        let flags = json!(["ALL_VISIBLE", "ALL_FROZEN", "CATALOG_REL"]);
        assert_eq!(record(V18).json()["flags"], flags);
        record(V18).truncated_anywhere();
    }

    #[test]
    fn multi_insert() {
        let tuples = Bytes::default().u16(1).u16(2).u16(3).u8(24).bytes(b"x");
        let tuples = tuples.u16(0).u16(2).u16(3).u8(24);
        let record = |version, info| {
            let main = Bytes::default().u8(2).align(2).u16(2).u16s(&[6, 7]);
            heap2(version, info).main(main).block(0, tuples.clone())
        };
        assert_eq!(record(V15, 0x50).describe(), "2 tuples flags 0x02");
        assert_eq!(record(V16, 0x50).describe(), "ntuples: 2, flags: 0x02, offsets: [6, 7]");
        assert_eq!(record(V17, 0xD0).describe(), "ntuples: 2, flags: 0x02");
        assert_eq!(
            record(V17, 0x50).json(),
            json!({"flags": ["LAST_IN_MULTI"], "count": 2, "offsets": [6, 7]})
        );
        record(V18, 0x50).truncated_anywhere();
        let image = TestRecord { blocks: Vec::new(), ..record(V18, 0x50) }.image(0);
        assert_eq!(image.describe(), "ntuples: 2, flags: 0x02");
        let verified = TestRecord { blocks: Vec::new(), ..record(V18, 0x50) };
        let verified = verified.verification_image(0, tuples.clone());
        assert_eq!(verified.describe(), "ntuples: 2, flags: 0x02, offsets: [6, 7]");
    }

    #[test]
    fn lock_updated() {
        let record =
            |version| heap2(version, 0x60).main(Bytes::default().u32(9).u16(4).u8(3).u8(0));
        assert_eq!(record(V15).describe(), "off 4: xmax 9: flags 0x00 IS_MULTI LOCK_ONLY ");
        let text = "xmax: 9, off: 4, infobits: [IS_MULTI, LOCK_ONLY], flags: 0x00";
        assert_eq!(record(V17).describe(), text);
        record(V17).truncated_anywhere();
    }

    #[test]
    fn new_cid() {
        let record = |version| {
            let main = Bytes::default().u32s(&[750, 1, u32::MAX, u32::MAX]).locator(LOCATOR);
            heap2(version, 0x70).main(main.u16s(&[1, 2, 3]))
        };
        assert_eq!(
            record(V15).describe(),
            "rel 1663/5/16384; tid 65538/3; cmin: 1, cmax: 4294967295, combo: 4294967295"
        );
        assert_eq!(
            record(V16).describe(),
            "rel: 1663/5/16384, tid: 65538/3, cmin: 1, cmax: 4294967295, combo: 4294967295"
        );
        assert_eq!(record(V17).json()["tid"], json!({"block": 65538, "offset": 3}));
        record(V17).truncated_anywhere();
    }

    #[test]
    fn rewrite() {
        let main = Bytes::default().u32s(&[750, 5, 16384]).align(8).i64(72).u32(1).align(8);
        let main = main.u64(0x0123_4567).locator(LOCATOR).locator(LOCATOR);
        let record = heap2(V17, 0x00).main(main.u16s(&[0, 1, 2]).u16s(&[0, 3, 4]));
        assert_eq!(record.describe(), "");
        let json = record.json();
        assert_eq!(json["file_offset"], 72);
        assert_eq!(json["mappings"][0]["new_tid"], json!({"block": 3, "offset": 4}));
        record.truncated_anywhere();
    }
}
