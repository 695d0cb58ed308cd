//! Group flush: who comes back finds his position flushed, nobody sleeps for ever.

use base::Lsn;
use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::{Relaxed, SeqCst};
use base::sync::{Arc, thread};
use wal::write::FlushGroup;

use crate::Model;

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "log_flush::group",
        property: "a commit that comes back is on the disk; none sleeps for ever",
        preemptions: Some(3),
        variants: &[
            "log.publish-after-wake",
            "log.enqueue-after-unlock",
            "log.flushed",
            "log.flushed-seen",
        ],
        run: group,
    },
    Model {
        name: "log_flush::segment_end",
        property: "the flushed position never goes back, whoever publishes",
        preemptions: None,
        variants: &["log.flushed-stored"],
        run: segment_end,
    },
    Model {
        name: "log_flush::failure",
        property: "everybody hears of a failure, nobody sleeps for ever",
        preemptions: Some(3),
        variants: &[],
        run: failure,
    },
];

/// A log of which only its length matters, and a disk.
struct Log {
    group: FlushGroup,
    inserted: AtomicU64,
    on_disk: AtomicU64,
}

impl Log {
    fn new() -> Arc<Log> {
        Arc::new(Log {
            group: FlushGroup::new(Lsn(0), true),
            inserted: AtomicU64::new(0),
            on_disk: AtomicU64::new(0),
        })
    }

    fn commit(&self) {
        let end = Lsn(self.inserted.fetch_add(1, SeqCst) + 1);
        let flush = |up_to: Lsn| {
            let inserted = self.inserted.load(SeqCst);
            assert!(inserted >= up_to.0);
            self.on_disk.fetch_max(inserted, Relaxed);
            Ok::<Lsn, ()>(Lsn(inserted))
        };
        let flushed = self.group.flush_commit(end, flush, &mut || false);
        flushed.expect("flushing works");
        assert!(self.group.flushed() >= end, "published before anybody comes back");
        assert!(self.on_disk.load(Relaxed) >= end.0, "on the disk");
    }
}

fn group() {
    let log = Log::new();
    let others: Vec<_> = (0..2)
        .map(|_| {
            let log = Arc::clone(&log);
            thread::spawn(move || log.commit())
        })
        .collect();
    log.commit();
    others.into_iter().for_each(|other| other.join().expect("a committer ends"));
}

/// One flushes a little, another comes to a segment's end, which is synced by itself.
fn segment_end() {
    let log = Log::new();
    let writer = {
        let log = Arc::clone(&log);
        thread::spawn(move || {
            log.on_disk.fetch_max(10, Relaxed);
            log.group.publish(Lsn(10));
        })
    };
    log.commit();
    writer.join().expect("the writer ends");
    assert_eq!(log.group.flushed(), Lsn(10));
}

fn failure() {
    let log = Log::new();
    let others: Vec<_> = (0..2)
        .map(|_| {
            let log = Arc::clone(&log);
            thread::spawn(move || log.group.flush(Lsn(1), |_| Err(())))
        })
        .collect();
    assert!(log.group.flush(Lsn(1), |_| Err(())).is_err());
    for other in others {
        assert!(other.join().expect("a committer ends").is_err());
    }
}
