//! Planning a scan of a log: how many rows, by which paths, with which conditions decided by reading.
//!
//! Every scan hands its rows out in log order, so its paths are sorted by `start_lsn` (or `end_lsn`, which rises with it)
//! for who wants that. A path that is parameterized reads what a nested loop's outer row asks for.
#![expect(unsafe_code, reason = "the planner's structs are C's")]

use std::ffi::c_void;
use std::ptr;

use pgrx::{pg_guard, pg_sys};

use super::clause::Scanned;
use super::column::Column;
use super::estimate::Estimate;
use super::private::Private;
use super::table::Table;
use crate::ffi::{list, owned};

/// What is known of the table from the first step of planning to the last.
#[derive(Debug)]
struct Planned {
    table: Table,
    estimate: Estimate,
}

/// Costs of a record that is read, of a row that is handed out; in the planner's units.
const RECORD_COST: f64 = 0.001;
const ROW_COST: f64 = 0.01;
/// Of a page that is read: half the time it is in memory, and reading is in order.
const PAGE_COST: f64 = 0.1;
/// Of opening a log.
const STARTUP_COST: f64 = 10.0;

/// `GetForeignRelSize`
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_size(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    table_id: pg_sys::Oid,
) {
    // SAFETY: the planner gives valid structs, which live until it is done.
    unsafe {
        let table = Table::of_locked(table_id).unwrap_or_else(|error| error.raise());
        let scanned = Scanned { root, relid: (*relation).relid, table: &table };
        let estimate = Estimate::of(&scanned, (*relation).baserestrictinfo);
        (*relation).tuples = estimate.rows_in_log;
        (*relation).rows = estimate.rows.max(1.0);
        let planned = owned::give(Planned { table, estimate }, pg_sys::CurrentMemoryContext);
        (*relation).fdw_private = planned.cast();
    }
}

unsafe fn planned<'a>(relation: *mut pg_sys::RelOptInfo) -> &'a Planned {
    // SAFETY: `relation_size` has set it, in a context that lives until planning is done.
    unsafe { &*(*relation).fdw_private.cast::<Planned>() }
}

/// `GetForeignPaths`
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn paths(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    _table_id: pg_sys::Oid,
) {
    // SAFETY: the planner gives valid structs, which live until it is done.
    unsafe {
        let Planned { table, estimate } = planned(relation);
        let lateral = (*relation).lateral_relids;
        for order in orders(root, relation, table) {
            add(root, relation, (*relation).rows, estimate.bytes, order, lateral);
        }
        let scanned = Scanned { root, relid: (*relation).relid, table };
        for outer in outer_relations(root, relation, &scanned) {
            let parameters = pg_sys::get_baserel_parampathinfo(root, relation, outer);
            let rows = (*parameters).ppi_rows;
            let clauses = list::pointers::<pg_sys::RestrictInfo>((*parameters).ppi_clauses);
            let decided = clauses.filter_map(|clause| scanned.decided((*clause).clause));
            let bytes =
                decided.map(|decided| decided.column).fold(estimate.bytes, |bytes, column| {
                    match column {
                        // One position is a page or two; the planner knows nothing of a bound's value.
                        Column::StartLsn | Column::EndLsn => {
                            bytes.min(f64::max(bytes / 100.0, 16384.0))
                        }
                        _ => bytes,
                    }
                });
            add(root, relation, rows, bytes, ptr::null_mut(), outer);
        }
    }
}

/// The sort orders that somebody may want and that the rows have; no order, if none is wanted.
unsafe fn orders(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    table: &Table,
) -> Vec<*mut pg_sys::List> {
    /// `<` of `pg_lsn`
    const LSN_LESS: u32 = 3224;
    let mut orders = Vec::new();
    for (place, column) in table.columns.iter().enumerate() {
        if !matches!(column, Some(Column::StartLsn | Column::EndLsn)) {
            continue;
        }
        // SAFETY: the planner's structs are valid; the Var is of the relation's own column.
        unsafe {
            let number = (place + 1) as pg_sys::AttrNumber;
            let relid = (*relation).relid;
            let lsn = pg_sys::Oid::from(Column::StartLsn.sql_type() as u32);
            let var = pg_sys::makeVar(relid as _, number, lsn, -1, pg_sys::InvalidOid, 0);
            let order = pg_sys::build_expression_pathkey(
                root,
                var.cast(),
                #[cfg(feature = "pg15")]
                ptr::null_mut(),
                pg_sys::Oid::from(LSN_LESS),
                (*relation).relids,
                false,
            );
            let order = pg_sys::truncate_useless_pathkeys(root, relation, order);
            if !order.is_null() {
                orders.push(order);
            }
        }
    }
    if orders.is_empty() {
        orders.push(ptr::null_mut());
    }
    orders
}

/// The sets of other relations whose columns make parameters for conditions that reading decides.
unsafe fn outer_relations(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    scanned: &Scanned<'_>,
) -> Vec<pg_sys::Relids> {
    let mut found: Vec<pg_sys::Relids> = Vec::new();
    // SAFETY: the planner's structs are valid; the callback gets what is passed here, while this function waits.
    unsafe {
        let mut clauses: Vec<*mut pg_sys::RestrictInfo> =
            list::pointers((*relation).joininfo).collect();
        if (*relation).has_eclass_joins {
            for column in &scanned.table.columns {
                let Some(column) = *column else { continue };
                let mut wanted = Wanted { scanned: *scanned, column };
                let implied = pg_sys::generate_implied_equalities_for_column(
                    root,
                    relation,
                    Some(is_wanted),
                    (&raw mut wanted).cast(),
                    (*relation).lateral_referencers,
                );
                clauses.extend(list::pointers::<pg_sys::RestrictInfo>(implied));
            }
        }
        for clause in clauses {
            if !pg_sys::join_clause_is_movable_to(clause, relation)
                || scanned.decided((*clause).clause).is_none()
            {
                continue;
            }
            let outer = pg_sys::bms_union((*clause).clause_relids, (*relation).lateral_relids);
            let outer = pg_sys::bms_del_member(outer, (*relation).relid as i32);
            if !outer.is_null() && !found.iter().any(|known| pg_sys::bms_equal(*known, outer)) {
                found.push(outer);
            }
        }
    }
    found
}

/// The column that an equivalence class is searched for.
struct Wanted<'a> {
    scanned: Scanned<'a>,
    column: Column,
}

/// Whether a member of an equivalence class is the wanted column (`ec_matches_callback_type`).
#[pg_guard]
unsafe extern "C-unwind" fn is_wanted(
    _root: *mut pg_sys::PlannerInfo,
    _relation: *mut pg_sys::RelOptInfo,
    _class: *mut pg_sys::EquivalenceClass,
    member: *mut pg_sys::EquivalenceMember,
    wanted: *mut c_void,
) -> bool {
    // SAFETY: `outer_relations` passes it, and waits.
    unsafe {
        let wanted = &*wanted.cast::<Wanted<'_>>();
        wanted.scanned.column((*member).em_expr) == Some(wanted.column)
    }
}

unsafe fn add(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    rows: f64,
    bytes: f64,
    order: *mut pg_sys::List,
    outer: pg_sys::Relids,
) {
    let records = bytes / Estimate::RECORD_BYTES;
    let reading = bytes / base::PAGE_SIZE as f64 * PAGE_COST + records * RECORD_COST;
    // SAFETY: the planner's structs are valid. A parameterized path has its ParamPathInfo made from the relids.
    unsafe {
        let per_row = ROW_COST + (*(*relation).reltarget).cost.per_tuple;
        let total = STARTUP_COST + reading + rows * per_row;
        let path = pg_sys::create_foreignscan_path(
            root,
            relation,
            ptr::null_mut(),
            rows,
            #[cfg(feature = "pg18")]
            0,
            STARTUP_COST,
            total,
            order,
            outer,
            ptr::null_mut(),
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            ptr::null_mut(),
            ptr::null_mut(),
        );
        pg_sys::add_path(relation, path.cast());
    }
}

/// `GetForeignPlan`
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn plan(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    _table_id: pg_sys::Oid,
    _path: *mut pg_sys::ForeignPath,
    target: *mut pg_sys::List,
    clauses: *mut pg_sys::List,
    outer: *mut pg_sys::Plan,
) -> *mut pg_sys::ForeignScan {
    // SAFETY: the planner gives valid structs; the lists are of RestrictInfo and of expressions.
    unsafe {
        let table = &planned(relation).table;
        let relid = (*relation).relid;
        let scanned = Scanned { root, relid, table };
        let mut private = Private::default();
        let (mut local, mut decided, mut comparands) = (vec![], vec![], vec![]);
        for clause in list::pointers::<pg_sys::RestrictInfo>(clauses) {
            if (*clause).pseudoconstant {
                continue; // a gating Result's
            }
            match scanned.decided((*clause).clause) {
                Some(found) => {
                    private.conditions.push((found.column, found.operator));
                    comparands.push(found.comparand);
                    decided.push((*clause).clause);
                }
                None => local.push((*clause).clause),
            }
        }
        let local = list::of_pointers(local);
        private.attributes = attributes(relation, local, table);
        pg_sys::make_foreignscan(
            target,
            local,
            relid,
            list::of_pointers(comparands),
            private.to_list(),
            ptr::null_mut(),
            list::of_pointers(decided),
            outer,
        )
    }
}

/// The attribute numbers that the query asks for, of columns that are not dropped.
unsafe fn attributes(
    relation: *mut pg_sys::RelOptInfo,
    local: *mut pg_sys::List,
    table: &Table,
) -> Vec<i32> {
    let mut used = ptr::null_mut();
    // SAFETY: the planner's structs are valid; the set is the planner's, and numbers are moved up so that those of system
    // columns fit in.
    unsafe {
        let relid = (*relation).relid;
        pg_sys::pull_varattnos((*(*relation).reltarget).exprs.cast(), relid, &raw mut used);
        pg_sys::pull_varattnos(local.cast(), relid, &raw mut used);
        let is_used = |attribute: i32| {
            pg_sys::bms_is_member(attribute - pg_sys::FirstLowInvalidHeapAttributeNumber, used)
        };
        let whole_row = is_used(0);
        let count = table.columns.len() as i32;
        let is_there = |attribute: &i32| table.columns[*attribute as usize - 1].is_some();
        (1..=count).filter(is_there).filter(|number| whole_row || is_used(*number)).collect()
    }
}
