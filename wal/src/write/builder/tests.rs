//! Built records, taken apart by the decoder.

use base::{ForkNumber, Xid};
use proptest::prelude::*;

use super::*;
use crate::image;
use crate::record::{Decoder, RawRecord, Record};
use crate::version::Version;

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };
const OTHER: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16385 };
const PREVIOUS: Lsn = Lsn(0x100_0028);
const ON: PageWrites = PageWrites { redo: Lsn(0x200_0000), are_on: true };
const OFF: PageWrites = PageWrites { redo: Lsn(0x200_0000), are_on: false };

fn page(lsn: Lsn, lower: u16, upper: u16, byte: u8) -> Box<[u8; PAGE_SIZE]> {
    let mut page = Box::new([0; PAGE_SIZE]);
    page[..4].copy_from_slice(&((lsn.0 >> 32) as u32).to_le_bytes());
    page[4..8].copy_from_slice(&(lsn.0 as u32).to_le_bytes());
    page[12..14].copy_from_slice(&lower.to_le_bytes());
    page[14..16].copy_from_slice(&upper.to_le_bytes());
    page[24..usize::from(lower).max(24)].fill(byte);
    page[usize::from(upper)..].fill(byte ^ 0x5A);
    page
}

/// Takes the bytes apart, and checks header and sum.
fn decoded<R>(bytes: &[u8], see: impl FnOnce(&Record<'_>) -> R) -> R {
    let header = RecordHeader::read(bytes.first_chunk().expect("a header"));
    assert_eq!(header.total_length as usize, bytes.len());
    assert_eq!(header.crc, crc::of_record(bytes));
    assert_eq!(header.previous, PREVIOUS);
    let start = Lsn(0x200_0100);
    let raw = RawRecord { version: Version::V15, start, end: start, header, bytes };
    let mut decoder = Decoder::default();
    see(&decoder.decode(raw, start).expect("a sound record"))
}

fn built(builder: &mut Builder, record: &NewRecord<'_>, writes: PageWrites) -> Vec<u8> {
    builder.build(record, writes).expect("a legal record").to_bytes(PREVIOUS)
}

#[test]
fn all_parts_come_back() {
    let heap = page(Lsn(1), 28, 8000, 3);
    let pieces: [&[u8]; 2] = [b"block ", b"data"];
    let main: [&[u8]; 2] = [&[7; 200], &[8; 100]];
    let blocks = [
        NewBlock {
            data: &pieces,
            will_init: true,
            ..NewBlock::new(0, RELATION, ForkNumber::Main, 9)
        },
        NewBlock {
            page: Some(&heap),
            image: ImageChoice::IfOlder,
            is_standard: true,
            data: &pieces,
            ..NewBlock::new(3, RELATION, ForkNumber::VisibilityMap, 1)
        },
        NewBlock {
            page: Some(&heap),
            image: ImageChoice::Always,
            data: &pieces,
            keeps_data: true,
            ..NewBlock::new(32, OTHER, ForkNumber::Main, u32::MAX - 1)
        },
    ];
    let record = NewRecord {
        xid: Xid(731),
        main: &main,
        blocks: &blocks,
        origin: Some(5),
        toplevel_xid: Some(Xid(700)),
        ..NewRecord::new(10, 0x30 | SPECIAL_REL_UPDATE)
    };
    let mut builder = Builder::default();
    let bytes = built(&mut builder, &record, ON);
    decoded(&bytes, |record| {
        assert_eq!((record.rmid(), record.info(), record.xid()), (10, 0x30, Xid(731)));
        assert_eq!(record.header().info, 0x31);
        assert_eq!((record.origin(), record.toplevel_xid()), (Some(5), Some(Xid(700))));
        assert_eq!(record.main_data(), [[7; 200].as_slice(), &[8; 100]].concat());
        let ids: Vec<u8> = record.blocks().iter().map(|block| block.id).collect();
        assert_eq!(ids, [0, 3, 32]);
        let [first, second, third] = record.blocks() else { unreachable!() };
        assert_eq!(first.flags & !BLOCK_HAS_DATA, BLOCK_WILL_INIT);
        assert_eq!(record.block_data(first), b"block data");
        assert_eq!((second.locator, second.fork), (RELATION, ForkNumber::VisibilityMap));
        assert!(second.has_image() && second.applies_image() && second.flags & BLOCK_SAME_REL != 0);
        assert_eq!(record.block_data(second), b"", "the image makes the data superfluous");
        assert_eq!((second.hole_offset, second.hole_length), (28, 7972));
        assert_eq!((third.locator, third.hole_length), (OTHER, 0));
        assert_eq!(record.block_data(third), b"block data");
        for block in [second, third] {
            let mut restored = [0xEE; PAGE_SIZE];
            image::restore(record, block, &mut restored).expect("restores");
            assert_eq!(restored, *heap);
        }
    });
}

#[test]
fn a_page_is_logged_as_a_whole_once_after_the_redo_point() {
    let mut builder = Builder::default();
    for (lsn, writes, has_image) in [
        (Lsn(0x1FF_FFFF), ON, true),
        (ON.redo, ON, true),
        (Lsn(0x200_0001), ON, false),
        (Lsn(0), OFF, false),
    ] {
        let page = page(lsn, 28, 8000, 1);
        let blocks = [NewBlock {
            page: Some(&page),
            image: ImageChoice::IfOlder,
            ..NewBlock::new(0, RELATION, ForkNumber::Main, 9)
        }];
        let record = NewRecord { blocks: &blocks, ..NewRecord::new(10, 0) };
        let bytes = built(&mut builder, &record, writes);
        decoded(&bytes, |record| assert_eq!(record.blocks()[0].has_image(), has_image, "{lsn}"));
    }
}

#[test]
fn a_record_is_good_for_the_redo_points_that_need_no_further_image() {
    let mut builder = Builder::default();
    let page = page(Lsn(0x200_1000), 28, 8000, 1);
    let blocks = [NewBlock {
        page: Some(&page),
        image: ImageChoice::IfOlder,
        ..NewBlock::new(0, RELATION, ForkNumber::Main, 9)
    }];
    let record = NewRecord { blocks: &blocks, ..NewRecord::new(10, 0) };
    let moved = |redo| PageWrites { redo: Lsn(redo), are_on: true };
    let without_image = builder.build(&record, ON).expect("legal");
    assert_eq!(without_image.images(), 0);
    assert!(without_image.is_good_for(ON));
    assert!(without_image.is_good_for(moved(0x200_0FFF)));
    assert!(!without_image.is_good_for(moved(0x200_1000)));
    assert!(without_image.is_good_for(OFF));
    let switched_off = builder.build(&record, OFF).expect("legal");
    assert!(switched_off.is_good_for(OFF) && !switched_off.is_good_for(ON));
    let with_image = builder.build(&record, moved(0x200_1000)).expect("legal");
    assert_eq!(with_image.images(), 1);
    assert!(with_image.is_good_for(moved(0x300_0000)));
}

#[test]
fn consistency_checks_take_images_that_redo_does_not_restore() {
    let heap = page(Lsn(0x200_0001), 28, 8000, 1);
    let blocks = [NewBlock {
        page: Some(&heap),
        image: ImageChoice::IfOlder,
        data: &[b"data"],
        ..NewBlock::new(0, RELATION, ForkNumber::Main, 9)
    }];
    let record = NewRecord { blocks: &blocks, ..NewRecord::new(10, CHECK_CONSISTENCY) };
    let bytes = built(&mut Builder::default(), &record, ON);
    decoded(&bytes, |record| {
        let block = record.blocks()[0];
        assert!(block.has_image() && !block.applies_image());
        assert_eq!(record.block_data(&block), b"data");
    });
}

#[test]
fn what_breaks_the_format_is_refused() {
    let mut builder = Builder::default();
    let mut refused = |record: NewRecord<'_>| builder.build(&record, ON).expect_err("refused");
    assert_eq!(refused(NewRecord::new(22, 0)), BuildError::ResourceManager(22));
    assert_eq!(refused(NewRecord::new(127, 0)), BuildError::ResourceManager(127));
    assert_eq!(refused(NewRecord::new(10, 0x04)), BuildError::Info(0x04));
    let block = |id| NewBlock::new(id, RELATION, ForkNumber::Main, 0);
    for ids in [[1, 1], [2, 1], [0, 33]] {
        let blocks = ids.map(block);
        let error = refused(NewRecord { blocks: &blocks, ..NewRecord::new(10, 0) });
        assert_eq!(error, BuildError::BlockId(ids[1]));
    }
    for image in [ImageChoice::Always, ImageChoice::IfOlder] {
        let blocks = [NewBlock { image, ..block(4) }];
        let error = refused(NewRecord { blocks: &blocks, ..NewRecord::new(10, 0) });
        assert_eq!(error, BuildError::NoPage(4));
    }
    let long = vec![0; 40_000];
    let blocks = [NewBlock { data: &[&long, &long], ..block(0) }];
    let error = refused(NewRecord { blocks: &blocks, ..NewRecord::new(10, 0) });
    assert_eq!(error, BuildError::BlockData { id: 0, length: 80_000 });
    let mebibyte = vec![0u8; 1 << 20];
    let main = vec![mebibyte.as_slice(); 1020];
    let error = refused(NewRecord { main: &main, ..NewRecord::new(0, 0x20) });
    assert_eq!(error, BuildError::TooLong { length: (1020 << 20) + 24 + 5 });
}

proptest! {
    #[test]
    fn images_come_back_by_every_method(
        lower in 20u16..6000, gap in 0u16..2200, byte: u8, noise in 0usize..3000, seed: u64,
    ) {
        let mut original = page(Lsn(5), lower, lower + gap, byte);
        let mut state = seed | 1;
        for at in 0..noise.min(usize::from(lower).saturating_sub(24)) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            original[24 + at] = (state >> 56) as u8;
        }
        for method in [
            ImageCompression::None, ImageCompression::Pglz, ImageCompression::Lz4, ImageCompression::Zstd,
        ] {
            let mut builder = Builder::new(method);
            let mut lengths = Vec::new();
            for is_standard in [true, false] {
                let blocks = [NewBlock {
                    page: Some(&original),
                    image: ImageChoice::Always,
                    is_standard,
                    ..NewBlock::new(0, RELATION, ForkNumber::Main, 9)
                }];
                let record = NewRecord { blocks: &blocks, ..NewRecord::new(10, 0) };
                let bytes = built(&mut builder, &record, ON);
                decoded(&bytes, |record| {
                    let mut restored = [0xEE; PAGE_SIZE];
                    image::restore(record, &record.blocks()[0], &mut restored).expect("restores");
                    assert_eq!(&restored, &*original);
                });
                lengths.push(bytes.len());
            }
            prop_assert!(method != ImageCompression::None || lengths[0] <= lengths[1]);
        }
    }

    #[test]
    fn main_data_of_any_length_comes_back(length in 0usize..5000, pieces in 1usize..5, byte: u8) {
        let data: Vec<u8> = (0..length).map(|at| byte ^ at as u8).collect();
        let main: Vec<&[u8]> = data.chunks(length.div_ceil(pieces).max(1)).collect();
        let record = NewRecord { main: &main, ..NewRecord::new(128, 0x20) };
        let bytes = built(&mut Builder::default(), &record, ON);
        decoded(&bytes, |record| assert_eq!(record.main_data(), data));
    }
}
