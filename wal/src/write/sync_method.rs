//! How the log's files are made durable (`wal_sync_method`).

/// How the log's files are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SyncMethod {
    /// `fdatasync` after writing: the bytes, and of the file what is needed to read them.
    #[default]
    Fdatasync,
    /// `fsync` after writing.
    Fsync,
    /// Files are opened with `O_DSYNC`, and a write comes back when it is durable.
    OpenDatasync,
    /// Not at all: a crash of the machine loses what the kernel had not written by itself, and may leave the data
    /// files newer than the log (`fsync = off`).
    None,
}

impl SyncMethod {
    /// Whether files are to be synced after writing.
    pub(super) const fn syncs_after_writing(self) -> bool {
        matches!(self, SyncMethod::Fdatasync | SyncMethod::Fsync)
    }
}
