//! Damage, judged by the real `pg_waldump`: where it stops, and its message, must be the reader's. Flipped
//! bits are one kind of damage; records changed inside with their checksums made right are the other.
//!
//! Each case gets a directory of its own, with segments that are sparse but for the pages concerned, so
//! that a run takes milliseconds.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use base::disk::{Disk, DiskFile, RealDisk};
use base::sync::{Arc, Mutex};
use base::{Lsn, PAGE_SIZE};
use wal::error::{DecodeError, RecordError};
use wal::read::{RecordReader, Stop};
use wal::segment::{SegmentNumber, SegmentSize, Timeline};
use wal::source::{Log, Segments, SourceError};
use wal::version::Version;

use crate::flips::kind_of;
use crate::flips_targets::{Dice, Kind, Target, choose, corpora, open, places};
use crate::synthetic::repair_crc;

/// How many flips are judged.
const FLIPS: usize = 1000;
/// How many records with right checksums are.
const REPAIRED: usize = 500;

/// A damage, and the range that is read round it.
#[derive(Debug)]
struct Case {
    corpus: PathBuf,
    /// Which bits of which bytes are flipped.
    flips: Vec<(Lsn, u8)>,
    what: &'static str,
    start: Lsn,
    end: Lsn,
    /// Whether records are counted rather than printed: no description is made of what it would crash on.
    counts: bool,
}

/// The range round a target that pg_waldump is to read.
fn range(target: &Target, dice: &mut Dice) -> (Lsn, Lsn) {
    let start = target.before.first().copied().unwrap_or(target.records[0].start);
    let last = target.records.last().expect("one at the least");
    let places = places(last.start, last.bytes.len(), target.pages.size());
    let (last_start, last_length) = *places.last().expect("one at the least");
    (start, last_start + (last_length + dice.below(2 * PAGE_SIZE)) as u64)
}

/// A record of which some bytes behind the header, where its parts are described, have changed; the
/// checksum is right.
fn draw_repaired(target: &Target, dice: &mut Dice) -> Option<Case> {
    let record = &target.records[0];
    if target.kind != Kind::Record || record.bytes.len() == 24 {
        return None;
    }
    let mut bytes = record.bytes.clone();
    let parts = (bytes.len() - 24).min(8 + 28 * record.draft.blocks.len());
    for _ in 0..1 + dice.below(3) {
        let at = 24 + dice.below(parts);
        match dice.below(3) {
            0 => bytes[at] = dice.roll() as u8,
            1 => bytes[at] = [0, 1, 32, 33, 252, 253, 254, 255][dice.below(8)],
            _ => bytes[at] ^= 1 << dice.below(8),
        }
    }
    repair_crc(&mut bytes);
    let places = places(record.start, bytes.len(), target.pages.size());
    let positions =
        places.iter().flat_map(|(at, length)| (0..*length as u64).map(|byte| *at + byte));
    let changes = bytes.iter().zip(&record.bytes).map(|(new, old)| new ^ old);
    let flips = positions.zip(changes).filter(|(_, bits)| *bits != 0).collect();
    let (start, end) = range(target, dice);
    let what = "changed record";
    Some(Case { corpus: target.corpus.clone(), flips, what, start, end, counts: true })
}

/// A place in a target: in turn a record's header, its body, an image, a page header.
fn draw_flip(target: &Target, turn: usize, dice: &mut Dice) -> Option<Case> {
    let size = target.pages.size();
    let record = &target.records[0];
    let of_record = |offset: usize| {
        let mut rest = offset;
        for (start, length) in places(record.start, record.bytes.len(), size) {
            if rest < length {
                return start + rest as u64;
            }
            rest -= length;
        }
        panic!("offset within the record")
    };
    // Images stand before data in the order of block references; the first one is enough.
    let image = record.draft.blocks.iter().find_map(|block| block.image.as_ref());
    let (at, what) = match (target.kind, turn % 4) {
        (Kind::Record, 0) => (of_record(dice.below(24)), "record header"),
        (Kind::Record, 1) if record.bytes.len() > 24 => {
            let behind = image.map_or(record.bytes.len(), |_| 24 + 25) - 24;
            (of_record(24 + dice.below(behind)), "record")
        }
        (Kind::Record, 2) => {
            let length = image?.bytes.len().min(record.bytes.len() - 24);
            let behind = record.bytes.len() - length;
            (of_record(behind + dice.below(length)), "image")
        }
        (Kind::Header(page) | Kind::FirstHeader(page), 3) => {
            (page + dice.below(target.pages.header(page).size()) as u64, "page header")
        }
        _ => return None,
    };
    let (start, end) = range(target, dice);
    // pg_waldump asks the first segment's header for the segments' size before it reads.
    let is_size = at.0 >= size.start_of(size.number_of(start)).0 + 32
        && at.0 < size.start_of(size.number_of(start)).0 + 36;
    let bits = 1 << dice.below(8);
    let flips = vec![(at, bits)];
    let case = Case { corpus: target.corpus.clone(), flips, what, start, end, counts: false };
    (!is_size && end > at).then_some(case)
}

/// Segments that were written to a directory.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    version: Version,
    size: SegmentSize,
    timeline: Timeline,
}

impl Directory {
    fn name(&self, number: SegmentNumber) -> String {
        self.size.file_name(self.timeline, number)
    }
}

impl Segments for Directory {
    fn version(&self) -> Version {
        self.version
    }

    fn segment_size(&self) -> SegmentSize {
        self.size
    }

    fn system_identifier(&self) -> Option<u64> {
        None // as pg_waldump, which knows none
    }

    fn timeline_of(&self, _: SegmentNumber) -> Timeline {
        self.timeline
    }

    fn open(&self, number: SegmentNumber) -> Result<Arc<dyn DiskFile>, SourceError> {
        let name = self.name(number);
        match RealDisk.open(&self.path.join(&name)) {
            Ok(file) => Ok(Arc::from(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(SourceError::Missing { name })
            }
            Err(error) => Err(SourceError::Io { path: name, error }),
        }
    }
}

/// Writes the pages from `case.start` to `case.end` and the first ones of their segments, with the flips.
/// `None` where that range leaves the log, or its timeline.
fn write_out(log: &Log, case: &mut Case, path: &Path) -> Option<Directory> {
    let size = log.segment_size();
    let first = size.number_of(case.start);
    let timeline = log.timeline_of(first);
    if log.last_segment().is_none_or(|last| size.number_of(case.end) > last) {
        case.end = size.start_of(log.last_segment()? + 1);
    }
    let last = size.number_of(Lsn(case.end.0 - 1));
    if last - first > 1 || (first..=last).any(|number| log.timeline_of(number) != timeline) {
        return None;
    }
    let directory = Directory { path: path.to_owned(), version: log.version(), size, timeline };
    for number in first..=last {
        let from = log.open(number).ok()?;
        let to = File::create(path.join(directory.name(number))).expect("writable");
        to.set_len(size.bytes()).expect("writable");
        let begin = size.start_of(number).max(case.start.page_start());
        let end = size.start_of(number + 1).min(case.end);
        let mut page = size.start_of(number);
        while page < end {
            let mut bytes = [0; PAGE_SIZE];
            from.read_at(&mut bytes, size.offset_of(page)).expect("readable");
            for (at, bits) in case.flips.iter().filter(|(at, _)| at.page_start() == page) {
                bytes[at.page_offset()] ^= bits;
            }
            to.write_all_at(&bytes, size.offset_of(page)).expect("writable");
            page = begin.max(page + PAGE_SIZE as u64);
        }
    }
    Some(directory)
}

/// How pg_waldump ended: the last record, and what was said on stderr.
#[derive(Debug)]
struct Ending {
    last: Option<Lsn>,
    said: Option<String>,
}

/// How it should end.
#[derive(Debug)]
struct Expected {
    last: Option<Lsn>,
    /// One of these is to be said; nothing, where there are none.
    said: Vec<String>,
}

impl Expected {
    fn is(&self, ending: &Ending) -> bool {
        let fits = match &ending.said {
            Some(said) => self.said.contains(said),
            None => self.said.is_empty(),
        };
        fits && self.last == ending.last
    }
}

/// What the reader makes of it. The checks that PostgreSQL leaves out are no part of the comparison: `None`.
fn ours(directory: Directory, case: &Case) -> Option<Expected> {
    let mut reader = RecordReader::new(Arc::new(directory));
    reader.set_end(Some(case.end));
    if reader.find_first(case.start).is_err() {
        let said = format!("could not find a valid record after {}", case.start);
        return Some(Expected { last: None, said: vec![said] });
    }
    let mut last = None;
    let stop = loop {
        match reader.next_record() {
            Ok(record) => last = Some(record.start()),
            Err(stop) => break stop,
        }
    };
    let at = last.unwrap_or(Lsn::INVALID);
    let error = |stop: &dyn std::fmt::Display| vec![format!("error in WAL record at {at}: {stop}")];
    let said = match &stop {
        Stop::EndReached => Vec::new(),
        stop if is_left_out(stop) => return None,
        // The position in such a message is the record's own or that of the one before, as the minor
        // version has it.
        Stop::Record(RecordError::Decode(decode)) => [decode.record, at]
            .iter()
            .flat_map(|reported| error(&DecodeError { reported: *reported, ..decode.clone() }))
            .collect(),
        stop => error(stop),
    };
    Some(Expected { last: last.filter(|_| !case.counts), said })
}

/// Whether PostgreSQL has no such check.
fn is_left_out(stop: &Stop) -> bool {
    use wal::error::DecodeFault::{HoleBeyondPage, ImageTooLong, InvalidFork, LengthOverflow};
    let Stop::Record(RecordError::Decode(error)) = stop else { return false };
    matches!(error.fault, HoleBeyondPage { .. } | ImageTooLong(_) | InvalidFork(_) | LengthOverflow)
}

fn theirs(program: &Path, directory: &Directory, case: &Case) -> Ending {
    let size = directory.size;
    let output = Command::new(program)
        .env_clear()
        .env("LC_ALL", "C")
        .arg("-p")
        .arg(&directory.path)
        .args(case.counts.then_some("-z"))
        .args(["-s", &case.start.to_string(), "-e", &case.end.to_string()])
        .arg(directory.name(size.number_of(case.start)))
        .arg(directory.name(size.number_of(Lsn(case.end.0 - 1))))
        .stdin(Stdio::null())
        .output()
        .expect("pg_waldump starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rev().find_map(|line| {
        let lsn = line.split_once(", lsn: ")?.1.split_once(',')?.0;
        Some(lsn.parse().expect("an LSN"))
    });
    let text = String::from_utf8_lossy(&output.stderr);
    let said = text.trim_end();
    assert_eq!(output.status.success(), said.is_empty(), "{case:?}: {said}");
    let said = said.strip_prefix("pg_waldump: error: ").unwrap_or(said);
    Ending { last, said: (!said.is_empty()).then(|| said.to_owned()) }
}

/// The oracles by major version; 16 has none.
fn programs() -> BTreeMap<u32, PathBuf> {
    let program = |major| {
        let variable = format!("PGSTRATA_PG{major}_BIN");
        let directory = std::env::var_os(&variable);
        let directory =
            directory.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`"));
        (major, Path::new(&directory).join("pg_waldump"))
    };
    [15, 17, 18].map(program).into()
}

/// Has so many cases judged. `draw` makes one of a target, or passes; it is told how many there are.
fn judge(count: usize, seed: u64, draw: impl Fn(&Target, usize, &mut Dice) -> Option<Case>) {
    let programs = programs();
    let mut corpora = corpora();
    corpora.retain(|path| programs.contains_key(&open(path).version().major()));
    let targets = choose(&corpora, 2000, 600);
    let mut dice = Dice::new(seed);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let logs: BTreeMap<_, _> = corpora.iter().map(|path| (path.clone(), open(path))).collect();
    let mut cases = Vec::new();
    while cases.len() < count {
        let target = &targets[dice.below(targets.len())];
        let Some(mut case) = draw(target, cases.len(), &mut dice) else { continue };
        let path = temporary.path().join(cases.len().to_string());
        std::fs::create_dir(&path).expect("writable");
        match write_out(&logs[&case.corpus], &mut case, &path) {
            Some(directory) => cases.push((case, directory)),
            None => std::fs::remove_dir_all(path).expect("made here"),
        }
    }
    let cases: Vec<_> = cases.into_iter().map(Some).map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    let kinds = Mutex::new(BTreeMap::<String, usize>::new());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let taken = case.lock().expect("nobody panicked").take();
                    let (case, directory) = taken.expect("each case is taken once");
                    let theirs = theirs(&programs[&directory.version.major()], &directory, &case);
                    let ours = ours(directory, &case);
                    let kind = match (&ours, theirs.said.as_deref()) {
                        (None, _) => "(a check that PostgreSQL leaves out)".to_owned(),
                        (_, None) => "(no error)".to_owned(),
                        (_, Some(said)) => kind_of(said),
                    };
                    let kind = format!("{}: {kind}", case.what);
                    *kinds.lock().expect("nobody panicked").entry(kind).or_default() += 1;
                    if ours.as_ref().is_some_and(|ours| !ours.is(&theirs)) {
                        let said = format!("{case:?}\n  ours {ours:?}\n  theirs {theirs:?}");
                        wrong.lock().expect("nobody panicked").push(said);
                    }
                }
            });
        }
    });
    println!("{count} cases: {:#?}", kinds.into_inner().expect("nobody panicked"));
    let wrong = wrong.into_inner().expect("nobody panicked");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
}

#[test]
fn flips_stop_the_reader_where_they_stop_pg_waldump() {
    judge(FLIPS, 1000, draw_flip);
}

#[test]
fn contradictions_in_records_stop_the_reader_where_they_stop_pg_waldump() {
    judge(REPAIRED, 500, |target, _, dice| draw_repaired(target, dice));
}
