//! Calls of functions: which of several of one name is meant.
//!
//! Invariant: a call's arguments are of the types that its function takes. Source: `parse_func.c`, for the types that there
//! are.

use std::rc::Rc;

use sqlparser::ast::{self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::aggregate::aggregate_kind;
use super::{Analyzer, Entry, EntryKind, Typed};
use crate::cast;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::function::{self, size};
use crate::routine::Routine;
use crate::table::ident;
use crate::types::{Datum, Type};

impl Analyzer<'_, '_, '_> {
    pub(super) fn function(&mut self, written: &ast::Function) -> Result<Typed> {
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
            "pg_column_size" | "pg_column_compression" if args.len() == 1 => {
                self.stored_value(args.remove(0), name == "pg_column_size")
            }
            "generate_series" => {
                Err(SqlError::new("0A000", "set-returning functions are not allowed here"))
            }
            _ => self.call(&name, args),
        }
    }

    /// `pg_column_size` or `pg_column_compression`: of a table's column what its row has.
    fn stored_value(&mut self, arg: Typed, is_size: bool) -> Result<Typed> {
        if let (Type::Unknown, Expr::Const(value)) = (arg.of, &arg.expr) {
            let size = value.text().filter(|_| is_size).map(|text| text.len() + 1);
            let size = size.map_or(Datum::Null, |size| Datum::Int4(size as i32));
            return Ok(Typed::new(
                Expr::Const(size),
                if is_size { Type::Int4 } else { Type::Text },
            ));
        }
        let name = if is_size { size::STORED_SIZE } else { size::STORED_COMPRESSION };
        let stored = match self.place_of(&arg.expr) {
            Some(mut place) => {
                place.insert(0, arg.clone());
                Some(self.call(name, place)?)
            }
            None => None,
        };
        if !is_size {
            let none = || Typed::new(Expr::Const(Datum::Null), Type::Text);
            return Ok(stored.unwrap_or_else(none));
        }
        let in_memory = self.call(size::SIZE, vec![arg])?;
        // A row that is about to be stored is not there yet.
        let both = stored.into_iter().chain([in_memory]).map(|typed| typed.expr);
        Ok(Typed::new(Expr::Coalesce(both.collect()), Type::Int4))
    }

    /// The column that an expression is, if it is a table's, by its name there, with the row's `ctid` and `tableoid`.
    fn place_of(&self, expr: &Expr) -> Option<Vec<Typed>> {
        let Expr::Column { depth, index } = *expr else { return None };
        let level = self.levels.iter().rev().nth(depth)?;
        let is_it =
            |entry: &&Entry| (entry.base..entry.base + entry.columns.len()).contains(&index);
        let entry =
            level.entries.iter().find(is_it).filter(|entry| entry.kind != EntryKind::New)?;
        let column = entry.family.as_ref()?.head.columns.get(index - entry.base)?;
        let hidden = entry.base + entry.columns.len();
        let place = |index, of| Typed::new(Expr::Column { depth, index }, of);
        let name = Typed::new(Expr::Const(Datum::Text(column.name.clone())), Type::Text);
        Some(vec![name, place(hidden, Type::Tid), place(hidden + 1, Type::Oid)])
    }

    /// A call of the function that fits the arguments best.
    pub(super) fn call(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
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

    /// A call of a function that was made by SQL.
    fn call_routine(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let known = Routine::named(name, self.transaction)?;
        // Arguments of any type are of one.
        let any = |routine: &Rc<Routine>| {
            let pairs = args.iter().zip(&routine.args);
            let mut any =
                pairs.filter(|(arg, wanted)| wanted.of.is_none() && arg.of != Type::Unknown);
            let first = any.next().map(|(arg, _)| arg.of);
            (first, any.all(|(arg, _)| Some(arg.of) == first))
        };
        let fits = |routine: &&Rc<Routine>| {
            let pairs = args.iter().zip(&routine.args);
            routine.args.len() == args.len()
                && any(routine).1
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
        let any = any(routine).0.unwrap_or(Type::Text);
        let (mut exprs, mut types) = (Vec::new(), Vec::new());
        for (arg, wanted) in args.into_iter().zip(&routine.args) {
            let of = wanted.of.unwrap_or(any);
            exprs.push(self.cast_to(arg, of)?.expr);
            types.push(of);
        }
        let expr = Expr::Routine { routine: Rc::clone(routine), args: exprs, types };
        Ok(Typed::new(expr, routine.result))
    }
}

pub(super) fn no_function(name: &str, args: &[Typed]) -> SqlError {
    let types: Vec<&str> = args.iter().map(|arg| arg.of.name()).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    SqlError::new("42883", message).hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    )
}
