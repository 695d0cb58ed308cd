//! Reading rows.
//!
//! Invariants: what a page shows is read under its shared lock, and copied: nothing is held between two rows. The
//! pages of a scan are those that the table had when it began: rows that were added since are not seen anyway.

use base::page::line_pointer_at;
use base::sync::Arc;
use base::{BlockNumber, Infomask, Infomask2, OffsetNumber, Page, Tid};
use snapshot::TupleStamp;
use snapshot::satisfies::satisfies_mvcc;

use super::Row;
use super::chain::{OnPage, roots, walk};
use super::copied::CopiedRows;
use super::page::{NewHint, PinnedPage, page_of, read_header, set_hints};
use super::prune::{is_worth_pruning, try_prune};
use crate::Error;
use crate::buffer::Ring;
use crate::buffer::prefetch::fetch;
use crate::catalog::TableEntry;
use crate::planted::{self, Bug};
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
        self.see_row(table, tid, |place, tuple| Row::new(place, tuple, table).with_root(tid))
    }

    /// What `take` makes of that version, given its place and its tuple.
    pub(super) fn see_row<R>(
        &mut self,
        table: &TableEntry,
        tid: Tid,
        take: impl FnOnce(Tid, &[u8]) -> R,
    ) -> Result<Option<R>, Error> {
        let session = &mut *self.session;
        if !table.has_block(session.shared, tid.block)? {
            return Ok(None);
        }
        let (name, pool) = (table.page_name(tid.block), &session.shared.storage.pool);
        let pinned = pool.get_for(name, line_pointer_at(tid.offset))?;
        let mut hints = Vec::new();
        let found = see_pruned(session, &pinned, |session, page| {
            fetch_line_pointers(page, tid.offset);
            session.visible(table, page, tid, &mut hints, take)
        })?;
        set_hints(session, &pinned, &hints)?;
        Ok(found.flatten())
    }

    /// The same of several rows of a page, which are copied; those that the snapshot sees nothing of stay in `tids`.
    pub(super) fn get_rows(
        &mut self,
        table: &TableEntry,
        tids: &mut Vec<Tid>,
        rows: &mut CopiedRows,
    ) -> Result<(), Error> {
        let session = &mut *self.session;
        let Some(Tid { block, .. }) = tids.first().copied() else { return Ok(()) };
        if !table.has_block(session.shared, block)? {
            return Ok(());
        }
        let pinned = session.shared.storage.pool.get(table.page_name(block))?;
        let mut hints = Vec::new();
        see_pruned(session, &pinned, |session, page| {
            if tids.len() > 1 {
                page.touch_items(tids.iter().map(|tid| tid.offset));
            }
            let mut failed = None;
            tids.retain(|tid| {
                if failed.is_some() {
                    return true;
                }
                let copy = |place, tuple: &[u8]| rows.push(place, *tid, tuple);
                let seen = session.visible(table, page, *tid, &mut hints, copy);
                seen.map_err(|error| failed = Some(error)).is_ok_and(|seen| seen.is_none())
            });
            failed.map_or(Ok(()), Err)
        })?;
        set_hints(session, &pinned, &hints)
    }
}

/// Has the processor fetch the line pointers behind this one: if its row was updated on the page, it leads to one of them.
fn fetch_line_pointers(page: &Page<'_>, offset: OffsetNumber) {
    const LINE: usize = 64;
    let behind = (line_pointer_at(offset) + LINE..page.header().lower.into()).step_by(LINE);
    behind.take(8).for_each(|at| fetch(page.bytes(), at));
}

/// A page, as a snapshot sees it.
#[derive(Default)]
struct Looked {
    /// The versions that it sees.
    rows: Vec<Row>,
    hints: Vec<NewHint>,
}

/// Shows a page under a shared lock, pruned before if that may be worth it; `None` of one that was never initialised.
fn see_pruned<R>(
    session: &mut Session<'_>,
    pinned: &PinnedPage<'_>,
    see: impl FnOnce(&Session<'_>, &Page<'_>) -> Result<R, Error>,
) -> Result<Option<R>, Error> {
    let name = pinned.name();
    let mut guard = pinned.read();
    let Some(page) = page_of(name, &guard)? else { return Ok(None) };
    if is_worth_pruning(session, &page) {
        drop(guard);
        try_prune(session, pinned)?;
        guard = pinned.read();
    }
    let Some(page) = page_of(name, &guard)? else { return Ok(None) };
    see(session, &page).map(Some)
}

impl Session<'_> {
    /// Takes the version that the session's snapshot sees of those that hang from a line pointer, given its place and its tuple.
    fn visible<R>(
        &self,
        table: &TableEntry,
        page: &Page<'_>,
        root: Tid,
        hints: &mut Vec<NewHint>,
        take: impl FnOnce(Tid, &[u8]) -> R,
    ) -> Result<Option<R>, Error> {
        let (name, status) = (table.page_name(root.block), self.status());
        let Some(snapshot) = &self.snapshot else { return Ok(None) };
        let lsn = page.header().lsn;
        let mut take = Some(take);
        walk(name, page, root.offset, &status, |version| {
            let OnPage { offset, header, mut stamp, tuple } = *version;
            if planted::has(Bug::EndedIsSeen) {
                stamp.infomask |= Infomask::XMAX_INVALID;
            }
            let judged = satisfies_mvcc(&stamp, snapshot, &status)?;
            hints.extend(NewHint::of(offset, header, &stamp, judged.hints, lsn, &status));
            let seen = take.take_if(|_| judged.verdict);
            Ok(seen.map(|take| take(Tid { offset, ..root }, tuple)))
        })
    }

    /// Judges every version on a page by the session's snapshot, and copies those that it sees.
    fn look(
        &self,
        table: &Arc<TableEntry>,
        block: BlockNumber,
        page: &Page<'_>,
    ) -> Result<Looked, Error> {
        let (name, mut looked) = (table.page_name(block), Looked::default());
        let status = self.status();
        let Some(snapshot) = &self.snapshot else { return Ok(looked) };
        let lsn = page.header().lsn;
        let mut has_heap_only = false;
        page.touch_items(page.line_pointers().map(|(offset, _)| offset));
        for (offset, _) in page.line_pointers() {
            let Some(tuple) = page.item(offset) else { continue };
            let tid = Tid { block: name.block, offset };
            let header = read_header(name, offset, tuple)?;
            let stamp = TupleStamp::new(&header, tid);
            let judged = satisfies_mvcc(&stamp, snapshot, &status)?;
            looked.hints.extend(NewHint::of(offset, header, &stamp, judged.hints, lsn, &status));
            if judged.verdict {
                has_heap_only |= header.infomask2.contains(Infomask2::ONLY_TUPLE);
                looked.rows.push(Row::new(tid, tuple, table));
            }
        }
        if has_heap_only {
            let roots = roots(name, page, &status)?;
            for row in &mut looked.rows {
                let root = roots.get(&row.tid.offset).copied();
                row.root.offset = root.unwrap_or(row.tid.offset);
            }
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
        let table = &self.table;
        let looked =
            see_pruned(session, &pinned, |session, page| session.look(table, block, page))?;
        let Looked { rows, hints } = looked.unwrap_or_default();
        set_hints(session, &pinned, &hints)?;
        Ok(rows)
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
