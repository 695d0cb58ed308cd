//! What is flipped: records and page headers of the corpus, spread over versions and record types, each
//! with the few pages that reading it takes.
//!
//! Invariant: the choice depends on the corpus alone (every number drawn is of a fixed seed).

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::disk::{DiskFile, RealDisk};
use base::sync::{Arc, Mutex};
use base::{Lsn, PAGE_SIZE};
use wal::page::PageHeader;
use wal::read::{Position, RecordReader, Stop};
use wal::record::Record;
use wal::segment::{SegmentNumber, SegmentSize, Timeline};
use wal::source::{Log, Options, Segments, SourceError};
use wal::version::Version;

use crate::corpus;
use crate::reader_ways::{Seen, seen};

/// Numbers that look random, of a fixed seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number (SplitMix64, after Steele, Lea and Flood, 2014).
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }
}

/// The directories of the corpus.
pub(crate) fn corpora() -> Vec<PathBuf> {
    corpus::all().into_iter().map(|corpus| corpus.directory).collect()
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// One record.
    Record,
    /// The header of this page, which lies on the way from the first record to the second.
    Header(Lsn),
    /// The header of this page, the first of its segment, which is looked at because reading begins in
    /// the midst of the segment.
    FirstHeader(Lsn),
}

/// Something to be flipped bit by bit.
#[derive(Debug)]
pub(crate) struct Target {
    /// Directory of the corpus.
    pub(crate) corpus: PathBuf,
    pub(crate) kind: Kind,
    /// Where reading begins.
    pub(crate) from: Position,
    /// Where reading begins so that a record comes first that lies before this one on its page, for the
    /// reader has a short way for what follows.
    pub(crate) primer: Option<Position>,
    /// Where two records begin that come before, the nearer one last, if reading passed over them.
    pub(crate) before: Vec<Lsn>,
    /// What is read from there.
    pub(crate) records: Vec<Seen>,
    pub(crate) pages: FewPages,
    /// Whether the page behind the last one is among them: else the log ends there.
    pub(crate) has_next_page: bool,
}

impl Target {
    /// Version of its log.
    pub(crate) fn version(&self) -> Version {
        self.pages.version
    }
}

/// Where a record's bytes lie: a position and a length on each page.
pub(crate) fn places(start: Lsn, length: usize, size: SegmentSize) -> Vec<(Lsn, usize)> {
    let mut places = Vec::new();
    let (mut at, mut rest) = (start, length);
    loop {
        let part = rest.min(PAGE_SIZE - at.page_offset());
        places.push((at, part));
        rest -= part;
        if rest == 0 {
            return places;
        }
        let page = at.page_start() + PAGE_SIZE as u64;
        at = page + if size.offset_of(page) == 0 { 40 } else { 24 };
    }
}

/// A page and its position.
type Page = (Lsn, Box<[u8; PAGE_SIZE]>);

/// The pages that reading takes, in order, and no others. Each read gives one page.
#[derive(Debug, Clone)]
pub(crate) struct FewPages {
    version: Version,
    size: SegmentSize,
    system_identifier: Option<u64>,
    pages: Arc<Mutex<Vec<Page>>>,
}

impl FewPages {
    /// Copies pages out of a log; those that are not there are left out.
    fn of(log: &Log, mut wanted: Vec<Lsn>) -> FewPages {
        wanted.sort();
        wanted.dedup();
        let size = log.segment_size();
        let copied = wanted.into_iter().filter_map(|page| {
            let mut bytes = Box::new([0; PAGE_SIZE]);
            let file = log.open(size.number_of(page)).ok()?;
            let got = file.read_at(&mut bytes[..], size.offset_of(page)).expect("readable");
            (got == PAGE_SIZE).then_some((page, bytes))
        });
        FewPages {
            version: log.version(),
            size,
            system_identifier: log.system_identifier(),
            pages: Arc::new(Mutex::new(copied.collect())),
        }
    }

    pub(crate) fn size(&self) -> SegmentSize {
        self.size
    }

    fn has(&self, page: Lsn) -> bool {
        let pages = self.pages.lock().expect("nobody panicked");
        pages.binary_search_by_key(&page, |page| page.0).is_ok()
    }

    pub(crate) fn flip(&self, at: Lsn, bits: u8) {
        let mut pages = self.pages.lock().expect("nobody panicked");
        let index = pages.binary_search_by_key(&at.page_start(), |page| page.0).expect("copied");
        pages[index].1[at.page_offset()] ^= bits;
    }

    pub(crate) fn header(&self, page: Lsn) -> PageHeader {
        let pages = self.pages.lock().expect("nobody panicked");
        let index = pages.binary_search_by_key(&page, |page| page.0).expect("copied");
        PageHeader::read(&pages[index].1[..]).expect("a page holds a header")
    }

    /// Reads so many records, from bytes that may have changed since the last time.
    pub(crate) fn read(
        &self,
        reader: &mut RecordReader,
        from: Position,
        count: usize,
        mut each: impl FnMut(usize, &Record<'_>),
    ) -> Result<(), Stop> {
        reader.refresh();
        reader.resume(from);
        for index in 0..count {
            each(index, &reader.next_record()?);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct PagesOfSegment(FewPages, SegmentNumber);

impl DiskFile for PagesOfSegment {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.0.size.bytes())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let page = self.0.size.start_of(self.1) + offset;
        let pages = self.0.pages.lock().expect("nobody panicked");
        let Ok(index) = pages.binary_search_by_key(&page, |page| page.0) else { return Ok(0) };
        let count = buffer.len().min(PAGE_SIZE);
        buffer[..count].copy_from_slice(&pages[index].1[..count]);
        Ok(count)
    }
}

impl Segments for FewPages {
    fn version(&self) -> Version {
        self.version
    }

    fn segment_size(&self) -> SegmentSize {
        self.size
    }

    fn system_identifier(&self) -> Option<u64> {
        self.system_identifier
    }

    fn timeline_of(&self, _: SegmentNumber) -> Timeline {
        Timeline(1)
    }

    fn open(&self, number: SegmentNumber) -> Result<Arc<dyn DiskFile>, SourceError> {
        Ok(Arc::new(PagesOfSegment(self.clone(), number)))
    }
}

/// Records and headers are alike if they have the same of these: version, resource manager and type of
/// the record, whether it has an image, over how many pages it goes (3 for more); for headers their kind
/// and size.
type Likeness = (u32, u8, u8, bool, usize);

/// A place in a corpus that may become a target.
#[derive(Debug, Clone)]
struct Candidate {
    corpus: usize,
    kind: Kind,
    from: Position,
    primer: Option<Position>,
    before: Vec<Lsn>,
    count: usize,
}

/// Keeps some of all that are alike, each with the same chance.
#[derive(Debug, Default)]
struct Sieve {
    kept: BTreeMap<Likeness, (usize, Vec<Candidate>)>,
}

impl Sieve {
    const CAPACITY: usize = 120;

    fn offer(&mut self, likeness: Likeness, dice: &mut Dice, make: impl FnOnce() -> Candidate) {
        let (seen, kept) = self.kept.entry(likeness).or_default();
        *seen += 1;
        if kept.len() < Sieve::CAPACITY {
            kept.push(make());
        } else {
            let place = dice.below(*seen);
            if place < Sieve::CAPACITY {
                kept[place] = make();
            }
        }
    }

    /// As many as wanted, of each likeness in turn.
    fn choose(mut self, wanted: usize) -> Vec<Candidate> {
        let mut chosen = Vec::new();
        while chosen.len() < wanted && !self.kept.is_empty() {
            self.kept.retain(|_, (_, kept)| {
                chosen.extend(kept.pop());
                !kept.is_empty()
            });
        }
        chosen.truncate(wanted);
        chosen
    }
}

const HEADER: u8 = 255;
/// Longer records take too long to flip bit by bit.
const LONGEST: usize = 12 * 1024;

/// Chooses `records` records and `headers` page headers from the corpora.
pub(crate) fn choose(corpora: &[PathBuf], records: usize, headers: usize) -> Vec<Target> {
    let mut dice = Dice::new(2);
    let (mut some_records, mut some_headers) = (Sieve::default(), Sieve::default());
    let logs: Vec<_> = corpora.iter().map(|path| open(path)).collect();
    for (corpus, log) in logs.iter().enumerate() {
        offer_all(log, corpus, &mut dice, &mut some_records, &mut some_headers);
    }
    let mut chosen = some_records.choose(records);
    chosen.extend(some_headers.choose(headers));
    let finish = |candidate| complete(&logs, corpora, candidate);
    chosen.into_iter().map(finish).collect()
}

pub(crate) fn open(corpus: &std::path::Path) -> Arc<Log> {
    let log = Log::open(Arc::new(RealDisk), corpus, Options::default());
    Arc::new(log.unwrap_or_else(|error| panic!("{}: {error}", corpus.display())))
}

fn offer_all(
    log: &Arc<Log>,
    corpus: usize,
    dice: &mut Dice,
    records: &mut Sieve,
    headers: &mut Sieve,
) {
    let size = log.segment_size();
    let version = log.version().major();
    let segments: Arc<dyn Segments> = Arc::<Log>::clone(log);
    let mut reader = RecordReader::new(segments);
    let first = log.first_segment().expect("a corpus has segments");
    reader.find_first(size.start_of(first)).expect("a corpus begins with a record");
    let mut before: Vec<Lsn> = Vec::new();
    // The record before: where reading stood then, and its length.
    let mut previous: Option<(Position, Lsn, usize)> = None;
    loop {
        let from = reader.position();
        let Ok(record) = reader.next_record() else { break };
        let (start, length) = (record.start(), record.bytes().len());
        let pages = places(start, length, size).len();
        let has_image = record.blocks().iter().any(wal::BlockRef::has_image);
        if length <= LONGEST {
            let likeness = (version, record.rmid(), record.info(), has_image, pages.min(3));
            let primer = previous
                .filter(|(_, earlier, _)| earlier.page_start() == start.page_start() && pages == 1);
            records.offer(likeness, dice, || Candidate {
                corpus,
                kind: Kind::Record,
                from: at_record(from, start, size),
                primer: primer.map(|(from, start, _)| at_record(from, start, size)),
                before: before.clone(),
                count: 1,
            });
        }
        if let Some((from, earlier, earlier_length)) = previous
            && earlier.page_start() != start.page_start()
            && length + earlier_length < 16 * LONGEST
        {
            let mut way: Vec<_> = places(earlier, earlier_length, size)
                .iter()
                .map(|place| place.0.page_start())
                .chain([start.page_start()])
                .collect();
            way.dedup();
            let page = way[1 + dice.below(way.len() - 1)];
            let is_long = size.offset_of(page) == 0;
            let continues = page <= places(earlier, earlier_length, size).last().expect("one").0;
            headers.offer((version, HEADER, u8::from(is_long), continues, 1), dice, || Candidate {
                corpus,
                kind: Kind::Header(page),
                from,
                primer: None,
                before: before.clone(),
                count: 2,
            });
        }
        let segment = size.start_of(size.number_of(start));
        if segment != start.page_start() && length <= LONGEST {
            headers.offer((version, HEADER, 2, false, 1), dice, || Candidate {
                corpus,
                kind: Kind::FirstHeader(segment),
                from: Position::jump_to(start),
                primer: None,
                before: Vec::new(),
                count: 1,
            });
        }
        previous = Some((from, start, length));
        before.push(start);
        if before.len() > 2 {
            before.remove(0);
        }
    }
}

/// The same position, but at the record itself: a torn one before it is not gone through again.
fn at_record(from: Position, start: Lsn, size: SegmentSize) -> Position {
    let header = if size.offset_of(start) < PAGE_SIZE as u64 { 40 } else { 24 };
    let next = if start.page_offset() == header { start.page_start() } else { start };
    Position { next, ..from }
}

/// Reads what is to be read there, and copies the pages that it takes.
fn complete(logs: &[Arc<Log>], corpora: &[PathBuf], candidate: Candidate) -> Target {
    let log = &logs[candidate.corpus];
    let size = log.segment_size();
    let segments: Arc<dyn Segments> = Arc::<Log>::clone(log);
    let mut reader = RecordReader::new(segments);
    reader.resume(candidate.from);
    let records: Vec<Seen> = (0..candidate.count)
        .map(|_| seen(&reader.next_record().expect("it was read before")))
        .collect();
    let mut wanted = vec![candidate.from.next.page_start()];
    for record in &records {
        let places = places(record.start, record.bytes.len(), size);
        wanted.extend(places.iter().map(|place| place.0.page_start()));
    }
    // What lies between is passed over (a torn record's rest); a length that is too large leads behind.
    let last = *wanted.last().expect("one at the least") + PAGE_SIZE as u64;
    if last.0 - wanted[0].0 < 256 * PAGE_SIZE as u64 {
        let mut page = wanted[0];
        while page <= last {
            wanted.push(page);
            page = page + PAGE_SIZE as u64;
        }
    } else {
        wanted.push(last);
    }
    let firsts: Vec<_> = wanted.iter().map(|page| size.start_of(size.number_of(*page))).collect();
    wanted.extend(firsts);
    let pages = FewPages::of(log, wanted);
    Target {
        corpus: corpora[candidate.corpus].clone(),
        kind: candidate.kind,
        from: candidate.from,
        primer: candidate.primer,
        before: candidate.before,
        records,
        has_next_page: pages.has(last),
        pages,
    }
}
