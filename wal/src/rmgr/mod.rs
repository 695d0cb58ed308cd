//! The resource managers: one table drives names, record types, typed payloads and descriptions.
//!
//! Each file here is one resource manager of `access/rmgrlist.h`. It holds the payload types of its
//! records (a Rust struct for each C struct that the log carries, with the byte offsets in a comment where
//! there is padding or a difference between versions), `identify` (the record type's name), `decode` (bytes
//! to a typed payload; every length checked) and `describe` (the text that `pg_waldump` prints).
//!
//! Invariants: `decode` looks block references up by id; `describe` never fails, since what it prints has
//! been decoded; both are exact for versions 15 to 18, which each record carries.

#[cfg(test)]
mod any_bytes;
mod array_text;
mod encode;
mod flags;
mod payload;
#[cfg(test)]
pub(crate) mod test_record;

pub mod brin;
pub mod btree;
pub mod clog;
pub mod commit_ts;
pub mod custom;
pub mod dbase;
pub mod generic;
pub mod gin;
pub mod gist;
pub mod hash;
pub mod heap;
pub mod heap2;
pub mod invalidation;
pub mod logicalmsg;
pub mod multixact;
pub mod relmap;
pub mod replorigin;
pub mod seq;
pub mod smgr;
pub mod spgist;
pub mod standby;
pub mod tblspc;
pub mod xact;
pub mod xlog;

pub use custom::Custom;
pub use payload::{Array, Cursor, Element, PayloadError};
use serde::Serialize;

use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

/// The first id that extensions may use (`RM_MIN_CUSTOM_ID`); the last is 255.
pub const MIN_CUSTOM_ID: u8 = 128;

/// A row of the table: all that the rest of pgstrata knows of a resource manager.
#[derive(Debug)]
pub struct ResourceManager {
    /// `RmgrId`
    pub id: u8,
    /// As `pg_waldump` prints it.
    pub name: &'static str,
    /// Name of the record type of an info byte (`rm_identify`), its low four bits being 0.
    pub identify: fn(Version, u8) -> Option<&'static str>,
    /// Reads the typed payload of one of its records.
    pub decode: for<'a> fn(&Record<'a>) -> Result<Payload<'a>, PayloadError>,
}

/// The built-in resource managers, by id.
pub static TABLE: [ResourceManager; 22] = [
    row(0, "XLOG", xlog::identify, xlog::decode),
    row(1, "Transaction", xact::identify, xact::decode),
    row(2, "Storage", smgr::identify, smgr::decode),
    row(3, "CLOG", clog::identify, clog::decode),
    row(4, "Database", dbase::identify, dbase::decode),
    row(5, "Tablespace", tblspc::identify, tblspc::decode),
    row(6, "MultiXact", multixact::identify, multixact::decode),
    row(7, "RelMap", relmap::identify, relmap::decode),
    row(8, "Standby", standby::identify, standby::decode),
    row(9, "Heap2", heap2::identify, heap2::decode),
    row(10, "Heap", heap::identify, heap::decode),
    row(11, "Btree", btree::identify, btree::decode),
    row(12, "Hash", hash::identify, hash::decode),
    row(13, "Gin", gin::identify, gin::decode),
    row(14, "Gist", gist::identify, gist::decode),
    row(15, "Sequence", seq::identify, seq::decode),
    row(16, "SPGist", spgist::identify, spgist::decode),
    row(17, "BRIN", brin::identify, brin::decode),
    row(18, "CommitTs", commit_ts::identify, commit_ts::decode),
    row(19, "ReplicationOrigin", replorigin::identify, replorigin::decode),
    row(20, "Generic", generic::identify, generic::decode),
    row(21, "LogicalMessage", logicalmsg::identify, logicalmsg::decode),
];

const fn row(
    id: u8,
    name: &'static str,
    identify: fn(Version, u8) -> Option<&'static str>,
    decode: for<'a> fn(&Record<'a>) -> Result<Payload<'a>, PayloadError>,
) -> ResourceManager {
    ResourceManager { id, name, identify, decode }
}

/// Whether records may carry this id (`RmgrIdIsValid`).
#[inline]
pub fn is_valid_id(id: u8) -> bool {
    usize::from(id) < TABLE.len() || id >= MIN_CUSTOM_ID
}

/// The typed payload of a record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant is the resource manager of its name")]
pub enum Payload<'a> {
    Xlog(xlog::Xlog<'a>),
    Xact(xact::Xact<'a>),
    Smgr(smgr::Smgr),
    Clog(clog::Clog),
    Dbase(dbase::Dbase<'a>),
    Tblspc(tblspc::Tblspc<'a>),
    Multixact(multixact::Multixact<'a>),
    Relmap(relmap::Relmap<'a>),
    Standby(standby::Standby<'a>),
    Heap2(heap2::Heap2<'a>),
    Heap(heap::Heap<'a>),
    Btree(btree::Btree<'a>),
    Hash(hash::Hash<'a>),
    Gin(gin::Gin<'a>),
    Gist(gist::Gist<'a>),
    Seq(seq::Seq<'a>),
    Spgist(spgist::Spgist<'a>),
    Brin(brin::Brin<'a>),
    CommitTs(commit_ts::CommitTs),
    Replorigin(replorigin::Replorigin),
    Generic(generic::Generic<'a>),
    Logicalmsg(logicalmsg::Logicalmsg<'a>),
    Custom(Custom<'a>),
    /// A record type that this resource manager does not have in this version; PostgreSQL describes it
    /// with nothing.
    Unknown,
}

impl Payload<'_> {
    /// Appends the description that `pg_waldump` prints behind `desc: TYPE `.
    pub fn describe(&self, record: &Record<'_>, out: &mut Text) {
        match self {
            Payload::Xlog(payload) => payload.describe(record, out),
            Payload::Xact(payload) => payload.describe(record, out),
            Payload::Smgr(payload) => payload.describe(record, out),
            Payload::Clog(payload) => payload.describe(record, out),
            Payload::Dbase(payload) => payload.describe(record, out),
            Payload::Tblspc(payload) => payload.describe(record, out),
            Payload::Multixact(payload) => payload.describe(record, out),
            Payload::Relmap(payload) => payload.describe(record, out),
            Payload::Standby(payload) => payload.describe(record, out),
            Payload::Heap2(payload) => payload.describe(record, out),
            Payload::Heap(payload) => payload.describe(record, out),
            Payload::Btree(payload) => payload.describe(record, out),
            Payload::Hash(payload) => payload.describe(record, out),
            Payload::Gin(payload) => payload.describe(record, out),
            Payload::Gist(payload) => payload.describe(record, out),
            Payload::Seq(payload) => payload.describe(record, out),
            Payload::Spgist(payload) => payload.describe(record, out),
            Payload::Brin(payload) => payload.describe(record, out),
            Payload::CommitTs(payload) => payload.describe(record, out),
            Payload::Replorigin(payload) => payload.describe(record, out),
            Payload::Generic(payload) => payload.describe(record, out),
            Payload::Logicalmsg(payload) => payload.describe(record, out),
            Payload::Custom(payload) => payload.describe(record, out),
            Payload::Unknown => {}
        }
    }
}

/// The built-in resource manager of an id; `None` for a custom one.
#[inline]
pub fn built_in(id: u8) -> Option<&'static ResourceManager> {
    TABLE.get(usize::from(id))
}

/// Appends a resource manager's name: `Heap`, or `custom128` for one that an extension brought.
pub fn push_name(id: u8, out: &mut Text) {
    match built_in(id) {
        Some(manager) => out.str(manager.name),
        None => out.str("custom").str(if id < 100 { "0" } else { "" }).int(id),
    };
}

/// Appends a record's type: `INSERT+INIT`, or `UNKNOWN (f0)` where its resource manager has none such.
pub fn push_record_type(version: Version, rmid: u8, info: u8, out: &mut Text) {
    match built_in(rmid).and_then(|manager| (manager.identify)(version, info & 0xF0)) {
        Some(name) => out.str(name),
        None => out.str("UNKNOWN (").hex_lower(u64::from(info & 0xF0), 1).str(")"),
    };
}

impl<'a> Record<'a> {
    /// The typed payload.
    ///
    /// # Errors
    /// Where the payload is shorter than its record type says.
    #[inline]
    pub fn payload(&self) -> Result<Payload<'a>, PayloadError> {
        match built_in(self.rmid()) {
            Some(manager) => (manager.decode)(self),
            None => Ok(Payload::Custom(Custom { rmid: self.rmid(), data: self.main_data() })),
        }
    }

    /// Appends the description that `pg_waldump` prints behind `desc: TYPE `. Of a payload that is too
    /// short it says so, where PostgreSQL would read what lies behind it.
    #[inline]
    pub fn describe(&self, out: &mut Text) {
        match self.payload() {
            Ok(payload) => payload.describe(self, out),
            Err(error) => {
                out.str("malformed payload: ").str(&error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_ids() {
        for (index, manager) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(manager.id), index, "{}", manager.name);
        }
    }
}
