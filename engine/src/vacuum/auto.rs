//! Vacuum by thresholds, on a thread of its own or a round at a time.
//!
//! | a table is vacuumed if | by default |
//! |---|---|
//! | more versions have died since the last time than `threshold` and `scale` of its rows | 50 and a fifth |
//! | more rows were inserted than `insert_threshold` and `insert_scale` of its rows | 1000 and a fifth |
//! | its oldest ids are older than [`FreezeAges`](super::FreezeAges) allow | 200 million transactions, 400 million sets; also where it is switched off |
//!
//! Invariants: a table that somebody has locked is left for the next round; whoever waits for a table that is vacuumed need not wait
//! for long, unless its age forces that. What is counted is in memory alone, and forgotten when the engine is closed. Source:
//! `autovacuum.c` (`relation_needs_vacanalyze`).

use std::ops::ControlFlow;
use std::time::Duration;

use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Arc, Mutex, PoisonError, thread};

use super::cutoffs::{before, multi_before, next_ids};
use super::{VacuumCost, VacuumOptions, VacuumProgress, VacuumReport, database};
use crate::Error;
use crate::catalog::TableEntry;
use crate::db::Shared;
use crate::session::Session;
use crate::slru::multixact::precedes;

/// Pages between two looks at whether somebody waits for the table.
const LOOK_EVERY: u32 = 64;

/// When tables are vacuumed by themselves; the default is PostgreSQL's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutovacuumOptions {
    /// Whether they are, other than where their age forces it (`autovacuum`).
    pub is_on: bool,
    /// Between two rounds (`autovacuum_naptime`).
    pub nap: Duration,
    /// So many dead versions are no reason (`autovacuum_vacuum_threshold`).
    pub threshold: u64,
    /// And such a part of the table's rows (`autovacuum_vacuum_scale_factor`).
    pub scale: f64,
    /// So many new rows are no reason; `None` if no number is (`autovacuum_vacuum_insert_threshold`).
    pub insert_threshold: Option<u64>,
    /// And such a part of the table's rows (`autovacuum_vacuum_insert_scale_factor`).
    pub insert_scale: f64,
    /// How they are vacuumed, and from which age on they are in any case.
    pub vacuum: VacuumOptions,
}

impl Default for AutovacuumOptions {
    fn default() -> AutovacuumOptions {
        AutovacuumOptions {
            is_on: true,
            nap: Duration::from_secs(60),
            threshold: 50,
            scale: 0.2,
            insert_threshold: Some(1000),
            insert_scale: 0.2,
            vacuum: VacuumOptions { cost: VacuumCost::automatic(), ..VacuumOptions::default() },
        }
    }
}

/// Why a table is vacuumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// It has much to remove or to mark.
    Worn,
    /// It is too old.
    Old,
}

impl AutovacuumOptions {
    fn due(&self, session: &Session<'_>, table: &TableEntry) -> Option<Due> {
        let shared = session.shared;
        let ages = &self.vacuum.ages;
        let frozen = table.frozen.get();
        let next = next_ids(shared);
        let most = shared.storage.multixact_freeze_threshold(ages.multixact_max);
        if frozen.xid.precedes(before(next.xid, ages.xid_max))
            || precedes(frozen.multi, multi_before(next.multi, most))
        {
            return Some(Due::Old);
        }
        let counted = table.changes.counted();
        let more_than = |count: u64, threshold: u64, scale: f64| {
            count as f64 > threshold as f64 + scale * counted.live as f64
        };
        let is_worn = more_than(counted.dead, self.threshold, self.scale)
            || self
                .insert_threshold
                .is_some_and(|threshold| more_than(counted.inserted, threshold, self.insert_scale));
        (self.is_on && is_worn).then_some(Due::Worn)
    }
}

/// Vacuums all tables that are due; `ends` says that it is to end.
///
/// # Errors
/// Where the engine has stopped. What else goes wrong with a table is left for the next round, and told with the reports.
pub(crate) fn round(
    session: &mut Session<'_>,
    options: &AutovacuumOptions,
    ends: &dyn Fn() -> bool,
) -> Result<Vec<Result<VacuumReport, Error>>, Error> {
    let shared = session.shared;
    let mut reports = Vec::new();
    for table in shared.catalog.all_present() {
        let Some(due) = options.due(session, &table) else { continue };
        shared.check()?;
        let how = VacuumOptions { skips_locked: true, ..options.vacuum };
        let own = session.number();
        let mut pages = 0;
        let mut on_progress = |_: &VacuumProgress<'_>| {
            pages += 1;
            let is_waited_for = due == Due::Worn
                && pages % LOOK_EVERY == 0
                && shared.transactions.locks.keeps_waiting(own);
            if ends() || is_waited_for { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let vacuumed = session.vacuum_table(&table.name, &how, &mut on_progress, None);
        match vacuumed {
            // Left for the next round.
            Err(Error::NoTable(_) | Error::LockNotAvailable(_) | Error::Cancelled) => {}
            vacuumed => reports.push(vacuumed),
        }
        if ends() {
            return Ok(reports);
        }
    }
    if !reports.is_empty() {
        database::advance(session)?;
    }
    Ok(reports)
}

/// What the thread has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutovacuumStatus {
    /// Rounds.
    pub rounds: u64,
    /// Tables vacuumed.
    pub vacuumed: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

/// The thread; it ends when this goes.
#[derive(Debug)]
pub(crate) struct Autovacuum {
    shared: Arc<Shared>,
    ends: Arc<AtomicBool>,
    status: Arc<Mutex<AutovacuumStatus>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Autovacuum {
    /// Starts the thread.
    pub(crate) fn start(shared: Arc<Shared>, options: AutovacuumOptions) -> Autovacuum {
        let ends = Arc::new(AtomicBool::new(false));
        let status = Arc::new(Mutex::new(AutovacuumStatus::default()));
        let thread = {
            let (shared, ends, status) =
                (Arc::clone(&shared), Arc::clone(&ends), Arc::clone(&status));
            thread::spawn(move || {
                loop {
                    shared.transactions.vacuum_wanted.wait(options.nap);
                    if ends.load(Relaxed) {
                        return;
                    }
                    let rounded = Session::new(&shared).and_then(|mut session| {
                        round(&mut session, &options, &|| ends.load(Relaxed))
                    });
                    let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
                    status.rounds += 1;
                    let has_failed = rounded.is_err();
                    match rounded {
                        Err(error) => status.last_error = Some(error.to_string()),
                        Ok(reports) => {
                            for report in reports {
                                match report {
                                    Ok(_) => status.vacuumed += 1,
                                    Err(error) => status.last_error = Some(error.to_string()),
                                }
                            }
                        }
                    }
                    // Where there was no room for one more session, there may be another time.
                    if has_failed && shared.check().is_err() {
                        return;
                    }
                }
            })
        };
        Autovacuum { shared, ends, status, thread: Some(thread) }
    }

    pub(crate) fn status(&self) -> AutovacuumStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Autovacuum {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        self.shared.transactions.vacuum_wanted.wake();
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl crate::Engine {
    /// Vacuums the tables that are due by these thresholds, on this thread, and says what was done. For an engine without
    /// background threads, or for once.
    ///
    /// # Errors
    /// Where there can be no more sessions, or the engine has stopped; the first that went wrong with a table, after all were
    /// looked at.
    pub fn autovacuum(&self, options: &AutovacuumOptions) -> Result<Vec<VacuumReport>, Error> {
        let mut session = self.session()?;
        round(&mut session, options, &|| false)?.into_iter().collect()
    }
}
