//! Hides in a page what redo need not restore: `heap_mask`.
//!
//! Two pages that are equal once masked differ in hints alone. Source: `heapam.c`, `bufmask.c` of PostgreSQL 15.
//! Invariant: what is hidden is set to the same in every page; nothing else changes.

use base::page::PageFlags;
use base::{BlockNumber, HeapTupleHeader, Infomask, Lsn, PageMut, Tid, Xid};

use super::change;

/// `HEAP_XACT_MASK`'s bits, of a tuple that is not frozen all hidden.
const TRANSACTION: Infomask = change::TRANSACTION_BITS;
const MARKER: u8 = 0;

/// Hides it all: LSN, checksum, hints of the page and of its tuples, command ids, and bytes that belong to nothing.
pub fn mask(page: &mut PageMut<'_>, block: BlockNumber) {
    page.set_lsn(Lsn::INVALID);
    page.clear_checksum();
    page.set_prune_xid(Xid::INVALID);
    page.set_flags(PageFlags::VALID, false);
    page.fill_free_space(MARKER);
    for offset in 1..=page.as_page().last_offset() {
        let Some(item) = page.item_mut(offset) else { continue };
        let Some(bytes) = item.first_chunk() else { continue };
        let mut header = HeapTupleHeader::from_bytes(bytes);
        if header.infomask.xmin_frozen() {
            header.infomask.remove(Infomask::XMAX_INVALID | Infomask::XMAX_COMMITTED);
        } else {
            header.infomask.remove(TRANSACTION);
        }
        header.field3 = 0;
        if header.speculative_token().is_some() {
            header.ctid = Tid { block, offset };
        }
        change::put_header(item, &header);
    }
}
