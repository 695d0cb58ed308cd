//! Statistics: counted by each thread for itself, merged and shown at the end.

use base::Lsn;
use wal::record::Outline;
use wal::stats::{
    Grouping, RelationStatistics, Statistics, TransactionStatistics, TransactionStretch,
};
use wal::text::Text;
use wal::{Record, Version};

use super::arguments::Format;
use super::job::{Job, Part};
use crate::failure::Failure;
use crate::output::Output;

/// How statistics are shown.
#[derive(Debug)]
pub(super) struct View {
    pub(super) format: Format,
    pub(super) version: Version,
    /// Where reading began.
    pub(super) start: Lsn,
    /// How many relations or transactions are shown.
    pub(super) top: usize,
    pub(super) output: Output,
}

/// Shows statistics by resource manager or record type.
#[derive(Debug)]
pub(super) struct ShowStatistics {
    grouping: Grouping,
    view: View,
    statistics: Statistics,
}

impl ShowStatistics {
    pub(super) fn new(grouping: Grouping, view: View) -> ShowStatistics {
        ShowStatistics { grouping, view, statistics: Statistics::default() }
    }
}

impl Job for ShowStatistics {
    type Part = Statistics;

    fn part(&self) -> Statistics {
        Statistics::default()
    }

    fn append(&mut self, part: &mut Statistics) -> Result<(), Failure> {
        self.statistics.merge(part);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let mut text = Text::default();
        let (grouping, View { version, start, .. }) = (self.grouping, &self.view);
        match self.view.format {
            Format::Text => self.statistics.push_table(grouping, *version, *start, &mut text),
            Format::Json => self.statistics.push_json(grouping, *version, *start, &mut text),
            Format::Csv => self.statistics.push_csv(grouping, *version, &mut text),
        }
        self.view.output.write_text(&text)
    }
}

impl Part for Statistics {
    const OUTLINES_SUFFICE: bool = true;

    #[inline]
    fn take(&mut self, record: &Record<'_>) {
        self.add(record);
    }

    #[inline]
    fn take_outline(&mut self, outline: &Outline) {
        self.add_outline(outline);
    }

    fn clear(&mut self) {
        Statistics::clear(self);
    }
}

/// Shows statistics by relation.
#[derive(Debug)]
pub(super) struct ShowRelations {
    view: View,
    statistics: RelationStatistics,
}

impl ShowRelations {
    pub(super) fn new(view: View) -> ShowRelations {
        ShowRelations { view, statistics: RelationStatistics::default() }
    }
}

impl Job for ShowRelations {
    type Part = RelationStatistics;

    fn part(&self) -> RelationStatistics {
        RelationStatistics::default()
    }

    fn append(&mut self, part: &mut RelationStatistics) -> Result<(), Failure> {
        self.statistics.merge(part);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let View { version, start, top, .. } = self.view;
        let report = self.statistics.report(version, start, top);
        let mut text = Text::default();
        match self.view.format {
            Format::Text => report.push_table(&mut text),
            Format::Json => report.push_json(&mut text),
            Format::Csv => report.push_csv(&mut text),
        }
        self.view.output.write_text(&text)
    }
}

impl Part for RelationStatistics {
    #[inline]
    fn take(&mut self, record: &Record<'_>) {
        self.add(record);
    }

    fn clear(&mut self) {
        self.clear();
    }
}

/// Shows statistics by transaction.
#[derive(Debug)]
pub(super) struct ShowTransactions {
    view: View,
    statistics: TransactionStatistics,
}

impl ShowTransactions {
    pub(super) fn new(view: View) -> ShowTransactions {
        let statistics = TransactionStatistics::new(view.top);
        ShowTransactions { view, statistics }
    }
}

impl Job for ShowTransactions {
    type Part = TransactionStretch;

    fn part(&self) -> TransactionStretch {
        TransactionStretch::default()
    }

    fn append(&mut self, part: &mut TransactionStretch) -> Result<(), Failure> {
        self.statistics.append(part);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let View { version, start, top, .. } = self.view;
        let statistics = std::mem::replace(&mut self.statistics, TransactionStatistics::new(top));
        let report = statistics.report(version, start);
        let mut text = Text::default();
        match self.view.format {
            Format::Text => report.push_table(&mut text),
            Format::Json => report.push_json(&mut text),
            Format::Csv => report.push_csv(&mut text),
        }
        self.view.output.write_text(&text)
    }
}

impl Part for TransactionStretch {
    #[inline]
    fn take(&mut self, record: &Record<'_>) {
        self.add(record, true);
    }

    /// A commit says how a transaction ended, wanted itself or not.
    fn pass_over(&mut self, record: &Record<'_>) {
        self.add(record, false);
    }

    fn clear(&mut self) {
        self.clear();
    }
}
