//! Every Heap, Heap2 and Btree payload of the corpus, decoded and encoded again: the same bytes.
//!
//! Where PostgreSQL leaves padding to chance, the bytes there are not compared: byte 1 of a multi-insert, between
//! the parts of an in-place update, of a truncation, of a rewrite mapping, of what deletes pages of a btree, behind
//! the count of freeze plans, behind a metapage's contents.

use std::collections::BTreeMap;

use wal::Record;
use wal::rmgr::Payload;
use wal::rmgr::btree::Btree;
use wal::rmgr::heap::Heap;
use wal::rmgr::heap2::Heap2;

use crate::corpus::{self, Corpus};

/// Bytes of the main data that are padding.
fn padding(payload: &Payload<'_>) -> &'static [usize] {
    match payload {
        Payload::Heap(Heap::Truncate(_)) => &[9, 10, 11],
        Payload::Heap(Heap::Inplace(inplace)) if inplace.invalidations.is_some() => {
            &[2, 3, 13, 14, 15]
        }
        Payload::Heap2(Heap2::MultiInsert(_)) => &[1],
        Payload::Heap2(Heap2::Rewrite(_)) => &[12, 13, 14, 15, 28, 29, 30, 31],
        Payload::Btree(Btree::UnlinkPage(_)) => &[12, 13, 14, 15],
        Payload::Btree(Btree::MarkPageHalfdead(_)) => &[2, 3],
        _ => &[],
    }
}

/// Length of `xl_btree_metadata`, of which the last three bytes are padding.
const METADATA: usize = 28;

/// The operation, where the record is one of Heap, Heap2 or Btree.
fn compare(corpus: &Corpus, record: &Record<'_>) -> Option<(&'static str, u8)> {
    let payload = record.payload().ok()?;
    let (mut main, mut blocks) = (Vec::new(), <[Vec<u8>; 5]>::default());
    let (name, operation) = match &payload {
        Payload::Heap(heap) => {
            heap.encode(&mut main, &mut blocks[0]);
            ("heap", 0x70)
        }
        Payload::Heap2(heap2) => {
            heap2.encode(&mut main, &mut blocks[0]);
            ("heap2", 0x70)
        }
        Payload::Btree(btree) => {
            btree.encode(&mut main, &mut blocks);
            ("btree", 0xF0)
        }
        _ => return None,
    };
    let mut expected = record.main_data().to_vec();
    for &at in padding(&payload) {
        expected[at] = 0;
    }
    let place = format!("{} at {}", corpus.name(), record.start());
    assert_eq!(main, expected, "{place}");
    let has_plans = matches!(payload, Payload::Heap2(Heap2::PruneFreeze(_)));
    for (id, block) in (0..).zip(&blocks) {
        let data = record.block(id).map_or(&[][..], |block| record.block_data(block));
        let is_cleanup = matches!(payload, Payload::Btree(Btree::MetaCleanup(_)));
        let is_metapage = name == "btree" && (id == 2 || id == 4 || is_cleanup);
        let is_padding =
            |at| has_plans && (at == 2 || at == 3) || is_metapage && at >= METADATA - 3;
        let is_alike = block.len() == data.len()
            && (0..data.len()).all(|at| block[at] == data[at] || is_padding(at));
        assert!(is_alike, "{place}: block {id}: {block:?} and {data:?}");
    }
    Some((name, record.info() & operation))
}

#[test]
fn what_is_encoded_is_what_the_server_wrote() {
    let mut seen = BTreeMap::<(&str, u8), u64>::new();
    for corpus in corpus::all() {
        let mut records = corpus.records();
        while let Ok(record) = records.next_record() {
            if let Some(kind) = compare(&corpus, &record) {
                *seen.entry(kind).or_default() += 1;
            }
        }
    }
    println!("{seen:?}");
    let kinds = |name| seen.keys().filter(|(seen, _)| *seen == name).count();
    let kinds = (kinds("heap"), kinds("heap2"), kinds("btree"));
    assert_eq!(kinds, (8, 8, 15), "the corpus has every type: {seen:?}");
}
