//! `strata.procs()`: who is in the running server's process array.

use procarray::StatusFlags;

use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::proc_array::ServerProcs;
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;

sql_functions!(procs);

/// A row a slot, in the order of the dense arrays.
fn procs(call: &Call) -> Outcome {
    let copy = ServerProcs::copy()?;
    let mut rows = Rows::begin(call);
    for proc in &copy.procs {
        let xid = |xid: base::Xid| if xid.is_invalid() { Value::Null } else { Value::Xid(xid.0) };
        let oid = |oid: u32| if oid == 0 { Value::Null } else { Value::Oid(oid) };
        let virtual_xid = proc.virtual_xid.map(|(backend, local)| format!("{backend}/{local}"));
        let subxids = copy.subxids(proc);
        let flags = words(proc.status);
        rows.put(&[
            Value::Int4(i32::try_from(proc.number).unwrap_or(-1)),
            Value::Int4(i32::try_from(proc.position).unwrap_or(-1)),
            proc.pid.map_or(Value::Null, Value::Int4),
            xid(proc.xid),
            xid(proc.xmin),
            Value::Xids(subxids),
            Value::Bool(proc.overflowed),
            Value::Texts(&flags),
            proc.clear_group.map_or(Value::Null, xid),
            Value::Bool(proc.clear_group.is_some()),
            Value::Bool(proc.clog_group.is_some()),
            virtual_xid.as_deref().map_or(Value::Null, Value::from),
            oid(proc.database),
            oid(proc.role),
        ]);
    }
    Ok(rows.end())
}

/// The names of the flags set, as proc.h has them without `PROC_`, in small letters.
fn words(status: StatusFlags) -> Vec<&'static str> {
    [
        (StatusFlags::IS_AUTOVACUUM, "is autovacuum"),
        (StatusFlags::IN_VACUUM, "in vacuum"),
        (StatusFlags::IN_SAFE_INDEX_BUILD, "in safe index build"),
        (StatusFlags::VACUUM_FOR_WRAPAROUND, "vacuum for wraparound"),
        (StatusFlags::IN_LOGICAL_DECODING, "in logical decoding"),
        (StatusFlags::AFFECTS_ALL_HORIZONS, "affects all horizons"),
    ]
    .into_iter()
    .filter_map(|(flag, word)| status.any_of(flag).then_some(word))
    .collect()
}
