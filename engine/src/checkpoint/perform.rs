//! One checkpoint, from the redo point to the removal of old log.
//!
//! Invariants: those of [the module above](super).

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base::sync::{Mutex, PoisonError};
use base::{Lsn, UnixTime, Xid};
use wal::checkpoint::CheckPoint;
use wal::control::{ClusterState, StateNumber};
use wal::rmgr::xlog;
use wal::segment::Timeline;
use wal::write::NewRecord;

use super::report::{CheckpointCause, CheckpointReport};
use super::running_xacts::{NobodyRuns, log_running_xacts, running_xacts_are_logged};
use super::schedule::CheckpointOptions;
use crate::Error;
use crate::buffer::{BufferError, Sweep};
use crate::prepared;
use crate::recovery::Recovered;
use crate::slru::Slru;
use crate::storage::{RunningTransactions, Storage};

const XLOG: u8 = 0;

/// What kind of checkpoint it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointKind {
    /// Transactions run meanwhile.
    Online,
    /// Nothing runs any more; nothing is logged behind it.
    Shutdown,
    /// Nothing runs yet.
    EndOfRecovery,
}

/// A checkpoint that is wanted.
pub struct CheckpointRequest<'a> {
    /// Its kind.
    pub kind: CheckpointKind,
    /// Why it is wanted.
    pub cause: CheckpointCause,
    /// Whether it is made also where nothing happened since the last one.
    pub is_forced: bool,
    /// The timeline that the log came from, where recovery has begun a new one.
    pub previous_timeline: Option<Timeline>,
    /// Asked before each page is written; may wait, and may call the checkpoint off.
    pub pace: &'a mut dyn FnMut(&Sweep) -> ControlFlow<()>,
}

impl std::fmt::Debug for CheckpointRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointRequest")
            .field("kind", &self.kind)
            .field("cause", &self.cause)
            .field("is_forced", &self.is_forced)
            .field("previous_timeline", &self.previous_timeline)
            .finish_non_exhaustive()
    }
}

/// What became of a request.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was made.
    Made(Box<CheckpointReport>),
    /// Nothing has happened since the last one.
    Idle,
    /// It was called off.
    CalledOff,
}

impl Outcome {
    /// What was done, if it was.
    pub fn report(self) -> Option<CheckpointReport> {
        match self {
            Outcome::Made(report) => Some(*report),
            Outcome::Idle | Outcome::CalledOff => None,
        }
    }
}

/// Makes checkpoints, one at a time, and remembers how far apart they are.
#[derive(Debug)]
pub struct Checkpoints {
    options: CheckpointOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of log expected between two of them.
    estimate: u64,
}

impl Checkpoints {
    /// With these options.
    pub fn new(options: CheckpointOptions) -> Checkpoints {
        Checkpoints { options, state: Mutex::default() }
    }

    /// The options.
    pub fn options(&self) -> &CheckpointOptions {
        &self.options
    }

    fn now(&self) -> UnixTime {
        UnixTime(self.options.clock.now().unix_seconds())
    }

    /// Makes a checkpoint at once and as fast as it can be.
    ///
    /// # Errors
    /// As [`Checkpoints::perform`].
    pub fn at_once(
        &self,
        storage: &Storage,
        running: &dyn RunningTransactions,
        kind: CheckpointKind,
    ) -> Result<Outcome, Error> {
        let cause = match kind {
            CheckpointKind::Online => CheckpointCause::Demand,
            CheckpointKind::Shutdown => CheckpointCause::Shutdown,
            CheckpointKind::EndOfRecovery => CheckpointCause::EndOfRecovery,
        };
        let pace = &mut |_: &Sweep| ControlFlow::Continue(());
        let request =
            CheckpointRequest { kind, cause, is_forced: true, previous_timeline: None, pace };
        self.perform(storage, running, request)
    }

    /// Makes the checkpoint that ends a recovery, which may have begun a timeline.
    ///
    /// # Errors
    /// As [`Checkpoints::perform`].
    pub fn end_recovery(&self, storage: &Storage, recovered: &Recovered) -> Result<Outcome, Error> {
        let request = CheckpointRequest {
            kind: CheckpointKind::EndOfRecovery,
            cause: CheckpointCause::EndOfRecovery,
            is_forced: true,
            previous_timeline: Some(recovered.previous_timeline),
            pace: &mut |_| ControlFlow::Continue(()),
        };
        self.perform(storage, &NobodyRuns(storage), request)
    }

    /// Makes the checkpoint that is asked for. Waits for one that is being made.
    ///
    /// # Errors
    /// Where something cannot be written: the checkpoint is then not made, and the one before holds. After a failed sync,
    /// and where the log is stopped, the engine must stop.
    ///
    /// # Panics
    /// If the log is not open.
    pub fn perform(
        &self,
        storage: &Storage,
        running: &dyn RunningTransactions,
        request: CheckpointRequest<'_>,
    ) -> Result<Outcome, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let CheckpointRequest { kind, cause, is_forced, previous_timeline, pace } = request;
        let is_online = kind == CheckpointKind::Online;
        let started = Instant::now();
        let log = storage.log.log();
        log.check()?;
        let last = storage.directory.control().data().checkpoint;
        let last_important = log.last_important();
        if is_online && !is_forced && (last_important.is_invalid() || last_important == last) {
            return Ok(Outcome::Idle);
        }
        if !is_online {
            storage.directory.control().update(self.now(), |data| {
                data.state = StateNumber(ClusterState::ShuttingDown as u32);
            })?;
        }
        // Before the redo point: who begins behind it is in the log behind it.
        let oldest_active_xid = match is_online && running_xacts_are_logged(storage) {
            true => running.running().oldest_running,
            false => Xid::INVALID,
        };
        let picture = storage.pool.picture();
        let timeline = log.timeline();
        let full_page_writes = log.page_writes().are_on;
        let redo = log.move_redo_point();
        let mut checkpoint = CheckPoint {
            redo,
            timeline,
            previous_timeline: previous_timeline.unwrap_or(timeline),
            full_page_writes,
            time: self.now(),
            oldest_active_xid,
            ..CheckPoint::default()
        };
        storage.ids.lock().put_into(&mut checkpoint, !is_online);
        storage.commit_gate.wait();

        let writing = Instant::now();
        let mut slru_written = 0;
        for slru in slrus(storage) {
            slru_written += slru.write_all()?;
        }
        let sweep = storage.pool.write_dirty(pace)?;
        if sweep.done < sweep.dirty {
            return Ok(Outcome::CalledOff);
        }
        let syncing = Instant::now();
        let mut syncs = storage.pool.store().sync_counted().map_err(BufferError::Sync)?;
        for slru in slrus(storage) {
            let start = Instant::now();
            let count = slru.sync()?;
            let taken = start.elapsed();
            (0..count).for_each(|_| syncs.add(taken / count as u32));
        }
        // As late as can be: most who were prepared then have ended.
        prepared::write_due(storage, redo)?;
        let synced = Instant::now();
        // Who cuts a table off has forgotten pages unwritten, which would be read again if the files were not cut off.
        storage.commit_gate.wait();

        let mut inserter = log.inserter();
        if is_online {
            log_running_xacts(storage, running, &mut inserter)?;
        }
        let main = checkpoint.encode();
        let info = if is_online { xlog::CHECKPOINT_ONLINE } else { xlog::CHECKPOINT_SHUTDOWN };
        let record = NewRecord { main: &[&main], ..NewRecord::new(XLOG, info) };
        let placed = log.insert(&mut inserter, &record)?;
        log.flush(placed.end)?;
        if !is_online && placed.start != redo {
            return Err(Error::LoggedAtShutdown { redo, checkpoint: placed.start });
        }
        let mut prior_redo = Lsn::INVALID;
        storage.directory.control().update(self.now(), |data| {
            prior_redo = data.checkpoint_copy.redo;
            if !is_online {
                data.state = StateNumber(ClusterState::ShutDown as u32);
            }
            data.checkpoint = placed.start;
            data.checkpoint_copy = checkpoint;
            // A crash from here on recovers to the log's end.
            data.minimum_recovery_point = Lsn::INVALID;
            data.minimum_recovery_point_timeline = Timeline(0);
        })?;
        let distance = redo.bytes_since(prior_redo);
        state.estimate = next_estimate(state.estimate, distance);
        let mut report = CheckpointReport {
            cause,
            lsn: placed.start,
            checkpoint,
            picture,
            buffers_written: sweep.written,
            slru_written,
            segments_added: 0,
            removal: wal::write::Removal::default(),
            syncs,
            write: syncing - writing,
            sync: synced - syncing,
            total: Duration::ZERO,
            distance,
            estimate: state.estimate,
            housekeeping: None,
        };
        match log.remove_old(redo, state.estimate) {
            Ok(removal) => report.removal = removal,
            Err(error) => report.housekeeping = Some(error),
        }
        if is_online {
            match log.prepare_next_segment() {
                Ok(made) => report.segments_added = u64::from(made),
                Err(error) => report.housekeeping = Some(error),
            }
            if let Some(oldest) = running.oldest_considered_running() {
                storage.subtrans.truncate(oldest)?;
            }
        }
        // A sync that failed is more than housekeeping.
        log.check()?;
        report.total = started.elapsed();
        Ok(Outcome::Made(Box::new(report)))
    }

    /// Has pg_control say that the engine runs: done when recovery and its checkpoint are over.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn in_production(&self, storage: &Storage) -> Result<(), Error> {
        storage.directory.control().update(self.now(), |data| {
            data.state = StateNumber(ClusterState::InProduction as u32);
        })
    }
}

/// Rises at once and falls slowly (`UpdateCheckPointDistanceEstimate`).
fn next_estimate(estimate: u64, distance: u64) -> u64 {
    if estimate < distance { distance } else { (estimate * 9 + distance) / 10 }
}

/// All transaction logs.
fn slrus(storage: &Storage) -> impl Iterator<Item = &Slru> {
    let Storage { clog, commit_ts, subtrans, multixact, .. } = storage;
    [clog.slru(), commit_ts.slru(), subtrans.slru()].into_iter().chain(multixact.slrus())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_rises_at_once_and_falls_slowly() {
        let mut estimate = 0;
        for (distance, expected) in [(1000, 1000), (0, 900), (500, 860), (5000, 5000)] {
            estimate = next_estimate(estimate, distance);
            assert_eq!(estimate, expected);
        }
    }
}
