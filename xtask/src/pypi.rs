//! The headers of PostgreSQL 16's server, which no suite of Debian has, from the package `pgserver` of PyPI.
//!
//! The package is a whole server of 16.2, with its headers and its pg_config; these alone are kept. What is built with them
//! runs in npm's server of 16, since PostgreSQL keeps its binary interface within a major version.
//!
//! ```text
//! pginstall/include/postgresql/server   the headers
//! pginstall/bin/pg_config               the package's own, which finds the headers beside itself
//! pg_config                             script: the package's own, but for the places of npm's server
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Cache, CacheLock};
use crate::{npm, process};

const PACKAGE: &str = "pgserver==0.1.4";
const ENTRY: &str = "pypi-16-headers";
/// SHA-512 of its archive for CPython 3.12 on x86-64 Linux, in hexadecimal digits.
const SHA512: &str = "868da98d9b5863e1ab376181330ca764e5433c77ebb5d572d0119234fea9dccae32f7ad96a7ebf0d87b1180ca61be08ecfc99666b68b767b5724b47b06bac2a4";

/// The pg_config that knows the headers of [`install_headers`], whether it is there or not.
pub(crate) fn headers_pg_config(cache: &Cache) -> PathBuf {
    cache.entry(ENTRY).join("pg_config")
}

/// Fetches the headers into the cache, with a pg_config that names the places of the server in `server`.
pub(crate) fn install_headers(cache: &Cache, lock: &CacheLock, server: &Path) -> Result<()> {
    cache.make_entry(lock, ENTRY, |directory| {
        println!("xtask: fetching the headers of PostgreSQL 16 ({PACKAGE}) by pip");
        fetch(directory, &cache.entry(ENTRY), server)
            .context("cannot fetch the headers of PostgreSQL 16 by pip")
    })?;
    Ok(())
}

/// Fills `directory`, which will be renamed to `place`.
fn fetch(directory: &Path, place: &Path, server: &Path) -> Result<()> {
    let download = directory.join("download");
    // Whatever Python runs here, the archive is the one that was pinned.
    let mut pip = process::command("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--implementation=cp", "--python-version=3.12"])
        .args(["--platform=manylinux_2_17_x86_64", "--dest"])
        .arg(&download)
        .arg(PACKAGE);
    process::run(&mut pip)?;
    let archive = npm::only_archive(&download, "whl")?;
    npm::check_digest(&archive, SHA512)?;
    let mut unpack = process::command("python3");
    unpack.args(["-m", "zipfile", "--extract"]).arg(&archive).arg(&download);
    process::run(&mut unpack)?;
    for kept in ["include", "bin/pg_config"] {
        let to = directory.join("pginstall").join(kept);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(download.join("pgserver/pginstall").join(kept), to)?;
    }
    fs::remove_dir_all(&download)?;
    let own = "pginstall/bin/pg_config";
    fs::set_permissions(directory.join(own), fs::Permissions::from_mode(0o755))?;
    let text = format!(
        "#!/bin/sh\ncase \"$1\" in\n  --pkglibdir) echo '{}' ;;\n  --sharedir) echo '{}' ;;\n  *) exec '{}' \"$@\" ;;\nesac\n",
        server.join("lib/postgresql").display(),
        server.join("share/postgresql").display(),
        place.join(own).display()
    );
    let script = directory.join("pg_config");
    fs::write(&script, text)?;
    Ok(fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?)
}
