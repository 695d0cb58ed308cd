//! Histories read in Jepsen's form, whoever wrote them: maps one after the other, or in one vector.
//!
//! ```text
//! :invoke ──by its process──► :ok    its value says what was read
//!                         ──► :fail  it never took place
//!                         ──► :info, or nothing up to the end: nobody knows
//! ```
//!
//! Each process is a session; where the history was written here, several processes can be one. Maps whose process is no
//! number, as the nemesis's, or whose function is not `:txn`, are passed over. Where no map has a `:time`, their order counts.
//!
//! Invariant: what a map says that cannot be is an error with its place, and so is a completion of nothing.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use super::value::{Edn, Place, Value, Values};
use super::{COMMENT, LEVELS, WORKLOADS};
use crate::model::{Header, Level, Operation, Outcome, Replaced, Transaction, Workload};

/// Bytes that the first line has at most, if it is to say what the history is of.
const LONGEST_COMMENT: u64 = 4096;

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EdnError {
    /// The operating system says so.
    #[error("could not read the history: {0}")]
    Io(#[source] io::Error),
    /// Something that nobody would write.
    #[error("the history is wrong at line {line}, column {column}: {cause}")]
    Wrong {
        /// Counted from 1.
        line: u64,
        /// Counted from 1, in bytes.
        column: u64,
        /// What is wrong.
        cause: String,
    },
    /// Another program has written it.
    #[error("the history does not say which level it ran at (name the one to hold it against)")]
    NoLevel,
}

/// What was read or written, before it is known whether values are lists.
#[derive(Debug)]
enum Step {
    Append(u64, u64),
    Write(u64, u64),
    Read(u64, Seen),
}

#[derive(Debug)]
enum Seen {
    Nothing,
    One(u64),
    List(Vec<u64>),
}

/// A transaction that has begun.
#[derive(Debug)]
struct Begun {
    session: u32,
    number: u64,
    begin: u64,
    end: u64,
    outcome: Outcome,
    at: Place,
    steps: Vec<Step>,
}

/// One map.
#[derive(Debug)]
struct Event {
    at: Place,
    kind: Kind,
    process: u64,
    time: Option<u64>,
    error: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// Reads a history. `level` is the one that it ran at, where it does not say so itself.
///
/// # Errors
/// [`EdnError`], with the place.
pub fn read(
    mut from: impl BufRead,
    level: Option<Level>,
) -> Result<(Header, Vec<Transaction>), EdnError> {
    let mut first = Vec::new();
    from.by_ref().take(LONGEST_COMMENT).read_until(b'\n', &mut first).map_err(EdnError::Io)?;
    let said = first.strip_prefix(COMMENT.as_bytes()).map(read_comment).transpose()?;
    let (said, step) = said.unzip();
    let mut history = History { step, ..History::default() };
    let mut values = Values::new(first.chain(from), 1);
    let is_vector = values.take_if(b'[')?;
    loop {
        if is_vector && values.take_if(b']')? {
            if values.next_byte()?.is_some() {
                return Err(values.place().wrong("something behind the history's end"));
            }
            break;
        }
        if values.next_byte()?.is_none() {
            if is_vector {
                return Err(values.place().wrong("it ends here, and ']' is missing"));
            }
            break;
        }
        let Some(value) = values.value()? else { continue };
        if let Some(event) = read_event(value)? {
            history.add(event)?;
        }
    }
    history.finish(said, level)
}

/// What the history is of, and how far the numbers of a session's processes lie apart.
fn read_comment(rest: &[u8]) -> Result<(Header, u64), EdnError> {
    let mut values = Values::new(rest, 1 + COMMENT.len() as u64);
    let at = values.place();
    let Some(Value { edn: Edn::Map(entries), .. }) = values.value()? else {
        return Err(at.wrong("the comment does not say what the history is of"));
    };
    let find = |name: &str| {
        let is_it = |key: &Value| matches!(&key.edn, Edn::Keyword(key) if key == name);
        let found = entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| &value.edn);
        found.ok_or_else(|| at.wrong(format!("the comment lacks :{name}")))
    };
    fn named<T: Copy>(names: &[(T, &str)], value: &Edn) -> Option<T> {
        let Edn::Keyword(name) = value else { return None };
        names.iter().find(|(_, known)| known == name).map(|(one, _)| *one)
    }
    let unknown = |name: &str| at.wrong(format!("the comment has a :{name} that is not known"));
    let (Edn::Text(snapshots), Edn::Number(seed)) = (find("snapshots")?, find("seed")?) else {
        return Err(unknown("seed or :snapshots"));
    };
    let sessions = match find("sessions")? {
        Edn::Number(sessions) => u32::try_from(*sessions).ok().filter(|sessions| *sessions > 0),
        _ => None,
    };
    let step = match find("step")? {
        Edn::Number(step) if *step > 0 => *step,
        _ => return Err(unknown("step")),
    };
    let header = Header {
        workload: named(&WORKLOADS, find("workload")?).ok_or_else(|| unknown("workload"))?,
        level: named(&LEVELS, find("level")?).ok_or_else(|| unknown("level"))?,
        snapshots: snapshots.clone(),
        seed: *seed,
        sessions: sessions.ok_or_else(|| unknown("sessions"))?,
    };
    Ok((header, step))
}

/// What a map says; nothing if it is of no transaction.
fn read_event(value: Value) -> Result<Option<Event>, EdnError> {
    let at = value.at;
    let Edn::Map(entries) = value.edn else {
        return Err(at.wrong("a map is expected for each event"));
    };
    let (mut kind, mut process, mut time, mut steps) = (None, None, None, None);
    let mut error = String::new();
    let mut is_transaction = true;
    for (key, value) in entries {
        let Edn::Keyword(name) = key.edn else { continue };
        match (&name[..], value.edn) {
            ("type", Edn::Keyword(name)) => {
                let kinds = [
                    ("invoke", Kind::Invoke),
                    ("ok", Kind::Ok),
                    ("fail", Kind::Fail),
                    ("info", Kind::Info),
                ];
                kind = kinds.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
                if kind.is_none() {
                    return Err(value.at.wrong(format!("a :type :{name} is not known")));
                }
            }
            ("process", Edn::Number(number)) => process = Some(number),
            ("process", Edn::Keyword(_)) => is_transaction = false,
            ("f", Edn::Keyword(function)) => is_transaction &= function == "txn",
            ("time", Edn::Number(number)) => time = Some(number),
            ("error", Edn::Text(text)) => error = text,
            ("error", Edn::Keyword(word)) => error = word,
            ("value", edn) => steps = Some(Value { at: value.at, edn }),
            ("type" | "process" | "time", _) => {
                return Err(value.at.wrong(format!("this is no :{name}")));
            }
            _ => {}
        }
    }
    if !is_transaction {
        return Ok(None);
    }
    let lacks = |name: &str| at.wrong(format!("the event lacks :{name}"));
    let kind = kind.ok_or_else(|| lacks("type"))?;
    let process = process.ok_or_else(|| lacks("process"))?;
    let steps = read_steps(steps.ok_or_else(|| lacks("value"))?)?;
    Ok(Some(Event { at, kind, process, time, error, steps }))
}

fn read_steps(value: Value) -> Result<Vec<Step>, EdnError> {
    let Edn::Vector(operations) = value.edn else {
        return Err(value.at.wrong("a vector of operations is expected"));
    };
    operations.into_iter().map(read_step).collect()
}

fn read_step(value: Value) -> Result<Step, EdnError> {
    let at = value.at;
    let wrong =
        || at.wrong("an operation is [:append KEY VALUE], [:w KEY VALUE] or [:r KEY VALUE]");
    let Edn::Vector(parts) = value.edn else { return Err(wrong()) };
    let Ok([function, key, argument]) = <[Value; 3]>::try_from(parts) else { return Err(wrong()) };
    let Edn::Keyword(function) = function.edn else { return Err(wrong()) };
    let Edn::Number(key) = key.edn else {
        return Err(key.at.wrong("a key is a whole number from 0 on"));
    };
    let no_value = || argument.at.wrong("a value is a whole number from 0 on");
    match (&function[..], &argument.edn) {
        ("append", Edn::Number(value)) => Ok(Step::Append(key, *value)),
        ("w", Edn::Number(value)) => Ok(Step::Write(key, *value)),
        ("append" | "w", _) => Err(no_value()),
        ("r", Edn::Nil) => Ok(Step::Read(key, Seen::Nothing)),
        ("r", Edn::Number(value)) => Ok(Step::Read(key, Seen::One(*value))),
        ("r", Edn::Vector(items)) => {
            let number = |item: &Value| match item.edn {
                Edn::Number(value) => Ok(value),
                _ => Err(item.at.wrong("a value is a whole number from 0 on")),
            };
            Ok(Step::Read(key, Seen::List(items.iter().map(number).collect::<Result<_, _>>()?)))
        }
        ("r", _) => Err(no_value()),
        _ => Err(wrong()),
    }
}

/// A history that is being read.
#[derive(Debug, Default)]
struct History {
    /// How far the numbers of a session's processes lie apart, if the history says so.
    step: Option<u64>,
    /// The session of each process, and what it runs.
    processes: BTreeMap<u64, (u32, Option<usize>)>,
    /// Transactions of each session.
    numbers: BTreeMap<u32, u64>,
    begun: Vec<Begun>,
    /// Events with a time, and without.
    timed: u64,
    untimed: u64,
    last_time: u64,
}

impl History {
    fn session_of(&self, process: u64, at: Place) -> Result<u32, EdnError> {
        let session = match self.step {
            Some(step) => process % step,
            None => self.processes.len() as u64,
        };
        let session = u32::try_from(session).ok();
        session.ok_or_else(|| at.wrong("there are too many processes"))
    }

    fn add(&mut self, event: Event) -> Result<(), EdnError> {
        let Event { at, kind, process, time, error, steps } = event;
        match time {
            Some(_) => self.timed += 1,
            None => self.untimed += 1,
        }
        if self.timed > 0 && self.untimed > 0 {
            return Err(at.wrong("some events have a :time, and some have not"));
        }
        let time = time.unwrap_or(self.untimed);
        if time < self.last_time || time >= u64::MAX - 1 {
            return Err(at.wrong(format!("time {time} is not behind {}", self.last_time)));
        }
        self.last_time = time;
        let (session, running) = match self.processes.get(&process) {
            Some((session, running)) => (*session, *running),
            None => (self.session_of(process, at)?, None),
        };
        let running = match (kind, running) {
            (Kind::Invoke, Some(_)) => {
                return Err(at.wrong(format!("process {process} runs a transaction already")));
            }
            (Kind::Invoke, None) => {
                let number = self.numbers.entry(session).or_insert(0);
                *number += 1;
                let (number, outcome) = (*number, Outcome::Unknown(String::new()));
                let end = u64::MAX - 1;
                self.begun.push(Begun { session, number, begin: time, end, outcome, at, steps });
                Some(self.begun.len() - 1)
            }
            (_, None) => {
                return Err(at.wrong(format!("process {process} runs no transaction")));
            }
            (_, Some(running)) => {
                let begun = &mut self.begun[running];
                begun.end = time;
                if kind == Kind::Ok {
                    if !are_the_same(&begun.steps, &steps) {
                        return Err(at.wrong("it completes other operations than were begun"));
                    }
                    begun.steps = steps;
                }
                begun.outcome = match kind {
                    Kind::Ok => Outcome::Ok,
                    Kind::Fail => Outcome::Failed(error),
                    _ => Outcome::Unknown(error),
                };
                None
            }
        };
        self.processes.insert(process, (session, running));
        Ok(())
    }

    fn finish(
        self,
        said: Option<Header>,
        level: Option<Level>,
    ) -> Result<(Header, Vec<Transaction>), EdnError> {
        let is_list = |step: &Step| matches!(step, Step::Append(..) | Step::Read(_, Seen::List(_)));
        let is_single = |step: &Step| matches!(step, Step::Write(..) | Step::Read(_, Seen::One(_)));
        let first = |is: &dyn Fn(&Step) -> bool| {
            self.begun.iter().find(|begun| begun.steps.iter().any(is)).map(|begun| begun.at)
        };
        let workload = match (first(&is_list), first(&is_single), &said) {
            (Some(_), Some(at), _) => {
                return Err(at.wrong("lists and single values in one history"));
            }
            (None, Some(_), _) => Workload::Register,
            (None, None, Some(said)) => said.workload,
            (Some(_), None, _) | (None, None, None) => Workload::ListAppend,
        };
        let header = match said {
            Some(said) => Header { workload, ..said },
            None => Header {
                workload,
                level: level.ok_or(EdnError::NoLevel)?,
                snapshots: "unknown".to_owned(),
                seed: 0,
                sessions: self.processes.len() as u32,
            },
        };
        let transactions = self.begun.into_iter().map(|begun| begun.into_transaction(workload));
        Ok((header, transactions.collect()))
    }
}

/// Whether these are the same operations, whatever they read.
fn are_the_same(some: &[Step], others: &[Step]) -> bool {
    let same = |(one, other): (&Step, &Step)| match (one, other) {
        (Step::Append(key, value), Step::Append(other, of)) => (key, value) == (other, of),
        (Step::Write(key, value), Step::Write(other, of)) => (key, value) == (other, of),
        (Step::Read(key, _), Step::Read(other, _)) => key == other,
        _ => false,
    };
    some.len() == others.len() && some.iter().zip(others).all(same)
}

impl Begun {
    fn into_transaction(self, workload: Workload) -> Transaction {
        let Begun { session, number, begin, end, outcome, at: _, steps } = self;
        let operation = |step| match (step, workload) {
            (Step::Append(key, value), _) => Operation::Append { key, value },
            (Step::Write(key, value), _) => {
                Operation::Write { key, value, replaced: Replaced::Unknown }
            }
            (Step::Read(key, Seen::List(values)), _) => Operation::ReadList { key, values },
            (Step::Read(key, Seen::One(value)), _) => Operation::Read { key, value: Some(value) },
            (Step::Read(key, Seen::Nothing), Workload::ListAppend) => {
                Operation::ReadList { key, values: Vec::new() }
            }
            (Step::Read(key, Seen::Nothing), Workload::Register) => {
                Operation::Read { key, value: None }
            }
        };
        let operations = steps.into_iter().map(operation).collect();
        Transaction { session, number, begin, end, outcome, operations }
    }
}
