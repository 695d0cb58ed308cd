//! The checks that make a control file one to rely on.

use serde::Serialize;

use super::{ClusterState, ControlData, RawControl};
use crate::segment::SegmentSize;
use crate::version::Version;

/// A control file that a server of its version can start with.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ControlFile {
    raw: RawControl,
    #[serde(skip)]
    state: ClusterState,
    #[serde(skip)]
    segment_size: SegmentSize,
}

/// Why a control file is not to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ControlFault {
    /// No version writes this control version.
    #[error(
        "pg_control has version {0}, which is of none of PostgreSQL 15 to 18 (1300, 1700, 1800)"
    )]
    Version(u32),
    /// The control version makes sense with its bytes in reverse order.
    #[error("pg_control was written on a machine of another byte order")]
    ByteOrder,
    /// The checksum is not that of the bytes.
    #[error("incorrect checksum in control file: {stored:08X} is stored, {computed:08X} is right")]
    Checksum {
        /// In the file.
        stored: u32,
        /// Of the file.
        computed: u32,
    },
    /// The catalog is another version's.
    #[error("pg_control has catalog version {found}, PostgreSQL {version} has {}", version.catalog_version())]
    CatalogVersion {
        /// Version by the control version.
        version: Version,
        /// In the file.
        found: u32,
    },
    /// A value that is compiled into the server is another one.
    #[error("pg_control has {what} {found}, and not {expected}")]
    Compiled {
        /// PostgreSQL's name for it.
        what: &'static str,
        /// In the file.
        found: u32,
        /// In every distribution's servers on this kind of machine.
        expected: u32,
    },
    /// Floating-point numbers have another form.
    #[error("pg_control has floating-point numbers of another form than this machine's")]
    FloatFormat,
    /// Eight-byte values are passed by reference.
    #[error("pg_control is of a server without USE_FLOAT8_BYVAL")]
    Float8ByReference,
    /// No segment is of this size.
    #[error(
        "pg_control has a WAL segment size of {0} bytes, which is no power of two between 1 MB and 1 GB"
    )]
    SegmentSize(u32),
    /// No state has this number.
    #[error("pg_control has the unrecognized status code {0}")]
    State(u32),
    /// No `wal_level` has this number.
    #[error("pg_control has the unrecognized wal_level {0}")]
    WalLevel(i32),
}

/// `FLOATFORMAT_VALUE`
const FLOAT_FORMAT: f64 = 1_234_567.0;

impl RawControl {
    /// Checks everything that a server checks when it starts (`ReadControlFile`), in its order, then
    /// the numbers that stand for names.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(self) -> Result<ControlFile, ControlFault> {
        let (version, data) = (self.version, &self.data);
        if self.is_reversed() {
            return Err(ControlFault::ByteOrder);
        }
        if data.control_version != version.control_version() {
            return Err(ControlFault::Version(data.control_version));
        }
        if !self.checksum_is_right() {
            let (stored, computed) = (self.stored_crc, self.computed_crc);
            return Err(ControlFault::Checksum { stored, computed });
        }
        if data.catalog_version != version.catalog_version() {
            return Err(ControlFault::CatalogVersion { version, found: data.catalog_version });
        }
        if data.float_format.to_bits() != FLOAT_FORMAT.to_bits() {
            return Err(ControlFault::FloatFormat);
        }
        for (what, found, expected) in [
            ("MAXALIGN", data.maximum_alignment, 8),
            ("BLCKSZ", data.block_size, 8192),
            ("RELSEG_SIZE", data.relation_segment_blocks, 131_072),
            ("XLOG_BLCKSZ", data.wal_block_size, 8192),
            ("NAMEDATALEN", data.name_length, 64),
            ("INDEX_MAX_KEYS", data.index_max_keys, 32),
            ("TOAST_MAX_CHUNK_SIZE", data.toast_max_chunk_size, 1996),
            ("LOBLKSIZE", data.large_object_chunk_size, 2048),
        ] {
            if found != expected {
                return Err(ControlFault::Compiled { what, found, expected });
            }
        }
        if !data.float8_by_value {
            return Err(ControlFault::Float8ByReference);
        }
        let segment_size = SegmentSize::from_bytes(u64::from(data.wal_segment_size))
            .ok_or(ControlFault::SegmentSize(data.wal_segment_size))?;
        let state = data.state.state().ok_or(ControlFault::State(data.state.0))?;
        let copied = data.checkpoint_copy.wal_level;
        for level in [Some(data.wal_level), copied].into_iter().flatten() {
            if !level.is_known() {
                return Err(ControlFault::WalLevel(level.0));
            }
        }
        Ok(ControlFile { raw: self, state, segment_size })
    }
}

impl ControlFile {
    /// The version that wrote it.
    pub fn version(&self) -> Version {
        self.raw.version
    }

    /// Its fields.
    pub fn data(&self) -> &ControlData {
        &self.raw.data
    }

    /// What the server was doing.
    pub fn state(&self) -> ClusterState {
        self.state
    }

    /// The size of the log's segments.
    pub fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    /// What was found, without the promise.
    pub fn into_raw(self) -> RawControl {
        self.raw
    }
}
