//! Statements analyzed: names resolved, types found, and a program made that the executor runs.
//!
//! ```text
//! levels   one for each query that is being analyzed, the innermost last; a column that a level further out has is one
//!          of the row that the subquery is run for
//! ctes     every WITH query of the statement, by number; their names come and go with the queries that have them
//! ```
//!
//! Invariants: what comes out holds no name any more. Error texts and codes are PostgreSQL's (`parse_*.c`).

mod change;
mod expr;
mod operators;
mod query;

use std::rc::Rc;

use engine::Transaction;
use sqlparser::ast;

use crate::database::Database;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::{AggregateCall, Plan, Program, Subplan};
use crate::table::TableDef;
use crate::types::{Datum, Type};

/// An expression with its type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) of: Type,
}

impl Typed {
    fn new(expr: Expr, of: Type) -> Typed {
        Typed { expr, of }
    }
}

/// A relation of a FROM.
#[derive(Debug, Clone)]
struct Entry {
    alias: String,
    columns: Vec<(String, Type)>,
    /// Where its columns begin in the row.
    base: usize,
    /// If it is a table: its `ctid` follows the columns.
    table: Option<Rc<TableDef>>,
    /// Columns that stand behind those of the same name of another relation (`USING`).
    hidden: Vec<usize>,
    /// Found only by its name (`EXCLUDED`), or not at all.
    is_qualified_only: bool,
}

/// A query that is being analyzed.
#[derive(Debug, Default)]
struct Level {
    entries: Vec<Entry>,
    width: usize,
    aggregates: Vec<AggregateCall>,
    /// Where aggregates are not allowed: the clause.
    no_aggregates: Option<&'static str>,
}

/// A WITH query.
struct Cte {
    name: String,
    number: usize,
    columns: Vec<(String, Type)>,
}

/// Analyzes one statement.
pub(crate) struct Analyzer<'x, 's, 'e> {
    transaction: &'x mut Transaction<'s, 'e>,
    database: &'x Database<'e>,
    levels: Vec<Level>,
    /// The outermost level that a column was found in since somebody asked.
    outermost: usize,
    subplans: Vec<Subplan>,
    cte_plans: Vec<Option<Plan>>,
    /// Those that can be named here.
    ctes: Vec<Cte>,
}

/// A query's plan, and what it gives.
struct Query {
    plan: Plan,
    columns: Vec<(String, Type)>,
}

impl<'x, 's, 'e> Analyzer<'x, 's, 'e> {
    pub(crate) fn new(
        transaction: &'x mut Transaction<'s, 'e>,
        database: &'x Database<'e>,
    ) -> Analyzer<'x, 's, 'e> {
        Analyzer {
            transaction,
            database,
            levels: Vec::new(),
            outermost: usize::MAX,
            subplans: Vec::new(),
            cte_plans: Vec::new(),
            ctes: Vec::new(),
        }
    }

    /// A statement that reads or changes rows.
    pub(crate) fn statement(mut self, statement: &ast::Statement) -> Result<Program> {
        let (query, gives_rows) = match statement {
            ast::Statement::Query(query) => {
                let gives_rows = match &*query.body {
                    ast::SetExpr::Insert(inner)
                    | ast::SetExpr::Update(inner)
                    | ast::SetExpr::Delete(inner) => has_returning(inner),
                    _ => true,
                };
                (self.query(query)?, gives_rows)
            }
            change => (self.change(change)?, has_returning(change)),
        };
        self.program(query, gives_rows)
    }

    fn program(self, query: Query, gives_rows: bool) -> Result<Program> {
        let ctes = self.cte_plans.into_iter().collect::<Option<Vec<Plan>>>();
        let ctes = ctes.ok_or_else(|| SqlError::new("XX000", "a WITH query has no plan"))?;
        Ok(Program {
            plan: query.plan,
            columns: query.columns,
            gives_rows,
            subplans: self.subplans,
            ctes,
        })
    }

    /// An expression over one table's row, such as a check or a default.
    pub(crate) fn over_table(
        mut self,
        def: Option<&Rc<TableDef>>,
        expr: &ast::Expr,
        wanted: Option<Type>,
        clause: &'static str,
    ) -> Result<(Expr, Vec<Subplan>)> {
        let mut level = Level { no_aggregates: Some(clause), ..Level::default() };
        if let Some(def) = def {
            level.add_table(def, def.name().to_owned());
        }
        self.levels.push(level);
        let typed = self.expr(expr)?;
        let typed = match wanted {
            Some(of) => self.assign(typed, of, crate::types::Modifier::None, "")?,
            None => typed,
        };
        Ok((typed.expr, self.subplans))
    }

    /// A table by its name.
    fn table(&mut self, name: &str) -> Result<Rc<TableDef>> {
        self.database.table(self.transaction, name)
    }

    fn level(&mut self) -> Result<&mut Level> {
        self.levels.last_mut().ok_or_else(|| SqlError::new("XX000", "no query is analyzed"))
    }

    /// A column, by its name and perhaps its relation's.
    fn column(&mut self, relation: Option<&str>, name: &str) -> Result<Typed> {
        let innermost = self.levels.len();
        for (depth, at) in (0..innermost).rev().enumerate() {
            let Some((index, of)) = self.levels[at].find(relation, name)? else { continue };
            self.outermost = self.outermost.min(at);
            return Ok(match index {
                Found::Place(index) => Typed::new(Expr::Column { depth, index }, of),
                Found::Constant(value) => Typed::new(Expr::Const(value), of),
            });
        }
        let message = match relation {
            Some(relation) => {
                let is_known = self.levels.iter().any(|level| level.has(relation));
                if !is_known {
                    let message = format!("missing FROM-clause entry for table \"{relation}\"");
                    return Err(SqlError::new("42P01", message));
                }
                format!("column {relation}.{name} does not exist")
            }
            None => format!("column \"{name}\" does not exist"),
        };
        Err(SqlError::new("42703", message))
    }

    /// A whole row of a relation, if there is one of this name.
    fn whole_row(&mut self, name: &str) -> Option<Typed> {
        let innermost = self.levels.len();
        for (depth, at) in (0..innermost).rev().enumerate() {
            let Some(entry) = self.levels[at].entries.iter().find(|entry| entry.alias == name)
            else {
                continue;
            };
            let places = entry.base..entry.base + entry.columns.len();
            let fields = places.map(|index| Expr::Column { depth, index }).collect();
            self.outermost = self.outermost.min(at);
            return Some(Typed::new(Expr::Row(fields), Type::Record));
        }
        None
    }
}

/// Where a name leads.
enum Found {
    Place(usize),
    Constant(Datum),
}

impl Level {
    fn add(
        &mut self,
        alias: String,
        columns: Vec<(String, Type)>,
        table: Option<Rc<TableDef>>,
    ) -> usize {
        let base = self.width;
        self.width += columns.len() + usize::from(table.is_some());
        self.entries.push(Entry {
            alias,
            columns,
            base,
            table,
            hidden: Vec::new(),
            is_qualified_only: false,
        });
        base
    }

    fn add_table(&mut self, def: &Rc<TableDef>, alias: String) -> usize {
        let columns = def.columns.iter().map(|column| (column.name.clone(), column.of)).collect();
        self.add(alias, columns, Some(Rc::clone(def)))
    }

    fn has(&self, relation: &str) -> bool {
        self.entries.iter().any(|entry| entry.alias == relation)
    }

    fn find(&self, relation: Option<&str>, name: &str) -> Result<Option<(Found, Type)>> {
        let mut found = None;
        for entry in &self.entries {
            if relation.map_or(entry.is_qualified_only, |relation| relation != entry.alias) {
                continue;
            }
            let place = entry.columns.iter().enumerate().find(|(at, (column, _))| {
                column == name && (relation.is_some() || !entry.hidden.contains(at))
            });
            let hit = match (place, &entry.table) {
                (Some((at, (_, of))), _) => Some((Found::Place(entry.base + at), *of)),
                (None, Some(_)) if name == "ctid" => {
                    Some((Found::Place(entry.base + entry.columns.len()), Type::Tid))
                }
                (None, Some(def)) if name == "tableoid" => {
                    Some((Found::Constant(Datum::Oid(def.table.oid())), Type::Oid))
                }
                _ => None,
            };
            if hit.is_some() && found.is_some() {
                let message = format!("column reference \"{name}\" is ambiguous");
                return Err(SqlError::new("42702", message));
            }
            found = found.or(hit);
        }
        Ok(found)
    }
}

fn has_returning(statement: &ast::Statement) -> bool {
    match statement {
        ast::Statement::Insert(insert) => insert.returning.is_some(),
        ast::Statement::Update(update) => update.returning.is_some(),
        ast::Statement::Delete(delete) => delete.returning.is_some(),
        _ => false,
    }
}
