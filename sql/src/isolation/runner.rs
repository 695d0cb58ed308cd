//! A spec run: its sessions are threads, and this one is isolationtester.
//!
//! ```text
//! runner ──query──► session's thread ──messages──► runner
//!    └── the engine is asked whether the session waits for another one ──► "step s: ... <waiting ...>"
//! ```
//!
//! A step that has begun is watched until it has completed or waits for a lock. What it sends is looked at when it comes;
//! whether it waits is asked for when nothing has come for a millisecond, where isolationtester asks after ten.
//!
//! Invariants: completions are reported in the order in which isolationtester reports them: the step itself, then those that
//! wait, in the order in which they began to. Nothing is printed by a session's thread.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use base::sync::thread;

use super::result_table;
use super::spec::{Blocker, Permutation, PermutationStep, Spec};
use crate::backend::{Client, NoticeSink, Response, serve};
use crate::database::Database;

/// How long nothing comes from a step before the engine is asked whether it waits.
const LOOK: Duration = Duration::from_millis(1);

/// Why a run ends early.
#[derive(Debug)]
pub enum RunError {
    /// The engine has no more sessions, or has stopped.
    Engine(engine::Error),
    /// What isolationtester would say on its standard error, and end.
    Spec {
        /// The line of the setup that failed.
        line: Option<usize>,
        /// What it would say.
        message: String,
    },
    /// It was called off.
    Interrupted,
    /// The output cannot be written.
    Write(std::io::Error),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunError::Engine(error) => error.fmt(f),
            RunError::Spec { message, .. } => f.write_str(message),
            RunError::Interrupted => f.write_str("interrupted"),
            RunError::Write(error) => write!(f, "could not write the output: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> RunError {
        RunError::Write(error)
    }
}

/// What a session's thread sends.
enum Message {
    Connected(usize),
    Response(Response),
    /// The session could not begin.
    Failed(engine::Error),
}

/// The session's end of its two channels.
struct Channels {
    queries: Receiver<String>,
    messages: Sender<Message>,
}

impl Client for Channels {
    fn connected(&mut self, session: usize) {
        // Whoever is not there any more does not want to know.
        let _ = self.messages.send(Message::Connected(session));
    }

    fn query(&mut self) -> Option<String> {
        self.queries.recv().ok()
    }

    fn respond(&mut self, response: Response) {
        let _ = self.messages.send(Message::Response(response));
    }

    fn notices(&mut self) -> Option<NoticeSink> {
        let messages = self.messages.clone();
        Some(Box::new(move |notice| {
            let _ = messages.send(Message::Response(Response::Notice(notice)));
        }))
    }
}

/// The runner's end.
struct Connection {
    name: String,
    /// The engine's number of the session.
    number: usize,
    queries: Sender<String>,
    messages: Receiver<Message>,
    /// Answers that have come and are not printed yet.
    answers: VecDeque<Response>,
    /// Whether a query runs.
    is_busy: bool,
    /// Whether it was cancelled.
    is_cancelled: bool,
    /// The step that was begun and is not reported as completed, by its place in the permutation.
    active: Option<usize>,
    notices: usize,
}

/// How a step is asked.
#[derive(Debug, Clone, Copy, Default)]
struct Asking {
    /// To come back if it waits for a lock.
    does_not_wait: bool,
    /// It was asked before.
    again: bool,
}

/// Runs a spec, and writes what isolationtester would. A step that takes longer than `step_timeout` is cancelled, and ends
/// the run after twice that time; so does a setup or teardown. The run also ends when `is_interrupted` says so, which is
/// asked every few milliseconds.
///
/// # Errors
/// [`RunError`]
pub fn run(
    spec: &Spec,
    database: &Database<'_>,
    step_timeout: Duration,
    is_interrupted: &dyn Fn() -> bool,
    out: &mut dyn std::io::Write,
) -> Result<(), RunError> {
    thread::scope(|scope| {
        let mut connections = Vec::with_capacity(spec.sessions.len() + 1);
        let names = spec.sessions.iter().map(|session| session.name.as_str());
        for name in std::iter::once("control connection").chain(names) {
            let (queries, for_session) = channel();
            let (for_runner, messages) = channel();
            scope.spawn(move || {
                let mut channels = Channels { queries: for_session, messages: for_runner };
                if let Err(error) = serve(database, &mut channels) {
                    let _ = channels.messages.send(Message::Failed(error));
                }
            });
            let number = match messages.recv() {
                Ok(Message::Connected(number)) => number,
                Ok(Message::Failed(error)) => return Err(RunError::Engine(error)),
                _ => return Err(ended()),
            };
            connections.push(Connection {
                name: name.to_owned(),
                number,
                queries,
                messages,
                answers: VecDeque::new(),
                is_busy: false,
                is_cancelled: false,
                active: None,
                notices: 0,
            });
        }
        let mut runner = Runner {
            spec,
            database,
            step_timeout,
            is_interrupted,
            connections,
            text: format!("Parsed test spec with {} sessions\n", spec.sessions.len()),
            has_new_notice: false,
        };
        let mut outcome = Ok(());
        for permutation in spec.all_permutations() {
            outcome = runner.permutation(&permutation);
            out.write_all(runner.text.as_bytes())?;
            runner.text.clear();
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_err() {
            // Whoever still waits or works is to end, so that its thread can be waited for.
            for connection in &runner.connections {
                database.cancel(connection.number);
            }
        }
        out.flush()?;
        outcome
    })
}

fn failed(message: impl Into<String>) -> RunError {
    RunError::Spec { line: None, message: message.into() }
}

fn ended() -> RunError {
    failed("a session has ended")
}

struct Runner<'r, 'e> {
    spec: &'r Spec,
    database: &'r Database<'e>,
    step_timeout: Duration,
    is_interrupted: &'r dyn Fn() -> bool,
    /// The control connection, then one for each session.
    connections: Vec<Connection>,
    /// What is to be printed.
    text: String,
    has_new_notice: bool,
}

/// A permutation that runs.
struct Running<'r> {
    steps: &'r [PermutationStep],
    /// Those that were begun and have not completed, in the order in which they began to wait.
    waiting: Vec<usize>,
    /// How many notices each blocker of a step waits for, counted from the session's first.
    wanted: Vec<Vec<usize>>,
}

impl Runner<'_, '_> {
    fn permutation(&mut self, permutation: &Permutation) -> Result<(), RunError> {
        let spec = self.spec;
        self.text.push_str("\nstarting permutation:");
        for step in &permutation.steps {
            let _ = write!(self.text, " {}", spec.step(step).name);
        }
        self.text.push('\n');
        for setup in &spec.setups {
            if let Err(message) = self.query(0, &setup.sql)? {
                let message = format!("setup failed: {message}");
                return Err(RunError::Spec { line: Some(setup.line), message });
            }
        }
        for (at, session) in spec.sessions.iter().enumerate() {
            if let Some(setup) = &session.setup
                && let Err(message) = self.query(at + 1, &setup.sql)?
            {
                let message = format!("setup of session {} failed: {message}", session.name);
                return Err(RunError::Spec { line: Some(setup.line), message });
            }
        }
        let mut running = Running {
            steps: &permutation.steps,
            waiting: Vec::new(),
            wanted: permutation.steps.iter().map(|step| vec![0; step.blockers.len()]).collect(),
        };
        for at in 0..permutation.steps.len() {
            self.begin_step(&mut running, at)?;
        }
        self.try_all(&mut running, Asking { does_not_wait: false, again: true })?;
        if !running.waiting.is_empty() {
            let message = "failed to complete permutation due to mutually-blocking steps";
            return Err(failed(message));
        }
        // What fails here is told, and no reason to stop.
        for (at, session) in spec.sessions.iter().enumerate() {
            if let Some(teardown) = &session.teardown
                && let Err(message) = self.query(at + 1, &teardown.sql)?
            {
                self.tell(&format!("teardown of session {} failed: {message}", session.name));
            }
        }
        if let Some(teardown) = &spec.teardown
            && let Err(message) = self.query(0, &teardown.sql)?
        {
            self.tell(&format!("teardown failed: {message}"));
        }
        Ok(())
    }

    /// isolationtester's standard error has it; what is compared is the other one.
    fn tell(&self, message: &str) {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{message}");
    }

    /// A query that is waited for; only its last result counts, as with `PQexec`.
    fn query(&mut self, connection: usize, sql: &str) -> Result<Result<(), String>, RunError> {
        self.send(connection, sql);
        let began = Instant::now();
        let mut last = Ok(None);
        loop {
            let message = self.connections[connection].messages.recv_timeout(LOOK);
            match message {
                Ok(Message::Response(response)) => match response {
                    Response::Ready => break,
                    Response::Rows { columns, rows, .. } => last = Ok(Some((columns, rows))),
                    Response::Done(_) => last = Ok(None),
                    Response::Failed(error) => last = Err(error.to_string()),
                    Response::Notice(notice) => {
                        // The control connection keeps its notices to itself.
                        if connection > 0 {
                            self.notice(connection, &notice.to_string());
                        }
                    }
                },
                Ok(Message::Connected(_)) => {}
                Ok(Message::Failed(error)) => return Err(RunError::Engine(error)),
                Err(RecvTimeoutError::Timeout) => {
                    let name = self.connections[connection].name.clone();
                    self.look_at_time(connection, &format!("of {name}"), began)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            }
        }
        self.connections[connection].is_busy = false;
        match last {
            Ok(Some((columns, rows))) => result_table::push(&columns, &rows, &mut self.text),
            Ok(None) => {}
            Err(message) => return Ok(Err(message)),
        }
        Ok(Ok(()))
    }

    /// Ends what takes too long.
    fn look_at_time(
        &mut self,
        connection: usize,
        what: &str,
        began: Instant,
    ) -> Result<(), RunError> {
        if (self.is_interrupted)() {
            return Err(RunError::Interrupted);
        }
        let (taken, connection) = (began.elapsed(), &mut self.connections[connection]);
        let seconds = taken.as_secs();
        if taken > self.step_timeout && !connection.is_cancelled {
            connection.is_cancelled = true;
            self.database.cancel(connection.number);
            let _ = writeln!(
                self.text,
                "isolationtester: canceling step {what} after {seconds} seconds"
            );
        }
        if taken > 2 * self.step_timeout {
            let message = format!("step {what} timed out after {seconds} seconds");
            return Err(failed(message));
        }
        Ok(())
    }

    fn send(&mut self, connection: usize, sql: &str) {
        let connection = &mut self.connections[connection];
        // A session that has ended is found when its answer is waited for.
        let _ = connection.queries.send(sql.to_owned());
        connection.is_busy = true;
        connection.is_cancelled = false;
    }

    fn notice(&mut self, connection: usize, text: &str) {
        let connection = &mut self.connections[connection];
        let _ = writeln!(self.text, "{}: {text}", connection.name);
        connection.notices += 1;
        self.has_new_notice = true;
    }

    fn begin_step(&mut self, running: &mut Running<'_>, at: usize) -> Result<(), RunError> {
        let step = &running.steps[at];
        let connection = step.session + 1;
        // The session may still have an earlier step to complete.
        let began = Instant::now();
        while let Some(earlier) = self.connections[connection].active {
            if !self.try_complete(running, earlier, Asking { does_not_wait: false, again: true })? {
                running.waiting.retain(|waiting| *waiting != earlier);
            }
            self.try_all(running, Asking { does_not_wait: true, again: true })?;
            if self.connections[connection].active.is_some()
                && began.elapsed() > 2 * self.step_timeout
            {
                let name = &self.spec.step(&running.steps[earlier]).name;
                let seconds = began.elapsed().as_secs();
                return Err(failed(format!("step {name} timed out after {seconds} seconds")));
            }
        }
        let sql = self.spec.step(step).sql.clone();
        self.send(connection, &sql);
        self.connections[connection].active = Some(at);
        for (number, blocker) in step.blockers.iter().enumerate() {
            if let Blocker::Notices(session, count) = blocker {
                running.wanted[at][number] = count + self.connections[session + 1].notices;
            }
        }
        let asking = Asking { does_not_wait: true, again: false };
        let must_wait = self.try_complete(running, at, asking)?;
        self.try_all(running, Asking { does_not_wait: true, again: true })?;
        if must_wait {
            running.waiting.push(at);
        }
        Ok(())
    }

    /// Looks which of the waiting steps have completed.
    fn try_all(&mut self, running: &mut Running<'_>, asking: Asking) -> Result<(), RunError> {
        loop {
            self.has_new_notice = false;
            let before = running.waiting.len();
            let mut has_blocker = false;
            let mut at = 0;
            while at < running.waiting.len() {
                let step = running.waiting[at];
                if self.try_complete(running, step, asking)? {
                    has_blocker |= !running.steps[step].blockers.is_empty();
                    at += 1;
                } else {
                    running.waiting.remove(at);
                }
            }
            // A step that was looked at later may have let an earlier one go.
            let has_changed = running.waiting.len() < before || self.has_new_notice;
            if !(has_blocker && has_changed) {
                return Ok(());
            }
        }
    }

    /// Whether a step has still not completed.
    fn try_complete(
        &mut self,
        running: &Running<'_>,
        at: usize,
        asking: Asking,
    ) -> Result<bool, RunError> {
        let step = &running.steps[at];
        let spec_step = self.spec.step(step);
        let connection = step.session + 1;
        let waiting = format!("step {}: {} <waiting ...>\n", spec_step.name, spec_step.sql);
        if !asking.again && step.blockers.contains(&Blocker::Once) {
            self.text.push_str(&waiting);
            return Ok(true);
        }
        let began = Instant::now();
        while self.connections[connection].is_busy {
            let message = self.connections[connection].messages.recv_timeout(LOOK);
            match message {
                Ok(message) => self.take(connection, message)?,
                Err(RecvTimeoutError::Timeout) => {
                    if asking.does_not_wait && self.is_blocked(connection) {
                        // What came meanwhile counts.
                        while let Ok(message) = self.connections[connection].messages.try_recv() {
                            self.take(connection, message)?;
                        }
                        if self.connections[connection].is_busy {
                            if !asking.again {
                                self.text.push_str(&waiting);
                            }
                            return Ok(true);
                        }
                    }
                    self.look_at_time(connection, &spec_step.name, began)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            }
        }
        if self.has_blocker(running, at) {
            if !asking.again {
                self.text.push_str(&waiting);
            }
            return Ok(true);
        }
        if asking.again {
            let _ = writeln!(self.text, "step {}: <... completed>", spec_step.name);
        } else {
            let _ = writeln!(self.text, "step {}: {}", spec_step.name, spec_step.sql);
        }
        while let Some(answer) = self.connections[connection].answers.pop_front() {
            match answer {
                Response::Rows { columns, rows, .. } => {
                    result_table::push(&columns, &rows, &mut self.text);
                }
                Response::Failed(error) => {
                    let _ = writeln!(self.text, "{error}");
                }
                Response::Done(_) | Response::Notice(_) | Response::Ready => {}
            }
        }
        self.connections[connection].active = None;
        Ok(false)
    }

    /// Takes in what a session has sent; notices are printed at once.
    fn take(&mut self, connection: usize, message: Message) -> Result<(), RunError> {
        match message {
            Message::Response(Response::Ready) => self.connections[connection].is_busy = false,
            Message::Response(Response::Notice(notice)) => {
                self.notice(connection, &notice.to_string());
            }
            Message::Response(answer) => self.connections[connection].answers.push_back(answer),
            Message::Connected(_) => {}
            Message::Failed(error) => return Err(RunError::Engine(error)),
        }
        Ok(())
    }

    /// Whether the session waits for another of the spec (`pg_isolation_test_session_is_blocked`).
    fn is_blocked(&self, connection: usize) -> bool {
        let blocking = self.database.engine.blocked_by(self.connections[connection].number);
        let sessions = &self.connections[1..];
        blocking.iter().any(|number| sessions.iter().any(|session| session.number == *number))
    }

    /// Whether something that was written down keeps a step from being reported as completed.
    fn has_blocker(&self, running: &Running<'_>, at: usize) -> bool {
        let step = &running.steps[at];
        step.blockers.iter().zip(&running.wanted[at]).any(|(blocker, wanted)| match blocker {
            Blocker::Once => false,
            Blocker::Step(session, other) => {
                let active = self.connections[session + 1].active;
                active.is_some_and(|active| running.steps[active].step == *other)
            }
            Blocker::Notices(session, _) => self.connections[session + 1].notices < *wanted,
        })
    }
}
