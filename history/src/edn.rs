//! Histories in Jepsen's form, which Elle reads: a vector of maps in EDN, an invocation and a completion for each transaction.
//!
//! ```text
//! {:index 0, :type :invoke, :f :txn, :value [[:append 3 1] [:r 4 nil]], :process 0, :time 120}
//! {:index 1, :type :ok, :f :txn, :value [[:append 3 1] [:r 4 [7 8]]], :process 0, :time 345}
//! ```
//!
//! Invariants: maps come in the order of their times. A process whose transaction's outcome is not known does nothing any
//! more: its session goes on as another process, as Jepsen's do.

use std::io::{self, Write};

use crate::model::{Operation, Outcome, Transaction};

/// Writes transactions in Jepsen's form.
///
/// # Errors
/// Where that cannot be written.
pub fn write(transactions: &[Transaction], sessions: u32, mut out: impl Write) -> io::Result<()> {
    // (time, whether it is a completion, transaction)
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(transactions.len() * 2);
    for (at, transaction) in transactions.iter().enumerate() {
        events.push((transaction.begin, false, at));
        events.push((transaction.end, true, at));
    }
    // Of two at one time the invocation comes first, so that nothing looks ordered that was not; but no completion comes
    // before its own invocation.
    events.sort_unstable();
    let most = transactions.iter().map(|transaction| transaction.session + 1).max().unwrap_or(0);
    let sessions = sessions.max(most).max(1);
    let mut processes: Vec<u64> = (0..u64::from(sessions)).collect();
    for (index, (time, is_completion, at)) in events.into_iter().enumerate() {
        let transaction = &transactions[at];
        let kind = match (&transaction.outcome, is_completion) {
            (_, false) => ":invoke",
            (Outcome::Ok, true) => ":ok",
            (Outcome::Failed(_), true) => ":fail",
            (Outcome::Unknown(_), true) => ":info",
        };
        let process = &mut processes[transaction.session as usize];
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
            write!(out, ", :error \"{}\"", error.escape_default())?;
        }
        out.write_all(b"}")?;
        if kind == ":info" {
            *process += u64::from(sessions);
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
