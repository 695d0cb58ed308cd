//! PostgreSQL 15's programs, run as a user that they accept.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The user that the programs run as where this process is root's, which they refuse.
fn server_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").expect("proc is mounted").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).unwrap_or((65534, 65534)))
}

/// A directory for one test, which that user can work in.
pub(crate) fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("permitted");
    give(place.path());
    place
}

/// Gives a directory and all in it to that user.
pub(crate) fn give(path: &Path) {
    if let Some(owner) = server_user() {
        give_to(path, owner);
    }
}

/// Takes them back, to be worked in by this process.
pub(crate) fn take_back(path: &Path) {
    if server_user().is_some() {
        give_to(path, (0, 0));
    }
}

fn give_to(path: &Path, (user, group): (u32, u32)) {
    chown(path, Some(user), Some(group)).expect("given");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            give_to(&entry.expect("an entry").path(), (user, group));
        }
    }
}

/// One of PostgreSQL 15's programs.
pub(crate) fn program(name: &str) -> Command {
    let directory = std::env::var_os("PGSTRATA_PG15_BIN").expect(
        "PGSTRATA_PG15_BIN is not set: run `cargo xtask test`, which installs PostgreSQL and sets it",
    );
    as_server_user(Command::new(PathBuf::from(directory).join(name)))
}

/// The command, run as that user.
pub(crate) fn as_server_user(mut command: Command) -> Command {
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command.env("LC_ALL", "C").env("TZ", "UTC").env_remove("PGDATA").current_dir("/");
    command
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What it prints, if it succeeds and complains of nothing.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = run(command);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && messages.is_empty(), "{command:?}: {messages}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Has a data directory's next id be this one, as PostgreSQL's manual says.
pub(crate) fn reset_next_xid(data: &Path, xid: u32) {
    let segment = data.join(format!("pg_xact/{:04X}", xid / (32_768 * 32)));
    if !segment.exists() {
        fs::write(segment, vec![0; 32 * 8192]).expect("written");
    }
    give(data);
    printed(program("pg_resetwal").arg("-x").arg(xid.to_string()).arg("-D").arg(data));
    take_back(data);
}

/// Copies a directory and all in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    fs::set_permissions(to, fs::metadata(from).expect("there").permissions()).expect("set");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}
