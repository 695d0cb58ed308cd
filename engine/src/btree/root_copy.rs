//! A session's own copies of the pages that searches begin at, so that those who search by the same index do not pin and lock one page.
//!
//! ```text
//! copy    shared lock of the root: changes counted so far, bytes
//! search  as many changes now: the copy is what the page was a moment ago; else a new copy
//! change  exclusive lock of pages: they are changed, counted if one of them is above the leaves, given back
//! ```
//!
//! Invariants: whoever has given back a page above the leaves that it changed has counted that before, so that who comes later
//! finds the change; a search that began before may as well have read the page before. Pages that are not counted are those of a file that is
//! filled for the first time: nobody searches it yet, and each file has a [`Known`] of its own. Roots that are leaves are not
//! copied: each entry changes them.

use base::page::PageBytes;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Arc, Weak};
use base::{BlockNumber, Page};

use super::error::IndexError;
use super::index::{Index, Known};
use super::page::{Node, Opaque};

/// Indexes that a session has copies of the roots of; of more, those that were copied last.
const MOST: usize = 8;

/// Copies of roots; see the module.
#[derive(Debug, Default)]
pub struct RootCopies {
    kept: Vec<RootCopy>,
    /// Which one goes next.
    next: usize,
}

#[derive(Debug)]
struct RootCopy {
    of: Weak<Known>,
    block: BlockNumber,
    /// Changes above the leaves that were counted when it was made.
    changes: u64,
    bytes: Box<PageBytes>,
}

impl RootCopies {
    /// [`Index::read`] of a page above the leaves, or of a copy that is as new.
    pub(super) fn read<R>(
        &mut self,
        index: &Index<'_>,
        block: BlockNumber,
        see: impl FnOnce(&Opaque, Option<&Node<'_>>) -> Result<R, IndexError>,
    ) -> Result<R, IndexError> {
        let changes = index.of.inner_changes.load(Relaxed);
        let is_it = |copy: &RootCopy| {
            copy.changes == changes
                && copy.block == block
                && copy.of.as_ptr() == Arc::as_ptr(&index.of)
        };
        if let Some(copy) = self.kept.iter().find(|copy| is_it(copy)) {
            let opaque = Opaque::of(&copy.bytes).map_err(index.node_error(block))?;
            let node = Node::with(Page::assume_valid(&copy.bytes), opaque);
            return see(&opaque, Some(&node.map_err(index.node_error(block))?));
        }
        index.read(block, |opaque, node| {
            if let Some(node) = node.filter(|node| !node.opaque.is_leaf()) {
                self.keep(index, block, node.page().bytes());
            }
            see(opaque, node)
        })
    }

    /// Copies a page that is locked.
    #[cold]
    fn keep(&mut self, index: &Index<'_>, block: BlockNumber, bytes: &PageBytes) {
        let changes = index.of.inner_changes.load(Relaxed);
        let (of, bytes) = (Arc::downgrade(&index.of), Box::new(*bytes));
        let known = Arc::as_ptr(&index.of);
        let copy = RootCopy { of, block, changes, bytes };
        match self.kept.iter().position(|kept| kept.of.as_ptr() == known) {
            Some(at) => self.kept[at] = copy,
            None if self.kept.len() < MOST => self.kept.push(copy),
            None => {
                self.kept[self.next] = copy;
                self.next = (self.next + 1) % MOST;
            }
        }
    }
}
