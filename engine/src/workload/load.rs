//! The tables of a load, and one transaction of it.
//!
//! Invariants: a row's balance is what it began with and what the history says; the sum stays (bank), or all three are equal
//! (TPC-B).

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
/// What the identifiers of prepared transactions begin with.
const GID: &str = "strata-";
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

    pub(super) const fn first_balance(self) -> i64 {
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
    /// A transaction is prepared that no load has prepared.
    #[error(
        "transaction \"{0}\" is prepared, and not by a load (commit it or roll it back, as SQL does with COMMIT PREPARED)"
    )]
    OtherPrepared(String),
    /// What must hold does not.
    #[error("the invariant is broken: {0}")]
    Broken(String),
}

/// Whose transaction a row of the history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Author {
    pub(super) session: u32,
    pub(super) number: i64,
    /// Prepared ones are counted by themselves.
    pub(super) is_prepared: bool,
}

impl Author {
    /// The session as the history has it: that of prepared ones is negative.
    fn column(self) -> i32 {
        let session = self.session as i32;
        if self.is_prepared { -1 - session } else { session }
    }

    fn of_columns(session: i32, number: i64) -> Author {
        let is_prepared = session < 0;
        let session = if is_prepared { -1 - session } else { session };
        Author { session: session as u32, number, is_prepared }
    }

    /// The identifier that it is prepared by.
    pub(super) fn gid(self) -> String {
        format!("{GID}{}-{}", self.session, self.number)
    }

    pub(super) fn of_gid(gid: &str) -> Option<Author> {
        let (session, number) = gid.strip_prefix(GID)?.split_once('-')?;
        let (session, number) = (session.parse().ok()?, number.parse().ok()?);
        let author = Author { session, number, is_prepared: true };
        (author.gid() == gid).then_some(author)
    }
}

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Ended {
    Committed,
    /// On purpose.
    RolledBack,
    /// It is prepared.
    Prepared(Moves),
}

/// Where rows went to: table, row, place.
pub(super) type Moves = Vec<(usize, usize, Moved)>;

/// A load whose tables are there.
#[derive(Debug)]
pub struct Load {
    pub(super) kind: Kind,
    pub(super) tables: Vec<(Table, Places)>,
    pub(super) history: Table,
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
pub(super) struct Entry {
    pub(super) author: Author,
    /// Rows of each table that were changed, and by how much.
    pub(super) changes: Vec<(usize, usize, i64)>,
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

    /// One transaction of a session, with its number in the history; how it ended.
    ///
    /// # Errors
    /// [`Error::Deadlock`] and [`Error::Serialization`], after which it can be tried again; and those that end a
    /// session.
    pub(super) fn transaction(
        &self,
        session: &mut Session<'_>,
        plan: &Plan,
        author: Author,
        random: &mut Rng,
    ) -> Result<Ended, Error> {
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
        let entry = entry(self.kind, author, chosen.map(|(_, row)| row), third, amount);
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
                Value::Int4(author.column()),
                Value::Int8(author.number),
                number_of(Some(chosen[0].1)),
                number_of(Some(chosen[1].1)),
                number_of(third),
                Value::Int8(amount),
            ],
        )?;
        if random.u32(..ROLLED_BACK) == 0 {
            transaction.rollback()?;
            return Ok(Ended::RolledBack);
        }
        if author.is_prepared {
            transaction.prepare(&author.gid())?;
            return Ok(Ended::Prepared(moved));
        }
        transaction.commit_with(plan.durability)?;
        self.note(&moved);
        Ok(Ended::Committed)
    }

    /// Notes where the rows of a transaction went to that has committed.
    pub(super) fn note(&self, moves: &Moves) {
        for (table, row, to) in moves {
            self.tables[*table].1.note(*row, *to);
        }
    }

    /// Changes the rows in subtransactions, before they are changed to stay so: every second one is rolled back with what
    /// it did, the others, nested in each other, leave the balance as it was.
    fn storm(
        &self,
        transaction: &mut Transaction<'_, '_>,
        changes: &[(usize, usize, i64)],
        subtransactions: u32,
        moved: &mut Moves,
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

    pub(super) fn read_entry(&self, values: &[Value<'_>]) -> Result<Entry, LoadError> {
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
        Ok(entry(self.kind, Author::of_columns(session, number), chosen, third, amount))
    }
}

/// What a transaction changes.
fn entry(
    kind: Kind,
    author: Author,
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
    Entry { author, changes }
}

/// Whether a transaction that ended so is to be tried again.
pub(super) fn is_to_be_tried_again(error: &Error) -> bool {
    matches!(error, Error::Deadlock { .. } | Error::Serialization { .. })
}
