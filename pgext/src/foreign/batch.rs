//! The records of a stretch of log that pass a filter, copied, or only counted.
//!
//! Invariant: a batch of one stretch is bounded by its length: records are copied as they are in the log, and described
//! only when their row is asked for.

use base::Lsn;
use base::sync::Arc;
use wal::Record;
use wal::read::parallel::Gather;
use wal::record::{HEADER_SIZE, RawRecord, RecordHeader};

use super::condition::Filter;

/// What is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// How many rows pass: no column is asked for.
    Count,
    /// The records.
    Records,
}

/// A record in a batch.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: Lsn,
    end: Lsn,
    /// Where its bytes begin in [`Batch::bytes`].
    at: usize,
}

/// Records, in log order.
#[derive(Debug)]
pub(crate) struct Batch {
    filter: Arc<Filter>,
    kept: Kept,
    /// How many rows pass.
    rows: u64,
    places: Vec<Place>,
    bytes: Vec<u8>,
    /// Records that were looked at.
    records_read: u64,
    /// Where the first and the last of them started, and where the last ended.
    first: Lsn,
    last: Lsn,
    end: Lsn,
}

impl Batch {
    pub(crate) fn new(filter: Arc<Filter>, kept: Kept) -> Batch {
        let (first, last, end) = (Lsn::INVALID, Lsn::INVALID, Lsn::INVALID);
        let (places, bytes) = (vec![], vec![]);
        Batch { filter, kept, rows: 0, places, bytes, records_read: 0, first, last, end }
    }

    /// What passes.
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// How many rows pass.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many records were looked at.
    pub(crate) fn records_read(&self) -> u64 {
        self.records_read
    }

    /// Where the last of them started.
    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    /// How many bytes of log they take.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.end.bytes_since(self.first)
    }

    /// How many records are in it: none if they were only counted.
    pub(crate) fn records(&self) -> usize {
        self.places.len()
    }

    /// One of them, from 0.
    #[inline]
    pub(crate) fn record(&self, index: usize) -> RawRecord<'_> {
        let Place { start, end, at } = self.places[index];
        let header = &self.bytes[at..];
        let header = RecordHeader::read(header.first_chunk::<HEADER_SIZE>().expect("a record"));
        let bytes = &self.bytes[at..at + header.total_length as usize];
        RawRecord { version: self.filter.version(), start, end, header, bytes }
    }
}

impl Gather for Batch {
    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        if self.records_read == 0 {
            self.first = record.start();
        }
        self.records_read += 1;
        self.last = record.start();
        self.end = record.end();
        let rows = self.filter.count(record);
        if rows == 0 {
            return;
        }
        self.rows += rows as u64;
        if self.kept == Kept::Records {
            let at = self.bytes.len();
            self.places.push(Place { start: record.start(), end: record.end(), at });
            self.bytes.extend_from_slice(record.bytes());
        }
    }

    fn clear(&mut self) {
        self.rows = 0;
        self.records_read = 0;
        (self.first, self.last, self.end) = (Lsn::INVALID, Lsn::INVALID, Lsn::INVALID);
        self.places.clear();
        self.bytes.clear();
    }
}
