//! `strata.snapshot()`: the classic snapshot of this moment, built by this project's code from a copy of the server's
//! process array.
//!
//! Invariant: it is the one that `GetSnapshotData` would take at that moment: without the session's own ids, without lazy
//! vacuums and logical decoding; on a standby with all ids of the primary among the subtransactions.

use base::{FullXid, Xid};
use pgrx::pg_sys;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use procarray::{RunningPass, RunningSet, SubxidState};
use snapshot::{ClassicSnapshot, Contents, RunningTransactions};

use crate::error::SqlError;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::proc_array::ServerProcs;
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;

sql_functions!(snapshot);

/// One row: the text form, and what it leaves out.
fn snapshot(call: &Call) -> Outcome {
    let mut procs = ServerProcs::copy()?;
    let next = next_xid();
    let mut classic = ClassicSnapshot::default();
    classic.refresh(&mut procs, 0);
    let text = classic.to_pg_snapshot(next).map_err(|error| {
        SqlError::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string())
            .detail("The ids in the server's process array contradict each other.")
    })?;
    let contents = classic.contents();
    let own = procs.own_xid().map_or(Value::Null, |xid| Value::Xid8(xid.0));
    let mut rows = Rows::begin(call);
    rows.put(&[
        Value::from(text.to_string().as_str()),
        Value::Xid8(text.xmin().0),
        Value::Xid8(text.xmax().0),
        Value::Xids(&contents.xip),
        Value::Xids(&contents.subxip),
        Value::Bool(contents.suboverflowed),
        Value::Bool(contents.taken_during_recovery),
        own,
        Value::Xid8(procs.latest_completed.0),
        Value::Int8(procs.completion_count as i64),
    ]);
    Ok(rows.end())
}

/// The next xid that the server will give out: above all that anyone has.
#[expect(unsafe_code)]
pub(crate) fn next_xid() -> FullXid {
    // SAFETY: it reads shared memory under its lock.
    FullXid(unsafe { pg_sys::ReadNextFullTransactionId() }.value)
}

impl ServerProcs {
    /// This session's transaction.
    pub(crate) fn own_xid(&self) -> Option<FullXid> {
        self.widen(self.procs[self.own_position].xid)
    }

    /// The pass over the slots that a snapshot is made of.
    fn running(&self) -> RunningSet {
        let mut set = RunningSet::default();
        let mut pass = RunningPass::begin(&mut set, self.latest_completed, self.own_xid());
        for proc in &self.procs {
            if proc.xid == Xid::INVALID || proc.position == self.own_position {
                continue;
            }
            pass.slot(
                proc.xid,
                || proc.status,
                |into| {
                    let subxids = self.subxids(proc);
                    if !proc.overflowed {
                        into.extend_from_slice(subxids);
                    }
                    SubxidState { count: subxids.len() as u8, overflowed: proc.overflowed }
                },
            );
        }
        pass.end();
        set
    }
}

impl RunningTransactions for ServerProcs {
    fn fill(&mut self, contents: &mut Contents, known: Option<u64>) -> Option<u64> {
        if known == Some(self.completion_count) {
            return None;
        }
        *contents = match &self.known_assigned {
            None => {
                let set = self.running();
                Contents {
                    xmin: set.xmin.xid(),
                    xmax: set.xmax.xid(),
                    xip: set.xids,
                    subxip: set.subxids,
                    suboverflowed: set.overflowed,
                    taken_during_recovery: false,
                }
            }
            Some(known) => {
                let xmax = self.latest_completed.next().xid();
                let below = known.xids.iter().copied().filter(|xid| xid.precedes(xmax));
                let subxip: Vec<Xid> = below.collect();
                let xmin = subxip.first().copied().unwrap_or(xmax);
                Contents {
                    xmin,
                    xmax,
                    xip: Vec::new(),
                    subxip,
                    // As the server compares: xmin at or before it.
                    suboverflowed: !known.last_overflowed.precedes(xmin),
                    taken_during_recovery: true,
                }
            }
        };
        Some(self.completion_count)
    }
}
