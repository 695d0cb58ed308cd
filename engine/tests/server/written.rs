//! Relation files and pages made by the engine, for the server to judge: `cargo xtask heap` puts the files in the place
//! of empty tables', and gives the pages to pageinspect.

use std::fmt::Write as _;

use base::page::{PageBytes, PageFlags, Placement};
use base::{Lsn, PAGE_SIZE, Page, PageMut, Tid, TimestampTz, Xid};
use engine::heap::insert::{Insertion, insert};
use engine::heap::prune::{Fate, Fates, prune};
use engine::heap::update::{Updating, update};
use engine::heap::{
    Change, ColumnType, CommandStamp, HeapError, NewXmax, TupleValues, Value, delete, form_tuple,
};
use fastrand::Rng;
use wal::rmgr::heap::DeleteFlags;

use crate::evidence::{columns, hex, number, place, sent, text};

/// Values of these columns, on memory of `texts`.
fn row<'a>(
    columns: &[ColumnType],
    random: &mut Rng,
    text: &'a str,
    bytes: &'a [u8],
) -> Vec<Value<'a>> {
    let value = |column: &ColumnType| {
        if random.usize(..8) == 0 {
            return Value::Null;
        }
        let word = random.u64(..);
        match column {
            ColumnType::Bool => Value::Bool(word.is_multiple_of(2)),
            ColumnType::Int2 => Value::Int2(word as i16),
            ColumnType::Int4 => Value::Int4(word as i32),
            ColumnType::Int8 => Value::Int8(word as i64),
            ColumnType::Float8 => Value::Float8(word as f64 / 3.0),
            ColumnType::TimestampTz => Value::TimestampTz(TimestampTz((word >> 14) as i64)),
            ColumnType::Uuid => Value::Uuid([word as u8; 16]),
            ColumnType::Text => {
                let length = text.char_indices().nth(random.usize(..180)).map_or(0, |(at, _)| at);
                Value::Text(&text[..length])
            }
            ColumnType::Date | ColumnType::Numeric | ColumnType::Bpchar | ColumnType::Oid => {
                Value::Null
            }
            ColumnType::Bytea => Value::Bytea(&bytes[..random.usize(..bytes.len())]),
        }
    };
    columns.iter().map(value).collect()
}

/// Rows inserted, some of them then updated, some deleted, all by one transaction that has committed.
fn relation(table: &str, xid: Xid, random: &mut Rng) -> Vec<Box<PageBytes>> {
    let columns = columns(table);
    let text = "Grüße, Welt! ".repeat(20);
    let bytes: Vec<u8> = (0..=255).collect();
    let mut pages: Vec<Box<PageBytes>> = Vec::new();
    let (mut tuple, mut change) = (Vec::new(), Change::default());
    let mut rows = 0;
    while rows < 4000 {
        let block = pages.len() as u32;
        let mut page_bytes = Box::new([0; PAGE_SIZE]);
        let mut page = PageMut::init(&mut page_bytes, 0);
        loop {
            let values = row(columns, random, &text, &bytes);
            form_tuple(columns, &values, &mut tuple).expect("a row that fits");
            match insert(&mut page, &Insertion::new(block, xid, 0), &mut tuple, &mut change) {
                Ok(_) => rows += 1,
                Err(HeapError::Add(_)) => break,
                Err(error) => panic!("{error}"),
            }
            // Versions of the same row, as long as there is room.
            let last = Tid { block, offset: page.as_page().last_offset() };
            let command = CommandStamp { id: 1, is_combo: false };
            if random.usize(..4) == 0 {
                let values = row(columns, random, &text, &bytes);
                form_tuple(columns, &values, &mut tuple).expect("a row that fits");
                let how = Updating {
                    old: last,
                    xid,
                    command: 1,
                    ending: command,
                    old_xmax: NewXmax::updates(xid),
                    new_xmax: None,
                    is_hot: true,
                    may_share: true,
                };
                match update(&mut page, &how, &mut tuple, &mut change) {
                    Ok(_) | Err(HeapError::Add(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            } else if random.usize(..10) == 0 {
                delete::delete(
                    &mut page,
                    last,
                    xid,
                    NewXmax::ends(xid),
                    command,
                    DeleteFlags::empty(),
                    &mut change,
                )
                .expect("the tuple is there");
            }
        }
        // Every other page is pruned, of all that this transaction ended.
        if block.is_multiple_of(2) {
            prune(&mut page, &mut AllCommitted, None, &mut change).expect("sound tuples");
        }
        page.set_lsn(Lsn(8));
        page.set_checksum(block);
        pages.push(page_bytes);
    }
    pages
}

/// Every transaction has committed, and is older than every snapshot.
struct AllCommitted;

impl Fates for AllCommitted {
    fn fate(&mut self, _: u16, header: &base::HeapTupleHeader) -> Fate {
        if header.infomask.contains(base::Infomask::XMAX_INVALID) { Fate::Live } else { Fate::Dead }
    }

    fn updater(&mut self, header: &base::HeapTupleHeader) -> Xid {
        header.xmax
    }

    fn has_committed(&mut self, _: Xid) -> bool {
        true
    }
}

#[test]
fn relation_files_are_written() {
    let xid = Xid(number(&text("PGSTRATA_HEAP_XID")));
    let written = place("PGSTRATA_HEAP_WRITTEN");
    for (seed, table) in (1..).zip(["written_a", "written_b", "written_c"]) {
        let pages = relation(table, xid, &mut Rng::with_seed(seed));
        let (mut file, mut rows) = (Vec::new(), String::new());
        for (block, bytes) in pages.iter().enumerate() {
            file.extend_from_slice(&bytes[..]);
            let page = Page::assume_valid(bytes);
            for (offset, tuple) in page.items() {
                let header =
                    base::HeapTupleHeader::from_bytes(tuple.first_chunk().expect("a header"));
                if !header.infomask.contains(base::Infomask::XMAX_INVALID) {
                    continue;
                }
                write!(rows, "{block}\t{offset}").expect("memory");
                for value in TupleValues::of(columns(table), tuple).expect("a tuple") {
                    write!(rows, "\t{}", sent(&value.expect("a value"))).expect("memory");
                }
                rows.push('\n');
            }
        }
        std::fs::write(written.join(table), file).expect("the file can be written");
        std::fs::write(written.join(format!("{table}.tsv")), rows)
            .expect("the file can be written");
    }
}

#[test]
fn pages_of_every_filling_are_written() {
    let mut random = Rng::with_seed(4);
    let (mut pages, mut headers, mut items) = (String::new(), String::new(), String::new());
    for block in 0..60u32 {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        let mut page = PageMut::init(&mut bytes, 0);
        for _ in 0..random.usize(..250) {
            // pageinspect takes what is behind a normal line pointer for a tuple with a sane header.
            let mut tuple = vec![random.u64(..) as u8; 24 + random.usize(..300)];
            tuple[18..24].copy_from_slice(&[1, 0, 2, 0, 24, 0]);
            let _ = page.add_heap_tuple(&tuple, Placement::Free);
            let last = page.as_page().last_offset() as usize;
            match random.usize(..12) {
                0 => _ = page.set_unused(random.usize(1..=last) as u16),
                1 => _ = page.set_dead(random.usize(1..=last) as u16),
                2 => page.compact(),
                3 => page.truncate_line_pointers(),
                _ => {}
            }
        }
        page.set_lsn(Lsn(random.u64(..) >> 8));
        page.set_flags(PageFlags::ALL_VISIBLE, random.usize(..2) == 0);
        page.set_prunable(Xid(random.u32(..)));
        page.set_checksum(block);
        let header = page.header();
        writeln!(pages, "{block}\t\\\\x{}", hex(&bytes[..])).expect("memory");
        let prune_xid = header.prune_xid;
        let (checksum, flags) = (header.checksum, header.flags.bits());
        let base::PageHeader { lsn, lower, upper, special, .. } = header;
        writeln!(
            headers,
            "{block}\t{lsn}\t{checksum}\t{checksum}\t{flags}\t{lower}\t{upper}\t{special}\t8192\t4\t{prune_xid}"
        )
        .expect("memory");
        let page = Page::assume_valid(&bytes);
        for (number, pointer) in page.line_pointers() {
            let (state, offset, length) =
                (pointer.state() as u8, pointer.offset(), pointer.length());
            let data = page.item(number).map_or_else(String::new, |tuple| hex(&tuple[24..]));
            writeln!(items, "{block}\t{number}\t{offset}\t{state}\t{length}\t{data}")
                .expect("memory");
        }
    }
    let written = place("PGSTRATA_HEAP_WRITTEN");
    std::fs::write(written.join("pages.tsv"), pages).expect("the file can be written");
    std::fs::write(written.join("pages.expected"), headers + &items)
        .expect("the file can be written");
}
