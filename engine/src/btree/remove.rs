//! Entries taken off a leaf: whole ones, and some of the rows of posting lists.
//!
//! Invariants: rows go only if nobody sees them, or, by vacuum, if their line pointers are about to be given to others; what
//! can fail comes before the first change of the page. Source: `_bt_delitems_vacuum`, `_bt_delitems_delete` of
//! PostgreSQL 15.

use base::{BlockNumber, OffsetNumber, Tid, Xid};
use wal::rmgr::Array;
use wal::rmgr::btree::{Btree, Delete, DeletedItems, PostingUpdates, Vacuum};

use super::error::IndexError;
use super::index::{HeldPage, Index, Writer, to_change};
use super::page::{Node, NodeFlags, Opaque};
use super::posting;

const DELETE: u8 = 0x70;
const VACUUM: u8 = 0xC0;

/// What goes from a leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Removal {
    /// Entries that go whole.
    deleted: Vec<OffsetNumber>,
    /// Posting lists, with the places of the rows that go.
    shortened: Vec<(OffsetNumber, Vec<u16>)>,
    /// How many rows go.
    pub(super) rows: u64,
    /// How many stay.
    pub(super) stay: u64,
}

/// Who takes them off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Vacuum, which has been over the table.
    Vacuum,
    /// Who needs room; the newest transaction whose doing goes with them.
    Deletion(Xid),
}

impl Removal {
    /// Whether nothing goes.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

impl Index<'_> {
    /// What goes from a leaf, if of each row `goes` says so.
    pub(super) fn removal(
        &self,
        block: BlockNumber,
        node: &Node<'_>,
        mut goes: impl FnMut(Tid) -> bool,
    ) -> Result<Removal, IndexError> {
        let mut removal = Removal::default();
        for offset in node.opaque.first_data()..=node.last() {
            let entry = node.entry(offset).map_err(self.node_error(block))?;
            let places: Vec<u16> = (0..)
                .zip(entry.tids())
                .filter(|(_, tid)| goes(*tid))
                .map(|(place, _)| place)
                .collect();
            let stay = entry.tid_count() - places.len();
            removal.rows += places.len() as u64;
            removal.stay += stay as u64;
            match (places.is_empty(), stay) {
                (true, _) => {}
                (false, 0) => removal.deleted.push(offset),
                (false, _) => removal.shortened.push((offset, places)),
            }
        }
        Ok(removal)
    }
}

impl<'s> Writer<'_, 's> {
    /// Takes entries off a leaf.
    pub(super) fn remove(
        &mut self,
        block: BlockNumber,
        leaf: &mut HeldPage<'s>,
        removal: &Removal,
        by: By,
    ) -> Result<(), IndexError> {
        let index = self.index;
        let node = index.node(block, leaf)?;
        let (mut offsets, mut updates, mut shorter) = (Vec::new(), Vec::new(), Vec::new());
        for (offset, places) in &removal.shortened {
            let list = node.entry(*offset).map_err(index.node_error(block))?;
            let shortened = posting::without(list, places);
            shorter.push((*offset, shortened.map_err(index.posting_error(block, *offset))?));
            offsets.extend_from_slice(&offset.to_le_bytes());
            updates.extend_from_slice(&(places.len() as u16).to_le_bytes());
            updates.extend(places.iter().flat_map(|place| place.to_le_bytes()));
        }
        let deleted: Vec<u8> =
            removal.deleted.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let updated = PostingUpdates::new(Array::of(&offsets).unwrap_or(Array::EMPTY), &updates);
        let Ok(updated) = updated else {
            return Err(index.structure(block, "posting lists are not shortened as they should be"));
        };
        let mut page = to_change(leaf);
        for (offset, list) in &shorter {
            page.overwrite_item(*offset, list);
        }
        if !removal.deleted.is_empty() {
            page.delete_items(&removal.deleted);
        }
        Opaque::change(&mut page, |opaque| {
            opaque.flags -= NodeFlags::HAS_GARBAGE;
            if by == By::Vacuum {
                opaque.cycle_id = 0;
            }
        });
        let deleted = Array::of(&deleted).unwrap_or(Array::EMPTY);
        let items = Some(DeletedItems { deleted, updated });
        let (deleted_count, updated_count) =
            (removal.deleted.len() as u16, removal.shortened.len() as u16);
        let (info, payload) = match by {
            By::Vacuum => (VACUUM, Btree::Vacuum(Vacuum { deleted_count, updated_count, items })),
            By::Deletion(snapshot_conflict_horizon) => {
                let is_catalog_relation = None;
                let delete = Delete {
                    snapshot_conflict_horizon,
                    deleted_count,
                    updated_count,
                    is_catalog_relation,
                    items,
                };
                (DELETE, Btree::Delete(delete))
            }
        };
        self.log(info, &payload, &mut [(0, false, leaf)])
    }
}
