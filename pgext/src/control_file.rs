//! `strata.control_file()`: `global/pg_control` of the running server, field by field, each with what it means.
//!
//! Fields that the server's own functions show (`pg_control_system`, `_checkpoint`, `_recovery`, `_init`) have the names and
//! the text forms that they have there; the others have the names of the server's settings or of `pg_control.h`. The file is
//! read, not the server's copy in memory: what is shown is what the next start will find.

use base::disk::RealDisk;
use base::{FullXid, TimestampTz, UnixTime};
use wal::checkpoint::CheckPoint;
use wal::control::{ControlData, RawControl};
use wal::segment::SegmentSize;

use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::time::description;
use crate::ffi::value::Value;
use crate::server;

sql_functions!(control_file);

/// A row a field, in the file's order; the file's own check last.
fn control_file(call: &Call) -> Outcome {
    let control = wal::control::load(&RealDisk, &server::data_directory())?;
    let mut rows = Rows::begin(call);
    let mut show = |section: &str, fields: Vec<Field>| {
        for Field { name, value, meaning } in fields {
            let value = value.as_deref().map_or(Value::Null, Value::from);
            rows.put(&[Value::from(section), Value::from(name), value, Value::from(meaning)]);
        }
    };
    let data = &control.data;
    show("system", system(data));
    show("checkpoint", checkpoint(data));
    show("recovery", recovery(data));
    show("settings", settings(data));
    show("init", init(data));
    show("file", file(&control));
    Ok(rows.end())
}

struct Field {
    name: &'static str,
    value: Option<String>,
    meaning: &'static str,
}

fn field(name: &'static str, value: impl ToString, meaning: &'static str) -> Field {
    Field { name, value: Some(value.to_string()), meaning }
}

fn system(data: &ControlData) -> Vec<Field> {
    vec![
        // The server has it in a bigint.
        field(
            "system_identifier",
            data.system_identifier as i64,
            "what tells this cluster from all others; each segment of the log carries it",
        ),
        field("pg_control_version", data.control_version, "the layout of this file"),
        field("catalog_version_no", data.catalog_version, "the layout of the system catalogs"),
        field("state", data.state, "what the server was doing when it wrote this file"),
        field("pg_control_last_modified", time(data.time), "when it wrote this file"),
        field(
            "unlogged_lsn",
            data.unlogged_lsn,
            "a counter that stands for log positions in unlogged relations",
        ),
        field(
            "mock_authentication_nonce",
            hexadecimal(&data.mock_authentication_nonce),
            "random bytes that stand for the password of a role that does not exist",
        ),
    ]
}

fn checkpoint(data: &ControlData) -> Vec<Field> {
    let copy: &CheckPoint = &data.checkpoint_copy;
    let redo_file = SegmentSize::from_bytes(u64::from(data.wal_segment_size))
        .map(|size| size.file_name(copy.timeline, size.number_of(copy.redo)));
    let mut fields = vec![
        field("checkpoint_lsn", data.checkpoint, "where the latest checkpoint's record starts"),
        field("redo_lsn", copy.redo, "where recovery begins"),
        Field {
            name: "redo_wal_file",
            value: redo_file,
            meaning: "the segment that this position is in",
        },
        field("timeline_id", copy.timeline, "the checkpoint's timeline"),
        field(
            "prev_timeline_id",
            copy.previous_timeline,
            "the timeline before, if the checkpoint begins a new one",
        ),
        field("full_page_writes", copy.full_page_writes, "the setting as of the checkpoint"),
        field("next_xid", epoch_and_xid(copy.next_xid), "the next transaction id, with its epoch"),
        field("next_oid", copy.next_oid, "the next object id"),
        field("next_multixact_id", copy.next_multi, "the next multixact id"),
        field(
            "next_multi_offset",
            copy.next_multi_offset,
            "the next place among multixact members",
        ),
        field("oldest_xid", copy.oldest_xid, "the oldest transaction id that is not frozen"),
        field("oldest_xid_dbid", copy.oldest_xid_database, "the database that has it"),
        field(
            "oldest_active_xid",
            copy.oldest_active_xid,
            "the oldest transaction that ran at the checkpoint; 0 after a shutdown",
        ),
        field("oldest_multi_xid", copy.oldest_multi, "the oldest multixact id that is still used"),
        field("oldest_multi_dbid", copy.oldest_multi_database, "the database that has it"),
        field(
            "oldest_commit_ts_xid",
            copy.oldest_commit_timestamp_xid,
            "the oldest transaction with a commit timestamp; 0 for none",
        ),
        field(
            "newest_commit_ts_xid",
            copy.newest_commit_timestamp_xid,
            "the newest transaction with a commit timestamp; 0 for none",
        ),
        field("checkpoint_time", time(copy.time), "when the checkpoint was begun"),
    ];
    if let Some(wal_level) = copy.wal_level {
        fields.push(field(
            "checkpoint_wal_level",
            wal_level,
            "wal_level as of the checkpoint; 15 and 16 do not have it",
        ));
    }
    fields
}

fn recovery(data: &ControlData) -> Vec<Field> {
    vec![
        field(
            "min_recovery_end_lsn",
            data.minimum_recovery_point,
            "how far recovery must go before the data are consistent; 0/0 outside archive recovery",
        ),
        field(
            "min_recovery_end_timeline",
            data.minimum_recovery_point_timeline,
            "the timeline of that position",
        ),
        field(
            "backup_start_lsn",
            data.backup_start_point,
            "where recovery of a base backup began, until its end is reached",
        ),
        field(
            "backup_end_lsn",
            data.backup_end_point,
            "the end of a base backup that a standby gave, until it is reached",
        ),
        field(
            "end_of_backup_record_required",
            data.backup_end_required,
            "whether recovery must see the record that ends the backup",
        ),
    ]
}

fn settings(data: &ControlData) -> Vec<Field> {
    const MEANING: &str = "the setting that the log was written with; a standby needs as much";
    vec![
        field("wal_level", data.wal_level, "how much the log tells"),
        field(
            "wal_log_hints",
            data.wal_log_hints,
            "whether hint bits are logged without checksums",
        ),
        field("max_connections", data.max_connections, MEANING),
        field("max_worker_processes", data.max_worker_processes, MEANING),
        field("max_wal_senders", data.max_wal_senders, MEANING),
        field("max_prepared_transactions", data.max_prepared_transactions, MEANING),
        field("max_locks_per_transaction", data.max_locks_per_transaction, MEANING),
        field(
            "track_commit_timestamp",
            data.track_commit_timestamp,
            "whether commit timestamps are kept",
        ),
    ]
}

fn init(data: &ControlData) -> Vec<Field> {
    let mut fields = vec![
        field("max_data_alignment", data.maximum_alignment, "alignment of data, in bytes"),
        field("database_block_size", data.block_size, "size of a data page, in bytes"),
        field(
            "blocks_per_segment",
            data.relation_segment_blocks,
            "pages in one file of a large relation",
        ),
        field("wal_block_size", data.wal_block_size, "size of a log page, in bytes"),
        field("bytes_per_wal_segment", data.wal_segment_size, "size of a log segment, in bytes"),
        field(
            "max_identifier_length",
            data.name_length,
            "length of the longest name in bytes, with the zero at its end",
        ),
        field("max_index_columns", data.index_max_keys, "most columns of an index"),
        field(
            "max_toast_chunk_size",
            data.toast_max_chunk_size,
            "longest chunk in a TOAST table, in bytes",
        ),
        field(
            "large_object_chunk_size",
            data.large_object_chunk_size,
            "length of a large object's chunk, in bytes",
        ),
        field("float_format", data.float_format, "1234567 as this machine writes it"),
        field(
            "float8_pass_by_value",
            data.float8_by_value,
            "whether values of eight bytes are passed by value",
        ),
        field(
            "data_page_checksum_version",
            data.data_checksum_version,
            "kind of the data pages' checksums; 0 for none",
        ),
    ];
    if let Some(is_signed) = data.default_char_signedness {
        fields.push(field(
            "default_char_signedness",
            is_signed,
            "whether char was signed where the cluster was made; since 18",
        ));
    }
    fields
}

fn file(control: &RawControl) -> Vec<Field> {
    let crc_state = if control.checksum_is_right() { "right" } else { "wrong" };
    vec![
        field("crc", format!("{:08X}", control.stored_crc), "CRC-32C of what is before, as stored"),
        field("computed_crc", format!("{:08X}", control.computed_crc), "the same, as it should be"),
        field(
            "crc_state",
            crc_state,
            "whether the two agree; if not, nothing above can be relied on",
        ),
        Field {
            name: "fault",
            value: control.check().err().map(|fault| fault.to_string()),
            meaning: "what would keep a server of the file's version from starting; NULL for nothing",
        },
    ]
}

/// As the session shows times, in ISO form.
fn time(time: UnixTime) -> String {
    const SECONDS_FROM_1970_TO_2000: i64 = 946_684_800;
    let seconds = time.0.saturating_sub(SECONDS_FROM_1970_TO_2000);
    let mut text = description();
    text.time(TimestampTz(seconds.saturating_mul(1_000_000)));
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

fn epoch_and_xid(xid: FullXid) -> String {
    format!("{}:{}", xid.epoch(), xid.xid())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
