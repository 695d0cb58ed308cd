//! Pages that the log changes and that are not there.
//!
//! That is as it should be where the relation is dropped or cut off later in the log and the files have gone already, in
//! an earlier attempt at recovery or before the crash. Invariant: whoever is left here when the data is to be consistent
//! is damage: a file or a part of it has been lost. Source: `log_invalid_page`, `XLogCheckInvalidPages`.

use std::collections::BTreeMap;

use base::{BlockNumber, ForkNumber, Lsn, RelFileLocator};

use crate::buffer::PageName;

/// What was found in the place of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Start of the first record that is about it.
    pub record: Lsn,
    /// Whether there is a page of zeros, rather than none.
    pub is_zero: bool,
}

/// The pages by name.
#[derive(Debug, Default)]
pub struct MissingPages(BTreeMap<PageName, Missing>);

impl MissingPages {
    /// Notes a page that a record is about.
    pub(super) fn note(&mut self, name: PageName, missing: Missing) {
        self.0.entry(name).or_insert(missing);
    }

    /// Adds pages that another thread found missing. Of one page the first record counts.
    pub(super) fn add(&mut self, others: MissingPages) {
        for (name, missing) in others.0 {
            self.note(name, missing);
        }
    }

    /// The fork is cut off at this block.
    pub(super) fn cut_off(&mut self, locator: RelFileLocator, fork: ForkNumber, at: BlockNumber) {
        if !self.0.is_empty() {
            self.0
                .retain(|name, _| name.locator != locator || name.fork != fork || name.block < at);
        }
    }

    /// The relation is dropped.
    pub(super) fn relation_removed(&mut self, locator: RelFileLocator) {
        if !self.0.is_empty() {
            self.0.retain(|name, _| name.locator != locator);
        }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of them.
    pub fn first(&self) -> Option<(PageName, Missing)> {
        self.0.iter().next().map(|(name, missing)| (*name, *missing))
    }
}
