//! Properties of the reader: what was written comes back, whatever the segments' size; and reading on
//! several threads finds what reading in order finds, in damaged logs too.

use std::ops::ControlFlow;

use base::sync::Arc;
use base::{ForkNumber, Lsn, PAGE_SIZE, RelFileLocator, Xid};
use proptest::collection::vec;
use proptest::prelude::*;
use wal::read::parallel::{self, Gather};
use wal::read::{Position, RecordReader, Stop};
use wal::record::{
    IMAGE_APPLY, IMAGE_HAS_HOLE, IMAGE_LZ4, IMAGE_PGLZ, IMAGE_ZSTD, Outline, Record, RecordHeader,
};
use wal::segment::{SegmentSize, Timeline};
use wal::source::Segments;
use wal::version::Version;

use crate::synthetic::{
    Draft, DraftBlock, DraftImage, LogBuilder, MemoryLog, Shape, Written, repair_crc,
};

/// Stretches of `read::parallel` begin at multiples of this.
const STRETCH: u64 = 2 << 20;

/// A step in the making of a log.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write(Draft),
    /// A record that ends so many bytes before a page's end.
    FillTo {
        left: usize,
        least: usize,
    },
    Switch,
    /// A record of which only so many pages arrived.
    Tear {
        draft: Draft,
        pages: usize,
    },
    RaiseTimeline(u32),
}

pub(crate) fn take(builder: &mut LogBuilder, step: &Step) {
    match step {
        Step::Write(draft) => {
            builder.append(draft);
        }
        Step::FillTo { left, least } => {
            let length = builder.main_length_to(*left, *least);
            let main = pattern(length as u64, length);
            builder.append(&Draft { long_main: true, ..Draft::new(200, 0x30, main) });
        }
        Step::Switch => {
            builder.append(&Draft::switch());
        }
        Step::Tear { draft, pages } => builder.append_torn(draft, *pages),
        Step::RaiseTimeline(timeline) => builder.raise_timeline(*timeline),
    }
}

fn build(shape: Shape, steps: &[Step]) -> (MemoryLog, Vec<Written>) {
    let mut builder = LogBuilder::new(shape);
    for step in steps {
        take(&mut builder, step);
    }
    builder.finish()
}

/// `length` bytes that look random and depend on `seed` alone.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn any_bytes(lengths: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), lengths).prop_map(|(seed, length)| pattern(seed, length))
}

fn any_image() -> impl Strategy<Value = DraftImage> {
    let plain = any::<u64>().prop_map(|seed| (0, 0, 0, pattern(seed, PAGE_SIZE)));
    let hole = (1u16..8000, any::<u64>()).prop_flat_map(|(offset, seed)| {
        (1u16..=8192 - offset).prop_map(move |length| {
            let stored = PAGE_SIZE - usize::from(length);
            (IMAGE_HAS_HOLE, offset, 0, pattern(seed, stored))
        })
    });
    let method = prop_oneof![Just(IMAGE_PGLZ), Just(IMAGE_LZ4), Just(IMAGE_ZSTD)];
    let compressed = (method, any::<bool>(), 1u16..4000, 1u16..4000, any_bytes(0usize..8192))
        .prop_map(|(method, has_hole, offset, length, bytes)| match has_hole {
            true => (method | IMAGE_HAS_HOLE, offset, length, bytes),
            false => (method, 0, 0, bytes),
        });
    (prop_oneof![plain, hole, compressed], any::<bool>()).prop_map(
        |((info, hole_offset, hole_length, bytes), applies)| {
            let info = info | if applies { IMAGE_APPLY } else { 0 };
            DraftImage { info, hole_offset, hole_length, bytes }
        },
    )
}

fn any_blocks() -> impl Strategy<Value = Vec<DraftBlock>> {
    let block = (
        1u8..8,
        (0u8..4, any::<bool>()),
        proptest::option::weighted(0.7, any::<[u32; 3]>()),
        any::<u32>(),
        proptest::option::weighted(0.3, any_image()),
        any_bytes(prop_oneof![3 => 0usize..40, 1 => 0usize..3000]),
    );
    vec(block, 0..4).prop_map(|blocks| {
        let mut id = 0;
        let mut drafts: Vec<DraftBlock> = Vec::new();
        for (step, (fork, init), locator, block, image, data) in blocks {
            let mut locator = locator.map(|[tablespace, database, relation]| RelFileLocator {
                tablespace,
                database,
                relation,
            });
            if drafts.is_empty() && locator.is_none() {
                locator = Some(RelFileLocator::default());
            }
            let flags = fork | if init { wal::record::BLOCK_WILL_INIT } else { 0 };
            drafts.push(DraftBlock { id, flags, locator, block, image, data });
            id += step;
        }
        drafts
    })
}

fn any_draft(main: impl Strategy<Value = usize>) -> impl Strategy<Value = Draft> {
    let rmid = prop_oneof![0u8..22, 128u8..=255];
    let head = (rmid, any::<u8>(), any::<u32>());
    let ids = (proptest::option::of(1u16..), proptest::option::of(1u32..), any::<bool>());
    (head, any_blocks(), ids, any_bytes(main)).prop_map(
        |((rmid, info, xid), blocks, (origin, toplevel_xid, long_main), main)| {
            // The steps say where the log switches segments, and what was overwritten.
            let is_steps = rmid == 0 && matches!(info & 0xF0, 0x40 | 0xD0);
            let info = if is_steps { info & 0x0F } else { info };
            Draft { rmid, info, xid: Xid(xid), blocks, origin, toplevel_xid, main, long_main }
        },
    )
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let main = || prop_oneof![6 => 0usize..300, 2 => 0usize..9000, 1 => 0usize..60_000];
    prop_oneof![
        20 => any_draft(main()).prop_map(Step::Write),
        4 => (prop_oneof![Just(0usize), Just(8), Just(16), Just(24), Just(32), 0usize..64], 0usize..20_000)
            .prop_map(|(left, least)| Step::FillTo { left, least }),
        1 => Just(Step::Switch),
        2 => (any_draft(0usize..40_000), 1usize..4)
            .prop_map(|(draft, pages)| Step::Tear { draft, pages }),
        1 => (1u32..6).prop_map(Step::RaiseTimeline),
    ]
}

fn any_version() -> impl Strategy<Value = Version> {
    proptest::sample::select(Version::ALL.to_vec())
}

/// Any legal size, anywhere in the address space, at a segment's beginning, end or somewhere between.
pub(crate) fn any_shape() -> impl Strategy<Value = Shape> {
    let start = (20u32..=30, 1u64..1 << 33, prop_oneof![Just(0u64), any::<u64>(), 1u64..8]);
    (any_version(), start, 1u32..4).prop_map(|(version, (shift, number, page), timeline)| {
        let segment_size = SegmentSize::from_bytes(1 << shift).expect("legal");
        let pages = segment_size.bytes() / PAGE_SIZE as u64;
        let page = if (1..8).contains(&page) { pages - page } else { page % pages };
        let start = segment_size.start_of(number) + page * PAGE_SIZE as u64;
        Shape { version, segment_size, start, timeline }
    })
}

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
struct Outcome {
    records: Vec<Seen>,
    stop: String,
    position: Position,
    aborted: Option<Lsn>,
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

fn assert_all_ways_agree(
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_written_comes_back(shape in any_shape(), steps in vec(any_step(), 1..40)) {
        let (log, written) = build(shape, &steps);
        let outcome = assert_all_ways_agree(&log, Position::jump_to(shape.start), None)?;
        let read: Vec<_> = outcome.records.iter().map(|seen| (seen.start, seen.end, &seen.bytes)).collect();
        let expected: Vec<_> =
            written.iter().map(|record| (record.start, record.end, &record.bytes)).collect();
        prop_assert_eq!(read, expected);
        // Taken apart and put together again, a record is what it was.
        for seen in &outcome.records {
            let again = seen.draft.body();
            let long = Draft { long_main: true, ..seen.draft.clone() }.body();
            let body = &seen.bytes[wal::record::HEADER_SIZE..];
            prop_assert!(body == again || body == long, "{:?}", seen);
        }
        // And the log ends as a log ordinarily ends: nothing there, or no further segment.
        let is_ordinary = outcome.stop.contains("InvalidLength") && outcome.stop.contains("got 0")
            || outcome.stop.contains("Magic(0)")
            || outcome.stop.contains("Missing");
        prop_assert!(is_ordinary, "{}", outcome.stop);
        prop_assert_eq!(outcome.aborted, None);
    }

    #[test]
    fn an_ancestor_is_read_up_to_the_switch_point(
        shape in any_shape(), steps in vec(any_step(), 1..20), last in any::<proptest::sample::Index>(),
    ) {
        let (mut log, written) = build(shape, &steps);
        if written.is_empty() { return Ok(()) }
        let switch_point = written[last.index(written.len())].end;
        let number = shape.segment_size.number_of(switch_point);
        if shape.segment_size.offset_of(switch_point) == 0 { return Ok(()) }
        log.leave_timeline(switch_point, Timeline(77));
        let outcome = assert_all_ways_agree(&log, Position::jump_to(shape.start), None)?;
        let read: Vec<_> = outcome.records.iter().map(|seen| seen.start).collect();
        let kept = written.iter().filter(|record| record.end <= switch_point);
        prop_assert_eq!(read, kept.map(|record| record.start).collect::<Vec<_>>());
        let missing = shape.segment_size.file_name(Timeline(77), number);
        prop_assert!(outcome.stop.contains(&missing), "{}", outcome.stop);
    }

    #[test]
    fn every_position_finds_the_record_at_or_behind_it(
        shape in any_shape(), steps in vec(any_step(), 1..20), places in vec(any::<proptest::sample::Index>(), 20),
    ) {
        let (log, written) = build(shape, &steps);
        let Some(last) = written.last() else { return Ok(()) };
        let length = last.end.0 - shape.start.0;
        for place in places {
            let at = shape.start + place.index(length as usize) as u64;
            let mut reader = RecordReader::new(log.shared());
            let expected = written.iter().map(|record| record.start).find(|start| *start >= at);
            // Who enters on a page behind the one that a switch starts on finds what pg_waldump finds: nothing,
            // since only the switch says that the rest of its segment is to be skipped.
            let skips = |record: &&Written| {
                record.is_switch() && record.start < at.page_start() && at < record.end
            };
            let expected = expected.filter(|_| !written.iter().any(|record| skips(&record)));
            match (reader.find_first(at), expected) {
                (Ok(found), Some(expected)) => prop_assert_eq!(found, expected),
                (Err(_), None) => {}
                (found, expected) => prop_assert!(
                    false, "at {}: {:?}, expected {:?}", at, found.map_err(|stop| stop.to_string()), expected
                ),
            }
        }
    }
}

/// A damage to a log.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Flip { at: u64, bits: u8 },
    ZeroPage { at: u64 },
    SwapPages { one: u64, other: u64 },
    Truncate { at: u64 },
    Remove { at: u64 },
}

pub(crate) fn any_damage(length: u64) -> impl Strategy<Value = Damage> {
    // Half of them near the seams of stretches, where reading on threads has most to get wrong.
    let near_seam = (1..=length / STRETCH, -40_000i64..40_000)
        .prop_map(|(seam, offset)| (seam * STRETCH).saturating_add_signed(offset));
    let header = (0..length / PAGE_SIZE as u64, 0..40u64)
        .prop_map(|(page, offset)| page * PAGE_SIZE as u64 + offset);
    let seam_header = (0..=length / STRETCH, 0..4u64, 0..40u64)
        .prop_map(|(seam, page, offset)| seam * STRETCH + page * PAGE_SIZE as u64 + offset);
    let place = prop_oneof![0..length, near_seam, header, seam_header].boxed();
    prop_oneof![
        6 => (place.clone(), 0u32..8).prop_map(|(at, bit)| Damage::Flip { at, bits: 1 << bit }),
        1 => place.clone().prop_map(|at| Damage::ZeroPage { at }),
        1 => (place.clone(), place.clone()).prop_map(|(one, other)| Damage::SwapPages { one, other }),
        1 => place.clone().prop_map(|at| Damage::Truncate { at }),
        1 => place.prop_map(|at| Damage::Remove { at }),
    ]
}

pub(crate) fn inflict(log: &mut MemoryLog, start: Lsn, damage: &Damage) {
    let size = log.size();
    match *damage {
        Damage::Flip { at, bits } => log.flip(start + at, bits),
        Damage::ZeroPage { at } => log.zero_page(start + at),
        Damage::SwapPages { one, other } => log.swap_pages(start + one, start + other),
        Damage::Truncate { at } => {
            log.truncate_segment(size.number_of(start + at), size.offset_of(start + at));
        }
        Damage::Remove { at } => log.remove_segment(size.number_of(start + at)),
    }
}

/// A log of several stretches: the given steps again and again, bulk between them, and from some place on
/// a higher timeline.
fn long_log(shape: Shape, steps: &[Step], bulk: &[usize], length: u64, raise: u64) -> MemoryLog {
    let mut builder = LogBuilder::new(shape);
    let mut steps = steps.iter().cycle();
    let mut bulk = bulk.iter().cycle();
    while builder.at() < shape.start + length {
        if builder.at() >= shape.start + raise {
            builder.raise_timeline(9);
        }
        if let Some(&bulk) = bulk.next() {
            builder.append(&Draft::new(130, 0x10, pattern(bulk as u64, bulk)));
        }
        if let Some(step) = steps.next() {
            take(&mut builder, step);
        }
    }
    builder.finish().0
}

fn any_long_shape() -> impl Strategy<Value = Shape> {
    // Stretches begin at multiples of their length in the address space, or where the log begins.
    let page = prop_oneof![Just(0u64), 0u64..512];
    (any_version(), 20u32..=26, 1u64..1 << 20, page).prop_map(|(version, shift, number, page)| {
        let segment_size = SegmentSize::from_bytes(1 << shift).expect("legal");
        let page = page % (segment_size.bytes() / PAGE_SIZE as u64);
        let start = segment_size.start_of(number) + page * PAGE_SIZE as u64;
        Shape { version, segment_size, start, timeline: 1 }
    })
}

/// Length of such a log in bytes.
const LONG: u64 = 5 * STRETCH;

fn any_bulk() -> impl Strategy<Value = Vec<usize>> {
    let some = prop_oneof![4 => 1usize..100, 2 => 4000usize..60_000, 1 => 1usize..3_000_000];
    vec(some, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn threads_find_what_reading_in_order_finds_in_damaged_logs(
        shape in any_long_shape(),
        steps in vec(any_step(), 1..30),
        bulk in any_bulk(),
        damages in vec(vec(any_damage(LONG), 1..4), 4),
        end in proptest::option::weighted(0.3, 1..LONG),
        raise in 0..LONG,
    ) {
        let sound = long_log(shape, &steps, &bulk, LONG, raise);
        let end = end.map(|end| shape.start + end);
        assert_all_ways_agree(&sound, Position::jump_to(shape.start), end)?;
        for damages in &damages {
            let mut log = sound.clone();
            for damage in damages {
                inflict(&mut log, shape.start, damage);
            }
            assert_all_ways_agree(&log, Position::jump_to(shape.start), end)?;
        }
    }
}

/// After a promotion the first pages of a segment are of the old timeline, the rest of the new one. Who
/// takes up reading behind the change must not hold the segment's first page against the new timeline.
#[test]
fn a_timeline_may_change_within_a_segment() {
    let segment_size = SegmentSize::from_bytes(8 << 20).expect("legal");
    // So far before the segment that the stretch across its beginning is not the first, which is read by
    // the one who takes up reading at the end.
    let start = segment_size.start_of(2) + (segment_size.bytes() - 3 * STRETCH / 2);
    let mut builder =
        LogBuilder::new(Shape { version: Version::V15, segment_size, start, timeline: 1 });
    while builder.at() < start + 4 * STRETCH {
        builder.append(&Draft::new(130, 0, pattern(7, 900)));
        if builder.at() > start + 2 * STRETCH {
            builder.raise_timeline(2);
        }
    }
    let (log, written) = builder.finish();
    let outcome = assert_all_ways_agree(&log, Position::jump_to(start), None).expect("the same");
    assert_eq!(outcome.records.len(), written.len());
    assert_eq!(outcome.position.timeline, 2);
    assert!(outcome.stop.contains("wanted 24, got 0"), "{}", outcome.stop);
}

/// Each thing that is compared where two stretches meet can be wrong alone; then reading in order must have
/// the last word.
#[test]
fn seams_are_checked() {
    let segment_size = SegmentSize::from_bytes(16 << 20).expect("legal");
    let start = segment_size.start_of(1);
    let seam = start + 2 * STRETCH;
    let mut builder =
        LogBuilder::new(Shape { version: Version::V16, segment_size, start, timeline: 7 });
    while builder.at().0 < seam.0 - 40_000 {
        builder.append(&Draft::new(130, 0, pattern(7, 900)));
    }
    let across = builder.clone();
    // Up to the seam exactly, or across it.
    while builder.at() < seam {
        let main = pattern(8, builder.main_length_to(0, 0));
        builder.append(&Draft { long_main: true, ..Draft::new(131, 0, main) });
    }
    assert_eq!(builder.at(), seam);
    for (mut builder, crosses) in [(builder, false), (across, true)] {
        while builder.at() < seam + STRETCH * 2 {
            builder.append(&Draft::new(130, 0, pattern(9, 900)));
        }
        let (log, written) = builder.finish();
        let read = |log: &MemoryLog| {
            assert_all_ways_agree(log, Position::jump_to(start), None).expect("the same")
        };
        assert_eq!(read(&log).records.len(), written.len());

        let first = written.iter().find(|record| record.start >= seam).expect("behind the seam");
        assert!(crosses == (first.start > seam + 40));
        let mut relinked = log.clone();
        let mut bytes = first.bytes.clone();
        bytes[8] ^= 8;
        repair_crc(&mut bytes);
        relinked.write(first.start, &bytes);
        assert!(read(&relinked).stop.contains("incorrect prev-link"));

        let mut fallen = log.clone();
        fallen.flip(seam + 4, 1);
        assert!(read(&fallen).stop.contains("out-of-sequence timeline ID 6 (after 7)"));

        let mut continued = log.clone();
        continued.flip(seam + 2, 1);
        continued.write(seam + 16, &16u32.to_le_bytes());
        let expected = if crosses { "no contrecord flag" } else { "contrecord is requested" };
        assert!(read(&continued).stop.contains(expected));

        let mut longer = log.clone();
        longer.write(seam + 16, &(first.start.0 as u32 - seam.0 as u32 + 1000).to_le_bytes());
        let outcome = read(&longer);
        assert_eq!(outcome.records.len() == written.len(), !crosses, "{}", outcome.stop);
    }
}
