//! Whether the log ends where it cannot be read on, or is damaged there.
//!
//! Invariant: what is taken for the end is one that a crash can have left, as far as there is evidence.

use std::ops::ControlFlow;

use base::Lsn;
use base::sync::Arc;
use wal::read::damage::{self, Break, Cause};
use wal::read::{Position, RecordReader, Stop};
use wal::segment::SegmentNumber;
use wal::source::Segments;

use super::error::{Damage, RecoveryError};
use super::evidence::{Evidence, flushed_by_marker};
use super::options::OnDamage;

/// Valid records behind the log's end that recovery drops: nothing shows that they had been durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftBehind {
    /// Start of the first one.
    pub first: Lsn,
    /// How many.
    pub records: u64,
    /// How many of them commit a transaction.
    pub commits: u64,
}

/// Where reading stopped, and what is known besides.
pub(super) struct Ending<'a> {
    pub(super) segments: &'a Arc<dyn Segments>,
    /// Where the next record should start.
    pub(super) at: Lsn,
    /// The page that reading came to within a record over several pages.
    pub(super) missing_page: Option<Lsn>,
    /// The highest segment that there is.
    pub(super) last_segment: SegmentNumber,
    /// The highest LSN that was seen on a page.
    pub(super) highest_page_lsn: Lsn,
    pub(super) threads: usize,
}

impl Ending<'_> {
    /// Takes it for the log's end, or says why not.
    pub(super) fn judge(
        &self,
        stop: Stop,
        on_damage: OnDamage,
    ) -> Result<Option<LeftBehind>, RecoveryError> {
        let size = self.segments.segment_size();
        let is_torn = self.missing_page.is_some();
        let cause = damage::cause_of(&stop, is_torn, size, self.last_segment);
        if matches!(cause, Cause::Unreadable | Cause::ForeignSegment) {
            return Err(RecoveryError::Unreadable { at: self.at, stop });
        }
        let report =
            damage::verify(self.segments, self.at, self.last_segment, self.threads, |_| {
                ControlFlow::Continue(())
            });
        let stranded: Vec<_> = report.breaks.iter().filter_map(|found| found.stranded).collect();
        let left_behind = stranded.first().map(|first| LeftBehind {
            first: first.first,
            records: report.stranded_records(),
            commits: report.stranded_commits(),
        });
        let evidence = self.evidence(&stranded);
        let is_refused = match on_damage {
            OnDamage::RefuseIfDurable => evidence.is_some(),
            OnDamage::Refuse => evidence.is_some() || left_behind.is_some(),
            OnDamage::EndThere => false,
        };
        if !is_refused {
            return Ok(left_behind);
        }
        let message = match report.breaks.first() {
            Some(Break { message, at, .. }) if *at == self.at => message.clone(),
            _ => stop.to_string(),
        };
        let number = size.number_of(self.at);
        Err(RecoveryError::Damaged(Box::new(Damage {
            at: self.at,
            segment: size.file_name(self.segments.timeline_of(number), number),
            offset: size.offset_of(self.at),
            message,
            evidence: evidence.unwrap_or(Evidence::None),
            records: left_behind.map_or(0, |left| left.records),
            commits: left_behind.map_or(0, |left| left.commits),
        })))
    }

    /// What shows that the log was durable beyond its end.
    fn evidence(&self, stranded: &[damage::Run]) -> Option<Evidence> {
        if self.highest_page_lsn > self.at {
            return Some(Evidence::PageLsn(self.highest_page_lsn));
        }
        let size = self.segments.segment_size();
        // A record that goes on in the next segment may be torn there alone.
        let own = size.number_of(self.missing_page.unwrap_or(self.at));
        for run in stranded {
            // A record may begin in the one and end in the next.
            if size.number_of(Lsn(run.end.0 - 1)) > own {
                let first = run.first.max(size.start_of(own + 1));
                return Some(Evidence::LaterSegment(first));
            }
            let mut reader = RecordReader::new(Arc::clone(self.segments));
            reader.resume(Position::jump_to(run.first));
            while let Ok(record) = reader.next_record() {
                if let Some(flushed) = flushed_by_marker(&record).filter(|lsn| *lsn > self.at) {
                    return Some(Evidence::Marker { at: record.start(), flushed });
                }
                if record.start() >= run.last {
                    break;
                }
            }
        }
        None
    }
}
