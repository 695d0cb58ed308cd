//! What the executor calls: a scan begun, its rows one by one, begun again, ended.
#![expect(unsafe_code, reason = "the executor's structs are C's")]

use std::ptr;

use pgrx::{pg_guard, pg_sys};

use super::comparand::Reading;
use super::condition::Comparand;
use super::private::Private;
use super::scan::{Asked, Scan};
use super::table::Table;
use crate::ffi::slot::Slot;
use crate::ffi::{list, owned};

/// What `fdw_state` of a scan that runs points to.
#[derive(Debug)]
struct State {
    /// `None` behind the end.
    scan: Option<Scan>,
    /// What gives the conditions' values (`ExprState`).
    expressions: *mut pg_sys::List,
}

unsafe fn state<'a>(node: *mut pg_sys::ForeignScanState) -> Option<&'a mut State> {
    // SAFETY: `begin` has set it or left it null; it lives as long as the query.
    unsafe { (*node).fdw_state.cast::<State>().as_mut() }
}

/// The scan of a node; `None` in an EXPLAIN that runs nothing.
///
/// # Safety
/// The node must be one of ours, between its begin and end; nothing else may use its scan meanwhile.
pub(super) unsafe fn scan_of<'a>(node: *mut pg_sys::ForeignScanState) -> Option<&'a Scan> {
    // SAFETY: as the caller says.
    unsafe { state(node) }.and_then(|state| state.scan.as_ref())
}

/// `BeginForeignScan`
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn begin(node: *mut pg_sys::ForeignScanState, flags: i32) {
    // SAFETY: the executor gives a valid node; its plan is one of ours.
    unsafe {
        (*node).fdw_state = ptr::null_mut();
        if flags as u32 & pg_sys::EXEC_FLAG_EXPLAIN_ONLY != 0 {
            return;
        }
        let plan = (*node).ss.ps.plan.cast::<pg_sys::ForeignScan>();
        let private = Private::of_list((*plan).fdw_private);
        let table = Table::of((*node).ss.ss_currentRelation).unwrap_or_else(|error| error.raise());
        let columns = private.attributes.iter().filter_map(|attribute| {
            let place = usize::try_from(*attribute).ok()?.checked_sub(1)?;
            Some((place, (*table.columns.get(place)?)?))
        });
        let columns = columns.collect();
        let asked = Asked { columns, table, conditions: private.conditions, user: user(node) };
        let expressions =
            pg_sys::ExecInitExprList((*plan).fdw_exprs, (&raw mut (*node).ss.ps).cast());
        let context = (*(*node).ss.ps.state).es_query_cxt;
        let slot = Slot::new((*node).ss.ss_ScanTupleSlot);
        let state = State { scan: Some(Scan::new(asked, slot, context)), expressions };
        (*node).fdw_state = owned::give(state, context).cast();
    }
}

/// Whose privileges count: the owner's of a view that reads the table, else the session's user.
unsafe fn user(node: *mut pg_sys::ForeignScanState) -> pg_sys::Oid {
    // SAFETY: the executor gives a valid node; its plan is one of ours, its range table has the relation.
    unsafe {
        #[cfg(feature = "pg15")]
        let user = {
            let plan = (*node).ss.ps.plan.cast::<pg_sys::ForeignScan>();
            let entry = (*plan).scan.scanrelid as usize - 1;
            let table = (*(*node).ss.ps.state).es_range_table;
            let entry = list::pointers::<pg_sys::RangeTblEntry>(table).nth(entry);
            entry.map_or(pg_sys::InvalidOid, |entry| (*entry).checkAsUser)
        };
        #[cfg(not(feature = "pg15"))]
        let user = (*(*node).ss.ps.plan.cast::<pg_sys::ForeignScan>()).checkAsUser;
        if user == pg_sys::InvalidOid { pg_sys::GetUserId() } else { user }
    }
}

/// `IterateForeignScan`
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn iterate(
    node: *mut pg_sys::ForeignScanState,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the executor gives a node that was begun.
    unsafe {
        let Some(State { scan: Some(scan), expressions }) = state(node) else {
            return (*node).ss.ss_ScanTupleSlot;
        };
        match scan.next_row(|| values(node, *expressions)) {
            Ok(slot) => slot,
            Err(error) => error.raise(),
        }
    }
}

/// The conditions' values, as of now.
#[cold]
unsafe fn values(
    node: *mut pg_sys::ForeignScanState,
    expressions: *mut pg_sys::List,
) -> Vec<Comparand> {
    // SAFETY: the expressions are of this node, and evaluated as the executor does it, in the memory of a row.
    unsafe {
        let context = (*node).ss.ps.ps_ExprContext;
        let outer = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
        let values = list::pointers::<pg_sys::ExprState>(expressions).map(|expression| {
            let evaluate = (*expression).evalfunc.expect("an expression that was prepared");
            let mut is_null = false;
            let is_null_at = &raw mut is_null;
            let datum =
                pg_sys::ffi::pg_guard_ffi_boundary(|| evaluate(expression, context, is_null_at));
            if is_null {
                return Comparand::Null;
            }
            let sql_type = pg_sys::exprType((*expression).expr.cast()).to_u32();
            Reading::of(sql_type).expect("a type that the planner took").read(datum)
        });
        let values = values.collect();
        pg_sys::MemoryContextSwitchTo(outer);
        values
    }
}

/// `ReScanForeignScan`
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: the executor gives a node that was begun.
    if let Some(State { scan: Some(scan), .. }) = unsafe { state(node) } {
        scan.restart();
    }
}

/// `EndForeignScan`: gives everything back at once, where the query's end would do it, too.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn end(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: the executor gives a node that was begun.
    if let Some(state) = unsafe { state(node) } {
        state.scan = None;
    }
}
