//! The tables of a load, one transaction of it, and what must hold of them.
//!
//! Invariants: a row's balance is what it began with and what the history says; each session's numbers in the history are
//! 1, 2, 3 and so on; the sum stays (bank), or all three are equal (TPC-B).

use std::collections::BTreeMap;

use fastrand::Rng;

use super::places::{Moved, Places};
use super::run::Plan;
use crate::heap::{ColumnType, Value};
use crate::{Column, Engine, Error, Isolation, Session, Table, Transaction};

/// What a bank's account holds at first.
const FIRST_BALANCE: i64 = 1000;
/// One transaction in so many is rolled back on purpose.
const ROLLED_BACK: u32 = 50;
const HISTORY: &str = "history";
/// Rows that are put in by one call.
const BATCH: usize = 1000;

/// Which load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Money moves between accounts.
    Bank,
    /// TPC-B.
    Tpcb,
}

impl Kind {
    /// Its tables with rows for each unit of scale.
    const fn tables(self) -> &'static [(&'static str, usize)] {
        match self {
            Kind::Bank => &[("account", 1000)],
            Kind::Tpcb => &[("account", 10_000), ("teller", 10), ("branch", 1)],
        }
    }

    const fn first_balance(self) -> i64 {
        match self {
            Kind::Bank => FIRST_BALANCE,
            Kind::Tpcb => 0,
        }
    }
}

/// Why a load cannot be had, or what does not hold of it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine says so.
    #[error(transparent)]
    Engine(#[from] Error),
    /// There are other tables.
    #[error(
        "the data directory holds the tables of another load (name another directory, or remove it)"
    )]
    OtherLoad,
    /// What must hold does not.
    #[error("the invariant is broken: {0}")]
    Broken(String),
}

/// A load whose tables are there.
#[derive(Debug)]
pub struct Load {
    kind: Kind,
    tables: Vec<(Table, Places)>,
    history: Table,
}

/// What was found, and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Rows with a balance.
    pub rows: usize,
    /// Transactions that count.
    pub transactions: u64,
    /// The last of each session.
    pub last: BTreeMap<u32, i64>,
}

/// What one snapshot has of a load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) balances: Vec<i64>,
    pub(super) amounts: i64,
    pub(super) transactions: u64,
}

/// How full a table is: what is not rows is versions that nobody sees, and room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Its name.
    pub table: String,
    /// Its pages of 8 kB.
    pub pages: u64,
    /// Rows that are seen.
    pub rows: u64,
    /// Their bytes in pages.
    pub bytes: u64,
}

/// A row of the history.
struct Entry {
    session: u32,
    number: i64,
    /// Rows of each table that were changed, and by how much.
    changes: Vec<(usize, usize, i64)>,
}

fn balances() -> [Column; 2] {
    [
        Column::new("id", ColumnType::Int4).not_null(),
        Column::new("balance", ColumnType::Int8).not_null(),
    ]
}

fn history() -> [Column; 6] {
    let column = |name, column_type| Column::new(name, column_type).not_null();
    [
        column("session", ColumnType::Int4),
        column("number", ColumnType::Int8),
        column("first", ColumnType::Int4),
        column("second", ColumnType::Int4),
        column("third", ColumnType::Int4),
        column("amount", ColumnType::Int8),
    ]
}

impl Load {
    /// The load of a data directory; its tables are made if there are none, for this scale.
    ///
    /// # Errors
    /// Where there are other tables, or the engine cannot make them.
    pub fn open(engine: &Engine, kind: Kind, scale: usize) -> Result<Load, LoadError> {
        let names = engine.table_names();
        let mut session = engine.session()?;
        if names.is_empty() {
            let mut transaction = session.begin(Isolation::ReadCommitted)?;
            for &(name, rows) in kind.tables() {
                let table = transaction.create_table(name, &balances())?;
                let numbers: Vec<i32> = (0..(rows * scale.max(1)) as i32).collect();
                for batch in numbers.chunks(BATCH) {
                    let rows: Vec<Vec<Value<'_>>> = batch
                        .iter()
                        .map(|id| vec![Value::Int4(*id), Value::Int8(kind.first_balance())])
                        .collect();
                    table.insert_many(&mut transaction, &rows)?;
                }
            }
            transaction.create_table(HISTORY, &history())?;
            transaction.commit()?;
        }
        let mut wanted: Vec<&str> = kind.tables().iter().map(|(name, _)| *name).collect();
        wanted.push(HISTORY);
        wanted.sort_unstable();
        let mut names = engine.table_names();
        names.sort_unstable();
        if names != wanted {
            return Err(LoadError::OtherLoad);
        }
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        let mut tables = Vec::new();
        for (name, _) in kind.tables() {
            let table = transaction.table(name)?;
            let mut places = Vec::new();
            for row in table.scan(&mut transaction)? {
                let row = row?;
                if let [Value::Int4(id), _] = row.values()?[..] {
                    places.push((id, row.root()));
                }
            }
            places.sort_unstable_by_key(|(id, _)| *id);
            if !places.iter().map(|(id, _)| *id).eq(0..places.len() as i32) {
                return Err(LoadError::Broken(format!(
                    "table \"{name}\" lacks rows, or has two of one number"
                )));
            }
            let places = places.into_iter().map(|(_, root)| root).collect();
            tables.push((table, Places::new(places)));
        }
        let history = transaction.table(HISTORY)?;
        transaction.rollback()?;
        Ok(Load { kind, tables, history })
    }

    /// One transaction of a session, with this number in the history; whether it committed. If not, it was rolled back
    /// on purpose.
    ///
    /// # Errors
    /// [`Error::Deadlock`] and [`Error::Serialization`], after which it can be tried again; and those that end a
    /// session.
    pub fn transaction(
        &self,
        session: &mut Session<'_>,
        plan: &Plan,
        (who, number): (u32, i64),
        random: &mut Rng,
    ) -> Result<bool, Error> {
        let amount = random.i64(1..100);
        // How many rows of a table are chosen from.
        let rows = |table: usize| {
            let all = self.tables[table].1.len();
            plan.hot_rows.map_or(all, |hot| hot.max(2).min(all))
        };
        let pick = |random: &mut Rng, table: usize| random.usize(..rows(table));
        let (chosen, third) = match self.kind {
            Kind::Bank => {
                let one = pick(random, 0);
                let other = (one + 1 + random.usize(..rows(0) - 1)) % rows(0);
                ([(0, one), (0, other)], None)
            }
            Kind::Tpcb => ([(0, pick(random, 0)), (1, pick(random, 1))], Some(pick(random, 2))),
        };
        let entry = entry(self.kind, (who, number), chosen.map(|(_, row)| row), third, amount);
        let mut changes = entry.changes;
        // In one order, so that no two wait for each other.
        changes.sort_unstable();
        let mut transaction = session.begin(plan.isolation)?;
        let mut moved = Vec::with_capacity(changes.len());
        if plan.subtransactions > 0 {
            self.storm(&mut transaction, &changes, plan.subtransactions, &mut moved)?;
        }
        for (table, row, change) in changes {
            let (handle, places) = &self.tables[table];
            moved.push((table, row, places.add(&mut transaction, handle, row, change)?));
        }
        let number_of = |row: Option<usize>| Value::Int4(row.map_or(-1, |row| row as i32));
        self.history.insert(
            &mut transaction,
            &[
                Value::Int4(who as i32),
                Value::Int8(number),
                number_of(Some(chosen[0].1)),
                number_of(Some(chosen[1].1)),
                number_of(third),
                Value::Int8(amount),
            ],
        )?;
        if random.u32(..ROLLED_BACK) == 0 {
            transaction.rollback()?;
            return Ok(false);
        }
        transaction.commit_with(plan.durability)?;
        for (table, row, to) in moved {
            self.tables[table].1.note(row, to);
        }
        Ok(true)
    }

    /// Changes the rows in subtransactions, before they are changed to stay so: every second one is rolled back with what
    /// it did, the others, nested in each other, leave the balance as it was.
    fn storm(
        &self,
        transaction: &mut Transaction<'_, '_>,
        changes: &[(usize, usize, i64)],
        subtransactions: u32,
        moved: &mut Vec<(usize, usize, Moved)>,
    ) -> Result<(), Error> {
        for (turn, &(table, row, change)) in (0..subtransactions).zip(changes.iter().cycle()) {
            let (handle, places) = &self.tables[table];
            let savepoint = transaction.savepoint()?;
            if turn % 2 == 0 {
                places.add(transaction, handle, row, change)?;
                transaction.rollback_to(savepoint)?;
                transaction.release(savepoint)?;
            } else {
                moved.push((table, row, places.add(transaction, handle, row, 0)?));
            }
        }
        Ok(())
    }

    /// The sum of each table's balances as the transaction's snapshot has it, the history's length and what its rows
    /// changed.
    pub(super) fn sums(&self, transaction: &mut Transaction<'_, '_>) -> Result<Sums, LoadError> {
        let mut sums = Sums::default();
        for (table, _) in &self.tables {
            let mut sum = 0;
            for row in table.scan(transaction)? {
                if let [_, Value::Int8(balance)] = row?.values()?[..] {
                    sum += balance;
                }
            }
            sums.balances.push(sum);
        }
        for row in self.history.scan(transaction)? {
            let row = row?;
            sums.amounts += match self.kind {
                Kind::Bank => 0,
                Kind::Tpcb => match row.values()?[..] {
                    [.., Value::Int8(amount)] => amount,
                    _ => 0,
                },
            };
            sums.transactions += 1;
        }
        Ok(sums)
    }

    /// What the sums must be, given the history's.
    pub(super) fn expected(&self, sums: &Sums) -> Vec<i64> {
        let first = |places: &Places| self.kind.first_balance() * places.len() as i64;
        self.tables.iter().map(|(_, places)| first(places) + sums.amounts).collect()
    }

    /// How full the tables are.
    ///
    /// # Errors
    /// Where a table cannot be read.
    pub fn fill(&self, engine: &Engine) -> Result<Vec<Fill>, LoadError> {
        let mut session = engine.session()?;
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        let mut fills = Vec::new();
        for table in self.tables.iter().map(|(table, _)| table).chain([&self.history]) {
            let pages = u64::from(table.entry().blocks(transaction.session.shared)?);
            let mut fill = Fill { table: table.name().to_owned(), pages, rows: 0, bytes: 0 };
            for row in table.scan(&mut transaction)? {
                fill.rows += 1;
                // With its line pointer.
                fill.bytes += base::max_align(row?.tuple().len() as u64) + 4;
            }
            fills.push(fill);
        }
        transaction.rollback()?;
        Ok(fills)
    }

    /// Holds the tables against the history, as one snapshot sees them.
    ///
    /// # Errors
    /// [`LoadError::Broken`] with what does not hold.
    pub fn check(&self, engine: &Engine) -> Result<Checked, LoadError> {
        let mut session = engine.session()?;
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        let first = self.kind.first_balance();
        let mut expected: Vec<Vec<i64>> =
            self.tables.iter().map(|(_, places)| vec![first; places.len()]).collect();
        let mut numbers: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        let mut transactions = 0;
        for row in self.history.scan(&mut transaction)? {
            let row = row?;
            let entry = self.read_entry(&row.values()?)?;
            numbers.entry(entry.session).or_default().push(entry.number);
            for (table, row, change) in entry.changes {
                let balance = expected.get_mut(table).and_then(|rows| rows.get_mut(row));
                let balance = balance.ok_or_else(|| {
                    LoadError::Broken(format!("the history names row {row} of table {table}"))
                })?;
                *balance += change;
            }
            transactions += 1;
        }
        let mut last = BTreeMap::new();
        for (session, mut numbers) in numbers {
            numbers.sort_unstable();
            let gap = (1..).zip(&numbers).find(|(expected, found)| expected != *found);
            if let Some((expected, found)) = gap {
                return Err(LoadError::Broken(format!(
                    "of session {session} the history has number {found} where {expected} was expected"
                )));
            }
            last.insert(session, numbers.len() as i64);
        }
        let mut rows = 0;
        for ((table, _), expected) in self.tables.iter().zip(&expected) {
            let mut seen = 0;
            for row in table.scan(&mut transaction)? {
                let row = row?;
                self.check_row(table, &row.values()?, expected)?;
                seen += 1;
            }
            if seen != expected.len() {
                let name = table.name();
                return Err(LoadError::Broken(format!(
                    "table \"{name}\" has {seen} rows, not {}",
                    expected.len()
                )));
            }
            rows += seen;
        }
        transaction.rollback()?;
        Ok(Checked { rows, transactions, last })
    }

    fn check_row(
        &self,
        table: &Table,
        values: &[Value<'_>],
        expected: &[i64],
    ) -> Result<(), LoadError> {
        let name = table.name();
        let [Value::Int4(id), Value::Int8(balance)] = values[..] else {
            return Err(LoadError::Broken(format!("table \"{name}\" has a row {values:?}")));
        };
        match expected.get(id as usize) {
            Some(expected) if *expected == balance => Ok(()),
            Some(expected) => Err(LoadError::Broken(format!(
                "row {id} of table \"{name}\" holds {balance}, and {expected} by the history"
            ))),
            None => Err(LoadError::Broken(format!("table \"{name}\" has a row {id}"))),
        }
    }

    fn read_entry(&self, values: &[Value<'_>]) -> Result<Entry, LoadError> {
        let [
            Value::Int4(session),
            Value::Int8(number),
            Value::Int4(first),
            Value::Int4(second),
            Value::Int4(third),
            Value::Int8(amount),
        ] = values[..]
        else {
            return Err(LoadError::Broken(format!("the history has a row {values:?}")));
        };
        let third = usize::try_from(third).ok();
        let chosen = [first as usize, second as usize];
        Ok(entry(self.kind, (session as u32, number), chosen, third, amount))
    }
}

/// What a transaction changes.
fn entry(
    kind: Kind,
    (session, number): (u32, i64),
    [first, second]: [usize; 2],
    third: Option<usize>,
    amount: i64,
) -> Entry {
    let changes = match kind {
        Kind::Bank => vec![(0, first, -amount), (0, second, amount)],
        Kind::Tpcb => {
            vec![(0, first, amount), (1, second, amount), (2, third.unwrap_or(0), amount)]
        }
    };
    Entry { session, number, changes }
}

/// Whether a transaction that ended so is to be tried again.
pub(super) fn is_to_be_tried_again(error: &Error) -> bool {
    matches!(error, Error::Deadlock { .. } | Error::Serialization { .. })
}
