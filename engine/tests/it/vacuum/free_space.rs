//! The free space map: what vacuum notes in it, what a server reads there, what a crash and damage leave of it.

use std::fs;
use std::path::{Path, PathBuf};

use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use base::page::{MAX_HEAP_TUPLE_SIZE, PageBytes};
use base::sync::thread;
use base::{PAGE_SIZE, PageMut, RawPage};
use engine::{EngineOptions, SnapshotMode};
use fastrand::Rng;

use super::server::{fork, prepare};
use super::*;
use crate::programs::take_back;
use crate::slru_server::Cluster;
use crate::transactions::{MODES, committed, engine, open, options, with_accounts};
use crate::{DATA, content};

/// Where the nodes are on a page of the map, how many are inner ones, how many slots.
const FIRST_NODE: usize = 28;
const INNER: usize = 4095;
const SLOTS: usize = 4069;
/// The lowest page of the map that tells of the first blocks.
const FIRST_LEAF: usize = 2;

fn pages(bytes: &[u8]) -> &[PageBytes] {
    let (pages, rest) = bytes.as_chunks::<PAGE_SIZE>();
    assert!(rest.is_empty(), "whole pages");
    pages
}

/// The categories of a table's pages, by their real room.
fn categories(table: &[u8]) -> Vec<u8> {
    let category = |page: &PageBytes| {
        let raw = RawPage::new(page);
        let room = match raw.header().upper {
            0 => PAGE_SIZE - 24,
            _ => raw.validate().expect("a page").heap_free_space(),
        };
        if room >= MAX_HEAP_TUPLE_SIZE { 255 } else { (room / 32).min(254) as u8 }
    };
    pages(table).iter().map(category).collect()
}

/// The nodes of a page of the map whose slots are these: each inner one the higher of those below it.
fn tree(slots: &[u8]) -> Vec<u8> {
    let mut nodes = vec![0; INNER + SLOTS];
    nodes[INNER..INNER + slots.len()].copy_from_slice(slots);
    for node in (1..nodes.len()).rev() {
        let above = (node - 1) / 2;
        nodes[above] = nodes[above].max(nodes[node]);
    }
    nodes
}

/// The whole map of a table whose pages have these categories.
fn expected_map(categories: &[u8]) -> [Vec<u8>; 3] {
    let leaf = tree(categories);
    let middle = tree(&leaf[..1]);
    [tree(&middle[..1]), middle, leaf]
}

fn nodes(page: &PageBytes) -> &[u8] {
    &page[FIRST_NODE..]
}

/// Rows of which every page has some left, other than the first and the last, and some pages none.
fn thin_out(engine: &Engine, table: &Table) {
    delete(engine, table, |id| {
        (400..2600).contains(&id) && (id / 200 % 3 == 0 || id % 7 < id / 500)
    });
}

fn insert(engine: &Engine, table: &Table, ids: std::ops::Range<i32>) -> Vec<u32> {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let blocks = ids.map(|id| {
        let row = [Value::Int4(id), Value::Int8(1), Value::Text("put in")];
        table.insert(&mut transaction, &row).expect("inserted").block
    });
    let blocks = blocks.collect();
    transaction.commit().expect("committed");
    blocks
}

#[test]
fn a_server_reads_what_vacuum_noted_and_puts_rows_there() {
    for mode in MODES {
        let cluster = Cluster::with(&["--data-checksums"]);
        let theirs = prepare(&cluster);
        take_back(cluster.data());
        let engine = Engine::open(cluster.data(), EngineOptions { buffers: 60, ..options(mode) });
        let engine = engine.expect("opened");
        let (table, _) = with_accounts(&engine, 3000, 100);
        thin_out(&engine, &table);
        let report =
            vacuum(&mut engine.session().expect("a session"), "account", &VacuumOptions::freeze());
        let frozen = report.frozen_to.expect("known");
        let (ours, rows) = (table.locator().relation, committed(&engine).len());
        engine.close().expect("closed");
        for suffix in ["", "_vm", "_fsm"] {
            let [from, to] = [ours, theirs].map(|file| fork(cluster.data(), file, suffix));
            fs::copy(from, to).expect("copied");
        }
        let [main, map] =
            ["", "_fsm"].map(|suffix| fs::read(fork(cluster.data(), ours, suffix)).expect("there"));
        let categories = categories(&main);
        let expected = expected_map(&categories);
        assert!(
            categories.iter().collect::<std::collections::BTreeSet<_>>().len() > 3,
            "{categories:?}"
        );
        let found: Vec<_> = pages(&map).iter().map(|page| nodes(page).to_vec()).collect();
        assert_eq!(found, expected, "{mode:?}");
        cluster.give();
        let values = cluster.run(&format!(
            "create extension pg_freespacemap;\ncreate extension pageinspect;\n\
             update pg_class set relfrozenxid = '{}', relminmxid = '{}' where relname = 'account';\n\
             select string_agg(avail::text, ',' order by blkno) as v from pg_freespace('account');\n\
             select string_agg(translate(fsm_page_contents(get_raw_page('account', 'fsm', n)), E'\\n', ','), ';' \
             order by n) as v from generate_series(0, 2) n;\n\
             insert into account select n, 2, 'put in' from generate_series(10000, 10300) n;\n\
             select pg_relation_size('account')::text as v;\n\
             select count(*)::text as v from account;\n\
             select coalesce(string_agg(msg, '; '), 'sound') as v from verify_heapam('account');\n",
            frozen.xid, frozen.multi
        ));
        let [free, contents, size, count, verdict] = values.try_into().expect("five values");
        let room = |category: &u8| match category {
            255 => MAX_HEAP_TUPLE_SIZE.to_string(),
            category => (usize::from(*category) * 32).to_string(),
        };
        assert_eq!(free, categories.iter().map(room).collect::<Vec<_>>().join(","), "{mode:?}");
        let shown = |nodes: &Vec<u8>| {
            let shown = nodes.iter().enumerate().filter(|(_, value)| **value > 0);
            let shown: String = shown.map(|(node, value)| format!("{node}: {value},")).collect();
            format!("{shown}fp_next_slot: 0,")
        };
        assert_eq!(contents, expected.iter().map(shown).collect::<Vec<_>>().join(";"), "{mode:?}");
        assert_eq!(size, main.len().to_string(), "{mode:?}: rows went where there was room");
        assert_eq!((count, verdict), ((rows + 301).to_string(), "sound".to_owned()), "{mode:?}");
    }
}

fn path(table: &Table, suffix: &str) -> PathBuf {
    Path::new(DATA).join(format!("base/5/{}{suffix}", table.locator().relation))
}

fn file(disk: &FaultyDisk, table: &Table, suffix: &str) -> Vec<u8> {
    content(disk, &path(table, suffix)).expect("a file")
}

fn blocks(disk: &FaultyDisk, table: &Table) -> usize {
    pages(&file(disk, table, "")).len()
}

#[test]
fn room_is_known_after_a_close_and_after_a_crash() {
    for mode in MODES {
        for closes in [true, false] {
            let (engine, disk) = engine(mode);
            let (table, _) = with_accounts(&engine, 3000, 100);
            thin_out(&engine, &table);
            vacuum(&mut engine.session().expect("a session"), "account", &VacuumOptions::default());
            // What vacuum logged is durable with the next commit.
            insert(&engine, &table, 9000..9001);
            let rows = committed(&engine).len();
            let disk = if closes {
                engine.close().expect("closed");
                disk
            } else {
                let left = disk.after_crash(7);
                drop(engine);
                left
            };
            let engine = open(&disk, mode);
            let before = blocks(&disk, &table);
            assert_eq!(committed(&engine).len(), rows);
            let table = engine
                .session()
                .expect("a session")
                .begin(Isolation::ReadCommitted)
                .expect("begun")
                .table("account")
                .expect("there");
            insert(&engine, &table, 10_000..10_300);
            assert_eq!(blocks(&disk, &table), before, "{mode:?}, closes {closes}");
            assert_eq!(committed(&engine).len(), rows + 300);
            engine.close().expect("closed");
        }
    }
}

#[test]
fn sessions_come_to_different_pages() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    let (table, _) = with_accounts(&engine, 3000, 100);
    thin_out(&engine, &table);
    vacuum(&mut engine.session().expect("a session"), "account", &VacuumOptions::default());
    let mut first = Vec::new();
    for round in 0..4 {
        let blocks = insert(&engine, &table, 10_000 + round * 5..10_005 + round * 5);
        assert!(
            blocks.iter().all(|block| *block == blocks[0]),
            "one page as long as it has room: {blocks:?}"
        );
        first.push(blocks[0]);
    }
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "{first:?}");
}

#[test]
fn threads_that_add_rows_lose_none_and_leave_no_holes() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        let (table, _) = with_accounts(&engine, 0, 0);
        thread::scope(|scope| {
            for of in 0..8 {
                let (engine, table) = (&engine, &table);
                scope.spawn(move || insert(engine, table, of * 1000..of * 1000 + 700));
            }
        });
        let rows: Vec<i32> = committed(&engine).into_iter().map(|(id, _)| id).collect();
        assert_eq!(rows, (0..8).flat_map(|of| of * 1000..of * 1000 + 700).collect::<Vec<_>>());
        // Some were added for others, who had come to have room elsewhere: vacuum has them found.
        vacuum(&mut engine.session().expect("a session"), "account", &VacuumOptions::default());
        let before = blocks(&disk, &table);
        insert(&engine, &table, 10_000..10_050);
        assert_eq!(blocks(&disk, &table), before, "{mode:?}");
        engine.close().expect("closed");
    }
}

/// Damages the map's file in one way.
fn damage(disk: &FaultyDisk, table: &Table, how: u32, random: &mut Rng) {
    let mut bytes = file(disk, table, "_fsm");
    let (pages, _) = bytes.as_chunks_mut::<PAGE_SIZE>();
    for (block, page) in pages.iter_mut().enumerate() {
        match how {
            // Torn.
            0 => random.fill(&mut page[4000..]),
            // High promises, none kept.
            1 => page[FIRST_NODE..FIRST_NODE + INNER].fill(255),
            // Every page of this table, and of one that were longer, is said to be empty.
            2 => page[FIRST_NODE..].fill(255),
            // Nothing is promised, everything there.
            3 => page[FIRST_NODE..FIRST_NODE + INNER].fill(0),
            _ => page[24..28].copy_from_slice(&random.i32(..).to_le_bytes()),
        }
        if how > 0 {
            PageMut::assume_valid(page).set_checksum(block as u32);
        }
    }
    let file = disk.open_for_writing(&path(table, "_fsm"), base::disk::Opening::EXISTING);
    file.expect("there").write_at(&bytes, 0).expect("written");
}

#[test]
fn a_map_that_is_wrong_does_no_harm_and_vacuum_mends_it() {
    for how in 0..5 {
        let mut random = Rng::with_seed(u64::from(how));
        let (engine, disk) = engine(SnapshotMode::Classic);
        let (table, _) = with_accounts(&engine, 3000, 100);
        thin_out(&engine, &table);
        vacuum(&mut engine.session().expect("a session"), "account", &VacuumOptions::default());
        let rows = committed(&engine).len();
        engine.close().expect("closed");
        damage(&disk, &table, how, &mut random);
        let engine = open(&disk, SnapshotMode::Classic);
        let mut session = engine.session().expect("a session");
        let table = session
            .begin(Isolation::ReadCommitted)
            .expect("begun")
            .table("account")
            .expect("there");
        insert(&engine, &table, 10_000..12_000);
        delete(&engine, &table, |id| id > 11_000);
        assert_eq!(committed(&engine).len(), rows + 1001, "{how}");
        let all = VacuumOptions { skips_pages: false, ..VacuumOptions::default() };
        vacuum(&mut session, "account", &all);
        drop(session);
        engine.close().expect("closed");
        let (main, map) = (file(&disk, &table, ""), file(&disk, &table, "_fsm"));
        let categories = categories(&main);
        let leaf = nodes(&pages(&map)[FIRST_LEAF]);
        assert_eq!(leaf[INNER..INNER + categories.len()], categories, "{how}");
    }
}
