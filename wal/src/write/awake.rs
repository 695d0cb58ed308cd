//! Processors kept awake while one session after the other waits for the disk alone.
//!
//! ```text
//! session     commit ── sync ────────── commit ── sync ──────────          (nothing)
//! processors         spin until it is done     spin              .... 2 ms, then sleep
//! ```
//!
//! Who commits alone has its processor sleep during the sync: nobody else runs. To wake it costs tens of microseconds, above all in a
//! virtual machine, whose host gives a sleeping processor away, and what it then runs finds the caches cold. So one thread for each
//! processor spins meanwhile, where the system gives it what nobody else wants ([`give_way_to_all`]). Where several
//! commit at once, or nobody does, the threads sleep.
//!
//! It takes all the time that those processors would have idled. Hence an option, and off by default.
//!
//! Invariant: the threads end when [`Awake`] is dropped. That one of them misses a commit, and sleeps until the next, only costs time.

use std::hint;
use std::time::{Duration, Instant};

use base::processor::{allowed, give_way_to_all};
use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use base::sync::{Arc, Condvar, Mutex, PoisonError, thread};
use crossbeam_utils::CachePadded;

/// As long as there are two commits in such a time, the threads spin.
const SPELL: Duration = Duration::from_millis(2);

/// The threads.
#[derive(Debug)]
pub(super) struct Awake {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Commits of sessions that were alone. Some may be missed.
    commits: CachePadded<AtomicU64>,
    /// How many threads sleep.
    asleep: CachePadded<AtomicUsize>,
    ends: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Awake {
    /// Keeps so many of the processors awake that the process may run on; none where the system refuses.
    pub(super) fn start(most: usize) -> Awake {
        let shared = Arc::new(Shared::default());
        let processors = allowed().unwrap_or_default();
        let start = |processor| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // Whoever does not give way must not spin.
                if give_way_to_all(processor).is_ok() {
                    shared.work();
                }
            })
        };
        let threads = processors.into_iter().take(most).map(start).collect();
        Awake { shared, threads }
    }

    /// A session commits that is alone.
    #[inline]
    pub(super) fn commits_alone(&self) {
        let Shared { commits, asleep, .. } = &*self.shared;
        commits.store(commits.load(Relaxed).wrapping_add(1), Relaxed);
        if asleep.load(Relaxed) > 0 {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        // Whoever is about to sleep either has seen what changed or hears this.
        drop(self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.bell.notify_all();
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        self.ring();
        for thread in self.threads.drain(..) {
            // It has no result, and a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn ends(&self) -> bool {
        self.ends.load(Relaxed)
    }

    fn work(&self) {
        while !self.ends() {
            let seen = self.commits.load(Relaxed);
            let began = Instant::now();
            while began.elapsed() < SPELL && !self.ends() {
                (0..64).for_each(|_| hint::spin_loop());
            }
            if self.commits.load(Relaxed).wrapping_sub(seen) < 2 {
                self.sleep();
            }
        }
    }

    /// Sleeps until the next commit.
    fn sleep(&self) {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Relaxed);
        let seen = self.commits.load(Relaxed);
        let goes_on = |_: &mut ()| self.commits.load(Relaxed) == seen && !self.ends();
        drop(self.bell.wait_while(lock, goes_on).unwrap_or_else(PoisonError::into_inner));
        self.asleep.fetch_sub(1, Relaxed);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn waits_until(what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn threads_spin_while_one_session_commits_and_sleep_behind_it() {
        let awake = Awake::start(1);
        assert_eq!(awake.threads.len(), 1);
        let asleep = || awake.shared.asleep.load(Relaxed);
        waits_until("nobody commits, and it sleeps", || asleep() == 1);
        for _ in 0..3 {
            waits_until("somebody commits, and it is awake", || {
                awake.commits_alone();
                asleep() == 0
            });
            waits_until("nobody commits any more, and it sleeps", || asleep() == 1);
        }
    }

    #[test]
    fn not_more_processors_are_kept_awake_than_there_are() {
        assert_eq!(Awake::start(usize::MAX).threads.len(), allowed().expect("known").len());
        assert_eq!(Awake::start(0).threads.len(), 0);
    }
}
