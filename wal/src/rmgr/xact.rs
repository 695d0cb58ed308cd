//! Resource manager 1, Transaction: commits, aborts, prepared transactions, and what belongs to them.
//!
//! The records that end a transaction are in [`completion`], those that prepare one in [`prepare`].
//! The high bit of the info nibble says that flags follow the time; three bits remain for the type.

use base::{ForkNumber, RelFileLocator, Xid};
use serde::Serialize;

use super::invalidation::{Invalidation, Invalidations};
use super::{Array, Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::relation_path::RelationPath;
use crate::text::Text;
use crate::version::Version;

pub mod completion;
pub mod dropped_stats;
pub mod prepare;
pub mod two_phase;

pub use completion::{Completion, CompletionFlags};
pub use dropped_stats::{DroppedStats, DroppedStatsItem};
pub use prepare::Prepare;
pub use two_phase::TwoPhaseRecord;

const COMMIT: u8 = 0x00;
/// Info bits of the record that prepares a transaction.
pub const PREPARE: u8 = 0x10;
const ABORT: u8 = 0x20;
/// Info bits of the record that commits a prepared transaction.
pub const COMMIT_PREPARED: u8 = 0x30;
/// Info bits of the record that aborts a prepared transaction.
pub const ABORT_PREPARED: u8 = 0x40;
const ASSIGNMENT: u8 = 0x50;
const INVALIDATIONS: u8 = 0x60;
/// `XLOG_XACT_OPMASK`
const TYPE_MASK: u8 = 0x70;

/// The payload of a Transaction record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Xact<'a> {
    /// A transaction committed, prepared before or not.
    Commit(Completion<'a>),
    /// A transaction aborted, prepared before or not.
    Abort(Completion<'a>),
    /// A transaction was prepared.
    Prepare(Prepare<'a>),
    /// Subtransactions are told to belong to a transaction.
    Assignment(Assignment<'a>),
    /// Cache invalidations of one command of a transaction, for logical decoding.
    Invalidations {
        /// `xl_xact_invals`
        invalidations: Array<'a, Invalidation>,
    },
}

/// `xl_xact_assignment`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Assignment<'a> {
    /// The top-level transaction.
    pub top_xid: Xid,
    /// Its subtransactions; not all of them.
    pub subxids: Array<'a, Xid>,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    Some(match info & TYPE_MASK {
        COMMIT => "COMMIT",
        PREPARE => "PREPARE",
        ABORT => "ABORT",
        COMMIT_PREPARED => "COMMIT_PREPARED",
        ABORT_PREPARED => "ABORT_PREPARED",
        ASSIGNMENT => "ASSIGNMENT",
        INVALIDATIONS => "INVALIDATION",
        _ => return None,
    })
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let data = record.main_data();
    let payload = match record.info() & TYPE_MASK {
        COMMIT | COMMIT_PREPARED => Xact::Commit(completion::decode_commit(record)?),
        ABORT | ABORT_PREPARED => Xact::Abort(completion::decode_abort(record)?),
        PREPARE => Xact::Prepare(prepare::decode(record)?),
        ASSIGNMENT => {
            let mut cursor = Cursor::new("xl_xact_assignment", data);
            let (top_xid, subxids) = (cursor.xid()?, cursor.counted_array()?);
            Xact::Assignment(Assignment { top_xid, subxids })
        }
        INVALIDATIONS => {
            let invalidations = Cursor::new("xl_xact_invals", data).counted_array()?;
            Xact::Invalidations { invalidations }
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Xact(payload))
}

impl Xact<'_> {
    #[inline]
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        match self {
            Xact::Commit(commit) => commit.describe_commit(record, out),
            Xact::Abort(abort) => abort.describe_abort(record, out),
            Xact::Prepare(prepare) => prepare.describe(record, out),
            Xact::Assignment(Assignment { top_xid, subxids }) => {
                out.str("xtop ").xid(*top_xid).str(": subxacts:");
                push_list(*subxids, out);
            }
            Xact::Invalidations { invalidations } => {
                let messages = *invalidations;
                let (database, tablespace, relcache_init_file) = (0, 0, false);
                Invalidations { database, tablespace, relcache_init_file, messages }
                    .describe(record.version(), out);
            }
        }
    }
}

fn push_list(xids: Array<'_, Xid>, out: &mut Text) {
    for xid in xids.iter() {
        out.str(" ").xid(xid);
    }
}

/// `; subxacts: 740 741`, nothing without any.
fn push_subxids(subxids: Array<'_, Xid>, out: &mut Text) {
    if !subxids.is_empty() {
        out.str("; subxacts:");
        push_list(subxids, out);
    }
}

/// `; rels: base/5/16384 base/5/16387`, nothing without any.
fn push_relations(
    version: Version,
    label: &str,
    relations: Array<'_, RelFileLocator>,
    out: &mut Text,
) {
    if relations.is_empty() {
        return;
    }
    out.str("; ").str(label).str(":");
    for locator in relations.iter() {
        let path = RelationPath { version, locator, fork: ForkNumber::Main };
        // Writing into memory does not fail.
        let _ = std::fmt::Write::write_fmt(out, format_args!(" {path}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    #[test]
    fn an_assignment_names_the_top_transaction() {
        let record = TestRecord::new(Version::V15, 1, ASSIGNMENT)
            .main(Bytes::default().u32(740).i32(2).u32s(&[741, 743]));
        assert_eq!(record.text(), "ASSIGNMENT xtop 740: subxacts: 741 743");
        assert_eq!(record.json(), serde_json::json!({"top_xid": 740, "subxids": [741, 743]}));
        record.truncated_anywhere();
        record.overwritten_anywhere();
    }

    #[test]
    fn invalidations_begin_with_a_separator() {
        let record = TestRecord::new(Version::V18, 1, INVALIDATIONS)
            .main(Bytes::default().i32(1).i8(-2).zeros(3).u32s(&[5, 16384, 0]));
        assert_eq!(record.text(), "INVALIDATION ; inval msgs: relcache 16384");
        record.truncated_anywhere();
        record.overwritten_anywhere();
    }

    #[test]
    fn the_high_bit_is_not_part_of_the_type() {
        assert_eq!(identify(Version::V15, 0x80), Some("COMMIT"));
        assert_eq!(identify(Version::V15, 0xC0), Some("ABORT_PREPARED"));
        assert_eq!(identify(Version::V15, 0x70), None);
        assert_eq!(identify(Version::V15, 0xF0), None);
    }
}
