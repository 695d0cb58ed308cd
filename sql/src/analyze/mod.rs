//! Statements analyzed: names resolved, types found, and a program made that the executor runs.
//!
//! ```text
//! levels   one for each query that is being analyzed, the innermost last; a column that a level further out has is one
//!          of the row that the subquery is run for
//! ctes     every WITH query of the statement, by number; their names come and go with the queries that have them
//! ```
//!
//! Invariants: what comes out holds no name any more. Error texts and codes are PostgreSQL's (`parse_*.c`).

mod aggregate;
mod call;
mod change;
mod cte;
mod expr;
mod from;
mod from_function;
pub(crate) mod from_prepared;
mod grouping;
mod key;
mod limit;
mod literal;
mod locking;
mod merge;
mod operators;
mod order;
mod query;
mod row;
mod select;
mod sublink;
mod targets;

pub(crate) use targets::figure_name;

use std::rc::Rc;

use engine::Transaction;
use sqlparser::ast;

use crate::database::Database;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::family::{Family, HIDDEN};
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

/// An argument of a function that runs.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: Option<String>,
    pub(crate) value: Datum,
    pub(crate) of: Type,
    /// Whether it is a variable of PL/pgSQL, which no column may be taken for.
    pub(crate) is_variable: bool,
}

impl Parameter {
    fn typed(&self) -> Typed {
        Typed::new(Expr::Const(self.value.clone()), self.of)
    }
}

/// A relation of a FROM.
#[derive(Debug, Clone)]
struct Entry {
    alias: String,
    columns: Vec<(String, Type)>,
    /// Where its columns begin in the row.
    base: usize,
    /// If it is a table: what is hidden of it follows the columns.
    family: Option<Rc<Family>>,
    /// Columns that stand behind those of the same name of another relation (`USING`).
    hidden: Vec<usize>,
    /// Whether it cannot be named here: it stands on the other side of a comma.
    is_out_of_reach: bool,
    /// Whether an outer join may put nulls in its place.
    is_nullable: bool,
    kind: EntryKind,
}

/// What a relation of a FROM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    /// A table, or a query in FROM.
    Plain,
    Function,
    Cte,
    /// A query in FROM that reads tables.
    Reading,
    /// A row that is about to be stored.
    New,
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
    /// Not so a change without RETURNING.
    gives_rows: bool,
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
    /// Names of those that come later in the WITH that is being analyzed.
    later: Vec<String>,
    /// Whether the select list of the query that is analyzed next keeps literals without a type.
    keeps_unknown: bool,
    /// The arguments of the function whose statement it is.
    parameters: Rc<[Parameter]>,
    /// Relations that stand beside a query in FROM, and cannot be named in it.
    beside: Vec<String>,
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
            later: Vec::new(),
            keeps_unknown: false,
            parameters: Rc::default(),
            beside: Vec::new(),
        }
    }

    /// The same for a statement of a function that was called with these arguments.
    pub(crate) fn with_parameters(self, parameters: Rc<[Parameter]>) -> Self {
        Analyzer { parameters, ..self }
    }

    /// A statement that reads or changes rows.
    pub(crate) fn statement(mut self, statement: &ast::Statement) -> Result<Program> {
        let (query, gives_rows) = match statement {
            ast::Statement::Query(query) => {
                let gives_rows = match &*query.body {
                    ast::SetExpr::Insert(inner)
                    | ast::SetExpr::Update(inner)
                    | ast::SetExpr::Delete(inner)
                    | ast::SetExpr::Merge(inner) => has_returning(inner),
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

    /// An expression over one table's row, such as a check or a key of an index.
    fn over_row(
        mut self,
        def: Option<&Rc<TableDef>>,
        expr: &ast::Expr,
        clause: &'static str,
    ) -> Result<(Typed, Vec<Subplan>)> {
        let typed = self.of_row(def, expr, clause)?;
        Ok((typed, self.subplans))
    }

    /// The same of a type.
    pub(crate) fn over_table(
        mut self,
        def: Option<&Rc<TableDef>>,
        expr: &ast::Expr,
        wanted: Option<Type>,
        clause: &'static str,
    ) -> Result<(Expr, Vec<Subplan>)> {
        let typed = self.of_row(def, expr, clause)?;
        let typed = match wanted {
            Some(Type::Bool) if clause == "check constraints" => {
                Typed::new(self.condition(typed, "CHECK")?, Type::Bool)
            }
            Some(of) => self.assign(typed, of, crate::types::Modifier::None, "")?,
            None => typed,
        };
        Ok((typed.expr, self.subplans))
    }

    fn of_row(
        &mut self,
        def: Option<&Rc<TableDef>>,
        expr: &ast::Expr,
        clause: &'static str,
    ) -> Result<Typed> {
        let mut level = Level { no_aggregates: Some(clause), ..Level::default() };
        if let Some(def) = def {
            let family = Rc::new(Family::alone(Rc::clone(def)));
            level.add_family(&family, def.name().to_owned());
            level.entries.iter_mut().for_each(|entry| entry.kind = EntryKind::New);
        }
        self.levels.push(level);
        self.expr(expr)
    }

    /// A table by its name.
    fn table(&mut self, name: &str) -> Result<Rc<TableDef>> {
        self.database.table(self.transaction, name)
    }

    /// A table with its children, unless it is said `ONLY`.
    fn family(&mut self, (name, only): (&str, bool)) -> Result<Rc<Family>> {
        self.database.family(self.transaction, name, only)
    }

    fn level(&mut self) -> Result<&mut Level> {
        self.levels.last_mut().ok_or_else(|| SqlError::new("XX000", "no query is analyzed"))
    }

    /// A column, by its name and perhaps its relation's.
    fn column(&mut self, relation: Option<&str>, name: &str) -> Result<Typed> {
        let innermost = self.levels.len();
        if self.levels.last().is_some_and(|level| level.no_aggregates == Some(DEFAULTS)) {
            let message = "cannot use column reference in DEFAULT expression";
            return Err(SqlError::new("0A000", message));
        }
        for (depth, at) in (0..innermost).rev().enumerate() {
            let Some((index, of)) = self.levels[at].find(relation, name)? else { continue };
            let is_meant =
                |known: &Parameter| known.is_variable && known.name.as_deref() == Some(name);
            if relation.is_none() && self.parameters.iter().any(is_meant) {
                let message = format!("column reference \"{name}\" is ambiguous");
                let detail = "It could refer to either a PL/pgSQL variable or a table column.";
                return Err(SqlError::new("42702", message).detail(detail));
            }
            self.outermost = self.outermost.min(at);
            return Ok(match index {
                Found::Place(index) => Typed::new(Expr::Column { depth, index }, of),
                Found::Constant(value) => Typed::new(Expr::Const(value), of),
            });
        }
        let is_meant = |parameter: &&Parameter| parameter.name.as_deref() == Some(name);
        if relation.is_none()
            && let Some(parameter) = self.parameters.iter().find(is_meant)
        {
            return Ok(parameter.typed());
        }
        let message = match relation {
            Some(relation) => {
                let all = || self.levels.iter().rev().flat_map(|level| &level.entries);
                if !all().any(|entry| entry.alias == relation && !entry.is_out_of_reach) {
                    return Err(self.missing(relation));
                }
                format!("column {relation}.{name} does not exist")
            }
            None => format!("column \"{name}\" does not exist"),
        };
        Err(SqlError::new("42703", message))
    }

    /// The error that a relation's name is none.
    fn missing(&self, relation: &str) -> SqlError {
        let all = || self.levels.iter().rev().flat_map(|level| &level.entries);
        let invalid = || {
            let message =
                format!("invalid reference to FROM-clause entry for table \"{relation}\"");
            SqlError::new("42P01", message)
        };
        let is_beside = all().any(|entry| entry.alias == relation && entry.is_out_of_reach)
            || self.beside.iter().any(|name| name == relation);
        if is_beside {
            return invalid().hint(format!(
                "There is an entry for table \"{relation}\", but it cannot be referenced from this part of the query."
            ));
        }
        let renamed =
            all().find(|entry| entry.family.as_ref().is_some_and(|of| of.head.name() == relation));
        match renamed {
            Some(entry) => invalid().hint(format!(
                "Perhaps you meant to reference the table alias \"{}\".",
                entry.alias
            )),
            None => {
                let message = format!("missing FROM-clause entry for table \"{relation}\"");
                SqlError::new("42P01", message)
            }
        }
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

/// The clause of a column's default, which sees no column.
pub(crate) const DEFAULTS: &str = "DEFAULT expressions";

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
        family: Option<Rc<Family>>,
    ) -> usize {
        let base = self.width;
        self.width += columns.len() + if family.is_some() { HIDDEN } else { 0 };
        self.entries.push(Entry {
            alias,
            columns,
            base,
            family,
            hidden: Vec::new(),
            is_out_of_reach: false,
            is_nullable: false,
            kind: EntryKind::Plain,
        });
        base
    }

    fn add_family(&mut self, family: &Rc<Family>, alias: String) -> usize {
        let columns = family.head.columns.iter();
        let columns = columns.map(|column| (column.name.clone(), column.of)).collect();
        self.add(alias, columns, Some(Rc::clone(family)))
    }

    fn has(&self, relation: &str) -> bool {
        self.entries.iter().any(|entry| entry.alias == relation)
    }

    fn find(&self, relation: Option<&str>, name: &str) -> Result<Option<(Found, Type)>> {
        let mut found = None;
        for entry in &self.entries {
            if entry.is_out_of_reach || relation.is_some_and(|relation| relation != entry.alias) {
                continue;
            }
            let place = entry.columns.iter().enumerate().find(|(at, (column, _))| {
                column == name && (relation.is_some() || !entry.hidden.contains(at))
            });
            let hidden = entry.base + entry.columns.len();
            let hit = match (place, &entry.family) {
                (Some((at, (_, of))), _) => Some((Found::Place(entry.base + at), *of)),
                (None, Some(_)) if name == "ctid" => Some((Found::Place(hidden), Type::Tid)),
                (None, Some(family)) if name == "tableoid" => Some(match entry.kind {
                    EntryKind::New => {
                        (Found::Constant(Datum::Oid(family.head.table.oid())), Type::Oid)
                    }
                    _ => (Found::Place(hidden + 1), Type::Oid),
                }),
                (None, Some(_)) if matches!(name, "xmin" | "xmax" | "cmin" | "cmax") => {
                    return Err(SqlError::not_supported(format!("the column {name}")));
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
