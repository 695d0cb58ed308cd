//! `strata recover`: brings a data directory to where its log ends, or to a target, and closes it.

use std::path::PathBuf;

use clap::Args;
use engine::EngineOptions;
use engine::recovery::OnDamage;

use crate::failure::{Failure, note};
use crate::recovery_target::TargetArguments;
use crate::{controldata, open, signals, values};

/// Recover a data directory after a crash, or from an archive to a target, and close it.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory [default: $PGDATA].
    #[arg(short = 'D', long = "pgdata", value_name = "DATADIR")]
    pgdata: Option<PathBuf>,

    /// End the log where it is damaged, whatever is lost behind that; without this, damage before a place that is known to
    /// have been durable is an error.
    #[arg(long)]
    end_at_damage: bool,

    /// Threads that recover [default: one for each processor].
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,

    /// The data directory, as with --pgdata.
    datadir: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArguments,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = controldata::directory(
        arguments.pgdata.as_deref(),
        arguments.datadir.as_deref(),
        std::env::var_os("PGDATA"),
    )?;
    signals::catch_interrupts()?;
    let on_damage = if arguments.end_at_damage { OnDamage::EndThere } else { OnDamage::default() };
    let archive_recovery = arguments.target.recovery()?;
    let begins_a_timeline = archive_recovery.is_some();
    let options = EngineOptions {
        on_damage,
        recovery_threads: arguments.jobs.map_or_else(values::processors, |jobs| jobs as usize),
        archive_recovery,
        ..EngineOptions::default()
    };
    let engine = open::engine(&directory, options)?;
    if !engine.recovered().checkpoint_is_due {
        note("it was shut down: there was nothing to recover");
    }
    if let Some(reason) = &engine.recovered().reason {
        note(format_args!("recovery stopped {reason}"));
    }
    if begins_a_timeline {
        note(format_args!("timeline {} begins", engine.recovered().timeline));
    }
    engine.close().map_err(Failure::new)
}
