//! Images against what went into them. Images that a server made: `tests/it/image.rs`.

use proptest::prelude::*;

use super::*;
use crate::record::{
    BLOCK_HAS_IMAGE, Decoder, HEADER_SIZE, IMAGE_APPLY, IMAGE_HAS_HOLE, RawRecord, RecordHeader,
};
use crate::version::Version;

const AT: Lsn = Lsn(0x1_0000_0028);

/// A record with one block reference, of id 3, and its image.
fn record_bytes(stored: &[u8], image_info: u8, offset: u16, hole: u16) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_SIZE];
    bytes.extend_from_slice(&[3, BLOCK_HAS_IMAGE, 0, 0]);
    bytes.extend_from_slice(&(stored.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.push(image_info | IMAGE_APPLY);
    if image_info & IMAGE_HAS_HOLE != 0 && image_info & 0x1C != 0 {
        bytes.extend_from_slice(&hole.to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 16]); // locator and block number
    bytes.extend_from_slice(stored);
    let total = bytes.len() as u32;
    bytes[..4].copy_from_slice(&total.to_le_bytes());
    bytes
}

/// Restores onto a page full of rubbish. `None` if the record itself is refused.
fn restored(
    stored: &[u8],
    image_info: u8,
    offset: u16,
    hole: u16,
) -> Option<Result<Box<[u8; PAGE_SIZE]>, ImageError>> {
    let bytes = record_bytes(stored, image_info, offset, hole);
    let header = RecordHeader::read(bytes.first_chunk()?);
    let raw = RawRecord { version: Version::V17, start: AT, end: AT, header, bytes: &bytes };
    let mut decoder = Decoder::default();
    let record = decoder.decode(raw, AT).ok()?;
    let mut page = Box::new([0xEE; PAGE_SIZE]);
    Some(restore(&record, &record.blocks()[0], &mut page).map(|()| page))
}

/// A page that compresses, with or without a hole.
fn page() -> impl Strategy<Value = (Vec<u8>, u16, u16)> {
    let pattern = proptest::collection::vec(any::<u8>(), 1..200);
    let hole = prop_oneof![
        Just((0u16, 0u16)),
        (1u16..8000).prop_flat_map(|offset| (Just(offset), 1..=8192 - offset))
    ];
    (pattern, hole).prop_map(|(pattern, (offset, length))| {
        let mut page: Vec<u8> = pattern.into_iter().cycle().take(PAGE_SIZE).collect();
        page[usize::from(offset)..][..usize::from(length)].fill(0);
        (page, offset, length)
    })
}

fn without_hole(page: &[u8], offset: u16, length: u16) -> Vec<u8> {
    let (offset, length) = (usize::from(offset), usize::from(length));
    [&page[..offset], &page[offset + length..]].concat()
}

fn hole_flag(length: u16) -> u8 {
    if length > 0 { IMAGE_HAS_HOLE } else { 0 }
}

/// pglz without a match: a control byte of zero before every eight literals.
fn as_pglz(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(8).flat_map(|items| [&[0], items].concat()).collect()
}

#[test]
fn pglz_comes_before_lz4_before_zstd() {
    let plain = vec![7; 4000];
    let pglz = as_pglz(&plain);
    let lz4 = lz4_flex::block::compress(&plain);
    let zstd = zstd::bulk::compress(&plain, 3).expect("compress");
    let try_with = |stored: &[u8], info| {
        restored(stored, info | IMAGE_HAS_HOLE, 100, 4192).expect("a record").is_ok()
    };
    for (stored, own) in [(&pglz, IMAGE_PGLZ), (&lz4, IMAGE_LZ4), (&zstd, IMAGE_ZSTD)] {
        for others in 0..8 {
            let info = own | others << 2;
            let first = 1 << info.trailing_zeros();
            assert_eq!(try_with(stored, info), first == own, "{info:#x}");
        }
    }
}

#[test]
fn messages_are_postgresqls() {
    let error = restored(&[0xFF; 10], IMAGE_ZSTD, 0, 0).expect("a record").expect_err("rubbish");
    assert_eq!(error.to_string(), "could not decompress image at 1/28, block 3");
    let unknown = ImageError::UnknownMethod { at: AT, block: 3 };
    assert_eq!(
        unknown.to_string(),
        "could not restore image at 1/28 compressed with unknown method, block 3"
    );
    let missing = ImageError::NoImage { at: AT, block: 3 };
    assert_eq!(missing.to_string(), "could not restore image at 1/28 with invalid state, block 3");
}

#[test]
fn short_images_are_filled_up_with_zeroes() {
    let short = vec![9; 5000];
    let lz4 = lz4_flex::block::compress(&short);
    let zstd = zstd::bulk::compress(&short, 3).expect("compress");
    for (stored, info) in [(lz4, IMAGE_LZ4), (zstd, IMAGE_ZSTD)] {
        let page = restored(&stored, info | IMAGE_HAS_HOLE, 4000, 192).expect("a record");
        let page = page.expect("PostgreSQL takes it");
        assert!(page[..4000].iter().all(|byte| *byte == 9));
        assert!(page[4000..4192].iter().all(|byte| *byte == 0), "the hole");
        assert!(page[4192..5192].iter().all(|byte| *byte == 9));
        assert!(page[5192..].iter().all(|byte| *byte == 0), "what PostgreSQL leaves undefined");
    }
    let pglz = restored(&as_pglz(&short), IMAGE_PGLZ | IMAGE_HAS_HOLE, 4000, 192);
    assert!(pglz.expect("a record").is_err(), "pglz must be complete");
    let none = zstd::bulk::compress(&[], 3).expect("compress");
    let page = restored(&none, IMAGE_ZSTD, 0, 0).expect("a record").expect("PostgreSQL takes it");
    assert!(page.iter().all(|byte| *byte == 0));
    let none = restored(&[0], IMAGE_LZ4, 0, 0).expect("a record");
    assert!(none.is_err(), "an lz4 image of nothing is none");
}

#[test]
fn long_images_are_refused() {
    let long = vec![9; 8001];
    let stored = [
        (as_pglz(&long[..7000]), IMAGE_PGLZ, 6999),
        (lz4_flex::block::compress(&long), IMAGE_LZ4, 8000),
        (zstd::bulk::compress(&long, 3).expect("compress"), IMAGE_ZSTD, 8000),
    ];
    for (stored, info, length) in stored {
        let result = restored(&stored, info | IMAGE_HAS_HOLE, 40, 8192 - length);
        assert!(result.expect("a record").is_err(), "{info:#x}");
    }
}

proptest! {
    #[test]
    fn plain_images_come_back((page, offset, hole) in page()) {
        let stored = without_hole(&page, offset, hole);
        let restored = restored(&stored, hole_flag(hole), offset, hole).expect("a record");
        let restored = restored.expect("an image");
        prop_assert_eq!(restored.as_slice(), &page);
    }

    #[test]
    fn compressed_images_come_back((page, offset, hole) in page()) {
        let plain = without_hole(&page, offset, hole);
        let stored = [
            (as_pglz(&plain), IMAGE_PGLZ),
            (lz4_flex::block::compress(&plain), IMAGE_LZ4),
            (zstd::bulk::compress(&plain, 3).expect("compress"), IMAGE_ZSTD),
        ];
        for (stored, info) in stored {
            // As the server, which stores plain what does not get smaller.
            if stored.len() < PAGE_SIZE {
                let restored = restored(&stored, info | hole_flag(hole), offset, hole);
                let restored = restored.expect("a record").expect("an image");
                prop_assert_eq!(restored.as_slice(), &page, "{:#x}", info);
            }
        }
    }

    #[test]
    fn rubbish_is_refused_or_fills_the_page(
        stored in proptest::collection::vec(any::<u8>(), 0..600), info in 0u8..8, hole in 1u16..8000,
    ) {
        let _ = restored(&stored, info << 2 | IMAGE_HAS_HOLE, 100, hole);
    }

    #[test]
    fn damaged_images_are_refused_or_fill_the_page(
        (page, offset, hole) in page(), at: prop::sample::Index, bit in 0u8..8,
    ) {
        let plain = without_hole(&page, offset, hole);
        let stored = [
            (as_pglz(&plain), IMAGE_PGLZ),
            (lz4_flex::block::compress(&plain), IMAGE_LZ4),
            (zstd::bulk::compress(&plain, 3).expect("compress"), IMAGE_ZSTD),
        ];
        for (mut stored, info) in stored {
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
            let _ = restored(&stored, info | hole_flag(hole), offset, hole);
        }
    }
}
