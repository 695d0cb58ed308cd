//! What whoever changed a page last noted for whoever changes it next: a few of its line pointers.
//!
//! A note is of the page as a logged change left it, which the page's LSN tells; of a page that was changed since, there is none. So whoever
//! changes pages and knows nothing of notes need not care. It lies beside the page, under the lock of its content.

use base::{Lsn, OffsetNumber};

/// The most line pointers that are noted.
const MOST: usize = 14;

/// Line pointers that were noted, each once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noted {
    count: u16,
    offsets: [OffsetNumber; MOST],
}

impl Noted {
    /// These; `None` if they are too many to be noted.
    pub fn of(offsets: impl IntoIterator<Item = OffsetNumber>) -> Option<Noted> {
        offsets.into_iter().try_fold(Noted::default(), Noted::with)
    }

    /// The same and this one; `None` if there are too many.
    #[must_use]
    pub fn with(mut self, offset: OffsetNumber) -> Option<Noted> {
        if !self.offsets().contains(&offset) {
            *self.offsets.get_mut(usize::from(self.count))? = offset;
            self.count += 1;
        }
        Some(self)
    }

    /// In the order in which they were noted.
    pub fn offsets(&self) -> &[OffsetNumber] {
        &self.offsets[..usize::from(self.count)]
    }
}

/// A note, and the LSN of the page that it is of; of none at first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PageNote {
    lsn: Lsn,
    noted: Noted,
}

impl PageNote {
    pub(super) fn new(lsn: Lsn, noted: Noted) -> PageNote {
        PageNote { lsn, noted }
    }

    /// What was noted of a page that has this LSN.
    pub(super) fn of(&self, lsn: Lsn) -> Option<Noted> {
        (self.lsn == lsn && lsn != Lsn::INVALID).then_some(self.noted)
    }
}
