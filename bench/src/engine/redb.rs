//! redb: a copy-on-write btree of keys and values; a commit syncs the file (`Durability::Immediate`, its default). One
//! transaction writes at a time, and the library has the others wait.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::record::{balance_of, record, with_change};
use super::{BRANCHES, CACHE, Next, RANGE, Store, TELLERS, Worker, Workload, timed};

const KEYED: [TableDefinition<'_, u32, &[u8]>; 3] = [
    TableDefinition::new("account"),
    TableDefinition::new("teller"),
    TableDefinition::new("branch"),
];
const HISTORY: TableDefinition<'_, u64, (u32, u32, u32, i64)> = TableDefinition::new("history");

struct Redb(Database);

fn file(directory: &Path) -> PathBuf {
    directory.join("bank.redb")
}

fn database(directory: &Path) -> Result<Database> {
    Ok(Database::builder().set_cache_size(CACHE).create(file(directory))?)
}

pub(super) fn load(directory: &Path, accounts: u32) -> Result<(Duration, Option<Duration>)> {
    std::fs::create_dir_all(directory)?;
    let database = database(directory)?;
    let writing = database.begin_write()?;
    for (definition, count) in [(KEYED[1], TELLERS), (KEYED[2], BRANCHES)] {
        let mut table = writing.open_table(definition)?;
        for id in 0..count {
            table.insert(id, &record(id, false)[..])?;
        }
    }
    writing.open_table(HISTORY)?;
    writing.commit()?;
    let ((), took) = timed(|| {
        let writing = database.begin_write()?;
        {
            let mut table = writing.open_table(KEYED[0])?;
            for id in 0..accounts {
                table.insert(id, &record(id, true)[..])?;
            }
        }
        Ok(writing.commit()?)
    })?;
    Ok((took, None))
}

pub(super) fn open(directory: &Path) -> Result<Box<dyn Store>> {
    Ok(Box::new(Redb(database(directory)?)))
}

impl Store for Redb {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(OfDatabase(&self.0)))
    }

    fn sums(&self) -> Result<[i64; 4]> {
        let reading = self.0.begin_read()?;
        let mut sums = [0; 4];
        for (sum, definition) in sums.iter_mut().zip(KEYED) {
            for row in reading.open_table(definition)?.iter()? {
                *sum += balance_of(row?.1.value())?;
            }
        }
        for row in reading.open_table(HISTORY)?.iter()? {
            sums[3] += row?.1.value().3;
        }
        Ok(sums)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct OfDatabase<'d>(&'d Database);

fn change(table: &mut Table<'_, u32, &[u8]>, id: u32, amount: i64) -> Result<()> {
    let changed = with_change(table.get(id)?.context("no such row")?.value(), amount)?;
    table.insert(id, &changed[..])?;
    Ok(())
}

impl Worker for OfDatabase<'_> {
    fn work(&mut self, workload: Workload, next: &mut Next<'_>) -> Result<()> {
        while next.goes_on() {
            match workload {
                Workload::Transfer => {
                    let ([one, other], amount) = (next.two_accounts(), next.amount());
                    let writing = self.0.begin_write()?;
                    {
                        let mut accounts = writing.open_table(KEYED[0])?;
                        change(&mut accounts, one, -amount)?;
                        change(&mut accounts, other, amount)?;
                    }
                    writing.commit()?;
                }
                Workload::Tpcb => {
                    let (account, amount) = (next.account(), next.amount());
                    let (teller, branch) = next.teller_and_branch();
                    let writing = self.0.begin_write()?;
                    for (definition, id) in KEYED.into_iter().zip([account, teller, branch]) {
                        change(&mut writing.open_table(definition)?, id, amount)?;
                    }
                    {
                        let mut history = writing.open_table(HISTORY)?;
                        let last = history.last()?.map_or(0, |(last, _)| last.value() + 1);
                        history.insert(last, (account, teller, branch, amount))?;
                    }
                    writing.commit()?;
                }
                Workload::Read => {
                    let reading = self.0.begin_read()?;
                    let found = reading.open_table(KEYED[0])?.get(next.account())?;
                    let found = found.context("no such row")?;
                    std::hint::black_box(balance_of(found.value())?);
                }
                Workload::Range => {
                    let first = next.first_of_range();
                    let (mut sum, mut count) = (0, 0);
                    let reading = self.0.begin_read()?;
                    for row in reading.open_table(KEYED[0])?.range(first..first + RANGE)? {
                        sum += balance_of(row?.1.value())?;
                        count += 1;
                    }
                    ensure!(count == RANGE, "{count} rows instead of {RANGE}");
                    std::hint::black_box(sum);
                }
            }
        }
        Ok(())
    }
}
