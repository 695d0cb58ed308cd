//! The log alone: insertion without sync against memcpy, and durable commits against fdatasync. Prints a line of
//! JSON for each measurement. The first argument is a directory on the disk that is meant, the others say what is
//! measured: `insertion` of records of a length by so many threads, or one round of `commits` of so many sessions.
//!
//! A commit is three records, as of a transaction that changes two rows: two of 100 bytes and one of 34, and a flush
//! up to the end of the last.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use base::disk::RealDisk;
use base::{FullXid, Lsn, UnixTime, Xid};
use bench::fdatasync;
use bench::log::Measured;
use wal::checkpoint::CheckPoint;
use wal::segment::{SegmentSize, Timeline};
use wal::write::{
    Beginning, Buffers, Builder, Log, LogError, LogOptions, LogPlace, NewRecord, PageWrites, Sink,
    SyncMethod,
};

const ROUNDS: usize = 3;
const RMID: u8 = 130;
const PAGES: u64 = 2048;
const COMMIT_TIME: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse().expect("a number");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [directory, "insertion", length, threads] => {
            print(&insertion(Path::new(directory), number(length), number(threads)));
        }
        [directory, "commits", sessions] => {
            print(&commits(Path::new(directory), number(sessions)));
        }
        _ => {
            panic!("usage: log DIRECTORY insertion LENGTH THREADS | log DIRECTORY commits SESSIONS")
        }
    }
}

fn insertion(directory: &Path, length: usize, threads: usize) -> Measured {
    Measured::Insertion {
        length: length as u64,
        threads: threads as u64,
        memcpy_ns: median(|| memcpy(length)),
        memory_ns: median(|| into_memory(length, threads)),
        files_ns: median(|| into_files(directory, length, threads)),
    }
}

fn print(measured: &Measured) {
    println!("{}", serde_json::to_string(measured).expect("plain numbers"));
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| measure()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Records of a measurement: about 400 MB of long ones, fewer bytes of short ones.
fn count(length: usize) -> usize {
    (400_000_000 / length).min(3_000_000)
}

fn memcpy(length: usize) -> f64 {
    let source = vec![7u8; length];
    let mut target = vec![0u8; PAGES as usize * 8192];
    let count = count(length);
    let mut at = 0;
    let began = Instant::now();
    for _ in 0..count {
        if at + length > target.len() {
            at = 0;
        }
        target[at..at + length].copy_from_slice(black_box(&source));
        at += length.next_multiple_of(8);
    }
    black_box(&target);
    began.elapsed().as_nanos() as f64 / count as f64
}

/// Main data of a record that is `length` bytes long in all.
fn main_data(length: usize) -> Vec<u8> {
    let headers = if length > 24 + 2 + 255 { 24 + 5 } else { 24 + 2 };
    vec![7; length - headers]
}

/// Runs `insert` so often in all, by so many threads that begin at once; nanoseconds a call.
fn on_threads(
    threads: usize,
    calls: usize,
    work: impl Fn(usize, &mut dyn FnMut(&mut dyn FnMut())) + Sync,
) -> f64 {
    let (ready, done) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let each = calls / threads;
    thread::scope(|scope| {
        for number in 0..threads {
            let (ready, done, work) = (&ready, &done, &work);
            scope.spawn(move || {
                work(number, &mut |insert| {
                    ready.wait();
                    for _ in 0..each {
                        insert();
                    }
                    done.wait();
                });
            });
        }
        ready.wait();
        let began = Instant::now();
        done.wait();
        began.elapsed().as_nanos() as f64 / (each * threads) as f64
    })
}

#[derive(Debug)]
struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: Lsn, _: [&[u8]; 2]) -> Result<(), LogError> {
        Ok(())
    }
}

fn into_memory(length: usize, threads: usize) -> f64 {
    let beginning = Beginning {
        segment: 16 << 20,
        next: Lsn(0x100_0000),
        previous: Lsn::INVALID,
        writes: PageWrites { redo: Lsn::INVALID, are_on: true },
        timeline: 1,
        system_identifier: 5,
        overwrites: false,
        pages: PAGES,
        slots: 32,
    };
    let buffers = Buffers::new(&beginning, Nowhere);
    on_threads(threads, count(length), |number, run| {
        let (mut builder, mut hint, main) = (Builder::default(), number, main_data(length));
        let main = [main.as_slice()];
        let record = NewRecord { xid: Xid(700), main: &main, ..NewRecord::new(RMID, 0x10) };
        run(&mut || {
            let mut built = builder.build(&record, buffers.page_writes()).expect("a legal record");
            buffers.insert(&mut hint, &mut built).expect("inserts").expect("has no page");
        });
    })
}

fn new_log(directory: &Path, sync_method: SyncMethod) -> (Log, PathBuf) {
    let directory = directory.join("log");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    let place = LogPlace {
        disk: base::sync::Arc::new(RealDisk),
        directory: directory.clone(),
        segment_size: SegmentSize::DEFAULT,
        system_identifier: 5,
        timeline: Timeline(1),
    };
    let checkpoint = CheckPoint {
        full_page_writes: true,
        next_xid: FullXid(3),
        time: UnixTime(1_795_000_000),
        ..CheckPoint::default()
    };
    let options = LogOptions { buffer_pages: PAGES, sync_method, ..LogOptions::default() };
    let (log, _, _) = Log::create(place, options, &checkpoint).expect("a new log");
    (log, directory)
}

fn into_files(directory: &Path, length: usize, threads: usize) -> f64 {
    let (log, directory) = new_log(directory, SyncMethod::None);
    let result = on_threads(threads, count(length), |_, run| {
        let (mut inserter, main) = (log.inserter(), main_data(length));
        let main = [main.as_slice()];
        let record = NewRecord { xid: Xid(700), main: &main, ..NewRecord::new(RMID, 0x10) };
        run(&mut || {
            log.insert(&mut inserter, &record).expect("inserts");
        });
    });
    drop(log);
    std::fs::remove_dir_all(directory).expect("removes");
    result
}

/// Commits for two seconds, and the rate of `fdatasync` before and after it.
fn commits(directory: &Path, sessions: usize) -> Measured {
    let disk = || fdatasync::rate(directory, COMMIT_TIME / 4).expect("the disk writes");
    let before = disk();
    let (log, log_directory) = new_log(directory, SyncMethod::Fdatasync);
    for _ in 0..4 {
        log.prepare_next_segment().expect("makes a segment");
    }
    let ends = Arc::new(AtomicBool::new(false));
    let syncs_before = log.statistics().syncs;
    let began = Instant::now();
    let total: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..sessions)
            .map(|_| {
                let (log, ends) = (&log, Arc::clone(&ends));
                scope.spawn(move || {
                    let (mut inserter, row, commit) =
                        (log.inserter(), main_data(100), main_data(34));
                    let (row, commit) = ([row.as_slice()], [commit.as_slice()]);
                    let row = NewRecord { xid: Xid(700), main: &row, ..NewRecord::new(RMID, 0x10) };
                    let commit = NewRecord { main: &commit, ..row };
                    let (mut count, others) = (0, sessions as u32 - 1);
                    while !ends.load(Ordering::Relaxed) {
                        log.insert(&mut inserter, &row).expect("inserts");
                        log.insert(&mut inserter, &row).expect("inserts");
                        let placed = log.insert(&mut inserter, &commit).expect("inserts");
                        log.flush_commit(placed.end, others, &mut || false).expect("flushes");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        thread::sleep(COMMIT_TIME);
        ends.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("a session ends")).sum()
    });
    let seconds = began.elapsed().as_secs_f64();
    let syncs = log.statistics().syncs - syncs_before;
    drop(log);
    std::fs::remove_dir_all(log_directory).expect("removes");
    let after = disk();
    Measured::Commits {
        sessions: sessions as u64,
        per_second: total as f64 / seconds,
        syncs_per_commit: syncs as f64 / total as f64,
        fdatasync_per_second: (before + after) / 2.0,
    }
}
