//! When a checkpoint is due, and whether one that is being made is ahead of its time.
//!
//! Invariant: a checkpoint that keeps to its schedule is done within `completion_target` of the time, and of the volume, to
//! the next one. Source: `CalculateCheckpointSegments`, `IsCheckpointOnSchedule`.

use std::time::Duration;

use base::Lsn;
use base::sync::Arc;
use snapshot::commit_ts::clock::{SystemClock, WallClock};

use super::report::CheckpointCause;
use crate::buffer::Sweep;

/// When checkpoints are made. The default is PostgreSQL's.
#[derive(Clone)]
pub struct CheckpointOptions {
    /// At most so long after the one before (`checkpoint_timeout`).
    pub timeout: Duration,
    /// The log should not be longer than this, in bytes (`max_wal_size`).
    pub maximum_log: u64,
    /// The part of the time between two checkpoints that one takes (`checkpoint_completion_target`).
    pub completion_target: f64,
    /// What tells the time that goes into the log and the control file.
    pub clock: Arc<dyn WallClock>,
}

impl Default for CheckpointOptions {
    fn default() -> CheckpointOptions {
        CheckpointOptions {
            timeout: Duration::from_secs(300),
            maximum_log: 1 << 30,
            completion_target: 0.9,
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for CheckpointOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointOptions")
            .field("timeout", &self.timeout)
            .field("maximum_log", &self.maximum_log)
            .field("completion_target", &self.completion_target)
            .finish_non_exhaustive()
    }
}

impl CheckpointOptions {
    /// So much log after a redo point a checkpoint begins: what is there then, and what is logged while it is made, is
    /// the maximum.
    pub fn volume(&self) -> u64 {
        let volume = self.maximum_log as f64 / (1.0 + self.completion_target.clamp(0.0, 1.0));
        (volume as u64).max(1)
    }

    /// Whether one is due so long, and so much log, after the last redo point.
    pub(super) fn due(&self, elapsed: Duration, logged: u64) -> Option<CheckpointCause> {
        if logged >= self.volume() {
            return Some(CheckpointCause::Volume);
        }
        (elapsed >= self.timeout).then_some(CheckpointCause::Time)
    }

    /// Whether a checkpoint that has come so far may wait a while.
    pub(super) fn is_ahead(&self, sweep: &Sweep, elapsed: Duration, redo: Lsn, end: Lsn) -> bool {
        let target = self.completion_target.clamp(0.0, 1.0);
        let done = sweep.done as f64 / sweep.dirty.max(1) as f64 * target;
        let logged = end.0.saturating_sub(redo.0) as f64 / self.volume() as f64;
        let passed = elapsed.as_secs_f64() / self.timeout.as_secs_f64().max(f64::MIN_POSITIVE);
        done >= logged && done >= passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> CheckpointOptions {
        CheckpointOptions {
            timeout: Duration::from_secs(100),
            maximum_log: 1900,
            completion_target: 0.9,
            ..CheckpointOptions::default()
        }
    }

    #[test]
    fn one_is_due_by_time_or_volume() {
        let due = |seconds, logged| options().due(Duration::from_secs(seconds), logged);
        assert_eq!(options().volume(), 1000);
        assert_eq!(due(99, 999), None);
        assert_eq!(due(100, 999), Some(CheckpointCause::Time));
        assert_eq!(due(0, 1000), Some(CheckpointCause::Volume));
    }

    #[test]
    fn who_is_ahead_of_both_waits() {
        let ahead = |done, seconds, logged: u64| {
            let sweep = Sweep { dirty: 100, done, written: done };
            options().is_ahead(&sweep, Duration::from_secs(seconds), Lsn(5000), Lsn(5000 + logged))
        };
        assert!(ahead(50, 45, 450));
        assert!(!ahead(50, 46, 0), "behind in time");
        assert!(!ahead(50, 0, 460), "behind in volume");
        assert!(ahead(100, 89, 890), "done early");
        assert!(!ahead(100, 91, 0), "never later than the target");
    }
}
