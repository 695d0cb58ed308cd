//! An index: a relation whose pages are a btree, in the buffer pool, with its changes in the log.
//!
//! Invariants: a change of several pages is one record; all of them are locked until it is inserted and they are stamped
//! with its end. Locks are taken from left to right and from the leaves up, never the other way while one is
//! held. What is kept of the metapage here is a hint: it is looked at before it is used.

use base::page::PageBytes;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicU16, AtomicU64};
use base::sync::{Arc, Mutex};
use base::{BlockNumber, ForkNumber, OffsetNumber, PageMut, RelFileLocator, Xid};
use wal::rmgr::btree::{BlockData, Btree};
use wal::write::{ImageChoice, Inserter, NewBlock, NewRecord};

use super::error::IndexError;
use super::form::AsStored;
use super::key::{KeyError, Shape};
use super::page::{METAPAGE, MetaPage, NONE, Node, NodeError, NodeFlags, Opaque, SPECIAL_SIZE};
use super::redo::RM_BTREE;
use super::space::Space;
use super::tuple::TupleError;
use crate::buffer::{PageName, PinnedWrite, RelationFiles};
use crate::free_space_map::{FreeSpaceMap, Guard};
use crate::storage::{LogHandle, PageImage, Storage};

/// How full a leaf is made, in percent, where entries come in order (`BTREE_DEFAULT_FILLFACTOR`).
pub const DEFAULT_FILL_FACTOR: u8 = 90;

/// A page that is locked to be changed.
pub(super) type HeldPage<'s> = PinnedWrite<'s, RelationFiles, Arc<LogHandle>>;

/// What is known of an index, whoever uses it.
#[derive(Debug)]
pub struct Known {
    locator: RelFileLocator,
    pub(super) shape: Shape,
    pub(super) is_unique: bool,
    pub(super) fill_factor: u8,
    /// The fast root and its level, as they were last: block in the upper half; 0 for none.
    pub(super) fast_root: AtomicU64,
    /// How often pages above the leaves were changed.
    pub(super) inner_changes: AtomicU64,
    /// The rightmost leaf, as it was last; 0 for none.
    pub(super) rightmost_leaf: AtomicU64,
    /// The number of the vacuum that runs, 0 for none; and of the last one.
    pub(super) cycle: AtomicU16,
    pub(super) last_cycle: AtomicU16,
    /// Pages that are deleted.
    pub(super) space: Mutex<Space>,
}

impl Known {
    /// Of an index of this file and these columns.
    pub fn new(locator: RelFileLocator, shape: Shape, is_unique: bool) -> Known {
        Known {
            locator,
            shape,
            is_unique,
            fill_factor: DEFAULT_FILL_FACTOR,
            fast_root: AtomicU64::new(0),
            inner_changes: AtomicU64::new(0),
            rightmost_leaf: AtomicU64::new(0),
            cycle: AtomicU16::new(0),
            last_cycle: AtomicU16::new(0),
            space: Mutex::default(),
        }
    }

    /// With leaves that are made so full, in percent, 10 to 100.
    pub fn filled_to(self, fill_factor: u8) -> Known {
        Known { fill_factor: fill_factor.clamp(10, 100), ..self }
    }

    /// Its file.
    pub fn locator(&self) -> RelFileLocator {
        self.locator
    }

    /// The columns that it is ordered by, and those that it carries.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// An index.
#[derive(Debug, Clone)]
pub struct Index<'s> {
    pub(super) storage: &'s Storage,
    pub(super) of: Arc<Known>,
}

/// Who changes an index: which transaction, and through which door to the log.
#[derive(Debug)]
pub struct Writer<'i, 's> {
    pub(super) index: &'i Index<'s>,
    inserter: &'i mut Inserter,
    xid: Xid,
    /// How the rows that it puts entries in for have their values.
    pub(super) stored: AsStored<'i>,
}

impl<'s> Index<'s> {
    /// An index that is there.
    pub fn open(storage: &'s Storage, locator: RelFileLocator, shape: Shape) -> Index<'s> {
        Index { storage, of: Arc::new(Known::new(locator, shape, false)) }
    }

    /// An index that is known already.
    pub fn of(storage: &'s Storage, known: &Arc<Known>) -> Index<'s> {
        Index { storage, of: Arc::clone(known) }
    }

    /// The columns that it is ordered by, and those that it carries.
    pub fn shape(&self) -> &Shape {
        &self.of.shape
    }

    /// A transaction that changes it.
    pub fn writer<'i>(&'i self, inserter: &'i mut Inserter, xid: Xid) -> Writer<'i, 's> {
        Writer { index: self, inserter, xid, stored: AsStored::default() }
    }

    /// Makes a page that is there, and logs it as a whole.
    pub(super) fn write_whole(
        &self,
        block: BlockNumber,
        inserter: &mut Inserter,
        xid: Xid,
        make: impl FnOnce(&mut PageBytes),
    ) -> Result<(), IndexError> {
        let mut page = self.storage.pool.get_to_init(self.name(block))?.into_write();
        make(page.bytes_mut());
        let image = PageImage { xid, name: page.name(), is_standard: true };
        let end = self.storage.log_page(inserter, image, &page)?;
        page.set_lsn(end);
        Ok(())
    }

    pub(super) fn name(&self, block: BlockNumber) -> PageName {
        PageName { locator: self.of.locator, fork: ForkNumber::Main, block }
    }

    pub(super) fn node_error(&self, block: BlockNumber) -> impl Fn(NodeError) -> IndexError {
        #[cold]
        #[inline(never)]
        fn of(page: PageName, error: NodeError) -> IndexError {
            IndexError::Node { page, error }
        }
        move |error| of(self.name(block), error)
    }

    pub(super) fn entry_error(
        &self,
        block: BlockNumber,
        offset: OffsetNumber,
    ) -> impl Fn(KeyError) -> IndexError {
        #[cold]
        #[inline(never)]
        fn of(page: PageName, offset: OffsetNumber, error: KeyError) -> IndexError {
            IndexError::Entry { page, offset, error }
        }
        move |error| of(self.name(block), offset, error)
    }

    /// What is wrong with an entry, or with the posting list that it is; of one that is on no page, as with line pointer 0 of
    /// the metapage.
    pub(super) fn posting_error(
        &self,
        block: BlockNumber,
        offset: OffsetNumber,
    ) -> impl Fn(TupleError) -> IndexError + use<> {
        let page = self.name(block);
        move |error| IndexError::Posting { page, offset, error }
    }

    /// A check found something else than it should.
    pub(super) fn unsound(
        &self,
        block: BlockNumber,
        offset: Option<OffsetNumber>,
        what: impl Into<String>,
        expected: impl Into<String>,
    ) -> IndexError {
        let (page, what, expected) = (self.name(block), what.into(), expected.into());
        IndexError::Unsound { page, offset, what, expected }
    }

    pub(super) fn structure(&self, block: BlockNumber, what: impl Into<String>) -> IndexError {
        IndexError::Structure { page: self.name(block), what: what.into() }
    }

    /// Calls `see` with what a page keeps at its end, and with its entries unless it is deleted, under a shared lock.
    pub(super) fn read<R>(
        &self,
        block: BlockNumber,
        see: impl FnOnce(&Opaque, Option<&Node<'_>>) -> Result<R, IndexError>,
    ) -> Result<R, IndexError> {
        let pinned = self.storage.pool.get_for(self.name(block), base::PAGE_SIZE - SPECIAL_SIZE)?;
        let page = pinned.read();
        let opaque = Opaque::of(&page).map_err(self.node_error(block))?;
        if opaque.flags.contains(NodeFlags::DELETED) {
            return see(&opaque, None);
        }
        let node = page.page().map_err(NodeError::from).and_then(|page| Node::with(page, opaque));
        see(&opaque, Some(&node.map_err(self.node_error(block))?))
    }

    /// What a page keeps at its end; its entries are not looked at.
    pub(super) fn opaque(&self, block: BlockNumber) -> Result<Opaque, IndexError> {
        let pinned = self.storage.pool.get(self.name(block))?;
        Opaque::of(&pinned.read()).map_err(self.node_error(block))
    }

    /// A page, locked to be changed.
    pub(super) fn write(&self, block: BlockNumber) -> Result<HeldPage<'s>, IndexError> {
        Ok(self.storage.pool.get(self.name(block))?.into_write())
    }

    /// The entries of a locked page.
    pub(super) fn node<'p>(
        &self,
        block: BlockNumber,
        page: &'p HeldPage<'_>,
    ) -> Result<Node<'p>, IndexError> {
        let node = page.page().map_err(NodeError::from).and_then(Node::of);
        node.map_err(self.node_error(block))
    }

    /// The metapage.
    ///
    /// # Errors
    /// Where it cannot be read or is damaged.
    pub fn metapage(&self) -> Result<MetaPage, IndexError> {
        let pinned = self.storage.pool.get(self.name(METAPAGE))?;
        let page = pinned.read();
        MetaPage::read(&page).map_err(self.node_error(METAPAGE))
    }

    /// Where the last search began, and the level of that page: where the next one begins if the page still
    /// [is such a one](Opaque::is_root_of).
    pub(super) fn known_root(&self) -> Option<(BlockNumber, u32)> {
        let kept = self.of.fast_root.load(Relaxed);
        let (block, level) = ((kept >> 32) as BlockNumber, kept as u32);
        (block != NONE).then_some((block, level))
    }

    /// Where a search begins: the lowest page that is alone on its level; `None` of an empty index (`_bt_getroot`).
    pub(super) fn fast_root(&self) -> Result<Option<BlockNumber>, IndexError> {
        if let Some((block, level)) = self.known_root()
            && self.opaque(block)?.is_root_of(level)
        {
            return Ok(Some(block));
        }
        let metadata = self.metapage()?.metadata;
        if metadata.root == NONE {
            return Ok(None);
        }
        let (mut block, level) = (metadata.fast_root, metadata.fast_level);
        self.of.fast_root.store(u64::from(block) << 32 | u64::from(level), Relaxed);
        loop {
            let found = self.opaque(block)?;
            if !found.is_ignored() {
                let says = found.level;
                return match says == level {
                    true => Ok(Some(block)),
                    false => Err(self.structure(
                        block,
                        format!("the root is of level {says}, and the metapage says {level}"),
                    )),
                };
            }
            if found.is_rightmost() {
                return Err(self.structure(block, "no live root page is found"));
            }
            block = found.next;
        }
    }
}

/// A page in a record: its block id, whether redo makes it anew.
pub(super) type Part<'a, 's> = (u8, bool, &'a mut HeldPage<'s>);

impl<'i, 's> Writer<'i, 's> {
    /// The same, for a row that has its values so.
    pub(crate) fn of_stored(self, stored: AsStored<'i>) -> Writer<'i, 's> {
        Writer { stored, ..self }
    }
}

impl<'s> Writer<'_, 's> {
    /// The index's free space map, and how this writer guards its changes.
    pub(super) fn free_space(&mut self) -> (FreeSpaceMap<'s>, Guard<'_>) {
        let map = FreeSpaceMap::of(self.index.storage, self.index.of.locator);
        (map, Guard::Image(self.inserter, self.xid))
    }

    /// Logs the image of a page that has changed in hints alone, where that is needed.
    pub(super) fn log_hint(&mut self, page: &mut HeldPage<'s>) -> Result<(), IndexError> {
        let image = PageImage { xid: self.xid, name: page.name(), is_standard: true };
        let logged = self.index.storage.log_hint(self.inserter, image, page)?;
        if let Some(end) = logged {
            page.set_lsn(end);
        }
        Ok(())
    }

    /// Logs a change of pages, block ids ascending, and stamps them.
    pub(super) fn log(
        &mut self,
        info: u8,
        payload: &Btree<'_>,
        parts: &mut [Part<'_, 's>],
    ) -> Result<(), IndexError> {
        let (mut main, mut data) = (Vec::new(), BlockData::default());
        payload.encode(&mut main, &mut data);
        let pieces: Vec<[&[u8]; 1]> = data.iter().map(|data| [data.as_slice()]).collect();
        let end = {
            let blocks: Vec<_> = parts
                .iter()
                .map(|(id, will_init, page)| {
                    let name = page.name();
                    let piece = &pieces[usize::from(*id)];
                    NewBlock {
                        page: Some(page),
                        image: if *will_init { ImageChoice::Never } else { ImageChoice::IfOlder },
                        is_standard: true,
                        will_init: *will_init,
                        data: if piece[0].is_empty() { &[] } else { piece },
                        ..NewBlock::new(*id, name.locator, name.fork, name.block)
                    }
                })
                .collect();
            let record = NewRecord {
                xid: self.xid,
                main: &[&main],
                blocks: &blocks,
                ..NewRecord::new(RM_BTREE, info)
            };
            self.index.storage.log.log().insert(self.inserter, &record)?.end
        };
        let mut is_above_leaves = false;
        for (_, _, page) in parts {
            page.set_lsn(end);
            is_above_leaves |= Opaque::of(page).is_ok_and(|opaque| !opaque.is_leaf());
        }
        if is_above_leaves {
            self.index.of.inner_changes.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

/// A page to be changed of which the caller has looked at the line pointers.
pub(super) fn to_change<'p>(page: &'p mut HeldPage<'_>) -> PageMut<'p> {
    page.known_page_mut()
}
