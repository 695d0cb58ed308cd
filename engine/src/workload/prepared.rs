//! Prepared mixes: a share of a load's transactions ends in two phases.
//!
//! ```text
//! session ──PREPARE──┬─ ends it itself, at once
//!                    └─► Undecided ──when it is due──► another session, between two of its transactions
//!                                                  └─► the resolver, which does nothing else
//! ```
//!
//! Three of four are committed, the others rolled back. Each is known by an identifier that names its row in the history:
//! `strata-SESSION-NUMBER`. What an earlier run has left, or a crash, is ended as well.
//!
//! Invariants: one that is in [`Undecided`] is prepared, and whoever takes it out ends it. Nobody waits for ever for the lock of
//! one: the resolver works for as long as a session does, or the sessions are cancelled. There are never more than the
//! engine has room for: who finds no room ends its transaction in one phase.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use base::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use fastrand::Rng;

use super::load::{Load, LoadError, Moves};
use super::run::{LOOK, Watch};
use crate::{Engine, Error, Session};

/// One of so many is rolled back.
const ROLLED_BACK: u32 = 4;
/// One of so many is ended by its own session.
const ENDED_AT_ONCE: u32 = 3;

/// How a load's transactions are prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PreparedMix {
    /// Of a hundred transactions so many.
    pub percent: u32,
    /// How long one stays so at most, if its session does not end it at once.
    pub pause: Duration,
    /// How many can be prepared at the same time; not more than
    /// [`EngineOptions::prepared_transactions`](crate::EngineOptions::prepared_transactions).
    pub at_once: u32,
    /// Whether those that are prepared when the time is over are left so.
    pub leaves: bool,
}

/// What happens to a prepared transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TwoPhaseStep {
    /// It was prepared before the run began.
    Found,
    /// A transaction begins that may be prepared.
    Preparing,
    /// It is prepared, durably.
    Prepared,
    /// It is about to be committed.
    Committing,
    /// It has committed, durably.
    Committed,
    /// It is about to be rolled back.
    RollingBack,
    /// It is rolled back, durably.
    RolledBack,
}

/// How many transactions ended in two phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TwoPhaseCounts {
    /// Prepared before the run began.
    pub found: u64,
    /// Prepared in it.
    pub prepared: u64,
    /// Committed.
    pub committed: u64,
    /// Rolled back.
    pub rolled_back: u64,
    /// Committed or rolled back by another session than had prepared them.
    pub by_others: u64,
    /// Left prepared.
    pub left: u64,
}

impl TwoPhaseCounts {
    pub(super) fn add(&mut self, other: &TwoPhaseCounts) {
        self.found += other.found;
        self.prepared += other.prepared;
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.by_others += other.by_others;
        self.left += other.left;
    }
}

/// A transaction whose outcome nobody has decided.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) gid: String,
    /// Who has prepared it, if that was in this run.
    pub(super) by: Option<u32>,
    pub(super) moves: Moves,
}

/// Those that are to be ended, and when.
#[derive(Debug)]
pub(super) struct Undecided {
    waiting: Mutex<VecDeque<(Instant, Prepared)>>,
    more: Condvar,
    /// How many more can be prepared.
    free: AtomicI64,
}

impl Undecided {
    /// With those that were found, which are due.
    pub(super) fn new(mix: &PreparedMix, found: &[String]) -> Undecided {
        let of = |gid: &String| Prepared { gid: gid.clone(), by: None, moves: Moves::new() };
        Undecided {
            waiting: Mutex::new(found.iter().map(|gid| (Instant::now(), of(gid))).collect()),
            more: Condvar::new(),
            free: AtomicI64::new(i64::from(mix.at_once) - found.len() as i64),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Prepared)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the room of one that is about to be prepared.
    pub(super) fn take_room(&self) -> bool {
        let left = |free: i64| (free > 0).then_some(free - 1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }

    pub(super) fn give_room(&self) {
        self.free.fetch_add(1, Ordering::Relaxed);
    }

    /// One that is due, and that this session has not prepared itself.
    pub(super) fn take_of_another(&self, who: u32) -> Option<Prepared> {
        let now = Instant::now();
        self.take(|due, one| *due <= now && one.by != Some(who))
    }

    fn take(&self, is_wanted: impl Fn(&Instant, &Prepared) -> bool) -> Option<Prepared> {
        let mut waiting = self.lock();
        let place = waiting.iter().position(|(due, one)| is_wanted(due, one))?;
        waiting.remove(place).map(|(_, one)| one)
    }

    fn put(&self, due: Instant, one: Prepared) {
        self.lock().push_back((due, one));
        self.more.notify_one();
    }

    /// Waits until one may be due, for [`LOOK`] at most.
    fn wait(&self) {
        let waiting = self.lock();
        let next = waiting.iter().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let time = next.min().unwrap_or(LOOK).min(LOOK);
        if !time.is_zero() {
            drop(self.more.wait_timeout(waiting, time));
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.lock().len() as u64
    }
}

/// A session that ends prepared transactions.
pub(super) struct Decider<'a> {
    pub(super) load: &'a Load,
    pub(super) undecided: &'a Undecided,
    pub(super) watch: &'a dyn Watch,
    /// Its number, if it also prepares.
    pub(super) who: Option<u32>,
    pub(super) counts: TwoPhaseCounts,
}

impl Decider<'_> {
    /// One has been prepared: ends it, or leaves it to others.
    pub(super) fn prepared(
        &mut self,
        session: &mut Session<'_>,
        one: Prepared,
        pause: Duration,
        random: &mut Rng,
    ) -> Result<(), Error> {
        self.counts.prepared += 1;
        self.watch.two_phase(TwoPhaseStep::Prepared, &one.gid);
        if random.u32(..ENDED_AT_ONCE) == 0 {
            return self.end(session, &one, random);
        }
        self.undecided.put(Instant::now() + pause.mul_f64(random.f64()), one);
        Ok(())
    }

    /// Commits it or rolls it back.
    pub(super) fn end(
        &mut self,
        session: &mut Session<'_>,
        one: &Prepared,
        random: &mut Rng,
    ) -> Result<(), Error> {
        let gid = &one.gid;
        if random.u32(..ROLLED_BACK) == 0 {
            self.watch.two_phase(TwoPhaseStep::RollingBack, gid);
            session.rollback_prepared(gid)?;
            self.watch.two_phase(TwoPhaseStep::RolledBack, gid);
            self.counts.rolled_back += 1;
        } else {
            self.watch.two_phase(TwoPhaseStep::Committing, gid);
            session.commit_prepared(gid)?;
            self.load.note(&one.moves);
            self.watch.two_phase(TwoPhaseStep::Committed, gid);
            self.counts.committed += 1;
        }
        self.counts.by_others += u64::from(one.by.is_none() || one.by != self.who);
        self.undecided.give_room();
        Ok(())
    }

    /// Ends all that are due, until `ends` and nobody works any more; then those that are left, unless they are to be.
    ///
    /// # Errors
    /// Where one cannot be ended.
    pub(super) fn resolve(
        &mut self,
        engine: &Engine,
        mix: &PreparedMix,
        ends: &AtomicBool,
        working: &AtomicU32,
        random: &mut Rng,
    ) -> Result<(), LoadError> {
        let mut session = engine.session()?;
        loop {
            let is_over = ends.load(Ordering::Relaxed);
            if is_over && mix.leaves {
                return Ok(());
            }
            // Whoever has ended puts nothing in any more.
            let is_last = is_over && working.load(Ordering::Acquire) == 0;
            let now = Instant::now();
            match self.undecided.take(|due, _| is_over || *due <= now) {
                Some(one) => self.end(&mut session, &one, random)?,
                None if is_last => return Ok(()),
                None => self.undecided.wait(),
            }
        }
    }
}
