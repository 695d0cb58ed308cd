//! What a check found, as text and as JSON.
//!
//! ```text
//! history             list-append at repeatable read, classic snapshots, seed 1, 4 sessions
//! transactions        3: 3 committed, 0 failed, 0 unknown
//! size                5 operations, 2 keys, 3 dependencies
//! checked for         repeatable read
//! G-single            FORBIDDEN, 1 found
//!     T1 = transaction 1 of session 0: append 1 <- 1, append 2 <- 2
//!     T2 = transaction 1 of session 1: read 1 [], read 2 [2]
//!     T1 -wr-> T2: T1 appended 2 to key 2, T2 read [2]
//!     T2 -rw-> T1: T2 read key 1 as [], T1 then appended 1
//! verdict             not repeatable read
//! ```
//!
//! Invariant: an example's transactions are named in the order of the cycle, each step leads from one to the next, and
//! the last one back to the first.

use std::fmt::Write as _;

use serde::Serialize;

use crate::anomaly::Anomaly;
use crate::dependency::{Dependency, Kind};
use crate::instants::Step;
use crate::model::{Header, Level, Replaced};
use crate::observed::{Did, Fault, NONE, Observed, Op, shown};

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What the history is of.
    pub header: Header,
    /// The level that it was held against.
    pub level: Level,
    /// How large it is.
    pub counts: Counts,
    /// What was found, forbidden ones first.
    pub anomalies: Vec<Found>,
}

/// How large a history is.
#[derive(Debug, Clone, Serialize)]
pub struct Counts {
    /// All that were recorded.
    pub transactions: u64,
    /// Those that committed.
    pub committed: u64,
    /// Those that did not.
    pub failed: u64,
    /// Those of which nobody knows.
    pub unknown: u64,
    /// Operations that count for the check.
    pub operations: u64,
    /// Keys.
    pub keys: u64,
    /// Dependencies between transactions.
    pub dependencies: u64,
}

/// One kind of anomaly.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Which one.
    pub anomaly: Anomaly,
    /// Whether it needs that one transaction had ended before another began.
    pub is_realtime: bool,
    /// Whether the level forbids it.
    pub is_forbidden: bool,
    /// How many: all single operations and pairs of transactions of that name, and longer cycles that the search came upon.
    pub count: u64,
    /// The shortest of them.
    pub examples: Vec<Example>,
}

/// Transactions, and what is wrong between them.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// Who has part in it: session, number, operations in words.
    pub transactions: Vec<Shown>,
    /// What is wrong, in words.
    pub steps: Vec<String>,
}

/// A transaction in words.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its session.
    pub session: u32,
    /// Its number there.
    pub number: u64,
    /// When it was begun, in nanoseconds.
    pub begin: u64,
    /// When its end was known; absent if it never was.
    pub end: Option<u64>,
    /// What it did.
    pub operations: Vec<String>,
}

impl Report {
    /// Whether nothing was found that the level forbids.
    pub fn is_clean(&self) -> bool {
        !self.anomalies.iter().any(|found| found.is_forbidden)
    }

    /// What was found of an anomaly, with or without time, forbidden or not.
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.anomalies.iter().filter(|of| of.anomaly == anomaly).map(|of| of.count).sum()
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let Header { workload, level, snapshots, seed, sessions } = &self.header;
        let Counts { transactions, committed, failed, unknown, operations, keys, dependencies } =
            &self.counts;
        let mut text = format!(
            "history             {workload} at {level}, {snapshots} snapshots, seed {seed}, {sessions} sessions\n\
             transactions        {transactions}: {committed} committed, {failed} failed, {unknown} unknown\n\
             size                {operations} operations, {keys} keys, {dependencies} dependencies\n\
             checked for         {}\n",
            self.level
        );
        for found in &self.anomalies {
            let suffix = if found.is_realtime { "-realtime" } else { "" };
            let name = format!("{}{suffix}", found.anomaly);
            let verdict = if found.is_forbidden { "FORBIDDEN" } else { "allowed" };
            let _ = writeln!(text, "{name:<19} {verdict}, {} found", found.count);
            for example in &found.examples {
                for (number, shown) in (1..).zip(&example.transactions) {
                    let (session, of, what) =
                        (shown.session, shown.number, shown.operations.join(", "));
                    let _ = writeln!(
                        text,
                        "    T{number} = transaction {of} of session {session}: {what}"
                    );
                }
                for step in &example.steps {
                    let _ = writeln!(text, "    {step}");
                }
            }
        }
        let verdict = match self.is_clean() {
            true => format!("nothing that {} forbids", self.level),
            false => format!("not {}", self.level),
        };
        let _ = writeln!(text, "verdict             {verdict}");
        text
    }
}

/// The values of a list's first versions.
fn list(observed: &Observed, key: u32, length: u32) -> String {
    let versions = observed.versions.get(key as usize).map_or(&[][..], |versions| &versions[..]);
    let value = |op: &u32| if *op == NONE { 0 } else { observed.ops[*op as usize].value };
    let values: Vec<u64> = versions.iter().take(length as usize).map(value).collect();
    shown(&values)
}

/// What an operation did, in words.
fn operation(observed: &Observed, op: u32) -> String {
    let Op { key, value, did, .. } = observed.ops[op as usize];
    let name = observed.keys[key as usize];
    match did {
        Did::Append(_) => format!("append {name} <- {value}"),
        Did::ReadList(length) => format!("read {name} {}", list(observed, key, length)),
        Did::ReadApart => format!("read {name} [... {value}]"),
        Did::Write(Replaced::Value(old)) => format!("write {name} <- {value} (was {old})"),
        Did::Write(Replaced::Nothing) => format!("write {name} <- {value} (was nothing)"),
        Did::Write(Replaced::Unknown) => format!("write {name} <- {value}"),
        Did::Read(NONE) => format!("read {name} nothing"),
        Did::Read(_) | Did::ReadGarbage => format!("read {name} {value}"),
    }
}

fn shown_transaction(observed: &Observed, txn: u32) -> Shown {
    let of = &observed.txns[txn as usize];
    let operations = observed.operations(txn).map(|op| operation(observed, op as u32)).collect();
    let end = (of.end != u64::MAX).then_some(of.end);
    Shown { session: of.session, number: of.number, begin: of.begin, end, operations }
}

/// An operation that is wrong by itself.
pub(crate) fn explain_fault(observed: &Observed, fault: &Fault) -> Example {
    let mut txns: Vec<u32> = Vec::new();
    for op in fault.operations.iter().filter(|op| **op != NONE) {
        let txn = observed.ops[*op as usize].txn;
        if !txns.contains(&txn) {
            txns.push(txn);
        }
    }
    let transactions = txns.into_iter().map(|txn| shown_transaction(observed, txn)).collect();
    Example { transactions, steps: vec![fault.what.clone()] }
}

/// A cycle.
pub(crate) fn explain_cycle(
    observed: &Observed,
    dependencies: &[Dependency],
    steps: &[Step],
) -> Example {
    let transactions = steps.iter().map(|step| shown_transaction(observed, step.from)).collect();
    let count = steps.len();
    let words = steps.iter().enumerate().map(|(place, step)| {
        let (one, other) = (place + 1, (place + 1) % count + 1);
        let Some(number) = step.dependency else {
            return format!("T{one} -time-> T{other}: T{one} had ended before T{other} began");
        };
        let Dependency { kind, from, to } = dependencies[number as usize];
        let (from, to) = (observed.ops[from as usize], observed.ops[to as usize]);
        let key = observed.keys[to.key as usize];
        let read = |op: Op| match op.did {
            Did::ReadList(length) => list(observed, op.key, length),
            Did::Read(NONE) => "nothing".to_owned(),
            _ => op.value.to_string(),
        };
        let (wrote, new) = match to.did {
            Did::Append(_) => (format!("appended {}", from.value), format!("appended {}", to.value)),
            _ => (format!("wrote {}", from.value), format!("wrote {}", to.value)),
        };
        match kind {
            Kind::Ww => {
                format!("T{one} -ww-> T{other}: T{one} {wrote} to key {key}, T{other} then {new}")
            }
            Kind::Wr => {
                let wrote = match from.did {
                    Did::Append(_) => "appended",
                    _ => "wrote",
                };
                let (value, seen) = (from.value, read(to));
                format!("T{one} -wr-> T{other}: T{one} {wrote} {value} to key {key}, T{other} read {seen}")
            }
            Kind::Rw => {
                let seen = read(from);
                format!("T{one} -rw-> T{other}: T{one} read key {key} as {seen}, T{other} then {new}")
            }
        }
    });
    let steps = words.collect();
    Example { transactions, steps }
}
