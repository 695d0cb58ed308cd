//! The versions of a row on one page: from the line pointer that indexes know, from version to version.
//!
//! Source: `heap_hot_search_buffer`, `heap_get_root_tuples` of PostgreSQL 15. Invariant: a version is of the chain only if
//! who made it is who ended the one before; a chain that runs in a circle ends.

use std::collections::BTreeMap;

use base::page::LinePointer;
use base::{HeapTupleHeader, Infomask2, OffsetNumber, Page, Tid, Xid};
use snapshot::satisfies::{VacuumVerdict, satisfies_dirty, satisfies_vacuum};
use snapshot::{TransactionStatus, TupleStamp};

use super::page::{page_of, read_header};
use super::row_xmax::updater;
use crate::Error;
use crate::btree::{Duplicate, Heap};
use crate::buffer::PageName;
use crate::catalog::TableEntry;
use crate::db::Shared;
use crate::heap::change::is_hot_updated;
use crate::heap::prune::note_removed;
use crate::xact::mode::ModeHorizon;
use crate::xact::status::SessionStatus;

/// A version on its page.
pub(super) struct OnPage<'p> {
    pub(super) offset: OffsetNumber,
    pub(super) header: HeapTupleHeader,
    pub(super) stamp: TupleStamp,
    pub(super) tuple: &'p [u8],
}

/// Shows the versions that hang from a line pointer, the oldest first, until `see` has found what it looks for.
pub(super) fn walk<'p, R>(
    name: PageName,
    page: &Page<'p>,
    root: OffsetNumber,
    status: &SessionStatus<'_>,
    mut see: impl FnMut(&OnPage<'p>) -> Result<Option<R>, Error>,
) -> Result<Option<R>, Error> {
    let redirected = page.line_pointer(root).and_then(LinePointer::target);
    let (mut offset, mut expected_xmin) = (redirected.unwrap_or(root), None::<Xid>);
    for _ in 0..=page.last_offset() {
        let Some(tuple) = page.item(offset) else { break };
        let header = read_header(name, offset, tuple)?;
        if expected_xmin.is_some_and(|xmin| xmin != header.xmin) {
            break;
        }
        let stamp = TupleStamp::new(&header, Tid { block: name.block, offset });
        if let Some(found) = see(&OnPage { offset, header, stamp, tuple })? {
            return Ok(Some(found));
        }
        if !is_hot_updated(&header) {
            break;
        }
        (offset, expected_xmin) = (header.ctid.offset, Some(updater(&header, status)?));
    }
    Ok(None)
}

/// The line pointer that each version of a page hangs from.
pub(super) fn roots(
    name: PageName,
    page: &Page<'_>,
    status: &SessionStatus<'_>,
) -> Result<BTreeMap<OffsetNumber, OffsetNumber>, Error> {
    let mut roots = BTreeMap::new();
    for (root, pointer) in page.line_pointers() {
        if pointer.target().is_none() {
            let Some(tuple) = page.item(root) else { continue };
            if read_header(name, root, tuple)?.infomask2.contains(Infomask2::ONLY_TUPLE) {
                continue;
            }
        }
        walk(name, page, root, status, |version| {
            // Each version has one root; one that has it already closes a ring.
            let is_ring = roots.insert(version.offset, root).is_some();
            Ok(is_ring.then_some(()))
        })?;
    }
    Ok(roots)
}

/// A table, for an index that asks about its rows.
pub(super) struct Rows<'a, 'e> {
    pub(super) shared: &'e Shared,
    pub(super) table: &'a TableEntry,
    pub(super) status: SessionStatus<'a>,
    pub(super) horizon: ModeHorizon<'e>,
}

impl Rows<'_, '_> {
    /// Whether nobody sees a version, nor will.
    fn is_of_no_use(&self, stamp: &TupleStamp) -> Result<bool, Error> {
        let judged = satisfies_vacuum(stamp, &self.horizon, &self.status)?;
        Ok(judged.verdict == VacuumVerdict::Dead)
    }
}

/// Source: `table_index_fetch_tuple_check` with a dirty snapshot, `heap_index_delete_tuples`.
impl Heap<Error> for Rows<'_, '_> {
    fn judge(&mut self, tid: Tid) -> Result<Duplicate, Error> {
        let name = self.table.page_name(tid.block);
        let pinned = self.shared.storage.pool.get(name)?;
        let guard = pinned.read();
        let mut for_good = true;
        let Some(page) = page_of(name, &guard)? else { return Ok(Duplicate::Gone { for_good }) };
        let found = walk(name, &page, tid.offset, &self.status, |version| {
            let dirty = satisfies_dirty(&version.stamp, &self.status)?.verdict;
            if dirty.visible {
                let decides = [dirty.xmin, dirty.xmax].into_iter().find(|xid| xid.is_normal());
                return Ok(Some(decides.map_or(Duplicate::There, Duplicate::InDoubt)));
            }
            for_good = for_good && self.is_of_no_use(&version.stamp)?;
            Ok(None)
        })?;
        Ok(found.unwrap_or(Duplicate::Gone { for_good }))
    }

    fn find_dead(
        &mut self,
        rows: &[(Tid, bool)],
        newest: &mut Xid,
        dead: &mut Vec<Tid>,
    ) -> Result<(), Error> {
        let Some((first, _)) = rows.first() else { return Ok(()) };
        let name = self.table.page_name(first.block);
        let pinned = self.shared.storage.pool.get(name)?;
        let guard = pinned.read();
        let Some(page) = page_of(name, &guard)? else {
            dead.extend(rows.iter().filter(|(_, is_known)| *is_known).map(|(tid, _)| tid));
            return Ok(());
        };
        for (tid, is_known) in rows {
            let mut removed = *newest;
            let lives = walk(name, &page, tid.offset, &self.status, |version| {
                if !is_known && !self.is_of_no_use(&version.stamp)? {
                    return Ok(Some(()));
                }
                let header = &version.header;
                let was_seen = header.infomask.xmin_committed()
                    || !header.infomask.xmin_aborted() && self.status.did_commit(header.xmin)?;
                note_removed(header, updater(header, &self.status)?, was_seen, &mut removed);
                Ok(None)
            })?;
            if lives.is_none() {
                *newest = removed;
                dead.push(*tid);
            }
        }
        Ok(())
    }
}
