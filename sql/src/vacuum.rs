//! `VACUUM` and `ANALYZE`: read, and done between transactions, or by one.
//!
//! ```text
//! the tables that are named ─► each, or its partitions ─► vacuumed, in a transaction of its own ─► analyzed, in another one
//! ```
//!
//! Nothing plans by statistics: a table that is analyzed is locked as PostgreSQL locks it, and found to be there.
//!
//! Invariants: nothing is vacuumed within a transaction block or a query of several statements. Nobody is told of a table
//! that he has not named. Source: `ExecVacuum`, `expand_vacuum_rel`, `vacuum_open_relation`, `PreventInTransactionBlock`.

use std::ops::ControlFlow;

use engine::vacuum::{FreezeAges, VacuumOptions, VacuumProgress, VacuumReport};
use engine::{Isolation, Session, TableLockMode, Transaction, WaitPolicy};

use crate::database::Database;
use crate::error::{Notice, Result, SqlError};
use crate::routine::is_routine;
use crate::settings::Settings;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vacuum {
    /// Whether tables are vacuumed, or analyzed alone.
    pub(crate) vacuums: bool,
    analyzes: bool,
    freeze: bool,
    skip_locked: bool,
    disable_page_skipping: bool,
    /// Not `TRUNCATE`.
    keeps_end: bool,
    /// All of them where none is named.
    pub(crate) tables: Vec<String>,
}

/// A table that is worked on.
struct Target {
    name: String,
    /// Whether its name was written, and not that of what it is a partition of.
    is_named: bool,
    is_divided: bool,
}

impl Vacuum {
    /// `VACUUM`, or `ANALYZE`, without options.
    pub(crate) fn new(vacuums: bool) -> Vacuum {
        Vacuum {
            vacuums,
            analyzes: !vacuums,
            freeze: false,
            skip_locked: false,
            disable_page_skipping: false,
            keeps_end: false,
            tables: Vec::new(),
        }
    }

    /// The statement's name.
    pub(crate) fn verb(&self) -> &'static str {
        if self.vacuums { "VACUUM" } else { "ANALYZE" }
    }

    /// An option of the list in parentheses, by its name in lower case.
    ///
    /// # Errors
    /// Where PostgreSQL has it and this has not, or neither has.
    pub(crate) fn set(&mut self, name: &str, value: bool) -> Result<()> {
        match name {
            // Without a report, whatever is asked for.
            "verbose" => {}
            "skip_locked" => self.skip_locked = value,
            _ if !self.vacuums => return Err(self.unrecognized(name)),
            "freeze" => self.freeze = value,
            "analyze" => self.analyzes = value,
            "disable_page_skipping" => self.disable_page_skipping = value,
            "truncate" => self.keeps_end = !value,
            // On one thread, whatever is asked for.
            "process_toast" | "index_cleanup" => {}
            // Neither is what is there without the word.
            "full" | "parallel" if !value => {}
            "full" | "parallel" => {
                return Err(SqlError::not_supported(format!("VACUUM {}", name.to_uppercase())));
            }
            _ => return Err(self.unrecognized(name)),
        }
        Ok(())
    }

    fn unrecognized(&self, name: &str) -> SqlError {
        SqlError::syntax(format!("unrecognized {} option \"{name}\"", self.verb()))
    }

    fn policy(&self) -> WaitPolicy {
        if self.skip_locked { WaitPolicy::NoWait } else { WaitPolicy::Wait }
    }

    /// Does it, and gives what its user is to be warned of.
    pub(crate) fn run<'e>(
        &self,
        database: &Database<'e>,
        session: &mut Session<'e>,
        settings: &Settings,
    ) -> Result<Vec<Notice>> {
        let mut notices = Vec::new();
        let has_all = self.vacuums && self.tables.is_empty();
        let mut transaction = session.begin(Isolation::ReadCommitted)?;
        // Whoever was before may have had others.
        settings.apply(&mut transaction);
        transaction.begin_time();
        if has_all {
            transaction.commit()?;
            warn_of(&self.vacuumed(None, session)?, &mut notices);
            if !self.analyzes {
                return Ok(notices);
            }
            transaction = session.begin(Isolation::ReadCommitted)?;
            transaction.begin_time();
        }
        let targets = self.targets(database, &mut transaction, &mut notices)?;
        transaction.commit()?;
        for target in targets {
            if self.vacuums && !has_all && !target.is_divided {
                match self.vacuumed(Some(&target.name), session) {
                    Ok(reports) => warn_of(&reports, &mut notices),
                    Err(error) => {
                        notices.extend(skipped("vacuum", &target, error)?);
                        continue;
                    }
                }
            }
            if self.analyzes {
                let mut transaction = session.begin(Isolation::ReadCommitted)?;
                transaction.begin_time();
                notices.extend(self.analyzed(&target, database, &mut transaction)?);
                transaction.commit()?;
            }
        }
        Ok(notices)
    }

    /// Analyzes by a transaction that does something else, too.
    pub(crate) fn run_within<'e>(
        &self,
        database: &Database<'e>,
        transaction: &mut Transaction<'_, 'e>,
    ) -> Result<Vec<Notice>> {
        let mut notices = Vec::new();
        transaction.begin_time();
        for target in self.targets(database, transaction, &mut notices)? {
            notices.extend(self.analyzed(&target, database, transaction)?);
        }
        Ok(notices)
    }

    fn vacuumed(
        &self,
        table: Option<&str>,
        session: &mut Session<'_>,
    ) -> Result<Vec<VacuumReport>, engine::Error> {
        let ages = if self.freeze { FreezeAges::freeze_all() } else { FreezeAges::default() };
        let options = VacuumOptions {
            ages,
            skips_locked: self.skip_locked,
            skips_pages: !self.disable_page_skipping,
            truncates: !self.keeps_end,
            ..VacuumOptions::default()
        };
        session.vacuum(table, &options, &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(()))
    }

    /// The tables that are named, with their partitions; all that there are if none is.
    fn targets<'e>(
        &self,
        database: &Database<'e>,
        transaction: &mut Transaction<'_, 'e>,
        notices: &mut Vec<Notice>,
    ) -> Result<Vec<Target>> {
        let target = |name: &str, is_named, is_divided| Target {
            name: name.to_owned(),
            is_named,
            is_divided,
        };
        if self.tables.is_empty() {
            let tables = transaction.tables();
            let tables = tables.iter().filter(|table| !is_routine(table));
            return Ok(tables.map(|table| target(table.name(), false, false)).collect());
        }
        let mut targets = Vec::with_capacity(self.tables.len());
        for name in &self.tables {
            match transaction.open_table(name, TableLockMode::AccessShare, self.policy()) {
                Err(error @ engine::Error::LockNotAvailable(_)) => {
                    let what = if self.vacuums { "vacuum" } else { "analyze" };
                    notices.extend(skipped(what, &target(name, true, false), error)?);
                    continue;
                }
                opened => opened?,
            };
            let def = database.table(transaction, name)?;
            let is_divided = def.kinship.divided.is_some();
            targets.push(target(name, true, is_divided));
            if is_divided {
                for part in database.descendants(transaction, name)? {
                    targets.push(target(part.name(), false, part.kinship.divided.is_some()));
                }
            }
        }
        Ok(targets)
    }

    fn analyzed<'e>(
        &self,
        target: &Target,
        database: &Database<'e>,
        transaction: &mut Transaction<'_, 'e>,
    ) -> Result<Option<Notice>> {
        let mode = TableLockMode::ShareUpdateExclusive;
        if let Err(error) = transaction.open_table(&target.name, mode, self.policy()) {
            return skipped("analyze", target, error);
        }
        // The rows of its children are looked at with its own.
        database.descendants(transaction, &target.name)?;
        Ok(None)
    }
}

/// What is told of a table that was left out.
///
/// # Errors
/// The error, if it is of something else.
fn skipped(what: &str, target: &Target, error: engine::Error) -> Result<Option<Notice>> {
    let (code, why) = match error {
        engine::Error::LockNotAvailable(_) => ("55P03", "lock not available"),
        engine::Error::NoTable(_) => ("42P01", "relation no longer exists"),
        error => return Err(error.into()),
    };
    let message = format!("skipping {what} of \"{}\" --- {why}", target.name);
    Ok(target.is_named.then(|| Notice::new("WARNING", code, message)))
}

fn warn_of(reports: &[VacuumReport], notices: &mut Vec<Notice>) {
    for report in reports {
        notices.extend(report.warnings.iter().map(|why| {
            let notice = Notice::new("WARNING", "01000", why.message(&report.table));
            let detail = why.detail().map(str::to_owned);
            Notice { detail, ..notice.hint(why.hint()) }
        }));
    }
}
