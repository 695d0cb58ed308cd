//! State that many threads read all the time and that somebody replaces now and then: each thread keeps a
//! reference to it of its own, and takes and returns it without a lock.
//!
//! ```text
//! get                                       install (under the mutex)
//! ---                                       -------
//! slot: swap -> IN_USE                      current = the new state
//!   CACHED:   the reference is the thread's each slot: swap -> OBSOLETE      (cache.scrape, acquire)
//!   OBSOLETE: mutex, a new reference          CACHED: its reference is the installer's: drop it
//! ... read ...                                IN_USE, OBSOLETE: nothing to do
//! put the reference into the slot           unlock
//! slot: CAS IN_USE -> CACHED                drop the old state's reference
//!         (cache.return, release)
//!   fails: scraped meanwhile: drop it
//! ```
//!
//! Who may touch what, when:
//!
//! 1. The reference in a slot is its thread's while the slot is IN_USE or OBSOLETE, and whoever swaps CACHED
//!    away has it from then on. `cache.return` pairs with `cache.scrape`: what the thread read is read before
//!    the installer can drop the last reference. The thread's own swap needs no ordering: what it finds CACHED
//!    it has put there itself, and when it finds OBSOLETE it takes the mutex.
//! 2. The new state is published before slots are scraped, under one hold of the mutex. Whoever finds its slot
//!    OBSOLETE gets the new state; and who hears that an install has ended finds its slot OBSOLETE.
//! 3. The old state's reference is dropped last, so that no slot holds the last one: scraping counts down
//!    and frees nothing, and the state's destructor runs without the mutex.
//! 4. Slots come and go under the mutex: a thread may begin and exit at any time.
//!
//! An install costs a swap for each thread: right for state that changes rarely (a catalog, bounds of
//! horizons), wrong for what every commit changes.
//!
//! Source: RocksDB's `SuperVersion` (`db/column_family.cc`: `GetThreadLocalSuperVersion`,
//! `ReturnThreadLocalSuperVersion`, `ResetThreadLocalSuperVersions`).

use std::fmt;
use std::ops::Deref;

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Arc, Mutex, MutexGuard, PoisonError, UnsafeCell};
use base::{ordering, variant};
use crossbeam_utils::CachePadded;

#[cfg(not(any(loom, shuttle)))]
mod local;

/// The slot's thread has to take a new reference.
const OBSOLETE: u32 = 0;
/// The slot's thread is reading, or is about to.
const IN_USE: u32 = 1;
/// The slot holds a reference to the current state.
const CACHED: u32 = 2;

struct Slot<T> {
    word: AtomicU32,
    /// See rule 1.
    reference: UnsafeCell<Option<Arc<T>>>,
}

// SAFETY: `reference` is the only field that is not shareable by itself. Rule 1 gives it to one thread at a
// time, and the edges named there order one's accesses before the other's. It takes references to other
// threads, which drop them there: as sharing an `Arc<T>` does.
#[expect(unsafe_code)]
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// Lends the slot's reference to whom rule 1 gives it.
    fn with_reference<R>(&self, access: impl FnOnce(&mut Option<Arc<T>>) -> R) -> R {
        self.reference.with_mut(|reference| {
            // SAFETY: every caller is the slot's thread while the word is IN_USE or OBSOLETE, or has swapped
            // CACHED away, or holds the mutex with the slot's thread in `Reader::drop`; none enters again.
            #[expect(unsafe_code)]
            access(unsafe { &mut *reference })
        })
    }
}

struct State<T> {
    current: Arc<T>,
    slots: Vec<Arc<CachePadded<Slot<T>>>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Whether the cache has gone, for what threads keep of it.
    #[cfg(not(any(loom, shuttle)))]
    closed: base::sync::atomic::AtomicBool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // State and slots are replaced, added and removed whole, and nothing of the state's own runs meanwhile.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shared state, and the slots of the threads that read it.
pub struct ThreadCache<T> {
    shared: Arc<Shared<T>>,
}

impl<T> ThreadCache<T> {
    /// A cache of this state, without readers.
    pub fn new(state: T) -> ThreadCache<T> {
        let state = State { current: Arc::new(state), slots: Vec::new() };
        ThreadCache {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                #[cfg(not(any(loom, shuttle)))]
                closed: base::sync::atomic::AtomicBool::new(false),
            }),
        }
    }

    /// A reader, for one thread at a time; dropping it is the thread's exit. Takes the mutex.
    pub fn reader(&self) -> Reader<T> {
        Reader::new(&self.shared)
    }

    /// The current state, for who reads it too seldom for a reader. Takes the mutex.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.shared.state().current)
    }

    /// Replaces the state. Who gets the state after this has come back gets this one or a later one; who has
    /// got it before goes on with the old one.
    pub fn install(&self, state: T) {
        self.replace(|_| state);
    }

    /// Replaces the state by what `change` makes of it; one such change comes after the other. Readers wait
    /// for `change` only if they begin or were invalidated.
    pub fn update(&self, change: impl FnOnce(&T) -> T) {
        self.replace(change);
    }

    fn replace(&self, change: impl FnOnce(&T) -> T) {
        if variant!("cache.scrape-before-publish") {
            scrape(&self.shared.state().slots);
        }
        let mut state = self.shared.state();
        let new = Arc::new(change(&state.current));
        let mut old = Some(std::mem::replace(&mut state.current, new));
        if variant!("cache.unref-before-scrape") {
            old = None;
        }
        if !variant!("cache.scrape-before-publish") {
            scrape(&state.slots);
        }
        drop(state);
        // Rule 3: the last reference but for those of readers that are reading.
        drop(old);
    }

    /// How many readers there are.
    pub fn readers(&self) -> usize {
        self.shared.state().slots.len()
    }
}

/// Under shuttle all threads are one of the system's, which could keep a reader for one of them alone.
#[cfg(shuttle)]
impl<T> ThreadCache<T> {
    /// Hands the state to `read`. Takes the mutex.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.current())
    }
}

/// Makes every slot obsolete; the mutex is held.
fn scrape<T>(slots: &[Arc<CachePadded<Slot<T>>>]) {
    for slot in slots {
        if slot.word.swap(OBSOLETE, ordering!("cache.scrape", Acquire)) == CACHED {
            let reference = slot.with_reference(Option::take);
            debug_assert!(
                reference.is_some_and(|reference| Arc::strong_count(&reference) > 1),
                "a slot that is cached has a reference, and not the last one"
            );
        }
    }
}

impl<T> Drop for ThreadCache<T> {
    fn drop(&mut self) {
        #[cfg(not(any(loom, shuttle)))]
        self.shared.closed.store(true, Relaxed);
    }
}

impl<T: fmt::Debug> fmt::Debug for ThreadCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadCache").field(&self.current()).finish()
    }
}

/// One thread's way to the state.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    slot: Arc<CachePadded<Slot<T>>>,
}

impl<T> Reader<T> {
    fn new(shared: &Arc<Shared<T>>) -> Reader<T> {
        let slot = Slot { word: AtomicU32::new(OBSOLETE), reference: UnsafeCell::new(None) };
        let slot = Arc::new(CachePadded::new(slot));
        shared.state().slots.push(Arc::clone(&slot));
        Reader { shared: Arc::clone(shared), slot }
    }

    /// The state. Takes no lock, unless the state was replaced since the last time.
    #[inline]
    pub fn get(&mut self) -> InUse<'_, T> {
        let found = self.slot.word.swap(IN_USE, Relaxed);
        let cached =
            if found == CACHED { self.slot.with_reference(Option::take) } else { self.renew() };
        InUse { slot: &self.slot, reference: cached }
    }

    #[cold]
    fn renew(&self) -> Option<Arc<T>> {
        Some(Arc::clone(&self.shared.state().current))
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        // A model that has failed is over.
        if cfg!(any(loom, shuttle)) && base::sync::thread::panicking() {
            return;
        }
        let mut state = self.shared.state();
        if let Some(at) = state.slots.iter().position(|slot| Arc::ptr_eq(slot, &self.slot)) {
            state.slots.swap_remove(at);
        }
        let reference = self.slot.with_reference(Option::take);
        drop(state);
        // It can be the last one, of a state that was replaced while nobody was reading.
        drop(reference);
    }
}

/// The state while a thread reads it: it stays what it is, whatever is installed meanwhile.
pub struct InUse<'r, T> {
    slot: &'r CachePadded<Slot<T>>,
    /// `None` only while it is being dropped.
    reference: Option<Arc<T>>,
}

impl<T> Deref for InUse<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.reference {
            Some(state) => state,
            None => unreachable!("a reference is there until it is returned"),
        }
    }
}

impl<T> Drop for InUse<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // A model that has failed is over.
        if cfg!(any(loom, shuttle)) && base::sync::thread::panicking() {
            return;
        }
        let reference = self.reference.take();
        self.slot.with_reference(|slot| *slot = reference);
        if variant!("cache.store-instead-of-cas") {
            self.slot.word.store(CACHED, ordering!("cache.return", Release));
            return;
        }
        let returned = self.slot.word.compare_exchange(
            IN_USE,
            CACHED,
            ordering!("cache.return", Release),
            Relaxed,
        );
        if returned.is_err() {
            // Scraped meanwhile: the slot is still this thread's.
            drop(self.slot.with_reference(Option::take));
        }
    }
}
