//! What a session does: it takes queries from its client, one after the other, and answers each statement.
//!
//! ```text
//! idle ──statement──► a transaction of its own, committed when the query ends
//!   ▲    └──BEGIN───► block ──error──► failed, until ROLLBACK or ROLLBACK TO
//!   └────────COMMIT, ROLLBACK, PREPARE TRANSACTION─────┘
//! ```
//!
//! The transaction lives where it is worked with: a block is a loop that takes the client's next queries itself
//! ([`transaction`]), and does one statement after the other ([`statement`], [`execute`]).
//!
//! Invariants: statements of one query share a transaction if they begin none; after an error the rest of the query is
//! skipped. Source: `postgres.c`, `xact.c`.

mod client;
mod execute;
mod statement;
mod transaction;

use std::collections::VecDeque;

use base::TimestampTz;
use engine::Session;

use crate::constraint::Check;
use crate::database::Database;
use crate::error::{Notice, Result, SqlError};
use crate::parse::{Statement, TransactionModes, statements};
use crate::reads::Reads;
use crate::settings::Settings;

pub use client::{Client, NoticeSink, Response, Script};
pub(crate) use execute::Answer;

/// What a session has beside its transaction.
pub(crate) struct State {
    pub(crate) session: usize,
    pub(crate) settings: Settings,
    /// When the transaction began.
    pub(crate) transaction_time: TimestampTz,
    /// What the client is to be told before it is told what the statement came to.
    notices: Vec<Notice>,
    /// Where notices go at once, if the client takes them.
    sink: Option<NoticeSink>,
    /// How many functions have called each other.
    pub(crate) calls: usize,
    /// What the statement has read.
    pub(crate) reads: Reads,
}

impl State {
    /// Tells the client.
    pub(crate) fn tell(&mut self, notice: Notice) {
        match &mut self.sink {
            Some(sink) => sink(notice),
            None => self.notices.push(notice),
        }
    }
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
    // What keeps rows from being put in is told by the first statement that puts one in; the next session tries again.
    let _ = crate::class::complete(database, &mut session);
    database.begin_session(&session);
    client.connected(session.number());
    let state = State {
        session: session.number(),
        settings: Settings::of(&session),
        transaction_time: TimestampTz(0),
        notices: Vec::new(),
        sink: client.notices(),
        calls: 0,
        reads: Reads::default(),
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
        self.client.respond(Response::Notice(Notice::new(severity, code, message)));
    }

    /// Tells what a DROP with CASCADE drops besides.
    pub(crate) fn tell_cascades(&mut self, mut dropped: Vec<String>) {
        let told =
            |message: String, detail| Notice { detail, ..Notice::new("NOTICE", "00000", message) };
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
                            self.fail(SqlError::new(
                                "25P01",
                                needs_block(&format!("{tag} AND CHAIN")),
                            ));
                            continue;
                        }
                        self.no_transaction();
                        self.done(tag);
                    }
                    Statement::Prepare(_) if self.is_alone => {
                        self.no_transaction();
                        self.done("ROLLBACK");
                    }
                    Statement::Finish { gid, commits } if self.is_alone => {
                        let (finished, tag) = match commits {
                            true => (session.commit_prepared(&gid), "COMMIT PREPARED"),
                            false => (session.rollback_prepared(&gid), "ROLLBACK PREPARED"),
                        };
                        match finished {
                            Ok(()) => self.done(tag),
                            Err(error) => self.fail(error.into()),
                        }
                    }
                    Statement::Savepoint(_) => {
                        self.fail(SqlError::new("25P01", needs_block("SAVEPOINT")));
                    }
                    Statement::RollbackTo(_) => {
                        self.fail(SqlError::new("25P01", needs_block("ROLLBACK TO SAVEPOINT")));
                    }
                    Statement::Release(_) => {
                        self.fail(SqlError::new("25P01", needs_block("RELEASE SAVEPOINT")));
                    }
                    Statement::Vacuum(vacuum) if self.is_alone => {
                        match vacuum.run(self.database, session, &self.state.settings) {
                            Ok(notices) => {
                                for notice in notices {
                                    self.client.respond(Response::Notice(notice));
                                }
                                self.done(vacuum.verb());
                            }
                            Err(error) => self.fail(error),
                        }
                    }
                    Statement::Lock { .. } if self.queue.is_empty() => {
                        self.fail(SqlError::new("25P01", needs_block("LOCK TABLE")));
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

    fn no_transaction(&mut self) {
        let message = "there is no transaction in progress".to_owned();
        self.notice("WARNING", "25P01", message);
    }
}

/// What is said of a command that is none of a single transaction's.
fn needs_block(what: &str) -> String {
    format!("{what} can only be used in transaction blocks")
}
