//! Log pages in memory: a window over the segments that moves with the reader.
//!
//! Invariants: [`Pages::require`] returns only when the page lies in the window and its header is right;
//! a page is checked once each time the reader comes to it, the first page of a segment before any other
//! of it (it alone carries the system's identifier and the sizes). The window never spans two segments.
//! Positional reads into a window, and not a map of the file: mapping 1.1 GB of log saved a tenth of the time of
//! its statistics (what the copy costs, the TLB misses cost again), and a file that shrinks is then a signal
//! instead of an error.

use base::sync::Arc;
use base::{Lsn, PAGE_SIZE, disk::DiskFile};

use super::{Position, Stop};
use crate::error::{PageError, PageFault};
use crate::page::{Expected, PageHeader, SHORT_HEADER_SIZE};
use crate::segment::{SegmentNumber, Timeline};
use crate::source::{Segments, SourceError};

/// Bytes read at once: small enough for a core's own cache, large enough that a read costs its copy alone.
const WINDOW_SIZE: usize = 512 * 1024;

/// The window, and what is known of the page that the reader stands on.
#[derive(Debug)]
pub(super) struct Pages {
    segments: Arc<dyn Segments>,
    expected: Expected,
    /// The open segment.
    file: Option<(SegmentNumber, Arc<dyn DiskFile>)>,
    /// The segment whose first page has been checked.
    checked_segment: Option<SegmentNumber>,
    buffer: Vec<u8>,
    /// Position of the window's first byte.
    start: Lsn,
    /// How many of its bytes are there.
    length: usize,
    /// The page that the reader stands on, checked; `None` before the first.
    current: Option<(Lsn, PageHeader)>,
    /// The same page, for the common case of a record that lies within it.
    view: View,
    /// Latest page checked, and the timeline on it (`latestPagePtr`, `latestPageTLI`).
    latest_page: Lsn,
    latest_timeline: u32,
    /// Nothing at or beyond this is asked for.
    end: Option<Lsn>,
    /// Beyond this the reader wants single pages, not windows.
    read_ahead_end: Option<Lsn>,
    /// Where the history leaves the open segment's timeline, and the timeline that it goes on with.
    switch_point: Option<(Lsn, Timeline)>,
}

/// Where on the current page records can be read without further checks of the page.
#[derive(Debug, Clone, Copy, Default)]
struct View {
    page: Lsn,
    /// Offset of the page in the window.
    at: usize,
    /// Offset in the page from which on records can start.
    first: usize,
    /// How many bytes of the page lie before the end that the caller set; 0 where there is no page.
    limit: usize,
}

impl Pages {
    pub(super) fn new(segments: Arc<dyn Segments>) -> Pages {
        let expected = Expected {
            version: segments.version(),
            segment_size: segments.segment_size(),
            system_identifier: segments.system_identifier(),
        };
        Pages {
            segments,
            expected,
            file: None,
            checked_segment: None,
            buffer: Vec::new(),
            start: Lsn::INVALID,
            length: 0,
            current: None,
            view: View::default(),
            latest_page: Lsn::INVALID,
            latest_timeline: 0,
            end: None,
            read_ahead_end: None,
            switch_point: None,
        }
    }

    pub(super) fn expected(&self) -> &Expected {
        &self.expected
    }

    pub(super) fn segments(&self) -> &Arc<dyn Segments> {
        &self.segments
    }

    pub(super) fn set_end(&mut self, end: Option<Lsn>) {
        self.end = end;
        self.leave_page();
    }

    pub(super) fn set_read_ahead_end(&mut self, end: Option<Lsn>) {
        self.read_ahead_end = end;
    }

    /// Forgets what was read, not where: the files may have grown since.
    pub(super) fn refresh(&mut self) {
        self.forget_page();
        self.file = None;
        self.length = 0;
    }

    fn leave_page(&mut self) {
        self.current = None;
        self.view = View::default();
    }

    /// The bytes from `at` to the end of its page, or to the end that the caller set: `None` unless `at`
    /// lies on the current page, where a record can start. With them, their offset in the window.
    #[inline]
    pub(super) fn rest_of_page(&self, at: Lsn) -> Option<(usize, &[u8])> {
        let View { page, at: start, first, limit } = self.view;
        let offset = at.0.wrapping_sub(page.0);
        if offset >= first as u64 && offset < limit as u64 {
            let offset = start + offset as usize;
            Some((offset, self.buffer.get(offset..start + limit)?))
        } else {
            None
        }
    }

    /// Forgets which pages were checked, as after an error.
    pub(super) fn forget_page(&mut self) {
        self.leave_page();
        self.checked_segment = None;
    }

    /// Starts anew somewhere else, having seen there what the position says.
    pub(super) fn jump(&mut self, position: &Position) {
        self.leave_page();
        // A reader that came there by reading has checked every page up to the one before.
        let is_known = position.timeline != 0;
        let before = Lsn(position.next.0.saturating_sub(1)).page_start();
        self.latest_page = if is_known { before } else { Lsn::INVALID };
        self.latest_timeline = position.timeline;
    }

    pub(super) fn latest_timeline(&self) -> u32 {
        self.latest_timeline
    }

    /// Makes sure that the page at `page` is in the window with a checked header, and that its first
    /// `required` bytes lie before the end.
    #[inline]
    pub(super) fn require(&mut self, page: Lsn, required: usize) -> Result<PageHeader, Stop> {
        self.within_end(page, required.max(SHORT_HEADER_SIZE))?;
        let header = match self.current {
            Some((current, header)) if current == page => header,
            _ => self.come_to(page)?,
        };
        self.within_history(page, required)?;
        Ok(header)
    }

    /// The bytes in memory.
    #[inline]
    pub(super) fn window(&self) -> &[u8] {
        &self.buffer
    }

    /// Where in the window the page lies that [`Pages::require`] was last called for.
    #[inline]
    pub(super) fn page_at(&self) -> usize {
        self.view.at
    }

    /// That page, whole.
    pub(super) fn page(&self) -> &[u8] {
        &self.buffer[self.view.at..self.view.at + PAGE_SIZE]
    }

    /// `pg_waldump`'s page callback: a page is read whole if it ends before the end, else as far as that.
    #[inline]
    fn within_end(&self, page: Lsn, required: usize) -> Result<(), Stop> {
        match self.end {
            Some(end)
                if page.0.saturating_add(PAGE_SIZE as u64) > end.0
                    && page.0.saturating_add(required as u64) > end.0 =>
            {
                Err(Stop::EndReached)
            }
            _ => Ok(()),
        }
    }

    /// What an ancestor's file holds beyond the switch point is no part of this log.
    #[inline]
    fn within_history(&self, page: Lsn, required: usize) -> Result<(), Stop> {
        match self.switch_point {
            Some((switch_point, next))
                if page.0.saturating_add(required as u64) > switch_point.0 =>
            {
                let size = self.expected.segment_size;
                let name = size.file_name(next, size.number_of(page));
                Err(Stop::Source(SourceError::Missing { name }))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn come_to(&mut self, page: Lsn) -> Result<PageHeader, Stop> {
        let size = self.expected.segment_size;
        let number = size.number_of(page);
        if self.checked_segment != Some(number) && size.offset_of(page) != 0 {
            let mut first = [0; PAGE_SIZE];
            self.read(number, 0, &mut first)?;
            let header = PageHeader::read(&first).expect("a page holds a header");
            let seen = (self.latest_page, self.latest_timeline);
            self.check(size.start_of(number), &header)?;
            if size.start_of(number) <= seen.0 {
                // The timeline may have changed within the segment: that of its first page counts no more.
                (self.latest_page, self.latest_timeline) = seen;
            }
        }
        let at = self.load(page)?;
        let bytes = &self.buffer[at..at + PAGE_SIZE];
        let header = PageHeader::read(bytes).expect("a page holds a header");
        self.within_end(page, header.size())?;
        self.within_history(page, header.size())?;
        self.check(page, &header)?;
        self.checked_segment = Some(number);
        self.current = Some((page, header));
        let ends = [self.end, self.switch_point.map(|(switch_point, _)| switch_point)];
        let end = ends.into_iter().flatten().min();
        let before_end = end.map_or(u64::MAX, |end| end.bytes_since(page));
        self.view = View {
            page,
            at,
            first: header.size() + usize::from(header.continues_record()),
            limit: before_end.min(PAGE_SIZE as u64) as usize,
        };
        Ok(header)
    }

    fn check(&mut self, page: Lsn, header: &PageHeader) -> Result<(), PageError> {
        let fault = match header.check(page, &self.expected) {
            Err(fault) => Some(fault),
            Ok(()) if page > self.latest_page && header.timeline < self.latest_timeline => {
                Some(PageFault::Timeline { page: header.timeline, after: self.latest_timeline })
            }
            Ok(()) => None,
        };
        if let Some(fault) = fault {
            return Err(self.page_error(page, fault));
        }
        self.latest_page = page;
        self.latest_timeline = header.timeline;
        Ok(())
    }

    fn page_error(&self, page: Lsn, fault: PageFault) -> PageError {
        let size = self.expected.segment_size;
        PageError {
            version: self.expected.version,
            segment: self.segment_name(size.number_of(page)),
            page,
            offset: size.offset_of(page),
            fault,
        }
    }

    fn segment_name(&self, number: SegmentNumber) -> String {
        self.expected.segment_size.file_name(self.segments.timeline_of(number), number)
    }

    /// Brings the page into the window; returns its offset there.
    fn load(&mut self, page: Lsn) -> Result<usize, Stop> {
        if page >= self.start {
            let at = page.bytes_since(self.start);
            if at.saturating_add(PAGE_SIZE as u64) <= self.length as u64 {
                return Ok(at as usize);
            }
        }
        let size = self.expected.segment_size;
        let offset = size.offset_of(page);
        let mut wanted = (WINDOW_SIZE as u64).min(size.bytes() - offset);
        if let Some(end) = self.read_ahead_end {
            wanted = wanted.min(end.bytes_since(page).max(PAGE_SIZE as u64));
        }
        self.leave_page();
        self.length = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(WINDOW_SIZE, 0);
        let got = self.read(size.number_of(page), offset, &mut buffer[..wanted as usize]);
        self.buffer = buffer;
        self.length = got?;
        self.start = page;
        Ok(0)
    }

    /// Reads from a segment: a whole page at the least.
    fn read(
        &mut self,
        number: SegmentNumber,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Stop> {
        let got = self.open(number)?.read_at(buffer, offset).map_err(|error| {
            Stop::Source(SourceError::Io { path: self.segment_name(number), error })
        })?;
        if got < PAGE_SIZE {
            let segment = self.segment_name(number);
            return Err(Stop::ShortSegment { segment, offset, got, wanted: PAGE_SIZE });
        }
        Ok(got)
    }

    fn open(&mut self, number: SegmentNumber) -> Result<Arc<dyn DiskFile>, Stop> {
        if let Some((open, file)) = &self.file
            && *open == number
        {
            return Ok(Arc::clone(file));
        }
        let file = self.segments.open(number)?;
        self.switch_point = self.segments.switch_point(number);
        self.file = Some((number, Arc::clone(&file)));
        Ok(file)
    }
}
