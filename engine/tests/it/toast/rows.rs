//! Rows with long values, put in, changed and deleted.

use std::ops::{Bound, ControlFlow};

use engine::btree::Direction;
use engine::vacuum::{VacuumOptions, VacuumProgress};
use engine::{
    ColumnStorage, Error, IndexDefinition, IndexScan, InsertOutcome, SnapshotMode, TableIndex,
};

use super::*;
use crate::transactions::{MODES, engine, open};

#[test]
fn a_long_text_comes_back() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let table = with_documents(&engine, &document_columns());
    let wanted = Document { id: 1, body: Some(text(100_000, 1)), raw: Some(noise(70_000, 2)) };
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    table.insert(&mut transaction, &wanted.values()).expect("inserted");
    transaction.commit().expect("committed");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    assert_eq!(documents(&table, &mut transaction)[0].0, wanted);
    assert!(chunks(&table, &mut transaction) > 36);
    drop(transaction);
    drop(session);
    // A crash: the next one recovers.
    drop(engine);
    let engine = open(&disk, SnapshotMode::CommitTs);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("doc").expect("there");
    assert_eq!(documents(&table, &mut transaction)[0].0, wanted);
    let index = format!("{}_index", table.toast_table().expect("a TOAST table").name());
    transaction.check_index(&index).expect("sound");
}

/// Where the chunks are that a transaction sees.
fn places(table: &Table, transaction: &mut Transaction<'_, '_>) -> Vec<Tid> {
    let toast = table.toast_table().expect("a TOAST table");
    toast.scan(transaction).expect("a scan").map(|row| row.expect("a chunk").tid()).collect()
}

#[test]
fn a_value_that_stays_keeps_its_chunks() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let table = with_documents(&engine, &document_columns());
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let mut wanted = Document { id: 1, body: Some(text(3000, 1)), raw: Some(noise(6000, 2)) };
        let tid = table.insert(&mut transaction, &wanted.values()).expect("inserted");
        transaction.commit().expect("committed");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let before = places(&table, &mut transaction);
        assert_eq!(before.len(), 4);
        wanted.body = Some(text(2500, 3));
        let tid =
            table.update(&mut transaction, tid, &wanted.values()).expect("updated").expect("there");
        assert_eq!(places(&table, &mut transaction), before, "{mode:?}");
        assert_eq!(documents(&table, &mut transaction)[0].0, wanted);
        // One that is as long as before, and another one.
        wanted.raw = Some(noise(6000, 4));
        let savepoint = transaction.savepoint().expect("begun");
        table.update(&mut transaction, tid, &wanted.values()).expect("updated").expect("there");
        let after = places(&table, &mut transaction);
        assert!(after.len() == 4 && after.iter().all(|tid| !before.contains(tid)), "{after:?}");
        assert_eq!(documents(&table, &mut transaction)[0].0, wanted);
        transaction.rollback_to(savepoint).expect("rolled back");
        assert_eq!(places(&table, &mut transaction), before);
        let root = documents(&table, &mut transaction)[0].1;
        assert!(table.delete(&mut transaction, root).expect("deleted"));
        assert_eq!(places(&table, &mut transaction), []);
        transaction.commit().expect("committed");
        // Nobody sees them: the whole of it goes.
        let go_on = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
        let reports =
            session.vacuum(Some("doc"), &VacuumOptions::default(), go_on).expect("vacuumed");
        let [main, of_toast] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!((main.table.as_str(), main.live), ("doc", 0));
        assert_eq!(of_toast.table, format!("pg_toast_{}", table.oid()));
        assert_eq!((of_toast.removed, of_toast.live), (8, 0), "{of_toast:?}");
        assert_eq!((main.pages, of_toast.pages), (0, 0));
    }
}

#[test]
fn a_row_that_was_put_in_in_vain_leaves_no_chunks() {
    let (engine, _) = engine(SnapshotMode::Mirror);
    let table = with_documents(&engine, &document_columns());
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let index = IndexDefinition::new("doc_id", &[0]).unique();
    let index = transaction.create_index(&table, &index).expect("made");
    let first = Document { id: 1, body: None, raw: Some(noise(5000, 2)) };
    table.insert(&mut transaction, &first.values()).expect("inserted");
    let before = places(&table, &mut transaction);
    let other = Document { id: 1, body: Some(text(50_000, 2)), raw: Some(noise(9000, 3)) };
    let outcome = table
        .insert_unless(&mut transaction, &other.values(), &[], &[index.oid()])
        .expect("taken back");
    assert_eq!(outcome, InsertOutcome::Taken(index.oid()));
    assert_eq!(places(&table, &mut transaction), before);
    assert_eq!(documents(&table, &mut transaction)[0].0, first);
    transaction.commit().expect("committed");
}

#[test]
fn long_values_are_indexed_and_their_rows_found() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let columns = document_columns().map(|column| column.stored(ColumnStorage::External));
    let table = with_documents(&engine, &columns);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    // Each too long together, and out of line, and short enough to be indexed.
    let made: Vec<_> = (0..20)
        .map(|id| Document { id, body: Some(text(2200, id as usize)), raw: Some(noise(100, 1)) })
        .collect();
    for document in &made {
        table.insert(&mut transaction, &document.values()).expect("inserted");
    }
    let index = IndexDefinition::new("doc_body", &[1]).unique();
    let index = transaction.create_index(&table, &index).expect("made");
    for document in &made {
        let body = Value::Text(document.body.as_deref().expect("a text"));
        let key = [body];
        let bound = Bound::Included(&key[..]);
        let mut found = table
            .scan_index(&mut transaction, &index, bound, bound, Direction::Forward)
            .expect("begun");
        let row = found.next_row(&mut transaction).expect("read").expect("there");
        assert_eq!(super::document(&row.values().expect("values")), *document);
        // An update of another column leaves the index alone, and keeps the row where it is if there is room.
        let mut changed = document.clone();
        changed.raw = Some(noise(90, 2));
        let root = table.update(&mut transaction, row.tid(), &changed.values()).expect("updated");
        assert!(root.is_some());
    }
    transaction.check_index("doc_body").expect("sound");
    let too_long = Document { id: 99, body: Some(text(9000, 5)), raw: None };
    let error = table.insert(&mut transaction, &too_long.values()).expect_err("too long");
    assert_eq!(error.sqlstate(), "54000", "{error}");
}

#[test]
fn a_toast_table_is_not_changed_by_itself() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let table = with_documents(&engine, &document_columns());
    let toast = table.toast_table().expect("a TOAST table");
    assert_eq!(toast.name(), format!("pg_toast_{}", table.oid()));
    assert_eq!(engine.table_names(), ["doc"]);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let row = [Value::Oid(1), Value::Int4(0), Value::Bytea(b"chunk")];
    let error = toast.insert(&mut transaction, &row).expect_err("refused");
    assert!(matches!(&error, Error::ToastTable(name) if name == toast.name()), "{error}");
    assert_eq!(error.sqlstate(), "42809");
    let error = transaction.drop_table(toast.name()).expect_err("refused");
    assert!(matches!(error, Error::ToastTable(_)), "{error}");
    let error = transaction.create_table("pg_toast_1", &document_columns()).expect_err("refused");
    assert!(matches!(error, Error::TableDefinition { .. }), "{error}");
    let short = [Column::new("id", ColumnType::Int4), Column::new("on", ColumnType::Date)];
    let short = transaction.create_table("short", &short).expect("made");
    assert!(short.toast_table().is_none());
    transaction.drop_table("doc").expect("dropped");
    transaction.commit().expect("committed");
    assert_eq!(engine.table_names(), ["short"]);
}

/// All rows of a table, by an index.
fn whole<'e>(
    table: &Table,
    transaction: &mut Transaction<'_, 'e>,
    index: &TableIndex,
) -> IndexScan<'e> {
    let (lower, upper) = (Bound::Unbounded, Bound::Unbounded);
    table.scan_index(transaction, index, lower, upper, Direction::Forward).expect("a scan")
}

#[test]
fn lent_rows_are_those_that_a_scan_gives_for_good() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let table = with_documents(&engine, &document_columns());
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let wanted: Vec<Document> = (0..90)
        .map(|id| Document {
            id,
            body: (id % 3 > 0).then(|| text(10 + 100 * id as usize, id as usize)),
            raw: (id % 4 > 0).then(|| noise(40 * id as usize, id as usize)),
        })
        .collect();
    for document in &wanted {
        table.insert(&mut transaction, &document.values()).expect("inserted");
    }
    let by_id = IndexDefinition::new("doc_by_id", &[0]);
    let index = transaction.create_index(&table, &by_id).expect("made");
    transaction.commit().expect("committed");
    let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
    let mut kept = whole(&table, &mut transaction, &index);
    let mut rows = Vec::new();
    while let Some(row) = kept.next_row(&mut transaction).expect("read") {
        rows.push(row);
    }
    let mut lent = whole(&table, &mut transaction, &index);
    for (row, document) in rows.iter().zip(&wanted) {
        let lent = lent.next_ref(&mut transaction).expect("read").expect("as many");
        assert_eq!((lent.tid(), lent.root()), (row.tid(), row.root()));
        // Behind the header, in which hints may be by now.
        assert_eq!(lent.tuple()[24..], row.tuple()[24..]);
        for column in (0..3).rev() {
            assert_eq!(lent.value(column).expect("read"), Some(document.values()[column]));
        }
        assert_eq!(lent.value(3).expect("read"), None);
        assert_eq!(lent.values().expect("read"), document.values());
        assert_eq!(lent.to_row().values().expect("read"), document.values());
    }
    assert!(lent.next_ref(&mut transaction).expect("read").is_none());
    assert_eq!(rows.len(), wanted.len());
}
