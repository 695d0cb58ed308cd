//! The cache: what `xtask` fetched or made once and keeps outside the tree.
//!
//! Where it lies: `$PGSTRATA_CACHE` if set; for root `/var/cache/pgstrata`, because servers run as an unprivileged
//! user who cannot look into root's home; for everybody else `$XDG_CACHE_HOME/pgstrata` or `~/.cache/pgstrata`.
//!
//! Invariants:
//! - an entry is either complete or absent: it is made under a temporary name and renamed into place;
//! - only the holder of the lock makes entries, so several `xtask` at once do not fetch the same thing twice;
//! - the server user can read every entry.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::identity;
use crate::process;

/// An existing cache directory that the server user can enter.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    directory: PathBuf,
}

/// Held while entries of the cache are made; dropping it lets the next process in.
#[derive(Debug)]
pub(crate) struct CacheLock {
    _file: File,
}

impl Cache {
    /// Finds the cache, makes it where it is absent, and checks that servers will be able to read it.
    pub(crate) fn open() -> Result<Self> {
        let directory = location(identity::is_root(), |name| std::env::var_os(name))?;
        fs::create_dir_all(&directory).with_context(|| {
            format!(
                "cannot make the cache {}; set PGSTRATA_CACHE to a directory that you can write",
                directory.display()
            )
        })?;
        let directory = directory.canonicalize()?;
        let cache = Self { directory };
        cache.check_server_user_enters()?;
        Ok(cache)
    }

    /// The path of the entry `name`, whether it exists or not.
    pub(crate) fn entry(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The cache directory itself, as children are told it in `PGSTRATA_CACHE`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits for, and takes, the right to make entries.
    pub(crate) fn lock(&self) -> Result<CacheLock> {
        let path = self.entry("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            println!("xtask: waiting for another xtask that fills {}", self.directory.display());
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(CacheLock { _file: file })
    }

    /// Makes the entry `name` unless it is there: `make` fills a fresh temporary directory, which is then opened to
    /// all readers and renamed into place. The lock must be held.
    pub(crate) fn make_entry(
        &self,
        _lock: &CacheLock,
        name: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let place = self.entry(name);
        if place.exists() {
            return Ok(place);
        }
        let unfinished = self.entry(&format!("{name}.unfinished"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .with_context(|| format!("cannot remove {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished)
            .with_context(|| format!("cannot make {}", unfinished.display()))?;
        make(&unfinished)?;
        let mut open_to_readers = process::command("chmod");
        open_to_readers.args(["-R", "a+rX"]).arg(&unfinished);
        process::run(&mut open_to_readers)?;
        fs::rename(&unfinished, &place)
            .with_context(|| format!("cannot rename {} into place", unfinished.display()))?;
        Ok(place)
    }

    fn check_server_user_enters(&self) -> Result<()> {
        let Some(user) = identity::server_user() else {
            return Ok(());
        };
        let mut enter = process::command("test");
        enter.arg("-x").arg(&self.directory);
        user.apply(&mut enter);
        if !enter.status().is_ok_and(|status| status.success()) {
            bail!(
                "the cache {} cannot be entered by the user {}, who runs the servers; set PGSTRATA_CACHE to a \
                 directory that every user can enter, or unset it for {DIRECTORY_OF_ROOT}",
                self.directory.display(),
                user.name
            );
        }
        Ok(())
    }
}

const DIRECTORY_OF_ROOT: &str = "/var/cache/pgstrata";

fn location(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = if let Some(explicit) = set("PGSTRATA_CACHE") {
        explicit
    } else if root {
        PathBuf::from(DIRECTORY_OF_ROOT)
    } else if let Some(caches) = set("XDG_CACHE_HOME") {
        caches.join("pgstrata")
    } else if let Some(home) = set("HOME") {
        home.join(".cache/pgstrata")
    } else {
        bail!("no place for the cache: set PGSTRATA_CACHE to a directory");
    };
    std::path::absolute(directory).context("cannot make the path of the cache absolute")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(root: bool, variables: &[(&str, &str)]) -> PathBuf {
        let found = location(root, |name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(*value))
        });
        found.expect("a location")
    }

    #[test]
    fn an_explicit_cache_wins() {
        let variables = [("PGSTRATA_CACHE", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(located(true, &variables), Path::new("/c"));
        assert_eq!(located(false, &variables), Path::new("/c"));
    }

    #[test]
    fn root_keeps_out_of_its_home() {
        assert_eq!(located(true, &[("HOME", "/root")]), Path::new("/var/cache/pgstrata"));
    }

    #[test]
    fn others_follow_the_desktop_rules() {
        assert_eq!(
            located(false, &[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]),
            Path::new("/x/pgstrata")
        );
        assert_eq!(
            located(false, &[("XDG_CACHE_HOME", ""), ("HOME", "/h")]),
            Path::new("/h/.cache/pgstrata")
        );
        assert!(location(false, |_| None).is_err());
    }
}
