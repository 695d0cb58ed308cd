//! This engine: tables and indexes, by its Rust interface. A commit waits for `fdatasync` of the log.

use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use engine::btree::Direction;
use engine::checkpoint::CheckpointOptions;
use engine::data_directory::{Birth, InitOptions, init};
use engine::heap::{ColumnType, Value};
use engine::vacuum::{AutovacuumOptions, VacuumOptions, VacuumProgress, VacuumReport};
use engine::{
    Column, Engine, EngineOptions, IndexDefinition, Isolation, RowRef, Session, SnapshotMode,
    Table, TableIndex, Transaction,
};
use wal::write::LogOptions;

use super::{BRANCHES, CACHE, Next, RANGE, Store, TELLERS, Worker, Workload, code, filler, timed};

const TABLES: [&str; 3] = ["account", "teller", "branch"];
/// Rows that are put in by one call.
const BATCH: u32 = 1000;

/// The engine at work.
pub(crate) struct Own {
    pub(crate) engine: Engine,
}

/// What differs between the ways that the engine is measured in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    /// How it decides who sees what.
    pub(crate) mode: SnapshotMode,
    /// Sessions beside those that work.
    pub(crate) idle: u32,
    /// How long the autovacuum sleeps between two rounds; `None` if there is none.
    pub(crate) vacuums_every: Option<Duration>,
    /// Whether sessions that wait for the log sleep at once.
    pub(crate) waits_asleep: bool,
}

fn options(how: How) -> EngineOptions {
    let of_server = EngineOptions::default();
    let autovacuum = AutovacuumOptions::default();
    EngineOptions {
        mode: how.mode,
        sessions: of_server.sessions + how.idle,
        buffers: CACHE / 8192,
        // As of the server beside it: no checkpoint by itself, and no vacuum where none is asked for.
        autovacuum: AutovacuumOptions {
            is_on: how.vacuums_every.is_some(),
            nap: how.vacuums_every.unwrap_or(autovacuum.nap),
            ..autovacuum
        },
        checkpoint: CheckpointOptions {
            timeout: Duration::from_secs(86_400),
            maximum_log: 1 << 40,
            ..CheckpointOptions::default()
        },
        log: LogOptions { waits_awake: !how.waits_asleep, ..of_server.log },
        ..of_server
    }
}

fn column(name: &str, column_type: ColumnType) -> Column {
    Column::new(name, column_type).not_null()
}

fn accounts() -> [Column; 4] {
    [
        column("id", ColumnType::Int4),
        column("code", ColumnType::Int4),
        column("balance", ColumnType::Int8),
        column("filler", ColumnType::Text),
    ]
}

fn balances() -> [Column; 2] {
    [column("id", ColumnType::Int4), column("balance", ColumnType::Int8)]
}

fn history() -> [Column; 4] {
    [
        column("account", ColumnType::Int4),
        column("teller", ColumnType::Int4),
        column("branch", ColumnType::Int4),
        column("amount", ColumnType::Int8),
    ]
}

pub(crate) fn primary_key(table: &str) -> IndexDefinition {
    let key = IndexDefinition::new(format!("{table}_pkey"), &[0]).unique();
    IndexDefinition { is_primary: true, ..key }
}

pub(crate) fn load(
    directory: &Path,
    count: u32,
    mode: SnapshotMode,
) -> Result<(Duration, Option<Duration>)> {
    init(
        &base::disk::RealDisk,
        directory,
        &InitOptions::default(),
        &Birth::now().context("no random bytes")?,
    )?;
    let engine = Engine::open(directory, options(How { mode, ..How::default() }))?;
    let mut session = engine.session()?;
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    for (name, rows) in [("teller", TELLERS), ("branch", BRANCHES)] {
        let table = transaction.create_table(name, &balances())?;
        let rows: Vec<_> =
            (0..rows).map(|id| vec![Value::Int4(id as i32), Value::Int8(0)]).collect();
        table.insert_many(&mut transaction, &rows)?;
        transaction.create_index(&table, &primary_key(name))?;
    }
    transaction.create_table("history", &history())?;
    transaction.commit()?;
    let ((), took) = timed(|| {
        let filler = filler();
        let mut transaction = session.begin(Isolation::ReadCommitted)?;
        let table = transaction.create_table("account", &accounts())?;
        for first in (0..count).step_by(BATCH as usize) {
            let rows: Vec<_> = (first..count.min(first + BATCH))
                .map(|id| {
                    let code = Value::Int4(code(id) as i32);
                    vec![Value::Int4(id as i32), code, Value::Int8(0), Value::Text(&filler)]
                })
                .collect();
            table.insert_many(&mut transaction, &rows)?;
        }
        transaction.create_index(&table, &primary_key("account"))?;
        Ok(transaction.commit()?)
    })?;
    let ((), index) = timed(|| {
        let mut transaction = session.begin(Isolation::ReadCommitted)?;
        let table = transaction.table("account")?;
        transaction.create_index(&table, &IndexDefinition::new("account_code_idx", &[1]))?;
        Ok(transaction.commit()?)
    })?;
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    transaction.drop_index("account_code_idx")?;
    transaction.commit()?;
    vacuum(&mut session, None)?;
    drop(session);
    engine.close()?;
    Ok((took, Some(index)))
}

/// Vacuums a table, or all; what was done.
pub(crate) fn vacuum(session: &mut Session<'_>, table: Option<&str>) -> Result<Vec<VacuumReport>> {
    let nobody = &mut |_: &VacuumProgress<'_>| std::ops::ControlFlow::Continue(());
    Ok(session.vacuum(table, &VacuumOptions::default(), nobody)?)
}

/// Opens the engine where the tables were made.
pub(crate) fn open(directory: &Path, how: How) -> Result<Own> {
    Ok(Own { engine: Engine::open(directory, options(how))? })
}

/// A table that rows are found in by their key.
struct Keyed {
    table: Table,
    key: TableIndex,
    /// The column that is changed.
    balance: usize,
}

struct OfSession<'e> {
    session: Session<'e>,
    /// Accounts, tellers, branches.
    keyed: [Keyed; 3],
    history: Table,
}

impl Store for Own {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        let mut session = self.engine.session()?;
        let mut transaction = session.begin(Isolation::ReadCommitted)?;
        let mut keyed = Vec::new();
        for name in TABLES {
            let (key, table) = transaction.index(&primary_key(name).name)?;
            let columns = table.columns().iter();
            let balance = columns.map(|column| &column.name).position(|name| name == "balance");
            keyed.push(Keyed { table, key, balance: balance.context("no balance")? });
        }
        let history = transaction.table("history")?;
        transaction.commit()?;
        let Ok(keyed) = keyed.try_into() else { bail!("three tables") };
        Ok(Box::new(OfSession { session, keyed, history }))
    }

    fn sums(&self) -> Result<[i64; 4]> {
        let mut session = self.engine.session()?;
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        let mut sums = [0; 4];
        for (sum, name) in sums.iter_mut().zip(TABLES.into_iter().chain(["history"])) {
            let table = transaction.table(name)?;
            for row in table.scan(&mut transaction)? {
                let row = row?;
                let mut values = row.values()?.into_iter().rev();
                let amount = values.find_map(|value| match value {
                    Value::Int8(amount) => Some(amount),
                    _ => None,
                });
                *sum += amount.context("a row without an amount")?;
            }
        }
        Ok(sums)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.engine.close()?)
    }
}

fn change(
    transaction: &mut Transaction<'_, '_>,
    keyed: &Keyed,
    id: u32,
    amount: i64,
) -> Result<()> {
    let Keyed { table, key, balance } = keyed;
    let found = table.find(transaction, key, &[Value::Int4(id as i32)])?;
    let tid = found.context("no such row")?.tid();
    let changed = table.update_with(transaction, tid, |values| {
        let mut values = values.to_vec();
        if let Some(Value::Int8(now)) = values.get_mut(*balance) {
            *now += amount;
        }
        Some(values)
    })?;
    changed.context("the row is gone").map(|_| ())
}

impl Worker for OfSession<'_> {
    fn work(&mut self, workload: Workload, next: &mut Next<'_>) -> Result<()> {
        match workload {
            Workload::Transfer => self.transfer(next),
            Workload::Tpcb => self.tpcb(next),
            Workload::Read => self.read(next, read_one),
            Workload::Range => self.read(next, read_range),
        }
    }
}

impl OfSession<'_> {
    fn transfer(&mut self, next: &mut Next<'_>) -> Result<()> {
        let [accounts, ..] = &self.keyed;
        while next.goes_on() {
            let ([one, other], amount) = (next.two_accounts(), next.amount());
            let mut transaction = self.session.begin(Isolation::ReadCommitted)?;
            change(&mut transaction, accounts, one, -amount)?;
            change(&mut transaction, accounts, other, amount)?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn tpcb(&mut self, next: &mut Next<'_>) -> Result<()> {
        while next.goes_on() {
            let (account, amount) = (next.account(), next.amount());
            let (teller, branch) = next.teller_and_branch();
            let ids = [account, teller, branch];
            let mut transaction = self.session.begin(Isolation::ReadCommitted)?;
            for (keyed, id) in self.keyed.iter().zip(ids) {
                change(&mut transaction, keyed, id, amount)?;
            }
            let [account, teller, branch] = ids.map(|id| Value::Int4(id as i32));
            let row = [account, teller, branch, Value::Int8(amount)];
            self.history.insert(&mut transaction, &row)?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// Reads in one transaction, each with a snapshot of its own, as a function of the server does. `read` gives the sum of what it
    /// has read.
    fn read(
        &mut self,
        next: &mut Next<'_>,
        read: impl Fn(&Keyed, &mut Transaction<'_, '_>, &mut Next<'_>) -> Result<i64>,
    ) -> Result<()> {
        let [accounts, ..] = &self.keyed;
        let mut transaction = self.session.begin(Isolation::ReadCommitted)?;
        let mut sum = 0;
        while next.goes_on() {
            sum += read(accounts, &mut transaction, next)?;
        }
        std::hint::black_box(sum);
        Ok(transaction.commit()?)
    }
}

/// The balance of a row.
fn balance(keyed: &Keyed, row: &RowRef<'_>) -> Result<i64> {
    match row.value(keyed.balance)? {
        Some(Value::Int8(balance)) => Ok(balance),
        _ => bail!("no balance"),
    }
}

fn read_one(
    keyed: &Keyed,
    transaction: &mut Transaction<'_, '_>,
    next: &mut Next<'_>,
) -> Result<i64> {
    let id = Value::Int4(next.account() as i32);
    let row = keyed.table.find(transaction, &keyed.key, &[id])?;
    balance(keyed, &row.context("no such row")?)
}

fn read_range(
    keyed: &Keyed,
    transaction: &mut Transaction<'_, '_>,
    next: &mut Next<'_>,
) -> Result<i64> {
    let first = next.first_of_range();
    let [lower, upper] = [first, first + RANGE - 1].map(|id| [Value::Int4(id as i32)]);
    let (lower, upper) = (Bound::Included(&lower[..]), Bound::Included(&upper[..]));
    let Keyed { table, key, .. } = keyed;
    let mut scan = table.scan_index(transaction, key, lower, upper, Direction::Forward)?;
    let (mut sum, mut found) = (0, 0);
    while let Some(row) = scan.next_ref(transaction)? {
        (sum, found) = (sum + balance(keyed, &row)?, found + 1);
    }
    ensure!(found == RANGE, "{found} rows instead of {RANGE}");
    Ok(sum)
}
