//! Recovery and checkpoints over a storage that a test writes to as sessions would: what was acknowledged is there
//! afterwards; a recovery to a target can be crashed, any can be called off; damage is told from the log's end.
//! Crashes under everything are in `crash`.

mod archive;
mod called_off;
mod damage;
mod server;
mod threads;
mod writer;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use base::sync::Arc;
use base::{TimestampTz, UnixTime};
use engine::Error;
use engine::checkpoint::{CheckpointKind, CheckpointOptions, Checkpoints, NobodyRuns};
use engine::data_directory::{DataDirectory, SystemProcesses};
use engine::recovery::{Recovered, RecoveryOptions, recover, start};
use engine::storage::{Storage, StorageOptions};
use snapshot::commit_ts::clock::TestClock;
use wal::write::LogOptions;

use crate::DATA;

/// The time is always the same, so that the same calls write the same bytes.
fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::new(TimestampTz(848_484_173_000_000)))
}

fn log_options() -> LogOptions {
    LogOptions {
        buffer_pages: 16,
        insertion_slots: 4,
        wal_writer_delay: None,
        minimum_size: 0,
        commit_delay: Duration::ZERO,
        ..LogOptions::default()
    }
}

pub(crate) fn options() -> RecoveryOptions {
    RecoveryOptions { clock: clock(), ..RecoveryOptions::default() }
}

pub(crate) fn checkpoints() -> Checkpoints {
    Checkpoints::new(CheckpointOptions { clock: clock(), ..CheckpointOptions::default() })
}

/// The storage of a data directory, before recovery.
fn storage(disk: &FaultyDisk) -> Result<Storage, Error> {
    storage_of(disk, 12)
}

fn storage_of(disk: &FaultyDisk, buffers: usize) -> Result<Storage, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let directory =
        DataDirectory::open(disk, Path::new(DATA), &SystemProcesses, UnixTime(1_795_169_300))?;
    let options = StorageOptions { buffers, slru_buffers: 2, committers: 1 };
    Ok(Storage::new(directory, options))
}

/// Opens a data directory as an engine does: recovery, the log, the checkpoint that ends recovery.
pub(crate) fn open(
    disk: &FaultyDisk,
    options: &RecoveryOptions,
) -> Result<(Storage, Recovered), Error> {
    recovered(storage(disk)?, options)
}

/// The same with a larger pool.
pub(crate) fn open_with(disk: &FaultyDisk, buffers: usize) -> Result<Storage, Error> {
    Ok(recovered(storage_of(disk, buffers)?, &options())?.0)
}

fn recovered(storage: Storage, options: &RecoveryOptions) -> Result<(Storage, Recovered), Error> {
    let recovered = recover(&storage, options, &mut |_| ControlFlow::Continue(()))?;
    start(&storage, &recovered, log_options())?;
    let checkpoints = checkpoints();
    if recovered.checkpoint_is_due {
        let kind = CheckpointKind::EndOfRecovery;
        checkpoints.at_once(&storage, &NobodyRuns(&storage), kind)?;
    }
    checkpoints.in_production(&storage)?;
    Ok((storage, recovered))
}
