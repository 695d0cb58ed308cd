//! How far a recovery must come that is begun again: the minimum recovery point.
//!
//! While an archive is replayed, pages reach the disk that are of some moment of the log. A recovery that is begun again and
//! stopped before that moment would leave them from its future. Invariant: before such a page is written, pg_control says
//! that recovery must come as far as this one had. Source: `UpdateMinRecoveryPoint`.

use base::Lsn;
use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use base::sync::{Arc, Mutex, PoisonError};
use wal::segment::Timeline;

use crate::Error;
use crate::data_directory::Control;
use crate::slru::FlushLog;

/// Keeps the point in pg_control.
#[derive(Debug)]
pub(super) struct MinimumRecoveryPoint {
    control: Arc<Mutex<Control>>,
    /// End of the record that is redone now.
    replayed: AtomicU64,
    timeline: AtomicU32,
}

impl MinimumRecoveryPoint {
    pub(super) fn new(control: Arc<Mutex<Control>>) -> MinimumRecoveryPoint {
        let (replayed, timeline) = (AtomicU64::new(0), AtomicU32::new(0));
        MinimumRecoveryPoint { control, replayed, timeline }
    }

    /// A record is redone. One thread redoes and writes pages meanwhile.
    pub(super) fn set_replayed(&self, end: Lsn, timeline: Timeline) {
        self.replayed.store(end.0, Ordering::Relaxed);
        self.timeline.store(timeline.0, Ordering::Relaxed);
    }
}

impl FlushLog for MinimumRecoveryPoint {
    fn flush(&self, upto: Lsn) -> Result<(), Error> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        if upto <= control.data().minimum_recovery_point {
            return Ok(());
        }
        let replayed = Lsn(self.replayed.load(Ordering::Relaxed)).max(upto);
        let timeline = Timeline(self.timeline.load(Ordering::Relaxed));
        let time = control.data().time;
        control.update(time, |data| {
            data.minimum_recovery_point = replayed;
            data.minimum_recovery_point_timeline = timeline;
        })
    }
}
