//! Tables made, changed and dropped.
//!
//! Invariants: a table that gets another definition is made anew and its rows are copied, by the transaction that changes
//! it. A foreign key refers to columns that are unique.

use std::rc::Rc;

use engine::{TableLockMode, Transaction, WaitPolicy};
use sqlparser::ast::{self, AlterTableOperation, ObjectType, Statement};

use crate::backend::{Answer, Backend};
use crate::class;
use crate::error::{Result, SqlError};
use crate::exec::cursor::stored_row;
use crate::index::IndexDef;
use crate::storage;
use crate::table::{Parts, TableDef, ident, object_name, relation_name};
use crate::types::{Modifier, StoredRow, Type};

/// The refusal to drop what others depend on, which `detail` names, a line each.
pub(crate) fn depended_on(message: String, detail: &[String]) -> SqlError {
    let hint = "Use DROP ... CASCADE to drop the dependent objects too.";
    SqlError::new("2BP01", message).detail(detail.join("\n")).hint(hint)
}

impl<'e> Backend<'_, 'e> {
    /// What makes, changes or drops tables; `None` if the statement is no such one.
    pub(crate) fn definition(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        statement: &Statement,
    ) -> Result<Option<Answer>> {
        let tag = match statement {
            Statement::CreateTable(create) => {
                self.refuse_read_only("CREATE TABLE")?;
                return self.create(transaction, create).map(Some);
            }
            Statement::Drop {
                object_type: ObjectType::Table, if_exists, names, cascade, ..
            } => {
                self.refuse_read_only("DROP TABLE")?;
                self.drop_tables(transaction, names, *if_exists, *cascade)?;
                "DROP TABLE"
            }
            Statement::Truncate(truncate) => {
                self.refuse_read_only("TRUNCATE TABLE")?;
                self.truncate(transaction, truncate)?;
                "TRUNCATE TABLE"
            }
            Statement::AlterTable(alter) => {
                self.refuse_read_only("ALTER TABLE")?;
                let name = object_name(&alter.name)?;
                for operation in &alter.operations {
                    self.alter(transaction, &name, operation, alter.only)?;
                }
                "ALTER TABLE"
            }
            Statement::Drop {
                object_type: ObjectType::Index, if_exists, names, cascade, ..
            } => {
                self.refuse_read_only("DROP INDEX")?;
                self.drop_indexes(transaction, names, *if_exists, *cascade)?;
                "DROP INDEX"
            }
            Statement::CreateIndex(create) => {
                self.refuse_read_only("CREATE INDEX")?;
                self.create_index(transaction, create)?;
                "CREATE INDEX"
            }
            _ => return Ok(None),
        };
        Ok(Some(Answer::tag(tag)))
    }

    pub(crate) fn refuse_read_only(&self, what: &str) -> Result<()> {
        if self.state.settings.read_only {
            let message = format!("cannot execute {what} in a read-only transaction");
            return Err(SqlError::new("25006", message));
        }
        Ok(())
    }

    /// `TRUNCATE`: makes tables anew, with those that refer to them if that is asked for.
    fn truncate(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        truncate: &ast::Truncate,
    ) -> Result<()> {
        let mut names = Vec::new();
        for target in &truncate.table_names {
            let (name, only) = relation_name(&target.name)?;
            let family = self.emptied(transaction, &name, target.only || only)?;
            for member in &family.members {
                let name = member.def.name().to_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if truncate.cascade == Some(ast::CascadeOption::Cascade) {
            self.add_referring(transaction, &mut names)?;
        }
        self.refuse_referenced(transaction, &names)?;
        let restarts = truncate.identity == Some(ast::TruncateIdentityOption::Restart);
        for name in names {
            let old = self.database.table(transaction, &name)?;
            let (definition, columns) = (old.table.definition(), old.table.columns());
            transaction.drop_table(&name)?;
            let made = class::make_table(transaction, &name, columns, definition)?;
            if !restarts {
                self.database.keep_counting(old.table.oid(), made.table.oid());
            }
            self.make_indexes(transaction, &made, &old.indexes)?;
        }
        Ok(())
    }

    /// Adds the tables that refer to those that are to be emptied, and those that refer to them, and so on.
    fn add_referring(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        names: &mut Vec<String>,
    ) -> Result<()> {
        loop {
            let parents: Vec<&str> = names.iter().map(String::as_str).collect();
            let children = self.database.children_of(transaction, &parents)?;
            let new = children.iter().map(|child| child.name().to_owned());
            let new: Vec<String> = new.filter(|name| !names.contains(name)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for name in new {
                self.table_to_change(transaction, &name)?;
                self.notice("NOTICE", "00000", format!("truncate cascades to table \"{name}\""));
                names.push(name);
            }
        }
    }

    /// A table that another one refers to is not emptied alone.
    fn refuse_referenced(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        names: &[String],
    ) -> Result<()> {
        let parents: Vec<&str> = names.iter().map(String::as_str).collect();
        for child in self.database.children_of(transaction, &parents)? {
            if names.iter().any(|name| name == child.name()) {
                continue;
            }
            if let Some(key) = child.foreign_keys.iter().find(|key| names.contains(&key.parent)) {
                let (child, parent) = (child.name(), &key.parent);
                let message = "cannot truncate a table referenced in a foreign key constraint";
                return Err(SqlError::new("0A000", message)
                    .detail(format!("Table \"{child}\" references \"{parent}\"."))
                    .hint(format!(
                        "Truncate table \"{child}\" at the same time, or use TRUNCATE ... CASCADE."
                    )));
            }
        }
        Ok(())
    }

    fn create(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        create: &ast::CreateTable,
    ) -> Result<Answer> {
        for (is_there, what) in
            [(create.temporary, "CREATE TEMPORARY TABLE"), (create.like.is_some(), "LIKE")]
        {
            if is_there {
                return Err(SqlError::not_supported(what));
            }
        }
        let name = object_name(&create.name)?;
        if create.if_not_exists && transaction.table(&name).is_ok() {
            let message = format!("relation \"{name}\" already exists, skipping");
            self.notice("NOTICE", "42P07", message);
            return Ok(Answer::tag("CREATE TABLE"));
        }
        if let Some(query) = &create.query {
            return self.create_as(transaction, &name, query);
        }
        let mut parts = self.parts_of(transaction, create)?;
        self.resolve_foreign_keys(transaction, &name, &mut parts)?;
        let definition = parts.text(&name);
        let columns = parts.stored_columns()?;
        let def = class::make_table(transaction, &name, &columns, Some(&definition))?;
        // The primary key is made first.
        parts.indexes.sort_by_key(|index| !index.is_primary);
        self.make_indexes(transaction, &def, &parts.indexes)?;
        // Defaults and checks that make no sense are found now.
        self.check_rules(transaction, &name)?;
        Ok(Answer::tag("CREATE TABLE"))
    }

    fn create_as(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        query: &ast::Query,
    ) -> Result<Answer> {
        let statement = Statement::Query(Box::new(query.clone()));
        let (columns, rows) = self.rows_of(transaction, &statement)?;
        let mut parts = Parts::default();
        for (column, of) in &columns {
            let of = if *of == Type::Unknown { Type::Text } else { *of };
            parts.add_column(column, of);
        }
        let definition = parts.text(name);
        let stored = parts.stored_columns()?;
        let table = class::make_table(transaction, name, &stored, Some(&definition))?;
        let types: Vec<Type> = columns.iter().map(|(_, of)| *of).collect();
        transaction.begin_command()?;
        for row in &rows {
            let stored = StoredRow::new(row, &types);
            table.table.insert(transaction, &stored.values()?)?;
        }
        transaction.end_command();
        Ok(Answer::tag(&format!("SELECT {}", rows.len())))
    }

    /// Finds the columns that foreign keys refer to.
    fn resolve_foreign_keys(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        parts: &mut Parts,
    ) -> Result<()> {
        let mut keys = std::mem::take(&mut parts.foreign_keys);
        for key in &mut keys {
            let (parent_columns, indexes) = if key.parent == name {
                (parts.columns.clone(), parts.indexes.clone())
            } else {
                let parent = self.database.table(transaction, &key.parent)?;
                if parent.kinship.divided.is_some() {
                    let what = "a foreign key that refers to a partitioned table";
                    return Err(SqlError::not_supported(what));
                }
                (parent.columns.clone(), parent.indexes.clone())
            };
            let names_of = |index: &IndexDef| -> Vec<String> {
                index.columns().map(|column| parent_columns[column].name.clone()).collect()
            };
            if key.parent_columns.is_empty() {
                let primary = indexes.iter().find(|index| index.is_primary).ok_or_else(|| {
                    let message =
                        format!("there is no primary key for referenced table \"{}\"", key.parent);
                    SqlError::new("42704", message)
                })?;
                key.parent_columns = names_of(primary);
            }
            for column in &key.parent_columns {
                if !parent_columns.iter().any(|known| known.name == *column) {
                    let message = format!(
                        "column \"{column}\" referenced in foreign key constraint does not exist"
                    );
                    return Err(SqlError::new("42703", message));
                }
            }
            let is_meant = |index: &IndexDef| {
                let names = names_of(index);
                index.is_referable()
                    && names.len() == key.parent_columns.len()
                    && names.iter().all(|name| key.parent_columns.contains(name))
            };
            if !indexes.iter().any(is_meant) {
                let message = format!(
                    "there is no unique constraint matching given keys for referenced table \"{}\"",
                    key.parent
                );
                return Err(SqlError::new("42830", message));
            }
            if key.columns.len() != key.parent_columns.len() {
                let message =
                    "number of referencing and referenced columns for foreign key disagree";
                return Err(SqlError::new("42830", message));
            }
            for (column, parent) in key.columns.iter().zip(&key.parent_columns) {
                let one = &parts.columns[*column];
                let Some(other) = parent_columns.iter().find(|known| known.name == *parent) else {
                    continue;
                };
                if !are_comparable(one.of, other.of) {
                    let message =
                        format!("foreign key constraint \"{}\" cannot be implemented", key.name);
                    let detail = format!(
                        "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                        one.name,
                        other.name,
                        one.of.name(),
                        other.of.name()
                    );
                    return Err(SqlError::new("42804", message).detail(detail));
                }
            }
        }
        parts.foreign_keys = keys;
        Ok(())
    }

    fn drop_tables(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        names: &[ast::ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let names = names.iter().map(object_name).collect::<Result<Vec<_>>>()?;
        let mut doomed: Vec<String> = Vec::new();
        for name in &names {
            match self.table_to_change(transaction, name) {
                // It may be named twice.
                Ok(_) if doomed.contains(name) => {}
                Ok(_) => doomed.push(name.clone()),
                Err(error) if error.code == "42P01" => {
                    let message = format!("table \"{name}\" does not exist");
                    if !if_exists {
                        return Err(SqlError::new("42P01", message));
                    }
                    self.notice("NOTICE", "00000", format!("{message}, skipping"));
                }
                Err(error) => return Err(error),
            }
        }
        let named = doomed.len();
        // What depends on a table that goes, and on which.
        let mut dependents: Vec<(String, String)> = Vec::new();
        for at in 0..named {
            let name = doomed[at].clone();
            self.doom_children(transaction, &name, &mut doomed, &mut dependents)?;
        }
        dependents.reverse();
        let mut keys = Vec::new();
        let parents: Vec<&str> = doomed.iter().map(String::as_str).collect();
        for child in self.database.children_of(transaction, &parents)? {
            if doomed.iter().any(|doomed| doomed == child.name()) {
                continue;
            }
            for key in child.foreign_keys.iter().filter(|key| doomed.contains(&key.parent)) {
                let what = format!("constraint {} on table {}", key.name, child.name());
                dependents.push((what, key.parent.clone()));
                keys.push((child.name().to_owned(), key.name.clone()));
            }
        }
        if !cascade && !dependents.is_empty() {
            let depends = |(what, on): &(String, String)| format!("{what} depends on table {on}");
            let detail: Vec<String> = dependents.iter().map(depends).collect();
            let message = match doomed[..named].as_ref() {
                [name] => format!("cannot drop table {name} because other objects depend on it"),
                _ => {
                    "cannot drop desired object(s) because other objects depend on them".to_owned()
                }
            };
            return Err(depended_on(message, &detail));
        }
        self.drop_foreign_keys(transaction, &keys)?;
        self.tell_cascades(dependents.into_iter().map(|(what, _)| what).collect());
        for name in &doomed {
            transaction.drop_table(name)?;
        }
        Ok(())
    }

    /// Drops foreign keys, each by its table's name and its own.
    pub(crate) fn drop_foreign_keys(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        keys: &[(String, String)],
    ) -> Result<()> {
        for (child, key) in keys {
            let old = self.table_to_change(transaction, child)?;
            let mut parts = old.parts();
            parts.foreign_keys.retain(|known| known.name != *key);
            self.remake(transaction, &old, &parts, None)?;
        }
        Ok(())
    }

    fn alter(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        operation: &AlterTableOperation,
        only: bool,
    ) -> Result<()> {
        let old = self.table_to_change(transaction, name)?;
        let followers = self.followers(transaction, &old, operation, only)?;
        self.alter_alone(transaction, &old, operation)?;
        for follower in followers {
            // What it was given by another parent it has.
            if !self.has_already(transaction, &follower, operation)? {
                self.alter(transaction, &follower, &without_name(operation), false)?;
            }
        }
        Ok(())
    }

    fn alter_alone(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        old: &TableDef,
        operation: &AlterTableOperation,
    ) -> Result<()> {
        let name = old.name();
        let mut parts = old.parts();
        let mut added = None;
        match operation {
            AlterTableOperation::AddConstraint { constraint, .. } => {
                parts.constraint(name, constraint)?;
            }
            AlterTableOperation::AddColumn { column_def, if_not_exists: false, .. } => {
                added = Some(parts.columns.len());
                parts.add_defined_column(name, column_def)?;
            }
            // A fill factor changes no result.
            AlterTableOperation::SetOptionsParens { .. } => return Ok(()),
            other => match storage::set_by(other) {
                Some((column, setting)) => {
                    let columns = parts.stored_columns()?;
                    parts.set_storage(name, &column, &setting)?;
                    if parts.stored_columns()? == columns {
                        return Ok(());
                    }
                }
                None => return Err(SqlError::not_supported(format!("ALTER TABLE {other}"))),
            },
        }
        self.resolve_foreign_keys(transaction, name, &mut parts)?;
        parts.check_divided(name)?;
        self.remake(transaction, old, &parts, added)
    }

    /// A table that is to get another definition: locked before it is read, so that nobody changes its rows or itself
    /// meanwhile.
    pub(crate) fn table_to_change(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
    ) -> Result<Rc<TableDef>> {
        transaction.open_table(name, TableLockMode::AccessExclusive, WaitPolicy::Wait)?;
        let table = self.database.table(transaction, name)?;
        class::refuse_system(&table)?;
        Ok(table)
    }

    /// Makes a table anew with another definition, and copies its rows. It is one of [`Backend::table_to_change`].
    pub(crate) fn remake(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        old: &TableDef,
        parts: &Parts,
        added: Option<usize>,
    ) -> Result<()> {
        let name = old.name().to_owned();
        let mut rows = Vec::new();
        // Nobody else is at work on the table: these are the newest versions, whatever the transaction's snapshot shows.
        for dirty in old.table.scan_dirty(transaction)? {
            let mut row = stored_row(old, &dirty.row)?;
            row.truncate(old.columns.len());
            rows.push(row);
        }
        transaction.drop_table(&name)?;
        let definition = parts.text(&name);
        let columns = parts.stored_columns()?;
        let def = class::make_table(transaction, &name, &columns, Some(&definition))?;
        self.database.keep_counting(old.table.oid(), def.table.oid());
        if let Some(at) = added {
            self.fill_added(transaction, &def, at, &mut rows)?;
        }
        self.check_rows(transaction, &def, &mut rows).map_err(|error| of_old_rows(error, &name))?;
        let types = def.types();
        transaction.begin_command()?;
        for row in &rows {
            let stored = StoredRow::new(row, &types);
            def.table.insert(transaction, &stored.values()?)?;
        }
        transaction.end_command();
        self.make_indexes(transaction, &def, &parts.indexes)
    }
}

/// What is wrong with rows that were there before a constraint.
fn of_old_rows(error: SqlError, table: &str) -> SqlError {
    let named = |error: &SqlError| error.message.split('"').rev().nth(1).map(str::to_owned);
    let message = match error.code {
        "23514" => named(&error).map(|name| {
            format!("check constraint \"{name}\" of relation \"{table}\" is violated by some row")
        }),
        "23502" => error.message.split('"').nth(1).map(|column| {
            format!("column \"{column}\" of relation \"{table}\" contains null values")
        }),
        _ => None,
    };
    match message {
        Some(message) => SqlError { message, detail: None, ..error },
        None => error,
    }
}

/// What a child gets of a unique constraint of its parent: one of a name of its own.
fn without_name(operation: &AlterTableOperation) -> AlterTableOperation {
    let mut operation = operation.clone();
    if let AlterTableOperation::AddConstraint { constraint, .. } = &mut operation {
        match constraint {
            ast::TableConstraint::Unique(key) => key.name = None,
            ast::TableConstraint::PrimaryKey(key) => key.name = None,
            _ => {}
        }
    }
    operation
}

/// Whether there is an `=` of two types.
fn are_comparable(one: Type, other: Type) -> bool {
    one == other
        || one.is_number() && other.is_number()
        || one.is_string() && other.is_string()
        || crate::cast::is_implicit(one, other)
        || crate::cast::is_implicit(other, one)
}

impl TableDef {
    /// What its definition says.
    pub(crate) fn parts(&self) -> Parts {
        Parts {
            columns: self.columns.clone(),
            indexes: self.indexes.clone(),
            checks: self.checks.clone(),
            foreign_keys: self.foreign_keys.clone(),
            kinship: self.kinship.clone(),
        }
    }
}

impl Parts {
    fn add_column(&mut self, name: &str, of: Type) {
        self.columns.push(crate::table::ColumnDef {
            name: name.to_owned(),
            of,
            modifier: Modifier::None,
            not_null: false,
            default: None,
            is_generated: false,
            is_serial: false,
            storage: None,
            compression: None,
        });
    }

    /// A column as `CREATE TABLE` and `ADD COLUMN` define it.
    fn add_defined_column(&mut self, table: &str, column: &ast::ColumnDef) -> Result<()> {
        let name = ident(&column.name);
        if self.columns.iter().any(|known| known.name == name) {
            let message = format!("column \"{name}\" of relation \"{table}\" already exists");
            return Err(SqlError::new("42701", message));
        }
        let at = self.columns.len();
        self.add_column_type(name, &column.data_type)?;
        for option in &column.options {
            self.column_option(table, at, option.name.as_ref().map(ident), &option.option)?;
        }
        Ok(())
    }
}
