//! The foreign-data wrapper `pgstrata_wal`: a write-ahead log as a table, one row a record or one a block reference.
//!
//! ```text
//! query ──► clause: what can reading decide? ──► plan (estimate, paths) ──► private ──► execute
//!           condition: a filter  ◄── comparand: values, when the scan begins ───────────┘
//! log ──► scan: batches, here or read_ahead ──► row ──► slot
//! ```
//!
//! [`column`] and [`condition`] say what the columns are and what a condition on them means; [`options`] and [`table`], how
//! a foreign table is defined; [`explain`], what EXPLAIN tells.

mod arena;
mod batch;
mod clause;
mod column;
mod comparand;
mod condition;
mod estimate;
mod execute;
mod explain;
mod options;
mod plan;
mod private;
mod row;
mod scan;
mod table;

pub(crate) use options::check_may_read_files;
use pgrx::pg_sys::{self, Datum, NodeTag};

use crate::ffi::function::{Call, Outcome, sql_functions};

sql_functions!(wal_fdw_handler);

/// The wrapper's handler: the functions that planner and executor call.
#[expect(unsafe_code)]
fn wal_fdw_handler(_call: &Call) -> Outcome {
    // SAFETY: a node of the struct that the tag says, zeroed: no function.
    let routine = unsafe {
        let size = size_of::<pg_sys::FdwRoutine>();
        let routine = pg_sys::palloc0(size).cast::<pg_sys::FdwRoutine>();
        (*routine).type_ = NodeTag::T_FdwRoutine;
        &mut *routine
    };
    routine.GetForeignRelSize = Some(plan::relation_size);
    routine.GetForeignPaths = Some(plan::paths);
    routine.GetForeignPlan = Some(plan::plan);
    routine.BeginForeignScan = Some(execute::begin);
    routine.IterateForeignScan = Some(execute::iterate);
    routine.ReScanForeignScan = Some(execute::rescan);
    routine.EndForeignScan = Some(execute::end);
    routine.ExplainForeignScan = Some(explain::explain);
    Ok(Datum::from(std::ptr::from_mut(routine)))
}
