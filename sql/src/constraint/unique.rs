//! Unique keys, without an index: the whole table is read for each row with a new key.
//!
//! Invariant: rows are looked at as they are at this instant; where another transaction that still runs decides whether a
//! row counts, that one is waited for, with no gate held. Source: `_bt_check_unique`.

use base::Xid;

use super::key_text;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::table::TableDef;
use crate::types::Datum;

/// A row with the same key.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// Which of the table's unique keys it is.
    pub(crate) unique: usize,
    pub(crate) row: engine::Row,
    /// Who decides whether it counts.
    pub(crate) decides: Option<Xid>,
}

/// A row with the same key as a new one.
struct Found {
    row: engine::Row,
    decides: Option<Xid>,
}

/// A row with a key of `new`, but for those keys that `old` had.
pub(crate) fn conflict(
    table: &TableDef,
    new: &[Datum],
    old: Option<&[Datum]>,
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Option<Conflict>> {
    let is_same = |one: &Datum, other: &Datum, column: usize| {
        one.compare(other, table.columns[column].of).is_some_and(std::cmp::Ordering::is_eq)
    };
    for (number, unique) in table.uniques.iter().enumerate() {
        let columns = &unique.columns;
        let is_kept = old.is_some_and(|old| {
            columns.iter().all(|column| is_same(&old[*column], &new[*column], *column))
        });
        if is_kept || columns.iter().any(|column| new[*column].is_null()) {
            continue;
        }
        let mut found = Vec::new();
        for dirty in table.table.scan_dirty(exec.transaction)? {
            let values = dirty.row.values()?;
            let mut is_equal = true;
            for column in columns {
                let value = Datum::of_column(&values[*column], table.columns[*column].of)?;
                is_equal &= is_same(&value, &new[*column], *column);
            }
            drop(values);
            if is_equal {
                let decides = dirty.inserting.or(dirty.ending);
                found.push(Found { row: dirty.row, decides });
            }
        }
        // One that counts decides before one that may.
        let at = found.iter().position(|dirty| dirty.decides.is_none());
        let at = at.or(if found.is_empty() { None } else { Some(0) });
        if let Some(at) = at {
            let dirty = found.swap_remove(at);
            return Ok(Some(Conflict { unique: number, row: dirty.row, decides: dirty.decides }));
        }
    }
    Ok(None)
}

/// Whether a row with other values has a unique key that it did not have.
pub(crate) fn has_new_key(table: &TableDef, old: &[Datum], new: &[Datum]) -> bool {
    let is_changed = |column: &usize| {
        let of = table.columns[*column].of;
        old[*column].sort_order(&new[*column], of).is_ne()
    };
    table.uniques.iter().any(|unique| unique.columns.iter().any(is_changed))
}

pub(crate) fn violation(table: &TableDef, row: &[Datum], unique: usize) -> SqlError {
    let unique = &table.uniques[unique];
    let names: Vec<&str> =
        unique.columns.iter().map(|column| table.columns[*column].name.as_str()).collect();
    let values: Vec<Datum> = unique.columns.iter().map(|column| row[*column].clone()).collect();
    let message = format!("duplicate key value violates unique constraint \"{}\"", unique.name);
    SqlError::new("23505", message)
        .detail(format!("Key {} already exists.", key_text(&names, &values)))
}
