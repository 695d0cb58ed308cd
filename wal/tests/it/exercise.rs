//! All that can be done with a record at once: what a test or a fuzz target does with bytes of which only
//! the checksum is right.
//!
//! Invariant that is checked: nothing panics, and nothing that is printed grows beyond what the record's
//! bytes can say. (The fuzz crate has this file as a module of its own.)

use base::{Lsn, PAGE_SIZE, max_align};
use wal::Version;
use wal::record::{Decoder, RawRecord, Record, RecordHeader};
use wal::text::{Dialect, Text};

/// Does with a record all that can be done with it.
pub(crate) fn exercise(record: &Record<'_>) {
    let length = record.bytes().len();
    for dialect in [Dialect::Tool, Dialect::Server] {
        let mut text = Text::new(dialect);
        wal::rmgr::push_name(record.rmid(), &mut text);
        wal::rmgr::push_record_type(record.version(), record.rmid(), record.info(), &mut text);
        record.describe(&mut text);
        // A bit of the record may become a word, an array's element a number: but no count more than is there.
        assert!(text.len() < 4096 + 128 * length, "{} bytes of {length}", text.len());
    }
    if let Ok(payload) = record.payload() {
        let json = serde_json::to_vec(&payload).expect("payloads serialize");
        assert!(json.len() < 4096 + 256 * length, "{} bytes of {length}", json.len());
    }
    let mut page = [0; PAGE_SIZE];
    for block in record.blocks() {
        let _ = wal::image::restore(record, block, &mut page);
        record.block_data(block);
    }
}

/// Decodes a record's bytes as if read from a log of the version, and exercises it. Whether it was decoded.
pub(crate) fn decode_and_exercise(version: Version, start: Lsn, bytes: &[u8]) -> bool {
    let header = RecordHeader::read(bytes.first_chunk().expect("at least a header"));
    assert_eq!(header.total_length as usize, bytes.len());
    let end = Lsn(max_align(start.0 + bytes.len() as u64));
    let raw = RawRecord { version, start, end, header, bytes };
    let mut decoder = Decoder::default();
    let record = decoder.decode(raw, start);
    if let Ok(record) = &record {
        exercise(record);
    }
    record.is_ok()
}
