//! `VACUUM`: read, and done between transactions.
//!
//! Invariant: nothing of it runs within a transaction block or a query of several statements. Source: `ExecVacuum`,
//! `PreventInTransactionBlock`.

use std::ops::ControlFlow;

use engine::Session;
use engine::vacuum::{FreezeAges, VacuumOptions, VacuumProgress};

use crate::error::{Notice, Result, SqlError};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Vacuum {
    pub(crate) freeze: bool,
    pub(crate) skip_locked: bool,
    pub(crate) disable_page_skipping: bool,
    /// Not `TRUNCATE`.
    pub(crate) keeps_end: bool,
    /// All of them where none is named.
    pub(crate) tables: Vec<String>,
}

impl Vacuum {
    /// An option of the list in parentheses, by its name in lower case.
    ///
    /// # Errors
    /// Where PostgreSQL has it and this has not, or neither has.
    pub(crate) fn set(&mut self, name: &str, value: bool) -> Result<()> {
        match name {
            "freeze" => self.freeze = value,
            "skip_locked" => self.skip_locked = value,
            "disable_page_skipping" => self.disable_page_skipping = value,
            "truncate" => self.keeps_end = !value,
            // Without a report, without planner statistics, on one thread, whatever is asked for.
            "verbose" | "analyze" | "process_toast" | "index_cleanup" => {}
            // Neither is what is there without the word.
            "full" | "parallel" if !value => {}
            "full" | "parallel" => {
                return Err(SqlError::not_supported(format!("VACUUM {}", name.to_uppercase())));
            }
            _ => {
                let message = format!("unrecognized VACUUM option \"{name}\"");
                return Err(SqlError::syntax(message));
            }
        }
        Ok(())
    }

    /// Does it, and gives what its user is to be warned of.
    pub(crate) fn run(&self, session: &mut Session<'_>) -> Result<Vec<Notice>> {
        let ages = if self.freeze { FreezeAges::freeze_all() } else { FreezeAges::default() };
        let options = VacuumOptions {
            ages,
            skips_locked: self.skip_locked,
            skips_pages: !self.disable_page_skipping,
            truncates: !self.keeps_end,
            ..VacuumOptions::default()
        };
        let go_on = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
        let mut notices = Vec::new();
        let named = self.tables.iter().map(|table| Some(table.as_str()));
        let all = self.tables.is_empty().then_some(None);
        for table in named.chain(all) {
            let reports = match session.vacuum(table, &options, go_on) {
                Err(engine::Error::LockNotAvailable(name)) => {
                    let message = format!("skipping vacuum of \"{name}\" --- lock not available");
                    notices.push(warning("55P03", message));
                    continue;
                }
                reports => reports?,
            };
            let warnings = reports.iter().flat_map(|report| &report.warnings);
            notices.extend(warnings.map(|why| warning("01000", why.to_string())));
        }
        Ok(notices)
    }
}

fn warning(code: &'static str, message: String) -> Notice {
    Notice { severity: "WARNING", code, message, detail: None }
}
