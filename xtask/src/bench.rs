//! `cargo xtask bench`: measurements against the tools of PostgreSQL, side by side in one run, written into
//! docs/benchmarks.

mod engine;
mod engine_peer;
mod ext;
mod ext_report;
mod growth;
mod growth_peer;
mod log;
mod log_peer;
mod log_recovery;
mod log_report;
mod machine;
mod measure;
mod peer;
mod report;
mod snapshot;
mod wal;
mod wal_input;

use anyhow::Result;
use clap::Subcommand;

/// What `cargo xtask bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Reading a log of more than 1.5 GB: `strata waldump` against pg_waldump.
    Wal(wal::Arguments),
    /// Writing the log and recovering from it: insertion against memcpy, durable commits against fdatasync and PostgreSQL,
    /// recovery against PostgreSQL.
    Log(log::Arguments),
    /// Taking and asking snapshots, ending transactions: against PostgreSQL's GetSnapshotData.
    Snapshot(snapshot::Arguments),
    /// Transactions, reads, loads and index builds of the engine: against PostgreSQL, SQLite, redb and fjall.
    Engine(engine::Arguments),
    /// The same beside idle sessions, on more rows, and beside a reader that stays: both snapshot modes against PostgreSQL.
    Growth(growth::Arguments),
    /// The same log in SQL: the extension pgstrata against pg_walinspect.
    Ext(ext::Arguments),
}

/// Runs one benchmark.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    match &arguments.subject {
        Subject::Wal(arguments) => wal::bench(arguments),
        Subject::Log(arguments) => log::bench(arguments),
        Subject::Snapshot(arguments) => snapshot::bench(arguments),
        Subject::Engine(arguments) => engine::bench(arguments),
        Subject::Growth(arguments) => growth::bench(arguments),
        Subject::Ext(arguments) => ext::bench(arguments),
    }
}
