//! Unique keys, without an index: the whole table is read for each row with a new key.
//!
//! Invariant: rows are looked at as they are at this instant; where another transaction that still runs decides whether a
//! row counts, that one is waited for, with no gate held. Source: `_bt_check_unique`.

use std::cmp::Ordering;

use base::Xid;

use super::{Rules, key_text};
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::exec::cursor::stored_row;
use crate::index::{KeyExpr, key_values};
use crate::table::{TableDef, Unique};
use crate::types::Datum;

/// A row with the same key.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// Which of the table's unique keys it is.
    pub(crate) unique: usize,
    pub(crate) row: engine::Row,
    /// Who decides whether it counts.
    pub(crate) decides: Option<Xid>,
    /// The key that both have.
    key: Vec<Datum>,
}

/// A row with the same key as a new one.
struct Found {
    row: engine::Row,
    decides: Option<Xid>,
}

/// Where a key stands to another, nulls being alike.
fn order(key: &[KeyExpr], one: &[Datum], other: &[Datum]) -> Ordering {
    let pairs = one.iter().zip(other).zip(key);
    let mut orders = pairs.map(|((one, other), element)| one.sort_order(other, element.of));
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// A row with a key of `new`, but for those keys that `old` had.
pub(crate) fn conflict(
    (table, rules): (&TableDef, &Rules),
    new: &[Datum],
    old: Option<&[Datum]>,
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Option<Conflict>> {
    for (number, unique) in rules.uniques.iter().enumerate() {
        let key = key_values(unique, new, exec)?;
        if key.iter().any(Datum::is_null) {
            continue;
        }
        if let Some(old) = old
            && order(unique, &key_values(unique, old, exec)?, &key).is_eq()
        {
            continue;
        }
        let mut found = Vec::new();
        for dirty in table.table.scan_dirty(exec.transaction)? {
            let values = key_values(unique, &stored_row(table, &dirty.row)?, exec)?;
            if order(unique, &values, &key).is_eq() {
                let decides = dirty.inserting.or(dirty.ending);
                found.push(Found { row: dirty.row, decides });
            }
        }
        // One that counts decides before one that may.
        let at = found.iter().position(|dirty| dirty.decides.is_none());
        let at = at.or(if found.is_empty() { None } else { Some(0) });
        if let Some(at) = at {
            let Found { row, decides } = found.swap_remove(at);
            return Ok(Some(Conflict { unique: number, row, decides, key }));
        }
    }
    Ok(None)
}

/// Whether a row with other values has a unique key that it did not have.
pub(crate) fn has_new_key(
    rules: &Rules,
    old: &[Datum],
    new: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<bool> {
    for unique in &rules.uniques {
        let [old, new] = [key_values(unique, old, exec)?, key_values(unique, new, exec)?];
        if order(unique, &old, &new).is_ne() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `(a, lower(b))=(1, x)`
fn shown(table: &TableDef, unique: &Unique, key: &[Datum]) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let names: Vec<String> = unique.key.iter().map(|element| element.shown(&columns)).collect();
    key_text(&names.iter().map(String::as_str).collect::<Vec<_>>(), key)
}

pub(crate) fn violation(table: &TableDef, conflict: &Conflict) -> SqlError {
    let unique = &table.uniques[conflict.unique];
    let message = format!("duplicate key value violates unique constraint \"{}\"", unique.name);
    SqlError::new("23505", message)
        .detail(format!("Key {} already exists.", shown(table, unique, &conflict.key)))
}

impl Rules {
    /// Whether no two rows have the same unique key.
    pub(crate) fn check_unique(
        &self,
        def: &TableDef,
        rows: &[Vec<Datum>],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        for (unique, elements) in def.uniques.iter().zip(&self.uniques) {
            let keys = rows.iter().map(|row| key_values(elements, row, exec));
            let mut keys = keys.collect::<Result<Vec<_>>>()?;
            keys.retain(|key| !key.iter().any(Datum::is_null));
            keys.sort_by(|one, other| order(elements, one, other));
            let is_same = |pair: &&[Vec<Datum>]| order(elements, &pair[0], &pair[1]).is_eq();
            if let Some(pair) = keys.windows(2).find(is_same) {
                let key = shown(def, unique, &pair[0]);
                let message = format!("could not create unique index \"{}\"", unique.name);
                return Err(
                    SqlError::new("23505", message).detail(format!("Key {key} is duplicated."))
                );
            }
        }
        Ok(())
    }
}
