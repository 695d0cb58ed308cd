//! Long values in indexes: the same rows put in by a server and by the engine make the same entries, byte for byte, and each finds
//! sound what the other wrote.
//!
//! Values of every length around what an entry keeps plain, in columns of each storage; entries of rows that were put in, of
//! rows that were changed and kept values as they lay, and of indexes that were made of rows that were there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::Bound;

use base::page::PageBytes;
use base::{PAGE_SIZE, Tid};
use engine::btree::{Direction, Node, mask};
use engine::heap::Compression;
use engine::{ColumnStorage, EngineOptions, IndexColumn, IndexDefinition, SnapshotMode};
use fastrand::Rng;

use super::server::{Theirs, ours, replace};
use super::*;
use crate::programs::take_back;
use crate::slru_server::Cluster;
use crate::transactions::options;
use crate::vacuum::server::fork;

/// What columns are of: their names, types and storages. The last one's values are short enough to stand beside others.
const COLUMNS: [(&str, ColumnType, ColumnStorage); 7] = [
    ("id", ColumnType::Int4, ColumnStorage::Plain),
    ("extended_", ColumnType::Text, ColumnStorage::Extended),
    ("external_", ColumnType::Text, ColumnStorage::External),
    ("main_", ColumnType::Text, ColumnStorage::Main),
    ("plain_", ColumnType::Text, ColumnStorage::Plain),
    ("raw_", ColumnType::Bytea, ColumnStorage::Extended),
    ("narrow_", ColumnType::Text, ColumnStorage::Extended),
];

/// Indexes: the number of a name, SQL of the columns, and the same for the engine.
fn indexes() -> Vec<(&'static str, &'static str, IndexDefinition)> {
    let of = |columns: &[usize]| IndexDefinition::new("", columns);
    let descending =
        |column| IndexDefinition { key: vec![IndexColumn::descending(column)], ..of(&[]) };
    let including = |columns: &[usize], included: &[usize]| IndexDefinition {
        included: included.to_vec(),
        ..of(columns)
    };
    vec![
        ("", "extended_", of(&[1])),
        ("", "external_", of(&[2])),
        ("", "main_ desc", descending(3)),
        ("", "plain_", of(&[4])),
        ("", "raw_ desc", descending(5)),
        ("", "narrow_, id", of(&[6, 0])),
        ("", "id, narrow_, plain_", of(&[0, 6, 4])),
        ("", "plain_) include (narrow_", including(&[4], &[6])),
        ("", "narrow_) include (plain_, narrow_", including(&[6], &[4, 6])),
        ("unique", "id) include (narrow_", including(&[0], &[6]).unique()),
        ("unique", "narrow_, id desc", {
            let key = vec![IndexColumn::ascending(6), IndexColumn::descending(0)];
            IndexDefinition { key, ..of(&[]) }.unique()
        }),
    ]
}

/// A row's values behind its number.
type Row = Vec<Option<String>>;

/// Text that compresses well, hardly, or in parts, of a length that its column has room for in an entry.
fn chosen(random: &mut Rng, column: usize) -> Option<String> {
    let near = [40, 300, 506, 508, 510, 700, 1500, 1990, 2600, 5000, 9000];
    let most = match COLUMNS[column] {
        (_, _, ColumnStorage::Plain) => 6,
        (_, _, ColumnStorage::External) => 9,
        ("narrow_", ..) => 6,
        _ => near.len(),
    };
    let length = near[random.usize(..most)] + random.usize(..9) - 4;
    // Some come often, and their entries become posting lists.
    let seed = if random.bool() { random.usize(..3) } else { random.usize(..) };
    match random.u8(..6) {
        0 => None,
        1 => Some(char::from(b'a' + (seed % 9) as u8).to_string().repeat(length)),
        2 => {
            let letters = |at: usize| char::from(b'0' + (at * at / (seed % 90 + 7) % 43) as u8);
            Some((0..length.min(2500)).map(letters).collect())
        }
        3 => {
            let noise = noise(length.min(2500) / 2 + 1, seed);
            Some(noise.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
        }
        // Hardly: letters of which each could be any of 60.
        4 => Some(
            noise(length.min(2500), seed).iter().map(|byte| char::from(b'0' + byte % 43)).collect(),
        ),
        _ => Some(text(length.min(3000), seed)),
    }
}

fn values(id: i32, row: &Row) -> Vec<Value<'_>> {
    let mut values = vec![Value::Int4(id)];
    for (text, (_, of, _)) in row.iter().zip(&COLUMNS[1..]) {
        values.push(match text {
            None => Value::Null,
            Some(text) if *of == ColumnType::Bytea => Value::Bytea(text.as_bytes()),
            Some(text) => Value::Text(text),
        });
    }
    values
}

/// The files of the server's indexes.
fn their_indexes(cluster: &Cluster) -> Vec<u32> {
    let query = |at| format!("select pg_relation_filenode('doc_{at}')::text as v;\n");
    let numbers = cluster.run(&(0..indexes().len()).map(query).collect::<String>());
    numbers.iter().map(|number| number.parse().expect("a number")).collect()
}

fn file(cluster: &Cluster, number: u32) -> Vec<u8> {
    fs::read(fork(cluster.data(), number, "")).expect("a file")
}

fn opened(cluster: &Cluster, compression: Compression) -> Engine {
    take_back(cluster.data());
    let options = EngineOptions { buffers: 200, compression, ..options(SnapshotMode::Classic) };
    Engine::open(cluster.data(), options).expect("opened")
}

/// Pages, what redo need not restore aside.
fn pages(file: &[u8]) -> Vec<Box<PageBytes>> {
    let masked = |page: &[u8]| {
        let mut page: Box<PageBytes> = Box::new(page.try_into().expect("a page"));
        mask::mask(&mut page).expect("a page of a btree");
        page
    };
    file.chunks_exact(PAGE_SIZE).map(masked).collect()
}

/// What entries of leaves have behind their headers, each as often as it stands for a row.
fn images(file: &[u8]) -> BTreeMap<Vec<u8>, usize> {
    let mut images = BTreeMap::new();
    for page in file.chunks_exact(PAGE_SIZE).skip(1) {
        let page: &PageBytes = page.try_into().expect("a page");
        let Ok(node) = Node::read(page) else { continue };
        if !node.opaque.is_leaf() {
            continue;
        }
        for offset in node.opaque.first_data()..=node.last() {
            let entry = node.entry(offset).expect("an entry");
            *images.entry(entry.bytes()[8..entry.data_end()].to_vec()).or_default() +=
                entry.tid_count();
        }
    }
    images
}

/// How many entries have a value that is compressed first, and how many are there.
fn compressed(file: &[u8]) -> (usize, usize) {
    let images = images(file);
    let of = images.iter().filter(|(image, _)| image[0] & 3 == 2);
    (of.map(|(_, count)| count).sum(), images.values().sum())
}

/// Identifiers of the rows that an index finds by a key, in ascending order.
fn by_index(
    table: &Table,
    transaction: &mut Transaction<'_, '_>,
    name: &str,
    key: &[Value<'_>],
) -> Vec<i32> {
    let (index, _) = transaction.index(name).expect("an index");
    let bound = Bound::Included(key);
    let mut scan =
        table.scan_index(transaction, &index, bound, bound, Direction::Forward).expect("a scan");
    let mut ids = Vec::new();
    while let Some(row) = scan.next_row(transaction).expect("a row") {
        let Value::Int4(id) = row.values().expect("values")[0] else { panic!("a number") };
        ids.push(id);
    }
    ids.sort_unstable();
    ids
}

/// Finds each of these rows by each index, and by it alone; and checks the indexes.
fn assert_found(engine: &Engine, table: &Table, rows: &BTreeMap<i32, Row>, prefix: &str) {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    for (at, (_, _, definition)) in indexes().iter().enumerate() {
        let name = format!("{prefix}{at}");
        let checked = transaction.check_index(&name).expect("a sound index");
        assert_eq!(checked.rows, rows.len() as u64, "{name}");
        let key_of = |id: i32, row: &Row| -> Vec<Option<String>> {
            let value = |column: usize| match column {
                0 => Some(id.to_string()),
                column => row[column - 1].clone(),
            };
            definition.key.iter().map(|key| value(key.column)).collect()
        };
        let mut wanted: BTreeMap<_, Vec<i32>> = BTreeMap::new();
        rows.iter().for_each(|(id, row)| wanted.entry(key_of(*id, row)).or_default().push(*id));
        for ids in wanted.values() {
            let all = values(ids[0], &rows[&ids[0]]);
            let key: Vec<_> = definition.key.iter().map(|key| all[key.column]).collect();
            assert_eq!(&by_index(table, &mut transaction, &name, &key), ids, "{name}");
        }
        let (index, _) = transaction.index(&name).expect("an index");
        let (all, direction) = (Bound::Unbounded, Direction::Forward);
        let mut scan = table.scan_index_only(&mut transaction, &index, all, all, direction);
        let scan = scan.as_mut().expect("a scan");
        let mut found = Vec::new();
        while let Some(row) = scan.next_row(&mut transaction).expect("a row") {
            let values = row.values().expect("values");
            found.push(format!("{values:?}"));
        }
        let wanted = rows.iter().map(|(id, row)| {
            let mut all: Vec<_> = values(*id, row).into_iter().map(Some).collect();
            for (column, value) in all.iter_mut().enumerate() {
                value.take_if(|_| !definition.columns().any(|of| of == column));
            }
            format!("{all:?}")
        });
        let mut wanted: Vec<_> = wanted.collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert!(found == wanted, "{name}: an index has other values alone");
    }
}

/// Which row gets which other number.
const CHANGED: (i32, i32) = (5, 100_000);

#[test]
fn entries_are_those_of_a_server() {
    for compression in [Compression::Pglz, Compression::Lz4] {
        entries_are_a_servers(compression);
    }
}

fn entries_are_a_servers(compression: Compression) {
    let cluster = Cluster::with(&["--data-checksums", "--encoding=UTF8", "--locale=C"]);
    let mut random = Rng::with_seed(7);
    let mut rows: BTreeMap<i32, Row> = (0..700)
        .map(|id| (id, (1..COLUMNS.len()).map(|at| chosen(&mut random, at)).collect()))
        .collect();

    // The server's table, and the engine's.
    let mut commands = String::from("create extension amcheck;\ncreate table doc (");
    for (at, (name, of, _)) in COLUMNS.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        let method = match of {
            ColumnType::Int4 => String::new(),
            _ => format!(" compression {}", compression.name()),
        };
        let _ = write!(commands, "{comma}{name} {}{method}", of.name());
    }
    commands.push_str(");\n");
    for (name, _, storage) in &COLUMNS[1..] {
        let _ = writeln!(commands, "alter table doc alter {name} set storage {};", storage.name());
    }
    for (at, (unique, columns, _)) in indexes().iter().enumerate() {
        let _ = writeln!(commands, "create {unique} index doc_{at} on doc ({columns});");
    }
    cluster.run(&commands);
    let (theirs, their_files) = (Theirs::of(&cluster), their_indexes(&cluster));
    let engine = opened(&cluster, compression);
    let columns = COLUMNS.map(|(name, of, storage)| Column::new(name, of).stored(storage));
    let table = with_documents(&engine, &columns);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    for (at, (_, _, definition)) in indexes().iter().enumerate() {
        let definition = IndexDefinition { name: format!("grown_{at}"), ..definition.clone() };
        transaction.create_index(&table, &definition).expect("made");
    }
    for (id, row) in &rows {
        table.insert(&mut transaction, &values(*id, row)).expect("inserted");
    }
    let heap = ours(&table, &mut transaction);
    let grown = table.all_indexes(&transaction);
    let grown: Vec<u32> = grown.iter().map(|index| index.locator().relation).collect();
    transaction.commit().expect("committed");
    drop(session);
    engine.close().expect("closed");
    let grown_files: Vec<Vec<u8>> = grown.iter().map(|number| file(&cluster, *number)).collect();

    // Rows are changed, which keep their long values as they lie, and go; indexes are made of what there is.
    let engine = opened(&cluster, compression);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("doc").expect("a table");
    let mut places: Vec<(Tid, i32)> = Vec::new();
    for row in table.scan(&mut transaction).expect("a scan") {
        let row = row.expect("a row");
        let Value::Int4(id) = row.values().expect("values")[0] else { panic!("a number") };
        places.push((row.tid(), id));
    }
    for (tid, id) in places.iter().filter(|(_, id)| id % CHANGED.0 == 0) {
        let row = rows.remove(id).expect("a row");
        let new = values(id + CHANGED.1, &row);
        table.update(&mut transaction, *tid, &new).expect("updated").expect("there");
        rows.insert(id + CHANGED.1, row);
    }
    transaction.commit().expect("committed");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    for (tid, id) in places.iter().filter(|(_, id)| id % CHANGED.0 == 1) {
        table.delete(&mut transaction, *tid).expect("deleted");
        rows.remove(id);
    }
    transaction.commit().expect("committed");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let mut built = Vec::new();
    for (at, (_, _, definition)) in indexes().iter().enumerate() {
        let definition = IndexDefinition { name: format!("built_{at}"), ..definition.clone() };
        let index = transaction.create_index(&table, &definition).expect("made");
        built.push(index.locator().relation);
    }
    transaction.commit().expect("committed");
    drop(session);
    assert_found(&engine, &table, &rows, "grown_");
    assert_found(&engine, &table, &rows, "built_");
    drop(table);
    engine.close().expect("closed");
    let changed_files: Vec<Vec<u8>> = grown.iter().map(|number| file(&cluster, *number)).collect();
    let built_files: Vec<Vec<u8>> = built.iter().map(|number| file(&cluster, *number)).collect();
    let (compressed_first, all) = compressed(&built_files[0]);
    assert!(compressed_first > all / 5, "{compressed_first} of {all} entries begin compressed");

    // The server judges what the engine wrote, and makes the indexes anew of the same rows.
    cluster.give();
    theirs.renumber(&cluster, heap[1]);
    for files in [&grown, &built] {
        take_back(cluster.data());
        let of_indexes = files.iter().copied().zip(their_files.iter().copied());
        replace(&cluster, heap.into_iter().zip(theirs.files).chain(of_indexes));
        cluster.give();
        let mut checks = String::new();
        for at in 0..indexes().len() {
            let _ = writeln!(
                checks,
                "select coalesce(bt_index_parent_check('doc_{at}', true, true)::text, '') as v;"
            );
        }
        checks.push_str(
            "set enable_seqscan = off;\nset enable_bitmapscan = off;\n\
             select count(*)::text as v from doc a join doc b on a.extended_ = b.extended_ and a.id = b.id;\n\
             select string_agg(md5(id || coalesce(narrow_, '-')), ',' order by id) as v from doc;\n",
        );
        let answers = cluster.run(&checks);
        let [.., joined, digests] = &answers[..] else { panic!("{answers:?}") };
        let not_null = rows.values().filter(|row| row[0].is_some()).count();
        assert_eq!(joined, &not_null.to_string());
        let digest = |(id, row): (&i32, &Row)| {
            let narrow = row[5].as_deref().unwrap_or("-");
            format!("{:x}", md5::compute(format!("{id}{narrow}")))
        };
        assert_eq!(digests, &rows.iter().map(digest).collect::<Vec<_>>().join(","));
    }
    cluster.run("reindex table doc;\n");
    let remade = their_indexes(&cluster);
    take_back(cluster.data());
    for (at, number) in remade.iter().enumerate() {
        let file = file(&cluster, *number);
        assert!(images(&file) == images(&built_files[at]), "index {at}, entries made anew");
        assert!(pages(&file) == pages(&built_files[at]), "index {at}, made anew");
    }

    // The server puts the same rows in, and changes them.
    let mut lines = String::new();
    let mut random = Rng::with_seed(7);
    for id in 0..700 {
        let row = (1..COLUMNS.len()).map(|at| chosen(&mut random, at));
        let row: Vec<String> = row.map(|value| value.unwrap_or_else(|| "\\N".to_owned())).collect();
        let _ = writeln!(lines, "{id}\t{}", row.join("\t"));
    }
    let from = cluster.data().join("rows.txt");
    fs::write(&from, lines).expect("written");
    cluster.give();
    cluster.run(&format!(
        "truncate doc;\ncopy doc from '{}' with (encoding 'UTF8');\n",
        from.display()
    ));
    let (theirs, put_in) = (Theirs::of(&cluster), their_indexes(&cluster));
    take_back(cluster.data());
    for (at, number) in put_in.iter().enumerate() {
        let file = file(&cluster, *number);
        assert!(images(&file) == images(&grown_files[at]), "index {at}, entries put in");
        assert!(pages(&file) == pages(&grown_files[at]), "index {at}, put in");
    }
    cluster.give();
    let (every, by) = CHANGED;
    cluster.run(&format!(
        "update doc set id = id + {by} where id % {every} = 0;\ndelete from doc where id % {every} = 1;\n"
    ));
    take_back(cluster.data());
    for (at, number) in put_in.iter().enumerate() {
        let file = file(&cluster, *number);
        assert!(images(&file) == images(&changed_files[at]), "index {at}, rows changed");
    }

    // The engine reads what the server wrote.
    let of_indexes = put_in.into_iter().zip(grown);
    replace(&cluster, theirs.files.into_iter().zip(heap).chain(of_indexes));
    cluster.give();
    let engine = opened(&cluster, compression);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("doc").expect("a table");
    drop(transaction);
    drop(session);
    assert_found(&engine, &table, &rows, "grown_");
    drop(table);
    engine.close().expect("closed");
}
