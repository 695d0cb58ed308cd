//! Recovery: a load that is left as by a crash, and a data directory that is brought to its log's end. Prints a line of
//! JSON for what was done.
//!
//! `recovery DIRECTORY load SCALE MEGABYTES SESSIONS` makes a data directory, TPC-B's tables with SCALE times 10,000
//! accounts and a checkpoint, and runs the load until there are so many megabytes of log; then the process ends, and closes
//! nothing. The log is not synced meanwhile, which changes nothing of what is in it.
//!
//! `recovery DIRECTORY redo BUFFERS THREADS` recovers, whoever wrote the log: the engine, or a PostgreSQL 15 without
//! changes of indexes other than btrees since its last checkpoint.
//!
//! `recovery DIRECTORY forget` has the kernel forget the files in it.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use base::UnixTime;
use base::disk::RealDisk;
use base::sync::Arc;
use bench::recovery::Done;
use engine::checkpoint::{CheckpointOptions, Checkpoints};
use engine::data_directory::{Birth, DataDirectory, InitOptions, SystemProcesses, init};
use engine::recovery::{RecoveryOptions, RecoveryProgress, recover, start};
use engine::storage::{Storage, StorageOptions};
use engine::workload::{self, Kind, Load, Plan, PreparedMix, Watch};
use engine::{Durability, Engine, EngineOptions, Isolation};
use wal::write::{LogOptions, SyncMethod};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse().expect("a number");
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [directory, "load", scale, megabytes, sessions] => load(
            Path::new(directory),
            number(scale),
            number(megabytes) as u64 * 1_000_000,
            number(sessions) as u32,
        ),
        [directory, "forget"] => return forget(Path::new(directory)),
        [directory, "redo", buffers, threads] => {
            redo(Path::new(directory), number(buffers), number(threads))
        }
        _ => panic!(
            "usage: recovery DIRECTORY load SCALE MEGABYTES SESSIONS | recovery DIRECTORY redo BUFFERS THREADS | \
             recovery DIRECTORY forget"
        ),
    };
    println!("{}", serde_json::to_string(&done).expect("plain numbers"));
}

/// Ends a load when the log is long enough.
struct UntilLogged<'e> {
    engine: &'e Engine,
    end: base::Lsn,
}

impl Watch for UntilLogged<'_> {
    fn committed(&self, _: u32, _: i64) {}

    fn progress(&self, _: u64, _: Duration) -> ControlFlow<()> {
        match self.engine.log_end() >= self.end {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn load(directory: &Path, scale: usize, bytes: u64, sessions: u32) -> Done {
    let birth = Birth::now().expect("random bytes");
    init(&RealDisk, directory, &InitOptions::default(), &birth).expect("a new directory");
    let week = Duration::from_secs(7 * 86_400);
    let options = EngineOptions {
        sessions: sessions + 10,
        log: LogOptions { sync_method: SyncMethod::None, ..LogOptions::default() },
        checkpoint: CheckpointOptions {
            timeout: week,
            maximum_log: 1 << 40,
            ..CheckpointOptions::default()
        },
        ..EngineOptions::default()
    };
    let engine = Engine::open(directory, options).expect("opens");
    let load = Load::open(&engine, Kind::Tpcb, scale).expect("tables");
    engine.checkpoint().expect("a checkpoint");
    let redo = engine.log_end();
    let plan = Plan {
        sessions,
        time: week,
        isolation: Isolation::ReadCommitted,
        durability: Durability::Asynchronous,
        seed: 1,
        hot_rows: None,
        subtransactions: 0,
        long_readers: 0,
        hold: Duration::ZERO,
        prepared: PreparedMix::default(),
    };
    let watch = UntilLogged { engine: &engine, end: redo + bytes };
    let outcome = workload::run(&engine, &load, &plan, &Default::default(), &watch).expect("runs");
    let done =
        Done::Loaded { commits: outcome.commits, log_bytes: engine.log_end().bytes_since(redo) };
    // Nothing is closed: what follows is a recovery.
    std::mem::forget(engine);
    done
}

fn forget(directory: &Path) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            forget(&path);
        } else if let Ok(file) = std::fs::File::open(&path) {
            file.sync_all().expect("syncs");
            let advice = rustix::fs::Advice::DontNeed;
            rustix::fs::fadvise(&file, 0, None, advice).expect("takes advice");
        }
    }
}

fn redo(directory: &Path, buffers: usize, threads: usize) -> Done {
    let began = Instant::now();
    let now = UnixTime(1_795_169_300);
    let opened = DataDirectory::open(Arc::new(RealDisk), directory, &SystemProcesses, now);
    let sizes = StorageOptions { buffers, slru_buffers: 32, committers: 1 };
    let storage = Storage::new(opened.expect("a data directory"), sizes);
    let options = RecoveryOptions { threads, ..RecoveryOptions::default() };
    let (mut first, mut last) = (None, None);
    let progress = &mut |progress: &RecoveryProgress| {
        last = Some((Instant::now(), *progress));
        first.get_or_insert((Instant::now(), *progress));
        ControlFlow::Continue(())
    };
    let recovered = recover(&storage, &options, progress);
    let recovered = recovered.unwrap_or_else(|error| panic!("{error}"));
    let ((first, _), (last, progress)) = first.zip(last).expect("there was something to redo");
    start(&storage, &recovered, LogOptions::default()).expect("the log opens");
    let checkpoints = Checkpoints::new(CheckpointOptions::default());
    checkpoints.end_recovery(&storage, &recovered).expect("a checkpoint");
    Done::Recovered {
        log_bytes: recovered.end.end.bytes_since(progress.redo),
        records: recovered.counts.records,
        images: recovered.counts.images,
        threads,
        redo_seconds: (last - first).as_secs_f64(),
        seconds: began.elapsed().as_secs_f64(),
    }
}
