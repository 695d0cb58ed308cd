//! INSERT, UPDATE and DELETE analyzed.

use std::rc::Rc;

use engine::{TableLockMode, WaitPolicy};
use sqlparser::ast::{
    self, AssignmentTarget, ConflictTarget, Expr as Ast, FromTable, OnConflictAction, OnInsert,
    SelectItem, SetExpr, Statement, TableFactor, TableObject, UpdateTableFromKind,
};

use super::{Analyzer, Level, Query, Typed};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::family::Family;
use crate::index::IndexDef;
use crate::plan::{Change, ChangeKind, ConflictUpdate, JoinKind, OnConflict, Plan};
use crate::table::{ColumnDef, TableDef, ident, object_name, relation_name};
use crate::types::{Datum, Type};

/// Columns that get a value.
type Sets = Vec<(usize, Expr)>;

impl Analyzer<'_, '_, '_> {
    /// A change, within WITH or alone.
    pub(super) fn change(&mut self, statement: &Statement) -> Result<Query> {
        self.levels.push(Level::default());
        let analyzed = match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Merge(merge) => self.merge(merge).map(|change| (change, Vec::new())),
            other => Err(SqlError::not_supported(first_words(other))),
        };
        self.levels.pop();
        let (change, columns) = analyzed?;
        Ok(Query { plan: Plan::Change(Box::new(change)), columns })
    }

    fn insert(&mut self, insert: &ast::Insert) -> Result<(Change, Vec<(String, Type)>)> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::not_supported("INSERT into what is no table"));
        };
        let name = object_name(name)?;
        self.lock_target(&name)?;
        let mut table = self.table(&name)?;
        // What is put into a table goes to it alone, unless it is divided.
        let family = match table.kinship.divided {
            None => Rc::new(Family::alone(Rc::clone(&table))),
            Some(_) => self.target_family((&name, false))?,
        };
        table = Rc::clone(&family.head);
        let alias = insert.table_alias.as_ref().map(|alias| ident(&alias.alias));
        let alias = alias.unwrap_or_else(|| name.clone());
        let targets = self.insert_targets(&table, &insert.columns)?;
        let input =
            self.source(&table, &targets, insert.source.as_deref(), insert.columns.is_empty())?;
        let level = self.level()?;
        let base = level.add_family(&family, alias);
        let on_conflict = match &insert.on {
            None => None,
            Some(OnInsert::OnConflict(written)) => Some(self.on_conflict(&table, written)?),
            Some(_) => return Err(SqlError::not_supported("ON DUPLICATE KEY UPDATE")),
        };
        let (returning, columns) = self.returned(insert.returning.as_deref())?;
        let kind = ChangeKind::Insert { on_conflict };
        Ok((Change { family, input, base, kind, returning }, columns))
    }

    /// A table that is changed, with its children, each locked before it is looked at.
    pub(super) fn target_family(&mut self, (name, only): (&str, bool)) -> Result<Rc<Family>> {
        self.lock_target(name)?;
        let family = self.family((name, only))?;
        if family.members.len() == 1 {
            return Ok(family);
        }
        for member in &family.members {
            self.lock_target(member.def.name())?;
        }
        self.family((name, only))
    }

    /// Locks a table before it is looked at, so that it has the indexes then that its rows are put into.
    fn lock_target(&mut self, name: &str) -> Result<()> {
        self.transaction.open_table(name, TableLockMode::RowExclusive, WaitPolicy::Wait)?;
        Ok(())
    }

    /// The columns that are given values by an INSERT; all if none is named.
    pub(super) fn insert_targets(
        &self,
        table: &TableDef,
        names: &[ast::ObjectName],
    ) -> Result<Vec<usize>> {
        let mut targets = Vec::with_capacity(names.len());
        for column in names {
            let name = object_name(column)?;
            let target = self.target(table, &name)?;
            if targets.contains(&target) {
                let message = format!("column \"{name}\" specified more than once");
                return Err(SqlError::new("42701", message));
            }
            targets.push(target);
        }
        Ok(if targets.is_empty() { (0..table.columns.len()).collect() } else { targets })
    }

    fn target(&self, table: &TableDef, name: &str) -> Result<usize> {
        table.column(name).ok_or_else(|| {
            let table = table.name();
            let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
            SqlError::new("42703", message)
        })
    }

    /// A column's value where none is given.
    fn default(&mut self, table: &TableDef, column: usize) -> Result<Expr> {
        let at = column;
        let column = &table.columns[column];
        if column.is_serial && column.default.is_none() {
            let (counter, at) = self.database.counter(self.transaction, table, at)?;
            let args = [Datum::Text(counter), Datum::Int4(at as i32)];
            let args = args.map(Expr::Const).into();
            let function = crate::function::named(crate::function::COUNT)
                .next()
                .ok_or_else(|| SqlError::new("XX000", "nothing counts"))?;
            let next = Typed::new(Expr::Call { function, args }, Type::Int8);
            return Ok(self.cast_to(next, column.of)?.expr);
        }
        let Some(default) = column.default.as_ref().filter(|_| !column.is_generated) else {
            return Ok(Expr::Const(Datum::Null));
        };
        self.default_expr(default, column)
    }

    fn default_expr(&mut self, default: &Ast, column: &ColumnDef) -> Result<Expr> {
        // It sees no column.
        self.levels.push(Level { no_aggregates: Some(super::DEFAULTS), ..Level::default() });
        let typed = self.expr(default);
        self.levels.pop();
        let typed = typed?;
        if !crate::cast::is_assignable(typed.of, column.of) {
            let (name, wanted, got) = (&column.name, column.of.name(), typed.of.name());
            let message = format!(
                "column \"{name}\" is of type {wanted} but default expression is of type {got}"
            );
            let hint = "You will need to rewrite or cast the expression.";
            return Err(SqlError::new("42804", message).hint(hint));
        }
        Ok(self.assign(typed, column.of, column.modifier, &column.name)?.expr)
    }

    /// A column's default, alone.
    pub(crate) fn default_of(mut self, default: &Ast, column: &ColumnDef) -> Result<Expr> {
        let expr = self.default_expr(default, column)?;
        if !self.subplans.is_empty() {
            return Err(SqlError::new("0A000", "cannot use subquery in DEFAULT expression"));
        }
        Ok(expr)
    }

    fn assigned(
        &self,
        table: &TableDef,
        column: usize,
        typed: Typed,
        is_update: bool,
    ) -> Result<Expr> {
        let def = &table.columns[column];
        if def.is_generated {
            let name = &def.name;
            let message = if is_update {
                format!("column \"{name}\" can only be updated to DEFAULT")
            } else {
                format!("cannot insert a non-DEFAULT value into column \"{name}\"")
            };
            let detail = format!("Column \"{name}\" is a generated column.");
            return Err(SqlError::new("428C9", message).detail(detail));
        }
        Ok(self.assign(typed, def.of, def.modifier, &def.name)?.expr)
    }

    /// The rows to be inserted, in the order of the columns.
    fn source(
        &mut self,
        table: &Rc<TableDef>,
        targets: &[usize],
        source: Option<&ast::Query>,
        may_be_short: bool,
    ) -> Result<Plan> {
        let Some(source) = source else {
            return Ok(Plan::Values(vec![self.placed(table, targets, &[])?]));
        };
        let is_plain =
            source.with.is_none() && source.order_by.is_none() && source.limit_clause.is_none();
        if let (SetExpr::Values(values), true) = (&*source.body, is_plain) {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            if values.rows.iter().any(|row| row.content.len() != width) {
                return Err(SqlError::syntax("VALUES lists must all be the same length"));
            }
            let mut rows = Vec::with_capacity(values.rows.len());
            for row in &values.rows {
                self.levels.push(Level::default());
                let row = self.values_row(table, targets, &row.content, may_be_short);
                self.levels.pop();
                rows.push(row?);
            }
            return Ok(Plan::Values(rows));
        }
        // The query is one of its own, beside this level.
        let level = self.levels.pop();
        // Its literals become of the columns' types.
        self.keeps_unknown = true;
        let query = self.query(source);
        self.levels.extend(level);
        let Query { plan, columns } = query?;
        check_width(columns.len(), targets.len(), may_be_short)?;
        let mut exprs = Vec::with_capacity(columns.len());
        for ((at, (_, of)), target) in columns.iter().enumerate().zip(targets) {
            exprs.push(self.assigned(table, *target, Typed::new(Expr::column(at), *of), false)?);
        }
        Ok(Plan::Project { input: Box::new(plan), exprs: self.placed(table, targets, &exprs)? })
    }

    /// A row of VALUES that is to be inserted, over what the innermost level has.
    pub(super) fn values_row(
        &mut self,
        table: &TableDef,
        targets: &[usize],
        written: &[Ast],
        may_be_short: bool,
    ) -> Result<Vec<Expr>> {
        check_width(written.len(), targets.len(), may_be_short)?;
        let mut exprs = Vec::with_capacity(written.len());
        for (value, target) in written.iter().zip(targets) {
            if is_default(value) {
                exprs.push(self.default(table, *target)?);
                continue;
            }
            let before = self.level()?.no_aggregates.replace("VALUES");
            let typed = self.expr(value);
            self.level()?.no_aggregates = before;
            exprs.push(self.assigned(table, *target, typed?, false)?);
        }
        self.placed(table, targets, &exprs)
    }

    /// The values of the first targets, and defaults, in the order of the columns.
    fn placed(
        &mut self,
        table: &TableDef,
        targets: &[usize],
        values: &[Expr],
    ) -> Result<Vec<Expr>> {
        let mut row = Vec::with_capacity(table.columns.len());
        for column in 0..table.columns.len() {
            let given = targets.iter().take(values.len()).position(|target| *target == column);
            row.push(match given {
                Some(at) => values[at].clone(),
                None => self.default(table, column)?,
            });
        }
        Ok(row)
    }

    fn on_conflict(
        &mut self,
        table: &Rc<TableDef>,
        written: &ast::OnConflict,
    ) -> Result<OnConflict> {
        let arbiters = match &written.conflict_target {
            None => None,
            Some(ConflictTarget::Columns(names)) => Some(self.inferred(table, names)?),
            Some(ConflictTarget::OnConstraint(name)) => {
                let name = object_name(name)?;
                let is_meant = |index: &IndexDef| index.is_constraint && index.name == name;
                let found = table.indexes.iter().position(is_meant);
                Some(vec![found.ok_or_else(|| {
                    let message = format!(
                        "constraint \"{name}\" for table \"{}\" does not exist",
                        table.name()
                    );
                    SqlError::new("42704", message)
                })?])
            }
        };
        let update = match &written.action {
            OnConflictAction::DoNothing => None,
            OnConflictAction::DoUpdate(_) if arbiters.is_none() => {
                return Err(SqlError::syntax(
                    "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                )
                .hint("For example, ON CONFLICT (column_name)."));
            }
            OnConflictAction::DoUpdate(update) => {
                let columns =
                    table.columns.iter().map(|column| (column.name.clone(), column.of)).collect();
                let level = self.level()?;
                level.add("excluded".to_owned(), columns, None);
                let sets = self.sets(table, &update.assignments)?;
                let condition = match &update.selection {
                    Some(selection) => Some(self.condition_in(selection, "WHERE")?),
                    None => None,
                };
                // RETURNING has no EXCLUDED.
                let level = self.level()?;
                if let Some(excluded) = level.entries.pop() {
                    level.width = excluded.base;
                }
                Some(ConflictUpdate { sets, condition })
            }
        };
        Ok(OnConflict { arbiters, update })
    }

    pub(super) fn sets(
        &mut self,
        table: &Rc<TableDef>,
        assignments: &[ast::Assignment],
    ) -> Result<Sets> {
        let before = self.level()?.no_aggregates.replace("UPDATE");
        let sets = self.sets_of(table, assignments);
        self.level()?.no_aggregates = before;
        sets
    }

    fn sets_of(&mut self, table: &Rc<TableDef>, assignments: &[ast::Assignment]) -> Result<Sets> {
        let mut sets = Vec::new();
        let mut set = |analyzer: &mut Self, name: &ast::ObjectName, value: &Ast| -> Result<()> {
            let column = analyzer.target(table, &object_name(name)?)?;
            if sets.iter().any(|(before, _)| *before == column) {
                let name = &table.columns[column].name;
                let message = format!("multiple assignments to same column \"{name}\"");
                return Err(SqlError::syntax(message));
            }
            let expr = if is_default(value) {
                analyzer.default(table, column)?
            } else {
                let typed = analyzer.expr(value)?;
                analyzer.assigned(table, column, typed, true)?
            };
            sets.push((column, expr));
            Ok(())
        };
        for assignment in assignments {
            match (&assignment.target, &assignment.value) {
                (AssignmentTarget::ColumnName(name), value) => set(self, name, value)?,
                (AssignmentTarget::Tuple(names), Ast::Tuple(values))
                    if names.len() == values.len() =>
                {
                    for (name, value) in names.iter().zip(values) {
                        set(self, name, value)?;
                    }
                }
                _ => return Err(SqlError::not_supported(format!("SET {assignment}"))),
            }
        }
        Ok(sets)
    }

    /// The table that is changed, as the first relation of the level, joined with the others.
    fn target_and(
        &mut self,
        target: &ast::TableWithJoins,
        others: Option<&[ast::TableWithJoins]>,
        selection: Option<&Ast>,
    ) -> Result<(Rc<Family>, Plan)> {
        let TableFactor::Table { name, alias, .. } = &target.relation else {
            return Err(SqlError::not_supported(format!("a change of {}", target.relation)));
        };
        if !target.joins.is_empty() {
            return Err(SqlError::syntax("syntax error at or near \"JOIN\""));
        }
        let (name, only) = relation_name(name)?;
        let family = self.target_family((&name, only))?;
        let alias = alias.as_ref().map_or(name, |alias| ident(&alias.name));
        self.level()?.add_family(&family, alias);
        let mut plan = Plan::Scan(Rc::clone(&family));
        if let Some(others) = others {
            let width = self.level()?.width;
            let right = Box::new(self.from(others)?);
            let widths = [width, self.level()?.width - width];
            let left = Box::new(plan);
            plan = Plan::join(JoinKind::Inner, [left, right], None, 0, widths);
        }
        if let Some(selection) = selection {
            let condition = self.condition_in(selection, "WHERE")?;
            plan = Plan::Filter { input: Box::new(plan), condition };
        }
        Ok((family, plan))
    }

    fn update(&mut self, update: &ast::Update) -> Result<(Change, Vec<(String, Type)>)> {
        let from = match &update.from {
            None => None,
            Some(UpdateTableFromKind::AfterSet(from)) => Some(from.as_slice()),
            Some(_) => return Err(SqlError::not_supported("UPDATE with FROM before SET")),
        };
        let selection = update.selection.as_ref();
        let (family, input) = self.target_and(&update.table, from, selection)?;
        let sets = self.sets(&family.head, &update.assignments)?;
        let (returning, columns) = self.returned(update.returning.as_deref())?;
        let kind = ChangeKind::Update { sets };
        Ok((Change { family, input, base: 0, kind, returning }, columns))
    }

    fn delete(&mut self, delete: &ast::Delete) -> Result<(Change, Vec<(String, Type)>)> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [target] = from.as_slice() else {
            return Err(SqlError::not_supported("DELETE from several tables"));
        };
        let selection = delete.selection.as_ref();
        let (family, input) = self.target_and(target, delete.using.as_deref(), selection)?;
        let (returning, columns) = self.returned(delete.returning.as_deref())?;
        Ok((Change { family, input, base: 0, kind: ChangeKind::Delete, returning }, columns))
    }

    #[expect(clippy::type_complexity, reason = "expressions, and the columns that a client gets")]
    fn returned(
        &mut self,
        written: Option<&[SelectItem]>,
    ) -> Result<(Option<Vec<Expr>>, Vec<(String, Type)>)> {
        match written {
            None => Ok((None, Vec::new())),
            Some(written) => {
                let (exprs, columns) = self.returning(written)?;
                Ok((Some(exprs), columns))
            }
        }
    }
}

/// Whether as many values are given as there are columns for them.
fn check_width(width: usize, targets: usize, may_be_short: bool) -> Result<()> {
    if width > targets {
        return Err(SqlError::syntax("INSERT has more expressions than target columns"));
    }
    if width < targets && !may_be_short {
        return Err(SqlError::syntax("INSERT has more target columns than expressions"));
    }
    Ok(())
}

/// Whether a value is the word DEFAULT.
fn is_default(value: &Ast) -> bool {
    matches!(value, Ast::Identifier(name)
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

/// A statement by the word that it begins with.
fn first_words(statement: &Statement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    words.join(" ")
}
