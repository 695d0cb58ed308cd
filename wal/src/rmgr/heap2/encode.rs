//! Payloads of Heap2, written: main data, and the data of block 0.
//!
//! Invariant: as beside Heap's encoder ([`super::super::heap`]).

use super::prune::{Freeze, FreezePlans, FreezeTuple, PageChanges, PruneFlags, PruneItems};
use super::{FreezePage, Heap2, MultiInsert, NewCid, Prune, PruneFreeze, Rewrite, Vacuum, Visible};
use crate::rmgr::encode::Bytes;

impl Heap2<'_> {
    /// Appends the main data to `main` and the data of block 0 to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        match self {
            Heap2::Rewrite(rewrite) => rewrite.encode(main),
            Heap2::Prune(prune) => prune.encode(main, block),
            Heap2::Vacuum(vacuum) => vacuum.encode(main, block),
            Heap2::FreezePage(freeze) => freeze.encode(main, block),
            Heap2::PruneFreeze(prune) => prune.encode(main, block),
            Heap2::Visible(visible) => visible.encode(main),
            Heap2::MultiInsert(insert) => insert.encode(main, block),
            Heap2::LockUpdated(lock) => lock.encode(main),
            Heap2::NewCid(new_cid) => new_cid.encode(main),
        }
    }
}

impl Visible {
    /// Appends `xl_heap_visible`.
    pub fn encode(&self, main: &mut Vec<u8>) {
        main.xid(self.snapshot_conflict_horizon);
        main.push(self.flags.bits());
    }
}

impl MultiInsert<'_> {
    /// Appends `xl_heap_multi_insert` and the offsets to `main`, and the tuples to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.push(self.flags.bits());
        main.push(0);
        main.u16(self.count);
        if let Some(offsets) = &self.offsets {
            main.extend_from_slice(offsets.raw());
        }
        block.extend_from_slice(self.data.unwrap_or_default());
    }
}

impl Prune<'_> {
    /// Appends `xl_heap_prune` of 15 or 16 to `main`, and the line pointers to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.xid(self.snapshot_conflict_horizon);
        main.u16(self.redirected_count);
        main.u16(self.dead_count);
        if let Some(is_catalog) = self.is_catalog_relation {
            main.push(u8::from(is_catalog));
        }
        if let Some(PruneItems { redirected, dead, unused }) = &self.items {
            block.extend_from_slice(redirected.raw());
            block.extend_from_slice(dead.raw());
            block.extend_from_slice(unused.raw());
        }
    }
}

impl Vacuum<'_> {
    /// Appends `xl_heap_vacuum` to `main`, and the line pointers to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.u16(self.count);
        if let Some(unused) = &self.unused {
            block.extend_from_slice(unused.raw());
        }
    }
}

impl FreezePage<'_> {
    /// Appends `xl_heap_freeze_page` of 15 or 16 to `main`, and tuples or plans to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.xid(self.snapshot_conflict_horizon);
        main.u16(self.count);
        if let Some(is_catalog) = self.is_catalog_relation {
            main.push(u8::from(is_catalog));
        }
        match &self.freeze {
            Some(Freeze::Tuples(tuples)) => block.extend_from_slice(tuples.raw()),
            Some(Freeze::Plans(plans)) => {
                block.extend_from_slice(plans.raw_plans());
                block.extend_from_slice(plans.raw_offsets());
            }
            None => {}
        }
    }
}

impl FreezeTuple {
    /// Appends `xl_heap_freeze_tuple`.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.xid(self.xmax);
        to.u16(self.offset);
        to.u16(self.infomask2);
        to.u16(self.infomask);
        to.push(self.flags.bits());
        to.push(0);
    }
}

impl PruneFreeze<'_> {
    /// Appends `xl_heap_prune` of 17 and 18 to `main`, and what is to be done to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.push(self.reason);
        main.push(self.flags.bits());
        if let Some(horizon) = self.snapshot_conflict_horizon {
            main.xid(horizon);
        }
        let Some(PageChanges { freeze_plans, items }) = &self.changes else { return };
        if self.flags.contains(PruneFlags::HAS_FREEZE_PLANS) {
            block.u16(freeze_plans.len() as u16);
            block.u16(0);
            block.extend_from_slice(FreezePlans::raw_plans(freeze_plans));
        }
        let parts = [
            (PruneFlags::HAS_REDIRECTIONS, items.redirected.len(), items.redirected.raw()),
            (PruneFlags::HAS_DEAD_ITEMS, items.dead.len(), items.dead.raw()),
            (PruneFlags::HAS_NOW_UNUSED_ITEMS, items.unused.len(), items.unused.raw()),
        ];
        for (flag, count, bytes) in parts {
            if self.flags.contains(flag) {
                block.u16(count as u16);
                block.extend_from_slice(bytes);
            }
        }
        block.extend_from_slice(freeze_plans.raw_offsets());
    }
}

impl NewCid {
    /// Appends `xl_heap_new_cid`.
    pub fn encode(&self, main: &mut Vec<u8>) {
        main.xid(self.top_xid);
        for number in [self.cmin, self.cmax, self.combo_cid] {
            main.u32(number);
        }
        for oid in [self.locator.tablespace, self.locator.database, self.locator.relation] {
            main.u32(oid);
        }
        main.extend_from_slice(&self.tid.to_bytes());
    }
}

impl Rewrite<'_> {
    /// Appends `xl_heap_rewrite_mapping` and the mappings.
    pub fn encode(&self, main: &mut Vec<u8>) {
        main.xid(self.mapped_xid);
        main.u32(self.database);
        main.u32(self.relation);
        main.u32(0);
        main.u64(self.file_offset as u64);
        main.u32(self.mappings.len() as u32);
        main.u32(0);
        main.u64(self.start_lsn.0);
        main.extend_from_slice(self.mappings.raw());
    }
}
