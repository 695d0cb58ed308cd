//! `strata.horizon_holders()`: from which xid on rows must be kept, for each kind of table, and who asks for it.
//! `strata.horizons()`, in SQL, gives names and times to whom this shows by number.
//!
//! Invariant: all horizons are of one moment, computed by the `procarray` crate from one copy of the server's process array.

use base::{FullXid, Xid};
use procarray::{Holder, HorizonPass, Horizons, ProcNumber, SlotView};

use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::proc_array::ServerProcs;
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::running::next_xid;
use crate::server;

sql_functions!(horizon_holders);

/// A row a horizon.
fn horizon_holders(call: &Call) -> Outcome {
    let procs = ServerProcs::copy()?;
    let next = next_xid();
    let horizons = procs.horizons();
    let mut rows = Rows::begin(call);
    for (name, horizon) in [
        ("data", horizons.data),
        ("catalog", horizons.catalog),
        ("shared", horizons.shared),
        ("temporary", horizons.temporary),
        ("oldest considered running", horizons.oldest_considered_running),
    ] {
        let (held_by, through, number) = words(horizon.holder);
        let proc =
            number.and_then(|number| procs.procs.iter().find(|proc| proc.number == number.0));
        let xid = |xid: Xid| if xid.is_invalid() { Value::Null } else { Value::Xid(xid.0) };
        rows.put(&[
            Value::from(name),
            Value::Xid8(horizon.xid.0),
            Value::Int8(next.0.saturating_sub(horizon.xid.0) as i64),
            Value::from(held_by),
            through.map_or(Value::Null, Value::from),
            proc.and_then(|proc| proc.pid).map_or(Value::Null, Value::Int4),
            proc.map_or(Value::Null, |proc| xid(proc.xid)),
            Value::Xid(horizon.xid.xid().0),
        ]);
    }
    Ok(rows.end())
}

/// Who it is, and by what.
fn words(holder: Holder) -> (&'static str, Option<&'static str>, Option<ProcNumber>) {
    match holder {
        Holder::Nobody => ("nobody", None, None),
        Holder::Xid(number) => ("session", Some("xid"), Some(number)),
        Holder::Xmin(number) => ("session", Some("xmin"), Some(number)),
        Holder::Prepared(number) => ("prepared transaction", Some("xid"), Some(number)),
        Holder::StandbyFeedback(number) => ("standby", Some("xmin"), Some(number)),
        Holder::ReplicationSlot => ("replication slot", Some("xmin"), None),
        Holder::ReplicationSlotCatalog => ("replication slot", Some("catalog_xmin"), None),
        Holder::Primary => ("transaction on the primary", Some("xid"), None),
        Holder::DeferredCleanup => ("vacuum_defer_cleanup_age", None, None),
    }
}

impl ServerProcs {
    /// The horizons as this session must see them.
    pub(crate) fn horizons(&self) -> Horizons {
        // On a standby slots do not say of which database a transaction is.
        let database =
            (self.known_assigned.is_none() && self.own_database != 0).then_some(self.own_database);
        let mut pass = HorizonPass::begin(self.latest_completed, database);
        // This session last: its snapshot is as old as what others run, and it is they who hold that back.
        let others = self.procs.iter().filter(|proc| proc.position != self.own_position);
        for proc in others.chain([&self.procs[self.own_position]]) {
            pass.slot(SlotView {
                number: ProcNumber(proc.number),
                xid: proc.xid,
                xmin: self.widen(proc.xmin),
                status: proc.status,
                database: proc.database,
                is_prepared: proc.pid.is_none(),
            });
        }
        match &self.known_assigned {
            Some(known) => {
                if let Some(oldest) = known.xids.first().and_then(|xid| self.widen(*xid)) {
                    pass.running_on_primary(oldest);
                }
            }
            None => pass.defer(server::vacuum_defer_cleanup_age()),
        }
        let own: Option<FullXid> = self.own_xid();
        let number = ProcNumber(self.procs[self.own_position].number);
        pass.end(self.replication, own.map(|xid| (number, xid)))
    }
}
