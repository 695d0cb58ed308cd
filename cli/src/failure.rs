//! What ends the command without success, as the one line that the user reads.
//!
//! The form is that of PostgreSQL's tools: `strata: error: MESSAGE`, with what to do behind it where the
//! message alone does not say.

use std::fmt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What stands behind `strata` on a right command line.
const COMMANDS: [&str; 12] = [
    "waldump",
    "verify",
    "controldata",
    "init",
    "run",
    "check",
    "check-index",
    "vacuum",
    "recover",
    "dump",
    "sql",
    "isolation",
];

/// A failure, in words for the user.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
}

impl Failure {
    /// A failure whose message says all.
    pub(crate) fn new(message: impl fmt::Display) -> Failure {
        // File names and arguments may hold anything, and this is to stay one line.
        let mut message = message.to_string().replace(['\n', '\r'], " ");
        if message.ends_with("Permission denied (os error 13)") {
            message.push_str(" (try as the user who owns the files)");
        }
        Failure { message: without_error_numbers(&message) }
    }

    /// Wrong arguments, with the hint that PostgreSQL's tools give.
    pub(crate) fn of_usage(message: impl fmt::Display) -> Failure {
        // The command comes first, if one is given.
        let mut words = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok());
        let command = words.next().filter(|word| COMMANDS.contains(&&word[..]));
        let command = command.map_or_else(String::new, |command| command + " ");
        Failure::new(format_args!("{message} (try \"strata {command}--help\")"))
    }

    /// What clap found wrong with the command line.
    pub(crate) fn of_arguments(error: &clap::Error) -> Failure {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(", "),
            _ => String::new(),
        };
        let argument = context(ContextKind::InvalidArg);
        let message = match error.kind() {
            ErrorKind::ValueValidation => {
                // The value's own parser has said what is wrong with it.
                std::error::Error::source(error)
                    .map_or_else(|| first_line(error), ToString::to_string)
            }
            ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
                format!("option {argument} requires an argument")
            }
            ErrorKind::InvalidValue => {
                let (value, valid) =
                    (context(ContextKind::InvalidValue), context(ContextKind::ValidValue));
                format!("invalid value \"{value}\" for option {argument}: it is one of {valid}")
            }
            ErrorKind::InvalidSubcommand => {
                format!("unknown command \"{}\"", context(ContextKind::InvalidSubcommand))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                "no command given".to_owned()
            }
            ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
            ErrorKind::UnknownArgument if argument.starts_with('-') => {
                format!("unrecognized option \"{argument}\"")
            }
            ErrorKind::UnknownArgument => {
                format!("too many command-line arguments (first is \"{argument}\")")
            }
            _ => first_line(error),
        };
        Failure::of_usage(message)
    }

    /// Prints it. Where stderr is closed there is nobody to tell.
    pub(crate) fn print(&self) {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "strata: error: {}", self.message);
    }
}

/// Without the number that Rust puts behind the operating system's words, `(os error 2)`.
fn without_error_numbers(message: &str) -> String {
    const MARK: &str = " (os error ";
    let mut parts = message.split(MARK);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.push_str(rest);
            }
            _ => {
                text.push_str(MARK);
                text.push_str(part);
            }
        }
    }
    text
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Tells the user something that is no failure.
pub(crate) fn note(message: impl fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "strata: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_without_error_numbers() {
        for (message, expected) in [
            (
                "could not read file \"a\": No such file (os error 2)",
                "could not read file \"a\": No such file",
            ),
            ("x (os error 2): y (os error 3)", "x: y"),
            (
                "could not open file \"a\": Permission denied (os error 13)",
                "could not open file \"a\": Permission denied (try as the user who owns the files)",
            ),
            ("file \"a (os error b\"", "file \"a (os error b\""),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(Failure::new(message).message, expected);
        }
    }
}
