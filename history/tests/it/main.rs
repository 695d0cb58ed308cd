//! Histories made by hand, at random, and damaged.

mod brute_force;
mod by_hand;
mod damage;
mod edn;
mod random;

use history::{
    Header, Level, Observed, Operation, Options, Outcome, Replaced, Report, Transaction, Workload,
};

/// What a history is of, where nothing else counts.
fn header(workload: Workload, level: Level) -> Header {
    Header { workload, level, snapshots: "classic".to_owned(), seed: 1, sessions: 4 }
}

fn append(key: u64, value: u64) -> Operation {
    Operation::Append { key, value }
}

fn list(key: u64, values: &[u64]) -> Operation {
    Operation::ReadList { key, values: values.to_vec() }
}

fn write(key: u64, value: u64, replaced: Replaced) -> Operation {
    Operation::Write { key, value, replaced }
}

fn read(key: u64, value: Option<u64>) -> Operation {
    Operation::Read { key, value }
}

/// A transaction that ran for this time in a session of its own.
fn run(session: u32, begin: u64, end: u64, operations: &[Operation]) -> Transaction {
    let operations = operations.to_vec();
    Transaction { session, number: 1, begin, end, outcome: Outcome::Ok, operations }
}

/// One that failed.
fn failed(session: u32, begin: u64, end: u64, operations: &[Operation]) -> Transaction {
    let outcome = Outcome::Failed("40001".to_owned());
    Transaction { outcome, ..run(session, begin, end, operations) }
}

fn check(workload: Workload, level: Level, transactions: &[Transaction]) -> Report {
    check_by(workload, level, transactions, &Options::default())
}

fn check_by(
    workload: Workload,
    level: Level,
    transactions: &[Transaction],
    options: &Options,
) -> Report {
    let mut observed = Observed::new(header(workload, level));
    for transaction in transactions {
        observed.add(transaction).expect("a history that can be checked");
    }
    history::check(observed, options)
}
