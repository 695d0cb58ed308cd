//! fjall: a log-structured merge tree of keys and values, with optimistic transactions. A commit writes the journal and calls
//! `fdatasync` (`PersistMode::SyncData`); a transaction that another was in the way of is done again.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fjall::{
    KeyspaceCreateOptions, OptimisticTxDatabase, OptimisticTxKeyspace, OptimisticWriteTx,
    PersistMode, Readable,
};

use super::record::{balance_of, record, with_change};
use super::{BRANCHES, CACHE, Next, RANGE, Store, TELLERS, Worker, Workload, timed};

const KEYED: [&str; 3] = ["account", "teller", "branch"];

struct Fjall {
    database: OptimisticTxDatabase,
    keyed: [OptimisticTxKeyspace; 3],
    history: OptimisticTxKeyspace,
    /// The key of the next row of the history.
    next: AtomicU64,
}

fn database(directory: &Path) -> Result<Fjall> {
    let database = OptimisticTxDatabase::builder(directory).cache_size(CACHE as u64).open()?;
    let keyspace = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default);
    let keyed = [keyspace(KEYED[0])?, keyspace(KEYED[1])?, keyspace(KEYED[2])?];
    let history = keyspace("history")?;
    let last = history.last_key_value().map(fjall::Guard::key).transpose()?;
    let last = last.and_then(|key| key.first_chunk().map(|key| u64::from_be_bytes(*key)));
    let next = AtomicU64::new(last.map_or(0, |last| last + 1));
    Ok(Fjall { database, keyed, history, next })
}

pub(super) fn load(directory: &Path, accounts: u32) -> Result<(Duration, Option<Duration>)> {
    let Fjall { database, keyed, .. } = database(directory)?;
    for (keyspace, count) in [(&keyed[1], TELLERS), (&keyed[2], BRANCHES)] {
        for id in 0..count {
            keyspace.insert(id.to_be_bytes(), record(id, false))?;
        }
    }
    let ((), took) = timed(|| {
        // Its fastest way for keys in order: tables of the tree written at once.
        let mut ingestion = keyed[0].inner().start_ingestion()?;
        for id in 0..accounts {
            ingestion.write(id.to_be_bytes(), record(id, true))?;
        }
        ingestion.finish()?;
        Ok(database.persist(PersistMode::SyncAll)?)
    })?;
    Ok((took, None))
}

pub(super) fn open(directory: &Path) -> Result<Box<dyn Store>> {
    Ok(Box::new(database(directory)?))
}

impl Store for Fjall {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(OfDatabase(self)))
    }

    fn sums(&self) -> Result<[i64; 4]> {
        let snapshot = self.database.read_tx();
        let mut sums = [0; 4];
        for (sum, keyspace) in sums.iter_mut().zip(self.keyed.iter().chain([&self.history])) {
            for row in snapshot.iter(keyspace) {
                *sum += balance_of(&row.value()?)?;
            }
        }
        Ok(sums)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

struct OfDatabase<'d>(&'d Fjall);

fn change(
    writing: &mut OptimisticWriteTx,
    keyspace: &OptimisticTxKeyspace,
    id: u32,
    amount: i64,
) -> Result<()> {
    let before = writing.get(keyspace, id.to_be_bytes())?.context("no such row")?;
    writing.insert(keyspace, id.to_be_bytes(), with_change(&before, amount)?);
    Ok(())
}

impl OfDatabase<'_> {
    /// Does a transaction until nobody is in its way.
    fn transact(&self, does: impl Fn(&mut OptimisticWriteTx) -> Result<()>) -> Result<()> {
        loop {
            let mut writing = self.0.database.write_tx()?.durability(Some(PersistMode::SyncData));
            does(&mut writing)?;
            if writing.commit()?.is_ok() {
                return Ok(());
            }
        }
    }
}

impl Worker for OfDatabase<'_> {
    fn work(&mut self, workload: Workload, next: &mut Next<'_>) -> Result<()> {
        let Fjall { database, keyed, history, next: next_key } = self.0;
        while next.goes_on() {
            match workload {
                Workload::Transfer => {
                    let ([one, other], amount) = (next.two_accounts(), next.amount());
                    self.transact(|writing| {
                        change(writing, &keyed[0], one, -amount)?;
                        change(writing, &keyed[0], other, amount)
                    })?;
                }
                Workload::Tpcb => {
                    let (account, amount) = (next.account(), next.amount());
                    let (teller, branch) = next.teller_and_branch();
                    let ids = [account, teller, branch];
                    self.transact(|writing| {
                        for (keyspace, id) in keyed.iter().zip(ids) {
                            change(writing, keyspace, id, amount)?;
                        }
                        let mut row = amount.to_le_bytes().to_vec();
                        row.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
                        let key = next_key.fetch_add(1, Ordering::Relaxed);
                        writing.insert(history, key.to_be_bytes(), row);
                        Ok(())
                    })?;
                }
                Workload::Read => {
                    let found = keyed[0].get(next.account().to_be_bytes())?;
                    std::hint::black_box(balance_of(&found.context("no such row")?)?);
                }
                Workload::Range => {
                    let first = next.first_of_range();
                    let (mut sum, mut count) = (0, 0);
                    let range = first.to_be_bytes()..(first + RANGE).to_be_bytes();
                    for row in database.read_tx().range(&keyed[0], range) {
                        sum += balance_of(&row.value()?)?;
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
