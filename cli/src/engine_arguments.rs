//! How the embedded engine works: options of the commands that run a load on it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use engine::checkpoint::CheckpointOptions;
use engine::{EngineOptions, SnapshotMode};
use wal::write::{ArchiveTo, ImageCompression, LogOptions, SyncMethod};

use crate::values;

const MEGABYTE: u64 = 1 << 20;
/// Transactions that SQL can have prepared at the same time (max_prepared_transactions).
const PREPARED_TRANSACTIONS: u32 = 10;

/// Options named after PostgreSQL's parameters, with their defaults.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArguments {
    /// How the engine decides who sees what.
    #[arg(long, value_enum, default_value = "classic")]
    mode: Mode,

    /// Pages of tables in memory, of 8 kB (shared_buffers).
    #[arg(long, value_name = "N", default_value = "16384", value_parser = clap::value_parser!(u32).range(128..=4 << 20))]
    buffers: u32,

    /// How the log is made durable (wal_sync_method); with none, a crash of the machine loses commits and may leave the
    /// data directory beyond repair.
    #[arg(long, value_enum, default_value = "fdatasync")]
    sync_method: Sync,

    /// Sessions that wait for the log on a quick disk sleep at once, rather than keep their processors awake: less processor time,
    /// fewer commits.
    #[arg(long)]
    wait_asleep: bool,

    /// How full-page images are compressed (wal_compression).
    #[arg(long, value_enum, default_value = "none")]
    wal_compression: Compression,

    /// At most so many seconds from one checkpoint to the next (checkpoint_timeout).
    #[arg(long, value_name = "S", default_value = "300", value_parser = clap::value_parser!(u64).range(1..=86400))]
    checkpoint_timeout: u64,

    /// Megabytes of log that checkpoints keep to (max_wal_size).
    #[arg(long, value_name = "MB", default_value = "1024", value_parser = clap::value_parser!(u64).range(2..=1 << 30))]
    max_wal_size: u64,

    /// Megabytes of old log that are kept in any case (wal_keep_size).
    #[arg(long, value_name = "MB", default_value = "0", value_parser = clap::value_parser!(u64).range(0..=1 << 30))]
    wal_keep_size: u64,

    /// Copies each full segment of the log into this directory, which must be there.
    #[arg(long, value_name = "DIR", conflicts_with = "archive_command")]
    archive: Option<PathBuf>,

    /// Runs this shell command for each full segment of the log, with %p its path and %f its name.
    #[arg(long, value_name = "COMMAND")]
    archive_command: Option<String>,
}

/// The names of modes on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Classic,
    CommitTs,
    Mirror,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Sync {
    Fdatasync,
    Fsync,
    OpenDatasync,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    None,
    Pglz,
    Lz4,
    Zstd,
}

impl EngineArguments {
    /// What they ask for, with so many sessions.
    pub(crate) fn options(&self, sessions: u32) -> EngineOptions {
        let archive = match (&self.archive, &self.archive_command) {
            (Some(directory), _) => Some(ArchiveTo::Directory(directory.clone())),
            (None, command) => command.clone().map(ArchiveTo::Command),
        };
        EngineOptions {
            mode: match self.mode {
                Mode::Classic => SnapshotMode::Classic,
                Mode::CommitTs => SnapshotMode::CommitTs,
                Mode::Mirror => SnapshotMode::Mirror,
            },
            sessions,
            buffers: self.buffers as usize,
            log: LogOptions {
                sync_method: match self.sync_method {
                    Sync::Fdatasync => SyncMethod::Fdatasync,
                    Sync::Fsync => SyncMethod::Fsync,
                    Sync::OpenDatasync => SyncMethod::OpenDatasync,
                    Sync::None => SyncMethod::None,
                },
                compression: match self.wal_compression {
                    Compression::None => ImageCompression::None,
                    Compression::Pglz => ImageCompression::Pglz,
                    Compression::Lz4 => ImageCompression::Lz4,
                    Compression::Zstd => ImageCompression::Zstd,
                },
                waits_awake: !self.wait_asleep,
                keep_size: self.wal_keep_size * MEGABYTE,
                archive,
                ..LogOptions::default()
            },
            checkpoint: CheckpointOptions {
                timeout: Duration::from_secs(self.checkpoint_timeout),
                maximum_log: self.max_wal_size * MEGABYTE,
                ..CheckpointOptions::default()
            },
            recovery_threads: values::processors(),
            ..EngineOptions::default()
        }
    }

    /// The same for SQL, which can prepare transactions.
    pub(crate) fn options_of_sql(&self, sessions: u32) -> EngineOptions {
        EngineOptions { prepared_transactions: PREPARED_TRANSACTIONS, ..self.options(sessions) }
    }

    /// The mode's name on the command line.
    pub(crate) fn mode(&self) -> &'static str {
        match self.mode {
            Mode::Classic => "classic",
            Mode::CommitTs => "commit-ts",
            Mode::Mirror => "mirror",
        }
    }

    /// Where full segments go, if a directory was named.
    pub(crate) fn archive(&self) -> Option<&std::path::Path> {
        self.archive.as_deref()
    }
}
