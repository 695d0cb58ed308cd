//! The same rows put in by a server and by the engine: the same bytes in tuples and in chunks, but for the numbers of values.
//!
//! Values of every length around each threshold, in columns of each storage, and some long ones, compressed by each method: which
//! of them are compressed and which go out of line, and what compression makes of them, is the server's own.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base::tuple::HeapTupleHeader;
use base::{PAGE_SIZE, Page};
use engine::heap::Compression;
use engine::{ColumnStorage, EngineOptions, SnapshotMode};
use fastrand::Rng;

use super::*;
use crate::programs::take_back;
use crate::slru_server::Cluster;
use crate::transactions::options;
use crate::vacuum::server::fork;

/// `id int4`, then a column for each storage.
const STORAGES: [(&str, ColumnStorage); 4] = [
    ("extended", ColumnStorage::Extended),
    ("external", ColumnStorage::External),
    ("main", ColumnStorage::Main),
    ("plain", ColumnStorage::Plain),
];

/// How long values are that are compressed as a whole, each of every kind. LZ4 keeps its places in fewer bits below 65,547 bytes.
const LONG: [usize; 4] = [65_546, 65_547, 250_000, 1_000_000];
/// Kinds of text that compress well, hardly, or in parts.
const KINDS: u8 = 4;

/// A value or none, of a length that is near to one where something changes.
fn chosen(random: &mut Rng, storage: ColumnStorage) -> Option<String> {
    let lengths = [5, 40, 126, 127, 400, 1000, 1990, 2010, 2035, 3000, 7000, 9000, 25_000];
    let most = if storage == ColumnStorage::Plain { 5 } else { lengths.len() };
    let near = lengths[random.usize(..most)];
    let length = (near + random.usize(..24)).saturating_sub(12);
    let seed = random.usize(..);
    let mut made = of_kind(random.u8(..=KINDS).checked_sub(1)?, length, seed);
    if random.u8(..4) == 0 {
        // Bytes of which the highest bit is set.
        made = made.replace('e', "\u{e9}").replace('7', "\u{4e03}");
    }
    Some(made)
}

/// Text of one kind.
fn of_kind(kind: u8, length: usize, seed: usize) -> String {
    match kind {
        0 => "x".repeat(length),
        1 => {
            let letters = |at: usize| char::from(33 + (at * at / (seed % 90 + 7) % 90) as u8);
            (0..length).map(letters).filter(|letter| *letter != '\\').collect()
        }
        2 => noise(length / 2 + 1, seed).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        _ => text(length, seed),
    }
}

/// What a tuple has in a column.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// As they lie there, with the padding before them; of a value out of line its lengths alone.
    bytes: Vec<u8>,
    is_external: bool,
    /// How it is compressed.
    method: Option<u32>,
}

/// What a tuple has in each column.
fn parts(tuple: &[u8], columns: usize) -> Vec<Option<Part>> {
    let (_, layout) = HeapTupleHeader::read(tuple).expect("a tuple");
    let nulls = &tuple[layout.null_bitmap];
    let data = &tuple[layout.data];
    let mut at = 0;
    let mut parts = Vec::new();
    for column in 0..columns {
        if nulls.get(column / 8).is_some_and(|byte| byte >> (column % 8) & 1 == 0) {
            parts.push(None);
            continue;
        }
        let start = if column == 0 || data[at] == 0 { usize::next_multiple_of(at, 4) } else { at };
        let word = |at| {
            let bytes = data[start + at..start + at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes)
        };
        let long = || word(0) as usize >> 2;
        let (length, shown, method) = match data[start] {
            _ if column == 0 => (4, 4, None),
            1 => {
                // How long the value is with its header, and how long what is stored of it without one, and how.
                let (whole, stored) = (word(2), word(6));
                (18, 10, ((stored & 0x3FFF_FFFF) + 4 < whole).then_some(stored >> 30))
            }
            short if short & 1 == 1 => (usize::from(short >> 1), usize::from(short >> 1), None),
            first if first & 3 == 2 => (long(), long(), Some(word(4) >> 30)),
            _ => (long(), long(), None),
        };
        let bytes = data[at..start + shown].to_vec();
        parts.push(Some(Part { bytes, is_external: column > 0 && data[start] == 1, method }));
        at = start + length;
    }
    parts
}

/// All tuples of a file, in order.
fn tuples(file: &[u8]) -> Vec<Vec<u8>> {
    let mut tuples = Vec::new();
    for page in file.chunks_exact(PAGE_SIZE) {
        let page = Page::assume_valid(page.try_into().expect("a page"));
        tuples.extend(page.items().map(|(_, tuple)| tuple.to_vec()));
    }
    tuples
}

/// Numbers and data of all chunks, in order; values are numbered as they come.
fn chunks_in(file: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    let mut chunks = Vec::new();
    for tuple in tuples(file) {
        let (value, rest) = tuple[24..].split_at(4);
        if values.last().is_none_or(|last| last != value) {
            values.push(value.to_vec());
        }
        chunks.push((values.len(), rest.to_vec()));
    }
    chunks
}

#[test]
fn the_engine_stores_long_values_as_a_server_does() {
    for compression in [Compression::Pglz, Compression::Lz4] {
        long_values_are_a_servers(compression);
    }
}

fn long_values_are_a_servers(compression: Compression) {
    let cluster = Cluster::with(&["--encoding=UTF8"]);
    let mut random = Rng::with_seed(15);
    let mut rows: Vec<Vec<Option<String>>> = (0..300)
        .map(|_| STORAGES.iter().map(|(_, storage)| chosen(&mut random, *storage)).collect())
        .collect();
    let long = LONG.iter().flat_map(|length| (0..KINDS).map(|kind| of_kind(kind, *length, 15)));
    rows.extend(long.map(|value| vec![Some(value), None, None, None]));
    let mut commands = String::from("create table doc (id int4");
    for (name, _) in STORAGES {
        write!(commands, ", {name}_ text compression {}", compression.name()).expect("memory");
    }
    commands.push_str(");\n");
    for (name, _) in STORAGES {
        writeln!(commands, "alter table doc alter {name}_ set storage {name};").expect("memory");
    }
    // COPY forms tuples by the table's columns; INSERT has short headers for plain values, too.
    let mut lines = String::new();
    for (id, row) in rows.iter().enumerate() {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "\\N".to_owned());
        let values: Vec<_> = row.iter().map(value).collect();
        writeln!(lines, "{id}\t{}", values.join("\t")).expect("memory");
    }
    let file = cluster.data().join("rows.txt");
    std::fs::write(&file, lines).expect("written");
    cluster.give();
    writeln!(commands, "copy doc from '{}' with (encoding 'UTF8');", file.display())
        .expect("memory");
    commands.push_str(
        "select pg_relation_filenode('doc')::text as v;\n\
         select pg_relation_filenode(reltoastrelid)::text as v from pg_class where relname = 'doc';\ncheckpoint;\n",
    );
    let files: Vec<u32> =
        cluster.run(&commands).iter().map(|value| value.parse().expect("a number")).collect();
    take_back(cluster.data());
    let read = |number: u32| std::fs::read(fork(cluster.data(), number, "")).expect("a file");
    let theirs: Vec<_> = files.into_iter().map(read).collect();

    let options = EngineOptions { buffers: 60, compression, ..options(SnapshotMode::Classic) };
    let engine = Engine::open(cluster.data(), options).expect("opened");
    let mut columns = vec![Column::new("id", ColumnType::Int4)];
    let column = |(name, storage)| Column::new(name, ColumnType::Text).stored(storage);
    columns.extend(STORAGES.map(column));
    let table = with_documents(&engine, &columns);
    let mut session = engine.session().expect("a session");
    for (id, row) in rows.iter().enumerate() {
        let mut values = vec![Value::Int4(id as i32)];
        values.extend(row.iter().map(|text| text.as_deref().map_or(Value::Null, Value::Text)));
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.insert(&mut transaction, &values).expect("inserted");
        transaction.commit().expect("committed");
    }
    drop(session);
    let toast = table.toast_table().expect("a TOAST table");
    let numbers = [table.locator().relation, toast.locator().relation];
    engine.close().expect("closed");
    let ours = numbers.map(read);

    let (mine, other) = (tuples(&ours[0]), tuples(&theirs[0]));
    assert_eq!((mine.len(), other.len()), (rows.len(), rows.len()));
    let (mut compressed, mut external) = (0, 0);
    let mut methods = BTreeSet::new();
    for ((mine, other), row) in mine.iter().zip(&other).zip(&rows) {
        let (mine, other) = (parts(mine, 5), parts(other, 5));
        for (column, (mine, other)) in mine.iter().zip(&other).enumerate().skip(1) {
            let text = row[column - 1].as_ref();
            assert!(
                mine == other,
                "column {column}, {:?}: {mine:?}, the server has {other:?}",
                text.map(String::len)
            );
            let Some(part) = mine else { continue };
            external += usize::from(part.is_external);
            compressed += usize::from(!part.is_external && part.method.is_some());
            methods.extend(part.method);
        }
    }
    assert_eq!(methods, BTreeSet::from([compression as u32]));
    assert!(compressed > 50 && external > 50, "{compressed} compressed, {external} out of line");
    let (mine, other) = (chunks_in(&ours[1]), chunks_in(&theirs[1]));
    assert!(mine == other, "{} chunks, the server has {}", mine.len(), other.len());
    println!("{compressed} values compressed, {external} out of line, {} chunks", mine.len());
}
