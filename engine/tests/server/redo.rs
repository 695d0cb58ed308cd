//! The server's log, redone: after each record of Heap and Heap2, each page that it is about is what the image says that
//! the server took of it for comparison (`wal_consistency_checking`), once both are masked.

use std::collections::BTreeMap;

use base::disk::RealDisk;
use base::page::PageBytes;
use base::sync::Arc;
use base::{ForkNumber, Lsn, PAGE_SIZE, PageMut, RelFileLocator};
use engine::heap::{mask, redo};
use wal::image;
use wal::read::RecordReader;
use wal::rmgr::push_record_type;
use wal::source::{Log, Options};
use wal::text::Text;

use crate::evidence::{place, text};

/// Heap2 and Heap.
const HEAPS: [u8; 2] = [9, 10];

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
        let is_heap = HEAPS.contains(&record.rmid());
        let mut name = Text::default();
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
            if !is_heap {
                // Another resource manager's page, or none that is known from here on.
                pages.remove(&key);
                continue;
            }
            if redo::makes_page(&record, block.id) {
                pages.insert(key, Box::new([0xA5; PAGE_SIZE]));
            }
            let Some(page) = pages.get_mut(&key) else { continue };
            redo::redo(&record, block.id, page).unwrap_or_else(|error| panic!("{what}: {error}"));
            PageMut::assume_valid(page).set_lsn(record.end());
            *redone.entry(name.clone()).or_default() += 1;
            if block.has_image() {
                let mut ours = page.clone();
                for bytes in [&mut ours, &mut restored] {
                    let mut page =
                        PageMut::validate(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
                    mask::mask(&mut page, block.block);
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
        "INSERT",
        "INSERT+INIT",
        "DELETE",
        "UPDATE",
        "UPDATE+INIT",
        "HOT_UPDATE",
        "HEAP_CONFIRM",
        "LOCK",
        "INPLACE",
        "PRUNE",
        "VACUUM",
        "FREEZE_PAGE",
        "VISIBLE",
        "MULTI_INSERT",
        "MULTI_INSERT+INIT",
    ] {
        assert!(redone.contains_key(kind), "no {kind} was redone");
    }
}
