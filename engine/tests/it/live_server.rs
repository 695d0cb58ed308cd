//! A PostgreSQL 15 server that several sessions work with at the same time, each a `psql` with pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::programs::{place, printed, program};

/// What ends an answer.
const END: &str = "--- end of the answer";

/// A running server, stopped when it is dropped.
pub(crate) struct LiveServer {
    place: tempfile::TempDir,
}

impl LiveServer {
    /// A cluster of its own, with these settings; started, reached through a socket in its directory alone.
    pub(crate) fn start(settings: &[&str]) -> LiveServer {
        let server = LiveServer { place: place() };
        let data = server.data();
        let initdb =
            ["--no-sync", "--no-instructions", "--auth=trust", "--username=postgres", "-D"];
        printed(program("initdb").args(initdb).arg(&data));
        let mut options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c fsync=off -c autovacuum=off",
            server.place.path().display()
        );
        for setting in settings {
            options += &format!(" -c {setting}");
        }
        let log = server.place.path().join("log");
        let mut start = program("pg_ctl");
        start.args(["--wait", "--silent", "-o", &options, "-l"]).arg(&log).arg("-D").arg(&data);
        printed(start.arg("start").stdout(Stdio::null()));
        server
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    pub(crate) fn session(&self) -> LiveSession {
        LiveSession::new(self.place.path())
    }
}

impl Drop for LiveServer {
    fn drop(&mut self) {
        let mut stop = program("pg_ctl");
        let stopped =
            stop.args(["stop", "--silent", "--mode=immediate", "-D"]).arg(self.data()).status();
        // A test that has failed says so itself.
        if let Err(error) = stopped {
            eprintln!("the server could not be stopped: {error}");
        }
    }
}

/// A session of it.
pub(crate) struct LiveSession {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl LiveSession {
    fn new(socket: &Path) -> LiveSession {
        let mut psql = program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(socket);
        psql.arg("postgres").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = psql.spawn().expect("psql runs");
        let input = psql.stdin.take().expect("a pipe");
        let output = BufReader::new(psql.stdout.take().expect("a pipe"));
        let mut session = LiveSession { psql, input, output };
        // It is there when this comes back, so that sessions have an order.
        session.run("select 1;");
        session
    }

    /// Runs commands, none of which fails; the lines that they print.
    pub(crate) fn run(&mut self, commands: &str) -> Vec<String> {
        writeln!(self.input, "{commands}\n\\echo {END}").expect("it reads");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line).expect("it prints");
            assert!(length > 0, "{commands}: {lines:?}, and then it ended");
            match line.trim_end_matches('\n') {
                END => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.input.write_all(b"\\q\n");
        let _ = self.psql.wait();
    }
}
