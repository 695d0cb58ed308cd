//! Bodies run: one step after the other, each SQL in it a command within the statement that calls the function.
//!
//! Invariant: what a step gives a variable is of the variable's type, cast as an assignment casts. Source: `pl_exec.c`.

use std::rc::Rc;

use super::{Block, Body, Into, Loop, Query, Raise, Step, Variable};
use crate::analyze::Parameter;
use crate::cast;
use crate::error::{Notice, Result, SqlError};
use crate::exec::{Exec, Ran};
use crate::parse::{Statement, statements};
use crate::routine::Routine;
use crate::types::{Datum, Modifier, Type};

/// The number of the variable `found`, behind those of the arguments.
fn found(args: usize) -> usize {
    args
}

/// How a step ends.
enum Flow {
    Next,
    Left { label: Option<String>, goes_on: bool },
    Returned(Datum),
}

/// A function that runs.
struct Run<'b> {
    body: &'b Body,
    values: Vec<(Datum, Type)>,
    args: usize,
    result: Type,
}

/// Runs a function's body.
///
/// # Errors
/// What its steps fail with; `2F005` if it ends without a RETURN.
pub(crate) fn run(
    body: &Body,
    routine: &Routine,
    parameters: &[Parameter],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Datum> {
    let mut values: Vec<(Datum, Type)> =
        parameters.iter().map(|parameter| (parameter.value.clone(), parameter.of)).collect();
    for variable in &body.variables[values.len()..] {
        values.push((Datum::Null, variable.of.map_or(Type::Text, |(of, _)| of)));
    }
    let args = parameters.len();
    values[found(args)].0 = Datum::Bool(false);
    let mut run = Run { body, values, args, result: routine.result };
    match run.block(&body.block, exec)? {
        Flow::Returned(value) => Ok(value),
        _ if routine.result == Type::Void => Ok(Datum::Void),
        _ => Err(SqlError::new("2F005", "control reached end of function without RETURN")),
    }
}

/// A value as an assignment makes it one of another type: by a cast if there is one, else by its text.
fn assigned(value: Datum, from: Type, (to, modifier): (Type, Modifier)) -> Result<Datum> {
    let value = if from == to {
        value
    } else if cast::is_assignable(from, to) {
        cast::cast(&value, from, to)?
    } else {
        match value.text() {
            Some(text) => cast::input(&text, to)?,
            None => Datum::Null,
        }
    };
    if modifier == Modifier::None { Ok(value) } else { cast::apply(value, to, modifier, false) }
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step], exec: &mut Exec<'_, '_, '_, '_>) -> Result<Flow> {
        for step in steps {
            match self.step(step, exec)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn block(&mut self, block: &Block, exec: &mut Exec<'_, '_, '_, '_>) -> Result<Flow> {
        for variable in &block.declared {
            match &self.body.variables[*variable].default {
                Some(default) => {
                    let (value, of) = self.value(default, exec)?;
                    self.assign(*variable, value, of)?;
                }
                None => self.values[*variable].0 = Datum::Null,
            }
        }
        Ok(match self.steps(&block.steps, exec)? {
            Flow::Left { label: Some(label), goes_on: false }
                if Some(&label) == block.label.as_ref() =>
            {
                Flow::Next
            }
            other => other,
        })
    }

    fn step(&mut self, step: &Step, exec: &mut Exec<'_, '_, '_, '_>) -> Result<Flow> {
        exec.transaction.check_interrupts()?;
        match step {
            Step::Null => {}
            Step::Block(block) => return self.block(block, exec),
            Step::Assign { variable, value } => {
                let (value, of) = self.value(value, exec)?;
                self.assign(*variable, value, of)?;
            }
            Step::If { branches, otherwise } => {
                for (condition, steps) in branches {
                    if self.truth(condition, exec)? {
                        return self.steps(steps, exec);
                    }
                }
                return self.steps(otherwise, exec);
            }
            Step::Loop { label, kind, steps } => {
                return self.repeat(label.as_deref(), kind, steps, exec);
            }
            Step::Leave { label, when, goes_on } => {
                let leaves = match when {
                    Some(when) => self.truth(when, exec)?,
                    None => true,
                };
                if leaves {
                    return Ok(Flow::Left { label: label.clone(), goes_on: *goes_on });
                }
            }
            Step::Return(None) => return Ok(Flow::Returned(Datum::Void)),
            Step::Return(Some(value)) => {
                let (value, of) = self.value(value, exec)?;
                return assigned(value, of, (self.result, Modifier::None)).map(Flow::Returned);
            }
            Step::Raise(raise) => self.raise(raise, exec)?,
            Step::Perform(query) => {
                let ran = exec.within(&query.statement, &self.parameters(query))?;
                self.values[found(self.args)].0 = Datum::Bool(!ran.rows.is_empty());
            }
            Step::Execute { text, into, using } => {
                self.execute(text, into.as_ref(), using, exec)?;
            }
            Step::Sql { query, into } => {
                let ran = exec.within(&query.statement, &self.parameters(query))?;
                let is_found = if ran.gives_rows { !ran.rows.is_empty() } else { ran.changed > 0 };
                match into {
                    Some(into) => self.put(into, ran)?,
                    None if ran.gives_rows => return Err(no_destination(&query.statement)),
                    None => {}
                }
                self.values[found(self.args)].0 = Datum::Bool(is_found);
            }
        }
        Ok(Flow::Next)
    }

    fn repeat(
        &mut self,
        label: Option<&str>,
        kind: &Loop,
        steps: &[Step],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<Flow> {
        let mut counted = match kind {
            Loop::For { from, to, by, is_reverse, .. } => {
                let from = self.bound(from, "lower bound", exec)?;
                let to = self.bound(to, "upper bound", exec)?;
                let by = match by {
                    Some(by) => self.bound(by, "BY value", exec)?,
                    None => 1,
                };
                if by <= 0 {
                    let message = "BY value of FOR loop must be greater than zero";
                    return Err(SqlError::new("22023", message));
                }
                Some((from, to, if *is_reverse { -by } else { by }))
            }
            _ => None,
        };
        let mut has_run = false;
        let flow = loop {
            exec.transaction.check_interrupts()?;
            match (kind, &mut counted) {
                (Loop::While(condition), _) if !self.truth(condition, exec)? => break Flow::Next,
                (Loop::For { variable, .. }, Some((at, to, by))) => {
                    if (*by > 0 && *at > *to) || (*by < 0 && *at < *to) {
                        break Flow::Next;
                    }
                    // It stays within the type: what lies beyond ends the loop.
                    self.values[*variable].0 = Datum::Int4(*at as i32);
                    *at += *by;
                }
                _ => {}
            }
            has_run = true;
            match self.steps(steps, exec)? {
                Flow::Next => {}
                Flow::Left { label: left, goes_on }
                    if left.is_none() || left.as_deref() == label =>
                {
                    if !goes_on {
                        break Flow::Next;
                    }
                }
                other => break other,
            }
        };
        if counted.is_some() {
            self.values[found(self.args)].0 = Datum::Bool(has_run);
        }
        Ok(flow)
    }

    /// A whole number that a loop runs over.
    fn bound(&self, query: &Query, what: &str, exec: &mut Exec<'_, '_, '_, '_>) -> Result<i64> {
        let (value, of) = self.value(query, exec)?;
        let value = assigned(value, of, (Type::Int4, Modifier::None))?;
        value
            .int()
            .ok_or_else(|| SqlError::new("22004", format!("{what} of FOR loop cannot be null")))
    }

    fn variable(&self, at: usize) -> &Variable {
        &self.body.variables[at]
    }

    fn assign(&mut self, at: usize, value: Datum, from: Type) -> Result<()> {
        let to = self.variable(at).of.unwrap_or((self.values[at].1, Modifier::None));
        let value = assigned(value, from, to)?;
        if value.is_null() && self.variable(at).not_null {
            let name = self.variable(at).name.as_deref().unwrap_or_default();
            let message =
                format!("null value cannot be assigned to variable \"{name}\" declared NOT NULL");
            return Err(SqlError::new("22004", message));
        }
        self.values[at].0 = value;
        Ok(())
    }

    /// What can be named in a query: the arguments by their numbers, all by their names, the innermost first.
    fn parameters(&self, query: &Query) -> Rc<[Parameter]> {
        let parameter = |name: Option<String>, at: usize| Parameter {
            name,
            value: self.values[at].0.clone(),
            of: self.values[at].1,
            is_variable: true,
        };
        let args = (0..self.args).map(|at| parameter(None, at));
        let named = query.scope.iter().map(|at| parameter(self.variable(*at).name.clone(), *at));
        args.chain(named).collect()
    }

    /// The one value of an expression.
    fn value(&self, query: &Query, exec: &mut Exec<'_, '_, '_, '_>) -> Result<(Datum, Type)> {
        let ran = exec.within(&query.statement, &self.parameters(query))?;
        let (types, rows) = (ran.types, ran.rows);
        let [of] = types.as_slice() else {
            let message = format!("query returned {} columns", types.len());
            return Err(SqlError::syntax(message));
        };
        if rows.len() > 1 {
            return Err(SqlError::new("21000", "query returned more than one row"));
        }
        let value = rows.into_iter().next().and_then(|row| row.into_iter().next());
        Ok((value.unwrap_or(Datum::Null), *of))
    }

    fn truth(&self, query: &Query, exec: &mut Exec<'_, '_, '_, '_>) -> Result<bool> {
        let (value, of) = self.value(query, exec)?;
        Ok(assigned(value, of, (Type::Bool, Modifier::None))?.truth() == Some(true))
    }

    /// Gives the values of the first row to variables; nulls if there is none.
    fn put(&mut self, into: &Into, ran: Ran) -> Result<()> {
        if !ran.gives_rows {
            return Err(SqlError::syntax("INTO used with a command that cannot return data"));
        }
        let (types, rows) = (ran.types, ran.rows);
        if into.is_strict && rows.len() > 1 {
            let message = "query returned more than one row";
            let hint = "Make sure the query returns a single row, or use LIMIT 1.";
            return Err(SqlError::new("P0003", message).hint(hint));
        }
        if into.is_strict && rows.is_empty() {
            return Err(SqlError::new("P0002", "query returned no rows"));
        }
        let row = rows.into_iter().next().unwrap_or_default();
        let mut values = row.into_iter().zip(types);
        for variable in &into.variables {
            let (value, of) = values.next().unwrap_or((Datum::Null, Type::Unknown));
            self.assign(*variable, value, of)?;
        }
        Ok(())
    }

    fn execute(
        &mut self,
        text: &Query,
        into: Option<&Into>,
        using: &[Query],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        let (text, _) = self.value(text, exec)?;
        let Some(text) = text.text() else {
            let message = "query string argument of EXECUTE is null";
            return Err(SqlError::new("22004", message));
        };
        let mut parameters = Vec::with_capacity(using.len());
        for value in using {
            let (value, of) = self.value(value, exec)?;
            parameters.push(Parameter { name: None, value, of, is_variable: true });
        }
        let parameters: Rc<[Parameter]> = parameters.into();
        let mut last = None;
        for statement in statements(&text)? {
            let Statement::Sql(statement) = statement? else {
                return Err(SqlError::not_supported("such a statement within EXECUTE"));
            };
            last = Some(exec.within(&statement, &parameters)?);
        }
        match (into, last) {
            (Some(into), Some(ran)) => self.put(into, ran),
            (Some(_), None) => {
                Err(SqlError::syntax("INTO used with a command that cannot return data"))
            }
            (None, _) => Ok(()),
        }
    }

    fn raise(&self, raise: &Raise, exec: &mut Exec<'_, '_, '_, '_>) -> Result<()> {
        let mut args = Vec::with_capacity(raise.args.len());
        for arg in &raise.args {
            let value = self.shown(arg, exec)?;
            args.push(value.unwrap_or_else(|| "<NULL>".to_owned()));
        }
        let mut args = args.into_iter();
        let mut message = String::new();
        let mut rest = raise.format.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '%' if rest.peek() == Some(&'%') => {
                    rest.next();
                    message.push('%');
                }
                '%' => message.push_str(&args.next().unwrap_or_default()),
                c => message.push(c),
            }
        }
        let mut option = |query: &Option<Query>| match query {
            None => Ok(None),
            Some(query) => self.shown(query, exec),
        };
        let (detail, hint) = (option(&raise.detail)?, option(&raise.hint)?);
        match raise.level {
            "EXCEPTION" => Err(SqlError { code: "P0001", message, detail, hint }),
            // A client is not told of these, as long as it does not ask for them.
            "DEBUG" | "LOG" => Ok(()),
            level => {
                let code = if level == "WARNING" { "01000" } else { "00000" };
                exec.state.tell(Notice { severity: level, code, message, detail, hint });
                Ok(())
            }
        }
    }

    /// A value's text.
    fn shown(&self, query: &Query, exec: &mut Exec<'_, '_, '_, '_>) -> Result<Option<String>> {
        let (value, of) = self.value(query, exec)?;
        let value = if of == Type::Regclass { exec.class_name(&value)? } else { value };
        Ok(value.text())
    }
}

fn no_destination(statement: &sqlparser::ast::Statement) -> SqlError {
    let error = SqlError::syntax("query has no destination for result data");
    match statement {
        sqlparser::ast::Statement::Query(_) => {
            error.hint("If you want to discard the results of a SELECT, use PERFORM instead.")
        }
        _ => error,
    }
}
