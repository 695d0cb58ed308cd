//! Images of pages that real servers logged, taken again of the pages that they restore: the same bytes, however they are
//! compressed.

use std::collections::BTreeMap;

use base::{Lsn, PAGE_SIZE};
use wal::record::{
    BlockRef, Decoder, HEADER_SIZE, IMAGE_COMPRESSED, IMAGE_LZ4, IMAGE_PGLZ, IMAGE_ZSTD, RawRecord,
    RecordHeader,
};
use wal::write::{Builder, ImageChoice, ImageCompression, NewBlock, NewRecord, PageWrites};
use wal::{Record, Version, image};

use crate::corpus;

/// How images may be compressed.
const METHODS: [ImageCompression; 4] =
    [ImageCompression::None, ImageCompression::Pglz, ImageCompression::Lz4, ImageCompression::Zstd];

/// How this one is.
fn method(block: &BlockRef) -> usize {
    match block.image_info & IMAGE_COMPRESSED {
        0 => 0,
        IMAGE_PGLZ => 1,
        IMAGE_LZ4 => 2,
        IMAGE_ZSTD => 3,
        other => panic!("compressed by {other:#x}"),
    }
}

/// What a record has of an image: which bits of its form, the hole's place and length, the bytes.
type Stored = (u8, u16, u16, Vec<u8>);

fn stored(record: &Record<'_>, block: &BlockRef) -> Stored {
    let info = block.image_info & IMAGE_COMPRESSED;
    (info, block.hole_offset, block.hole_length, record.image_data(block).to_vec())
}

/// The same image as the writer takes it of a page.
fn taken(builder: &mut Builder, of: &BlockRef, page: &[u8; PAGE_SIZE]) -> Stored {
    let blocks = [NewBlock {
        page: Some(page),
        image: ImageChoice::Always,
        is_standard: of.hole_length > 0,
        ..NewBlock::new(0, of.locator, of.fork, of.block)
    }];
    let record = NewRecord { blocks: &blocks, ..NewRecord::new(0, 0xB0) };
    let writes = PageWrites { redo: Lsn(1), are_on: true };
    let bytes = builder.build(&record, writes).expect("a legal record").to_bytes(Lsn(1));
    let header: &[u8; HEADER_SIZE] = bytes.first_chunk().expect("a header");
    let header = RecordHeader::read(header);
    let raw =
        RawRecord { version: Version::V15, start: Lsn(1), end: Lsn(1), header, bytes: &bytes };
    let mut decoder = Decoder::default();
    let record = decoder.decode(raw, Lsn(1)).expect("a sound record");
    stored(&record, record.block(0).expect("the block"))
}

#[test]
fn images_have_a_servers_bytes() {
    // By major version, method, and whether there is a hole: how many there are, and how many are other bytes.
    let mut compared = BTreeMap::<(&str, usize, bool), (u64, u64)>::new();
    let corpora = corpus::all();
    for corpus in &corpora {
        let mut records = corpus.records();
        let (major, _) = corpus.name().split_once('-').expect("a name begins so");
        let mut builders = METHODS.map(Builder::new);
        while let Ok(record) = records.next_record() {
            for block in record.blocks().iter().filter(|block| block.has_image()) {
                let method = method(block);
                let mut page = [0; PAGE_SIZE];
                image::restore(&record, block, &mut page).expect("an image");
                let ours = taken(&mut builders[method], block, &page);
                let key = (major, method, block.hole_length > 0);
                let (all, other) = compared.entry(key).or_default();
                *all += 1;
                *other += u64::from(ours != stored(&record, block));
            }
        }
    }
    println!("{compared:?}");
    for ((major, method, has_hole), (all, other)) in &compared {
        let method = METHODS[*method];
        // 15 may be linked with another libzstd than this crate, which finds other compressions now and then.
        let is_close = *major == "15" && method == ImageCompression::Zstd && other * 4 < *all;
        assert!(*other == 0 || is_close, "{major}, {method:?}, {has_hole}: {other} of {all}");
    }
    for major in ["15", "17", "18"] {
        let kinds = compared.keys().filter(|(of, ..)| *of == major).count();
        assert_eq!(
            kinds,
            2 * METHODS.len(),
            "images of {major} with a hole and without: {compared:?}"
        );
    }
}
