//! Which part of a log lies between two times, by the commits in it.
//!
//! Only commits and aborts carry a time, so a part of a log is bounded by commits, in the order of the log:
//!
//! ```text
//! commit times    09:58     10:01     10:00     10:04     10:07
//! ----------------|---------|---------|---------|---------|--------> the log
//!                 [          since 10:00, until 10:05      ]
//!                  start                              end
//! ```
//!
//! It starts right behind the commit that precedes the first one at or after `since`, so that the records
//! that led to that one are within; and ends behind the last commit at or before `until`. Commit times are
//! taken before commit records are written, and so do not quite rise along the log: between these bounds
//! there may be commits of earlier or later times, and none that is within the times lies outside.
//! Commits of prepared transactions count by the time of COMMIT PREPARED; aborts do not count.

use base::{Lsn, TimestampTz};

use crate::read::parallel::Gather;
use crate::record::Record;
use crate::rmgr::Payload;
use crate::rmgr::xact::Xact;

const XACT: u8 = 1;

/// Finds the bounds in a stretch of the log; the stretches' results are put together in log order.
#[derive(Debug, Clone)]
pub struct CommitWindow {
    since: Option<TimestampTz>,
    until: Option<TimestampTz>,
    /// End of the last commit before the window, or of the stretch's last one.
    before: Option<Lsn>,
    /// Whether a commit at or after `since` was seen; `before` stands still from then on.
    has_begun: bool,
    /// End of the last commit at or before `until`.
    end: Option<Lsn>,
    /// End of the last record.
    position: Lsn,
}

impl CommitWindow {
    /// Between these times, both included; `None` for no bound.
    pub fn new(since: Option<TimestampTz>, until: Option<TimestampTz>) -> CommitWindow {
        CommitWindow {
            since,
            until,
            before: None,
            has_begun: false,
            end: None,
            position: Lsn::INVALID,
        }
    }

    /// Takes in the stretch that follows.
    pub fn append(&mut self, later: &CommitWindow) {
        if !self.has_begun {
            self.before = later.before.or(self.before);
            self.has_begun = later.has_begun;
        }
        self.end = later.end.or(self.end);
        self.position = self.position.max(later.position);
    }

    fn commit(&mut self, end: Lsn, time: TimestampTz) {
        if !self.has_begun {
            self.has_begun = self.since.is_none_or(|since| time >= since);
            if !self.has_begun {
                self.before = Some(end);
            }
        }
        if self.until.is_none_or(|until| time <= until) {
            self.end = Some(end);
        }
    }

    /// End of the last record looked at.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// Where to start, given where the log does, and where to end, if there is an `until`; `None` if no
    /// commit lies within.
    pub fn bounds(&self, start_of_log: Lsn) -> Option<(Lsn, Option<Lsn>)> {
        let start = match self.since {
            Some(_) if !self.has_begun => return None,
            Some(_) => self.before.unwrap_or(start_of_log),
            None => start_of_log,
        };
        match self.until {
            None => Some((start, None)),
            Some(_) => self.end.filter(|end| *end > start).map(|end| (start, Some(end))),
        }
    }
}

impl Gather for CommitWindow {
    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        self.position = record.end();
        if record.rmid() != XACT {
            return;
        }
        if let Ok(Payload::Xact(Xact::Commit(commit))) = record.payload() {
            self.commit(record.end(), commit.time);
        }
    }

    fn clear(&mut self) {
        *self = CommitWindow::new(self.since, self.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window over commits at positions 100, 200, ..., of these times, cut into stretches of `cut`.
    fn bounds(
        times: &[i64],
        since: Option<i64>,
        until: Option<i64>,
        cut: usize,
    ) -> Option<(u64, Option<u64>)> {
        let (since, until) = (since.map(TimestampTz), until.map(TimestampTz));
        let mut whole = CommitWindow::new(since, until);
        let commits: Vec<(u64, i64)> = (1..).map(|n| n * 100).zip(times.iter().copied()).collect();
        for stretch in commits.chunks(cut) {
            let mut window = CommitWindow::new(since, until);
            for (end, time) in stretch {
                window.commit(Lsn(*end), TimestampTz(*time));
            }
            whole.append(&window);
        }
        whole.bounds(Lsn(1)).map(|(start, end)| (start.0, end.map(|end| end.0)))
    }

    #[test]
    fn bounds_are_commits_whatever_the_stretches() {
        let times = [58, 101, 100, 104, 107];
        for cut in 1..=5 {
            assert_eq!(bounds(&times, Some(100), Some(105), cut), Some((100, Some(400))));
            assert_eq!(bounds(&times, Some(101), Some(101), cut), Some((100, Some(300))));
            assert_eq!(bounds(&times, Some(1), None, cut), Some((1, None)));
            assert_eq!(bounds(&times, None, Some(58), cut), Some((1, Some(100))));
            assert_eq!(bounds(&times, None, None, cut), Some((1, None)));
            assert_eq!(bounds(&times, Some(108), None, cut), None);
            assert_eq!(bounds(&times, None, Some(57), cut), None);
            assert_eq!(bounds(&times, Some(105), Some(106), cut), None);
        }
        assert_eq!(bounds(&[], None, Some(1), 1), None);
        assert_eq!(bounds(&[], None, None, 1), Some((1, None)));
    }
}
