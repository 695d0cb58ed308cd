//! Reading rows.
//!
//! Invariants: what a page shows is read under its shared lock, and copied: nothing is held between two rows. The
//! pages of a scan are those that the table had when it began: rows that were added since are not seen anyway.

use std::collections::BTreeMap;

use base::sync::Arc;
use base::{BlockNumber, HeapTupleHeader, Infomask2, OffsetNumber, Tid, Xid};
use snapshot::TupleStamp;
use snapshot::satisfies::satisfies_mvcc;

use super::Row;
use super::page::{
    NewHint, PinnedPage, is_worth_pruning, page_of, read_header, set_hints, try_prune,
};
use super::row_xmax::updater;
use crate::Error;
use crate::buffer::Ring;
use crate::catalog::TableEntry;
use crate::session::Session;
use crate::transaction::Transaction;

/// All rows of a table that a transaction sees.
#[derive(Debug)]
pub struct Scan<'t, 's, 'e> {
    transaction: &'t mut Transaction<'s, 'e>,
    pages: PageScan,
    rows: std::vec::IntoIter<Row>,
}

/// The same, a page at a time: between two pages the transaction may do something else.
#[derive(Debug)]
pub struct PageScan {
    table: Arc<TableEntry>,
    ring: Ring,
    next: BlockNumber,
    end: BlockNumber,
}

impl<'s, 'e> Transaction<'s, 'e> {
    /// Begins a scan, with a snapshot of its own under read committed.
    pub(crate) fn scan<'t>(
        &'t mut self,
        table: &Arc<TableEntry>,
    ) -> Result<Scan<'t, 's, 'e>, Error> {
        let pages = self.scan_pages(table)?;
        Ok(Scan { transaction: self, pages, rows: Vec::new().into_iter() })
    }

    pub(crate) fn scan_pages(&mut self, table: &Arc<TableEntry>) -> Result<PageScan, Error> {
        self.begin_statement()?;
        let end = table.blocks(self.session.shared)?;
        let (table, ring) = (Arc::clone(table), Ring::default());
        Ok(PageScan { table, ring, next: 0, end })
    }

    /// The version that the snapshot sees of the row whose line pointer this is.
    pub(crate) fn get_row(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
    ) -> Result<Option<Row>, Error> {
        let session = &mut *self.session;
        if tid.block >= table.blocks(session.shared)? {
            return Ok(None);
        }
        let pinned = session.shared.storage.pool.get(table.page_name(tid.block))?;
        prune_if_worth(session, table, &pinned)?;
        let mut looked = session.look(&pinned)?;
        // Along the chain of heap-only versions, as an index scan goes.
        let (mut offset, mut expected_xmin) = (tid.offset, None);
        let mut steps = looked.versions.len();
        let found = loop {
            if let Some(target) = looked.target(offset).filter(|_| expected_xmin.is_none()) {
                offset = target;
            }
            let Some(version) = looked.take(offset) else { break None };
            let is_other = expected_xmin.is_some_and(|xmin| xmin != version.header.xmin);
            if is_other {
                break None;
            }
            if version.is_visible {
                break Some((offset, version.tuple));
            }
            let header = version.header;
            if steps == 0 || !header.infomask2.contains(Infomask2::HOT_UPDATED) {
                break None;
            }
            steps -= 1;
            (offset, expected_xmin) = (header.ctid.offset, Some(version.updater));
        };
        let hints = looked.hints;
        set_hints(session, &pinned, &hints)?;
        Ok(found.map(|(offset, tuple)| {
            Row::new(Tid { block: tid.block, offset }, &tuple, table).with_root(tid)
        }))
    }
}

/// A version on a page, as a snapshot sees it.
struct Version {
    offset: OffsetNumber,
    header: HeapTupleHeader,
    /// Who made the next version on the page, if there is one.
    updater: Xid,
    is_visible: bool,
    /// Empty where it is not visible.
    tuple: Vec<u8>,
}

/// A page, as a snapshot sees it.
#[derive(Default)]
struct Looked {
    versions: Vec<Version>,
    redirects: Vec<(OffsetNumber, OffsetNumber)>,
    hints: Vec<NewHint>,
}

impl Looked {
    fn target(&self, offset: OffsetNumber) -> Option<OffsetNumber> {
        let redirect = self.redirects.iter().find(|(from, _)| *from == offset);
        redirect.map(|(_, to)| *to)
    }

    fn take(&mut self, offset: OffsetNumber) -> Option<Version> {
        let at = self.versions.iter().position(|version| version.offset == offset)?;
        Some(self.versions.swap_remove(at))
    }

    /// The roots of the heap-only versions, if a visible one is among them. As long as nothing was taken.
    fn roots(&self) -> BTreeMap<OffsetNumber, OffsetNumber> {
        let mut roots = BTreeMap::new();
        let is_heap_only =
            |version: &Version| version.header.infomask2.contains(Infomask2::ONLY_TUPLE);
        if !self.versions.iter().any(|version| version.is_visible && is_heap_only(version)) {
            return roots;
        }
        let begins = self.versions.iter().filter(|version| !is_heap_only(version));
        let begins = begins.map(|version| (version.offset, version.offset));
        for (root, first) in begins.chain(self.redirects.iter().copied()) {
            let (mut offset, mut expected_xmin) = (first, None);
            while let Ok(at) = self.versions.binary_search_by_key(&offset, |version| version.offset)
            {
                let Version { header, updater, .. } = &self.versions[at];
                if expected_xmin.is_some_and(|xmin| xmin != header.xmin) {
                    break;
                }
                // Each version has one root; one that has it already closes a ring.
                let is_new = roots.insert(offset, root).is_none();
                if !is_new || !header.infomask2.contains(Infomask2::HOT_UPDATED) {
                    break;
                }
                (offset, expected_xmin) = (header.ctid.offset, Some(*updater));
            }
        }
        roots
    }
}

fn prune_if_worth(
    session: &mut Session<'_>,
    table: &TableEntry,
    pinned: &PinnedPage<'_>,
) -> Result<(), Error> {
    let is_worth = {
        let guard = pinned.read();
        match page_of(pinned.name(), &guard)? {
            Some(page) => is_worth_pruning(session, &page),
            None => false,
        }
    };
    if is_worth { try_prune(session, table, pinned) } else { Ok(()) }
}

impl Session<'_> {
    /// Judges every version on a page by the session's snapshot, and copies those that it sees.
    fn look(&self, pinned: &PinnedPage<'_>) -> Result<Looked, Error> {
        let name = pinned.name();
        let mut looked = Looked::default();
        let status = self.status();
        let Some(snapshot) = &self.snapshot else { return Ok(looked) };
        let guard = pinned.read();
        let Some(page) = page_of(name, &guard)? else { return Ok(looked) };
        let lsn = page.header().lsn;
        for (offset, pointer) in page.line_pointers() {
            if let Some(target) = pointer.target() {
                looked.redirects.push((offset, target));
            }
            let Some(tuple) = page.item(offset) else { continue };
            let header = read_header(name, offset, tuple)?;
            let stamp = TupleStamp::new(&header, Tid { block: name.block, offset });
            let judged = satisfies_mvcc(&stamp, snapshot, &status)?;
            let hint = NewHint::of(offset, header, &stamp, judged.hints, lsn, &status);
            looked.hints.extend(hint);
            let is_visible = judged.verdict;
            let tuple = if is_visible { tuple.to_vec() } else { Vec::new() };
            let updater = match header.infomask2.contains(Infomask2::HOT_UPDATED) {
                true => updater(&header, &status)?,
                false => Xid::INVALID,
            };
            looked.versions.push(Version { offset, header, updater, is_visible, tuple });
        }
        Ok(looked)
    }
}

impl PageScan {
    /// The rows of the next page that the transaction sees, which is the one that the scan was begun in; `None` after the
    /// last page.
    ///
    /// # Errors
    /// Where the page cannot be read; that ends the scan.
    pub fn next_page(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<Option<Vec<Row>>, Error> {
        if self.next >= self.end {
            return Ok(None);
        }
        let block = std::mem::replace(&mut self.next, self.end);
        let rows = self.read_page(transaction, block)?;
        self.next = block + 1;
        Ok(Some(rows))
    }

    fn read_page(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        block: BlockNumber,
    ) -> Result<Vec<Row>, Error> {
        let session = &mut *transaction.session;
        session.check_cancelled()?;
        let name = self.table.page_name(block);
        let pinned = session.shared.storage.pool.get_in_ring(name, &mut self.ring)?;
        prune_if_worth(session, &self.table, &pinned)?;
        let looked = session.look(&pinned)?;
        set_hints(session, &pinned, &looked.hints)?;
        let roots = looked.roots();
        let visible = looked.versions.into_iter().filter(|version| version.is_visible);
        let tid = |offset| Tid { block, offset };
        let row = |version: Version| {
            let root = roots.get(&version.offset).copied().unwrap_or(version.offset);
            Row::new(tid(version.offset), &version.tuple, &self.table).with_root(tid(root))
        };
        Ok(visible.map(row).collect())
    }
}

/// Ends with the first error.
impl Iterator for Scan<'_, '_, '_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Result<Row, Error>> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.pages.next_page(self.transaction) {
                Ok(rows) => self.rows = rows?.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
