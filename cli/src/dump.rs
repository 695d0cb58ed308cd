//! `strata dump`: the rows of an engine's tables, as `COPY` has them.

use std::path::PathBuf;

use clap::Args;
use engine::{EngineOptions, Isolation, copy_text};

use crate::failure::Failure;
use crate::output::Output;
use crate::{controldata, open, signals};

/// Print the rows of tables in the text format of COPY. A data directory that was not shut down is recovered first.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory [default: $PGDATA].
    #[arg(short = 'D', long = "pgdata", value_name = "DATADIR")]
    pgdata: Option<PathBuf>,

    /// This table alone; without it, all of them, each behind a line "-- NAME".
    #[arg(short = 't', long, value_name = "NAME")]
    table: Option<String>,
}

/// Bytes that are printed at once.
const PIECE: usize = 1 << 16;

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let environment = std::env::var_os("PGDATA");
    let directory = controldata::directory(arguments.pgdata.as_deref(), None, environment)?;
    signals::catch_interrupts()?;
    let engine = open::engine(&directory, EngineOptions::default())?;
    let mut output = Output::open()?;
    {
        let mut names = engine.table_names();
        names.sort_unstable();
        if let Some(wanted) = &arguments.table {
            names = vec![wanted.clone()];
        }
        let mut session = engine.session().map_err(Failure::new)?;
        let mut transaction = session.begin(Isolation::RepeatableRead).map_err(Failure::new)?;
        let mut text = Vec::new();
        for name in &names {
            let table = transaction.table(name).map_err(Failure::new)?;
            if arguments.table.is_none() {
                text.extend_from_slice(format!("-- {name}\n").as_bytes());
            }
            for row in table.scan(&mut transaction).map_err(Failure::new)? {
                let row = row.map_err(Failure::new)?;
                copy_text::push_row(row.values().map_err(Failure::new)?, &mut text);
                if text.len() >= PIECE {
                    output.write_bytes(&text)?;
                    text.clear();
                }
                if signals::interrupted() {
                    break;
                }
            }
        }
        output.write_bytes(&text)?;
        transaction.rollback().map_err(Failure::new)?;
    }
    engine.close().map_err(Failure::new)
}
