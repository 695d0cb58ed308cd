//! Foreign keys: what a change leaves to be checked when its statement is over, as queries of the tables.
//!
//! ```text
//! child inserted, or its key changed     the parent must be there: it is locked FOR KEY SHARE
//! parent deleted, or its key changed     no child may be left (NO ACTION, RESTRICT), or children are deleted or changed, too
//! ```
//!
//! Invariant: keys with a null refer to nothing. Source: `ri_triggers.c`.

use std::rc::Rc;

use engine::Transaction;

use super::key_text;
use crate::backend::{Answer, Backend};
use crate::cast::cast;
use crate::error::{Result, SqlError};
use crate::exec::cursor::stored_row;
use crate::index::IndexDef;
use crate::table::{Action, ForeignKey, TableDef, quoted};
use crate::types::{Datum, Type};

/// What is to be checked.
#[derive(Debug)]
pub(crate) enum Check {
    /// A child's row must have its parent.
    Parent { child: Rc<TableDef>, key: usize, values: Vec<Datum> },
    /// A parent's row was deleted, or got these other values.
    Children { parent: Rc<TableDef>, old: Vec<Datum>, new: Option<Vec<Datum>> },
}

impl Check {
    pub(crate) fn of_insert(table: &Rc<TableDef>, row: &[Datum]) -> Vec<Check> {
        let key = |(number, key): (usize, &ForeignKey)| {
            let values: Vec<Datum> =
                key.columns.iter().map(|column| row[*column].clone()).collect();
            let has_null = values.iter().any(Datum::is_null);
            (!has_null).then(|| Check::Parent { child: Rc::clone(table), key: number, values })
        };
        table.foreign_keys.iter().enumerate().filter_map(key).collect()
    }

    pub(crate) fn of_update(table: &Rc<TableDef>, old: &[Datum], new: &[Datum]) -> Vec<Check> {
        let is_changed = |at: usize| old[at].sort_order(&new[at], table.columns[at].of).is_ne();
        let mut checks = Check::of_insert(table, new);
        checks.retain(|check| match check {
            Check::Parent { key, .. } => {
                table.foreign_keys[*key].columns.iter().any(|at| is_changed(*at))
            }
            Check::Children { .. } => true,
        });
        let mut keys = table.indexes.iter().filter(|index| index.is_referable());
        if keys.any(|index| index.columns().any(is_changed)) {
            let (old, new) = (old.to_vec(), Some(new.to_vec()));
            checks.push(Check::Children { parent: Rc::clone(table), old, new });
        }
        checks
    }

    pub(crate) fn of_delete(table: &Rc<TableDef>, row: &[Datum]) -> Vec<Check> {
        if !table.indexes.iter().any(IndexDef::is_referable) {
            return Vec::new();
        }
        vec![Check::Children { parent: Rc::clone(table), old: row.to_vec(), new: None }]
    }

    /// Whether it waits for the end of the transaction.
    pub(crate) fn is_deferred(&self) -> bool {
        match self {
            Check::Parent { child, key, .. } => child.foreign_keys[*key].is_deferred,
            Check::Children { .. } => false,
        }
    }

    /// Makes the check.
    pub(crate) fn run<'e>(
        &self,
        backend: &mut Backend<'_, 'e>,
        transaction: &mut Transaction<'_, 'e>,
    ) -> Result<()> {
        match self {
            Check::Parent { child, key, values } => {
                let key = &child.foreign_keys[*key];
                if self.is_deferred() {
                    // The row may have gone since, or got another key.
                    let names = key.columns.iter().map(|at| child.columns[*at].name.as_str());
                    let (table, condition) = (quoted(child.name()), condition(names, values));
                    let query = format!("SELECT 1 FROM ONLY {table} x WHERE {condition}");
                    if !has_rows(backend.internal(transaction, &query)?) {
                        return Ok(());
                    }
                }
                let names = key.parent_columns.iter().map(String::as_str);
                let query = format!(
                    "SELECT 1 FROM ONLY {} x WHERE {} FOR KEY SHARE OF x",
                    quoted(&key.parent),
                    condition(names, values)
                );
                if !has_rows(backend.internal(transaction, &query)?) {
                    let columns =
                        key.columns.iter().map(|column| child.columns[*column].name.as_str());
                    let names: Vec<&str> = columns.collect();
                    let message = format!(
                        "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                        child.name(),
                        key.name
                    );
                    return Err(SqlError::new("23503", message).detail(format!(
                        "Key {} is not present in table \"{}\".",
                        key_text(&names, values),
                        key.parent
                    )));
                }
                Ok(())
            }
            Check::Children { parent, old, new } => {
                let database = backend.database;
                for child in database.children_of(transaction, &[parent.name()])? {
                    for key in child.foreign_keys.iter().filter(|key| key.parent == parent.name()) {
                        children(parent, &child, key, old, new.as_deref(), backend, transaction)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// What becomes of a parent's children.
fn children<'e>(
    parent: &TableDef,
    child: &TableDef,
    key: &ForeignKey,
    old: &[Datum],
    new: Option<&[Datum]>,
    backend: &mut Backend<'_, 'e>,
    transaction: &mut Transaction<'_, 'e>,
) -> Result<()> {
    let places: Vec<usize> =
        key.parent_columns.iter().filter_map(|name| parent.column(name)).collect();
    let of = |row: &[Datum]| -> Vec<Datum> { places.iter().map(|at| row[*at].clone()).collect() };
    let old = of(old);
    let new = new.map(of);
    if let Some(new) = &new {
        let pairs = old.iter().zip(new).zip(&places);
        if pairs
            .into_iter()
            .all(|((old, new), at)| old.sort_order(new, parent.columns[*at].of).is_eq())
        {
            return Ok(());
        }
    }
    if old.iter().any(Datum::is_null) {
        return Ok(());
    }
    if backend.state.settings.keeps_snapshot()
        && has_unseen_child(parent, child, key, &old, transaction)?
    {
        let action = if new.is_some() { key.on_update } else { key.on_delete };
        return Err(match action {
            Action::Nothing | Action::Restrict => still_referenced(parent, child, key, &old),
            Action::Cascade | Action::SetNull | Action::SetDefault => {
                let message = "could not serialize access due to concurrent update";
                SqlError::new("40001", message)
            }
        });
    }
    let names: Vec<&str> =
        key.columns.iter().map(|column| child.columns[*column].name.as_str()).collect();
    let (table, condition) = (quoted(child.name()), condition(names.iter().copied(), &old));
    let action = if new.is_some() { key.on_update } else { key.on_delete };
    let sets = |values: &[Datum]| {
        let set = |(name, value): (&&str, &Datum)| format!("{} = {}", quoted(name), literal(value));
        let sets: Vec<String> = names.iter().zip(values).map(set).collect();
        format!("UPDATE ONLY {table} SET {} WHERE {condition}", sets.join(", "))
    };
    match (action, &new) {
        (Action::Nothing | Action::Restrict, _) => {
            // Another row may have taken the parent's place.
            if action == Action::Nothing {
                let names = key.parent_columns.iter().map(String::as_str);
                let condition = self::condition(names, &old);
                let query =
                    format!("SELECT 1 FROM ONLY {} x WHERE {condition}", quoted(parent.name()));
                if has_rows(backend.internal(transaction, &query)?) {
                    return Ok(());
                }
            }
            let query =
                format!("SELECT 1 FROM ONLY {table} x WHERE {condition} FOR KEY SHARE OF x");
            if !has_rows(backend.internal(transaction, &query)?) {
                return Ok(());
            }
            Err(still_referenced(parent, child, key, &old))
        }
        (Action::Cascade, Some(new)) => backend.internal(transaction, &sets(new)).map(drop),
        (Action::Cascade, None) => {
            let query = format!("DELETE FROM ONLY {table} WHERE {condition}");
            backend.internal(transaction, &query).map(drop)
        }
        (Action::SetNull, _) => {
            let nulls = vec![Datum::Null; names.len()];
            backend.internal(transaction, &sets(&nulls)).map(drop)
        }
        (Action::SetDefault, _) => {
            let sets: Vec<String> =
                names.iter().map(|name| format!("{} = DEFAULT", quoted(name))).collect();
            let update = format!("UPDATE ONLY {table} SET {} WHERE {condition}", sets.join(", "));
            backend.internal(transaction, &update).map(drop)?;
            // Those that had the default before are left as they were, and have no parent any more.
            let query =
                format!("SELECT 1 FROM ONLY {table} x WHERE {condition} FOR KEY SHARE OF x");
            if has_rows(backend.internal(transaction, &query)?) {
                return Err(still_referenced(parent, child, key, &old));
            }
            Ok(())
        }
    }
}

/// Whether there is a child that the transaction's snapshot does not show (`detectNewRows`). None is being inserted: that
/// would have locked the parent.
fn has_unseen_child(
    parent: &TableDef,
    child: &TableDef,
    key: &ForeignKey,
    old: &[Datum],
    transaction: &mut Transaction<'_, '_>,
) -> Result<bool> {
    let mut wanted = Vec::with_capacity(old.len());
    for ((value, name), at) in old.iter().zip(&key.parent_columns).zip(&key.columns) {
        let Some(from) = parent.column(name).map(|at| parent.columns[at].of) else {
            return Ok(false);
        };
        let to = child.columns[*at].of;
        match cast(value, from, to) {
            Ok(value) => wanted.push((*at, value, to)),
            // No child can have it.
            Err(_) => return Ok(false),
        }
    }
    for dirty in child.table.scan_dirty(transaction)? {
        let row = stored_row(child, &dirty.row)?;
        let is_same = |(at, value, of): &(usize, Datum, Type)| {
            row[*at].compare(value, *of).is_some_and(std::cmp::Ordering::is_eq)
        };
        if wanted.iter().all(is_same) && child.table.get(transaction, dirty.row.tid())?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn still_referenced(
    parent: &TableDef,
    child: &TableDef,
    key: &ForeignKey,
    values: &[Datum],
) -> SqlError {
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name(),
        key.name,
        child.name()
    );
    let names: Vec<&str> = key.parent_columns.iter().map(String::as_str).collect();
    SqlError::new("23503", message).detail(format!(
        "Key {} is still referenced from table \"{}\".",
        key_text(&names, values),
        child.name()
    ))
}

fn has_rows(answer: Answer) -> bool {
    answer.rows.is_some_and(|(_, rows)| !rows.is_empty())
}

fn condition<'a>(names: impl Iterator<Item = &'a str>, values: &[Datum]) -> String {
    let parts: Vec<String> = names
        .zip(values)
        .map(|(name, value)| format!("{} = {}", quoted(name), literal(value)))
        .collect();
    parts.join(" AND ")
}

/// A value as an untyped literal.
fn literal(value: &Datum) -> String {
    match value.text() {
        Some(text) => format!("'{}'", text.replace('\'', "''")),
        None => "NULL".to_owned(),
    }
}
