//! Expressions analyzed.

use std::rc::Rc;

use sqlparser::ast::{
    self, BinaryOperator, CaseWhen, DuplicateTreatment, Expr as Ast, FunctionArg, FunctionArgExpr,
    FunctionArguments, UnaryOperator, Value,
};

use super::operators::comparison_of;
use super::{Analyzer, Query, Typed};
use crate::cast;
use crate::error::{Result, SqlError};
use crate::expr::{Comparison, Expr, SubqueryUse};
use crate::function;
use crate::numeric::{Numeric, has_far_exponent, overflow};
use crate::plan::{AggregateCall, AggregateKind, Subplan};
use crate::routine::Routine;
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
            Ast::IsUnknown(expr) => self.is_null(expr, false),
            Ast::IsNotUnknown(expr) => self.is_null(expr, true),
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
                shorthand: _,
            } => {
                let mut args = vec![self.expr(expr)?, self.expr(from)?];
                if let Some(length) = substring_for {
                    args.push(self.expr(length)?);
                }
                self.call("substring", args)
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
        // Rows are compared field by field.
        if let (Ast::Tuple(lefts), Ast::Tuple(rights), Some(op)) = (left, right, comparison_of(op))
            && matches!(op, Comparison::Equal | Comparison::NotEqual)
            && lefts.len() == rights.len()
        {
            let mut parts = Vec::new();
            for (left, right) in lefts.iter().zip(rights) {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                parts.push(self.comparison(Comparison::Equal, left, right)?.expr);
            }
            let all = Typed::new(Expr::And(parts), Type::Bool);
            return Ok(if op == Comparison::Equal { all } else { not(all) });
        }
        if let (Ast::Tuple(lefts), Ast::Subquery(query), Some(op)) =
            (left, right, comparison_of(op))
        {
            return self.row_subquery(lefts, op, query);
        }
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        self.binary(left, op, right)
    }

    /// `(a, b) = (SELECT c, d ...)`
    fn row_subquery(&mut self, lefts: &[Ast], op: Comparison, query: &ast::Query) -> Result<Typed> {
        let fields =
            lefts.iter().map(|field| Ok(self.expr(field)?.expr)).collect::<Result<Vec<_>>>()?;
        let (index, columns) = self.subquery(query)?;
        if columns.len() != fields.len() {
            let few = if columns.len() < fields.len() { "few" } else { "many" };
            return Err(SqlError::syntax(format!("subquery has too {few} columns")));
        }
        let right = Box::new(Expr::Subquery { index, use_: SubqueryUse::Row });
        let left = Box::new(Expr::Row(fields));
        Ok(Typed::new(Expr::Compare { op, of: Type::Record, left, right }, Type::Bool))
    }

    fn is_null(&mut self, expr: &Ast, negated: bool) -> Result<Typed> {
        let expr = Box::new(self.expr(expr)?.expr);
        Ok(Typed::new(Expr::IsNull { expr, negated }, Type::Bool))
    }

    fn is(&mut self, expr: &Ast, value: bool, negated: bool) -> Result<Typed> {
        let typed = self.expr(expr)?;
        let expr = Box::new(self.condition(typed, if value { "IS TRUE" } else { "IS FALSE" })?);
        Ok(Typed::new(Expr::Is { expr, value, negated }, Type::Bool))
    }

    fn distinct(&mut self, left: &Ast, right: &Ast, negated: bool) -> Result<Typed> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let (left, right, of) = self.equated(left, right)?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(Typed::new(Expr::Distinct { of, left, right, negated }, Type::Bool))
    }

    fn in_list(&mut self, expr: &Ast, list: &[Ast], negated: bool) -> Result<Typed> {
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
                self.comparison(Comparison::Equal, all[0].clone(), item)?;
            }
            return Err(SqlError::not_supported("IN of values of several types"));
        }
        let (mut exprs, of) = self.common(all, "IN")?;
        let expr = Box::new(exprs.remove(0));
        Ok(Typed::new(Expr::In { of, expr, list: exprs, negated }, Type::Bool))
    }

    fn quantified_op(
        &mut self,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
        is_any: bool,
    ) -> Result<Typed> {
        let op = comparison_of(op)
            .ok_or_else(|| SqlError::not_supported(format!("the operator {op} with ANY or ALL")))?;
        match right {
            Ast::Nested(inner) if !matches!(**inner, Ast::Nested(_)) => {
                self.quantified_array(left, op, inner, is_any)
            }
            Ast::Array(_) => self.quantified_array(left, op, right, is_any),
            Ast::Subquery(query) => self.quantified(left, op, query, is_any),
            other => Err(SqlError::not_supported(format!("ANY or ALL of {other}"))),
        }
    }

    /// `expr op ANY (ARRAY[...])`
    fn quantified_array(
        &mut self,
        left: &Ast,
        op: Comparison,
        right: &Ast,
        is_any: bool,
    ) -> Result<Typed> {
        let Ast::Array(array) = right else {
            return Err(SqlError::not_supported(format!("ANY or ALL of {right}")));
        };
        let value = self.expr(left)?;
        let items = array.elem.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>>>()?;
        let (items, of) = self.common(items, "ARRAY")?;
        let mut parts = Vec::with_capacity(items.len());
        for item in items {
            parts.push(self.comparison(op, value.clone(), Typed::new(item, of))?.expr);
        }
        let expr = if is_any { Expr::Or(parts) } else { Expr::And(parts) };
        Ok(Typed::new(expr, Type::Bool))
    }

    fn quantified(
        &mut self,
        expr: &Ast,
        op: Comparison,
        query: &ast::Query,
        is_any: bool,
    ) -> Result<Typed> {
        let value = self.expr(expr)?;
        let (index, columns) = self.subquery(query)?;
        let (expr, of) = match (&value.expr, columns.as_slice()) {
            (Expr::Row(fields), columns)
                if fields.len() == columns.len() && value.of == Type::Record =>
            {
                (value.expr, Type::Record)
            }
            (_, [(_, of)]) => {
                let other = Typed::new(Expr::column(0), *of);
                let (expr, other, of) = self.equated(value, other)?;
                if other != Expr::column(0) {
                    let Subplan { plan, .. } = &mut self.subplans[index];
                    let input = std::mem::replace(plan, crate::plan::Plan::One);
                    *plan =
                        crate::plan::Plan::Project { input: Box::new(input), exprs: vec![other] };
                }
                (expr, of)
            }
            _ => return Err(SqlError::syntax("subquery has too many columns")),
        };
        let expr = Box::new(expr);
        let use_ = if is_any {
            SubqueryUse::Any { expr, op, of }
        } else {
            SubqueryUse::All { expr, op, of }
        };
        Ok(Typed::new(Expr::Subquery { index, use_ }, Type::Bool))
    }

    /// A query inside of an expression.
    fn subquery(&mut self, query: &ast::Query) -> Result<(usize, Vec<(String, Type)>)> {
        let before = std::mem::replace(&mut self.outermost, usize::MAX);
        let analyzed = self.query(query);
        let is_constant = self.outermost >= self.levels.len();
        self.outermost = self.outermost.min(before);
        let Query { plan, columns } = analyzed?;
        self.subplans.push(Subplan { plan, is_constant });
        Ok((self.subplans.len() - 1, columns))
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
                let (left, right) = (value.of.name(), pattern.of.name());
                let message = format!("operator does not exist: {left} ~~ {right}");
                return Err(SqlError::new("42883", message).hint(
                    "No operator matches the given name and argument types. You might need to add explicit type casts.",
                ));
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

    fn function(&mut self, written: &ast::Function) -> Result<Typed> {
        let name = match written.name.0.as_slice() {
            [ast::ObjectNamePart::Identifier(name)] => ident(name),
            [ast::ObjectNamePart::Identifier(schema), ast::ObjectNamePart::Identifier(name)]
                if ident(schema) == "pg_catalog" =>
            {
                ident(name)
            }
            _ => return Err(SqlError::not_supported(format!("the function {}", written.name))),
        };
        if written.over.is_some() {
            return Err(SqlError::not_supported("OVER"));
        }
        let (arguments, distinct) = match &written.args {
            FunctionArguments::None => (&[][..], false),
            FunctionArguments::List(list) => {
                if !list.clauses.is_empty() {
                    return Err(SqlError::not_supported(format!("a clause within {name}()")));
                }
                let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                (list.args.as_slice(), distinct)
            }
            FunctionArguments::Subquery(_) => {
                return Err(SqlError::not_supported(format!("a query as argument of {name}()")));
            }
        };
        if let Some(kind) = aggregate_kind(&name) {
            return self.aggregate(&name, kind, arguments, distinct, written.filter.as_deref());
        }
        let mut args = Vec::with_capacity(arguments.len());
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.expr(expr)?),
                other => return Err(SqlError::not_supported(format!("the argument {other}"))),
            }
        }
        match name.as_str() {
            "coalesce" => {
                let (args, of) = self.common(args, "COALESCE")?;
                Ok(Typed::new(Expr::Coalesce(args), of))
            }
            "greatest" | "least" => {
                let greatest = name == "greatest";
                let (args, of) = self.common(args, if greatest { "GREATEST" } else { "LEAST" })?;
                Ok(Typed::new(Expr::Extreme { of, args, greatest }, of))
            }
            "nullif" if args.len() == 2 => {
                let right = args.remove(1);
                let (left, right, of) = self.equated(args.remove(0), right)?;
                let (left, right) = (Box::new(left), Box::new(right));
                Ok(Typed::new(Expr::NullIf { of, left, right }, of))
            }
            "row" => Ok(Typed::new(
                Expr::Row(args.into_iter().map(|arg| arg.expr).collect()),
                Type::Record,
            )),
            "pg_typeof" if args.len() == 1 => {
                let name = args[0].of.name().to_owned();
                Ok(Typed::new(Expr::Const(Datum::Text(name)), Type::Text))
            }
            "generate_series" => {
                Err(SqlError::new("0A000", "set-returning functions are not allowed here"))
            }
            _ => self.call(&name, args),
        }
    }

    /// A call of the function that fits the arguments best.
    fn call(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let fits = |function: &&function::Function| {
            if let Some(least) = function.least {
                return args.len() >= least;
            }
            let pairs = args.iter().zip(function.args);
            function.args.len() == args.len()
                && pairs.into_iter().all(|(arg, of)| cast::is_implicit(arg.of, *of))
        };
        // Of several the one that takes most arguments as they are, then the one that makes most others of a preferred type
        // (`func_select_candidate`).
        let fitness = |function: &'static function::Function| {
            let pairs = || args.iter().zip(function.args);
            let exact = pairs().filter(|(arg, of)| arg.of == **of).count();
            let preferred = pairs().filter(|(arg, of)| arg.of != **of && of.is_preferred()).count();
            (exact, preferred)
        };
        let mut best: Option<&'static function::Function> = None;
        for function in function::named(name).filter(fits) {
            if best.is_none_or(|best| fitness(function) > fitness(best)) {
                best = Some(function);
            }
        }
        let Some(function) = best else {
            return self.call_routine(name, args);
        };
        if function.least.is_some() {
            let args = args.into_iter().map(|arg| match arg.of {
                Type::Unknown => Ok(self.cast_to(arg, Type::Text)?.expr),
                _ => Ok(arg.expr),
            });
            let args = args.collect::<Result<_>>()?;
            return Ok(Typed::new(Expr::Call { function, args }, function.result));
        }
        let args = args.into_iter().zip(function.args);
        let args = args.map(|(arg, of)| Ok(self.cast_to(arg, *of)?.expr)).collect::<Result<_>>()?;
        Ok(Typed::new(Expr::Call { function, args }, function.result))
    }

    /// `$1`
    fn placeholder(&self, number: &str) -> Result<Typed> {
        let at = number.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let found = at.and_then(|at| self.parameters.get(at.checked_sub(1)?));
        found
            .map(super::Parameter::typed)
            .ok_or_else(|| SqlError::new("42P02", format!("there is no parameter {number}")))
    }

    /// A call of a function that was made by SQL.
    fn call_routine(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let known = Routine::named(name, self.transaction)?;
        let fits = |routine: &&Rc<Routine>| {
            let pairs = args.iter().zip(&routine.args);
            routine.args.len() == args.len()
                && pairs
                    .into_iter()
                    .all(|(arg, wanted)| wanted.of.is_none_or(|of| cast::is_implicit(arg.of, of)))
        };
        let exact = |routine: &&Rc<Routine>| {
            args.iter().zip(&routine.args).filter(|(arg, wanted)| wanted.of == Some(arg.of)).count()
        };
        let Some(routine) = known.iter().filter(fits).max_by_key(exact) else {
            return Err(no_function(name, &args));
        };
        let (mut exprs, mut types) = (Vec::new(), Vec::new());
        for (arg, wanted) in args.into_iter().zip(&routine.args) {
            let of = match wanted.of {
                Some(of) => of,
                None if arg.of == Type::Unknown => Type::Text,
                None => arg.of,
            };
            exprs.push(self.cast_to(arg, of)?.expr);
            types.push(of);
        }
        let expr = Expr::Routine { routine: Rc::clone(routine), args: exprs, types };
        Ok(Typed::new(expr, routine.result))
    }

    fn aggregate(
        &mut self,
        name: &str,
        kind: AggregateKind,
        arguments: &[FunctionArg],
        distinct: bool,
        filter: Option<&Ast>,
    ) -> Result<Typed> {
        if let Some(clause) = self.level()?.no_aggregates {
            let message = match clause {
                NESTED => "aggregate function calls cannot be nested".to_owned(),
                clause => format!("aggregate functions are not allowed in {clause}"),
            };
            return Err(SqlError::new("42803", message));
        }
        // Within an aggregate there is no other.
        self.level()?.no_aggregates = Some(NESTED);
        let analyzed = self.aggregate_arguments(arguments, filter);
        self.level()?.no_aggregates = None;
        let (mut args, filter) = analyzed?;
        let of = args.first().map_or(Type::Void, |arg| arg.of);
        let given = args.clone();
        let wrong = || Err(no_function(name, &given));
        let (input, result) = match kind {
            AggregateKind::Count => (of, Type::Int8),
            AggregateKind::Sum => match of {
                Type::Int2 | Type::Int4 => (Type::Int8, Type::Int8),
                Type::Int8 | Type::Numeric => (Type::Numeric, Type::Numeric),
                Type::Float8 => (Type::Float8, Type::Float8),
                _ => return wrong(),
            },
            AggregateKind::Average => match of {
                of if of.is_integer() || of == Type::Numeric => (Type::Numeric, Type::Numeric),
                Type::Float8 => (Type::Float8, Type::Float8),
                _ => return wrong(),
            },
            AggregateKind::Min | AggregateKind::Max => match of {
                Type::Bool | Type::Uuid | Type::Bytea | Type::Void | Type::Record => {
                    return wrong();
                }
                Type::Unknown | Type::Varchar => (Type::Text, Type::Text),
                of => (of, of),
            },
            AggregateKind::And | AggregateKind::Or => match of {
                Type::Bool | Type::Unknown => (Type::Bool, Type::Bool),
                _ => return wrong(),
            },
            AggregateKind::StringAgg => (Type::Text, Type::Text),
        };
        let takes = match kind {
            AggregateKind::Count if args.is_empty() => has_wildcard(arguments),
            AggregateKind::Count => args.len() <= 1,
            AggregateKind::StringAgg => args.len() == 2,
            _ => args.len() == 1,
        };
        if !takes {
            return wrong();
        }
        if kind == AggregateKind::StringAgg
            && args.iter().any(|arg| !cast::is_implicit(arg.of, Type::Text))
        {
            return wrong();
        }
        for arg in &mut args {
            *arg = self.cast_to(arg.clone(), input)?;
        }
        let args = args.into_iter().map(|arg| arg.expr).collect();
        let call = AggregateCall { kind, args, of: input, distinct, filter };
        let aggregates = &mut self.level()?.aggregates;
        let known = aggregates.iter().position(|known| *known == call);
        let place = known.unwrap_or_else(|| {
            aggregates.push(call);
            aggregates.len() - 1
        });
        Ok(Typed::new(Expr::Aggregate(place), result))
    }

    fn aggregate_arguments(
        &mut self,
        arguments: &[FunctionArg],
        filter: Option<&Ast>,
    ) -> Result<(Vec<Typed>, Option<Expr>)> {
        let mut args = Vec::new();
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.expr(expr)?),
                other => return Err(SqlError::not_supported(format!("the argument {other}"))),
            }
        }
        let filter = match filter {
            Some(filter) => {
                let typed = self.expr(filter)?;
                Some(self.condition(typed, "FILTER")?)
            }
            None => None,
        };
        Ok((args, filter))
    }
}

/// Within an aggregate's arguments.
const NESTED: &str = "aggregate function calls";

fn has_wildcard(arguments: &[FunctionArg]) -> bool {
    matches!(arguments, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)])
}

fn no_function(name: &str, args: &[Typed]) -> SqlError {
    let types: Vec<&str> = args.iter().map(|arg| arg.of.name()).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    SqlError::new("42883", message).hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    )
}

/// A number literal with the signs and parentheses around it.
pub(super) fn signed_number(written: &Ast) -> Option<String> {
    match written {
        Ast::Nested(inner) => signed_number(inner),
        Ast::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let number = signed_number(expr)?;
            Some(match number.strip_prefix('-') {
                Some(number) => number.to_owned(),
                None => format!("-{number}"),
            })
        }
        Ast::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn not(typed: Typed) -> Typed {
    Typed::new(Expr::Not(Box::new(typed.expr)), Type::Bool)
}

fn aggregate_kind(name: &str) -> Option<AggregateKind> {
    Some(match name {
        "count" => AggregateKind::Count,
        "sum" => AggregateKind::Sum,
        "avg" => AggregateKind::Average,
        "min" => AggregateKind::Min,
        "max" => AggregateKind::Max,
        "bool_and" | "every" => AggregateKind::And,
        "bool_or" => AggregateKind::Or,
        "string_agg" => AggregateKind::StringAgg,
        _ => return None,
    })
}

fn literal(value: &Value) -> Result<Typed> {
    Ok(match value {
        Value::Null => Typed::new(Expr::Const(Datum::Null), Type::Unknown),
        Value::Boolean(value) => Typed::new(Expr::Const(Datum::Bool(*value)), Type::Bool),
        Value::Number(number, _) => return number_literal(number),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
            Typed::new(Expr::Const(Datum::Text(text.clone())), Type::Unknown)
        }
        Value::DollarQuotedString(text) => {
            Typed::new(Expr::Const(Datum::Text(text.value.clone())), Type::Unknown)
        }
        other => return Err(SqlError::not_supported(format!("the literal {other}"))),
    })
}

/// `make_const`: the narrowest type that has the number.
fn number_literal(text: &str) -> Result<Typed> {
    if let Ok(value) = text.parse::<i32>() {
        return Ok(Typed::new(Expr::Const(Datum::Int4(value)), Type::Int4));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Typed::new(Expr::Const(Datum::Int8(value)), Type::Int8));
    }
    if has_far_exponent(text) {
        return Err(overflow());
    }
    let number = Numeric::parse(text)
        .ok_or_else(|| SqlError::syntax(format!("syntax error at or near \"{text}\"")))?;
    Ok(Typed::new(Expr::Const(Datum::Numeric(number.checked()?)), Type::Numeric))
}
