//! Chunks, pointers and compressed values that are not what they should be: errors in the server's words, and never a panic.

use base::disk::faulty::FaultyDisk;
use base::disk::{Disk, Opening};
use base::page::PageBytes;
use base::{PAGE_SIZE, PageMut};
use engine::btree::Direction;
use engine::{ColumnStorage, Error, IndexDefinition, SnapshotMode};
use fastrand::Rng;
use std::ops::Bound;
use std::path::Path;

use super::*;
use crate::transactions::{engine, open};
use crate::{DATA, content};

/// A document whose bytes are out of line in three chunks, and whose text is compressed in the row; and the files of the
/// table and its TOAST table.
fn made() -> (FaultyDisk, [u32; 2], Document) {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let [id, body, raw] = document_columns();
    let columns = [id, body.stored(ColumnStorage::Main), raw.stored(ColumnStorage::External)];
    let table = with_documents(&engine, &columns);
    let document = Document { id: 1, body: Some(text(3000, 1)), raw: Some(noise(5000, 2)) };
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    table.insert(&mut transaction, &document.values()).expect("inserted");
    transaction.commit().expect("committed");
    let toast = table.toast_table().expect("a TOAST table");
    let files = [table.locator().relation, toast.locator().relation];
    drop(session);
    engine.close().expect("closed");
    (disk, files, document)
}

/// Changes the first page of a file.
fn damage(disk: &FaultyDisk, file: u32, how: impl FnOnce(&mut PageMut<'_>)) {
    let path = Path::new(DATA).join(format!("base/5/{file}"));
    let bytes = content(disk, &path).expect("a file");
    let mut page: Box<PageBytes> = Box::new(bytes[..PAGE_SIZE].try_into().expect("a page"));
    let mut change = PageMut::assume_valid(&mut page);
    how(&mut change);
    change.set_checksum(0);
    let file = disk.open_for_writing(&path, Opening::EXISTING).expect("there");
    file.write_at(&page[..], 0).expect("room");
}

/// What reading the document comes to.
fn read(disk: &FaultyDisk) -> Result<Document, Error> {
    let engine = open(disk, SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("doc").expect("there");
    let row = table.scan(&mut transaction)?.next().expect("a row")?;
    row.values().map(|values| document(&values))
}

#[test]
fn damaged_chunks_are_told_in_the_servers_words() {
    let (disk, [main, toast], document) = made();
    assert_eq!(read(&disk).expect("sound"), document);
    let value = {
        let bytes =
            content(&disk, &Path::new(DATA).join(format!("base/5/{toast}"))).expect("a file");
        let page = base::Page::assume_valid(bytes[..PAGE_SIZE].try_into().expect("a page"));
        let tuple = page.item(1).expect("a chunk");
        u32::from_le_bytes(tuple[24..28].try_into().expect("four bytes"))
    };
    let name = format!("toast value {value} in pg_toast_{main}");
    let put = |item: u16, at: usize, bytes: &'static [u8]| {
        move |page: &mut PageMut<'_>| {
            page.item_mut(item).expect("a chunk")[at..at + bytes.len()].copy_from_slice(bytes);
        }
    };
    let said = |how: &dyn Fn(&FaultyDisk)| {
        let disk = disk.after_crash(1);
        how(&disk);
        let error = read(&disk).expect_err("damaged");
        assert_eq!(error.sqlstate(), "XX001", "{error}");
        error.to_string()
    };
    // chunk_id, chunk_seq and the header of chunk_data lie behind the tuple's header.
    let cases = [
        (put(2, 28, &[7]), format!("unexpected chunk number 7 (expected 1) for {name}")),
        (put(3, 24, &[0, 0]), format!("missing chunk number 2 for {name}")),
        (put(1, 24, &[0, 0]), format!("unexpected chunk number 1 (expected 0) for {name}")),
    ];
    for (how, wanted) in cases {
        assert_eq!(said(&|disk| damage(disk, toast, how)), wanted);
    }
    let shorter: &[u8] = &((1000u32 + 4) << 2).to_le_bytes();
    let shorter: &'static [u8] = shorter.to_vec().leak();
    let wanted = format!("unexpected chunk size 1000 (expected 1996) in chunk 0 of 3 for {name}");
    assert_eq!(said(&|disk| damage(disk, toast, put(1, 32, shorter))), wanted);
    let compressed: &[u8] = &((1996u32 + 4) << 2 | 2).to_le_bytes();
    let compressed: &'static [u8] = compressed.to_vec().leak();
    let wanted = format!("found toasted toast chunk for {name}");
    assert_eq!(said(&|disk| damage(disk, toast, put(1, 32, compressed))), wanted);
    assert_eq!(
        said(&|disk| damage(disk, toast, |page| assert!(page.set_dead(3)))),
        format!("missing chunk number 2 for {name}")
    );
    // The pointer is the last of the row: lengths, value, table.
    let pointer = |at: usize, bytes: [u8; 4]| {
        move |page: &mut PageMut<'_>| {
            let tuple = page.item_mut(1).expect("a row");
            let start = tuple.len() - 16 + at;
            tuple[start..start + 4].copy_from_slice(&bytes);
        }
    };
    let wanted = format!("unexpected chunk number 1 (out of range 0..0) for {name}");
    assert_eq!(
        said(&|disk| damage(disk, main, |page| {
            pointer(0, 2000u32.to_le_bytes())(page);
            pointer(4, 1996u32.to_le_bytes())(page);
        })),
        wanted
    );
    assert_eq!(
        said(&|disk| damage(disk, main, pointer(8, 77u32.to_le_bytes()))),
        format!("missing chunk number 0 for toast value 77 in pg_toast_{main}")
    );
    let error = said(&|disk| damage(disk, main, pointer(12, 4711u32.to_le_bytes())));
    assert!(error.contains("is said to be in the relation 4711"), "{error}");
    // Random bytes that are said to be compressed.
    let error = said(&|disk| damage(disk, main, pointer(0, 90_000u32.to_le_bytes())));
    assert!(error.contains("data is corrupt") || error.contains("compression method"), "{error}");
}

#[test]
fn values_that_nobody_asks_for_are_not_fetched() {
    let (disk, [_, toast], _) = made();
    let engine = open(&disk, SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("doc").expect("there");
    let definition = IndexDefinition::new("doc_id", &[0]);
    transaction.create_index(&table, &definition).expect("made");
    transaction.commit().expect("committed");
    drop(session);
    engine.close().expect("closed");
    damage(&disk, toast, |page| assert!(page.set_dead(2)));
    let engine = open(&disk, SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let (index, table) = transaction.index("doc_id").expect("there");
    let (all, forward) = (Bound::Unbounded, Direction::Forward);
    let scan = table.scan_index_only(&mut transaction, &index, all, all, forward);
    let mut scan = scan.expect("a scan");
    let row = scan.next_row(&mut transaction).expect("read").expect("a row");
    assert_eq!(row.values().expect("in the index"), [Some(Value::Int4(1)), None, None]);
    assert_eq!(scan.heap_fetches(), 1);
    let row = table.scan(&mut transaction).expect("a scan").next().expect("a row").expect("read");
    row.value(2).expect_err("a chunk is missing");
    assert!(table.delete(&mut transaction, row.tid()).expect("its values are not asked for"));
}

#[test]
fn flipped_bits_are_read_or_refused() {
    let (disk, [main, toast], _) = made();
    let mut random = Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..150 {
        let disk = disk.after_crash(1);
        let (file, item) = if random.bool() { (main, 1) } else { (toast, random.u16(1..4)) };
        damage(&disk, file, |page| {
            let tuple = page.item_mut(item).expect("a tuple");
            let at = random.usize(24..tuple.len().min(70));
            tuple[at] ^= 1 << random.u32(..8);
        });
        refused += usize::from(read(&disk).is_err());
    }
    assert!(refused > 20, "{refused}");
}
