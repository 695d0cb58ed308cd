//! Reserving a place in the log: one chain, and no flush passes unwritten bytes.
//!
//! Pages have 64 bytes and segments four pages, so that a few records cross pages. What is written out goes to
//! memory, and is read as a log at the end. That nobody reads a byte which is not written, or being written, is
//! loom's own check: each eight bytes of the buffers are a cell.

use base::sync::{Arc, thread};
use base::{ForkNumber, Lsn, PAGE_SIZE, RelFileLocator};
use wal::crc;
use wal::record::{HEADER_SIZE, RecordHeader};
use wal::write::{
    Beginning, Buffers, Builder, ImageChoice, LogError, NewBlock, NewRecord, PageWrites, Placed,
    Sink,
};

use crate::Model;

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "log_insert::flush",
        property: "of the log only what is copied is flushed, each record once, in one chain",
        preemptions: Some(3),
        variants: &[
            "log.reserve",
            "log.end-seen",
            "log.slot-finished",
            "log.slot-seen",
            "log.reserve-before-slot",
            "log.slots-before-end",
            "log.header-not-shown",
        ],
        run: flush,
    },
    Model {
        name: "log_insert::one_slot",
        property: "the same with a slot that one inserter takes over from another",
        preemptions: Some(2),
        variants: &["log.slot-taken", "log.slot-advanced"],
        run: one_slot,
    },
    Model {
        name: "log_insert::long",
        property: "the same with records whose link does not fit into the word",
        preemptions: Some(2),
        variants: &["log.unlock", "log.end-seen"],
        run: long,
    },
    Model {
        name: "log_insert::redo_point",
        property: "no record behind the redo point was built for an earlier one",
        preemptions: None,
        variants: &["log.epoch-stands"],
        run: redo_point,
    },
];

const PAGE: usize = 64;
const SEGMENT: u64 = 4 * PAGE as u64;
pub(super) const START: Lsn = Lsn(SEGMENT);

/// A file in memory.
#[derive(Debug, Default)]
pub(super) struct File(Vec<u8>);

impl Sink for File {
    fn write(&mut self, at: Lsn, pieces: [&[u8]; 2]) -> Result<(), LogError> {
        assert_eq!(at.0, START.0 + self.0.len() as u64, "nothing is written twice or left out");
        pieces.iter().for_each(|piece| self.0.extend_from_slice(piece));
        Ok(())
    }
}

pub(super) fn buffers(pages: u64, slots: usize) -> Arc<Buffers<File>> {
    let beginning = Beginning {
        segment: SEGMENT,
        next: START,
        previous: Lsn(77),
        writes: PageWrites { redo: Lsn::INVALID, are_on: true },
        timeline: 1,
        system_identifier: 5,
        overwrites: false,
        pages,
        slots,
    };
    Arc::new(Buffers::new(&beginning, File::default()))
}

/// Inserts a record with so many bytes of main data.
pub(super) fn insert(buffers: &Buffers<File>, hint: usize, byte: u8, length: usize) -> Placed {
    let main = vec![byte; length];
    let (mut builder, mut hint) = (Builder::default(), hint);
    let record = NewRecord { main: &[&main], ..NewRecord::new(130, 0) };
    let mut built = builder.build(&record, buffers.page_writes()).expect("a legal record");
    buffers.insert(&mut hint, &mut built).expect("the log goes on").expect("it has no page")
}

/// Writes out what is finished, if there is something.
fn flush_finished(buffers: &Buffers<File>) {
    let finished = buffers.finished();
    if finished > START {
        drop(buffers.write_out(finished).expect("the log goes on"));
    }
}

/// Writes out the rest, and reads the log: exactly these records, in one chain.
pub(super) fn check(buffers: &Buffers<File>, placed: &[Placed]) {
    let end = buffers.end();
    let (file, written) = buffers.write_out(end).expect("the log goes on");
    assert_eq!(written, end);
    let mut usable = Vec::new();
    let mut positions = Vec::new();
    for (number, page) in file.0.chunks(PAGE).enumerate() {
        let header = if number % 4 == 0 { 40 } else { 24 };
        assert_eq!(
            u64::from_le_bytes(page[8..16].try_into().expect("8")),
            START.0 + (number * PAGE) as u64
        );
        positions.extend((header..page.len()).map(|at| START + (number * PAGE + at) as u64));
        usable.extend_from_slice(&page[header..]);
    }
    let (mut at, mut previous, mut starts) = (0, Lsn(77), Vec::new());
    while at < usable.len() {
        let header = RecordHeader::read(usable[at..].first_chunk().expect("a header"));
        let record = &usable[at..at + header.total_length as usize];
        assert_eq!(header.previous, previous, "one chain");
        let sum = crc::append(crc::crc32c(&record[HEADER_SIZE..]), &record[..HEADER_SIZE - 4]);
        assert_eq!(header.crc, sum);
        previous = positions[at];
        starts.push(positions[at]);
        at += record.len().next_multiple_of(8);
    }
    let mut expected: Vec<Lsn> = placed.iter().map(|placed| placed.start).collect();
    expected.sort_unstable();
    assert_eq!(starts, expected, "each record once");
}

/// Two inserters and a flusher.
fn two_and_a_flusher(slots: usize, lengths: [usize; 2]) {
    let buffers = buffers(4, slots);
    let other = {
        let buffers = Arc::clone(&buffers);
        thread::spawn(move || insert(&buffers, 0, 1, lengths[0]))
    };
    let flusher = {
        let buffers = Arc::clone(&buffers);
        thread::spawn(move || flush_finished(&buffers))
    };
    let mine = insert(&buffers, 1, 2, lengths[1]);
    let others = other.join().expect("the other ends");
    flusher.join().expect("the flusher ends");
    check(&buffers, &[mine, others]);
}

fn flush() {
    two_and_a_flusher(2, [0, 0]);
}

fn one_slot() {
    two_and_a_flusher(1, [0, 0]);
}

/// A record of 24 bytes and one of 56.
fn long() {
    two_and_a_flusher(2, [0, 30]);
}

/// A page that needs no image for the old redo point and one for the new.
fn redo_point() {
    let buffers = buffers(4, 2);
    let mover = {
        let buffers = Arc::clone(&buffers);
        thread::spawn(move || buffers.move_redo_point())
    };
    let mut page = Box::new([0; PAGE_SIZE]);
    page[4] = 9; // its LSN
    let locator = RelFileLocator { tablespace: 1, database: 2, relation: 3 };
    let blocks = [NewBlock {
        page: Some(&page),
        image: ImageChoice::IfOlder,
        ..NewBlock::new(0, locator, ForkNumber::Main, 4)
    }];
    let record = NewRecord { blocks: &blocks, ..NewRecord::new(130, 0) };
    let mut builder = Builder::default();
    let old = PageWrites { redo: Lsn::INVALID, are_on: true };
    let mut built = builder.build(&record, old).expect("a legal record");
    let placed = buffers.insert(&mut 0, &mut built).expect("the log goes on");
    let redo = mover.join().expect("the mover ends");
    if let Some(placed) = placed {
        assert!(placed.start < redo, "{} is not before {redo}", placed.start);
        check(&buffers, &[placed]);
    }
}
