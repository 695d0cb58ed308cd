//! Commands and queries shown as one can type them, with the part of their output that is worth a look.

use std::ops::Range;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::server::Cluster;

/// Which part of a command's output is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    /// So many lines at the beginning.
    First(usize),
    /// So many lines at the end.
    Last(usize),
    /// So many lines at the beginning behind the title, of them these columns (from 1, the last one left out):
    /// all of them are too many for a page.
    Columns(usize, &'static [Range<usize>]),
}

/// The command `strata`, run beside the data.
pub(super) struct Strata<'a> {
    pub(super) program: &'a Path,
    pub(super) directory: PathBuf,
}

impl Strata<'_> {
    /// Runs the command and shows it as one can type it, with the part of its output.
    pub(super) fn show(&self, arguments: &[&str], shown: Shown) -> Result<()> {
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(&self.directory);
        let output = process::run(&mut command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = text.lines().collect();
        let typed = format!("  $ strata {}", arguments.join(" "));
        match shown {
            Shown::First(count) => {
                println!("{typed}");
                print_lines(lines.iter().take(count).copied());
            }
            Shown::Last(count) => {
                println!("{typed} | tail -n {count}");
                print_lines(lines[lines.len().saturating_sub(count)..].iter().copied());
            }
            Shown::Columns(count, columns) => {
                let list: Vec<String> = columns
                    .iter()
                    .map(|range| format!("{}-{}", range.start, range.end - 1))
                    .collect();
                println!("{typed} | tail -n +2 | cut -c {}", list.join(","));
                for line in lines.iter().take(count).skip(1) {
                    let part = |range: &Range<usize>| {
                        line.get(range.start - 1..line.len().min(range.end - 1)).unwrap_or_default()
                    };
                    println!("  {}", columns.iter().map(part).collect::<String>().trim_end());
                }
            }
        }
        Ok(())
    }

    /// Runs the command and shows it with its last lines of stderr and all of stdout. It may end by SIGKILL, if it is to.
    pub(super) fn show_all(&self, arguments: &[&str], notes: usize, is_killed: bool) -> Result<()> {
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(&self.directory);
        println!("  $ strata {}", arguments.join(" "));
        let output = command.output().with_context(|| process::display(&command))?;
        if is_killed {
            ensure!(
                output.status.signal() == Some(libc::SIGKILL),
                "it was to be killed: {}",
                output.status
            );
        } else {
            process::check(&command, output.clone())?;
        }
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        print_lines(stdout.lines());
        print_last(&stderr, notes);
        if is_killed {
            println!("  Killed");
        }
        Ok(())
    }

    /// What the command prints.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(self.program);
        Ok(process::run(command.args(arguments).current_dir(&self.directory))?.stdout)
    }
}

/// Shows a query as one can type it, and the answer as psql prints it.
pub(super) fn ask(cluster: &Cluster, sql: &str) -> Result<()> {
    for (number, line) in sql.lines().enumerate() {
        println!("  {} {line}", if number == 0 { "=#" } else { "-#" });
    }
    let mut psql = cluster.client("psql")?;
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", sql]);
    let output = process::run(&mut psql)?;
    print_lines(String::from_utf8_lossy(&output.stdout).trim_end().lines().map(str::trim_end));
    Ok(())
}

/// The last lines of a text, so many at most.
pub(super) fn print_last(text: &str, count: usize) {
    let lines = text.lines().count();
    print_lines(text.lines().skip(lines.saturating_sub(count)));
}

fn print_lines<'a>(lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        println!("  {line}");
    }
}
