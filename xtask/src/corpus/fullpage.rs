//! The golden of `pg_waldump --save-fullpage`: which files it writes, and the MD5 of each.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process;

/// Lists the files below `saved` as `MD5  NAME`, by name, and removes the directory.
pub(crate) fn list_and_remove(saved: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(saved)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let mut list = String::new();
    for some in names.chunks(500) {
        let mut md5sum = process::command("md5sum");
        let output = process::run(md5sum.current_dir(saved).arg("--").args(some))?;
        list.push_str(
            &String::from_utf8(output.stdout).context("md5sum printed what is not UTF-8")?,
        );
    }
    ensure!(list.lines().count() == names.len(), "md5sum left files out");
    fs::remove_dir_all(saved)?;
    Ok(list)
}
