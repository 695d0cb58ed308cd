//! The log in memory: records are given their place, copied by many threads at once, and written out.
//!
//! ```text
//!          written           finished                 end
//! ------------|------------------|---------------------|------------>
//!  in the file   copied: may be     reserved: may be       free
//!                written            being copied
//! ```
//!
//! Inserting: take a slot, reserve, copy page by page, give the slot back. Where a page's buffer still holds
//! what is not written, the inserter shows how far it has come, so that others need not wait for it, and
//! writes that out itself.
//!
//! Nobody waits for somebody behind him: the inserter with the lowest position waits for pages before it to be
//! written, and everything before it is finished. So there is no deadlock.
//!
//! Invariants: `written` never passes a byte that is not copied; a page is written from where the last write
//! ended, so that what is in the file is not written again; one thread writes at a time, holding the sink's
//! lock.

use base::Lsn;
use base::ordering;
use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Mutex, MutexGuard, PoisonError};
use crossbeam_utils::CachePadded;

use super::builder::{Built, PageWrites};
use super::error::{Failure, LogError};
use super::layout::{Layout, PAGE};
use super::page_header::PageHeaders;
use super::pause::Pause;
use super::reserve::{Reservation, ReserveError, Reserved};
use super::ring::Ring;
use super::slots::{Inserted, Slots, Taken};
use crate::page::{FIRST_IS_CONTRECORD, FIRST_IS_OVERWRITE_CONTRECORD};
use crate::record::HEADER_SIZE;

/// Where what is finished goes.
pub trait Sink {
    /// Writes `pieces`, which lie behind each other in the log from `at` on. The first time that something is
    /// written on a page, the rest of the page must read as zero afterwards.
    ///
    /// # Errors
    /// What stops the log for good.
    fn write(&mut self, at: Lsn, pieces: [&[u8]; 2]) -> Result<(), LogError>;
}

/// The log in memory, over a sink.
#[derive(Debug)]
pub struct Buffers<S> {
    layout: Layout,
    headers: PageHeaders,
    reservation: Reservation,
    slots: Slots,
    ring: Ring,
    /// Redo point, and whether images are taken; see [`Settings`].
    settings: CachePadded<AtomicU64>,
    failure: Failure,
    /// Everything before this is in the file.
    written: CachePadded<AtomicU64>,
    sink: Mutex<S>,
    /// How often an inserter had to write before it could go on.
    waits: AtomicU64,
    opened_at: Lsn,
    /// The page whose header says that the record before it was cut off.
    overwriting_page: Option<Lsn>,
}

/// How [`Buffers`] begin.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// Size of a segment in bytes.
    pub segment: u64,
    /// Where the last record ended, or a page's start.
    pub next: Lsn,
    /// Where the last record started.
    pub previous: Lsn,
    /// The redo point, and whether images are taken.
    pub writes: PageWrites,
    /// Timeline on the pages.
    pub timeline: u32,
    /// System identifier on each segment's first page.
    pub system_identifier: u64,
    /// Whether a record before `next` was cut off by a crash, so that the page there says so; `next` is a
    /// page's start then.
    pub overwrites: bool,
    /// How many pages the buffers have; rounded up to a power of two.
    pub pages: u64,
    /// How many threads can insert at once.
    pub slots: usize,
}

/// A record in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Where it starts.
    pub start: Lsn,
    /// Where it ends: what a page that it changed gets as its LSN, and up to where to flush.
    pub end: Lsn,
}

/// Redo point and full-page writes in one word: record positions are multiples of 8.
struct Settings;

impl Settings {
    fn pack(writes: PageWrites) -> u64 {
        writes.redo.0 & !1 | u64::from(writes.are_on)
    }

    fn unpack(word: u64) -> PageWrites {
        PageWrites { redo: Lsn(word & !1), are_on: word & 1 != 0 }
    }
}

impl<S: Sink> Buffers<S> {
    /// Buffers that go on at a place.
    ///
    /// # Panics
    /// For fewer than two pages, no slot, or a place that no record starts or ends at.
    pub fn new(beginning: &Beginning, sink: S) -> Buffers<S> {
        let layout = Layout::new(beginning.segment);
        let next = layout.end_of(layout.usable_of(beginning.next));
        assert!(beginning.pages >= 2 && beginning.slots >= 1);
        let settings = AtomicU64::new(Settings::pack(beginning.writes));
        Buffers {
            layout,
            headers: PageHeaders::new(layout, beginning.timeline, beginning.system_identifier),
            reservation: Reservation::new(layout, next, beginning.previous),
            slots: Slots::new(beginning.slots),
            ring: Ring::new(beginning.pages.next_power_of_two(), next),
            settings: CachePadded::new(settings),
            failure: Failure::new(),
            written: CachePadded::new(AtomicU64::new(next.0)),
            sink: Mutex::new(sink),
            waits: AtomicU64::new(0),
            opened_at: next,
            overwriting_page: beginning.overwrites.then_some(next),
        }
    }

    /// Inserts a record, if it is good for the redo point of this moment: `Ok(None)` says that it is not, and
    /// that it must be built again.
    ///
    /// `hint` names the slot to try first; every session keeps one of its own.
    ///
    /// # Errors
    /// If the log is stopped or exhausted.
    #[inline]
    pub fn insert(
        &self,
        hint: &mut usize,
        built: &mut Built<'_>,
    ) -> Result<Option<Placed>, LogError> {
        let length = u64::from(built.total_length());
        let reserve_first = base::variant!("log.reserve-before-slot");
        let early = reserve_first.then(|| self.reservation.reserve(length, || true));
        let slot = self.take_slot(hint)?;
        let reserved = match early {
            Some(reserved) => reserved,
            None => self.reservation.reserve(length, || built.is_good_for(self.page_writes())),
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(ReserveError::Refused) => {
                slot.finish();
                return Ok(None);
            }
            Err(ReserveError::Exhausted) => {
                slot.finish();
                return Err(LogError::Exhausted { opened_at: self.opened_at });
            }
        };
        slot.advance(self.first_byte(reserved.start));
        let mut copy = Copy::begin(self, &slot, reserved.start, length)?;
        copy.put(built.first_piece(reserved.previous))?;
        let mut result = Ok(());
        built.for_each_further_piece(|piece| {
            if result.is_ok() {
                result = copy.put(piece);
            }
        });
        result?;
        let at = copy.align()?;
        assert_eq!(at, reserved.end, "what was copied is what was reserved");
        slot.count(length, built.images(), built.is_important().then_some(reserved.start));
        slot.finish();
        Ok(Some(Placed { start: reserved.start, end: reserved.end }))
    }

    /// Inserts a switch record, built elsewhere, and fills the rest of the segment with zeros. `None` where
    /// the next record would be a segment's first. The end that is returned is that of the record; the
    /// segment's is where the next one starts.
    ///
    /// # Errors
    /// If the log is stopped or exhausted.
    pub fn switch(
        &self,
        hint: &mut usize,
        built: &mut Built<'_>,
    ) -> Result<Option<Placed>, LogError> {
        let length = u64::from(built.total_length());
        assert_eq!(length, HEADER_SIZE as u64, "a switch record is a header alone");
        let slot = self.take_slot(hint)?;
        let reserved = match self.reservation.reserve_rest_of_segment(length) {
            Ok(Some(reserved)) => reserved,
            Ok(None) => {
                slot.finish();
                return Ok(None);
            }
            Err(_) => {
                slot.finish();
                return Err(LogError::Exhausted { opened_at: self.opened_at });
            }
        };
        let Reserved { start, end: segment_end, previous } = reserved;
        slot.advance(self.first_byte(start));
        let mut copy = Copy::begin(self, &slot, start, length)?;
        copy.put(built.first_piece(previous))?;
        let end = copy.align()?;
        copy.fill_to(segment_end)?;
        slot.count(length, 0, built.is_important().then_some(start));
        slot.finish();
        Ok(Some(Placed { start, end }))
    }

    /// Sets the redo point to where the next record will start, and gives it. Every record from there on was
    /// built for it.
    pub fn move_redo_point(&self) -> Lsn {
        self.reservation.change(|next| {
            let writes = self.page_writes();
            self.settings
                .store(Settings::pack(PageWrites { redo: next, are_on: writes.are_on }), Relaxed);
            writes.redo != next
        })
    }

    /// Switches full-page images on or off for every record from here on. The caller logs the change: after
    /// it, where they go on, and before it, where they go off.
    pub fn set_page_writes(&self, are_on: bool) {
        self.reservation.change(|_| {
            let writes = self.page_writes();
            self.settings.store(Settings::pack(PageWrites { redo: writes.redo, are_on }), Relaxed);
            writes.are_on != are_on
        });
    }

    /// Redo point, and whether images are taken. The reservation's word orders it where it matters.
    #[inline]
    pub fn page_writes(&self) -> PageWrites {
        Settings::unpack(self.settings.load(Relaxed))
    }

    /// Where the last record that was given a place ends.
    #[inline]
    pub fn end(&self) -> Lsn {
        self.reservation.end()
    }

    /// Up to where everything is in the file.
    #[inline]
    pub fn written(&self) -> Lsn {
        Lsn(self.written.load(ordering!("log.written-seen", Acquire)))
    }

    /// Up to where everything is copied, as far as it can be seen now: less while somebody has a slot and no place
    /// yet.
    pub fn finished(&self) -> Lsn {
        if base::variant!("log.slots-before-end") {
            let lowest = self.slots.lowest();
            let end = self.reservation.end();
            return lowest.map_or(end, |lowest| lowest.min(end));
        }
        let end = self.reservation.end();
        self.slots.lowest().map_or(end, |lowest| lowest.min(end))
    }

    /// Writes out at least what lies before `at_least`, which must have been reserved, and whatever else is
    /// finished. Gives the sink, still locked, with up to where it is written.
    ///
    /// # Errors
    /// If the log is stopped, by this or before.
    pub fn write_out(&self, at_least: Lsn) -> Result<(MutexGuard<'_, S>, Lsn), LogError> {
        let mut pause = Pause::default();
        let finished = loop {
            let finished = self.finished();
            if finished >= at_least {
                break finished;
            }
            self.failure.check()?;
            pause.wait();
        };
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        self.failure.check()?;
        let from = self.written();
        if from >= at_least {
            return Ok((sink, from));
        }
        // Who has just taken a slot may make it look like less; what was finished stays so.
        let to = self.finished().max(finished);
        // SAFETY: all before `to` is copied, and nothing behind `from` is written, since only who holds the
        // sink's lock writes; so no page of the range gives its buffer away.
        #[expect(unsafe_code)]
        let result = unsafe { self.ring.with_bytes(from, to, |pieces| sink.write(from, pieces)) };
        result.map_err(|error| self.failure.set(error))?;
        self.written.store(to.0, ordering!("log.written", Release));
        Ok((sink, to))
    }

    /// The sink.
    pub fn sink(&self) -> MutexGuard<'_, S> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the log for good, unless it was stopped before; gives the error that every call gives from here
    /// on.
    pub fn stop(&self, error: LogError) -> LogError {
        self.failure.set(error)
    }

    /// # Errors
    /// If the log is stopped.
    #[inline]
    pub fn check(&self) -> Result<(), LogError> {
        self.failure.check()
    }

    /// What was inserted so far.
    pub(super) fn inserted(&self) -> Inserted {
        self.slots.inserted()
    }

    /// How often an inserter had to write before it could go on.
    pub fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }

    #[inline]
    fn take_slot(&self, hint: &mut usize) -> Result<Taken<'_>, LogError> {
        self.failure.check()?;
        match self.slots.take(hint, || self.failure.is_there()) {
            Some(slot) => Ok(slot),
            None => {
                self.failure.check()?;
                unreachable!("slots are waited for until the log is stopped")
            }
        }
    }

    /// The first byte that a record which starts at `start` writes: of a page that it begins, the header's.
    #[inline]
    fn first_byte(&self, start: Lsn) -> Lsn {
        let page = Layout::page_of(start);
        let owns_page = Layout::offset_in_page(start) == self.layout.header_size(page);
        if owns_page && !base::variant!("log.header-not-shown") { page } else { start }
    }

    /// Waits until the buffer of the page that starts at `page` is free, and writes out what is in it.
    #[inline]
    fn wait_for_buffer(&self, slot: &Taken<'_>, page: Lsn) -> Result<(), LogError> {
        let needed = self.ring.must_be_written(page);
        if self.written() >= needed || base::variant!("log.page-not-awaited") {
            return Ok(());
        }
        self.write_for_buffer(slot, page, needed)
    }

    #[cold]
    fn write_for_buffer(&self, slot: &Taken<'_>, page: Lsn, needed: Lsn) -> Result<(), LogError> {
        // What lies before this page is copied, and may be written by anybody.
        slot.advance(page);
        self.waits.fetch_add(1, Relaxed);
        self.write_out(needed).map(drop)
    }

    /// Waits until whoever owns the page has made it ready.
    #[inline]
    fn wait_for_page(&self, page: Lsn) -> Result<(), LogError> {
        let mut pause = Pause::default();
        while !self.ring.is_ready(page) {
            self.failure.check()?;
            pause.wait();
        }
        Ok(())
    }
}

/// Copies one record to its place, page by page.
struct Copy<'c, S> {
    buffers: &'c Buffers<S>,
    slot: &'c Taken<'c>,
    at: Lsn,
    /// Bytes of the record that are not copied.
    left: u64,
}

impl<'c, S: Sink> Copy<'c, S> {
    /// Begins at the start of a reserved place.
    #[inline]
    fn begin(
        buffers: &'c Buffers<S>,
        slot: &'c Taken<'c>,
        start: Lsn,
        length: u64,
    ) -> Result<Copy<'c, S>, LogError> {
        let page = Layout::page_of(start);
        let copy = Copy { buffers, slot, at: start, left: length };
        if Layout::offset_in_page(start) == buffers.layout.header_size(page) {
            // The page's first usable byte is this record's first.
            let overwrites = buffers.overwriting_page == Some(page);
            copy.open_page(page, if overwrites { FIRST_IS_OVERWRITE_CONTRECORD } else { 0 }, 0)?;
        } else {
            buffers.wait_for_page(page)?;
        }
        Ok(copy)
    }

    /// Makes a page ready that this record owns.
    fn open_page(&self, page: Lsn, flags: u16, left: u64) -> Result<(), LogError> {
        let buffers = self.buffers;
        buffers.wait_for_buffer(self.slot, page)?;
        let (header, size) = buffers.headers.of(page, flags, left);
        // SAFETY: this record owns the page, and the page that had the buffer is written.
        #[expect(unsafe_code)]
        unsafe {
            buffers.ring.write(page, &header[..size]);
        }
        buffers.ring.publish(page);
        Ok(())
    }

    /// Copies bytes, over page boundaries where they must.
    #[inline]
    fn put(&mut self, mut bytes: &[u8]) -> Result<(), LogError> {
        while !bytes.is_empty() {
            if Layout::offset_in_page(self.at) == 0 {
                self.next_page()?;
            }
            let room = (PAGE - Layout::offset_in_page(self.at)) as usize;
            let (part, rest) = bytes.split_at(bytes.len().min(room));
            // SAFETY: the range is this record's, and its page is ready.
            #[expect(unsafe_code)]
            unsafe {
                self.buffers.ring.write(self.at, part);
            }
            self.at = self.at + part.len() as u64;
            self.left = self.left.saturating_sub(part.len() as u64);
            bytes = rest;
        }
        Ok(())
    }

    #[inline(never)]
    fn next_page(&mut self) -> Result<(), LogError> {
        self.open_page(self.at, FIRST_IS_CONTRECORD, self.left)?;
        self.at = self.at + self.buffers.layout.header_size(self.at);
        Ok(())
    }

    /// Fills up to where the next record is aligned, and gives that position.
    #[inline]
    fn align(&mut self) -> Result<Lsn, LogError> {
        debug_assert_eq!(self.left, 0);
        let padding = (self.at.0.next_multiple_of(8) - self.at.0) as usize;
        self.put(&[0; 8][..padding])?;
        Ok(self.at)
    }

    /// Fills with zeros up to a segment's end, page headers included.
    fn fill_to(&mut self, end: Lsn) -> Result<(), LogError> {
        const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
        while self.at < end {
            let offset = Layout::offset_in_page(self.at);
            if offset == 0 {
                self.buffers.wait_for_buffer(self.slot, self.at)?;
            }
            let length = PAGE - offset;
            // SAFETY: the rest of the segment is this record's; of a new page it is the owner, and the page that
            // had the buffer is written.
            #[expect(unsafe_code)]
            unsafe {
                self.buffers.ring.write(self.at, &ZEROS[..length as usize]);
            }
            self.buffers.ring.publish(Layout::page_of(self.at));
            self.at = self.at + length;
        }
        Ok(())
    }
}
