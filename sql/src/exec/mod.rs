//! A program run: rows pulled out of its nodes, changes made, and what is left to be checked when it is over.
//!
//! ```text
//! Cursor   one node that gives rows ([`cursor`]); what needs all of its input takes it in when it is opened
//! recheck  the same nodes asked whether one row, with newer values, is still wanted ([`recheck`])
//! ```
//!
//! Invariants: a statement is one command of the engine, with one snapshot. A constant subquery and a WITH query are run
//! once, when they are asked for first; a WITH query that changes something is run even if nobody asks.

pub(crate) mod aggregate;
pub(crate) mod change;
pub(crate) mod cursor;
mod hash;
mod join;
mod merge;
mod order;
pub(crate) mod recheck;
mod routine;
mod target;

use std::rc::Rc;

use engine::Transaction;

use crate::backend::State;
use crate::class;
use crate::constraint::Check;
use crate::database::Database;
use crate::error::{Result, SqlError};
use crate::expr::{Rows, SubqueryUse, compare};
use crate::plan::{Plan, Program};
use crate::types::{Datum, Type};
use cursor::Cursor;
pub(crate) use routine::Ran;

/// A row.
pub(crate) type Row = Vec<Datum>;

/// A statement that runs.
pub(crate) struct Exec<'p, 'x, 's, 'e> {
    pub(crate) program: &'p Program,
    pub(crate) transaction: &'x mut Transaction<'s, 'e>,
    pub(crate) database: &'x Database<'e>,
    pub(crate) state: &'x mut State,
    /// What WITH queries gave.
    ctes: Vec<Option<Rc<Vec<Row>>>>,
    /// What constant subqueries gave.
    constants: Vec<Option<Rc<Vec<Row>>>>,
    /// What is to be checked when the statement is over.
    pub(crate) checks: Vec<Check>,
    /// How many rows the outermost change changed.
    pub(crate) changed: u64,
}

impl<'p, 'x, 's, 'e> Exec<'p, 'x, 's, 'e> {
    pub(crate) fn new(
        program: &'p Program,
        transaction: &'x mut Transaction<'s, 'e>,
        database: &'x Database<'e>,
        state: &'x mut State,
    ) -> Exec<'p, 'x, 's, 'e> {
        Exec {
            program,
            transaction,
            database,
            state,
            ctes: vec![None; program.ctes.len()],
            constants: vec![None; program.subplans.len()],
            checks: Vec::new(),
            changed: 0,
        }
    }

    /// All rows of the program.
    pub(crate) fn run(&mut self) -> Result<Vec<Row>> {
        let program = self.program;
        let rows = self.all(&program.plan, None)?;
        for (number, plan) in program.ctes.iter().enumerate() {
            if matches!(plan, Plan::Change(_)) {
                self.cte(number)?;
            }
        }
        Ok(rows)
    }

    /// All rows of a node.
    pub(crate) fn all(&mut self, plan: &Plan, outer: Option<&Rows<'_>>) -> Result<Vec<Row>> {
        self.first(plan, usize::MAX, outer)
    }

    /// So many rows of a node, or all if there are fewer.
    fn first(&mut self, plan: &Plan, enough: usize, outer: Option<&Rows<'_>>) -> Result<Vec<Row>> {
        let mut cursor = Cursor::open(plan, self, outer)?;
        let mut rows = Vec::new();
        while rows.len() < enough
            && let Some(row) = cursor.next(self, outer)?
        {
            rows.push(row);
        }
        Ok(rows)
    }

    /// What a WITH query gives.
    pub(crate) fn cte(&mut self, number: usize) -> Result<Rc<Vec<Row>>> {
        if let Some(rows) = &self.ctes[number] {
            return Ok(Rc::clone(rows));
        }
        let program = self.program;
        let changed = self.changed;
        let rows = Rc::new(self.all(&program.ctes[number], None)?);
        self.changed = changed;
        self.ctes[number] = Some(Rc::clone(&rows));
        Ok(rows)
    }

    /// What a subquery gives, up to so many rows.
    fn found(&mut self, index: usize, enough: usize, rows: &Rows<'_>) -> Result<Rc<Vec<Row>>> {
        let program = self.program;
        let subplan = &program.subplans[index];
        if let Some(found) = &self.constants[index] {
            return Ok(Rc::clone(found));
        }
        let found = Rc::new(self.first(&subplan.plan, enough, Some(rows))?);
        if subplan.is_constant {
            self.constants[index] = Some(Rc::clone(&found));
        }
        Ok(found)
    }

    /// All that a subquery gives.
    pub(crate) fn given(&mut self, index: usize, rows: &Rows<'_>) -> Result<Rc<Vec<Row>>> {
        self.found(index, usize::MAX, rows)
    }

    /// The value of an expression with a query in it.
    pub(crate) fn subquery(
        &mut self,
        index: usize,
        use_: &SubqueryUse,
        rows: &Rows<'_>,
    ) -> Result<Datum> {
        // No more rows are asked for than decide: they may be locked.
        let enough = match use_ {
            SubqueryUse::Exists => 1,
            SubqueryUse::Scalar | SubqueryUse::Row => 2,
            SubqueryUse::Any { .. } | SubqueryUse::All { .. } => usize::MAX,
        };
        let found = self.found(index, enough, rows)?;
        let (expr, op, of, decisive) = match use_ {
            SubqueryUse::Exists => return Ok(Datum::Bool(!found.is_empty())),
            SubqueryUse::Scalar | SubqueryUse::Row => {
                if found.len() > 1 {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(SqlError::new("21000", message));
                }
                let Some(first) = found.first() else { return Ok(Datum::Null) };
                return Ok(match use_ {
                    SubqueryUse::Row => Datum::Record(first.clone()),
                    _ => first.first().cloned().unwrap_or(Datum::Null),
                });
            }
            SubqueryUse::Any { expr, op, of } => (expr, *op, *of, true),
            SubqueryUse::All { expr, op, of } => (expr, *op, *of, false),
        };
        let value = expr.eval(self, rows)?;
        let mut truth = Some(!decisive);
        for row in found.iter() {
            let other = match row.as_slice() {
                [other] if of != Type::Record => other.clone(),
                fields => Datum::Record(fields.to_vec()),
            };
            match compare(op, of, &value, &other) {
                Some(holds) if holds == decisive => return Ok(Datum::Bool(decisive)),
                Some(_) => {}
                None => truth = None,
            }
        }
        Ok(Datum::of_truth(truth))
    }

    /// A table's name by its number.
    pub(crate) fn class_name(&mut self, value: &Datum) -> Result<Datum> {
        let Datum::Oid(oid) = value else { return Ok(value.clone()) };
        Ok(Datum::Text(class::name_of(self.transaction, *oid)))
    }

    /// The next number of a column that counts by itself.
    pub(crate) fn count(&mut self, table: &str, at: usize) -> Result<Datum> {
        let table = self.transaction.table(table)?;
        let column = (table.oid(), at);
        let next = match self.database.count(column, None) {
            Some(next) => next,
            None => {
                // Nobody asked since the engine was opened: what is there was given out before.
                let mut highest = 0;
                let family = self.database.family(self.transaction, table.name(), false)?;
                for member in &family.members {
                    for dirty in member.def.table.scan_dirty(self.transaction)? {
                        let value = Datum::of_stored(&dirty.row.values()?[member.place(at)])?;
                        highest = highest.max(value.int().unwrap_or(0));
                    }
                }
                self.database.count(column, Some(highest)).unwrap_or(highest)
            }
        };
        Ok(Datum::Int8(next))
    }

    pub(crate) fn setting(&self, name: &str) -> Result<String> {
        self.state.settings.show(name)
    }

    pub(crate) fn session_number(&self) -> i32 {
        self.state.session as i32
    }

    /// Whether the whole transaction has one snapshot.
    pub(crate) fn keeps_snapshot(&self) -> bool {
        self.state.settings.keeps_snapshot()
    }

    pub(crate) fn transaction_time(&self) -> i64 {
        self.state.transaction_time.0
    }

    pub(crate) fn assigned_xid(&self) -> Option<i64> {
        self.transaction.xid().map(|xid| xid.0 as i64)
    }

    /// The transaction's id, given now if it has none.
    pub(crate) fn current_xid(&mut self) -> Result<Datum> {
        match self.assigned_xid() {
            Some(xid) => Ok(Datum::Int8(xid)),
            None => Ok(Datum::Int8(self.transaction.assigned_xid()?.0 as i64)),
        }
    }
}

/// The text of what a client gets.
pub(crate) fn texts(
    rows: &[Row],
    columns: &[(String, Type)],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Vec<Vec<Option<String>>>> {
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let mut texts = Vec::with_capacity(row.len());
        for (value, (_, of)) in row.iter().zip(columns) {
            texts.push(match of {
                Type::Regclass => exec.class_name(value)?.text(),
                _ => value.text(),
            });
        }
        shown.push(texts);
    }
    Ok(shown)
}
