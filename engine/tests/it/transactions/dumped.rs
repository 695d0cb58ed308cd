//! Tables as SQL: what `strata dump` prints.

use super::*;
use engine::dump::dump;

fn dumped(engine: &Engine, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut text = Vec::new();
    dump(engine, &names, &mut text).expect("dumped");
    String::from_utf8(text).expect("UTF-8")
}

#[test]
fn tables_are_dumped_as_one_snapshot_sees_them() {
    let (engine, _) = engine(SnapshotMode::CommitTs);
    with_accounts(&engine, 2, 5);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let columns = [Column::new("from", ColumnType::Text), Column::new("a\"b", ColumnType::Bool)];
    let odd = transaction.create_table("Odd \"table\"", &columns).expect("made");
    odd.insert(&mut transaction, &[Value::Text("tab\there"), Value::Bool(true)]).expect("there");
    let account = "CREATE TABLE \"account\" (\"id\" int4 NOT NULL, \"amount\" int8, \"note\" text);\n\
                   COPY \"account\" FROM stdin;\n0\t5\t\\N\n1\t5\t\\N\n\\.\n";
    let whole = |tables: &str| format!("SET client_encoding = 'UTF8';\nBEGIN;\n{tables}COMMIT;\n");
    assert_eq!(dumped(&engine, &[]), whole(account), "what has not committed is not there");
    transaction.commit().expect("committed");
    let odd = "CREATE TABLE \"Odd \"\"table\"\"\" (\"from\" text, \"a\"\"b\" bool);\n\
               COPY \"Odd \"\"table\"\"\" FROM stdin;\ntab\\there\tt\n\\.\n";
    assert_eq!(dumped(&engine, &[]), whole(&format!("{odd}{account}")));
    assert_eq!(dumped(&engine, &["account", "account"]), whole(account));
    let error = dump(&engine, &["nothing".to_owned()], &mut Vec::new()).expect_err("no table");
    assert!(error.to_string().contains("nothing"), "{error}");
}
