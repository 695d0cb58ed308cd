//! Many threads that read shared state, exit and begin again while two install: a thread's versions never go
//! back, none is older than the last that was installed before it looked, nobody reads what was torn down, and
//! in the end one state is left.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use base::sync::thread;
use fastrand::Rng;
use snapshot::cache::ThreadCache;

use super::{Schedule, Setup};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "cache",
    property: "a state is not older than the last install before it was got, and is whole while it is read",
    wrong: &[
        "cache.scrape-before-publish",
        "cache.store-instead-of-cas",
        "cache.unref-before-scrape",
    ],
    run,
};

/// A state that counts how many there are, and knows whether it was torn down.
struct Counted<'a> {
    version: usize,
    same: usize,
    alive: &'a AtomicUsize,
}

impl Counted<'_> {
    fn new(version: usize, alive: &AtomicUsize) -> Counted<'_> {
        alive.fetch_add(1, SeqCst);
        Counted { version, same: version, alive }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.same = usize::MAX;
        self.alive.fetch_sub(1, SeqCst);
    }
}

fn read(
    cache: &ThreadCache<Counted<'_>>,
    installed: &AtomicUsize,
    random: &mut Rng,
    rounds: usize,
) {
    let mut newest = 0;
    for _ in 0..1 + rounds / 4 {
        let mut reader = cache.reader();
        for _ in 0..random.usize(..rounds) {
            let at_least = installed.load(SeqCst).max(newest);
            let state = reader.get();
            thread::yield_now();
            assert_eq!(state.version, state.same, "nobody reads what was torn down");
            assert!(state.version >= at_least, "{} after {at_least}", state.version);
            newest = state.version;
        }
    }
}

fn run(setup: &Setup) {
    let alive = AtomicUsize::new(0);
    let installed = AtomicUsize::new(1);
    let cache = ThreadCache::new(Counted::new(1, &alive));
    thread::scope(|scope| {
        for thread in 2..setup.threads {
            let (cache, installed) = (&cache, &installed);
            let mut random = Rng::with_seed(setup.seed << 8 | u64::from(thread));
            scope.spawn(move || read(cache, installed, &mut random, setup.rounds));
        }
        for _ in 0..2 {
            let (cache, installed, alive) = (&cache, &installed, &alive);
            scope.spawn(move || {
                for _ in 0..2 * setup.rounds {
                    let mut version = 0;
                    cache.update(|state| {
                        version = state.version + 1;
                        Counted::new(version, alive)
                    });
                    installed.fetch_max(version, SeqCst);
                    thread::yield_now();
                }
            });
        }
    });
    assert_eq!(cache.reader().get().version, 1 + 4 * setup.rounds);
    assert_eq!(alive.load(SeqCst), 1);
    drop(cache);
    assert_eq!(alive.load(SeqCst), 0);
}
