//! `strata check-index`: whether the indexes of an engine's data directory are sound, and fit their tables.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use engine::{CheckedIndex, IndexCheck};

use crate::failure::Failure;
use crate::output::Output;
use crate::{open, signals};

/// Check indexes, and whether they fit their tables. A data directory that was not shut down is recovered first.
///
/// Exits with 0 if all are sound, with 1 if not.
#[derive(Debug, Args)]
#[command(name = "check-index", args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory.
    #[arg(value_name = "DATADIR")]
    datadir: PathBuf,

    /// Indexes, or tables, of which all indexes are checked [default: all].
    #[arg(value_name = "TABLE|INDEX")]
    names: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    signals::catch_interrupts()?;
    let engine = open::for_one_job(&arguments.datadir)?;
    let mut output = Output::open()?;
    let (mut checked, mut unsound, mut failed) = (0_u64, 0_u64, None);
    let mut see = |check: IndexCheck| {
        checked += 1;
        unsound += u64::from(check.outcome.is_err());
        failed = output.write_bytes(line(&check).as_bytes()).err();
        match failed.is_some() || signals::interrupted() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let outcome = engine.check_indexes(&arguments.names, &mut see).map_err(Failure::new);
    // Shut down in any case: the next who opens it need not recover it.
    let closed = engine.close().map_err(Failure::new);
    outcome?;
    failed.map_or(Ok(()), Err)?;
    closed?;
    if signals::interrupted() {
        return Err(Failure::new("interrupted: not all indexes were checked"));
    }
    match unsound {
        0 => Ok(()),
        _ => Err(Failure::new(format_args!(
            "{unsound} of {checked} indexes checked are not sound: drop them and make them anew"
        ))),
    }
}

/// What is said of one index.
fn line(check: &IndexCheck) -> String {
    let IndexCheck { index, table, outcome } = check;
    match outcome {
        Ok(CheckedIndex { levels, pages, unfinished_splits, half_dead, entries, rows, dead }) => {
            format!(
                "index \"{index}\" of table \"{table}\": sound; levels {levels}, pages {pages}, entries {entries}, \
                 rows {rows}, dead {dead}, unfinished splits {unfinished_splits}, half-dead leaves {half_dead}\n"
            )
        }
        Err(error) => format!("index \"{index}\" of table \"{table}\": NOT SOUND: {error}\n"),
    }
}
