//! Pages of the server's btrees, as pageinspect shows them; rows made the server's entries; high keys cut as it cuts them.

use std::collections::BTreeMap;

use base::page::PageBytes;
use base::{RawPage, Tid};
use engine::btree::page::{self, HIGH_KEY, METAPAGE};
use engine::btree::{IndexTuple, KeyColumn, MetaPage, Node, NodeFlags, Opaque, Shape};
use engine::heap::{ColumnType, Compression, TupleValues};

use crate::evidence::{columns, number, page, received, rows, values};
use crate::pageinspect::{kind, metap, page_item, page_stats};
use crate::pages;

/// Pages by index and block.
pub(crate) fn index_pages() -> BTreeMap<(String, u32), Box<PageBytes>> {
    let row = |row: &Vec<String>| ((row[0].clone(), number(&row[1])), page(&row[2]));
    rows("index_pages.tsv").iter().map(row).collect()
}

#[test]
fn metapages_are_what_pageinspect_says() {
    let pages = index_pages();
    let rows = rows("metapages.tsv");
    assert_eq!(rows.len(), 14);
    for row in rows {
        let bytes = &pages[&(row[0].clone(), METAPAGE)];
        let meta = MetaPage::read(bytes).expect("a metapage of the server");
        assert_eq!(metap(bytes), row[1..10], "{row:?}");
        let mut again = Box::new([0x5A; base::PAGE_SIZE]);
        meta.write(&mut again);
        assert_eq!(again[24..], bytes[24..], "{row:?}");
    }
}

#[test]
fn nodes_are_what_pageinspect_says() {
    let pages = index_pages();
    let mut kinds = BTreeMap::<&str, u64>::new();
    for row in rows("nodes.tsv") {
        let bytes = &pages[&(row[0].clone(), number(&row[1]))];
        let opaque = Opaque::of(bytes).expect("a page of a btree");
        *kinds.entry(kind(&opaque)).or_default() += 1;
        let mut expected = row[2..].to_vec();
        if opaque.flags.contains(NodeFlags::DELETED) {
            assert!(page::safe_xid(bytes).expect("a deleted page").0 > 700);
            assert!(Node::read(bytes).is_err());
            expected[5].clear();
        }
        assert_eq!(page_stats(bytes), expected, "{row:?}");
    }
    println!("{kinds:?}");
    for kind in ["l", "r", "i", "d"] {
        assert!(kinds.contains_key(kind), "no page of kind {kind}: {kinds:?}");
    }
}

#[test]
fn entries_are_what_pageinspect_says() {
    let pages = index_pages();
    let rows = rows("entries.tsv");
    let (mut pivots_with_tid, mut postings, mut dead) = (0, 0, 0);
    for row in &rows {
        let node = Node::read(&pages[&(row[0].clone(), number(&row[1]))]).expect("a page");
        let offset = number(&row[2]);
        let entry = node.entry(offset).expect("an entry of the server");
        assert_eq!(page_item(&node, offset), row[3..11], "{row:?}");
        let is_pivot = entry.is_pivot();
        postings += u64::from(entry.is_posting());
        pivots_with_tid += u64::from(is_pivot && entry.heap_tid().is_some());
        dead += u64::from(node.is_dead(offset));
    }
    println!(
        "{} entries, {postings} posting lists, {pivots_with_tid} pivots with a tid, {dead} dead",
        rows.len()
    );
    assert!(rows.len() > 20_000 && postings > 50 && pivots_with_tid > 10 && dead > 10);
}

/// The indexes that were built of rows of `types_a`, by its columns (`xtask/heap/btree.sql`).
pub(crate) fn built() -> Vec<(&'static str, Vec<usize>, Shape)> {
    use KeyColumn as Key;
    let types = columns("types_a");
    let shape = |key: &[(usize, bool, bool)], included: &[usize]| {
        let keys: Vec<_> = key
            .iter()
            .map(|&(at, descending, nulls_first)| Key {
                column: types[at],
                descending,
                nulls_first,
            })
            .collect();
        let included_types: Vec<ColumnType> = included.iter().map(|at| types[*at]).collect();
        let at = key.iter().map(|key| key.0).chain(included.iter().copied()).collect();
        (at, Shape::new(&keys, &included_types).expect("columns that have an order"))
    };
    let asc = |at| (at, false, false);
    let desc = |at| (at, true, true);
    [
        ("built_a", shape(&[asc(1), desc(7), asc(6)], &[])),
        ("built_b", shape(&[(4, true, false), (5, false, true), asc(2)], &[])),
        ("built_c", shape(&[asc(8), asc(0)], &[])),
        ("built_d", shape(&[desc(3)], &[7, 0])),
        ("built_e", shape(&[asc(0)], &[])),
        ("built_f", shape(&[asc(5), desc(6)], &[])),
        ("built_g", shape(&[asc(7)], &[])),
    ]
    .map(|(name, (at, shape))| (name, at, shape))
    .into()
}

#[test]
fn rows_become_the_servers_entries() {
    let heap = pages::all();
    let columns = columns("types_a");
    let tables = rows("rows.tsv");
    let of_row: BTreeMap<Tid, &Vec<String>> = tables
        .iter()
        .filter(|row| row[0] == "types_a")
        .map(|row| (Tid { block: number(&row[1]), offset: number(&row[2]) }, row))
        .collect();
    assert!(heap.contains_key(&("types_a".to_owned(), 0)));
    for (index, at, shape) in built() {
        let (mut formed, mut seen) = (0, 0);
        for ((name, _), page) in
            index_pages().iter().filter(|((name, block), _)| name == index && *block > 0)
        {
            let node = Node::read(page).expect("a page of the tree");
            if !node.opaque.is_leaf() {
                continue;
            }
            for offset in node.opaque.first_data()..=node.last() {
                let entry = node.entry(offset).expect("an entry");
                for tid in entry.tids() {
                    let received = received(&of_row[&tid][3..]);
                    let all = values(columns, &received);
                    let values: Vec<_> = at.iter().map(|at| all[*at]).collect();
                    let ours = shape.form(&values, tid).expect("an entry");
                    let read = shape.values(IndexTuple::read(&ours).expect("an entry"));
                    assert_eq!(read.collect::<Result<Vec<_>, _>>().as_ref(), Ok(&values));
                    if entry.is_posting() {
                        assert_eq!(ours[8..], entry.bytes()[8..entry.data_end()], "{name} {tid}");
                    } else {
                        assert_eq!(ours, entry.bytes(), "{name} {tid}");
                        formed += 1;
                    }
                    seen += 1;
                }
            }
        }
        println!("{index}: {seen} rows, {formed} plain entries");
        assert_eq!(seen, 3000, "{index} has every row");
    }
}

#[test]
fn entries_are_in_our_order_and_high_keys_are_what_we_cut() {
    let pages = index_pages();
    for (index, _, shape) in built() {
        let page = |block| Node::read(&pages[&(index.to_owned(), block)]).expect("a page");
        let meta =
            MetaPage::read(&pages[&(index.to_owned(), METAPAGE)]).expect("a metapage").metadata;
        assert_eq!(meta.all_equal_image, shape.all_equal_image(), "{index}");
        // Down the left side, then along the leaves.
        let mut block = meta.root;
        while !page(block).opaque.is_leaf() {
            block =
                page(block).entry(page(block).opaque.first_data()).expect("an entry").downlink();
        }
        let mut before: Option<IndexTuple<'_>> = None;
        let (mut compared, mut cut) = (0, 0);
        loop {
            let node = page(block);
            for offset in node.opaque.first_data()..=node.last() {
                let entry = node.entry(offset).expect("an entry");
                let key = shape.search_key(entry, usize::MAX).expect("a key");
                if let Some(before) = before {
                    let order = shape.compare(&key, before).expect("sound entries");
                    assert!(order.is_gt(), "{index}: block {block}, entry {offset}");
                    compared += 1;
                }
                assert!(shape.compare(&key, entry).expect("a sound entry").is_eq());
                before = Some(entry);
            }
            let Some(high_key) = node.high_key().expect("a high key") else { break };
            let last = before.expect("a leaf has entries");
            let key = shape.search_key(last, usize::MAX).expect("a key");
            let order = shape.compare(&key, high_key).expect("a sound high key");
            assert!(order.is_le(), "{index}: the high key of block {block}");
            let next = page(node.opaque.next);
            let first = next.entry(next.opaque.first_data()).expect("an entry");
            let ours = shape.truncate(last, first, Compression::Pglz).expect("sound entries");
            // Where a pivot leads to is not looked at in a high key.
            assert_eq!(ours[4..], high_key.bytes()[4..], "{index}: the high key of block {block}");
            cut += 1;
            block = node.opaque.next;
        }
        println!("{index}: {compared} neighbours, {cut} high keys");
        assert!(compared > 2 && shape.columns().len() > 1 || cut > 0);
    }
}

/// No tuple of a heap is read with these columns, so that the codec of values is the same.
#[test]
fn values_of_a_server_are_read_alike_from_heap_and_index() {
    let columns = columns("types_a");
    let heap = pages::all();
    let mut texts = BTreeMap::new();
    for ((table, block), bytes) in heap.iter().filter(|((table, _), _)| table == "types_a") {
        let page = RawPage::new(bytes).validate().expect("a page");
        for (offset, tuple) in page.items() {
            let values: Result<Vec<_>, _> =
                TupleValues::of(columns, tuple).expect("a tuple").collect();
            let tid = Tid { block: *block, offset };
            texts.insert(
                tid,
                format!("{:?}", values.unwrap_or_else(|error| panic!("{table}: {error}"))[7]),
            );
        }
    }
    let (_, _, shape) = built().pop().expect("the index of texts");
    for (_, page) in
        index_pages().iter().filter(|((name, block), _)| name == "built_g" && *block > 0)
    {
        let node = Node::read(page).expect("a page");
        let data = node.opaque.first_data()..=node.last();
        for offset in data.filter(|offset| node.opaque.is_leaf() && *offset >= HIGH_KEY) {
            let entry = node.entry(offset).expect("an entry");
            let value = shape.values(entry).next().expect("a column").expect("a value");
            for tid in entry.tids() {
                assert_eq!(texts[&tid], format!("{value:?}"));
            }
        }
    }
}
