//! Statements that read or change rows: analyzed, run, and their rows checked.
//!
//! Invariants: each is a command of its transaction. Checks run when its changes are all made, deferred ones when the
//! transaction ends. Source: `pquery.c`.

use std::rc::Rc;

use engine::Transaction;
use sqlparser::ast;

use super::{Backend, Response};
use crate::analyze::Analyzer;
use crate::cast::cast;
use crate::constraint::{Check, Rules};
use crate::error::{Result, SqlError};
use crate::exec::{Exec, Row, texts};
use crate::expr::Rows;
use crate::parse::{Statement, statements};
use crate::plan::{ChangeKind, Plan, Program};
use crate::ready::ready;
use crate::table::TableDef;
use crate::types::{Datum, Type};

/// A row as text.
type Texts = Vec<Option<String>>;

/// What a statement gives.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) rows: Option<(Vec<String>, Vec<Texts>)>,
    pub(crate) tag: String,
}

impl Answer {
    pub(crate) fn tag(tag: &str) -> Answer {
        Answer { rows: None, tag: tag.to_owned() }
    }

    pub(super) fn response(self) -> Response {
        match self.rows {
            Some((columns, rows)) => Response::Rows { columns, rows, tag: self.tag },
            None => Response::Done(self.tag),
        }
    }
}

impl<'e> Backend<'_, 'e> {
    /// A statement that reads or changes rows, or makes tables.
    pub(super) fn execute(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        statement: &ast::Statement,
    ) -> Result<Answer> {
        self.state.calls = 0;
        if let Some(answer) = self.definition(transaction, statement)? {
            return Ok(answer);
        }
        self.command(transaction, statement, |program, rows, exec| {
            let tag = tag(program, exec.changed, rows.len());
            let rows = if program.gives_rows {
                let names = program.columns.iter().map(|(name, _)| name.clone()).collect();
                Some((names, texts(&rows, &program.columns, exec)?))
            } else {
                None
            };
            Ok(Answer { rows, tag })
        })
    }

    /// Runs a statement as a command, with all that its changes have checked; `given` says what becomes of its rows.
    fn command<T>(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        statement: &ast::Statement,
        given: impl FnOnce(&Program, Vec<Row>, &mut Exec<'_, '_, '_, '_>) -> Result<T>,
    ) -> Result<T> {
        transaction.begin_command()?;
        let state = &mut self.state;
        let program = ready(statement, Rc::default(), transaction, self.database, state)?;
        let (given, checks) = {
            let mut exec = Exec::new(&program, transaction, self.database, &mut self.state);
            let ran = exec.run();
            exec.database.count_reads(&mut exec.state.reads);
            let notices = std::mem::take(&mut exec.state.notices);
            for notice in notices {
                self.client.respond(Response::Notice(notice));
            }
            (given(&program, ran?, &mut exec)?, std::mem::take(&mut exec.checks))
        };
        transaction.end_command();
        self.run_checks(transaction, checks, false)?;
        Ok(given)
    }

    /// A query of ours.
    pub(crate) fn internal(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        text: &str,
    ) -> Result<Answer> {
        match statements(text)?.pop() {
            Some(Ok(Statement::Sql(statement))) => self.execute(transaction, &statement),
            Some(Err(error)) => Err(error),
            _ => Err(SqlError::new("XX000", "an internal query is none")),
        }
    }

    /// The rows of a query, and the types of its columns.
    #[expect(clippy::type_complexity, reason = "columns, and rows")]
    pub(crate) fn rows_of(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        statement: &ast::Statement,
    ) -> Result<(Vec<(String, Type)>, Vec<Row>)> {
        self.command(transaction, statement, |program, rows, _| Ok((program.columns.clone(), rows)))
    }

    pub(super) fn run_checks(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        checks: Vec<Check>,
        with_deferred: bool,
    ) -> Result<()> {
        for check in checks {
            if check.is_deferred() && !with_deferred {
                self.deferred.push(check);
            } else {
                check.run(self, transaction)?;
            }
        }
        Ok(())
    }

    /// Whether a table's rules can be evaluated.
    pub(crate) fn check_rules(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
    ) -> Result<()> {
        let def = self.database.table(transaction, name)?;
        for column in &def.columns {
            Analyzer::new(transaction, self.database).check_generated(&def, column)?;
        }
        for column in def.columns.iter().filter(|column| !column.is_generated) {
            if let Some(default) = &column.default {
                Analyzer::new(transaction, self.database).default_of(default, column)?;
            }
        }
        self.check_rows(transaction, &def, &mut [])
    }

    /// Fills a new column, and looks whether rows may be in a table.
    pub(crate) fn check_rows(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &Rc<TableDef>,
        rows: &mut [Row],
    ) -> Result<()> {
        let program = Program::nothing();
        let mut exec = Exec::new(&program, transaction, self.database, &mut self.state);
        let rules = Rules::of(def, &mut exec)?;
        for row in rows.iter_mut() {
            rules.apply(def, row, &mut exec)?;
        }
        let checks: Vec<Check> = rows.iter().flat_map(|row| Check::of_insert(def, row)).collect();
        self.run_checks(transaction, checks, false)
    }

    /// Gives an added column its default.
    pub(crate) fn fill_added(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &Rc<TableDef>,
        at: usize,
        rows: &mut [Row],
    ) -> Result<()> {
        let column = &def.columns[at];
        if column.is_serial && column.default.is_none() {
            for (row, number) in rows.iter_mut().zip(1..) {
                row.push(cast(&Datum::Int8(number), Type::Int8, column.of)?);
            }
            return Ok(());
        }
        let value = match column.default.as_ref().filter(|_| !column.is_generated) {
            None => Datum::Null,
            Some(default) => {
                let expr = Analyzer::new(transaction, self.database).default_of(default, column)?;
                let program = Program::nothing();
                let mut exec = Exec::new(&program, transaction, self.database, &mut self.state);
                expr.eval(&mut exec, &Rows { row: &[], outer: None })?
            }
        };
        rows.iter_mut().for_each(|row| row.push(value.clone()));
        Ok(())
    }
}

/// `SELECT 3`, `INSERT 0 1`
fn tag(program: &Program, changed: u64, rows: usize) -> String {
    match &program.plan {
        Plan::Change(change) => match change.kind {
            ChangeKind::Insert { .. } => format!("INSERT 0 {changed}"),
            ChangeKind::Update { .. } => format!("UPDATE {changed}"),
            ChangeKind::Delete => format!("DELETE {changed}"),
            ChangeKind::Merge { .. } => format!("MERGE {changed}"),
        },
        _ => format!("SELECT {rows}"),
    }
}
