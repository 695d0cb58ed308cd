//! Unique keys, by their indexes: who has a new row's key, and what an error says of it.
//!
//! A row is put in first, and its key then looked for by the engine, which waits for who may have it. Who has something else
//! to do about a row with the same key (`ON CONFLICT`) looks for one before that.
//!
//! Invariant: rows are looked at as they are at this instant. Source: `check_exclusion_or_unique_constraint`.

use base::{Oid, Xid};
use engine::ComputedValues;
use engine::heap::Value;

use super::{Rules, key_text};
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::exec::cursor::stored_row;
use crate::index::{IndexDef, key_values};
use crate::table::TableDef;
use crate::types::{Datum, StoredRow, Type};

/// A row with a key of a new one.
#[derive(Debug)]
pub(crate) struct Conflict {
    pub(crate) row: engine::Row,
    /// Who decides whether it counts.
    pub(crate) decides: Option<Xid>,
}

/// A row with the new one's key of one of these indexes, by number.
pub(crate) fn conflict(
    (table, rules): (&TableDef, &Rules),
    arbiters: &[usize],
    new: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Option<Conflict>> {
    for number in arbiters {
        let (index, elements) = (&table.indexes[*number], &rules.keys[*number]);
        let key = key_values(elements, new, exec)?;
        let Some(made) = index.made.as_ref().filter(|_| !key.iter().any(Datum::is_null)) else {
            continue;
        };
        let types: Vec<Type> = elements.iter().map(|element| element.of).collect();
        let stored = StoredRow::new(&key, &types);
        let computes = index.key.iter().any(|part| part.element.column().is_none());
        let mut found = Vec::new();
        for dirty in table.table.find_dirty(exec.transaction, made, &stored.values()?)? {
            // What the index computes is not in the row, and the engine has not compared it.
            if computes {
                let values = key_values(elements, &stored_row(table, &dirty.row)?, exec)?;
                let mut pairs = values.iter().zip(&key).zip(&types);
                if !pairs.all(|((one, other), of)| one.sort_order(other, *of).is_eq()) {
                    continue;
                }
            }
            let decides = dirty.inserting.or(dirty.ending);
            found.push(Conflict { row: dirty.row, decides });
        }
        // One that counts decides before one that may.
        let at = found.iter().position(|conflict| conflict.decides.is_none()).unwrap_or(0);
        if at < found.len() {
            return Ok(Some(found.swap_remove(at)));
        }
    }
    Ok(None)
}

/// The names of an index's elements.
fn names(table: &TableDef, index: &IndexDef) -> Vec<String> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    index.key.iter().map(|part| part.element.shown(&columns)).collect()
}

/// What is wrong with a row that the engine has refused.
pub(crate) fn refused(
    error: engine::Error,
    (table, rules): (&TableDef, &Rules),
    row: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> SqlError {
    let engine::Error::Unique { index: name, .. } = &error else { return error.into() };
    let number = table.indexes.iter().position(|index| index.name == *name);
    let message = format!("duplicate key value violates unique constraint \"{name}\"");
    let violation = SqlError::new("23505", message);
    let Some(number) = number else { return violation };
    match key_values(&rules.keys[number], row, exec) {
        Ok(key) => {
            let names = names(table, &table.indexes[number]);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            violation.detail(format!("Key {} already exists.", key_text(&names, &key)))
        }
        Err(error) => error,
    }
}

/// What is wrong with rows of which two have this key, as text.
pub(crate) fn not_unique(
    table: &TableDef,
    index: &IndexDef,
    name: &str,
    key: Vec<String>,
) -> SqlError {
    let names = names(table, index);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let key: Vec<Datum> = key.into_iter().map(Datum::Text).collect();
    let message = format!("could not create unique index \"{name}\"");
    let detail = format!("Key {} is duplicated.", key_text(&names, &key));
    SqlError::new("23505", message).detail(detail)
}

/// What one index computes of a row.
pub(crate) struct ComputedKey {
    index: Oid,
    values: Vec<Datum>,
    types: Vec<Type>,
}

impl Rules {
    /// What a table's indexes compute of a row.
    pub(crate) fn computed(
        &self,
        table: &TableDef,
        row: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<Vec<ComputedKey>> {
        let mut all = Vec::new();
        for (index, key) in table.indexes.iter().zip(&self.keys) {
            let parts = index.key.iter().zip(key);
            let computed = parts.filter(|(part, _)| part.element.column().is_none());
            let computed: Vec<_> = computed.map(|(_, element)| element).collect();
            if computed.is_empty() {
                continue;
            }
            let types = computed.iter().map(|element| element.of).collect();
            let values = key_values(computed, row, exec)?;
            all.push(ComputedKey { index: index.oid(), values, types });
        }
        Ok(all)
    }
}

/// Has `with` use computed keys as the engine takes them.
pub(crate) fn with_computed<T>(
    keys: &[ComputedKey],
    with: impl FnOnce(&ComputedValues<'_>) -> T,
) -> Result<T> {
    let stored: Vec<(Oid, StoredRow<'_>)> =
        keys.iter().map(|key| (key.index, StoredRow::new(&key.values, &key.types))).collect();
    let values = stored.iter().map(|(index, row)| Ok((*index, row.values()?)));
    let values: Vec<(Oid, Vec<Value<'_>>)> = values.collect::<Result<_>>()?;
    Ok(with(&values))
}
