//! The command `strata`: what PostgreSQL's own tools say about a log and a control file, faster, and what
//! they do not say; and the making of data directories and the engine that works in them.
//!
//! Invariants: stdout has what was asked for and nothing else, byte for byte that of the PostgreSQL tool
//! where there is one; everything else goes to stderr, a failure as one line that says what to do. The
//! exit code is 0, or 1 for a failure, damage, or wrong arguments. Nothing here knows a file format.

mod check;
mod check_index;
mod controldata;
mod dump;
mod engine_arguments;
mod failure;
mod init;
mod isolation;
mod memory;
mod open;
mod output;
mod progress;
mod record;
mod recover;
mod recovery_target;
mod run;
mod signals;
mod sql;
mod vacuum;
mod values;
mod verify;
mod waldump;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use crate::failure::Failure;

/// Looks into PostgreSQL's write-ahead log and control file, versions 15 to 18; makes data directories, runs an engine in
/// them and recovers them.
#[derive(Debug, Parser)]
#[command(
    name = "strata",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    propagate_version = true,
    infer_long_args = true
)]
struct Strata {
    /// Show this help, then exit.
    #[arg(short = '?', long, global = true, action = ArgAction::Help, display_order = 100)]
    help: Option<bool>,
    /// Show the version, then exit.
    #[arg(short = 'V', long, global = true, action = ArgAction::Version, display_order = 100)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Waldump(Box<waldump::Arguments>),
    Verify(verify::Arguments),
    Controldata(controldata::Arguments),
    Init(init::Arguments),
    Run(run::Arguments),
    Check(check::Arguments),
    CheckIndex(check_index::Arguments),
    Vacuum(vacuum::Arguments),
    Recover(recover::Arguments),
    Dump(dump::Arguments),
    Sql(sql::Arguments),
    Isolation(isolation::Arguments),
}

fn main() -> ExitCode {
    signals::die_of_broken_pipes();
    memory::give_large_blocks_back();
    let outcome = parse().and_then(|strata| match strata.command {
        Command::Waldump(arguments) => waldump::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Controldata(arguments) => controldata::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::CheckIndex(arguments) => check_index::run(&arguments),
        Command::Vacuum(arguments) => vacuum::run(&arguments),
        Command::Recover(arguments) => recover::run(&arguments),
        Command::Dump(arguments) => dump::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::Isolation(arguments) => isolation::run(&arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}

/// The command line; help and version are printed, and end the process.
fn parse() -> Result<Strata, Failure> {
    Strata::try_parse().map_err(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        Failure::of_arguments(&error)
    })
}
