//! Images that a PostgreSQL 17 server made, against what its own pg_waldump restores from them.
//!
//! Each fixture is a record of a log that was written with `wal_compression` on or off; beside its name
//! stands the CRC-32C of the page of block 0 as `pg_waldump --save-fullpage` wrote it. (All 2,529 images of
//! that log were compared when the fixtures were made; these are one of each kind.)

use base::{Lsn, PAGE_SIZE};
use wal::Version;
use wal::crc::crc32c;
use wal::record::{Decoder, HEADER_SIZE, RawRecord, RecordHeader};

macro_rules! record {
    ($name:literal, $start:literal, $crc:literal) => {
        (
            $name,
            include_bytes!(concat!("../fixtures/images/", $name, ".record")).as_slice(),
            Lsn($start),
            $crc,
        )
    };
}

#[test]
fn images_of_every_kind_are_restored() {
    for (name, bytes, start, crc) in [
        record!("plain-full", 0x14753d0, 0x5971e8eb),
        record!("plain-hole", 0x1626b58, 0x88aea9b0),
        record!("pglz-full", 0x1795830, 0x16fffe4c),
        record!("pglz-hole", 0x179b630, 0x12d62e2a),
        record!("lz4-full", 0x1a7b3d0, 0x16fffe4c),
        record!("lz4-hole", 0x1a80bc0, 0x45dd73d3),
        record!("zstd-full", 0x1cea068, 0x16fffe4c),
        record!("zstd-hole", 0x1cefe10, 0x425f56a3),
    ] {
        let header: &[u8; HEADER_SIZE] = bytes.first_chunk().expect("a header");
        let header = RecordHeader::read(header);
        let raw = RawRecord { version: Version::V17, start, end: start, header, bytes };
        let mut decoder = Decoder::default();
        let record = decoder.decode(raw, start).expect("a record");
        let block = record.block(0).expect("block 0");
        assert_eq!(block.hole_length > 0, name.ends_with("hole"), "{name}");
        assert_eq!(block.is_compressed(), !name.starts_with("plain"), "{name}");
        let mut page = [0xEE; PAGE_SIZE];
        wal::image::restore(&record, block, &mut page).expect("an image");
        assert_eq!(crc32c(&page), crc, "{name}");
    }
}
