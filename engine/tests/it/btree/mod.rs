//! Btrees: their pages, entries and records, and whole indexes, without a server.

mod bottom_up;
mod damage;
mod deleted_pages;
mod entries;
mod every_record;
mod model;
mod removal;
mod sorted;
mod uneven;
mod unfinished;
mod waldump;

use std::collections::BTreeMap;

use base::disk::faulty::FaultyDisk;
use base::page::PageBytes;
use base::{ForkNumber, Lsn, PAGE_SIZE, RawPage, RelFileLocator, Tid, Xid};
use engine::btree::index::DEFAULT_FILL_FACTOR;
use engine::btree::{Build, Index, IndexError, KeyColumn, Shape};
use engine::buffer::{PageName, PageStore};
use engine::heap::{ColumnType, Value};
use engine::storage::Storage;
use fastrand::Rng;

use crate::recovery::open_with;

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };
const XID: Xid = Xid(700);

/// A data directory on a disk in memory, open.
fn opened() -> (FaultyDisk, Storage) {
    let (disk, _) = crate::initialized();
    let storage = open_with(&disk, 400).expect("opened");
    (disk, storage)
}

/// A new index.
fn created(storage: &Storage, shape: Shape) -> Index<'_> {
    storage.pool.store().create(RELATION, ForkNumber::Main).expect("made");
    let mut inserter = storage.log.log().inserter();
    let empty = Build::new(storage, RELATION, shape, DEFAULT_FILL_FACTOR, XID);
    empty.finish(&mut inserter, &mut || Ok::<_, IndexError>(())).expect("created")
}

/// Rows of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Ascending numbers.
    Ascending,
    /// Numbers in no order.
    Scattered,
    /// A few numbers, many times each.
    Few,
    /// One number.
    One,
    /// Long texts that begin alike, and a number: few to a page, so that there are many levels.
    Long,
    /// Longer texts that begin alike and are compressed in their entries, and a number.
    Compressed,
    /// A few numbers, for each of which another column ascends.
    Groups,
}

impl Rows {
    const ALL: [Rows; 7] = [
        Rows::Ascending,
        Rows::Scattered,
        Rows::Few,
        Rows::One,
        Rows::Long,
        Rows::Compressed,
        Rows::Groups,
    ];

    fn shape(self) -> Shape {
        let int4 = KeyColumn::ascending(ColumnType::Int4);
        let key = match self {
            Rows::Long | Rows::Compressed => vec![KeyColumn::descending(ColumnType::Text), int4],
            Rows::Groups => vec![int4, KeyColumn::ascending(ColumnType::Int8)],
            _ => vec![int4],
        };
        Shape::new(&key, &[]).expect("a shape")
    }

    /// A row's key, as numbers that are ordered as the key is.
    fn key(self, number: u32, random: &mut Rng) -> (i64, i64) {
        let scattered = i64::from(random.u32(..2000));
        match self {
            Rows::Ascending => (i64::from(number), 0),
            Rows::Scattered => (scattered, 0),
            Rows::Few => (scattered % 9, 0),
            Rows::One => (4, 0),
            Rows::Long | Rows::Compressed => (-(scattered % 300), scattered % 3),
            Rows::Groups => (scattered % 5, i64::from(number)),
        }
    }

    /// Calls `see` with the values of a key.
    fn values<R>(self, (one, other): (i64, i64), see: impl FnOnce(&[Value<'_>]) -> R) -> R {
        match self {
            Rows::Long => {
                let text = format!("{}{:06}", letters(900), -one);
                see(&[Value::Text(&text), Value::Int4(other as i32)])
            }
            Rows::Compressed => {
                let text = format!("{}{}{:06}", "k".repeat(800), letters(500), -one);
                see(&[Value::Text(&text), Value::Int4(other as i32)])
            }
            Rows::Groups => see(&[Value::Int4(one as i32), Value::Int8(other)]),
            _ => see(&[Value::Int4(one as i32)]),
        }
    }
}

/// So many letters that do not compress.
fn letters(count: usize) -> String {
    let mut random = Rng::with_seed(1);
    (0..count).map(|_| random.alphanumeric()).collect()
}

/// A row's tid: in no order, each once.
fn tid(number: u32) -> Tid {
    let scattered = number.wrapping_mul(2_654_435_761) % 65_536;
    Tid { block: scattered / 64, offset: (scattered % 64) as u16 + 1 }
}

/// All pages of the index.
fn pages(storage: &Storage) -> BTreeMap<u32, Box<PageBytes>> {
    let blocks = storage.pool.store().blocks(RELATION, ForkNumber::Main).expect("there");
    let page = |block| {
        let name = PageName { locator: RELATION, fork: ForkNumber::Main, block };
        let pinned = storage.pool.get(name).expect("a page");
        let page = Box::new(*pinned.read());
        (block, page)
    };
    (0..blocks).map(page).collect()
}

/// A page as it is once what redo need not restore is hidden; `None` of one that was never filled.
fn masked(page: &PageBytes) -> Option<Box<PageBytes>> {
    let mut page = Box::new(*page);
    if RawPage::new(&page).header().upper == 0 {
        return None;
    }
    engine::btree::mask::mask(&mut page).expect("a page of a btree");
    assert_eq!((page.len(), RawPage::new(&page).header().lsn), (PAGE_SIZE, Lsn(0)));
    Some(page)
}
