//! Resource manager 16, SPGist: space-partitioned trees.
//!
//! All that a record says is in its main data: a struct, arrays of line pointers, then tuples that are not
//! aligned and carry their own lengths. Only VACUUM_REDIRECT differs between versions.

use base::{OffsetNumber, Xid};
use serde::Serialize;

use super::{Array, Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const ADD_LEAF: u8 = 0x10;
const MOVE_LEAFS: u8 = 0x20;
const ADD_NODE: u8 = 0x30;
const SPLIT_TUPLE: u8 = 0x40;
const PICKSPLIT: u8 = 0x50;
const VACUUM_LEAF: u8 = 0x60;
const VACUUM_ROOT: u8 = 0x70;
const VACUUM_REDIRECT: u8 = 0x80;

/// The payload of a SPGist record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Spgist<'a> {
    /// A leaf tuple is put on block 0; block 1, if there, is the parent.
    AddLeaf(AddLeaf<'a>),
    /// A chain of leaf tuples moves from block 0 to block 1; block 2 is the parent.
    MoveLeafs(MoveLeafs<'a>),
    /// An inner tuple of block 0 gets a node, and moves to block 1 if it has no room; block 2 is the
    /// parent where it is neither of the two.
    AddNode(AddNode<'a>),
    /// An inner tuple of block 0 is split into prefix and postfix, the latter on block 1 if there.
    SplitTuple(SplitTuple<'a>),
    /// Leaf tuples are divided: blocks 0 source, 1 destination, 2 the new inner tuple, 3 the parent.
    PickSplit(PickSplit<'a>),
    /// Dead tuples are cleaned off a leaf page.
    VacuumLeaf(VacuumLeaf<'a>),
    /// Dead tuples are cleaned off a root page that is a leaf.
    VacuumRoot(VacuumRoot<'a>),
    /// Redirections and placeholders are cleaned off a page.
    VacuumRedirect(VacuumRedirect<'a>),
}

/// `spgxlogState`: what redo needs to know of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct State {
    /// Transaction that redirections carry; `myXid` before 17.
    pub redirect_xid: Xid,
    /// Whether the index is being built: placeholders are left instead of redirections.
    pub is_build: bool,
}

/// `spgxlogAddLeaf`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AddLeaf<'a> {
    /// Whether block 0 is made anew.
    pub new_page: bool,
    /// Whether it is in the tree of nulls.
    pub stores_nulls: bool,
    /// Where the tuple goes.
    pub offset_leaf: OffsetNumber,
    /// Head of its chain, 0 for none.
    pub offset_head_leaf: OffsetNumber,
    /// The parent's tuple, 0 if it is not changed.
    pub offset_parent: OffsetNumber,
    /// Node of the parent's tuple that leads here.
    pub node: u16,
    /// The leaf tuple.
    #[serde(skip)]
    pub tuple: &'a [u8],
}

/// `spgxlogMoveLeafs`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MoveLeafs<'a> {
    /// Tuples moved.
    pub move_count: u16,
    /// Whether block 1 is made anew.
    pub new_page: bool,
    /// Whether a dead tuple is replaced rather than moved.
    pub replace_dead: bool,
    /// Whether this is in the tree of nulls.
    pub stores_nulls: bool,
    /// The parent's tuple.
    pub offset_parent: OffsetNumber,
    /// Node of the parent's tuple that leads here.
    pub node: u16,
    /// What redo needs to know of the index.
    pub state: State,
    /// Tuples taken off block 0.
    pub deleted: Array<'a, OffsetNumber>,
    /// Where they go on block 1: one more than were deleted, or a single one for a dead tuple.
    pub inserted: Array<'a, OffsetNumber>,
    /// The leaf tuples, one behind the other.
    #[serde(skip)]
    pub tuples: &'a [u8],
}

/// `spgxlogAddNode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AddNode<'a> {
    /// The tuple on block 0.
    pub offset: OffsetNumber,
    /// Where it is on block 1 now, 0 if it stays.
    pub offset_new: OffsetNumber,
    /// Whether block 1 is made anew.
    pub new_page: bool,
    /// Which block the parent is in: 0, 1, 2, or -1 if it is not changed.
    pub parent_block: i8,
    /// The parent's tuple.
    pub offset_parent: OffsetNumber,
    /// Node of the parent's tuple that leads here.
    pub node: u16,
    /// What redo needs to know of the index.
    pub state: State,
    /// The inner tuple with its new node.
    #[serde(skip)]
    pub tuple: &'a [u8],
}

/// `spgxlogSplitTuple`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SplitTuple<'a> {
    /// Where the prefix tuple goes on block 0.
    pub offset_prefix: OffsetNumber,
    /// Where the postfix tuple goes.
    pub offset_postfix: OffsetNumber,
    /// Whether block 1 is made anew.
    pub new_page: bool,
    /// Whether the postfix tuple is on block 0 too.
    pub postfix_on_same_block: bool,
    /// The prefix tuple, then the postfix tuple.
    #[serde(skip)]
    pub tuples: &'a [u8],
}

/// `spgxlogPickSplit`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PickSplit<'a> {
    /// Whether the root is split: it becomes block 2, and block 0 is missing.
    pub is_root_split: bool,
    /// Tuples taken off block 0.
    pub delete_count: u16,
    /// Tuples put on block 0 or block 1.
    pub insert_count: u16,
    /// Whether block 0 is made anew.
    pub init_source: bool,
    /// Whether block 1 is made anew.
    pub init_destination: bool,
    /// Where the new inner tuple goes.
    pub offset_inner: OffsetNumber,
    /// Whether block 2 is made anew.
    pub init_inner: bool,
    /// Whether this is in the tree of nulls.
    pub stores_nulls: bool,
    /// Whether the parent is on block 2 too.
    pub inner_is_parent: bool,
    /// The parent's tuple, 0 if there is none.
    pub offset_parent: OffsetNumber,
    /// Node of the parent's tuple that leads here.
    pub node: u16,
    /// What redo needs to know of the index.
    pub state: State,
    /// Tuples taken off.
    pub deleted: Array<'a, OffsetNumber>,
    /// Where tuples are put.
    pub inserted: Array<'a, OffsetNumber>,
    /// For each of them: 0 if on block 0, else on block 1.
    pub inserted_page: Array<'a, u8>,
    /// The inner tuple, then the leaf tuples, one behind the other.
    #[serde(skip)]
    pub tuples: &'a [u8],
}

/// `spgxlogVacuumLeaf`; its arrays are pairwise of the same length.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VacuumLeaf<'a> {
    /// What redo needs to know of the index.
    pub state: State,
    /// Tuples that become dead.
    pub dead: Array<'a, OffsetNumber>,
    /// Tuples that become placeholders.
    pub placeholder: Array<'a, OffsetNumber>,
    /// Tuples that move, leaving placeholders.
    pub move_from: Array<'a, OffsetNumber>,
    /// Where they go.
    pub move_to: Array<'a, OffsetNumber>,
    /// Tuples whose link in the chain changes.
    pub chain_from: Array<'a, OffsetNumber>,
    /// What they are linked to.
    pub chain_to: Array<'a, OffsetNumber>,
}

/// `spgxlogVacuumRoot`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VacuumRoot<'a> {
    /// What redo needs to know of the index.
    pub state: State,
    /// Tuples taken off.
    pub deleted: Array<'a, OffsetNumber>,
}

/// `spgxlogVacuumRedirect`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VacuumRedirect<'a> {
    /// First of the placeholders at the page's end that are removed, 0 for none.
    pub first_placeholder: OffsetNumber,
    /// Newest transaction of the redirections that go; `newestRedirectXid` in 15.
    pub snapshot_conflict_horizon: Xid,
    /// Whether a catalog's index is concerned; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
    /// Redirections that become placeholders.
    pub to_placeholder: Array<'a, OffsetNumber>,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    Some(match info & 0xF0 {
        ADD_LEAF => "ADD_LEAF",
        MOVE_LEAFS => "MOVE_LEAFS",
        ADD_NODE => "ADD_NODE",
        SPLIT_TUPLE => "SPLIT_TUPLE",
        PICKSPLIT => "PICKSPLIT",
        VACUUM_LEAF => "VACUUM_LEAF",
        VACUUM_ROOT => "VACUUM_ROOT",
        VACUUM_REDIRECT => "VACUUM_REDIRECT",
        _ => return None,
    })
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = record.main_data();
    let payload = match record.info() {
        ADD_LEAF => Spgist::AddLeaf(add_leaf(Cursor::new("spgxlogAddLeaf", main))?),
        MOVE_LEAFS => Spgist::MoveLeafs(move_leafs(Cursor::new("spgxlogMoveLeafs", main))?),
        ADD_NODE => Spgist::AddNode(add_node(Cursor::new("spgxlogAddNode", main))?),
        SPLIT_TUPLE => Spgist::SplitTuple(split_tuple(Cursor::new("spgxlogSplitTuple", main))?),
        PICKSPLIT => Spgist::PickSplit(pick_split(Cursor::new("spgxlogPickSplit", main))?),
        VACUUM_LEAF => Spgist::VacuumLeaf(vacuum_leaf(Cursor::new("spgxlogVacuumLeaf", main))?),
        VACUUM_ROOT => Spgist::VacuumRoot(vacuum_root(Cursor::new("spgxlogVacuumRoot", main))?),
        VACUUM_REDIRECT => {
            let cursor = Cursor::new("spgxlogVacuumRedirect", main);
            Spgist::VacuumRedirect(vacuum_redirect(cursor, record.version())?)
        }
        _ => return Ok(Payload::Unknown),
    };
    Ok(Payload::Spgist(payload))
}

/// 8 bytes, of which the last 3 are padding.
fn state(cursor: &mut Cursor<'_>) -> Result<State, PayloadError> {
    cursor.align(4)?;
    let state = State { redirect_xid: cursor.xid()?, is_build: cursor.bool()? };
    cursor.align(4)?;
    Ok(state)
}

fn add_leaf(mut cursor: Cursor<'_>) -> Result<AddLeaf<'_>, PayloadError> {
    Ok(AddLeaf {
        new_page: cursor.bool()?,
        stores_nulls: cursor.bool()?,
        offset_leaf: cursor.u16()?,
        offset_head_leaf: cursor.u16()?,
        offset_parent: cursor.u16()?,
        node: cursor.u16()?,
        tuple: cursor.rest(),
    })
}

/// ```text
/// offset 0 nMoves, 2 newPage, 3 replaceDead, 4 storesNulls, 6 offnumParent, 8 nodeI, 12 stateSrc,
/// 20 arrays
/// ```
fn move_leafs(mut cursor: Cursor<'_>) -> Result<MoveLeafs<'_>, PayloadError> {
    let move_count = cursor.u16()?;
    let (new_page, replace_dead, stores_nulls) = (cursor.bool()?, cursor.bool()?, cursor.bool()?);
    cursor.align(2)?;
    let (offset_parent, node) = (cursor.u16()?, cursor.u16()?);
    let state = state(&mut cursor)?;
    let deleted = cursor.array(usize::from(move_count))?;
    let inserted = cursor.array(if replace_dead { 1 } else { usize::from(move_count) + 1 })?;
    let tuples = cursor.rest();
    Ok(MoveLeafs {
        move_count,
        new_page,
        replace_dead,
        stores_nulls,
        offset_parent,
        node,
        state,
        deleted,
        inserted,
        tuples,
    })
}

fn add_node(mut cursor: Cursor<'_>) -> Result<AddNode<'_>, PayloadError> {
    Ok(AddNode {
        offset: cursor.u16()?,
        offset_new: cursor.u16()?,
        new_page: cursor.bool()?,
        parent_block: cursor.u8()? as i8,
        offset_parent: cursor.u16()?,
        node: cursor.u16()?,
        state: state(&mut cursor)?,
        tuple: cursor.rest(),
    })
}

fn split_tuple(mut cursor: Cursor<'_>) -> Result<SplitTuple<'_>, PayloadError> {
    Ok(SplitTuple {
        offset_prefix: cursor.u16()?,
        offset_postfix: cursor.u16()?,
        new_page: cursor.bool()?,
        postfix_on_same_block: cursor.bool()?,
        tuples: cursor.rest(),
    })
}

/// ```text
/// offset 0 isRootSplit, 2 nDelete, 4 nInsert, 6 initSrc, 7 initDest, 8 offnumInner, 10 initInner,
/// 11 storesNulls, 12 innerIsParent, 14 offnumParent, 16 nodeI, 20 stateSrc, 28 arrays
/// ```
fn pick_split(mut cursor: Cursor<'_>) -> Result<PickSplit<'_>, PayloadError> {
    let is_root_split = cursor.bool()?;
    cursor.align(2)?;
    let (delete_count, insert_count) = (cursor.u16()?, cursor.u16()?);
    let (init_source, init_destination) = (cursor.bool()?, cursor.bool()?);
    let offset_inner = cursor.u16()?;
    let (init_inner, stores_nulls, inner_is_parent) =
        (cursor.bool()?, cursor.bool()?, cursor.bool()?);
    cursor.align(2)?;
    let (offset_parent, node) = (cursor.u16()?, cursor.u16()?);
    let state = state(&mut cursor)?;
    Ok(PickSplit {
        is_root_split,
        delete_count,
        insert_count,
        init_source,
        init_destination,
        offset_inner,
        init_inner,
        stores_nulls,
        inner_is_parent,
        offset_parent,
        node,
        state,
        deleted: cursor.array(usize::from(delete_count))?,
        inserted: cursor.array(usize::from(insert_count))?,
        inserted_page: cursor.array(usize::from(insert_count))?,
        tuples: cursor.rest(),
    })
}

fn vacuum_leaf(mut cursor: Cursor<'_>) -> Result<VacuumLeaf<'_>, PayloadError> {
    let mut count = || cursor.u16().map(usize::from);
    let (dead, placeholder, moved, chained) = (count()?, count()?, count()?, count()?);
    Ok(VacuumLeaf {
        state: state(&mut cursor)?,
        dead: cursor.array(dead)?,
        placeholder: cursor.array(placeholder)?,
        move_from: cursor.array(moved)?,
        move_to: cursor.array(moved)?,
        chain_from: cursor.array(chained)?,
        chain_to: cursor.array(chained)?,
    })
}

fn vacuum_root(mut cursor: Cursor<'_>) -> Result<VacuumRoot<'_>, PayloadError> {
    let count = usize::from(cursor.u16()?);
    Ok(VacuumRoot { state: state(&mut cursor)?, deleted: cursor.array(count)? })
}

/// ```text
/// offset 0 nToPlaceholder, 2 firstPlaceholder, 4 newestRedirectXid (15) or snapshotConflictHorizon;
/// 15: 8 array; 16 and later: 8 isCatalogRel, 10 array
/// ```
fn vacuum_redirect(
    mut cursor: Cursor<'_>,
    version: Version,
) -> Result<VacuumRedirect<'_>, PayloadError> {
    let count = usize::from(cursor.u16()?);
    let (first_placeholder, snapshot_conflict_horizon) = (cursor.u16()?, cursor.xid()?);
    let is_catalog_relation = if version >= Version::V16 { Some(cursor.bool()?) } else { None };
    cursor.align(2)?;
    Ok(VacuumRedirect {
        first_placeholder,
        snapshot_conflict_horizon,
        is_catalog_relation,
        to_placeholder: cursor.array(count)?,
    })
}

impl Spgist<'_> {
    pub(super) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        match self {
            Spgist::AddLeaf(add) => {
                out.str("off: ").int(add.offset_leaf).str(", headoff: ").int(add.offset_head_leaf);
                parent(add.offset_parent, add.node, out);
                flag(add.new_page, " (newpage)", out);
                flag(add.stores_nulls, " (nulls)", out);
            }
            Spgist::MoveLeafs(moved) => {
                out.str("nmoves: ").int(moved.move_count);
                parent(moved.offset_parent, moved.node, out);
                flag(moved.new_page, " (newpage)", out);
                flag(moved.replace_dead, " (replacedead)", out);
                flag(moved.stores_nulls, " (nulls)", out);
            }
            Spgist::AddNode(add) => {
                out.str("off: ").int(add.offset).str(", newoff: ").int(add.offset_new);
                out.str(", parentBlk: ").int(add.parent_block);
                parent(add.offset_parent, add.node, out);
                flag(add.new_page, " (newpage)", out);
            }
            Spgist::SplitTuple(split) => {
                out.str("prefixoff: ").int(split.offset_prefix);
                out.str(", postfixoff: ").int(split.offset_postfix);
                flag(split.new_page, " (newpage)", out);
                flag(split.postfix_on_same_block, " (same)", out);
            }
            Spgist::PickSplit(split) => {
                out.str("ndelete: ").int(split.delete_count);
                out.str(", ninsert: ").int(split.insert_count);
                out.str(", inneroff: ").int(split.offset_inner);
                parent(split.offset_parent, split.node, out);
                flag(split.inner_is_parent, " (innerIsParent)", out);
                flag(split.stores_nulls, " (nulls)", out);
                flag(split.is_root_split, " (isRootSplit)", out);
            }
            Spgist::VacuumLeaf(vacuum) => {
                out.str("ndead: ").int(vacuum.dead.len());
                out.str(", nplaceholder: ").int(vacuum.placeholder.len());
                out.str(", nmove: ").int(vacuum.move_from.len());
                out.str(", nchain: ").int(vacuum.chain_from.len());
            }
            Spgist::VacuumRoot(vacuum) => {
                out.str("ndelete: ").int(vacuum.deleted.len());
            }
            Spgist::VacuumRedirect(vacuum) => vacuum.describe(record.version(), out),
        }
    }
}

impl VacuumRedirect<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        out.str("ntoplaceholder: ").int(self.to_placeholder.len());
        out.str(", firstplaceholder: ").int(self.first_placeholder);
        let newest = match version {
            Version::V15 => ", newestredirectxid: ",
            _ => ", snapshotConflictHorizon: ",
        };
        out.str(newest).xid(self.snapshot_conflict_horizon);
        // 16 has the flag in its records, but not in its text.
        if let Some(catalog) = self.is_catalog_relation.filter(|_| version >= Version::V17) {
            out.str(", isCatalogRel: ").str(if catalog { "T" } else { "F" });
        }
    }
}

fn parent(offset: OffsetNumber, node: u16, out: &mut Text) {
    out.str(", parentoff: ").int(offset).str(", nodeI: ").int(node);
}

fn flag(set: bool, text: &str, out: &mut Text) {
    if set {
        out.str(text);
    }
}

#[cfg(test)]
mod tests;
