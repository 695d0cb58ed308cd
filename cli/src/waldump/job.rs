//! Running a job over the log: on several threads where only the records count, in order where it matters
//! after which record to stop (`--limit`), what the log will still get (`--follow`), or that nothing is done
//! for a record that turns out not to be one (`--save-fullpage`).
//!
//! A job's parts take records in, each from a stretch of the log; the job takes the parts in, in log order.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Lsn;
use wal::Record;
use wal::filter::Filter;
use wal::read::parallel::{self, Gather};
use wal::read::{Position, RecordReader, Stop};
use wal::record::Outline;
use wal::source::{Segments, SourceError};

use super::images::ImageSaver;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::signals;

/// Bytes of the log that a part takes in when reading in order.
const PART_SIZE: u64 = 1024 * 1024;
/// How long `--follow` waits before it looks again, as `pg_waldump` does.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// How many segments behind a missing one are looked for, to tell one that is still to come from one that
/// is gone.
const FOLLOW_SEARCH: u64 = 1000;

/// What is made of a stretch of the log. Each thread starts from a clone of an empty one.
pub(super) trait Part: Clone + Send + Sync {
    /// Takes in a record that the filter lets pass.
    fn take(&mut self, record: &Record<'_>);
    /// Whether [`Part::take_outline`] does for a record what [`Part::take`] does.
    const OUTLINES_SUFFICE: bool = false;
    /// Takes in a record of which no more is known.
    fn take_outline(&mut self, _: &Outline) {}
    /// Sees one that it does not.
    fn pass_over(&mut self, _: &Record<'_>) {}
    /// Back to what it was before the first record.
    fn clear(&mut self);
}

/// What is made of the log.
pub(super) trait Job {
    /// What is made of a stretch of it.
    type Part: Part;
    /// A part that has taken nothing in.
    fn part(&self) -> Self::Part;
    /// Takes in the part that follows in the log.
    fn append(&mut self, part: &mut Self::Part) -> Result<(), Failure>;
    /// All that there is has been taken in.
    fn finish(&mut self) -> Result<(), Failure>;
}

/// How to read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) segments: Arc<dyn Segments>,
    /// Start of the first record.
    pub(super) start: Lsn,
    pub(super) end: Option<Lsn>,
    /// Where the last segment that exists ends.
    pub(super) last: Lsn,
    pub(super) filter: Filter,
    pub(super) threads: usize,
    pub(super) limit: Option<u64>,
    pub(super) follow: bool,
    pub(super) images: Option<ImageSaver>,
}

/// Where reading ended.
#[derive(Debug)]
pub(super) struct End {
    /// Why; `None` if no more was wanted.
    pub(super) stop: Option<Stop>,
    pub(super) position: Position,
    pub(super) aborted_record: Option<Lsn>,
}

#[derive(Clone)]
struct Filtered<'a, P> {
    filter: &'a Filter,
    part: P,
    /// End of the last record.
    position: Lsn,
}

impl<P: Part> Gather for Filtered<'_, P> {
    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        self.position = record.end();
        if self.filter.matches(record) {
            self.part.take(record);
        } else {
            self.part.pass_over(record);
        }
    }

    fn read_from(&mut self, reader: &mut RecordReader) -> Result<Lsn, Stop> {
        if P::OUTLINES_SUFFICE && self.filter.is_empty() {
            let previous = reader.next_outlines(|outline| self.part.take_outline(outline))?;
            self.position = reader.position().next;
            return Ok(previous);
        }
        let record = reader.next_record()?;
        self.record(&record);
        Ok(record.previous())
    }

    fn clear(&mut self) {
        self.part.clear();
    }
}

impl Reading {
    /// Reads, and gives the job what it makes of it.
    pub(super) fn run<J: Job>(&self, job: &mut J) -> Result<End, Failure> {
        let in_order = self.follow || self.limit.is_some() || self.images.is_some();
        let end = if in_order { self.in_order(job) } else { self.in_stretches(job) }?;
        job.finish()?;
        Ok(end)
    }

    fn progress(&self) -> Progress {
        Progress::new(self.start, self.end.unwrap_or(self.last).min(self.last))
    }

    fn in_stretches<J: Job>(&self, job: &mut J) -> Result<End, Failure> {
        let mut progress = self.progress();
        let empty = Filtered { filter: &self.filter, part: job.part(), position: self.start };
        let mut failure = None;
        let end = parallel::scan(
            &self.segments,
            Position::jump_to(self.start),
            self.end,
            self.threads,
            || empty.clone(),
            |gathered: &mut Filtered<'_, J::Part>| {
                if let Err(error) = job.append(&mut gathered.part) {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
                progress.at(gathered.position);
                if signals::interrupted() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            },
        );
        match failure {
            Some(failure) => Err(failure),
            None => Ok(End {
                stop: end.stop,
                position: end.position,
                aborted_record: end.aborted_record,
            }),
        }
    }

    fn in_order<J: Job>(&self, job: &mut J) -> Result<End, Failure> {
        let mut reader = RecordReader::new(Arc::clone(&self.segments));
        reader.set_end(self.end);
        reader.resume(Position::jump_to(self.start));
        let mut part = job.part();
        let mut part_end = self.start + PART_SIZE;
        let mut progress = self.progress();
        let mut left = self.limit.unwrap_or(u64::MAX);
        let stop = loop {
            if signals::interrupted() {
                break None;
            }
            match reader.next_record() {
                Ok(record) => {
                    let end = record.end();
                    if !self.filter.matches(&record) {
                        part.pass_over(&record);
                    } else {
                        part.take(&record);
                        if let Some(images) = &self.images {
                            images.save(&record, &*self.segments)?;
                        }
                        left -= 1;
                        if left == 0 {
                            break None;
                        }
                    }
                    if end >= part_end {
                        job.append(&mut part)?;
                        part.clear();
                        part_end = end + PART_SIZE;
                        progress.at(end);
                    }
                }
                Err(stop) if self.follow && self.may_pass(&stop) => {
                    job.append(&mut part)?;
                    part.clear();
                    wait();
                    reader.refresh();
                }
                Err(stop) => break Some(stop),
            }
        };
        job.append(&mut part)?;
        let (position, aborted_record) = (reader.position(), reader.aborted_record());
        Ok(End { stop, position, aborted_record })
    }

    /// Whether what stopped reading may be gone when the log has grown: anything but the end that was
    /// asked for, a file that cannot be read, and a segment that the server has removed already.
    fn may_pass(&self, stop: &Stop) -> bool {
        let size = self.segments.segment_size();
        match stop {
            Stop::EndReached | Stop::Source(SourceError::Io { .. }) => false,
            Stop::Source(SourceError::Missing { name }) => match size.parse_file_name(name) {
                Some((_, number)) => {
                    let mut later = (1..=FOLLOW_SEARCH).map(|step| number.saturating_add(step));
                    later.all(|number| self.segments.open(number).is_err())
                }
                None => true,
            },
            _ => true,
        }
    }
}

/// Waits for the log to grow, or for Ctrl-C.
fn wait() {
    let until = Instant::now() + FOLLOW_INTERVAL;
    while !signals::interrupted() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
}
