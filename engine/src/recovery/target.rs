//! Where recovery from an archive stops.
//!
//! Invariant: transactions are told by their own id, which is no order: the one that is meant is the one that ends.
//! Source: `recoveryStopsBefore`, `recoveryStopsAfter`, `getRecoveryStopReason`.

use std::path::PathBuf;

use base::{Lsn, TimestampTz, Xid};
use wal::record::Record;
use wal::rmgr::Payload;
use wal::rmgr::xact::Xact;
use wal::rmgr::xlog::Xlog;
use wal::source::TimelineChoice;

/// Recovery from an archive, to a target, onto a new timeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveRecovery {
    /// The directory with archived segments and histories; what it lacks is looked for in `pg_wal`. `None` for what
    /// `pg_wal` has alone.
    pub archive: Option<PathBuf>,
    /// Where to stop (`recovery_target`).
    pub target: Target,
    /// Whether to stop before what the target names (not `recovery_target_inclusive`).
    pub is_exclusive: bool,
    /// Which timeline to follow (`recovery_target_timeline`). The latest is the highest that has a history, as with
    /// PostgreSQL.
    pub timeline: TimelineChoice,
}

/// Where to stop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Target {
    /// Where the log ends.
    #[default]
    End,
    /// As soon as the data is consistent (`recovery_target = 'immediate'`).
    Consistency,
    /// At the record that starts there or is the first behind it.
    Lsn(Lsn),
    /// At transactions that ended at this time.
    Time(TimestampTz),
    /// At the end of this transaction.
    Xid(Xid),
    /// At the first restore point of this name; always behind it.
    Name(String),
}

/// Why recovery stopped, as the new timeline's history says it.
pub(super) type Reason = String;

/// The end of a transaction: who, and when.
fn ended(record: &Record<'_>) -> Option<(Xid, TimestampTz)> {
    if record.rmid() != 1 {
        return None;
    }
    match record.payload() {
        Ok(Payload::Xact(Xact::Commit(completion) | Xact::Abort(completion))) => {
            Some((completion.prepared_xid.unwrap_or(record.xid()), completion.time))
        }
        _ => None,
    }
}

fn time_text(time: TimestampTz) -> String {
    let mut text = Vec::new();
    time.push_server_text(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

impl ArchiveRecovery {
    /// Why to stop before the record, if so.
    pub(super) fn stops_before(&self, record: &Record<'_>, is_consistent: bool) -> Option<Reason> {
        match &self.target {
            Target::Consistency => is_consistent.then(|| "reached consistency".to_owned()),
            Target::Lsn(lsn) => (self.is_exclusive && record.start() >= *lsn)
                .then(|| format!("before LSN {}", record.start())),
            Target::Xid(xid) => {
                let (ended, _) = ended(record)?;
                (self.is_exclusive && ended == *xid).then(|| format!("before transaction {xid}"))
            }
            Target::Time(target) => {
                // Several may have ended at one time: all of them, or none.
                let (_, time) = ended(record)?;
                let is_behind = if self.is_exclusive { time >= *target } else { time > *target };
                is_behind.then(|| format!("before {}", time_text(time)))
            }
            Target::End | Target::Name(_) => None,
        }
    }

    /// Why to stop behind the record, if so.
    pub(super) fn stops_after(&self, record: &Record<'_>, is_consistent: bool) -> Option<Reason> {
        match &self.target {
            Target::Consistency => is_consistent.then(|| "reached consistency".to_owned()),
            Target::Lsn(lsn) => (!self.is_exclusive && record.start() >= *lsn)
                .then(|| format!("after LSN {}", record.start())),
            Target::Xid(xid) => {
                let (ended, _) = ended(record)?;
                (!self.is_exclusive && ended == *xid).then(|| format!("after transaction {xid}"))
            }
            Target::Name(name) => {
                if record.rmid() != 0 {
                    return None;
                }
                match record.payload() {
                    Ok(Payload::Xlog(Xlog::RestorePoint(point)))
                        if point.name == name.as_bytes() =>
                    {
                        Some(format!("at restore point \"{name}\""))
                    }
                    _ => None,
                }
            }
            Target::End | Target::Time(_) => None,
        }
    }

    /// Whether running out of log is as good as the target.
    pub(super) fn may_end(&self) -> bool {
        self.target == Target::End
    }
}
