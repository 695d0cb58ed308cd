//! The horizon against those who begin to read: it is at most every start in use.

use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use base::sync::{Arc, UnsafeCell, thread};
use procarray::{Advertised, GroupClear, RunningSet};

use crate::Model;

use super::arrays::{array, connect};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "horizon::acquisition",
        property: "the horizon is at most every start in use",
        preemptions: None,
        variants: &[
            "advertise.reader",
            "advertise.horizon",
            "advertise.no-second-look",
            "advertise.scan-before-clock",
        ],
        run: acquisition,
    },
    Model {
        name: "horizon::removal",
        property: "nothing is removed under a reader",
        preemptions: None,
        variants: &["advertise.release", "advertise.scan"],
        run: removal,
    },
    Model {
        name: "horizon::handing_on",
        property: "a start that one reader hands on to another is seen by every horizon",
        preemptions: None,
        variants: &["advertise.take-over-unlocked"],
        run: handing_on,
    },
    Model {
        name: "horizon::handing_an_xmin_on",
        property: "the same for a session's xmin",
        preemptions: None,
        variants: &["import.shared-lock"],
        run: handing_an_xmin_on,
    },
    Model {
        name: "horizon::going_on",
        property: "nothing is removed under a reader that goes on at a newer point",
        preemptions: None,
        variants: &["advertise.advance"],
        run: going_on,
    },
];

/// A reader begins, the clock moves on, the remover computes a horizon.
fn acquisition() {
    let clock = Arc::new(AtomicU64::new(1));
    let advertised = Arc::new(Advertised::new(1));
    let remover = {
        let (clock, advertised) = (Arc::clone(&clock), Arc::clone(&advertised));
        thread::spawn(move || {
            clock.fetch_add(1, AcqRel);
            advertised.horizon(|| clock.load(Acquire))
        })
    };
    let start = advertised.acquire(0, || clock.load(Acquire));
    let horizon = remover.join().expect("the remover ends");
    assert!(horizon <= start, "horizon {horizon} passed a reader of {start}");
    assert!(start <= clock.load(Acquire));
}

/// A version that the remover may take away is not read any more, and one that a reader was shown by the
/// clock is there: the payload's edges.
fn removal() {
    // The version of time 1, read by those who begin before 2; the clock says 2 when it is dead.
    let clock = Arc::new(AtomicU64::new(1));
    let advertised = Arc::new(Advertised::new(1));
    let version = Arc::new(Version(UnsafeCell::new(true)));
    let remover = {
        let (clock, advertised, version) =
            (Arc::clone(&clock), Arc::clone(&advertised), Arc::clone(&version));
        thread::spawn(move || {
            clock.fetch_add(1, AcqRel);
            if advertised.horizon(|| clock.load(Acquire)) >= 2 {
                version.remove();
            }
        })
    };
    if advertised.acquire(0, || clock.load(Acquire)) < 2 {
        assert!(version.is_there());
    }
    advertised.release(0);
    remover.join().expect("the remover ends");
}

/// A reader hands its point on while a remover computes a horizon: one of the two is seen.
fn handing_on() {
    let clock = Arc::new(AtomicU64::new(1));
    let advertised = Arc::new(Advertised::new(2));
    // The new reader is looked at first.
    let point = advertised.acquire(1, || clock.load(Acquire));
    clock.store(2, Release);
    let remover = {
        let (clock, advertised) = (Arc::clone(&clock), Arc::clone(&advertised));
        thread::spawn(move || advertised.horizon(|| clock.load(Acquire)))
    };
    let first = {
        let advertised = Arc::clone(&advertised);
        thread::spawn(move || {
            assert!(advertised.take_over(0, 1, point), "the other reads still");
        })
    };
    first.join().expect("it takes over");
    advertised.release(1);
    let horizon = remover.join().expect("the remover ends");
    assert!(horizon <= point, "horizon {horizon} passed {point}, which is in use");
}

/// The same with a session's xmin.
fn handing_an_xmin_on() {
    let array = array(3, 0, GroupClear::WhenContended);
    let mut new = connect(&array);
    let mut old = connect(&array);
    let mut writer = connect(&array);
    let xid = writer.assign_xid();
    old.take_running(&mut RunningSet::default());
    writer.end_transaction();
    let remover = thread::spawn(move || (writer.horizons().data.xid, writer));
    assert!(new.take_over_xmin(xid, old.number()), "the other reads still");
    old.clear_xmin();
    let (horizon, writer) = remover.join().expect("the remover ends");
    assert!(horizon <= xid, "horizon {horizon:?} passed {xid:?}, which is in use");
    drop((new, old, writer));
}

/// A reader goes on at a newer point: the version of the older one may be removed, and is not read any more.
fn going_on() {
    let clock = Arc::new(AtomicU64::new(1));
    let advertised = Arc::new(Advertised::new(1));
    let version = Arc::new(Version(UnsafeCell::new(true)));
    let old = advertised.acquire(0, || clock.load(Acquire));
    clock.store(2, Release);
    let remover = {
        let (clock, advertised, version) =
            (Arc::clone(&clock), Arc::clone(&advertised), Arc::clone(&version));
        thread::spawn(move || {
            if advertised.horizon(|| clock.load(Acquire)) >= 2 {
                version.remove();
            }
        })
    };
    assert_eq!(old, 1);
    assert!(version.is_there());
    advertised.advance(0, 2);
    remover.join().expect("the remover ends");
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
