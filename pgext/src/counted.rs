//! Records counted by type, here or on other threads.
//!
//! Invariant: threads decide how fast, and nothing else.

use base::Lsn;
use wal::Record;
use wal::read::parallel::Gather;
use wal::read::{RecordReader, Stop};
use wal::record::Outline;
use wal::stats::Statistics;

use crate::read_ahead::Part;

/// What is counted of the records that end at or before a position.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) statistics: Statistics,
    end: Lsn,
    is_beyond: bool,
}

impl Counted {
    /// Of no record yet.
    pub(crate) fn up_to(end: Lsn) -> Counted {
        Counted { statistics: Statistics::default(), end, is_beyond: false }
    }

    /// Whether a record was read that ends behind the position.
    pub(crate) fn is_beyond(&self) -> bool {
        self.is_beyond
    }

    #[inline]
    fn outline(&mut self, outline: &Outline) {
        self.is_beyond |= outline.end > self.end;
        if !self.is_beyond {
            self.statistics.add_outline(outline);
        }
    }
}

impl Gather for Counted {
    // What is gathered is small however long a stretch is, and each wakes the threads that wait for it.
    const STRETCH: u64 = 4 * 1024 * 1024;

    fn record(&mut self, record: &Record<'_>) {
        self.outline(&record.outline());
    }

    fn read_from(&mut self, reader: &mut RecordReader) -> Result<Lsn, Stop> {
        reader.next_outlines(|outline| self.outline(outline))
    }

    fn clear(&mut self) {
        self.statistics.clear();
        self.is_beyond = false;
    }
}

impl Part for Counted {
    fn empty(&self) -> Counted {
        Counted::up_to(self.end)
    }

    fn is_last(&self) -> bool {
        self.is_beyond
    }
}
