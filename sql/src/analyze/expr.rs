//! Expressions: what each form of them becomes.
//!
//! Invariant: an expression is over the row of the innermost level; one of a level further out is named by its depth. Source:
//! `parse_expr.c`.

use sqlparser::ast::{self, BinaryOperator, CaseWhen, Expr as Ast, UnaryOperator, Value};

use super::literal::{literal, number_literal, signed_number};
use super::operators::{comparison_of, no_operator};
use super::row::fields;
use super::{Analyzer, Typed};
use crate::cast;
use crate::error::{Result, SqlError};
use crate::expr::{Comparison, Expr, SubqueryUse};
use crate::table::{data_type, ident};
use crate::types::{Datum, Modifier, Type};

impl Analyzer<'_, '_, '_> {
    /// An expression, over what the innermost level has.
    pub(super) fn expr(&mut self, written: &Ast) -> Result<Typed> {
        match written {
            Ast::Identifier(name) => {
                let name = ident(name);
                match self.column(None, &name) {
                    Err(error) if error.code == "42703" => self.whole_row(&name).ok_or(error),
                    found => found,
                }
            }
            Ast::CompoundIdentifier(names) => match names.as_slice() {
                [relation, name] => self.column(Some(&ident(relation)), &ident(name)),
                [schema, relation, name] if ident(schema) == "public" => {
                    self.column(Some(&ident(relation)), &ident(name))
                }
                [_, _, _] => Err(SqlError::not_supported(format!("the name {written}"))),
                _ => {
                    let message =
                        format!("cross-database references are not implemented: {written}");
                    Err(SqlError::new("0A000", message))
                }
            },
            Ast::Nested(inner) => self.expr(inner),
            Ast::Value(value) => match &value.value {
                Value::Placeholder(number) => self.placeholder(number),
                value => literal(value),
            },
            Ast::TypedString(typed) => {
                let (of, modifier) = data_type(&typed.data_type)?;
                let Some(text) = typed.value.value.clone().into_string() else {
                    return Err(SqlError::not_supported(written));
                };
                let value = Typed::new(Expr::Const(Datum::Text(text)), Type::Unknown);
                self.fitted(value, of, modifier)
            }
            Ast::Cast { expr, data_type: written, .. } => {
                let (of, modifier) = data_type(written)?;
                let typed = self.expr(expr)?;
                self.fitted(typed, of, modifier)
            }
            Ast::UnaryOp { op, expr } => self.unary(*op, expr),
            Ast::BinaryOp { left, op, right } => self.binary_op(left, op, right),
            Ast::IsNull(expr) => self.is_null(expr, false),
            Ast::IsNotNull(expr) => self.is_null(expr, true),
            Ast::IsUnknown(expr) => self.is_unknown(expr, false),
            Ast::IsNotUnknown(expr) => self.is_unknown(expr, true),
            Ast::IsTrue(expr) => self.is(expr, true, false),
            Ast::IsNotTrue(expr) => self.is(expr, true, true),
            Ast::IsFalse(expr) => self.is(expr, false, false),
            Ast::IsNotFalse(expr) => self.is(expr, false, true),
            Ast::IsDistinctFrom(left, right) => self.distinct(left, right, false),
            Ast::IsNotDistinctFrom(left, right) => self.distinct(left, right, true),
            Ast::Between { expr, negated, low, high } => {
                let (value, low) = (self.expr(expr)?, self.expr(low)?);
                let high = self.expr(high)?;
                let (first, second) = if *negated {
                    (Comparison::Less, Comparison::Greater)
                } else {
                    (Comparison::GreaterOrEqual, Comparison::LessOrEqual)
                };
                let first = self.comparison(first, value.clone(), low)?.expr;
                let second = self.comparison(second, value, high)?.expr;
                let parts = vec![first, second];
                let expr = if *negated { Expr::Or(parts) } else { Expr::And(parts) };
                Ok(Typed::new(expr, Type::Bool))
            }
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Ast::InSubquery { expr, subquery, negated } => {
                let found = self.quantified(expr, Comparison::Equal, subquery, true)?;
                Ok(if *negated { not(found) } else { found })
            }
            Ast::AnyOp { left, compare_op, right, .. } => {
                self.quantified_op(left, compare_op, right, true)
            }
            Ast::AllOp { left, compare_op, right } => {
                self.quantified_op(left, compare_op, right, false)
            }
            Ast::Exists { subquery, negated } => {
                let (index, _) = self.subquery(subquery)?;
                let found = Expr::Subquery { index, use_: SubqueryUse::Exists };
                let found = Typed::new(found, Type::Bool);
                Ok(if *negated { not(found) } else { found })
            }
            Ast::Subquery(query) => {
                let (index, columns) = self.subquery(query)?;
                match columns.as_slice() {
                    [(_, of)] => {
                        Ok(Typed::new(Expr::Subquery { index, use_: SubqueryUse::Scalar }, *of))
                    }
                    _ => Err(SqlError::syntax("subquery must return only one column")),
                }
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, false, *negated)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, true, *negated)
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Function(function) => self.function(function),
            Ast::Tuple(fields) => {
                let fields =
                    fields.iter().map(|field| self.expr(field)).collect::<Result<Vec<_>>>()?;
                let fields = fields
                    .into_iter()
                    .map(|field| match field.of {
                        Type::Unknown => Ok(self.cast_to(field, Type::Text)?.expr),
                        _ => Ok(field.expr),
                    })
                    .collect::<Result<_>>()?;
                Ok(Typed::new(Expr::Row(fields), Type::Record))
            }
            Ast::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                special: _,
                shorthand,
            } => {
                let mut args = vec![self.expr(expr)?, self.expr(from)?];
                if let Some(length) = substring_for {
                    args.push(self.expr(length)?);
                }
                self.call(if *shorthand { "substr" } else { "substring" }, args)
            }
            Ast::Position { expr, r#in } => {
                let (part, whole) = (self.expr(expr)?, self.expr(r#in)?);
                self.call("position", vec![whole, part])
            }
            Ast::Ceil {
                expr,
                field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime),
            } => {
                let arg = self.expr(expr)?;
                self.call("ceil", vec![arg])
            }
            Ast::Floor {
                expr,
                field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime),
            } => {
                let arg = self.expr(expr)?;
                self.call("floor", vec![arg])
            }
            Ast::Trim { expr, trim_where, trim_what, trim_characters: None } => {
                let name = match trim_where {
                    None | Some(ast::TrimWhereField::Both) => "btrim",
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                };
                let mut args = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expr(what)?);
                }
                self.call(name, args)
            }
            Ast::Collate { expr, .. } => self.expr(expr),
            other => Err(SqlError::not_supported(format!("the expression {other}"))),
        }
    }

    /// A cast that was written.
    fn fitted(&self, typed: Typed, of: Type, modifier: Modifier) -> Result<Typed> {
        if !cast::is_castable(typed.of, of) {
            return Err(cast::cannot_cast(typed.of, of));
        }
        let typed = self.cast_to(typed, of)?;
        if modifier == Modifier::None {
            return Ok(typed);
        }
        let expr = Box::new(typed.expr);
        Ok(Typed::new(Expr::Fit { expr, of, modifier, is_explicit: true }, of))
    }

    fn unary(&mut self, op: UnaryOperator, expr: &Ast) -> Result<Typed> {
        // -9223372036854775808 is a number of its own.
        if op == UnaryOperator::Minus
            && let Some(number) = signed_number(expr)
        {
            return match number.strip_prefix('-') {
                Some(number) => number_literal(number),
                None => number_literal(&format!("-{number}")),
            };
        }
        let typed = self.expr(expr)?;
        match op {
            UnaryOperator::Not => {
                let expr = self.condition(typed, "NOT")?;
                Ok(not(Typed::new(expr, Type::Bool)))
            }
            UnaryOperator::Plus | UnaryOperator::Minus if typed.of.is_number() => {
                if op == UnaryOperator::Plus {
                    return Ok(typed);
                }
                let of = typed.of;
                Ok(Typed::new(Expr::Negate { of, expr: Box::new(typed.expr) }, of))
            }
            UnaryOperator::BitwiseNot if typed.of.is_integer() => {
                let (of, ones) = (typed.of, Typed::new(Expr::Const(Datum::Int4(-1)), Type::Int4));
                let ones = self.cast_to(ones, of)?;
                self.binary(typed, &BinaryOperator::PGBitwiseXor, ones)
            }
            UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::BitwiseNot => {
                if typed.of == Type::Unknown {
                    let message = format!("operator is not unique: {op} unknown");
                    return Err(SqlError::new("42725", message).hint(
                        "Could not choose a best candidate operator. You might need to add explicit type casts.",
                    ));
                }
                let message = format!("operator does not exist: {op} {}", typed.of.name());
                Err(SqlError::new("42883", message).hint(
                    "No operator matches the given name and argument type. You might need to add an explicit type cast.",
                ))
            }
            other => Err(SqlError::not_supported(format!("the operator {other}"))),
        }
    }

    fn binary_op(&mut self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Typed> {
        if let BinaryOperator::And | BinaryOperator::Or = op {
            let clause = if *op == BinaryOperator::And { "AND" } else { "OR" };
            let left = self.expr(left)?;
            let left = self.condition(left, clause)?;
            let right = self.expr(right)?;
            let right = self.condition(right, clause)?;
            let parts = vec![left, right];
            let expr = if *op == BinaryOperator::And { Expr::And(parts) } else { Expr::Or(parts) };
            return Ok(Typed::new(expr, Type::Bool));
        }
        if let (Some(lefts), Some(op)) = (fields(left), comparison_of(op)) {
            if let Some(rights) = fields(right) {
                let (lefts, rights) = (self.row_fields(&lefts)?, self.row_fields(&rights)?);
                return self.row_comparison(op, lefts, rights);
            }
            if let Ast::Subquery(query) = right {
                return self.row_subquery(&lefts, op, query);
            }
        }
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        self.binary(left, op, right)
    }

    fn is_null(&mut self, expr: &Ast, negated: bool) -> Result<Typed> {
        let expr = Box::new(self.expr(expr)?.expr);
        Ok(Typed::new(Expr::IsNull { expr, negated }, Type::Bool))
    }

    fn is_unknown(&mut self, expr: &Ast, negated: bool) -> Result<Typed> {
        let typed = self.expr(expr)?;
        let clause = if negated { "IS NOT UNKNOWN" } else { "IS UNKNOWN" };
        let expr = Box::new(self.condition(typed, clause)?);
        Ok(Typed::new(Expr::IsNull { expr, negated }, Type::Bool))
    }

    fn is(&mut self, expr: &Ast, value: bool, negated: bool) -> Result<Typed> {
        let typed = self.expr(expr)?;
        let clause = match (value, negated) {
            (true, false) => "IS TRUE",
            (true, true) => "IS NOT TRUE",
            (false, false) => "IS FALSE",
            (false, true) => "IS NOT FALSE",
        };
        let expr = Box::new(self.condition(typed, clause)?);
        Ok(Typed::new(Expr::Is { expr, value, negated }, Type::Bool))
    }

    fn distinct(&mut self, left: &Ast, right: &Ast, negated: bool) -> Result<Typed> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let (left, right, of) = self.equated(left, right)?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(Typed::new(Expr::Distinct { of, left, right, negated }, Type::Bool))
    }

    fn in_list(&mut self, expr: &Ast, list: &[Ast], negated: bool) -> Result<Typed> {
        let rows: Option<Vec<_>> = list.iter().map(fields).collect();
        if let (Some(row), Some(rows)) = (fields(expr), rows) {
            let row = self.row_fields(&row)?;
            let mut parts = Vec::with_capacity(rows.len());
            for other in rows {
                let other = self.row_fields(&other)?;
                parts.push(self.row_comparison(Comparison::Equal, row.clone(), other)?.expr);
            }
            let found = Typed::new(Expr::Or(parts), Type::Bool);
            return Ok(if negated { not(found) } else { found });
        }
        let value = self.expr(expr)?;
        let mut all = vec![value];
        for item in list {
            all.push(self.expr(item)?);
        }
        let of = all[0].of;
        if all[1..]
            .iter()
            .any(|item| !cast::is_implicit(item.of, of) && !cast::is_implicit(of, item.of))
        {
            // For the message.
            for item in all.split_off(1) {
                let op = if negated { Comparison::NotEqual } else { Comparison::Equal };
                self.comparison(op, all[0].clone(), item)?;
            }
            return Err(SqlError::not_supported("IN of values of several types"));
        }
        let (mut exprs, of) = self.common(all, "IN")?;
        let expr = Box::new(exprs.remove(0));
        Ok(Typed::new(Expr::In { of, expr, list: exprs, negated }, Type::Bool))
    }

    fn like(
        &mut self,
        expr: &Ast,
        pattern: &Ast,
        ignores_case: bool,
        negated: bool,
    ) -> Result<Typed> {
        let (value, pattern) = (self.expr(expr)?, self.expr(pattern)?);
        for side in [&value, &pattern] {
            if !side.of.is_string() && side.of != Type::Unknown {
                let symbol = match (ignores_case, negated) {
                    (false, false) => "~~",
                    (false, true) => "!~~",
                    (true, false) => "~~*",
                    (true, true) => "!~~*",
                };
                return Err(no_operator(symbol, value.of, pattern.of));
            }
        }
        let expr = Box::new(self.cast_to(value, Type::Text)?.expr);
        let pattern = Box::new(self.cast_to(pattern, Type::Text)?.expr);
        Ok(Typed::new(Expr::Like { expr, pattern, ignores_case, negated }, Type::Bool))
    }

    fn case(
        &mut self,
        operand: Option<&Ast>,
        conditions: &[CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Result<Typed> {
        let operand = operand.map(|operand| self.expr(operand)).transpose()?;
        let (mut tests, mut values) = (Vec::new(), Vec::new());
        for CaseWhen { condition, result } in conditions {
            let condition = self.expr(condition)?;
            tests.push(match &operand {
                Some(operand) => {
                    self.comparison(Comparison::Equal, operand.clone(), condition)?.expr
                }
                None => self.condition(condition, "CASE/WHEN")?,
            });
            values.push(self.expr(result)?);
        }
        // What ELSE gives comes first where types are chosen.
        let has_otherwise = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            values.insert(0, self.expr(otherwise)?);
        }
        let (mut values, of) = self.common(values, "CASE")?;
        let otherwise = if has_otherwise { Some(Box::new(values.remove(0))) } else { None };
        let whens = tests.into_iter().zip(values).collect();
        Ok(Typed::new(Expr::Case { whens, otherwise }, of))
    }

    /// `$1`
    fn placeholder(&self, number: &str) -> Result<Typed> {
        let at = number.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let found = at.and_then(|at| self.parameters.get(at.checked_sub(1)?));
        found
            .map(super::Parameter::typed)
            .ok_or_else(|| SqlError::new("42P02", format!("there is no parameter {number}")))
    }
}

fn not(typed: Typed) -> Typed {
    Typed::new(Expr::Not(Box::new(typed.expr)), Type::Bool)
}
