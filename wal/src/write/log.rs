//! The log as the engine holds it: insert, flush, switch, the redo point.
//!
//! [`Log::create`] begins a new cluster's log, [`Log::open`] goes on with one behind its last record. Sessions
//! insert through an [`Inserter`] each, and share the [`Log`] in an `Arc`.
//!
//! Durability: a commit is durable when [`Log::flush`] (or [`Log::flush_commit`]) comes back. An asynchronous
//! commit calls [`Log::flush_soon`] instead, and is durable within three delays of the WAL writer.
//!
//! Invariants: a failed write or sync stops the log at once, and every later call gives that first error;
//! nothing is retried. No position that was given out is given out again.

use std::time::Duration;

use base::Lsn;
use base::disk::Opening;
use base::sync::Arc;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicU64, AtomicUsize};

use super::archive::{ArchiveStatus, Archiver, Notifier};
use super::awake::Awake;
use super::buffers::{Beginning, Buffers, Placed};
use super::builder::{Builder, PageWrites};
use super::error::LogError;
use super::file_writer::{Calls, FileWriter};
use super::group::FlushGroup;
use super::layout::PAGE;
use super::options::{EndOfLog, LogOptions, LogPlace};
use super::record::NewRecord;
use super::segment_files::{Removal, SegmentFiles};
use super::sync_method::SyncMethod;
use super::wal_writer::WalWriter;
use crate::checkpoint::CheckPoint;
use crate::page::PageHeader;
use crate::rmgr::xlog;
use crate::segment::Timeline;

/// Id of the resource manager XLOG.
const XLOG: u8 = 0;

/// A log that is written.
#[derive(Debug)]
pub struct Log {
    core: Arc<Core>,
    wal_writer: Option<WalWriter>,
    archiver: Option<Archiver>,
    awake: Option<Awake>,
    options: LogOptions,
    next_hint: AtomicUsize,
    opened_at: Lsn,
}

/// What the log's own threads share with it.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) buffers: Buffers<FileWriter>,
    pub(super) group: Arc<FlushGroup>,
    pub(super) files: Arc<SegmentFiles>,
    calls: Arc<Calls>,
    /// Up to where asynchronous commits want it flushed.
    pub(super) wanted: AtomicU64,
}

/// A session's way into the log: its builder, and the slot that it had last.
#[derive(Debug)]
pub struct Inserter {
    builder: Builder,
    hint: usize,
}

/// What a log has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStatistics {
    /// Records inserted (`wal_records`).
    pub records: u64,
    /// Full-page images in them (`wal_fpi`).
    pub images: u64,
    /// Their bytes, page headers not counted (`wal_bytes`).
    pub bytes: u64,
    /// How often an inserter had to write out buffers before it could go on (`wal_buffers_full`).
    pub buffers_full: u64,
    /// Writes to files (`wal_write`).
    pub writes: u64,
    /// Syncs of files (`wal_sync`).
    pub syncs: u64,
}

impl Log {
    /// Begins the log of a new cluster: segment 1 with a shutdown checkpoint, durable. Gives the checkpoint as
    /// it was logged, its redo point and timelines filled in, and its place.
    ///
    /// # Errors
    /// If files cannot be made, or there is a first segment already.
    pub fn create(
        place: LogPlace,
        options: LogOptions,
        checkpoint: &CheckPoint,
    ) -> Result<(Log, Placed, CheckPoint), LogError> {
        let start = place.segment_size.start_of(1);
        let end = EndOfLog {
            end: start,
            last_record: Lsn::INVALID,
            cut_off: None,
            writes: PageWrites { redo: Lsn::INVALID, are_on: checkpoint.full_page_writes },
        };
        let timeline = place.timeline;
        let log = Log::begin(place, options, end)?;
        let name = log.core.files.name(1);
        if !log.core.files.make(1)? {
            return Err(LogError::Opening {
                at: start,
                reason: format!(
                    "there is a segment {name} already; a new log needs an empty directory"
                ),
            });
        }
        let redo = log.move_redo_point();
        let logged = CheckPoint { redo, timeline, previous_timeline: timeline, ..*checkpoint };
        let main = logged.encode();
        let mut inserter = log.inserter();
        let record =
            NewRecord { main: &[&main], ..NewRecord::new(XLOG, xlog::CHECKPOINT_SHUTDOWN) };
        let placed = log.insert(&mut inserter, &record)?;
        log.flush(placed.end)?;
        Ok((log, placed, logged))
    }

    /// Goes on with a log behind its last record. What a crash left behind that, in the same segment, is
    /// overwritten with zeros first, so that it can never be taken for records of the log as it goes on; where
    /// the beginning of a record was left, a record says that it does not count.
    ///
    /// # Errors
    /// If the end is no place where a record can end, or files cannot be read or written.
    pub fn open(place: LogPlace, options: LogOptions, end: EndOfLog) -> Result<Log, LogError> {
        let log = Log::begin(place, options, end)?;
        log.erase_behind(end.cut_off.map_or(end.end, |cut_off| cut_off.missing_page))?;
        if let Some(cut_off) = end.cut_off {
            let mut main = cut_off.record.0.to_le_bytes().to_vec();
            main.extend_from_slice(&cut_off.noticed_at.0.to_le_bytes());
            let record =
                NewRecord { main: &[&main], ..NewRecord::new(XLOG, xlog::OVERWRITE_CONTRECORD) };
            let placed = log.insert(&mut log.inserter(), &record)?;
            log.flush(placed.end)?;
        }
        Ok(log)
    }

    fn begin(place: LogPlace, options: LogOptions, end: EndOfLog) -> Result<Log, LogError> {
        let next = end.cut_off.map_or(end.end, |cut_off| cut_off.missing_page);
        check_end(&place, &options, end, next)?;
        let LogPlace { disk, directory, segment_size, system_identifier, timeline } = place;
        let files = SegmentFiles::new(disk, directory, segment_size, timeline, options.sync_method);
        let files = Arc::new(files);
        files.remove_temporary()?;
        let beginning = Beginning {
            segment: segment_size.bytes(),
            next,
            previous: end.last_record,
            writes: end.writes,
            timeline: timeline.0,
            system_identifier,
            overwrites: end.cut_off.is_some(),
            pages: options.buffer_pages,
            slots: options.insertion_slots,
        };
        let group = Arc::new(FlushGroup::new(next, options.waits_awake));
        let calls = Arc::new(Calls::default());
        let archiver = match options.archive.clone() {
            Some(to) => Some(Archiver::start(Arc::clone(&files), to, options.archives_by_itself)?),
            None => None,
        };
        let notifier: Arc<Notifier> = Arc::new(Notifier::new(archiver.as_ref()));
        let writer =
            FileWriter::new(Arc::clone(&files), Arc::clone(&group), Arc::clone(&calls), notifier);
        let buffers = Buffers::new(&beginning, writer);
        let core = Arc::new(Core { buffers, group, files, calls, wanted: AtomicU64::new(0) });
        let wal_writer = options
            .wal_writer_delay
            .map(|delay| WalWriter::start(&core, delay, options.wal_writer_flush_after));
        let awake = if options.waits_awake { Awake::new() } else { None };
        let next_hint = AtomicUsize::new(0);
        Ok(Log { core, wal_writer, archiver, awake, options, next_hint, opened_at: next })
    }

    /// A session's way into the log.
    pub fn inserter(&self) -> Inserter {
        let hint = self.next_hint.fetch_add(1, Relaxed);
        Inserter { builder: Builder::new(self.options.compression), hint }
    }

    /// Inserts a record. It is in the log's order from here on, and durable once it is flushed up to the end
    /// that is returned; that end is the LSN of the pages that it changed.
    ///
    /// Pages that the record may take images of must not change meanwhile.
    ///
    /// # Errors
    /// If the record breaks a rule of the format, which leaves the log as it was; or if the log is stopped.
    #[inline]
    pub fn insert(
        &self,
        inserter: &mut Inserter,
        record: &NewRecord<'_>,
    ) -> Result<Placed, LogError> {
        loop {
            let writes = self.core.buffers.page_writes();
            let mut built = inserter.builder.build(record, writes)?;
            if let Some(placed) = self.core.buffers.insert(&mut inserter.hint, &mut built)? {
                return Ok(placed);
            }
        }
    }

    /// Comes back when everything before `up_to` is durable.
    ///
    /// # Errors
    /// If the log is stopped, or `up_to` is beyond what was inserted.
    #[inline]
    pub fn flush(&self, up_to: Lsn) -> Result<(), LogError> {
        self.check_position(up_to)?;
        self.core.flush(up_to)
    }

    /// [`Log::flush`] for a commit, with so many other transactions active: whoever flushes for the group may wait a
    /// little for their commits (`commit_delay`, `commit_siblings`). Who waits awake for another's flush calls `meanwhile`
    /// again and again, which mostly does a few microseconds' work, or says that it has none.
    ///
    /// # Errors
    /// As [`Log::flush`].
    pub fn flush_commit(
        &self,
        up_to: Lsn,
        others: u32,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> Result<(), LogError> {
        let waits = others >= self.options.commit_siblings;
        let delay = if waits { self.options.commit_delay } else { Duration::ZERO };
        self.check_position(up_to)?;
        if let Some(awake) = &self.awake {
            if others > 0 {
                awake.commits_in_company();
            } else if self.core.group.is_worth_staying_awake() {
                awake.commits_alone();
            }
        }
        let flush = |up_to| self.core.write_and_sync(up_to, delay);
        self.core.group.flush_commit(up_to, flush, meanwhile)
    }

    /// Refuses a position that is beyond what was inserted.
    fn check_position(&self, up_to: Lsn) -> Result<(), LogError> {
        if self.flushed() >= up_to {
            return Ok(());
        }
        let end = self.core.buffers.end();
        if up_to > end {
            self.core.buffers.check()?;
            return Err(LogError::BeyondEnd { up_to, end });
        }
        Ok(())
    }

    /// Everything before `up_to` is to become durable soon, by the WAL writer: for asynchronous commits.
    pub fn flush_soon(&self, up_to: Lsn) {
        self.core.wanted.fetch_max(up_to.0, Relaxed);
        if let Some(wal_writer) = &self.wal_writer {
            let unflushed = up_to.bytes_since(self.flushed());
            if unflushed >= self.options.wal_writer_flush_after {
                wal_writer.wake();
            }
        }
    }

    /// Where the last record ends (`pg_current_wal_insert_lsn`).
    #[inline]
    pub fn end(&self) -> Lsn {
        self.core.buffers.end()
    }

    /// Up to where it is in the kernel's hands (`pg_current_wal_lsn`).
    #[inline]
    pub fn written(&self) -> Lsn {
        self.core.buffers.written()
    }

    /// Up to where it is durable (`pg_current_wal_flush_lsn`).
    #[inline]
    pub fn flushed(&self) -> Lsn {
        self.core.group.flushed()
    }

    /// The timeline that is written.
    pub fn timeline(&self) -> Timeline {
        self.core.files.timeline()
    }

    /// Where it was opened.
    pub fn opened_at(&self) -> Lsn {
        self.opened_at
    }

    /// Start of the last record that counts as something that happened; [`Lsn::INVALID`] if there was none since
    /// the log was opened.
    pub fn last_important(&self) -> Lsn {
        self.core.buffers.inserted().last_important
    }

    /// The redo point, and whether images are taken.
    #[inline]
    pub fn page_writes(&self) -> PageWrites {
        self.core.buffers.page_writes()
    }

    /// Moves the redo point to where the next record starts, and gives it. From there on each record has the
    /// images that recovery from this point needs.
    pub fn move_redo_point(&self) -> Lsn {
        self.core.buffers.move_redo_point()
    }

    /// Switches full-page images on or off, and logs that (`full_page_writes`). To be called by one thread at a
    /// time.
    ///
    /// # Errors
    /// If the log is stopped.
    pub fn set_full_page_writes(
        &self,
        inserter: &mut Inserter,
        are_on: bool,
    ) -> Result<(), LogError> {
        if self.page_writes().are_on == are_on {
            return Ok(());
        }
        let record =
            NewRecord { main: &[&[u8::from(are_on)]], ..NewRecord::new(XLOG, xlog::FPW_CHANGE) };
        if are_on {
            self.core.buffers.set_page_writes(true);
            self.insert(inserter, &record)?;
        } else {
            self.insert(inserter, &record)?;
            self.core.buffers.set_page_writes(false);
        }
        Ok(())
    }

    /// Ends the segment: a switch record, zeros to the segment's end, all durable, and the segment ready to be
    /// archived. Nothing where the next record would be a segment's first. Gives where the record ends, or where
    /// the log ends anyway.
    ///
    /// # Errors
    /// If the log is stopped.
    pub fn switch(&self, inserter: &mut Inserter) -> Result<Lsn, LogError> {
        let record = NewRecord { is_important: false, ..NewRecord::new(XLOG, xlog::SWITCH) };
        let mut built = inserter.builder.build(&record, self.page_writes())?;
        match self.core.buffers.switch(&mut inserter.hint, &mut built)? {
            Some(placed) => {
                let size = self.core.files.size();
                let last_byte = Lsn(placed.end.0 - 1);
                self.flush(size.start_of(size.number_of(last_byte) + 1))?;
                Ok(placed.end)
            }
            None => Ok(self.end()),
        }
    }

    /// Makes the next segment ahead, if it is missing; whether it was. The WAL writer does it, too, when a segment is
    /// half full.
    ///
    /// # Errors
    /// If the file cannot be made, which is tried again when it is needed; or if the log is stopped.
    pub fn prepare_next_segment(&self) -> Result<bool, LogError> {
        self.core.prepare_next_segment()
    }

    /// Takes away segments that neither recovery from `oldest_needed` nor `keep_size` needs; uses them again up to
    /// `expected` bytes ahead, or as far as `minimum_size` goes. A segment that is to be archived stays until
    /// it is.
    ///
    /// # Errors
    /// If files cannot be renamed or removed; the log goes on then.
    pub fn remove_old(&self, oldest_needed: Lsn, expected: u64) -> Result<Removal, LogError> {
        let size = self.core.files.size();
        let kept =
            Lsn(oldest_needed.0.min(self.flushed().0.saturating_sub(self.options.keep_size)));
        let first_kept = size.number_of(kept);
        let ahead = expected.max(self.options.minimum_size);
        let last_future = size.number_of(oldest_needed + ahead).max(size.number_of(self.end()) + 1);
        let removal = self.core.files.remove_before(
            first_kept,
            last_future,
            |name| match &self.archiver {
                Some(archiver) => archiver.is_archived(name),
                None => Ok(true),
            },
            |name| match &self.archiver {
                Some(archiver) => archiver.forget(name),
                None => Ok(()),
            },
        );
        removal.map_err(|error| self.core.housekeeping_failed(error))
    }

    /// Archives the full segments and history files that are not archived yet, on this thread; how many. For a log whose
    /// archiver has no thread of its own ([`LogOptions::archives_by_itself`]).
    ///
    /// # Errors
    /// What the first attempt says that fails; the file is tried again by the next call, and the log goes on.
    pub fn archive_ready(&self) -> std::io::Result<u64> {
        self.archiver.as_ref().map_or(Ok(0), Archiver::archive_ready)
    }

    /// What the archiver has done; `None` without one.
    pub fn archive_status(&self) -> Option<ArchiveStatus> {
        self.archiver.as_ref().map(Archiver::status)
    }

    /// What was done since the log was opened.
    pub fn statistics(&self) -> LogStatistics {
        let inserted = self.core.buffers.inserted();
        LogStatistics {
            records: inserted.records,
            images: inserted.images,
            bytes: inserted.bytes,
            buffers_full: self.core.buffers.waits(),
            writes: self.core.calls.writes.load(Relaxed),
            syncs: self.core.calls.syncs.load(Relaxed),
        }
    }

    /// Stops the log for a failure elsewhere: every later call gives an error, and nothing is written any more.
    pub fn stop(&self, why: &str) {
        self.core.buffers.stop(LogError::StoppedFor(why.to_owned()));
    }

    /// # Errors
    /// The error that stopped the log, if one did.
    pub fn check(&self) -> Result<(), LogError> {
        self.core.buffers.check()
    }

    /// Flushes everything, archives what is ready, up to what cannot be, and ends the log's threads.
    ///
    /// # Errors
    /// If the log is stopped.
    pub fn close(mut self) -> Result<(), LogError> {
        let flushed = self.flush(self.end());
        self.wal_writer = None;
        if let Some(archiver) = self.archiver.take() {
            archiver.finish();
        }
        flushed
    }

    /// Overwrites what pages of the log lie behind `next` in its segment, left by a crash: valid by themselves, they
    /// could be taken for the log's when it has come to them.
    fn erase_behind(&self, next: Lsn) -> Result<(), LogError> {
        let files = &self.core.files;
        let size = files.size();
        let number = size.number_of(next);
        let path = files.path(number);
        let file = match files.disk().open_for_writing(&path, Opening::EXISTING) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(LogError::stopped("open", &path, error)),
        };
        let stopped = |doing| move |error| LogError::stopped(doing, &files.path(number), error);
        let mut header = [0; 24];
        let mut has_erased = false;
        let mut page = Lsn(next.0.next_multiple_of(PAGE));
        while size.number_of(page) == number {
            let read = file.read_at(&mut header, size.offset_of(page)).map_err(stopped("read"))?;
            let is_left = PageHeader::read(&header[..read]).map_or_else(
                // A long header does not fit; its address does.
                || header[8..16] == page.0.to_le_bytes(),
                |header| header.address == page,
            );
            if is_left {
                file.write_zeros(size.offset_of(page), PAGE).map_err(stopped("write to"))?;
                has_erased = true;
            }
            page = page + PAGE;
        }
        if has_erased && files.method() != SyncMethod::None {
            file.sync_data().map_err(stopped("sync"))?;
        }
        Ok(())
    }
}

impl Core {
    /// Comes back when everything before `up_to` is durable.
    pub(super) fn flush(&self, up_to: Lsn) -> Result<(), LogError> {
        self.group.flush(up_to, |up_to| self.write_and_sync(up_to, Duration::ZERO))
    }

    /// What the leader of a group does: makes durable what lies before `up_to` and whatever else is copied, after a
    /// delay.
    fn write_and_sync(&self, up_to: Lsn, delay: Duration) -> Result<Lsn, LogError> {
        self.buffers.check()?;
        if !delay.is_zero() {
            base::sync::thread::sleep(delay);
        }
        let (sink, written) = self.buffers.write_out(up_to)?;
        let open = sink.open_segment();
        // Others can write while this one syncs.
        drop(sink);
        if let Some(open) = open.filter(|_| self.files.method().syncs_after_writing()) {
            open.sync(&self.files, &self.calls).map_err(|error| self.buffers.stop(error))?;
        }
        Ok(written)
    }

    pub(super) fn prepare_next_segment(&self) -> Result<bool, LogError> {
        self.buffers.check()?;
        let next = self.files.size().number_of(self.buffers.end()) + 1;
        self.files.make(next).map_err(|error| self.housekeeping_failed(error))
    }

    /// What the log can do without has failed: it goes on, unless that was a sync.
    fn housekeeping_failed(&self, error: LogError) -> LogError {
        match error.goes_on() {
            stops @ LogError::Stopped { .. } => self.buffers.stop(stops),
            goes_on => goes_on,
        }
    }
}

/// Whether the log can go on there.
fn check_end(
    place: &LogPlace,
    options: &LogOptions,
    end: EndOfLog,
    next: Lsn,
) -> Result<(), LogError> {
    let refuse = |reason: &str| Err(LogError::Opening { at: next, reason: reason.to_owned() });
    let layout = super::layout::Layout::new(place.segment_size.bytes());
    let usable = layout.usable_of(next);
    if next.0 < place.segment_size.bytes() {
        return refuse("no log has a first segment; a log begins with segment 1");
    }
    if next.0 >= 1 << 63 {
        return refuse("the position is beyond 80000000/0; it cannot come from a log");
    }
    if layout.end_of(usable) != next && layout.start_of(usable) != next || !next.0.is_multiple_of(8)
    {
        return refuse("no record ends there: it lies in a page header, or is no multiple of 8");
    }
    if end.cut_off.is_some() && !next.0.is_multiple_of(PAGE) {
        return refuse("the page that should continue a record does not start there");
    }
    if end.last_record >= next {
        return refuse("the last record starts behind its end");
    }
    if options.buffer_pages < 4 || options.insertion_slots == 0 {
        return refuse("at least 4 buffer pages and one insertion slot are needed");
    }
    Ok(())
}
