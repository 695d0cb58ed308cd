//! Running a scan of a log: rows one by one, from batches of records.
//!
//! ```text
//! Begin ──► (first row) conditions' values, log opened ──► Here ──► Ahead ──► Over
//!                 ▲                                          │ every batch: is the query cancelled?
//!                 └── rescan: values anew, the same log ─────┘
//! ```
//!
//! A scan starts by reading in the backend itself, a few records at first: who wants ten rows gets them without a thread.
//! When it has read [`HERE_AT_MOST`] bytes and is not near its end, other threads read on ([`crate::read_ahead`]), as many as
//! `max_parallel_workers_per_gather` allows. The records, their order, and where the scan ends do not depend on that.
//!
//! Invariants: the log's end is that of the first time it was opened, also for rescans, so that one query sees one log; what
//! a query no longer needs is not read; everything that a scan holds (files, threads, memory) goes with the query's memory
//! context, however the query ends.

use base::sync::Arc;
use base::{Lsn, PAGE_SIZE};
use pgrx::pg_sys;
use wal::read::parallel::Gather as _;
use wal::record::Decoder;

use super::batch::{Batch, Kept};
use super::column::{Column, Form};
use super::condition::{Comparand, Filter, Operator};
use super::options::check_may_read_files;
use super::row::RowBuilder;
use super::table::Table;
use crate::error::SqlError;
use crate::ffi::slot::Slot;
use crate::log::{OpenLog, Records};
use crate::read_ahead::{self, Next, Part as _, ReadAhead, Task, WORTH_THREADS};
use crate::server;

/// Bytes of log after which other threads read on.
const HERE_AT_MOST: u64 = 2 * 1024 * 1024;
/// Bytes of log after which a batch is handed on, however few rows it has: some milliseconds at most.
const BATCH_BYTES: u64 = 512 * 1024;
/// Rows of the first batch, and of the largest.
const FIRST_ROWS: u64 = 16;
const MOST_ROWS: u64 = 4096;

/// What the scan was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) table: Table,
    /// The columns that the query wants, each with its place in the slot.
    pub(crate) columns: Vec<(usize, Column)>,
    pub(crate) conditions: Vec<(Column, Operator)>,
    /// Who reads.
    pub(crate) user: pg_sys::Oid,
}

/// What a scan has done, in all its rescans.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    /// Records that were looked at.
    pub(crate) records: u64,
    /// The bytes of log that they take.
    pub(crate) bytes: u64,
    /// The most threads that read on at once.
    pub(crate) threads: usize,
}

/// A scan.
#[derive(Debug)]
pub(crate) struct Scan {
    asked: Asked,
    kept: Kept,
    log: Option<OpenLog>,
    reading: Reading,
    /// The records that rows are made of.
    batch: Option<Batch>,
    /// The next record in the batch and, where rows are of blocks, the next of its blocks; of counted rows, how many have
    /// been handed out.
    next: u64,
    next_block: usize,
    decoder: Decoder,
    row: RowBuilder,
    slot: Slot,
    pub(crate) counters: Counters,
}

/// Where records come from.
#[derive(Debug)]
enum Reading {
    /// Nothing has been read.
    ToBegin,
    /// Read in the backend itself.
    Here(Box<Here>),
    /// Read on other threads.
    Ahead(ReadAhead<Batch>),
    /// No more are wanted, or there.
    Over,
}

#[derive(Debug)]
struct Here {
    filter: Arc<Filter>,
    records: Records,
    /// Where reading began.
    from: Lsn,
    /// How many rows the next batch shall have.
    rows_wanted: u64,
}

impl Scan {
    /// Begins; nothing is opened yet. `context` lives as long as the scan.
    pub(crate) fn new(asked: Asked, slot: Slot, context: pg_sys::MemoryContext) -> Scan {
        let row = RowBuilder::new(asked.columns.clone(), context);
        let kept = Kept::of(asked.table.options.form, &asked.columns);
        Scan {
            asked,
            kept,
            log: None,
            reading: Reading::ToBegin,
            batch: None,
            next: 0,
            next_block: 0,
            decoder: Decoder::default(),
            row,
            slot,
            counters: Counters::default(),
        }
    }

    /// Back to before the first row; the values of conditions may be others.
    pub(crate) fn restart(&mut self) {
        self.reading = Reading::ToBegin;
        // Its values may be the batch's.
        self.slot.clear();
        self.batch = None;
        self.next = 0;
        self.next_block = 0;
    }

    /// The next row's slot, which is empty behind the last row. `values` gives the conditions' values, once after each
    /// start.
    #[inline]
    pub(crate) fn next_row(
        &mut self,
        values: impl FnOnce() -> Vec<Comparand>,
    ) -> Result<*mut pg_sys::TupleTableSlot, SqlError> {
        if matches!(self.reading, Reading::ToBegin) {
            self.begin(&values())?;
        }
        loop {
            if let Some(batch) = &self.batch {
                if self.row.is_empty() {
                    if self.next < batch.rows() {
                        self.next += 1;
                        self.slot.begin();
                        return Ok(self.slot.store());
                    }
                } else if self.fill_next()? {
                    return Ok(self.slot.store());
                }
            }
            if !self.fetch()? {
                return Ok(self.slot.clear());
            }
        }
    }

    /// Fills the slot with the next row of the batch; false if there is none.
    #[inline]
    fn fill_next(&mut self) -> Result<bool, SqlError> {
        let Some(batch) = &self.batch else { return Ok(false) };
        while (self.next as usize) < batch.records() {
            let row = batch.row(self.next as usize);
            if batch.filter().form() == Form::Record {
                self.next += 1;
                self.slot.begin();
                self.row.fill(row, &mut self.decoder, &mut self.slot)?;
                return Ok(true);
            }
            // Decoded once before, so this does not fail.
            let record = self.decoder.decode(row.record(), row.record().start)?;
            while let Some(block) = record.blocks().get(self.next_block) {
                self.next_block += 1;
                if batch.filter().passes_block(block) {
                    self.slot.begin();
                    self.row.fill_block(&record, block, &mut self.slot)?;
                    return Ok(true);
                }
            }
            self.next += 1;
            self.next_block = 0;
        }
        Ok(false)
    }

    /// Brings the next batch, which may have no rows; false behind the last.
    fn fetch(&mut self) -> Result<bool, SqlError> {
        server::check_for_interrupts();
        self.next = 0;
        self.next_block = 0;
        let worked_off = self.batch.take();
        match &mut self.reading {
            Reading::ToBegin | Reading::Over => return Ok(false),
            Reading::Here(here) => {
                let mut batch =
                    worked_off.unwrap_or_else(|| Batch::new(Arc::clone(&here.filter), self.kept));
                batch.clear();
                let is_over = here.read(&mut batch)?;
                self.counters.count(&batch);
                if is_over {
                    self.reading = Reading::Over;
                } else if here.records.position().next.bytes_since(here.from) >= HERE_AT_MOST {
                    self.hand_to_threads();
                }
                self.batch = Some(batch);
            }
            Reading::Ahead(threads) => {
                if let Some(batch) = worked_off {
                    threads.give_back(batch);
                }
                match threads.next() {
                    Next::Part(batch) => {
                        self.counters.count(&batch);
                        self.batch = Some(batch);
                    }
                    Next::Waiting => {}
                    Next::End(end) => {
                        self.reading = Reading::Over;
                        let log = self.log.as_ref().expect("a scan that reads has a log");
                        if let Some(stop) = end.stop
                            && !log.is_end(&stop, end.aborted_record.is_some())
                        {
                            return Err(log.error(&stop, end.position.next));
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    fn begin(&mut self, values: &[Comparand]) -> Result<(), SqlError> {
        if self.log.is_none() {
            self.log = Some(self.open()?);
        }
        let log = self.log.as_ref().expect("just opened");
        let mut filter = Filter::new(self.asked.table.options.form, log.version());
        for ((column, operator), value) in self.asked.conditions.iter().zip(values) {
            filter.add(*column, *operator, value);
        }
        self.reading = Reading::Over;
        let Some(oldest) = log.oldest() else { return Ok(()) };
        if filter.is_nothing() {
            return Ok(());
        }
        let mut from = filter.lowest_start().max(oldest);
        if filter.lowest_end() > from {
            from = before_end(log, filter.lowest_end(), from)?;
        }
        if from > filter.highest_start() || log.end().is_some_and(|end| from >= end) {
            return Ok(());
        }
        let records = log.records(from)?;
        let filter = Arc::new(filter);
        let from = records.position().next;
        let here = Here { filter, records, from, rows_wanted: FIRST_ROWS };
        self.reading = Reading::Here(Box::new(here));
        Ok(())
    }

    fn open(&self) -> Result<OpenLog, SqlError> {
        let options = &self.asked.table.options;
        match &options.directory {
            None => OpenLog::of_server(options.timeline),
            Some(directory) => {
                check_may_read_files(self.asked.user)?;
                OpenLog::of_directory(directory, options.timeline)
            }
        }
    }

    /// Lets other threads read on, where that is worth it and possible.
    fn hand_to_threads(&mut self) {
        let (Reading::Here(here), Some(log)) = (&self.reading, &self.log) else { return };
        let from = here.records.position();
        let filter = Arc::clone(&here.filter);
        let threads = read_ahead::threads();
        let last = log.end().unwrap_or(Lsn(u64::MAX)).min(filter.highest_start());
        if threads == 0 || last.bytes_since(from.next) < WORTH_THREADS {
            return;
        }
        let like = Batch::new(filter, self.kept);
        let task = Task { segments: log.segments(), from, end: log.end(), like, threads };
        // Where the system has no more threads to give, reading goes on here.
        if let Ok(read_ahead) = ReadAhead::start(task) {
            self.counters.threads = self.counters.threads.max(threads);
            self.reading = Reading::Ahead(read_ahead);
        }
    }
}

impl Here {
    /// Reads until the batch has rows enough, or a stretch of log is read. True if that was the last of it.
    fn read(&mut self, batch: &mut Batch) -> Result<bool, SqlError> {
        let until = self.records.position().next.0.saturating_add(BATCH_BYTES);
        let highest = self.filter.highest_start();
        while batch.rows() < self.rows_wanted && self.records.position().next.0 < until {
            if !self.records.gather(batch)? || batch.is_last() {
                return Ok(true);
            }
        }
        self.rows_wanted = (self.rows_wanted * 2).min(MOST_ROWS);
        Ok(self.records.position().next > highest)
    }
}

impl Counters {
    fn count(&mut self, batch: &Batch) {
        self.records += batch.records_read();
        self.bytes += batch.bytes_read();
    }
}

/// A position at or behind `lowest` from which reading finds every record that ends at `end` or later: a record starts
/// there, or behind it, before `end`. Steps back get longer, since one record may be as long as many segments.
fn before_end(log: &OpenLog, end: Lsn, lowest: Lsn) -> Result<Lsn, SqlError> {
    let mut at = Lsn(end.0 - 1).page_start();
    let mut step = PAGE_SIZE as u64;
    loop {
        if at <= lowest {
            return Ok(lowest);
        }
        if log.end().is_none_or(|end| at < end) {
            let records = log.records(at)?;
            if !records.has_ended() && records.position().next < end {
                return Ok(at);
            }
        }
        at = Lsn(at.0.saturating_sub(step)).max(lowest);
        step = step.saturating_mul(2);
    }
}
