//! The tables of a family that a change puts rows into: which one takes a row, and what it asks of it.
//!
//! Invariant: a table that is a partition takes no row that its bounds do not have, whether it was named itself or the
//! table that it is of. Sources: `execPartition.c`, `ExecConstraints`, `ExecPartitionCheck`.

use std::rc::Rc;

use super::Exec;
use crate::constraint::{Rules, failing_row};
use crate::error::{Result, SqlError};
use crate::family::{Family, Member};
use crate::index::IndexDef;
use crate::partition::Partitioned;
use crate::plan::OnConflict;
use crate::types::Datum;

/// What a change works on; members are named by their numbers in the family.
pub(super) struct Targets {
    family: Rc<Family>,
    /// Of each member, if rows are put in.
    rules: Vec<Rules>,
    /// What the head is a partition of, and what that is, and so on.
    above: Vec<Partitioned>,
}

impl Targets {
    pub(super) fn of(family: &Rc<Family>, exec: &mut Exec<'_, '_, '_, '_>) -> Result<Targets> {
        let above = exec.database.ancestors(exec.transaction, &family.head)?;
        let rules = family.members.iter().map(|member| Rules::of(&member.def, exec));
        let rules = rules.collect::<Result<_>>()?;
        Ok(Targets { family: Rc::clone(family), rules, above })
    }

    /// Those of a change that puts no rows in.
    pub(super) fn of_delete(family: &Rc<Family>) -> Targets {
        Targets { family: Rc::clone(family), rules: Vec::new(), above: Vec::new() }
    }

    pub(super) fn member(&self, at: usize) -> &Member {
        &self.family.members[at]
    }

    pub(super) fn number(&self, oid: u32) -> Result<usize> {
        self.family
            .position(oid)
            .ok_or_else(|| SqlError::new("XX000", format!("table {oid} is none of the family")))
    }

    /// The member that takes a new row.
    ///
    /// # Errors
    /// `23514` if none does.
    pub(super) fn for_new(&self, row: &[Datum]) -> Result<usize> {
        match &self.family.partitions {
            None => self.number(self.family.head.table.oid()),
            Some(partitions) => {
                self.refuse_outside(row)?;
                self.number(partitions.leaf(row)?.table.oid())
            }
        }
    }

    /// Whether a row with new values stays in its member; false if another partition takes it, or none.
    ///
    /// # Errors
    /// `23514` where the member was named itself, and does not take it.
    pub(super) fn stays(&self, at: usize, row: &[Datum]) -> Result<bool> {
        match &self.family.partitions {
            None => self.refuse_outside(row).map(|()| true),
            Some(partitions) => {
                let oid = self.member(at).def.table.oid();
                let takes = partitions.leaf(row).is_ok_and(|leaf| leaf.table.oid() == oid);
                Ok(takes && self.is_within(row))
            }
        }
    }

    /// Whether all that the head is a partition of have a row in it.
    fn is_within(&self, row: &[Datum]) -> bool {
        let mut name = self.family.head.name();
        self.above.iter().all(|above| {
            let takes = above.takes(name, row);
            name = above.def.name();
            takes
        })
    }

    fn refuse_outside(&self, row: &[Datum]) -> Result<()> {
        if self.is_within(row) {
            return Ok(());
        }
        let name = self.family.head.name();
        let message = format!("new row for relation \"{name}\" violates partition constraint");
        Err(SqlError::new("23514", message).detail(failing_row(row)))
    }

    /// The unique indexes of a member, by number, that an `ON CONFLICT` is about.
    pub(super) fn arbiters(&self, at: usize, on_conflict: &OnConflict) -> Vec<usize> {
        let (head, indexes) = (&self.family.head.indexes, &self.member(at).def.indexes);
        let is_meant = |index: &IndexDef| match &on_conflict.arbiters {
            None => true,
            Some(named) => named.iter().any(|number| index.has_key_of(&head[*number])),
        };
        let meant = indexes.iter().enumerate();
        let meant = meant.filter(|(_, index)| index.is_unique && is_meant(index));
        meant.map(|(number, _)| number).collect()
    }

    /// What a member asks of its rows.
    pub(super) fn rules(&self, at: usize) -> &Rules {
        &self.rules[at]
    }

    /// Fills generated columns.
    pub(super) fn generate(
        &self,
        at: usize,
        row: &mut [Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        self.rules[at].generate(row, exec)
    }

    /// Whether a row that is in its member's bounds may be stored there.
    pub(super) fn check(
        &self,
        at: usize,
        row: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        self.rules[at].check(&self.member(at).def, row, exec)
    }

    /// Fills generated columns, and looks whether a new row may be stored in a member.
    pub(super) fn prepare(
        &self,
        at: usize,
        row: &mut [Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        self.generate(at, row, exec)?;
        self.check(at, row, exec)?;
        // A partition that was found for it has it in its bounds.
        if self.family.partitions.is_none() { self.refuse_outside(row) } else { Ok(()) }
    }
}
