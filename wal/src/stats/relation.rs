//! Which relations make the log grow.
//!
//! Every byte of a record is put to the account of one relation: what a block reference carries (image and
//! data) to the relation of that block, the rest of the record to the relation of its first block. So the
//! rows add up to the log. A record counts once for each relation that it has a block of. Records without
//! blocks have a row of their own.
//!
//! Memory: [`MAX_RELATIONS`]. When there are more, the smaller half is summed up as others; a relation
//! that comes back after that counts anew, and the report says that this happened.

use std::collections::HashMap;
use std::fmt::Write as _;

use base::{Lsn, RelFileLocator};
use serde::Serialize;

use super::usage::Usage;
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

/// How many relations are kept apart.
const MAX_RELATIONS: usize = 200_000;

/// What each relation made the log grow by.
#[derive(Debug, Clone, Default)]
pub struct RelationStatistics {
    relations: HashMap<RelFileLocator, Usage>,
    without_relation: Usage,
    others: Usage,
    other_relations: u64,
    /// Number of all records: those of several relations count for each of them.
    records: u64,
    end: Lsn,
}

/// The report, largest first.
#[derive(Debug, Clone, Serialize)]
pub struct RelationReport {
    /// The log's version.
    pub version: Version,
    /// Where reading began.
    pub start: Lsn,
    /// End of the last record counted.
    pub end: Lsn,
    /// The relations, those with the most bytes first.
    pub relations: Vec<RelationRow>,
    /// Records that have no block.
    pub without_relation: Usage,
    /// Relations that are not among the rows.
    pub others: Usage,
    /// How many these are.
    pub other_relations: u64,
    /// Whether relations had to be forgotten, so that rows may be too low by what `others` has.
    pub is_approximate: bool,
    /// All records; less than the rows' sum where records have blocks of several relations.
    pub total: Usage,
}

/// A relation's row.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RelationRow {
    /// The relation.
    #[serde(flatten)]
    pub locator: RelFileLocator,
    /// What it made the log grow by.
    #[serde(flatten)]
    pub usage: Usage,
}

impl RelationStatistics {
    /// Counts a record.
    pub fn add(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.end = record.end();
        let blocks = record.blocks();
        let carried: u64 = blocks
            .iter()
            .map(|block| u64::from(block.image_length) + u64::from(block.data_length))
            .sum();
        let rest = u64::from(record.header().total_length).saturating_sub(carried);
        if blocks.is_empty() {
            self.without_relation.records += 1;
            self.without_relation.record_bytes += rest;
            return;
        }
        for (index, block) in blocks.iter().enumerate() {
            let usage = self.relations.entry(block.locator).or_default();
            if !blocks[..index].iter().any(|earlier| earlier.locator == block.locator) {
                usage.records += 1;
            }
            usage.record_bytes += u64::from(block.data_length) + if index == 0 { rest } else { 0 };
            if block.has_image() {
                usage.images.count(record, block);
            }
        }
    }

    /// Adds what another thread counted further on in the log.
    pub fn merge(&mut self, later: &RelationStatistics) {
        for (locator, usage) in &later.relations {
            self.relations.entry(*locator).or_default().add(usage);
        }
        self.without_relation.add(&later.without_relation);
        self.others.add(&later.others);
        self.other_relations += later.other_relations;
        self.records += later.records;
        if !later.end.is_invalid() {
            self.end = later.end;
        }
        if self.relations.len() > MAX_RELATIONS {
            self.forget_smaller_half();
        }
    }

    fn forget_smaller_half(&mut self) {
        let mut sizes: Vec<u64> = self.relations.values().map(Usage::bytes).collect();
        let middle = sizes.len() / 2;
        let limit = *sizes.select_nth_unstable(middle).1;
        let (others, count) = (&mut self.others, &mut self.other_relations);
        self.relations.retain(|_, usage| {
            let is_large = usage.bytes() > limit;
            if !is_large {
                others.add(usage);
                *count += 1;
            }
            is_large
        });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        let mut relations = std::mem::take(&mut self.relations);
        relations.clear();
        *self = RelationStatistics { relations, ..RelationStatistics::default() };
    }

    /// The `top` relations, and the sums of the rest. `start` is where reading began.
    pub fn report(&self, version: Version, start: Lsn, top: usize) -> RelationReport {
        let mut relations: Vec<RelationRow> = self
            .relations
            .iter()
            .map(|(&locator, &usage)| RelationRow { locator, usage })
            .collect();
        // By locator where sizes are equal, so that a report is the same each time.
        relations.sort_unstable_by_key(|row| (std::cmp::Reverse(row.usage.bytes()), row.locator));
        let mut total = self.without_relation;
        total.add(&self.others);
        relations.iter().for_each(|row| total.add(&row.usage));
        total.records = self.records;
        let mut others = self.others;
        let mut other_relations = self.other_relations;
        for row in relations.drain(top.min(relations.len())..) {
            others.add(&row.usage);
            other_relations += 1;
        }
        RelationReport {
            version,
            start,
            end: self.end,
            relations,
            without_relation: self.without_relation,
            others,
            other_relations,
            is_approximate: self.other_relations > 0,
            total,
        }
    }
}

impl RelationReport {
    /// Appends a table.
    pub fn push_table(&self, out: &mut Text) {
        // Writing into memory does not fail.
        let _ = self.write_table(out);
    }

    fn write_table(&self, out: &mut Text) -> std::fmt::Result {
        if self.end.is_invalid() {
            return Ok(());
        }
        writeln!(out, "WAL by relation between {} and {}, images by cause:", self.start, self.end)?;
        let [heads, lines] = Usage::heads();
        writeln!(out, "{:<27}{heads}", "Relation")?;
        writeln!(out, "{:<27}{lines}", "--------")?;
        let mut row = |name: &str, usage: &Usage| -> std::fmt::Result {
            write!(out, "{name:<27}")?;
            usage.write_columns(&self.total, out)?;
            writeln!(out)
        };
        for relation in &self.relations {
            row(&relation.locator.to_string(), &relation.usage)?;
        }
        if self.other_relations > 0 {
            let about = if self.is_approximate { "about " } else { "" };
            row(&format!("({about}{} others)", self.other_relations), &self.others)?;
        }
        if self.without_relation.records > 0 {
            row("(no relation)", &self.without_relation)?;
        }
        row("Total", &self.total)
    }

    /// Appends a JSON object and a line feed.
    pub fn push_json(&self, out: &mut Text) {
        // Neither writing into memory nor serializing plain structs fails.
        let _ = serde_json::to_writer(&mut *out, self);
        out.str("\n");
    }

    /// Appends a line of names and the rows: `kind` is `relation`, `others` or `no_relation`.
    pub fn push_csv(&self, out: &mut Text) {
        out.str("kind,tablespace,database,relation,").str(Usage::CSV_HEADER).str("\n");
        for RelationRow { locator, usage } in &self.relations {
            out.str("relation,").int(locator.tablespace).str(",").int(locator.database);
            out.str(",").int(locator.relation).str(",");
            usage.push_csv(out);
            out.str("\n");
        }
        for (kind, usage) in [("others", &self.others), ("no_relation", &self.without_relation)] {
            if usage.records > 0 {
                out.str(kind).str(",,,,");
                usage.push_csv(out);
                out.str("\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HEADER_SIZE;
    use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};

    const OTHER: RelFileLocator = RelFileLocator { relation: 7, ..LOCATOR };

    /// An insert into two blocks of one relation and one of another, each with data, one with an image.
    fn record() -> TestRecord {
        let mut record = TestRecord::new(Version::V15, 10, 0x00)
            .main(Bytes::default().zeros(3))
            .block(0, Bytes::default().zeros(10))
            .image(1)
            .block(2, Bytes::default().zeros(20));
        record.blocks[2].locator = OTHER;
        record
    }

    #[test]
    fn a_record_is_divided_among_its_relations() {
        let mut statistics = RelationStatistics::default();
        let total = record().with(|record| {
            statistics.add(record);
            u64::from(record.header().total_length)
        });
        TestRecord::new(Version::V15, 8, 0x10).with(|record| statistics.add(record));
        let report = statistics.report(Version::V15, Lsn(1), 10);
        let [first, second] = &report.relations[..] else { panic!("{report:?}") };
        assert_eq!((first.locator, second.locator), (LOCATOR, OTHER));
        assert_eq!((first.usage.records, second.usage.records), (1, 1));
        assert_eq!(second.usage.bytes(), 20);
        assert_eq!(first.usage.bytes(), total - 20);
        assert_eq!(first.usage.images.first_touch.count, 1);
        assert_eq!(report.without_relation.bytes(), HEADER_SIZE as u64);
        assert_eq!((report.total.records, report.other_relations), (2, 0));
        let report = statistics.report(Version::V15, Lsn(1), 1);
        assert_eq!((report.relations.len(), report.other_relations), (1, 1));
        assert_eq!(report.others.bytes(), 20);
        assert!(!report.is_approximate);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut statistics = RelationStatistics::default();
        for relation in 0..2 * MAX_RELATIONS as u32 + 10 {
            let usage = Usage { records: 1, record_bytes: u64::from(relation), ..Usage::default() };
            let mut stretch = RelationStatistics::default();
            stretch.relations.insert(RelFileLocator { relation, ..LOCATOR }, usage);
            stretch.records = 1;
            statistics.merge(&stretch);
            assert!(statistics.relations.len() <= MAX_RELATIONS);
        }
        let count = 2 * MAX_RELATIONS as u64 + 10;
        let report = statistics.report(Version::V15, Lsn(1), 3);
        assert!(report.is_approximate);
        assert_eq!(report.relations[0].usage.record_bytes, count - 1);
        assert_eq!(report.relations.len() as u64 + report.other_relations, count);
        assert_eq!(report.total.record_bytes, count * (count - 1) / 2);
    }
}
