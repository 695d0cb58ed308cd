//! Rows inserted, updated and deleted.
//!
//! ```text
//! insert   row ─► defaults, generated columns, checks ─► ON CONFLICT: who has its key? ─► in ─► into the indexes, waiting
//!          for who may have its key
//! update   row that the snapshot shows ─► new values ─► changed, if it is still the newest version; else, at read
//!          committed: newer version ─► still wanted? ─► new values from it, and again
//!          new values that another partition takes ─► gone from here, and in there
//! ```
//!
//! Invariant: a row is changed once by a command. What foreign keys ask is left for the end of the statement.

use std::collections::HashSet;
use std::rc::Rc;

use base::{Oid, Tid};
use engine::{InsertOutcome, RowLock, RowLocked, VersionChange, WaitPolicy};

use super::cursor::{Cursor, evaluated};
use super::recheck::{is_wanted, replace};
use super::target::Targets;
use super::{Exec, Row};
use crate::constraint::unique::{self, Conflict, with_computed};
use crate::constraint::{Check, Rules};
use crate::error::{Result, SqlError};
use crate::expr::{Expr, Rows};
use crate::index::IndexDef;
use crate::plan::{Change, ChangeKind, OnConflict};
use crate::table::TableDef;
use crate::types::{Datum, StoredRow};

/// Makes a change; what it returns.
pub(crate) fn change(
    change: &Change,
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<Vec<Row>> {
    let targets = match change.kind {
        ChangeKind::Delete => Targets::of_delete(&change.family),
        _ => Targets::of(&change.family, exec)?,
    };
    let mut making =
        Making { change, targets, returned: Vec::new(), count: 0, touched: HashSet::new() };
    let mut input = Cursor::open(&change.input, exec, outer)?;
    while let Some(row) = input.next(exec, outer)? {
        match &change.kind {
            ChangeKind::Insert { on_conflict } => {
                making.insert(row, on_conflict.as_ref(), exec, outer)?;
            }
            ChangeKind::Update { sets } => making.update(row, sets, exec, outer)?,
            ChangeKind::Delete => making.delete(row, exec, outer)?,
            ChangeKind::Merge { whens } => making.merge(row, whens, exec, outer)?,
        }
    }
    exec.changed = making.count;
    Ok(making.returned)
}

/// A change that is being made.
pub(super) struct Making<'p> {
    pub(super) change: &'p Change,
    targets: Targets,
    returned: Vec<Row>,
    count: u64,
    /// Rows that the command must not come to again, by their tables: those that an `INSERT ... ON CONFLICT` has put in or
    /// updated, and those that a `MERGE` has changed, where its snapshot shows them.
    pub(super) touched: HashSet<(Oid, Tid)>,
}

impl Making<'_> {
    pub(super) fn return_row(
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

    pub(super) fn insert(
        &mut self,
        mut row: Row,
        on_conflict: Option<&OnConflict>,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        let at = self.targets.for_new(&row)?;
        self.targets.prepare(at, &mut row, exec)?;
        if let Some(tid) = self.put_in(at, &row, on_conflict, exec, outer)? {
            let row = self.targets.member(at).shown(row, tid);
            self.return_row(&row, exec, outer)?;
        }
        Ok(())
    }

    /// Puts a new row into a member; `None` if something else was done about a row with the same key.
    fn put_in(
        &mut self,
        at: usize,
        row: &Row,
        on_conflict: Option<&OnConflict>,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Option<Tid>> {
        let table = Rc::clone(&self.targets.member(at).def);
        let types = table.types();
        let stored = StoredRow::new(row, &types);
        let values = stored.values()?;
        let computed = self.targets.rules(at).computed(&table, row, exec)?;
        let arbiters = on_conflict.map_or_else(Vec::new, |on| self.targets.arbiters(at, on));
        let oids: Vec<Oid> = arbiters.iter().map(|index| table.indexes[*index].oid()).collect();
        let tid = loop {
            if let Some(on_conflict) = on_conflict {
                let rules = (&*table, self.targets.rules(at));
                match unique::conflict(rules, &arbiters, row, exec)? {
                    None => {}
                    Some(Conflict { decides: Some(xid), .. }) => {
                        exec.transaction.wait_for_end(xid)?;
                        continue;
                    }
                    Some(conflict) => {
                        if self.resolve(at, row, on_conflict, &conflict, exec, outer)? {
                            return Ok(None);
                        }
                        // It is gone by now.
                        continue;
                    }
                }
            }
            let inserted = with_computed(&computed, |computed| {
                table.table.insert_unless(exec.transaction, &values, computed, &oids)
            })?;
            match inserted {
                Ok(InsertOutcome::Inserted(tid)) => break tid,
                // Somebody else was first.
                Ok(InsertOutcome::Taken(_)) => {}
                Err(error) => {
                    let rules = (&*table, self.targets.rules(at));
                    return Err(unique::refused(error, rules, row, exec));
                }
            }
        };
        if on_conflict.is_some() {
            self.touched.insert((table.table.oid(), tid));
        }
        exec.checks.extend(Check::of_insert(&table, row));
        Ok(Some(tid))
    }

    /// Does what is to be done about a row with the same key; false if that has gone.
    fn resolve(
        &mut self,
        at: usize,
        row: &Row,
        on_conflict: &OnConflict,
        conflict: &Conflict,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<bool> {
        let table = Rc::clone(&self.targets.member(at).def);
        let is_made = self.touched.contains(&(table.table.oid(), conflict.row.tid()));
        let is_visible = table.table.get(exec.transaction, conflict.row.tid())?.is_some();
        if is_made && on_conflict.update.is_some() {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            let hint = "Ensure that no rows proposed for insertion within the same command have duplicate \
                        constrained values.";
            return Err(SqlError::new("21000", message).hint(hint));
        }
        // A row that the snapshot does not show cannot be stepped around.
        if !is_visible && !is_made && exec.keeps_snapshot() {
            let message = "could not serialize access due to concurrent update";
            return Err(SqlError::new("40001", message));
        }
        let Some(update) = &on_conflict.update else { return Ok(true) };
        let keys = table.indexes.iter().filter(|index| index.is_referable());
        let keys: Vec<usize> = keys.flat_map(IndexDef::columns).collect();
        let strength = match update.sets.iter().any(|(column, _)| keys.contains(column)) {
            true => RowLock::Update,
            false => RowLock::NoKeyUpdate,
        };
        let (tid, wait) = (conflict.row.tid(), WaitPolicy::Wait);
        match table.table.lock_row(exec.transaction, tid, strength, wait)? {
            RowLocked::Locked(_) => {}
            // It is looked for again: another row may be in its place, or none.
            RowLocked::Updated(_) | RowLocked::Moved | RowLocked::Gone | RowLocked::Skipped => {
                return Ok(false);
            }
        }
        let mut both = self.targets.member(at).stored_row(&conflict.row)?;
        both.extend_from_slice(row);
        if let Some(condition) = &update.condition
            && !condition.is_true(exec, &Rows { row: &both, outer })?
        {
            return Ok(true);
        }
        let old = both[..row.len()].to_vec();
        let mut new = old.clone();
        for (column, expr) in &update.sets {
            new[*column] = expr.eval(exec, &Rows { row: &both, outer })?;
        }
        self.targets.generate(at, &mut new, exec)?;
        if !self.targets.stays(at, &new)? {
            let detail =
                "The result tuple would appear in a different partition than the original tuple.";
            return Err(SqlError::new("0A000", "invalid ON UPDATE specification").detail(detail));
        }
        self.targets.check(at, &new, exec)?;
        match put((&table, self.targets.rules(at)), &old, &new, conflict.row.tid(), exec)? {
            VersionChange::Changed { tid, .. } => {
                self.touched.insert((table.table.oid(), tid));
                let new = self.targets.member(at).shown(new, tid);
                self.return_row(&new, exec, outer)?;
                Ok(true)
            }
            VersionChange::Newer(_) | VersionChange::Gone => Ok(false),
        }
    }

    fn update(
        &mut self,
        mut row: Row,
        sets: &[(usize, Expr)],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        loop {
            match self.update_once(&mut row, sets, exec, outer)? {
                VersionChange::Changed { .. } => return self.return_row(&row, exec, outer),
                VersionChange::Gone => return Ok(()),
                VersionChange::Newer(newer) if !self.follow(&newer, &mut row, exec, outer)? => {
                    return Ok(());
                }
                VersionChange::Newer(_) => {}
            }
        }
    }

    /// Gives the version of the table's row that a joined row has its new values, which the joined row has then; or moves
    /// it to the partition that takes them.
    pub(super) fn update_once(
        &mut self,
        row: &mut Row,
        sets: &[(usize, Expr)],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<VersionChange> {
        let family = Rc::clone(&self.change.family);
        let base = self.change.base;
        let Some((at, tid)) = family.whose(row, base) else { return Ok(VersionChange::Gone) };
        let member = &family.members[at];
        let old = member.whole(row, base, family.width());
        let mut new = old.clone();
        for (column, expr) in sets {
            new[member.place(*column)] = expr.eval(exec, &Rows { row, outer })?;
        }
        self.targets.generate(at, &mut new, exec)?;
        let stays = self.targets.stays(at, &new)?;
        let changed = if stays {
            self.targets.check(at, &new, exec)?;
            put((&member.def, self.targets.rules(at)), &old, &new, tid, exec)?
        } else {
            member.def.table.move_version(exec.transaction, tid)?
        };
        if let VersionChange::Changed { tid, .. } = changed {
            let shown = if stays {
                member.shown(new, tid)
            } else {
                exec.checks.extend(Check::of_delete(&member.def, &old));
                let to = self.targets.for_new(&new)?;
                self.targets.prepare(to, &mut new, exec)?;
                let tid = self.put_in(to, &new, None, exec, outer)?;
                let tid = tid.ok_or_else(|| SqlError::new("XX000", "no row was put in"))?;
                self.targets.member(to).shown(new, tid)
            };
            row[base..base + shown.len()].clone_from_slice(&shown);
        }
        Ok(changed)
    }

    fn delete(
        &mut self,
        mut row: Row,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        loop {
            let deleted = self.delete_once(&row, exec).map_err(|error| SqlError {
                message: error.message.replace("tuple to be updated", "tuple to be deleted"),
                ..error
            });
            match deleted? {
                VersionChange::Changed { .. } => return self.return_row(&row, exec, outer),
                VersionChange::Gone => return Ok(()),
                VersionChange::Newer(newer) if !self.follow(&newer, &mut row, exec, outer)? => {
                    return Ok(());
                }
                VersionChange::Newer(_) => {}
            }
        }
    }

    /// Deletes the version of the table's row that a joined row has.
    pub(super) fn delete_once(
        &mut self,
        row: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<VersionChange> {
        let (family, base) = (&self.change.family, self.change.base);
        let Some((at, tid)) = family.whose(row, base) else { return Ok(VersionChange::Gone) };
        let member = &family.members[at];
        let deleted = member.def.table.delete_version(exec.transaction, tid)?;
        if let VersionChange::Changed { .. } = deleted {
            let whole = member.whole(row, base, family.width());
            exec.checks.extend(Check::of_delete(&member.def, &whole));
        }
        Ok(deleted)
    }

    /// Puts a newer version of the table's row into a joined one; whether that is still wanted.
    pub(super) fn follow(
        &self,
        newer: &engine::Row,
        row: &mut Row,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<bool> {
        let base = self.change.base;
        let family = &self.change.family;
        let Some((at, _)) = family.whose(row, base) else { return Ok(false) };
        replace(&family.members[at], base, newer, row)?;
        is_wanted(&self.change.input, row, exec, outer)
    }
}

/// Gives a version new values; an error if another row has one of its unique keys.
fn put(
    (table, rules): (&Rc<TableDef>, &Rules),
    old: &[Datum],
    new: &[Datum],
    tid: Tid,
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<VersionChange> {
    let types = table.types();
    let stored = StoredRow::new(new, &types);
    let values = stored.values()?;
    let computed = rules.computed(table, new, exec)?;
    let changed = with_computed(&computed, |computed| {
        table.table.update_version(exec.transaction, tid, &values, computed)
    })?;
    let changed = changed.map_err(|error| unique::refused(error, (&**table, rules), new, exec))?;
    if let VersionChange::Changed { .. } = &changed {
        exec.checks.extend(Check::of_update(table, old, new));
    }
    Ok(changed)
}
