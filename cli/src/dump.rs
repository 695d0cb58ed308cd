//! `strata dump`: an engine's tables as SQL that `psql` runs.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use engine::EngineOptions;
use engine::dump::dump;

use crate::failure::Failure;
use crate::output::Output;
use crate::{controldata, open, signals, values};

/// Print tables as SQL for psql: their definitions, and their rows for COPY. A data directory that was not shut down is
/// recovered first.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory [default: $PGDATA].
    #[arg(short = 'D', long = "pgdata", value_name = "DATADIR")]
    pgdata: Option<PathBuf>,

    /// This table; may be given again [default: all].
    #[arg(short = 't', long = "table", value_name = "NAME")]
    tables: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let environment = std::env::var_os("PGDATA");
    let directory = controldata::directory(arguments.pgdata.as_deref(), None, environment)?;
    signals::catch_interrupts()?;
    let recovery_threads = values::processors();
    let options = EngineOptions { recovery_threads, ..EngineOptions::default() };
    let engine = open::engine(&directory, options)?;
    let mut out = Interruptible(Output::open()?);
    dump(&engine, &arguments.tables, &mut out).map_err(Failure::new)?;
    engine.close().map_err(Failure::new)
}

/// Standard output, until somebody presses Ctrl-C.
struct Interruptible(Output);

impl Write for Interruptible {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if signals::interrupted() {
            return Err(io::Error::other("interrupted: what was printed is not all"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
