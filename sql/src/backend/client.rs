//! Who asks a session, and what it is told.
//!
//! Invariants: a query is answered with what its statements came to, in their order, and then with [`Response::Ready`].
//! After [`Response::Failed`] nothing but that follows.

use std::collections::VecDeque;

use crate::error::{Notice, SqlError};

/// Who asks.
pub trait Client {
    /// The number of the session, which is its process id to SQL. Called once.
    fn connected(&mut self, _session: usize) {}

    /// The next query: text of one or several statements. `None` ends the session.
    fn query(&mut self) -> Option<String>;

    /// What a statement came to.
    fn respond(&mut self, response: Response);

    /// Where notices go while a statement runs; if there is no such place they come by [`Client::respond`], when it is
    /// over. Called once.
    fn notices(&mut self) -> Option<NoticeSink> {
        None
    }
}

/// Takes notices while a statement runs.
pub type NoticeSink = Box<dyn FnMut(Notice)>;

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
