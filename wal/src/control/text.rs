//! The text that `pg_controldata` prints under `LC_ALL=C`, of the major version that wrote the file.
//!
//! 15 and 16 warn on standard output, before the values; 17 and 18 on standard error. All of them warn of
//! another byte order on standard error.

use std::fmt::Write as _;

use base::{FullXid, UnixTime};

use super::{RawControl, Warning};
use crate::segment::Timeline;
use crate::text::Text;
use crate::version::Version;

/// `%d` of a segment size: C has it in an `int`.
fn signed(size: u32) -> i32 {
    size as i32
}

fn plural(size: u32) -> &'static str {
    if size == 1 { "" } else { "s" }
}

fn on(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

fn local(time: UnixTime) -> String {
    time.local_text().unwrap_or_else(|| "???".to_owned())
}

fn epoch_and_xid(xid: FullXid) -> String {
    format!("{}:{}", xid.epoch(), xid.xid())
}

impl RawControl {
    /// Appends what `pg_controldata` prints to standard output.
    pub fn push_text(&self, out: &mut Text) {
        if self.version <= Version::V16 {
            for warning in self.warnings() {
                push_stdout_warning(warning, out);
            }
        }
        self.push_values(out);
    }

    /// Appends what it prints to standard error, as a program of the name `program`.
    pub fn push_messages(&self, program: &str, out: &mut Text) {
        for warning in self.warnings() {
            let (message, details): (String, &[&str]) = match warning {
                Warning::ByteOrder => (
                    "possible byte ordering mismatch\n\
                     The byte ordering used to store the pg_control file might not match the one\n\
                     used by this program.  In that case the results below would be incorrect, and\n\
                     the PostgreSQL installation would be incompatible with this data directory."
                        .to_owned(),
                    &[],
                ),
                _ if self.version <= Version::V16 => continue,
                Warning::Checksum => (
                    "calculated CRC checksum does not match value stored in control file".to_owned(),
                    &["Either the control file is corrupt, or it has a different layout than this \
                       program is expecting.  The results below are untrustworthy."],
                ),
                Warning::SegmentSize(size) => (
                    format!(
                        "invalid WAL segment size in control file ({} byte{})",
                        signed(size),
                        plural(size)
                    ),
                    &[
                        "The WAL segment size must be a power of two between 1 MB and 1 GB.",
                        "The file is corrupt and the results below are untrustworthy.",
                    ],
                ),
            };
            out.str(program).str(": warning: ").str(&message).str("\n");
            for detail in details {
                out.str(program).str(": detail: ").str(detail).str("\n");
            }
        }
    }

    /// Name of the segment that replay begins in, also for a size that is no segment's.
    fn redo_segment_name(&self) -> String {
        let size = match u64::try_from(signed(self.data.wal_segment_size)) {
            Ok(size) if size > 0 => size,
            _ => return "???".to_owned(),
        };
        let number = self.data.checkpoint_copy.redo.0 / size;
        let per_log_id = (1 << 32) / size;
        let Timeline(timeline) = self.data.checkpoint_copy.timeline;
        format!(
            "{timeline:08X}{:08X}{:08X}",
            (number / per_log_id) as u32,
            (number % per_log_id) as u32
        )
    }

    fn push_values(&self, out: &mut Text) {
        let data = &self.data;
        let checkpoint = &data.checkpoint_copy;
        // A label and padding of 38 columns, then a value.
        macro_rules! line {
            ($label:literal, $value:expr) => {
                // Writing into memory does not fail.
                let _ = writeln!(out, "{:<38}{}", $label, $value);
            };
        }
        line!("pg_control version number:", data.control_version);
        line!("Catalog version number:", data.catalog_version);
        line!("Database system identifier:", data.system_identifier);
        line!("Database cluster state:", data.state.to_string());
        line!("pg_control last modified:", local(data.time));
        line!("Latest checkpoint location:", data.checkpoint.to_string());
        line!("Latest checkpoint's REDO location:", checkpoint.redo.to_string());
        line!("Latest checkpoint's REDO WAL file:", self.redo_segment_name());
        line!("Latest checkpoint's TimeLineID:", checkpoint.timeline);
        line!("Latest checkpoint's PrevTimeLineID:", checkpoint.previous_timeline);
        line!("Latest checkpoint's full_page_writes:", on(checkpoint.full_page_writes));
        line!("Latest checkpoint's NextXID:", epoch_and_xid(checkpoint.next_xid));
        line!("Latest checkpoint's NextOID:", checkpoint.next_oid);
        line!("Latest checkpoint's NextMultiXactId:", checkpoint.next_multi);
        line!("Latest checkpoint's NextMultiOffset:", checkpoint.next_multi_offset);
        line!("Latest checkpoint's oldestXID:", checkpoint.oldest_xid);
        line!("Latest checkpoint's oldestXID's DB:", checkpoint.oldest_xid_database);
        line!("Latest checkpoint's oldestActiveXID:", checkpoint.oldest_active_xid);
        line!("Latest checkpoint's oldestMultiXid:", checkpoint.oldest_multi);
        line!("Latest checkpoint's oldestMulti's DB:", checkpoint.oldest_multi_database);
        line!("Latest checkpoint's oldestCommitTsXid:", checkpoint.oldest_commit_timestamp_xid);
        line!("Latest checkpoint's newestCommitTsXid:", checkpoint.newest_commit_timestamp_xid);
        line!("Time of latest checkpoint:", local(checkpoint.time));
        line!("Fake LSN counter for unlogged rels:", data.unlogged_lsn.to_string());
        line!("Minimum recovery ending location:", data.minimum_recovery_point.to_string());
        line!("Min recovery ending loc's timeline:", data.minimum_recovery_point_timeline);
        line!("Backup start location:", data.backup_start_point.to_string());
        line!("Backup end location:", data.backup_end_point.to_string());
        line!(
            "End-of-backup record required:",
            if data.backup_end_required { "yes" } else { "no" }
        );
        line!("wal_level setting:", self.wal_level_text());
        line!("wal_log_hints setting:", on(data.wal_log_hints));
        line!("max_connections setting:", data.max_connections);
        line!("max_worker_processes setting:", data.max_worker_processes);
        line!("max_wal_senders setting:", data.max_wal_senders);
        line!("max_prepared_xacts setting:", data.max_prepared_transactions);
        line!("max_locks_per_xact setting:", data.max_locks_per_transaction);
        line!("track_commit_timestamp setting:", on(data.track_commit_timestamp));
        line!("Maximum data alignment:", data.maximum_alignment);
        line!("Database block size:", data.block_size);
        line!("Blocks per segment of large relation:", data.relation_segment_blocks);
        line!("WAL block size:", data.wal_block_size);
        line!("Bytes per WAL segment:", data.wal_segment_size);
        line!("Maximum length of identifiers:", data.name_length);
        line!("Maximum columns in an index:", data.index_max_keys);
        line!("Maximum size of a TOAST chunk:", data.toast_max_chunk_size);
        line!("Size of a large-object chunk:", data.large_object_chunk_size);
        line!("Date/time type storage:", "64-bit integers");
        let passing = if data.float8_by_value { "by value" } else { "by reference" };
        line!("Float8 argument passing:", passing);
        line!("Data page checksum version:", data.data_checksum_version);
        if let Some(is_signed) = data.default_char_signedness {
            line!("Default char data signedness:", if is_signed { "signed" } else { "unsigned" });
        }
        out.str_padded("Mock authentication nonce:", 38);
        for byte in data.mock_authentication_nonce {
            out.hex_lower(u64::from(byte), 2);
        }
        out.str("\n");
    }

    fn wal_level_text(&self) -> &'static str {
        match self.data.wal_level {
            level if level.is_known() => level.name(),
            _ if self.version <= Version::V16 => "unrecognized wal_level",
            _ => "unrecognized \"wal_level\"",
        }
    }
}

/// What 15 and 16 print before the values.
fn push_stdout_warning(warning: Warning, out: &mut Text) {
    match warning {
        Warning::ByteOrder => {}
        Warning::Checksum => {
            out.str(
                "WARNING: Calculated CRC checksum does not match value stored in file.\n\
                 Either the file is corrupt, or it has a different layout than this program\n\
                 is expecting.  The results below are untrustworthy.\n\n",
            );
        }
        Warning::SegmentSize(size) => {
            out.str("WARNING: invalid WAL segment size\nThe WAL segment size stored in the file, ");
            out.int(signed(size)).str(" byte").str(plural(size));
            out.str(
                ", is not a power of two\nbetween 1 MB and 1 GB.  The file is corrupt and the \
                 results below are\nuntrustworthy.\n\n",
            );
        }
    }
}
