//! Statistics: per resource manager and per record type, as `pg_waldump --stats` prints them; and, in the
//! files beside, per relation and per transaction.
//!
//! Counters are summed up by one thread alone and merged afterwards, so counting takes no lock. Source:
//! `xlogstats.c`, `XLogDumpDisplayStats` of `pg_waldump.c`.

mod image_cause;
mod relation;
mod transaction;
mod usage;

use std::fmt::Write as _;

use base::Lsn;
pub use image_cause::{ImageCause, ImageCounts, Images};
pub use relation::{RelationReport, RelationRow, RelationStatistics};
use serde::Serialize;
pub use transaction::{
    Outcome, Outcomes, TransactionReport, TransactionRow, TransactionStatistics, TransactionStretch,
};
pub use usage::Usage;

use crate::csv::push_field;
use crate::record::{Outline, Record, RecordHeader};
use crate::rmgr::{self, MIN_CUSTOM_ID, TABLE};
use crate::text::Text;
use crate::version::Version;

/// Id of the resource manager of transactions, whose highest info bit is a flag and no record type.
const TRANSACTION: u8 = 1;

/// What was counted of some kind of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Number of records.
    pub count: u64,
    /// Their bytes without images.
    pub record_bytes: u64,
    /// Bytes of their images as stored.
    pub image_bytes: u64,
}

impl Counts {
    /// Bytes in all.
    pub const fn bytes(&self) -> u64 {
        self.record_bytes + self.image_bytes
    }

    fn add(&mut self, other: &Counts) {
        self.count += other.count;
        self.record_bytes += other.record_bytes;
        self.image_bytes += other.image_bytes;
    }
}

/// Counters for each resource manager and record type, with the end of the last record counted.
///
/// Those of the server's own resource managers are apart from those of custom ones, which are made when a record of one is
/// counted: results of short stretches are cleared and merged often, and 12 kB are done in a microsecond, 96 kB are not.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// At `resource manager * 16 + info >> 4`, of ids below [`OWN_IDS`].
    own: Box<[Counts]>,
    /// As `own`, of all other ids; empty without a record of theirs.
    others: Vec<Counts>,
    end: Lsn,
}

/// Ids that the server's own resource managers have, or will have for a while.
const OWN_IDS: usize = 32;
const _: () = assert!(TABLE.len() <= OWN_IDS && OWN_IDS <= MIN_CUSTOM_ID as usize);

impl Default for Statistics {
    fn default() -> Statistics {
        let own = vec![Counts::default(); OWN_IDS * 16].into();
        Statistics { own, others: Vec::new(), end: Lsn::INVALID }
    }
}

/// Whether a row stands for a resource manager or for a record type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grouping {
    /// `--stats`
    ResourceManager,
    /// `--stats=record`
    RecordType,
}

/// A row of the statistics.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Name of the resource manager.
    #[serde(rename = "rmgr")]
    pub resource_manager: String,
    /// Name of the record type, in rows of record types.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    /// The sums.
    #[serde(flatten)]
    pub counts: Counts,
}

#[derive(Serialize)]
struct Report {
    version: Version,
    start: Lsn,
    end: Lsn,
    rows: Vec<Row>,
    total: Counts,
}

impl Statistics {
    /// Counts a record.
    #[inline]
    pub fn add(&mut self, record: &Record<'_>) {
        self.count(record.header(), record.image_length(), record.end());
    }

    /// Counts a record of which no more is known.
    #[inline]
    pub fn add_outline(&mut self, outline: &Outline) {
        self.count(&outline.header, outline.image_length, outline.end);
    }

    #[inline]
    fn count(&mut self, header: &RecordHeader, image_length: u32, end: Lsn) {
        let mut kind = header.info >> 4;
        if header.rmid == TRANSACTION {
            kind &= 0x07;
        }
        let place = usize::from(header.rmid) << 4 | usize::from(kind);
        let counts = match self.own.get_mut(place) {
            Some(counts) => counts,
            None => self.other(place),
        };
        counts.count += 1;
        counts.record_bytes += u64::from(header.total_length.wrapping_sub(image_length));
        counts.image_bytes += u64::from(image_length);
        self.end = end;
    }

    /// The counters at `place`, which is none of the server's own resource managers.
    #[cold]
    fn other(&mut self, place: usize) -> &mut Counts {
        self.others.resize((256 - OWN_IDS) * 16, Counts::default());
        &mut self.others[place - OWN_IDS * 16]
    }

    /// The counters of a resource manager's record types; of none, where there is no record of it.
    fn types_of(&self, rmid: u8) -> &[Counts] {
        let place = usize::from(rmid) << 4;
        let (types, at) = match place.checked_sub(OWN_IDS * 16) {
            None => (&self.own[..], place),
            Some(at) => (&self.others[..], at),
        };
        types.get(at..at + 16).unwrap_or_default()
    }

    /// Back to no record.
    pub fn clear(&mut self) {
        self.own.fill(Counts::default());
        self.others.clear();
        self.end = Lsn::INVALID;
    }

    /// Adds what another thread counted further on in the log.
    pub fn merge(&mut self, later: &Statistics) {
        if self.others.len() < later.others.len() {
            self.others.resize(later.others.len(), Counts::default());
        }
        let own = self.own.iter_mut().zip(&later.own);
        for (sum, counts) in own.chain(self.others.iter_mut().zip(&later.others)) {
            sum.add(counts);
        }
        if !later.end.is_invalid() {
            self.end = later.end;
        }
    }

    /// End of the last record counted, [`Lsn::INVALID`] if there was none.
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// The sum over all.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.own.iter().chain(&self.others).for_each(|counts| total.add(counts));
        total
    }

    /// The rows in `pg_waldump`'s order: each built-in resource manager, and each custom one that wrote
    /// something; or each record type that occurred.
    pub fn rows(&self, grouping: Grouping, version: Version) -> Vec<Row> {
        let mut rows = Vec::new();
        let ids = (0..TABLE.len() as u8).chain(MIN_CUSTOM_ID..=u8::MAX);
        for id in ids {
            let types = self.types_of(id);
            let resource_manager = name_of(|out| rmgr::push_name(id, out));
            match grouping {
                Grouping::ResourceManager => {
                    let mut counts = Counts::default();
                    types.iter().for_each(|kind| counts.add(kind));
                    if id < MIN_CUSTOM_ID || counts.count > 0 {
                        rows.push(Row { resource_manager, record_type: None, counts });
                    }
                }
                Grouping::RecordType => {
                    for (kind, counts) in (0u8..).zip(types).filter(|(_, counts)| counts.count > 0)
                    {
                        let info = kind << 4;
                        let name = name_of(|out| rmgr::push_record_type(version, id, info, out));
                        rows.push(Row {
                            resource_manager: resource_manager.clone(),
                            record_type: Some(name),
                            counts: *counts,
                        });
                    }
                }
            }
        }
        rows
    }

    /// Appends the table that `pg_waldump` prints: nothing if no record was counted. `start` is where
    /// reading began.
    pub fn push_table(&self, grouping: Grouping, version: Version, start: Lsn, out: &mut Text) {
        if self.end.is_invalid() {
            return;
        }
        // Writing into memory does not fail.
        let _ = self.write_table(grouping, version, start, out);
    }

    /// Appends a JSON object and a line feed: `start`, `end`, `rows`, `total`.
    pub fn push_json(&self, grouping: Grouping, version: Version, start: Lsn, out: &mut Text) {
        let report = Report {
            version,
            start,
            end: self.end,
            rows: self.rows(grouping, version),
            total: self.total(),
        };
        // Neither writing into memory nor serializing plain structs fails.
        let _ = serde_json::to_writer(&mut *out, &report);
        out.str("\n");
    }

    /// Appends a line of names and a row of CSV for each row.
    pub fn push_csv(&self, grouping: Grouping, version: Version, out: &mut Text) {
        out.str(match grouping {
            Grouping::ResourceManager => "rmgr,",
            Grouping::RecordType => "rmgr,type,",
        });
        out.str("count,record_bytes,image_bytes,bytes\n");
        for row in self.rows(grouping, version) {
            push_field(row.resource_manager.as_bytes(), out);
            if let Some(record_type) = row.record_type {
                out.str(",");
                push_field(record_type.as_bytes(), out);
            }
            out.str(",").int(row.counts.count).str(",").int(row.counts.record_bytes);
            out.str(",").int(row.counts.image_bytes).str(",").int(row.counts.bytes()).str("\n");
        }
    }

    fn write_table(
        &self,
        grouping: Grouping,
        version: Version,
        start: Lsn,
        out: &mut Text,
    ) -> std::fmt::Result {
        let total = self.total();
        writeln!(out, "WAL statistics between {start} and {}:", self.end)?;
        let titles = ["Type", "N", "Record size", "FPI size", "Combined size"];
        for [name, a, b, c, d] in [titles, titles.map(|title| &DASHES[..title.len()])] {
            let percent = if name == "Type" { "(%)" } else { "---" };
            writeln!(
                out,
                "{name:<27} {a:>20} {percent:>8} {b:>20} {percent:>8} {c:>20} {percent:>8} {d:>20} \
                 {percent:>8}"
            )?;
        }
        for row in self.rows(grouping, version) {
            let name = match row.record_type {
                None => row.resource_manager,
                Some(kind) => format!("{}/{kind}", row.resource_manager),
            };
            write!(out, "{name:<27}")?;
            for (part, whole) in [
                (row.counts.count, total.count),
                (row.counts.record_bytes, total.record_bytes),
                (row.counts.image_bytes, total.image_bytes),
                (row.counts.bytes(), total.bytes()),
            ] {
                write!(out, " {part:>20} ({:6.2})", percentage(part, whole))?;
            }
            writeln!(out)?;
        }
        let (gap, dashes) = ("", "--------");
        writeln!(
            out,
            "{gap:<27} {dashes:>20} {gap:>8} {dashes:>20} {gap:>8} {dashes:>20} {gap:>8} {dashes:>20}"
        )?;
        // These percentages are of the row, and are marked with a sign for it.
        let of_row = |part| format!("[{:.2}%]", percentage(part, total.bytes()));
        writeln!(
            out,
            "{:<27} {:>20} {:<9}{:>20} {:<9}{:>20} {:<9}{:>20} {:<6}",
            "Total",
            total.count,
            "",
            total.record_bytes,
            of_row(total.record_bytes),
            total.image_bytes,
            of_row(total.image_bytes),
            total.bytes(),
            "[100%]"
        )
    }
}

const DASHES: &str = "--------------------";

/// 100 * part / whole, 0 of nothing.
pub(crate) fn percentage(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn name_of(push: impl FnOnce(&mut Text)) -> String {
    let mut text = Text::default();
    push(&mut text);
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}
