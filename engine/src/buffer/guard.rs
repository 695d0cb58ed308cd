//! Pins and content locks as values: what was taken is given back when the value goes.
//!
//! Invariants: a lock borrows its pin, so that it cannot outlive it. Whoever gets at the content to change it has made the
//! page dirty before ([`PageWrite::bytes_mut`]). As long as a page stays in memory it is remembered that its line pointers
//! were seen to fit: what changes it otherwise than as a [`PageMut`], which keeps them so, takes that back first.

use std::ops::Deref;

use base::page::{PageBytes, PageError};
use base::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use base::{Lsn, Page, PageMut, RawPage};

use super::desc::{CHECKED, CLEANUP_WAITER, DIRTY, VALID};
use super::note::{Noted, PageNote};
use super::pool::{BufferError, BufferPool, Content, Frame};
use super::usage::PageUse;
use super::{LogFlush, PageName, PageStore};

/// A page that stays in memory as long as this lives. Cloning pins once more.
#[derive(Debug)]
pub struct Pinned<'p, S: PageStore, L: LogFlush> {
    pool: &'p BufferPool<S, L>,
    frame: usize,
    name: PageName,
}

impl<'p, S: PageStore, L: LogFlush> Pinned<'p, S, L> {
    /// Takes over a pin that the caller has taken.
    pub(super) fn over(
        pool: &'p BufferPool<S, L>,
        frame: usize,
        name: PageName,
    ) -> Pinned<'p, S, L> {
        Pinned { pool, frame, name }
    }

    /// The page's name.
    pub fn name(&self) -> PageName {
        self.name
    }

    pub(super) fn frame(&self) -> &'p Frame {
        self.pool.frame(self.frame)
    }

    /// Locks the content to read it. Waits for who changes it.
    pub fn read(&self) -> PageRead<'_> {
        let frame = self.frame();
        PageRead { frame, content: frame.content.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Locks the content to change it. Waits for everyone who reads or changes it.
    pub fn write(&self) -> PageWrite<'_> {
        let frame = self.frame();
        PageWrite { frame, content: frame.content.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// The same for who keeps the lock along with the pin.
    pub fn into_write(self) -> PinnedWrite<'p, S, L> {
        let content = self.frame().content.write().unwrap_or_else(PoisonError::into_inner);
        PinnedWrite { content, pinned: self }
    }

    /// [`Pinned::into_write`], if that needs no waiting.
    pub fn try_into_write(self) -> Option<PinnedWrite<'p, S, L>> {
        let content = match self.frame().content.try_write() {
            Ok(content) => content,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(PinnedWrite { content, pinned: self })
    }

    /// Locks the content to change it if that needs no waiting.
    pub fn try_write(&self) -> Option<PageWrite<'_>> {
        let frame = self.frame();
        match frame.content.try_write() {
            Ok(content) => Some(PageWrite { frame, content }),
            Err(TryLockError::Poisoned(poisoned)) => {
                Some(PageWrite { frame, content: poisoned.into_inner() })
            }
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Locks the content to change it, and to move what is on the page, if nobody else has the page pinned or
    /// locked (`ConditionalLockBufferForCleanup`).
    pub fn try_cleanup(&self) -> Option<PageWrite<'_>> {
        let guard = self.try_write()?;
        (self.frame().word.load().pins() == 1).then_some(guard)
    }

    /// The same, waiting until everyone else has given his pin back (`LockBufferForCleanup`). The caller holds one pin.
    ///
    /// # Errors
    /// [`BufferError::CleanupWaiter`] where somebody waits for this already: the two would wait for each other.
    pub fn cleanup(&self) -> Result<PageWrite<'_>, BufferError> {
        let frame = self.frame();
        loop {
            let guard = self.write();
            let before = frame.word.load();
            if before.pins() == 1 {
                return Ok(guard);
            }
            let before = frame.word.set(CLEANUP_WAITER);
            if before.has(CLEANUP_WAITER) {
                return Err(BufferError::CleanupWaiter { name: self.name });
            }
            // Who gave the last other pin back before the bit stood has not seen it.
            if before.pins() == 1 && !base::variant!("buffer.no-second-look") {
                frame.word.clear(CLEANUP_WAITER);
                return Ok(guard);
            }
            drop(guard);
            let mut waiting = frame.cleanup.lock().unwrap_or_else(PoisonError::into_inner);
            while frame.word.load().has(CLEANUP_WAITER) {
                waiting = frame.unpinned.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl<S: PageStore, L: LogFlush> Clone for Pinned<'_, S, L> {
    fn clone(&self) -> Self {
        self.frame().word.pin_again();
        Pinned { pool: self.pool, frame: self.frame, name: self.name }
    }
}

impl<S: PageStore, L: LogFlush> Drop for Pinned<'_, S, L> {
    fn drop(&mut self) {
        self.frame().unpin();
    }
}

impl Frame {
    /// Who looks holds a lock of the content: only under the shared one does a page cease to be dirty.
    #[inline]
    fn set_dirty(&self) {
        if !self.word.load().has(DIRTY) {
            self.word.set(DIRTY);
            PageUse::count(|used| used.dirtied += 1);
        }
    }

    /// Whether header and line pointers fit, which is looked at once. Under a lock of the content.
    #[inline]
    fn check(&self, content: &PageBytes) -> Result<(), PageError> {
        if !self.word.load().has(CHECKED) {
            RawPage::new(content).validate()?;
            self.word.set(CHECKED);
        }
        Ok(())
    }
}

/// A page's content, locked to be read.
#[derive(Debug)]
pub struct PageRead<'a> {
    frame: &'a Frame,
    content: RwLockReadGuard<'a, Content>,
}

impl Deref for PageRead<'_> {
    type Target = PageBytes;

    #[inline]
    fn deref(&self) -> &PageBytes {
        &self.content
    }
}

impl PageRead<'_> {
    /// The page; header and line pointers are looked at unless they were before.
    ///
    /// # Errors
    /// As [`RawPage::validate`].
    #[inline]
    pub fn page(&self) -> Result<Page<'_>, PageError> {
        self.frame.check(&self.content)?;
        Ok(Page::assume_valid(&self.content))
    }
}

/// A page's content, locked to be changed.
#[derive(Debug)]
pub struct PageWrite<'a> {
    pub(super) frame: &'a Frame,
    pub(super) content: RwLockWriteGuard<'a, Content>,
}

impl Deref for PageWrite<'_> {
    type Target = PageBytes;

    #[inline]
    fn deref(&self) -> &PageBytes {
        &self.content
    }
}

impl PageWrite<'_> {
    /// The bytes, to be changed in any way: the page is dirty from here on. Done before the change is logged, so that a
    /// checkpoint whose redo point lies behind the record writes the page.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut PageBytes {
        self.frame.set_dirty();
        self.frame.word.clear(CHECKED);
        &mut self.content
    }

    /// The bytes, for a change that may be lost: the page does not become dirty by it.
    pub(crate) fn bytes_for_hint(&mut self) -> &mut PageBytes {
        self.frame.word.clear(CHECKED);
        &mut self.content
    }

    /// The page; header and line pointers are looked at unless they were before.
    ///
    /// # Errors
    /// As [`RawPage::validate`].
    #[inline]
    pub fn page(&self) -> Result<Page<'_>, PageError> {
        self.frame.check(&self.content)?;
        Ok(Page::assume_valid(&self.content))
    }

    /// The page, to be changed; header and line pointers are looked at unless they were before.
    ///
    /// # Errors
    /// As [`RawPage::validate`]; the page is dirty then too.
    #[inline]
    pub fn page_mut(&mut self) -> Result<PageMut<'_>, PageError> {
        self.frame.set_dirty();
        self.frame.check(&self.content)?;
        Ok(PageMut::assume_valid(&mut self.content))
    }

    /// Sets the position of the page's last change; the page has a header.
    #[inline]
    pub fn set_lsn(&mut self, lsn: Lsn) {
        self.frame.set_dirty();
        PageMut::assume_valid(&mut self.content).set_lsn(lsn);
    }

    /// What is noted of the page as it is.
    pub(crate) fn noted(&self) -> Option<Noted> {
        self.content.note.of(RawPage::new(&self.content).header().lsn)
    }

    /// Notes this of the page as it is, of which a change was logged, or nothing.
    pub(crate) fn note(&mut self, noted: Option<Noted>) {
        let lsn = RawPage::new(&self.content).header().lsn;
        self.content.note = noted.map_or_else(PageNote::default, |noted| PageNote::new(lsn, noted));
    }

    /// Makes it an empty page with so many bytes at the end for an index.
    pub fn init(&mut self, special: usize) -> PageMut<'_> {
        self.frame.set_dirty();
        self.frame.word.set(CHECKED);
        PageMut::init(&mut self.content, special)
    }
}

/// A page that is pinned and locked to be changed, for one change after the other.
#[derive(Debug)]
pub struct PinnedWrite<'p, S: PageStore, L: LogFlush> {
    // Given back before the pin.
    content: RwLockWriteGuard<'p, Content>,
    pinned: Pinned<'p, S, L>,
}

impl<S: PageStore, L: LogFlush> Deref for PinnedWrite<'_, S, L> {
    type Target = PageBytes;

    #[inline]
    fn deref(&self) -> &PageBytes {
        &self.content
    }
}

impl<S: PageStore, L: LogFlush> PinnedWrite<'_, S, L> {
    /// The page's name.
    pub fn name(&self) -> PageName {
        self.pinned.name()
    }

    /// The bytes, to be changed in any way.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut PageBytes {
        self.pinned.frame().set_dirty();
        self.pinned.frame().word.clear(CHECKED);
        &mut self.content
    }

    /// The page; header and line pointers are looked at unless they were before.
    ///
    /// # Errors
    /// As [`RawPage::validate`].
    #[inline]
    pub fn page(&self) -> Result<Page<'_>, PageError> {
        self.pinned.frame().check(&self.content)?;
        Ok(Page::assume_valid(&self.content))
    }

    /// The page, to be changed, of which the caller has looked at header and line pointers.
    #[inline]
    pub(crate) fn known_page_mut(&mut self) -> PageMut<'_> {
        self.pinned.frame().set_dirty();
        PageMut::assume_valid(&mut self.content)
    }

    /// The page, to be changed; header and line pointers are looked at unless they were before.
    ///
    /// # Errors
    /// As [`RawPage::validate`]; the page is then not dirty by this.
    #[inline]
    pub fn page_mut(&mut self) -> Result<PageMut<'_>, PageError> {
        self.pinned.frame().check(&self.content)?;
        self.pinned.frame().set_dirty();
        Ok(PageMut::assume_valid(&mut self.content))
    }

    /// Sets the position of the page's last change; the page has a header.
    #[inline]
    pub fn set_lsn(&mut self, lsn: Lsn) {
        self.pinned.frame().set_dirty();
        PageMut::assume_valid(&mut self.content).set_lsn(lsn);
    }

    /// Makes it an empty page with so many bytes at the end for an index.
    pub fn init(&mut self, special: usize) -> PageMut<'_> {
        self.pinned.frame().set_dirty();
        self.pinned.frame().word.set(CHECKED);
        PageMut::init(&mut self.content, special)
    }

    /// Gives up what is in memory of the page: it holds half a change. Whoever wants it reads it anew.
    pub fn discard(self) {
        self.pinned.frame().word.clear(VALID | DIRTY | CHECKED);
    }
}
