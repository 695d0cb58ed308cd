//! Throwaway clusters: made in a temporary directory, run as an unprivileged user, reached through a unix socket in
//! that directory alone, and stopped and removed whatever happens.
//!
//! The last part is one mechanism for every case. Each cluster has a watchdog, a shell that waits on a pipe whose only
//! writer is this process. The pipe ends when the [`Cluster`] is dropped, when `xtask` panics or exits, and also when
//! it is killed; then the watchdog stops the server and removes the directory. It is in a process group of its own, so
//! Ctrl-C in the terminal does not reach it.
//!
//! ```text
//! /tmp/pgstrata-PID-N/   base: owned by the server user, mode 0700; .s.PGSQL.5432, the socket
//!                data/   the data directory
//!                log     what initdb and the server print
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::identity;
use crate::installation::Installation;
use crate::process;

/// Set in every cluster, before the caller's own settings, which win.
///
/// `fsync` is off: a throwaway cluster dies with the machine. What it writes to the log is the same.
const SETTINGS: [(&str, &str); 7] = [
    ("listen_addresses", ""),
    ("fsync", "off"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("log_checkpoints", "off"),
];

/// How long a server may take to start or to stop before that is an error.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a server is told to stop (see pg_ctl(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Disconnects the sessions, writes a shutdown checkpoint.
    Fast,
    /// Stops at once without a checkpoint, so that the next start is a crash recovery.
    Immediate,
}

impl Shutdown {
    fn signal(self) -> libc::c_int {
        match self {
            Self::Fast => libc::SIGINT,
            Self::Immediate => libc::SIGQUIT,
        }
    }
}

/// A throwaway cluster; see the module.
#[derive(Debug)]
pub(crate) struct Cluster {
    installation: Installation,
    base: PathBuf,
    /// The server's program, if it is not the installation's own.
    postgres: Option<PathBuf>,
    postmaster: Option<Child>,
    watchdog: Child,
}

impl Cluster {
    /// Makes a cluster that is not running yet. `initdb_arguments` are added to initdb's (such as `--wal-segsize=1` or
    /// `--data-checksums`), `settings` to postgresql.conf.
    ///
    /// The superuser is `postgres`, authentication is trust, locale C, encoding UTF8.
    pub(crate) fn create(
        installation: Installation,
        initdb_arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let cluster = Self::empty(installation)?;
        let mut initdb = cluster.as_server_user(installation.command("initdb")?)?;
        initdb
            .args([
                "--no-sync",
                "--username=postgres",
                "--auth=trust",
                "--locale=C",
                "--encoding=UTF8",
                "--pgdata",
            ])
            .arg(cluster.data_dir())
            .args(initdb_arguments);
        process::run(&mut initdb)
            .with_context(|| format!("cannot make a cluster of {installation}"))?;
        cluster.configure(&SETTINGS)?;
        cluster.configure_place(settings)?;
        Ok(cluster)
    }

    /// Makes a cluster from a copy of another one's data directory, which must not be running. For a standby, add
    /// `standby.signal` to the copy's data directory before the start.
    pub(crate) fn copy_of(original: &Self, settings: &[(&str, &str)]) -> Result<Self> {
        ensure!(original.postmaster.is_none(), "a running cluster cannot be copied");
        let mut cluster = Self::empty(original.installation)?;
        cluster.postgres.clone_from(&original.postgres);
        let mut copy = cluster.as_server_user(process::command("cp"))?;
        process::run(copy.arg("--archive").arg(original.data_dir()).arg(cluster.data_dir()))?;
        cluster.configure_place(settings)?;
        Ok(cluster)
    }

    /// Makes a cluster from a copy of a data directory that nobody has open, which need not be a server's own: what
    /// configures it is made anew.
    pub(crate) fn over_copy_of(
        installation: Installation,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let cluster = Self::empty(installation)?;
        let copy = cluster.data_dir();
        let mut cp = process::command("cp");
        process::run(cp.args(["--recursive", "--preserve=mode"]).arg(data).arg(&copy))?;
        fs::write(copy.join("postgresql.conf"), "")?;
        fs::write(copy.join("pg_hba.conf"), "local all all trust\n")?;
        fs::write(copy.join("pg_ident.conf"), "")?;
        cluster.give_all_to_server(&copy)?;
        cluster.configure(&SETTINGS)?;
        cluster.configure_place(settings)?;
        Ok(cluster)
    }

    /// The temporary directory and its watchdog, with no data directory.
    fn empty(installation: Installation) -> Result<Self> {
        let base = make_base_directory()?;
        let watchdog = start_watchdog(&base);
        if watchdog.is_err() {
            let _ = fs::remove_dir(&base);
        }
        Ok(Self { installation, base, postgres: None, postmaster: None, watchdog: watchdog? })
    }

    /// The installation whose server it is.
    pub(crate) fn installation(&self) -> Installation {
        self.installation
    }

    /// Has this program started as its server from now on, which finds its libraries and scripts beside itself.
    pub(crate) fn start_with(&mut self, postgres: PathBuf) {
        self.postgres = Some(postgres);
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.base.join("data")
    }

    /// The directory of the write-ahead log's segments.
    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.data_dir().join("pg_wal")
    }

    /// The directory that holds the socket; what PGHOST is for this cluster.
    pub(crate) fn socket_directory(&self) -> &Path {
        &self.base
    }

    /// Makes a directory beside the data directory, which lives as long as the cluster and which its server can read.
    pub(crate) fn make_directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.base.join(name);
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(directory)
    }

    /// Hands a file that was put into the data directory to the server's user.
    pub(crate) fn give_to_server(&self, path: &Path) -> Result<()> {
        identity::server_user().map_or(Ok(()), |user| user.own(path))
    }

    /// Hands a directory and all that is in it to the server's user.
    pub(crate) fn give_all_to_server(&self, directory: &Path) -> Result<()> {
        let Some(user) = identity::server_user() else { return Ok(()) };
        let owner = format!("{}:{}", user.uid, user.gid);
        process::run(process::command("chown").args(["--recursive", &owner]).arg(directory))?;
        Ok(())
    }

    /// Its own socket directory, and what the caller wants.
    fn configure_place(&self, settings: &[(&str, &str)]) -> Result<()> {
        let directory = self.socket_directory().display().to_string();
        self.configure(&[("unix_socket_directories", &directory)])?;
        self.configure(settings)
    }

    /// Appends settings to postgresql.conf; a later one wins. They take effect at the next start or reload.
    pub(crate) fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let path = self.data_dir().join("postgresql.conf");
        let mut file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        for (name, value) in settings {
            writeln!(file, "{name} = '{}'", value.replace('\'', "''"))?;
        }
        Ok(())
    }

    /// Starts the server and waits until it takes connections (on a standby: read-only ones).
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.postmaster.is_none(), "the server runs already");
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let program = match &self.postgres {
            Some(program) => process::command(program),
            None => self.installation.command("postgres")?,
        };
        let mut postgres = self.as_server_user(program)?;
        postgres
            .arg("-D")
            .arg(self.data_dir())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        postgres.process_group(0);
        let child =
            postgres.spawn().with_context(|| format!("cannot start {}", self.installation))?;
        self.postmaster = Some(child);
        let began = Instant::now();
        while !self.is_ready() {
            if let Some(status) = self.reap()? {
                bail!(
                    "{} ended while starting ({status}):\n{}",
                    self.installation,
                    self.log_tail()
                );
            }
            if began.elapsed() > PATIENCE {
                bail!("{} does not get ready:\n{}", self.installation, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Stops the server and waits for its end.
    pub(crate) fn stop(&mut self, mode: Shutdown) -> Result<()> {
        let Some(child) = &self.postmaster else {
            bail!("the server does not run");
        };
        send_signal(child, mode.signal())?;
        let status = self.wait_for_end()?;
        // After a stop without checkpoint the postmaster says 1 or more, as its children were ended by force.
        ensure!(
            mode != Shutdown::Fast || status.success(),
            "the server ended badly ({status}):\n{}",
            self.log_tail()
        );
        Ok(())
    }

    /// Stops without a checkpoint, as a crash would; the next start recovers from the log.
    pub(crate) fn crash(&mut self) -> Result<()> {
        self.stop(Shutdown::Immediate)
    }

    /// Waits until the server ends by itself (as one does that recovers to a target with `recovery_target_action =
    /// shutdown`).
    pub(crate) fn wait_for_end(&mut self) -> Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.reap()? {
                return Ok(status);
            }
            if began.elapsed() > PATIENCE {
                bail!("the server does not end:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A command of an installation's own program (this cluster's, or Debian 15's where this one has it not), run as
    /// the server user, with PGHOST, PGPORT, PGUSER and PGDATABASE set to this cluster.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        let has_it = self.installation.bin_directory()?.join(program).exists();
        let installation = if has_it { self.installation } else { Installation::Debian15 };
        self.as_client(self.as_server_user(installation.command(program)?)?)
    }

    /// Runs SQL (and psql's own commands) in the database `postgres`, each statement in its own transaction, and
    /// returns what it prints: unaligned, without headers, columns apart by tabs. The first error ends it.
    pub(crate) fn psql(&self, sql: &str) -> Result<String> {
        self.psql_in("postgres", sql)
    }

    /// As [`Cluster::psql`], in another database.
    pub(crate) fn psql_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.psql_command(database)?;
        let mut child = psql
            .args(["--file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", process::display(&psql)))?;
        let mut input = child.stdin.take().context("psql has no input")?;
        let text = format!("{sql}\n");
        // From a thread, since psql may print more than a pipe holds before it has read everything. It stops reading
        // at an error, which it then reports itself.
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output()?;
        let _ = writer.join();
        let output = process::check(&psql, output)
            .with_context(|| format!("in SQL:\n{}", shortened(sql)))?;
        String::from_utf8(output.stdout).context("psql printed what is not UTF-8")
    }

    /// Runs one query in the database `postgres` and returns its rows; a NULL is an empty string.
    pub(crate) fn query_tsv(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let printed = self.psql(sql)?;
        Ok(printed.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    /// Runs one query that gives one value.
    pub(crate) fn query_value(&self, sql: &str) -> Result<String> {
        Ok(self.psql(sql)?.trim_end_matches('\n').to_owned())
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        process::last_lines(&String::from_utf8_lossy(&log), 20)
    }

    /// psql of Debian 15, which speaks to every server from 15 to 18, without the user's ~/.psqlrc. It runs as
    /// whoever runs `xtask`, so that it reads their files.
    pub(crate) fn psql_command(&self, database: &str) -> Result<Command> {
        let mut psql = self.client("psql")?;
        psql.env("PGDATABASE", database);
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--field-separator=\t",
        ]);
        psql.args(["--set", "ON_ERROR_STOP=1"]);
        Ok(psql)
    }

    /// A client program of Debian 15, run as whoever runs `xtask`, that connects to this cluster.
    pub(crate) fn client(&self, program: &str) -> Result<Command> {
        self.as_client(Installation::Debian15.command(program)?)
    }

    fn as_client(&self, mut command: Command) -> Result<Command> {
        command.env("PGHOST", self.socket_directory()).env("PGPORT", "5432");
        command.env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        Ok(command)
    }

    /// Runs the command as the server user, in a directory that this user can enter.
    fn as_server_user(&self, mut command: Command) -> Result<Command> {
        if let Some(user) = identity::server_user() {
            user.apply(&mut command);
        }
        command.current_dir(&self.base);
        Ok(command)
    }

    fn log_file(&self) -> PathBuf {
        self.base.join("log")
    }

    /// The postmaster writes its state into line 8 of postmaster.pid, which is what pg_ctl waits for, too.
    fn is_ready(&self) -> bool {
        let Some(child) = &self.postmaster else { return false };
        let Ok(text) = fs::read_to_string(self.data_dir().join("postmaster.pid")) else {
            return false;
        };
        let mut lines = text.lines();
        let is_ours = lines.next().is_some_and(|pid| pid.trim() == child.id().to_string());
        is_ours && lines.nth(6).is_some_and(|state| matches!(state.trim(), "ready" | "standby"))
    }

    fn reap(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.postmaster else {
            return Ok(Some(ExitStatus::from_raw(0)));
        };
        let status = child.try_wait()?;
        if status.is_some() {
            self.postmaster = None;
        }
        Ok(status)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // The server first: as a zombie it would seem to be there still.
        if let Some(mut child) = self.postmaster.take() {
            let _ = child.wait();
        }
        let _ = self.watchdog.wait();
    }
}

/// What the watchdog does when its input ends; `$0` is the base directory. It checks the process's working directory
/// before it signals it, since a process id may have been given to another program meanwhile. SIGQUIT is PostgreSQL's
/// immediate shutdown.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM QUIT
cat >/dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
  tries=0
  while [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$0/data" ]; do
    if [ $tries -ge 500 ]; then kill -KILL "$pid"; elif [ $((tries % 50)) = 0 ]; then kill -QUIT "$pid"; fi
    tries=$((tries + 1))
    sleep 0.02
  done 2>/dev/null
  rm -rf -- "$0" 2>/dev/null
  [ -e "$0" ] || exit 0
  sleep 0.5
done
"#;

fn start_watchdog(base: &Path) -> Result<Child> {
    Command::new("sh")
        .arg("-c")
        .arg(WATCHDOG)
        .arg(base)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start the watchdog of a throwaway cluster")
}

fn make_base_directory() -> Result<PathBuf> {
    /// A socket's path has at most 107 bytes (`sun_path`), of which its own name takes 14.
    const LONGEST_BASE: usize = 90;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut temporary =
        std::env::temp_dir().canonicalize().unwrap_or_else(|_| PathBuf::from("/tmp"));
    if temporary.as_os_str().len() > LONGEST_BASE - 30 {
        temporary = PathBuf::from("/tmp");
    }
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = temporary.join(format!("pgstrata-{}-{number}", std::process::id()));
        match fs::create_dir(&base) {
            Ok(()) => {
                fs::set_permissions(&base, fs::Permissions::from_mode(0o700))?;
                if let Some(user) = identity::server_user() {
                    user.own(&base)?;
                }
                return Ok(base);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", base.display()));
            }
        }
    }
}

#[expect(unsafe_code)]
fn send_signal(child: &Child, signal: libc::c_int) -> Result<()> {
    let pid = libc::pid_t::try_from(child.id()).context("a process id out of range")?;
    // SAFETY: kill(2) takes no pointers. The child has not been waited for, so the id is still its own.
    let result = unsafe { libc::kill(pid, signal) };
    ensure!(result == 0, "cannot signal the server: {}", std::io::Error::last_os_error());
    Ok(())
}

fn shortened(sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().take(12).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
