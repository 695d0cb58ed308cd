//! The history of a timeline: which timelines it came from, and where each was left.
//!
//! ```text
//! timeline 1   |===========o
//!                          |  00000002.history: 1  0/5000000  no recovery target specified
//! timeline 2               |======o
//!                                 |  00000003.history: the line above, and  2  0/6000000  ...
//! timeline 3                      |=======>
//! ```
//!
//! Source: `timeline.c`, whose rules and words these are (`readTimeLineHistory`); numbers that do not fit
//! their type and lines of binary zeroes are refused here, where PostgreSQL takes what `sscanf` makes of
//! them.
//!
//! Invariants: branches are in order of age, the youngest first, with falling timelines; each but the
//! youngest ends where the next one begins. Switch points need not rise: who recovers along timeline 2 to
//! a position before it branched off gets a timeline 3 whose history names 2 with an earlier position
//! than 1; then no position belongs to 2.

use base::Lsn;

use crate::segment::{SegmentNumber, SegmentSize, Timeline};

/// The longest history file that is read, in bytes: some ten thousand timelines.
pub(super) const MAX_LENGTH: u64 = 1024 * 1024;

/// A timeline's part in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it branched off; [`Lsn::INVALID`] for the oldest.
    pub begin: Lsn,
    /// Where it was left; `None` for the youngest.
    pub end: Option<Lsn>,
}

/// A timeline with those that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    branches: Vec<Branch>,
}

/// What is wrong with a history file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryFault {
    /// A line does not begin with a timeline's number.
    #[error("syntax error in history file: {0} (expected a numeric timeline ID)")]
    NoTimeline(String),
    /// A line has no position behind the number.
    #[error("syntax error in history file: {0} (expected a write-ahead log switchpoint location)")]
    NoSwitchPoint(String),
    /// A timeline is not above the one before.
    #[error("invalid data in history file: {0} (timeline IDs must be in increasing sequence)")]
    NotIncreasing(String),
    /// A timeline is not below that of the file.
    #[error("invalid data in history file (timeline IDs must be less than child timeline's ID)")]
    NotBelowChild,
}

impl History {
    /// A timeline that came from no other, or of which that is not known.
    pub(super) fn alone(timeline: Timeline) -> History {
        History { branches: vec![Branch { timeline, begin: Lsn::INVALID, end: None }] }
    }

    /// From the content of the timeline's history file; an error comes with the number of its line.
    pub(super) fn parse(timeline: Timeline, file: &[u8]) -> Result<History, (u64, HistoryFault)> {
        let mut branches: Vec<Branch> = Vec::new();
        let mut begin = Lsn::INVALID;
        let mut line_number = 0;
        for line in file.split(|byte| *byte == b'\n') {
            line_number += 1;
            let Some((ancestor, end)) = parse_line(line).map_err(|fault| (line_number, fault))?
            else {
                continue;
            };
            if branches.last().is_some_and(|last| ancestor <= last.timeline) {
                return Err((line_number, HistoryFault::NotIncreasing(excerpt(line))));
            }
            branches.push(Branch { timeline: ancestor, begin, end: Some(end) });
            begin = end;
        }
        if branches.last().is_some_and(|last| timeline <= last.timeline) {
            return Err((line_number, HistoryFault::NotBelowChild));
        }
        branches.push(Branch { timeline, begin, end: None });
        branches.reverse();
        Ok(History { branches })
    }

    /// The timeline whose history it is.
    pub fn timeline(&self) -> Timeline {
        self.branches[0].timeline
    }

    /// All branches, the youngest first.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// The timeline that a position belongs to (`tliOfPointInHistory`).
    pub fn timeline_at(&self, position: Lsn) -> Timeline {
        let holds = |branch: &&Branch| {
            branch.begin <= position && branch.end.is_none_or(|end| position < end)
        };
        // The youngest branch's beginning is the end of another: one of them holds the position.
        self.branches.iter().find(holds).map_or(self.timeline(), |branch| branch.timeline)
    }

    /// The timelines that segment `number` may be read from, the youngest first, each with the position
    /// inside the segment where the history leaves it, if it does.
    pub(super) fn timelines_of(
        &self,
        number: SegmentNumber,
        size: SegmentSize,
    ) -> impl Iterator<Item = (Timeline, Option<Lsn>)> {
        // A younger branch may have begun before the end that a branch's own line says.
        let mut left_at: Option<Lsn> = None;
        self.branches.iter().filter_map(move |branch| {
            left_at = match (left_at, branch.end) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            let begun = size.number_of(branch.begin) <= number;
            let nonempty = left_at.is_none_or(|end| branch.begin < end);
            let not_left = left_at.is_none_or(|end| end > size.start_of(number));
            let inside = left_at.filter(|end| size.number_of(*end) == number);
            (begun && nonempty && not_left).then_some((branch.timeline, inside))
        })
    }
}

/// A line's timeline and switch point; `None` for a comment or an empty line.
fn parse_line(line: &[u8]) -> Result<Option<(Timeline, Lsn)>, HistoryFault> {
    let text = skip_space(line);
    if text.is_empty() || text[0] == b'#' {
        return Ok(None);
    }
    let (timeline, text) =
        number(text, 10).ok_or_else(|| HistoryFault::NoTimeline(excerpt(line)))?;
    let position = || {
        let (high, text) = number(skip_space(text), 16)?;
        let (low, _) = number(skip_space(text.strip_prefix(b"/")?), 16)?;
        Some(Lsn(u64::from(high) << 32 | u64::from(low)))
    };
    let position = position().ok_or_else(|| HistoryFault::NoSwitchPoint(excerpt(line)))?;
    Ok(Some((Timeline(timeline), position)))
}

/// As C's `isspace`.
fn skip_space(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    &text[length..]
}

/// The number that the text begins with, and what is behind it.
fn number(text: &[u8], radix: u32) -> Option<(u32, &[u8])> {
    let length = text.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let (digits, rest) = text.split_at(length);
    let number = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    Some((number, rest))
}

/// What of a line goes into a message.
fn excerpt(line: &[u8]) -> String {
    let line = line.trim_ascii();
    let text = String::from_utf8_lossy(&line[..line.len().min(80)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
