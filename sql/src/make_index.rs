//! Indexes made and dropped.
//!
//! Invariants: an index is made while nobody writes to its table, and dropped while nobody uses it. What an index computes
//! of the rows that are there is worked out here, as for every row that is put in later. An index of a table that is divided
//! is one of each of its partitions, too. Sources: `indexcmds.c`, `tablecmds.c`.

use std::rc::Rc;

use engine::{Computed, IndexColumn, IndexDefinition, TableLockMode, Transaction, WaitPolicy};
use sqlparser::ast;

use crate::analyze::Analyzer;
use crate::backend::Backend;
use crate::class;
use crate::constraint::unique;
use crate::ddl::depended_on;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::index::{IndexDef, KeyExpr, key_values};
use crate::plan::Program;
use crate::table::{Parts, TableDef, object_name};
use crate::types::{Datum, StoredRow, Type};

impl<'e> Backend<'_, 'e> {
    /// Makes indexes on a table that its maker has just made.
    pub(crate) fn make_indexes(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &Rc<TableDef>,
        indexes: &[IndexDef],
    ) -> Result<()> {
        indexes.iter().try_for_each(|index| self.make_index(transaction, def, index))
    }

    /// Makes an index with an entry for each row that is there.
    fn make_index(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &Rc<TableDef>,
        index: &IndexDef,
    ) -> Result<()> {
        let exprs = Analyzer::new(transaction, self.database).key(def, &index.key)?;
        let key_types: Vec<Type> = exprs.iter().map(|expr| expr.of).collect();
        let (mut key, mut computing) = (Vec::new(), Vec::new());
        for (part, expr) in index.key.iter().zip(exprs) {
            let column = part.element.column().unwrap_or_else(|| {
                computing.push(expr);
                def.columns.len() + computing.len() - 1
            });
            let (descending, nulls_first) = (part.descending, part.nulls_first);
            key.push(IndexColumn { column, descending, nulls_first });
        }
        let computed = computing.iter().map(|expr| {
            let of = expr.of.stored().ok_or_else(|| {
                SqlError::not_supported(format!("a key of type {}", expr.of.name()))
            })?;
            Ok(Computed { of, reads: expr.reads() })
        });
        let definition = IndexDefinition {
            name: self.free_name(transaction, index),
            key,
            included: index.included.clone(),
            is_unique: index.is_unique,
            is_primary: index.is_primary,
            computed: computed.collect::<Result<_>>()?,
            text: index.text(),
        };
        let types: Vec<Type> = computing.iter().map(|expr| expr.of).collect();
        let nothing = Program::nothing();
        let (database, state) = (self.database, &mut self.state);
        // What SQL has against a row ends the making.
        let mut refused = None;
        let made = transaction.create_computed_index(
            &def.table,
            &definition,
            &mut |transaction, row, give| {
                let mut exec = Exec::new(&nothing, transaction, database, state);
                let values = computed_of(&computing, def, row, &mut exec);
                let values = values.and_then(|values| {
                    let stored = StoredRow::new(&values, &types);
                    Ok(give(&stored.values()?))
                });
                values.unwrap_or_else(|error| {
                    refused = Some(error);
                    let (index, table) = (definition.name.clone(), def.name().to_owned());
                    Err(engine::Error::NotComputed { index, table })
                })
            },
        );
        match (made, refused) {
            (_, Some(error)) => Err(error),
            (Ok(made), None) => class::insert_index(transaction, &made),
            (Err(engine::Error::NotUnique { key, .. }), None) => {
                let key = key.into_iter().zip(&key_types).map(|(text, of)| {
                    // The zone is UTC.
                    if *of == Type::Timestamp { text.replace("+00", "") } else { text }
                });
                Err(unique::not_unique(def, index, &definition.name, key.collect()))
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    /// The name of a new index: one that nobody has, if it is named by us (`ChooseRelationName`).
    fn free_name(&self, transaction: &mut Transaction<'_, 'e>, index: &IndexDef) -> String {
        let mut name = index.name.clone();
        if !index.is_named_by_us {
            return name;
        }
        for number in 1.. {
            if transaction.relation_number(&name).is_none() {
                break;
            }
            name = format!("{}{number}", index.name);
        }
        name
    }

    /// `CREATE INDEX`
    pub(crate) fn create_index(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        create: &ast::CreateIndex,
    ) -> Result<()> {
        let table = object_name(&create.table_name)?;
        transaction.open_table(&table, TableLockMode::Share, WaitPolicy::Wait)?;
        let def = self.database.table(transaction, &table)?;
        class::refuse_system(&def)?;
        let parts = def.parts();
        let name = create.name.as_ref().map(object_name).transpose()?;
        if create.if_not_exists
            && let Some(name) = &name
            && transaction.relation_number(name).is_some()
        {
            let message = format!("relation \"{name}\" already exists, skipping");
            self.notice("NOTICE", "42P07", message);
            return Ok(());
        }
        let key = parts.index_key(&create.columns)?;
        let included = parts.included_columns(&create.include)?;
        Analyzer::new(transaction, self.database).key(&def, &key)?;
        let is_btree = create.using.as_ref().is_none_or(|using| *using == ast::IndexType::BTree);
        if create.predicate.is_some() || !is_btree {
            if create.unique {
                let what = if is_btree { "WHERE" } else { "USING" };
                return Err(SqlError::not_supported(format!("a unique index with {what}")));
            }
            // It would change no result.
            return Ok(());
        }
        let is_named_by_us = name.is_none();
        let name = name.unwrap_or_else(|| parts.index_name(&table, &key, &included));
        let index = IndexDef {
            name,
            is_named_by_us,
            key,
            included,
            is_unique: create.unique,
            is_primary: false,
            is_constraint: false,
            made: None,
        };
        let mut with_it = parts;
        with_it.indexes.push(index.clone());
        with_it.check_divided(&table)?;
        self.make_index(transaction, &def, &index)?;
        if def.kinship.divided.is_some() {
            for child in self.database.children(transaction, &table)? {
                self.index_partition(transaction, child.name(), &index)?;
            }
        }
        Ok(())
    }

    /// Gives a partition an index of the table that it is of, if it has none of the kind.
    fn index_partition(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
        index: &IndexDef,
    ) -> Result<()> {
        transaction.open_table(name, TableLockMode::Share, WaitPolicy::Wait)?;
        let def = self.database.table(transaction, name)?;
        if !def.indexes.iter().any(|known| known.is_like(index)) {
            let mut parts = Parts::default();
            parts.columns.clone_from(&def.columns);
            parts.add_index_like(name, index)?;
            self.make_indexes(transaction, &def, &parts.indexes)?;
        }
        if def.kinship.divided.is_some() {
            for child in self.database.children(transaction, name)? {
                self.index_partition(transaction, child.name(), index)?;
            }
        }
        Ok(())
    }

    /// `DROP INDEX`
    pub(crate) fn drop_indexes(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        names: &[ast::ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        for name in names {
            let name = object_name(name)?;
            let Ok((_, table)) = transaction.index(&name) else {
                if transaction.relation_number(&name).is_some() {
                    let message = format!("\"{name}\" is not an index");
                    let hint = "Use DROP TABLE to remove a table.";
                    return Err(SqlError::new("42809", message).hint(hint));
                }
                let message = format!("index \"{name}\" does not exist");
                if !if_exists {
                    return Err(SqlError::new("42704", message));
                }
                self.notice("NOTICE", "00000", format!("{message}, skipping"));
                continue;
            };
            let table = table.name().to_owned();
            let def = self.table_to_change(transaction, &table)?;
            let Some(index) = def.indexes.iter().find(|index| index.name == name) else {
                let message = format!("index \"{name}\" does not exist");
                return Err(SqlError::new("42704", message));
            };
            if index.is_constraint {
                let on = format!("constraint {name} on table {table}");
                let message = format!("cannot drop index {name} because {on} requires it");
                let hint = format!("You can drop {on} instead.");
                return Err(SqlError::new("2BP01", message).hint(hint));
            }
            if let Some(partition) = &def.kinship.partition_of {
                let parent = self.database.table(transaction, &partition.parent)?;
                if let Some(of) = parent.indexes.iter().find(|known| known.is_like(index)) {
                    let message =
                        format!("cannot drop index {name} because index {} requires it", of.name);
                    let hint = format!("You can drop index {} instead.", of.name);
                    return Err(SqlError::new("2BP01", message).hint(hint));
                }
            }
            self.free_of_dependents(transaction, &def, index, cascade)?;
            self.drop_with_partitions(transaction, &def, index)?;
        }
        Ok(())
    }

    /// Drops an index, and those of its table's partitions that are part of it.
    fn drop_with_partitions(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &Rc<TableDef>,
        index: &IndexDef,
    ) -> Result<()> {
        if def.kinship.divided.is_some() {
            for child in self.database.children(transaction, def.name())? {
                let child = self.table_to_change(transaction, child.name())?;
                if let Some(part) = child.indexes.iter().find(|known| known.is_like(index)) {
                    self.drop_with_partitions(transaction, &child, part)?;
                }
            }
        }
        Ok(transaction.drop_index(&index.name)?)
    }

    /// Drops the foreign keys that need an index, or refuses to drop it: those, or constraints of partitions whose own index
    /// is part of it.
    fn free_of_dependents(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &Rc<TableDef>,
        index: &IndexDef,
        cascade: bool,
    ) -> Result<()> {
        let mut dependents = Vec::new();
        self.dependents(transaction, def, index, &mut dependents)?;
        if !cascade && !dependents.is_empty() {
            let detail =
                dependents.iter().map(|one| format!("{} depends on index {}", one.what(), one.on));
            let detail: Vec<String> = detail.collect();
            let message =
                format!("cannot drop index {} because other objects depend on it", index.name);
            return Err(depended_on(message, &detail));
        }
        let keys = dependents.iter().filter(|one| one.is_foreign_key);
        let keys: Vec<_> = keys.map(|key| (key.table.clone(), key.name.clone())).collect();
        self.drop_foreign_keys(transaction, &keys)?;
        self.tell_cascades(dependents.iter().map(Dependent::what).collect());
        Ok(())
    }

    /// The constraints that need an index, or the part of it that a partition has.
    fn dependents(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        def: &Rc<TableDef>,
        index: &IndexDef,
        found: &mut Vec<Dependent>,
    ) -> Result<()> {
        if def.kinship.divided.is_some() {
            for child in self.database.children(transaction, def.name())? {
                let Some(part) = child.indexes.iter().find(|known| known.is_like(index)) else {
                    continue;
                };
                if part.is_constraint && !index.is_constraint {
                    found.push(Dependent::of(index, &child, &part.name, false));
                }
                self.dependents(transaction, &child, part, found)?;
            }
        }
        let is_needed_by = |columns: &[String]| {
            let names: Vec<&String> =
                index.columns().map(|column| &def.columns[column].name).collect();
            let others = def.indexes.iter().filter(|other| other.name != index.name);
            index.is_referable()
                && names.len() == columns.len()
                && names.iter().all(|name| columns.contains(name))
                && !others.clone().any(|other| other.is_referable() && other.has_key_of(index))
        };
        for child in self.database.children_of(transaction, &[def.name()])? {
            for key in &child.foreign_keys {
                if key.parent == def.name() && is_needed_by(&key.parent_columns) {
                    found.push(Dependent::of(index, &child, &key.name, true));
                }
            }
        }
        Ok(())
    }
}

/// A constraint that needs an index.
struct Dependent {
    table: String,
    name: String,
    /// The index, by its name.
    on: String,
    is_foreign_key: bool,
}

impl Dependent {
    fn of(index: &IndexDef, table: &TableDef, name: &str, is_foreign_key: bool) -> Dependent {
        let (table, name, on) = (table.name().to_owned(), name.to_owned(), index.name.clone());
        Dependent { table, name, on, is_foreign_key }
    }

    fn what(&self) -> String {
        format!("constraint {} on table {}", self.name, self.table)
    }
}

/// What an index computes of a stored row.
fn computed_of(
    computing: &[KeyExpr],
    def: &TableDef,
    row: &[engine::heap::Value<'_>],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Vec<Datum>> {
    let values = row.iter().zip(&def.columns);
    let values = values.map(|(value, column)| Datum::of_column(value, column.of));
    key_values(computing, &values.collect::<Result<Vec<_>>>()?, exec)
}

impl IndexDef {
    /// Whether it can be the part of another one that a partition has; what is part of a constraint is one, too
    /// (`CompareIndexInfo`, `DefineIndex`).
    fn is_like(&self, other: &IndexDef) -> bool {
        self.key == other.key
            && self.included == other.included
            && self.is_unique == other.is_unique
            && (self.is_constraint || !other.is_constraint)
    }
}

impl Parts {
    /// An index like one of the table that this is a partition of.
    pub(crate) fn add_index_like(&mut self, table: &str, index: &IndexDef) -> Result<()> {
        if index.is_constraint {
            return self.add_unique(table, None, index.columns().collect(), index.is_primary);
        }
        let name = self.index_name(table, &index.key, &index.included);
        self.indexes.push(IndexDef { name, is_named_by_us: true, made: None, ..index.clone() });
        Ok(())
    }
}
