//! Resource manager 0, XLOG: the log's own affairs: checkpoints, switches, images, parameters.

use std::fmt::Write as _;

use base::{Lsn, Oid, TimestampTz};
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::checkpoint::{CheckPoint, WalLevel};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

/// Info byte of a checkpoint when nothing runs.
pub const CHECKPOINT_SHUTDOWN: u8 = 0x00;
/// Info byte of a checkpoint of a running engine.
pub const CHECKPOINT_ONLINE: u8 = 0x10;
/// Info byte of a record that redo passes over.
pub const NOOP: u8 = 0x20;
/// Info byte of object ids set aside.
pub const NEXTOID: u8 = 0x30;
pub(crate) const SWITCH: u8 = 0x40;
const BACKUP_END: u8 = 0x50;
/// Info byte of parameters that changed.
pub const PARAMETER_CHANGE: u8 = 0x60;
/// Info byte of a named point to recover to.
pub const RESTORE_POINT: u8 = 0x70;
pub(crate) const FPW_CHANGE: u8 = 0x80;
const END_OF_RECOVERY: u8 = 0x90;
const FPI_FOR_HINT: u8 = 0xA0;
const FPI: u8 = 0xB0;
pub(crate) const OVERWRITE_CONTRECORD: u8 = 0xD0;
const CHECKPOINT_REDO: u8 = 0xE0;

/// `MAXFNAMELEN`: the space for the name of a restore point, its closing 0 included.
const RESTORE_POINT_NAME_SIZE: usize = 64;
/// `sizeof(xl_parameter_change)`
const PARAMETER_CHANGE_SIZE: usize = 28;

/// The payload of an XLOG record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Xlog<'a> {
    /// A checkpoint when the server was stopped, or recovery ended.
    CheckpointShutdown(CheckPoint),
    /// A checkpoint while the server ran.
    CheckpointOnline(CheckPoint),
    /// Nothing.
    Noop {},
    /// Object ids are set aside.
    NextOid {
        /// The first id that is not.
        next_oid: Oid,
    },
    /// The rest of the segment is empty.
    Switch {},
    /// A base backup's end.
    BackupEnd {
        /// Where the backup began.
        start: Lsn,
    },
    /// Parameters that a standby must know.
    ParameterChange(ParameterChange),
    /// A named point to recover to.
    RestorePoint(RestorePoint<'a>),
    /// `full_page_writes` was switched.
    FullPageWritesChange {
        /// Its value from here on.
        full_page_writes: bool,
    },
    /// Recovery ended without a checkpoint.
    EndOfRecovery(EndOfRecovery),
    /// Images of pages of which hint bits changed.
    FullPageImageForHint {},
    /// Images of pages, of a relation built anew for example.
    FullPageImage {},
    /// The record at a position was cut off by a crash; what continues it is to be ignored.
    OverwriteContrecord(OverwriteContrecord),
    /// The redo point of an online checkpoint; 17 and later.
    CheckpointRedo {
        /// `wal_level` from here on.
        wal_level: WalLevel,
    },
}

/// `xl_parameter_change`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is the server parameter of its name")]
pub struct ParameterChange {
    pub max_connections: i32,
    pub max_worker_processes: i32,
    pub max_wal_senders: i32,
    pub max_prepared_transactions: i32,
    pub max_locks_per_transaction: i32,
    pub wal_level: WalLevel,
    pub wal_log_hints: bool,
    pub track_commit_timestamp: bool,
}

/// `xl_restore_point`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RestorePoint<'a> {
    /// When it was made.
    pub time: TimestampTz,
    /// Its name.
    #[serde(serialize_with = "super::custom::lossy_text")]
    pub name: &'a [u8],
}

/// `xl_end_of_recovery`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EndOfRecovery {
    /// When it was written.
    pub time: TimestampTz,
    /// The new timeline.
    pub timeline: u32,
    /// The timeline that it forked off from.
    pub previous_timeline: u32,
    /// `wal_level`; 15 and 16 do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_level: Option<WalLevel>,
}

/// `xl_overwrite_contrecord`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OverwriteContrecord {
    /// Where the record that was cut off starts.
    pub overwritten: Lsn,
    /// When it was found.
    pub time: TimestampTz,
}

pub(super) fn identify(version: Version, info: u8) -> Option<&'static str> {
    Some(match info & 0xF0 {
        CHECKPOINT_SHUTDOWN => "CHECKPOINT_SHUTDOWN",
        CHECKPOINT_ONLINE => "CHECKPOINT_ONLINE",
        NOOP => "NOOP",
        NEXTOID => "NEXTOID",
        SWITCH => "SWITCH",
        BACKUP_END => "BACKUP_END",
        PARAMETER_CHANGE => "PARAMETER_CHANGE",
        RESTORE_POINT => "RESTORE_POINT",
        FPW_CHANGE => "FPW_CHANGE",
        END_OF_RECOVERY => "END_OF_RECOVERY",
        OVERWRITE_CONTRECORD => "OVERWRITE_CONTRECORD",
        FPI => "FPI",
        FPI_FOR_HINT => "FPI_FOR_HINT",
        CHECKPOINT_REDO if version >= Version::V17 => "CHECKPOINT_REDO",
        _ => return None,
    })
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let version = record.version();
    let cursor = |what| Cursor::new(what, record.main_data());
    let payload = match record.info() {
        CHECKPOINT_SHUTDOWN => {
            Xlog::CheckpointShutdown(CheckPoint::read(version, &mut cursor("CheckPoint"))?)
        }
        CHECKPOINT_ONLINE => {
            Xlog::CheckpointOnline(CheckPoint::read(version, &mut cursor("CheckPoint"))?)
        }
        NOOP => Xlog::Noop {},
        NEXTOID => Xlog::NextOid { next_oid: cursor("XLOG_NEXTOID").u32()? },
        SWITCH => Xlog::Switch {},
        BACKUP_END => Xlog::BackupEnd { start: cursor("XLOG_BACKUP_END").lsn()? },
        PARAMETER_CHANGE => parameter_change(&mut cursor("xl_parameter_change"))?,
        RESTORE_POINT => restore_point(&mut cursor("xl_restore_point"))?,
        FPW_CHANGE => {
            Xlog::FullPageWritesChange { full_page_writes: cursor("XLOG_FPW_CHANGE").bool()? }
        }
        END_OF_RECOVERY => end_of_recovery(version, &mut cursor("xl_end_of_recovery"))?,
        FPI_FOR_HINT => Xlog::FullPageImageForHint {},
        FPI => Xlog::FullPageImage {},
        OVERWRITE_CONTRECORD => {
            let mut cursor = cursor("xl_overwrite_contrecord");
            let (overwritten, time) = (cursor.lsn()?, cursor.time()?);
            Xlog::OverwriteContrecord(OverwriteContrecord { overwritten, time })
        }
        CHECKPOINT_REDO if version >= Version::V17 => {
            Xlog::CheckpointRedo { wal_level: WalLevel(cursor("XLOG_CHECKPOINT_REDO").i32()?) }
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Xlog(payload))
}

fn parameter_change<'a>(cursor: &mut Cursor<'a>) -> Result<Xlog<'a>, PayloadError> {
    Ok(Xlog::ParameterChange(ParameterChange {
        max_connections: cursor.i32()?,
        max_worker_processes: cursor.i32()?,
        max_wal_senders: cursor.i32()?,
        max_prepared_transactions: cursor.i32()?,
        max_locks_per_transaction: cursor.i32()?,
        wal_level: WalLevel(cursor.i32()?),
        wal_log_hints: cursor.bool()?,
        track_commit_timestamp: cursor.bool()?,
    }))
}

fn restore_point<'a>(cursor: &mut Cursor<'a>) -> Result<Xlog<'a>, PayloadError> {
    let time = cursor.time()?;
    let space = cursor.bytes(RESTORE_POINT_NAME_SIZE)?;
    let name = Cursor::new("rp_name", space).c_string()?;
    Ok(Xlog::RestorePoint(RestorePoint { time, name }))
}

fn end_of_recovery<'a>(
    version: Version,
    cursor: &mut Cursor<'a>,
) -> Result<Xlog<'a>, PayloadError> {
    let time = cursor.time()?;
    let (timeline, previous_timeline) = (cursor.u32()?, cursor.u32()?);
    let wal_level = match version {
        Version::V15 | Version::V16 => None,
        Version::V17 | Version::V18 => Some(WalLevel(cursor.i32()?)),
    };
    Ok(Xlog::EndOfRecovery(EndOfRecovery { time, timeline, previous_timeline, wal_level }))
}

impl ParameterChange {
    /// The payload's bytes, in the order of the C struct, with the bytes that fill it up.
    pub fn encode(&self) -> [u8; PARAMETER_CHANGE_SIZE] {
        let mut bytes = [0; PARAMETER_CHANGE_SIZE];
        let numbers = [
            self.max_connections,
            self.max_worker_processes,
            self.max_wal_senders,
            self.max_prepared_transactions,
            self.max_locks_per_transaction,
            self.wal_level.0,
        ];
        for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[24] = u8::from(self.wal_log_hints);
        bytes[25] = u8::from(self.track_commit_timestamp);
        bytes
    }
}

impl RestorePoint<'_> {
    /// The payload's bytes; of a name that is too long, the beginning.
    pub fn encode(&self) -> [u8; 8 + RESTORE_POINT_NAME_SIZE] {
        let mut bytes = [0; 8 + RESTORE_POINT_NAME_SIZE];
        bytes[..8].copy_from_slice(&self.time.0.to_le_bytes());
        // The last byte closes the name.
        let length = self.name.len().min(RESTORE_POINT_NAME_SIZE - 1);
        bytes[8..8 + length].copy_from_slice(&self.name[..length]);
        bytes
    }
}

impl EndOfRecovery {
    /// The payload's bytes, as 15 and 16 write them.
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.time.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.timeline.to_le_bytes());
        bytes[12..].copy_from_slice(&self.previous_timeline.to_le_bytes());
        bytes
    }
}

impl Xlog<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        match self {
            Xlog::CheckpointShutdown(checkpoint) => {
                describe_checkpoint(checkpoint, "shutdown", out);
            }
            Xlog::CheckpointOnline(checkpoint) => describe_checkpoint(checkpoint, "online", out),
            Xlog::Noop {}
            | Xlog::Switch {}
            | Xlog::FullPageImage {}
            | Xlog::FullPageImageForHint {} => {}
            Xlog::NextOid { next_oid } => {
                out.int(*next_oid);
            }
            Xlog::BackupEnd { start } => {
                out.lsn(*start);
            }
            Xlog::ParameterChange(change) => describe_parameter_change(change, out),
            Xlog::RestorePoint(point) => {
                out.bytes(point.name);
            }
            Xlog::FullPageWritesChange { full_page_writes } => {
                out.str(true_or_false(*full_page_writes));
            }
            Xlog::EndOfRecovery(end) => {
                out.str("tli ").int(end.timeline).str("; prev tli ").int(end.previous_timeline);
                out.str("; time ").time(end.time);
                if let Some(wal_level) = end.wal_level {
                    out.str("; wal_level ").str(wal_level.name());
                }
            }
            Xlog::OverwriteContrecord(overwrite) => {
                out.str("lsn ").lsn(overwrite.overwritten).str("; time ").time(overwrite.time);
            }
            Xlog::CheckpointRedo { wal_level } => {
                out.str("wal_level ").str(wal_level.name());
            }
        }
    }
}

fn true_or_false(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn describe_checkpoint(checkpoint: &CheckPoint, kind: &str, out: &mut Text) {
    let CheckPoint { redo, timeline, previous_timeline, next_oid, .. } = *checkpoint;
    let full_page_writes = true_or_false(checkpoint.full_page_writes);
    // Writing into memory does not fail.
    let _ = write!(
        out,
        "redo {redo}; tli {timeline}; prev tli {previous_timeline}; fpw {full_page_writes}; "
    );
    if let Some(wal_level) = checkpoint.wal_level {
        let _ = write!(out, "wal_level {wal_level}; ");
    }
    let _ = write!(
        out,
        "xid {}:{}; oid {next_oid}; multi {}; offset {}; \
         oldest xid {} in DB {}; oldest multi {} in DB {}; \
         oldest/newest commit timestamp xid: {}/{}; oldest running xid {}; {kind}",
        checkpoint.next_xid.epoch(),
        checkpoint.next_xid.xid(),
        checkpoint.next_multi,
        checkpoint.next_multi_offset,
        checkpoint.oldest_xid,
        checkpoint.oldest_xid_database,
        checkpoint.oldest_multi,
        checkpoint.oldest_multi_database,
        checkpoint.oldest_commit_timestamp_xid,
        checkpoint.newest_commit_timestamp_xid,
        checkpoint.oldest_active_xid,
    );
}

fn describe_parameter_change(change: &ParameterChange, out: &mut Text) {
    let on_or_off = |value| if value { "on" } else { "off" };
    // Writing into memory does not fail.
    let _ = write!(
        out,
        "max_connections={} max_worker_processes={} max_wal_senders={} max_prepared_xacts={} \
         max_locks_per_xact={} wal_level={} wal_log_hints={} track_commit_timestamp={}",
        change.max_connections,
        change.max_worker_processes,
        change.max_wal_senders,
        change.max_prepared_transactions,
        change.max_locks_per_transaction,
        change.wal_level,
        on_or_off(change.wal_log_hints),
        on_or_off(change.track_commit_timestamp),
    );
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;
    use crate::text::Dialect;

    fn record(version: Version, info: u8, main: Bytes) -> TestRecord {
        TestRecord::new(version, 0, info).main(main)
    }

    fn checkpoint(version: Version, info: u8) -> TestRecord {
        let main = Bytes::default()
            .u64(0x1_0152_8A38)
            .u32s(&[2, 1])
            .u8(1)
            .bytes(&[0xAA; 3])
            .i32(1)
            .u64(0x1_0000_02D8)
            .u32s(&[24576, 5, 10, 717, 4, 1, 6])
            .align(8)
            .i64(1_795_168_973)
            .u32s(&[726, 727, 728, 0]);
        assert_eq!(main.0.len(), crate::checkpoint::CHECKPOINT_SIZE);
        record(version, info, main)
    }

    #[test]
    fn checkpoints_name_their_wal_level_from_17_on() {
        let text = |wal_level: &str, kind: &str| {
            format!(
                "redo 1/1528A38; tli 2; prev tli 1; fpw true; {wal_level}xid 1:728; oid 24576; \
                 multi 5; offset 10; oldest xid 717 in DB 4; oldest multi 1 in DB 6; \
                 oldest/newest commit timestamp xid: 726/727; oldest running xid 728; {kind}"
            )
        };
        let online = |version| checkpoint(version, CHECKPOINT_ONLINE).text();
        assert_eq!(
            checkpoint(Version::V15, CHECKPOINT_SHUTDOWN).text(),
            format!("CHECKPOINT_SHUTDOWN {}", text("", "shutdown"))
        );
        assert_eq!(online(Version::V16), format!("CHECKPOINT_ONLINE {}", text("", "online")));
        for version in [Version::V17, Version::V18] {
            let expected = format!("CHECKPOINT_ONLINE {}", text("wal_level replica; ", "online"));
            assert_eq!(online(version), expected);
        }
    }

    #[test]
    fn a_checkpoint_has_all_its_fields_in_json() {
        let json = checkpoint(Version::V18, CHECKPOINT_ONLINE).json();
        insta::assert_json_snapshot!(json, @r#"
        {
          "full_page_writes": true,
          "newest_commit_timestamp_xid": 727,
          "next_multi": 5,
          "next_multi_offset": 10,
          "next_oid": 24576,
          "next_xid": 4294968024,
          "oldest_active_xid": 728,
          "oldest_commit_timestamp_xid": 726,
          "oldest_multi": 1,
          "oldest_multi_database": 6,
          "oldest_xid": 717,
          "oldest_xid_database": 4,
          "previous_timeline": 1,
          "redo": "1/1528A38",
          "time": "2026-11-20T10:02:53Z",
          "timeline": 2,
          "wal_level": "replica"
        }
        "#);
        assert!(checkpoint(Version::V16, CHECKPOINT_ONLINE).json().get("wal_level").is_none());
    }

    fn parameters(wal_level: i32) -> TestRecord {
        let main = Bytes::default()
            .i32(100)
            .i32(8)
            .i32(10)
            .i32(0)
            .i32(64)
            .i32(wal_level)
            .u8(0)
            .u8(1)
            .align(4);
        record(Version::V15, PARAMETER_CHANGE, main)
    }

    fn restore_point() -> TestRecord {
        let name = Bytes::default().i64(0).bytes(b"before the drop\0rest of the space");
        let padding = 8 + RESTORE_POINT_NAME_SIZE - name.0.len();
        record(Version::V15, RESTORE_POINT, name.zeros(padding))
    }

    fn end_of_recovery(version: Version) -> TestRecord {
        let main = Bytes::default().i64(848_484_173_000_000).u32s(&[2, 1]);
        let later = version >= Version::V17;
        record(version, END_OF_RECOVERY, if later { main.i32(2).zeros(4) } else { main })
    }

    fn overwrite() -> TestRecord {
        let main = Bytes::default().u64(0x152_8A38).i64(848_484_173_000_000);
        record(Version::V15, OVERWRITE_CONTRECORD, main)
    }

    #[test]
    fn the_others_print_as_pg_waldump_prints_them() {
        let small = |info, main| record(Version::V15, info, main).text();
        assert_eq!(small(NEXTOID, Bytes::default().u32(24576)), "NEXTOID 24576");
        assert_eq!(small(BACKUP_END, Bytes::default().u64(0x2_0000_0028)), "BACKUP_END 2/28");
        assert_eq!(small(FPW_CHANGE, Bytes::default().u8(0)), "FPW_CHANGE false");
        assert_eq!(small(NOOP, Bytes::default()), "NOOP ");
        assert_eq!(small(SWITCH, Bytes::default()), "SWITCH ");
        assert_eq!(TestRecord::new(Version::V18, 0, FPI).image(0).text(), "FPI ");
        assert_eq!(TestRecord::new(Version::V18, 0, FPI_FOR_HINT).image(0).text(), "FPI_FOR_HINT ");
        assert_eq!(
            parameters(2).text(),
            "PARAMETER_CHANGE max_connections=100 max_worker_processes=8 max_wal_senders=10 \
             max_prepared_xacts=0 max_locks_per_xact=64 wal_level=logical wal_log_hints=off \
             track_commit_timestamp=on"
        );
        assert!(parameters(7).text().contains("wal_level=? "));
        assert_eq!(restore_point().text(), "RESTORE_POINT before the drop");
        assert_eq!(restore_point().json()["name"], "before the drop");
        assert!(overwrite().text().starts_with("OVERWRITE_CONTRECORD lsn 0/1528A38; time 20"));
    }

    #[test]
    fn the_end_of_recovery_names_the_wal_level_from_17_on() {
        let old = end_of_recovery(Version::V16).text();
        assert!(old.starts_with("END_OF_RECOVERY tli 2; prev tli 1; time 2026-11-"), "{old}");
        assert!(!old.contains("wal_level"), "{old}");
        let new = end_of_recovery(Version::V17).describe_as(Dialect::Server);
        assert!(new.ends_with("; wal_level logical"), "{new}");
    }

    #[test]
    fn the_redo_record_is_known_from_17_on() {
        let redo = |version| record(version, CHECKPOINT_REDO, Bytes::default().i32(0)).text();
        assert_eq!(redo(Version::V17), "CHECKPOINT_REDO wal_level minimal");
        assert_eq!(redo(Version::V16), "UNKNOWN (e0) ");
    }

    #[test]
    fn damage_is_no_panic() {
        let records = [
            checkpoint(Version::V18, CHECKPOINT_ONLINE),
            parameters(1),
            restore_point(),
            end_of_recovery(Version::V17),
            overwrite(),
            record(Version::V17, CHECKPOINT_REDO, Bytes::default().i32(0)),
            record(Version::V17, FPW_CHANGE, Bytes::default().u8(1)),
            record(Version::V17, NEXTOID, Bytes::default().u32(1)),
        ];
        for record in records {
            record.truncated_anywhere();
            record.overwritten_anywhere();
        }
    }
}
