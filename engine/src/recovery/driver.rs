//! The loop over records, from the redo point to the log's end.
//!
//! Invariants: records are redone in order, their pages' changes perhaps later ([`crate::redo`]); progress is told, and the caller asked, at each step of
//! [`RECORDS_BETWEEN_REPORTS`] records; pg_control's checkpoint stays as it is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use base::sync::Arc;
use base::{Lsn, RelFileLocator, TimestampTz, UnixTime, Xid};
use wal::checkpoint::CheckPoint;
use wal::control::{ClusterState, StateNumber};
use wal::read::{Position, RecordReader, Stop};
use wal::record::Record;
use wal::rmgr::Payload;
use wal::rmgr::smgr::Smgr;
use wal::rmgr::xact::Xact;
use wal::rmgr::xlog::Xlog;
use wal::segment::Timeline;
use wal::source::{self, History, Segments, SystemIdentifier, TimelineChoice};
use wal::write::{CutOff, EndOfLog, PageWrites};

use super::ending::{Ending, LeftBehind};
use super::error::RecoveryError;
use super::minimum::MinimumRecoveryPoint;
use super::options::RecoveryOptions;
use super::sync::sync_directory;
use super::target::ArchiveRecovery;
use super::timeline::Timelines;
use crate::prepared;
use crate::redo::{Crew, Redo, RedoCounts};
use crate::slru::{FlushLog, Status};
use crate::storage::Storage;
use crate::{At, Error};

/// How many records are redone between two reports of progress.
const RECORDS_BETWEEN_REPORTS: u64 = 4096;

/// How far recovery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// Where redo began.
    pub redo: Lsn,
    /// End of the last record that was redone.
    pub at: Lsn,
    /// Where the last segment ends that there is: no record ends behind it.
    pub last: Lsn,
    /// What was done.
    pub counts: RedoCounts,
    /// When the last transaction ended that was redone.
    pub time: Option<TimestampTz>,
}

/// What recovery came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// Where the log ends and goes on.
    pub end: EndOfLog,
    /// The timeline that it goes on with.
    pub timeline: Timeline,
    /// The timeline that its last record is of.
    pub previous_timeline: Timeline,
    /// Whether records were redone, so that a checkpoint is due that ends recovery. Not after a shutdown in good order.
    pub checkpoint_is_due: bool,
    /// The checkpoint that recovery started from.
    pub checkpoint: CheckPoint,
    /// What was redone.
    pub counts: RedoCounts,
    /// When the last transaction ended that was redone.
    pub time: Option<TimestampTz>,
    /// Records behind the end that are dropped.
    pub left_behind: Option<LeftBehind>,
    /// Relations that were removed, since the transactions that made them never ended.
    pub removed: Vec<RelFileLocator>,
    /// Why recovery stopped where it did, where it was given a target.
    pub reason: Option<String>,
}

/// Brings the directory to where its log ends. The log is not open yet; the storage's counters are those of the control
/// file's checkpoint, and become those of the log's end.
///
/// `progress` is called before the first record, now and then, and at the end; `Break` ends recovery with an error, and it can be begun again.
///
/// # Errors
/// [`RecoveryError`], and as the disk says.
pub fn recover(
    storage: &Storage,
    options: &RecoveryOptions,
    progress: &mut dyn FnMut(&RecoveryProgress) -> ControlFlow<()>,
) -> Result<Recovered, Error> {
    Crew::with(storage, options.threads, |crew| recover_with(crew, storage, options, progress))
}

fn recover_with(
    crew: &Crew,
    storage: &Storage,
    options: &RecoveryOptions,
    progress: &mut dyn FnMut(&RecoveryProgress) -> ControlFlow<()>,
) -> Result<Recovered, Error> {
    let control = *storage.directory.control().data();
    let place = storage.log_place();
    let was_shut_down = matches!(
        control.state.state(),
        Some(ClusterState::ShutDown | ClusterState::ShutDownInRecovery)
    );
    if !was_shut_down {
        sync_directory(&**storage.directory.disk(), storage.directory.path())?;
    }
    let archive = options.archive.as_ref();
    check_directory(storage, control.state.state(), archive)?;
    // An end of recovery on another timeline is in the log before it is a checkpoint's.
    let timeline = control.checkpoint_copy.timeline.max(control.minimum_recovery_point_timeline);
    let timeline = match archive.map(|archive| archive.timeline) {
        None => TimelineChoice::Exact(timeline),
        Some(TimelineChoice::Latest) => TimelineChoice::LatestAfter(timeline),
        Some(chosen) => chosen,
    };
    let archived = archive.and_then(|archive| archive.archive.as_deref());
    let source = source::Options {
        timeline,
        system_identifier: SystemIdentifier::Known(control.system_identifier),
        start: Some(control.checkpoint_copy.redo),
        progress: None,
    };
    let (disk, pg_wal) = (Arc::clone(&place.disk), place.directory.as_path());
    let log = match archived {
        Some(archived) => source::Log::open_before(disk, archived, pg_wal, source),
        None => source::Log::open(disk, pg_wal, source),
    };
    let log = log.map_err(RecoveryError::from)?;
    let history = log.history().clone();
    let last_segment = log.last_segment().unwrap_or_default();
    let segments: Arc<dyn Segments> = Arc::new(log);
    let mut reader = RecordReader::new(Arc::clone(&segments));
    let (checkpoint, checkpoint_end) =
        read_checkpoint(&mut reader, control.checkpoint, &control.checkpoint_copy)?;
    let writes = PageWrites { redo: checkpoint.redo, are_on: checkpoint.full_page_writes };
    let mut recovered = Recovered {
        end: EndOfLog {
            end: checkpoint_end,
            last_record: control.checkpoint,
            cut_off: None,
            writes,
        },
        timeline: checkpoint.timeline,
        previous_timeline: checkpoint.timeline,
        checkpoint_is_due: false,
        checkpoint,
        counts: RedoCounts::default(),
        time: None,
        left_behind: None,
        removed: Vec::new(),
        reason: None,
    };
    prepared::load(storage)?;
    if was_shut_down && checkpoint.redo == control.checkpoint && archive.is_none() {
        return Ok(recovered);
    }
    // The checkpoint's own record was durable before pg_control named it. A directory that crashed has pages of as late as
    // its own log.
    let mut needed = control.minimum_recovery_point.max(checkpoint_end);
    if archive.is_some()
        && !was_shut_down
        && control.state.state() != Some(ClusterState::InArchiveRecovery)
    {
        needed = needed.max(end_of_own_log(storage, checkpoint.redo)?);
    }
    let now = options.now();
    let state = match archive {
        Some(_) => ClusterState::InArchiveRecovery,
        None => ClusterState::InCrashRecovery,
    };
    storage.directory.control().update(UnixTime(now.unix_seconds()), |data| {
        data.state = StateNumber(state as u32);
        if archive.is_some() {
            data.minimum_recovery_point = needed;
            data.minimum_recovery_point_timeline =
                data.minimum_recovery_point_timeline.max(checkpoint.timeline);
        }
    })?;
    let minimum = archive.map(|_| {
        let minimum = Arc::new(MinimumRecoveryPoint::new(storage.directory.shared_control()));
        storage.log.tell(Arc::clone(&minimum) as Arc<dyn FlushLog>);
        minimum
    });
    storage.clog.set_next(checkpoint.next_xid.xid());
    storage.multixact.set_next(checkpoint.next_multi, checkpoint.next_multi_offset);
    let mut replay = Replay {
        redo: Redo::new(storage, &options.managers, crew, checkpoint.timeline),
        reader,
        made: BTreeMap::new(),
        last: None,
        time: None,
        archive,
        history,
        minimum,
        needed,
        reason: None,
    };
    let last = segments.segment_size().start_of(last_segment + 1);
    let report = |replay: &Replay<'_>, at: Lsn| RecoveryProgress {
        redo: checkpoint.redo,
        at,
        last,
        counts: replay.redo.counts(),
        time: replay.time,
    };
    replay.reader.resume(Position::jump_to(checkpoint.redo));
    if progress(&report(&replay, checkpoint.redo)).is_break() {
        return Err(RecoveryError::Cancelled { at: checkpoint.redo }.into());
    }
    let stop = loop {
        match replay.step() {
            Ok(Step::Redone(end)) => {
                if replay.redo.records().is_multiple_of(RECORDS_BETWEEN_REPORTS)
                    && progress(&report(&replay, end)).is_break()
                {
                    return Err(RecoveryError::Cancelled { at: end }.into());
                }
            }
            Ok(Step::Stopped) => break Ok(None),
            Ok(Step::Ended(stop)) => break Ok(Some(stop)),
            Err(error) => break Err(error),
        }
    };
    // An error in changes that were left for later comes first.
    replay.redo.settle().map_err(RecoveryError::from)?;
    let stop = stop?;
    let Some((last_record, end)) = replay.last else {
        let (redo, checkpoint) = (checkpoint.redo, control.checkpoint);
        return Err(match stop {
            Some(stop) => RecoveryError::NoRedoPoint { redo, checkpoint, stop }.into(),
            None => RecoveryError::TargetTooEarly { end: redo, needed }.into(),
        });
    };
    let cut_off = replay.reader.aborted_record().zip(replay.reader.missing_page());
    if let Some(stop) = stop {
        let ending = Ending {
            segments: &segments,
            at: end,
            missing_page: cut_off.map(|(_, page)| page),
            last_segment,
            highest_page_lsn: replay.redo.highest_page_lsn(),
            threads: options.threads.max(1),
        };
        recovered.left_behind = ending.judge(stop, options.on_damage)?;
        if end < needed {
            return Err(RecoveryError::NotConsistent { end, needed }.into());
        }
        if archive.is_some_and(|archive| !archive.may_end()) && replay.reason.is_none() {
            return Err(RecoveryError::TargetNotReached { end }.into());
        }
    } else if end < needed {
        return Err(RecoveryError::TargetTooEarly { end, needed }.into());
    }
    if let Some((page, missing)) = replay.redo.missing().first() {
        let count = replay.redo.missing().len();
        return Err(RecoveryError::MissingPages { count, page, record: missing.record }.into());
    }
    recovered.removed = replay.remove_relations_of_nobody()?;
    prepared::restore::drop_ended(storage)?;
    // The last call says where the log ends.
    let _ = progress(&report(&replay, end));
    recovered.end = EndOfLog {
        end,
        last_record,
        cut_off: cut_off.map(|(record, missing_page)| CutOff {
            record,
            missing_page,
            noticed_at: now,
        }),
        writes: PageWrites { are_on: replay.redo.full_page_writes(), ..writes },
    };
    recovered.timeline = replay.redo.timeline();
    recovered.previous_timeline = replay.redo.timeline();
    if let Some(archive) = archive {
        // What follows the last whole record is left with the old timeline.
        recovered.end.cut_off = None;
        let reason = replay.reason.take();
        let reason = reason.unwrap_or_else(|| "no recovery target specified".to_owned());
        let timelines = Timelines {
            disk: &**storage.directory.disk(),
            pg_wal: &place.directory,
            archive: archive.archive.as_deref(),
        };
        recovered.timeline = timelines.next(recovered.previous_timeline)?;
        let (new, old) = (recovered.timeline, recovered.previous_timeline);
        timelines.begin(new, old, end, &reason, &*segments)?;
        recovered.reason = Some(reason);
    }
    recovered.checkpoint_is_due = true;
    recovered.time = replay.time;
    recovered.counts = replay.redo.finish();
    Ok(recovered)
}

/// Reads the record of the checkpoint at `at`; gives it and the record's end.
fn read_checkpoint(
    reader: &mut RecordReader,
    at: Lsn,
    copy: &CheckPoint,
) -> Result<(CheckPoint, Lsn), RecoveryError> {
    let no_checkpoint = |reason: String| RecoveryError::NoCheckpoint { at, reason };
    reader.resume(Position::jump_to(at));
    let record = reader.next_record().map_err(|stop| no_checkpoint(stop.to_string()))?;
    if record.start() != at {
        return Err(no_checkpoint(format!("the next record starts at {}", record.start())));
    }
    let Ok(Payload::Xlog(
        Xlog::CheckpointShutdown(checkpoint) | Xlog::CheckpointOnline(checkpoint),
    )) = record.payload()
    else {
        return Err(no_checkpoint("the record there is no checkpoint".to_owned()));
    };
    if checkpoint != *copy {
        let reason = "pg_control says of it what the record does not".to_owned();
        return Err(no_checkpoint(reason));
    }
    if checkpoint.redo > at {
        return Err(no_checkpoint(format!("its redo point {} lies behind it", checkpoint.redo)));
    }
    Ok((checkpoint, record.end()))
}

/// Where replay stands.
#[derive(Debug)]
struct Replay<'s> {
    redo: Redo<'s>,
    reader: RecordReader,
    /// Relations whose making was redone, with the transaction that made them.
    made: BTreeMap<RelFileLocator, Xid>,
    /// Start and end of the last record.
    last: Option<(Lsn, Lsn)>,
    time: Option<TimestampTz>,
    archive: Option<&'s ArchiveRecovery>,
    history: History,
    minimum: Option<Arc<MinimumRecoveryPoint>>,
    /// From where on the data is consistent.
    needed: Lsn,
    /// Why to stop, once the target is reached.
    reason: Option<String>,
}

/// What came of reading on.
enum Step {
    /// A record was redone that ends there.
    Redone(Lsn),
    /// The target is reached.
    Stopped,
    /// There is no further record.
    Ended(Stop),
}

impl Replay<'_> {
    /// Redoes the next record, unless recovery is to stop before it.
    fn step(&mut self) -> Result<Step, RecoveryError> {
        if self.reason.is_some() {
            return Ok(Step::Stopped);
        }
        let is_consistent = self.last.is_some_and(|(_, end)| end >= self.needed);
        let record = match self.reader.next_record() {
            Ok(record) => record,
            Err(stop) => return Ok(Step::Ended(stop)),
        };
        if let Some(archive) = self.archive {
            self.reason = archive.stops_before(&record, is_consistent);
            if self.reason.is_some() {
                return Ok(Step::Stopped);
            }
        }
        if record.rmid() == XLOG
            && let Some((new, previous)) = begins_timeline(&record)
            && new != self.redo.timeline()
        {
            let before = self.redo.timeline();
            let follows = self.history.branches().iter().any(|branch| branch.timeline == new);
            if previous != before || new < before || !follows {
                let at = record.start();
                return Err(RecoveryError::Timeline { at, found: new, before });
            }
            self.redo.set_timeline(new);
        }
        if let Some(minimum) = &self.minimum {
            minimum.set_replayed(record.end(), self.redo.timeline());
        }
        self.redo.redo(&record)?;
        if let Some(archive) = self.archive {
            self.reason = archive.stops_after(&record, record.end() >= self.needed);
        }
        let (start, end) = (record.start(), record.end());
        let mut overwritten = None;
        match record.rmid() {
            XLOG => overwritten = overwritten_by(&record),
            XACT => {
                match record.payload() {
                    Ok(Payload::Xact(Xact::Commit(ended) | Xact::Abort(ended))) => {
                        self.time = Some(ended.time);
                        for locator in ended.dropped_relations.iter() {
                            self.made.remove(&locator);
                        }
                    }
                    Ok(Payload::Xact(Xact::Prepare(prepare))) => {
                        // Its outcome says what becomes of them.
                        for locator in prepare.abort_relations.iter() {
                            self.made.remove(&locator);
                        }
                    }
                    _ => {}
                }
            }
            SMGR => {
                if let Ok(Payload::Smgr(Smgr::Create(create))) = record.payload()
                    && record.xid().is_normal()
                {
                    self.made.insert(create.locator, record.xid());
                }
            }
            _ => {}
        }
        self.last = Some((start, end));
        if let Some(said) = overwritten {
            let found = self.reader.overwritten_record().unwrap_or(Lsn::INVALID);
            if said != found {
                return Err(RecoveryError::Overwritten { at: start, said, found });
            }
        }
        Ok(Step::Redone(end))
    }

    /// Removes the relations whose makers neither committed nor aborted: they ran when the log ended.
    fn remove_relations_of_nobody(&mut self) -> Result<Vec<RelFileLocator>, Error> {
        let storage = self.redo.storage();
        let mut removed = Vec::new();
        for (locator, xid) in std::mem::take(&mut self.made) {
            let (status, _) = storage.clog.status(xid)?;
            if status == Status::InProgress {
                self.redo.remove_relation(locator)?;
                removed.push(locator);
            }
        }
        Ok(removed)
    }
}

const XLOG: u8 = 0;
const XACT: u8 = 1;
const SMGR: u8 = 2;

/// The timeline that a record begins, and the one before.
fn begins_timeline(record: &Record<'_>) -> Option<(Timeline, Timeline)> {
    match record.payload() {
        Ok(Payload::Xlog(Xlog::CheckpointShutdown(checkpoint))) => {
            Some((checkpoint.timeline, checkpoint.previous_timeline))
        }
        Ok(Payload::Xlog(Xlog::EndOfRecovery(end))) => {
            Some((Timeline(end.timeline), Timeline(end.previous_timeline)))
        }
        _ => None,
    }
}

/// Whether the directory is one that can be recovered so.
fn check_directory(
    storage: &Storage,
    state: Option<ClusterState>,
    archive: Option<&ArchiveRecovery>,
) -> Result<(), Error> {
    let label = storage.directory.path().join("backup_label");
    if storage.directory.disk().exists(&label).at("look for", &label)? {
        return Err(RecoveryError::BaseBackup.into());
    }
    if state == Some(ClusterState::InArchiveRecovery) && archive.is_none() {
        return Err(RecoveryError::InArchiveRecovery.into());
    }
    Ok(())
}

/// Where the log in `pg_wal` ends, of a directory that crashed.
fn end_of_own_log(storage: &Storage, redo: Lsn) -> Result<Lsn, RecoveryError> {
    let place = storage.log_place();
    let options = source::Options {
        timeline: TimelineChoice::Exact(place.timeline),
        system_identifier: SystemIdentifier::Known(place.system_identifier),
        start: Some(redo),
        ..source::Options::default()
    };
    let log = source::Log::open(Arc::clone(&place.disk), &place.directory, options)?;
    let mut reader = RecordReader::new(Arc::new(log));
    reader.resume(Position::jump_to(redo));
    let mut end = redo;
    while let Ok(record) = reader.next_record() {
        end = record.end();
    }
    Ok(end)
}

/// The record that this one says was cut off.
fn overwritten_by(record: &Record<'_>) -> Option<Lsn> {
    match record.payload() {
        Ok(Payload::Xlog(Xlog::OverwriteContrecord(said))) => Some(said.overwritten),
        _ => None,
    }
}
