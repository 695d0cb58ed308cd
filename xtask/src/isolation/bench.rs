//! A spec run by both sides: isolationtester on a throwaway server, and `strata isolation` on the engine in each mode.
//!
//! Invariants: both sides read the same file; nothing of what they print is changed before it is compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::specs;
use crate::cache::Cache;
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::setup::{self, Needs};
use crate::{debian, process};

/// What the server is told: as a spec's setup expects it, and nothing is waited for without end.
const SETTINGS: [(&str, &str); 6] = [
    ("max_prepared_transactions", "10"),
    ("autovacuum", "off"),
    ("statement_timeout", "240s"),
    ("max_connections", "50"),
    ("track_commit_timestamp", "on"),
    ("fsync", "off"),
];

/// The modes in which the engine runs each spec.
pub(super) const MODES: [&str; 3] = ["classic", "commit-ts", "mirror"];

/// Seconds that a step may take.
const STEP: &str = "120";

/// What a spec came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) permutations: usize,
    /// What isolationtester printed.
    pub(super) expected: String,
    /// Modes in which something else was printed, and what.
    pub(super) differing: Vec<(&'static str, String)>,
}

impl Outcome {
    pub(super) fn is_equal(&self) -> bool {
        self.differing.is_empty()
    }

    pub(super) fn verdict(&self) -> String {
        if self.is_equal() {
            return "equal".to_owned();
        }
        let modes: Vec<&str> = self.differing.iter().map(|(mode, _)| *mode).collect();
        format!("differs in {}", modes.join(" and "))
    }
}

/// A server, the engine's command, and PostgreSQL's specs.
#[derive(Debug)]
pub(super) struct Bench {
    cluster: Cluster,
    tester: PathBuf,
    strata: PathBuf,
    specs: PathBuf,
    copies: tempfile::TempDir,
}

impl Bench {
    /// With this `strata`.
    pub(super) fn start(strata: PathBuf) -> Result<Bench> {
        setup::ensure_installed(&Needs::SERVER_WITH_HEADERS)?;
        let cache = Cache::open()?;
        let specs = {
            let lock = cache.lock()?;
            debian::isolation_specs(&cache, &lock)?
        };
        let tester = tester()?;
        let mut cluster = Cluster::create(Installation::Debian15, &[], &SETTINGS)?;
        cluster.start()?;
        Ok(Bench { cluster, tester, strata, specs, copies: tempfile::tempdir()? })
    }

    pub(super) fn stop(mut self) -> Result<()> {
        self.cluster.stop(Shutdown::Fast)
    }

    /// The names of PostgreSQL's specs, in order.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.specs)? {
            let path = entry?.path();
            if let (Some(stem), Some("spec")) =
                (path.file_stem(), path.extension().and_then(|ending| ending.to_str()))
            {
                names.push(stem.to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// One of PostgreSQL's specs, without what is left out of it.
    pub(super) fn spec(&self, name: &str) -> Result<String> {
        let text = fs::read_to_string(self.specs.join(format!("{name}.spec")))
            .with_context(|| format!("PostgreSQL 15 has no isolation spec {name}"))?;
        specs::without(name, text)
    }

    /// Runs a text by the server alone.
    pub(super) fn expected(&self, name: &str, text: &str) -> Result<Outcome> {
        let path = self.copies.path().join(format!("{name}.spec"));
        fs::write(&path, text)?;
        let expected = self.of_server(&path)?;
        Ok(Outcome { permutations: permutations(&expected), expected, differing: Vec::new() })
    }

    /// Runs a text by both sides.
    pub(super) fn run(&self, name: &str, text: &str) -> Result<Outcome> {
        let path = self.copies.path().join(format!("{name}.spec"));
        fs::write(&path, text)?;
        let (expected, printed) = std::thread::scope(|scope| {
            let path = &path;
            let of_modes =
                MODES.map(|mode| scope.spawn(move || (mode, self.of_engine(path, mode))));
            let expected = self.of_server(path);
            (expected, of_modes.map(std::thread::ScopedJoinHandle::join))
        });
        let expected = expected.with_context(|| format!("isolationtester does not run {name}"))?;
        let permutations = permutations(&expected);
        ensure!(permutations > 0, "isolationtester ran no permutation of {name}");
        let mut differing = Vec::new();
        for printed in printed {
            let Ok((mode, printed)) = printed else { bail!("strata could not be run") };
            let printed = printed?;
            if printed != expected {
                differing.push((mode, printed));
            }
        }
        Ok(Outcome { permutations, expected, differing })
    }

    /// Why a text is not equal, in the words of the engine if it stopped; `None` if it is equal.
    pub(super) fn reason(&self, name: &str, text: &str) -> Result<Option<String>> {
        let path = self.copies.path().join(format!("{name}.spec"));
        fs::write(&path, text)?;
        let printed = self.of_engine(&path, MODES[0])?;
        if let Some(line) = printed.lines().find(|line| line.contains("is not supported")) {
            return Ok(Some(of_error(line)));
        }
        let outcome = self.run(name, text)?;
        let Some((_, printed)) = outcome.differing.first() else { return Ok(None) };
        let lines = printed.lines().zip(outcome.expected.lines());
        let first = lines.into_iter().find(|(printed, expected)| printed != expected);
        Ok(Some(match first {
            Some((printed, _)) if printed.contains("ERROR:  ") => of_error(printed),
            Some((printed, expected)) => format!("`{printed}` instead of `{expected}`"),
            None => "more or fewer lines".to_owned(),
        }))
    }

    fn of_server(&self, path: &Path) -> Result<String> {
        let surroundings = self.cluster.client("psql")?;
        let mut tester = Command::new(&self.tester);
        for (name, value) in surroundings.get_envs() {
            match value {
                Some(value) => tester.env(name, value),
                None => tester.env_remove(name),
            };
        }
        tester.env("PGISOLATIONTIMEOUT", STEP).arg("dbname=postgres");
        tester.stdin(fs::File::open(path)?).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tester.output().context("cannot run isolationtester")?;
        let output = process::check(&tester, output)?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the engine prints of a spec, with its error behind it if it fails.
    fn of_engine(&self, path: &Path, mode: &str) -> Result<String> {
        let mut strata = process::command(&self.strata);
        strata.args(["isolation", "--sync-method", "none", "--step-timeout", STEP, "--mode", mode]);
        let output = strata.arg(path).output().context("cannot run strata")?;
        let mut printed = output.stdout;
        if !output.status.success() {
            printed.extend_from_slice(&output.stderr);
        }
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }
}

fn permutations(printed: &str) -> usize {
    printed.lines().filter(|line| line.starts_with("starting permutation:")).count()
}

/// What an error says, without where.
fn of_error(line: &str) -> String {
    line.rsplit("ERROR:  ").next().unwrap_or(line).to_owned()
}

/// PostgreSQL's isolationtester, of the package of its headers.
fn tester() -> Result<PathBuf> {
    let pg_config = Installation::Debian15.bin_directory()?.join("pg_config");
    let output = process::run(process::command(&pg_config).arg("--pkglibdir"))?;
    let library = String::from_utf8(output.stdout)?;
    // The directory of modules, and not that of the build system, may be the one that is named.
    let library = Path::new(library.trim());
    let tester = library.join("pgxs/src/test/isolation/isolationtester");
    if !tester.exists() {
        bail!(
            "there is no isolationtester in {} (install postgresql-server-dev-15)",
            tester.display()
        );
    }
    Ok(tester)
}
