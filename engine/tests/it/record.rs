//! Changes made records, as the log would hold them.

use base::{ForkNumber, Lsn, RelFileLocator, Xid};
use engine::heap::Change;
use wal::Version;
use wal::record::{Decoder, RawRecord, Record, RecordHeader};
use wal::write::{Builder, NewBlock, NewRecord, PageWrites};

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

/// A block of a record: its number, whether redo makes it anew, its data.
pub(crate) type Block<'a> = (u32, bool, &'a [u8]);

/// Calls `see` with the record of a change of these blocks, the first of which is block 0.
pub(crate) fn with_record<R>(
    change: &Change,
    xid: Xid,
    blocks: &[u32],
    see: impl FnOnce(&Record<'_>) -> R,
) -> R {
    let block = |(index, &block)| -> Block<'_> {
        if index == 0 { (block, change.will_init, &change.block_data) } else { (block, false, &[]) }
    };
    let blocks: Vec<_> = blocks.iter().enumerate().map(block).collect();
    with_blocks((change.rmid, change.info), xid, &change.main, &blocks, see)
}

/// Calls `see` with a record of a resource manager and an operation about these blocks, numbered from 0.
pub(crate) fn with_blocks<R>(
    (rmid, info): (u8, u8),
    xid: Xid,
    main: &[u8],
    blocks: &[Block<'_>],
    see: impl FnOnce(&Record<'_>) -> R,
) -> R {
    let data: Vec<[&[u8]; 1]> = blocks.iter().map(|block| [block.2]).collect();
    let references: Vec<_> = (0..)
        .zip(blocks.iter().zip(&data))
        .map(|(id, (&(block, will_init, bytes), data))| NewBlock {
            will_init,
            data: if bytes.is_empty() { &[] } else { data },
            ..NewBlock::new(id, RELATION, ForkNumber::Main, block)
        })
        .collect();
    let main: [&[u8]; 1] = [main];
    let record = NewRecord { xid, main: &main, blocks: &references, ..NewRecord::new(rmid, info) };
    let mut builder = Builder::default();
    let off = PageWrites { redo: Lsn(0), are_on: false };
    let mut built = builder.build(&record, off).expect("a legal record");
    let bytes = built.to_bytes(Lsn(0x100_0028));
    let header = RecordHeader::read(bytes.first_chunk().expect("a header"));
    let (start, end) = (Lsn(0x200_0100), Lsn(0x200_0100 + bytes.len() as u64));
    let raw = RawRecord { version: Version::V15, start, end, header, bytes: &bytes };
    see(&Decoder::default().decode(raw, start).expect("a sound record"))
}
