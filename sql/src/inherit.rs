//! Tables made as children of others, and what is done to a table done to its children.
//!
//! Invariants: a child has all columns of its parents, and their not-null and check constraints; a partition has its
//! parent's columns alone, and its unique keys, which have the columns of the key that divides. Source: `tablecmds.c`.

use std::rc::Rc;

use engine::{TableLockMode, Transaction, WaitPolicy};
use sqlparser::ast::{self, ForValues};

use crate::analyze::Analyzer;
use crate::backend::Backend;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::exec::cursor::stored_row;
use crate::expr::Rows;
use crate::family::Family;
use crate::partition::{Bound, PartitionOf, Partitioned};
use crate::plan::Program;
use crate::storage::{self, conflict};
use crate::table::{ColumnDef, Parts, TableDef, data_type, ident, object_name};

fn wrong_object(message: String) -> SqlError {
    SqlError::new("42809", message)
}

impl<'e> Backend<'_, 'e> {
    /// What a `CREATE TABLE` says, with what it inherits.
    pub(crate) fn parts_of(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        create: &ast::CreateTable,
    ) -> Result<Parts> {
        let name = object_name(&create.name)?;
        let mut parts = Parts::default();
        let mut conflicting = Vec::new();
        if let Some(parent) = &create.partition_of {
            if !create.columns.is_empty() || !create.constraints.is_empty() {
                return Err(SqlError::not_supported("PARTITION OF with columns or constraints"));
            }
            let parent = object_name(parent)?;
            let bound = create.for_values.as_ref().unwrap_or(&ForValues::Default);
            parts = self.partition(transaction, &name, &parent, bound)?;
        }
        for parent in create.inherits.iter().flatten() {
            let parent = object_name(parent)?;
            self.inherit(transaction, &mut parts, parent, &mut conflicting)?;
        }
        parts.add(create, &mut |name, (column, of)| {
            let message = format!("merging column \"{name}\" with inherited definition");
            self.notice("NOTICE", "00000", message);
            if column.of != of {
                let message = format!("column \"{name}\" has a type conflict");
                return Err(conflict(message, column.of.name(), of.name()));
            }
            Ok(())
        })?;
        for column in conflicting {
            let now = parts.columns.iter().find(|known| known.name == column);
            if now.is_some_and(|now| now.default.is_none()) {
                let message = format!("column \"{column}\" inherits conflicting default values");
                let hint = "To resolve the conflict, specify a default explicitly.";
                return Err(SqlError::new("42611", message).hint(hint));
            }
        }
        parts.check_divided(&name)?;
        Ok(parts)
    }

    /// Takes in what a parent has. Columns whose parents have unequal defaults have none, and are in `conflicting`.
    fn inherit(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        parts: &mut Parts,
        parent: String,
        conflicting: &mut Vec<String>,
    ) -> Result<()> {
        if parts.kinship.parents.contains(&parent) {
            let message = format!("relation \"{parent}\" would be inherited from more than once");
            return Err(SqlError::new("42P07", message));
        }
        let mode = TableLockMode::ShareUpdateExclusive;
        transaction.open_table(&parent, mode, WaitPolicy::Wait)?;
        let def = self.database.table(transaction, &parent)?;
        if def.kinship.divided.is_some() {
            return Err(wrong_object(format!(
                "cannot inherit from partitioned table \"{parent}\""
            )));
        }
        if def.kinship.partition_of.is_some() {
            return Err(wrong_object(format!("cannot inherit from partition \"{parent}\"")));
        }
        for column in &def.columns {
            let name = &column.name;
            let Some(known) = parts.columns.iter_mut().find(|known| known.name == *name) else {
                parts.columns.push(column.clone());
                continue;
            };
            let message = format!("merging multiple inherited definitions of column \"{name}\"");
            self.notice("NOTICE", "00000", message);
            if (known.of, known.modifier) != (column.of, column.modifier) {
                let message = format!("inherited column \"{name}\" has a type conflict");
                return Err(conflict(message, known.of.name(), column.of.name()));
            }
            known.merge_storage(column)?;
            known.not_null |= column.not_null;
            match (&known.default, &column.default) {
                (Some(one), Some(other)) if one != other => {
                    known.default = None;
                    conflicting.push(name.clone());
                }
                (None, Some(default)) if !conflicting.contains(name) => {
                    known.default = Some(default.clone());
                }
                _ => {}
            }
        }
        for check in &def.checks {
            match parts.checks.iter().find(|known| known.name == check.name) {
                None => parts.checks.push(check.clone()),
                Some(known) if known.condition == check.condition => {}
                Some(_) => {
                    let message = format!(
                        "check constraint name \"{}\" appears multiple times but with different expressions",
                        check.name
                    );
                    return Err(SqlError::new("42710", message));
                }
            }
        }
        parts.kinship.parents.push(parent);
        Ok(())
    }

    /// What a partition has of its parent.
    fn partition(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        parent: &str,
        written: &ForValues,
    ) -> Result<Parts> {
        let def = self.table_to_change(transaction, parent)?;
        let partitioned = self.database.partitioned(transaction, &def)?;
        let columns = def.kinship.divided.as_ref().map_or(&[][..], |key| &key.columns);
        let bound = Bound::read(written, &mut |at, value| {
            let column = columns.get(at).map(|at| &def.columns[*at]);
            let column = column.ok_or_else(|| {
                let end = match written {
                    ForValues::From { from, .. } if from.len() > columns.len() => "FROM",
                    _ => "TO",
                };
                let message =
                    format!("{end} must specify exactly one value per partitioning column");
                SqlError::new("42P16", message)
            })?;
            self.bound_value(transaction, value, column)
        })?;
        partitioned.check_bound(name, &bound)?;
        self.check_default(transaction, &partitioned, &bound)?;
        let mut parts = Parts { columns: def.columns.clone(), ..Parts::default() };
        parts.checks.clone_from(&def.checks);
        for index in &def.indexes {
            parts.add_index_like(name, index)?;
        }
        parts.kinship.partition_of = Some(PartitionOf { parent: parent.to_owned(), bound });
        Ok(parts)
    }

    /// The text of a value that bounds a partition.
    fn bound_value(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        written: &ast::Expr,
        column: &ColumnDef,
    ) -> Result<Option<String>> {
        let analyzed = Analyzer::new(transaction, self.database).default_of(written, column);
        let expr = analyzed.map_err(|error| match error.code {
            "42804" => {
                let (of, name) = (column.of.name(), &column.name);
                let message =
                    format!("specified value cannot be cast to type {of} for column \"{name}\"");
                SqlError::new("42804", message)
            }
            _ => SqlError {
                message: error.message.replace("DEFAULT expression", "partition bound expression"),
                ..error
            },
        })?;
        let program = Program::nothing();
        let mut exec = Exec::new(&program, transaction, self.database, &mut self.state);
        Ok(expr.eval(&mut exec, &Rows { row: &[], outer: None })?.text())
    }

    /// What a new partition takes must not be in the default one.
    fn check_default(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        partitioned: &Partitioned,
        bound: &Bound,
    ) -> Result<()> {
        let Some(default) = partitioned.default().filter(|_| *bound != Bound::Default) else {
            return Ok(());
        };
        let takes = partitioned.would_take(bound)?;
        let family = self.database.family(transaction, default.name(), false)?;
        for member in &family.members {
            let (def, name) = (&member.def, member.def.name());
            transaction.open_table(name, TableLockMode::AccessExclusive, WaitPolicy::Wait)?;
            // Nobody else is at work on it: these are the newest versions, whatever the transaction's snapshot shows.
            for dirty in def.table.scan_dirty(transaction)? {
                if takes(&stored_row(def, &dirty.row)?) {
                    let message = format!(
                        "updated partition constraint for default partition \"{name}\" would be violated by some row"
                    );
                    return Err(SqlError::new("23514", message));
                }
            }
        }
        Ok(())
    }

    /// The children of a table that is dropped, and theirs, which go with it; those that are no partitions are told, the
    /// last first.
    pub(crate) fn doom_children(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        doomed: &mut Vec<String>,
        dependents: &mut Vec<(String, String)>,
    ) -> Result<()> {
        for child in self.database.children(transaction, name)?.iter().rev() {
            if doomed.iter().any(|doomed| doomed == child.name()) {
                continue;
            }
            doomed.push(child.name().to_owned());
            self.doom_children(transaction, child.name(), doomed, dependents)?;
            // A partition goes without a word.
            if child.kinship.partition_of.is_none() {
                dependents.push((format!("table {}", child.name()), name.to_owned()));
            }
        }
        Ok(())
    }

    /// Whether a child has a column or constraint that its parent is given, which is merged with it.
    pub(crate) fn has_already(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        child: &str,
        operation: &ast::AlterTableOperation,
    ) -> Result<bool> {
        use ast::{AlterTableOperation as Operation, TableConstraint};
        let def = self.database.table(transaction, child)?;
        let message = match operation {
            Operation::AddColumn { column_def, .. } => {
                let name = ident(&column_def.name);
                let Some(at) = def.column(&name) else { return Ok(false) };
                let (of, known) = (data_type(&column_def.data_type)?.0, def.columns[at].of);
                if of != known {
                    let message =
                        format!("child table \"{child}\" has different type for column \"{name}\"");
                    return Err(SqlError::new("42804", message));
                }
                format!("merging definition of column \"{name}\" for child \"{child}\"")
            }
            Operation::AddConstraint { constraint: TableConstraint::Check(check), .. } => {
                let Some(name) = check.name.as_ref().map(ident) else { return Ok(false) };
                match def.checks.iter().find(|known| known.name == name) {
                    Some(known) if known.condition == *check.expr => {
                        format!("merging constraint \"{name}\" with inherited definition")
                    }
                    Some(_) => {
                        let message = format!(
                            "constraint \"{name}\" for relation \"{child}\" already exists"
                        );
                        return Err(SqlError::new("42710", message));
                    }
                    None => return Ok(false),
                }
            }
            _ => return Ok(false),
        };
        self.notice("NOTICE", "00000", message);
        Ok(true)
    }

    /// The tables that are emptied with one.
    pub(crate) fn emptied(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        only: bool,
    ) -> Result<Rc<Family>> {
        // Its lock is not made stronger later, which two sessions could not do at once.
        self.table_to_change(transaction, name)?;
        let family = self.database.family(transaction, name, only)?;
        if only && family.head.kinship.divided.is_some() {
            let message = "cannot truncate only a partitioned table".to_owned();
            return Err(wrong_object(message).hint(
                "Do not specify the ONLY keyword, or use TRUNCATE ONLY on the partitions directly.",
            ));
        }
        Ok(family)
    }

    /// The children that a table's new columns and constraints go to as well.
    ///
    /// # Errors
    /// Where the table is a partition and a column is added, or is to be changed without its children.
    pub(crate) fn followers(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &TableDef,
        operation: &ast::AlterTableOperation,
        only: bool,
    ) -> Result<Vec<String>> {
        use ast::{AlterTableOperation as Operation, TableConstraint};
        let adds_column = matches!(operation, Operation::AddColumn { .. });
        let is_inherited = match operation {
            Operation::AddColumn { .. } => true,
            Operation::AddConstraint { constraint, .. } => match constraint {
                TableConstraint::Check(_) => true,
                TableConstraint::PrimaryKey(_) | TableConstraint::Unique(_) => {
                    def.kinship.divided.is_some()
                }
                _ => false,
            },
            operation => match storage::set_by(operation) {
                // Children that have it their own way are not asked for: `ONLY` leaves them as they are.
                Some((_, storage::Setting::Storage(_))) => !only,
                _ => false,
            },
        };
        if !is_inherited {
            return Ok(Vec::new());
        }
        let children = self.database.children(transaction, def.name())?;
        if only && !children.is_empty() {
            let what = if adds_column { "column" } else { "constraint" };
            let message = format!("{what} must be added to child tables too");
            return Err(SqlError::new("42P16", message));
        }
        Ok(children.iter().map(|child| child.name().to_owned()).collect())
    }
}

impl Parts {
    /// Whether a table that is divided can have what it has.
    pub(crate) fn check_divided(&self, table: &str) -> Result<()> {
        let Some(key) = &self.kinship.divided else { return Ok(()) };
        if !self.foreign_keys.is_empty() {
            return Err(SqlError::not_supported("a foreign key of a partitioned table"));
        }
        if let Some(column) = key.columns.iter().find(|at| self.columns[**at].is_generated) {
            let name = &self.columns[*column].name;
            let message = "cannot use generated column in partition key";
            let detail = format!("Column \"{name}\" is a generated column.");
            return Err(SqlError::new("42P17", message).detail(detail));
        }
        for unique in self.indexes.iter().filter(|index| index.is_unique) {
            let lacks = |at: &&usize| !unique.columns().any(|column| column == **at);
            let Some(lacking) = key.columns.iter().find(lacks) else {
                continue;
            };
            let kind = if unique.is_primary { "PRIMARY KEY" } else { "UNIQUE" };
            let name = &self.columns[*lacking].name;
            let message =
                "unique constraint on partitioned table must include all partitioning columns";
            return Err(SqlError::new("0A000", message).detail(format!(
                "{kind} constraint on table \"{table}\" lacks column \"{name}\" which is part of the partition key."
            )));
        }
        Ok(())
    }
}
