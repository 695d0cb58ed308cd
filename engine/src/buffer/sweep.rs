//! Writing all dirty pages, in file order and at a pace: a checkpoint's sweep.
//!
//! Invariants: a page that was dirty when the sweep began has been written when it ends, by it or by somebody else, unless
//! the sweep was ended before; a page that became dirty later may have been. What is written is durable after the next
//! sync of the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use base::{ForkNumber, RelFileLocator};

use super::desc::{DIRTY, MAPPED, WRITING};
use super::pool::{BufferError, BufferPool, LogFlush, Patience, WriteBack};
use super::store::PageStore;

/// How far a sweep has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sweep {
    /// Pages that were dirty at its start.
    pub dirty: usize,
    /// How many of them have been looked at.
    pub done: usize,
    /// How many of them it had to write itself.
    pub written: usize,
}

/// What is in a pool at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirtyPicture {
    /// Frames of the pool.
    pub frames: usize,
    /// Those that hold a page.
    pub used: usize,
    /// Those whose page is dirty.
    pub dirty: usize,
    /// How many dirty pages each fork has, most first.
    pub forks: Vec<(RelFileLocator, ForkNumber, usize)>,
}

impl<S: PageStore, L: LogFlush> BufferPool<S, L> {
    /// Writes every page that is dirty now, in the order of their names. `pace` is asked before each one, may wait, and
    /// may end the sweep.
    ///
    /// # Errors
    /// The first error; what could not be written is dirty still.
    pub fn write_dirty(
        &self,
        mut pace: impl FnMut(&Sweep) -> ControlFlow<()>,
    ) -> Result<Sweep, BufferError> {
        let mut dirty: Vec<_> = self
            .frames
            .iter()
            .enumerate()
            .filter(|(_, frame)| frame.word.load().has(DIRTY | WRITING))
            .map(|(number, frame)| (frame.name.get(), number))
            .collect();
        dirty.sort_unstable();
        let mut sweep = Sweep { dirty: dirty.len(), ..Sweep::default() };
        for (_, number) in dirty {
            if pace(&sweep).is_break() {
                break;
            }
            sweep.done += 1;
            let frame = &self.frames[number];
            // Clean by now, or of another page, which was dirty later.
            if !frame.word.pin_if(DIRTY | WRITING) {
                continue;
            }
            let result = self.write_back(frame, Patience::Wait);
            frame.unpin();
            sweep.written += usize::from(result? == WriteBack::Written);
        }
        Ok(sweep)
    }

    /// Writes every page that is dirty now, and makes the files durable. Gives the number of pages written.
    ///
    /// # Errors
    /// The first error; what could not be written is dirty still. After [`BufferError::Sync`] the engine is to stop.
    pub fn write_all(&self) -> Result<usize, BufferError> {
        let sweep = self.write_dirty(|_| ControlFlow::Continue(()))?;
        self.store().sync().map_err(BufferError::Sync)?;
        Ok(sweep.written)
    }

    /// How many frames are dirty, and how many there are.
    pub fn dirty(&self) -> (usize, usize) {
        let dirty = self.frames.iter().filter(|frame| frame.word.load().has(DIRTY | WRITING));
        (dirty.count(), self.frames.len())
    }

    /// What is in the pool, and what of it is dirty. Frames are looked at one after the other.
    pub fn picture(&self) -> DirtyPicture {
        let mut picture = DirtyPicture { frames: self.frames.len(), ..DirtyPicture::default() };
        let mut forks: BTreeMap<(RelFileLocator, ForkNumber), usize> = BTreeMap::new();
        for frame in &self.frames {
            let state = frame.word.load();
            picture.used += usize::from(state.has(MAPPED));
            if state.has(DIRTY | WRITING) {
                let name = frame.name.get();
                picture.dirty += 1;
                *forks.entry((name.locator, name.fork)).or_default() += 1;
            }
        }
        picture.forks =
            forks.into_iter().map(|((locator, fork), count)| (locator, fork, count)).collect();
        picture.forks.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        picture
    }
}
