//! A statement made ready to run: analyzed, its constants worked out, indexes found for what it reads, and refused where
//! the transaction only reads.
//!
//! Invariant: whatever changes or locks rows, of a client or within a function, comes through here. Source:
//! `ExecCheckXactReadOnly`.

use std::rc::Rc;

use engine::Transaction;
use sqlparser::ast;

use crate::access;
use crate::analyze::{Analyzer, Parameter};
use crate::backend::State;
use crate::database::Database;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::fold;
use crate::plan::{Plan, Program};

/// The program of a statement; `parameters` are the arguments of the function that it is in.
pub(crate) fn ready<'e>(
    statement: &ast::Statement,
    parameters: Rc<[Parameter]>,
    transaction: &mut Transaction<'_, 'e>,
    database: &Database<'e>,
    state: &mut State,
) -> Result<Program> {
    let analyzer = Analyzer::new(transaction, database).with_parameters(parameters);
    let mut program = analyzer.statement(statement)?;
    let nothing = Program::nothing();
    fold::program(&mut program, &mut Exec::new(&nothing, transaction, database, state))?;
    access::program(&mut program, transaction, database, state)?;
    if state.settings.read_only {
        refuse_changes(&program)?;
    }
    Ok(program)
}

/// Nothing is changed or locked by a transaction that only reads.
fn refuse_changes(program: &Program) -> Result<()> {
    let verb = match &program.plan {
        Plan::Change(change) => change.kind.verb().to_owned(),
        _ if program.ctes.iter().any(|cte| matches!(cte, Plan::Change(_))) => "SELECT".to_owned(),
        _ => match program.strongest_lock() {
            Some(strength) => format!("SELECT {}", strength.name()),
            None => return Ok(()),
        },
    };
    let message = format!("cannot execute {verb} in a read-only transaction");
    Err(SqlError::new("25006", message))
}
