//! What is to be logged: main data and block references, borrowed from whoever logs it.
//!
//! Invariant: nothing here is checked; [`Builder::build`](super::Builder::build) checks it all before a byte
//! of the log is reserved.

use base::{BlockNumber, ForkNumber, PAGE_SIZE, RelFileLocator, Xid};

/// A record to be logged.
///
/// ```
/// use base::{ForkNumber, RelFileLocator, Xid};
/// use wal::write::{NewBlock, NewRecord};
///
/// let relation = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };
/// let insert = NewRecord {
///     xid: Xid(731),
///     main: &[&[3, 0, 0]],
///     blocks: &[NewBlock { data: &[b"a tuple"], ..NewBlock::new(0, relation, ForkNumber::Main, 7) }],
///     ..NewRecord::new(10, 0x00)
/// };
/// assert_eq!(insert.blocks[0].block, 7);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Id of the resource manager: a built-in one's, or 128 to 255.
    pub rmid: u8,
    /// The resource manager's own bits (`0xF0`), and `XLR_SPECIAL_REL_UPDATE` or `XLR_CHECK_CONSISTENCY`.
    pub info: u8,
    /// The transaction; [`Xid::INVALID`] for none.
    pub xid: Xid,
    /// What only the resource manager understands, in pieces that are put one behind the other.
    pub main: &'a [&'a [u8]],
    /// The blocks that the change concerns, by ascending id.
    pub blocks: &'a [NewBlock<'a>],
    /// The replication origin that the change came from.
    pub origin: Option<u16>,
    /// The top-level transaction, where a subtransaction's record first names it.
    pub toplevel_xid: Option<Xid>,
    /// Whether the record counts when it is asked if anything happened since the last checkpoint. False for
    /// what a server that does nothing logs by itself (`XLOG_MARK_UNIMPORTANT`).
    pub is_important: bool,
}

impl NewRecord<'_> {
    /// A record without a transaction, without data and without blocks.
    pub const fn new(rmid: u8, info: u8) -> NewRecord<'static> {
        NewRecord {
            rmid,
            info,
            xid: Xid::INVALID,
            main: &[],
            blocks: &[],
            origin: None,
            toplevel_xid: None,
            is_important: true,
        }
    }
}

/// A block that a record concerns.
#[derive(Debug, Clone, Copy)]
pub struct NewBlock<'a> {
    /// Id of the reference within the record, 0 to 32.
    pub id: u8,
    /// The relation.
    pub locator: RelFileLocator,
    /// Its fork.
    pub fork: ForkNumber,
    /// The block within the fork.
    pub block: BlockNumber,
    /// The page as it is after the change, LSN aside; `None` only where no image is ever made of it.
    pub page: Option<&'a [u8; PAGE_SIZE]>,
    /// When the page goes into the record as a whole.
    pub image: ImageChoice,
    /// Whether the page has the standard header, so that what lies between `pd_lower` and `pd_upper` need not
    /// be logged (`REGBUF_STANDARD`).
    pub is_standard: bool,
    /// Whether redo makes the page anew, and reads no old one (`REGBUF_WILL_INIT` without its `NO_IMAGE`).
    pub will_init: bool,
    /// Whether the data is kept where an image is taken (`REGBUF_KEEP_DATA`).
    pub keeps_data: bool,
    /// The data that redo changes the page with, in pieces; 65,535 bytes at most.
    pub data: &'a [&'a [u8]],
}

impl NewBlock<'_> {
    /// A reference without page, image and data.
    pub const fn new(
        id: u8,
        locator: RelFileLocator,
        fork: ForkNumber,
        block: BlockNumber,
    ) -> NewBlock<'static> {
        NewBlock {
            id,
            locator,
            fork,
            block,
            page: None,
            image: ImageChoice::Never,
            is_standard: false,
            will_init: false,
            keeps_data: false,
            data: &[],
        }
    }
}

/// When a page's image goes into a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageChoice {
    /// If the page was not changed since the redo point: its LSN is not behind it.
    IfOlder,
    /// In any case (`REGBUF_FORCE_IMAGE`).
    Always,
    /// In no case (`REGBUF_NO_IMAGE`).
    Never,
}
