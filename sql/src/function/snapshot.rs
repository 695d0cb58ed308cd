//! Functions of snapshots and ids of transactions.
//!
//! Invariant: a snapshot is kept as its text, which was read once. Source: `xid8funcs.c`.

use base::FullXid;
use snapshot::PgSnapshot;

use super::{Function, pure, session};
use crate::error::{Result, SqlError};
use crate::types::{Datum, Type};

const SNAPSHOT: Type = Type::PgSnapshot;
const BIG: Type = Type::Int8;

pub(super) static FUNCTIONS: &[Function] = &[
    session("pg_current_snapshot", &[], SNAPSHOT, |exec, _| {
        Ok(Datum::Text(exec.transaction.pg_snapshot()?.to_string()))
    }),
    session("txid_current_snapshot", &[], SNAPSHOT, |exec, _| {
        Ok(Datum::Text(exec.transaction.pg_snapshot()?.to_string()))
    }),
    session("pg_export_snapshot", &[], Type::Text, |exec, _| {
        let is_read_only = exec.state.settings.read_only;
        Ok(Datum::Text(exec.transaction.export_snapshot(is_read_only)?.to_string()))
    }),
    pure("pg_snapshot_xmin", &[SNAPSHOT], Type::Xid8, |args| Ok(id(read(&args[0])?.xmin()))),
    pure("pg_snapshot_xmax", &[SNAPSHOT], Type::Xid8, |args| Ok(id(read(&args[0])?.xmax()))),
    pure("txid_snapshot_xmin", &[SNAPSHOT], BIG, |args| Ok(id(read(&args[0])?.xmin()))),
    pure("txid_snapshot_xmax", &[SNAPSHOT], BIG, |args| Ok(id(read(&args[0])?.xmax()))),
    pure("pg_visible_in_snapshot", &[Type::Xid8, SNAPSHOT], Type::Bool, is_visible),
    pure("txid_visible_in_snapshot", &[BIG, SNAPSHOT], Type::Bool, is_visible),
];

fn id(xid: FullXid) -> Datum {
    Datum::Int8(xid.0 as i64)
}

fn read(value: &Datum) -> Result<PgSnapshot> {
    input(&value.text().unwrap_or_default())
}

/// The snapshot that a text is.
pub(crate) fn input(text: &str) -> Result<PgSnapshot> {
    let refuse = |_| {
        let message = format!("invalid input syntax for type pg_snapshot: \"{text}\"");
        SqlError::new("22P02", message)
    };
    text.trim().parse().map_err(refuse)
}

fn is_visible(args: &[Datum]) -> Result<Datum> {
    let xid = FullXid(args[0].int().unwrap_or(0) as u64);
    Ok(Datum::Bool(read(&args[1])?.sees(xid)))
}

/// The ids that a snapshot lists as running (`pg_snapshot_xip`).
pub(crate) fn running(value: &Datum) -> Result<Vec<Datum>> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    Ok(read(value)?.xip().iter().map(|xid| id(*xid)).collect())
}
