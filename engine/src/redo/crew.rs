//! The threads that make a round's changes, and the one that leads them.
//!
//! ```text
//! leader    gathers round 1 │ gathers round 2 ......│ helps with round 1, waits │ gathers round 3 ...
//! helpers                   │ pages of round 1 .....│ pages of round 1 │ pages of round 2 ..........
//! ```
//!
//! Invariants: one round is worked on at a time, and the next one begins when all of it is done. A page is one thread's as
//! long as a round lasts. Which error is told does not depend on threads: of those that the pages of a round meet, the one
//! that comes first in the log. Without helpers everything is done by the leader, in the order of pages' first changes.

use base::Lsn;
use base::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, thread};

use super::RedoError;
use super::pages::{PageRedo, Tally};
use super::round::Round;
use crate::storage::Storage;

/// Pages that a thread takes at once.
const AT_ONCE: usize = 16;

/// What leader and helpers share.
#[derive(Debug)]
pub(crate) struct Crew {
    has_helpers: bool,
    state: Mutex<State>,
    /// There is work, or there will be no more.
    work: Condvar,
    /// Nobody works.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    round: Arc<Round>,
    /// The first page of it that nobody has taken.
    next: usize,
    /// How many threads work on pages that they took.
    busy: usize,
    tally: Tally,
    /// The first error, with the position of its record.
    error: Option<(Lsn, RedoError)>,
    has_panicked: bool,
    has_ended: bool,
}

impl Crew {
    /// Has `lead` run with so many threads in all, and comes back when the others have ended.
    pub(crate) fn with<R>(storage: &Storage, threads: usize, lead: impl FnOnce(&Crew) -> R) -> R {
        let crew = Crew {
            has_helpers: threads > 1,
            state: Mutex::default(),
            work: Condvar::new(),
            idle: Condvar::new(),
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| crew.help(storage));
            }
            let _end = EndOnDrop(&crew);
            lead(&crew)
        })
    }

    /// Whether rounds are worked on while the leader does something else.
    pub(super) fn has_helpers(&self) -> bool {
        self.has_helpers
    }

    /// Begins a round. The one before is finished.
    pub(super) fn begin(&self, round: Round) {
        let mut state = self.state();
        debug_assert!(state.busy == 0 && state.next >= state.round.pages(), "one at a time");
        (state.round, state.next) = (Arc::new(round), 0);
        drop(state);
        self.work.notify_all();
    }

    /// Sees the round to its end, working along; then the free space maps are told of its pages. Gives what was done, and the round, empty, to be filled again.
    ///
    /// # Errors
    /// The first one in the log.
    ///
    /// # Panics
    /// If a helper did.
    pub(super) fn finish(&self, storage: &Storage) -> Result<(Tally, Round), RedoError> {
        let mut hand = PageRedo::default();
        while self.work(storage, &mut hand, self.state()) {}
        let mut state = self.state();
        while state.busy > 0 {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        assert!(!state.has_panicked, "a thread that redid pages panicked");
        if let Some((_, error)) = state.error.take() {
            return Err(error);
        }
        let mut round = Arc::into_inner(std::mem::take(&mut state.round)).unwrap_or_default();
        state.next = 0;
        let mut tally = std::mem::take(&mut state.tally);
        drop(state);
        hand.note_rooms(storage, &round, &mut tally)?;
        round.clear();
        Ok((tally, round))
    }

    /// A helper's life.
    fn help(&self, storage: &Storage) {
        let mut hand = PageRedo::default();
        loop {
            let mut state = self.state();
            while !state.has_ended && state.next >= state.round.pages() {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.has_ended {
                return;
            }
            self.work(storage, &mut hand, state);
        }
    }

    /// Takes some pages and makes their changes; whether there were any.
    fn work(
        &self,
        storage: &Storage,
        hand: &mut PageRedo,
        mut state: MutexGuard<'_, State>,
    ) -> bool {
        let pages = state.next..state.round.pages().min(state.next + AT_ONCE);
        if pages.is_empty() {
            return false;
        }
        state.next = pages.end;
        state.busy += 1;
        let round = Arc::clone(&state.round);
        drop(state);
        let mut busy = Busy { crew: self, round: Some(round), done: None };
        let (mut tally, mut first) = (Tally::default(), None);
        if let Some(round) = &busy.round {
            for page in pages {
                let Err((at, error)) = hand.redo(storage, round, page, &mut tally) else {
                    continue;
                };
                if first.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
                    first = Some((at, error));
                }
            }
        }
        busy.done = Some((tally, first));
        true
    }

    /// Nothing runs under this lock that can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that is reported when it is dropped, by a panic, too.
struct Busy<'c> {
    crew: &'c Crew,
    round: Option<Arc<Round>>,
    done: Option<(Tally, Option<(Lsn, RedoError)>)>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        // Before the leader may take the round back.
        self.round = None;
        let mut state = self.crew.state();
        match self.done.take() {
            Some((tally, error)) => {
                state.tally.add(tally);
                if let Some((at, error)) = error
                    && state.error.as_ref().is_none_or(|(earliest, _)| at < *earliest)
                {
                    state.error = Some((at, error));
                }
            }
            None => state.has_panicked = true,
        }
        state.busy -= 1;
        if state.busy == 0 {
            self.crew.idle.notify_all();
        }
    }
}

/// Sends the helpers home, whatever becomes of the leader.
struct EndOnDrop<'c>(&'c Crew);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_ended = true;
        drop(state);
        self.0.work.notify_all();
    }
}
