//! Hides in a page of a btree what redo need not restore: `btree_mask`.
//!
//! Source: `nbtxlog.c`, `bufmask.c` of PostgreSQL 15. Invariant: what is hidden is set to the same in every page; nothing
//! else changes.

use base::page::{PageBytes, PageFlags};
use base::{Lsn, PageMut, Xid};

use super::page::{NodeError, NodeFlags, Opaque};

/// Hides it all: LSN, checksum, hints of the page and, in leaves, which entries are dead, the free space, which vacuum
/// split the page.
///
/// # Errors
/// Where it is no page of a btree.
pub fn mask(bytes: &mut PageBytes) -> Result<(), NodeError> {
    let opaque = Opaque::of(bytes)?;
    let is_node = !opaque.flags.intersects(NodeFlags::META | NodeFlags::DELETED);
    let mut page = match is_node {
        true => PageMut::validate(bytes)?,
        // Without line pointers; the header is checked.
        false => PageMut::assume_valid(bytes),
    };
    page.set_lsn(Lsn::INVALID);
    page.clear_checksum();
    page.set_prune_xid(Xid::INVALID);
    page.set_flags(PageFlags::VALID, false);
    if opaque.is_leaf() && is_node {
        for offset in 1..=page.as_page().last_offset() {
            page.set_item_normal(offset);
        }
    }
    Opaque::change(&mut page, |opaque| {
        opaque.flags -= NodeFlags::HAS_GARBAGE | NodeFlags::SPLIT_END;
        opaque.cycle_id = 0;
    });
    let header = page.header();
    bytes[usize::from(header.lower)..usize::from(header.upper)].fill(0);
    Ok(())
}
