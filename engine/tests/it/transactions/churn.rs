//! Versions of rows in indexes whose keys do not change: as many pages as PostgreSQL's indexes have after the same updates,
//! without a vacuum.

use std::ops::Bound;

use engine::btree::Direction;
use engine::{Durability, IndexColumn, IndexDefinition, Session, TableIndex};

use super::locks::{begin, sessions};
use super::*;
use crate::live_server::LiveServer;

/// Rows, and how often each is updated.
const ROWS: i32 = 2000;
const ROUNDS: i32 = 8;
/// What the rows of a round are gone through by; it has no divisor in common with [`ROWS`].
const STEP: i32 = 709;
const NAMES: [&str; 3] = ["account_pkey", "account_note_idx", "account_amount_idx"];

/// Note of a row, which a hundred share.
fn note(id: i32) -> String {
    format!("note {:03}", id % (ROWS / 100))
}

fn update(session: &mut Session<'_>, table: &Table, index: &TableIndex, id: i32, round: i32) {
    let mut transaction = begin(session);
    let key: &[Value<'_>] = &[Value::Int4(id)];
    let bound = Bound::Included(key);
    let scan = table.scan_index(&mut transaction, index, bound, bound, Direction::Forward);
    let row = scan.expect("a scan").next_row(&mut transaction).expect("a scan").expect("the row");
    let note = note(id);
    let new = [Value::Int4(id), Value::Int8(i64::from(round * ROWS + id)), Value::Text(&note)];
    let updated = table.update(&mut transaction, row.tid(), &new).expect("updated");
    assert_ne!(updated, Some(row.tid()), "an indexed column changes: not heap-only");
    transaction.commit_with(Durability::Asynchronous).expect("committed");
}

/// Pages of the indexes before the updates and after them.
fn here(mode: SnapshotMode) -> [[u64; 3]; 2] {
    let (engine, _disk) = engine(mode);
    let [mut session] = sessions(&engine);
    let mut transaction = begin(&mut session);
    let table = transaction.create_table("account", &account_columns()).expect("made");
    let definitions = [
        IndexDefinition { is_primary: true, ..IndexDefinition::new(NAMES[0], &[0]).unique() },
        IndexDefinition {
            key: vec![IndexColumn::ascending(2)],
            ..IndexDefinition::new(NAMES[1], &[])
        },
        IndexDefinition::new(NAMES[2], &[1]),
    ];
    let indexes =
        definitions.map(|definition| transaction.create_index(&table, &definition).expect("made"));
    for id in 0..ROWS {
        let note = note(id);
        let row = [Value::Int4(id), Value::Int8(i64::from(id)), Value::Text(&note)];
        table.insert(&mut transaction, &row).expect("inserted");
    }
    transaction.commit().expect("committed");
    let pages = |session: &mut Session<'_>| {
        let mut transaction = begin(session);
        NAMES.map(|name| transaction.check_index(name).expect("sound").pages)
    };
    let before = pages(&mut session);
    for round in 1..=ROUNDS {
        for at in 0..ROWS {
            update(&mut session, &table, &indexes[0], at * STEP % ROWS, round);
        }
    }
    [before, pages(&mut session)]
}

/// The same of a server; the metapage is not counted.
fn there() -> [[u64; 3]; 2] {
    let server = LiveServer::start(&[]);
    let mut session = server.session();
    session.run(&format!(
        "create table account (id int primary key, amount int8, note text collate \"C\");
         create index {} on account (note); create index {} on account (amount);
         insert into account select id, id, 'note ' || to_char(id % {}, 'FM000')
         from generate_series(0, {ROWS} - 1) id;",
        NAMES[1],
        NAMES[2],
        ROWS / 100
    ));
    let mut pages = || {
        NAMES.map(|name| {
            let size = session.run(&format!("select pg_relation_size('{name}') / 8192 - 1;"));
            size[0].parse().expect("a number")
        })
    };
    let before = pages();
    let mut session = server.session();
    session.run(&format!(
        "do $$ begin
           for round in 1..{ROUNDS} loop
             for at in 0..{ROWS} - 1 loop
               update account set amount = round * {ROWS} + id where id = at * {STEP} % {ROWS};
               commit;
             end loop;
           end loop;
         end $$;"
    ));
    [before, pages()]
}

#[test]
fn indexes_stay_as_small_as_the_servers_under_updates_that_leave_their_keys() {
    let [before_there, after_there] = there();
    for mode in MODES {
        let [before, after] = here(mode);
        println!(
            "{mode:?}: {before:?} to {after:?} pages; PostgreSQL {before_there:?} to {after_there:?}"
        );
        assert_eq!(before, before_there, "{mode:?}");
        for (name, (ours, theirs)) in NAMES.iter().zip(after.iter().zip(after_there)).take(2) {
            // A page more or less is a matter of which rows lie together in the table.
            assert!(
                *ours <= theirs + theirs / 8 + 1,
                "{mode:?}: {name} has {ours} pages, theirs {theirs}"
            );
        }
        // Not one page for each round, which is what as many entries as versions come to.
        assert!(after[0] < before[0] * 4, "{mode:?}: {before:?} to {after:?}");
    }
}
