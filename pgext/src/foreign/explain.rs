//! What EXPLAIN says of a scan: the conditions that reading decides, where another log is read; with ANALYZE, how much was
//! read.
#![expect(unsafe_code, reason = "the server's structs are C's")]

use std::ffi::{CStr, CString};
use std::ptr;

use pgrx::{pg_guard, pg_sys};

use super::execute::scan_of;
use super::table::Table;

/// `ExplainForeignScan`
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn explain(
    node: *mut pg_sys::ForeignScanState,
    explain: *mut pg_sys::ExplainState,
) {
    // SAFETY: the server gives a node of ours, begun, and the state of its EXPLAIN.
    unsafe {
        let plan = (*node).ss.ps.plan;
        let decided = (*plan.cast::<pg_sys::ForeignScan>()).fdw_recheck_quals;
        if !decided.is_null() {
            let context =
                pg_sys::set_deparse_context_plan((*explain).deparse_cxt, plan, ptr::null_mut());
            let all = pg_sys::make_ands_explicit(decided);
            let text = pg_sys::deparse_expression(all.cast(), context, (*explain).verbose, false);
            pg_sys::ExplainPropertyText(c"WAL Condition".as_ptr(), text, explain);
        }
        let table = Table::of((*node).ss.ss_currentRelation).unwrap_or_else(|error| error.raise());
        if let Some(directory) = &table.options.directory {
            text(c"WAL Directory", &directory.display().to_string(), explain);
        }
        if let Some(timeline) = table.options.timeline {
            number(c"WAL Timeline", None, u64::from(timeline.0), explain);
        }
        if (*explain).analyze
            && let Some(scan) = scan_of(node)
        {
            let counters = scan.counters;
            number(c"WAL Records Read", None, counters.records, explain);
            number(c"WAL Read", Some(c"kB"), counters.bytes.div_ceil(1024), explain);
            if counters.threads > 0 {
                number(c"Threads", None, counters.threads as u64, explain);
            }
        }
    }
}

unsafe fn text(label: &CStr, text: &str, explain: *mut pg_sys::ExplainState) {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: the strings end in a zero, and are copied.
    unsafe { pg_sys::ExplainPropertyText(label.as_ptr(), text.as_ptr(), explain) }
}

unsafe fn number(
    label: &CStr,
    unit: Option<&CStr>,
    number: u64,
    explain: *mut pg_sys::ExplainState,
) {
    let unit = unit.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the strings end in a zero, and are copied.
    unsafe { pg_sys::ExplainPropertyUInteger(label.as_ptr(), unit, number, explain) }
}
