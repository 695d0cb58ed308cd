//! The rows of a table that an index must have an entry for.
//!
//! | version | entry | its key is taken |
//! |---|---|---|
//! | there, or put in by who asks | yes | yes |
//! | ended, and somebody may see it | yes, unless a heap-only version follows it | no |
//! | dead | no | |
//!
//! The entry leads to the line pointer that the version's chain hangs from. Where an ended version with another one behind
//! it on the page is left out, snapshots that see it cannot use the index.
//!
//! Source: `heapam_index_build_range_scan` of PostgreSQL 15. Invariant: the caller keeps writers out of the table.

use std::borrow::Cow;
use std::ops::Range;

use base::sync::Arc;
use base::{BlockNumber, HeapTupleHeader, Infomask, Infomask2, Page, Tid, Xid};
use snapshot::TupleStamp;
use snapshot::satisfies::{VacuumVerdict, satisfies_vacuum};

use super::chain::roots;
use super::page::{page_of, read_header};
use crate::Error;
use crate::buffer::Ring;
use crate::catalog::{IndexEntry, TableEntry};
use crate::heap::change::is_hot_updated;
use crate::session::Session;
use crate::toast::ToastError;
use crate::xact::mode::ModeHorizon;

/// A row that an index has an entry for.
pub(crate) struct Indexable<'r> {
    /// Where the entry leads to.
    pub(crate) root: Tid,
    /// Of the version as it lies in the table.
    pub(crate) header: HeapTupleHeader,
    /// With all values in it, those of columns aside that nobody asks for.
    pub(crate) tuple: &'r [u8],
    /// As it lies in the table, where that differs.
    stored: Option<&'r [u8]>,
    /// Whether the row is there for those who come.
    pub(crate) is_alive: bool,
}

impl<'r> Indexable<'r> {
    /// As [`TableEntry::compressed_values`], of this row.
    pub(crate) fn compressed_values(
        &self,
        table: &'r TableEntry,
        index: &IndexEntry,
    ) -> Result<Vec<Option<Cow<'r, [u8]>>>, Error> {
        match self.stored {
            Some(tuple) => table.compressed_values(index, tuple, None),
            None => Ok(Vec::new()),
        }
    }
}

/// The rows of a table that an index must have an entry for, page by page.
#[derive(Debug)]
pub(crate) struct IndexableRows<'e> {
    table: Arc<TableEntry>,
    horizon: ModeHorizon<'e>,
    ring: Ring,
    blocks: Range<BlockNumber>,
    /// How many of the first columns are asked for.
    columns: usize,
    /// Who made a version that is there, and its flags, where nothing else decides that: others of both are there, too.
    there: Option<(Xid, Infomask)>,
    /// Whether versions were left out that somebody may see.
    pub(crate) leaves_out: bool,
}

impl<'e> Session<'e> {
    /// Each of them, with the values of what the index reads.
    pub(crate) fn indexable_rows(
        &mut self,
        table: &Arc<TableEntry>,
        index: &IndexEntry,
    ) -> Result<IndexableRows<'e>, Error> {
        let (horizon, ring) = (self.horizon(), Ring::default());
        let (table, blocks) = (Arc::clone(table), 0..table.blocks(self.shared)?);
        let columns = index.columns_read(&table);
        let there = None;
        Ok(IndexableRows { table, horizon, ring, blocks, columns, there, leaves_out: false })
    }
}

impl IndexableRows<'_> {
    /// Shows those of all pages.
    pub(crate) fn each(
        &mut self,
        session: &Session<'_>,
        see: &mut dyn FnMut(Indexable<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while self.next_page(session, see)? {}
        Ok(())
    }

    /// Shows those of the next page, which is locked meanwhile; whether there was one. Of a value of an ended row that cannot be found
    /// `see` may say so before it has done anything: the row is then left out.
    pub(crate) fn next_page(
        &mut self,
        session: &Session<'_>,
        see: &mut dyn FnMut(Indexable<'_>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        session.check_cancelled()?;
        let Some(block) = self.blocks.next() else { return Ok(false) };
        let name = self.table.page_name(block);
        let pinned = session.shared.storage.pool.get_in_ring(name, &mut self.ring)?;
        let status = session.status();
        let guard = pinned.read();
        let Some(page) = page_of(name, &guard)? else { return Ok(true) };
        page.touch_items(page.line_pointers().map(|(offset, _)| offset));
        let roots = if has_chains(&page) { Some(roots(name, &page, &status)?) } else { None };
        for (offset, _) in page.line_pointers() {
            // What no chain leads to is nobody's.
            let root = roots.as_ref().map_or(Some(offset), |roots| roots.get(&offset).copied());
            let (Some(tuple), Some(root)) = (page.item(offset), root) else { continue };
            let header = read_header(name, offset, tuple)?;
            let made = (header.xmin, header.infomask);
            let is_alive = if self.there == Some(made) {
                true
            } else {
                let stamp = TupleStamp::new(&header, Tid { block, offset });
                match satisfies_vacuum(&stamp, &self.horizon, &status)?.verdict {
                    VacuumVerdict::Live | VacuumVerdict::InsertInProgress => {
                        let flags = header.infomask;
                        let by_maker = flags.contains(Infomask::XMAX_INVALID)
                            && !flags.intersects(Infomask::MOVED);
                        self.there = Some(made).filter(|_| by_maker);
                        true
                    }
                    VacuumVerdict::RecentlyDead | VacuumVerdict::DeleteInProgress => false,
                    VacuumVerdict::Dead => continue,
                }
            };
            if !is_alive && is_hot_updated(&header) {
                self.leaves_out = true;
                continue;
            }
            let root = Tid { block, offset: root };
            let seen = self.table.flat(tuple, self.columns).and_then(|flat| {
                let (tuple, stored) = match &flat {
                    Some(flat) => (&flat[..], Some(tuple)),
                    None => (tuple, None),
                };
                see(Indexable { root, header, tuple, stored, is_alive })
            });
            match seen {
                // Whoever could see the version has gone meanwhile, and vacuum has come by its values.
                Err(Error::Toast(ToastError::Missing { .. })) if !is_alive => {
                    self.leaves_out = true;
                }
                seen => seen?,
            }
        }
        Ok(true)
    }
}

/// Whether there are heap-only versions on a page, or line pointers that lead to others.
fn has_chains(page: &Page<'_>) -> bool {
    let is_heap_only = |tuple: &[u8]| {
        let header = tuple.first_chunk().map(HeapTupleHeader::from_bytes);
        header.is_none_or(|header| header.infomask2.contains(Infomask2::ONLY_TUPLE))
    };
    page.line_pointers().any(|(offset, pointer)| {
        pointer.target().is_some() || page.item(offset).is_some_and(is_heap_only)
    })
}
