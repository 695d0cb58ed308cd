//! The thread-local cache of shared state: nobody reads what was torn down, nothing is left over, and after an
//! install everybody gets the new state.

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use base::sync::{Arc, UnsafeCell, thread};
use snapshot::cache::{Reader, ThreadCache};

use crate::Model;

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "cache::install",
        property: "nobody reads what was torn down; each state is torn down once; who has heard of an install gets its \
                   state",
        preemptions: None,
        variants: &[
            "cache.return",
            "cache.scrape",
            "cache.store-instead-of-cas",
            "cache.scrape-before-publish",
            "cache.unref-before-scrape",
        ],
        run: install,
    },
    Model {
        name: "cache::exit",
        property: "the same, while a thread exits and another begins",
        preemptions: None,
        variants: &["cache.return", "cache.scrape", "cache.unref-before-scrape"],
        run: exit,
    },
    Model {
        name: "cache::two_installers",
        property: "the same, while two threads change the state, one change upon the other",
        preemptions: None,
        variants: &["cache.return", "cache.scrape"],
        run: two_installers,
    },
];

/// A state whose tearing down loom watches.
struct Watched {
    version: u32,
    alive: UnsafeCell<bool>,
    torn_down: Arc<AtomicU32>,
}

// SAFETY: loom watches the cell and reports an access that nothing orders.
#[expect(unsafe_code)]
unsafe impl Sync for Watched {}
// SAFETY: a flag goes wherever it likes.
#[expect(unsafe_code)]
unsafe impl Send for Watched {}

impl Watched {
    fn new(version: u32, torn_down: &Arc<AtomicU32>) -> Watched {
        Watched { version, alive: UnsafeCell::new(true), torn_down: Arc::clone(torn_down) }
    }

    fn read(&self) -> u32 {
        #[expect(unsafe_code)]
        // SAFETY: loom reports it if somebody writes meanwhile.
        let alive = self.alive.with(|alive| unsafe { *alive });
        assert!(alive, "state {} is not torn down", self.version);
        self.version
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        #[expect(unsafe_code)]
        // SAFETY: loom reports it if somebody reads meanwhile.
        self.alive.with_mut(|alive| unsafe { *alive = false });
        self.torn_down.fetch_add(1, Relaxed);
    }
}

fn read(reader: &mut Reader<Watched>) -> u32 {
    reader.get().read()
}

/// A thread reads, hears of an install and reads again.
fn install() {
    let torn_down = Arc::new(AtomicU32::new(0));
    let cache = Arc::new(ThreadCache::new(Watched::new(1, &torn_down)));
    let installed = Arc::new(AtomicU32::new(1));
    let mut reader = cache.reader();
    // So that something is cached.
    assert_eq!(read(&mut reader), 1);
    let installer = {
        let (cache, installed) = (Arc::clone(&cache), Arc::clone(&installed));
        let torn_down = Arc::clone(&torn_down);
        thread::spawn(move || {
            cache.install(Watched::new(2, &torn_down));
            installed.store(2, Release);
        })
    };
    let first = read(&mut reader);
    let heard = installed.load(Acquire);
    let second = read(&mut reader);
    assert!(first <= second && heard <= second, "{second} after {first}, {heard} was installed");
    installer.join().expect("the installer ends");
    assert_eq!(read(&mut reader), 2);
    drop(reader);
    assert_eq!(torn_down.load(Acquire), 1, "the old state");
    drop(cache);
    assert_eq!(torn_down.load(Acquire), 2, "both");
}

/// One thread exits, one begins, a third installs.
fn exit() {
    let torn_down = Arc::new(AtomicU32::new(0));
    let cache = Arc::new(ThreadCache::new(Watched::new(1, &torn_down)));
    let mut leaving = cache.reader();
    assert_eq!(read(&mut leaving), 1);
    let installer = {
        let (cache, torn_down) = (Arc::clone(&cache), Arc::clone(&torn_down));
        thread::spawn(move || cache.install(Watched::new(2, &torn_down)))
    };
    let coming = {
        let cache = Arc::clone(&cache);
        thread::spawn(move || {
            let mut coming = cache.reader();
            read(&mut coming)
        })
    };
    read(&mut leaving);
    drop(leaving);
    installer.join().expect("the installer ends");
    assert!((1..=2).contains(&coming.join().expect("the other ends")));
    assert_eq!(cache.readers(), 0);
    assert_eq!(torn_down.load(Acquire), 1, "the old state");
    drop(cache);
}

/// Two threads add to the state while a third reads.
fn two_installers() {
    let torn_down = Arc::new(AtomicU32::new(0));
    let cache = Arc::new(ThreadCache::new(Watched::new(1, &torn_down)));
    let mut reader = cache.reader();
    assert_eq!(read(&mut reader), 1);
    let installers = [(), ()].map(|()| {
        let (cache, torn_down) = (Arc::clone(&cache), Arc::clone(&torn_down));
        thread::spawn(move || {
            cache.update(|state| Watched::new(state.read() + 1, &torn_down));
        })
    });
    read(&mut reader);
    for installer in installers {
        installer.join().expect("an installer ends");
    }
    assert_eq!(read(&mut reader), 3);
    drop(reader);
    assert_eq!(torn_down.load(Acquire), 2);
    drop(cache);
}
