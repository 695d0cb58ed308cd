//! The records of a stretch of log that pass a filter: what rows are made of, or only how many there are.
//!
//! Where rows are records, all that needs no function of the server is made here, on whichever thread reads: texts that
//! are ASCII and have no time in them. Of the rest, and where rows are blocks, the record itself is kept and decoded once
//! more by the backend.
//!
//! Invariant: a batch of one stretch is bounded by its length: records are copied as they are in the log, or described
//! in a few hundred bytes.

use base::Lsn;
use base::sync::Arc;
use pgrx::pg_sys::Datum;
use wal::line::push_full_references;
use wal::read::parallel::Gather;
use wal::read::{RecordReader, Stop};
use wal::record::{Outline, RawRecord, RecordHeader};
use wal::text::Text;
use wal::{Record, Version};

use super::arena::Arena;
use super::column::{Column, Form};
use super::condition::Filter;
use crate::read_ahead::Part;

/// What is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// How many rows pass: no column is asked for.
    Count,
    /// The records, whole.
    Records,
    /// Rows of records, with these texts.
    Rows { description: bool, block_references: bool },
}

/// Where a text of a row is in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made(u32);

impl Made {
    /// Nobody asked for it, or only the backend can make it: the record is kept.
    const NOT: Made = Made(u32::MAX);
    /// NULL.
    const NULL: Made = Made(u32::MAX - 1);
}

/// A record in a batch. There are many, and threads fill several batches at once: it is as small as can be.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: Lsn,
    header: RecordHeader,
    /// From its start to its end.
    distance: u32,
    main_data_length: u32,
    image_length: u32,
    /// Where its bytes begin in [`Batch::bytes`], if they are kept.
    at: u32,
    description: Made,
    block_references: Made,
}

const _: () = assert!(size_of::<Place>() == 56);

impl Place {
    /// Of a record whose bytes, if they are kept, begin at `at`; without texts.
    #[inline]
    fn of(outline: &Outline, at: u32) -> Place {
        Place {
            start: outline.start,
            header: outline.header,
            distance: small(outline.end.bytes_since(outline.start) as usize),
            main_data_length: outline.main_data_length,
            image_length: outline.image_length,
            at,
            description: Made::NOT,
            block_references: Made::NOT,
        }
    }
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
    texts: Arena,
    /// What a text is written in before it is known whether it will do.
    scratch: Text,
    looked_at: LookedAt,
}

/// The records that were looked at.
#[derive(Debug, Default)]
struct LookedAt {
    count: u64,
    /// Where the first and the last of them started, and where the last ended.
    first: Lsn,
    last: Lsn,
    end: Lsn,
}

impl LookedAt {
    #[inline]
    fn add(&mut self, start: Lsn, end: Lsn) {
        if self.count == 0 {
            self.first = start;
        }
        self.count += 1;
        self.last = start;
        self.end = end;
    }
}

impl Batch {
    pub(crate) fn new(filter: Arc<Filter>, kept: Kept) -> Batch {
        let (places, bytes, texts) = (vec![], vec![], Arena::default());
        // A byte that no text has: the backend, which knows the session's time zone, then makes the text.
        let scratch = Text::with_times(|_, out| out.push(0));
        Batch {
            filter,
            kept,
            rows: 0,
            places,
            bytes,
            texts,
            scratch,
            looked_at: LookedAt::default(),
        }
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
        self.looked_at.count
    }

    /// How many bytes of log they take.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.looked_at.end.bytes_since(self.looked_at.first)
    }

    /// How many records are in it: none if they were only counted.
    pub(crate) fn records(&self) -> usize {
        self.places.len()
    }

    /// One of them, from 0.
    #[inline]
    pub(crate) fn row(&self, index: usize) -> RecordRow<'_> {
        RecordRow { place: &self.places[index], batch: self }
    }

    fn keep(&mut self, record: &Record<'_>) {
        let (mut description, mut block_references) = (Made::NOT, Made::NOT);
        let mut is_whole = self.kept == Kept::Records;
        if let Kept::Rows { description: describe, block_references: refer } = self.kept {
            if describe {
                description = self.make(record.version(), |text| record.describe(text));
                is_whole |= description == Made::NOT;
            }
            if refer {
                block_references =
                    self.make(record.version(), |text| push_full_references(record, text));
                is_whole |= block_references == Made::NOT;
            }
        }
        let at = small(self.bytes.len());
        if is_whole {
            self.bytes.extend_from_slice(record.bytes());
        }
        self.places.push(Place {
            description,
            block_references,
            ..Place::of(&record.outline(), at)
        });
    }

    #[inline]
    fn make(&mut self, version: Version, push: impl FnOnce(&mut Text)) -> Made {
        self.scratch.clear();
        push(&mut self.scratch);
        let text = self.scratch.as_bytes();
        if is_null(text, version) {
            return Made::NULL;
        }
        if !text.is_ascii() || text.contains(&0) {
            return Made::NOT;
        }
        self.texts.put(text).map_or(Made::NOT, |at| Made(small(at)))
    }
}

/// A stretch of 2 MiB and a record, of which the last is at most 1 GB, are less than 4 GB in every form.
#[inline]
fn small(length: usize) -> u32 {
    u32::try_from(length).expect("less than 4 GB")
}

/// Whether a text column is NULL: 15 gives an empty text where later versions give NULL.
#[inline]
pub(crate) fn is_null(text: &[u8], version: Version) -> bool {
    text.is_empty() && version != Version::V15
}

/// A record of a batch, as a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordRow<'a> {
    place: &'a Place,
    batch: &'a Batch,
}

impl<'a> RecordRow<'a> {
    /// The log's version.
    #[inline]
    pub(crate) fn version(&self) -> Version {
        self.batch.filter.version()
    }

    /// Id of its resource manager.
    #[inline]
    pub(crate) fn rmid(&self) -> u8 {
        self.place.header.rmid
    }

    /// The resource manager's half of the info byte.
    #[inline]
    pub(crate) fn info(&self) -> u8 {
        self.place.header.info & 0xF0
    }

    /// A numeric column.
    #[inline]
    pub(crate) fn number(&self, column: Column) -> u64 {
        let place = self.place;
        match column {
            Column::StartLsn => place.start.0,
            Column::EndLsn => place.start.0 + u64::from(place.distance),
            Column::PrevLsn => place.header.previous.0,
            Column::Xid => place.header.xid.0.into(),
            Column::RecordLength => place.header.total_length.into(),
            Column::MainDataLength => place.main_data_length.into(),
            Column::FpiLength => place.image_length.into(),
            _ => unreachable!("{} is no number of a record", column.name()),
        }
    }

    /// A text column, `Some(None)` for NULL; `None` if it is to be made of the record. The value is good as long as the
    /// batch is.
    #[inline]
    pub(crate) fn text(&self, column: Column) -> Option<Option<Datum>> {
        let made = match column {
            Column::Description => self.place.description,
            _ => self.place.block_references,
        };
        match made {
            Made::NOT => None,
            Made::NULL => Some(None),
            Made(at) => Some(Some(self.batch.texts.datum(at as usize))),
        }
    }

    /// The record as it is in the log, which is kept unless rows with all their texts are.
    #[inline]
    pub(crate) fn record(&self) -> RawRecord<'a> {
        let Place { start, header, distance, at, .. } = *self.place;
        let end = start + u64::from(distance);
        let bytes = &self.batch.bytes[at as usize..][..header.total_length as usize];
        RawRecord { version: self.version(), start, end, header, bytes }
    }
}

impl Gather for Batch {
    // So that a backend stays far under 64 MB: a stretch of the smallest records is 2.5 MB of rows.
    const STRETCH: u64 = 1024 * 1024;
    const AHEAD: u64 = 2;

    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        self.looked_at.add(record.start(), record.end());
        let rows = self.filter.count(record);
        if rows == 0 {
            return;
        }
        self.rows += rows as u64;
        if self.kept != Kept::Count {
            self.keep(record);
        }
    }

    fn read_from(&mut self, reader: &mut RecordReader) -> Result<Lsn, Stop> {
        let Batch { filter, kept, rows, places, bytes, looked_at, .. } = self;
        match (filter.form(), *kept) {
            (Form::Record, Kept::Count) => reader.next_outlines(|outline| {
                looked_at.add(outline.start, outline.end);
                *rows += u64::from(filter.passes(outline));
            }),
            (Form::Block, _) => reader.next_choices(
                |block| filter.passes_block(block),
                |outline, blocks, record| {
                    looked_at.add(outline.start, outline.end);
                    if blocks == 0 || !filter.passes(outline) {
                        return;
                    }
                    *rows += blocks as u64;
                    if *kept == Kept::Records {
                        places.push(Place::of(outline, small(bytes.len())));
                        bytes.extend_from_slice(record);
                    }
                },
            ),
            (Form::Record, _) => {
                let record = reader.next_record()?;
                self.record(&record);
                Ok(record.previous())
            }
        }
    }

    fn clear(&mut self) {
        self.rows = 0;
        self.looked_at = LookedAt::default();
        self.places.clear();
        self.bytes.clear();
        self.texts.clear();
    }
}

impl Part for Batch {
    fn empty(&self) -> Batch {
        Batch::new(Arc::clone(&self.filter), self.kept)
    }

    fn is_last(&self) -> bool {
        self.looked_at.last > self.filter.highest_start()
    }
}

impl Kept {
    /// What rows with these columns are made of.
    pub(crate) fn of(form: Form, columns: &[(usize, Column)]) -> Kept {
        let has = |wanted| columns.iter().any(|(_, column)| *column == wanted);
        match form {
            _ if columns.is_empty() => Kept::Count,
            Form::Block => Kept::Records,
            Form::Record => Kept::Rows {
                description: has(Column::Description),
                block_references: has(Column::BlockRef),
            },
        }
    }
}
