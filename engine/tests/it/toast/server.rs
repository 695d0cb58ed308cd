//! Tables whose long values the engine has put out of line, in a server's own data directory and in the place of a table of
//! that server's, which reads every value and checks every pointer.

use std::fs;

use engine::heap::Compression;
use engine::{Column, EngineOptions, SnapshotMode};

use super::*;
use crate::programs::take_back;
use crate::slru_server::Cluster;
use crate::transactions::options;
use crate::vacuum::server::fork;

/// A table `doc` of the server's.
pub(super) struct Theirs {
    /// Its file, its TOAST table's and that one's index's.
    pub(super) files: [u32; 3],
    /// The number of its TOAST table.
    toast: u32,
}

impl Theirs {
    pub(super) fn of(cluster: &Cluster) -> Theirs {
        let values = cluster.run(
            "select pg_relation_filenode('doc')::text as v;\n\
             select pg_relation_filenode(reltoastrelid)::text as v from pg_class where relname = 'doc';\n\
             select pg_relation_filenode(indexrelid)::text as v from pg_index i join pg_class c on c.reltoastrelid = i.indrelid \
             where c.relname = 'doc';\n\
             select reltoastrelid::text as v from pg_class where relname = 'doc';\n",
        );
        let numbers: Vec<u32> =
            values.iter().map(|value| value.parse().expect("a number")).collect();
        let [main, toast_file, index, toast] = numbers[..] else { panic!("{values:?}") };
        Theirs { files: [main, toast_file, index], toast }
    }

    /// Has the server give its TOAST table the number that pointers of the engine's table name.
    pub(super) fn renumber(&self, cluster: &Cluster, is_now: u32) {
        let toast = self.toast;
        cluster.run(&format!(
            "update pg_class set oid = {is_now} where oid = {toast};\n\
             update pg_class set reltoastrelid = {is_now} where relname = 'doc';\n\
             update pg_attribute set attrelid = {is_now} where attrelid = {toast};\n\
             update pg_depend set objid = {is_now} where objid = {toast};\n\
             update pg_depend set refobjid = {is_now} where refobjid = {toast};\n\
             update pg_index set indrelid = {is_now} where indrelid = {toast};\n"
        ));
    }
}

/// The engine's table in the place of such a one: the same files of it.
pub(super) fn ours(table: &Table, transaction: &mut Transaction<'_, '_>) -> [u32; 3] {
    let toast = table.toast_table().expect("a TOAST table");
    let index = toast.all_indexes(transaction)[0].locator();
    [table.locator(), toast.locator(), index].map(|locator| locator.relation)
}

/// Puts files in the place of others, with their visibility maps and without free space maps.
pub(super) fn replace(cluster: &Cluster, files: impl Iterator<Item = (u32, u32)>) {
    for (from, to) in files {
        for suffix in ["", "_vm", "_fsm"] {
            let [from, to] = [from, to].map(|number| fork(cluster.data(), number, suffix));
            let _ = fs::remove_file(&to);
            if from.exists() && suffix != "_fsm" {
                fs::copy(from, to).expect("copied");
            }
        }
    }
}

/// Puts the engine's table in the place of the server's, under the number that its pointers name; what the server finds wrong,
/// and digests of the values by identifier.
fn judged(cluster: &Cluster, ours: [u32; 3], theirs: &Theirs) -> (String, Vec<String>) {
    replace(cluster, ours.into_iter().zip(theirs.files));
    cluster.give();
    theirs.renumber(cluster, ours[1]);
    let values = cluster.run(
        "select coalesce(string_agg(blkno || ',' || offnum || ' ' || attnum || ': ' || msg, '; '), 'sound') as v \
         from verify_heapam('doc', check_toast := true);\n\
         select coalesce(string_agg(blkno || ',' || offnum || ': ' || msg, '; '), 'sound') as v from \
         verify_heapam((select reltoastrelid from pg_class where relname = 'doc'));\n\
         select coalesce(bt_index_parent_check(indexrelid, true, true)::text, 'sound') as v from pg_index i join pg_class c \
         on c.reltoastrelid = i.indrelid where c.relname = 'doc';\n\
         select string_agg(id || ' ' || coalesce(md5(body), '-') || ' ' || coalesce(md5(raw), '-'), ',' order by id) as v \
         from doc;\n",
    );
    let [verdict, of_toast, _, digests] = values.try_into().expect("four values");
    (format!("{verdict}, {of_toast}"), digests.split(',').map(str::to_owned).collect())
}

fn digest(document: &Document) -> String {
    let of = |bytes: Option<&[u8]>| {
        bytes.map_or("-".to_owned(), |bytes| format!("{:x}", md5::compute(bytes)))
    };
    format!(
        "{} {} {}",
        document.id,
        of(document.body.as_deref().map(str::as_bytes)),
        of(document.raw.as_deref())
    )
}

/// Documents of all lengths.
fn work(engine: &Engine, columns: &[Column]) -> (Vec<Document>, [u32; 3]) {
    let table = with_documents(engine, columns);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let mut wanted = Vec::new();
    let lengths =
        [0, 1, 126, 127, 500, 1990, 1996, 2000, 2030, 2033, 4000, 8159, 8161, 20_000, 100_000];
    for (id, length) in lengths.into_iter().enumerate() {
        let body = Some(text(length, id));
        let raw = (id % 3 > 0).then(|| noise(length / (id % 3), id));
        wanted.push(Document { id: id as i32, body, raw });
    }
    for document in &wanted {
        table.insert(&mut transaction, &document.values()).expect("inserted");
    }
    transaction.commit().expect("committed");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let found: Vec<_> =
        documents(&table, &mut transaction).into_iter().map(|found| found.0).collect();
    assert!(found == wanted, "documents differ");
    let ours = ours(&table, &mut transaction);
    (wanted, ours)
}

#[test]
fn a_server_reads_what_the_engine_has_put_out_of_line() {
    for compression in [Compression::Pglz, Compression::Lz4] {
        let cluster = Cluster::with(&["--data-checksums"]);
        cluster.run(
            "create extension amcheck;\ncreate table doc (id int4 not null, body text, raw bytea);\nvacuum freeze;\n",
        );
        let theirs = Theirs::of(&cluster);
        take_back(cluster.data());
        let options = EngineOptions { buffers: 60, compression, ..options(SnapshotMode::Classic) };
        let engine = Engine::open(cluster.data(), options).expect("opened");
        let (wanted, ours) = work(&engine, &document_columns());
        engine.close().expect("closed");
        let (verdict, digests) = judged(&cluster, ours, &theirs);
        assert_eq!(verdict, "sound, sound");
        assert_eq!(digests, wanted.iter().map(digest).collect::<Vec<_>>());
        let values = cluster.run(
            "select string_agg(distinct pg_column_compression(body), ',') as v from doc;\n\
             vacuum (freeze, disable_page_skipping) doc;\n\
             select coalesce(string_agg(msg, '; '), 'sound') as v from verify_heapam('doc', check_toast := true);\n",
        );
        assert_eq!(values, [compression.name(), "sound"]);
    }
}
