//! The rows of a table that an index must have an entry for.
//!
//! | version | entry | its key is taken |
//! |---|---|---|
//! | there, or put in by who asks | yes | yes |
//! | ended, and somebody may see it | yes, unless a heap-only version follows it | no |
//! | dead | no | |
//!
//! The entry leads to the line pointer that the version's chain hangs from. Where an ended version with another one behind
//! it on the page is left out, snapshots that see it cannot use the index.
//!
//! Source: `heapam_index_build_range_scan` of PostgreSQL 15. Invariant: the caller keeps writers out of the table.

use base::Tid;
use base::sync::Arc;
use snapshot::TupleStamp;
use snapshot::satisfies::{VacuumVerdict, satisfies_vacuum};

use super::chain::roots;
use super::page::{page_of, read_header};
use crate::Error;
use crate::buffer::Ring;
use crate::catalog::TableEntry;
use crate::heap::Value;
use crate::heap::change::is_hot_updated;
use crate::session::Session;

/// A row that an index has an entry for.
pub(crate) struct Indexable<'r> {
    /// Where the entry leads to.
    pub(crate) root: Tid,
    pub(crate) values: Vec<Value<'r>>,
    pub(crate) tuple: &'r [u8],
    /// Whether the row is there for those who come.
    pub(crate) is_alive: bool,
}

impl Session<'_> {
    /// Shows each of them, page by page; whether versions were left out that somebody may see.
    pub(crate) fn indexable_rows(
        &mut self,
        table: &Arc<TableEntry>,
        mut see: impl FnMut(Indexable<'_>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let horizon = self.horizon();
        let (mut ring, mut leaves_out) = (Ring::default(), false);
        for block in 0..table.blocks(self.shared)? {
            self.check_cancelled()?;
            let name = table.page_name(block);
            let pinned = self.shared.storage.pool.get_in_ring(name, &mut ring)?;
            let status = self.status();
            let guard = pinned.read();
            let Some(page) = page_of(name, &guard)? else { continue };
            for (offset, root) in roots(name, &page, &status)? {
                let Some(tuple) = page.item(offset) else { continue };
                let header = read_header(name, offset, tuple)?;
                let stamp = TupleStamp::new(&header, Tid { block, offset });
                let is_alive = match satisfies_vacuum(&stamp, &horizon, &status)?.verdict {
                    VacuumVerdict::Live | VacuumVerdict::InsertInProgress => true,
                    VacuumVerdict::RecentlyDead | VacuumVerdict::DeleteInProgress => false,
                    VacuumVerdict::Dead => continue,
                };
                if !is_alive && is_hot_updated(&header) {
                    leaves_out = true;
                    continue;
                }
                let root = Tid { block, offset: root };
                see(Indexable { root, values: table.values(tuple)?, tuple, is_alive })?;
            }
        }
        Ok(leaves_out)
    }
}
