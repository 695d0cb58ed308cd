//! Pages of tables under their locks: changes logged, hints set.
//!
//! Invariants: a page is changed, its record inserted and the page stamped with the record's end under one hold of its
//! exclusive lock. A hint says that a transaction committed only if that is durable, or the page cannot reach the disk
//! before it is. With checksums, a hint on a page that has not been logged since the redo point is logged with the page's
//! image, since a torn write would otherwise break the checksum.

use base::page::PageError;
use base::{HeapTupleHeader, Infomask, Lsn, OffsetNumber, Page, PageMut, RawPage, Xid};
use snapshot::{Hints, TupleStamp};
use wal::write::{ImageChoice, Inserter, NewBlock, NewRecord};

use crate::Error;
use crate::buffer::{PageName, PageRead, PageWrite, Pinned, RelationFiles};
use crate::db::Shared;
use crate::heap::{Change, HeapError};
use crate::session::Session;
use crate::storage::{LogHandle, PageImage, Storage};
use crate::visibility_map::{self, MapPage};
use crate::xact::status::SessionStatus;

/// A page of the engine's pool.
pub(crate) type PinnedPage<'e> = Pinned<'e, RelationFiles, base::sync::Arc<LogHandle>>;

/// The page of a lock, checked; `None` of one that was never initialised.
pub(crate) fn page_of<'p>(
    name: PageName,
    guard: &'p PageRead<'_>,
) -> Result<Option<Page<'p>>, Error> {
    if RawPage::new(guard).header().upper == 0 {
        return Ok(None);
    }
    guard.page().map(Some).map_err(|error| damaged_page(name, error))
}

#[cold]
#[inline(never)]
fn damaged_page(name: PageName, error: PageError) -> Error {
    Error::Page { name, error }
}

/// The page of an exclusive lock, checked, or made empty if it was never initialised.
pub(crate) fn page_to_fill<'p>(
    name: PageName,
    guard: &'p mut PageWrite<'_>,
) -> Result<PageMut<'p>, Error> {
    if RawPage::new(guard).header().upper == 0 {
        return Ok(guard.init(0));
    }
    guard.page_mut().map_err(|error| Error::Page { name, error })
}

/// The header of a tuple of a page.
pub(crate) fn read_header(
    name: PageName,
    offset: OffsetNumber,
    tuple: &[u8],
) -> Result<HeapTupleHeader, Error> {
    #[cold]
    #[inline(never)]
    fn damaged(name: PageName, offset: OffsetNumber, tuple: &[u8]) -> Error {
        let hoff = tuple.get(22).copied().unwrap_or(0);
        let error = HeapError::DamagedTuple { offset, length: tuple.len(), hoff };
        Error::Heap { name, error }
    }
    let read = HeapTupleHeader::read(tuple);
    read.map(|(header, _)| header).map_err(|_| damaged(name, offset, tuple))
}

/// What a heap's change could not do, of this page.
pub(crate) fn heap_error(name: PageName) -> impl Fn(HeapError) -> Error {
    move |error| Error::Heap { name, error }
}

/// Clears all that the map says of a page whose change clears its flag. Before the change is logged: the log says that the map
/// was cleared.
pub(crate) fn clear_map(map: Option<&MapPage<'_>>, name: PageName) {
    if let Some(map) = map {
        map.clear(name.block, visibility_map::BITS);
    }
}

/// Logs a change of a page, or of two, and stamps them. The first is the record's block 0.
///
/// # Errors
/// Where the log is stopped; no page reaches the disk any more.
pub(crate) fn log_change(
    shared: &Shared,
    inserter: &mut Inserter,
    xid: Xid,
    change: &Change,
    pages: &mut [(PageName, &mut PageWrite<'_>)],
) -> Result<(), Error> {
    let data = [change.block_data.as_slice()];
    let data: &[&[u8]] = if change.block_data.is_empty() { &[] } else { &data };
    let end = {
        let block = |id: usize, name: PageName, will_init, data| NewBlock {
            will_init,
            image: if will_init { ImageChoice::Never } else { ImageChoice::IfOlder },
            is_standard: true,
            page: Some(&**pages[id].1),
            data,
            ..NewBlock::new(id as u8, name.locator, name.fork, name.block)
        };
        let first = block(0, pages[0].0, change.will_init, data);
        let second = pages.get(1).map(|(name, _)| block(1, *name, false, &[]));
        let both = [first, second.unwrap_or(first)];
        let record = NewRecord {
            xid,
            main: &[&change.main],
            blocks: &both[..pages.len()],
            ..NewRecord::new(change.rmid, change.info)
        };
        shared.storage.log.log().insert(inserter, &record)?.end
    };
    for (_, page) in pages {
        page.set_lsn(end);
    }
    Ok(())
}

/// What a version may be told, as it was when that was found out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewHint {
    offset: OffsetNumber,
    seen: HeapTupleHeader,
    bits: Infomask,
}

impl NewHint {
    /// The bits that may be set; `None` if there are none. `lsn` is the page's.
    pub(crate) fn of(
        offset: OffsetNumber,
        seen: HeapTupleHeader,
        stamp: &TupleStamp,
        hints: Hints,
        lsn: Lsn,
        status: &SessionStatus<'_>,
    ) -> Option<NewHint> {
        let bits = hints.infomask(stamp, |xid| {
            let commit = status.logs.commit_lsn(xid);
            let flushed = || status.logs.storage.log.log().flushed();
            commit.is_ok_and(|commit| commit <= lsn || commit <= flushed())
        });
        (!bits.is_empty()).then_some(NewHint { offset, seen, bits })
    }

    /// The bits.
    pub(crate) fn bits(&self) -> Infomask {
        self.bits
    }
}

/// Sets hints, unless somebody works with the page: another time will do.
///
/// # Errors
/// Where the log is stopped.
pub(crate) fn set_hints(
    session: &mut Session<'_>,
    pinned: &PinnedPage<'_>,
    hints: &[NewHint],
) -> Result<(), Error> {
    if hints.is_empty() {
        return Ok(());
    }
    let Some(mut guard) = pinned.try_write() else { return Ok(()) };
    let name = pinned.name();
    let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
    put_hints(&mut page, hints);
    let xid = session.own_xid().unwrap_or(Xid::INVALID);
    log_hint(&session.shared.storage, &mut session.inserter, xid, name, &mut guard)
}

/// Writes hints about those versions that are still what they were found to be.
pub(crate) fn put_hints(page: &mut PageMut<'_>, hints: &[NewHint]) {
    for hint in hints {
        let Some(tuple) = page.item_mut(hint.offset) else { continue };
        let Some(bytes) = tuple.first_chunk_mut() else { continue };
        let mut header = HeapTupleHeader::from_bytes(bytes);
        // Somebody may have changed it since.
        let seen = &hint.seen;
        let is_same =
            (header.xmin, header.xmax, header.infomask) == (seen.xmin, seen.xmax, seen.infomask);
        if is_same {
            header.infomask |= hint.bits;
            *bytes = header.to_bytes();
        }
    }
}

/// Logs the image of a page that has changed in hints alone, where that is needed.
pub(crate) fn log_hint(
    storage: &Storage,
    inserter: &mut Inserter,
    xid: Xid,
    name: PageName,
    guard: &mut PageWrite<'_>,
) -> Result<(), Error> {
    let image = PageImage { xid, name, is_standard: true };
    if let Some(end) = storage.log_hint(inserter, image, guard)? {
        guard.set_lsn(end);
    }
    Ok(())
}

/// Logs a page as a whole, which the log does not know yet, and stamps it.
///
/// # Errors
/// Where the log is stopped.
pub(crate) fn log_page(
    storage: &Storage,
    inserter: &mut Inserter,
    image: PageImage,
    guard: &mut PageWrite<'_>,
) -> Result<(), Error> {
    let end = storage.log_page(inserter, image, guard)?;
    guard.set_lsn(end);
    Ok(())
}
