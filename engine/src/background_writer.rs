//! The background writer: writes pages before they are in the way, and says now and then how the log stands.
//!
//! Each round looks at the frames that will be needed next, as many as were lately, and writes the dirty ones, so that who
//! needs a frame finds a clean one. Every [`BETWEEN_SNAPSHOTS`] it logs who runs, and whenever the log has been flushed by
//! [`BETWEEN_MARKERS`] more it logs how far ([`crate::recovery::durability_marker`]).
//!
//! Invariants: where nothing happens it logs nothing and writes nothing; what it logs does not count as something that
//! happened. A round can be made without the thread. Source: `bgwriter.c`, `BgBufferSync`.

use std::time::{Duration, Instant};

use base::Lsn;
use base::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, thread};
use wal::write::Inserter;

use crate::Error;
use crate::checkpoint::{Checkpointed, log_running_xacts};
use crate::recovery::{durability_marker, marker_record};
use crate::storage::{RunningTransactions, Storage};

/// How often it is logged who runs (`LOG_SNAPSHOT_INTERVAL_MS`).
pub const BETWEEN_SNAPSHOTS: Duration = Duration::from_secs(15);
/// How many flushed bytes lie between two markers.
pub const BETWEEN_MARKERS: u64 = 64 << 10;

/// How it works. The default is PostgreSQL's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackgroundWriterOptions {
    /// Between two rounds (`bgwriter_delay`).
    pub delay: Duration,
    /// Pages written in a round at most (`bgwriter_lru_maxpages`).
    pub at_most: usize,
    /// So many times the frames that were lately needed in a round are kept clean ahead (`bgwriter_lru_multiplier`).
    pub multiplier: f64,
}

impl Default for BackgroundWriterOptions {
    fn default() -> BackgroundWriterOptions {
        BackgroundWriterOptions { delay: Duration::from_millis(200), at_most: 100, multiplier: 2.0 }
    }
}

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Pages that it wrote.
    pub written: usize,
    /// Whether it logged who runs.
    pub logged_running: bool,
    /// Whether it logged how far the log is durable.
    pub logged_marker: bool,
}

/// What the rounds know of each other.
#[derive(Debug)]
pub struct Rounds {
    options: BackgroundWriterOptions,
    inserter: Inserter,
    /// Where the clock's hand was, counted from the beginning.
    hand: usize,
    /// Frames needed in a round, on average.
    needed: f64,
    snapshot_at: Instant,
    /// What counted last when it was logged who runs.
    snapshot_of: Lsn,
    marker: Lsn,
}

impl Rounds {
    /// Rounds over a storage whose log is open.
    ///
    /// # Panics
    /// If it is not.
    pub fn new(storage: &Storage, options: BackgroundWriterOptions) -> Rounds {
        let log = storage.log.log();
        Rounds {
            options,
            inserter: log.inserter(),
            hand: storage.pool.hand(),
            needed: 0.0,
            snapshot_at: Instant::now(),
            snapshot_of: log.last_important(),
            marker: log.flushed(),
        }
    }

    /// One round, at this time.
    ///
    /// # Errors
    /// Where a page cannot be written, which is dirty still; or if the log is stopped.
    pub fn round(
        &mut self,
        storage: &Storage,
        running: &dyn RunningTransactions,
        now: Instant,
    ) -> Result<Round, Error> {
        let mut round = Round::default();
        let hand = storage.pool.hand();
        let needed = hand.wrapping_sub(self.hand) as f64;
        self.hand = hand;
        // It rises at once and falls slowly, as PostgreSQL's.
        self.needed = needed.max(self.needed + (needed - self.needed) / 16.0);
        let look_at = (self.needed * self.options.multiplier).ceil() as usize;
        round.written = storage.pool.write_ahead_of_clock(look_at, self.options.at_most)?;

        let log = storage.log.log();
        let last_important = log.last_important();
        if now.duration_since(self.snapshot_at) >= BETWEEN_SNAPSHOTS
            && last_important > self.snapshot_of
        {
            let end = log_running_xacts(storage, running, &mut self.inserter)?;
            round.logged_running = end.is_some();
            if let Some(end) = end {
                log.flush_soon(end);
            }
            (self.snapshot_at, self.snapshot_of) = (now, last_important);
        }
        let flushed = log.flushed();
        if flushed.bytes_since(self.marker) >= BETWEEN_MARKERS {
            let payload = durability_marker(flushed);
            log.insert(&mut self.inserter, &marker_record(&[&payload]))?;
            self.marker = flushed;
            round.logged_marker = true;
        }
        Ok(round)
    }
}

/// The thread; it ends when this goes.
#[derive(Debug)]
pub struct BackgroundWriter {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: Mutex<bool>,
    changed: Condvar,
}

impl Shared {
    fn ends(&self) -> MutexGuard<'_, bool> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackgroundWriter {
    /// Starts the thread. A round that fails is told to [`Checkpointed::failed`], which says whether it goes on.
    pub fn start(of: Arc<dyn Checkpointed>, options: BackgroundWriterOptions) -> BackgroundWriter {
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut rounds = Rounds::new(of.storage(), options);
                loop {
                    let ends = shared.ends();
                    let ends = match shared.changed.wait_timeout(ends, options.delay) {
                        Ok((ends, _)) => *ends,
                        Err(poisoned) => *poisoned.into_inner().0,
                    };
                    if ends {
                        return;
                    }
                    let round = rounds.round(of.storage(), of.running(), Instant::now());
                    if let Err(error) = round
                        && !of.failed(&error)
                    {
                        return;
                    }
                }
            })
        };
        BackgroundWriter { shared, thread: Some(thread) }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        *self.shared.ends() = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been printed.
            let _ = thread.join();
        }
    }
}
