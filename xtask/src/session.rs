//! A session that stays open between commands, for transactions that overlap.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};

use crate::server::Cluster;

/// One psql that is connected to a throwaway cluster until it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Printed after each command; a line that no query of ours gives.
const END_OF_OUTPUT: &str = "=== end of output ===";

impl Session {
    /// Connects to a database of a running cluster.
    pub(crate) fn open(cluster: &Cluster, database: &str) -> Result<Self> {
        let mut command = cluster.psql_command(database)?;
        let mut psql = command
            .args(["--file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run psql")?;
        let input = psql.stdin.take().context("psql has no input")?;
        let output = BufReader::new(psql.stdout.take().context("psql has no output")?);
        Ok(Self { psql, input, output })
    }

    /// Sends SQL without waiting for its end; [`Session::wait`] does. For a statement that waits for a lock.
    pub(crate) fn send(&mut self, sql: &str) -> Result<()> {
        // A psql that ended at an error has closed its input; `wait` tells why it ended.
        let _ = writeln!(self.input, "{sql}\n;\n\\echo '{END_OF_OUTPUT}'")
            .and_then(|()| self.input.flush());
        Ok(())
    }

    /// Waits for the end of what was sent last and returns what it printed.
    pub(crate) fn wait(&mut self) -> Result<String> {
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                let mut said = String::new();
                if let Some(mut errors) = self.psql.stderr.take() {
                    let _ = errors.read_to_string(&mut said);
                }
                bail!("a session ended: {}", said.trim());
            }
            if line.trim_end() == END_OF_OUTPUT {
                return Ok(printed);
            }
            printed.push_str(&line);
        }
    }

    /// As [`Session::wait`], of what prints one number.
    pub(crate) fn wait_for_number(&mut self) -> Result<f64> {
        let printed = self.wait()?;
        let number = printed.trim().parse();
        number.with_context(|| format!("the server counted nothing: {printed}"))
    }

    /// Runs SQL to its end and returns what it printed, as [`Cluster::psql`] does.
    pub(crate) fn run(&mut self, sql: &str) -> Result<String> {
        self.send(sql)?;
        self.wait()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
