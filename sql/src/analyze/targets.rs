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
pub(crate) fn figure_name(written: &Ast) -> Option<String> {
    figure(written).map(|(name, _)| name)
}

/// How good a name is: that of a type or of CASE gives way to the one of what stands around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    Weak,
    Strong,
}

fn figure(written: &Ast) -> Option<(String, Strength)> {
    let strong = |name: &str| Some((name.to_owned(), Strength::Strong));
    let kept = |inner: Option<(String, Strength)>| {
        inner.filter(|(_, strength)| *strength == Strength::Strong)
    };
    let type_name = |of: &ast::DataType| {
        let (of, _) = crate::table::data_type(of).ok()?;
        Some((of.internal_name().to_owned(), Strength::Weak))
    };
    match written {
        Ast::Identifier(name) => strong(&ident(name)),
        Ast::CompoundIdentifier(names) => strong(&ident(names.last()?)),
        Ast::Nested(inner) => figure(inner),
        Ast::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            strong(&ident(name?))
        }
        Ast::Cast { expr, data_type, .. } => kept(figure(expr)).or_else(|| type_name(data_type)),
        Ast::TypedString(typed) => type_name(&typed.data_type),
        Ast::Case { else_result, .. } => {
            let name = else_result.as_ref().and_then(|result| figure(result));
            kept(name).or_else(|| Some(("case".to_owned(), Strength::Weak)))
        }
        Ast::Exists { negated: false, .. } => strong("exists"),
        Ast::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => {
                    strong(figure(expr).as_ref().map_or("?column?", |(name, _)| name))
                }
                SelectItem::ExprWithAlias { alias, .. } => strong(&ident(alias)),
                _ => None,
            },
            _ => None,
        },
        Ast::Tuple(_) => strong("row"),
        Ast::Substring { shorthand: true, .. } => strong("substr"),
        Ast::Substring { .. } => strong("substring"),
        Ast::Trim { trim_where, .. } => strong(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Ast::Position { .. } => strong("position"),
        Ast::Ceil { .. } => strong("ceil"),
        Ast::Floor { .. } => strong("floor"),
        Ast::Collate { expr, .. } => figure(expr),
        _ => None,
    }
}
