//! What is where in a data directory. Source: `initdb.c`.

use base::Oid;

/// The directories below it, each behind the one that holds it.
pub const DIRECTORIES: [&str; 24] = [
    "global",
    "pg_wal",
    "pg_wal/archive_status",
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_subtrans",
    "pg_twophase",
    "pg_multixact",
    "pg_multixact/members",
    "pg_multixact/offsets",
    "base",
    "base/1",
    "base/5",
    "pg_replslot",
    "pg_tblspc",
    "pg_stat",
    "pg_stat_tmp",
    "pg_xact",
    "pg_logical",
    "pg_logical/snapshots",
    "pg_logical/mappings",
];

/// The logs of transactions whose first page is there from the beginning (`BootStrapXLOG`).
pub(super) const FIRST_PAGES: [&str; 4] =
    ["pg_xact/0000", "pg_subtrans/0000", "pg_multixact/offsets/0000", "pg_multixact/members/0000"];

/// The file that says which version the directory is of.
pub(super) const VERSION_FILE: &str = "PG_VERSION";
/// What it says.
pub(super) const VERSION_TEXT: &[u8] = b"15\n";

/// The database `postgres`, the one that tables are made in.
pub const DEFAULT_DATABASE: Oid = 5;
/// Databases with a directory of their own: `template1` and `postgres`.
pub(super) const DATABASES: [Oid; 2] = [1, DEFAULT_DATABASE];
/// The first object id that is not PostgreSQL's own (`FirstNormalObjectId`).
pub const FIRST_NORMAL_OID: Oid = 16384;
