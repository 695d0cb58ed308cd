//! Which clauses of a query are conditions that reading decides ([`super::condition`]).
//!
//! A clause is `column OPERATOR value`, either way round, or `column = ANY (array)`. The value may be anything that does not
//! depend on the row: a constant, a parameter, a column of another table in a nested loop, a function that is not volatile.
//! The server's positions (`pg_current_wal_lsn()` and its like) are volatile by their catalog entries, and are taken all
//! the same: they are looked at once, when the scan begins, as if they stood in a subquery.
#![expect(unsafe_code, reason = "the planner's nodes are C structs behind pointers")]

use pgrx::pg_sys::{self, NodeTag};

use super::column::{Column, Type};
use super::condition::{Operator, is_decidable};
use super::table::Table;
use crate::ffi::list;

/// A clause that reading decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decided {
    pub(crate) column: Column,
    pub(crate) operator: Operator,
    /// What the column is compared with.
    pub(crate) comparand: *mut pg_sys::Expr,
}

/// The table that is scanned, in a query that is being planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanned<'a> {
    pub(crate) root: *mut pg_sys::PlannerInfo,
    /// Its number in the query.
    pub(crate) relid: pg_sys::Index,
    pub(crate) table: &'a Table,
}

/// `pg_current_wal_lsn`, `pg_current_wal_insert_lsn`, `pg_current_wal_flush_lsn`, `pg_last_wal_receive_lsn`,
/// `pg_last_wal_replay_lsn` (`pg_proc.dat`)
const POSITIONS: [u32; 5] = [2849, 2852, 3330, 3820, 3821];

impl Scanned<'_> {
    /// What reading decides of a clause, if it does.
    ///
    /// # Safety
    /// `clause` must be a valid expression of the query.
    pub(crate) unsafe fn decided(&self, clause: *mut pg_sys::Expr) -> Option<Decided> {
        // SAFETY: the tag says which struct it is.
        unsafe {
            match (*clause).type_ {
                NodeTag::T_OpExpr => {
                    let clause = &*clause.cast::<pg_sys::OpExpr>();
                    let arguments: Vec<*mut pg_sys::Expr> = list::pointers(clause.args).collect();
                    let [left, right] = arguments[..] else { return None };
                    let operator = Operator::of_oid(clause.opno.to_u32())?;
                    let (column, operator, comparand) = match self.column(left) {
                        Some(column) => (column, operator, right),
                        None => (self.column(right)?, operator.exchanged(), left),
                    };
                    self.if_possible(column, operator, comparand, clause.inputcollid)
                }
                NodeTag::T_ScalarArrayOpExpr => {
                    let clause = &*clause.cast::<pg_sys::ScalarArrayOpExpr>();
                    let arguments: Vec<*mut pg_sys::Expr> = list::pointers(clause.args).collect();
                    let [left, right] = arguments[..] else { return None };
                    let is_equal = Operator::of_oid(clause.opno.to_u32()) == Some(Operator::Equal);
                    if !clause.useOr || !is_equal {
                        return None;
                    }
                    let column = self.column(left)?;
                    self.if_possible(column, Operator::EqualAny, right, clause.inputcollid)
                }
                _ => None,
            }
        }
    }

    /// The column that an expression is.
    ///
    /// # Safety
    /// `node` must be a valid expression.
    pub(crate) unsafe fn column(&self, node: *mut pg_sys::Expr) -> Option<Column> {
        // SAFETY: the tag says which struct it is.
        unsafe {
            if (*node).type_ != NodeTag::T_Var {
                return None;
            }
            let var = &*node.cast::<pg_sys::Var>();
            if var.varno as pg_sys::Index != self.relid || var.varlevelsup != 0 {
                return None;
            }
            let place = usize::try_from(var.varattno).ok()?.checked_sub(1)?;
            *self.table.columns.get(place)?
        }
    }

    unsafe fn if_possible(
        &self,
        column: Column,
        operator: Operator,
        comparand: *mut pg_sys::Expr,
        collation: pg_sys::Oid,
    ) -> Option<Decided> {
        // SAFETY: the comparand is a valid expression.
        unsafe {
            let sql_type = pg_sys::exprType(comparand.cast()).to_u32();
            let possible = is_decidable(column)
                && is_readable(sql_type, operator == Operator::EqualAny)
                // Under another collation texts may be equal that have not the same bytes.
                && (column.sql_type() != Type::Text || pg_sys::get_collation_isdeterministic(collation))
                && !self.mentions_row(comparand)
                && !pg_sys::contain_subplans(comparand.cast())
                && is_stable(comparand);
            possible.then_some(Decided { column, operator, comparand })
        }
    }

    unsafe fn mentions_row(&self, expression: *mut pg_sys::Expr) -> bool {
        // SAFETY: the expression is valid, and of this query.
        unsafe {
            let mentioned = pg_sys::pull_varnos(self.root, expression.cast());
            pg_sys::bms_is_member(self.relid as i32, mentioned)
        }
    }
}

/// Whether [`super::comparand`] reads values of this type.
fn is_readable(sql_type: u32, is_array: bool) -> bool {
    match super::comparand::Reading::of(sql_type) {
        Some(reading) => reading.is_array() == is_array,
        None => false,
    }
}

/// Whether an expression has the same value for the whole scan, if the server's positions count as having one.
unsafe fn is_stable(expression: *mut pg_sys::Expr) -> bool {
    /// `PROVOLATILE_VOLATILE`
    const VOLATILE: std::ffi::c_char = b'v' as std::ffi::c_char;
    // SAFETY: the expression is valid, and the tags say which struct each node is.
    unsafe {
        let all_stable = |arguments| list::pointers(arguments).all(|node| is_stable(node));
        match (*expression).type_ {
            NodeTag::T_FuncExpr => {
                let call = &*expression.cast::<pg_sys::FuncExpr>();
                let is_position = POSITIONS.contains(&call.funcid.to_u32());
                (is_position || pg_sys::func_volatile(call.funcid) != VOLATILE)
                    && all_stable(call.args)
            }
            NodeTag::T_OpExpr => {
                let call = &*expression.cast::<pg_sys::OpExpr>();
                pg_sys::op_volatile(call.opno) != VOLATILE && all_stable(call.args)
            }
            NodeTag::T_RelabelType => is_stable((*expression.cast::<pg_sys::RelabelType>()).arg),
            NodeTag::T_ArrayExpr => all_stable((*expression.cast::<pg_sys::ArrayExpr>()).elements),
            _ => !pg_sys::contain_volatile_functions(expression.cast()),
        }
    }
}
