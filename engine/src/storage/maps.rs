//! Pages of a relation's maps, the free space map and the visibility map: forks that are made when they are needed, and whose
//! damaged pages are taken for zeros.

use std::io;

use base::{BlockNumber, ForkNumber, RelFileLocator};

use super::Storage;
use crate::buffer::{BufferError, PageName, PageStore};
use crate::table::page::PinnedPage;

impl Storage {
    /// How many pages a map has; none of one that is not there.
    ///
    /// # Errors
    /// As the disk says.
    pub(crate) fn map_pages(
        &self,
        locator: RelFileLocator,
        fork: ForkNumber,
    ) -> Result<BlockNumber, BufferError> {
        let files = self.pool.store();
        let counted = match files.known_blocks(locator, fork) {
            Some(pages) => return Ok(pages),
            None => files.blocks(locator, fork),
        };
        match counted {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            counted => counted.map_err(|error| {
                let name = PageName { locator, fork, block: 0 };
                BufferError::Read { name, error }
            }),
        }
    }

    /// A page of a map; `None` if the map has not come so far.
    ///
    /// # Errors
    /// As the pool says.
    pub(crate) fn map_page(&self, name: PageName) -> Result<Option<PinnedPage<'_>>, BufferError> {
        if name.block >= self.map_pages(name.locator, name.fork)? {
            return Ok(None);
        }
        match self.pool.get(name) {
            // Torn by a crash, say.
            Err(BufferError::Damaged { .. }) => self.pool.get_to_init(name).map(Some),
            found => found.map(Some),
        }
    }

    /// A page of a map, made with all before it if need be.
    ///
    /// # Errors
    /// As the pool and the disk say.
    pub(crate) fn made_map_page(&self, name: PageName) -> Result<PinnedPage<'_>, BufferError> {
        let PageName { locator, fork, .. } = name;
        loop {
            if let Some(page) = self.map_page(name)? {
                return Ok(page);
            }
            let made = self.pool.store().create_if_missing(locator, fork);
            made.map_err(|error| BufferError::Extend { locator, fork, error })?;
            self.pool.extend(locator, fork)?.write().init(0);
        }
    }
}
