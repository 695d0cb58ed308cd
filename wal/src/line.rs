//! A record as the line (or, with block details, the lines) that `pg_waldump` prints.
//!
//! The form of the line is the same in 15 to 18; what differs between them is in the descriptions, which
//! belong to the resource managers. Source: `XLogDumpDisplayRecord` of `pg_waldump.c`,
//! `XLogRecGetBlockRefInfo` of `xlogdesc.c`.

use base::{ForkNumber, Lsn, PAGE_SIZE, RelFileLocator};

use crate::record::{BlockRef, IMAGE_LZ4, IMAGE_PGLZ, Record};
use crate::rmgr::{TABLE, push_name, push_record_type};
use crate::text::{self, Text};

/// The first number that has more than eight digits.
const EIGHT_DIGITS: u32 = 100_000_000;

/// How much of a record's block references is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BlockDetail {
    /// Behind the description, on its line.
    #[default]
    Short,
    /// A line a block, with the hole and the compression of its image (`--bkp-details`).
    Full,
}

/// Appends the record as `pg_waldump` prints it, line feed included.
pub fn push_line(record: &Record<'_>, detail: BlockDetail, out: &mut Text) {
    push_head(record, out);
    push_record_type(record.version(), record.rmid(), record.info(), out);
    out.str(" ");
    record.describe(out);
    match detail {
        BlockDetail::Short => push_short_references(record, out),
        BlockDetail::Full => {
            out.str("\n");
            for block in record.blocks() {
                out.str("\t");
                push_full_reference(block, out);
                out.str("\n");
            }
            return;
        }
    }
    out.str("\n");
}

/// What stands before the record's type, in the columns that most records keep within:
///
/// ```text
/// rmgr: ___________ len (rec/tot): ______/______, tx: __________, lsn: _/________, prev _/________, desc:
/// 0     6                          33     40          52               69
/// ```
type Head = [u8; 128];

/// The first columns, and room for the positions behind them.
const COLUMNS: &[u8; 69] = b"rmgr:             len (rec/tot):       /      , tx:           , lsn: ";

/// The columns with the names of the built-in resource managers; `None` for a name that is too long.
static HEADS: [Option<Head>; TABLE.len()] = {
    let mut heads = [None; TABLE.len()];
    let mut id = 0;
    while id < TABLE.len() {
        let name = TABLE[id].name.as_bytes();
        if name.len() <= 11 {
            let mut head = [0; 128];
            head.split_at_mut(COLUMNS.len()).0.copy_from_slice(COLUMNS);
            head.split_at_mut(6).1.split_at_mut(name.len()).0.copy_from_slice(name);
            heads[id] = Some(head);
        }
        id += 1;
    }
    heads
};

#[inline]
fn push_head(record: &Record<'_>, out: &mut Text) {
    const SIX_DIGITS: u32 = 1_000_000;
    let total = record.header().total_length;
    let length = total.wrapping_sub(record.image_length());
    let xid = record.xid().0;
    match HEADS.get(usize::from(record.rmid())) {
        Some(Some(head)) if total.max(length) < SIX_DIGITS && xid < EIGHT_DIGITS => {
            out.filled(head, |head| {
                head[33..39].copy_from_slice(&text::right_aligned(length)[2..]);
                head[40..46].copy_from_slice(&text::right_aligned(total)[2..]);
                head[54..62].copy_from_slice(&text::right_aligned(xid));
                let at = put_lsn(record.start(), head, COLUMNS.len());
                let at = put(b", prev ", head, at);
                let at = put_lsn(record.previous(), head, at);
                put(b", desc: ", head, at)
            });
        }
        _ => push_unusual_head(record, out),
    }
}

/// Puts a part into a text; returns where the next one goes.
#[inline]
fn put<const N: usize, const M: usize>(part: &[u8; N], text: &mut [u8; M], at: usize) -> usize {
    text[at..at + N].copy_from_slice(part);
    at + N
}

/// `%u`, of fewer than nine digits.
#[inline]
fn put_number<const M: usize>(number: u32, text: &mut [u8; M], at: usize) -> usize {
    let (characters, count) = text::left_aligned(number);
    // All eight, of which what is too much is overwritten.
    put(&characters, text, at);
    at + count
}

/// `%X/%08X`
#[inline]
fn put_lsn(lsn: Lsn, head: &mut Head, at: usize) -> usize {
    let (high, count) = text::hexadecimal((lsn.0 >> 32) as u32);
    let first = u64::from_le_bytes(high) >> (64 - 8 * count as u32);
    // All eight, of which what is too much is overwritten.
    put(&first.to_le_bytes(), head, at);
    let at = put(b"/", head, at + count);
    put(&text::hexadecimal(lsn.0 as u32).0, head, at)
}

/// As [`push_head`], where a name or number is wider than its column.
#[cold]
fn push_unusual_head(record: &Record<'_>, out: &mut Text) {
    let total = record.header().total_length;
    let start = out.len();
    out.str("rmgr: ");
    push_name(record.rmid(), out);
    out.spaces((start + 17).saturating_sub(out.len())).str(" len (rec/tot): ");
    out.int_padded(total.wrapping_sub(record.image_length()), 6).str("/").int_padded(total, 6);
    out.str(", tx: ").int_padded(record.xid().0, 10);
    out.str(", lsn: ").lsn_padded(record.start());
    out.str(", prev ").lsn_padded(record.previous()).str(", desc: ");
}

/// Appends the block references on one line in full form, as `pg_walinspect` prints them.
pub fn push_full_references(record: &Record<'_>, out: &mut Text) {
    for block in record.blocks() {
        // PostgreSQL separates by the id, not by whether something stands before.
        if block.id > 0 {
            out.str(" ");
        }
        push_full_reference(block, out);
    }
}

fn push_short_references(record: &Record<'_>, out: &mut Text) {
    for block in record.blocks() {
        push_short_reference(block, out);
        if block.has_image() {
            out.str(if block.applies_image() { " FPW" } else { " FPW for WAL verification" });
        }
    }
}

#[inline]
fn push_short_reference(block: &BlockRef, out: &mut Text) {
    let RelFileLocator { tablespace, database, relation } = block.locator;
    let largest = tablespace.max(database).max(relation).max(block.block);
    if block.id > 9 || block.fork != ForkNumber::Main || largest >= EIGHT_DIGITS {
        return push_unusual_reference(block, out);
    }
    const START: &[u8; 17] = b", blkref #0: rel ";
    const TEMPLATE: [u8; 64] = {
        let mut template = [0; 64];
        template.split_at_mut(START.len()).0.copy_from_slice(START);
        template
    };
    out.filled(&TEMPLATE, |text| {
        text[10] += block.id;
        let at = put_number(tablespace, text, START.len());
        let at = put(b"/", text, at);
        let at = put_number(database, text, at);
        let at = put(b"/", text, at);
        let at = put_number(relation, text, at);
        let at = put(b" blk ", text, at);
        put_number(block.block, text, at)
    });
}

/// As [`push_short_reference`], of other forks and with longer numbers.
#[cold]
fn push_unusual_reference(block: &BlockRef, out: &mut Text) {
    out.str(", blkref #").int(block.id).str(": rel ").locator(block.locator);
    if block.fork != ForkNumber::Main {
        out.str(" fork ").str(block.fork.name());
    }
    out.str(" blk ").int(block.block);
}

fn push_full_reference(block: &BlockRef, out: &mut Text) {
    out.str("blkref #").int(block.id).str(": rel ").locator(block.locator);
    out.str(" fork ").str(block.fork.name()).str(" blk ").int(block.block);
    if !block.has_image() {
        return;
    }
    out.str(if block.applies_image() { " (FPW)" } else { " (FPW for WAL verification)" });
    out.str("; hole: offset: ").int(block.hole_offset).str(", length: ").int(block.hole_length);
    if let Some(method) = compression_method(block) {
        // Printed as unsigned where a compressed image with its hole is longer than the page.
        let saved = (PAGE_SIZE as u32)
            .wrapping_sub(u32::from(block.hole_length))
            .wrapping_sub(u32::from(block.image_length));
        out.str(", compression saved: ").int(saved).str(", method: ").str(method);
    }
}

/// Name of the compression of the block's image: `pglz`, `lz4`, `zstd`; `None` for a plain one or none.
/// Where several bits are set the first of them counts, as in PostgreSQL.
pub fn compression_method(block: &BlockRef) -> Option<&'static str> {
    if !block.is_compressed() {
        return None;
    }
    Some(match block.image_info {
        info if info & IMAGE_PGLZ != 0 => "pglz",
        info if info & IMAGE_LZ4 != 0 => "lz4",
        _ => "zstd",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmgr::test_record::{Bytes, TestRecord};
    use crate::version::Version;
    use base::Xid;
    use proptest::prelude::*;

    /// A head as it is written for all records, and as for unusual ones.
    fn heads(record: &TestRecord, start: Lsn) -> [String; 2] {
        record.with_at(start, |record| {
            [push_head, push_unusual_head].map(|push: fn(&Record<'_>, &mut Text)| {
                let mut text = Text::default();
                push(record, &mut text);
                String::from_utf8_lossy(text.as_bytes()).into_owned()
            })
        })
    }

    #[test]
    fn the_head_has_pg_waldumps_columns() {
        let record = TestRecord::new(Version::V15, 10, 0).main(Bytes::default().zeros(3)).image(0);
        let [head, unusual] = heads(&record, Lsn(0x16_0000_28F0));
        let expected = "rmgr: Heap        len (rec/tot):     57/   121, tx:        731, \
                        lsn: 16/000028F0, prev 0/01000000, desc: ";
        assert_eq!(head, expected);
        assert_eq!(unusual, expected);
    }

    proptest! {
        #[test]
        fn both_ways_to_write_a_head_agree(
            rmid in prop_oneof![0u8..22, 128u8..=255], xid: u32, shift in 0u32..32, start: u64,
            length in 0usize..1_200_000,
        ) {
            let mut record = TestRecord::new(Version::V18, rmid, 0);
            record.xid = Xid(xid >> shift);
            record.main = vec![0; length];
            let start = Lsn((start >> shift) & ((1 << 60) - 8));
            let [head, unusual] = heads(&record, start);
            prop_assert_eq!(head, unusual);
        }

        #[test]
        fn both_ways_to_write_a_reference_agree(numbers: [u32; 4], shifts: [u8; 4], id in 0u8..32) {
            let mut record = TestRecord::new(Version::V18, 10, 0).block(id, Bytes::default().zeros(1));
            let [tablespace, database, relation, block] =
                std::array::from_fn(|index| numbers[index] >> (shifts[index] % 32));
            record.blocks[0].locator = RelFileLocator { tablespace, database, relation };
            record.blocks[0].block = block;
            record.with(|record| {
                let [text, unusual] = [push_short_reference, push_unusual_reference].map(
                    |push: fn(&BlockRef, &mut Text)| {
                        let mut text = Text::default();
                        push(&record.blocks()[0], &mut text);
                        String::from_utf8_lossy(text.as_bytes()).into_owned()
                    },
                );
                prop_assert_eq!(text, unusual);
                Ok(())
            })?;
        }
    }
}
