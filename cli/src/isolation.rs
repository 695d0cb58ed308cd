//! `strata isolation`: PostgreSQL's isolation specs run on an engine of their own, printed as isolationtester prints them.
//!
//! Invariant: each spec begins with an empty data directory, which is removed afterwards.

use std::fs;
use std::io::{LineWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use base::disk::RealDisk;
use clap::{Args, ValueEnum};
use engine::data_directory::{Birth, InitOptions, init};
use sql::isolation::{self, RunError, Spec};
use sql::{Database, IsolationLevel};

use crate::engine_arguments::EngineArguments;
use crate::failure::{Failure, note};
use crate::output::Output;
use crate::{open, signals};

/// As many as PostgreSQL's `max_connections`.
const SESSIONS: u32 = 100;

/// Run isolation specs, and print what PostgreSQL's isolationtester would.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The specs, files with the ending .spec.
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<PathBuf>,

    /// The level of all transactions, whatever the specs ask for.
    #[arg(long, value_enum)]
    level: Option<Level>,

    /// How long a step may take, in seconds; then it is cancelled, and after twice as long the run ends.
    #[arg(long, value_name = "S", default_value = "300", value_parser = clap::value_parser!(u64).range(1..=86400))]
    step_timeout: u64,

    #[command(flatten)]
    engine: EngineArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    ReadCommitted,
    RepeatableRead,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut output = LineWriter::new(Output::open()?);
    signals::catch_interrupts()?;
    for path in &arguments.specs {
        let failed = |line: Option<usize>, message: String| {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            Failure::new(format!("{}{line}: {message}", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(format!("could not open file \"{}\": {error}", path.display()))
        })?;
        let spec = Spec::parse(&text).map_err(|error| failed(Some(error.line), error.message))?;
        for name in spec.unused() {
            note(format_args!("unused step name: {name}"));
        }
        match run_spec(&spec, arguments, &mut output)? {
            Ok(()) => {}
            Err(RunError::Spec { line, message }) => return Err(failed(line, message)),
            Err(RunError::Write(error)) => return Err(Failure::new(error)),
            Err(error) => return Err(failed(None, error.to_string())),
        }
    }
    Ok(())
}

fn run_spec(
    spec: &Spec,
    arguments: &Arguments,
    output: &mut dyn Write,
) -> Result<Result<(), RunError>, Failure> {
    let place = tempfile::tempdir().map_err(Failure::new)?;
    let directory = place.path().join("data");
    let birth = Birth::now().map_err(Failure::new)?;
    init(&RealDisk, &directory, &InitOptions::default(), &birth).map_err(Failure::new)?;
    let engine = open::engine(&directory, arguments.engine.options_of_sql(SESSIONS))?;
    let database = Database::new(&engine);
    let database = match arguments.level {
        None => database,
        Some(Level::ReadCommitted) => database.with_isolation(IsolationLevel::ReadCommitted),
        Some(Level::RepeatableRead) => database.with_isolation(IsolationLevel::RepeatableRead),
    };
    let step_timeout = Duration::from_secs(arguments.step_timeout);
    let ran = isolation::run(spec, &database, step_timeout, &signals::interrupted, output);
    drop(database);
    // Of two failures the spec's is told.
    if ran.is_ok() {
        engine.close().map_err(Failure::new)?;
    }
    Ok(ran)
}
