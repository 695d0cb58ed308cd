//! Rows inserted, updated and deleted.
//!
//! ```text
//! insert   row ─► defaults, generated columns, checks ─► unique keys, waiting for who decides ─► in
//! update   row that the snapshot shows ─► new values ─► changed, if it is still the newest version; else, at read
//!          committed: newer version ─► still wanted? ─► new values from it, and again
//! ```
//!
//! Invariant: a row is changed once by a command. What foreign keys ask is left for the end of the statement.

use std::rc::Rc;

use base::Tid;
use engine::{RowLock, RowLocked, VersionChange, WaitPolicy};

use super::cursor::{Cursor, evaluated};
use super::recheck::{is_wanted, replace};
use super::{Exec, Row};
use crate::constraint::unique::{self, Conflict};
use crate::constraint::{Check, Rules};
use crate::error::{Result, SqlError};
use crate::expr::Rows;
use crate::plan::{Change, ChangeKind, OnConflict};
use crate::types::{Datum, StoredRow};

/// Makes a change; what it returns.
pub(crate) fn change(
    change: &Change,
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<Vec<Row>> {
    let rules = Rules::of(&change.table, exec)?;
    let mut making = Making { change, rules, returned: Vec::new(), count: 0, made: Vec::new() };
    let mut input = Cursor::open(&change.input, exec, outer)?;
    while let Some(row) = input.next(exec, outer)? {
        match &change.kind {
            ChangeKind::Insert { on_conflict } => {
                making.insert(row, on_conflict.as_ref(), exec, outer)?;
            }
            ChangeKind::Update { sets } => making.update(row, sets, exec, outer)?,
            ChangeKind::Delete => making.delete(row, exec, outer)?,
        }
    }
    exec.changed = making.count;
    Ok(making.returned)
}

/// A change that is being made.
struct Making<'p> {
    change: &'p Change,
    rules: Rules,
    returned: Vec<Row>,
    count: u64,
    /// Rows that this command inserted or updated by way of a conflict.
    made: Vec<Tid>,
}

impl Making<'_> {
    /// How many columns the table has.
    fn width(&self) -> usize {
        self.change.table.columns.len()
    }

    fn return_row(
        &mut self,
        row: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        self.count += 1;
        if let Some(exprs) = &self.change.returning {
            self.returned.push(evaluated(exprs, row, exec, outer)?);
        }
        Ok(())
    }

    fn insert(
        &mut self,
        mut row: Row,
        on_conflict: Option<&OnConflict>,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        let table = Rc::clone(&self.change.table);
        self.rules.apply(&table, &mut row, exec)?;
        let types = table.types();
        let tid = loop {
            let looked = {
                let gate = exec.database.gate(table.table.oid());
                let _held = gate.lock().unwrap_or_else(base::sync::PoisonError::into_inner);
                match unique::conflict(&table, &row, None, exec)? {
                    None => {
                        let stored = StoredRow::new(&row, &types);
                        Ok(table.table.insert(exec.transaction, &stored.values()?)?)
                    }
                    Some(conflict) => Err(conflict),
                }
            };
            match looked {
                Ok(tid) => break tid,
                Err(Conflict { decides: Some(xid), .. }) => exec.transaction.wait_for_end(xid)?,
                Err(conflict) => {
                    let is_arbiter = |on: &&OnConflict| {
                        on.arbiter.is_none_or(|arbiter| arbiter == conflict.unique)
                    };
                    match on_conflict.filter(is_arbiter) {
                        None => return Err(unique::violation(&table, &row, conflict.unique)),
                        Some(on_conflict)
                            if self.resolve(&row, on_conflict, &conflict, exec, outer)? =>
                        {
                            return Ok(());
                        }
                        // It is gone by now.
                        Some(_) => {}
                    }
                }
            }
        };
        self.made.push(tid);
        let place = row.len();
        exec.checks.extend(Check::of_insert(&table, &row));
        row.push(Datum::Tid(tid));
        debug_assert_eq!(place, self.width());
        self.return_row(&row, exec, outer)
    }

    /// Does what is to be done about a row with the same key; false if that has gone.
    fn resolve(
        &mut self,
        row: &Row,
        on_conflict: &OnConflict,
        conflict: &Conflict,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<bool> {
        let table = Rc::clone(&self.change.table);
        let is_visible = table.table.get(exec.transaction, conflict.row.tid())?.is_some();
        let Some(update) = &on_conflict.update else {
            // A row that the snapshot does not show cannot be stepped around.
            if !is_visible && !self.made.contains(&conflict.row.tid()) && exec.keeps_snapshot() {
                return Err(SqlError::new(
                    "40001",
                    "could not serialize access due to concurrent update",
                ));
            }
            return Ok(true);
        };
        if self.made.contains(&conflict.row.tid()) {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            let hint = "Ensure that no rows proposed for insertion within the same command have duplicate \
                        constrained values.";
            return Err(SqlError::new("21000", message).hint(hint));
        }
        if !is_visible && exec.keeps_snapshot() {
            let message = "could not serialize access due to concurrent update";
            return Err(SqlError::new("40001", message));
        }
        let mut both = super::cursor::stored_row(&table, &conflict.row)?;
        both.extend_from_slice(row);
        if let Some(condition) = &update.condition
            && !condition.is_true(exec, &Rows { row: &both, outer })?
        {
            return Ok(true);
        }
        let mut new = both[..self.width()].to_vec();
        for (column, expr) in &update.sets {
            new[*column] = expr.eval(exec, &Rows { row: &both, outer })?;
        }
        self.rules.apply(&table, &mut new, exec)?;
        match self.put(&both[..self.width()], &new, conflict.row.tid(), exec)? {
            VersionChange::Changed(tid) => {
                self.made.push(tid);
                new.push(Datum::Tid(tid));
                self.return_row(&new, exec, outer)?;
                Ok(true)
            }
            VersionChange::Newer(_) | VersionChange::Gone => Ok(false),
        }
    }

    /// Gives a version new values, if nobody else has its unique keys.
    fn put(
        &mut self,
        old: &[Datum],
        new: &[Datum],
        tid: Tid,
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<VersionChange> {
        let table = Rc::clone(&self.change.table);
        let types = table.types();
        let stored = StoredRow::new(new, &types);
        let values = stored.values()?;
        let changed = if unique::has_new_key(&table, old, new) {
            // Nobody else changes the row while it is found out whether the key is free.
            match table.table.lock_row(exec.transaction, tid, RowLock::Update, WaitPolicy::Wait)? {
                RowLocked::Locked(_) => {}
                RowLocked::Updated(newer) => return Ok(VersionChange::Newer(newer)),
                RowLocked::Gone | RowLocked::Skipped => return Ok(VersionChange::Gone),
            }
            loop {
                let conflict = {
                    let gate = exec.database.gate(table.table.oid());
                    let _held = gate.lock().unwrap_or_else(base::sync::PoisonError::into_inner);
                    match unique::conflict(&table, new, Some(old), exec)? {
                        None => {
                            break table.table.update_version(exec.transaction, tid, &values)?;
                        }
                        Some(conflict) => conflict,
                    }
                };
                match conflict.decides {
                    Some(xid) => exec.transaction.wait_for_end(xid)?,
                    None => return Err(unique::violation(&table, new, conflict.unique)),
                }
            }
        } else {
            table.table.update_version(exec.transaction, tid, &values)?
        };
        if let VersionChange::Changed(_) = &changed {
            exec.checks.extend(Check::of_update(&table, old, new));
        }
        Ok(changed)
    }

    fn update(
        &mut self,
        mut row: Row,
        sets: &[(usize, crate::expr::Expr)],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        let (base, width) = (self.change.base, self.width());
        let table = Rc::clone(&self.change.table);
        loop {
            let Datum::Tid(tid) = row[base + width] else { return Ok(()) };
            let old = row[base..base + width].to_vec();
            let mut new = old.clone();
            for (column, expr) in sets {
                new[*column] = expr.eval(exec, &Rows { row: &row, outer })?;
            }
            self.rules.apply(&table, &mut new, exec)?;
            match self.put(&old, &new, tid, exec)? {
                VersionChange::Changed(tid) => {
                    row[base..base + width].clone_from_slice(&new);
                    row[base + width] = Datum::Tid(tid);
                    return self.return_row(&row, exec, outer);
                }
                VersionChange::Gone => return Ok(()),
                VersionChange::Newer(newer) => {
                    replace(&table, base, &newer, &mut row)?;
                    if !is_wanted(&self.change.input, &mut row, exec, outer)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn delete(
        &mut self,
        mut row: Row,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        let (base, width) = (self.change.base, self.width());
        let table = Rc::clone(&self.change.table);
        loop {
            let Datum::Tid(tid) = row[base + width] else { return Ok(()) };
            let deleted = table.table.delete_version(exec.transaction, tid).map_err(|error| {
                let error = SqlError::from(error);
                SqlError {
                    message: error.message.replace("tuple to be updated", "tuple to be deleted"),
                    ..error
                }
            });
            match deleted? {
                VersionChange::Changed(_) => {
                    exec.checks.extend(Check::of_delete(&table, &row[base..base + width]));
                    return self.return_row(&row, exec, outer);
                }
                VersionChange::Gone => return Ok(()),
                VersionChange::Newer(newer) => {
                    replace(&table, base, &newer, &mut row)?;
                    if !is_wanted(&self.change.input, &mut row, exec, outer)? {
                        return Ok(());
                    }
                }
            }
        }
    }
}
