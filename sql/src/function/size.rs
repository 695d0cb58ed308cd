//! How large values are where they are stored, and how they are compressed there.
//!
//! What is asked of a column of a table is asked of the row that the table has, by its place; of other values it is what they
//! are in memory. Invariant: nothing that is out of line is fetched. Sources: `pg_column_size`, `pg_column_compression`.

use engine::StoredValue;
use engine::heap::numeric;

use super::Function;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::types::{Datum, Type};

/// A header of four bytes.
const HEADER: usize = 4;

/// What asks of a stored value: it itself, its column's name, `ctid` and `tableoid`. No names that SQL can have.
pub(crate) const STORED_SIZE: &str = "size of a stored value";
pub(crate) const STORED_COMPRESSION: &str = "compression of a stored value";
/// Of any value.
pub(crate) const SIZE: &str = "size in memory";

pub(super) static FUNCTIONS: &[Function] = &[
    // Not pure: another value that is equal may be of another size.
    of_any(SIZE, 1, Type::Int4, in_memory),
    of_any(STORED_SIZE, 4, Type::Int4, |exec, args| {
        let stored = stored(exec, args)?;
        Ok(stored.map_or(Datum::Null, |stored| Datum::Int4(stored.size as i32)))
    }),
    of_any(STORED_COMPRESSION, 4, Type::Text, |exec, args| {
        let method = stored(exec, args)?.and_then(|stored| stored.compression);
        Ok(method.map_or(Datum::Null, |method| Datum::Text(method.name().to_owned())))
    }),
];

const fn of_any(
    name: &'static str,
    count: usize,
    result: Type,
    call: fn(&mut Exec<'_, '_, '_, '_>, &[Datum]) -> Result<Datum>,
) -> Function {
    Function { least: Some(count), ..super::session(name, &[], result, call) }
}

/// Whether a function asks how its first argument is stored.
pub(crate) fn asks_of_stored(function: &Function) -> bool {
    matches!(function.name, STORED_SIZE | STORED_COMPRESSION)
}

/// How a value of a row is stored; `None` of a null.
fn stored(exec: &mut Exec<'_, '_, '_, '_>, args: &[Datum]) -> Result<Option<StoredValue>> {
    let [_, Datum::Text(column), Datum::Tid(tid), Datum::Oid(table)] = args else {
        return Ok(None);
    };
    let tables = exec.transaction.tables();
    let Some(table) = tables.iter().find(|known| known.oid() == *table) else { return Ok(None) };
    let at = table.columns().iter().position(|known| known.name == *column);
    let Some(at) = at else { return Ok(None) };
    let Some(row) = table.get(exec.transaction, *tid)? else { return Ok(None) };
    Ok(row.stored_value(at)?)
}

/// Bytes that a value takes in memory.
fn in_memory(_: &mut Exec<'_, '_, '_, '_>, args: &[Datum]) -> Result<Datum> {
    let size = match &args[0] {
        Datum::Bool(_) => 1,
        Datum::Int2(_) => 2,
        Datum::Int4(_) | Datum::Date(_) | Datum::Oid(_) => 4,
        Datum::Tid(_) => 6,
        Datum::Int8(_) | Datum::Float8(_) | Datum::TimestampTz(_) | Datum::Timestamp(_) => 8,
        Datum::Uuid(_) => 16,
        Datum::Text(text) => HEADER + text.len(),
        Datum::Bytea(bytes) => HEADER + bytes.len(),
        Datum::Numeric(number) => {
            HEADER + numeric::from_text(&number.to_string()).map_or(0, |bytes| bytes.len())
        }
        Datum::Null => return Ok(Datum::Null),
        Datum::Void | Datum::Record(_) => {
            return Err(SqlError::not_supported("pg_column_size of a row"));
        }
    };
    Ok(Datum::Int4(size as i32))
}
