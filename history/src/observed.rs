//! A history taken in: transactions and operations with numbers, the versions of each key, and what is wrong with an
//! operation by itself.
//!
//! A list's versions are its prefixes: the longest list that was read says in which order values were appended, and any
//! other read must be a prefix of it. So a read is kept as its length, however long the list was, and memory does not
//! grow with what was read again and again. A register's versions are known as far as writes say what they replaced, or
//! were made by who had read the version before.
//!
//! Invariants: only transactions that committed are believed in what they read. One whose outcome is not known has
//! committed if anyone has read what it wrote.

use rustc_hash::FxHashMap;

use crate::anomaly::Anomaly;
use crate::model::{Header, Operation, Outcome, Replaced, Transaction, Workload};

/// No operation, or no value.
pub const NONE: u32 = u32::MAX;

/// A transaction of the history, without what it did.
#[derive(Debug, Clone)]
pub struct Txn {
    /// The session that ran it.
    pub session: u32,
    /// Its number there.
    pub number: u64,
    /// Before it was begun, in nanoseconds.
    pub begin: u64,
    /// After its end was known; `u64::MAX` where its outcome never was.
    pub end: u64,
    /// The first of its operations.
    pub first: u32,
    /// Whether it counts.
    pub is_committed: bool,
    /// Whether it is known to have failed.
    pub has_failed: bool,
}

/// What an operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// A value became part of the list, at this place counted from 1; 0 if nobody has read it.
    Append(u32),
    /// The list was read, with so many values.
    ReadList(u32),
    /// A list was read that is no prefix of the longest one.
    ReadApart,
    /// A value was written, upon this.
    Write(Replaced),
    /// What this operation wrote was read; [`NONE`] if nothing was there.
    Read(u32),
    /// A value was read that nobody wrote.
    ReadGarbage,
}

/// An operation.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    /// Its transaction.
    pub txn: u32,
    /// Its key's number.
    pub key: u32,
    /// What was written or read; of a list that was read, the last value. 0 where there was none.
    pub value: u64,
    /// What it was.
    pub did: Did,
}

/// Something wrong with an operation by itself, without a cycle.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What.
    pub anomaly: Anomaly,
    /// The operations that show it; each one's transaction has part in it.
    pub operations: Vec<u32>,
    /// In words.
    pub what: String,
}

/// A value that was written twice: nothing can be inferred from such a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncheckable {
    /// One value, two writes.
    #[error(
        "value {value} is written to key {key} twice, by {first} and by {second}: values must differ for a history to be checked"
    )]
    WrittenTwice {
        /// The key.
        key: u64,
        /// The value.
        value: u64,
        /// A transaction.
        first: String,
        /// Another, or the same.
        second: String,
    },
    /// More than can be counted.
    #[error("the history has more than 4 billion operations")]
    TooMany,
    /// An operation of the other workload.
    #[error("{transaction} has an operation that a {workload} history cannot have")]
    OtherWorkload {
        /// Which one.
        transaction: String,
        /// The history's.
        workload: Workload,
    },
}

/// A history.
#[derive(Debug)]
pub struct Observed {
    /// What it is of.
    pub header: Header,
    /// Its transactions, in the order in which they were taken in.
    pub txns: Vec<Txn>,
    /// Their operations.
    pub ops: Vec<Op>,
    /// The name of each key.
    pub keys: Vec<u64>,
    /// Of each key that holds a list, the operation that appended each value; [`NONE`] for garbage.
    pub versions: Vec<Vec<u32>>,
    /// What is wrong with operations by themselves; at most [`KEPT`] of each kind.
    pub faults: Vec<Fault>,
    /// How many of each kind there are.
    pub counts: FxHashMap<Anomaly, u64>,
    numbers: FxHashMap<u64, u32>,
    /// Key and value of each write.
    writers: FxHashMap<(u32, u64), u32>,
    /// Of each key the longest list, and who read it.
    longest: Vec<(Vec<u64>, u32)>,
}

/// Faults of one kind that are kept to be shown.
pub const KEPT: u64 = 100;

impl Observed {
    /// An empty one.
    pub fn new(header: Header) -> Observed {
        Observed {
            header,
            txns: Vec::new(),
            ops: Vec::new(),
            keys: Vec::new(),
            versions: Vec::new(),
            faults: Vec::new(),
            counts: FxHashMap::default(),
            numbers: FxHashMap::default(),
            writers: FxHashMap::default(),
            longest: Vec::new(),
        }
    }

    /// The operations of a transaction.
    pub fn operations(&self, txn: u32) -> std::ops::Range<usize> {
        let next = self.txns.get(txn as usize + 1);
        self.txns[txn as usize].first as usize
            ..next.map_or(self.ops.len(), |next| next.first as usize)
    }

    /// A transaction's name.
    pub fn name(&self, txn: u32) -> String {
        let Txn { session, number, .. } = &self.txns[txn as usize];
        format!("transaction {number} of session {session}")
    }

    fn key(&mut self, key: u64) -> u32 {
        let (keys, longest) = (&mut self.keys, &mut self.longest);
        *self.numbers.entry(key).or_insert_with(|| {
            keys.push(key);
            longest.push((Vec::new(), NONE));
            (keys.len() - 1) as u32
        })
    }

    pub(crate) fn fault(
        &mut self,
        anomaly: Anomaly,
        operations: &[u32],
        what: impl FnOnce() -> String,
    ) {
        let count = self.counts.entry(anomaly).or_default();
        *count += 1;
        if *count <= KEPT {
            self.faults.push(Fault { anomaly, operations: operations.to_vec(), what: what() });
        }
    }

    /// Takes in a transaction.
    ///
    /// # Errors
    /// Where it cannot be one of this history, or writes what another has written.
    pub fn add(&mut self, transaction: &Transaction) -> Result<(), Uncheckable> {
        let txn = self.txns.len() as u32;
        if self.ops.len() + transaction.operations.len() >= NONE as usize {
            return Err(Uncheckable::TooMany);
        }
        let is_ok = transaction.outcome == Outcome::Ok;
        let is_unknown = matches!(transaction.outcome, Outcome::Unknown(_));
        self.txns.push(Txn {
            session: transaction.session,
            number: transaction.number,
            begin: transaction.begin,
            end: if is_unknown { u64::MAX } else { transaction.end },
            first: self.ops.len() as u32,
            is_committed: is_ok,
            has_failed: !is_ok && !is_unknown,
        });
        for (place, operation) in transaction.operations.iter().enumerate() {
            let is_list =
                matches!(operation, Operation::Append { .. } | Operation::ReadList { .. });
            if is_list != (self.header.workload == Workload::ListAppend) {
                let (transaction, workload) = (self.name(txn), self.header.workload);
                return Err(Uncheckable::OtherWorkload { transaction, workload });
            }
            let key = self.key(operation.key());
            let op = self.ops.len() as u32;
            let before = &transaction.operations[..place];
            let (value, did) = match operation {
                Operation::Append { value, .. } => (*value, Did::Append(0)),
                Operation::Write { value, replaced, .. } => (*value, Did::Write(*replaced)),
                _ if !is_ok => continue,
                Operation::ReadList { values, .. } => {
                    let last = values.last().copied().unwrap_or(0);
                    self.ops.push(Op { txn, key, value: last, did: Did::ReadApart });
                    self.check_own_list(before, op, values);
                    let did = self.read_list(op, values);
                    self.ops[op as usize].did = did;
                    continue;
                }
                Operation::Read { value, .. } => {
                    let op_of = Op { txn, key, value: value.unwrap_or(0), did: Did::Read(NONE) };
                    self.ops.push(op_of);
                    self.check_own_register(before, op, *value);
                    if value.is_some() {
                        self.ops[op as usize].did = Did::ReadGarbage;
                    }
                    continue;
                }
            };
            self.ops.push(Op { txn, key, value, did });
            if let Some(first) = self.writers.insert((key, value), op) {
                let first = self.name(self.ops[first as usize].txn);
                let (key, second) = (operation.key(), self.name(txn));
                return Err(Uncheckable::WrittenTwice { key, value, first, second });
            }
        }
        Ok(())
    }

    /// Whether a list that was read ends with what the transaction has appended to it before.
    fn check_own_list(&mut self, before: &[Operation], op: u32, values: &[u64]) {
        let key = self.keys[self.ops[op as usize].key as usize];
        let mut own: Vec<u64> = Vec::new();
        // The list as it was read first behind an own value.
        let mut read: Option<&[u64]> = None;
        let mut since = 0;
        for operation in before {
            match operation {
                Operation::Append { key: of, value } if *of == key => own.push(*value),
                Operation::ReadList { key: of, values } if *of == key && !own.is_empty() => {
                    (read, since) = (Some(&values[..]), own.len());
                }
                _ => {}
            }
        }
        if own.is_empty() {
            return;
        }
        let is_so = match read {
            Some(read) => {
                values.len() == read.len() + own.len() - since
                    && values.starts_with(read)
                    && values.ends_with(&own[since..])
            }
            None => values.ends_with(&own),
        };
        if !is_so {
            self.fault(Anomaly::Internal, &[op], || {
                let (own, values) = (shown(&own), shown(values));
                format!("read {values} of key {key} after it had appended {own} itself")
            });
        }
    }

    fn check_own_register(&mut self, before: &[Operation], op: u32, value: Option<u64>) {
        let key = self.keys[self.ops[op as usize].key as usize];
        let own = before.iter().rev().find_map(|operation| match operation {
            Operation::Write { key: of, value, .. } if *of == key => Some(*value),
            _ => None,
        });
        if let Some(own) = own
            && value != Some(own)
        {
            self.fault(Anomaly::Internal, &[op], || {
                let read = value.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
                format!("read {read} of key {key} after it had written {own} itself")
            });
        }
    }

    /// Holds a list against the longest one, which it may become.
    fn read_list(&mut self, op: u32, values: &[u64]) -> Did {
        let key = self.ops[op as usize].key as usize;
        let (longest, reader) = &mut self.longest[key];
        let common = longest.len().min(values.len());
        if longest[..common] != values[..common] {
            let place = longest.iter().zip(values).take_while(|(one, other)| one == other).count();
            let (one, other) = (shown(&longest[..=place]), shown(&values[..=place]));
            let (reader, key) = (*reader, self.keys[key]);
            self.fault(Anomaly::IncompatibleOrder, &[reader, op], || {
                format!("key {key} was read as {one} and as {other}")
            });
            return Did::ReadApart;
        }
        if values.len() > longest.len() || *reader == NONE {
            longest.extend_from_slice(&values[common..]);
            *reader = op;
        }
        Did::ReadList(values.len() as u32)
    }

    /// Finds out who wrote what, once all was taken in; with that, what is wrong with reads by themselves.
    pub fn finish(&mut self) {
        match self.header.workload {
            Workload::ListAppend => self.finish_lists(),
            Workload::Register => self.finish_registers(),
        }
    }

    /// Whoever's write was read has committed, unless it is known that he failed.
    fn is_seen(&mut self, writer: u32) {
        let txn = &mut self.txns[self.ops[writer as usize].txn as usize];
        txn.is_committed |= !txn.has_failed;
    }

    fn finish_lists(&mut self) {
        let writers = std::mem::take(&mut self.writers);
        let longest = std::mem::take(&mut self.longest);
        self.versions = vec![Vec::new(); longest.len()];
        // Of each key, the first place whose value should not be there, counted from 1.
        let mut aborted: FxHashMap<u32, (u32, u32)> = FxHashMap::default();
        for (key, (values, reader)) in longest.into_iter().enumerate() {
            let mut versions = Vec::with_capacity(values.len());
            let name = self.keys[key];
            for (place, value) in (1..).zip(&values) {
                let Some(&writer) = writers.get(&(key as u32, *value)) else {
                    self.fault(Anomaly::GarbageRead, &[reader], || {
                        format!("key {name} was read with the value {value}, which nobody appended")
                    });
                    versions.push(NONE);
                    continue;
                };
                versions.push(writer);
                if let Did::Append(at) = &mut self.ops[writer as usize].did {
                    if *at != 0 {
                        self.fault(Anomaly::DuplicateElements, &[writer, reader], || {
                            format!("key {name} was read with the value {value} twice")
                        });
                        continue;
                    }
                    *at = place;
                }
                self.is_seen(writer);
                if self.txns[self.ops[writer as usize].txn as usize].has_failed {
                    aborted.entry(key as u32).or_insert((place, writer));
                }
            }
            if let Some(&(place, writer)) = aborted.get(&(key as u32)) {
                let next = versions[place as usize..].iter().copied();
                let next = next.filter(|next| *next != NONE);
                let mut upon = next.map(|next| (next, self.ops[next as usize].txn));
                let upon = upon.find(|(_, txn)| self.txns[*txn as usize].is_committed);
                if let Some((next, _)) = upon {
                    let (old, new) =
                        (self.ops[writer as usize].value, self.ops[next as usize].value);
                    self.fault(Anomaly::DirtyUpdate, &[writer, next], || {
                        format!("{new} was appended to key {name} behind {old}, whose transaction failed")
                    });
                }
            }
            self.versions[key] = versions;
        }
        for op in 0..self.ops.len() as u32 {
            let Op { txn, key, did: Did::ReadList(length), .. } = self.ops[op as usize] else {
                continue;
            };
            let name = self.keys[key as usize];
            if let Some(&(place, writer)) = aborted.get(&key)
                && place <= length
            {
                let value = self.ops[writer as usize].value;
                self.fault(Anomaly::G1a, &[writer, op], || {
                    format!("{value} was read of key {name}, and its transaction failed")
                });
            }
            let Some(last) = (length as usize).checked_sub(1) else { continue };
            let writer = self.versions[key as usize][last];
            if writer != NONE {
                self.check_intermediate(op, writer, txn);
            }
        }
    }

    /// Whether what was read is the last that its transaction wrote to the key.
    fn check_intermediate(&mut self, op: u32, writer: u32, reader: u32) {
        let Op { txn, key, value, .. } = self.ops[writer as usize];
        let name = self.keys[key as usize];
        if txn == reader {
            if writer > op {
                self.fault(Anomaly::Internal, &[op], || {
                    format!("read {value} of key {name} before it wrote that itself")
                });
            }
            return;
        }
        let later =
            self.operations(txn).skip((writer - self.txns[txn as usize].first) as usize + 1);
        let is_write = |op: &&Op| op.key == key && matches!(op.did, Did::Append(_) | Did::Write(_));
        let later = later.map(|later| &self.ops[later]).find(is_write).map(|later| later.value);
        if let Some(later) = later {
            self.fault(Anomaly::G1b, &[writer, op], || {
                format!(
                    "{value} was read of key {name}, behind which its transaction wrote {later}"
                )
            });
        }
    }

    fn finish_registers(&mut self) {
        self.longest = Vec::new();
        for op in 0..self.ops.len() as u32 {
            let Op { txn, key, value, did } = self.ops[op as usize];
            let name = self.keys[key as usize];
            match did {
                Did::ReadGarbage => {
                    let Some(&writer) = self.writers.get(&(key, value)) else {
                        self.fault(Anomaly::GarbageRead, &[op], || {
                            format!(
                                "key {name} was read with the value {value}, which nobody wrote"
                            )
                        });
                        continue;
                    };
                    self.ops[op as usize].did = Did::Read(writer);
                    self.is_seen(writer);
                    if self.txns[self.ops[writer as usize].txn as usize].has_failed {
                        self.fault(Anomaly::G1a, &[writer, op], || {
                            format!("{value} was read of key {name}, and its transaction failed")
                        });
                    }
                    self.check_intermediate(op, writer, txn);
                }
                Did::Write(Replaced::Value(old)) if !self.txns[txn as usize].has_failed => {
                    let Some(&upon) = self.writers.get(&(key, old)) else {
                        self.fault(Anomaly::GarbageRead, &[op], || {
                            format!(
                                "{value} replaced the value {old} of key {name}, which nobody wrote"
                            )
                        });
                        continue;
                    };
                    if self.txns[txn as usize].is_committed {
                        self.is_seen(upon);
                    }
                    if self.txns[self.ops[upon as usize].txn as usize].has_failed {
                        self.fault(Anomaly::DirtyUpdate, &[upon, op], || {
                            format!("{value} replaced the value {old} of key {name}, whose transaction failed")
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// Who wrote a value of a key, in a history of registers.
    pub(crate) fn writer(&self, key: u32, value: u64) -> Option<u32> {
        self.writers.get(&(key, value)).copied()
    }
}

/// The end of a list, and how long it is.
pub(crate) fn shown(values: &[u64]) -> String {
    const SHOWN: usize = 8;
    let left = values.len().saturating_sub(SHOWN);
    let mut text = String::from("[");
    if left > 0 {
        text += &format!("({left} more) ");
    }
    for (place, value) in values[left..].iter().enumerate() {
        text += &format!("{}{value}", if place > 0 { " " } else { "" });
    }
    text + "]"
}
