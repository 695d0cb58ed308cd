//! Vacuum: dead versions removed, old ids frozen, and logs of transactions cut off behind them.
//!
//! ```text
//! each page   cleanup lock ─► pruned ─► hints ─► frozen ─► marked all-visible
//! then        indexes rid of the dead line pointers, and of empty leaves ─► those freed, page by page
//! then        empty pages at the end given back
//! then        the table's oldest ids noted ─► the database's ─► pg_xact, pg_commit_ts, pg_multixact cut off
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`auto`] | by thresholds, on a thread of its own |
//! | [`cost`] | when it sleeps, so that others have the disk |
//! | [`cutoffs`] | up to which age |
//! | [`freeze`] | what becomes of a tuple's ids |
//! | [`table`] | one table, page after page |
//! | [`page`] | one page |
//! | [`indexes`] | the place between the passes, and the end |
//! | [`truncate`] | the empty end of a table, given back |
//! | [`database`] | the oldest of all tables, and what is cut off behind it |
//!
//! Invariants: what any snapshot in use may need stays, in whichever snapshot mode. Nothing is frozen, and no line pointer
//! freed, but under a lock that keeps out whoever has the page pinned, so that who has looked at a version finds what he has
//! seen. A vacuum has no transaction id, unless it puts a row into the catalog that is missing. Source: `vacuumlazy.c`,
//! `vacuum.c`.

pub(crate) mod auto;
mod cost;
mod cutoffs;
mod database;
mod freeze;
mod indexes;
mod page;
mod table;
mod truncate;

use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base::sync::Arc;
use base::{BlockNumber, Xid};

use crate::Error;
use crate::buffer::PageUse;
use crate::catalog::TableEntry;
pub use crate::catalog::frozen::Frozen;
use crate::lock::{TableLockMode, WaitPolicy};
use crate::session::{Isolation, Session};
pub use auto::{AutovacuumOptions, AutovacuumStatus};
pub use cost::VacuumCost;
pub use freeze::FreezeFault;
pub use indexes::VacuumedIndex;

/// From which ages on rows are frozen; PostgreSQL's parameters, and their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezeAges {
    /// Rows so many transactions old are frozen (`vacuum_freeze_min_age`).
    pub xid_min: u32,
    /// A table whose oldest row is that old is looked at as a whole (`vacuum_freeze_table_age`).
    pub xid_table: u32,
    /// At that age it is vacuumed by itself, whatever is switched off (`autovacuum_freeze_max_age`).
    pub xid_max: u32,
    /// At that age nothing but freezing counts: indexes are left alone (`vacuum_failsafe_age`).
    pub xid_failsafe: u32,
    /// The same for sets of transactions (`vacuum_multixact_freeze_min_age`).
    pub multixact_min: u32,
    /// `vacuum_multixact_freeze_table_age`
    pub multixact_table: u32,
    /// `autovacuum_multixact_freeze_max_age`
    pub multixact_max: u32,
    /// `vacuum_multixact_failsafe_age`
    pub multixact_failsafe: u32,
}

impl Default for FreezeAges {
    fn default() -> FreezeAges {
        FreezeAges {
            xid_min: 50_000_000,
            xid_table: 150_000_000,
            xid_max: 200_000_000,
            xid_failsafe: 1_600_000_000,
            multixact_min: 5_000_000,
            multixact_table: 150_000_000,
            multixact_max: 400_000_000,
            multixact_failsafe: 1_600_000_000,
        }
    }
}

impl FreezeAges {
    /// Those of `VACUUM FREEZE`: everything that can be is frozen.
    pub fn freeze_all() -> FreezeAges {
        FreezeAges {
            xid_min: 0,
            xid_table: 0,
            multixact_min: 0,
            multixact_table: 0,
            ..FreezeAges::default()
        }
    }
}

/// How a vacuum works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VacuumOptions {
    /// What is frozen.
    pub ages: FreezeAges,
    /// Whether pages that the visibility map vouches for are left out (not `DISABLE_PAGE_SKIPPING`).
    pub skips_pages: bool,
    /// Whether a table that somebody has locked is left out (`SKIP_LOCKED`).
    pub skips_locked: bool,
    /// Dead line pointers that are kept in memory between the passes (`maintenance_work_mem`, 6 bytes each).
    pub dead_at_once: usize,
    /// Pages of a table without indexes behind which their room is to be found, and not only at the end
    /// (`VACUUM_FSM_EVERY_PAGES`, 8 GB).
    pub tells_every: BlockNumber,
    /// When it sleeps.
    pub cost: VacuumCost,
    /// Whether empty pages at a table's end are given back (`TRUNCATE`).
    pub truncates: bool,
    /// How long it tries to have the table alone for that (5 s).
    pub truncation_wait: Duration,
    /// How often it then looks whether somebody waits for the table (20 ms, `VACUUM_TRUNCATE_LOCK_CHECK_INTERVAL`).
    pub truncation_look: Duration,
}

impl Default for VacuumOptions {
    fn default() -> VacuumOptions {
        VacuumOptions {
            ages: FreezeAges::default(),
            skips_pages: true,
            skips_locked: false,
            dead_at_once: (64 << 20) / 6,
            tells_every: 1 << 20,
            cost: VacuumCost::default(),
            truncates: true,
            truncation_wait: Duration::from_secs(5),
            truncation_look: Duration::from_millis(20),
        }
    }
}

impl VacuumOptions {
    /// `VACUUM FREEZE`
    pub fn freeze() -> VacuumOptions {
        VacuumOptions { ages: FreezeAges::freeze_all(), ..VacuumOptions::default() }
    }
}

/// What a vacuum is at; displayed as `pg_stat_progress_vacuum.phase` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VacuumPhase {
    /// Nothing has been looked at.
    Initializing,
    /// Pages are pruned and frozen.
    Scanning,
    /// Indexes are rid of dead line pointers.
    Indexes,
    /// Dead line pointers are freed.
    Freeing,
    /// Indexes note what they have left.
    CleaningUp,
    /// Empty pages at the end are given back.
    Truncating,
    /// What is known of the table's age is noted.
    Finishing,
}

impl fmt::Display for VacuumPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VacuumPhase::Initializing => "initializing",
            VacuumPhase::Scanning => "scanning heap",
            VacuumPhase::Indexes => "vacuuming indexes",
            VacuumPhase::Freeing => "vacuuming heap",
            VacuumPhase::CleaningUp => "cleaning up indexes",
            VacuumPhase::Truncating => "truncating heap",
            VacuumPhase::Finishing => "performing final cleanup",
        })
    }
}

/// How far a vacuum has come (`pg_stat_progress_vacuum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VacuumProgress<'a> {
    /// The table.
    pub table: &'a str,
    /// What it is at.
    pub phase: VacuumPhase,
    /// Pages of the table.
    pub pages: BlockNumber,
    /// Of these, looked at or left out so far.
    pub scanned: BlockNumber,
    /// Pages whose dead line pointers were freed.
    pub vacuumed: u64,
    /// Versions removed.
    pub removed: u64,
    /// Passes over all indexes.
    pub index_passes: u64,
    /// Dead line pointers that wait for the next of these (`num_dead_tuples`).
    pub dead: usize,
    /// How many of them it takes at most (`max_dead_tuples`).
    pub dead_at_most: usize,
}

/// What holds a vacuum back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VacuumWarning {
    /// A transaction that is very old.
    OldXmin,
    /// A set of transactions that is very old.
    OldMultiXact,
    /// The table was so old that indexes were left alone after so many passes over them (`lazy_check_wraparound_failsafe`).
    Emergency(u64),
}

impl VacuumWarning {
    /// What there is to say of this table, which is one of the schema `public`.
    pub fn message(&self, table: &str) -> String {
        match self {
            VacuumWarning::OldXmin => "oldest xmin is far in the past".to_owned(),
            VacuumWarning::OldMultiXact => "oldest multixact is far in the past".to_owned(),
            VacuumWarning::Emergency(passes) => format!(
                "bypassing nonessential maintenance of table \"postgres.public.{table}\" as a failsafe after {passes} index \
                 scans"
            ),
        }
    }

    /// Why.
    pub fn detail(&self) -> Option<&'static str> {
        match self {
            VacuumWarning::Emergency(_) => {
                Some("The table's relfrozenxid or relminmxid is too far in the past.")
            }
            VacuumWarning::OldXmin | VacuumWarning::OldMultiXact => None,
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            VacuumWarning::OldXmin => {
                "Close open transactions soon to avoid wraparound problems.\n\
                 You might also need to commit or roll back old prepared transactions, \
                 or drop stale replication slots."
            }
            VacuumWarning::OldMultiXact => {
                "Close open transactions with multixacts soon to avoid wraparound problems."
            }
            VacuumWarning::Emergency(_) => {
                "Consider increasing configuration parameter \"maintenance_work_mem\" or \
                 \"autovacuum_work_mem\".\nYou might also need to consider other ways for VACUUM to keep up \
                 with the allocation of transaction IDs."
            }
        }
    }
}

/// What a vacuum of one table did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VacuumReport {
    /// The table.
    pub table: String,
    /// Whether every page with unfrozen rows was looked at.
    pub is_aggressive: bool,
    /// Pages that the table has.
    pub pages: BlockNumber,
    /// Pages that were looked at.
    pub scanned: BlockNumber,
    /// Pages at its end that were given back.
    pub truncated: BlockNumber,
    /// Versions removed.
    pub removed: u64,
    /// Dead line pointers freed.
    pub freed: u64,
    /// Versions that stay.
    pub live: u64,
    /// Versions that have ended, and that somebody may still see.
    pub recently_dead: u64,
    /// Dead versions on pages that somebody used.
    pub missed: u64,
    /// Versions of which something was frozen.
    pub frozen: u64,
    /// Pages that the visibility map says are all-visible since.
    pub set_all_visible: u64,
    /// Of these, all-frozen.
    pub set_all_frozen: u64,
    /// Versions that ended before this transaction were removed.
    pub removable_cutoff: Xid,
    /// The table's oldest ids, as they are known now.
    pub frozen_to: Option<Frozen>,
    /// What was done to its indexes, to those that a pass was made over.
    pub indexes: Vec<VacuumedIndex>,
    /// What held it back.
    pub warnings: Vec<VacuumWarning>,
    /// Pages that it used.
    pub used: PageUse,
    /// How often it slept, so that others had the disk.
    pub naps: u64,
}

/// Told how far a vacuum has come; `Break` ends it.
pub type OnProgress<'a> = &'a mut dyn FnMut(&VacuumProgress<'_>) -> ControlFlow<()>;

impl Session<'_> {
    /// Vacuums a table, or with `None` all of them, and says what was done, table by table. Between transactions: it has
    /// its own, one for each table.
    ///
    /// # Errors
    /// [`Error::NoTable`]; where a table is damaged or a page cannot be had; [`Error::Cancelled`] if it was cancelled, by
    /// `progress` or by [`crate::Cancel`]. What was done by then stays.
    pub fn vacuum(
        &mut self,
        table: Option<&str>,
        options: &VacuumOptions,
        progress: OnProgress<'_>,
    ) -> Result<Vec<VacuumReport>, Error> {
        let shared = self.shared;
        // One statement, of as many transactions as tables.
        let end = self.end_of_statement();
        let names: Vec<String> = match table {
            Some(name) => shared.catalog.with_toast(name, self.number()),
            None => shared.catalog.all_present().iter().map(|table| table.name.clone()).collect(),
        };
        let mut reports = Vec::with_capacity(names.len());
        for name in names {
            match self.vacuum_table(&name, options, progress, end) {
                Ok(report) => reports.push(report),
                // Dropped, or in use, since the list was made.
                Err(Error::NoTable(_) | Error::LockNotAvailable(_)) if table.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        database::advance(self)?;
        Ok(reports)
    }

    fn vacuum_table(
        &mut self,
        name: &str,
        options: &VacuumOptions,
        progress: OnProgress<'_>,
        end: Option<Instant>,
    ) -> Result<VacuumReport, Error> {
        let mut transaction = self.begin(Isolation::ReadCommitted)?;
        transaction.session.statement_end = end;
        let policy = if options.skips_locked { WaitPolicy::NoWait } else { WaitPolicy::Wait };
        let table = transaction.open_table(name, TableLockMode::ShareUpdateExclusive, policy)?;
        let entry: Arc<TableEntry> = Arc::clone(table.entry());
        let report = table::vacuum(&mut transaction, &entry, options, progress)?;
        transaction.commit()?;
        let left = report.recently_dead + report.missed;
        let (pages, scanned) = (u64::from(report.pages), u64::from(report.scanned));
        entry.changes.vacuumed(pages, scanned, report.live, left);
        Ok(report)
    }
}

/// The oldest set that a row may name, and the oldest transaction; of a table.
impl crate::Table {
    /// How old what its rows name may be (`relfrozenxid`, `relminmxid`).
    pub fn frozen(&self) -> Frozen {
        self.entry().frozen.get()
    }
}

impl crate::Engine {
    /// How old what any row names may be (`datfrozenxid`, `datminmxid`).
    pub fn frozen(&self) -> Frozen {
        self.shared().catalog.database.get()
    }
}
