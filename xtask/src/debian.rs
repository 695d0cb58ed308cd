//! PostgreSQL 17 and 18 with all their programs, from Debian's newer suites, unpacked into the cache; and 15 from its
//! older one, where the machine's own release has none.
//!
//! Nothing is installed: apt resolves and verifies with a private state inside the cache, and the packages are
//! unpacked there together with the C library that they were built for. That library is not the machine's, so
//! every program is started through its own loader:
//!
//! ```text
//! root/usr/lib/postgresql/17/bin/postgres     script: exec LOADER --library-path LIBS --argv0 THIS ../real/postgres
//! root/usr/lib/postgresql/17/real/postgres    the program itself
//! ```
//!
//! The script stands where the program stood, and passes its own path as `argv[0]`. So PostgreSQL finds its `share` and
//! `lib` beside it, and `initdb` and `pg_ctl`, which start `postgres` themselves, start the script.
//!
//! The server's headers, which only building the extension needs, are an entry of their own:
//!
//! ```text
//! root/usr/include/postgresql/17/server       the headers
//! pg_config                                   script: the installation's pg_config, which names these headers
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cache::{Cache, CacheLock};
use crate::mirror::{self, Mirror, SignedBy};
use crate::process;

/// The suites of Debian that carry a major version.
fn suites(major: u32) -> Option<&'static [&'static str]> {
    match major {
        15 => Some(&["bookworm"]),
        17 => Some(&["trixie"]),
        18 => Some(&["forky", "sid"]),
        _ => None,
    }
}

/// Packages that PostgreSQL's depend on but its programs, run from here, do not need. They are declared to be there, so
/// that apt does not fetch them: tools of the service's life cycle, interpreters, and the compiler of `jit` (off in our
/// servers).
const NOT_NEEDED: [&str; 27] = [
    "adduser",
    "debconf",
    "init-system-helpers",
    "libllvm19",
    "libllvm20",
    "libllvm21",
    "libpam-modules",
    "libpam-modules-bin",
    "libpam-runtime",
    "libsystemd-shared",
    "locales",
    "login.defs",
    "netbase",
    "openssl",
    "passwd",
    "perl",
    "perl-base",
    "postgresql-18-jit",
    "postgresql-client-common",
    "postgresql-common",
    "postgresql-common-dev",
    "procps",
    "ssl-cert",
    "systemd",
    "sysvinit-utils",
    "tzdata",
    "ucf",
];

/// The directory of the programs (that is, of their scripts) of a major version, whether it is there or not.
pub(crate) fn bin_directory(cache: &Cache, major: u32) -> PathBuf {
    bin_below(&root(&cache.entry(&entry_name(major))), major)
}

/// Fetches and unpacks the programs of a major version.
pub(crate) fn install(cache: &Cache, lock: &CacheLock, major: u32) -> Result<()> {
    let name = entry_name(major);
    cache.make_entry(lock, &name, |directory| {
        println!("xtask: fetching PostgreSQL {major} with its programs from another suite of Debian (unpacked, not installed)");
        fetch(directory, &cache.entry(&name), major)
            .with_context(|| format!("cannot fetch Debian's PostgreSQL {major}, which the tests compare with"))
    })?;
    Ok(())
}

/// The pg_config that knows the headers of [`install_headers`], whether it is there or not.
pub(crate) fn headers_pg_config(cache: &Cache, major: u32) -> PathBuf {
    cache.entry(&headers_entry_name(major)).join("pg_config")
}

/// Fetches and unpacks the server's headers of a major version; `pg_config` is that of the server's installation.
pub(crate) fn install_headers(
    cache: &Cache,
    lock: &CacheLock,
    major: u32,
    pg_config: &Path,
) -> Result<()> {
    let name = headers_entry_name(major);
    cache.make_entry(lock, &name, |directory| {
        println!("xtask: fetching the headers of PostgreSQL {major} from another suite of Debian (unpacked, not installed)");
        let state = directory.join("apt");
        let configuration = write_apt_state(&state, &mirror::find()?, major)?;
        process::run(apt_get(&configuration).args(["update", "--error-on=any"]))?;
        process::run(
            apt_get(&configuration)
                .args(["download", &format!("postgresql-server-dev-{major}")])
                .current_dir(state.join("cache/archives")),
        )
        .with_context(|| format!("cannot fetch Debian's headers of PostgreSQL {major}"))?;
        unpack(directory)?;
        let headers = cache.entry(&name).join(format!("root/usr/include/postgresql/{major}/server"));
        let script = directory.join("pg_config");
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in\n  --includedir-server) echo '{}' ;;\n  *) exec '{}' \"$@\" ;;\nesac\n",
            headers.display(),
            pg_config.display()
        );
        fs::write(&script, text)?;
        Ok(fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?)
    })?;
    Ok(())
}

/// The isolation specs of the major version 15, from Debian's source package: `NAME.spec` each.
pub(crate) fn isolation_specs(cache: &Cache, lock: &CacheLock) -> Result<PathBuf> {
    const MAJOR: u32 = 15;
    cache.make_entry(lock, "debian-15-isolation-specs", |directory| {
        println!(
            "xtask: fetching the isolation specs of PostgreSQL {MAJOR} with Debian's source package"
        );
        let state = directory.join("apt");
        let configuration = write_apt_state(&state, &mirror::find()?, MAJOR)?;
        let sources = state.join("sources.list");
        let binaries = fs::read_to_string(&sources)?;
        fs::write(&sources, binaries.replace("deb [target=Packages", "deb-src [target=Sources"))?;
        process::run(apt_get(&configuration).args(["update", "--error-on=any"]))?;
        let place = state.join("cache/archives");
        let source = format!("postgresql-{MAJOR}");
        process::run(
            apt_get(&configuration)
                .args(["source", "--download-only", "--tar-only", &source])
                .current_dir(&place),
        )
        .with_context(|| format!("cannot fetch Debian's source of PostgreSQL {MAJOR}"))?;
        let mut archives = Vec::new();
        for entry in fs::read_dir(&place)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.contains(".orig.tar") {
                archives.push(path);
            }
        }
        let [archive] = archives.as_slice() else {
            bail!("apt-get fetched {} source archives, and one was wanted", archives.len());
        };
        let mut unpack = process::command("tar");
        unpack.args(["--extract", "--wildcards", "--strip-components=5", "--directory"]);
        unpack.arg(directory).arg("--file").arg(archive).arg("*/src/test/isolation/specs/*.spec");
        process::run(&mut unpack)?;
        Ok(fs::remove_dir_all(&state)?)
    })
}

fn headers_entry_name(major: u32) -> String {
    format!("debian-{major}-headers")
}

fn entry_name(major: u32) -> String {
    format!("debian-{major}")
}

fn root(entry: &Path) -> PathBuf {
    entry.join("root")
}

fn bin_below(root: &Path, major: u32) -> PathBuf {
    root.join(format!("usr/lib/postgresql/{major}/bin"))
}

fn apt_get(configuration: &Path) -> Command {
    let mut command = process::command("apt-get");
    command.arg("--config-file").arg(configuration);
    command
}

/// Fills `directory`, which will be renamed to `place`.
fn fetch(directory: &Path, place: &Path, major: u32) -> Result<()> {
    let configuration = write_apt_state(&directory.join("apt"), &mirror::find()?, major)?;
    process::run(apt_get(&configuration).arg("update").arg("--error-on=any"))?;
    process::run(
        apt_get(&configuration)
            .args(["install", "--yes", "--download-only", "--no-install-recommends"])
            .args([format!("postgresql-{major}"), format!("postgresql-client-{major}")]),
    )?;
    unpack(directory)?;
    write_scripts(&root(directory), &place.join("root"), major)
}

/// Unpacks the packages that apt fetched for the entry in `directory`, and removes apt's state.
fn unpack(directory: &Path) -> Result<()> {
    let mut unpacked = 0;
    for entry in fs::read_dir(directory.join("apt/cache/archives"))? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = process::command("dpkg-deb");
            process::run(unpack.arg("--extract").arg(&package).arg(root(directory)))?;
            unpacked += 1;
        }
    }
    ensure!(unpacked > 0, "apt-get fetched no package");
    Ok(fs::remove_dir_all(directory.join("apt"))?)
}

/// Writes an apt configuration whose whole state lies in `state`, and returns its file.
fn write_apt_state(state: &Path, mirror: &Mirror, major: u32) -> Result<PathBuf> {
    let suites = suites(major)
        .with_context(|| format!("no suite of Debian is known for PostgreSQL {major}"))?;
    for directory in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(state.join(directory))?;
    }
    let key = match &mirror.signed_by {
        None => String::new(),
        Some(SignedBy::File(file)) => format!(" signed-by={file}"),
        Some(SignedBy::Inline(key)) => {
            let file = state.join("mirror.asc");
            fs::write(&file, key)?;
            format!(" signed-by={}", file.display())
        }
    };
    let sources: String = suites
        .iter()
        .map(|suite| format!("deb [target=Packages{key}] {} {suite} main\n", mirror.uri))
        .collect();
    fs::write(state.join("sources.list"), sources)?;
    let status: String = NOT_NEEDED.iter().map(|package| installed_stanza(package)).collect();
    fs::write(state.join("status"), status)?;
    let configuration = state.join("apt.conf");
    fs::write(&configuration, apt_configuration(state))?;
    Ok(configuration)
}

/// Says that a package is there, at a version that satisfies every lower bound.
fn installed_stanza(package: &str) -> String {
    format!(
        "Package: {package}\nStatus: install ok installed\nVersion: 9:9999\nArchitecture: all\nMulti-Arch: foreign\n\
         Maintainer: none <none@invalid>\nDescription: not needed here\n\n"
    )
}

/// Hooks of the machine's own configuration are cleared: they would tidy the machine's state, which we do not touch.
fn apt_configuration(state: &Path) -> String {
    let state = state.display();
    format!(
        "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n\
         #clear DPkg::Pre-Install-Pkgs;\n#clear DPkg::Pre-Invoke;\n#clear DPkg::Post-Invoke;\n\
         Dir::Etc::sourcelist \"{state}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
         Dir::State \"{state}\";\nDir::State::lists \"{state}/lists\";\nDir::State::status \"{state}/status\";\n\
         Dir::Cache \"{state}/cache\";\nDir::Cache::archives \"{state}/cache/archives\";\n\
         APT::Sandbox::User \"root\";\nAPT::Default-Release \"\";\nAcquire::Languages \"none\";\n\
         Acquire::Retries \"3\";\nAPT::Get::List-Cleanup \"false\";\n"
    )
}

/// Moves the programs below `root` aside and writes a script in the place of each, for a tree that will lie at `place`.
fn write_scripts(root: &Path, place: &Path, major: u32) -> Result<()> {
    let loader = find_loader(root)?;
    let bin = bin_below(root, major);
    let real = bin.with_file_name("real");
    fs::rename(&bin, &real).with_context(|| format!("the packages have no {}", bin.display()))?;
    fs::create_dir(&bin)?;
    let libraries: Vec<String> = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
        .iter()
        .map(|directory| place.join(directory).display().to_string())
        .collect();
    let libraries = libraries.join(":");
    let place_of = |path: &Path| -> Result<String> {
        Ok(place.join(path.strip_prefix(root)?).display().to_string())
    };
    for entry in fs::read_dir(&real)? {
        let program = entry?.path();
        let Some(name) = program.file_name() else { continue };
        let script = bin.join(name);
        let text = format!(
            "#!/bin/sh\nexec '{}' --library-path '{libraries}' --argv0 '{}' '{}' \"$@\"\n",
            place_of(&loader)?,
            place_of(&script)?,
            place_of(&program)?
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn find_loader(root: &Path) -> Result<PathBuf> {
    for candidate in [
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ] {
        let loader = root.join(candidate);
        if loader.exists() {
            return Ok(loader);
        }
    }
    bail!("the packages carry no loader of the C library");
}
