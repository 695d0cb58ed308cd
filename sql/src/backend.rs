//! What a session does: it takes queries from its client, one after the other, and answers each statement.
//!
//! ```text
//! idle ──statement──► a transaction of its own, committed when the query ends
//!   ▲    └──BEGIN───► block ──error──► failed, until ROLLBACK or ROLLBACK TO
//!   └────────COMMIT, ROLLBACK, PREPARE TRANSACTION─────┘
//! ```
//!
//! The transaction lives where it is worked with: a block is a loop that takes the client's next queries itself.
//!
//! Invariants: statements of one query share a transaction if they begin none; after an error the rest of the query is
//! skipped. Source: `postgres.c`, `xact.c`.

use std::collections::VecDeque;

use base::TimestampTz;
use engine::{Isolation, Session, TableLockMode, Transaction, WaitPolicy};
use sqlparser::ast;

use crate::analyze::Analyzer;
use crate::constraint::{Check, Rules};
use crate::database::Database;
use crate::error::{Notice, Result, SqlError, aborted};
use crate::exec::{Exec, Row, texts};
use crate::fold;
use crate::parse::{IsolationLevel, Statement, TransactionModes, statements};
use crate::plan::{ChangeKind, Plan, Program};
use crate::settings::Settings;
use crate::table::TableDef;
use crate::types::{Datum, Type};

/// Who asks.
pub trait Client {
    /// The number of the session, which is its process id to SQL. Called once.
    fn connected(&mut self, _session: usize) {}

    /// The next query: text of one or several statements. `None` ends the session.
    fn query(&mut self) -> Option<String>;

    /// What a statement came to.
    fn respond(&mut self, response: Response);
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Rows.
    Rows {
        /// Names.
        columns: Vec<String>,
        /// Values as text; `None` of a null.
        rows: Vec<Vec<Option<String>>>,
        /// `SELECT 2`, `UPDATE 1`
        tag: String,
    },
    /// A statement without rows is done: `BEGIN`, `INSERT 0 1`.
    Done(String),
    /// A statement failed, and the rest of the query is skipped.
    Failed(SqlError),
    /// Something else to know.
    Notice(Notice),
    /// The query is over.
    Ready,
}

/// A client with all of its queries written down before.
#[derive(Debug, Default)]
pub struct Script {
    queries: VecDeque<String>,
    /// What was answered.
    pub responses: Vec<Response>,
}

impl Script {
    /// Of these queries.
    pub fn new<'a>(queries: impl IntoIterator<Item = &'a str>) -> Script {
        let queries = queries.into_iter().map(str::to_owned).collect();
        Script { queries, responses: Vec::new() }
    }
}

impl Client for Script {
    fn query(&mut self) -> Option<String> {
        self.queries.pop_front()
    }

    fn respond(&mut self, response: Response) {
        self.responses.push(response);
    }
}

/// What a session has beside its transaction.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) session: usize,
    pub(crate) settings: Settings,
    /// When the transaction began.
    pub(crate) transaction_time: TimestampTz,
    /// What the client is to be told before it is told what the statement came to.
    pub(crate) notices: Vec<Notice>,
    /// How many functions have called each other.
    pub(crate) calls: usize,
}

/// A session at work.
pub(crate) struct Backend<'c, 'e> {
    pub(crate) database: &'c Database<'e>,
    pub(crate) state: State,
    client: &'c mut dyn Client,
    queue: VecDeque<Result<Statement>>,
    is_in_query: bool,
    /// Whether the query is one statement.
    is_alone: bool,
    /// Checks for the end of the transaction.
    deferred: Vec<Check>,
    /// What the next transaction is, if it follows at once (`AND CHAIN`).
    chain: Option<TransactionModes>,
}

/// What comes next.
enum Event {
    Statement(Statement),
    /// Text that is no statement.
    Wrong(SqlError),
    EndOfQuery,
    Closed,
}

/// A row as text.
pub(crate) type Texts = Vec<Option<String>>;

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

    fn response(self) -> Response {
        match self.rows {
            Some((columns, rows)) => Response::Rows { columns, rows, tag: self.tag },
            None => Response::Done(self.tag),
        }
    }
}

/// Bytes of stack that a session has: what is read, analyzed and run calls itself as deeply as a statement is nested, which
/// the parser bounds.
const STACK: usize = 64 << 20;

/// Works for a client until it has no more queries.
///
/// # Errors
/// Where there are as many sessions as there can be, or the engine has stopped. What goes wrong in a statement is told the
/// client.
pub fn serve(
    database: &Database<'_>,
    client: &mut dyn Client,
) -> std::result::Result<(), engine::Error> {
    let mut session = database.engine.session()?;
    database.begin_session(&session);
    client.connected(session.number());
    let state = State {
        session: session.number(),
        settings: Settings::default(),
        transaction_time: TimestampTz(0),
        notices: Vec::new(),
        calls: 0,
    };
    let mut backend = Backend {
        database,
        state,
        client,
        queue: VecDeque::new(),
        is_in_query: false,
        is_alone: false,
        deferred: Vec::new(),
        chain: None,
    };
    let served = stacker::grow(STACK, || backend.idle(&mut session));
    database.end_session(&session);
    served
}

impl<'e> Backend<'_, 'e> {
    fn next(&mut self) -> Event {
        match self.queue.pop_front() {
            Some(Ok(statement)) => Event::Statement(statement),
            Some(Err(error)) => Event::Wrong(error),
            None if self.is_in_query => {
                self.is_in_query = false;
                Event::EndOfQuery
            }
            None => {
                let Some(text) = self.client.query() else { return Event::Closed };
                self.is_in_query = true;
                match statements(&text) {
                    Ok(statements) => {
                        self.is_alone = statements.len() == 1;
                        self.queue = statements.into();
                    }
                    Err(error) => return Event::Wrong(error),
                }
                self.next()
            }
        }
    }

    pub(crate) fn notice(&mut self, severity: &'static str, code: &'static str, message: String) {
        self.client.respond(Response::Notice(Notice { severity, code, message, detail: None }));
    }

    /// Tells what a DROP with CASCADE drops besides.
    pub(crate) fn tell_cascades(&mut self, mut dropped: Vec<String>) {
        let told = |message, detail| Notice { severity: "NOTICE", code: "00000", message, detail };
        let notice = match dropped.len() {
            0 => return,
            1 => told(format!("drop cascades to {}", dropped.remove(0)), None),
            count => {
                let lines: Vec<String> =
                    dropped.iter().map(|what| format!("drop cascades to {what}")).collect();
                told(format!("drop cascades to {count} other objects"), Some(lines.join("\n")))
            }
        };
        self.client.respond(Response::Notice(notice));
    }

    fn done(&mut self, tag: &str) {
        // A chained transaction begins without a word.
        if tag.is_empty() {
            return;
        }
        self.client.respond(Response::Done(tag.to_owned()));
    }

    fn fail(&mut self, error: SqlError) {
        self.queue.clear();
        self.client.respond(Response::Failed(error));
    }

    /// Without a transaction.
    fn idle(&mut self, session: &mut Session<'e>) -> std::result::Result<(), engine::Error> {
        loop {
            match self.next() {
                Event::Closed => return Ok(()),
                Event::EndOfQuery => self.client.respond(Response::Ready),
                Event::Wrong(error) => self.fail(error),
                Event::Statement(statement) => match statement {
                    Statement::Commit { chain } | Statement::Rollback { chain } => {
                        let tag = if matches!(statement, Statement::Commit { .. }) {
                            "COMMIT"
                        } else {
                            "ROLLBACK"
                        };
                        if chain {
                            self.needs_block(&format!("{tag} AND CHAIN"));
                            continue;
                        }
                        let message = "there is no transaction in progress".to_owned();
                        self.notice("WARNING", "25P01", message);
                        self.done(tag);
                    }
                    Statement::Savepoint(_) => self.needs_block("SAVEPOINT"),
                    Statement::RollbackTo(_) => self.needs_block("ROLLBACK TO SAVEPOINT"),
                    Statement::Release(_) => self.needs_block("RELEASE SAVEPOINT"),
                    Statement::Vacuum(vacuum) if self.is_alone => match vacuum.run(session) {
                        Ok(notices) => {
                            for notice in notices {
                                self.client.respond(Response::Notice(notice));
                            }
                            self.done("VACUUM");
                        }
                        Err(error) => self.fail(error),
                    },
                    Statement::Lock { .. } if self.queue.is_empty() => {
                        self.needs_block("LOCK TABLE");
                    }
                    statement => {
                        self.transaction(session, statement)?;
                        while let Some(modes) = self.chain.take() {
                            self.transaction(session, Statement::Begin("", modes))?;
                        }
                    }
                },
            }
        }
    }

    fn needs_block(&mut self, what: &str) {
        let message = format!("{what} can only be used in transaction blocks");
        self.fail(SqlError::new("25P01", message));
    }

    /// A transaction, from its first statement to its end.
    fn transaction(
        &mut self,
        session: &mut Session<'e>,
        first: Statement,
    ) -> std::result::Result<(), engine::Error> {
        let settings_before = self.state.settings.clone();
        self.state.settings.isolation = self.state.settings.default_isolation;
        self.state.settings.read_only = self.state.settings.default_read_only;
        self.state.transaction_time = now();
        self.deferred.clear();
        let engine_level = match self.engine_level(self.state.settings.isolation) {
            Ok(level) => level,
            Err(error) => {
                // A default that cannot be had: BEGIN may ask for another.
                if !matches!(&first, Statement::Begin(_, modes) if modes.isolation.is_some()) {
                    self.fail(error);
                    return Ok(());
                }
                Isolation::ReadCommitted
            }
        };
        let mut transaction = session.begin(engine_level)?;
        self.state.settings.apply(&mut transaction);
        let mut block = Block {
            transaction: Some(transaction),
            is_explicit: false,
            has_failed: false,
            savepoints: Vec::new(),
            is_used: false,
            settings_before,
            local: Vec::new(),
        };
        let mut next = Event::Statement(first);
        loop {
            let ended = match next {
                Event::Closed => {
                    self.end(&mut block, false);
                    true
                }
                Event::EndOfQuery => {
                    if block.is_explicit {
                        self.client.respond(Response::Ready);
                        false
                    } else {
                        if let Err(error) = self.end_checked(&mut block) {
                            self.fail(error);
                        }
                        self.client.respond(Response::Ready);
                        true
                    }
                }
                Event::Wrong(error) => self.failed(&mut block, error),
                Event::Statement(statement) => match self.step(&mut block, statement) {
                    Ok(ended) => ended,
                    Err(error) => self.failed(&mut block, error),
                },
            };
            if ended {
                return Ok(());
            }
            next = self.next();
        }
    }

    /// A statement failed; whether the transaction is over with it.
    fn failed(&mut self, block: &mut Block<'_, 'e>, error: SqlError) -> bool {
        self.fail(error);
        let is_over = !block.has_failed && block.transaction.is_none();
        if !block.is_explicit || is_over {
            self.end(block, false);
            return true;
        }
        // What it did is undone now, and its locks are given back, although the block goes on.
        block.has_failed = true;
        match (block.savepoints.last(), &mut block.transaction) {
            (Some(savepoint), Some(transaction)) => {
                // A stopped log is found by whoever comes next.
                let _ = transaction.rollback_to(savepoint.id);
            }
            _ => {
                if let Some(transaction) = block.transaction.take() {
                    let _ = transaction.rollback();
                }
            }
        }
        false
    }

    /// Ends the transaction, and undoes what it set.
    fn end(&mut self, block: &mut Block<'_, 'e>, has_committed: bool) {
        if let Some(transaction) = block.transaction.take() {
            // A stopped log is found by whoever comes next.
            let _ = transaction.rollback();
        }
        if has_committed {
            for (name, value) in block.local.drain(..).rev() {
                // It was a value before.
                let _ = self.state.settings.set(&name, value.as_deref());
            }
        } else {
            self.state.settings = block.settings_before.clone();
        }
    }

    /// Commits, or rolls back what has failed; whether it was committed.
    fn end_checked(&mut self, block: &mut Block<'_, 'e>) -> Result<bool> {
        if block.has_failed {
            self.end(block, false);
            return Ok(false);
        }
        let checked = match &mut block.transaction {
            Some(transaction) => {
                let deferred = std::mem::take(&mut self.deferred);
                self.run_checks(transaction, deferred, true)
            }
            None => Ok(()),
        };
        let committed = checked.and_then(|()| match block.transaction.take() {
            Some(transaction) => transaction.commit().map_err(SqlError::from),
            None => Ok(()),
        });
        self.end(block, committed.is_ok());
        committed.map(|()| true)
    }

    /// One statement within a transaction; whether it ended it.
    fn step(&mut self, block: &mut Block<'_, 'e>, statement: Statement) -> Result<bool> {
        if block.has_failed
            && !matches!(
                statement,
                Statement::Commit { .. } | Statement::Rollback { .. } | Statement::RollbackTo(_)
            )
        {
            return Err(aborted());
        }
        match statement {
            Statement::Begin(tag, modes) => {
                if block.is_explicit {
                    let message = "there is already a transaction in progress".to_owned();
                    self.notice("WARNING", "25001", message);
                }
                block.is_explicit = true;
                self.set_modes(block, modes)?;
                self.done(tag);
            }
            Statement::SetTransaction(modes) => {
                if !block.is_explicit {
                    let message =
                        "SET TRANSACTION can only be used in transaction blocks".to_owned();
                    self.notice("WARNING", "25P01", message);
                }
                self.set_modes(block, modes)?;
                self.done("SET");
            }
            Statement::SetCharacteristics(modes) => {
                if let Some(isolation) = modes.isolation {
                    self.state.settings.default_isolation = isolation;
                }
                if let Some(read_only) = modes.read_only {
                    self.state.settings.default_read_only = read_only;
                }
                self.done("SET");
            }
            Statement::Commit { chain } | Statement::Rollback { chain }
                if chain && !block.is_explicit =>
            {
                let tag = if matches!(statement, Statement::Commit { .. }) {
                    "COMMIT"
                } else {
                    "ROLLBACK"
                };
                let message = format!("{tag} AND CHAIN can only be used in transaction blocks");
                return Err(SqlError::new("25P01", message));
            }
            Statement::Commit { chain } => {
                self.chained(chain);
                let committed = self.end_checked(block)?;
                self.done(if committed { "COMMIT" } else { "ROLLBACK" });
                return Ok(true);
            }
            Statement::Rollback { chain } => {
                self.chained(chain);
                if !block.is_explicit {
                    self.notice(
                        "WARNING",
                        "25P01",
                        "there is no transaction in progress".to_owned(),
                    );
                }
                self.end(block, false);
                self.done("ROLLBACK");
                return Ok(true);
            }
            Statement::Savepoint(name) => {
                if !block.is_explicit {
                    return Err(SqlError::new(
                        "25P01",
                        "SAVEPOINT can only be used in transaction blocks",
                    ));
                }
                let id = block.running()?.savepoint();
                let (id, settings, locals) = (id?, self.state.settings.clone(), block.local.len());
                block.savepoints.push(Savepoint { name, id, settings, locals });
                self.done("SAVEPOINT");
            }
            Statement::RollbackTo(name) => {
                let (at, id) = block.savepoint(&name)?;
                block.running()?.rollback_to(id)?;
                block.savepoints.truncate(at + 1);
                // What was set since then is undone, too.
                let savepoint = &block.savepoints[at];
                self.state.settings = savepoint.settings.clone();
                let locals = savepoint.locals;
                block.local.truncate(locals);
                self.state.settings.apply(block.running()?);
                block.has_failed = false;
                self.done("ROLLBACK");
            }
            Statement::Release(name) => {
                let (at, id) = block.savepoint(&name)?;
                block.running()?.release(id)?;
                block.savepoints.truncate(at);
                self.done("RELEASE");
            }
            Statement::Set { name, value, is_local } => {
                if is_local && !block.is_explicit {
                    let message = "SET LOCAL can only be used in transaction blocks".to_owned();
                    self.notice("WARNING", "25P01", message);
                }
                if is_local {
                    let before = self.state.settings.show(&name)?;
                    block.local.push((name.clone(), Some(before)));
                }
                self.state.settings.set(&name, value.as_deref())?;
                self.state.settings.apply(block.running()?);
                self.done("SET");
            }
            Statement::Reset(name) => {
                self.state.settings.set(&name, None)?;
                self.state.settings.apply(block.running()?);
                self.done("RESET");
            }
            Statement::Show(name) => {
                let value = self.state.settings.show(&name)?;
                let rows = vec![vec![Some(value)]];
                self.client.respond(Response::Rows {
                    columns: vec![name],
                    rows,
                    tag: "SHOW".to_owned(),
                });
            }
            Statement::Lock { tables, mode, no_wait } => {
                let mode = TableLockMode::ALL.into_iter().find(|known| lock_name(*known) == mode);
                let mode = mode
                    .ok_or_else(|| SqlError::syntax("syntax error in LOCK TABLE: no such mode"))?;
                let policy = if no_wait { WaitPolicy::NoWait } else { WaitPolicy::Wait };
                let transaction = block.running()?;
                transaction.begin_time();
                for table in &tables {
                    transaction.open_table(table, mode, policy)?;
                }
                self.done("LOCK TABLE");
            }
            Statement::Vacuum(_) => {
                let message = "VACUUM cannot run inside a transaction block";
                return Err(SqlError::new("25001", message));
            }
            Statement::CreateFunction(routine) => {
                self.refuse_read_only("CREATE FUNCTION")?;
                block.is_used = true;
                routine.create(block.running()?)?;
                self.done("CREATE FUNCTION");
            }
            Statement::DropFunction(named) => {
                self.refuse_read_only("DROP FUNCTION")?;
                block.is_used = true;
                if !named.drop_from(block.running()?)? {
                    let message = format!("{} does not exist, skipping", named.shown());
                    self.notice("NOTICE", "00000", message);
                }
                self.done("DROP FUNCTION");
            }
            Statement::Checkpoint => {
                self.database.engine.checkpoint()?;
                self.done("CHECKPOINT");
            }
            Statement::Sql(statement) => {
                block.is_used = true;
                let transaction = block.running()?;
                let answer = self.execute(transaction, &statement)?;
                // What is not committed has not happened: a client is told of rows once that is known.
                if !block.is_explicit && self.queue.is_empty() {
                    self.end_checked(block)?;
                    self.client.respond(answer.response());
                    return Ok(true);
                }
                self.client.respond(answer.response());
            }
        }
        Ok(false)
    }

    /// Has the next statement begin a transaction like this one.
    fn chained(&mut self, chain: bool) {
        if chain {
            let Settings { isolation, read_only, .. } = self.state.settings;
            let modes = TransactionModes { isolation: Some(isolation), read_only: Some(read_only) };
            self.chain = Some(modes);
        }
    }

    fn engine_level(&self, level: IsolationLevel) -> Result<Isolation> {
        match self.database.isolation.unwrap_or(level) {
            IsolationLevel::ReadUncommitted | IsolationLevel::ReadCommitted => {
                Ok(Isolation::ReadCommitted)
            }
            IsolationLevel::RepeatableRead => Ok(Isolation::RepeatableRead),
            IsolationLevel::Serializable => {
                Err(SqlError::not_supported("the isolation level SERIALIZABLE")
                    .hint("Use REPEATABLE READ, and lock what must not change."))
            }
        }
    }

    fn set_modes(&mut self, block: &mut Block<'_, 'e>, modes: TransactionModes) -> Result<()> {
        if let Some(isolation) = modes.isolation {
            let level = self.engine_level(isolation)?;
            if !block.running()?.set_isolation(level) {
                let message = "SET TRANSACTION ISOLATION LEVEL must be called before any query";
                return Err(SqlError::new("25001", message));
            }
            self.state.settings.isolation = self.database.isolation.unwrap_or(isolation);
        } else {
            let level = self.database.isolation.unwrap_or(self.state.settings.isolation);
            self.state.settings.isolation = level;
        }
        if let Some(read_only) = modes.read_only {
            if !read_only && self.state.settings.read_only && block.is_used {
                let message = "transaction read-write mode must be set before any query";
                return Err(SqlError::new("25001", message));
            }
            self.state.settings.read_only = read_only;
        }
        Ok(())
    }

    /// A statement that reads or changes rows, or makes tables.
    fn execute(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        statement: &ast::Statement,
    ) -> Result<Answer> {
        self.state.calls = 0;
        if let Some(answer) = self.definition(transaction, statement)? {
            return Ok(answer);
        }
        transaction.begin_command()?;
        let program = self.program(transaction, statement)?;
        self.refuse_changes(&program)?;
        let (answer, checks) = {
            let mut exec = Exec::new(&program, transaction, self.database, &mut self.state);
            let ran = exec.run();
            let notices = std::mem::take(&mut exec.state.notices);
            for notice in notices {
                self.client.respond(Response::Notice(notice));
            }
            let rows = ran?;
            let tag = tag(&program, exec.changed, rows.len());
            let shown = if program.gives_rows {
                let names = program.columns.iter().map(|(name, _)| name.clone()).collect();
                Some((names, texts(&rows, &program.columns, &mut exec)?))
            } else {
                None
            };
            (Answer { rows: shown, tag }, std::mem::take(&mut exec.checks))
        };
        transaction.end_command();
        self.run_checks(transaction, checks, false)?;
        Ok(answer)
    }

    /// Nothing is changed or locked by a transaction that only reads.
    fn refuse_changes(&self, program: &Program) -> Result<()> {
        if !self.state.settings.read_only {
            return Ok(());
        }
        let verb = match &program.plan {
            Plan::Change(change) => change.kind.verb().to_owned(),
            _ if program.ctes.iter().any(|cte| matches!(cte, Plan::Change(_))) => {
                "SELECT".to_owned()
            }
            _ => match program.strongest_lock() {
                Some(strength) => format!("SELECT {}", strength.name()),
                None => return Ok(()),
            },
        };
        let message = format!("cannot execute {verb} in a read-only transaction");
        Err(SqlError::new("25006", message))
    }

    /// A statement that is ready to run.
    fn program(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        statement: &ast::Statement,
    ) -> Result<Program> {
        let mut program = Analyzer::new(transaction, self.database).statement(statement)?;
        let nothing = Program::nothing();
        let mut exec = Exec::new(&nothing, transaction, self.database, &mut self.state);
        fold::program(&mut program, &mut exec)?;
        Ok(program)
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
        transaction.begin_command()?;
        let program = self.program(transaction, statement)?;
        let rows = Exec::new(&program, transaction, self.database, &mut self.state).run()?;
        transaction.end_command();
        Ok((program.columns, rows))
    }

    fn run_checks(
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
        def: &std::rc::Rc<TableDef>,
        rows: &mut [Row],
    ) -> Result<()> {
        let program = Program::nothing();
        let mut exec = Exec::new(&program, transaction, self.database, &mut self.state);
        let rules = Rules::of(def, &mut exec)?;
        for row in rows.iter_mut() {
            rules.apply(def, row, &mut exec)?;
        }
        Backend::check_unique(def, rows)?;
        let checks: Vec<Check> = rows.iter().flat_map(|row| Check::of_insert(def, row)).collect();
        self.run_checks(transaction, checks, false)
    }

    /// Gives an added column its default.
    pub(crate) fn fill_added(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        def: &std::rc::Rc<TableDef>,
        at: usize,
        rows: &mut [Row],
    ) -> Result<()> {
        let column = &def.columns[at];
        let value = match column.default.as_ref().filter(|_| !column.is_generated) {
            None => Datum::Null,
            Some(default) => {
                let expr = Analyzer::new(transaction, self.database).default_of(default, column)?;
                let program = Program::nothing();
                let mut exec = Exec::new(&program, transaction, self.database, &mut self.state);
                expr.eval(&mut exec, &crate::expr::Rows { row: &[], outer: None })?
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
        },
        _ => format!("SELECT {rows}"),
    }
}

fn now() -> TimestampTz {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    TimestampTz::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// As `LOCK TABLE` has it.
fn lock_name(mode: TableLockMode) -> &'static str {
    match mode {
        TableLockMode::AccessShare => "ACCESS SHARE",
        TableLockMode::RowShare => "ROW SHARE",
        TableLockMode::RowExclusive => "ROW EXCLUSIVE",
        TableLockMode::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
        TableLockMode::Share => "SHARE",
        TableLockMode::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
        TableLockMode::Exclusive => "EXCLUSIVE",
        TableLockMode::AccessExclusive => "ACCESS EXCLUSIVE",
    }
}

/// A savepoint, and what was set when it was made.
struct Savepoint {
    name: String,
    id: engine::SavepointId,
    settings: Settings,
    /// How many of the transaction's local settings there were.
    locals: usize,
}

/// A transaction that runs.
struct Block<'s, 'e> {
    transaction: Option<Transaction<'s, 'e>>,
    is_explicit: bool,
    has_failed: bool,
    savepoints: Vec<Savepoint>,
    /// Whether a statement was run.
    is_used: bool,
    settings_before: Settings,
    /// What `SET LOCAL` changed, with what it was before.
    local: Vec<(String, Option<String>)>,
}

impl<'s, 'e> Block<'s, 'e> {
    fn running(&mut self) -> Result<&mut Transaction<'s, 'e>> {
        self.transaction.as_mut().ok_or_else(|| SqlError::new("XX000", "the transaction is over"))
    }

    /// The last savepoint of a name.
    fn savepoint(&self, name: &str) -> Result<(usize, engine::SavepointId)> {
        let at = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        match at {
            Some(at) => Ok((at, self.savepoints[at].id)),
            None => Err(SqlError::new("3B001", format!("savepoint \"{name}\" does not exist"))),
        }
    }
}
