//! Posting lists: several entries with equal keys made one, one of them split for a new row, one shortened.
//!
//! Source: `nbtdedup.c`. Invariants: tids of a posting list ascend, each once; no posting list is longer than
//! [`MAX_ITEM_SIZE`]; the functions give new entries and change no page.

use base::Tid;

use super::tuple::{self, IndexTuple, MAX_ITEM_SIZE, TupleError};

/// What a posting list becomes whose rows are these and a new one's between them (`_bt_swap_posting`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// The posting list, with the new row in it and without its last one.
    pub posting: Vec<u8>,
    /// The new entry, for that last row; it goes behind the posting list.
    pub new_item: Vec<u8>,
}

/// Lets a new row into a posting list, at a place among its tids, and the list's last row out: the list is as long as it
/// was.
///
/// # Errors
/// Where there is no posting list, or the place is not within it; where the new entry is not plain.
pub fn swap(
    new_item: IndexTuple<'_>,
    posting: IndexTuple<'_>,
    place: u16,
) -> Result<Swapped, TupleError> {
    if !posting.is_posting() {
        return Err(TupleError::NotPosting);
    }
    let mut tids: Vec<Tid> = posting.tids().collect();
    let count = tids.len() as u16;
    let (Some(new), false) = (new_item.heap_tid(), new_item.is_pivot() || new_item.is_posting())
    else {
        return Err(TupleError::IsPivot);
    };
    if place == 0 || place >= count {
        return Err(TupleError::Place { count, place });
    }
    let last = tids.pop().unwrap_or_default();
    tids.insert(usize::from(place), new);
    let mut new_item = new_item.bytes().to_vec();
    tuple::put_tid(&mut new_item, last);
    Ok(Swapped { posting: tuple::with_tids(posting.key_part(), &tids), new_item })
}

/// A posting list without some of its rows, given by their places from 0, ascending (`_bt_update_posting`). Of one row
/// that is left, a plain entry.
///
/// # Errors
/// Where there is no posting list, a place is not within it, or none would be left.
pub fn without(posting: IndexTuple<'_>, places: &[u16]) -> Result<Vec<u8>, TupleError> {
    if !posting.is_posting() {
        return Err(TupleError::NotPosting);
    }
    let count = posting.tid_count() as u16;
    let ascends = places.windows(2).all(|pair| pair[0] < pair[1]);
    if let Some(&place) = places.last()
        && (place >= count || !ascends || places.len() >= usize::from(count))
    {
        return Err(TupleError::Place { count, place });
    }
    let is_left = |(place, _): &(u16, Tid)| places.binary_search(place).is_err();
    let left: Vec<Tid> = (0..).zip(posting.tids()).filter(is_left).map(|(_, tid)| tid).collect();
    Ok(tuple::with_tids(posting.key_part(), &left))
}

/// Entries with equal keys on the way to become one posting list (`BTDedupState`).
#[derive(Debug, Default)]
pub struct Pending<'a> {
    base: Option<IndexTuple<'a>>,
    tids: Vec<Tid>,
    items: u16,
    max_size: usize,
}

impl<'a> Pending<'a> {
    /// Nothing yet. Posting lists become no longer than `max_size` bytes.
    pub fn new(max_size: usize) -> Pending<'a> {
        Pending { max_size: max_size.min(MAX_ITEM_SIZE), ..Pending::default() }
    }

    /// The first of them (`_bt_dedup_start_pending`).
    ///
    /// # Errors
    /// Where it is a pivot.
    pub fn start(&mut self, base: IndexTuple<'a>) -> Result<(), TupleError> {
        if base.is_pivot() {
            return Err(TupleError::IsPivot);
        }
        (self.base, self.items) = (Some(base), 1);
        self.tids.clear();
        self.tids.extend(base.tids());
        Ok(())
    }

    /// One more, if there is room (`_bt_dedup_save_htid`).
    ///
    /// # Errors
    /// Where it is a pivot.
    pub fn save(&mut self, item: IndexTuple<'_>) -> Result<bool, TupleError> {
        if item.is_pivot() {
            return Err(TupleError::IsPivot);
        }
        let key = self.base.map_or(0, |base| base.key_part().len());
        let merged = key + (self.tids.len() + item.tid_count()) * Tid::SIZE;
        if merged.next_multiple_of(8) > self.max_size {
            return Ok(false);
        }
        self.tids.extend(item.tids());
        self.items += 1;
        Ok(true)
    }

    /// Lets posting lists from here on be shorter by so many bytes.
    pub fn shorten(&mut self, by: usize) {
        self.max_size = self.max_size.saturating_sub(by);
    }

    /// How many entries they are.
    pub fn items(&self) -> u16 {
        self.items
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.tids.len()
    }

    /// The first of them.
    pub fn base(&self) -> Option<IndexTuple<'a>> {
        self.base
    }

    /// What they become: the only one as it is, or a posting list; nothing if there is none. It is as before the first
    /// then (`_bt_dedup_finish_pending`).
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let (base, items) = (self.base.take()?, self.items);
        self.items = 0;
        match items {
            1 => Some(base.bytes().to_vec()),
            _ => Some(tuple::with_tids(base.key_part(), &self.tids)),
        }
    }
}
