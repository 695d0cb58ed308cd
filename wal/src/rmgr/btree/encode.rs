//! Payloads of Btree, written: main data, and the data of up to five blocks.
//!
//! Invariant: what is written is what the decoder beside it reads, and, byte for byte, what PostgreSQL wrote
//! where the payload was decoded from its log; padding is 0, which PostgreSQL leaves to chance.

use super::{
    Btree, Dedup, Delete, DeletedItems, Insert, MarkPageHalfdead, MetaCleanup, Metadata, NewRoot,
    ReusePage, Split, UnlinkPage, Vacuum,
};
use crate::rmgr::encode::Bytes;

/// Data of the blocks of a Btree record, by block id.
pub type BlockData = [Vec<u8>; 5];

impl Btree<'_> {
    /// Appends the main data to `main`, and the data of each block to its place in `blocks`.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        match self {
            Btree::Insert(insert) => insert.encode(main, blocks),
            Btree::Split(split) => split.encode(main, blocks),
            Btree::Dedup(dedup) => dedup.encode(main, blocks),
            Btree::Delete(delete) => delete.encode(main, blocks),
            Btree::UnlinkPage(unlink) => unlink.encode(main, blocks),
            Btree::NewRoot(new_root) => new_root.encode(main, blocks),
            Btree::MarkPageHalfdead(mark) => mark.encode(main),
            Btree::Vacuum(vacuum) => vacuum.encode(main, blocks),
            Btree::ReusePage(reuse) => reuse.encode(main),
            Btree::MetaCleanup(cleanup) => cleanup.encode(blocks),
        }
    }
}

impl Metadata {
    /// Appends `xl_btree_metadata`.
    pub fn encode(&self, to: &mut Vec<u8>) {
        for number in [
            self.version,
            self.root,
            self.level,
            self.fast_root,
            self.fast_level,
            self.last_cleanup_deleted_pages,
        ] {
            to.u32(number);
        }
        to.extend_from_slice(&[u8::from(self.all_equal_image), 0, 0, 0]);
    }
}

impl Insert<'_> {
    /// Appends `xl_btree_insert`, the entry to block 0, the metapage to block 2.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        main.u16(self.offset);
        if let Some(posting_offset) = self.posting_offset {
            blocks[0].u16(posting_offset);
        }
        blocks[0].extend_from_slice(self.tuple.unwrap_or_default());
        if let Some(metadata) = &self.metadata {
            metadata.encode(&mut blocks[2]);
        }
    }
}

impl Split<'_> {
    /// Appends `xl_btree_split`, and what the halves get to blocks 0 and 1.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        main.u32(self.level);
        main.u16(self.first_right_offset);
        main.u16(self.new_item_offset);
        main.u16(self.posting_offset);
        blocks[0].extend_from_slice(self.left.unwrap_or_default());
        blocks[1].extend_from_slice(self.right.unwrap_or_default());
    }
}

impl Dedup<'_> {
    /// Appends `xl_btree_dedup`, and the intervals to block 0.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        main.u16(self.count);
        if let Some(intervals) = &self.intervals {
            blocks[0].extend_from_slice(intervals.raw());
        }
    }
}

impl DeletedItems<'_> {
    fn encode(&self, to: &mut Vec<u8>) {
        let (offsets, updates) = self.updated.raw();
        to.extend_from_slice(self.deleted.raw());
        to.extend_from_slice(offsets);
        to.extend_from_slice(updates);
    }
}

impl Delete<'_> {
    /// Appends `xl_btree_delete`, and the entries to block 0.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        main.xid(self.snapshot_conflict_horizon);
        main.u16(self.deleted_count);
        main.u16(self.updated_count);
        if let Some(is_catalog) = self.is_catalog_relation {
            main.push(u8::from(is_catalog));
        }
        if let Some(items) = &self.items {
            items.encode(&mut blocks[0]);
        }
    }
}

impl Vacuum<'_> {
    /// Appends `xl_btree_vacuum`, and the entries to block 0.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        main.u16(self.deleted_count);
        main.u16(self.updated_count);
        if let Some(items) = &self.items {
            items.encode(&mut blocks[0]);
        }
    }
}

impl UnlinkPage {
    /// Appends `xl_btree_unlink_page`, and the metapage to block 4.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        for number in [self.left, self.right, self.level, 0] {
            main.u32(number);
        }
        main.u64(self.safe_xid.0);
        for number in [self.leaf_left, self.leaf_right, self.leaf_top_parent] {
            main.u32(number);
        }
        if let Some(metadata) = &self.metadata {
            metadata.encode(&mut blocks[4]);
        }
    }
}

impl NewRoot<'_> {
    /// Appends `xl_btree_newroot`, the entries to block 0, the metapage to block 2.
    pub fn encode(&self, main: &mut Vec<u8>, blocks: &mut BlockData) {
        main.u32(self.root);
        main.u32(self.level);
        blocks[0].extend_from_slice(self.tuples.unwrap_or_default());
        if let Some(metadata) = &self.metadata {
            metadata.encode(&mut blocks[2]);
        }
    }
}

impl MarkPageHalfdead {
    /// Appends `xl_btree_mark_page_halfdead`.
    pub fn encode(&self, main: &mut Vec<u8>) {
        main.u16(self.parent_offset);
        main.u16(0);
        for number in [self.leaf, self.left, self.right, self.top_parent] {
            main.u32(number);
        }
    }
}

impl ReusePage {
    /// Appends `xl_btree_reuse_page`.
    pub fn encode(&self, main: &mut Vec<u8>) {
        let locator = self.locator;
        for number in [locator.tablespace, locator.database, locator.relation, self.block] {
            main.u32(number);
        }
        main.u64(self.snapshot_conflict_horizon.0);
        if let Some(is_catalog) = self.is_catalog_relation {
            main.push(u8::from(is_catalog));
        }
    }
}

impl MetaCleanup {
    /// Appends the metapage to block 0.
    pub fn encode(&self, blocks: &mut BlockData) {
        self.metadata.encode(&mut blocks[0]);
    }
}
