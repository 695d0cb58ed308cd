//! A processor kept awake while one session after the other waits for the disk alone.
//!
//! ```text
//! session     ... commit ── sync ────── commit ── sync ────── commit          (nothing)
//! companion                             wakes     spins                .... 1 ms, then sleeps
//! ```
//!
//! Who commits alone has its processor sleep during the sync: nobody else runs. To wake it costs tens of microseconds, above all in a
//! virtual machine, whose host gives a sleeping processor away, and what it then runs finds the caches cold. Where several wait they stay awake
//! themselves (see [`group`](super::group)); beside one that waits in the call that syncs, a thread spins on its processor, and
//! gets there only what nobody else wants ([`give_way_to_all`]). It sleeps as soon as another transaction has an id, too: who waits
//! awake gives its processor to those who work, and would give it to the companion.
//!
//! It takes what that processor would have idled while commits follow each other within a millisecond, and never more than one processor. A
//! process that may use fewer than two has none, lest its share be used up. Source: the idea is that of InnoDB's
//! `innodb_log_wait_for_flush_spin_hwm`, where the session itself spins.
//!
//! Invariant: no session waits for the companion, which may not run for as long as others want its processor: while it spins it holds
//! no lock, and nobody joins it. It ends when [`Awake`] is dropped. That it misses a commit, and sleeps until the next, only costs time.

use std::hint;
use std::time::{Duration, Instant};

use base::processor::{current, give_way_to_all, stay_on, usable};
use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use base::sync::{Arc, thread};
use crossbeam_utils::CachePadded;

/// Commits of less distance follow each other.
const SPELL: Duration = Duration::from_millis(1);

/// After so many that follow each other and have no company the companion wakes.
const RUN: u32 = 16;

/// The companion's name, for who looks at threads.
const NAME: &str = "awake";

/// The companion of sessions that commit alone.
#[derive(Debug)]
pub(super) struct Awake {
    shared: Arc<CachePadded<Shared>>,
    /// Started when it is needed; `None` if that was not possible.
    companion: std::sync::OnceLock<Option<thread::Thread>>,
}

#[derive(Debug)]
struct Shared {
    opened: Instant,
    /// When a session last committed alone, in nanoseconds since then.
    last: AtomicU64,
    /// On which processor.
    on: AtomicUsize,
    /// How many have, each following the one before, since somebody had company.
    run: AtomicU32,
    is_asleep: AtomicBool,
    ends: AtomicBool,
}

impl Awake {
    /// With nobody to keep awake for yet; `None` where the process may use one processor at the most, and in models.
    pub(super) fn new() -> Option<Awake> {
        if cfg!(shuttle) || usable() < 2 {
            return None;
        }
        let shared = CachePadded::new(Shared {
            opened: Instant::now(),
            last: AtomicU64::new(0),
            on: AtomicUsize::new(0),
            run: AtomicU32::new(0),
            is_asleep: AtomicBool::new(true),
            ends: AtomicBool::new(false),
        });
        Some(Awake { shared: Arc::new(shared), companion: std::sync::OnceLock::new() })
    }

    /// The calling thread is about to wait for the disk, and no other transaction has an id.
    #[inline]
    pub(super) fn commits_alone(&self) {
        let Some(on) = current() else { return };
        let shared = &**self.shared;
        shared.on.store(on, Relaxed);
        let follows = !shared.is_over();
        shared.last.store(shared.now(), Relaxed);
        let run = if follows { shared.run.load(Relaxed).saturating_add(1) } else { 1 };
        shared.run.store(run, Relaxed);
        if run >= RUN && shared.is_asleep.load(Relaxed) {
            self.wake();
        }
    }

    /// The calling thread is about to wait for the disk, and other transactions have ids.
    #[inline]
    pub(super) fn commits_in_company(&self) {
        if self.shared.run.load(Relaxed) > 0 {
            self.shared.run.store(0, Relaxed);
        }
    }

    #[cold]
    fn wake(&self) {
        self.shared.is_asleep.store(false, Relaxed);
        let start = || {
            let shared = Arc::clone(&self.shared);
            let named = thread::Builder::new().name(NAME.to_owned());
            // Whoever does not give way must not spin.
            let spins = move || give_way_to_all().is_ok().then(|| shared.work());
            named.spawn(spins).ok().map(|handle| handle.thread().clone())
        };
        if let Some(companion) = self.companion.get_or_init(start) {
            companion.unpark();
        }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        if let Some(Some(companion)) = self.companion.get() {
            companion.unpark();
        }
    }
}

impl Shared {
    fn now(&self) -> u64 {
        self.opened.elapsed().as_nanos() as u64
    }

    /// Whether the next commit follows none.
    fn is_over(&self) -> bool {
        self.now().saturating_sub(self.last.load(Relaxed)) > SPELL.as_nanos() as u64
    }

    /// Whether somebody commits alone.
    fn is_needed(&self) -> bool {
        self.run.load(Relaxed) > 0 && !self.is_over()
    }

    fn ends(&self) -> bool {
        self.ends.load(Relaxed)
    }

    fn work(&self) {
        let mut stays_on = None;
        while !self.ends() {
            let on = self.on.load(Relaxed);
            if stays_on != Some(on) {
                if stay_on(on).is_err() {
                    // Elsewhere nobody needs it.
                    return;
                }
                stays_on = Some(on);
            }
            (0..64).for_each(|_| hint::spin_loop());
            if self.is_needed() {
                // To those of other programs that give way themselves.
                thread::yield_now();
            } else {
                self.is_asleep.store(true, Relaxed);
                while self.is_asleep.load(Relaxed) && !self.ends() {
                    thread::park();
                }
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use base::processor::allowed;

    use super::*;

    /// The number of the policy, of Linux.
    const SCHED_IDLE: i32 = 5;

    /// The companion may have to wait for its processor, as long as other tests use it.
    fn does_until(does: impl Fn(), what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(120), "never: {what}");
            does();
        }
    }

    fn is_asleep(awake: &Awake) -> bool {
        awake.shared.is_asleep.load(Relaxed)
    }

    /// Processors of the companions in this process, and their scheduling policies.
    fn companions() -> Vec<(usize, i32)> {
        let tasks = fs::read_dir("/proc/self/task").expect("of Linux");
        let stats =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
        let of_companions = stats.filter_map(|stat| {
            let (name, fields) = stat.rsplit_once(") ")?;
            // The state is the third field of all, the processor the 39th, the policy the 41st.
            let fields: Vec<&str> = fields.split(' ').collect();
            let is_one = name.ends_with(&format!("({NAME}"));
            is_one.then(|| (fields[39 - 3].parse().ok(), fields[41 - 3].parse().ok()))
        });
        of_companions.filter_map(|(processor, policy)| processor.zip(policy)).collect()
    }

    #[test]
    fn a_companion_spins_where_one_session_commits_and_sleeps_behind_it() {
        let Some(awake) = Awake::new() else { return };
        for processor in allowed().expect("known").into_iter().cycle().take(4) {
            stay_on(processor).expect("allowed");
            let commits = || awake.commits_alone();
            does_until(commits, "awake, and where the session is", || {
                !is_asleep(&awake) && companions().contains(&(processor, SCHED_IDLE))
            });
            let rests = || std::thread::sleep(SPELL);
            does_until(rests, "asleep where nobody commits", || is_asleep(&awake));
        }
    }

    #[test]
    fn it_sleeps_while_several_commit() {
        let Some(awake) = Awake::new() else { return };
        does_until(|| awake.commits_alone(), "awake", || !is_asleep(&awake));
        for _ in 0..10 {
            (1..RUN).for_each(|_| awake.commits_alone());
            awake.commits_in_company();
            assert!(!awake.shared.is_needed());
        }
        let rests = || std::thread::sleep(SPELL);
        does_until(rests, "asleep where others commit", || is_asleep(&awake));
        for _ in 0..10 {
            (1..RUN).for_each(|_| awake.commits_alone());
            awake.commits_in_company();
            assert!(is_asleep(&awake), "that was too few to be woken for");
        }
    }

    #[test]
    fn nobody_is_woken_for_commits_that_do_not_follow_each_other() {
        let Some(awake) = Awake::new() else { return };
        for _ in 0..RUN * 2 {
            std::thread::sleep(SPELL * 2);
            awake.commits_alone();
            assert!(awake.companion.get().is_none());
        }
    }
}
