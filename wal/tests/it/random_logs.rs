//! Random logs: records of every form, one behind the other.
//!
//! Invariant: what is generated is what a server could have written; damage is done to it elsewhere.

use base::{PAGE_SIZE, RelFileLocator, Xid};
use proptest::collection::vec;
use proptest::prelude::*;
use wal::record::{IMAGE_APPLY, IMAGE_HAS_HOLE, IMAGE_LZ4, IMAGE_PGLZ, IMAGE_ZSTD};
use wal::segment::SegmentSize;
use wal::version::Version;

use crate::synthetic::{Draft, DraftBlock, DraftImage, LogBuilder, MemoryLog, Shape, Written};

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

pub(crate) fn build(shape: Shape, steps: &[Step]) -> (MemoryLog, Vec<Written>) {
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

pub(crate) fn any_version() -> impl Strategy<Value = Version> {
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
