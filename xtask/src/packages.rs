//! Debian packages on the machine: which are missing, and installing them.
//!
//! Invariants:
//! - nothing is changed without root's rights (the caller's, or sudo without a password); without them the error is
//!   the command to run;
//! - the user's own PostgreSQL clusters are left alone, and none is made: installing `postgresql-15` would otherwise
//!   create and start one;
//! - PostgreSQL 15 itself is taken from another suite ([`crate::debian`]) where the machine's release has none, since
//!   Debian releases carry one major version each.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{identity, process};

/// Installs those of `wanted` that are missing and that apt can install. Returns those of PostgreSQL 15 that this
/// release of Debian does not have.
pub(crate) fn ensure_installed(wanted: &[&'static str]) -> Result<Vec<&'static str>> {
    ensure!(
        process::is_on_path("dpkg-query"),
        "this is no Debian system; install PostgreSQL 15 (server and programs) below /usr/lib/postgresql/15 as Debian's \
         packages do, and make `dpkg-query` say so"
    );
    let missing = missing(wanted)?;
    if missing.is_empty() {
        return Ok(missing);
    }
    println!("xtask: missing Debian packages: {}", missing.join(" "));
    let right = Right::find();
    if let Some(right) = right {
        // Package lists that are old, or not there at all, name packages that the mirror has no more.
        right.run("apt-get --quiet update", &[]).context("cannot update apt's package lists")?;
    }
    let (available, unavailable) = split_by_availability(missing)?;
    if let Some(foreign) = unavailable.iter().find(|package| !is_of_postgresql_15(package)) {
        bail!(
            "apt knows no package {foreign}; run `apt-get update` as root, or install it otherwise"
        );
    }
    if available.is_empty() {
        return Ok(unavailable);
    }
    let list = available.join(" ");
    let Some(right) = right else {
        bail!(
            "installing Debian packages needs root's rights, which you have not (sudo asks for a password or is \
             missing). Run, as root or with sudo:\n\n    apt-get update && apt-get install --no-install-recommends \
             {list}\n\nthen try again."
        );
    };
    println!("xtask: apt-get install --no-install-recommends {list}");
    right
        .run(INSTALL, &available)
        .with_context(|| format!("cannot install the Debian packages {list}"))?;
    Ok(unavailable)
}

fn is_of_postgresql_15(package: &str) -> bool {
    package.starts_with("postgresql-") && package.ends_with("-15")
}

fn missing(wanted: &[&'static str]) -> Result<Vec<&'static str>> {
    let mut query = process::command("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\n"]).args(wanted);
    // Packages that dpkg never heard of make it fail, and are missing from what it prints.
    let output = query.stdin(Stdio::null()).output().context("cannot run dpkg-query")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let installed: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(wanted.iter().copied().filter(|name| !installed.contains(name)).collect())
}

/// Splits packages into those that apt can install and the others.
fn split_by_availability(
    packages: Vec<&'static str>,
) -> Result<(Vec<&'static str>, Vec<&'static str>)> {
    let mut policy = process::command("apt-cache");
    let output = process::run(policy.arg("policy").args(&packages))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(packages.into_iter().partition(|package| has_candidate(&text, package)))
}

/// Reads what `apt-cache policy` prints: a package's name and a colon, then indented lines.
fn has_candidate(policy: &str, package: &str) -> bool {
    let mut lines =
        policy.lines().skip_while(|line| line.strip_suffix(':') != Some(package)).skip(1);
    lines.by_ref().take_while(|line| line.starts_with(' ')).any(|line| {
        line.trim().strip_prefix("Candidate:").is_some_and(|version| version.trim() != "(none)")
    })
}

/// Run by sh as root; the packages are its arguments. The drop-in file tells postgresql-common's scripts to make no
/// cluster, and is gone again afterwards.
const INSTALL: &str = r#"
set -e
settings=/etc/postgresql-common/createcluster.d
drop_in=$settings/pgstrata-setup.conf
made=$(for d in /etc/postgresql-common "$settings"; do [ -d "$d" ] || echo "$d"; done)
mkdir -p "$settings"
trap 'rm -f "$drop_in"; for d in $(echo "$made" | sort -r); do rmdir "$d" 2>/dev/null || true; done' EXIT
echo 'create_main_cluster = false' > "$drop_in"
export DEBIAN_FRONTEND=noninteractive
apt-get --quiet --yes --no-install-recommends install "$@"
"#;

/// How this process gets root's rights.
#[derive(Debug, Clone, Copy)]
enum Right {
    Root,
    Sudo,
}

impl Right {
    fn find() -> Option<Self> {
        if identity::is_root() {
            return Some(Self::Root);
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "true"]);
        sudo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        sudo.status().is_ok_and(|status| status.success()).then_some(Self::Sudo)
    }

    /// Runs a shell script; what it says, which is long, is shown only if it fails.
    fn run(self, script: &str, arguments: &[&str]) -> Result<()> {
        let mut command = match self {
            Self::Root => Command::new("sh"),
            Self::Sudo => {
                println!("xtask: by sudo");
                let mut sudo = Command::new("sudo");
                sudo.args(["--non-interactive", "sh"]);
                sudo
            }
        };
        command.args(["-c", script, "sh"]).args(arguments).stdin(Stdio::null());
        let output = command.output().context("cannot run sh")?;
        ensure!(output.status.success(), "{}", last_words(&output));
        Ok(())
    }
}

fn last_words(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    process::last_lines(&said, 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_those_of_the_package_itself() {
        let policy = "postgresql-15:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n\
                      npm:\n  Installed: (none)\n  Candidate: 9.2.0~ds1-1\n  Version table:\n     9.2.0~ds1-1 500\n";
        assert!(has_candidate(policy, "npm"));
        assert!(!has_candidate(policy, "postgresql-15"));
        assert!(!has_candidate(policy, "libclang-dev"));
    }

    #[test]
    fn only_postgresql_comes_from_elsewhere() {
        assert!(is_of_postgresql_15("postgresql-server-dev-15"));
        assert!(!is_of_postgresql_15("libclang-dev"));
    }
}
