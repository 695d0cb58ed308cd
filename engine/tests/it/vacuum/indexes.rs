//! Indexes of vacuumed tables: what a real server says of their files, in every snapshot mode.
//!
//! The engine works in a server's own data directory; its files are then put in the place of those of a table and of
//! indexes of the same kind.

use std::fs;

use base::PAGE_SIZE;
use base::page::PageBytes;
use engine::btree::{Node, NodeFlags, Opaque};
use engine::vacuum::VacuumOptions;
use engine::{EngineOptions, IndexColumn, IndexDefinition, SnapshotMode};

use super::server::{fork, prepare};
use super::*;
use crate::pageinspect::{metap, page_item, page_stats};
use crate::programs::take_back;
use crate::slru_server::Cluster;
use crate::transactions::{MODES, options, with_accounts};

fn definitions() -> [IndexDefinition; 3] {
    [
        IndexDefinition::new("account_id", &[0]).unique(),
        IndexDefinition {
            key: vec![IndexColumn::descending(2), IndexColumn::ascending(0)],
            ..IndexDefinition::new("account_note", &[])
        },
        IndexDefinition::new("account_amount", &[1]),
    ]
}

/// Few to a page, so that the index of notes has many levels.
fn note(id: i32) -> String {
    format!("{}{id:08}", "n".repeat(1000))
}

fn insert(engine: &Engine, table: &Table, ids: impl Iterator<Item = i32>) {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    for id in ids {
        let note = note(id);
        let row = [Value::Int4(id), Value::Int8(i64::from(id % 3)), Value::Text(&note)];
        table.insert(&mut transaction, &row).expect("inserted");
    }
    transaction.commit().expect("committed");
}

/// Ranges of rows come and go, with vacuums between. Gives the files.
fn work(engine: &Engine, mode: SnapshotMode) -> (u32, Vec<u32>) {
    let (table, _) = with_accounts(engine, 0, 0);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let indexes: Vec<_> = definitions()
        .iter()
        .map(|index| transaction.create_index(&table, index).expect("made").locator().relation)
        .collect();
    transaction.commit().expect("committed");
    insert(engine, &table, 0..1500);
    delete(engine, &table, |id| (200..900).contains(&id));

    // Somebody who may have links to what is deleted now.
    let mut reader = engine.session().expect("a session");
    let mut reading = reader.begin(Isolation::RepeatableRead).expect("begun");
    let scan = table.scan(&mut reading).expect("a scan");
    drop(scan);
    let of_note = |report: &VacuumReport| {
        let done = report.indexes.iter().find(|index| index.name == "account_note");
        done.expect("a pass over it").vacuumed
    };
    let first = of_note(&vacuum(&mut session, "account", &VacuumOptions::default()));
    assert!(first.newly_deleted > 60 && first.free == 0, "{mode:?}: {first:?}");
    drop(reading);
    // Nothing has died; but there are pages that may have become free.
    insert(engine, &table, 1500..1501);
    let second = of_note(&vacuum(&mut session, "account", &VacuumOptions::default()));
    assert_eq!((second.newly_deleted, second.free), (0, first.deleted), "{mode:?}");
    insert(engine, &table, 3000..3200);
    delete(engine, &table, |id| id < 150 || (3010..3100).contains(&id));
    let third = of_note(&vacuum(&mut session, "account", &VacuumOptions::default()));
    assert!(third.pages <= second.pages, "{mode:?}: pages come back: {second:?} {third:?}");
    assert!(third.newly_deleted > 5, "{mode:?}: {third:?}");
    // Entries marked dead.
    delete(engine, &table, |id| id % 7 == 1);
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    for name in ["account_id", "account_note", "account_amount"] {
        let (index, table) = transaction.index(name).expect("there");
        let all = std::ops::Bound::Unbounded;
        let mut scan = table
            .scan_index(&mut transaction, &index, all, all, engine::btree::Direction::Forward)
            .expect("a scan");
        while scan.next_row(&mut transaction).expect("a row").is_some() {}
    }
    transaction.commit().expect("committed");
    (table.locator().relation, indexes)
}

fn pages(bytes: &[u8]) -> impl Iterator<Item = &PageBytes> {
    bytes.chunks_exact(PAGE_SIZE).map(|page| page.first_chunk().expect("a page"))
}

#[test]
fn a_server_reads_indexes_whose_pages_were_deleted_as_the_engine_does() {
    for mode in MODES {
        let cluster = Cluster::with(&["--data-checksums"]);
        prepare(&cluster);
        let made = "create extension pageinspect;\n\
                    create unique index account_id on account (id);\n\
                    create index account_note on account (note collate \"C\" desc, id);\n\
                    create index account_amount on account (amount);\nvacuum freeze;\n\
                    select pg_relation_filenode('account')::text as v;\n\
                    select pg_relation_filenode('account_id')::text as v;\n\
                    select pg_relation_filenode('account_note')::text as v;\n\
                    select pg_relation_filenode('account_amount')::text as v;\n";
        let theirs: Vec<u32> =
            cluster.run(made).iter().map(|v| v.parse().expect("a number")).collect();
        take_back(cluster.data());
        let engine = Engine::open(cluster.data(), EngineOptions { buffers: 90, ..options(mode) });
        let engine = engine.expect("opened");
        let (table, indexes) = work(&engine, mode);
        let frozen = frozen_to(&engine);
        engine.close().expect("closed");
        let ours = std::iter::once(table).chain(indexes);
        let mut kinds = NodeFlags::empty();
        for (at, (ours, theirs)) in ours.zip(&theirs).enumerate() {
            let (ours, theirs) =
                (fork(cluster.data(), ours, ""), fork(cluster.data(), *theirs, ""));
            fs::copy(&ours, theirs).expect("copied");
            for page in pages(&fs::read(ours).expect("read")).filter(|_| at > 0) {
                kinds |= Opaque::of(page).expect("a page of a btree").flags;
            }
        }
        assert!(kinds.contains(NodeFlags::DELETED | NodeFlags::HAS_GARBAGE), "{mode:?}: {kinds:?}");
        let _ = fs::remove_file(fork(cluster.data(), theirs[0], "_vm"));
        cluster.give();
        cluster.run(&format!(
            "update pg_class set relfrozenxid = '{frozen}' where relname = 'account';\n"
        ));
        for (at, index) in definitions().iter().enumerate() {
            let file = fs::read(fork(cluster.data(), theirs[at + 1], "")).expect("read");
            let name = &index.name;
            let last = file.len() / PAGE_SIZE - 1;
            let flag = |what: &str| {
                format!("case when {what} then 't' when not {what} then 'f' else '' end")
            };
            let said = cluster.run(&format!(
                "select bt_index_parent_check('{name}', true, true)::text as v;\n\
                 select concat_ws('|', magic, version, root, level, fastroot, fastlevel, \
                 last_cleanup_num_delpages, last_cleanup_num_tuples, {}) as v from bt_metap('{name}');\n\
                 select string_agg(concat_ws('|', type, live_items, dead_items, avg_item_size, page_size, \
                 case when type in ('d', 'D') then '' else free_size::text end, btpo_prev, btpo_next, \
                 btpo_level, btpo_flags), ';' order by b) as v \
                 from generate_series(1, {last}) b, bt_page_stats('{name}', b);\n\
                 select string_agg(concat_ws('|', ctid, itemlen, {}, {}, data, {}, coalesce(htid::text, ''), \
                 coalesce(tids::text, '')), ';' order by b, itemoffset) as v \
                 from generate_series(1, {last}) b, bt_page_items(get_raw_page('{name}', b::int4));\n",
                flag("allequalimage"),
                flag("nulls"),
                flag("vars"),
                flag("dead"),
            ));
            let [_, meta, stats, items] = &said[..] else { panic!("{said:?}") };
            let ours: Vec<&PageBytes> = pages(&file).collect();
            assert_eq!(&metap(ours[0]).join("|"), meta, "{mode:?}: {name}");
            let stats_of: Vec<_> =
                ours[1..].iter().map(|page| page_stats(page).join("|")).collect();
            for (block, (ours, theirs)) in (1..).zip(stats_of.iter().zip(stats.split(';'))) {
                assert_eq!(ours, theirs, "{mode:?}: block {block} of {name}");
            }
            assert_eq!(stats_of.len(), stats.split(';').count());
            let mut items = items.split(';');
            for (block, page) in (1..).zip(&ours[1..]) {
                let Ok(node) = Node::read(page) else { continue };
                for offset in 1..=node.last() {
                    let ours = page_item(&node, offset).join("|");
                    let place = format!("{mode:?}: block {block} of {name}, {offset}");
                    assert_eq!(Some(&ours[..]), items.next(), "{place}");
                }
            }
            assert_eq!(items.next(), None, "{mode:?}: {name}");
        }
    }
}

/// The oldest id that a row of the table may have.
fn frozen_to(engine: &Engine) -> base::Xid {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("account").expect("there");
    table.frozen().xid
}
