//! The thread that makes checkpoints: by time, by volume, on demand.
//!
//! ```text
//! request() ──number──► wanted ─┐
//! time, volume ─────────────────┴─► perform, paced ──► done = the number that was wanted when it began ──► wait(number)
//! ```
//!
//! Invariants: a request is answered by a checkpoint that began after it was made. Somebody who waits makes the checkpoint
//! that is being made go as fast as it can. The thread ends when the [`Checkpointer`] goes, and finishes a checkpoint that
//! it has begun. After an error that leaves the disk in doubt it makes no more.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, thread};

use super::perform::{CheckpointKind, CheckpointRequest, Checkpoints, Outcome};
use super::report::{CheckpointCause, CheckpointReport};
use crate::Error;
use crate::buffer::Sweep;
use crate::storage::{RunningTransactions, Storage};

/// How often the thread looks, and how long a checkpoint that is ahead of its time waits.
const TURN: Duration = Duration::from_millis(100);
/// How long it waits after a checkpoint that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What checkpoints are made of: an engine.
pub trait Checkpointed: std::fmt::Debug + Send + Sync {
    /// Its storage, with an open log.
    fn storage(&self) -> &Storage;

    /// Who runs.
    fn running(&self) -> &dyn RunningTransactions;

    /// Told of each checkpoint that was made.
    fn made(&self, report: &CheckpointReport) {
        let _ = report;
    }

    /// Told of each one that failed; whether the thread goes on. It must not where the disk is in doubt.
    fn failed(&self, error: &Error) -> bool;
}

/// The thread.
#[derive(Debug)]
pub struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    checkpoints: Arc<Checkpoints>,
    state: Mutex<State>,
    /// To the thread.
    wanted: Condvar,
    /// From it.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many requests there have been.
    wanted: u64,
    /// Up to which request they were answered.
    done: u64,
    ends: bool,
    has_ended: bool,
    last: Option<CheckpointReport>,
    /// Why the last one failed, and up to which request that was the answer.
    failure: Option<(u64, Arc<Error>)>,
}

impl Checkpointer {
    /// Starts the thread.
    pub fn start(of: Arc<dyn Checkpointed>, checkpoints: Arc<Checkpoints>) -> Checkpointer {
        let shared = Arc::new(Shared {
            checkpoints,
            state: Mutex::default(),
            wanted: Condvar::new(),
            done: Condvar::new(),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.run(&*of);
                shared.state().has_ended = true;
                shared.done.notify_all();
            })
        };
        Checkpointer { shared, thread: Some(thread) }
    }

    /// Asks for a checkpoint; gives the number of the request.
    pub fn request(&self) -> u64 {
        let mut state = self.shared.state();
        state.wanted += 1;
        self.shared.wanted.notify_all();
        state.wanted
    }

    /// Comes back when a request has been answered.
    ///
    /// # Errors
    /// Why the checkpoint could not be made.
    pub fn wait(&self, request: u64) -> Result<(), Error> {
        let doing = "make the checkpoint";
        let mut state = self.shared.state();
        loop {
            if state.done >= request {
                return Ok(());
            }
            if let Some((answered, error)) = &state.failure
                && *answered >= request
            {
                return Err(Error::InBackground { doing, error: Arc::clone(error) });
            }
            if state.has_ended {
                let error = Arc::new(Error::ThreadEnded("checkpointer"));
                return Err(Error::InBackground { doing, error });
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What the last checkpoint did.
    pub fn last(&self) -> Option<CheckpointReport> {
        self.shared.state().last.clone()
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.state().ends = true;
        self.shared.wanted.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a turn, or until something is wanted.
    fn turn<'s>(&'s self, state: MutexGuard<'s, State>, turn: Duration) -> MutexGuard<'s, State> {
        match self.wanted.wait_timeout(state, turn) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    fn run(&self, of: &dyn Checkpointed) {
        let mut last = Instant::now();
        let mut pause = TURN;
        loop {
            let mut state = self.state();
            let is_wanted = |state: &State| {
                let failed = state.failure.as_ref().map_or(0, |(answered, _)| *answered);
                state.wanted > state.done.max(failed)
            };
            if !is_wanted(&state) && !state.ends {
                state = self.turn(state, pause);
            }
            if state.ends {
                return;
            }
            let (is_wanted, number) = (is_wanted(&state), state.wanted);
            drop(state);
            pause = TURN;
            let cause = if is_wanted { Some(CheckpointCause::Demand) } else { self.due(of, last) };
            let Some(cause) = cause else { continue };
            last = Instant::now();
            let result = self.perform(of, cause, number, last);
            let mut state = self.state();
            match result {
                Ok(outcome) => {
                    state.done = number;
                    if let Some(report) = outcome.report() {
                        of.made(&report);
                        state.last = Some(report);
                    }
                }
                Err(error) => {
                    let goes_on = of.failed(&error);
                    state.failure = Some((number, Arc::new(error)));
                    pause = AFTER_FAILURE;
                    if !goes_on {
                        return;
                    }
                }
            }
            drop(state);
            self.done.notify_all();
        }
    }

    fn due(&self, of: &dyn Checkpointed, last: Instant) -> Option<CheckpointCause> {
        let log = of.storage().log.log();
        let logged = log.end().bytes_since(log.page_writes().redo);
        self.checkpoints.options().due(last.elapsed(), logged)
    }

    fn perform(
        &self,
        of: &dyn Checkpointed,
        cause: CheckpointCause,
        number: u64,
        began: Instant,
    ) -> Result<Outcome, Error> {
        let storage = of.storage();
        let log = storage.log.log();
        let options = self.checkpoints.options();
        let mut pace = |sweep: &Sweep| {
            loop {
                let state = self.state();
                // Who waits has asked for it, or asks for the next one.
                let hurries = cause == CheckpointCause::Demand || state.wanted > number;
                if hurries || state.ends || log.check().is_err() {
                    return ControlFlow::Continue(());
                }
                let redo = log.page_writes().redo;
                if !options.is_ahead(sweep, began.elapsed(), redo, log.end()) {
                    return ControlFlow::Continue(());
                }
                drop(self.turn(state, TURN));
            }
        };
        let request = CheckpointRequest {
            kind: CheckpointKind::Online,
            cause,
            is_forced: cause == CheckpointCause::Demand,
            previous_timeline: None,
            pace: &mut pace,
        };
        self.checkpoints.perform(storage, of.running(), request)
    }
}
