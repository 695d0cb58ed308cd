//! Select lists and RETURNING: what is given, and under which names.
//!
//! Invariant: an item is of a known type, unless the query around it chooses types (a set operation). Source:
//! `parse_target.c`.

use sqlparser::ast::{self, Expr as Ast, SelectItem, SelectItemQualifiedWildcardKind, SetExpr};

use super::{Analyzer, Entry, Level, Typed};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::Plan;
use crate::table::{ident, object_name};
use crate::types::{Datum, Type};

/// An item of a select list.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) typed: Typed,
    /// A function that gives several rows.
    pub(super) series: Option<Plan>,
}

impl Analyzer<'_, '_, '_> {
    pub(super) fn items(&mut self, written: &[SelectItem]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in written {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = figure_name(expr).unwrap_or_else(|| "?column?".to_owned());
                    items.push(self.item(name, expr)?);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(self.item(ident(alias), expr)?);
                }
                SelectItem::Wildcard(_) => {
                    let entries = self.level()?.entries.clone();
                    let before = items.len();
                    for entry in &entries {
                        items.extend(star(entry, false));
                    }
                    if entries.is_empty() && items.len() == before {
                        return Err(SqlError::syntax(
                            "SELECT * with no tables specified is not valid",
                        ));
                    }
                }
                SelectItem::QualifiedWildcard(kind, _) => {
                    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(SqlError::not_supported(item));
                    };
                    let name = object_name(name)?;
                    let entries = &self.level()?.entries;
                    let entry = entries.iter().find(|entry| entry.alias == name);
                    let Some(entry) = entry else { return Err(self.missing(&name)) };
                    items.extend(star(entry, true));
                }
                other => return Err(SqlError::not_supported(other)),
            }
        }
        Ok(items)
    }

    fn item(&mut self, name: String, written: &Ast) -> Result<Item> {
        if let Ast::Function(function) = written
            && function.name.to_string().eq_ignore_ascii_case("generate_series")
            && let ast::FunctionArguments::List(list) = &function.args
        {
            // Its arguments are evaluated for each row.
            self.levels.push(Level::default());
            let series = self.series(&list.args);
            self.levels.pop();
            let (series, of) = series?;
            let typed = Typed::new(Expr::Const(Datum::Null), of);
            return Ok(Item { name, typed, series: Some(series) });
        }
        let mut typed = self.expr(written)?;
        if typed.of == Type::Unknown && !self.keeps_unknown {
            typed = self.cast_to(typed, Type::Text)?;
        }
        Ok(Item { name, typed, series: None })
    }

    /// RETURNING, as expressions over the innermost level.
    #[expect(clippy::type_complexity, reason = "expressions, and the columns that a client gets")]
    pub(super) fn returning(
        &mut self,
        written: &[SelectItem],
    ) -> Result<(Vec<Expr>, Vec<(String, Type)>)> {
        let before = self.level()?.no_aggregates.replace("RETURNING");
        let items = self.items(written);
        self.level()?.no_aggregates = before;
        let mut exprs = Vec::new();
        let mut columns = Vec::new();
        for item in items? {
            if item.series.is_some() {
                return Err(SqlError::new(
                    "0A000",
                    "set-returning functions are not allowed in RETURNING",
                ));
            }
            columns.push((item.name, item.typed.of));
            exprs.push(item.typed.expr);
        }
        Ok((exprs, columns))
    }

    pub(super) fn item_named(&self, written: &Ast, items: &[Item]) -> Option<Typed> {
        let Ast::Identifier(name) = written else { return None };
        let name = ident(name);
        items.iter().find(|item| item.name == name).map(|item| item.typed.clone())
    }
}

pub(super) fn project(plan: Plan, items: Vec<Item>) -> Plan {
    let input = Box::new(plan);
    let mut exprs = Vec::with_capacity(items.len());
    let mut series = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        exprs.push(item.typed.expr);
        series.extend(item.series.map(|plan| (at, plan)));
    }
    if series.is_empty() {
        Plan::Project { input, exprs }
    } else {
        Plan::ProjectSeries { input, exprs, series }
    }
}

fn star(entry: &Entry, with_hidden: bool) -> Vec<Item> {
    let shown = entry.columns.iter().enumerate();
    let shown = shown.filter(|(at, _)| with_hidden || !entry.hidden.contains(at));
    let item = |(at, (name, of)): (usize, &(String, Type))| Item {
        name: name.clone(),
        typed: Typed::new(Expr::column(entry.base + at), *of),
        series: None,
    };
    shown.map(item).collect()
}

/// The name of a column that has none (`FigureColname`).
fn figure_name(written: &Ast) -> Option<String> {
    Some(match written {
        Ast::Identifier(name) => ident(name),
        Ast::CompoundIdentifier(names) => ident(names.last()?),
        Ast::Nested(inner) => return figure_name(inner),
        Ast::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            ident(name?)
        }
        Ast::Cast { expr, data_type, .. } => match cast_name(expr) {
            // The name of a type or of CASE gives way.
            Some(name) => name,
            None => crate::table::data_type(data_type).ok()?.0.internal_name().to_owned(),
        },
        Ast::TypedString(typed) => {
            crate::table::data_type(&typed.data_type).ok()?.0.internal_name().to_owned()
        }
        Ast::Case { else_result, .. } => {
            let name = else_result.as_ref().and_then(|result| figure_name(result));
            name.unwrap_or_else(|| "case".to_owned())
        }
        Ast::Exists { negated: false, .. } => "exists".to_owned(),
        Ast::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => return figure_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => ident(alias),
                _ => return None,
            },
            _ => return None,
        },
        Ast::Tuple(_) => "row".to_owned(),
        Ast::Substring { shorthand: true, .. } => "substr".to_owned(),
        Ast::Substring { .. } => "substring".to_owned(),
        Ast::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim".to_owned(),
            Some(ast::TrimWhereField::Trailing) => "rtrim".to_owned(),
            _ => "btrim".to_owned(),
        },
        Ast::Position { .. } => "position".to_owned(),
        Ast::Ceil { .. } => "ceil".to_owned(),
        Ast::Floor { .. } => "floor".to_owned(),
        Ast::Collate { expr, .. } => return figure_name(expr),
        _ => return None,
    })
}

/// The name that a value keeps under a cast.
fn cast_name(written: &Ast) -> Option<String> {
    match written {
        Ast::Cast { expr, .. } => cast_name(expr),
        Ast::Nested(inner) => cast_name(inner),
        Ast::TypedString(_) | Ast::Case { .. } => None,
        other => figure_name(other),
    }
}
