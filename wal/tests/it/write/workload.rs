//! A log in a temporary directory, records whose content tells who wrote them, and two readers of the
//! result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::disk::{Disk, RealDisk};
use base::sync::{Arc, thread};
use base::{ForkNumber, FullXid, Lsn, Oid, PAGE_SIZE, RelFileLocator, TimestampTz, UnixTime, Xid};
use tempfile::TempDir;
use wal::checkpoint::CheckPoint;
use wal::image;
use wal::line::{BlockDetail, push_line};
use wal::read::{RecordReader, Stop};
use wal::segment::{SegmentSize, Timeline};
use wal::source::{self, Segments};
use wal::text::{Dialect, Text};
use wal::write::{
    EndOfLog, ImageChoice, Inserter, Log, LogOptions, LogPlace, NewBlock, NewRecord, PageWrites,
    Placed,
};

use super::disk::TestDisk;
use crate::flips_targets::Dice;

/// The resource manager of the records that tell who wrote them.
const RMID: u8 = 130;
const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

/// A directory for a log, and the disk that it is written through.
#[derive(Debug)]
pub(super) struct Place {
    directory: TempDir,
    pub(super) disk: TestDisk,
    size: SegmentSize,
}

impl Place {
    pub(super) fn new(segment: u64) -> Place {
        Place {
            directory: tempfile::tempdir().expect("a temporary directory"),
            disk: TestDisk::default(),
            size: SegmentSize::from_bytes(segment).expect("a legal size"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn size(&self) -> SegmentSize {
        self.size
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.path().join(self.size.file_name(Timeline(1), number))
    }

    pub(super) fn log_place(&self) -> LogPlace {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        LogPlace {
            disk,
            directory: self.path().to_owned(),
            segment_size: self.size,
            system_identifier: 7_710_223_734_547_663_541,
            timeline: Timeline(1),
        }
    }

    pub(super) fn create(&self, options: LogOptions) -> Log {
        Log::create(self.log_place(), options, &checkpoint()).expect("a new log").0
    }

    pub(super) fn open(&self, options: LogOptions, end: EndOfLog) -> Log {
        Log::open(self.log_place(), options, end).expect("a log that can be gone on with")
    }

    /// Every record of the log, checked, and the text that pg_waldump is to print of them.
    pub(super) fn read(&self) -> Found {
        self.read_from(self.size.start_of(1) + 40)
    }

    pub(super) fn read_from(&self, start: Lsn) -> Found {
        self.read_all(start, true)
    }

    /// For each record whether it has an image; what the images hold is not looked at.
    pub(super) fn images(&self) -> BTreeMap<Lsn, bool> {
        let found = self.read_all(self.size.start_of(1) + 40, false);
        let has_image = |record: &FoundRecord| record.images.contains(&true);
        found.records.iter().map(|record| (record.start, has_image(record))).collect()
    }

    /// The text of all records; what images hold is not looked at.
    pub(super) fn read_without_images(&self) -> String {
        let found = self.read_all(self.size.start_of(1) + 40, false);
        String::from_utf8_lossy(found.text.as_bytes()).into_owned()
    }

    fn read_all(&self, start: Lsn, looks_at_images: bool) -> Found {
        let options = source::Options { start: Some(start), ..source::Options::default() };
        let log = source::Log::open(Arc::new(RealDisk), self.path(), options).expect("a log");
        let segments: Arc<dyn Segments> = Arc::new(log);
        let mut reader = RecordReader::new(segments);
        assert_eq!(reader.find_first(start).expect("a first record"), start);
        let mut found = Found { text: Text::new(Dialect::Tool), ..Found::default() };
        let stop = loop {
            match reader.next_record() {
                Ok(record) => {
                    push_line(&record, BlockDetail::Short, &mut found.text);
                    found.records.push(FoundRecord {
                        start: record.start(),
                        end: record.end(),
                        previous: record.previous(),
                        rmid: record.rmid(),
                        info: record.info(),
                        main: record.main_data().to_vec(),
                        images: record.blocks().iter().map(wal::BlockRef::has_image).collect(),
                    });
                    let images = record.blocks().iter().filter(|block| block.has_image());
                    for block in images.filter(|_| looks_at_images) {
                        let mut page = [0; PAGE_SIZE];
                        image::restore(&record, block, &mut page).expect("an image");
                        assert_eq!(page, *page_of(block.block), "{}", record.start());
                    }
                }
                Err(stop) => break stop,
            }
        };
        found.stop = Some(stop);
        found.aborted = reader.aborted_record();
        let mut previous = found.records.first().map_or(Lsn::INVALID, |first| first.previous);
        for record in &found.records {
            assert_eq!(record.previous, previous, "the chain at {}", record.start);
            previous = record.start;
        }
        found
    }

    /// pg_waldump's word on the records from the first to the last found: no error, and the same lines.
    pub(super) fn judge(&self, found: &Found) {
        let (first, last) = (found.first(), found.last());
        // It needs the first segment to hold the start; what follows it finds by number.
        let output = Command::new(pg_waldump())
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .arg("-p")
            .arg(self.path())
            .args(["-s", &first.start.to_string(), "-e", &last.end.to_string()])
            .output()
            .expect("pg_waldump starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_waldump: {said}");
        let text = String::from_utf8_lossy(&output.stdout);
        let ours = String::from_utf8_lossy(found.text.as_bytes());
        for (ours, theirs) in ours.lines().zip(text.lines()) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.lines().count(), text.lines().count());
    }
}

fn pg_waldump() -> PathBuf {
    let directory = std::env::var_os("PGSTRATA_PG15_BIN");
    let directory = directory.expect("PGSTRATA_PG15_BIN is not set: run `cargo xtask test`");
    Path::new(&directory).join("pg_waldump")
}

/// What was read of a log.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: Vec<FoundRecord>,
    pub(super) text: Text,
    pub(super) stop: Option<Stop>,
    pub(super) aborted: Option<Lsn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundRecord {
    pub(super) start: Lsn,
    pub(super) end: Lsn,
    pub(super) previous: Lsn,
    pub(super) rmid: u8,
    pub(super) info: u8,
    pub(super) main: Vec<u8>,
    pub(super) images: Vec<bool>,
}

impl Found {
    pub(super) fn first(&self) -> &FoundRecord {
        self.records.first().expect("a record")
    }

    pub(super) fn last(&self) -> &FoundRecord {
        self.records.last().expect("a record")
    }

    /// Where to go on with this log.
    pub(super) fn end(&self) -> EndOfLog {
        EndOfLog {
            end: self.last().end,
            last_record: self.last().start,
            cut_off: None,
            writes: PageWrites { redo: self.first().start, are_on: true },
        }
    }

    /// Exactly these records are there, with the bytes that were given.
    pub(super) fn assert_holds(&self, written: &[Written]) {
        let ours = self.records.iter().filter(|record| record.rmid == RMID);
        let found: BTreeMap<Lsn, &FoundRecord> =
            ours.map(|record| (record.start, record)).collect();
        assert_eq!(found.len(), written.len(), "as many records as were written");
        for written in written {
            let record = found.get(&written.placed.start).expect("a record where it was placed");
            assert_eq!(record.main, content(written.thread, written.turn, written.length));
            // A reader's end is aligned; behind a page's last byte it is the page's end as well.
            assert_eq!(record.end, written.placed.end, "at {}", record.start);
        }
    }
}

/// A record that was inserted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) thread: u32,
    pub(super) turn: u32,
    pub(super) length: usize,
    pub(super) placed: Placed,
}

/// What a record says: who wrote it, and bytes that follow from that.
pub(super) fn content(thread: u32, turn: u32, length: usize) -> Vec<u8> {
    let head = [thread.to_le_bytes(), turn.to_le_bytes()].concat();
    let mut state = u64::from(thread) << 32 | u64::from(turn);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8))
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(0x9E37_79B9);
            state.to_le_bytes()
        })
        .collect();
    bytes.truncate(length);
    let known = head.len().min(length);
    bytes[..known].copy_from_slice(&head[..known]);
    bytes
}

/// The page of a block; its LSN is older than every redo point.
pub(super) fn page_of(block: u32) -> Box<[u8; PAGE_SIZE]> {
    let mut page = Box::new([0; PAGE_SIZE]);
    page[12..14].copy_from_slice(&100u16.to_le_bytes());
    page[14..16].copy_from_slice(&7000u16.to_le_bytes());
    page[24..100].fill(block as u8);
    for (at, byte) in page.iter_mut().enumerate().skip(7000) {
        *byte = (at / 3 + block as usize) as u8;
    }
    page
}

pub(super) fn insert(
    log: &Log,
    inserter: &mut Inserter,
    thread: u32,
    turn: u32,
    length: usize,
) -> Written {
    let main = content(thread, turn, length);
    let (one, other) = main.split_at(length / 2);
    let main = [one, other];
    let record = NewRecord { xid: Xid(700 + thread), main: &main, ..NewRecord::new(RMID, 0x10) };
    let placed = log.insert(inserter, &record).expect("inserts");
    Written { thread, turn, length, placed }
}

/// A record with an image of a block.
pub(super) fn insert_image(log: &Log, inserter: &mut Inserter, block: u32) -> Placed {
    let page = page_of(block);
    let blocks = [NewBlock {
        page: Some(&page),
        image: ImageChoice::Always,
        is_standard: true,
        ..NewBlock::new(0, RELATION, ForkNumber::Main, block)
    }];
    // An image of a page, XLOG's FPI.
    log.insert(inserter, &NewRecord { blocks: &blocks, ..NewRecord::new(0, 0xB0) })
        .expect("inserts")
}

/// Lengths of main data: mostly short, some over a page, few over many pages, `longest` at most.
pub(super) fn length(dice: &mut Dice, longest: usize) -> usize {
    let most = match dice.below(100) {
        0..60 => 120,
        60..85 => 2_000,
        85..97 => 12_000,
        97..99 => 70_000,
        _ => longest,
    };
    dice.below(most.min(longest) + 1)
}

/// Each thread inserts so many records, and flushes now and then.
pub(super) fn run(
    log: &Arc<Log>,
    threads: u32,
    records: u32,
    longest: usize,
    seed: u64,
) -> Vec<Written> {
    let handles: Vec<_> = (0..threads)
        .map(|thread| {
            let log = Arc::clone(log);
            thread::spawn(move || {
                let mut dice = Dice::new(seed ^ u64::from(thread) << 20);
                let mut inserter = log.inserter();
                let mut written = Vec::new();
                for turn in 0..records {
                    let length = length(&mut dice, longest);
                    let record = insert(&log, &mut inserter, thread, turn, length);
                    written.push(record);
                    match dice.below(40) {
                        0 => log.flush(record.placed.end).expect("flushes"),
                        1 => log.flush_soon(record.placed.end),
                        2 => {
                            insert_image(&log, &mut inserter, dice.below(1000) as u32);
                        }
                        _ => {}
                    }
                }
                written
            })
        })
        .collect();
    handles.into_iter().flat_map(|handle| handle.join().expect("a thread ends")).collect()
}

/// The checkpoint of a new cluster.
pub(super) fn checkpoint() -> CheckPoint {
    CheckPoint {
        full_page_writes: true,
        next_xid: FullXid(3),
        next_oid: 10_000 as Oid,
        next_multi: 1,
        oldest_xid: Xid(3),
        oldest_xid_database: 1,
        oldest_multi: 1,
        oldest_multi_database: 1,
        time: UnixTime(1_795_000_000),
        ..CheckPoint::default()
    }
}

/// Any time.
pub(super) const NOTICED: TimestampTz = TimestampTz(848_000_000_000_000);
