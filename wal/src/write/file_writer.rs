//! Finished log into segment files: what stands behind [`Buffers`](super::Buffers) in a real log.
//!
//! Invariants: a segment is durable before the first byte of the next one is written, so a sync of the
//! open file makes everything durable that was written so far; behind the last byte written, its page
//! is zero in the file, whatever a recycled segment or a crash left there.

use std::io::IoSlice;

use base::disk::WritableFile;
use base::sync::Arc;
use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::Relaxed;
use base::{Lsn, PAGE_SIZE};

use super::buffers::Sink;
use super::error::LogError;
use super::group::FlushGroup;
use super::segment_files::SegmentFiles;
use super::sync_method::SyncMethod;
use crate::segment::SegmentNumber;

/// Calls of the operating system so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) writes: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// Told of each segment that is full and durable.
pub(super) trait SegmentEnd: std::fmt::Debug + Send + Sync {
    fn full(&self, number: SegmentNumber) -> Result<(), LogError>;
}

/// Writes to the segment files.
#[derive(Debug)]
pub(super) struct FileWriter {
    files: Arc<SegmentFiles>,
    group: Arc<FlushGroup>,
    calls: Arc<Calls>,
    at_end: Arc<dyn SegmentEnd>,
    open: Option<OpenSegment>,
    /// End of the last page whose rest was written as zeros.
    zeroed: Lsn,
}

/// An open segment.
#[derive(Debug, Clone)]
pub(super) struct OpenSegment {
    number: SegmentNumber,
    file: Arc<dyn WritableFile>,
}

impl FileWriter {
    pub(super) fn new(
        files: Arc<SegmentFiles>,
        group: Arc<FlushGroup>,
        calls: Arc<Calls>,
        at_end: Arc<dyn SegmentEnd>,
    ) -> FileWriter {
        FileWriter { files, group, calls, at_end, open: None, zeroed: Lsn::INVALID }
    }

    /// The segment that is being written; a sync of it covers everything that was written.
    pub(super) fn open_segment(&self) -> Option<OpenSegment> {
        self.open.clone()
    }

    fn segment(&mut self, number: SegmentNumber) -> Result<&OpenSegment, LogError> {
        let is_open = self.open.as_ref().is_some_and(|open| open.number == number);
        if !is_open {
            self.open = None;
            self.open = Some(OpenSegment { number, file: self.files.open(number)? });
        }
        self.open.as_ref().ok_or_else(|| unreachable!("just opened"))
    }

    /// Writes what lies in one segment.
    fn write_within(&mut self, at: Lsn, pieces: [&[u8]; 2]) -> Result<(), LogError> {
        static ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
        let size = self.files.size();
        let number = size.number_of(at);
        let end = at + (pieces[0].len() + pieces[1].len()) as u64;
        let page_end = Lsn(end.0.next_multiple_of(PAGE_SIZE as u64));
        let rest: &[u8] = if page_end > self.zeroed && page_end > end {
            &ZEROS[..(page_end.0 - end.0) as usize]
        } else {
            &[]
        };
        let slices = [pieces[0], pieces[1], rest].map(IoSlice::new);
        let used = slices.iter().filter(|slice| !slice.is_empty()).count();
        let mut compact = [IoSlice::new(&[]); 3];
        for (target, slice) in
            compact.iter_mut().zip(slices.into_iter().filter(|slice| !slice.is_empty()))
        {
            *target = slice;
        }
        let calls = Arc::clone(&self.calls);
        let file = Arc::clone(&self.segment(number)?.file);
        file.write_vectored_at(&compact[..used], size.offset_of(at))
            .map_err(|error| LogError::stopped("write to", &self.files.path(number), error))?;
        calls.writes.fetch_add(1, Relaxed);
        self.zeroed = self.zeroed.max(page_end);
        if size.offset_of(end) == 0 {
            self.finish_segment(end)?;
        }
        Ok(())
    }

    /// Makes the segment durable that ends at `end`.
    fn finish_segment(&mut self, end: Lsn) -> Result<(), LogError> {
        if let Some(open) = self.open.take() {
            open.sync(&self.files, &self.calls)?;
            self.group.publish(end);
            self.at_end.full(open.number)?;
        }
        Ok(())
    }
}

impl OpenSegment {
    /// Makes what was written to it durable, as the method says.
    pub(super) fn sync(&self, files: &SegmentFiles, calls: &Calls) -> Result<(), LogError> {
        let result = match files.method() {
            SyncMethod::Fdatasync => self.file.sync_data(),
            SyncMethod::Fsync => self.file.sync_all(),
            SyncMethod::OpenDatasync | SyncMethod::None => return Ok(()),
        };
        calls.syncs.fetch_add(1, Relaxed);
        result.map_err(|error| LogError::stopped("sync", &files.path(self.number), error))
    }
}

impl Sink for FileWriter {
    fn write(&mut self, at: Lsn, pieces: [&[u8]; 2]) -> Result<(), LogError> {
        let size = self.files.size();
        let mut at = at;
        let [mut one, mut other] = pieces;
        while !one.is_empty() || !other.is_empty() {
            let room = (size.bytes() - size.offset_of(at)) as usize;
            let (first, one_left) = one.split_at(one.len().min(room));
            let (second, other_left) = other.split_at(other.len().min(room - first.len()));
            self.write_within(at, [first, second])?;
            at = at + (first.len() + second.len()) as u64;
            (one, other) = (one_left, other_left);
        }
        Ok(())
    }
}
