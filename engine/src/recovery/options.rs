//! What is asked of recovery.

use base::TimestampTz;
use base::sync::Arc;
use snapshot::commit_ts::clock::{SystemClock, WallClock};

use super::target::ArchiveRecovery;
use crate::redo::RedoManagers;

/// What to do where records lie behind the place where the log cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnDamage {
    /// An error where something shows that the log had been durable beyond that place. Where nothing does, these may be
    /// records that were being written when the power failed, whose transactions nobody was told of: the log ends.
    #[default]
    RefuseIfDurable,
    /// An error where valid records lie behind, in any case: for a process that was killed, whose kernel went on.
    Refuse,
    /// The log ends there, whatever is lost.
    EndThere,
}

/// What is asked of recovery.
pub struct RecoveryOptions {
    /// What to do about damage.
    pub on_damage: OnDamage,
    /// Recovery from an archive or to a target, onto a new timeline; `None` for the end of the log.
    pub archive: Option<ArchiveRecovery>,
    /// Redo for resource managers that the engine does not know.
    pub managers: RedoManagers,
    /// Threads that redo changes of pages, and that look for records behind damage. What comes out is the same.
    pub threads: usize,
    /// What tells the time that goes into the control file and into the log.
    pub clock: Arc<dyn WallClock>,
}

impl Default for RecoveryOptions {
    fn default() -> RecoveryOptions {
        RecoveryOptions {
            on_damage: OnDamage::default(),
            archive: None,
            managers: RedoManagers::default(),
            threads: 1,
            clock: Arc::new(SystemClock),
        }
    }
}

impl RecoveryOptions {
    /// The time now.
    pub(super) fn now(&self) -> TimestampTz {
        self.clock.now()
    }
}

impl std::fmt::Debug for RecoveryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecoveryOptions")
            .field("on_damage", &self.on_damage)
            .field("archive", &self.archive)
            .field("managers", &self.managers)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
