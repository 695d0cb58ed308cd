//! A table with the tables whose rows are also its: those that inherit from it, or its partitions.
//!
//! Invariants: the columns of the one that was named are those of the whole family, each member's rows in their order. A
//! table that is divided has no rows of its own. Sources: `pg_inherits.c`, `inherit.c`.

use std::rc::Rc;

use engine::Transaction;

use crate::database::Database;
use crate::error::{Result, SqlError};
use crate::exec::Row;
use crate::exec::cursor::stored_row;
use crate::partition::{Part, Partitioned};
use crate::table::{TableDef, may_be_child_of};
use crate::types::Datum;

/// How many places of a row stand behind the columns of each of its tables: `ctid`, `tableoid`, and the whole row if the
/// member's columns are not the family's.
pub(crate) const HIDDEN: usize = 3;

/// A table with its children and theirs.
#[derive(Debug)]
pub(crate) struct Family {
    /// The one that was named.
    pub(crate) head: Rc<TableDef>,
    /// Those whose rows are read, in the order in which they are.
    pub(crate) members: Vec<Member>,
    /// Which of them takes a new row, if the head is divided.
    pub(crate) partitions: Option<Partitioned>,
}

/// A table of a family.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) def: Rc<TableDef>,
    /// Where it has each of the head's columns, if it has more or in another order.
    pub(crate) places: Option<Vec<usize>>,
}

impl Family {
    /// A table alone.
    pub(crate) fn alone(head: Rc<TableDef>) -> Family {
        let is_divided = head.kinship.divided.is_some();
        let member = Member { def: Rc::clone(&head), places: None };
        let members = if is_divided { Vec::new() } else { vec![member] };
        Family { head, members, partitions: None }
    }

    /// How many columns it has.
    pub(crate) fn width(&self) -> usize {
        self.head.columns.len()
    }

    /// Which member is the table of this number.
    pub(crate) fn position(&self, oid: u32) -> Option<usize> {
        self.members.iter().position(|member| member.def.table.oid() == oid)
    }

    /// A row's member, by its position, and its place, with `base` where the family's columns begin; `None` where an outer
    /// join put nulls.
    pub(crate) fn whose(&self, row: &[Datum], base: usize) -> Option<(usize, base::Tid)> {
        let hidden = base + self.width();
        let (Datum::Tid(tid), Datum::Oid(oid)) = (&row[hidden], &row[hidden + 1]) else {
            return None;
        };
        Some((self.position(*oid)?, *tid))
    }
}

impl Member {
    fn of(head: &TableDef, def: Rc<TableDef>) -> Result<Member> {
        let place = |name: &str| {
            def.column(name).ok_or_else(|| {
                let message = format!("table \"{}\" lacks column \"{name}\"", def.name());
                SqlError::new("XX001", message)
            })
        };
        let places = head.columns.iter().map(|column| place(&column.name));
        let places = places.collect::<Result<Vec<_>>>()?;
        let is_same = places.len() == def.columns.len() && places.is_sorted();
        Ok(Member { def, places: (!is_same).then_some(places) })
    }

    /// A stored row as the family has it, with what stands hidden behind it.
    pub(crate) fn stored_row(&self, row: &engine::Row) -> Result<Row> {
        Ok(self.shown(stored_row(&self.def, row)?, row.tid()))
    }

    /// The member's row as the family has it, with what stands hidden behind it.
    pub(crate) fn shown(&self, values: Row, tid: base::Tid) -> Row {
        let (mut row, whole) = match &self.places {
            None => (values, Datum::Null),
            Some(places) => {
                let row = places.iter().map(|at| values[*at].clone()).collect();
                (row, Datum::Record(values))
            }
        };
        row.extend([Datum::Tid(tid), Datum::Oid(self.def.table.oid()), whole]);
        row
    }

    /// The member's own row, from one that has the family's columns at `base`.
    pub(crate) fn whole(&self, row: &[Datum], base: usize, width: usize) -> Row {
        match &row[base + width + 2] {
            Datum::Record(whole) => whole.clone(),
            _ => row[base..base + width].to_vec(),
        }
    }

    /// Where the member has one of the family's columns.
    pub(crate) fn place(&self, column: usize) -> usize {
        self.places.as_ref().map_or(column, |places| places[column])
    }
}

impl<'e> Database<'e> {
    /// A table with its children, or `only` it.
    pub(crate) fn family(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        only: bool,
    ) -> Result<Rc<Family>> {
        let head = self.table(transaction, name)?;
        if only {
            return Ok(Rc::new(Family::alone(head)));
        }
        if head.kinship.divided.is_some() {
            let partitions = self.partitioned(transaction, &head)?;
            let leaves = partitions.leaves().into_iter();
            let members = leaves.map(|def| Member { def, places: None }).collect();
            return Ok(Rc::new(Family { head, members, partitions: Some(partitions) }));
        }
        let mut found = vec![Rc::clone(&head)];
        found.append(&mut self.descendants(transaction, name)?);
        let members = found.into_iter().map(|def| Member::of(&head, def));
        let members = members.collect::<Result<Vec<_>>>()?;
        Ok(Rc::new(Family { head, members, partitions: None }))
    }

    /// The children of a table, then theirs, and so on.
    pub(crate) fn descendants(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
    ) -> Result<Vec<Rc<TableDef>>> {
        let mut found = self.children(transaction, name)?;
        let mut at = 0;
        while at < found.len() {
            let name = found[at].name().to_owned();
            for child in self.children(transaction, &name)? {
                if !found.iter().any(|known| known.table.oid() == child.table.oid()) {
                    found.push(child);
                }
            }
            at += 1;
        }
        Ok(found)
    }

    /// The tables that inherit from one, or its partitions, in the order in which they were made.
    pub(crate) fn children(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        parent: &str,
    ) -> Result<Vec<Rc<TableDef>>> {
        let may_be_child = may_be_child_of(parent);
        let mut names: Vec<(u32, String)> = transaction
            .tables()
            .iter()
            .filter(|table| may_be_child(table))
            .map(|table| (table.oid(), table.name().to_owned()))
            .collect();
        names.sort_unstable();
        let mut children = Vec::with_capacity(names.len());
        for (_, name) in names {
            let def = match self.table(transaction, &name) {
                // It was dropped while its lock was waited for.
                Err(error) if error.code == "42P01" => continue,
                found => found?,
            };
            let partition = def.kinship.partition_of.as_ref();
            if partition.is_some_and(|partition| partition.parent == parent)
                || def.kinship.parents.iter().any(|known| known == parent)
            {
                children.push(def);
            }
        }
        Ok(children)
    }

    /// A table that is divided, with its partitions and theirs.
    pub(crate) fn partitioned(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        head: &Rc<TableDef>,
    ) -> Result<Partitioned> {
        let key = head.kinship.divided.clone();
        let key = key.ok_or_else(|| {
            let message = format!("\"{}\" is not partitioned", head.name());
            SqlError::new("42P17", message)
        })?;
        let mut parts = Vec::new();
        for child in self.children(transaction, head.name())? {
            let Some(partition) = child.kinship.partition_of.clone() else { continue };
            let part = match child.kinship.divided {
                None => Part::Leaf(child),
                Some(_) => Part::Divided(Box::new(self.partitioned(transaction, &child)?)),
            };
            parts.push((partition.bound, part));
        }
        Partitioned::of(Rc::clone(head), key, parts)
    }

    /// The tables that a partition is of, each with what it has of partitions, the nearest first.
    pub(crate) fn ancestors(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        def: &TableDef,
    ) -> Result<Vec<Partitioned>> {
        let mut ancestors: Vec<Partitioned> = Vec::new();
        let mut partition = def.kinship.partition_of.clone();
        while let Some(of) = partition {
            let parent = self.table(transaction, &of.parent)?;
            partition = parent.kinship.partition_of.clone();
            ancestors.push(self.partitioned(transaction, &parent)?);
        }
        Ok(ancestors)
    }
}
