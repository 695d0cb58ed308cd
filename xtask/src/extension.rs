//! The extension `pgstrata` (`pgext`): built for a server's headers, and put where that server finds it.
//!
//! Invariants:
//! - the library that is installed was built for exactly the server whose pg_config was asked: builds for several majors
//!   share a target directory, where cargo gives their libraries one name, so each is built last of all and copied away
//!   at once;
//! - an installation that a test runs in is never written: the throwaway cluster gets a tree of its own
//!   ([`Extension::stage`]).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::installation::Installation;
use crate::server::Cluster;
use crate::{process, workspace};

/// What `cargo xtask install` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The pg_config of the server; without it that of PostgreSQL 15 from Debian, or else the first on the PATH.
    #[arg(long, value_name = "PATH")]
    pg_config: Option<PathBuf>,

    /// Install below this directory instead of the root (as DESTDIR of make).
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
}

/// A server's own word on where its files are.
#[derive(Debug, Clone)]
pub(crate) struct PgConfig {
    program: PathBuf,
    /// The major version: 15 to 18.
    pub(crate) major: u32,
    /// Where libraries go.
    library_directory: PathBuf,
    /// Where control files and SQL scripts go.
    extension_directory: PathBuf,
}

impl PgConfig {
    /// That of an installation with headers.
    pub(crate) fn of(installation: Installation) -> Result<Self> {
        let program = installation.pg_config()?;
        Self::ask(&program.with_context(|| format!("{installation} has no headers"))?)
    }

    /// Asks `program`, which must be a pg_config.
    pub(crate) fn ask(program: &Path) -> Result<Self> {
        let version = answer(program, "--version")?;
        // "PostgreSQL 17.11 (Debian ...)"; "18beta1" before a release.
        let digits: String = version
            .trim_start_matches("PostgreSQL ")
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let major = digits
            .parse()
            .with_context(|| format!("{} says no version but {version:?}", program.display()))?;
        ensure!(
            (15..=18).contains(&major),
            "{} is of PostgreSQL {major}; pgstrata is for 15, 16, 17 and 18",
            program.display()
        );
        Ok(Self {
            program: program.to_owned(),
            major,
            library_directory: answer(program, "--pkglibdir")?.into(),
            extension_directory: PathBuf::from(answer(program, "--sharedir")?).join("extension"),
        })
    }

    fn check_headers(&self) -> Result<()> {
        let headers = PathBuf::from(answer(&self.program, "--includedir-server")?);
        ensure!(
            headers.join("postgres.h").exists(),
            "the server's headers are missing ({}/postgres.h); on Debian they are in the package \
             postgresql-server-dev-{}",
            headers.display(),
            self.major
        );
        Ok(())
    }
}

fn answer(pg_config: &Path, question: &str) -> Result<String> {
    let output = process::run(process::command(pg_config).arg(question))?;
    Ok(String::from_utf8(output.stdout)
        .context("pg_config printed what is not UTF-8")?
        .trim()
        .into())
}

/// The extension built for one server.
#[derive(Debug)]
pub(crate) struct Extension {
    library: PathBuf,
    /// Control file and SQL scripts.
    scripts: Vec<PathBuf>,
}

impl Extension {
    /// Builds it, and says what cargo says.
    pub(crate) fn build(pg_config: &PgConfig) -> Result<Self> {
        Self::build_with(pg_config, &[])
    }

    /// Builds it with more features than a user has, for tests.
    pub(crate) fn build_with(pg_config: &PgConfig, features: &[&str]) -> Result<Self> {
        pg_config.check_headers()?;
        let target = workspace::target_directory()?;
        let built = target.join("extension/libpgstrata.so");
        // Another major's library has the same name here, and cargo would take it for this one's.
        for left_over in [target.join("extension/deps/libpgstrata.so"), built.clone()] {
            match fs::remove_file(&left_over) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot remove {}", left_over.display()));
                }
                _ => {}
            }
        }
        let mut cargo = Self::cargo(pg_config, "build");
        for feature in features {
            cargo.args(["--features", feature]);
        }
        process::run_shown(cargo.args(["--profile", "extension"]))?;
        let library = target.join(format!("pgstrata-{}.so", pg_config.major));
        fs::copy(&built, &library).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(Self { library, scripts: scripts()? })
    }

    /// cargo with this subcommand on the extension's crate, for the server.
    pub(crate) fn cargo(pg_config: &PgConfig, subcommand: &str) -> std::process::Command {
        let mut cargo = workspace::cargo();
        cargo.env("PGRX_PG_CONFIG_PATH", &pg_config.program);
        cargo.args([subcommand, "--package", "pgstrata-ext", "--features"]);
        cargo.arg(format!("pg{}", pg_config.major));
        cargo
    }

    /// Puts it where the server looks for it, below `destdir`.
    pub(crate) fn install(&self, pg_config: &PgConfig, destdir: &Path) -> Result<()> {
        let below =
            |directory: &Path| destdir.join(directory.strip_prefix("/").unwrap_or(directory));
        copy_into(&below(&pg_config.library_directory), &self.library, "pgstrata.so")?;
        for script in &self.scripts {
            let name =
                script.file_name().and_then(|name| name.to_str()).context("a script's name")?;
            copy_into(&below(&pg_config.extension_directory), script, name)?;
        }
        Ok(())
    }

    /// Puts it where one throwaway cluster alone finds it, which must not run yet.
    pub(crate) fn stage_for(&self, pg_config: &PgConfig, cluster: &mut Cluster) -> Result<()> {
        if cluster.installation() == Installation::Npm16 {
            return self.stage_beside(pg_config, cluster);
        }
        let settings = self.stage(pg_config, &cluster.make_directory("extension")?)?;
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        cluster.configure(&settings)
    }

    /// A server that looks for extensions in one place alone, beside itself: gives the cluster a server of its own, whose
    /// program is a copy, and whose libraries and scripts are links.
    fn stage_beside(&self, pg_config: &PgConfig, cluster: &mut Cluster) -> Result<()> {
        let original = cluster.installation().bin_directory()?;
        let original = original.parent().context("a server's directory")?;
        let tree = cluster.make_directory("server")?;
        let linked = |place: &str, but: &str| -> Result<()> {
            fs::create_dir_all(tree.join(place))?;
            for entry in fs::read_dir(original.join(place))? {
                let entry = entry?;
                if entry.file_name() != but {
                    let link = tree.join(place).join(entry.file_name());
                    std::os::unix::fs::symlink(entry.path(), link)?;
                }
            }
            Ok(())
        };
        linked("lib", "postgresql")?;
        linked("lib/postgresql", "")?;
        linked("share", "postgresql")?;
        linked("share/postgresql", "extension")?;
        linked("share/postgresql/extension", "")?;
        fs::create_dir_all(tree.join("bin"))?;
        let postgres = tree.join("bin/postgres");
        fs::copy(original.join("bin/postgres"), &postgres)?;
        let own = PgConfig {
            library_directory: tree.join("lib/postgresql"),
            extension_directory: tree.join("share/postgresql/extension"),
            ..pg_config.clone()
        };
        self.install(&own, Path::new("/"))?;
        cluster.start_with(postgres);
        Ok(())
    }

    /// Puts it below `directory` for one throwaway server alone; returns the settings with which that server finds it
    /// there. 18 has search paths of its own for this; before, Debian's packages have `extension_destdir`.
    fn stage(&self, pg_config: &PgConfig, directory: &Path) -> Result<Vec<(&'static str, String)>> {
        self.install(pg_config, directory)?;
        let below = |path: &Path| directory.join(path.strip_prefix("/").unwrap_or(path));
        if pg_config.major < 18 {
            return Ok(vec![("extension_destdir", directory.display().to_string())]);
        }
        let share = below(&pg_config.extension_directory);
        let share = share.parent().context("a directory above")?;
        let libraries = below(&pg_config.library_directory);
        Ok(vec![
            ("extension_control_path", format!("{}:$system", share.display())),
            ("dynamic_library_path", format!("{}:$libdir", libraries.display())),
        ])
    }
}

/// The control file and the SQL scripts in the tree.
fn scripts() -> Result<Vec<PathBuf>> {
    let directory = workspace::directory().join("pgext/sql");
    let mut scripts = Vec::new();
    for entry in
        fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?
    {
        scripts.push(entry?.path());
    }
    scripts.sort();
    Ok(scripts)
}

/// Copies under another name first: a backend that runs has the old file mapped.
fn copy_into(directory: &Path, file: &Path, name: &str) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(directory)?;
        let unfinished = directory.join(format!("{name}.unfinished"));
        fs::copy(file, &unfinished)?;
        fs::rename(&unfinished, directory.join(name))
    };
    copy().with_context(|| {
        format!(
            "cannot write {name} into {}; run it as a user who may, or give --destdir",
            directory.display()
        )
    })
}

/// `cargo xtask install`.
pub(crate) fn install(arguments: &Arguments) -> Result<()> {
    let pg_config = PgConfig::ask(&find_pg_config(arguments)?)?;
    let extension = Extension::build(&pg_config)?;
    let root = arguments.destdir.clone().unwrap_or_else(|| PathBuf::from("/"));
    extension.install(&pg_config, &root)?;
    println!(
        "xtask: pgstrata for PostgreSQL {} is installed; in a database: CREATE EXTENSION pgstrata",
        pg_config.major
    );
    Ok(())
}

fn find_pg_config(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(path) = &arguments.pg_config {
        return Ok(path.clone());
    }
    let debian = Installation::Debian15.bin_directory()?.join("pg_config");
    if debian.exists() && !Installation::Debian15.is_unpacked()? {
        return Ok(debian);
    }
    if process::is_on_path("pg_config") {
        return Ok("pg_config".into());
    }
    bail!("no pg_config found; say with --pg-config which server it is for")
}
