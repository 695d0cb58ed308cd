//! The log cut behind each of its records: what is there is sound, and what was begun is finished by who inserts next.

use base::disk::Disk;
use base::page::PageBytes;
use base::sync::Arc;
use base::{ForkNumber, Lsn, PAGE_SIZE, PageMut, RawPage};
use engine::btree::redo::{RM_BTREE, makes_page, redo};
use engine::btree::{Index, NodeFlags, Opaque};
use engine::heap::Value;
use engine::storage::Storage;
use fastrand::Rng;
use wal::BlockRef;
use wal::image;
use wal::read::RecordReader;
use wal::source::{Log, Options};

use super::model::Pages;
use super::{RELATION, Rows, XID, created, opened, tid};

/// The pages of the index after each record of its log that is `wanted`, by the pages and the kind of record; and how many
/// records there were.
pub(super) fn cuts(
    disk: Arc<dyn Disk>,
    start: Lsn,
    mut wanted: impl FnMut(&Pages, u8) -> bool,
) -> (Vec<Pages>, u64) {
    let place = std::path::Path::new(crate::DATA).join("pg_wal");
    let options = Options { start: Some(start), ..Options::default() };
    let mut reader = RecordReader::new(Arc::new(Log::open(disk, &place, options).expect("a log")));
    reader.find_first(start).expect("a record");
    let (mut pages, mut cuts, mut records) = (Pages::new(), Vec::new(), 0);
    while let Ok(record) = reader.next_record() {
        let is_of_index =
            |block: &&BlockRef| (block.locator, block.fork) == (RELATION, ForkNumber::Main);
        for block in record.blocks().iter().filter(is_of_index) {
            let page = pages.entry(block.block).or_insert_with(|| Box::new([0; PAGE_SIZE]));
            if block.applies_image() {
                image::restore(&record, block, page).expect("an image");
            } else {
                assert!(record.rmid() == RM_BTREE);
                if makes_page(&record, block.id) {
                    page.fill(0x5A);
                }
                redo(&record, block.id, page).expect("redone");
            }
        }
        if record.rmid() != RM_BTREE {
            continue;
        }
        records += 1;
        if wanted(&pages, record.info() & 0xF0) {
            cuts.push(pages.clone());
        }
    }
    (cuts, records)
}

/// Whether a page has one of these flags.
pub(super) fn has_flags(pages: &Pages, flags: NodeFlags) -> bool {
    let has =
        |page: &PageBytes| Opaque::of(page).expect("a page of a btree").flags.intersects(flags);
    pages.values().any(|page| has(page))
}

/// Makes an index of these pages.
pub(super) fn put(storage: &Storage, pages: &Pages) {
    storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
    for page in pages.values() {
        let mut held = storage.pool.extend(RELATION, ForkNumber::Main).expect("room").into_write();
        held.bytes_mut().copy_from_slice(&page[..]);
        // This directory's log is another.
        if RawPage::new(page).header().upper != 0 {
            PageMut::assume_valid(held.bytes_mut()).set_lsn(Lsn(0));
        }
    }
}

#[test]
fn a_split_that_a_crash_cut_is_finished_by_the_next_who_inserts() {
    for rows in [Rows::Long, Rows::Groups, Rows::Ascending] {
        let (disk, storage) = opened();
        let start = storage.log.log().end();
        let count = if rows == Rows::Long { 400 } else { 2600 };
        let keys: Vec<_> = {
            let index = created(&storage, rows.shape());
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            let mut random = Rng::with_seed(9);
            let keys = (0..count).map(|number| {
                let key = rows.key(number, &mut random);
                rows.values(key, |values: &[Value<'_>]| writer.insert(values, tid(number)))
                    .expect("put in");
                key
            });
            keys.collect()
        };
        let log = storage.log.log();
        log.flush(log.end()).expect("durable");
        let (cuts, records) = cuts(Arc::new(disk.clone()), start, |pages, _| {
            has_flags(pages, NodeFlags::INCOMPLETE_SPLIT)
        });
        drop(storage);
        println!("{rows:?}: {} of {records} records leave a split unfinished", cuts.len());
        assert!(cuts.len() > 3, "{rows:?}");
        let mut roots = 0;
        for pages in cuts {
            let (_disk, storage) = opened();
            put(&storage, &pages);
            let index = Index::open(&storage, RELATION, rows.shape());
            let cut = index.verify(false).unwrap_or_else(|error| panic!("{rows:?}: {error}"));
            assert_eq!(cut.unfinished, 1);
            let root = index.metapage().expect("a metapage").metadata.root;
            // Behind every third key, so that every leaf is come by.
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            let mut put_in = 0;
            for (number, key) in (0..).zip(&keys).step_by(3) {
                let place = base::Tid { block: 5000, offset: number + 1 };
                rows.values(*key, |values: &[Value<'_>]| writer.insert(values, place))
                    .expect("put in");
                put_in += 1;
            }
            let verified = index.verify(false).unwrap_or_else(|error| panic!("{rows:?}: {error}"));
            assert_eq!(verified.unfinished, 0, "{rows:?}");
            assert_eq!(verified.tids.len(), cut.tids.len() + put_in);
            roots += u32::from(index.metapage().expect("a metapage").metadata.root != root);
        }
        assert!(roots > 0, "a root's split was among them");
    }
}
