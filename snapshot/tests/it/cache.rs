//! The thread-local cache, step by step. Under threads that come and go: `loom-tests`.

use base::sync::atomic::AtomicUsize;
use base::sync::atomic::Ordering::SeqCst;
use base::sync::{Arc, thread};
use snapshot::cache::ThreadCache;

/// A state that counts how many there are, and knows whether it was torn down.
struct Counted {
    version: usize,
    same: usize,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn new(version: usize, alive: &Arc<AtomicUsize>) -> Counted {
        alive.fetch_add(1, SeqCst);
        Counted { version, same: version, alive: Arc::clone(alive) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.same = usize::MAX;
        self.alive.fetch_sub(1, SeqCst);
    }
}

#[test]
fn a_reader_keeps_what_it_reads_and_gets_the_new_state_next() {
    let alive = Arc::new(AtomicUsize::new(0));
    let cache = ThreadCache::new(Counted::new(1, &alive));
    let mut reader = cache.reader();
    assert_eq!(reader.get().version, 1);
    let old = reader.get();
    cache.install(Counted::new(2, &alive));
    assert_eq!((old.version, old.same, alive.load(SeqCst)), (1, 1, 2));
    drop(old);
    assert_eq!(alive.load(SeqCst), 1, "the old state went with its last reader");
    assert_eq!(reader.get().version, 2);
    cache.update(|state| Counted::new(state.version + 1, &alive));
    assert_eq!(alive.load(SeqCst), 1, "a cached reference is scraped");
    drop(cache);
    assert_eq!(reader.get().version, 3, "a reader outlives the cache");
    drop(reader);
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn a_thread_has_one_reader_which_goes_with_it() {
    let alive = Arc::new(AtomicUsize::new(0));
    let cache = Arc::new(ThreadCache::new(Counted::new(1, &alive)));
    let other = ThreadCache::new(7);
    let reads = {
        let cache = Arc::clone(&cache);
        thread::spawn(move || {
            for _ in 0..10 {
                assert_eq!(cache.with(|state| state.version), 1);
                assert_eq!(other.with(|state| *state), 7);
            }
            assert_eq!((cache.readers(), other.readers()), (1, 1));
            // Within a call, and replaced within a call.
            cache.with(|outer| {
                assert_eq!(cache.with(|inner| inner.version), 1);
                cache.update(|state| Counted::new(state.version + 1, &state.alive));
                assert_eq!((outer.version, outer.same), (1, 1));
                assert_eq!(cache.with(|inner| inner.version), 2);
            });
            assert_eq!(cache.with(|state| state.version), 2);
            assert_eq!(cache.readers(), 1);
        })
    };
    reads.join().expect("no panic");
    assert_eq!(cache.readers(), 0, "the thread has exited");
    drop(cache);
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn caches_that_have_gone_are_forgotten() {
    let alive = Arc::new(AtomicUsize::new(0));
    for version in 0..100 {
        let cache = ThreadCache::new(Counted::new(version, &alive));
        assert_eq!(cache.with(|state| state.version), version);
        assert!(alive.load(SeqCst) <= 2, "the last one is taken off when the next one comes");
    }
}
