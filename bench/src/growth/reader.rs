//! Transfers beside a reader that keeps its snapshot: how fast they stay, and how much the table and its index grow.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ::engine::heap::Value;
use ::engine::{Isolation, Transaction};
use anyhow::{Result, bail, ensure};
use base::{PAGE_SIZE, RelFileLocator};
use serde::{Deserialize, Serialize};

use super::{How, Mode, Own, close, own};
use crate::engine::{Workload, check, watch};

/// Between two rounds of the autovacuum, as short as a server's can be.
const NAP: Duration = Duration::from_secs(1);

/// How it stands at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the transfers began.
    pub seconds: f64,
    /// Transfers that had committed.
    pub transactions: u64,
    /// Pages of the table of accounts.
    pub table_pages: u64,
    /// Pages of the index on its key.
    pub index_pages: u64,
}

/// What was seen of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// In the order of time; the first before anything was done.
    pub samples: Vec<Sample>,
    /// Versions at the end that were not the newest of their rows, and not removed.
    pub dead_versions: u64,
}

/// Transfers for some time by so many threads, with the autovacuum at work, looked at `looks` times; beside a reader at
/// repeatable read that has read all accounts before, if it is held, and reads them again at the end.
///
/// # Errors
/// As the engine says; where the reader does not see at the end what it saw before, or the sums of the tables differ.
pub fn beside_reader(
    directory: &Path,
    mode: Mode,
    rows: u32,
    threads: usize,
    (time, looks): (Duration, u32),
    is_held: bool,
) -> Result<Watched> {
    ensure!(looks > 0, "nobody looks");
    let vacuums_every = Some(NAP);
    let own = own::open(directory, How { mode: mode.into(), vacuums_every, ..How::default() })?;
    let watched = {
        let mut session = own.engine.session()?;
        let mut reader = session.begin(Isolation::RepeatableRead)?;
        let seen = is_held.then(|| digest(&mut reader)).transpose()?;
        let files = Files::of(&own, directory)?;
        let samples = watch(&own, &[(Workload::Transfer, threads)], rows, |done| {
            let began = Instant::now();
            let look = |at: u32| -> Result<Sample> {
                thread::sleep((time * at / looks).saturating_sub(began.elapsed()));
                let seconds = began.elapsed().as_secs_f64();
                let transactions = done().iter().sum();
                let (table_pages, index_pages) = (files.table.pages()?, files.index.pages()?);
                Ok(Sample { seconds, transactions, table_pages, index_pages })
            };
            (0..=looks).map(look).collect::<Result<Vec<_>>>()
        })??;
        let vacuumed = own::vacuum(&mut own.engine.session()?, Some("account"))?;
        let dead = |report: &::engine::vacuum::VacuumReport| {
            report.removed + report.recently_dead + report.missed
        };
        let dead_versions = vacuumed.iter().map(dead).sum();
        if let Some(seen) = seen {
            let sees = digest(&mut reader)?;
            ensure!(sees == seen, "the reader saw {seen:?} and now sees {sees:?}");
        }
        reader.commit()?;
        Watched { samples, dead_versions }
    };
    check(&own)?;
    close(own)?;
    Ok(watched)
}

/// How many accounts there are, and a sum that hardly any transfer leaves as it is.
fn digest(transaction: &mut Transaction<'_, '_>) -> Result<(u64, i128)> {
    let table = transaction.table("account")?;
    let (mut rows, mut sum) = (0, 0);
    for row in table.scan(transaction)? {
        let row = row?;
        let [Value::Int4(id), _, Value::Int8(balance), ..] = row.values()?[..] else {
            bail!("not an account");
        };
        (rows, sum) = (rows + 1, sum + i128::from(id) * i128::from(balance));
    }
    Ok((rows, sum))
}

/// The first file of a relation, of at most 1 GB.
struct File {
    path: std::path::PathBuf,
}

impl File {
    fn of(directory: &Path, locator: RelFileLocator) -> File {
        let RelFileLocator { database, relation, .. } = locator;
        File { path: directory.join(format!("base/{database}/{relation}")) }
    }

    fn pages(&self) -> Result<u64> {
        let length = fs::metadata(&self.path)?.len();
        ensure!(length < 1 << 30, "{} is not the only file of it", self.path.display());
        Ok(length / PAGE_SIZE as u64)
    }
}

struct Files {
    table: File,
    index: File,
}

impl Files {
    fn of(own: &Own, directory: &Path) -> Result<Files> {
        let mut session = own.engine.session()?;
        let mut transaction = session.begin(Isolation::ReadCommitted)?;
        let (index, table) = transaction.index(&own::primary_key("account").name)?;
        transaction.commit()?;
        let of = |locator| File::of(directory, locator);
        Ok(Files { table: of(table.locator()), index: of(index.locator()) })
    }
}
