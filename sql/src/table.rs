//! Tables as SQL knows them: columns with their full types and defaults, and constraints.
//!
//! The engine keeps a table's columns; the rest is the text of a `CREATE TABLE` that it keeps beside them
//! ([`Table::definition`]), in which every constraint has a name. This is that text read.
//!
//! Invariant: columns are in the order of the engine's.

use std::rc::Rc;

use engine::heap::Compression;
use engine::{ColumnStorage, Table, TableIndex, Transaction};
use sqlparser::ast::{self, ColumnOption, ReferentialAction, TableConstraint};

use crate::error::{Result, SqlError};
use crate::index::IndexDef;
use crate::parse::{ONLY, Statement, statements, tokens};
use crate::partition::{Bound, PartitionKey, PartitionOf};
use crate::storage::compression_of;
pub(crate) use crate::type_name::{data_type, serial_type, written_type};
use crate::types::{Modifier, Type};

/// A table.
#[derive(Debug)]
pub(crate) struct TableDef {
    pub(crate) table: Table,
    pub(crate) columns: Vec<ColumnDef>,
    /// In the order in which they were made.
    pub(crate) indexes: Vec<IndexDef>,
    pub(crate) checks: Vec<Check>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) kinship: Kinship,
}

/// What a table has to do with others whose rows are also its, or whose its rows also are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinship {
    /// Tables that it inherits from, by name.
    pub(crate) parents: Vec<String>,
    pub(crate) partition_of: Option<PartitionOf>,
    /// How it is divided, if it has no rows but those of its partitions.
    pub(crate) divided: Option<PartitionKey>,
}

#[derive(Debug, Clone)]
pub(crate) struct ColumnDef {
    pub(crate) name: String,
    pub(crate) of: Type,
    pub(crate) modifier: Modifier,
    pub(crate) not_null: bool,
    pub(crate) default: Option<ast::Expr>,
    /// Whether the default is what the column always is (`GENERATED ALWAYS AS ... STORED`).
    pub(crate) is_generated: bool,
    /// Whether it counts by itself (`serial`).
    pub(crate) is_serial: bool,
    /// Where its long values go, if that is said.
    pub(crate) storage: Option<ColumnStorage>,
    /// How they are compressed, if that is said.
    pub(crate) compression: Option<Compression>,
}

#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) condition: ast::Expr,
}

#[derive(Debug, Clone)]
pub(crate) struct ForeignKey {
    pub(crate) name: String,
    pub(crate) columns: Vec<usize>,
    /// The table that is referred to.
    pub(crate) parent: String,
    /// Its columns, by name.
    pub(crate) parent_columns: Vec<String>,
    pub(crate) on_delete: Action,
    pub(crate) on_update: Action,
    /// Whether it is checked when the transaction ends.
    pub(crate) is_deferred: bool,
}

/// What becomes of a row whose parent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// `NO ACTION`
    Nothing,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

impl TableDef {
    pub(crate) fn name(&self) -> &str {
        self.table.name()
    }

    pub(crate) fn types(&self) -> Vec<Type> {
        self.columns.iter().map(|column| column.of).collect()
    }

    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Reads what the engine keeps of a table.
    pub(crate) fn of(table: Table, transaction: &Transaction<'_, '_>) -> Result<Rc<TableDef>> {
        let made = table.all_indexes(transaction);
        let Some(definition) = table.definition() else {
            // Made without SQL.
            let column = |column: &engine::Column| ColumnDef {
                name: column.name.clone(),
                of: crate::class::column_type(table.oid(), column.column_type),
                modifier: Modifier::None,
                not_null: column.not_null,
                default: None,
                is_generated: false,
                is_serial: false,
                storage: Some(column.storage),
                compression: column.compression,
            };
            let columns: Vec<ColumnDef> = table.columns().iter().map(column).collect();
            let indexes = indexes_of(made, &columns)?;
            return Ok(Rc::new(TableDef {
                table,
                columns,
                indexes,
                checks: Vec::new(),
                foreign_keys: Vec::new(),
                kinship: Kinship::default(),
            }));
        };
        let damaged = || {
            let message = format!("the definition of table \"{}\" is damaged", table.name());
            SqlError::new("XX001", message)
        };
        let mut read = statements(definition)?;
        let Some(Ok(Statement::Sql(statement))) = read.pop() else { return Err(damaged()) };
        let ast::Statement::CreateTable(create) = *statement else { return Err(damaged()) };
        let parts = Parts::of(&create)?;
        if parts.columns.len() != table.columns().len() {
            return Err(damaged());
        }
        let Parts { mut columns, checks, foreign_keys, kinship, .. } = parts;
        for (column, kept) in columns.iter_mut().zip(table.columns()) {
            (column.storage, column.compression) = (Some(kept.storage), kept.compression);
        }
        let indexes = indexes_of(made, &columns)?;
        Ok(Rc::new(TableDef { table, columns, indexes, checks, foreign_keys, kinship }))
    }
}

fn indexes_of(made: Vec<TableIndex>, columns: &[ColumnDef]) -> Result<Vec<IndexDef>> {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    made.into_iter().map(|made| IndexDef::of(made, &names)).collect()
}

/// Asked about a column that is there already when it is defined again, with a type.
type Merge<'a> = dyn FnMut(&str, (&ColumnDef, Type)) -> Result<()> + 'a;

/// What a `CREATE TABLE` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) indexes: Vec<IndexDef>,
    pub(crate) checks: Vec<Check>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) kinship: Kinship,
}

impl Parts {
    /// What a statement says that is kept: whatever is inherited is in it.
    pub(crate) fn of(create: &ast::CreateTable) -> Result<Parts> {
        let mut parts = Parts::default();
        parts.add(create, &mut |column, _| {
            let message = format!("column \"{column}\" specified more than once");
            Err(SqlError::new("42701", message))
        })?;
        if let Some(parents) = &create.inherits {
            parts.kinship.parents = parents.iter().map(object_name).collect::<Result<_>>()?;
        }
        if let (Some(parent), Some(bound)) = (&create.partition_of, &create.for_values) {
            let (parent, bound) = (object_name(parent)?, Bound::kept(bound)?);
            parts.kinship.partition_of = Some(PartitionOf { parent, bound });
        }
        Ok(parts)
    }

    /// Takes in what a statement says of columns and constraints.
    pub(crate) fn add(&mut self, create: &ast::CreateTable, merge: &mut Merge<'_>) -> Result<()> {
        let table = object_name(&create.name)?;
        let parts = self;
        let mut places = Vec::with_capacity(create.columns.len());
        for column in &create.columns {
            let name = ident(&column.name);
            if let Some(at) = parts.columns.iter().position(|known| known.name == name) {
                if places.contains(&at) {
                    let message = format!("column \"{name}\" specified more than once");
                    return Err(SqlError::new("42701", message));
                }
                let of = match serial_type(&column.data_type) {
                    Some(of) => of,
                    None => data_type(&column.data_type)?.0,
                };
                merge(&name, (&parts.columns[at], of))?;
                places.push(at);
                continue;
            }
            places.push(parts.columns.len());
            parts.add_column_type(name, &column.data_type)?;
        }
        for (at, column) in places.into_iter().zip(&create.columns) {
            for option in &column.options {
                let name = option.name.as_ref().map(ident);
                parts.column_option(&table, at, name, &option.option)?;
            }
        }
        for constraint in &create.constraints {
            parts.constraint(&table, constraint)?;
        }
        if let Some(divided) = &create.partition_by {
            let names: Vec<&str> =
                parts.columns.iter().map(|column| column.name.as_str()).collect();
            parts.kinship.divided = Some(PartitionKey::read(divided, &names)?);
        }
        Ok(())
    }

    /// A column of a type, without options.
    pub(crate) fn add_column_type(&mut self, name: String, written: &ast::DataType) -> Result<()> {
        let serial = serial_type(written);
        let (of, modifier) = match serial {
            Some(of) => (of, Modifier::None),
            None => data_type(written)?,
        };
        if of.stored().is_none() {
            let what = format!("a column of type {}", of.name());
            return Err(SqlError::not_supported(what));
        }
        self.columns.push(ColumnDef {
            name,
            of,
            modifier,
            not_null: serial.is_some(),
            default: None,
            is_generated: false,
            is_serial: serial.is_some(),
            storage: None,
            compression: None,
        });
        Ok(())
    }

    pub(crate) fn column_option(
        &mut self,
        table: &str,
        at: usize,
        name: Option<String>,
        option: &ColumnOption,
    ) -> Result<()> {
        let column = self.columns[at].name.clone();
        match option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => self.columns[at].not_null = true,
            ColumnOption::Default(default) => self.columns[at].default = Some(default.clone()),
            ColumnOption::PrimaryKey(_) => {
                self.add_unique(table, name, vec![at], true)?;
            }
            ColumnOption::Unique(_) => {
                self.add_unique(table, name, vec![at], false)?;
            }
            ColumnOption::Check(check) => self.add_check(
                name.unwrap_or_else(|| format!("{table}_{column}_check")),
                (*check.expr).clone(),
            ),
            ColumnOption::ForeignKey(key) => self.add_foreign_key(table, name, vec![at], key)?,
            ColumnOption::Generated { generation_expr: Some(expr), .. } => {
                self.columns[at].default = Some(expr.clone());
                self.columns[at].is_generated = true;
            }
            ColumnOption::Collation(name) if compression_of(name).is_some() => {
                let name = compression_of(name).unwrap_or_default();
                self.columns[at].compress_by(name)?;
            }
            other => {
                return Err(SqlError::not_supported(format!("the column option {other}")));
            }
        }
        Ok(())
    }

    /// Takes in a constraint of the table.
    pub(crate) fn constraint(&mut self, table: &str, constraint: &TableConstraint) -> Result<()> {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                let columns = self.key_columns(&key.columns)?;
                self.add_unique(table, key.name.as_ref().map(ident), columns, true)
            }
            TableConstraint::Unique(key) => {
                let columns = self.key_columns(&key.columns)?;
                self.add_unique(table, key.name.as_ref().map(ident), columns, false)
            }
            TableConstraint::Check(check) => {
                let name = check.name.as_ref().map(ident);
                let name = name.unwrap_or_else(|| match self.only_column(&check.expr) {
                    Some(column) => format!("{table}_{column}_check"),
                    None => format!("{table}_check"),
                });
                self.add_check(name, (*check.expr).clone());
                Ok(())
            }
            TableConstraint::ForeignKey(key) => {
                let columns = self.named_columns(&key.columns)?;
                self.add_foreign_key(table, key.name.as_ref().map(ident), columns, key)
            }
            other => Err(SqlError::not_supported(format!("the constraint {other}"))),
        }
    }

    /// The column that a condition looks at, if it is one.
    fn only_column(&self, condition: &ast::Expr) -> Option<&str> {
        let tokens = tokens(&condition.to_string()).ok()?;
        let names = tokens.iter().filter_map(|token| match &token.token {
            sqlparser::tokenizer::Token::Word(word) => Some(ident(&ast::Ident {
                value: word.value.clone(),
                quote_style: word.quote_style,
                span: token.span,
            })),
            _ => None,
        });
        let mut found = self.columns.iter().map(|column| column.name.as_str());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names.dedup();
        let first = found.find(|column| names.iter().any(|name| name == column))?;
        let is_alone = !found.any(|column| names.iter().any(|name| name == column));
        is_alone.then_some(first)
    }

    fn named_columns(&self, names: &[ast::Ident]) -> Result<Vec<usize>> {
        let place = |name: &ast::Ident| {
            let name = ident(name);
            let found = self.columns.iter().position(|column| column.name == name);
            found.ok_or_else(|| {
                let message = format!("column \"{name}\" named in key does not exist");
                SqlError::new("42703", message)
            })
        };
        names.iter().map(place).collect()
    }

    /// The columns of a key as constraints have them.
    fn key_columns(&self, written: &[ast::IndexColumn]) -> Result<Vec<usize>> {
        let name = |written: &ast::IndexColumn| match &written.column.expr {
            ast::Expr::Identifier(name) => Ok(name.clone()),
            _ => Err(SqlError::syntax("a constraint's key is made of columns alone")),
        };
        self.named_columns(&written.iter().map(name).collect::<Result<Vec<_>>>()?)
    }

    pub(crate) fn add_unique(
        &mut self,
        table: &str,
        name: Option<String>,
        columns: Vec<usize>,
        is_primary: bool,
    ) -> Result<()> {
        if is_primary && self.indexes.iter().any(|index| index.is_primary) {
            let message = format!("multiple primary keys for table \"{table}\" are not allowed");
            return Err(SqlError::new("42P16", message));
        }
        if is_primary {
            columns.iter().for_each(|column| self.columns[*column].not_null = true);
        }
        let is_named_by_us = name.is_none();
        let name = name.unwrap_or_else(|| {
            if is_primary {
                return format!("{table}_pkey");
            }
            let names: Vec<&str> =
                columns.iter().map(|column| self.columns[*column].name.as_str()).collect();
            format!("{table}_{}_key", names.join("_"))
        });
        self.indexes.push(IndexDef::of_constraint(name, is_named_by_us, columns, is_primary));
        Ok(())
    }

    fn add_check(&mut self, name: String, condition: ast::Expr) {
        let mut free = name.clone();
        for number in 1.. {
            if !self.checks.iter().any(|check| check.name == free) {
                break;
            }
            free = format!("{name}{number}");
        }
        self.checks.push(Check { name: free, condition });
    }

    fn add_foreign_key(
        &mut self,
        table: &str,
        name: Option<String>,
        columns: Vec<usize>,
        key: &ast::ForeignKeyConstraint,
    ) -> Result<()> {
        let name = name.or_else(|| key.name.as_ref().map(ident)).unwrap_or_else(|| {
            let names: Vec<&str> =
                columns.iter().map(|column| self.columns[*column].name.as_str()).collect();
            format!("{table}_{}_fkey", names.join("_"))
        });
        let action = |action: Option<ReferentialAction>| match action {
            None | Some(ReferentialAction::NoAction) => Action::Nothing,
            Some(ReferentialAction::Restrict) => Action::Restrict,
            Some(ReferentialAction::Cascade) => Action::Cascade,
            Some(ReferentialAction::SetNull) => Action::SetNull,
            Some(ReferentialAction::SetDefault) => Action::SetDefault,
        };
        let is_deferred = key.characteristics.as_ref().is_some_and(|characteristics| {
            characteristics.initially == Some(ast::DeferrableInitial::Deferred)
        });
        self.foreign_keys.push(ForeignKey {
            name,
            columns,
            parent: object_name(&key.foreign_table)?,
            parent_columns: key.referred_columns.iter().map(ident).collect(),
            on_delete: action(key.on_delete),
            on_update: action(key.on_update),
            is_deferred,
        });
        Ok(())
    }

    /// The engine's columns.
    pub(crate) fn stored_columns(&self) -> Result<Vec<engine::Column>> {
        let column = |column: &ColumnDef| {
            let stored = column.of.stored().ok_or_else(|| {
                SqlError::not_supported(format!("a column of type {}", column.of.name()))
            })?;
            let made = engine::Column::new(&column.name, stored);
            Ok(engine::Column {
                not_null: column.not_null,
                storage: column.storage.unwrap_or(made.storage),
                compression: column.compression,
                ..made
            })
        };
        self.columns.iter().map(column).collect()
    }

    /// As a statement that [`Parts::of`] reads.
    pub(crate) fn text(&self, table: &str) -> String {
        let names = |columns: &[usize]| {
            let names = columns.iter().map(|column| quoted(&self.columns[*column].name));
            names.collect::<Vec<_>>().join(", ")
        };
        let mut lines = Vec::new();
        for column in &self.columns {
            let type_text = match column.of {
                Type::Int2 if column.is_serial => "smallserial".to_owned(),
                Type::Int8 if column.is_serial => "bigserial".to_owned(),
                _ if column.is_serial => "serial".to_owned(),
                of => type_text(of, column.modifier),
            };
            let mut line = format!("{} {type_text}", quoted(&column.name));
            if column.not_null {
                line += " NOT NULL";
            }
            match &column.default {
                Some(default) if column.is_generated => {
                    line += &format!(" GENERATED ALWAYS AS ({default}) STORED");
                }
                Some(default) => line += &format!(" DEFAULT {default}"),
                None => {}
            }
            lines.push(line);
        }
        for check in &self.checks {
            lines.push(format!("CONSTRAINT {} CHECK ({})", quoted(&check.name), check.condition));
        }
        for key in &self.foreign_keys {
            let parent_columns: Vec<String> =
                key.parent_columns.iter().map(|name| quoted(name)).collect();
            let mut line = format!(
                "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {}({}) ON DELETE {} ON UPDATE {}",
                quoted(&key.name),
                names(&key.columns),
                quoted(&key.parent),
                parent_columns.join(", "),
                key.on_delete.text(),
                key.on_update.text(),
            );
            if key.is_deferred {
                line += " DEFERRABLE INITIALLY DEFERRED";
            }
            lines.push(line);
        }
        let Kinship { parents, partition_of, divided } = &self.kinship;
        let mut text = format!("CREATE TABLE {}", quoted(table));
        if let Some(partition) = partition_of {
            text += &format!(" {}", partition_of_text(&partition.parent));
        }
        text += &format!(" ({})", lines.join(", "));
        if let Some(partition) = partition_of {
            text += &format!(" {}", partition.bound.text());
        }
        if !parents.is_empty() {
            let parents: Vec<String> = parents.iter().map(|parent| quoted(parent)).collect();
            text += &format!(" {INHERITS}{})", parents.join(", "));
        }
        if let Some(key) = divided {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            text += &format!(" {}", key.text(&names));
        }
        text
    }
}

/// What the text of a table that inherits has before its parents.
const INHERITS: &str = "INHERITS (";

fn partition_of_text(parent: &str) -> String {
    format!("PARTITION OF {}", quoted(parent))
}

/// Which tables may be children of one: what is kept of them is looked through, and not read.
pub(crate) fn may_be_child_of(parent: &str) -> impl Fn(&Table) -> bool {
    let (partition_of, parent) = (partition_of_text(parent), quoted(parent));
    move |table| {
        table.definition().is_some_and(|text| {
            text.contains(&partition_of) || text.contains(INHERITS) && text.contains(&parent)
        })
    }
}

impl Action {
    fn text(self) -> &'static str {
        match self {
            Action::Nothing => "NO ACTION",
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        }
    }
}

fn type_text(of: Type, modifier: Modifier) -> String {
    match modifier {
        // `char` alone is one character long.
        Modifier::None if of == Type::Bpchar => "bpchar".to_owned(),
        Modifier::None => of.name().to_owned(),
        Modifier::Length(length) => format!("{}({length})", of.name()),
        Modifier::Digits { precision, scale } => format!("numeric({precision},{scale})"),
    }
}

/// A name in SQL, whatever it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name as the catalog has it.
pub(crate) fn ident(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// What the schema `pg_catalog` has.
const IN_CATALOG: [&str; 2] = [crate::class::NAME, crate::analyze::from_prepared::PREPARED_XACTS];

/// A table's name; the schema `public` is the only one, but for the system's own.
pub(crate) fn object_name(name: &ast::ObjectName) -> Result<String> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(ident).collect();
    match parts.as_slice() {
        [name] => Ok(name.clone()),
        [schema, name] if schema == "public" && name != crate::class::NAME => Ok(name.clone()),
        [schema, name] if schema == "pg_catalog" && IN_CATALOG.contains(&name.as_str()) => {
            Ok(name.clone())
        }
        [schema, name] => {
            let message = format!("relation \"{schema}.{name}\" does not exist");
            Err(SqlError::new("42P01", message))
        }
        _ => Err(SqlError::not_supported(format!("the name {name}"))),
    }
}

/// A table's name in a query, and whether it is meant alone (`ONLY`).
pub(crate) fn relation_name(name: &ast::ObjectName) -> Result<(String, bool)> {
    match name.0.split_first() {
        Some((first, rest)) if first.as_ident().is_some_and(|first| first.value == ONLY) => {
            object_name(&ast::ObjectName(rest.to_vec())).map(|name| (name, true))
        }
        _ => object_name(name).map(|name| (name, false)),
    }
}
