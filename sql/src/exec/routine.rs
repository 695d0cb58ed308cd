//! Functions called: their statements run as commands within the one that calls them.
//!
//! Invariant: what a function's statement changed is seen by its later ones, and by the statement that called it only in so
//! far as that is told the result. Source: `functions.c`.

use std::rc::Rc;

use super::Exec;
use crate::analyze::Parameter;
use crate::error::{Result, SqlError};
use crate::parse::{Statement, statements};
use crate::plpgsql;
use crate::ready::ready;
use crate::routine::{Language, Routine};
use crate::types::{Datum, Type};

/// How deeply functions may call each other.
const DEEPEST: usize = 200;

/// What a statement within a function came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) gives_rows: bool,
    pub(crate) types: Vec<Type>,
    pub(crate) rows: Vec<super::Row>,
    /// How many rows it changed.
    pub(crate) changed: u64,
}

impl Exec<'_, '_, '_, '_> {
    /// Calls a function; `types` are those of the arguments.
    pub(crate) fn call(
        &mut self,
        routine: &Routine,
        args: Vec<Datum>,
        types: &[Type],
    ) -> Result<Datum> {
        if routine.is_strict && args.iter().any(Datum::is_null) {
            return Ok(Datum::Null);
        }
        if self.state.calls >= DEEPEST {
            return Err(SqlError::new("54001", "stack depth limit exceeded"));
        }
        let parameter = |((arg, value), of): ((&crate::routine::Argument, Datum), &Type)| {
            Parameter { name: arg.name.clone(), value, of: *of, is_variable: false }
        };
        let parameters: Rc<[Parameter]> =
            routine.args.iter().zip(args).zip(types).map(parameter).collect();
        let outer = self.transaction.begin_nested()?;
        self.state.calls += 1;
        let called = match routine.language {
            Language::Sql => self.sql_body(routine, &parameters),
            Language::Plpgsql => plpgsql::read(routine)
                .and_then(|body| plpgsql::run(&body, routine, &parameters, self)),
        };
        self.state.calls -= 1;
        self.transaction.end_nested(outer);
        called
    }

    /// The statements of a body one after the other; the first value of the last one is the result.
    fn sql_body(&mut self, routine: &Routine, parameters: &Rc<[Parameter]>) -> Result<Datum> {
        let mut last = None;
        for statement in statements(&routine.body)? {
            let Statement::Sql(statement) = statement? else {
                return Err(SqlError::not_supported(
                    "a statement within a function that changes no rows",
                ));
            };
            last = Some(self.within(&statement, parameters)?).filter(|ran| ran.gives_rows);
        }
        if routine.result == Type::Void {
            return Ok(Datum::Null);
        }
        let name = routine.result.name();
        let wrong = |detail: &str| {
            let message = format!("return type mismatch in function declared to return {name}");
            Err(SqlError::new("42P13", message).detail(detail.to_owned()))
        };
        let Some(Ran { types, rows, .. }) = last else {
            return wrong(
                "Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.",
            );
        };
        let [of] = types.as_slice() else {
            return wrong("Final statement must return exactly one column.");
        };
        if *of != routine.result && !crate::cast::is_assignable(*of, routine.result) {
            return wrong(&format!("Actual return type is {}.", of.name()));
        }
        let value = rows.into_iter().next().and_then(|row| row.into_iter().next());
        crate::cast::cast(&value.unwrap_or(Datum::Null), *of, routine.result)
    }

    /// A statement as a command within this one.
    pub(crate) fn within(
        &mut self,
        statement: &sqlparser::ast::Statement,
        parameters: &Rc<[Parameter]>,
    ) -> Result<Ran> {
        self.transaction.begin_command()?;
        let parameters = Rc::clone(parameters);
        let program = ready(statement, parameters, self.transaction, self.database, self.state)?;
        let mut inner = Exec::new(&program, self.transaction, self.database, self.state);
        let rows = inner.run()?;
        let changed = inner.changed;
        let checks = std::mem::take(&mut inner.checks);
        self.checks.extend(checks);
        self.transaction.end_command();
        let types = program.columns.iter().map(|(_, of)| *of).collect();
        Ok(Ran { gives_rows: program.gives_rows, types, rows, changed })
    }
}
