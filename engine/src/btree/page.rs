//! Pages of a btree: what each keeps at its end, the metapage, deleted pages.
//!
//! ```text
//! node       | header | line pointers | free | entries                    | prev next level flags cycle | 16 bytes
//!              1 is the high key, an upper bound, unless the page is the rightmost of its level
//! metapage   | header | magic version root level fastroot fastlevel deleted (pad) heap_tuples equal |  block 0
//! byte         0        24    28      32   36    40       44        48     52     56          64
//! deleted    | header | safexid, 8 |
//! ```
//!
//! Source: `access/nbtree.h`. Invariants: a [`Node`] is a page whose header, line pointers and special space fit
//! each other and that is neither the metapage nor deleted; its entries are read one by one, each checked
//! ([`IndexTuple::read`]). Block 0, the metapage, stands for "none" among siblings.

use std::mem::{offset_of, size_of};

use base::page::{
    AddError, LINE_POINTER_SIZE, LinePointer, PAGE_HEADER_SIZE, PageBytes, PageError, PageHeader,
};
use base::{BlockNumber, FullXid, OffsetNumber, PAGE_SIZE, Page, PageMut, RawPage};
use wal::rmgr::btree::Metadata;

use super::tuple::{IndexTuple, TupleError};

/// Bytes at a page's end (`BTPageOpaqueData`).
pub const SPECIAL_SIZE: usize = 16;
/// Bytes of an empty page for entries and their line pointers.
pub(super) const ITEM_SPACE: usize = PAGE_SIZE - PAGE_HEADER_SIZE - SPECIAL_SIZE;
/// Where they begin.
const SPECIAL: u16 = (PAGE_SIZE - SPECIAL_SIZE) as u16;
/// `P_NONE`
pub const NONE: BlockNumber = 0;
/// `BTREE_METAPAGE`
pub const METAPAGE: BlockNumber = 0;
/// `BTREE_MAGIC`
const MAGIC: u32 = 0x0005_3162;
/// `BTREE_VERSION`
pub const VERSION: u32 = 4;
/// `P_HIKEY`
pub const HIGH_KEY: OffsetNumber = 1;

bitflags::bitflags! {
    /// `btpo_flags`: the names are PostgreSQL's, without `BTP_`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
    pub struct NodeFlags: u16 {
        /// A leaf.
        const LEAF = 1 << 0;
        /// The root.
        const ROOT = 1 << 1;
        /// Taken out of the tree.
        const DELETED = 1 << 2;
        /// The metapage.
        const META = 1 << 3;
        /// Empty, and about to be taken out.
        const HALF_DEAD = 1 << 4;
        /// The rightmost of the pages that splits during one vacuum have made of one.
        const SPLIT_END = 1 << 5;
        /// Some entries are dead; a hint.
        const HAS_GARBAGE = 1 << 6;
        /// The page to the right has no downlink yet.
        const INCOMPLETE_SPLIT = 1 << 7;
        /// Deleted, with 64 bits of a transaction id in it.
        const HAS_FULLXID = 1 << 8;
        // The rest is invalid, and kept as read.
        const _ = !0;
    }
}

/// `BTPageOpaqueData`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opaque {
    /// The page to the left, [`NONE`] of the leftmost.
    pub prev: BlockNumber,
    /// The page to the right, [`NONE`] of the rightmost.
    pub next: BlockNumber,
    /// 0 of leaves, one more of each level above.
    pub level: u32,
    /// What the page is.
    pub flags: NodeFlags,
    /// The vacuum during which the page was split last, 0 if none ran.
    pub cycle_id: u16,
}

#[repr(C)]
struct OpaqueOnDisk {
    prev: u32,
    next: u32,
    level: u32,
    flags: u16,
    cycle_id: u16,
}

#[repr(C)]
struct MetaOnDisk {
    magic: u32,
    version: u32,
    root: u32,
    level: u32,
    fast_root: u32,
    fast_level: u32,
    deleted_pages: u32,
    heap_tuples: f64,
    all_equal_image: bool,
}

const _: () = {
    assert!(size_of::<OpaqueOnDisk>() == SPECIAL_SIZE);
    assert!(offset_of!(OpaqueOnDisk, prev) == 0);
    assert!(offset_of!(OpaqueOnDisk, next) == 4);
    assert!(offset_of!(OpaqueOnDisk, level) == 8);
    assert!(offset_of!(OpaqueOnDisk, flags) == 12);
    assert!(offset_of!(OpaqueOnDisk, cycle_id) == 14);
    assert!(size_of::<MetaOnDisk>() == MetaPage::SIZE);
    assert!(offset_of!(MetaOnDisk, magic) == 0);
    assert!(offset_of!(MetaOnDisk, version) == 4);
    assert!(offset_of!(MetaOnDisk, root) == 8);
    assert!(offset_of!(MetaOnDisk, level) == 12);
    assert!(offset_of!(MetaOnDisk, fast_root) == 16);
    assert!(offset_of!(MetaOnDisk, fast_level) == 20);
    assert!(offset_of!(MetaOnDisk, deleted_pages) == 24);
    assert!(offset_of!(MetaOnDisk, heap_tuples) == 32);
    assert!(offset_of!(MetaOnDisk, all_equal_image) == 40);
};

/// What is wrong with a page of a btree. Which page it is, the caller knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It is no page with items.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Its special space is not a btree's.
    #[error("the special space begins at {special} (bytes 16-17), of a btree at {SPECIAL}")]
    Special {
        /// `pd_special`.
        special: u16,
    },
    /// It is another kind of page.
    #[error("the page is {found:?} (flags at bytes 8188-8189), and not {wanted}")]
    Kind {
        /// What is looked for.
        wanted: &'static str,
        /// Its flags.
        found: NodeFlags,
    },
    /// Block 0 is no metapage that this engine reads.
    #[error(
        "magic number {magic:#x} and version {version} (bytes 24-31) are not {MAGIC:#x} and {VERSION}"
    )]
    Meta {
        /// `btm_magic`.
        magic: u32,
        /// `btm_version`.
        version: u32,
    },
    /// An entry is missing.
    #[error("line pointer {offset} has no entry")]
    NoEntry {
        /// The line pointer.
        offset: OffsetNumber,
    },
    /// An entry is damaged.
    #[error("the entry of line pointer {offset}: {error}")]
    Entry {
        /// The line pointer.
        offset: OffsetNumber,
        /// What is wrong with it.
        #[source]
        error: TupleError,
    },
    /// An entry cannot be added.
    #[error(transparent)]
    Add(#[from] AddError),
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

impl Opaque {
    /// Without siblings.
    pub fn alone(level: u32, flags: NodeFlags) -> Opaque {
        let leaf = if level == 0 { NodeFlags::LEAF } else { NodeFlags::empty() };
        Opaque { level, flags: flags | leaf, ..Opaque::default() }
    }

    /// From the bytes at a page's end.
    pub fn from_bytes(bytes: &[u8; SPECIAL_SIZE]) -> Opaque {
        Opaque {
            prev: word(bytes, 0),
            next: word(bytes, 4),
            level: word(bytes, 8),
            flags: NodeFlags::from_bits_retain(u16::from_le_bytes(array(bytes, 12))),
            cycle_id: u16::from_le_bytes(array(bytes, 14)),
        }
    }

    /// The bytes that [`Opaque::from_bytes`] reads.
    pub fn to_bytes(&self) -> [u8; SPECIAL_SIZE] {
        let mut bytes = [0; SPECIAL_SIZE];
        bytes[0..4].copy_from_slice(&self.prev.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.next.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.level.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.bits().to_le_bytes());
        bytes[14..16].copy_from_slice(&self.cycle_id.to_le_bytes());
        bytes
    }

    /// Of a page of any kind (`_bt_checkpage`).
    ///
    /// # Errors
    /// Where the page is new, or its header or special space is not a btree's.
    pub fn of(bytes: &PageBytes) -> Result<Opaque, NodeError> {
        let header = RawPage::new(bytes).header();
        if header.upper == 0 {
            return Err(PageError::New.into());
        }
        header.check()?;
        if header.special != SPECIAL {
            return Err(NodeError::Special { special: header.special });
        }
        Ok(Opaque::from_bytes(&array(bytes, usize::from(SPECIAL))))
    }

    /// Whether it is of a page of the tree, with entries.
    #[inline]
    fn check_kind(&self) -> Result<(), NodeError> {
        match self.flags.intersects(NodeFlags::META | NodeFlags::DELETED) {
            true => Err(NodeError::Kind { wanted: "a page of the tree", found: self.flags }),
            false => Ok(()),
        }
    }

    /// Writes it over that of a page that has one.
    pub fn put(&self, page: &mut PageMut<'_>) {
        let special = page.special_mut();
        if let Some(place) = special.first_chunk_mut() {
            *place = self.to_bytes();
        }
    }

    /// Changes that of a page that has one.
    pub fn change(page: &mut PageMut<'_>, change: impl FnOnce(&mut Opaque)) {
        let mut opaque = Opaque::from_bytes(&array(page.as_page().special(), 0));
        change(&mut opaque);
        opaque.put(page);
    }

    /// Whether it is the rightmost of its level.
    pub fn is_rightmost(&self) -> bool {
        self.next == NONE
    }

    /// Whether it is the leftmost of its level.
    pub fn is_leftmost(&self) -> bool {
        self.prev == NONE
    }

    /// Whether it is a leaf.
    pub fn is_leaf(&self) -> bool {
        self.flags.contains(NodeFlags::LEAF)
    }

    /// Whether it is in the tree, and its right half has no downlink yet.
    pub fn is_unfinished(&self) -> bool {
        self.flags.contains(NodeFlags::INCOMPLETE_SPLIT) && !self.is_ignored()
    }

    /// Whether it is deleted, or about to be (`P_IGNORE`).
    pub fn is_ignored(&self) -> bool {
        self.flags.intersects(NodeFlags::DELETED | NodeFlags::HALF_DEAD)
    }

    /// Whether it is alone on its level, which is this one.
    pub(super) fn is_root_of(&self, level: u32) -> bool {
        let is_alone = self.is_leftmost() && self.is_rightmost();
        is_alone && self.level == level && !self.is_ignored()
    }

    /// The first entry's line pointer: behind the high key, if there is one (`P_FIRSTDATAKEY`).
    pub fn first_data(&self) -> OffsetNumber {
        if self.is_rightmost() { HIGH_KEY } else { HIGH_KEY + 1 }
    }
}

/// Makes an empty page of a btree (`_bt_pageinit`).
pub fn init<'p>(bytes: &'p mut PageBytes, opaque: &Opaque) -> PageMut<'p> {
    let mut page = PageMut::init(bytes, SPECIAL_SIZE);
    opaque.put(&mut page);
    page
}

/// Writes a header whose free space begins behind `length` bytes of content.
fn put_content(bytes: &mut PageBytes, content: &[u8]) {
    let lower = PAGE_HEADER_SIZE + content.len();
    bytes[PAGE_HEADER_SIZE..lower].copy_from_slice(content);
    let header = PageHeader { lower: lower as u16, ..RawPage::new(bytes).header() };
    bytes[..PAGE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
}

/// Makes an empty page that is deleted, and may be used again once nobody sees `safe_xid` running
/// (`BTPageSetDeleted`).
pub fn init_deleted(bytes: &mut PageBytes, opaque: &Opaque, safe_xid: FullXid) {
    let flags = (opaque.flags - NodeFlags::HALF_DEAD) | NodeFlags::DELETED | NodeFlags::HAS_FULLXID;
    init(bytes, &Opaque { flags, ..*opaque });
    put_content(bytes, &safe_xid.0.to_le_bytes());
}

/// When a deleted page may be used again (`BTPageGetDeleteXid`).
///
/// # Errors
/// Where the page is not deleted.
pub fn safe_xid(bytes: &PageBytes) -> Result<FullXid, NodeError> {
    let found = Opaque::of(bytes)?.flags;
    if !found.contains(NodeFlags::DELETED) {
        return Err(NodeError::Kind { wanted: "deleted", found });
    }
    // What a server before 14 deleted has waited long enough.
    let is_full = found.contains(NodeFlags::HAS_FULLXID);
    Ok(if is_full {
        FullXid(u64::from_le_bytes(array(bytes, PAGE_HEADER_SIZE)))
    } else {
        FullXid(3)
    })
}

/// The metapage's contents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetaPage {
    /// What records carry of it.
    pub metadata: Metadata,
    /// `btm_last_cleanup_num_heap_tuples`, which nobody uses any more: -1.
    pub heap_tuples: f64,
}

impl MetaPage {
    /// Bytes of `BTMetaPageData`.
    const SIZE: usize = 48;

    /// Of a tree whose root is this; of an empty one [`NONE`] (`_bt_initmetapage`).
    pub fn new(root: BlockNumber, level: u32, all_equal_image: bool) -> MetaPage {
        let metadata = Metadata {
            version: VERSION,
            root,
            level,
            fast_root: root,
            fast_level: level,
            last_cleanup_deleted_pages: 0,
            all_equal_image,
        };
        MetaPage { metadata, heap_tuples: -1.0 }
    }

    /// As a record has it (`_bt_restore_meta`).
    pub fn of(metadata: Metadata) -> MetaPage {
        MetaPage { metadata, heap_tuples: -1.0 }
    }

    /// From block 0.
    ///
    /// # Errors
    /// Where it is no metapage of version 4.
    pub fn read(bytes: &PageBytes) -> Result<MetaPage, NodeError> {
        let found = Opaque::of(bytes)?.flags;
        if !found.contains(NodeFlags::META) {
            return Err(NodeError::Kind { wanted: "a metapage", found });
        }
        let meta: [u8; MetaPage::SIZE] = array(bytes, PAGE_HEADER_SIZE);
        let (magic, version) = (word(&meta, 0), word(&meta, 4));
        if (magic, version) != (MAGIC, VERSION) {
            return Err(NodeError::Meta { magic, version });
        }
        let metadata = Metadata {
            version,
            root: word(&meta, 8),
            level: word(&meta, 12),
            fast_root: word(&meta, 16),
            fast_level: word(&meta, 20),
            last_cleanup_deleted_pages: word(&meta, 24),
            all_equal_image: meta[40] != 0,
        };
        Ok(MetaPage { metadata, heap_tuples: f64::from_le_bytes(array(&meta, 32)) })
    }

    /// Makes block 0 of it.
    pub fn write(&self, bytes: &mut PageBytes) {
        let Metadata { version, root, level, fast_root, fast_level, .. } = self.metadata;
        let deleted = self.metadata.last_cleanup_deleted_pages;
        let mut meta = [0; MetaPage::SIZE];
        let words = [MAGIC, version, root, level, fast_root, fast_level, deleted];
        for (place, word) in meta.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        meta[32..40].copy_from_slice(&self.heap_tuples.to_le_bytes());
        meta[40] = u8::from(self.metadata.all_equal_image);
        init(bytes, &Opaque { flags: NodeFlags::META, ..Opaque::default() });
        put_content(bytes, &meta);
    }
}

/// A page of the tree.
#[derive(Debug, Clone, Copy)]
pub struct Node<'p> {
    page: Page<'p>,
    /// What it keeps at its end.
    pub opaque: Opaque,
}

impl<'p> Node<'p> {
    /// Of the bytes of a page other than the metapage.
    ///
    /// # Errors
    /// Where it is damaged, deleted, or the metapage.
    pub fn read(bytes: &'p PageBytes) -> Result<Node<'p>, NodeError> {
        // What it is comes first: a deleted page has no line pointers that could fit.
        Opaque::of(bytes)?.check_kind()?;
        Node::of(RawPage::new(bytes).validate()?)
    }

    /// Of a page whose line pointers were looked at.
    ///
    /// # Errors
    /// Where it is deleted, or the metapage, or no page of a btree.
    pub fn of(page: Page<'p>) -> Result<Node<'p>, NodeError> {
        Node::with(page, Opaque::of(page.bytes())?)
    }

    /// The same, of which is known what it keeps at its end.
    #[inline]
    pub(super) fn with(page: Page<'p>, opaque: Opaque) -> Result<Node<'p>, NodeError> {
        opaque.check_kind()?;
        Ok(Node { page, opaque })
    }

    /// The page.
    pub fn page(&self) -> Page<'p> {
        self.page
    }

    /// The last line pointer, 0 for none.
    pub fn last(&self) -> OffsetNumber {
        self.page.last_offset()
    }

    /// The line pointers from the first on, as they lie there.
    #[inline]
    pub(super) fn pointers(&self) -> &'p [[u8; LINE_POINTER_SIZE]] {
        self.page.bytes()[PAGE_HEADER_SIZE..]
            .as_chunks()
            .0
            .get(..usize::from(self.last()))
            .unwrap_or(&[])
    }

    /// The first line pointer whose entry bounds what lies behind it: above the leaves, the first entry is less than
    /// everything, whatever it holds.
    #[inline]
    pub(super) fn first_bounded(&self) -> OffsetNumber {
        self.opaque.first_data() + OffsetNumber::from(!self.opaque.is_leaf())
    }

    /// An entry, dead or not.
    ///
    /// # Errors
    /// Where there is none, or it is damaged.
    pub fn entry(&self, offset: OffsetNumber) -> Result<IndexTuple<'p>, NodeError> {
        entry(self.page, offset)
    }

    /// Whether an entry is known to be dead.
    pub fn is_dead(&self, offset: OffsetNumber) -> bool {
        self.page.line_pointer(offset).is_some_and(LinePointer::is_dead)
    }

    /// The high key; `None` of the rightmost page.
    ///
    /// # Errors
    /// Where it is missing or damaged.
    pub fn high_key(&self) -> Result<Option<IndexTuple<'p>>, NodeError> {
        if self.opaque.is_rightmost() { Ok(None) } else { self.entry(HIGH_KEY).map(Some) }
    }
}

/// An entry of a page, dead or not.
pub(super) fn entry(page: Page<'_>, offset: OffsetNumber) -> Result<IndexTuple<'_>, NodeError> {
    let pointer = page.line_pointer(offset).filter(|pointer| pointer.has_storage());
    let bytes = pointer.and_then(|pointer| RawPage::new(page.bytes()).item(pointer));
    let bytes = bytes.ok_or(NodeError::NoEntry { offset })?;
    IndexTuple::read(bytes).map_err(|error| NodeError::Entry { offset, error })
}
