//! One table: a pass over its pages, one over those with dead line pointers, and what is then known of its age.
//!
//! ```text
//! pages      0 1 2 3 ... | dead line pointers fill the memory: indexes, second pass | ... | the rest of both
//! ```
//!
//! Of a table without indexes they are freed at once, page by page.
//!
//! Invariants: the number of pages is looked at after the cutoffs were taken, so that what is put into later pages is newer.
//! The table's oldest ids are noted only if every page was looked at that can have unfrozen rows. Source:
//! `heap_vacuum_rel`, `lazy_scan_heap`, `lazy_vacuum`.

use std::ops::ControlFlow;

use base::sync::Arc;
use base::{BlockNumber, Tid, Xid};

use super::cost::Balance;
use super::cutoffs::Cutoffs;
use super::indexes::Passes;
use super::{
    OnProgress, VacuumOptions, VacuumPhase, VacuumProgress, VacuumReport, VacuumWarning, indexes,
};
use crate::Error;
use crate::buffer::Ring;
use crate::catalog::TableEntry;
use crate::catalog::frozen::{self, Frozen};
use crate::free_space_map::{FreeSpaceMap, Guard};
use crate::session::Session;
use crate::transaction::Transaction;
use crate::visibility_map::{ALL_FROZEN, ALL_VISIBLE, MapPage};
use crate::xact::mode::ModeHorizon;

/// Pages between two looks at whether the table has become dangerously old (`FAILSAFE_EVERY_PAGES`, 4 GB).
const FAILSAFE_EVERY: BlockNumber = 1 << 19;
/// As many pages in a row are left out together, and not fewer (`SKIP_PAGES_THRESHOLD`).
const SKIPPED_TOGETHER: BlockNumber = 32;
/// Line pointers that a page has at most.
const MOST_ON_PAGE: usize = base::page::MAX_HEAP_TUPLES_PER_PAGE as usize;

/// The vacuum of one table.
pub(super) struct Vacuum<'v, 'e> {
    pub(super) session: &'v mut Session<'e>,
    pub(super) table: &'v Arc<TableEntry>,
    pub(super) cutoffs: Cutoffs,
    pub(super) horizon: ModeHorizon<'e>,
    pub(super) options: &'v VacuumOptions,
    pub(super) report: VacuumReport,
    /// The oldest ids that stay unfrozen, of the pages looked at so far.
    pub(super) left: Frozen,
    /// Dead line pointers that wait for the second pass, in ascending order.
    pub(super) dead: Vec<Tid>,
    pub(super) ring: Ring,
    /// The page of the visibility map that was used last.
    pub(super) map: Option<Arc<MapPage<'e>>>,
    /// Behind the last page that was seen to have rows.
    pub(super) nonempty: BlockNumber,
    /// Whether pages were left out that may have unfrozen rows.
    skips_unfrozen: bool,
    /// Whether nothing but freezing counts.
    pub(super) is_emergency: bool,
    /// The first page that the upper levels of the free space map were not told of.
    untold: BlockNumber,
    /// Pages whose dead line pointers were freed.
    vacuumed: u64,
    /// What was done to indexes.
    passes: Passes,
    index_passes: u64,
    pub(super) balance: Balance<'e>,
    progress: OnProgress<'v>,
}

/// Vacuums a table that is locked for it.
///
/// # Errors
/// As [`Session::vacuum`].
pub(super) fn vacuum(
    transaction: &mut Transaction<'_, '_>,
    table: &Arc<TableEntry>,
    options: &VacuumOptions,
    progress: OnProgress<'_>,
) -> Result<VacuumReport, Error> {
    let shared = transaction.session.shared;
    let (report, left) = {
        let mut warnings = Vec::new();
        let session = &mut *transaction.session;
        let known = table.frozen.get();
        let cutoffs = Cutoffs::of(session, known, &options.ages, &mut |warning| {
            warnings.push(warning);
        });
        let is_aggressive = cutoffs.is_aggressive || !options.skips_pages;
        let horizon = shared.transactions.time.horizon(&session.backend);
        let report = VacuumReport {
            table: table.name.clone(),
            is_aggressive,
            pages: table.blocks(shared)?,
            removable_cutoff: cutoffs.oldest.xid,
            warnings,
            ..VacuumReport::default()
        };
        let balance = Balance::new(options.cost, session);
        let mut vacuum = Vacuum {
            session,
            table,
            cutoffs: Cutoffs { is_aggressive, ..cutoffs },
            horizon,
            options,
            report,
            left: cutoffs.oldest,
            dead: Vec::new(),
            ring: Ring::default(),
            map: None,
            nonempty: 0,
            skips_unfrozen: false,
            is_emergency: false,
            untold: 0,
            vacuumed: 0,
            passes: Passes::new(),
            index_passes: 0,
            balance,
            progress,
        };
        vacuum.tell(VacuumPhase::Initializing, 0)?;
        vacuum.pages()?;
        vacuum.tell(VacuumPhase::Finishing, vacuum.report.pages)?;
        (vacuum.report.used, vacuum.report.naps) = vacuum.balance.so_far();
        (vacuum.report, (!vacuum.skips_unfrozen).then_some(vacuum.left))
    };
    if let Some(left) = left {
        frozen::advance(transaction, &shared.catalog, &table.frozen, left)?;
    }
    Ok(VacuumReport { frozen_to: Some(table.frozen.get()), ..report })
}

impl<'e> Vacuum<'_, 'e> {
    fn pages(&mut self) -> Result<(), Error> {
        let pages = self.report.pages;
        let has_indexes = !self.table.indexes().is_empty();
        let (mut due, mut skips) = self.next_due(0)?;
        for block in 0..pages {
            if block == due {
                (due, skips) = self.next_due(block + 1)?;
            } else if skips {
                continue;
            }
            if block.is_multiple_of(FAILSAFE_EVERY) {
                self.look_for_emergency();
            }
            self.tell(VacuumPhase::Scanning, block)?;
            self.balance.nap(&self.session.interrupts())?;
            if self.options.dead_at_once.max(MOST_ON_PAGE) - self.dead.len() < MOST_ON_PAGE {
                self.second_pass(block)?;
                self.tell_of_room(block)?;
                self.tell(VacuumPhase::Scanning, block)?;
            }
            self.report.scanned += 1;
            self.scan_page(block)?;
            if !has_indexes {
                let dead = std::mem::take(&mut self.dead);
                self.free(&dead, |_| Ok(()))?;
                if block + 1 - self.untold >= self.options.tells_every {
                    self.tell_of_room(block + 1)?;
                }
            }
        }
        self.second_pass(pages)?;
        self.tell_of_room(pages)?;
        if !self.is_emergency {
            self.tell(VacuumPhase::CleaningUp, pages)?;
            let (passes, balance) = (&self.passes, &mut self.balance);
            self.report.indexes = indexes::clean_up(self.session, self.table, passes, balance)?;
        }
        self.truncate()
    }

    /// The next page from one on that must be looked at, and whether there are so many before it that they are left out:
    /// a few are read by the operating system anyway, and to have looked at all pages makes the table younger. The last
    /// page is never left out. As `lazy_scan_skip`.
    fn next_due(&mut self, from: BlockNumber) -> Result<(BlockNumber, bool), Error> {
        let pages = self.report.pages;
        let (mut due, mut passes_unfrozen) = (from, false);
        while due < pages {
            let bits = self.map_bits(due)?;
            let is_vouched = bits & ALL_VISIBLE != 0 && self.options.skips_pages;
            if !is_vouched || due + 1 == pages {
                break;
            }
            if bits & ALL_FROZEN == 0 {
                if self.cutoffs.is_aggressive {
                    break;
                }
                passes_unfrozen = true;
            }
            self.session.check_cancelled()?;
            due += 1;
        }
        let skips = due - from >= SKIPPED_TOGETHER;
        self.skips_unfrozen |= skips && passes_unfrozen;
        Ok((due, skips))
    }

    /// What the visibility map says of a page.
    fn map_bits(&mut self, block: BlockNumber) -> Result<u8, Error> {
        if self.map.as_ref().is_none_or(|map| !map.covers(block)) {
            let locator = self.table.locator;
            self.map = MapPage::existing(self.session.shared, locator, block)?.map(Arc::new);
        }
        Ok(self.map.as_ref().map_or(0, |map| map.status(block)))
    }

    /// The page of the visibility map that tells of a page, made if need be: before that page is locked.
    pub(super) fn pin_map(&mut self, block: BlockNumber) -> Result<Arc<MapPage<'e>>, Error> {
        if let Some(map) = self.map.as_ref().filter(|map| map.covers(block)) {
            return Ok(Arc::clone(map));
        }
        let made = Arc::new(MapPage::made(self.session.shared, self.table.locator, block)?);
        self.map = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Has the room be found that was noted of pages up to this one.
    fn tell_of_room(&mut self, end: BlockNumber) -> Result<(), Error> {
        let blocks = self.untold..end;
        self.untold = end;
        let session = &mut *self.session;
        let map = FreeSpaceMap::of(&session.shared.storage, self.table.locator);
        let xid = session.own_xid().unwrap_or(Xid::INVALID);
        let (inserter, interrupts, _) = session.log_interrupts_and_place();
        let mut guard = Guard::Image(inserter, xid);
        map.bring_up_to_date(blocks, &mut guard, &mut || interrupts.check())
    }

    fn look_for_emergency(&mut self) {
        if !self.is_emergency && self.cutoffs.is_emergency(self.session, &self.options.ages) {
            self.is_emergency = true;
            self.balance.hurry();
            self.report.warnings.push(VacuumWarning::Emergency(self.index_passes));
        }
    }

    /// Says how far it has come, and ends if it is cancelled.
    pub(super) fn tell(&mut self, phase: VacuumPhase, scanned: BlockNumber) -> Result<(), Error> {
        self.session.check_cancelled()?;
        let VacuumReport { pages, removed, .. } = self.report;
        let progress = VacuumProgress {
            table: self.table.name.as_str(),
            phase,
            pages,
            scanned,
            vacuumed: self.vacuumed,
            removed,
            index_passes: self.index_passes,
            dead: self.dead.len(),
            dead_at_most: self.options.dead_at_once.max(MOST_ON_PAGE),
        };
        match (self.progress)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    /// Indexes forget the dead line pointers that were found, and they are freed.
    fn second_pass(&mut self, scanned: BlockNumber) -> Result<(), Error> {
        if self.dead.is_empty() {
            return Ok(());
        }
        self.look_for_emergency();
        if self.is_emergency {
            self.dead.clear();
            return Ok(());
        }
        self.tell(VacuumPhase::Indexes, scanned)?;
        let dead = std::mem::take(&mut self.dead);
        let (passes, balance) = (&mut self.passes, &mut self.balance);
        indexes::forget(self.session, self.table, &dead, passes, balance)?;
        self.index_passes += 1;
        self.free(&dead, |vacuum| {
            vacuum.tell(VacuumPhase::Freeing, scanned)?;
            vacuum.balance.nap(&vacuum.session.interrupts())
        })
    }

    /// Frees dead line pointers that no index knows, after `look` before each page.
    fn free(
        &mut self,
        dead: &[Tid],
        mut look: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for of_page in dead.chunk_by(|one, other| one.block == other.block) {
            look(self)?;
            let offsets: Vec<_> = of_page.iter().map(|tid| tid.offset).collect();
            self.free_on_page(of_page[0].block, &offsets)?;
            self.vacuumed += 1;
            self.report.freed += offsets.len() as u64;
        }
        Ok(())
    }
}
