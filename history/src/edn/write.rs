//! Histories written in Jepsen's form.
//!
//! Invariants: maps come in the order of their times. A process does one thing at a time: what ran beside its session's
//! transaction, as a savepoint of it that is recorded by itself, is another process's. One whose transaction's outcome is
//! not known does nothing any more: its session goes on as another process, as Jepsen's do. A process's number leaves its
//! session's as the rest when it is divided by the step that the comment names.

use std::io::{self, Write};

use super::{COMMENT, Quoted, level_name};
use crate::model::{Header, Operation, Outcome, Transaction};

/// The processes of a session.
struct Processes {
    session: u64,
    /// How far the numbers of its processes lie apart.
    step: u64,
    /// The one that its transactions are of.
    current: u64,
    is_busy: bool,
    /// How many there have been.
    used: u64,
}

impl Processes {
    fn fresh(&mut self) -> u64 {
        self.used += 1;
        self.session + (self.used - 1) * self.step
    }

    /// Whose invocation the next one is.
    fn invoke(&mut self) -> u64 {
        if std::mem::replace(&mut self.is_busy, true) { self.fresh() } else { self.current }
    }

    /// It has completed.
    fn complete(&mut self, process: u64, is_known: bool) {
        if process == self.current {
            self.is_busy = false;
            if !is_known {
                self.current = self.fresh();
            }
        }
    }
}

/// Writes transactions in Jepsen's form, and what the history is of in a comment before them.
///
/// # Errors
/// Where that cannot be written.
pub fn write(header: &Header, transactions: &[Transaction], mut out: impl Write) -> io::Result<()> {
    let most = transactions.iter().map(|transaction| transaction.session + 1).max().unwrap_or(0);
    let step = header.sessions.max(most).max(1);
    writeln!(
        out,
        "{COMMENT} {{:workload :{}, :level :{}, :snapshots {}, :seed {}, :sessions {}, :step {step}}}",
        header.workload,
        level_name(header.level),
        Quoted(&header.snapshots),
        header.seed,
        header.sessions,
    )?;
    // (time, whether it is a completion, when it began, transaction)
    let mut events: Vec<(u64, bool, u64, usize)> = Vec::with_capacity(transactions.len() * 2);
    for (at, transaction) in transactions.iter().enumerate() {
        events.push((transaction.begin, false, transaction.begin, at));
        events.push((transaction.end, true, transaction.begin, at));
    }
    // Of two at one time the invocation comes first, so that nothing looks ordered that was not; but no completion comes
    // before its own invocation.
    events.sort_unstable();
    let of_session = |session| Processes {
        session,
        step: u64::from(step),
        current: session,
        is_busy: false,
        used: 1,
    };
    let mut of_sessions: Vec<Processes> = (0..u64::from(step)).map(of_session).collect();
    let mut running: Vec<u64> = vec![0; transactions.len()];
    for (index, (time, is_completion, _, at)) in events.into_iter().enumerate() {
        let transaction = &transactions[at];
        let kind = match (&transaction.outcome, is_completion) {
            (_, false) => ":invoke",
            (Outcome::Ok, true) => ":ok",
            (Outcome::Failed(_), true) => ":fail",
            (Outcome::Unknown(_), true) => ":info",
        };
        let processes = &mut of_sessions[transaction.session as usize];
        if !is_completion {
            running[at] = processes.invoke();
        }
        let process = running[at];
        write!(
            out,
            "{}{{:index {index}, :type {kind}, :f :txn, :value [",
            if index == 0 { "[" } else { "\n " }
        )?;
        let is_known = kind == ":ok";
        for (place, operation) in transaction.operations.iter().enumerate() {
            if place > 0 {
                out.write_all(b" ")?;
            }
            write_operation(operation, is_known, &mut out)?;
        }
        write!(out, "], :process {process}, :time {time}")?;
        if let (Outcome::Failed(error) | Outcome::Unknown(error), true) =
            (&transaction.outcome, is_completion)
            && !error.is_empty()
        {
            write!(out, ", :error {}", Quoted(error))?;
        }
        out.write_all(b"}")?;
        if is_completion {
            processes.complete(process, kind != ":info");
        }
    }
    out.write_all(if transactions.is_empty() { b"[]\n" } else { b"]\n" })
}

fn write_operation(operation: &Operation, is_known: bool, out: &mut impl Write) -> io::Result<()> {
    match operation {
        Operation::Append { key, value } => write!(out, "[:append {key} {value}]"),
        Operation::Write { key, value, .. } => write!(out, "[:w {key} {value}]"),
        Operation::ReadList { key, values } if is_known => {
            write!(out, "[:r {key} [")?;
            for (place, value) in values.iter().enumerate() {
                write!(out, "{}{value}", if place > 0 { " " } else { "" })?;
            }
            out.write_all(b"]]")
        }
        Operation::Read { key, value: Some(value) } if is_known => {
            write!(out, "[:r {key} {value}]")
        }
        Operation::ReadList { key, .. } | Operation::Read { key, .. } => {
            write!(out, "[:r {key} nil]")
        }
    }
}
