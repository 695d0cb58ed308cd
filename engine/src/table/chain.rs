//! The versions of a row on one page: from the line pointer that indexes know, from version to version.
//!
//! Source: `heap_hot_search_buffer`, `heap_get_root_tuples` of PostgreSQL 15. Invariant: a version is of the chain only if
//! who made it is who ended the one before; a chain that runs in a circle ends.

use std::collections::BTreeMap;

use base::page::LinePointer;
use base::{HeapTupleHeader, Infomask2, OffsetNumber, Page, Tid, Xid};
use snapshot::TupleStamp;
use snapshot::satisfies::satisfies_dirty;

use super::page::{page_of, read_header};
use super::row_xmax::updater;
use crate::Error;
use crate::btree::unique::Duplicate;
use crate::buffer::PageName;
use crate::catalog::TableEntry;
use crate::db::Shared;
use crate::heap::change::is_hot_updated;
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

/// What is there of a row whose key somebody else wants (`table_index_fetch_tuple_check` with a dirty snapshot).
pub(super) fn judge(
    shared: &Shared,
    table: &TableEntry,
    tid: Tid,
    status: &SessionStatus<'_>,
) -> Result<Duplicate, Error> {
    let name = table.page_name(tid.block);
    let pinned = shared.storage.pool.get(name)?;
    let guard = pinned.read();
    let Some(page) = page_of(name, &guard)? else { return Ok(Duplicate::Gone) };
    let found = walk(name, &page, tid.offset, status, |version| {
        let dirty = satisfies_dirty(&version.stamp, status)?.verdict;
        let decides = [dirty.xmin, dirty.xmax].into_iter().find(|xid| xid.is_normal());
        Ok(dirty.visible.then(|| decides.map_or(Duplicate::There, Duplicate::InDoubt)))
    })?;
    Ok(found.unwrap_or(Duplicate::Gone))
}
