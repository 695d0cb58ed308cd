//! Every bit of records and page headers of the corpus, flipped one at a time: each flip is an error, or
//! harmless by one of the rules here, and never a panic.
//!
//! The rules say for every bit which of the two it is, and the test holds the reader to both sides: a flip
//! that a rule calls harmless must give the very same records, any other must be an error.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::sync::{Arc, Mutex};
use base::{Lsn, PAGE_SIZE};
use wal::page::{self, PageHeader};
use wal::read::{Position, RecordReader, Stop};
use wal::segment::SegmentSize;

use crate::flips_targets::{Kind, Target, choose, corpora, places};
use crate::reader_ways::seen;

/// How many records are flipped.
const RECORDS: usize = 2000;
/// How many page headers are.
const HEADERS: usize = 600;

/// Why a flip does no harm; `None` if it must be an error.
type Harmless = Option<&'static str>;

/// The bytes to be flipped, each with the rule for its bits.
fn bytes_of(target: &Target) -> Vec<Lsn> {
    match target.kind {
        Kind::Record => {
            let record = &target.records[0];
            let mut bytes = Vec::new();
            for (start, length) in places(record.start, record.bytes.len(), target.pages.size()) {
                bytes.extend((0..length as u64).map(|offset| start + offset));
            }
            // The padding behind it, to the next record's place.
            let mut next = *bytes.last().expect("a record has bytes") + 1;
            while !next.0.is_multiple_of(8) {
                bytes.push(next);
                next = next + 1;
            }
            bytes
        }
        Kind::Header(page) | Kind::FirstHeader(page) => {
            let length = target.pages.header(page).size() as u64;
            (0..length).map(|offset| page + offset).collect()
        }
    }
}

fn rule(target: &Target, at: Lsn, bits: u8) -> Harmless {
    match target.kind {
        Kind::Record => {
            let record = &target.records[0];
            let places = places(record.start, record.bytes.len(), target.pages.size());
            let is_inside = places
                .iter()
                .any(|(start, length)| at >= *start && at.0 < start.0 + *length as u64);
            (!is_inside).then_some("padding behind a record")
        }
        Kind::Header(page) => header_rule(target, page, at, bits),
        Kind::FirstHeader(page) => first_header_rule(target, page, at, bits),
    }
}

/// The value of `xlp_tli` after the flip.
fn flipped_timeline(header: &PageHeader, byte: u64, bits: u8) -> u32 {
    header.timeline ^ (u32::from(bits) << (8 * (byte - 4)))
}

/// `xlp_info` bits of a byte of it.
fn flipped_info(byte: u64, bits: u8) -> u16 {
    u16::from(bits) << (8 * (byte - 2))
}

/// A header on the way from one record to the next.
fn header_rule(target: &Target, page: Lsn, at: Lsn, bits: u8) -> Harmless {
    let size = target.pages.size();
    let [earlier, later] = &target.records[..] else { panic!("two records") };
    let header = target.pages.header(page);
    let (way, continues) = way(target, size, page);
    match at.0 - page.0 {
        byte @ 2..4 => match flipped_info(byte, bits) {
            page::BACKUP_REMOVABLE => Some("XLP_BKP_REMOVABLE is for archivers"),
            page::FIRST_IS_OVERWRITE_CONTRECORD if !continues && !header.overwrites_record() => {
                Some("XLP_FIRST_IS_OVERWRITE_CONTRECORD where no rest of a record is looked for")
            }
            _ => None,
        },
        byte @ 4..8 => {
            let timeline = flipped_timeline(&header, byte, bits);
            let place = way.iter().position(|other| *other == page).expect("on the way");
            let before = match place {
                0 => target.from.timeline,
                _ => target.pages.header(way[place - 1]).timeline,
            };
            let after = way.get(place + 1).map(|page| target.pages.header(*page).timeline);
            let fits = timeline >= before && after.is_none_or(|after| after >= timeline);
            fits.then_some("xlp_tli may rise from page to page")
        }
        16..20 if !continues => Some("xlp_rem_len where no rest of a record is looked for"),
        20..24 => Some("padding of a page header"),
        _ => {
            assert!(earlier.start < page && page < later.end);
            None
        }
    }
}

/// The pages that are looked at, in order, and whether a record goes on at the beginning of `page`.
fn way(target: &Target, size: SegmentSize, page: Lsn) -> (Vec<Lsn>, bool) {
    let mut way = Vec::new();
    let mut continues = false;
    for record in &target.records {
        for (index, (start, _)) in places(record.start, record.bytes.len(), size).iter().enumerate()
        {
            way.push(start.page_start());
            continues |= index > 0 && start.page_start() == page;
        }
    }
    way.dedup();
    (way, continues)
}

/// The header of a segment's first page, when reading begins further behind in the segment.
fn first_header_rule(target: &Target, page: Lsn, at: Lsn, bits: u8) -> Harmless {
    let header = target.pages.header(page);
    match at.0 - page.0 {
        byte @ 2..4 => match flipped_info(byte, bits) {
            page::BACKUP_REMOVABLE
            | page::FIRST_IS_CONTRECORD
            | page::FIRST_IS_OVERWRITE_CONTRECORD => {
                Some("flags of a page from which no record is read")
            }
            _ => None,
        },
        byte @ 4..8 => {
            let begin = target.records[0].start.page_start();
            let fits = flipped_timeline(&header, byte, bits) <= target.pages.header(begin).timeline;
            fits.then_some("xlp_tli may rise from page to page")
        }
        16..20 => Some("xlp_rem_len of a page from which no record is read"),
        20..24 => Some("padding of a page header"),
        _ => None,
    }
}

/// What came of all flips.
#[derive(Debug, Default)]
struct Tally {
    flips: usize,
    errors: BTreeMap<String, usize>,
    harmless: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.flips += other.flips;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        for (rule, count) in other.harmless {
            *self.harmless.entry(rule).or_default() += count;
        }
        self.wrong.extend(other.wrong);
    }
}

/// The kind of an error: its text without numbers and names.
pub(crate) fn kind_of(message: &str) -> String {
    let words = message.split_whitespace();
    let words = words.filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ").replace([',', ':'], "")
}

/// Flips all bits, with reading to begin at the target itself and, where that is another way for the
/// reader, at the record before.
fn flip_all_bits(target: &Target) -> Tally {
    let mut tally = flip_all_bits_from(target, target.from, 0);
    if let Some(primer) = target.primer {
        tally.add(flip_all_bits_from(target, primer, 1));
    }
    tally
}

/// The same with reading to begin at `from`, `skipped` records before the target.
fn flip_all_bits_from(target: &Target, from: Position, skipped: usize) -> Tally {
    let mut tally = Tally::default();
    let mut reader = RecordReader::new(Arc::new(target.pages.clone()));
    let mut last_error = None;
    for at in bytes_of(target) {
        for bits in (0..8).map(|bit| 1u8 << bit) {
            let expected = rule(target, at, bits);
            target.pages.flip(at, bits);
            let mut same = true;
            let mut passed = 0;
            let count = skipped + target.records.len();
            let result = target.pages.read(&mut reader, from, count, |index, record| {
                passed = index + 1;
                same &= index < skipped || seen(record) == target.records[index - skipped];
            });
            assert!(passed >= skipped, "the record before is not touched");
            target.pages.flip(at, bits);
            tally.flips += 1;
            let verdict = match (&result, expected) {
                (Err(stop @ Stop::ShortSegment { .. }), _) if target.has_next_page => {
                    format!("{stop}: the test lacks a page")
                }
                (Err(stop), None) => {
                    // Formatting each of millions would take longer than reading.
                    let kind = std::mem::discriminant(stop);
                    if tally.flips % 64 == 1 || last_error.replace(kind) != Some(kind) {
                        *tally.errors.entry(kind_of(&stop.to_string())).or_default() += 1;
                    }
                    continue;
                }
                (Ok(()), Some(rule)) if same => {
                    *tally.harmless.entry(rule).or_default() += 1;
                    continue;
                }
                (Err(stop), Some(rule)) => format!("{stop}, but harmless by rule: {rule}"),
                (Ok(()), None) => format!("no error (same records: {same})"),
                (Ok(()), Some(rule)) => format!("other records, but harmless by rule: {rule}"),
            };
            tally.wrong.push(format!(
                "{:?} {}: flip {bits:02X} at {at} of {:?}: {verdict}",
                target.corpus.file_name(),
                target.records[0].start,
                target.kind,
            ));
        }
    }
    tally
}

#[test]
fn every_flipped_bit_is_an_error_or_harmless() {
    let targets = choose(&corpora(), RECORDS, HEADERS);
    let records = targets.iter().filter(|target| target.kind == Kind::Record).count();
    assert_eq!(records, RECORDS);
    assert_eq!(targets.len(), RECORDS + HEADERS);
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tally = flip_all_bits(target);
                    total.lock().expect("nobody panicked").add(tally);
                }
            });
        }
    });
    let tally = total.into_inner().expect("nobody panicked");
    println!("{} flips of {RECORDS} records and {HEADERS} page headers", tally.flips);
    println!("harmless by rule: {:#?}", tally.harmless);
    println!("kinds of errors (a sample): {:#?}", tally.errors);
    let some: Vec<_> = tally.wrong.iter().take(20).collect();
    assert!(tally.wrong.is_empty(), "{} flips went wrong, such as {some:#?}", tally.wrong.len());
    const _: () = assert!(PAGE_SIZE == 8192);
}
