//! `strata controldata`: what a cluster's control file says.
//!
//! Arguments, output and exit code are those of `pg_controldata`, of the major version that wrote the file:
//! also of a damaged file it shows what is there, with warnings, and succeeds.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base::disk::RealDisk;
use clap::{Args, ValueEnum};
use wal::control::{self, LoadError};
use wal::text::Text;

use crate::failure::Failure;
use crate::output::Output;

/// Show the control file of a database cluster.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory [default: $PGDATA].
    #[arg(short = 'D', long, value_name = "DATADIR")]
    pgdata: Option<PathBuf>,

    /// Form of the output: text or json.
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    format: Format,

    /// The data directory, as with --pgdata.
    datadir: Option<PathBuf>,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As `pg_controldata` prints.
    Text,
    /// One object.
    Json,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = directory(
        arguments.pgdata.as_deref(),
        arguments.datadir.as_deref(),
        std::env::var_os("PGDATA"),
    )?;
    let control = control::load(&RealDisk, &directory)
        .map_err(|error| Failure::new(format_args!("{error}{}", hint(&error))))?;
    let mut messages = Text::default();
    control.push_messages("strata", &mut messages);
    if !messages.is_empty() {
        // Where stderr is closed there is nobody to tell.
        let _ = std::io::stderr().write_all(messages.as_bytes());
    }
    let mut output = Output::open()?;
    match arguments.format {
        Format::Text => {
            let mut text = Text::default();
            control.push_text(&mut text);
            output.write_text(&text)
        }
        Format::Json => {
            let mut json = serde_json::to_vec_pretty(&control).map_err(Failure::new)?;
            json.push(b'\n');
            output.write_bytes(&json)
        }
    }
}

/// What to do about it, where the message alone does not say.
fn hint(error: &LoadError) -> &'static str {
    match error {
        LoadError::Open { error, .. } => match error.kind() {
            io::ErrorKind::NotFound => " (is that a data directory?)",
            io::ErrorKind::PermissionDenied => " (try as the user who owns the data directory)",
            _ => "",
        },
        LoadError::Short { .. } => " (the file is cut off; take it from a backup or a standby)",
        LoadError::Read { .. } => "",
    }
}

/// The data directory that is meant: the option's, the argument's, or that of the environment.
pub(crate) fn directory(
    option: Option<&Path>,
    argument: Option<&Path>,
    environment: Option<OsString>,
) -> Result<PathBuf, Failure> {
    match (option, argument) {
        (Some(_), Some(second)) => Err(Failure::of_usage(format_args!(
            "too many command-line arguments (first is \"{}\")",
            second.display()
        ))),
        (Some(directory), None) | (None, Some(directory)) => Ok(directory.to_owned()),
        (None, None) => match environment {
            Some(directory) if !directory.is_empty() => Ok(PathBuf::from(directory)),
            _ => Err(Failure::of_usage(format_args!("no data directory specified"))),
        },
    }
}
