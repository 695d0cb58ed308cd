//! `strata check`: whether recorded transactions saw of each other what their level promises.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use history::edn::EdnError;
use history::{Header, Level, Observed, Options, Reader, Report, Transaction};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::{signals, values};

/// Check recorded histories: which anomalies of isolation do they have, and which of these does their level forbid?
///
/// Exits with 0 if none has one that is forbidden, with 1 if not.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// Form of the report: text or json.
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    format: Format,

    /// Hold them against this level, instead of the one that they ran at, which an EDN history of another program does not
    /// say.
    #[arg(long, value_enum)]
    level: Option<LevelName>,

    /// Examples of each anomaly, the shortest ones.
    #[arg(long, value_name = "N", default_value = "1", value_parser = examples)]
    examples: usize,

    /// Histories, as `strata run list-append --history` records them, or in Jepsen's form (EDN).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelName {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

fn examples(text: &str) -> Result<usize, String> {
    values::in_range("--examples", text, 1000)
}

/// A report as JSON.
#[derive(Serialize)]
struct OfFile<'a> {
    file: String,
    is_clean: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// Transactions between two looks at whether Ctrl-C was pressed.
const LOOK: usize = 4096;

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut output = Output::open()?;
    signals::catch_interrupts()?;
    let options = Options {
        level: arguments.level.map(|level| match level {
            LevelName::ReadCommitted => Level::ReadCommitted,
            LevelName::RepeatableRead => Level::RepeatableRead,
            LevelName::Serializable => Level::Serializable,
        }),
        examples: arguments.examples,
        ..Options::default()
    };
    let mut wrong = None;
    for (place, path) in arguments.files.iter().enumerate() {
        let report = history::check(read(path, options.level)?, &options);
        let text = match arguments.format {
            Format::Text if arguments.files.len() > 1 => {
                let between = if place > 0 { "\n" } else { "" };
                format!("{between}file                {}\n{}", path.display(), report.text())
            }
            Format::Text => report.text(),
            Format::Json => {
                let file = path.display().to_string();
                let of_file = OfFile { file, is_clean: report.is_clean(), report: &report };
                serde_json::to_string(&of_file).map_err(Failure::new)? + "\n"
            }
        };
        output.write_bytes(text.as_bytes())?;
        if !report.is_clean() {
            wrong.get_or_insert((path, report.level));
        }
    }
    wrong.map_or(Ok(()), |(path, level)| {
        let path = path.display();
        Err(Failure::new(format_args!(
            "the history in \"{path}\" has anomalies that {level} forbids"
        )))
    })
}

/// What is wrong with a file.
fn of_file(path: &Path, error: &dyn Display) -> Failure {
    Failure::new(format_args!("\"{}\": {error}", path.display()))
}

fn read(path: &Path, level: Option<Level>) -> Result<Observed, Failure> {
    let of_file = |error: &dyn Display| of_file(path, error);
    let file = File::open(path).map_err(|error| {
        Failure::new(format_args!("could not open history \"{}\": {error}", path.display()))
    })?;
    let mut file = BufReader::new(file);
    let first = file.fill_buf().map_err(|error| of_file(&error))?.first().copied();
    // What EDN begins with, and the other form never does.
    let is_edn = first.is_some_and(|byte| b"[{;#,(".contains(&byte) || byte.is_ascii_whitespace());
    if is_edn {
        let read = history::edn::read(file, level);
        let (header, transactions) = read.map_err(|error| of_file(&error))?;
        return take_in(header, transactions.into_iter().map(Ok::<_, EdnError>), path);
    }
    let reader = Reader::new(file).map_err(|error| of_file(&error))?;
    let header = reader.header().clone();
    take_in(header, reader, path)
}

fn take_in<E: Display>(
    header: Header,
    transactions: impl Iterator<Item = Result<Transaction, E>>,
    path: &Path,
) -> Result<Observed, Failure> {
    let of_file = |error: &dyn Display| of_file(path, error);
    let mut observed = Observed::new(header);
    for (number, transaction) in transactions.enumerate() {
        let transaction = transaction.map_err(|error| of_file(&error))?;
        observed.add(&transaction).map_err(|error| of_file(&error))?;
        if number % LOOK == 0 && signals::interrupted() {
            return Err(Failure::new("interrupted: the histories have not been checked"));
        }
    }
    Ok(observed)
}
