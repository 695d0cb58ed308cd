//! A new version of a row: `heap_update`.
//!
//! ```text
//! HOT, one page:         old ──ctid──► new      no index points at new (ONLY_TUPLE), old is HOT_UPDATED
//! not HOT, one page:     old ──ctid──► new      every index gets an entry for new
//! not HOT, two pages:    old ──ctid──► new      on the other page; the old page is marked full
//! ```
//!
//! Source: `heapam.c` of PostgreSQL 15. Invariant: the new version is on its page before the old one leads there.
//! The record leaves out what the new version has in common with the old one at both ends, if they are on one page
//! and no image of it is taken.

use base::page::{PageFlags, Placement};
use base::tuple::TUPLE_HEADER_SIZE;
use base::{BlockNumber, Infomask, Infomask2, OffsetNumber, PageMut, Tid, Xid};
use wal::rmgr::heap::{Update, UpdateFlags};

use super::change::{self, Change, CommandStamp, HeapError, NewXmax, RM_HEAP};

/// `XLOG_HEAP_UPDATE`
const UPDATE: u8 = 0x20;
/// `XLOG_HEAP_HOT_UPDATE`
const HOT_UPDATE: u8 = 0x40;
/// A part in common that is shorter costs more than it saves.
const SHORTEST_COMMON: usize = 3;

/// Who updates which version, and how.
#[derive(Debug, Clone, Copy)]
pub struct Updating {
    /// The old version.
    pub old: Tid,
    /// The updating transaction.
    pub xid: Xid,
    /// Its command, as the new version's inserter.
    pub command: base::CommandId,
    /// Its command, as what ended the old version.
    pub ending: CommandStamp,
    /// The old version's `xmax`.
    pub old_xmax: NewXmax,
    /// The new version's: that of those who lock the row and go on doing so; `None` for nobody.
    pub new_xmax: Option<NewXmax>,
    /// Whether no indexed column changes, so that the new version can do without index entries. Only on one page.
    pub is_hot: bool,
    /// Whether the log takes no image of the page, so that parts in common may be left out. A record for which this
    /// turns out wrong must be built again.
    pub may_share: bool,
}

/// Puts the new version on the same page, and gives its line pointer. Logged as `HOT_UPDATE` or `UPDATE`, with one
/// block.
///
/// # Errors
/// Where there is no old version, or no room for the new one.
pub fn update(
    page: &mut PageMut<'_>,
    how: &Updating,
    tuple: &mut [u8],
    change: &mut Change,
) -> Result<OffsetNumber, HeapError> {
    let old =
        page.as_page().item(how.old.offset).ok_or(HeapError::NoTuple { offset: how.old.offset })?;
    change::header(old, how.old.offset)?;
    let offset = put_new(page, how.old.block, how, how.is_hot, tuple)?;
    let cleared = clear_all_visible(page);
    page.set_prunable(how.xid);
    end_old(page, how, how.is_hot, Tid { block: how.old.block, offset })?;
    let mut flags = UpdateFlags::empty();
    flags.set(UpdateFlags::OLD_ALL_VISIBLE_CLEARED, cleared);
    let old =
        page.as_page().item(how.old.offset).ok_or(HeapError::NoTuple { offset: how.old.offset })?;
    let common = if how.may_share { common_ends(old, tuple) } else { (0, 0) };
    log(
        how,
        if how.is_hot { HOT_UPDATE } else { UPDATE },
        false,
        flags,
        offset,
        tuple,
        common,
        change,
    )?;
    Ok(offset)
}

/// Puts the new version on another page, and gives its line pointer there. Logged as `UPDATE`, with the new page as
/// block 0 and the old one as block 1.
///
/// # Errors
/// As [`update`]. An update that moves cannot be HOT: `how.is_hot` is not looked at.
pub fn update_to_other_page(
    old_page: &mut PageMut<'_>,
    new_page: &mut PageMut<'_>,
    new_block: BlockNumber,
    how: &Updating,
    tuple: &mut [u8],
    change: &mut Change,
) -> Result<OffsetNumber, HeapError> {
    let old = old_page.as_page().item(how.old.offset);
    change::header(old.ok_or(HeapError::NoTuple { offset: how.old.offset })?, how.old.offset)?;
    let offset = put_new(new_page, new_block, how, false, tuple)?;
    let mut flags = UpdateFlags::empty();
    flags.set(UpdateFlags::OLD_ALL_VISIBLE_CLEARED, clear_all_visible(old_page));
    flags.set(UpdateFlags::NEW_ALL_VISIBLE_CLEARED, clear_all_visible(new_page));
    old_page.set_flags(PageFlags::PAGE_FULL, true);
    old_page.set_prunable(how.xid);
    end_old(old_page, how, false, Tid { block: new_block, offset })?;
    let will_init = offset == 1 && new_page.as_page().last_offset() == 1;
    log(how, UPDATE, will_init, flags, offset, tuple, (0, 0), change)?;
    Ok(offset)
}

fn clear_all_visible(page: &mut PageMut<'_>) -> bool {
    let was_set = page.header().flags.contains(PageFlags::ALL_VISIBLE);
    page.set_flags(PageFlags::ALL_VISIBLE, false);
    was_set
}

fn put_new(
    page: &mut PageMut<'_>,
    block: BlockNumber,
    how: &Updating,
    is_hot: bool,
    tuple: &mut [u8],
) -> Result<OffsetNumber, HeapError> {
    let mut header = change::header(tuple, 0)?;
    change::stamp_new(&mut header, how.xid, how.command);
    if let Some(new_xmax) = how.new_xmax {
        change::set_xmax(&mut header, new_xmax);
    }
    header.infomask |= Infomask::UPDATED;
    header.infomask2.set(Infomask2::ONLY_TUPLE, is_hot);
    change::put_header(tuple, &header);
    let offset = page.add_heap_tuple(tuple, Placement::Free)?;
    header.ctid = Tid { block, offset };
    change::put_header(tuple, &header);
    if let Some(item) = page.item_mut(offset) {
        change::put_header(item, &header);
    }
    Ok(offset)
}

fn end_old(
    page: &mut PageMut<'_>,
    how: &Updating,
    is_hot: bool,
    new: Tid,
) -> Result<(), HeapError> {
    change::change_header(page, how.old.offset, |header| {
        change::set_xmax(header, how.old_xmax);
        header.infomask2.set(Infomask2::HOT_UPDATED, is_hot);
        change::set_cmax(header, how.ending);
        header.ctid = new;
    })
}

/// Bytes that the data of both tuples begin with, and that the rest of both ends with.
fn common_ends(old: &[u8], new: &[u8]) -> (usize, usize) {
    let data = |tuple: &[u8]| usize::from(tuple[TUPLE_HEADER_SIZE - 1]);
    let (old, new) = (&old[data(old)..], &new[data(new)..]);
    let same =
        |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| pairs.take_while(|(a, b)| a == b).count();
    let worth = |length| if length < SHORTEST_COMMON { 0 } else { length };
    let prefix = worth(same(&mut old.iter().zip(new)));
    let shorter = old.len().min(new.len());
    let suffix = worth(same(&mut old.iter().rev().zip(new.iter().rev())).min(shorter - prefix));
    (prefix, suffix)
}

#[expect(clippy::too_many_arguments, reason = "what one record is made of")]
fn log(
    how: &Updating,
    info: u8,
    will_init: bool,
    mut flags: UpdateFlags,
    new_offset: OffsetNumber,
    tuple: &[u8],
    (prefix, suffix): (usize, usize),
    change: &mut Change,
) -> Result<(), HeapError> {
    let header = change::header(tuple, new_offset)?;
    flags.set(UpdateFlags::PREFIX_FROM_OLD, prefix > 0);
    flags.set(UpdateFlags::SUFFIX_FROM_OLD, suffix > 0);
    change.begin(RM_HEAP, info, will_init);
    let payload = Update {
        old_xmax: how.old_xmax.xmax,
        old_offset: how.old.offset,
        old_info_bits: how.old_xmax.bits,
        flags,
        new_xmax: header.xmax,
        new_offset,
        new_tuple: None,
        old_tuple: None,
    };
    payload.encode(&mut change.main, &mut change.block_data);
    let data = &mut change.block_data;
    for length in [prefix, suffix].into_iter().filter(|length| *length > 0) {
        data.extend_from_slice(&(length as u16).to_le_bytes());
    }
    data.extend_from_slice(&header.infomask2.bits().to_le_bytes());
    data.extend_from_slice(&header.infomask.bits().to_le_bytes());
    data.push(header.hoff);
    let start = usize::from(header.hoff);
    data.extend_from_slice(&tuple[TUPLE_HEADER_SIZE..start]);
    data.extend_from_slice(&tuple[start + prefix..tuple.len() - suffix]);
    Ok(())
}
