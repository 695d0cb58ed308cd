//! What must hold of a load's tables.
//!
//! Invariants: a row's balance is what it began with and what the history says; each session's numbers in the history are
//! 1, 2, 3 and so on. Of prepared transactions each number is there at most once; of one that is prepared there is one row
//! in the history, which nobody sees, and the rows that it has changed are locked.

use std::collections::{BTreeMap, BTreeSet};

use base::Tid;

use super::load::{Author, Entry, Load, LoadError};
use crate::heap::Value;
use crate::{Engine, Error, Isolation, RowLock, Session, Table, Transaction, WaitPolicy};

/// What was found, and holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Rows with a balance.
    pub rows: usize,
    /// Transactions that count.
    pub transactions: u64,
    /// The last of each session.
    pub last: BTreeMap<u32, i64>,
    /// The last that each session has prepared, whether it counts or is still prepared.
    pub last_prepared: BTreeMap<u32, i64>,
    /// The identifiers of those that are prepared.
    pub prepared: Vec<String>,
}

impl Load {
    /// Holds the tables against the history, as one snapshot sees them, and what is prepared against its locks. Nobody else
    /// may be at work.
    ///
    /// # Errors
    /// [`LoadError::Broken`] with what does not hold.
    pub fn check(&self, engine: &Engine) -> Result<Checked, LoadError> {
        let mut session = engine.session()?;
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        let first = self.kind.first_balance();
        let mut expected: Vec<Vec<i64>> =
            self.tables.iter().map(|(_, places)| vec![first; places.len()]).collect();
        let mut checked = Checked::default();
        let mut numbers: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        let mut authors = BTreeSet::new();
        for row in self.history.scan(&mut transaction)? {
            let row = row?;
            let Entry { author, changes } = self.read_entry(&row.values()?)?;
            if author.is_prepared {
                if !authors.insert(author) {
                    let gid = author.gid();
                    return Err(LoadError::Broken(format!("the history has \"{gid}\" twice")));
                }
            } else {
                numbers.entry(author.session).or_default().push(author.number);
            }
            for (table, row, change) in changes {
                let balance = expected.get_mut(table).and_then(|rows| rows.get_mut(row));
                let balance = balance.ok_or_else(|| {
                    LoadError::Broken(format!("the history names row {row} of table {table}"))
                })?;
                *balance += change;
            }
            checked.transactions += 1;
        }
        for (session, mut numbers) in numbers {
            numbers.sort_unstable();
            let gap = (1..).zip(&numbers).find(|(expected, found)| expected != *found);
            if let Some((expected, found)) = gap {
                return Err(LoadError::Broken(format!(
                    "of session {session} the history has number {found} where {expected} was expected"
                )));
            }
            checked.last.insert(session, numbers.len() as i64);
        }
        let in_doubt = self.in_doubt(engine, &mut transaction)?;
        for author in authors.iter().chain(in_doubt.keys()) {
            let last = checked.last_prepared.entry(author.session).or_insert(0);
            *last = author.number.max(*last);
        }
        let held: BTreeSet<_> = in_doubt.values().flatten().copied().collect();
        let mut locked = Vec::new();
        for (number, ((table, _), expected)) in self.tables.iter().zip(&expected).enumerate() {
            let mut seen = 0;
            for row in table.scan(&mut transaction)? {
                let row = row?;
                let id = self.check_row(table, &row.values()?, expected)?;
                if held.contains(&(number, id)) {
                    locked.push((table, id, row.tid()));
                }
                seen += 1;
            }
            if seen != expected.len() {
                let name = table.name();
                return Err(LoadError::Broken(format!(
                    "table \"{name}\" has {seen} rows, not {}",
                    expected.len()
                )));
            }
            checked.rows += seen;
        }
        transaction.rollback()?;
        for (table, row, tid) in locked {
            check_locked(&mut session, table, row, tid)?;
        }
        checked.prepared = in_doubt.into_keys().map(Author::gid).collect();
        Ok(checked)
    }

    /// The rows that each prepared transaction has changed: by what its row in the history says, which nobody sees yet.
    fn in_doubt(
        &self,
        engine: &Engine,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<BTreeMap<Author, Vec<(usize, usize)>>, LoadError> {
        let prepared = engine.prepared();
        if prepared.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut found = BTreeMap::new();
        for dirty in self.history.scan_dirty(transaction)? {
            if dirty.inserting.is_none() {
                continue;
            }
            let Entry { author, changes } = self.read_entry(&dirty.row.values()?)?;
            let rows = changes.into_iter().map(|(table, row, _)| (table, row)).collect();
            if !author.is_prepared || found.insert(author, rows).is_some() {
                return Err(LoadError::Broken(format!(
                    "the history has a row of session {}, number {}, that is in doubt and should not be",
                    author.session, author.number
                )));
            }
        }
        for one in &prepared {
            let author = Author::of_gid(&one.gid);
            let author = author.ok_or_else(|| LoadError::OtherPrepared(one.gid.clone()))?;
            if !found.contains_key(&author) {
                let gid = &one.gid;
                return Err(LoadError::Broken(format!("\"{gid}\" is prepared without its row")));
            }
        }
        if found.len() != prepared.len() {
            return Err(LoadError::Broken(format!(
                "{} rows of the history are in doubt, and {} transactions are prepared",
                found.len(),
                prepared.len()
            )));
        }
        Ok(found)
    }

    fn check_row(
        &self,
        table: &Table,
        values: &[Value<'_>],
        expected: &[i64],
    ) -> Result<usize, LoadError> {
        let name = table.name();
        let [Value::Int4(id), Value::Int8(balance)] = values[..] else {
            return Err(LoadError::Broken(format!("table \"{name}\" has a row {values:?}")));
        };
        match expected.get(id as usize) {
            Some(expected) if *expected == balance => Ok(id as usize),
            Some(expected) => Err(LoadError::Broken(format!(
                "row {id} of table \"{name}\" holds {balance}, and {expected} by the history"
            ))),
            None => Err(LoadError::Broken(format!("table \"{name}\" has a row {id}"))),
        }
    }
}

/// Whether a row that a prepared transaction has changed is locked.
fn check_locked(
    session: &mut Session<'_>,
    table: &Table,
    row: usize,
    tid: Tid,
) -> Result<(), LoadError> {
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    let locked = table.lock_row(&mut transaction, tid, RowLock::NoKeyUpdate, WaitPolicy::NoWait);
    transaction.rollback()?;
    match locked {
        Err(Error::RowLockNotAvailable { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(LoadError::Broken(format!(
            "row {row} of table \"{}\" is not locked, though a prepared transaction has changed it",
            table.name()
        ))),
    }
}
