//! Rows and tables of one session: what goes in comes out, in all modes and through a close and an open.

use super::*;
use engine::Error;

#[test]
fn every_type_and_null_comes_back() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let columns = ColumnType::ALL.map(|column_type| Column::new(column_type.name(), column_type));
    let rows = [
        [
            Value::Bool(true),
            Value::Int2(-7),
            Value::Int4(i32::MIN),
            Value::Int8(i64::MAX),
            Value::Float8(-0.5),
            Value::TimestampTz(base::TimestampTz(848_484_173_000_000)),
            Value::Uuid([9; 16]),
            Value::Text("Grüße"),
            Value::Bytea(&[0, 255]),
            Value::Date(-1),
            Value::Numeric(&[0, 0x80, 7, 0]),
            Value::Bpchar("a  "),
            Value::Oid(u32::MAX),
        ],
        [Value::Null; 13],
    ];
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.create_table("types", &columns).expect("made");
    for row in &rows {
        table.insert(&mut transaction, row).expect("inserted");
    }
    transaction.commit().expect("committed");
    drop(session);
    engine.close().expect("closed");

    let engine = open(&disk, SnapshotMode::CommitTs);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("types").expect("there");
    assert_eq!(table.columns(), columns);
    let found: Vec<_> =
        table.scan(&mut transaction).expect("scan").map(|row| row.expect("row")).collect();
    let found: Vec<_> = found.iter().map(|row| row.values().expect("values")).collect();
    assert_eq!(found, rows);
}

#[test]
fn a_transaction_sees_its_own_changes_and_others_do_not() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 3, 10);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
        let moved = table.update(&mut transaction, tids[0], &account(0, 11)).expect("updated");
        assert!(table.delete(&mut transaction, tids[1]).expect("deleted"));
        assert!(!table.delete(&mut transaction, tids[1]).expect("gone"), "it is gone to itself");
        let new = table.insert(&mut transaction, &account(7, 70)).expect("inserted");
        let seen = [(0, 11), (2, 10), (7, 70)];
        assert_eq!(accounts(&table, &mut transaction), seen);
        // What it made itself it changes again, by a number that stands for two commands.
        let new = table.update(&mut transaction, new, &account(7, 71)).expect("ok").expect("there");
        assert!(table.delete(&mut transaction, new).expect("deleted"));
        let moved = moved.expect("there");
        table.update(&mut transaction, moved, &account(0, 12)).expect("ok").expect("there");
        assert_eq!(accounts(&table, &mut transaction), [(0, 12), (2, 10)]);
        // From the first version on, along the chain.
        let row = table.get(&mut transaction, tids[0]).expect("read").expect("there");
        assert_eq!(read(&row), (0, 12));
        assert_eq!(committed(&engine), [(0, 10), (1, 10), (2, 10)]);
        transaction.commit().expect("committed");
        assert_eq!(committed(&engine), [(0, 12), (2, 10)]);

        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.insert(&mut transaction, &account(8, 80)).expect("inserted");
        table.delete(&mut transaction, tids[2]).expect("deleted");
        drop(transaction);
        assert_eq!(committed(&engine), [(0, 12), (2, 10)], "dropped is rolled back");
    }
}

#[test]
fn snapshots_are_of_a_statement_or_of_a_transaction() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 1, 1);
        let mut sessions = [(); 3].map(|()| engine.session().expect("a session"));
        let [reading, repeating, writing] = &mut sessions;
        let mut reading = reading.begin(Isolation::ReadCommitted).expect("begun");
        let mut repeating = repeating.begin(Isolation::RepeatableRead).expect("begun");
        for amount in 1..5 {
            assert_eq!(accounts(&table, &mut reading), [(0, amount)]);
            assert_eq!(accounts(&table, &mut repeating), [(0, 1)]);
            let mut transaction = writing.begin(Isolation::ReadCommitted).expect("begun");
            let row = account(0, amount + 1);
            table.update(&mut transaction, tids[0], &row).expect("ok").expect("there");
            transaction.commit().expect("committed");
        }
        drop((reading, repeating));
        assert_eq!(committed(&engine), [(0, 5)]);
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let (table, tids) = with_accounts(&engine, 1, 1);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let null = [Value::Null, Value::Int8(1), Value::Null];
    let error = table.insert(&mut transaction, &null).expect_err("not null");
    assert!(error.to_string().contains("null value in column \"id\""), "{error}");
    let error = table.update(&mut transaction, tids[0], &null).expect_err("not null");
    assert!(matches!(error, Error::NotNull { .. }), "{error}");
    // Nothing was changed: the transaction goes on.
    assert_eq!(accounts(&table, &mut transaction), [(0, 1)]);
    let long = "x".repeat(9000);
    let row = [Value::Int4(1), Value::Int8(1), Value::Text(&long)];
    let error = table.insert(&mut transaction, &row).expect_err("too big");
    assert!(error.to_string().contains("row is too big"), "{error}");
    let error = table.insert(&mut transaction, &account(1, 1)).expect_err("it has failed");
    assert!(matches!(error, Error::TransactionFailed), "{error}");
    assert!(matches!(transaction.commit(), Err(Error::TransactionFailed)));
    assert_eq!(committed(&engine), [(0, 1)]);
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    assert!(!table.delete(&mut transaction, Tid { block: 99, offset: 1 }).expect("ok"));
    assert!(table.get(&mut transaction, Tid { block: 0, offset: 99 }).expect("ok").is_none());
}

#[test]
fn tables_come_and_go_with_their_transactions() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let exists = |number: u32| {
        disk.exists(&Path::new(DATA).join(format!("base/5/{number}"))).expect("looked")
    };
    let mut session = engine.session().expect("a session");
    let mut other = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let rolled_back = transaction.create_table("t", &account_columns()).expect("made");
    rolled_back.insert(&mut transaction, &account(1, 1)).expect("inserted");
    let mut elsewhere = other.begin(Isolation::ReadCommitted).expect("begun");
    assert!(matches!(elsewhere.table("t"), Err(Error::NoTable(_))));
    // Whoever makes one of that name waits to see what becomes of it.
    elsewhere.set_lock_timeout(Some(Duration::from_millis(1)));
    assert!(matches!(elsewhere.create_table("t", &[]), Err(Error::LockTimeout)));
    drop(elsewhere);
    assert!(exists(rolled_back.locator().relation));
    transaction.rollback().expect("rolled back");
    assert!(!exists(rolled_back.locator().relation));

    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let first = transaction.create_table("t", &account_columns()).expect("made");
    first.insert(&mut transaction, &account(1, 1)).expect("inserted");
    transaction.commit().expect("committed");

    let mut elsewhere = other.begin(Isolation::ReadCommitted).expect("begun");
    let used = elsewhere.table("t").expect("there");
    session.set_lock_timeout(Some(Duration::from_millis(1)));
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    assert!(matches!(transaction.drop_table("t"), Err(Error::LockTimeout)));
    drop(transaction);
    assert_eq!(accounts(&used, &mut elsewhere), [(1, 1)]);
    elsewhere.commit().expect("committed");

    // Dropped and made again; then that is rolled back; then done.
    for commits in [false, true] {
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        transaction.drop_table("t").expect("dropped");
        assert!(matches!(transaction.table("t"), Err(Error::NoTable(_))));
        let second = transaction.create_table("t", &[Column::new("a", ColumnType::Bool)]);
        let second = second.expect("made");
        let mut elsewhere = other.begin(Isolation::ReadCommitted).expect("begun");
        assert!(matches!(elsewhere.table("t"), Err(Error::LockTimeout)));
        drop(elsewhere);
        if commits {
            transaction.commit().expect("committed");
        } else {
            transaction.rollback().expect("rolled back");
        }
        assert_eq!(exists(first.locator().relation), !commits);
        assert_eq!(exists(second.locator().relation), commits);
    }
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    assert!(matches!(accounts_error(&first, &mut transaction), Error::NoTable(_)));
    assert_eq!(transaction.table("t").expect("there").columns().len(), 1);
    assert!(transaction.drop_table("strata_table").is_err());
    drop(transaction);
    drop((session, other));
    engine.close().expect("closed");
    assert_eq!(open(&disk, SnapshotMode::Classic).table_names(), ["t"]);
}

/// Whoever drops a table knows of it, whatever its snapshot shows of the catalog's rows.
#[test]
fn a_table_made_after_the_snapshot_is_dropped_for_good() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let mut other = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
    transaction.begin_command().expect("begun");
    transaction.end_command();
    let mut maker = other.begin(Isolation::ReadCommitted).expect("begun");
    let made = maker.create_defined_table("t", &account_columns(), Some("of accounts"));
    let made = made.expect("made");
    maker.create_index(&made, &engine::IndexDefinition::new("i", &[0])).expect("made");
    let number = made.oid();
    assert_eq!(maker.relation_name(number).as_deref(), Some("t"));
    assert!(maker.relation_number("i").is_some_and(|index| index != number));
    assert_eq!(transaction.relation_number("t"), None);
    maker.commit().expect("committed");
    assert_eq!(transaction.relation_number("t"), Some(number));
    transaction.drop_table("t").expect("dropped");
    assert_eq!(transaction.relation_name(number), None);
    transaction.commit().expect("committed");
    drop((session, other));
    engine.close().expect("closed");
    let engine = open(&disk, SnapshotMode::Classic);
    assert!(engine.table_names().is_empty());
    // Nor is anything said any more of its indexes, its TOAST table and that one's index.
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    for name in ["strata_table", "strata_column", "strata_definition", "strata_index"] {
        let table = transaction.table(name).expect("there");
        assert_eq!(table.scan(&mut transaction).expect("a scan").count(), 0, "{name}");
    }
}

fn accounts_error(table: &Table, transaction: &mut Transaction<'_, '_>) -> Error {
    table.scan(transaction).expect_err("a table that is gone")
}

#[test]
fn definitions_are_checked() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let column = |name: &str| Column::new(name, ColumnType::Int4);
    for (name, columns) in [
        ("", vec![column("a")]),
        ("t", vec![column("")]),
        ("t", vec![column("a"), column("b"), column("a")]),
        ("a name that is longer than sixty-three bytes, as many as a name has", vec![]),
        ("t", (0..1601).map(|number| column(&number.to_string())).collect()),
    ] {
        let error = transaction.create_table(name, &columns).expect_err("refused");
        assert!(matches!(error, Error::TableDefinition { .. }), "{error}");
    }
    transaction.create_table("t", &[]).expect("without columns");
    assert!(matches!(transaction.create_table("t", &[]), Err(Error::TableExists(_))));
}

#[test]
fn what_a_tables_maker_wrote_down_comes_back() {
    let (engine, disk) = engine(SnapshotMode::Classic);
    let columns = ["a", "b", "c"].map(|name| Column::new(name, ColumnType::Int4));
    let definition = "CHECK (a > 0)";
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    transaction.create_defined_table("with", &columns, Some(definition)).expect("made");
    transaction.create_table("without", &columns).expect("made");
    transaction.create_defined_table("dropped", &columns, Some(definition)).expect("made");
    transaction.drop_table("dropped").expect("dropped");
    let names: Vec<_> = transaction.tables().iter().map(|table| table.name().to_owned()).collect();
    assert_eq!(names, ["with", "without"]);
    transaction.commit().expect("committed");
    drop(session);
    engine.close().expect("closed");

    let engine = open(&disk, SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let defined = transaction.table("with").expect("there");
    assert_eq!(defined.definition(), Some(definition));
    assert_eq!(transaction.table("without").expect("there").definition(), None);
}

/// A command of several parts reads by one snapshot, does not see itself, and learns of newer versions.
#[test]
fn a_command_of_several_parts_has_one_snapshot() {
    let (engine, _) = engine(SnapshotMode::Classic);
    let mut session = engine.session().expect("a session");
    let mut other_session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let columns = [Column::new("a", ColumnType::Int4)];
    let table = transaction.create_table("t", &columns).expect("made");
    let tid = table.insert(&mut transaction, &[Value::Int4(1)]).expect("inserted");
    transaction.commit().expect("committed");

    let values = |transaction: &mut engine::Transaction<'_, '_>| {
        let mut pages = table.scan_pages(transaction).expect("a scan");
        let mut found = Vec::new();
        while let Some(rows) = pages.next_page(transaction).expect("a page") {
            found.extend(rows.iter().map(|row| format!("{:?}", row.values().expect("values"))));
        }
        found
    };
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    transaction.begin_command().expect("begun");
    table.insert(&mut transaction, &[Value::Int4(2)]).expect("inserted");
    let mut other = other_session.begin(Isolation::ReadCommitted).expect("begun");
    table.update(&mut other, tid, &[Value::Int4(3)]).expect("updated");
    other.commit().expect("committed");
    assert_eq!(values(&mut transaction), ["[Int4(1)]"]);
    let change = table.update_version(&mut transaction, tid, &[Value::Int4(4)], &[]);
    let Ok(engine::VersionChange::Newer(newer)) = change else { panic!("{change:?}") };
    assert_eq!(newer.values().expect("values"), [Value::Int4(3)]);
    let change = table.update_version(&mut transaction, newer.tid(), &[Value::Int4(4)], &[]);
    assert!(matches!(change, Ok(engine::VersionChange::Changed { .. })), "{change:?}");
    let change = table.delete_version(&mut transaction, newer.tid());
    assert!(matches!(change, Ok(engine::VersionChange::Gone)), "{change:?}");
    transaction.end_command();
    transaction.begin_command().expect("begun");
    assert_eq!(values(&mut transaction), ["[Int4(2)]", "[Int4(4)]"]);
    assert!(!transaction.set_isolation(Isolation::RepeatableRead));
}

/// A row's root leads to it whoever changed it, the same transaction too.
#[test]
fn a_transaction_changes_a_row_again_by_its_root() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, tids) = with_accounts(&engine, 2, 0);
        let mut session = engine.session().expect("a session");
        for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
            let mut transaction = session.begin(isolation).expect("begun");
            let before = accounts(&table, &mut transaction)[0].1;
            for amount in 1..4 {
                let row = account(0, before + amount);
                let updated = table.update(&mut transaction, tids[0], &row).expect("updated");
                assert_eq!(updated, Some(tids[0]), "{mode:?}, {isolation:?}, {amount}");
            }
            assert_eq!(accounts(&table, &mut transaction), [(0, before + 3), (1, 0)]);
            transaction.commit().expect("committed");
        }
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.update(&mut transaction, tids[0], &account(0, 9)).expect("updated");
        assert!(table.delete(&mut transaction, tids[0]).expect("deleted"));
        assert!(!table.delete(&mut transaction, tids[0]).expect("gone"));
    }
}
