//! Damage that is planted in indexes and their tables, and what a check says of it.

use base::disk::Opening;
use base::page::PageBytes;
use base::{OffsetNumber, PAGE_SIZE, Page, PageMut, RelFileLocator};
use engine::btree::page::HIGH_KEY;
use engine::btree::{NodeFlags, Opaque};
use engine::{IndexCheck, IndexDefinition};

use super::recovered::{quiet, reopen};
use super::*;

const ROWS: i32 = 900;

/// The index's and the table's pages on a disk that no engine has open.
struct Files {
    index: RelFileLocator,
    table: RelFileLocator,
}

fn path(locator: RelFileLocator) -> std::path::PathBuf {
    Path::new(DATA).join(format!("base/{}/{}", locator.database, locator.relation))
}

fn change(disk: &FaultyDisk, of: RelFileLocator, block: u32, how: &dyn Fn(&mut PageMut<'_>)) {
    change_bytes(disk, of, block, &|bytes| how(&mut PageMut::assume_valid(bytes)));
}

/// Changes a page of a file; its checksum is right afterwards.
pub(super) fn change_bytes(
    disk: &FaultyDisk,
    of: RelFileLocator,
    block: u32,
    how: &dyn Fn(&mut PageBytes),
) {
    let file = disk.open_for_writing(&path(of), Opening::EXISTING).expect("there");
    let mut bytes: Box<PageBytes> = Box::new([0; PAGE_SIZE]);
    let at = u64::from(block) * PAGE_SIZE as u64;
    file.read_at(&mut bytes[..], at).expect("read");
    how(&mut bytes);
    PageMut::assume_valid(&mut bytes).set_checksum(block);
    file.write_at(&bytes[..], at).expect("written");
    file.sync_data().expect("synced");
}

/// An entry's bytes, to be changed and put in its place.
fn edit(page: &mut PageMut<'_>, offset: OffsetNumber, how: impl FnOnce(&mut [u8])) {
    let mut bytes = page.as_page().item(offset).expect("an item").to_vec();
    how(&mut bytes);
    assert!(page.overwrite_item(offset, &bytes));
}

/// A data directory with a table of accounts and a unique index on their identifiers, of three leaves and a root, closed.
fn with_index() -> (FaultyDisk, Files) {
    let (disk, _) = initialized();
    let engine = reopen(disk.clone(), quiet(SnapshotMode::Classic));
    let (table, _) = with_accounts(&engine, 0, 0);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let definition = IndexDefinition::new("account_pkey", &[0]).unique();
    let index = transaction.create_index(&table, &definition).expect("made");
    let rows: Vec<_> = (0..ROWS).map(|id| account(id, 5).to_vec()).collect();
    table.insert_many(&mut transaction, &rows).expect("inserted");
    transaction.commit().expect("committed");
    let files = Files { index: index.locator(), table: table.locator() };
    drop(session);
    engine.close().expect("closed");
    (disk, files)
}

/// What a check says of the index.
fn said(disk: FaultyDisk) -> String {
    said_by(&reopen(disk, quiet(SnapshotMode::Classic)))
}

fn said_by(engine: &Engine) -> String {
    let mut outcomes = Vec::new();
    let names = ["account_pkey".to_owned()];
    let mut see = |check: IndexCheck| {
        assert_eq!((&check.index[..], &check.table[..]), ("account_pkey", "account"));
        outcomes.push(check.outcome);
        ControlFlow::Continue(())
    };
    engine.check_indexes(&names, &mut see).expect("checked");
    assert_eq!(outcomes.len(), 1);
    match outcomes.remove(0) {
        Ok(checked) => format!("sound: {checked:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_index_that_is_sound_is_found_so() {
    let (disk, _) = with_index();
    let text = said(disk);
    let pages = "levels: 2, pages: 4, unfinished_splits: 0, half_dead: 0, entries: 900, rows: 900";
    assert!(text.starts_with("sound") && text.contains(pages), "{text}");
}

#[test]
fn a_prepared_transaction_keeps_nobody_from_checking() {
    let (disk, _) = with_index();
    let engine = reopen(disk.clone(), quiet(SnapshotMode::Classic));
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("account").expect("there");
    let first = table.scan(&mut transaction).expect("a scan").next().expect("a row");
    let tid = first.expect("a row").tid();
    table.update(&mut transaction, tid, &account(0, 1)).expect("updated").expect("there");
    table.insert(&mut transaction, &account(ROWS, 5)).expect("inserted");
    transaction.prepare("it").expect("prepared");
    let text = said_by(&engine);
    // Both versions of the row that is changed, on a page that was full, and the row that is put in.
    assert!(text.starts_with("sound") && text.contains("entries: 902, rows: 902"), "{text}");
    drop((session, table));
    drop(engine);
    assert_eq!(said(disk), text);
}

type Damage = (&'static str, &'static [&'static str], fn(&FaultyDisk, &Files));

/// Block 3 is the root, 1, 2 and 4 are its leaves.
const DAMAGE: &[Damage] = &[
    (
        "two entries of a leaf in the other order",
        &[
            "block 1 of",
            "line pointer 7",
            "its key does not ascend",
            "behind that of line pointer 6",
        ],
        |disk, files| {
            change(disk, files.index, 1, &|page| {
                let [one, other] =
                    [6, 7].map(|at| page.as_page().item(at).expect("an item").to_vec());
                assert!(page.overwrite_item(6, &other) && page.overwrite_item(7, &one));
            });
        },
    ),
    (
        "a leaf's last entry behind its high key",
        &["block 1 of", "it lies behind the page's high key"],
        |disk, files| {
            change(disk, files.index, 1, &|page| {
                let last = page.as_page().last_offset();
                edit(page, last, |bytes| bytes[8..12].copy_from_slice(&800_i32.to_le_bytes()));
            });
        },
    ),
    (
        "another high key",
        &["block 1 of", "line pointer 1", "its high key is not that of the next entry above"],
        |disk, files| {
            change(disk, files.index, 1, &|page| {
                edit(page, HIGH_KEY, |bytes| bytes[8] ^= 1);
            });
        },
    ),
    (
        "a left link to another page",
        &["block 2 of", "its left link is 4", "expected: 1"],
        |disk, files| {
            change(disk, files.index, 2, &|page| Opaque::change(page, |opaque| opaque.prev = 4));
        },
    ),
    (
        "a right link that leaves a page out",
        &["block 4 of", "its left link is 2", "expected: 1"],
        |disk, files| {
            change(disk, files.index, 1, &|page| Opaque::change(page, |opaque| opaque.next = 4));
        },
    ),
    (
        "a leaf of another level",
        &["block 2 of", "it is of level 1", "expected: level 0"],
        |disk, files| {
            change(disk, files.index, 2, &|page| Opaque::change(page, |opaque| opaque.level = 1));
        },
    ),
    (
        "a root that is none",
        &["block 3 of", "whether it is the root is said to be false", "expected: true"],
        |disk, files| {
            change(disk, files.index, 3, &|page| {
                Opaque::change(page, |opaque| opaque.flags -= NodeFlags::ROOT);
            });
        },
    ),
    (
        "a deleted page in the tree",
        &["block 2 of", "it is deleted", "expected: a page of the tree"],
        |disk, files| {
            change(disk, files.index, 2, &|page| {
                Opaque::change(page, |opaque| opaque.flags |= NodeFlags::DELETED);
            });
        },
    ),
    (
        "a half-dead leaf with entries",
        &["block 2 of", "it is half-dead, with entries"],
        |disk, files| {
            change(disk, files.index, 2, &|page| {
                Opaque::change(page, |opaque| opaque.flags |= NodeFlags::HALF_DEAD);
            });
        },
    ),
    (
        "a split that is said not to be finished",
        &["block 3 of", "line pointer 2", "it leads to 2, whose split is said not to be finished"],
        |disk, files| {
            change(disk, files.index, 1, &|page| {
                Opaque::change(page, |opaque| opaque.flags |= NodeFlags::INCOMPLETE_SPLIT);
            });
        },
    ),
    (
        "an entry of the root that leads to another page",
        &["block 3 of", "line pointer 2", "it leads to 4", "expected: 2"],
        |disk, files| {
            change(disk, files.index, 3, &|page| {
                edit(page, 2, |bytes| engine::btree::tuple::set_downlink(bytes, 4));
            });
        },
    ),
    (
        "a page that nothing leads to",
        &[
            "block 1 of",
            "its high key is not that of the next entry above",
            "block 3, line pointer 2",
        ],
        |disk, files| {
            change(disk, files.index, 3, &|page| assert!(page.delete_item(2)));
        },
    ),
    (
        "a pivot on a leaf",
        &["block 1 of", "line pointer 9", "a pivot", "expected: an entry of a leaf"],
        |disk, files| {
            change(disk, files.index, 1, &|page| {
                edit(page, 9, |bytes| engine::btree::tuple::set_pivot(bytes, 1, false));
            });
        },
    ),
    (
        "an entry that is missing",
        &["\"account_pkey\": the row at (0,8) has no entry"],
        |disk, files| {
            // The leftmost leaf has its high key first, and the row of identifier 7 at (0,8).
            change(disk, files.index, 1, &|page| assert!(page.delete_item(9)));
        },
    ),
    (
        "an entry of other values",
        &["block 4, line pointer", "has an entry of other values"],
        |disk, files| {
            change(disk, files.index, 4, &|page| {
                let last = page.as_page().last_offset();
                edit(page, last, |bytes| bytes[8..12].copy_from_slice(&5000_i32.to_le_bytes()));
            });
        },
    ),
    (
        "an entry that leads to no row",
        &["block 4, line pointer", "is none that could have one"],
        |disk, files| {
            change(disk, files.index, 4, &|page| {
                let last = page.as_page().last_offset();
                edit(page, last, |bytes| bytes[4..6].copy_from_slice(&290_u16.to_le_bytes()));
            });
        },
    ),
    (
        "two entries of one row",
        &["block 1, line pointer 9: the row at (0,7) has two entries", "expected: one"],
        |disk, files| {
            change(disk, files.index, 1, &|page| {
                let before = page.as_page().item(8).expect("an item")[..6].to_vec();
                edit(page, 9, |bytes| bytes[..6].copy_from_slice(&before));
            });
        },
    ),
    (
        "two rows of one key",
        &["block 1, line pointer 9: the row at (0,8) has the key of another row"],
        |disk, files| {
            change(disk, files.index, 1, &|page| {
                edit(page, 9, |bytes| bytes[8..12].copy_from_slice(&6_i32.to_le_bytes()));
            });
            change_bytes(disk, files.table, 0, &|bytes| {
                let pointer = Page::assume_valid(bytes).line_pointer(8).expect("a line pointer");
                let tuple = usize::from(pointer.offset());
                let id = tuple + usize::from(bytes[tuple + 22]);
                bytes[id..id + 4].copy_from_slice(&6_i32.to_le_bytes());
            });
        },
    ),
    (
        "a metapage that says other things of the columns",
        &["block 0 of", "whether equal columns are of equal bytes is said to be false"],
        |disk, files| {
            change_bytes(disk, files.index, 0, &|bytes| bytes[24 + 40] = 0);
        },
    ),
    ("a page of another index's kind", &["block 2 of", "special space"], |disk, files| {
        change_bytes(disk, files.index, 2, &|bytes| {
            bytes[16..18].copy_from_slice(&8184_u16.to_le_bytes());
        });
    }),
];

#[test]
fn every_kind_of_damage_is_found_and_placed() {
    let mut missing = Vec::new();
    for (name, expected, plant) in DAMAGE {
        let (disk, files) = with_index();
        plant(&disk, &files);
        let text = said(disk);
        println!("{name}: {text}");
        for part in expected.iter().filter(|part| !text.contains(*part)) {
            missing.push(format!("{name}: {part:?} is not in: {text}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_torn_page_is_found() {
    let (disk, files) = with_index();
    let file = disk.open_for_writing(&path(files.index), Opening::EXISTING).expect("there");
    file.write_at(&[7; 512], 2 * PAGE_SIZE as u64 + 4096).expect("written");
    file.sync_data().expect("synced");
    let text = said(disk);
    assert!(text.contains("block 2 of") && text.contains("checksum"), "{text}");
}

#[test]
fn names_are_of_indexes_and_of_tables() {
    let (disk, _) = with_index();
    let engine = reopen(disk, quiet(SnapshotMode::Classic));
    for (names, count) in [(&["account"][..], 1), (&["account", "account_pkey"], 1), (&[], 1)] {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut seen = 0;
        let mut see = |_| {
            seen += 1;
            ControlFlow::Continue(())
        };
        engine.check_indexes(&names, &mut see).expect("checked");
        assert_eq!(seen, count, "{names:?}");
    }
    let names = ["account".to_owned(), "nothing".to_owned()];
    let unknown = engine.check_indexes(&names, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(unknown, Err(engine::Error::NoIndex(name)) if name == "nothing"));
}
