//! The PostgreSQL installations that `xtask` works with, and how their programs are started.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::cache::Cache;
use crate::{debian, npm, process, pypi};

/// One installed or unpacked PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Installation {
    /// Debian's package, installed on the machine: server and all programs. Where the machine's release of Debian has
    /// no PostgreSQL 15, it is unpacked in the cache as 17 and 18 are.
    Debian15,
    /// npm's server: `initdb`, `pg_ctl`, `postgres` and the contrib modules.
    Npm16,
    /// npm's server, as for 16.
    Npm17,
    /// npm's server, as for 16.
    Npm18,
    /// Debian's package of a newer suite, unpacked in the cache: server and all programs.
    Debian17,
    /// Debian's package of a newer suite, unpacked in the cache: server and all programs.
    Debian18,
}

impl Installation {
    /// Every installation, in the order in which it is set up.
    pub(crate) const ALL: [Self; 6] =
        [Self::Debian15, Self::Npm16, Self::Npm17, Self::Npm18, Self::Debian17, Self::Debian18];

    /// The major version: 15, 16, 17 or 18.
    pub(crate) fn major(self) -> u32 {
        match self {
            Self::Debian15 => 15,
            Self::Npm16 => 16,
            Self::Npm17 | Self::Debian17 => 17,
            Self::Npm18 | Self::Debian18 => 18,
        }
    }

    /// Where its programs lie, whether they are there or not.
    pub(crate) fn bin_directory(self) -> Result<PathBuf> {
        match self {
            Self::Debian15 => {
                let installed = PathBuf::from("/usr/lib/postgresql/15/bin");
                if installed.join("postgres").exists() {
                    return Ok(installed);
                }
                Ok(debian::bin_directory(&Cache::open()?, 15))
            }
            Self::Npm16 | Self::Npm17 | Self::Npm18 => {
                Ok(npm::directory(&Cache::open()?, self.major())?.join("bin"))
            }
            Self::Debian17 | Self::Debian18 => {
                Ok(debian::bin_directory(&Cache::open()?, self.major()))
            }
        }
    }

    /// The pg_config that names its programs' places and the server's headers, whether these are there or not: those of
    /// a package that is unpacked are fetched by themselves, and so are 16's. `None` for npm's others, which have no
    /// headers.
    pub(crate) fn pg_config(self) -> Result<Option<PathBuf>> {
        match self {
            Self::Npm17 | Self::Npm18 => Ok(None),
            Self::Npm16 => Ok(Some(pypi::headers_pg_config(&Cache::open()?))),
            Self::Debian15 if !self.is_unpacked()? => {
                Ok(Some(self.bin_directory()?.join("pg_config")))
            }
            Self::Debian15 | Self::Debian17 | Self::Debian18 => {
                Ok(Some(debian::headers_pg_config(&Cache::open()?, self.major())))
            }
        }
    }

    /// True if its server is there.
    pub(crate) fn is_there(self) -> Result<bool> {
        Ok(self.bin_directory()?.join("postgres").exists())
    }

    /// True if it comes by npm.
    pub(crate) fn is_from_npm(self) -> bool {
        matches!(self, Self::Npm16 | Self::Npm17 | Self::Npm18)
    }

    /// True if it is there, and not as a package that is installed on the machine.
    pub(crate) fn is_unpacked(self) -> Result<bool> {
        Ok(self.is_there()? && self.bin_directory()?.starts_with(Cache::open()?.directory()))
    }

    /// A command that runs one of its programs, in the C locale and UTC, without the caller's PG* variables. It runs
    /// as whoever runs `xtask`; what must not run as root goes through [`crate::server::Cluster`].
    pub(crate) fn command(self, program: &str) -> Result<Command> {
        let path = self.bin_directory()?.join(program);
        ensure!(
            path.exists(),
            "{self} has no {program} ({} is missing); try `cargo xtask setup`",
            path.display()
        );
        Ok(process::command(path))
    }

    /// What `postgres --version` says, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub(crate) fn version(self) -> Result<String> {
        let output = process::run(self.command("postgres")?.arg("--version"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim().trim_start_matches("postgres (PostgreSQL) ").to_owned())
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self {
            Self::Debian15 | Self::Debian17 | Self::Debian18 => "Debian",
            Self::Npm16 | Self::Npm17 | Self::Npm18 => "npm",
        };
        write!(f, "PostgreSQL {} from {source}", self.major())
    }
}
