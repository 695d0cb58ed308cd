//! The report on transactions, as a table, as JSON and as CSV.

use std::fmt::Write as _;

use base::Lsn;
use serde::Serialize;

use super::super::usage::Usage;
use super::{Outcome, TransactionRow};
use crate::text::Text;
use crate::version::Version;

/// How many relations a row of the table names.
const SHOWN_RELATIONS: usize = 4;

/// The largest transactions first.
#[derive(Debug, Clone, Serialize)]
pub struct TransactionReport {
    /// The log's version.
    pub version: Version,
    /// Where reading began.
    pub start: Lsn,
    /// End of the last record counted.
    pub end: Lsn,
    /// The transactions, those with the most bytes first.
    pub transactions: Vec<TransactionRow>,
    /// Transactions that are not among the rows.
    pub others: Usage,
    /// How many these are.
    pub other_transactions: u64,
    /// How all of them ended.
    pub outcomes: Outcomes,
    /// Records of no transaction.
    pub without_transaction: Usage,
    /// All records.
    pub total: Usage,
}

/// How many transactions ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is the outcome of its name")]
pub struct Outcomes {
    pub committed: u64,
    pub aborted: u64,
    pub prepared: u64,
    pub crashed: u64,
    pub in_progress: u64,
    pub unknown: u64,
}

impl Outcomes {
    pub(super) fn of(counts: [u64; 6]) -> Outcomes {
        let of = |outcome: Outcome| counts[outcome as usize];
        Outcomes {
            committed: of(Outcome::Committed),
            aborted: of(Outcome::Aborted),
            prepared: of(Outcome::Prepared),
            crashed: of(Outcome::Crashed),
            in_progress: of(Outcome::InProgress),
            unknown: of(Outcome::Unknown),
        }
    }
}

impl TransactionReport {
    /// Appends a table.
    pub fn push_table(&self, out: &mut Text) {
        // Writing into memory does not fail.
        let _ = self.write_table(out);
    }

    fn write_table(&self, out: &mut Text) -> std::fmt::Result {
        if self.end.is_invalid() {
            return Ok(());
        }
        writeln!(
            out,
            "WAL by transaction between {} and {}, images by cause:",
            self.start, self.end
        )?;
        let [heads, lines] = Usage::heads();
        let titles =
            ["Transaction", "Outcome", "Subxacts", "First record", "Ended at", "Time", "Relations"];
        for (columns, is_line) in [(&heads, false), (&lines, true)] {
            let [xid, outcome, subxacts, first, end, time, relations] = titles
                .map(|title| if is_line { "-".repeat(title.len()) } else { title.to_owned() });
            writeln!(
                out,
                "{xid:<17} {outcome:<15} {subxacts:>8}{columns} {first:>17} {end:>17} {time:<30} \
                 {relations}"
            )?;
        }
        for row in &self.transactions {
            self.write_row(row, out)?;
        }
        let mut sum = |name: &str, usage: &Usage| -> std::fmt::Result {
            write!(out, "{name:<17} {:<15} {:>8}", "", "")?;
            usage.write_columns(&self.total, out)?;
            writeln!(out)
        };
        if self.other_transactions > 0 {
            sum(&format!("({} others)", self.other_transactions), &self.others)?;
        }
        if self.without_transaction.records > 0 {
            sum("(no transaction)", &self.without_transaction)?;
        }
        sum("Total", &self.total)
    }

    fn write_row(&self, row: &TransactionRow, out: &mut Text) -> std::fmt::Result {
        let mut outcome = row.outcome.name().to_owned();
        if row.was_prepared && row.outcome != Outcome::Prepared {
            outcome.push_str(" (2PC)");
        }
        write!(out, "{:<17} {outcome:<15} {:>8}", row.xid.0, row.subtransactions)?;
        row.usage.write_columns(&self.total, out)?;
        let end = row.end_lsn.map_or_else(String::new, |lsn| lsn.to_string());
        write!(out, " {:>17} {end:>17} ", row.first_lsn.to_string())?;
        let start = out.len();
        if let Some(time) = row.end_time {
            out.time(time);
        }
        let width = out.len() - start;
        out.spaces(30usize.saturating_sub(width));
        for locator in row.relations.iter().take(SHOWN_RELATIONS) {
            out.str(" ").locator(*locator);
        }
        match row.relations.len().saturating_sub(SHOWN_RELATIONS) {
            0 => {}
            more => {
                let sign = if row.more_relations { "+" } else { "" };
                write!(out, " and {more}{sign} more")?;
            }
        }
        writeln!(out)
    }

    /// Appends a JSON object and a line feed.
    pub fn push_json(&self, out: &mut Text) {
        // Neither writing into memory nor serializing plain structs fails.
        let _ = serde_json::to_writer(&mut *out, self);
        out.str("\n");
    }

    /// Appends a line of names and the rows: `kind` is `transaction`, `others` or `no_transaction`;
    /// relations are separated by spaces.
    pub fn push_csv(&self, out: &mut Text) {
        out.str("kind,xid,outcome,was_prepared,first_lsn,end_lsn,end_time,subtransactions,");
        out.str(Usage::CSV_HEADER).str(",relations,more_relations\n");
        for row in &self.transactions {
            out.str("transaction,").xid(row.xid).str(",").str(row.outcome.name());
            out.str(if row.was_prepared { ",true," } else { ",false," }).lsn(row.first_lsn);
            out.str(",");
            if let Some(lsn) = row.end_lsn {
                out.lsn(lsn);
            }
            out.str(",");
            if let Some(time) = row.end_time {
                // Writing into memory does not fail.
                let _ = write!(out, "{time}");
            }
            out.str(",").int(row.subtransactions).str(",");
            row.usage.push_csv(out);
            out.str(",");
            for (index, locator) in row.relations.iter().enumerate() {
                out.str(if index == 0 { "" } else { " " }).locator(*locator);
            }
            out.str(if row.more_relations { ",true\n" } else { ",false\n" });
        }
        for (kind, usage) in
            [("others", &self.others), ("no_transaction", &self.without_transaction)]
        {
            if usage.records > 0 {
                out.str(kind).str(",,,,,,,,");
                usage.push_csv(out);
                out.str(",,\n");
            }
        }
    }
}
