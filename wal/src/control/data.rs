//! The fields of pg_control as they are on disk; every value may be there.
//!
//! ```text
//! offset  size  field                       ControlFileData, 296 bytes
//!      0     8  system_identifier
//!      8     4  pg_control_version          1300 (15, 16), 1700, 1800
//!     12     4  catalog_version_no
//!     16     4  state
//!     24     8  time
//!     32     8  checkPoint
//!     40    88  checkPointCopy              see crate::checkpoint
//!    128     8  unloggedLSN
//!    136     8  minRecoveryPoint
//!    144     4  minRecoveryPointTLI
//!    152     8  backupStartPoint
//!    160     8  backupEndPoint
//!    168     1  backupEndRequired
//!    172     4  wal_level
//!    176     1  wal_log_hints
//!    180     4  MaxConnections
//!    184     4  max_worker_processes
//!    188     4  max_wal_senders
//!    192     4  max_prepared_xacts
//!    196     4  max_locks_per_xact
//!    200     1  track_commit_timestamp
//!    204     4  maxAlign
//!    208     8  floatFormat                 1234567.0
//!    216     4  blcksz
//!    220     4  relseg_size
//!    224     4  xlog_blcksz
//!    228     4  xlog_seg_size
//!    232     4  nameDataLen
//!    236     4  indexMaxKeys
//!    240     4  toast_max_chunk_size
//!    244     4  loblksize
//!    248     1  float8ByVal
//!    252     4  data_checksum_version
//!               15 to 17                    18
//!               256 mock_authentication_    256  1  default_char_signedness
//!                   nonce, 32 bytes         257 32  mock_authentication_nonce
//!               288 crc, 4 bytes            292  4  crc
//! ```
//!
//! Source: `catalog/pg_control.h`. What is not listed is padding. The file is 8192 bytes long; what follows
//! the struct is zero.

use std::mem::offset_of;

use base::{Lsn, UnixTime};
use serde::{Serialize, Serializer};

use super::state::StateNumber;
use crate::checkpoint::{CHECKPOINT_SIZE, CheckPoint, WalLevel};
use crate::codec::{Codec, Field, Reader, Writer, fields};
use crate::segment::Timeline;
use crate::text::Text;
use crate::version::Version;

/// Size of the struct on disk (`sizeof(ControlFileData)`), in bytes.
pub const CONTROL_DATA_SIZE: usize = 296;

/// `ControlFileData` without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ControlData {
    /// What tells this cluster from all others.
    pub system_identifier: u64,
    /// `PG_CONTROL_VERSION`
    pub control_version: u32,
    /// `CATALOG_VERSION_NO`
    pub catalog_version: u32,
    /// What the server was doing.
    pub state: StateNumber,
    /// When this was written.
    pub time: UnixTime,
    /// Position of the latest checkpoint's record.
    pub checkpoint: Lsn,
    /// What that record says.
    pub checkpoint_copy: CheckPoint,
    /// Counter that stands for log positions in unlogged relations.
    pub unlogged_lsn: Lsn,
    /// How far recovery must go before the data is consistent; 0 if no archive recovery is under way.
    pub minimum_recovery_point: Lsn,
    /// The timeline of that position.
    pub minimum_recovery_point_timeline: Timeline,
    /// Redo point of the backup that is being recovered, until its end is reached.
    pub backup_start_point: Lsn,
    /// End of the backup, if it was taken from a standby, until it is reached.
    pub backup_end_point: Lsn,
    /// Whether a record that ends the backup must be seen.
    pub backup_end_required: bool,
    /// `wal_level`; this and the following are the settings that the log was written with.
    pub wal_level: WalLevel,
    /// `wal_log_hints`
    pub wal_log_hints: bool,
    /// `max_connections`
    pub max_connections: i32,
    /// `max_worker_processes`
    pub max_worker_processes: i32,
    /// `max_wal_senders`
    pub max_wal_senders: i32,
    /// `max_prepared_transactions`
    pub max_prepared_transactions: i32,
    /// `max_locks_per_transaction`
    pub max_locks_per_transaction: i32,
    /// `track_commit_timestamp`
    pub track_commit_timestamp: bool,
    /// Alignment of data, in bytes.
    pub maximum_alignment: u32,
    /// 1234567.0 as this machine writes it.
    pub float_format: f64,
    /// Size of a data page in bytes.
    pub block_size: u32,
    /// Pages in a file of a large relation.
    pub relation_segment_blocks: u32,
    /// Size of a log page in bytes.
    pub wal_block_size: u32,
    /// Size of a log segment in bytes.
    pub wal_segment_size: u32,
    /// Longest name in bytes, the terminating zero included.
    pub name_length: u32,
    /// Most columns in an index.
    pub index_max_keys: u32,
    /// Longest chunk of a TOAST table in bytes.
    pub toast_max_chunk_size: u32,
    /// Length of a large object's chunk in bytes.
    pub large_object_chunk_size: u32,
    /// Whether eight-byte values are passed by value.
    pub float8_by_value: bool,
    /// Version of the data pages' checksums, 0 for none.
    pub data_checksum_version: u32,
    /// Whether `char` was signed where the cluster was made; since 18.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_char_signedness: Option<bool>,
    /// Random bytes that stand for a password that there is not.
    #[serde(serialize_with = "hexadecimal")]
    pub mock_authentication_nonce: [u8; 32],
}

/// The fields that lie where they lie in all versions.
#[repr(C)]
struct Layout {
    system_identifier: u64,
    control_version: u32,
    catalog_version: u32,
    state: u32,
    time: i64,
    checkpoint: u64,
    checkpoint_copy: [u64; CHECKPOINT_SIZE / 8],
    unlogged_lsn: u64,
    minimum_recovery_point: u64,
    minimum_recovery_point_timeline: u32,
    backup_start_point: u64,
    backup_end_point: u64,
    backup_end_required: u8,
    wal_level: i32,
    wal_log_hints: u8,
    max_connections: i32,
    max_worker_processes: i32,
    max_wal_senders: i32,
    max_prepared_transactions: i32,
    max_locks_per_transaction: i32,
    track_commit_timestamp: u8,
    maximum_alignment: u32,
    float_format: f64,
    block_size: u32,
    relation_segment_blocks: u32,
    wal_block_size: u32,
    wal_segment_size: u32,
    name_length: u32,
    index_max_keys: u32,
    toast_max_chunk_size: u32,
    large_object_chunk_size: u32,
    float8_by_value: u8,
    data_checksum_version: u32,
}

/// The rest in 15 to 17.
#[repr(C)]
struct Layout15 {
    common: Layout,
    mock_authentication_nonce: [u8; 32],
    crc: u32,
}

/// The rest in 18.
#[repr(C)]
struct Layout18 {
    common: Layout,
    default_char_signedness: u8,
    mock_authentication_nonce: [u8; 32],
    crc: u32,
}

const _: () = {
    assert!(size_of::<Layout>() == 256);
    assert!(offset_of!(Layout, system_identifier) == 0);
    assert!(offset_of!(Layout, control_version) == 8);
    assert!(offset_of!(Layout, catalog_version) == 12);
    assert!(offset_of!(Layout, state) == 16);
    assert!(offset_of!(Layout, time) == 24);
    assert!(offset_of!(Layout, checkpoint) == 32);
    assert!(offset_of!(Layout, checkpoint_copy) == 40);
    assert!(offset_of!(Layout, unlogged_lsn) == 128);
    assert!(offset_of!(Layout, minimum_recovery_point) == 136);
    assert!(offset_of!(Layout, minimum_recovery_point_timeline) == 144);
    assert!(offset_of!(Layout, backup_start_point) == 152);
    assert!(offset_of!(Layout, backup_end_point) == 160);
    assert!(offset_of!(Layout, backup_end_required) == 168);
    assert!(offset_of!(Layout, wal_level) == 172);
    assert!(offset_of!(Layout, wal_log_hints) == 176);
    assert!(offset_of!(Layout, max_connections) == 180);
    assert!(offset_of!(Layout, max_worker_processes) == 184);
    assert!(offset_of!(Layout, max_wal_senders) == 188);
    assert!(offset_of!(Layout, max_prepared_transactions) == 192);
    assert!(offset_of!(Layout, max_locks_per_transaction) == 196);
    assert!(offset_of!(Layout, track_commit_timestamp) == 200);
    assert!(offset_of!(Layout, maximum_alignment) == 204);
    assert!(offset_of!(Layout, float_format) == 208);
    assert!(offset_of!(Layout, block_size) == 216);
    assert!(offset_of!(Layout, relation_segment_blocks) == 220);
    assert!(offset_of!(Layout, wal_block_size) == 224);
    assert!(offset_of!(Layout, wal_segment_size) == 228);
    assert!(offset_of!(Layout, name_length) == 232);
    assert!(offset_of!(Layout, index_max_keys) == 236);
    assert!(offset_of!(Layout, toast_max_chunk_size) == 240);
    assert!(offset_of!(Layout, large_object_chunk_size) == 244);
    assert!(offset_of!(Layout, float8_by_value) == 248);
    assert!(offset_of!(Layout, data_checksum_version) == 252);
    assert!(offset_of!(Layout15, mock_authentication_nonce) == 256);
    assert!(offset_of!(Layout15, crc) == 288);
    assert!(size_of::<Layout15>() == CONTROL_DATA_SIZE);
    assert!(offset_of!(Layout18, default_char_signedness) == 256);
    assert!(offset_of!(Layout18, mock_authentication_nonce) == 257);
    assert!(offset_of!(Layout18, crc) == 292);
    assert!(size_of::<Layout18>() == CONTROL_DATA_SIZE);
};

/// Where the control version is, in all versions.
pub(super) const CONTROL_VERSION_AT: usize = offset_of!(Layout, control_version);

/// Where the checksum is, which is also how many bytes it is of.
pub(super) const fn crc_at(version: Version) -> usize {
    match version {
        Version::V15 | Version::V16 | Version::V17 => offset_of!(Layout15, crc),
        Version::V18 => offset_of!(Layout18, crc),
    }
}

impl ControlData {
    /// From the struct's bytes, as `version` writes them.
    pub(super) fn read(bytes: &[u8; CONTROL_DATA_SIZE], version: Version) -> ControlData {
        let default_char_signedness = (version >= Version::V18).then_some(false);
        let mut data = ControlData { default_char_signedness, ..ControlData::default() };
        data.visit(&mut Reader(bytes));
        let copy = Field::read(&bytes[offset_of!(Layout, checkpoint_copy)..]);
        data.checkpoint_copy = CheckPoint::from_bytes(version, &copy);
        data
    }

    /// The struct's bytes, without the checksum; padding is zero.
    pub(super) fn encode(&self) -> [u8; CONTROL_DATA_SIZE] {
        let mut bytes = [0; CONTROL_DATA_SIZE];
        let mut data = *self;
        data.visit(&mut Writer(&mut bytes));
        let copy = self.checkpoint_copy.encode();
        copy.write(&mut bytes[offset_of!(Layout, checkpoint_copy)..]);
        bytes
    }

    /// All fields but the checkpoint's.
    fn visit(&mut self, codec: &mut impl Codec) {
        fields!(
            codec,
            self,
            Layout: system_identifier,
            control_version,
            catalog_version,
            state,
            time,
            checkpoint,
            unlogged_lsn,
            minimum_recovery_point,
            minimum_recovery_point_timeline,
            backup_start_point,
            backup_end_point,
            backup_end_required,
            wal_level,
            wal_log_hints,
            max_connections,
            max_worker_processes,
            max_wal_senders,
            max_prepared_transactions,
            max_locks_per_transaction,
            track_commit_timestamp,
            maximum_alignment,
            float_format,
            block_size,
            relation_segment_blocks,
            wal_block_size,
            wal_segment_size,
            name_length,
            index_max_keys,
            toast_max_chunk_size,
            large_object_chunk_size,
            float8_by_value,
            data_checksum_version,
        );
        if let Some(signed) = &mut self.default_char_signedness {
            codec.field(offset_of!(Layout18, default_char_signedness), signed);
            fields!(codec, self, Layout18: mock_authentication_nonce);
        } else {
            fields!(codec, self, Layout15: mock_authentication_nonce);
        }
    }
}

/// Bytes as hexadecimal digits.
fn hexadecimal<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = Text::default();
    for &byte in bytes {
        text.hex_lower(u64::from(byte), 2);
    }
    serializer.serialize_str(&String::from_utf8_lossy(text.as_bytes()))
}
