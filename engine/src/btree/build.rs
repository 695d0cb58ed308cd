//! An index made at once, of rows that are sorted first: leaves filled one behind the other, the levels above with them.
//!
//! ```text
//! rows ─► entries ─► sorted ─► equal keys share an entry ─► leaf ─ full? ─► its first key goes to the page above, ...
//! ```
//!
//! One page of each level is open. When it is full, its last entry begins the next page, and what tells the two apart
//! becomes its high key. Closed pages are gathered, and when they are enough, the file becomes longer by all of them at once,
//! and each is logged as a whole; the metapage is the last.
//!
//! Source: `nbtsort.c` of PostgreSQL 15. Invariants: of the same rows the pages are, hints aside, those that PostgreSQL
//! makes, block by block, whatever memory they are sorted in; nobody else knows the index before it is finished.

use std::borrow::Cow;
use std::mem;

use base::page::{AddError, PageBytes};
use base::sync::Arc;
use base::{BlockNumber, ForkNumber, PAGE_SIZE, RelFileLocator, Tid, Xid};
use wal::write::Inserter;

use super::error::IndexError;
use super::fill::FilledPage;
use super::form::AsStored;
use super::index::{Index, Known};
use super::key::{KeyColumn, Shape};
use super::page::{METAPAGE, MetaPage, NONE, NodeFlags, Opaque};
use super::rank::{Rank, Ranking};
use super::sort::{CHECKED_EVERY, Sorted, Sorter, has_same_values, tid_of};
use super::split_location::INNER_FILL_FACTOR;
use super::tuple;
use crate::buffer::BufferError;
use crate::heap::{Compression, Value};
use crate::storage::Storage;

/// The longest posting list: a tenth of a page.
const MAX_POSTING_SIZE: usize = PAGE_SIZE / 10 / 8 * 8 - 4;

/// Bytes that entries may have in memory while they are sorted, if nothing else is said (`maintenance_work_mem`).
pub const DEFAULT_MEMORY: usize = 64 << 20;

/// Closed pages that are gathered.
const PAGES_AT_ONCE: usize = 16;

/// An index that is being made.
#[derive(Debug)]
pub struct Build<'s> {
    index: Index<'s>,
    xid: Xid,
    /// How columns compress values that do not say it.
    default: Compression,
    sorter: Sorter<'s>,
}

/// The page of a level that is being filled.
#[derive(Debug)]
struct Open {
    block: BlockNumber,
    prev: BlockNumber,
    page: FilledPage,
    /// What leads to the page from above: the last page's high key, or a pivot without a key.
    low_key: Vec<u8>,
    /// Bytes of the last entry's posting list.
    last_extra: usize,
}

/// The levels, and where they are written.
#[derive(Debug)]
struct Levels<'b, 's> {
    index: &'b Index<'s>,
    inserter: &'b mut Inserter,
    xid: Xid,
    default: Compression,
    open: Vec<Open>,
    /// Pages that the index has, in the file or not yet.
    blocks: BlockNumber,
    closed: Vec<(BlockNumber, Box<PageBytes>)>,
    /// Memory of pages that are in the file.
    spare: Vec<Box<PageBytes>>,
}

impl<'s> Build<'s> {
    /// An index whose main fork is there and empty. `fill_factor` is how full leaves are made, in percent, 10 to 100.
    pub fn new(
        storage: &'s Storage,
        locator: RelFileLocator,
        shape: Shape,
        fill_factor: u8,
        xid: Xid,
    ) -> Build<'s> {
        let known = Known::new(locator, shape, false).filled_to(fill_factor);
        Build::of(storage, &Arc::new(known), xid)
    }

    /// Of an index that is known already, with a main fork that is there and empty.
    pub fn of(storage: &'s Storage, known: &Arc<Known>, xid: Xid) -> Build<'s> {
        let index = Index::of(storage, known);
        let sorter = Sorter::new(index.clone(), DEFAULT_MEMORY);
        Build { sorter, index, xid, default: Compression::default() }
    }

    /// With long values compressed so in columns that do not say it.
    pub fn compressing_by(self, default: Compression) -> Build<'s> {
        Build { default, ..self }
    }

    /// With so many bytes of memory for the entries, of which more go to a temporary file. Before the first is added.
    pub fn with_memory(self, bytes: usize) -> Build<'s> {
        Build { sorter: Sorter::new(self.index.clone(), bytes), ..self }
    }

    /// Adds a row: the values of all columns. One that is not alive some may still see, but it is gone for those who come:
    /// another may have its key.
    ///
    /// # Errors
    /// Where they do not fit the columns or a page; as the disk says.
    pub fn add(
        &mut self,
        values: &[Value<'_>],
        tid: Tid,
        is_alive: bool,
    ) -> Result<(), IndexError> {
        self.add_stored(values, &[], tid, is_alive)
    }

    /// The same of a row that has these values compressed already ([`AsStored::compressed`]).
    ///
    /// # Errors
    /// As [`Build::add`].
    pub(crate) fn add_stored(
        &mut self,
        values: &[Value<'_>],
        compressed: &[Option<Cow<'_, [u8]>>],
        tid: Tid,
        is_alive: bool,
    ) -> Result<(), IndexError> {
        let stored = AsStored { default: self.default, compressed };
        let tuple = self.index.of.shape.form_stored(values, stored, tid)?;
        self.sorter.add(&tuple, is_alive)
    }

    /// The column of an index of one whole number and nothing else, for which [`Build::add_number`] does.
    pub(crate) fn number_column(&self) -> Option<KeyColumn> {
        match self.index.of.shape.ranking() {
            Ranking::Whole(column) => Some(column),
            Ranking::Beginning => None,
        }
    }

    /// As [`Build::add`], of such an index: `value` is the number's bytes in a tuple.
    ///
    /// # Errors
    /// As [`Build::add`].
    #[inline]
    pub(crate) fn add_number(
        &mut self,
        column: KeyColumn,
        value: &[u8],
        tid: Tid,
        is_alive: bool,
    ) -> Result<(), IndexError> {
        debug_assert_eq!(self.number_column(), Some(column));
        let number = column.number(Some(value));
        self.sorter.add_ranked(Ranking::of_number(column, number, tid, is_alive))
    }

    /// Has the rows of a page of a table find room in memory, while nothing is locked.
    ///
    /// # Errors
    /// As the disk says.
    pub fn make_room(&mut self) -> Result<(), IndexError> {
        self.sorter.make_room()
    }

    /// Sorts the rows and writes the index. `check` is called now and then, and ends it by an error.
    ///
    /// # Errors
    /// As the disk and the log say; where the fork was not empty; [`IndexError::Duplicate`] where two rows that are there have
    /// the same key of a unique index; those of `check`.
    pub fn finish<E: From<IndexError>>(
        self,
        inserter: &mut Inserter,
        check: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Index<'s>, E> {
        let Build { index, xid, sorter, default } = self;
        let mut entries = sorter.finish(check)?;
        if index.blocks()? != METAPAGE {
            return Err(index.structure(METAPAGE, "the relation has pages already").into());
        }
        let mut levels = Levels::new(&index, inserter, (xid, default));
        let (is_unique, ranking) = (index.of.is_unique, index.of.shape.ranking());
        let shares = index.of.shape.all_equal_image() && !is_unique;
        let (mut taken, mut equal, mut count) = (Kept::default(), Equal::default(), 0_u32);
        while let Some(entry) = entries.next()? {
            count = count.wrapping_add(1);
            if count.is_multiple_of(CHECKED_EVERY) {
                check()?;
            }
            if is_unique && entry.is_alive {
                index.take_key(&mut taken, entry, ranking)?;
            }
            let tid = tid_of(entry.bytes);
            let joins = shares && index.has_key_of(&equal.first, entry, ranking)?;
            if joins && equal.save(tid) {
                continue;
            }
            levels.add_equal(&mut equal)?;
            equal.first.keep(entry, ranking);
            equal.tids.push(tid);
        }
        levels.add_equal(&mut equal)?;
        let (root, level) = levels.close()?;
        levels.write_closed()?;
        let all_equal_image = index.of.shape.all_equal_image();
        index.write_whole(METAPAGE, inserter, xid, |bytes| {
            MetaPage::new(root, level, all_equal_image).write(bytes);
        })?;
        Ok(index)
    }
}

/// An entry that is looked at again when others come; none if it is empty.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    key: Rank,
}

impl Kept {
    fn keep(&mut self, entry: Sorted<'_>, ranking: Ranking) {
        self.bytes.clear();
        self.bytes.extend_from_slice(entry.bytes);
        self.key = ranking.key(entry.rank);
    }
}

/// Entries with an equal key that share one.
#[derive(Debug, Default)]
struct Equal {
    first: Kept,
    /// Their rows, the first's among them.
    tids: Vec<Tid>,
}

impl Equal {
    /// One more row, if there is room (`_bt_dedup_save_htid`).
    fn save(&mut self, tid: Tid) -> bool {
        let size = self.first.bytes.len() + (self.tids.len() + 1) * Tid::SIZE;
        let has_room = size.next_multiple_of(8) <= MAX_POSTING_SIZE;
        if has_room {
            self.tids.push(tid);
        }
        has_room
    }
}

impl Index<'_> {
    /// Whether an entry has the key of one that was kept; keys come in order.
    fn has_key_of(
        &self,
        kept: &Kept,
        entry: Sorted<'_>,
        ranking: Ranking,
    ) -> Result<bool, IndexError> {
        if kept.bytes.is_empty() || kept.key != ranking.key(entry.rank) {
            return Ok(false);
        }
        if ranking != Ranking::Beginning || has_same_values(&kept.bytes, entry.bytes) {
            return Ok(true);
        }
        Ok(self.of.shape.same_key(self.formed(&kept.bytes)?, self.formed(entry.bytes)?)?)
    }

    /// Takes a row's key, which no other may have.
    fn take_key(
        &self,
        taken: &mut Kept,
        entry: Sorted<'_>,
        ranking: Ranking,
    ) -> Result<(), IndexError> {
        if self.has_key_of(taken, entry, ranking)? {
            let (before, entry) = (self.formed(&taken.bytes)?, self.formed(entry.bytes)?);
            if !self.of.shape.has_null_key(entry)? {
                let tids = before.heap_tid().zip(entry.heap_tid()).unwrap_or_default();
                return Err(IndexError::Duplicate { one: tids.0, other: tids.1 });
            }
        }
        taken.keep(entry, ranking);
        Ok(())
    }
}

impl<'b, 's> Levels<'b, 's> {
    /// Without any, behind the metapage.
    fn new(
        index: &'b Index<'s>,
        inserter: &'b mut Inserter,
        (xid, default): (Xid, Compression),
    ) -> Levels<'b, 's> {
        let (open, closed, spare) = (Vec::new(), Vec::new(), Vec::new());
        let blocks = METAPAGE + 1;
        Levels { index, inserter, xid, default, open, blocks, closed, spare }
    }

    /// A page behind the others.
    fn added_page(&mut self) -> Result<(BlockNumber, FilledPage), IndexError> {
        let block = self.blocks;
        let blocks = block.checked_add(1);
        self.blocks =
            blocks.ok_or_else(|| self.index.structure(block, "an index has no more blocks"))?;
        let memory = self.spare.pop().unwrap_or_else(|| Box::new([0; PAGE_SIZE]));
        Ok((block, FilledPage::empty(memory)))
    }

    fn no_room(&self, block: BlockNumber) -> impl Fn(AddError) -> IndexError {
        let of_node = self.index.node_error(block);
        move |error| of_node(error.into())
    }

    /// Adds the entry that entries with an equal key become, and lets go of them.
    fn add_equal(&mut self, equal: &mut Equal) -> Result<(), IndexError> {
        let first = &equal.first.bytes;
        match equal.tids.len() {
            0 => {}
            1 => self.add(0, first, 0)?,
            _ => {
                let posting = tuple::with_tids(first, &equal.tids);
                self.add(0, &posting, posting.len() - first.len())?;
            }
        }
        equal.tids.clear();
        Ok(())
    }

    /// The page of a level; made if there is none.
    fn begin(&mut self, level: usize) -> Result<(), IndexError> {
        if self.open.len() <= level {
            let (block, page) = self.added_page()?;
            let low_key = tuple::bare_pivot(NONE).to_vec();
            self.open.push(Open { block, prev: NONE, page, low_key, last_extra: 0 });
        }
        Ok(())
    }

    /// Adds an entry to a level (`_bt_buildadd`), `extra` bytes of which are a posting list.
    fn add(&mut self, level: usize, entry: &[u8], extra: usize) -> Result<(), IndexError> {
        self.begin(level)?;
        let fill_factor = match level {
            0 => usize::from(self.index.of.fill_factor),
            _ => usize::from(INNER_FILL_FACTOR),
        };
        let reserve = PAGE_SIZE * (100 - fill_factor) / 100;
        let open = &mut self.open[level];
        let last_extra = mem::replace(&mut open.last_extra, extra);
        let free = open.page.free_space();
        // A leaf's high key may need a tid.
        let of_tid = if level == 0 { 8 } else { 0 };
        let is_full =
            free < entry.len() + of_tid || free + last_extra < reserve && open.page.count() > 1;
        if is_full {
            self.turn(level)?;
        }
        self.push(level, entry)
    }

    /// Puts an entry on a level's page; without its key if it is the first of a page above the leaves.
    fn push(&mut self, level: usize, entry: &[u8]) -> Result<(), IndexError> {
        let is_bare = level > 0 && self.open[level].page.count() == 0;
        let open = &mut self.open[level];
        let pushed = if is_bare {
            open.page.push(&tuple::bare_pivot(self.index.formed(entry)?.downlink()))
        } else {
            open.page.push(entry)
        };
        let block = open.block;
        pushed.map_err(self.no_room(block))
    }

    /// Closes a level's page, and begins the next with its last entry.
    fn turn(&mut self, level: usize) -> Result<(), IndexError> {
        let index = self.index;
        let (next, page) = self.added_page()?;
        let open = &mut self.open[level];
        let (block, prev) = (open.block, open.prev);
        let mut full = mem::replace(&mut open.page, page);
        (open.block, open.prev) = (next, block);
        let last = full.pop();
        let left = full.count().checked_sub(1).and_then(|left| full.entry(left));
        let (Some(last), Some(left)) = (last, left) else {
            return Err(index.structure(block, "a page of one entry is full"));
        };
        let high_key = match level {
            0 => {
                index.of.shape.truncate(index.formed(left)?, index.formed(&last)?, self.default)?
            }
            _ => last.clone(),
        };
        let low_key = mem::replace(&mut open.low_key, high_key.clone());
        self.push(level, &last)?;
        self.begin(level + 1)?;
        self.link(level, low_key, block)?;
        let opaque = Opaque { prev, next, ..Opaque::alone(level as u32, NodeFlags::empty()) };
        self.close_page(block, full, &opaque, Some(&high_key))
    }

    /// Lets the level above lead to a page.
    fn link(
        &mut self,
        level: usize,
        mut low_key: Vec<u8>,
        block: BlockNumber,
    ) -> Result<(), IndexError> {
        tuple::set_downlink(&mut low_key, block);
        self.add(level + 1, &low_key, 0)
    }

    /// Closes all levels, and gives the root and its level (`_bt_uppershutdown`).
    fn close(&mut self) -> Result<(BlockNumber, u32), IndexError> {
        let (mut level, mut root) = (0, NONE);
        while level < self.open.len() {
            let is_root = level + 1 == self.open.len();
            let open = &mut self.open[level];
            let (block, prev) = (open.block, open.prev);
            let low_key = mem::take(&mut open.low_key);
            if is_root {
                root = block;
            } else {
                self.link(level, low_key, block)?;
            }
            let flags = if is_root { NodeFlags::ROOT } else { NodeFlags::empty() };
            let opaque = Opaque { prev, ..Opaque::alone(level as u32, flags) };
            let nothing = FilledPage::empty(Box::new([0; PAGE_SIZE]));
            let page = mem::replace(&mut self.open[level].page, nothing);
            self.close_page(block, page, &opaque, None)?;
            level += 1;
        }
        Ok((root, (self.open.len() as u32).saturating_sub(1)))
    }

    /// Closes a page.
    fn close_page(
        &mut self,
        block: BlockNumber,
        page: FilledPage,
        opaque: &Opaque,
        high_key: Option<&[u8]>,
    ) -> Result<(), IndexError> {
        let page = page.finish(opaque, high_key).map_err(self.no_room(block))?;
        self.closed.push((block, page));
        if self.closed.len() < PAGES_AT_ONCE { Ok(()) } else { self.write_closed() }
    }

    /// Puts closed pages into the file and the log; the file is as long then as there are pages.
    fn write_closed(&mut self) -> Result<(), IndexError> {
        let (index, locator, fork) = (self.index, self.index.of.locator(), ForkNumber::Main);
        let extended = index.storage.pool.store().extend_to(locator, fork, self.blocks);
        extended.map_err(|error| BufferError::Extend { locator, fork, error })?;
        for (block, page) in self.closed.drain(..) {
            index.write_whole(block, self.inserter, self.xid, |bytes| *bytes = *page)?;
            self.spare.push(page);
        }
        Ok(())
    }
}

const _: () = assert!(MAX_POSTING_SIZE == 812);
