//! Who depends on whom.
//!
//! ```text
//! ww   wrote the version before            T1 appends 4, T2 appends 5 behind it
//! wr   wrote what the other read           T1 appends 4, T2 reads [.. 4]
//! rw   read what the other overwrote       T1 reads [.. 4], T2 appends 5 behind it
//! ```
//!
//! A value that was appended and that nobody has read lies behind all that were read, since lists only grow. Of a
//! register, versions follow each other where the write says what it replaced, where its transaction had read the
//! version before, and in one transaction; nothing comes before all.
//!
//! Invariants: a dependency is between two committed transactions, which differ. Each follows from the history whatever
//! the engine did; none is a guess.

use rustc_hash::FxHashMap;

use crate::anomaly::Anomaly;
use crate::model::{Replaced, Workload};
use crate::observed::{Did, NONE, Observed, Op};

/// Operations that nobody's read has put into an order, to which a read is related at most.
const UNSEEN: usize = 64;

/// How one operation depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It wrote the next version.
    Ww,
    /// It read the version.
    Wr,
    /// It wrote the version after the one that was read.
    Rw,
}

/// The transaction of the operation `to` depends on that of `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// How.
    pub kind: Kind,
    /// An operation.
    pub from: u32,
    /// One of another transaction.
    pub to: u32,
}

/// All that follow from a history. What is wrong with versions by themselves is added to its faults.
pub fn dependencies(observed: &mut Observed) -> Vec<Dependency> {
    match observed.header.workload {
        Workload::ListAppend => of_lists(observed),
        Workload::Register => of_registers(observed),
    }
}

struct Sink<'a> {
    observed: &'a Observed,
    found: Vec<Dependency>,
}

impl Sink<'_> {
    fn push(&mut self, kind: Kind, from: u32, to: u32) {
        let txn = |op: u32| self.observed.ops[op as usize].txn;
        let (from_txn, to_txn) = (txn(from), txn(to));
        let counts = |txn: u32| self.observed.txns[txn as usize].is_committed;
        if from_txn != to_txn && counts(from_txn) && counts(to_txn) {
            self.found.push(Dependency { kind, from, to });
        }
    }
}

fn of_lists(observed: &Observed) -> Vec<Dependency> {
    let mut sink = Sink { observed, found: Vec::new() };
    let is_good = |writer: u32| {
        writer != NONE && observed.txns[observed.ops[writer as usize].txn as usize].is_committed
    };
    let mut unseen: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
    for (op, Op { txn, key, did, .. }) in (0..).zip(&observed.ops) {
        if *did == Did::Append(0) && observed.txns[*txn as usize].is_committed {
            unseen.entry(*key).or_default().push(op);
        }
    }
    let unseen_of =
        |key: u32| unseen.get(&key).map_or(&[][..], |ops| &ops[..ops.len().min(UNSEEN)]);
    for (key, versions) in (0..).zip(&observed.versions) {
        let mut before = None;
        for &version in versions.iter().filter(|version| is_good(**version)) {
            if let Some(before) = before {
                sink.push(Kind::Ww, before, version);
            }
            before = Some(version);
        }
        if let Some(before) = before {
            unseen_of(key).iter().for_each(|version| sink.push(Kind::Ww, before, *version));
        }
    }
    for (op, Op { txn, key, did, .. }) in (0..).zip(&observed.ops) {
        let Did::ReadList(length) = *did else { continue };
        let versions = &observed.versions[*key as usize];
        let is_other =
            |version: &&u32| is_good(**version) && observed.ops[**version as usize].txn != *txn;
        let (seen, later) = versions.split_at(length as usize);
        if let Some(last) = seen.iter().rev().find(is_other) {
            sink.push(Kind::Wr, *last, op);
        }
        match later.iter().find(is_other) {
            Some(next) => sink.push(Kind::Rw, op, *next),
            None => unseen_of(*key).iter().for_each(|next| sink.push(Kind::Rw, op, *next)),
        }
    }
    sink.found
}

/// What a version of a register lies upon: an operation that wrote, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Before {
    Nothing(u32),
    Write(u32),
}

/// A version, upon which one it lies, and whether the write said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Upon {
    before: Before,
    version: u32,
    is_told: bool,
}

fn of_registers(observed: &mut Observed) -> Vec<Dependency> {
    let mut upon = order_of_registers(observed);
    upon.sort_unstable();
    let mut wrong: Vec<(Anomaly, [u32; 2])> = Vec::new();
    for same in upon.chunk_by(|one, other| one.before == other.before) {
        let mut told = same.iter().filter(|upon| upon.is_told);
        if let (Some(first), Some(second)) = (told.next(), told.next()) {
            wrong.push((Anomaly::LostWrite, [first.version, second.version]));
            continue;
        }
        // Who had read a version and wrote, as two have done: whichever wrote first, the other did not see it.
        let txn = |upon: &Upon| observed.ops[upon.version as usize].txn;
        let mut read = same.iter().filter(|upon| has_read(observed, upon));
        if let (Some(first), Some(second)) = (read.next(), read.next())
            && txn(first) != txn(second)
        {
            wrong.push((Anomaly::LostUpdate, [first.version, second.version]));
        }
    }
    for (anomaly, versions) in wrong {
        let [one, other] = versions.map(|version| observed.ops[version as usize]);
        let key = observed.keys[one.key as usize];
        let what = match anomaly {
            Anomaly::LostWrite => "both replaced the same version of key",
            _ => "both were written by who had read the same version of key",
        };
        observed.fault(anomaly, &versions, || {
            format!("the values {} and {} {what} {key}", one.value, other.value)
        });
    }
    let observed = &*observed;
    let mut sink = Sink { observed, found: Vec::new() };
    for Upon { before, version, .. } in &upon {
        if let Before::Write(before) = before {
            sink.push(Kind::Ww, *before, *version);
        }
    }
    for (op, Op { key, did, .. }) in (0..).zip(&observed.ops) {
        let Did::Read(writer) = *did else { continue };
        let before = if writer == NONE { Before::Nothing(*key) } else { Before::Write(writer) };
        if let Before::Write(writer) = before {
            sink.push(Kind::Wr, writer, op);
        }
        let first = upon.partition_point(|upon| upon.before < before);
        let next = upon[first..].iter().take_while(|upon| upon.before == before);
        next.take(UNSEEN).for_each(|next| sink.push(Kind::Rw, op, next.version));
    }
    sink.found
}

/// Whether a version's transaction has read what it lies upon.
fn has_read(observed: &Observed, upon: &Upon) -> bool {
    let Op { txn, key, .. } = observed.ops[upon.version as usize];
    let of_version = match upon.before {
        Before::Nothing(_) => NONE,
        Before::Write(writer) => writer,
    };
    let before = observed.operations(txn).take_while(|op| (*op as u32) < upon.version);
    before.map(|op| &observed.ops[op]).any(|op| op.key == key && op.did == Did::Read(of_version))
}

/// Of each committed version, what it lies upon as far as that is known.
fn order_of_registers(observed: &Observed) -> Vec<Upon> {
    let mut found = Vec::new();
    for (txn, of) in (0..).zip(&observed.txns) {
        if !of.is_committed {
            continue;
        }
        // What the transaction has of each key.
        let mut held: Vec<(u32, Before)> = Vec::new();
        for op in observed.operations(txn) {
            let Op { key, value: _, did, .. } = observed.ops[op];
            let known = held.iter().position(|(of, _)| *of == key);
            let now = match did {
                Did::Read(NONE) => Before::Nothing(key),
                Did::Read(writer) => Before::Write(writer),
                Did::Write(replaced) => {
                    let told = match replaced {
                        Replaced::Unknown => None,
                        Replaced::Nothing => Some(Before::Nothing(key)),
                        Replaced::Value(value) => observed.writer(key, value).map(Before::Write),
                    };
                    let read = known.map(|known| held[known].1);
                    let before = told.or(read).unwrap_or(Before::Nothing(key));
                    let version = op as u32;
                    found.push(Upon { before, version, is_told: told.is_some() });
                    Before::Write(version)
                }
                _ => continue,
            };
            match known {
                Some(known) => held[known].1 = now,
                None => held.push((key, now)),
            }
        }
    }
    found
}
