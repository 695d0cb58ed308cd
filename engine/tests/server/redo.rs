//! The server's log, redone: after each record of Heap, Heap2 and Btree, each page that it is about is what the image says that
//! the server took of it for comparison (`wal_consistency_checking`), once both are masked.

use std::collections::BTreeMap;

use base::disk::RealDisk;
use base::page::PageBytes;
use base::sync::Arc;
use base::{ForkNumber, Lsn, PAGE_SIZE, PageMut, RelFileLocator};
use engine::{btree, heap};
use wal::image;
use wal::read::RecordReader;
use wal::record::Record;
use wal::rmgr::{push_name, push_record_type};
use wal::source::{Log, Options};
use wal::text::Text;

use crate::evidence::{place, text};

/// What redoes records of one kind of relation, and what hides in its pages what redo need not restore.
struct Redoer {
    makes_page: fn(&Record<'_>, u8) -> bool,
    redo: fn(&Record<'_>, u8, &mut PageBytes) -> Result<(), String>,
    mask: fn(&mut PageBytes, u32) -> Result<(), String>,
}

const HEAP: Redoer = Redoer {
    makes_page: heap::redo::makes_page,
    redo: |record, id, page| heap::redo::redo(record, id, page).map_err(|error| error.to_string()),
    mask: |page, block| {
        let mut page = PageMut::validate(page).map_err(|error| error.to_string())?;
        heap::mask::mask(&mut page, block);
        Ok(())
    },
};

const BTREE: Redoer = Redoer {
    makes_page: btree::redo::makes_page,
    redo: |record, id, page| btree::redo::redo(record, id, page).map_err(|error| error.to_string()),
    mask: |page, _| btree::mask::mask(page).map_err(|error| error.to_string()),
};

/// By the resource manager's number.
fn redoer(rmid: u8) -> Option<&'static Redoer> {
    match rmid {
        9 | 10 => Some(&HEAP),
        btree::redo::RM_BTREE => Some(&BTREE),
        _ => None,
    }
}

#[test]
fn redo_makes_the_servers_pages() {
    let start: Lsn = text("PGSTRATA_HEAP_START").parse().expect("an LSN");
    let options = Options { start: Some(start), ..Options::default() };
    let log = Log::open(Arc::new(RealDisk), &place("PGSTRATA_HEAP_DATA").join("pg_wal"), options);
    let mut reader = RecordReader::new(Arc::new(log.expect("the server's log opens")));
    reader.find_first(start).expect("a record");
    let mut pages: BTreeMap<(RelFileLocator, u32), Box<PageBytes>> = BTreeMap::new();
    let (mut redone, mut compared) = (BTreeMap::<String, u64>::new(), 0u64);
    while let Ok(record) = reader.next_record() {
        let redoer = redoer(record.rmid());
        let mut name = Text::default();
        push_name(record.rmid(), &mut name);
        name.str("/");
        push_record_type(record.version(), record.rmid(), record.info(), &mut name);
        let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
        for block in record.blocks().iter().filter(|block| block.fork == ForkNumber::Main) {
            let key = (block.locator, block.block);
            let what =
                format!("{name} at {}, block {} of {}", record.start(), block.block, block.locator);
            let mut restored = Box::new([0; PAGE_SIZE]);
            if block.has_image() {
                image::restore(&record, block, &mut restored).expect("an image");
            }
            if block.has_image() && block.applies_image() {
                pages.insert(key, restored);
                continue;
            }
            let Some(redoer) = redoer else {
                // Another resource manager's page, or none that is known from here on.
                pages.remove(&key);
                continue;
            };
            if (redoer.makes_page)(&record, block.id) {
                pages.insert(key, Box::new([0xA5; PAGE_SIZE]));
            }
            let Some(page) = pages.get_mut(&key) else { continue };
            (redoer.redo)(&record, block.id, page)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            PageMut::assume_valid(page).set_lsn(record.end());
            *redone.entry(name.clone()).or_default() += 1;
            if block.has_image() {
                let mut ours = page.clone();
                for bytes in [&mut ours, &mut restored] {
                    (redoer.mask)(bytes, block.block)
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                }
                let differs = (0..PAGE_SIZE).find(|at| ours[*at] != restored[*at]);
                assert_eq!(differs, None, "{what}: the first byte that differs");
                compared += 1;
            }
        }
    }
    println!("{compared} pages compared, {redone:?}");
    assert!(compared > 20_000, "only {compared} pages compared");
    for kind in [
        "Heap/INSERT",
        "Heap/INSERT+INIT",
        "Heap/DELETE",
        "Heap/UPDATE",
        "Heap/UPDATE+INIT",
        "Heap/HOT_UPDATE",
        "Heap/HEAP_CONFIRM",
        "Heap/LOCK",
        "Heap/INPLACE",
        "Heap2/PRUNE",
        "Heap2/VACUUM",
        "Heap2/FREEZE_PAGE",
        "Heap2/VISIBLE",
        "Heap2/MULTI_INSERT",
        "Heap2/MULTI_INSERT+INIT",
        "Btree/INSERT_LEAF",
        "Btree/INSERT_UPPER",
        "Btree/INSERT_META",
        "Btree/SPLIT_L",
        "Btree/SPLIT_R",
        "Btree/INSERT_POST",
        "Btree/DEDUP",
        "Btree/DELETE",
        "Btree/VACUUM",
        "Btree/MARK_PAGE_HALFDEAD",
        "Btree/UNLINK_PAGE",
        "Btree/UNLINK_PAGE_META",
        "Btree/NEWROOT",
        "Btree/META_CLEANUP",
    ] {
        assert!(redone.contains_key(kind), "no {kind} was redone");
    }
}
