//! Changes made records, as the log would hold them.

use base::{ForkNumber, Lsn, RelFileLocator, Xid};
use engine::heap::Change;
use wal::Version;
use wal::record::{Decoder, RawRecord, Record, RecordHeader};
use wal::write::{Builder, NewBlock, NewRecord, PageWrites};

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

/// Calls `see` with the record of a change of these blocks, the first of which is block 0.
pub(crate) fn with_record<R>(
    change: &Change,
    xid: Xid,
    blocks: &[u32],
    see: impl FnOnce(&Record<'_>) -> R,
) -> R {
    let data: [&[u8]; 1] = [&change.block_data];
    let references: Vec<_> = (0..)
        .zip(blocks)
        .map(|(id, &block)| NewBlock {
            will_init: id == 0 && change.will_init,
            data: if id == 0 { &data } else { &[] },
            ..NewBlock::new(id, RELATION, ForkNumber::Main, block)
        })
        .collect();
    let main: [&[u8]; 1] = [&change.main];
    let record = NewRecord {
        xid,
        main: &main,
        blocks: &references,
        ..NewRecord::new(change.rmid, change.info)
    };
    let mut builder = Builder::default();
    let off = PageWrites { redo: Lsn(0), are_on: false };
    let mut built = builder.build(&record, off).expect("a legal record");
    let bytes = built.to_bytes(Lsn(0x100_0028));
    let header = RecordHeader::read(bytes.first_chunk().expect("a header"));
    let (start, end) = (Lsn(0x200_0100), Lsn(0x200_0100 + bytes.len() as u64));
    let raw = RawRecord { version: Version::V15, start, end, header, bytes: &bytes };
    see(&Decoder::default().decode(raw, start).expect("a sound record"))
}
