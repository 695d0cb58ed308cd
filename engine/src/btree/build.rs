//! An index made at once, of rows that are sorted first: leaves filled one behind the other, the levels above with them.
//!
//! ```text
//! rows ─► entries ─► sorted ─► equal keys share an entry ─► leaf ─ full? ─► its first key goes to the page above, ...
//! ```
//!
//! One page of each level is open. When it is full, its last entry begins the next page, and what tells the two apart
//! becomes its high key. A page is logged as a whole when it is closed, the metapage last.
//!
//! Source: `nbtsort.c` of PostgreSQL 15. Invariants: of the same rows the pages are, hints aside, those that PostgreSQL
//! makes, block by block, whatever memory they are sorted in; nobody else knows the index before it is finished.

use std::mem;

use base::page::{LINE_POINTER_SIZE, Placement};
use base::sync::Arc;
use base::{BlockNumber, OffsetNumber, PAGE_SIZE, RelFileLocator, Tid, Xid};
use wal::write::Inserter;

use super::error::IndexError;
use super::form::AsStored;
use super::index::{Index, Known};
use super::key::Shape;
use super::page::{self, ITEM_SPACE, METAPAGE, MetaPage, NONE, NodeFlags, Opaque};
use super::posting::Pending;
use super::sort::{CHECKED_EVERY, Sorter};
use super::split_location::INNER_FILL_FACTOR;
use super::tuple::{self, IndexTuple};
use crate::heap::{Compression, Value};
use crate::storage::Storage;

/// The longest posting list: a tenth of a page.
const MAX_POSTING_SIZE: usize = PAGE_SIZE / 10 / 8 * 8 - 4;

/// Bytes that entries may have in memory while they are sorted, if nothing else is said (`maintenance_work_mem`).
pub const DEFAULT_MEMORY: usize = 64 << 20;

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
    /// Entries, the high key to come not among them.
    entries: Vec<Vec<u8>>,
    /// What they take on the page, their line pointers included.
    used: usize,
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
        self.add_stored(values, self.default.into(), tid, is_alive)
    }

    /// The same of a row that has its values so.
    ///
    /// # Errors
    /// As [`Build::add`].
    pub(crate) fn add_stored(
        &mut self,
        values: &[Value<'_>],
        stored: AsStored<'_>,
        tid: Tid,
        is_alive: bool,
    ) -> Result<(), IndexError> {
        let tuple = self.index.of.shape.form_stored(values, stored, tid)?;
        self.sorter.add(&tuple, is_alive)
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
        let (block, metapage) = index.added_page()?;
        drop(metapage);
        if block != METAPAGE {
            return Err(index.structure(METAPAGE, "the relation has pages already").into());
        }
        let mut levels = Levels { index: &index, inserter, xid, default, open: Vec::new() };
        let shares = index.of.shape.all_equal_image() && !index.of.is_unique;
        let mut taken = Taken::default();
        // The first of those with an equal key.
        let (mut first, mut count) = (Vec::new(), 0_u32);
        loop {
            let mut pending = Pending::new(MAX_POSTING_SIZE);
            if !first.is_empty() {
                let base = index.formed(&first)?;
                pending.start(base).map_err(index.posting_error(METAPAGE, 0))?;
            }
            let next = loop {
                count = count.wrapping_add(1);
                if count.is_multiple_of(CHECKED_EVERY) {
                    check()?;
                }
                let Some((bytes, is_alive)) = entries.next()? else { break None };
                let entry = index.formed(bytes)?;
                if index.of.is_unique && is_alive {
                    index.take_key(&mut taken, bytes)?;
                }
                let is_saved = shares && index.save(&mut pending, entry)?;
                if !is_saved {
                    break Some(bytes);
                }
            };
            levels.add_pending(&mut pending)?;
            let Some(next) = next else { break };
            first.clear();
            first.extend_from_slice(next);
        }
        let (root, level) = levels.close()?;
        let all_equal_image = index.of.shape.all_equal_image();
        index.write_whole(METAPAGE, inserter, xid, |bytes| {
            MetaPage::new(root, level, all_equal_image).write(bytes);
            Ok(())
        })?;
        Ok(index)
    }
}

/// The key that was taken last, of rows that are there.
#[derive(Debug, Default)]
struct Taken(Vec<u8>);

impl Index<'_> {
    /// Whether an entry joins those before it.
    fn save(&self, pending: &mut Pending<'_>, entry: IndexTuple<'_>) -> Result<bool, IndexError> {
        let Some(base) = pending.base() else { return Ok(false) };
        Ok(self.of.shape.same_key(base, entry)?
            && pending.save(entry).map_err(self.posting_error(METAPAGE, 0))?)
    }

    /// Takes a row's key, which no other may have; keys come in order.
    fn take_key(&self, taken: &mut Taken, bytes: &[u8]) -> Result<(), IndexError> {
        let entry = self.formed(bytes)?;
        if !taken.0.is_empty() {
            let before = self.formed(&taken.0)?;
            if self.of.shape.same_key(before, entry)? && !self.of.shape.has_null_key(entry)? {
                let tids = before.heap_tid().zip(entry.heap_tid()).unwrap_or_default();
                return Err(IndexError::Duplicate { one: tids.0, other: tids.1 });
            }
        }
        taken.0.clear();
        taken.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Open {
    /// What one more entry may have, as if the high key's line pointer were there (`PageGetFreeSpace`).
    fn free_space(&self) -> usize {
        ITEM_SPACE.saturating_sub(self.used + 2 * LINE_POINTER_SIZE)
    }

    fn push(&mut self, entry: Vec<u8>) {
        self.used += entry.len() + LINE_POINTER_SIZE;
        self.entries.push(entry);
    }

    /// The entries, of which there are none then.
    fn take(&mut self) -> Vec<Vec<u8>> {
        self.used = 0;
        mem::take(&mut self.entries)
    }
}

impl Levels<'_, '_> {
    fn add_pending(&mut self, pending: &mut Pending<'_>) -> Result<(), IndexError> {
        let Some(entry) = pending.finish() else { return Ok(()) };
        let extra = {
            let entry = self.index.formed(&entry)?;
            if entry.is_posting() { entry.size() - entry.data_end() } else { 0 }
        };
        self.add(0, entry, extra)
    }

    /// The page of a level; made if there is none.
    fn begin(&mut self, level: usize) -> Result<(), IndexError> {
        if self.open.len() <= level {
            let (block, _) = self.index.added_page()?;
            let low_key = tuple::bare_pivot(NONE).to_vec();
            self.open.push(Open {
                block,
                prev: NONE,
                entries: Vec::new(),
                used: 0,
                low_key,
                last_extra: 0,
            });
        }
        Ok(())
    }

    /// Adds an entry to a level (`_bt_buildadd`), `extra` bytes of which are a posting list.
    fn add(&mut self, level: usize, entry: Vec<u8>, extra: usize) -> Result<(), IndexError> {
        self.begin(level)?;
        let fill_factor = match level {
            0 => usize::from(self.index.of.fill_factor),
            _ => usize::from(INNER_FILL_FACTOR),
        };
        let reserve = PAGE_SIZE * (100 - fill_factor) / 100;
        let open = &mut self.open[level];
        let last_extra = mem::replace(&mut open.last_extra, extra);
        let free = open.free_space();
        // A leaf's high key may need a tid.
        let of_tid = if level == 0 { 8 } else { 0 };
        let is_full =
            free < entry.len() + of_tid || free + last_extra < reserve && open.entries.len() > 1;
        if is_full {
            self.turn(level)?;
        }
        let is_bare = level > 0 && self.open[level].entries.is_empty();
        let entry = if is_bare { self.without_key(&entry)? } else { entry };
        self.open[level].push(entry);
        Ok(())
    }

    /// The first entry of a page above the leaves.
    fn without_key(&self, entry: &[u8]) -> Result<Vec<u8>, IndexError> {
        Ok(tuple::bare_pivot(self.index.formed(entry)?.downlink()).to_vec())
    }

    /// Closes a level's page, and begins the next with its last entry.
    fn turn(&mut self, level: usize) -> Result<(), IndexError> {
        let index = self.index;
        let (next, _) = index.added_page()?;
        let open = &mut self.open[level];
        let (block, prev) = (open.block, open.prev);
        let mut entries = open.take();
        let (Some(last), Some(left)) = (entries.pop(), entries.last()) else {
            return Err(index.structure(block, "a page of one entry is full"));
        };
        let high_key = match level {
            0 => {
                index.of.shape.truncate(index.formed(left)?, index.formed(&last)?, self.default)?
            }
            _ => last.clone(),
        };
        let low_key = mem::replace(&mut open.low_key, high_key.clone());
        self.begin(level + 1)?;
        self.link(level, low_key, block)?;
        let opaque = Opaque { prev, next, ..Opaque::alone(level as u32, NodeFlags::empty()) };
        self.write(block, &opaque, &entries, Some(&high_key))?;
        let first = if level > 0 { self.without_key(&last)? } else { last };
        let open = &mut self.open[level];
        (open.block, open.prev) = (next, block);
        open.push(first);
        Ok(())
    }

    /// Lets the level above lead to a page.
    fn link(
        &mut self,
        level: usize,
        mut low_key: Vec<u8>,
        block: BlockNumber,
    ) -> Result<(), IndexError> {
        tuple::set_downlink(&mut low_key, block);
        self.add(level + 1, low_key, 0)
    }

    /// Closes all levels, and gives the root and its level (`_bt_uppershutdown`).
    fn close(&mut self) -> Result<(BlockNumber, u32), IndexError> {
        let (mut level, mut root) = (0, NONE);
        while level < self.open.len() {
            let is_root = level + 1 == self.open.len();
            let open = &mut self.open[level];
            let (block, prev) = (open.block, open.prev);
            let low_key = mem::take(&mut open.low_key);
            let entries = open.take();
            if is_root {
                root = block;
            } else {
                self.link(level, low_key, block)?;
            }
            let flags = if is_root { NodeFlags::ROOT } else { NodeFlags::empty() };
            let opaque = Opaque { prev, ..Opaque::alone(level as u32, flags) };
            self.write(block, &opaque, &entries, None)?;
            level += 1;
        }
        Ok((root, (self.open.len() as u32).saturating_sub(1)))
    }

    fn write(
        &mut self,
        block: BlockNumber,
        opaque: &Opaque,
        entries: &[Vec<u8>],
        high_key: Option<&[u8]>,
    ) -> Result<(), IndexError> {
        let index = self.index;
        index.write_whole(block, self.inserter, self.xid, |bytes| {
            let mut page = page::init(bytes, opaque);
            let mut add =
                |entry: &[u8], placement: Placement| -> Result<OffsetNumber, IndexError> {
                    page.add_item(entry, placement)
                        .map_err(|error| index.node_error(block)(error.into()))
                };
            for entry in entries {
                add(entry, Placement::Free)?;
            }
            if let Some(high_key) = high_key {
                add(high_key, Placement::Before(page::HIGH_KEY))?;
            }
            Ok(())
        })
    }
}

const _: () = assert!(MAX_POSTING_SIZE == 812);
