//! Where a relation's file lies under the data directory (`relpath`).

use std::fmt;

use base::ids::{DEFAULT_TABLESPACE, GLOBAL_TABLESPACE};
use base::{ForkNumber, RelFileLocator};

use crate::version::Version;

/// Prints the path of a permanent relation's fork, relative to the data directory: `base/5/16384_vm`,
/// `global/1262`, `pg_tblspc/16400/PG_15_202209061/5/16401`.
#[derive(Debug, Clone, Copy)]
pub struct RelationPath {
    /// Version of the server, which names the directory within a tablespace.
    pub version: Version,
    /// The relation's file.
    pub locator: RelFileLocator,
    /// Its fork.
    pub fork: ForkNumber,
}

impl fmt::Display for RelationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RelFileLocator { tablespace, database, relation } = self.locator;
        match tablespace {
            GLOBAL_TABLESPACE => write!(f, "global/{relation}")?,
            DEFAULT_TABLESPACE => write!(f, "base/{database}/{relation}")?,
            _ => {
                let directory = self.version.tablespace_directory();
                write!(f, "pg_tblspc/{tablespace}/{directory}/{database}/{relation}")?;
            }
        }
        match self.fork {
            ForkNumber::Main => Ok(()),
            fork => write!(f, "_{fork}"),
        }
    }
}
