//! `strata vacuum`: dead rows removed from the tables of an engine's data directory, old ids frozen.
//!
//! Invariant: what was done when it is interrupted, or fails, stays done, and the data directory is shut down.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use engine::Engine;
use engine::vacuum::{FreezeAges, VacuumOptions, VacuumPhase, VacuumProgress, VacuumReport};

use crate::failure::{Failure, note};
use crate::output::Output;
use crate::{open, signals};

/// Remove the rows that nobody sees any more from tables and their indexes, freeze old transaction ids, and cut off the
/// logs of transactions behind the oldest table, as VACUUM does; says of each table what was done, as VACUUM VERBOSE does.
///
/// A data directory that was not shut down is recovered first. Ctrl-C ends it between two pages; what was done by then stays.
/// Rows that a prepared transaction may still need stay, too.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory.
    #[arg(value_name = "DATADIR")]
    datadir: PathBuf,

    /// The tables [default: all, the engine's own among them].
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,

    /// Freeze all rows that can be, however young they are (VACUUM FREEZE).
    #[arg(short = 'F', long)]
    freeze: bool,

    /// Look at pages, too, of which the visibility map says that there is nothing to do (VACUUM with
    /// DISABLE_PAGE_SKIPPING).
    #[arg(long)]
    disable_page_skipping: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    signals::catch_interrupts()?;
    let engine = open::for_one_job(&arguments.datadir)?;
    let vacuumed = vacuum(&engine, arguments);
    // Shut down in any case: the next who opens it need not recover it.
    let closed = engine.close().map_err(Failure::new);
    vacuumed?;
    closed
}

fn vacuum(engine: &Engine, arguments: &Arguments) -> Result<(), Failure> {
    let options = VacuumOptions {
        ages: if arguments.freeze { FreezeAges::freeze_all() } else { FreezeAges::default() },
        skips_pages: !arguments.disable_page_skipping,
        ..VacuumOptions::default()
    };
    let mut output = Output::open()?;
    let mut session = engine.session().map_err(Failure::new)?;
    let mut teller = open::Teller::new();
    let see = &mut |progress: &VacuumProgress<'_>| teller.look(|| line(progress));
    let named = arguments.tables.iter().map(|table| Some(&table[..]));
    let all = arguments.tables.is_empty().then_some(None);
    for table in named.chain(all) {
        let vacuumed =
            session.vacuum(table, &options, see).map_err(|error| match signals::interrupted() {
                true => Failure::new("interrupted: not everything was vacuumed"),
                false => Failure::new(error),
            });
        for report in vacuumed? {
            output.write_bytes(text(&report).as_bytes())?;
            for warning in &report.warnings {
                let hint = warning.hint().replace('\n', " ");
                let message = warning.message(&report.table);
                note(format_args!("warning: table \"{}\": {message} ({hint})", report.table));
            }
        }
    }
    Ok(())
}

/// How far it has come.
fn line(progress: &VacuumProgress<'_>) -> String {
    let VacuumProgress { table, phase, pages, scanned, vacuumed, removed, .. } = progress;
    match phase {
        VacuumPhase::Scanning => format!(
            "vacuuming \"{table}\": {scanned} of {pages} pages scanned, {removed} rows removed"
        ),
        VacuumPhase::Freeing => {
            format!("vacuuming \"{table}\": line pointers freed on {vacuumed} of {pages} pages")
        }
        phase => format!("vacuuming \"{table}\": {phase}"),
    }
}

/// What was done to a table.
fn text(report: &VacuumReport) -> String {
    let percent = match report.pages + report.truncated {
        0 => 100.0,
        pages => 100.0 * f64::from(report.scanned) / f64::from(pages),
    };
    let how = if report.is_aggressive { "aggressively vacuumed" } else { "vacuumed" };
    let mut text = format!(
        "{how} \"{}\": {} pages, {} scanned ({percent:.2}% of total)\n\
         tuples: {} removed, {} remain, {} are dead but not yet removable, {} missed\n\
         line pointers: {} freed\n\
         frozen: {} tuples\n\
         visibility map: {} pages set all-visible, {} of them all-frozen\n\
         removable cutoff: {}\n",
        report.table,
        report.pages,
        report.scanned,
        report.removed,
        report.live,
        report.recently_dead,
        report.missed,
        report.freed,
        report.frozen,
        report.set_all_visible,
        report.set_all_frozen,
        report.removable_cutoff,
    );
    if report.truncated > 0 {
        let _ = writeln!(text, "empty pages at its end: {} given back", report.truncated);
    }
    if let Some(frozen) = &report.frozen_to {
        let _ = writeln!(text, "relfrozenxid: {}, relminmxid: {}", frozen.xid, frozen.multi);
    }
    for index in &report.indexes {
        let of = &index.vacuumed;
        let _ = writeln!(
            text,
            "index \"{}\": {} rows removed, {} remain; pages: {} in total, {} newly deleted, {} currently deleted, {} \
             reusable",
            index.name, of.removed, of.rows, of.pages, of.newly_deleted, of.deleted, of.free
        );
    }
    text.push('\n');
    text
}
