//! The values of a row as it is stored, those that are out of line fetched when they are asked for.

use super::RowRef;
use crate::Error;
use crate::heap::{FormError, TupleValues, Value};

/// All of them.
pub(super) fn values<'r>(row: &RowRef<'r>) -> Result<Vec<Value<'r>>, Error> {
    let RowRef { tuple, flat, table, .. } = *row;
    if let Some(flat) = flat.get() {
        return table.values(flat);
    }
    match table.values(tuple) {
        Err(Error::Row { error: FormError::Toasted { .. }, .. }) => {}
        values => return values,
    }
    match table.flat(tuple, table.types.len())? {
        Some(whole) => table.values(flat.get_or_init(|| whole)),
        None => table.values(tuple),
    }
}

/// One of them, by its column.
pub(super) fn value<'r>(row: &RowRef<'r>, column: usize) -> Result<Option<Value<'r>>, Error> {
    let RowRef { tuple, flat, table, .. } = *row;
    let damaged = |error| Error::Row { table: table.name.clone(), error };
    let tuple = flat.get().map_or(tuple, |flat| &**flat);
    let mut of_row = TupleValues::of(&table.types, tuple).map_err(damaged)?;
    of_row.go_to(column, &table.fixed_places).map_err(damaged)?;
    match of_row.next_in_line().transpose().map_err(damaged)? {
        Some(None) => Ok(values(row)?.get(column).copied()),
        value => Ok(value.flatten()),
    }
}
