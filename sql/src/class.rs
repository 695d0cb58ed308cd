//! `pg_class`: a row for each relation, made with it and by its transaction; and `regclass`, which names one.
//!
//! The engine has the table ([`engine::PG_CLASS`]), and takes a relation's row away with it. What a client writes into the
//! rows is what others are shown then, and changes nothing else.
//!
//! Invariants: a relation that SQL makes has one row from its making to its end; one that was made without SQL, or before
//! there was a `pg_class`, has it once a session has begun ([`complete`]). Nothing is locked to find a relation's number or
//! its name. Sources: `pg_class.h`, `heap_create`, `regproc.c`.

use std::collections::HashSet;
use std::rc::Rc;

use base::Oid;
use base::sync::PoisonError;
use engine::heap::{ColumnType, Value};
use engine::{
    Column, Isolation, PG_CLASS, Session, Table, TableIndex, TableLockMode, Transaction, WaitPolicy,
};

use crate::database::Database;
use crate::error::{Result, SqlError};
use crate::function::quote_ident;
use crate::routine::is_routine;
use crate::table::TableDef;
use crate::types::{Datum, Type};

/// Its name, in the schema `pg_catalog`.
pub(crate) const NAME: &str = "pg_class";

/// The numbers of `public`, and of the access methods `heap` and `btree` (`pg_namespace.dat`, `pg_am.dat`).
const PUBLIC: i64 = 2200;
const HEAP: i64 = 2;
const BTREE: i64 = 403;

/// The type of a column of a table that was made without SQL: `pg_class` keeps numbers of relations and their like.
pub(crate) fn column_type(table: Oid, column: ColumnType) -> Type {
    match (table, column) {
        (PG_CLASS, ColumnType::Int8) => Type::Oid,
        _ => Type::of_stored(column),
    }
}

/// Nobody makes another table of `pg_class`, or indexes it.
pub(crate) fn refuse_system(table: &TableDef) -> Result<()> {
    if table.table.oid() == PG_CLASS {
        let message = format!("permission denied: \"{NAME}\" is a system catalog");
        return Err(SqlError::new("42501", message));
    }
    Ok(())
}

/// A relation, as its row tells of it.
struct Class<'a> {
    number: Oid,
    name: &'a str,
    access: i64,
    pages: i32,
    /// -1 as long as nobody has counted.
    rows: f64,
    kind: &'static str,
    columns: usize,
    is_partition: bool,
}

impl Class<'_> {
    fn insert(&self, transaction: &mut Transaction<'_, '_>) -> Result<()> {
        let number = Value::Int8(i64::from(self.number));
        let row = [
            number,
            Value::Text(self.name),
            Value::Int8(PUBLIC),
            Value::Int8(self.access),
            // What is divided has no file of its own.
            if self.kind == "p" { Value::Int8(0) } else { number },
            Value::Int8(0),
            Value::Int4(self.pages),
            Value::Float8(self.rows),
            Value::Bool(false),
            Value::Text("p"),
            Value::Text(self.kind),
            Value::Int2(i16::try_from(self.columns).unwrap_or(i16::MAX)),
            Value::Bool(self.is_partition),
        ];
        let classes = transaction.table(NAME)?;
        transaction.begin_command()?;
        classes.insert(transaction, &row)?;
        transaction.end_command();
        Ok(())
    }
}

/// Makes a table, and its row.
pub(crate) fn make_table(
    transaction: &mut Transaction<'_, '_>,
    name: &str,
    columns: &[Column],
    definition: Option<&str>,
) -> Result<Rc<TableDef>> {
    let table = transaction.create_defined_table(name, columns, definition)?;
    let def = TableDef::of(table, transaction)?;
    insert(transaction, &def)?;
    Ok(def)
}

/// Puts in the row of a table.
fn insert(transaction: &mut Transaction<'_, '_>, def: &Rc<TableDef>) -> Result<()> {
    let is_divided = def.kinship.divided.is_some();
    let class = Class {
        number: def.table.oid(),
        name: def.name(),
        access: if is_divided { 0 } else { HEAP },
        pages: 0,
        rows: -1.0,
        kind: if is_divided { "p" } else { "r" },
        columns: def.columns.len(),
        is_partition: def.kinship.partition_of.is_some(),
    };
    class.insert(transaction)
}

/// Puts in the row of an index that was just made.
pub(crate) fn insert_index(
    transaction: &mut Transaction<'_, '_>,
    index: &TableIndex,
) -> Result<()> {
    let class = Class {
        number: index.oid(),
        name: index.name(),
        access: BTREE,
        pages: 1,
        rows: 0.0,
        kind: "i",
        columns: index.definition().columns().count(),
        is_partition: false,
    };
    class.insert(transaction)
}

/// Puts in the rows of relations that have none, once for all sessions.
pub(crate) fn complete<'e>(database: &Database<'e>, session: &mut Session<'e>) -> Result<()> {
    let mut is_complete = database.has_classes.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_complete {
        return Ok(());
    }
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    // Who has it locked, a prepared transaction perhaps, is not waited for: the next session tries again.
    transaction.open_table(NAME, TableLockMode::RowExclusive, WaitPolicy::NoWait)?;
    let known = numbers(&mut transaction)?;
    let mut has_all = true;
    for table in transaction.tables() {
        if is_routine(&table) {
            continue;
        }
        let (mode, policy) = (TableLockMode::AccessShare, WaitPolicy::NoWait);
        if transaction.open_table(table.name(), mode, policy).is_err() {
            has_all = false;
            continue;
        }
        complete_table(&mut transaction, table, &known)?;
    }
    transaction.commit()?;
    *is_complete = has_all;
    Ok(())
}

/// The numbers of the relations that have a row.
fn numbers(transaction: &mut Transaction<'_, '_>) -> Result<HashSet<i64>> {
    let classes = transaction.table(NAME)?;
    let mut numbers = HashSet::new();
    for row in classes.scan(transaction)? {
        if let Some(Value::Int8(number)) = row?.values()?.first() {
            numbers.insert(*number);
        }
    }
    Ok(numbers)
}

fn complete_table(
    transaction: &mut Transaction<'_, '_>,
    table: Table,
    known: &HashSet<i64>,
) -> Result<()> {
    let is_known = |number: Oid| known.contains(&i64::from(number));
    for index in table.indexes(transaction)? {
        if !is_known(index.oid()) {
            insert_index(transaction, &index)?;
        }
    }
    if is_known(table.oid()) {
        return Ok(());
    }
    let def = TableDef::of(table, transaction)?;
    insert(transaction, &def)
}

/// The number of the relation that a text names, or is (`regclassin`).
///
/// # Errors
/// `42P01` where there is none; `3F000` where there is no such schema; `42602` where it is no name.
pub(crate) fn number_of(transaction: &Transaction<'_, '_>, text: &str) -> Result<Datum> {
    if text == "-" {
        return Ok(Datum::Oid(0));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return crate::cast::input(text, Type::Oid);
    }
    let names = names_in(text).ok_or_else(|| SqlError::new("42602", "invalid name syntax"))?;
    let (schema, name) = match names.as_slice() {
        [name] => (None, name),
        [schema, name] => (Some(schema.as_str()), name),
        _ => return Err(SqlError::new("42602", "invalid name syntax")),
    };
    let is_there = match schema {
        None => true,
        Some("pg_catalog") => name == NAME,
        Some("public") => name != NAME,
        Some(schema) => {
            return Err(SqlError::new("3F000", format!("schema \"{schema}\" does not exist")));
        }
    };
    let number = transaction.relation_number(name).filter(|_| is_there);
    number.map(Datum::Oid).ok_or_else(|| {
        let shown = schema.map_or_else(|| name.clone(), |schema| format!("{schema}.{name}"));
        SqlError::new("42P01", format!("relation \"{shown}\" does not exist"))
    })
}

/// The names in a text, which points separate: what is not quoted in small letters (`stringToQualifiedNameList`).
fn names_in(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut made = String::new();
            let mut parts = quoted;
            loop {
                let (part, behind) = parts.split_once('"')?;
                made.push_str(part);
                match behind.strip_prefix('"') {
                    Some(behind) => (made, parts) = (made + "\"", behind),
                    None => {
                        rest = behind;
                        break;
                    }
                }
            }
            name = made;
        } else {
            let end = rest.find(|c: char| c == '.' || c == '"' || c.is_ascii_whitespace());
            let (plain, behind) = rest.split_at(end.unwrap_or(rest.len()));
            (name, rest) = (plain.to_lowercase(), behind);
        }
        if name.is_empty() {
            return None;
        }
        names.push(name);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix('.')?.trim_start();
    }
}

/// A relation's name by its number, as SQL has it (`regclassout`).
pub(crate) fn name_of(transaction: &Transaction<'_, '_>, number: Oid) -> String {
    match (number, transaction.relation_name(number)) {
        (0, _) => "-".to_owned(),
        (_, Some(name)) => quote_ident(&name),
        (_, None) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::names_in;

    #[test]
    fn names_are_read_as_sql_has_them() {
        let read = |text: &str| names_in(text).map(|names| names.join("|"));
        for (text, names) in [
            ("Accounts", Some("accounts")),
            (" pg_catalog . pg_class ", Some("pg_catalog|pg_class")),
            ("\"A\"\"b\".c", Some("A\"b|c")),
            ("\"\"", None),
            ("a b", None),
            ("a.", None),
            ("\"a", None),
            ("", None),
        ] {
            assert_eq!(read(text).as_deref(), names, "{text}");
        }
    }
}
