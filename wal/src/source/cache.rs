//! Decompressed segments kept for the next who asks: several readers stand in neighbouring segments at
//! once, and each opens what another has just decompressed.
//!
//! Invariant: what is kept holds at most [`CACHE_SIZE`] bytes; the one that was not asked for longest goes
//! first, and gives its memory back even where a reader still holds it: readers that have nothing to do
//! hold the segment that they read last, and there may be many of them.

use std::collections::VecDeque;

use base::disk::DiskFile;
use base::sync::{Arc, Mutex, MutexGuard};

use super::archive::Member;
use super::inflated::{Inflated, WINDOW};
use crate::segment::{SegmentNumber, SegmentSize, Timeline};

/// Bytes of memory that kept files may hold.
const CACHE_SIZE: u64 = 3 * WINDOW;

type Key = (SegmentNumber, Timeline);

/// A segment's file as opened.
#[derive(Debug, Clone)]
pub(super) enum Opened {
    /// Of the disk itself: cheap to open again.
    Plain(Arc<dyn DiskFile>),
    /// A member of an archive.
    Member(Arc<Member>),
    /// Decompressed.
    Inflated(Arc<Inflated>),
}

impl Opened {
    pub(super) fn file(&self) -> Arc<dyn DiskFile> {
        match self {
            Opened::Plain(file) => Arc::clone(file),
            Opened::Member(member) => Arc::clone(member) as Arc<dyn DiskFile>,
            Opened::Inflated(inflated) => Arc::clone(inflated) as Arc<dyn DiskFile>,
        }
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    /// Those asked for last at the end.
    kept: Mutex<VecDeque<(Key, Opened)>>,
    most: usize,
}

impl Cache {
    pub(super) fn new(size: SegmentSize) -> Cache {
        let most = (CACHE_SIZE / size.bytes().min(WINDOW)) as usize;
        Cache { kept: Mutex::default(), most }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Opened)>> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn find(&self, key: Key) -> Option<Arc<dyn DiskFile>> {
        let mut kept = self.lock();
        let index = kept.iter().position(|(other, _)| *other == key)?;
        let found = kept.remove(index)?;
        let file = found.1.file();
        kept.push_back(found);
        Some(file)
    }

    /// Keeps what was opened, unless another was kept under the same key meanwhile; returns the one to use.
    pub(super) fn keep(&self, key: Key, opened: Opened) -> Arc<dyn DiskFile> {
        let file = opened.file();
        if matches!(opened, Opened::Plain(_)) {
            return file;
        }
        let mut kept = self.lock();
        if let Some((_, other)) = kept.iter().find(|(other, _)| *other == key) {
            return other.file();
        }
        kept.push_back((key, opened));
        let oldest = if kept.len() > self.most { kept.pop_front() } else { None };
        drop(kept);
        if let Some((_, Opened::Inflated(inflated))) = oldest {
            inflated.release();
        }
        file
    }
}
