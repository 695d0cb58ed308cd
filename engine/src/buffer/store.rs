//! Where pages are kept: what the pool asks of files.
//!
//! Invariant: nothing is durable before a sync, and after one that failed nothing more is.

use std::io;

use base::page::PageBytes;
use base::{BlockNumber, ForkNumber, RelFileLocator};

use super::PageName;

/// Where pages are kept.
pub trait PageStore: std::fmt::Debug + Send + Sync {
    /// Reads a page.
    ///
    /// # Errors
    /// As the disk says; [`io::ErrorKind::UnexpectedEof`] where the fork has no such page.
    fn read(&self, name: PageName, page: &mut PageBytes) -> io::Result<()>;

    /// Writes a page that the fork has.
    ///
    /// # Errors
    /// As the disk says.
    fn write(&self, name: PageName, page: &PageBytes) -> io::Result<()>;

    /// Adds a page of zeros at the fork's end, and gives its number. Two who do so at once get two.
    ///
    /// # Errors
    /// As the disk says; the fork is then no longer than before.
    fn extend(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<BlockNumber>;

    /// How many pages the fork has.
    ///
    /// # Errors
    /// As the disk says.
    fn blocks(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<BlockNumber>;

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// As the disk says; from then on always.
    fn sync(&self) -> io::Result<()>;
}
