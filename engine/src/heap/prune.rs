//! Removing what nobody sees any more from a page: `heap_page_prune`.
//!
//! ```text
//! before   1 ──► v1 (dead) ──► v2 (dead) ──► v3 (live)        before   1 ──► v1 (dead) ──► v2 (dead)
//! after    1 ─redirect─► 3: v3;  2 unused                     after    1 dead;  2 unused
//! ```
//!
//! A chain of heap-only versions is followed from its root, the line pointer that indexes know. Its dead versions at
//! the beginning go; the root stays, as a redirect to the first that remains, or dead if none does. A heap-only
//! version that no chain leads to any more, left behind by an abort, goes by itself.
//!
//! Source: `pruneheap.c` of PostgreSQL 15. Invariants: fates are asked at most once for every tuple, before anything is decided;
//! no line pointer that an index may know becomes unused here; the lists are in the order in which PostgreSQL would
//! have made them, so that the record is the same.

use base::page::{LinePointer, LinePointerState, PageFlags};
use base::{HeapTupleHeader, Infomask, Infomask2, OffsetNumber, Page, PageMut, Xid};
use wal::rmgr::Array;
use wal::rmgr::heap2::Prune;
use wal::rmgr::heap2::prune::{PruneItems, Redirect};

use super::change::{self, Change, HeapError, RM_HEAP2};

/// `XLOG_HEAP2_PRUNE`
const PRUNE: u8 = 0x10;

/// What is to become of a tuple (`HTSV_Result`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nobody sees it, ever.
    Dead,
    /// It has ended, and someone may still see it.
    RecentlyDead,
    /// It stands.
    Live,
    /// Its inserter still runs.
    InsertInProgress,
    /// Who ends it still runs.
    DeleteInProgress,
}

/// Who knows what became of transactions.
pub trait Fates {
    /// Whether all that was asked so far could be answered; if not, the page is left alone.
    fn are_known(&self) -> bool {
        true
    }

    /// What is to become of this tuple.
    fn fate(&mut self, offset: OffsetNumber, header: &HeapTupleHeader) -> Fate;

    /// Who ended the tuple, where `xmax` is a multixact (`HeapTupleGetUpdateXid`).
    fn updater(&mut self, header: &HeapTupleHeader) -> Xid;

    /// Whether this transaction has committed; asked only about the inserters of dead tuples.
    fn has_committed(&mut self, xid: Xid) -> bool;
}

/// What pruning found to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Line pointers that become redirects.
    pub redirected: Vec<(OffsetNumber, OffsetNumber)>,
    /// Line pointers that become dead.
    pub dead: Vec<OffsetNumber>,
    /// Line pointers that become unused.
    pub unused: Vec<OffsetNumber>,
    /// The newest transaction whose doing is removed; standbys wait for who may still see it.
    pub latest_removed: Xid,
    /// The oldest transaction that may soon leave something to prune.
    pub prune_xid: Xid,
    /// How many tuples go.
    pub removed: usize,
    /// Whose headers did not say by themselves that they stand; some of them are gone now.
    pub doubtful: Vec<OffsetNumber>,
}

impl Pruned {
    /// Whether the page changes, hints aside.
    pub fn is_empty(&self) -> bool {
        self.redirected.is_empty() && self.dead.is_empty() && self.unused.is_empty()
    }
}

/// Prunes the page, of which only these tuples need be looked at: others stand, as their headers say; all of them with `None`. Where
/// the result [is empty](Pruned::is_empty), nothing is to be logged, and at most hints have
/// changed. Otherwise logged as `PRUNE`. Nothing at all is changed where [fates are not known](Fates::are_known). The caller holds the page for cleanup: nobody else has a tuple of it in use.
///
/// # Errors
/// Where a tuple's header is damaged; the page is then as before.
pub fn prune(
    page: &mut PageMut<'_>,
    fates: &mut impl Fates,
    doubtful: Option<&[OffsetNumber]>,
    change: &mut Change,
) -> Result<Pruned, HeapError> {
    let pruned = Plan::of(page, fates, doubtful)?;
    if !fates.are_known() {
        return Ok(Pruned::default());
    }
    if !pruned.is_empty() {
        execute(page, &pruned.redirected, &pruned.dead, &pruned.unused);
        log(&pruned, change);
    }
    page.set_prune_xid(pruned.prune_xid);
    page.set_flags(PageFlags::PAGE_FULL, false);
    Ok(pruned)
}

/// Makes line pointers what was decided, and moves the tuples together (`heap_page_prune_execute`). Numbers that
/// the page does not have are passed over.
pub(super) fn execute(
    page: &mut PageMut<'_>,
    redirected: &[(OffsetNumber, OffsetNumber)],
    dead: &[OffsetNumber],
    unused: &[OffsetNumber],
) {
    for &(from, to) in redirected {
        page.set_redirect(from, to);
    }
    for &offset in dead {
        page.set_dead(offset);
    }
    for &offset in unused {
        page.set_unused(offset);
    }
    page.compact();
}

fn log(pruned: &Pruned, change: &mut Change) {
    let bytes = |offsets: &[OffsetNumber]| -> Vec<u8> {
        offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect()
    };
    let pairs: Vec<_> = pruned.redirected.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let (pairs, dead, unused) = (bytes(&pairs), bytes(&pruned.dead), bytes(&pruned.unused));
    change.begin(RM_HEAP2, PRUNE, false);
    let payload = Prune {
        snapshot_conflict_horizon: pruned.latest_removed,
        redirected_count: pruned.redirected.len() as u16,
        dead_count: pruned.dead.len() as u16,
        is_catalog_relation: None,
        items: Some(PruneItems {
            redirected: Array::<Redirect>::of(&pairs).unwrap_or(Array::EMPTY),
            dead: Array::of(&dead).unwrap_or(Array::EMPTY),
            unused: Array::of(&unused).unwrap_or(Array::EMPTY),
        }),
    };
    payload.encode(&mut change.main, &mut change.block_data);
}

/// The page's tuples, and what was decided so far.
struct Plan<'p, 'f, F> {
    page: Page<'p>,
    asked: &'f mut F,
    /// Of each line pointer from 0, what is to become of its tuple; `None` where there is none.
    fates: Vec<Option<Fate>>,
    decided: Vec<bool>,
    /// The chain that is being followed; kept for the next one's sake.
    chain: Vec<OffsetNumber>,
    pruned: Pruned,
}

impl<F: Fates> Plan<'_, '_, F> {
    fn of(
        page: &PageMut<'_>,
        asked: &mut F,
        doubtful: Option<&[OffsetNumber]>,
    ) -> Result<Pruned, HeapError> {
        let page = page.as_page();
        let places = usize::from(page.last_offset()) + 1;
        let mut fates = vec![None; places];
        let mut pruned = Pruned::default();
        let mut look =
            |fates: &mut [Option<Fate>], offset: OffsetNumber| -> Result<(), HeapError> {
                let Some(tuple) = page.item(offset) else { return Ok(()) };
                let header = change::header(tuple, offset)?;
                let fate = if stands(&header) {
                    Fate::Live
                } else {
                    pruned.doubtful.push(offset);
                    asked.fate(offset, &header)
                };
                fates[usize::from(offset)] = Some(fate);
                Ok(())
            };
        if let Some(doubtful) = doubtful {
            for (offset, pointer) in page.line_pointers() {
                let is_noted = || doubtful.contains(&offset);
                debug_assert!(
                    is_noted()
                        || page.item(offset).is_none_or(|tuple| {
                            change::header(tuple, offset).is_ok_and(|header| stands(&header))
                        })
                );
                fates[usize::from(offset)] = pointer.is_normal().then_some(Fate::Live);
            }
            doubtful.iter().try_for_each(|offset| look(&mut fates, *offset))?;
        } else {
            page.touch_items(page.line_pointers().map(|(offset, _)| offset));
            page.line_pointers().try_for_each(|(offset, _)| look(&mut fates, offset))?;
        }
        let (decided, chain) = (vec![false; places], Vec::new());
        let mut plan = Plan { page, asked, fates, decided, chain, pruned };
        for (root, pointer) in page.line_pointers() {
            // Of a chain that begins with a version that stands nothing goes, and most do. No branch by what the line pointer is,
            // which a processor cannot guess.
            let begins = pointer.target().unwrap_or(root);
            if plan.fates.get(usize::from(begins)) == Some(&Some(Fate::Live)) {
                continue;
            }
            let is_root =
                matches!(pointer.state(), LinePointerState::Normal | LinePointerState::Redirect);
            if is_root && !plan.decided[usize::from(root)] {
                plan.follow(root)?;
            }
        }
        Ok(plan.pruned)
    }

    /// A tuple's header and fate.
    fn tuple(&self, offset: OffsetNumber) -> Result<Option<(HeapTupleHeader, Fate)>, HeapError> {
        let fate = self.fates.get(usize::from(offset)).copied().flatten();
        let Some((fate, tuple)) = fate.zip(self.page.item(offset)) else { return Ok(None) };
        Ok(Some((change::header(tuple, offset)?, fate)))
    }

    fn state(&self, offset: OffsetNumber) -> LinePointerState {
        self.page.line_pointer(offset).map_or(LinePointerState::Unused, LinePointer::state)
    }

    fn updater(&mut self, header: &HeapTupleHeader) -> Xid {
        let names_itself = !header.infomask.contains(Infomask::XMAX_IS_MULTI)
            || header.infomask.xmax_locked_only();
        if names_itself { header.xmax } else { self.asked.updater(header) }
    }

    /// Follows the chain that begins at `root`, and decides what becomes of it.
    fn follow(&mut self, root: OffsetNumber) -> Result<(), HeapError> {
        if let Some((header, fate)) = self.tuple(root)?
            && header.infomask2.contains(Infomask2::ONLY_TUPLE)
        {
            // Not a root. If it is dead and leads nowhere, its chain may have lost it; where its maker has aborted, what it
            // leads to is of the same transaction and goes by itself, too.
            if fate == Fate::Dead && (!change::is_hot_updated(&header) || !self.was_seen(&header)) {
                self.unused(root);
                self.note_removed(&header);
                self.pruned.removed += 1;
            }
            return Ok(());
        }
        let mut chain = std::mem::take(&mut self.chain);
        chain.clear();
        let last_dead = self.walk(root, &mut chain)?;
        self.decide(root, &chain, last_dead);
        self.chain = chain;
        Ok(())
    }

    /// Goes along a chain, and gives the last of its dead versions.
    fn walk(
        &mut self,
        root: OffsetNumber,
        chain: &mut Vec<OffsetNumber>,
    ) -> Result<Option<OffsetNumber>, HeapError> {
        let mut last_dead = None;
        let (mut offset, mut expected_xmin) = (root, Xid::INVALID);
        // A chain that runs in a circle ends where it has more members than the page line pointers.
        while chain.len() < self.fates.len() {
            let Some(pointer) = self.page.line_pointer(offset) else { break };
            if self.decided[usize::from(offset)] {
                break;
            }
            match pointer.state() {
                LinePointerState::Redirect if chain.is_empty() => {
                    chain.push(offset);
                    offset = pointer.target().unwrap_or(0);
                    continue;
                }
                LinePointerState::Normal => {}
                _ => break,
            }
            let Some((header, fate)) = self.tuple(offset)? else { break };
            if !expected_xmin.is_invalid() && xmin_of(&header) != expected_xmin {
                break;
            }
            chain.push(offset);
            match fate {
                Fate::Dead => {
                    last_dead = Some(offset);
                    self.note_removed(&header);
                }
                Fate::RecentlyDead | Fate::DeleteInProgress => {
                    let ender = self.updater(&header);
                    self.note_prunable(ender);
                }
                Fate::Live | Fate::InsertInProgress => {}
            }
            // Behind a recently dead version there may be a dead one; behind others, none.
            let goes_on = matches!(fate, Fate::Dead | Fate::RecentlyDead);
            if !goes_on || !change::is_hot_updated(&header) {
                break;
            }
            offset = header.ctid.offset;
            expected_xmin = self.updater(&header);
        }
        Ok(last_dead)
    }

    /// Decides what becomes of a chain whose last dead version is this one.
    fn decide(
        &mut self,
        root: OffsetNumber,
        chain: &[OffsetNumber],
        last_dead: Option<OffsetNumber>,
    ) {
        let root_state = self.state(root);
        let Some(last_dead) = last_dead else {
            // A redirect to what was removed by itself.
            if chain.len() < 2 && root_state == LinePointerState::Redirect {
                self.dead(root);
            }
            return;
        };
        let kept = chain.iter().position(|offset| *offset == last_dead).map_or(0, |at| at + 1);
        for &offset in chain.get(1..kept).unwrap_or_default() {
            self.unused(offset);
            self.pruned.removed += 1;
        }
        if root_state == LinePointerState::Normal {
            self.pruned.removed += 1;
        }
        match chain.get(kept) {
            Some(&first_kept) => {
                self.pruned.redirected.push((root, first_kept));
                self.decided[usize::from(root)] = true;
                self.decided[usize::from(first_kept)] = true;
            }
            None => self.dead(root),
        }
    }

    fn unused(&mut self, offset: OffsetNumber) {
        self.pruned.unused.push(offset);
        self.decided[usize::from(offset)] = true;
    }

    fn dead(&mut self, offset: OffsetNumber) {
        self.pruned.dead.push(offset);
        self.decided[usize::from(offset)] = true;
    }

    /// `heap_prune_record_prunable`
    fn note_prunable(&mut self, xid: Xid) {
        let noted = &mut self.pruned.prune_xid;
        if xid.is_normal() && (noted.is_invalid() || xid.precedes(*noted)) {
            *noted = xid;
        }
    }

    /// Whether who made a dead version has committed.
    fn was_seen(&mut self, header: &HeapTupleHeader) -> bool {
        let bits = header.infomask;
        bits.xmin_committed() || !bits.xmin_aborted() && self.asked.has_committed(xmin_of(header))
    }

    fn note_removed(&mut self, header: &HeapTupleHeader) {
        let was_seen = self.was_seen(header);
        let xmax = self.updater(header);
        note_removed(header, xmax, was_seen, &mut self.pruned.latest_removed);
    }
}

/// Takes in the transactions that a version is removed after: a version that was never seen by others holds nobody up
/// (`HeapTupleHeaderAdvanceLatestRemovedXid`). `xmax` is who ended it, `was_seen` whether who made it has committed.
pub(crate) fn note_removed(header: &HeapTupleHeader, xmax: Xid, was_seen: bool, newest: &mut Xid) {
    if let Some(xvac) = header.xvac()
        && newest.precedes(xvac)
    {
        *newest = xvac;
    }
    if was_seen && xmax != xmin_of(header) && newest.precedes(xmax) {
        *newest = xmax;
    }
}

/// Whether the header alone says that the version stands: who made it has committed, and nobody has ended it.
pub(crate) fn stands(header: &HeapTupleHeader) -> bool {
    header.infomask.xmin_committed() && header.infomask.contains(Infomask::XMAX_INVALID)
}

/// Who inserted; [`Xid::FROZEN`] of a frozen version (`HeapTupleHeaderGetXmin`).
fn xmin_of(header: &HeapTupleHeader) -> Xid {
    if header.infomask.xmin_frozen() { Xid::FROZEN } else { header.xmin }
}
