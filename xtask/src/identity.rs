//! Who runs `xtask`, and who runs the servers.
//!
//! PostgreSQL refuses to run as root. So root's servers run as `postgres`, or as `nobody` where that user does not
//! exist; everybody else's servers run as themselves.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// The unprivileged user that root's servers run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUser {
    /// Login name.
    pub(crate) name: String,
    /// Numeric user id.
    pub(crate) uid: u32,
    /// Numeric id of its primary group.
    pub(crate) gid: u32,
}

impl ServerUser {
    /// Makes the command run as this user, without root's supplementary groups.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives a file or directory (not what is inside it) to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to {}", path.display(), self.name))
    }
}

/// True if this process has root's rights.
pub(crate) fn is_root() -> bool {
    static ROOT: LazyLock<bool> =
        LazyLock::new(|| fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0));
    *ROOT
}

/// The user that servers run as, or `None` if that is whoever runs `xtask`. Read anew every time, because installing
/// PostgreSQL makes the user `postgres`.
pub(crate) fn server_user() -> Option<ServerUser> {
    if !is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = find_user(&passwd, "postgres").or_else(|| find_user(&passwd, "nobody"));
    Some(found.unwrap_or(ServerUser { name: "nobody".into(), uid: 65534, gid: 65534 }))
}

fn find_user(passwd: &str, name: &str) -> Option<ServerUser> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(ServerUser { name: name.into(), uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104:a,b:/v:/bin/sh\n";
        let expected = ServerUser { name: "postgres".into(), uid: 101, gid: 104 };
        assert_eq!(find_user(passwd, "postgres"), Some(expected));
        assert_eq!(find_user(passwd, "nobody"), None);
        assert_eq!(find_user("nobody:x:not a number:1::/:/bin/sh", "nobody"), None);
    }
}
