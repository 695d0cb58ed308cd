//! The ways in which a log is read: in order and on threads, whole records, counted, or chosen by relation.
//!
//! Invariant: whatever the log, all ways find what reading in order finds, and stop where it stops.

use std::ops::ControlFlow;

use base::sync::Arc;
use base::{ForkNumber, Lsn, PAGE_SIZE};
use proptest::prelude::*;
use wal::read::parallel::{self, Gather};
use wal::read::{Position, RecordReader, Stop};
use wal::record::{IMAGE_HAS_HOLE, Outline, Record, RecordHeader};
use wal::source::Segments;

use crate::synthetic::{Draft, DraftBlock, DraftImage, MemoryLog};

/// Stretches of `read::parallel` begin at multiples of this.
pub(crate) const STRETCH: u64 = 2 << 20;

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
    pub(crate) draft: Draft,
    pub(crate) bytes: Vec<u8>,
}

impl Seen {
    fn counted(&self) -> Counted {
        let header = RecordHeader::read(self.bytes.first_chunk().expect("a record has a header"));
        let images = self.draft.blocks.iter().filter_map(|block| block.image.as_ref());
        let images = images.map(|image| image.bytes.len() as u32).sum();
        (self.start, self.end, header, images, self.draft.main.len() as u32)
    }

    fn chosen(&self) -> Chosen {
        let mut relation = 0;
        let wanted = self.draft.blocks.iter().filter(|block| {
            relation = block.locator.map_or(relation, |locator| locator.relation);
            is_wanted(relation)
        });
        (self.counted(), wanted.count(), self.bytes.clone())
    }
}

/// All that the reader tells of a record, in the form in which the record was put together.
pub(crate) fn seen(record: &Record<'_>) -> Seen {
    let mut last = None;
    let blocks = record.blocks().iter().map(|block| {
        let relation_named = block.flags & wal::record::BLOCK_SAME_REL == 0;
        assert!(relation_named || last == Some(block.locator), "the same relation");
        last = Some(block.locator);
        assert_eq!(block.fork, ForkNumber::from_number(block.flags & 0x0F).expect("checked"));
        assert_eq!(record.block(block.id), Some(block));
        let both = IMAGE_HAS_HOLE | wal::record::IMAGE_COMPRESSED;
        let written =
            block.image_info & IMAGE_HAS_HOLE != 0 && block.image_info & both != IMAGE_HAS_HOLE;
        if block.has_image() && !written {
            let stored = u16::try_from(PAGE_SIZE).expect("small") - block.image_length;
            let hole = if block.is_compressed() { 0 } else { stored };
            assert_eq!(block.hole_length, hole);
        }
        DraftBlock {
            id: block.id,
            flags: block.flags & 0x4F,
            locator: relation_named.then_some(block.locator),
            block: block.block,
            image: block.has_image().then(|| DraftImage {
                info: block.image_info,
                hole_offset: block.hole_offset,
                hole_length: if written { block.hole_length } else { 0 },
                bytes: record.image_data(block).to_vec(),
            }),
            data: record.block_data(block).to_vec(),
        }
    });
    let draft = Draft {
        rmid: record.rmid(),
        info: record.header().info,
        xid: record.xid(),
        blocks: blocks.collect(),
        origin: record.origin(),
        toplevel_xid: record.toplevel_xid().map(|xid| xid.0),
        main: record.main_data().to_vec(),
        long_main: false,
    };
    Seen { start: record.start(), end: record.end(), draft, bytes: record.bytes().to_vec() }
}

/// How reading a log went, from the first record to the stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<Seen>,
    pub(crate) stop: String,
    pub(crate) position: Position,
    pub(crate) aborted: Option<Lsn>,
}

fn read_in_order(segments: &Arc<dyn Segments>, from: Position, end: Option<Lsn>) -> Outcome {
    let mut reader = RecordReader::new(Arc::clone(segments));
    reader.set_end(end);
    reader.resume(from);
    let mut records = Vec::new();
    let stop = loop {
        match reader.next_record() {
            Ok(record) => records.push(seen(&record)),
            Err(stop) => break stop,
        }
    };
    let (position, aborted) = (reader.position(), reader.aborted_record());
    Outcome { records, stop: format!("{stop:?}: {stop}"), position, aborted }
}

#[derive(Default)]
struct Collector(Vec<Seen>);

impl Gather for Collector {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push(seen(record));
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

fn read_on_threads(
    segments: &Arc<dyn Segments>,
    from: Position,
    end: Option<Lsn>,
    threads: usize,
) -> Outcome {
    let mut records = Vec::new();
    let scan = parallel::scan(segments, from, end, threads, Collector::default, |gathered| {
        records.append(&mut gathered.0);
        ControlFlow::Continue(())
    });
    let stop = scan.stop.map_or_else(|| "none".to_owned(), |stop| format!("{stop:?}: {stop}"));
    Outcome { records, stop, position: scan.position, aborted: scan.aborted_record }
}

/// What who only counts sees of a record: start, end, header, bytes of images and of main data.
type Counted = (Lsn, Lsn, RecordHeader, u32, u32);

fn counted(outline: &Outline) -> Counted {
    let Outline { start, end, header, image_length, main_data_length } = *outline;
    (start, end, header, image_length, main_data_length)
}

#[derive(Default)]
struct Counter(Vec<Counted>);

impl Gather for Counter {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push(counted(&record.outline()));
    }

    fn read_from(&mut self, reader: &mut RecordReader) -> Result<Lsn, Stop> {
        reader.next_outlines(|outline| self.0.push(counted(outline)))
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// What who chooses by relation sees: with it how many block references are wanted, and the record's bytes.
type Chosen = (Counted, usize, Vec<u8>);

fn is_wanted(relation: u32) -> bool {
    relation.is_multiple_of(2)
}

#[derive(Default)]
struct Chooser(Vec<Chosen>);

impl Gather for Chooser {
    const STRETCH: u64 = STRETCH / 16;

    fn record(&mut self, _: &Record<'_>) {
        unreachable!("it reads otherwise");
    }

    fn read_from(&mut self, reader: &mut RecordReader) -> Result<Lsn, Stop> {
        reader.next_choices(
            |block| is_wanted(block.locator.relation),
            |outline, wanted, bytes| self.0.push((counted(outline), wanted, bytes.to_vec())),
        )
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Gathers on threads; what was gathered must be `expected`, and the end that of reading in order.
fn assert_gathers<G: Gather + Default, T: PartialEq + std::fmt::Debug>(
    log: (&Arc<dyn Segments>, Position, Option<Lsn>),
    threads: usize,
    gathered: fn(&mut G) -> &mut Vec<T>,
    expected: Vec<T>,
    in_order: &Outcome,
) -> Result<(), TestCaseError> {
    let (segments, from, end) = log;
    let mut found = Vec::new();
    let scan = parallel::scan(segments, from, end, threads, G::default, |part| {
        found.append(gathered(part));
        ControlFlow::Continue(())
    });
    let stop = scan.stop.map_or_else(|| "none".to_owned(), |stop| format!("{stop:?}: {stop}"));
    prop_assert_eq!(&stop, &in_order.stop, "on {} threads", threads);
    prop_assert_eq!(scan.position, in_order.position, "on {} threads", threads);
    prop_assert_eq!(found.len(), expected.len(), "on {} threads", threads);
    let difference = found.iter().zip(&expected).find(|(one, other)| one != other);
    prop_assert!(difference.is_none(), "on {} threads: {:?}", threads, difference);
    Ok(())
}

/// Compares without printing megabytes where they differ.
fn assert_same(one: &Outcome, other: &Outcome, what: &str) -> Result<(), TestCaseError> {
    let end = |outcome: &Outcome| {
        let Outcome { records, stop, position, aborted } = outcome.clone();
        (records.len(), records.last().map(|seen| seen.start), stop, position, aborted)
    };
    prop_assert_eq!(end(one), end(other), "{}", what);
    let difference = one.records.iter().zip(&other.records).find(|(one, other)| one != other);
    prop_assert!(difference.is_none(), "{}: {:?}", what, difference);
    Ok(())
}

pub(crate) fn assert_all_ways_agree(
    log: &MemoryLog,
    from: Position,
    end: Option<Lsn>,
) -> Result<Outcome, TestCaseError> {
    let segments = log.shared();
    let in_order = read_in_order(&segments, from, end);
    for threads in 1..=3 {
        let parallel = read_on_threads(&segments, from, end, threads);
        assert_same(&in_order, &parallel, &format!("on {threads} threads"))?;
        let counted = in_order.records.iter().map(Seen::counted).collect();
        let chosen = in_order.records.iter().map(Seen::chosen).collect();
        let log = (&segments, from, end);
        assert_gathers(log, threads, |part: &mut Counter| &mut part.0, counted, &in_order)?;
        assert_gathers(log, threads, |part: &mut Chooser| &mut part.0, chosen, &in_order)?;
    }
    Ok(in_order)
}
