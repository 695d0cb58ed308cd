//! Running other programs, with errors that say which program, how it ended, and what it said last.

use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};

/// A command whose behaviour does not depend on the caller's language, time zone or PostgreSQL settings.
///
/// Variables such as PGHOST, PGDATA or PGOPTIONS would lead a client to another server than the throwaway one.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let is_postgresql = name.to_str().is_some_and(|name| {
            name.starts_with("PG") && !name.starts_with("PGSTRATA_") && !name.starts_with("PGRX_")
        });
        if is_postgresql {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC");
    command
}

/// Runs a command to its end, keeps what it prints, and fails with the end of that if it fails.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", display(command)))?;
    check(command, output)
}

/// Fails if the command that wrote `output` failed.
pub(crate) fn check(command: &Command, output: Output) -> Result<Output> {
    if !output.status.success() {
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.trim().is_empty() {
            said = String::from_utf8_lossy(&output.stdout).into_owned();
        }
        bail!("{}: {}\n{}", display(command), describe(output.status), last_lines(&said, 20));
    }
    Ok(output)
}

/// Runs a command that talks to the terminal itself, and fails if it fails.
pub(crate) fn run_shown(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", display(command)))?;
    if !status.success() {
        bail!("{}: {}", display(command), describe(status));
    }
    Ok(())
}

/// True if a program of this name is on the PATH.
pub(crate) fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    })
}

/// The command as one would type it (quoted where it has to be).
pub(crate) fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> = words.map(|word| quote(&word.to_string_lossy())).collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended abnormally".into(),
    }
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_failed_and_why() {
        let error =
            run(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).expect_err("exit 3");
        assert_eq!(error.to_string(), "sh -c 'echo why >&2; exit 3': exit status 3\nwhy");
    }

    #[test]
    fn quoting_is_for_a_shell() {
        assert_eq!(quote("--wal-segsize=1"), "--wal-segsize=1");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn the_last_lines_are_few() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
    }
}
