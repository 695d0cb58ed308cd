//! `strata sql`: SQL run on an engine, printed as psql prints it unaligned.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, stdin};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sql::Database;
use sql::psql::{self, PsqlOptions};

use crate::engine_arguments::EngineArguments;
use crate::failure::Failure;
use crate::output::Output;
use crate::{controldata, open};

/// Run SQL on an engine, and print what psql --no-align would. A data directory that was not shut down is recovered first.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory [default: $PGDATA].
    #[arg(short = 'D', long = "pgdata", value_name = "DATADIR")]
    pgdata: Option<PathBuf>,

    /// Run this SQL.
    #[arg(short = 'c', long, value_name = "SQL", conflicts_with = "file")]
    command: Option<String>,

    /// Run the SQL of this file [default: standard input].
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Print each line before it is run.
    #[arg(short = 'a', long)]
    echo_all: bool,

    /// With verbose, errors have their SQLSTATE.
    #[arg(long, value_enum, default_value = "default")]
    verbosity: Verbosity,

    /// What a null is printed as.
    #[arg(long, value_name = "TEXT", default_value = "")]
    null: String,

    /// End at the first error, with exit code 1.
    #[arg(long)]
    on_error_stop: bool,

    #[command(flatten)]
    engine: EngineArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verbosity {
    Default,
    Verbose,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut output = BufWriter::new(Output::open()?);
    let environment = std::env::var_os("PGDATA");
    let directory = controldata::directory(arguments.pgdata.as_deref(), None, environment)?;
    let mut script: Box<dyn BufRead> = match (&arguments.command, &arguments.file) {
        (Some(command), _) => Box::new(command.as_bytes()),
        (None, Some(path)) => {
            let file = File::open(path).map_err(|error| {
                Failure::new(format!("could not open file \"{}\": {error}", path.display()))
            })?;
            Box::new(BufReader::new(file))
        }
        (None, None) => Box::new(stdin().lock()),
    };
    let engine = open::engine(&directory, arguments.engine.options_of_sql(1))?;
    let options = PsqlOptions {
        echo_all: arguments.echo_all,
        verbose: arguments.verbosity == Verbosity::Verbose,
        null: arguments.null.clone(),
        on_error_stop: arguments.on_error_stop,
    };
    let database = Database::new(&engine);
    let ran = psql::run(&database, &mut *script, &mut output, &options);
    drop(database);
    let closed = engine.close().map_err(Failure::new);
    ran.map_err(|error| match (error.line(), &arguments.command, &arguments.file) {
        (Some(line), None, Some(path)) => {
            Failure::new(format_args!("{}:{line}: {error}", path.display()))
        }
        (Some(line), ..) => Failure::new(format_args!("line {line}: {error}")),
        (None, ..) => Failure::new(error),
    })?;
    closed
}
