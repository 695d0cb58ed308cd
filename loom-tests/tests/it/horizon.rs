//! The horizon against those who begin to read: it is at most every start in use.

use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::{AcqRel, Acquire};
use base::sync::{Arc, UnsafeCell, thread};
use loom_tests::{check, expect_caught};
use procarray::Advertised;

/// A reader begins, the clock moves on, the remover computes a horizon.
#[test]
fn acquisition() {
    check(4, || {
        let clock = Arc::new(AtomicU64::new(1));
        let advertised = Arc::new(Advertised::new(1));
        let remover = {
            let (clock, advertised) = (Arc::clone(&clock), Arc::clone(&advertised));
            thread::spawn(move || {
                clock.fetch_add(1, AcqRel);
                advertised.horizon(&clock)
            })
        };
        let start = advertised.acquire(0, &clock);
        let horizon = remover.join().expect("the remover ends");
        assert!(horizon <= start, "horizon {horizon} passed a reader of {start}");
        assert!(start <= clock.load(Acquire));
    });
}

/// A version that the remover may take away is not read any more, and one that a reader was shown by the
/// clock is there: the payload's edges.
#[test]
fn removal() {
    check(4, || {
        // The version of time 1, read by those who begin before 2; the clock says 2 when it is dead.
        let clock = Arc::new(AtomicU64::new(1));
        let advertised = Arc::new(Advertised::new(1));
        let version = Arc::new(Version(UnsafeCell::new(true)));
        let remover = {
            let (clock, advertised, version) =
                (Arc::clone(&clock), Arc::clone(&advertised), Arc::clone(&version));
            thread::spawn(move || {
                clock.fetch_add(1, AcqRel);
                if advertised.horizon(&clock) >= 2 {
                    version.remove();
                }
            })
        };
        if advertised.acquire(0, &clock) < 2 {
            assert!(version.is_there());
        }
        advertised.release(0);
        remover.join().expect("the remover ends");
    });
}

/// A commit's payload is readable to whoever the clock showed it.
#[test]
fn publication() {
    check(4, || {
        let clock = Arc::new(AtomicU64::new(1));
        let advertised = Advertised::new(1);
        let version = Arc::new(Version(UnsafeCell::new(true)));
        let committer = {
            let (clock, version) = (Arc::clone(&clock), Arc::clone(&version));
            thread::spawn(move || {
                version.remove();
                clock.fetch_add(1, AcqRel);
            })
        };
        if advertised.acquire(0, &clock) == 2 {
            assert!(!version.is_there());
        }
        committer.join().expect("the committer ends");
    });
}

struct Version(UnsafeCell<bool>);

// SAFETY: loom watches the cell and reports an access that nothing orders.
#[expect(unsafe_code)]
unsafe impl Sync for Version {}
// SAFETY: a flag goes wherever it likes.
#[expect(unsafe_code)]
unsafe impl Send for Version {}

impl Version {
    #[expect(unsafe_code)]
    fn is_there(&self) -> bool {
        // SAFETY: loom reports it if somebody writes meanwhile.
        self.0.with(|there| unsafe { *there })
    }

    #[expect(unsafe_code)]
    fn remove(&self) {
        // SAFETY: loom reports it if somebody reads or writes meanwhile.
        self.0.with_mut(|there| unsafe { *there = false });
    }
}

#[test]
fn acquisition_variants_are_caught() {
    expect_caught(
        "horizon::acquisition",
        &[
            "advertise.reader",
            "advertise.horizon",
            "advertise.no-second-look",
            "advertise.scan-before-clock",
        ],
    );
}

#[test]
fn removal_variants_are_caught() {
    expect_caught("horizon::removal", &["advertise.release", "advertise.scan"]);
}

#[test]
fn publication_variants_are_caught() {
    expect_caught("horizon::publication", &["advertise.clock"]);
}
