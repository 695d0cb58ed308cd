//! The programs that explore the lock-free parts: each is built for one way of exploring.
//!
//! Invariant: a target directory of its own for each, since everything is compiled anew with another `--cfg`. With debug
//! assertions, and without link-time optimization, which takes longer than all models.

use std::path::PathBuf;

use anyhow::Result;

use crate::{process, workspace};

/// Who decides which thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Explorer {
    /// Every way, within a bound.
    Loom,
    /// Shuttle's schedulers, at random.
    Shuttle,
    /// The system, of plain threads.
    Threads,
}

impl Explorer {
    /// Builds its program and returns the path.
    pub(crate) fn build(self) -> Result<PathBuf> {
        let (name, flags, program) = match self {
            Explorer::Loom => ("loom", "--cfg loom", "loom-models"),
            Explorer::Shuttle => ("shuttle", "--cfg shuttle", "schedules"),
            Explorer::Threads => ("threads", "", "schedules"),
        };
        let target = workspace::target_directory()?.join(name);
        let mut build = workspace::cargo();
        build
            .args(["build", "--release", "--package", "pgstrata-loom-tests", "--bin", program])
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
        process::run_shown(&mut build)?;
        Ok(target.join("release").join(program))
    }
}
