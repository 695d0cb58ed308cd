//! The extension's SQL tests: `pgext/tests/sql/NAME.sql` run by psql in a throwaway server, what it prints compared with
//! `pgext/tests/expected/NAME.out`, as PostgreSQL's own pg_regress does. What several tests use is in `pgext/tests/include`.
//!
//! Each test runs in a database of its own, as the superuser `postgres`, with the extension there to be created. Where
//! majors rightly differ, `NAME.MAJOR.out` holds for that major and those above, up to the next such file. `:major` is
//! the server's major version.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::extension::{Extension, PgConfig};
use crate::installation::Installation;
use crate::server::Cluster;
use crate::setup::{self, Needs};
use crate::{hostile, process, standby, visibility, workspace};

/// Where the extension is built and run if nobody asks for 16, whose headers come from elsewhere (`docs/extension.md`).
pub(crate) const INSTALLATIONS: [Installation; 3] =
    [Installation::Debian15, Installation::Debian17, Installation::Debian18];

/// What the servers are told: much is logged, nothing happens by itself. A test that has a checkpoint and wants the log
/// before it makes a replication slot.
const SETTINGS: [(&str, &str); 7] = [
    ("wal_level", "logical"),
    ("autovacuum", "off"),
    // Its launcher takes snapshots.
    ("max_logical_replication_workers", "0"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "4GB"),
    ("track_commit_timestamp", "on"),
    ("max_prepared_transactions", "4"),
];

/// The name of what [`standby`] does, beside the SQL tests.
const STANDBY: &str = "standby";

/// Waits until the session of the test before has ended: at its end it still removes what was temporary, in a transaction
/// that writes to the log.
const ALONE: &str = "DO $$ BEGIN
    WHILE EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) LOOP
        PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
    END LOOP;
END $$";

/// What `cargo xtask regress` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run in the server of this major alone; 16 is left out if it is not named.
    #[arg(long)]
    major: Option<u32>,

    /// Take what is printed for what is expected; look at the difference before it is committed.
    #[arg(long)]
    accept: bool,

    /// Run the SQL tests as often, each time in a new server: what is printed must never differ.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    runs: u32,

    #[command(flatten)]
    hostile: Hostile,

    /// The tests to run, without `.sql`, or `standby`; all without one.
    tests: Vec<String>,
}

/// How much hostile use ([`crate::hostile`]) follows the SQL tests in each server.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Hostile {
    /// Hostile calls of the extension's functions and tables in each server; 0: none. The long form is 100000.
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub(crate) hostile_calls: u64,

    /// The seed of their arguments.
    #[arg(long, value_name = "SEED", default_value_t = 15)]
    pub(crate) hostile_seed: u64,
}

/// `cargo xtask regress`
pub(crate) fn regress(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::TESTS)?;
    let wanted = |installation: &Installation| {
        arguments.major.is_none_or(|major| installation.major() == major)
    };
    let mut installations: Vec<Installation> = INSTALLATIONS.into_iter().filter(wanted).collect();
    if arguments.major == Some(16) {
        setup::install_headers_of(Installation::Npm16)?;
        installations.push(Installation::Npm16);
    }
    ensure!(!installations.is_empty(), "the extension is tested in PostgreSQL 15 to 18");
    for installation in installations {
        run_in(installation, arguments)?;
    }
    Ok(())
}

/// The stage of `cargo xtask test`: lints of the extension, its tests that need no server, and all tests in all servers.
pub(crate) fn all(hostile: Hostile) -> Result<()> {
    let pg_config = PgConfig::of(Installation::Debian15)?;
    // As users have it, and with what is only for tests.
    for features in ["", "test-functions"] {
        let mut clippy = Extension::cargo(&pg_config, "clippy");
        clippy.args(["--features", features, "--profile", "extension"]);
        process::run_shown(clippy.args(["--", "--deny=warnings"]))?;
    }
    // Without a server's feature the crate is empty: the tests of all crates run none of these.
    let mut unit_tests = Extension::cargo(&pg_config, "test");
    process::run_shown(unit_tests.args(["--lib", "--profile", "extension"]))?;
    for installation in INSTALLATIONS {
        // One server is enough of it for every change; `regress` does it in all.
        let is_used = installation == Installation::Debian15;
        let hostile = if is_used { hostile } else { Hostile { hostile_calls: 0, ..hostile } };
        run_in(
            installation,
            &Arguments { major: None, accept: false, runs: 1, hostile, tests: Vec::new() },
        )?;
    }
    visibility::short()
}

fn run_in(installation: Installation, arguments: &Arguments) -> Result<()> {
    let pg_config = PgConfig::of(installation)?;
    let extension = Extension::build(&pg_config)?;
    let is_wanted =
        |name: &str| arguments.tests.is_empty() || arguments.tests.iter().any(|test| test == name);
    let tests = find_tests(&arguments.tests)?;
    for run in 1..=arguments.runs {
        if arguments.runs > 1 {
            println!("xtask: extension in {}: run {run}", installation.major());
        }
        let mut cluster = Cluster::create(installation, &["--data-checksums"], &SETTINGS)?;
        extension.stage_for(&pg_config, &mut cluster)?;
        cluster.start()?;
        run_tests(&cluster, installation, &tests, arguments.accept)?;
        if is_wanted(STANDBY) {
            standby::run(installation, &extension, &pg_config)?;
        }
        let Hostile { hostile_calls, hostile_seed } = arguments.hostile;
        if run == arguments.runs && hostile_calls > 0 && arguments.tests.is_empty() {
            hostile::run(&cluster, hostile_calls, hostile_seed)
                .with_context(|| format!("hostile use in {installation}, seed {hostile_seed}"))?;
        }
    }
    Ok(())
}

fn run_tests(
    cluster: &Cluster,
    installation: Installation,
    tests: &[Test],
    accept: bool,
) -> Result<()> {
    let mut failed = Vec::new();
    for test in tests {
        let began = Instant::now();
        let passed = test.run(cluster, installation.major(), accept)?;
        let verdict = if passed { "ok" } else { "FAILED" };
        let (major, took) = (installation.major(), began.elapsed().as_secs_f64());
        println!("xtask: extension in {major}: {:<24} {took:>6.2} s  {verdict}", test.name);
        if !passed {
            failed.push(test.name.as_str());
        }
    }
    ensure!(
        failed.is_empty(),
        "in {installation} failed: {}; if the new output is right, `cargo xtask regress --accept`",
        failed.join(", ")
    );
    Ok(())
}

#[derive(Debug)]
struct Test {
    name: String,
    script: PathBuf,
}

fn directory(name: &str) -> PathBuf {
    workspace::directory().join("pgext/tests").join(name)
}

fn find_tests(wanted: &[String]) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(directory("sql"))? {
        let script = entry?.path();
        let name = script.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let is_sql = script.extension().is_some_and(|extension| extension == "sql");
        if is_sql && (wanted.is_empty() || wanted.contains(&name)) {
            tests.push(Test { name, script });
        }
    }
    tests.sort_by(|one, other| one.name.cmp(&other.name));
    for name in wanted.iter().filter(|name| *name != STANDBY) {
        ensure!(tests.iter().any(|test| test.name == *name), "there is no test {name}");
    }
    ensure!(
        !tests.is_empty() || !wanted.is_empty(),
        "there are no tests in {}",
        directory("sql").display()
    );
    Ok(tests)
}

impl Test {
    /// Runs it; shows the difference and returns false if what is printed is not what is expected.
    fn run(&self, cluster: &Cluster, major: u32, accept: bool) -> Result<bool> {
        let database = format!("regress_{}", self.name);
        cluster.psql(ALONE)?;
        cluster.psql(&format!("CREATE DATABASE {database}"))?;
        let printed = self.printed(cluster, &database, major)?;
        let expected = self.expected(major);
        if fs::read(&expected).is_ok_and(|expected| expected == printed) {
            return Ok(true);
        }
        if accept {
            println!("xtask: {} is what was printed now", expected.display());
            fs::write(&expected, &printed)?;
            return Ok(true);
        }
        let results = workspace::target_directory()?.join("regress");
        fs::create_dir_all(&results)?;
        let result = results.join(format!("{}.{major}.out", self.name));
        fs::write(&result, &printed)?;
        let mut diff = process::command("diff");
        diff.args(["--unified", "--new-file"]).arg(&expected).arg(&result);
        process::run_shown(&mut diff).err().context("the files are the same after all")?;
        Ok(false)
    }

    /// What psql prints, its echo of the script and the errors in their places.
    fn printed(&self, cluster: &Cluster, database: &str, major: u32) -> Result<Vec<u8>> {
        let mut psql = cluster.client("psql")?;
        psql.env("PGDATABASE", database).env("PGTZ", "UTC").env("PGDATESTYLE", "ISO");
        psql.args(["--no-psqlrc", "--quiet", "--echo-all", "--set", "HIDE_TABLEAM=on"]);
        psql.arg(format!("--set=major={major}"));
        // Where \ir of a script that is read from its input begins.
        psql.current_dir(directory("sql"));
        let (reader, writer) = std::io::pipe()?;
        psql.stdin(fs::File::open(&self.script)?).stdout(writer.try_clone()?).stderr(writer);
        let mut child = psql.spawn().context("cannot run psql")?;
        drop(psql); // and with it this process's ends of the pipe
        let printed = read_all(reader)?;
        let status = child.wait()?;
        // Errors in the script are part of what is expected; a lost connection is not.
        if !status.success() {
            let said = String::from_utf8_lossy(&printed).into_owned();
            bail!(
                "psql ended with {status} in {}:\n{}\nthe server's log:\n{}",
                self.script.display(),
                process::last_lines(&said, 10),
                cluster.log_tail()
            );
        }
        Ok(printed)
    }

    fn expected(&self, major: u32) -> PathBuf {
        let directory = directory("expected");
        let of_major = |major: u32| directory.join(format!("{}.{major}.out", self.name));
        (15..=major)
            .rev()
            .map(of_major)
            .find(|path| path.exists())
            .unwrap_or_else(|| directory.join(format!("{}.out", self.name)))
    }
}

fn read_all(mut from: impl std::io::Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}
