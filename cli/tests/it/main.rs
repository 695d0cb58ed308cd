//! Tests of the command `strata` as a process: its output, its exit code, its words.

mod arguments;
mod check_index;
mod controldata;
mod corpus;
mod crash;
mod ending;
mod engine_log;
mod follow;
mod formats;
mod goldens;
mod history;
mod init;
mod isolation;
#[path = "../../../engine/tests/it/programs.rs"]
mod programs;
mod restore;
mod sources;
mod sql;
mod statistics;
mod vacuum;
mod verify;
mod window;

use std::process::Command;

/// The command, in the C locale and UTC, without settings of the caller's.
fn strata(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strata"));
    command.args(arguments).env("TZ", "UTC").env("LC_ALL", "C").env_remove("PGDATA");
    command
}
