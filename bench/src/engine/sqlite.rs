//! SQLite by rusqlite, as its users would have it where commits are to be durable: a log (`journal_mode = WAL`) that each
//! commit syncs (`synchronous = FULL`), one connection a thread, prepared statements.
//!
//! Two transactions cannot write at once. SQLite's own waiting sleeps and tries again, so writers take turns by a lock here,
//! which is better for it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use rusqlite::{Connection, OpenFlags, params};

use super::{BRANCHES, CACHE, Next, RANGE, Store, TELLERS, Worker, Workload, code, filler, timed};

const TABLES: &str = "
    CREATE TABLE account (id INTEGER PRIMARY KEY, code INTEGER NOT NULL, balance INTEGER NOT NULL, filler TEXT NOT NULL);
    CREATE TABLE teller (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE branch (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE history (account INTEGER NOT NULL, teller INTEGER NOT NULL, branch INTEGER NOT NULL,
                          amount INTEGER NOT NULL);";
const CHANGES: [&str; 3] = [
    "UPDATE account SET balance = balance + ?2 WHERE id = ?1",
    "UPDATE teller SET balance = balance + ?2 WHERE id = ?1",
    "UPDATE branch SET balance = balance + ?2 WHERE id = ?1",
];

struct Sqlite {
    file: PathBuf,
    writer: Mutex<()>,
}

fn connect(file: &Path) -> Result<Connection> {
    // Each thread has its own: no lock of the library's is needed round it.
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    let kilobytes = CACHE / 1024;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{kilobytes};"
    ))?;
    Ok(connection)
}

fn file(directory: &Path) -> PathBuf {
    directory.join("bank.sqlite")
}

pub(super) fn load(directory: &Path, accounts: u32) -> Result<(Duration, Option<Duration>)> {
    std::fs::create_dir_all(directory)?;
    let mut connection = connect(&file(directory))?;
    connection.execute_batch(TABLES)?;
    for (name, count) in [("teller", TELLERS), ("branch", BRANCHES)] {
        let transaction = connection.transaction()?;
        for id in 0..count {
            transaction.execute(&format!("INSERT INTO {name} VALUES (?1, 0)"), [id])?;
        }
        transaction.commit()?;
    }
    let ((), took) = timed(|| {
        let filler = filler();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare("INSERT INTO account VALUES (?1, ?2, 0, ?3)")?;
            for id in 0..accounts {
                insert.execute(params![id, code(id), filler])?;
            }
        }
        Ok(transaction.commit()?)
    })?;
    let ((), index) =
        timed(|| Ok(connection.execute_batch("CREATE INDEX account_code_idx ON account (code)")?))?;
    connection.execute_batch("DROP INDEX account_code_idx; PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok((took, Some(index)))
}

pub(super) fn open(directory: &Path) -> Result<Box<dyn Store>> {
    Ok(Box::new(Sqlite { file: file(directory), writer: Mutex::new(()) }))
}

struct Connected<'s> {
    connection: Connection,
    writer: &'s Mutex<()>,
}

impl Store for Sqlite {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(Connected { connection: connect(&self.file)?, writer: &self.writer }))
    }

    fn sums(&self) -> Result<[i64; 4]> {
        let connection = connect(&self.file)?;
        let sum = |column: &str, table: &str| -> Result<i64> {
            let query = format!("SELECT coalesce(sum({column}), 0) FROM {table}");
            Ok(connection.query_row(&query, [], |row| row.get(0))?)
        };
        let of_balances = |table: &str| sum("balance", table);
        Ok([
            of_balances("account")?,
            of_balances("teller")?,
            of_balances("branch")?,
            sum("amount", "history")?,
        ])
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Worker for Connected<'_> {
    fn work(&mut self, workload: Workload, next: &mut Next<'_>) -> Result<()> {
        match workload {
            Workload::Transfer => self.change(next, |next| {
                let ([one, other], amount) = (next.two_accounts(), next.amount());
                (vec![(CHANGES[0], one, -amount), (CHANGES[0], other, amount)], None)
            }),
            Workload::Tpcb => self.change(next, |next| {
                let (account, amount) = (next.account(), next.amount());
                let (teller, branch) = next.teller_and_branch();
                let ids = [account, teller, branch];
                let changes = CHANGES.iter().zip(ids).map(|(sql, id)| (*sql, id, amount));
                (changes.collect(), Some((ids, amount)))
            }),
            Workload::Read => self.read(next),
            Workload::Range => self.add_up(next),
        }
    }
}

/// What a transaction changes: by which statement, which row, by how much.
type Changes = Vec<(&'static str, u32, i64)>;

impl Connected<'_> {
    fn change(
        &mut self,
        next: &mut Next<'_>,
        what: impl Fn(&mut Next<'_>) -> (Changes, Option<([u32; 3], i64)>),
    ) -> Result<()> {
        let connection = &self.connection;
        while next.goes_on() {
            let (changes, noted) = what(next);
            let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            for (sql, id, amount) in changes {
                let changed = connection.prepare_cached(sql)?.execute(params![id, amount])?;
                ensure!(changed == 1, "no row {id}");
            }
            if let Some(([account, teller, branch], amount)) = noted {
                let insert = "INSERT INTO history VALUES (?1, ?2, ?3, ?4)";
                let row = params![account, teller, branch, amount];
                connection.prepare_cached(insert)?.execute(row)?;
            }
            connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    fn read(&self, next: &mut Next<'_>) -> Result<()> {
        let mut find = self.connection.prepare("SELECT balance FROM account WHERE id = ?1")?;
        let mut sum = 0;
        while next.goes_on() {
            sum += find.query_row([next.account()], |row| row.get::<_, i64>(0))?;
        }
        std::hint::black_box(sum);
        Ok(())
    }

    fn add_up(&self, next: &mut Next<'_>) -> Result<()> {
        let mut find = self
            .connection
            .prepare("SELECT sum(balance), count(*) FROM account WHERE id BETWEEN ?1 AND ?2")?;
        let mut sum = 0;
        while next.goes_on() {
            let first = next.first_of_range();
            let (amount, found): (i64, u32) =
                find.query_row([first, first + RANGE - 1], |row| Ok((row.get(0)?, row.get(1)?)))?;
            ensure!(found == RANGE, "{found} rows instead of {RANGE}");
            sum += amount;
        }
        std::hint::black_box(sum);
        Ok(())
    }
}
